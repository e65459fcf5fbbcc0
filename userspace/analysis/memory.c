/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the grouping of memory points by process. */
#include "analysis/memory.h"

#include <errno.h>
#include <stdlib.h>

#include "base/units.h"

#define JUST_BEFORE_NS (2 * NS_PER_S) /* snapshots are a second apart */

bool memory_has(const struct memory_process *process, enum memory_metric metric) {
  return process->present >> metric & 1;
}

uint64_t memory_resident_bytes(const struct memory *memory) {
  uint64_t last_ns = 0, bytes = 0;
  for (uint32_t i = 0; i < memory->process_count; i++)
    if (memory->processes[i].last_resident_ns > last_ns)
      last_ns = memory->processes[i].last_resident_ns;
  for (uint32_t i = 0; i < memory->process_count; i++)
    if (memory->processes[i].last_resident_ns + JUST_BEFORE_NS >= last_ns)
      bytes += memory->processes[i].last[MEMORY_RSS];
  return bytes;
}

static void add_point(struct memory_process *process, const struct profile_memory_point *point,
                      uint32_t index) {
  for (int m = 0; m < MEMORY_METRICS; m++) {
    if (!(point->present >> m & 1))
      continue;
    uint64_t value = point->values[m];
    if (!(process->present >> m & 1))
      process->first[m] = process->peak[m] = value;
    process->last[m] = value;
    process->peak[m] = value > process->peak[m] ? value : process->peak[m];
  }
  if (point->present >> MEMORY_RSS & 1)
    process->last_resident_ns = point->time_ns;
  process->present |= point->present;
  process->points[process->point_count++] = index;
}

static int by_peak(const void *a, const void *b) {
  const struct memory_process *left = a, *right = b;
  if (left->peak[MEMORY_RSS] != right->peak[MEMORY_RSS])
    return left->peak[MEMORY_RSS] < right->peak[MEMORY_RSS] ? 1 : -1;
  return (left->process > right->process) - (left->process < right->process);
}

static void fill(struct memory *memory, const struct profile *profile) {
  struct memory_process *processes = memory->processes;
  uint32_t *next = memory->points;
  for (size_t i = 0; i < profile->memory_point_count; i++)
    processes[profile->memory_points[i].process].point_count++;
  for (uint32_t i = 0; i < profile->process_count; i++) {
    processes[i].process = i;
    processes[i].points = next;
    next += processes[i].point_count;
    processes[i].point_count = 0;
  }
  for (size_t i = 0; i < profile->memory_point_count; i++)
    add_point(&processes[profile->memory_points[i].process], &profile->memory_points[i],
              (uint32_t)i);
  for (uint32_t i = 0; i < profile->process_count; i++)
    if (processes[i].point_count)
      processes[memory->process_count++] = processes[i];
  qsort(processes, memory->process_count, sizeof(*processes), by_peak);
}

int memory_build(struct memory *memory, const struct profile *profile) {
  *memory = (struct memory){0};
  if (!profile->memory_point_count)
    return 0;
  if (profile->memory_point_count > UINT32_MAX)
    return -ENOMEM;
  memory->processes = calloc(profile->process_count, sizeof(*memory->processes));
  memory->points = calloc(profile->memory_point_count, sizeof(*memory->points));
  if (!memory->processes || !memory->points)
    return -ENOMEM;
  fill(memory, profile);
  return 0;
}

void memory_fini(struct memory *memory) {
  free(memory->processes);
  free(memory->points);
}
