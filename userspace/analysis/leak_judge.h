/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The judgement of one series of live bytes, whatever it is a series of. Private to the leak
 * analysis. */
#ifndef RAGPROF_ANALYSIS_LEAK_JUDGE_H
#define RAGPROF_ANALYSIS_LEAK_JUDGE_H

#include "analysis/leak.h"

/* Fewer points after the warm-up are too short to say anything. */
#define LEAK_POINTS_MIN 8u

/* A series at one moment. */
struct leak_moment {
  uint64_t time_ns;
  double iterations;  /* so far */
  double bytes;       /* live */
  double allocations; /* so far */
};

struct leak_judgement {
  enum leak_verdict verdict;
  double confidence;
  size_t warmup; /* moments left out at the start */
  size_t used;   /* points after it */
  bool has_slope[2];
  struct leak_slope slope[2]; /* over seconds, over iterations */
};

enum leak_axis { AXIS_SECONDS = 0, AXIS_ITERATIONS = 1 };

/* How many leading points to leave out so that the slope over the rest is known best. */
size_t leak_find_warmup(const struct leak_point *points, size_t count);

/* `moments` in order of time. `by` is the axis that decides on the verdict. `quantum_bytes`: what a
 * sample stands for, where the bytes are estimates; else 0. 0 or -ENOMEM. */
int leak_judge(struct leak_judgement *out, const struct leak_moment *moments, size_t count,
               enum leak_axis by, double quantum_bytes);

#endif
