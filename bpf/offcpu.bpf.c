/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Off-CPU intervals: what runs when a profiled thread leaves the CPU, is woken, and comes back.
 * Exact times are kept per thread. */
#include "kernel.h"
#include "lock.h"
#include "reason.h"
#include "stack.h"
#include "wait.h"

char LICENSE[] SEC("license") = "GPL";

/* A thread that fights for the interpreter's lock leaves the CPU thousands of times a second, and
 * would spend much of its time on being walked. So of such waits about WALKS_PER_WINDOW are walked
 * in each window of time, chosen at random: each with the probability that the window before
 * suggests. Their time is exact all the same; user space spreads that of the others over the stacks
 * that were taken (capture/wait_spread.c). Other waits are always walked. */
#define WINDOW_SHIFT 28 /* of nanoseconds: 268 ms */
#define WALKS_PER_WINDOW 12

static __always_inline bool is_left_out(struct thread_state *thread, __u64 now_ns) {
  __u32 window = now_ns >> WINDOW_SHIFT;
  if (thread->reason != REASON_GIL && thread->reason != REASON_RUN_QUEUE)
    return false;
  if (thread->window != window) {
    thread->last_switches = thread->window + 1 == window ? thread->window_switches : 0;
    thread->window_switches = 0;
    thread->window = window;
  }
  thread->window_switches++;
  __u64 expected = thread->last_switches;
  if (expected <= WALKS_PER_WINDOW)
    return false;
  return (__u64)bpf_get_prandom_u32() * expected >> 32 >= WALKS_PER_WINDOW;
}

static __noinline void note_lock_wait(struct task_struct *task, struct thread_state *thread,
                                      struct process_info *process, __u64 now_ns) {
  begin_lock_wait(thread, task, process, now_ns, NULL);
}

static __always_inline void switch_out(struct task_struct *task, struct thread_state *thread,
                                       __u32 state, __u64 now_ns) {
  __u32 tgid = task->tgid;
  struct process_info *process = bpf_map_lookup_elem(&processes, &tgid);
  if (!process || state & TASK_DEAD_STATE)
    return;
  COUNT(switches);
  if (thread->switched_in_ns)
    thread->on_cpu_ns += now_ns - thread->switched_in_ns;
  if (state)
    thread->voluntary_switches++;
  else
    thread->involuntary_switches++;
  if (thread->lock_wait.lock) /* its coming back was not seen */
    end_lock_wait(thread, tgid, task->pid, now_ns);
  thread->switched_in_ns = 0;
  thread->switched_out_ns = now_ns;
  thread->woken_ns = 0;
  thread->waker_tid = 0;
  thread->reason = find_reason(task, process, state);
  if (thread->reason == REASON_FUTEX || thread->reason == REASON_GIL)
    note_lock_wait(task, thread, process, now_ns);
  if (is_left_out(thread, now_ns)) {
    COUNT(waits_not_taken);
    thread->stack = STACK_NOT_TAKEN;
    thread->stack_ns = 0;
    return;
  }
  thread->stack = current_stack_by(process, SCRATCH_SWITCH); /* it is still the current one */
  thread->stack_ns = now_ns;
  if (thread->reason == REASON_GIL)
    charge_sleeper(thread, tgid, task->pid);
}

/* Not a part of on_switch's own frame, under which stacks are walked. */
static __noinline void switch_in(struct task_struct *task, struct thread_state *thread,
                                 __u64 now_ns) {
  end_wait(thread, task->tgid, task->pid, now_ns);
  if (thread->lock_wait.lock)
    end_lock_wait(thread, task->tgid, task->pid, now_ns);
  thread->switched_out_ns = 0;
  thread->switched_in_ns = now_ns;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next) {
  struct thread_state *in = bpf_task_storage_get(&threads, next, 0, 0);
  if (in)
    switch_in(next, in, bpf_ktime_get_ns());
  struct thread_state *out = bpf_task_storage_get(&threads, prev, 0, 0);
  if (out)
    switch_out(prev, out, preempt ? 0 : task_state(prev), bpf_ktime_get_ns());
  return 0;
}

/* Who gives a lock up is charged for the waits for it, where it does so. */
static __always_inline void wake_lock_waiter(struct thread_state *thread, struct task_struct *task,
                                             __u64 now_ns) {
  __u64 id = bpf_get_current_pid_tgid(), ns = 0;
  __u32 tgid = task->tgid, waker = id >> 32 == tgid ? thread->waker_tid : 0;
  struct operation_key key = {};
  __u32 weight = end_lock_sleep(thread, tgid, task->pid, waker, now_ns, &key, &ns);
  if (!key.tid)
    return;
  struct process_info *process = NULL;
  if (weight && waker)
    process = bpf_map_lookup_elem(&processes, &tgid);
  __u64 stack = process ? current_stack_by(process, SCRATCH_WAKE) : STACK_LOST;
  if (stack > STACK_NOT_TAKEN)
    charge_stack(&key, stack, 1, ns);
  else
    keep_unwalked(&key, 1, ns);
}

SEC("tp_btf/sched_waking")
int BPF_PROG(on_waking, struct task_struct *task) {
  struct thread_state *thread = bpf_task_storage_get(&threads, task, 0, 0);
  if (!thread || !thread->switched_out_ns || thread->woken_ns)
    return 0;
  thread->woken_ns = bpf_ktime_get_ns();
  bool is_futex = thread->reason == REASON_FUTEX || thread->reason == REASON_GIL;
  thread->waker_tid = acting_thread(is_futex);
  if (thread->lock_wait.is_waiting)
    wake_lock_waiter(thread, task, thread->woken_ns);
  return 0;
}
