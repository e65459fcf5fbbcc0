/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Takes the whole stack of a thread: kernel, native by the compiled tables, Python by the
 * interpreter's own structures; hashes it and ships it when it is new. */
#ifndef RAGPROF_BPF_STACK_H
#define RAGPROF_BPF_STACK_H

#include "native.h"
#include "python.h"

/* Ships the stack in `scratch` unless user space has it. Returns its id, 0 when it was lost. */
static __always_inline __u64 publish_stack(struct scratch *scratch,
                                           const struct process_info *process) {
  struct event_stack *stack = &scratch->stack;
  __u64 id = stack->id;
  if (!stack->raw && bpf_map_lookup_elem(&known_stacks, &id))
    return id;
  stack->type = EVENT_STACK;
  stack->generation = process->generation;
  stack->pad = 0;
  __u64 count = stack->kernel_count + stack->native_count + stack->python_count;
  if (count > STACK_FRAMES_MAX)
    count = STACK_FRAMES_MAX;
  __u64 bytes = __builtin_offsetof(struct event_stack, frames) + count * 8;
  if (bpf_ringbuf_output(&events, stack, bytes, BPF_RB_NO_WAKEUP)) {
    COUNT(lost_stacks);
    return STACK_LOST;
  }
  __u8 known = 1;
  if (!stack->raw)
    bpf_map_update_elem(&known_stacks, &id, &known, 0);
  return id;
}

static long hash_kernel_frame(__u32 i, struct event_stack **stack) {
  struct event_stack *s = *stack;
  if (i >= KERNEL_FRAMES_MAX)
    return 1;
  s->id = hash_step(s->id, s->frames[i]);
  return 0;
}

/* Within execve, the old program's stack is gone and its registers point at nothing: what the
 * kernel does there is the whole stack. */
static __always_inline bool in_exec(struct task_struct *task) {
  struct pt_regs *user = (struct pt_regs *)bpf_task_pt_regs(task);
  return is_exec(syscall_number(user));
}

/* The walks, beside each other: before 6.13 a kernel adds up the frames of a chain of calls, and
 * 512 bytes is all that there is (tests/kernels/stack_depth.c). stack.tgid is set. */
static __noinline void walk_native_part(struct scratch *scratch, struct process_info *process,
                                        struct user_registers *user, struct task_struct *remote,
                                        __u32 kind) {
  walk_native(scratch, process, user, scratch->stack.tgid, remote, kind);
}

static __noinline void walk_python_part(struct scratch *scratch, struct process_info *process,
                                        struct task_struct *task, struct task_struct *remote,
                                        __u32 kind) {
  walk_python(scratch, process, task, scratch->stack.tgid, remote, kind);
}

/* Walks native and Python frames behind the kernel frames that are in `scratch` already. Returns
 * the stack's id, 0 when it was lost. */
static __always_inline __u64 collect_stack(struct scratch *scratch, struct process_info *process,
                                           struct task_struct *task, struct user_registers *user,
                                           __u32 tgid, struct task_struct *remote, __u32 kind) {
  struct event_stack *stack = &scratch->stack;
  stack->native_count = 0;
  stack->python_count = 0;
  stack->native_end = WALK_NONE;
  stack->raw = 0;
  stack->tgid = tgid;
  scratch->window.bytes = 0;
  stack->python_end = WALK_NONE;
  stack->id = hash_step(hash_step(tgid, process->generation), stack->kernel_count);
  if (stack->kernel_count)
    bpf_loop(stack->kernel_count, hash_kernel_frame, &stack, 0);
  if (!BPF_CORE_READ(task, mm)) { /* exiting: there is no user side any more */
    stack->native_end = WALK_ROOT;
    return publish_stack(scratch, process);
  }
  walk_native_part(scratch, process, user, remote, kind);
  if (stack->native_end != WALK_ROOT && in_exec(task)) {
    stack->native_count = 0;
    stack->native_end = WALK_ROOT;
  } else if (process->python)
    walk_python_part(scratch, process, task, remote, kind);
  if (stack->id <= STACK_NOT_TAKEN)
    stack->id += STACK_NOT_TAKEN + 1;
  return publish_stack(scratch, process);
}

#endif
