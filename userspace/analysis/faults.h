/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Page faults: how many, of what was mapped, on which stacks, and the time that they took. */
#ifndef RAGPROF_ANALYSIS_FAULTS_H
#define RAGPROF_ANALYSIS_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "analysis/io.h"
#include "analysis/points.h"

/* The faults of one stack, without the kernel's frames: those that differ in lines are one. */
struct fault_stack {
  uint32_t node; /* of the profile */
  uint64_t major;
  uint64_t minor;
  uint64_t bytes;
  uint64_t on_cpu_ns; /* samples within the kernel's handler */
  uint64_t samples;
  uint64_t blocked_ns; /* waiting for the page, or for the lock of the mappings */
  uint64_t waits;
  uint64_t max_ns;  /* the longest wait */
  uint32_t object;  /* index of the one with most of the faults; PROFILE_NONE: not known */
  uint64_t objects; /* its faults */
};

struct faults {
  bool is_recorded;
  bool is_exact;  /* major and minor are the kernel's own counts of the processes */
  uint64_t major; /* in the capture */
  uint64_t minor;
  uint64_t on_cpu_ns; /* sums over the stacks */
  uint64_t blocked_ns;
  struct io objects;          /* IO_MAJOR, IO_MINOR */
  struct fault_stack *stacks; /* by time, then faults */
  uint32_t stack_count;
};

/* 0 or -ENOMEM; fini either way. */
int faults_build(struct faults *faults, const struct profile *profile, const struct stacks *stacks,
                 const struct points *points);
void faults_fini(struct faults *faults);

#endif
