/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the reading of series of points. */
#include "analysis/points.h"

#include <errno.h>
#include <stdlib.h>

static struct course *course_at(const struct points *points, uint32_t process,
                                enum point_metric metric) {
  uint32_t row = process == PROFILE_NONE ? points->profile->process_count : process;
  return &points->courses[(size_t)row * POINT_METRICS + metric];
}

int points_build(struct points *points, const struct profile *profile) {
  size_t rows = profile->process_count + (size_t)1;
  *points = (struct points){.profile = profile};
  points->courses = calloc(rows * POINT_METRICS, sizeof(*points->courses));
  if (!points->courses)
    return -ENOMEM;
  for (size_t i = 0; i < profile->point_count; i++) {
    const struct profile_point *point = &profile->points[i];
    if ((unsigned)point->metric >= POINT_METRICS)
      continue;
    struct course *course = course_at(points, point->process, point->metric);
    if (!course->count++)
      course->first = point->value;
    course->last = point->value;
    course->max = point->value > course->max ? point->value : course->max;
  }
  return 0;
}

void points_fini(struct points *points) {
  free(points->courses);
  *points = (struct points){0};
}

const struct course *points_course(const struct points *points, uint32_t process,
                                   enum point_metric metric) {
  return course_at(points, process, metric);
}

uint64_t points_rise_seen(const struct points *points, uint32_t process, enum point_metric metric) {
  const struct course *course = course_at(points, process, metric);
  return course->last > course->first ? course->last - course->first : 0;
}

uint64_t points_rise(const struct points *points, uint32_t process, enum point_metric metric) {
  if (points->profile->processes[process].start_ns > 0)
    return course_at(points, process, metric)->last;
  return points_rise_seen(points, process, metric);
}
