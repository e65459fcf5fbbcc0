/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What becomes of an off-CPU interval: long ones are streamed, short ones summed by stack. */
#ifndef RAGPROF_BPF_WAIT_H
#define RAGPROF_BPF_WAIT_H

#include "maps.h"
#include "reason.h"

struct wait_sums {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 32 * 1024);
  __type(key, struct wait_key);
  __type(value, struct wait_sum);
};

struct wait_sums wait_sums_a __weak SEC(".maps");
struct wait_sums wait_sums_b __weak SEC(".maps");

static __always_inline struct wait_sum *find_sum(const struct wait_key *key) {
  return active_sums ? bpf_map_lookup_elem(&wait_sums_b, key)
                     : bpf_map_lookup_elem(&wait_sums_a, key);
}

static __always_inline void add_sum(const struct wait_key *key) {
  struct wait_sum zero = {};
  if (active_sums)
    bpf_map_update_elem(&wait_sums_b, key, &zero, BPF_NOEXIST);
  else
    bpf_map_update_elem(&wait_sums_a, key, &zero, BPF_NOEXIST);
}

static __always_inline bool sum_wait(struct thread_state *thread, __u32 tgid, __u32 tid,
                                     __u64 blocked_ns, __u64 run_queue_ns) {
  struct wait_key key = {
      .stack = thread->stack, .tgid = tgid, .tid = tid, .reason = thread->reason};
  struct wait_sum *sum = find_sum(&key);
  if (!sum) {
    add_sum(&key);
    sum = find_sum(&key);
  }
  if (!sum)
    return false;
  __u64 total = blocked_ns + run_queue_ns;
  __sync_fetch_and_add(&sum->count, 1);
  __sync_fetch_and_add(&sum->blocked_ns, blocked_ns);
  __sync_fetch_and_add(&sum->run_queue_ns, run_queue_ns);
  if (total > sum->max_ns)
    sum->max_ns = total;
  return true;
}

static __always_inline bool stream_wait(struct thread_state *thread, __u32 tgid, __u32 tid,
                                        __u64 blocked_ns, __u64 run_queue_ns) {
  struct event_wait event = {
      .type = EVENT_WAIT,
      .tgid = tgid,
      .tid = tid,
      .waker_tid = thread->waker_tid,
      .start_ns = thread->switched_out_ns,
      .blocked_ns = blocked_ns,
      .run_queue_ns = run_queue_ns,
      .stack = thread->stack,
      .reason = thread->reason,
  };
  return !bpf_ringbuf_output(&events, &event, sizeof(event), BPF_RB_NO_WAKEUP);
}

/* Ends the interval that began at switched_out_ns: the thread runs (again) from now_ns on. */
static __always_inline void end_wait(struct thread_state *thread, __u32 tgid, __u32 tid,
                                     __u64 now_ns) {
  __u64 out = thread->switched_out_ns, woken = thread->woken_ns;
  if (!out || now_ns < out)
    return;
  if (thread->reason == REASON_RUN_QUEUE)
    woken = out;
  if (woken < out || woken > now_ns)
    woken = now_ns;
  __u64 blocked_ns = woken - out, run_queue_ns = now_ns - woken;
  thread->blocked_ns += blocked_ns;
  thread->run_queue_ns += run_queue_ns;
  if (thread->reason == REASON_PAGE_FAULT)
    thread->fault_wait_ns += now_ns - out;
  bool is_summed = now_ns - out < long_wait_ns || thread->stack == STACK_NOT_TAKEN;
  bool kept = is_summed && sum_wait(thread, tgid, tid, blocked_ns, run_queue_ns);
  if (!kept && !stream_wait(thread, tgid, tid, blocked_ns, run_queue_ns)) {
    COUNT(lost_waits);
    __sync_fetch_and_add(&counters.lost_wait_ns, now_ns - out);
  }
}

#endif
