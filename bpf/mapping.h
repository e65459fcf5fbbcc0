/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What threads map and unmap: each call is sent, with its stack as long as they are not too many.
 */
#ifndef RAGPROF_BPF_MAPPING_H
#define RAGPROF_BPF_MAPPING_H

#include "count.h"

#define MAPPING_WINDOW_SHIFT 28 /* of nanoseconds: 268 ms */
#define MAPPING_WALKS 64        /* of a thread in each window; further calls have no stack */

/* A finished call. */
struct mapping_call {
  __u64 kind; /* enum mapping_kind */
  __u64 arguments[4];
  __u64 result;
};

static __always_inline bool may_walk(struct thread_state *thread, __u64 now_ns) {
  __u32 window = now_ns >> MAPPING_WINDOW_SHIFT;
  if (thread->mapping_window != window) {
    thread->mapping_window = window;
    thread->window_mappings = 0;
  }
  return ++thread->window_mappings <= MAPPING_WALKS;
}

/* Global, so that it is verified by itself. In the thread's own context with preemption off. */
__noinline int ship_mapping(struct mapping_call *call) {
  struct task_struct *task = bpf_get_current_task_btf();
  struct thread_state *thread = bpf_task_storage_get(&threads, task, 0, 0);
  __u32 tgid = task->tgid;
  struct process_info *process = bpf_map_lookup_elem(&processes, &tgid);
  if (!call || !thread || !process)
    return 0;
  struct event_mapping event = {.type = EVENT_MAPPING,
                                .tgid = tgid,
                                .kind = call->kind,
                                .time_ns = bpf_ktime_get_ns(),
                                .result = call->result};
  __builtin_memcpy(event.arguments, call->arguments, sizeof(event.arguments));
  if (call->kind != MAPPING_MUNMAP && may_walk(thread, event.time_ns))
    event.stack = current_stack(process);
  if (bpf_ringbuf_output(&events, &event, sizeof(event), BPF_RB_NO_WAKEUP))
    COUNT(lost_mappings);
  return 0;
}

#endif
