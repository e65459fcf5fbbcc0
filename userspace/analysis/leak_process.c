/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the memory of whole processes moves: which part of its growth is live blocks, which the
 * allocator's, which neither; and when it meets a limit. */
#include "analysis/leak_process.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "analysis/leak_judge.h"
#include "base/error.h"

/* An allocator that keeps this much, and this share of what is resident, is worth a word. */
#define RETAINED_BYTES_MIN (16u << 20)
#define RETAINED_SHARE_MIN 0.25
#define POINTS_MAX 500u /* per process and quantity */

/* The memory points of one process, and room for a series over them. */
struct watched {
  const struct profile *profile;
  const uint32_t *points; /* indices, in order of time */
  uint32_t count;
  struct leak_point *series;
};

static bool has(const struct profile_memory_point *point, enum memory_metric metric) {
  return point->present >> metric & 1;
}

/* A quantity of a point in bytes; NaN when it was not read. */
typedef double quantity(const struct profile_memory_point *point);

static double value_of(const struct profile_memory_point *point, enum memory_metric metric) {
  return has(point, metric) ? (double)point->values[metric] : NAN;
}

static double rss_of(const struct profile_memory_point *point) {
  return value_of(point, MEMORY_RSS);
}

static double live_of(const struct profile_memory_point *point) {
  return value_of(point, MEMORY_HEAP_LIVE);
}

/* What malloc has from the kernel and has not handed out. */
static double retained_of(const struct profile_memory_point *point) {
  return value_of(point, MEMORY_MALLOC_ARENA) + value_of(point, MEMORY_MALLOC_MAPPED) -
         value_of(point, MEMORY_MALLOC_USED);
}

static double file_of(const struct profile_memory_point *point) {
  return value_of(point, MEMORY_FILE);
}

static double untouched_of(const struct profile_memory_point *point) {
  return value_of(point, MEMORY_VIRTUAL) - value_of(point, MEMORY_RSS);
}

/* The points at which a quantity is known, from a time on, as a series over seconds. */
static size_t put_series(const struct watched *watched, quantity *of, double from_s) {
  size_t put = 0;
  uint32_t stride = watched->count / POINTS_MAX + 1;
  for (uint32_t i = (watched->count - 1) % stride; i < watched->count; i += stride) {
    const struct profile_memory_point *point = &watched->profile->memory_points[watched->points[i]];
    double seconds = (double)point->time_ns / 1e9, value = of(point);
    if (isnan(value) || seconds < from_s || (put && seconds <= watched->series[put - 1].x))
      continue;
    watched->series[put++] = (struct leak_point){seconds, value};
  }
  return put;
}

/* NaN when it is not known. */
static double slope_of(const struct watched *watched, quantity *of, double from_s) {
  struct leak_slope slope;
  size_t count = put_series(watched, of, from_s);
  return count >= LEAK_POINTS_MIN && leak_slope_fit(&slope, watched->series, count) ? slope.value
                                                                                    : NAN;
}

/* ---- Growth ---------------------------------------------------------------------------------- */

static double or_zero(double value) {
  return isnan(value) ? 0 : value;
}

static void split_growth(struct leak_process *out, const struct watched *watched) {
  size_t count = put_series(watched, rss_of, 0);
  size_t warmup = leak_find_warmup(watched->series, count);
  double from_s = warmup < count ? watched->series[warmup].x : 0;
  count = put_series(watched, rss_of, from_s);
  out->has_rss = count >= LEAK_POINTS_MIN && leak_slope_fit(&out->rss, watched->series, count);
  double *growth = out->growth_bytes_per_s;
  growth[GROWTH_HEAP] = slope_of(watched, live_of, from_s);
  growth[GROWTH_RETAINED] = slope_of(watched, retained_of, from_s);
  growth[GROWTH_FILE] = slope_of(watched, file_of, from_s);
  growth[GROWTH_UNTOUCHED] = slope_of(watched, untouched_of, from_s);
  growth[GROWTH_OTHER] = out->has_rss && !isnan(growth[GROWTH_HEAP])
                             ? out->rss.value - growth[GROWTH_HEAP] -
                                   or_zero(growth[GROWTH_RETAINED]) - or_zero(growth[GROWTH_FILE])
                             : NAN;
}

/* Resident memory grows, or stays at its peak, because the allocator keeps what was given back. */
static bool is_retained(const struct leak_process *process, const struct watched *watched) {
  const struct profile_memory_point *last =
      &watched->profile->memory_points[watched->points[watched->count - 1]];
  double rss = value_of(last, MEMORY_RSS), kept = retained_of(last);
  double heap = or_zero(process->growth_bytes_per_s[GROWTH_HEAP]);
  double retained = or_zero(process->growth_bytes_per_s[GROWTH_RETAINED]);
  if (!(kept >= RETAINED_BYTES_MIN) || !(kept >= RETAINED_SHARE_MIN * rss))
    return false;
  bool is_growing = process->has_rss && process->rss.low > 0 && retained > heap;
  bool has_given_back = value_of(last, MEMORY_HEAP_LIVE) <= 0.8 * value_of(last, MEMORY_HEAP_PEAK);
  return is_growing || has_given_back;
}

/* ---- Limits ---------------------------------------------------------------------------------- */

/* The page cache of a cgroup gives way before anything is killed. */
static double room_in_cgroup(const struct profile_memory_point *point) {
  return value_of(point, MEMORY_CGROUP_LIMIT) - value_of(point, MEMORY_CGROUP_USED) +
         or_zero(value_of(point, MEMORY_CGROUP_CACHE));
}

static double seconds_at(double room, double slope) {
  return slope > 0 ? fmax(room, 0) / slope : INFINITY;
}

/* The limit that is met first. */
static void find_limit(struct leak_process *out, const struct profile_memory_point *last) {
  double in_cgroup = room_in_cgroup(last), on_host = value_of(last, MEMORY_HOST_AVAILABLE);
  double room = NAN;
  if (in_cgroup == in_cgroup && !(on_host < in_cgroup)) {
    out->limit_bytes = last->values[MEMORY_CGROUP_LIMIT];
    out->limit_name = "cgroup";
    room = in_cgroup;
  } else if (on_host == on_host) {
    double whole = on_host + or_zero(value_of(last, MEMORY_RSS));
    out->limit_bytes = whole < 0x1p64 ? (uint64_t)whole : UINT64_MAX;
    out->limit_name = "host memory";
    room = on_host;
  }
  out->seconds_to_limit = out->seconds_to_limit_low = INFINITY;
  if (!out->has_rss || isnan(room))
    return;
  out->seconds_to_limit = seconds_at(room, out->rss.value);
  out->seconds_to_limit_low = seconds_at(room, out->rss.high);
}

/* ---- The whole ------------------------------------------------------------------------------- */

static void analyse(struct leak_process *out, const struct watched *watched, uint32_t process) {
  *out = (struct leak_process){.process = process, .limit_name = ""};
  split_growth(out, watched);
  find_limit(out, &watched->profile->memory_points[watched->points[watched->count - 1]]);
  out->is_allocator_retained = is_retained(out, watched);
}

/* Fills `points` with the indices of memory points by process, in order of time; `starts` has a
 * place for each process, and one for the end. */
static void group_points(const struct profile *profile, uint32_t *points, uint32_t *starts) {
  for (size_t i = 0; i < profile->memory_point_count; i++)
    starts[profile->memory_points[i].process + 1]++;
  for (uint32_t i = 0; i < profile->process_count; i++)
    starts[i + 1] += starts[i];
  for (size_t i = profile->memory_point_count; i-- > 0;)
    points[--starts[profile->memory_points[i].process + 1]] = (uint32_t)i;
  /* starts[i + 1] is now where process i begins */
}

int leak_processes(struct leak_process **out, uint32_t *count, const struct profile *profile) {
  size_t point_count = profile->memory_point_count;
  if (point_count >= PROFILE_NONE)
    return error_set(E2BIG, "the trace holds too many records");
  uint32_t *points = calloc(point_count + 1, sizeof(*points));
  uint32_t *starts = calloc((size_t)profile->process_count + 2, sizeof(*starts));
  struct leak_point *series = calloc(2 * POINTS_MAX, sizeof(*series));
  *out = calloc((size_t)profile->process_count + 1, sizeof(**out));
  *count = 0;
  int error = points && starts && series && *out ? 0 : error_set(ENOMEM, "out of memory");
  if (!error)
    group_points(profile, points, starts);
  for (uint32_t i = 0; !error && i < profile->process_count; i++) {
    uint32_t first = starts[i + 1];
    uint32_t last = i + 1 < profile->process_count ? starts[i + 2] : (uint32_t)point_count;
    struct watched watched = {profile, points + first, last - first, series};
    if (watched.count)
      analyse(&(*out)[(*count)++], &watched, i);
  }
  free(points);
  free(starts);
  free(series);
  if (error) {
    free(*out);
    *out = NULL;
  }
  return error;
}
