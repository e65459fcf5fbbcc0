/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the CPU time went: functions, lines and paths. Times are on-CPU time: samples, each worth
 * its thread's exact on-CPU time / samples; the base of every share is total_ns. */
#ifndef RAGPROF_ANALYSIS_HOTSPOTS_H
#define RAGPROF_ANALYSIS_HOTSPOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "analysis/stacks.h"
#include "model/profile.h"

struct hot_function {
  uint32_t function;   /* of the profile */
  uint64_t self_ns;    /* innermost on the stack */
  uint64_t own_ns;     /* Python: innermost Python frame, native code that it runs included; others:
                          self_ns */
  uint64_t total_ns;   /* anywhere on the stack; a recursion counts once */
  uint64_t self_count; /* samples */
  uint64_t total_count;
  uint64_t wait_ns; /* off-CPU time with the function anywhere on the stack */
  bool is_passage;  /* says nothing on a stack: start-up code of thread or runtime, functions with
                       which the interpreter calls, system call entry */
};

struct hot_line {
  uint32_t function;
  uint32_t line;    /* not 0 */
  uint64_t self_ns; /* as for functions */
  uint64_t own_ns;
  uint64_t total_ns;
  uint64_t own_count; /* samples */
};

/* Paths are disjoint: a sample belongs to the longest path that holds HOT_PATH_PCT of the time. The
 * interpreter's own functions below a Python function are part of that function's path. */
#define HOT_PATH_PCT 3

struct hot_path {
  uint32_t node; /* of stacks */
  uint64_t ns;
  uint64_t count;      /* samples */
  uint64_t callees_ns; /* the part of functions called by the last one */
};

struct hotspots {
  uint64_t total_ns;
  uint64_t total_count;
  struct hot_function *functions; /* by self time; only those with any CPU time */
  uint32_t function_count;
  uint32_t *by_total;     /* indexes into functions, by total time */
  struct hot_line *lines; /* by own time */
  uint32_t line_count;
  struct hot_path *paths; /* by time */
  uint32_t path_count;
  struct stacks stacks;
};

/* 0 or -ENOMEM; fini either way. */
int hotspots_build(struct hotspots *hotspots, const struct profile *profile);
void hotspots_fini(struct hotspots *hotspots);

#endif
