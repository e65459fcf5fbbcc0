/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What threads map and unmap: each call is sent, with its stack as long as they are not too many.
 */
#ifndef RAGPROF_BPF_MAPPING_H
#define RAGPROF_BPF_MAPPING_H

#include "count.h"

#define MAPPING_WINDOW_SHIFT 28 /* of nanoseconds: 268 ms */
#define MAPPING_WALKS 64        /* of a thread in each window; further calls have no stack */

static __always_inline bool may_walk(struct thread_state *thread, __u64 now_ns) {
  __u32 window = now_ns >> MAPPING_WINDOW_SHIFT;
  if (thread->mapping_window != window) {
    thread->mapping_window = window;
    thread->window_mappings = 0;
  }
  return ++thread->window_mappings <= MAPPING_WALKS;
}

/* Whether the stack of a call is wanted that ends now. */
static __always_inline bool wants_mapping_stack(struct thread_state *thread, __u32 kind,
                                                __u64 now_ns) {
  return kind && kind != MAPPING_MUNMAP && may_walk(thread, now_ns);
}

/* Sends the system call that the current thread ends. Global, so that it is verified by itself. */
__noinline int ship_mapping(__u32 kind, __s64 result, __u64 stack) {
  struct task_struct *task = bpf_get_current_task_btf();
  struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
  if (result < 0 && result >= -MAX_ERRNO)
    return 0;
  struct event_mapping event = {.type = EVENT_MAPPING,
                                .tgid = task->tgid,
                                .kind = kind,
                                .time_ns = bpf_ktime_get_ns(),
                                .stack = stack,
                                .arguments = {syscall_argument_1(regs), syscall_argument_2(regs),
                                              syscall_argument_3(regs), syscall_argument_4(regs)},
                                .result = result};
  if (bpf_ringbuf_output(&events, &event, sizeof(event), BPF_RB_NO_WAKEUP))
    COUNT(lost_mappings);
  return 0;
}

#endif
