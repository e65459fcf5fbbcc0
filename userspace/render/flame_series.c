/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the series below the timeline: counts become amounts by bucket of time, so that they add up
 * to what was counted, and levels stay levels. */
#include "render/flame_series.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "render/flame_tracks.h"

#define ENTRIES_MAX 60000           /* of all series; more are put in larger buckets */
#define CLOCK_NS (3 * NS_PER_S / 2) /* sums are written about once a second, when they changed */
#define UNTHINNED_POINTS 64

/* Where a series comes from: operations by class and name, or else points. `class` 0: points only.
 */
static const struct source {
  enum operation_class class;
  const char *name;
  enum point_metric metric; /* POINT_METRICS: none */
  bool is_bytes;            /* of operations: what they moved, not how many they were */
  bool is_level;
} sources[SERIES_KINDS] = {
    [SERIES_MINOR_FAULTS] = {OPERATION_FAULT, "minor", POINT_MINOR_FAULTS, false, false},
    [SERIES_MAJOR_FAULTS] = {OPERATION_FAULT, "major", POINT_MAJOR_FAULTS, false, false},
    [SERIES_FILE_READ] = {OPERATION_FILE, "read", POINT_METRICS, true, false},
    [SERIES_FILE_WRITE] = {OPERATION_FILE, "write", POINT_METRICS, true, false},
    [SERIES_SOCKET_RECEIVE] = {OPERATION_SOCKET, "receive", POINT_METRICS, true, false},
    [SERIES_SOCKET_SEND] = {OPERATION_SOCKET, "send", POINT_METRICS, true, false},
    [SERIES_DEVICE_READ] = {0, NULL, POINT_READ_BYTES, false, false},
    [SERIES_DEVICE_WRITE] = {0, NULL, POINT_WRITE_BYTES, false, false},
    [SERIES_THROTTLED] = {0, NULL, POINT_CPU_THROTTLED_NS, false, false},
    [SERIES_RUNNABLE] = {0, NULL, POINT_HOST_RUNNABLE, false, true},
    [SERIES_DESCRIPTORS] = {0, NULL, POINT_DESCRIPTORS, false, true},
    [SERIES_THREADS] = {0, NULL, POINT_THREADS, false, true},
};

/* An amount within (from, to], or a level at `to`. */
struct piece {
  uint64_t from_ns;
  uint64_t to_ns;
  uint64_t value;
  uint32_t series;
  uint32_t process; /* index + 1; 0: the host */
};

struct pieces {
  const struct profile *profile;
  struct piece *items;
  size_t count;
  struct before *before; /* by process + 1 and metric, while points are read */
};

struct before {
  uint64_t time_ns;
  uint64_t value;
  bool is_known;
};

static void add(struct pieces *pieces, uint32_t series, uint32_t process, uint64_t from_ns,
                uint64_t to_ns, uint64_t value) {
  if (value || sources[series].is_level)
    pieces->items[pieces->count++] = (struct piece){from_ns, to_ns, value, series, process};
}

/* ---- operations ---- */

/* For how long before a point its amount was gathered at most: where sums were thinned, that is
 * their distance. */
static uint64_t reach_ns(const struct trace_operation_sum *points, size_t count) {
  if (count < UNTHINNED_POINTS)
    return CLOCK_NS;
  uint64_t mean_ns = (points[count - 1].time_ns - points[0].time_ns) / (count - 1);
  return mean_ns > CLOCK_NS ? mean_ns : CLOCK_NS;
}

static void add_operation(struct pieces *pieces, const struct profile_operation *operation,
                          uint32_t series) {
  const struct profile *profile = pieces->profile;
  const struct trace_operation_sum *points = &profile->operation_points[operation->point_first];
  uint64_t reach = reach_ns(points, operation->point_count);
  uint64_t before_ns = profile->processes[operation->process].start_ns;
  uint64_t before = 0;
  for (size_t i = 0; i < operation->point_count; i++) {
    uint64_t value = sources[series].is_bytes ? points[i].bytes : points[i].count;
    uint64_t time_ns = points[i].time_ns;
    uint64_t earliest_ns = time_ns > reach ? time_ns - reach : 0;
    if (before_ns > time_ns)
      before_ns = time_ns;
    if (value > before)
      add(pieces, series, operation->process + 1, before_ns > earliest_ns ? before_ns : earliest_ns,
          time_ns, value - before);
    before = value;
    before_ns = time_ns;
  }
}

static bool fits(const struct source *source, const struct profile_operation *operation) {
  return source->class && source->class == operation->class &&
         !strcmp(source->name, operation->name);
}

static void add_operations(struct pieces *pieces, bool has_operations[SERIES_KINDS]) {
  const struct profile *profile = pieces->profile;
  for (uint32_t i = 0; i < profile->operation_count; i++)
    for (uint32_t series = 0; series < SERIES_KINDS; series++)
      if (fits(&sources[series], &profile->operations[i])) {
        has_operations[series] = true;
        add_operation(pieces, &profile->operations[i], series);
      }
}

/* ---- points ---- */

static void add_point(struct pieces *pieces, const struct profile_point *point, uint32_t series) {
  const struct profile *profile = pieces->profile;
  uint32_t process = point->process < profile->process_count ? point->process + 1 : 0;
  struct before *before = &pieces->before[(size_t)process * SERIES_KINDS + series];
  if (!before->is_known && process && profile->processes[process - 1].start_ns)
    *before =
        (struct before){.time_ns = profile->processes[process - 1].start_ns, .is_known = true};
  if (sources[series].is_level)
    add(pieces, series, process, point->time_ns, point->time_ns, point->value);
  else if (before->is_known && point->value > before->value)
    add(pieces, series, process,
        before->time_ns < point->time_ns ? before->time_ns : point->time_ns, point->time_ns,
        point->value - before->value);
  *before = (struct before){point->time_ns, point->value, true};
}

static void add_points(struct pieces *pieces, const bool has_operations[SERIES_KINDS]) {
  const struct profile *profile = pieces->profile;
  for (size_t i = 0; i < profile->point_count; i++)
    for (uint32_t series = 0; series < SERIES_KINDS; series++)
      if (sources[series].metric == profile->points[i].metric && !has_operations[series])
        add_point(pieces, &profile->points[i], series);
}

/* ---- buckets ---- */

static int by_series(const void *a, const void *b) {
  const struct piece *left = a, *right = b;
  if (left->series != right->series)
    return left->series < right->series ? -1 : 1;
  if (left->process != right->process)
    return left->process < right->process ? -1 : 1;
  return (left->to_ns > right->to_ns) - (left->to_ns < right->to_ns);
}

static bool is_same(const struct piece *left, const struct piece *right) {
  return left->series == right->series && left->process == right->process;
}

struct groups {
  uint64_t group_ns;
  uint32_t count;
  uint64_t *values;
  bool *is_set;
};

static uint32_t group_of(const struct groups *groups, uint64_t time_ns) {
  uint64_t group = time_ns / groups->group_ns;
  return group < groups->count ? (uint32_t)group : groups->count - 1;
}

/* Spreads an amount evenly, so that its parts add up to it. */
static void spread(struct groups *groups, const struct piece *piece) {
  uint32_t first = group_of(groups, piece->from_ns);
  uint32_t last = group_of(groups, piece->to_ns > piece->from_ns ? piece->to_ns - 1 : piece->to_ns);
  uint64_t given = 0;
  for (uint32_t group = first; group <= last; group++) {
    uint64_t until = piece->value;
    if (group < last)
      until = (uint64_t)((unsigned __int128)piece->value *
                         ((group + 1) * groups->group_ns - piece->from_ns) /
                         (piece->to_ns - piece->from_ns));
    groups->values[group] += until - given;
    groups->is_set[group] |= until > given;
    given = until;
  }
}

static void put_series(struct buf *buf, const struct piece *first, size_t count,
                       struct groups *groups) {
  memset(groups->values, 0, groups->count * sizeof(groups->values[0]));
  memset(groups->is_set, 0, groups->count * sizeof(groups->is_set[0]));
  for (size_t i = 0; i < count; i++) {
    uint32_t group = group_of(groups, first[i].to_ns);
    if (!sources[first->series].is_level) {
      spread(groups, &first[i]);
      continue;
    }
    groups->values[group] = first[i].value;
    groups->is_set[group] = true;
  }
  uint32_t entries = 0, before = 0;
  for (uint32_t i = 0; i < groups->count; i++)
    entries += groups->is_set[i];
  buf_put_varint(buf, first->series);
  buf_put_varint(buf, first->process);
  buf_put_varint(buf, entries);
  for (uint32_t i = 0; i < groups->count; i++) {
    if (!groups->is_set[i])
      continue;
    buf_put_varint(buf, i - before);
    buf_put_varint(buf, groups->values[i]);
    before = i;
  }
}

static int put_all(struct buf *buf, const struct pieces *pieces, uint64_t bucket_ns,
                   uint32_t bucket_count) {
  uint64_t series = 0;
  for (size_t i = 0; i < pieces->count; i++)
    series += i == 0 || !is_same(&pieces->items[i - 1], &pieces->items[i]);
  uint32_t step = (uint32_t)(series * bucket_count / ENTRIES_MAX) + 1;
  struct groups groups = {.group_ns = step * bucket_ns, .count = (bucket_count + step - 1) / step};
  groups.values = calloc(groups.count + 1ull, sizeof(*groups.values));
  groups.is_set = calloc(groups.count + 1ull, sizeof(*groups.is_set));
  bool is_ready = groups.values && groups.is_set;
  buf_put_varint(buf, step);
  buf_put_varint(buf, series);
  for (size_t first = 0, i = 1; is_ready && i <= pieces->count; i++) {
    if (i < pieces->count && is_same(&pieces->items[first], &pieces->items[i]))
      continue;
    put_series(buf, &pieces->items[first], i - first, &groups);
    first = i;
  }
  free(groups.values);
  free(groups.is_set);
  return is_ready ? 0 : -ENOMEM;
}

int flame_series_put(struct buf *buf, const struct profile *profile, uint64_t bucket_ns,
                     uint32_t bucket_count) {
  struct pieces pieces = {.profile = profile};
  bool has_operations[SERIES_KINDS] = {false};
  pieces.items =
      calloc(profile->operation_point_count + profile->point_count + 1, sizeof(*pieces.items));
  pieces.before =
      calloc(((size_t)profile->process_count + 1) * SERIES_KINDS, sizeof(*pieces.before));
  int rc = pieces.items && pieces.before ? 0 : -ENOMEM;
  if (!rc) {
    add_operations(&pieces, has_operations);
    add_points(&pieces, has_operations);
    qsort(pieces.items, pieces.count, sizeof(*pieces.items), by_series);
    rc = put_all(buf, &pieces, bucket_ns, bucket_count);
  }
  free(pieces.items);
  free(pieces.before);
  return rc;
}
