/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The course of each metric of a process or of the host: its ends, its highest, and what it rose
 * by. */
#ifndef RAGPROF_ANALYSIS_POINTS_H
#define RAGPROF_ANALYSIS_POINTS_H

#include <stdint.h>

#include "model/profile.h"

struct course {
  uint64_t count; /* of points; 0: the metric is not known */
  uint64_t first;
  uint64_t last;
  uint64_t max;
};

struct points {
  const struct profile *profile;
  struct course *courses; /* by process, the host last; then by metric */
};

/* 0 or -ENOMEM; fini either way. */
int points_build(struct points *points, const struct profile *profile);
void points_fini(struct points *points);

/* Of a process, or of the host (PROFILE_NONE). */
const struct course *points_course(const struct points *points, uint32_t process,
                                   enum point_metric metric);
/* What a count of a process came to in the capture: all of it, when the process began in it. */
uint64_t points_rise(const struct points *points, uint32_t process, enum point_metric metric);
/* The same of a count that is not the process's own, but its cgroup's. */
uint64_t points_rise_seen(const struct points *points, uint32_t process, enum point_metric metric);

#endif
