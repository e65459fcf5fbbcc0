/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What /proc and the cgroup say of a process's memory. Readings only; what cannot be read is
 * absent. */
#ifndef RAGPROF_CAPTURE_MEMORY_H
#define RAGPROF_CAPTURE_MEMORY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "trace/trace.h"

/* Sets a value and its bit. */
void memory_set(struct trace_memory *memory, enum memory_metric metric, uint64_t value);

/* From /proc/PID/status and /proc/meminfo. False when the process is gone. */
bool memory_read_process(pid_t pid, struct trace_memory *memory);

/* In the order of the points from POINT_SMAPS_FIRST on. */
enum memory_map_kind {
  MEMORY_MAP_HEAP,
  MEMORY_MAP_STACK,
  MEMORY_MAP_ANONYMOUS,
  MEMORY_MAP_CODE,
  MEMORY_MAP_FILE,
  MEMORY_MAP_SHARED,
  MEMORY_MAP_KINDS
};

/* What only a walk of the process's page tables tells (/proc/PID/smaps). */
struct memory_walk {
  uint64_t resident_bytes[MEMORY_MAP_KINDS]; /* without the shim's */
  uint64_t pss_bytes;
  uint64_t shim_bytes;     /* resident memory of the shim: left out of core dumps, without a file */
  uint64_t shim_pss_bytes; /* its share in pss_bytes, with that of the region */
};

bool memory_walk(pid_t pid, struct memory_walk *walk);

/* The memory cgroup of the process, version 1 or 2: use, cache, and the tightest limit on the way
 * up. */
void memory_read_cgroup(pid_t pid, struct trace_memory *memory);

#endif
