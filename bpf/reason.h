/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why a thread leaves the CPU: from its state, the system call that it is in, and its arguments. */
#ifndef RAGPROF_BPF_REASON_H
#define RAGPROF_BPF_REASON_H

#include "kernel.h"

/* enum wait_reason of userspace/trace/trace.h, which cannot be included here. */
enum {
  REASON_UNKNOWN = 0,
  REASON_DISK = 1,
  REASON_FUTEX = 2,
  REASON_GIL = 3,
  REASON_SOCKET = 4,
  REASON_TIMER = 5,
  REASON_PAGE_FAULT = 6,
  REASON_RUN_QUEUE = 7,
  REASON_PIPE = 8,
  REASON_CHILD = 9,
  REASON_SIGNAL = 10,
  REASON_STOPPED = 11,
};

#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFREG 0100000
#define S_IFBLK 0060000
#define S_IFIFO 0010000

/* Not reasons: the system call has to be looked at more closely. */
#define LOOK_AT_FD 100      /* by the kind of file in the first argument */
#define LOOK_AT_FUTEX 101   /* by the address in the first argument */
#define LOOK_AT_COUNT_1 102 /* select: with no descriptors it is a sleep */
#define LOOK_AT_COUNT_2 103 /* poll: the number of descriptors is the second argument */

#define SYSCALLS_MAX 512

/* By system call number (arch/x86/entry/syscalls/syscall_64.tbl). */
static const __u8 reason_by_syscall[SYSCALLS_MAX] = {
    [0] = LOOK_AT_FD,   /* read */
    [1] = LOOK_AT_FD,   /* write */
    [17] = LOOK_AT_FD,  /* pread64 */
    [18] = LOOK_AT_FD,  /* pwrite64 */
    [19] = LOOK_AT_FD,  /* readv */
    [20] = LOOK_AT_FD,  /* writev */
    [40] = LOOK_AT_FD,  /* sendfile */
    [275] = LOOK_AT_FD, /* splice */
    [295] = LOOK_AT_FD, /* preadv */
    [296] = LOOK_AT_FD, /* pwritev */
    [327] = LOOK_AT_FD, /* preadv2 */
    [328] = LOOK_AT_FD, /* pwritev2 */

    [202] = LOOK_AT_FUTEX, /* futex */
    [449] = REASON_FUTEX,  /* futex_waitv */
    [455] = LOOK_AT_FUTEX, /* futex_wait */

    [7] = LOOK_AT_COUNT_2,   /* poll */
    [271] = LOOK_AT_COUNT_2, /* ppoll */
    [23] = LOOK_AT_COUNT_1,  /* select */
    [270] = LOOK_AT_COUNT_1, /* pselect6 */
    [232] = REASON_SOCKET,   /* epoll_wait */
    [281] = REASON_SOCKET,   /* epoll_pwait */
    [441] = REASON_SOCKET,   /* epoll_pwait2 */
    [42] = REASON_SOCKET,    /* connect */
    [43] = REASON_SOCKET,    /* accept */
    [44] = REASON_SOCKET,    /* sendto */
    [45] = REASON_SOCKET,    /* recvfrom */
    [46] = REASON_SOCKET,    /* sendmsg */
    [47] = REASON_SOCKET,    /* recvmsg */
    [288] = REASON_SOCKET,   /* accept4 */
    [299] = REASON_SOCKET,   /* recvmmsg */
    [307] = REASON_SOCKET,   /* sendmmsg */

    [35] = REASON_TIMER,  /* nanosleep */
    [230] = REASON_TIMER, /* clock_nanosleep */

    [26] = REASON_DISK,  /* msync */
    [74] = REASON_DISK,  /* fsync */
    [75] = REASON_DISK,  /* fdatasync */
    [162] = REASON_DISK, /* sync */
    [277] = REASON_DISK, /* sync_file_range */
    [306] = REASON_DISK, /* syncfs */
    [208] = REASON_DISK, /* io_getevents */

    [61] = REASON_CHILD,  /* wait4 */
    [247] = REASON_CHILD, /* waitid */
    [58] = REASON_CHILD,  /* vfork: until the child execs */

    [34] = REASON_SIGNAL,  /* pause */
    [128] = REASON_SIGNAL, /* rt_sigtimedwait */
    [130] = REASON_SIGNAL, /* rt_sigsuspend */
};

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
  __u64 number = user->orig_ax;
  if ((__s64)number == -1) /* no system call: an exception, and only a page fault sleeps */
    return REASON_PAGE_FAULT;
  __u32 reason = number < SYSCALLS_MAX ? reason_by_syscall[number & (SYSCALLS_MAX - 1)] : 0;
  switch (reason) {
  case LOOK_AT_FD:
    reason = reason_by_file(task, user->di);
    break;
  case LOOK_AT_FUTEX:
    reason = reason_by_futex(process, user->di);
    break;
  case LOOK_AT_COUNT_1:
    reason = user->di ? REASON_SOCKET : REASON_TIMER;
    break;
  case LOOK_AT_COUNT_2:
    reason = user->si ? REASON_SOCKET : REASON_TIMER;
    break;
  }
  if (reason == REASON_UNKNOWN && BPF_CORE_READ_BITFIELD_PROBED(task, in_iowait))
    reason = REASON_DISK;
  return reason;
}

#endif
