/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the threads got on with the CPUs: queueing, switches, limits, and pools that spin. */
#ifndef RAGPROF_ANALYSIS_SCHEDULING_H
#define RAGPROF_ANALYSIS_SCHEDULING_H

#include <stdbool.h>
#include <stdint.h>

#include "analysis/accounting.h"
#include "analysis/points.h"

struct scheduling_row {
  uint32_t process; /* index */
  uint32_t thread_count;
  uint64_t on_cpu_ns;
  uint64_t run_queue_ns;
  uint64_t voluntary_switches;
  uint64_t involuntary_switches;
  double runnable; /* threads that run or want to, on average of the process's life */
  bool has_migrations;
  uint64_t migrations;
  uint64_t cpus_allowed; /* 0: not known */
  double quota_cpus;     /* of the cgroup; 0: none known */
  uint64_t periods;      /* of the quota that had something to run, in the capture */
  uint64_t throttled_periods;
  uint64_t throttled_ns;
};

/* A way to wait on the CPU: the loops of one library in which its threads wait for each other. */
struct spin_row {
  const char *pool;
  uint64_t spin_ns; /* by samples */
  uint64_t samples;
  uint64_t sleep_ns; /* the same waiting off the CPU */
  uint64_t sleeps;
  uint32_t thread_count; /* that did either */
  uint32_t node;         /* of the profile: with most samples, or (none spun) most sleep */
  uint64_t node_ns;      /* spinning (or sleeping) at it */
};

#define SPIN_POOLS_MAX 16

struct scheduling {
  bool is_recorded;            /* the kernel's side was */
  struct scheduling_row *rows; /* by time queued, then on CPU */
  uint32_t count;
  double runnable;      /* of all processes, on average of the capture */
  uint64_t cpus;        /* the most that one of them may use, or the host's; 0: not known */
  double host_runnable; /* the host's runnable tasks, on average of the points; negative: unknown */
  struct spin_row spins[SPIN_POOLS_MAX]; /* by time on the CPU */
  uint32_t spin_count;
};

/* 0 or -ENOMEM; fini either way. */
int scheduling_build(struct scheduling *scheduling, const struct profile *profile,
                     const struct accounting *accounting, const struct points *points);
void scheduling_fini(struct scheduling *scheduling);

#endif
