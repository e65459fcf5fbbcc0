/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which stacks leak, how fast, and how sure that is. */
#ifndef RAGPROF_ANALYSIS_LEAK_H
#define RAGPROF_ANALYSIS_LEAK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/heap.h"

enum leak_verdict {
  LEAK_FLAT = 0,      /* no growth that the noise allows to claim */
  LEAK_LEAK = 1,      /* grows steadily, and nothing gives it back */
  LEAK_CACHE = 2,     /* grew, and stopped growing: a cache that has filled */
  LEAK_DEFERRED = 3,  /* saw-tooth: given back in batches, as by a garbage collector */
  LEAK_RETAINED = 4,  /* given back by the program, but the allocator keeps its pages */
  LEAK_TOO_SHORT = 5, /* too few points after the warm-up to say */
  LEAK_VERDICTS
};

/* "flat", "leak", "bounded cache", "GC-deferred", "allocator-retained", "too short to say" */
const char *leak_verdict_name(enum leak_verdict verdict);

/* A robust slope: the median of the slopes between pairs of points (Theil 1950, Sen 1968), with the
 * 95 % interval of Sen's method, its variance corrected for serial correlation (Hamed and Rao
 * 1998); where residuals wander like a random walk, not less than the error of a walk's drift. */
struct leak_slope {
  double value; /* bytes per unit of x */
  double low;
  double high;
};

struct leak_point {
  double x; /* seconds, or iterations */
  double y; /* bytes */
};

/* The slope over points in order of x. False for fewer than four distinct x. */
bool leak_slope_fit(struct leak_slope *slope, const struct leak_point *points, size_t count);

/* One stack's judgement. */
struct leak_site {
  uint32_t stack; /* in heap.stacks */
  enum leak_verdict verdict;
  bool has_time_slope;
  bool has_iteration_slope;
  struct leak_slope per_second;    /* bytes/s */
  struct leak_slope per_iteration; /* bytes/iteration */
  uint64_t warmup_ns;              /* left out, from the start of the series */
  size_t point_count;              /* used */
  double confidence;               /* 0 to 1: how sure the verdict is */
};

/* How the process's memory as a whole moved, and which part of its growth is what. Bytes/s; NaN
 * unknown. */
enum leak_growth {
  GROWTH_HEAP = 0,      /* live blocks: the sites tell which */
  GROWTH_RETAINED = 1,  /* free, but kept by the allocator: fragmentation, arenas */
  GROWTH_FILE = 2,      /* mapped files */
  GROWTH_OTHER = 3,     /* resident growth that is none of these */
  GROWTH_UNTOUCHED = 4, /* virtual, not resident */
  GROWTH_KINDS
};

struct leak_process {
  uint32_t process; /* index */
  struct leak_slope rss;
  bool has_rss;
  double growth_bytes_per_s[GROWTH_KINDS];
  bool is_allocator_retained;  /* RSS grew or stays high while the live bytes do not */
  uint64_t limit_bytes;        /* of the cgroup, else the host's memory; 0 unknown */
  const char *limit_name;      /* "cgroup", "host memory" */
  double seconds_to_limit;     /* at rss.value; INFINITY when it does not grow */
  double seconds_to_limit_low; /* at rss.high */
};

struct leak_report {
  struct leak_site *sites; /* of the heap's HEAP_MALLOC and HEAP_PYTHON stacks that were judged:
                              leaks first, by slope; then by live bytes */
  uint32_t site_count;
  uint32_t leak_count;
  bool has_iterations;
  uint64_t iterations;
  struct leak_process *processes;
  uint32_t process_count;
};

/* 0 or -ENOMEM. */
int leak_analyse(struct leak_report **out, const struct profile *profile, const struct heap *heap);
void leak_report_free(struct leak_report *report);

#endif
