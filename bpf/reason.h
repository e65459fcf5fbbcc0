/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why a thread leaves the CPU: from its state, the system call that it is in, and its arguments. */
#ifndef RAGPROF_BPF_REASON_H
#define RAGPROF_BPF_REASON_H

#include "kernel.h"
#include "reasons.h"

#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFREG 0100000
#define S_IFBLK 0060000
#define S_IFIFO 0010000

static __always_inline __u32 reason_by_file(struct task_struct *task, __u64 fd) {
  struct fdtable *table = BPF_CORE_READ(task, files, fdt);
  if (!table || fd >= BPF_CORE_READ(table, max_fds))
    return REASON_UNKNOWN;
  struct file **files = BPF_CORE_READ(table, fd);
  struct file *file = NULL;
  bpf_probe_read_kernel(&file, sizeof(file), files + fd);
  if (!file)
    return REASON_UNKNOWN;
  switch (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) {
  case S_IFSOCK:
    return REASON_SOCKET;
  case S_IFIFO:
    return REASON_PIPE;
  case S_IFREG:
  case S_IFBLK:
    return REASON_DISK;
  }
  return REASON_UNKNOWN;
}

/* The GIL's mutex and condition lie in _PyRuntime: in ceval.gil up to 3.11, in the main
 * interpreter, which is a member, from 3.12 on. */
static __always_inline __u32 reason_by_futex(const struct process_info *process, __u64 address) {
  return address >= process->python_runtime && address < process->python_runtime_end ? REASON_GIL
                                                                                     : REASON_FUTEX;
}

static __always_inline __u32 find_reason(struct task_struct *task,
                                         const struct process_info *process, __u32 state) {
  if (!state)
    return REASON_RUN_QUEUE;
  if (state & (TASK_STOPPED_OR_TRACED | TASK_FROZEN_STATE))
    return REASON_STOPPED;
  struct pt_regs *user = (struct pt_regs *)bpf_task_pt_regs(task);
  __u64 number = syscall_number(user);
  if ((__s64)number == NO_SYSCALL) /* no system call: an exception, and only a page fault sleeps */
    return REASON_PAGE_FAULT;
  __u32 reason = number < SYSCALLS_MAX ? reason_by_syscall[number & (SYSCALLS_MAX - 1)] : 0;
  switch (reason) {
  case LOOK_AT_FD:
    reason = reason_by_file(task, syscall_argument_1(user));
    break;
  case LOOK_AT_FUTEX:
    reason = reason_by_futex(process, syscall_argument_1(user));
    break;
  case LOOK_AT_COUNT_1:
    reason = syscall_argument_1(user) ? REASON_SOCKET : REASON_TIMER;
    break;
  case LOOK_AT_COUNT_2:
    reason = syscall_argument_2(user) ? REASON_SOCKET : REASON_TIMER;
    break;
  }
  if (reason == REASON_UNKNOWN && BPF_CORE_READ_BITFIELD_PROBED(task, in_iowait))
    reason = REASON_DISK;
  return reason;
}

#endif
