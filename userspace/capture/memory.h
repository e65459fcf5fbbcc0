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

/* From /proc/PID/status and /proc/meminfo; with `rollup` also PSS, for which the kernel walks the
 * process's page tables. False when the process is gone. */
bool memory_read_process(pid_t pid, bool rollup, struct trace_memory *memory);

/* The memory cgroup of the process, version 1 or 2: use, cache, and the tightest limit on the way
 * up. */
void memory_read_cgroup(pid_t pid, struct trace_memory *memory);

#endif
