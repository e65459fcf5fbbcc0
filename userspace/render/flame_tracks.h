/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What stands below the timeline, as the page carries it: the last part of the data that
 * flame_data.h draws.
 *
 *   step
 *   count, series: what (enum flame_series) | process + 1 (0: the host) | entry count, then
 *                  entries: step of buckets - previous one | value
 *   calls, then waits: how many there were | count, then
 *                  bars: start in µs - previous one's | µs | thread | label (string number) |
 *                        result | node | tone
 *   how many happenings there were | count, then
 *                  marks: µs - previous one's | process | what | value | text (string number)
 *
 * A series' entry is an amount within `step` buckets from there on, or the level at their end.
 * Results are zigzag-coded. Bars are those that took longest, marks those that matter most. */
#ifndef RAGPROF_RENDER_FLAME_TRACKS_H
#define RAGPROF_RENDER_FLAME_TRACKS_H

#include "base/buf.h"
#include "base/hash.h"
#include "model/profile.h"

#define FLAME_BARS_MAX 2000
#define FLAME_MARKS_MAX 2000

/* The page's own numbers: append only together with page/system.js. */
enum flame_series {
  SERIES_MINOR_FAULTS,
  SERIES_MAJOR_FAULTS,
  SERIES_FILE_READ, /* bytes, as the next five */
  SERIES_FILE_WRITE,
  SERIES_SOCKET_RECEIVE,
  SERIES_SOCKET_SEND,
  SERIES_DEVICE_READ,
  SERIES_DEVICE_WRITE,
  SERIES_THROTTLED, /* nanoseconds of the cgroup */
  SERIES_RUNNABLE,  /* level, as the next two; of the host */
  SERIES_DESCRIPTORS,
  SERIES_THREADS,
  SERIES_KINDS
};

struct flame_tracks;

/* 0 or -ENOMEM. */
int flame_tracks_new(struct flame_tracks **out, const struct profile *profile);
void flame_tracks_free(struct flame_tracks *tracks);

/* Sets node_ids[] of the bars' nodes to 1. */
void flame_tracks_mark(const struct flame_tracks *tracks, uint32_t *node_ids);
/* `node_ids`: the profile's nodes to the page's. 0 or -ENOMEM. */
int flame_tracks_put(const struct flame_tracks *tracks, struct buf *buf, struct strtab *strings,
                     const uint32_t *node_ids, uint64_t bucket_ns, uint32_t bucket_count);

#endif
