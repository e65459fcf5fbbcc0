/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the processes' memory was at the end and at most, and its course in a few points. */
#ifndef RAGPROF_ANALYSIS_MEMORY_H
#define RAGPROF_ANALYSIS_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "model/profile.h"

/* Metrics are known where `present` has bit m: at some moment they were read. */
struct memory_process {
  uint32_t process; /* index */
  uint32_t present;
  uint64_t first[MEMORY_METRICS];
  uint64_t last[MEMORY_METRICS];
  uint64_t peak[MEMORY_METRICS];
  uint64_t last_resident_ns; /* when MEMORY_RSS was last read */
  uint32_t *points;          /* in profile.memory_points, in order of time */
  uint32_t point_count;
};

struct memory {
  struct memory_process *processes; /* those with any point; largest peak of RSS first */
  uint32_t process_count;
  uint32_t *points; /* owns those of the processes */
};

/* 0 or -ENOMEM; fini either way. */
int memory_build(struct memory *memory, const struct profile *profile);
void memory_fini(struct memory *memory);

/* The resident memory of the processes that were there at the end, or just before it. */
uint64_t memory_resident_bytes(const struct memory *memory);

bool memory_has(const struct memory_process *process, enum memory_metric metric);

#endif
