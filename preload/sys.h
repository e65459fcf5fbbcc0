/* SPDX-License-Identifier: GPL-2.0-or-later */
/* System calls that touch neither errno nor libc, so that they work before libc is ready, in a
 * signal handler and between a target's call and its look at errno. */
#ifndef RAGPROF_PRELOAD_SYS_H
#define RAGPROF_PRELOAD_SYS_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>

/* The target has shut itself in (sandbox.c): calls fail with EPERM without being made. */
extern bool shim_sealed;

/* Returns the result or a negative errno. */
static inline long shim_syscall6(long number, long a, long b, long c, long d, long e, long f) {
  long result;

  if (__builtin_expect(shim_sealed, 0))
    return -EPERM;
#if defined(__x86_64__)
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;

  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
#else
#error "the shim is written for x86-64"
#endif
  return result;
}

/* shim_syscall(number, up to six arguments) */
#define SHIM_SYSCALL_LONGS(number, a, b, c, d, e, f, ...)                                          \
  (long)(number), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f)
#define SHIM_SYSCALL_PASS(...) shim_syscall6(__VA_ARGS__)
#define shim_syscall(...) SHIM_SYSCALL_PASS(SHIM_SYSCALL_LONGS(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0))

/* CLOCK_MONOTONIC, at the cost of a system call. */
static inline uint64_t shim_now_ns(void) {
  struct timespec now = {0};

  shim_syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#endif
