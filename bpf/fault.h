/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the sampling of a thread's minor page faults keeps, and its end. */
#ifndef RAGPROF_BPF_FAULT_H
#define RAGPROF_BPF_FAULT_H

#include "count.h"

#define FAULT_PAGE_BYTES 4096

static __always_inline void count_faults(struct operation_key *key, __u64 count, __u64 ns) {
  struct operation_slot *slot = key->object ? slot_of(key) : NULL;
  if (slot)
    count_shared(slot, count, count * FAULT_PAGE_BYTES, ns);
  else
    COUNT(lost_operations);
}

static __always_inline void count_faults_at(const struct operation_key *key, __u64 stack,
                                            __u64 count, __u64 ns) {
  if (stack > STACK_NOT_TAKEN)
    count_at_stack(key, stack, count, count * FAULT_PAGE_BYTES, ns);
}

/* Those since the last one that was looked at, which no other will stand for any more: they are
 * taken for more of that. */
static __always_inline void settle_faults(struct thread_state *thread, __u32 tgid) {
  struct operation_key key = {.object = thread->fault_object,
                              .tgid = tgid,
                              .class = CLASS_FAULT,
                              .name = OPERATION_NAME_MINOR};
  __u64 count = thread->faults_since;
  thread->faults_since = 0;
  if (!count || !key.object)
    return;
  count_faults(&key, count, 0);
  count_faults_at(&key, thread->fault_stack, count, 0);
}

#endif
