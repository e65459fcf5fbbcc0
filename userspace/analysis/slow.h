/* SPDX-License-Identifier: GPL-2.0-or-later */
/* System calls that took over a millisecond, by name, what they were done to, and stack. */
#ifndef RAGPROF_ANALYSIS_SLOW_H
#define RAGPROF_ANALYSIS_SLOW_H

#include <stdint.h>

#include "analysis/stacks.h"
#include "model/profile.h"

struct slow_row {
  const char *name;
  uint32_t object; /* index, or PROFILE_NONE */
  uint32_t node;   /* of the profile: that of the longest */
  uint64_t count;
  uint64_t errors;
  uint64_t total_ns;
  uint64_t max_ns;
  uint64_t max_time_ns; /* when the longest began */
};

struct slow {
  struct slow_row *rows; /* by time */
  uint32_t count;
};

/* 0 or -ENOMEM; fini either way. */
int slow_build(struct slow *slow, const struct profile *profile, const struct stacks *stacks);
void slow_fini(struct slow *slow);

#endif
