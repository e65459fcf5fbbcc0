/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What threads waited for: by reason, by stack, and who woke them. The time between a wake-up and
 * the next run counts as run queue, not as the reason before it. */
#ifndef RAGPROF_ANALYSIS_WAITS_H
#define RAGPROF_ANALYSIS_WAITS_H

#include <stdint.h>

#include "analysis/stacks.h"
#include "model/profile.h"

/* A thread is parked at a stack when it lived for half of the capture, is not the only one of its
 * process, and spent nine tenths of its time there: a pool's idle worker, an acceptor. Such waits
 * are reported behind the others, whatever their length. */
#define PARKED_LIFE_PCT 50
#define PARKED_TIME_PCT 90

struct wait_sum {
  enum wait_reason reason;
  uint64_t total_ns;
  uint64_t parked_ns; /* the part of parked threads */
  uint64_t count;
  uint64_t max_ns; /* the longest; 0 when only sums are known */
};

struct wait_stack {
  struct wait_sum sum;
  uint32_t node;         /* of the profile: the stack, with the lines of most of its time */
  uint32_t thread_count; /* that waited here */
  uint32_t parked_count; /* of them */
};

/* Lock and GIL waits of one thread that ended by a wake-up from another. */
struct wait_wake {
  struct wait_sum sum;
  uint32_t thread;    /* that waited: index */
  uint32_t waker;     /* index, or PROFILE_NONE */
  uint32_t waker_tid; /* 0: unknown */
};

struct waits {
  uint64_t total_ns;
  struct wait_sum *reasons; /* those that occur, by time */
  uint32_t reason_count;
  struct wait_stack *stacks; /* by time that is not parked, then by time */
  uint32_t stack_count;
  struct wait_wake *wakes; /* by time; those of unknown wakers last */
  uint32_t wake_count;
};

/* `stacks` is that of the profile's hotspots. 0 or -ENOMEM; fini either way. */
int waits_build(struct waits *waits, const struct profile *profile, const struct stacks *stacks);
void waits_fini(struct waits *waits);

#endif
