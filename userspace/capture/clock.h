/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The time by which a capture runs. */
#ifndef RAGPROF_CAPTURE_CLOCK_H
#define RAGPROF_CAPTURE_CLOCK_H

#include <stdint.h>
#include <time.h>

#include "base/units.h"

static inline uint64_t clock_read_ns(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

/* CLOCK_MONOTONIC, as all times of a capture. */
static inline uint64_t clock_now_ns(void) {
  return clock_read_ns(CLOCK_MONOTONIC);
}

/* The CPU time of this thread: what something cost us, whoever else ran meanwhile. */
static inline uint64_t clock_cost_ns(void) {
  return clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
}

#endif
