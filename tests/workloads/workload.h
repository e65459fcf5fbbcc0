/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the workloads with known answers share: clocks, a calibrated-by-clock busy loop, and the
 * duration argument. Header-only, so that each workload stays one program of one file. */
#ifndef RAGPROF_TESTS_WORKLOAD_H
#define RAGPROF_TESTS_WORKLOAD_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NOINLINE __attribute__((noinline, noclone))
/* Ends a function whose last call must not become a jump: the frame has to stay on the stack. */
#define KEEP_FRAME() __asm__ volatile("" ::: "memory")

static inline uint64_t clock_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline uint64_t wall_ns(void) {
  return clock_ns(CLOCK_MONOTONIC);
}

static inline uint64_t thread_cpu_ns(void) {
  return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* About 20 µs of arithmetic that the compiler cannot remove: the step between two looks at the
 * clock, so that the clock's own cost stays under two percent. Inlined: the time belongs to the
 * caller. */
static inline __attribute__((always_inline)) void spin(void) {
  for (unsigned i = 0; i < 40000; i++)
    __asm__ volatile("" : : "r"(i));
}

/* The first argument in seconds, or `fallback`. */
static inline double duration_argument_s(int argc, char **argv, double fallback) {
  return argc > 1 ? atof(argv[1]) : fallback;
}

#endif
