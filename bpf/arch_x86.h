/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is particular to x86-64: registers, system call numbers, glibc's thread layout. Another
 * machine gets a header with the same names; the meaning of unwind rows is in unwind_row.h. */
#ifndef RAGPROF_BPF_ARCH_X86_H
#define RAGPROF_BPF_ARCH_X86_H

#include "reasons.h"

struct user_registers {
  __u64 ip;
  __u64 sp;
  __u64 bp;
};

static __always_inline struct user_registers user_registers_of(const struct pt_regs *from) {
  return (struct user_registers){from->ip, from->sp, from->bp};
}

static __always_inline void copy_registers(__u64 *to, const struct pt_regs *from) {
  /* DWARF numbers of the x86-64 psABI */
  to[0] = from->ax;
  to[1] = from->dx;
  to[2] = from->cx;
  to[3] = from->bx;
  to[4] = from->si;
  to[5] = from->di;
  to[6] = from->bp;
  to[7] = from->sp;
  to[8] = from->r8;
  to[9] = from->r9;
  to[10] = from->r10;
  to[11] = from->r11;
  to[12] = from->r12;
  to[13] = from->r13;
  to[14] = from->r14;
  to[15] = from->r15;
}

static __always_inline bool is_kernel_address(__u64 address) {
  return (__s64)address < 0;
}

/* The instruction that a thread in a system call stands behind: 0f 05. */
#define SYSCALL_CODE 0x050f

#define NO_SYSCALL (-1ll) /* an exception or an interrupt */

static __always_inline __u64 syscall_number(const struct pt_regs *user) {
  return user->orig_ax;
}

static __always_inline __u64 syscall_argument_1(const struct pt_regs *user) {
  return user->di;
}

static __always_inline __u64 syscall_argument_2(const struct pt_regs *user) {
  return user->si;
}

static __always_inline __u64 syscall_argument_3(const struct pt_regs *user) {
  return user->dx;
}

static __always_inline __u64 syscall_argument_4(const struct pt_regs *user) {
  return user->r10;
}

static __always_inline __u64 syscall_argument_5(const struct pt_regs *user) {
  return user->r8;
}

static __always_inline __u64 syscall_argument_6(const struct pt_regs *user) {
  return user->r9;
}

/* rt_sigreturn: what it returns to is another place than what it was called from. */
static __always_inline bool is_signal_return(__u64 number) {
  return number == 15;
}

static __always_inline bool is_exec(__u64 number) {
  return number == 59 || number == 322; /* execve, execveat */
}

/* futex, futex_wake, futex_requeue; exit and exit_group, which wake joiners */
static __always_inline bool can_wake_futex(__u64 number) {
  return number == 202 || number == 454 || number == 456 || number == 60 || number == 231;
}

/* The call that is given no operation. */
static __always_inline bool is_futex_wait(__u64 number) {
  return number == 455;
}

static __always_inline __u64 thread_pointer(struct task_struct *task) {
  return BPF_CORE_READ(task, thread.fsbase);
}

/* glibc's struct pthread (nptl/descr.h): specific_1stblock (32 pairs {seq, data}) at 0x310 from the
 * thread pointer, the array of pointers to further blocks at 0x510. */
#define PTHREAD_FIRST_BLOCK 0x310
#define PTHREAD_BLOCKS 0x510
#define PTHREAD_TID 0x2d0 /* tid, an int */

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

/* What a system call does with the descriptor in its first argument, and what its result counts. */
static const __u8 io_by_syscall[SYSCALLS_MAX] = {
    [0] = IO_READ,           /* read */
    [17] = IO_READ,          /* pread64 */
    [19] = IO_READ,          /* readv */
    [295] = IO_READ,         /* preadv */
    [327] = IO_READ,         /* preadv2 */
    [78] = IO_FD,            /* getdents */
    [217] = IO_FD,           /* getdents64 */
    [1] = IO_WRITE,          /* write */
    [18] = IO_WRITE,         /* pwrite64 */
    [20] = IO_WRITE,         /* writev */
    [296] = IO_WRITE,        /* pwritev */
    [328] = IO_WRITE,        /* pwritev2 */
    [40] = IO_SENDFILE,      /* sendfile */
    [275] = IO_SPLICE,       /* splice */
    [326] = IO_SPLICE,       /* copy_file_range */
    [9] = IO_MMAP,           /* mmap */
    [44] = IO_WRITE,         /* sendto */
    [46] = IO_WRITE,         /* sendmsg */
    [45] = IO_READ,          /* recvfrom */
    [47] = IO_READ,          /* recvmsg */
    [299] = IO_RECEIVE_MANY, /* recvmmsg */
    [307] = IO_SEND_MANY,    /* sendmmsg */
    [74] = IO_SYNC,          /* fsync */
    [75] = IO_SYNC,          /* fdatasync */
    [277] = IO_SYNC,         /* sync_file_range */
    [306] = IO_FD,           /* syncfs */
    [2] = IO_OPEN,           /* open */
    [85] = IO_OPEN,          /* creat */
    [257] = IO_OPEN,         /* openat */
    [437] = IO_OPEN,         /* openat2 */
    [42] = IO_CONNECT,
    [43] = IO_ACCEPT,  /* accept */
    [288] = IO_ACCEPT, /* accept4 */
    [3] = IO_CLOSE,    /* close */
    [5] = IO_FD,       /* fstat */
    [8] = IO_FD,       /* lseek */
    [16] = IO_FD,      /* ioctl */
    [49] = IO_FD,      /* bind */
    [50] = IO_FD,      /* listen */
    [54] = IO_FD,      /* setsockopt */
    [72] = IO_FD,      /* fcntl */
    [73] = IO_FD,      /* flock */
    [77] = IO_FD,      /* ftruncate */
    [187] = IO_FD,     /* readahead */
    [221] = IO_FD,     /* fadvise64 */
    [232] = IO_FD,     /* epoll_wait */
    [281] = IO_FD,     /* epoll_pwait */
    [441] = IO_FD,     /* epoll_pwait2 */
    [285] = IO_FD,     /* fallocate */
};

static const __u8 message_by_syscall[SYSCALLS_MAX] = {
    [0] = MESSAGE_PLAIN,     /* read */
    [1] = MESSAGE_PLAIN,     /* write */
    [19] = MESSAGE_VECTOR,   /* readv */
    [20] = MESSAGE_VECTOR,   /* writev */
    [44] = MESSAGE_TO,       /* sendto */
    [45] = MESSAGE_FROM,     /* recvfrom */
    [46] = MESSAGE_HEADER,   /* sendmsg */
    [47] = MESSAGE_HEADER,   /* recvmsg */
    [299] = MESSAGE_HEADERS, /* recvmmsg */
    [307] = MESSAGE_HEADERS, /* sendmmsg */
};

/* Calls that change what is mapped. */
static const __u8 mapping_by_syscall[SYSCALLS_MAX] = {
    [9] = MAPPING_MMAP, [11] = MAPPING_MUNMAP, [12] = MAPPING_BRK, [25] = MAPPING_MREMAP};

#endif
