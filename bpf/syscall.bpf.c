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

/* Counts the call in its slot and says how many calls its walk stands for; 0: it is not walked. */
static __always_inline __u32 count_call(struct thread_state *thread, struct io_call *call,
                                        __u64 bytes) {
  struct operation_slot *slot = slot_of_call(thread, &call->key);
  if (!slot) {
    COUNT(lost_operations);
    return 0;
  }
  if (call->key.tid)
    count_own(slot, call->ns);
  else
    count_shared(slot, 1, 0, call->ns);
  if (bytes)
    __sync_fetch_and_add(&slot->bytes, bytes);
  if (call->result < 0 && call->result >= -MAX_ERRNO)
    count_error(slot, -call->result);
  return call->ns >= slow_operation_ns ? 1 : walk_weight(slot, call->start_ns + call->ns);
}

/* What is kept in `call` need not be kept on the stack. */
SEC("tp_btf/sys_exit")
int BPF_PROG(on_syscall_exit, struct pt_regs *regs, long result) {
  struct task_struct *task = bpf_get_current_task_btf();
  struct thread_state *thread = bpf_task_storage_get(&threads, task, 0, 0);
  if (!thread || !thread->syscall_ns)
    return 0;
  __u32 zero = 0;
  __u64 number = syscall_number(regs);
  struct io_call *call = bpf_map_lookup_elem(&io_calls, &zero);
  if (!call || number >= SYSCALLS_MAX)
    return 0;
  call->start_ns = thread->syscall_ns;
  call->ns = bpf_ktime_get_ns() - call->start_ns;
  call->result = result;
  call->tgid = task->tgid;
  call->tid = task->pid;
  call->kind = io_by_syscall[number & (SYSCALLS_MAX - 1)];
  call->key = (struct operation_key){
      .tgid = call->tgid, .tid = call->tid, .class = CLASS_SYSCALL, .name = number};
  thread->syscall_ns = 0;
  __u64 bytes = moves_bytes(call->kind) && result > 0 ? result : 0;
  __u32 weight = count_call(thread, call, bytes);
  __u32 mapping = mapping_by_syscall[number & (SYSCALLS_MAX - 1)];
  if (!weight && !call->kind && !mapping)
    return 0;
  bool is_wanted = (weight && is_walked(number)) ||
                   wants_mapping_stack(thread, mapping, call->start_ns + call->ns);
  call->weight = weight;
  call->stack = is_wanted ? stack_of_call(thread, &call->key, call->start_ns) : STACK_LOST;
  if (mapping)
    ship_mapping(mapping, result, call->stack);
  if (weight && call->stack > STACK_NOT_TAKEN)
    count_at_stack(&call->key, call->stack, weight, bytes * weight, call->ns * weight);
  __u64 object = 0;
  if (call->kind) {
    call->peer_port = 0;
    call->dns = DNS_NONE;
    find_descriptors(call, regs);
    object = count_io(call, thread);
    follow_dns(call);
  }
  if (call->ns >= slow_operation_ns)
    ship_slow(&call->key, call->tid, call->start_ns, call->ns, result, call->stack, object);
  return 0;
}
