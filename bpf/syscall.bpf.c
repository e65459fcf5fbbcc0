/* SPDX-License-Identifier: GPL-2.0-or-later */
/* System calls: counted by thread and call, slow ones one by one. */
#include "io.h"
#include "mapping.h"

char LICENSE[] SEC("license") = "GPL";

SEC("tp_btf/sys_enter")
int BPF_PROG(on_syscall_enter, struct pt_regs *regs, long number) {
  struct thread_state *thread = bpf_task_storage_get(&threads, bpf_get_current_task_btf(), 0, 0);
  if (thread)
    thread->syscall_ns = bpf_ktime_get_ns();
  return 0;
}

/* The stack at which it was made: that of the last switch, if that was in it. */
static __always_inline __u64 stack_of_call(struct thread_state *thread, struct operation_key *key,
                                           __u64 start_ns) {
  if (thread->stack_ns > start_ns)
    return thread->stack;
  struct process_info *process = bpf_map_lookup_elem(&processes, &key->tgid);
  return process ? current_stack(process) : STACK_LOST;
}

static __always_inline bool is_walked(__u64 number) {
  return !is_signal_return(number) && !is_exec(number);
}

static __always_inline void look_at_mapping(const struct pt_regs *regs, __u32 kind, long result) {
  struct mapping_call call = {.kind = kind,
                              .arguments = {syscall_argument_1(regs), syscall_argument_2(regs),
                                            syscall_argument_3(regs), syscall_argument_4(regs)},
                              .result = result};
  if (result >= 0 || result < -MAX_ERRNO)
    ship_mapping(&call);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_syscall_exit, struct pt_regs *regs, long result) {
  struct task_struct *task = bpf_get_current_task_btf();
  struct thread_state *thread = bpf_task_storage_get(&threads, task, 0, 0);
  if (!thread || !thread->syscall_ns)
    return 0;
  __u64 start_ns = thread->syscall_ns, now_ns = bpf_ktime_get_ns(), ns = now_ns - start_ns;
  __u64 number = syscall_number(regs);
  thread->syscall_ns = 0;
  if (number >= SYSCALLS_MAX)
    return 0;
  __u32 mapping = mapping_by_syscall[number & (SYSCALLS_MAX - 1)];
  if (mapping)
    look_at_mapping(regs, mapping, result);
  struct operation_key key = {
      .tgid = task->tgid, .tid = task->pid, .class = CLASS_SYSCALL, .name = number};
  struct operation_slot *slot = slot_of_call(thread, &key);
  if (!slot) {
    COUNT(lost_operations);
    return 0;
  }
  if (key.tid)
    count_own(slot, ns);
  else
    count_shared(slot, 1, 0, ns);
  __u32 io = io_by_syscall[number & (SYSCALLS_MAX - 1)];
  __u64 bytes = moves_bytes(io) && result > 0 ? result : 0;
  if (bytes)
    __sync_fetch_and_add(&slot->bytes, bytes);
  if (result < 0 && result >= -MAX_ERRNO)
    count_error(slot, -result);
  bool is_slow = ns >= slow_operation_ns;
  __u32 weight = is_slow ? 1 : walk_weight(slot, now_ns);
  if (!weight && !io)
    return 0;
  __u64 stack = weight && is_walked(number) ? stack_of_call(thread, &key, start_ns) : STACK_LOST;
  if (stack > STACK_NOT_TAKEN)
    count_at_stack(&key, stack, weight, bytes * weight, ns * weight);
  struct io_call call = {.task = task,
                         .tgid = key.tgid,
                         .tid = task->pid,
                         .kind = io,
                         .result = result,
                         .start_ns = start_ns,
                         .ns = ns,
                         .stack = stack,
                         .weight = weight};
  __u64 object = 0;
  if (io) {
    find_descriptors(&call, regs);
    object = count_io(&call, thread);
  }
  if (is_slow)
    ship_slow(&key, task->pid, start_ns, ns, result, stack, object);
  return 0;
}
