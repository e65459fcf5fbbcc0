/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Life of processes and threads: which ones are watched, their names and exact times, the stacks of
 * those that sleep when the capture begins. */
#define WALKS_REMOTE
#include "fault.h"
#include "kernel.h"
#include "lock.h"
#include "reason.h"
#include "stack.h"
#include "wait.h"

char LICENSE[] SEC("license") = "GPL";

static __noinline void emit_thread(struct task_struct *task, struct thread_state *thread,
                                   __u32 what, __u64 now_ns) {
  struct event_thread event = {
      .type = EVENT_THREAD,
      .tgid = task->tgid,
      .tid = task->pid,
      .what = what,
      .time_ns = now_ns,
      .start_ns = thread->start_ns,
      .on_cpu_ns = thread->on_cpu_ns,
      .blocked_ns = thread->blocked_ns,
      .run_queue_ns = thread->run_queue_ns,
      .voluntary_switches = thread->voluntary_switches,
      .involuntary_switches = thread->involuntary_switches,
      .minor_faults = BPF_CORE_READ(task, min_flt),
      .major_faults = BPF_CORE_READ(task, maj_flt),
      .migrations = BPF_CORE_READ(task, se.nr_migrations),
      .ended_minor_faults = BPF_CORE_READ(task, signal, min_flt),
      .ended_major_faults = BPF_CORE_READ(task, signal, maj_flt),
  };
  if (thread->switched_in_ns && now_ns > thread->switched_in_ns)
    event.on_cpu_ns += now_ns - thread->switched_in_ns;
  if (thread->switched_out_ns && now_ns > thread->switched_out_ns) {
    __u64 open_ns = now_ns - thread->switched_out_ns;
    if (thread->reason == REASON_RUN_QUEUE || thread->woken_ns)
      event.run_queue_ns += open_ns;
    else
      event.blocked_ns += open_ns;
  }
  BPF_CORE_READ_STR_INTO(&event.name, task, comm);
  if (bpf_ringbuf_output(&events, &event, sizeof(event), BPF_RB_NO_WAKEUP))
    COUNT(lost_threads);
}

/* enum process_happening of userspace/trace/trace.h, which cannot be included here. */
enum { HAPPENING_FORK = 1, HAPPENING_EXEC = 2, HAPPENING_EXIT = 3, HAPPENING_OOM_KILL = 4 };

static __always_inline void emit_happening(__u32 tgid, __u32 what, __u64 value, const char *text) {
  struct event_happening event = {.type = EVENT_HAPPENING,
                                  .tgid = tgid,
                                  .what = what,
                                  .time_ns = bpf_ktime_get_ns(),
                                  .value = value};
  __u64 bytes = text ? bpf_probe_read_kernel_str(event.text, sizeof(event.text), text) : 0;
  asm volatile("" : "+r"(bytes)); /* one comparison, for 6.1: of errors, too */
  if (bytes > HAPPENING_TEXT_MAX)
    bytes = 0;
  if (bpf_ringbuf_output(&events, &event, __builtin_offsetof(struct event_happening, text) + bytes,
                         BPF_RB_NO_WAKEUP))
    COUNT(lost_happenings);
}

/* The status as wait(2) gives it: a group's exit hides that of its leader. */
static __always_inline __u32 exit_status(struct task_struct *task) {
  if (BPF_CORE_READ(task, signal, flags) & SIGNAL_GROUP_EXIT)
    return BPF_CORE_READ(task, signal, group_exit_code);
  return BPF_CORE_READ(task, group_leader, exit_code);
}

static __always_inline void emit_process(struct task_struct *task, __u32 what, __u32 parent_tgid,
                                         __u32 generation) {
  struct event_process event = {
      .type = EVENT_PROCESS,
      .tgid = task->tgid,
      .what = what,
      .parent_tgid = parent_tgid,
      .time_ns = bpf_ktime_get_ns(),
      .exit_code = what == PROCESS_EXIT ? exit_status(task) : 0,
      .generation = generation,
  };
  BPF_CORE_READ_STR_INTO(&event.name, task, comm);
  if (bpf_ringbuf_output(&events, &event, sizeof(event), BPF_RB_FORCE_WAKEUP))
    COUNT(lost_threads);
}

/* Watches a new thread: it waits for its first run. */
static __always_inline void watch_new(struct task_struct *task) {
  struct thread_state *thread =
      bpf_task_storage_get(&threads, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
  if (!thread) {
    COUNT(lost_threads);
    return;
  }
  __u64 now_ns = bpf_ktime_get_ns();
  thread->start_ns = now_ns;
  thread->switched_out_ns = now_ns;
  thread->reason = REASON_RUN_QUEUE;
  thread->stack = STACK_STARTING;
  emit_thread(task, thread, THREAD_NEW, now_ns);
}

SEC("tp_btf/task_newtask")
int BPF_PROG(on_new_task, struct task_struct *task, __u64 clone_flags) {
  __u32 parent = bpf_get_current_pid_tgid() >> 32, tgid = task->tgid;
  struct process_info *process = bpf_map_lookup_elem(&processes, &parent);
  if (!process)
    return 0;
  if (tgid != parent) {
    struct process_info copy = *process;
    emit_happening(parent, HAPPENING_FORK, tgid, NULL);
    if (!follow_children)
      return 0;
    if (bpf_map_update_elem(&processes, &tgid, &copy, 0)) {
      COUNT(lost_threads);
      return 0;
    }
    emit_process(task, PROCESS_FORK, parent, copy.generation);
  }
  watch_new(task);
  return 0;
}

/* Watches the thread of a command from its exec on, the call included. */
static __always_inline void watch_begun(struct task_struct *task) {
  struct thread_state *thread =
      bpf_task_storage_get(&threads, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
  if (!thread) {
    COUNT(lost_threads);
    return;
  }
  thread->start_ns = bpf_ktime_get_ns();
  thread->switched_in_ns = thread->start_ns;
  thread->syscall_ns = thread->start_ns;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, pid_t old_pid, struct linux_binprm *program) {
  __u32 tgid = task->tgid;
  struct process_info *process = bpf_map_lookup_elem(&processes, &tgid);
  if (!process)
    return 0;
  process->map_count = 0;
  process->map_serial = 0;
  process->python = 0;
  process->generation++;
  process->raw_budget = RAW_BUDGET;
  if (process->awaits_exec)
    watch_begun(task);
  process->awaits_exec = 0;
  emit_happening(tgid, HAPPENING_EXEC, 0, BPF_CORE_READ(program, filename));
  emit_process(task, PROCESS_EXEC, 0, process->generation);
  return 0;
}

/* A command that could not be executed. */
static __always_inline bool has_not_begun(__u32 tgid) {
  struct process_info *process = bpf_map_lookup_elem(&processes, &tgid);
  return process && process->awaits_exec;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task) {
  __u32 tgid = task->tgid;
  struct thread_state *thread = bpf_task_storage_get(&threads, task, 0, 0);
  if (!thread && !has_not_begun(tgid))
    return 0;
  if (thread) {
    settle_faults(thread, tgid);
    emit_thread(task, thread, THREAD_EXIT, bpf_ktime_get_ns());
  }
  bpf_task_storage_delete(&threads, task);
  if (!BPF_CORE_READ(task, signal, live.counter)) {
    bpf_map_delete_elem(&processes, &tgid); /* first: no stack may follow the event */
    emit_happening(tgid, HAPPENING_EXIT, exit_status(task), NULL);
    emit_process(task, PROCESS_EXIT, 0, 0);
  }
  return 0;
}

/* Raw, since what it is given has changed: a TID up to Linux 6.7, then the task. */
SEC("raw_tp/mark_victim")
int on_oom_kill(struct bpf_raw_tracepoint_args *ctx) {
  __u64 victim = ctx->args[0];
  __u32 tgid = victim;
  if (is_kernel_address(victim))
    tgid = BPF_CORE_READ((struct task_struct *)victim, tgid);
  if (bpf_map_lookup_elem(&processes, &tgid))
    emit_happening(tgid, HAPPENING_OOM_KILL, 0, NULL);
  return 0;
}

/* Not parts of on_task's own frame, under which stacks are walked. */
static __noinline void begin_found_lock_wait(struct task_struct *task, struct thread_state *thread,
                                             struct process_info *process, __u64 now_ns) {
  begin_lock_wait(thread, task, process, now_ns, task);
}

static __noinline void end_open_wait(struct thread_state *thread, __u32 tgid, __u32 tid,
                                     __u64 now_ns) {
  end_wait(thread, tgid, tid, now_ns);
  if (thread->lock_wait.lock)
    end_lock_wait(thread, tgid, tid, now_ns);
  thread->switched_out_ns = now_ns;
}

/* A thread that was there before the capture. */
static __always_inline void watch_existing(struct task_struct *task, struct process_info *process,
                                           struct thread_state *thread, __u64 now_ns) {
  __u32 kind = SCRATCH_REMOTE, state = task_state(task);
  thread->start_ns = now_ns;
  if (!state && BPF_CORE_READ(task, on_cpu)) {
    thread->switched_in_ns = now_ns;
    return;
  }
  thread->reason = find_reason(task, process, state);
  struct scratch *scratch = bpf_map_lookup_elem(&scratches, &kind);
  struct pt_regs *user = (struct pt_regs *)bpf_task_pt_regs(task);
  if (scratch) {
    struct user_registers registers = user_registers_of(user);
    copy_registers(scratch->registers, user);
    scratch->stack.kernel_count = 0;
    thread->stack = collect_stack(scratch, process, task, &registers, task->tgid, task, kind);
  }
  thread->switched_out_ns = now_ns;
  if (thread->reason == REASON_FUTEX || thread->reason == REASON_GIL)
    begin_found_lock_wait(task, thread, process, now_ns);
}

static __always_inline bool is_of_interest(struct task_struct *task) {
  return task && !(task->flags & (PF_KTHREAD | PF_EXITING));
}

/* Run before each on_task: watches the threads that are not watched yet. Apart from it because the
 * verifier would look at all that follows a walk once for each way that a walk may end. */
SEC("iter.s/task")
int on_found_task(struct bpf_iter__task *ctx) {
  struct task_struct *task = ctx->task;
  if (!is_of_interest(task))
    return 0;
  __u32 tgid = task->tgid;
  struct process_info *process = bpf_map_lookup_elem(&processes, &tgid);
  if (!process || process->awaits_exec || bpf_task_storage_get(&threads, task, 0, 0))
    return 0;
  struct thread_state *thread =
      bpf_task_storage_get(&threads, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
  if (thread)
    watch_existing(task, process, thread, bpf_ktime_get_ns());
  return 0;
}

/* Run at the start and on a clock: reports the exact times so far; at the end, it also ends the
 * waits that are still open. */
SEC("iter.s/task")
int on_task(struct bpf_iter__task *ctx) {
  struct task_struct *task = ctx->task;
  if (!is_of_interest(task))
    return 0;
  __u32 tgid = task->tgid;
  __u64 now_ns = bpf_ktime_get_ns();
  struct thread_state *thread = bpf_task_storage_get(&threads, task, 0, 0);
  if (!thread)
    return 0;
  if (capture_ending)
    settle_faults(thread, tgid);
  if (capture_ending && thread->switched_out_ns)
    end_open_wait(thread, tgid, task->pid, now_ns);
  if (thread->switched_out_ns)
    charge_sleeper(thread, tgid, task->pid);
  emit_thread(task, thread, THREAD_ALIVE, now_ns);
  return 0;
}
