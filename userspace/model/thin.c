/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keeps the points of many series within bounds, however long the capture was. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "model/load.h"

/* Spans once points are thinned: from 0.13 s to all the time that a reader lets through. */
#define SPAN_BITS_MIN 27
#define SPAN_BITS_MAX 54

void thinned_fini(struct thinned *thinned) {
  buf_fini(&thinned->points);
  buf_fini(&thinned->series);
}

int thinned_add_series(struct thinned *thinned) {
  struct thinned_series empty = {0};
  return loader_push(&thinned->series, &empty, sizeof(empty));
}

size_t thinned_count(const struct thinned *thinned) {
  return thinned->points.length / thinned->point_bytes;
}

const struct thinned_series *thinned_series(const struct thinned *thinned, uint32_t index) {
  return (const struct thinned_series *)thinned->series.data + index;
}

static struct thinned_series *series_of(struct thinned *thinned, const void *point) {
  uint32_t index;
  memcpy(&index, (const uint8_t *)point + thinned->series_offset, sizeof(index));
  return (struct thinned_series *)thinned->series.data + index;
}

static uint8_t *point_at(const struct thinned *thinned, size_t index) {
  return thinned->points.data + index * thinned->point_bytes;
}

static uint64_t span_of(const struct thinned *thinned, const void *point) {
  uint64_t time_ns;
  memcpy(&time_ns, point, sizeof(time_ns));
  return time_ns >> thinned->span_bits;
}

/* Puts a point over the last of its series if they share a span; false if they do not. */
static bool replace_last(struct thinned *thinned, const struct thinned_series *series,
                         const void *point) {
  if (!series->count)
    return false;
  uint8_t *last = point_at(thinned, series->last);
  if (span_of(thinned, last) != span_of(thinned, point))
    return false;
  memcpy(last, point, thinned->point_bytes);
  return true;
}

/* Keeps of each series the last point in each span. */
static void thin(struct thinned *thinned) {
  struct thinned_series *all = (struct thinned_series *)thinned->series.data;
  for (size_t i = 0; i < thinned->series.length / sizeof(*all); i++)
    all[i].count = 0;
  size_t count = thinned_count(thinned), kept = 0;
  for (size_t i = 0; i < count; i++) {
    const uint8_t *point = point_at(thinned, i);
    struct thinned_series *series = series_of(thinned, point);
    if (replace_last(thinned, series, point))
      continue;
    memmove(point_at(thinned, kept), point, thinned->point_bytes);
    series->last = kept++;
    series->count++;
  }
  thinned->points.length = kept * thinned->point_bytes;
}

/* Doubles the spans until half of the room is free. More series than room stay as they are. */
static void make_room(struct thinned *thinned) {
  while (thinned_count(thinned) > thinned->points_max / 2 && thinned->span_bits < SPAN_BITS_MAX) {
    thinned->span_bits = thinned->span_bits ? thinned->span_bits + 1 : SPAN_BITS_MIN;
    thin(thinned);
  }
  while (thinned_count(thinned) > thinned->points_max / 2)
    thinned->points_max *= 2;
}

int thinned_add(struct thinned *thinned, const void *point) {
  struct thinned_series *series = series_of(thinned, point);
  if (replace_last(thinned, series, point))
    return 0;
  series->last = thinned_count(thinned);
  series->count++;
  int error = loader_push(&thinned->points, point, thinned->point_bytes);
  if (!error && thinned_count(thinned) >= thinned->points_max)
    make_room(thinned);
  return error;
}
