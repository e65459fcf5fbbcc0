/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Differences between kernels, each with the version that made it. */
#ifndef RAGPROF_BPF_KERNEL_H
#define RAGPROF_BPF_KERNEL_H

#include "arch.h"

#define TASK_STOPPED_OR_TRACED 0xc
#define TASK_FROZEN_STATE 0x8000 /* 6.1: the freezer got a state of its own */
#define TASK_DEAD_STATE 0x80

#define PF_KTHREAD 0x00200000
#define PF_EXITING 0x00000004

#define SIGNAL_GROUP_EXIT 0x00000004

#define MAX_ERRNO 4095

/* Linux 5.14 renamed task_struct.state to __state. */
struct task_struct___before_5_14 {
  volatile long state;
} __attribute__((preserve_access_index));

static __always_inline __u32 task_state(struct task_struct *task) {
  if (bpf_core_field_exists(task->__state))
    return BPF_CORE_READ(task, __state);
  struct task_struct___before_5_14 *old = (void *)task;
  return (__u32)BPF_CORE_READ(old, state);
}

/* The thread that wakes another one up from its wait; 0 on the interrupt side. The preemption
 * counter would tell exactly, but as a per-CPU variable it is out of reach where kallsyms leaves it
 * out; so: a thread wakes another one from within a system call, and a futex only from those that
 * can. An interrupt that hits a thread in user mode is told apart that way; one that hits it in a
 * system call is not, but for futexes. */
static __always_inline __u32 acting_thread(bool is_futex) {
  struct task_struct *task = bpf_get_current_task_btf();
  if (task->flags & PF_KTHREAD)
    return 0;
  __u64 number = syscall_number((struct pt_regs *)bpf_task_pt_regs(task));
  if ((__s64)number == NO_SYSCALL || (is_futex && !can_wake_futex(number)))
    return 0;
  return task->pid;
}

#endif
