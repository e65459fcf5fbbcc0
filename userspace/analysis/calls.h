/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The calls that the shim timed: sums by name over all processes, and the slow ones by stack. */
#ifndef RAGPROF_ANALYSIS_CALLS_H
#define RAGPROF_ANALYSIS_CALLS_H

#include <stdint.h>

#include "analysis/stacks.h"
#include "model/profile.h"

struct call_sum {
  const char *name;
  uint64_t count;
  uint64_t errors;
  uint64_t bytes;
  uint64_t total_ns;
  uint64_t max_ns;
  uint64_t p50_ns; /* percentiles to a sixteenth: the middle of their bucket */
  uint64_t p95_ns;
  uint64_t p99_ns;
};

/* Slow calls of one name at one stack. */
struct call_slow {
  const char *name;
  uint32_t node; /* of the profile: that of the longest */
  uint64_t count;
  uint64_t errors;
  uint64_t bytes;
  uint64_t total_ns;
  uint64_t max_ns;
  uint64_t max_time_ns; /* when the longest began */
};

struct calls {
  struct call_sum *sums; /* by time */
  uint32_t sum_count;
  struct call_slow *slow; /* by time */
  uint32_t slow_count;
};

/* 0 or -ENOMEM; fini either way. */
int calls_build(struct calls *calls, const struct profile *profile, const struct stacks *stacks);
void calls_fini(struct calls *calls);

/* The duration below which `share` (0 to 1) of the durations lie, at most max_ns; 0 of nothing. */
uint64_t calls_percentile_ns(const uint64_t buckets[TRACE_BUCKETS], double share, uint64_t max_ns);
/* The middle of a bucket's durations. */
uint64_t calls_bucket_middle_ns(uint32_t bucket);

#endif
