/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose time it was, and how much of it the capture saw: threads, processes, completeness, loss. */
#ifndef RAGPROF_ANALYSIS_ACCOUNTING_H
#define RAGPROF_ANALYSIS_ACCOUNTING_H

#include <stdbool.h>
#include <stdint.h>

#include "model/profile.h"

/* on_cpu + blocked + run_queue is the wall time when nothing was lost. */
struct time_split {
  uint64_t wall_ns;
  uint64_t on_cpu_ns;
  uint64_t blocked_ns;
  uint64_t run_queue_ns;
  uint64_t sample_count;
};

uint64_t time_split_sum_ns(const struct time_split *split);

struct thread_row {
  uint32_t thread; /* index */
  struct time_split time;
  bool is_exact; /* counted by the scheduler's switches; else added up from samples and waits */
};

struct process_row {
  uint32_t process; /* index */
  uint32_t thread_count;
  struct time_split time; /* of its threads */
};

/* Stacks that do not reach the thread's first frame, by the mark that stands there. */
struct incomplete_row {
  uint32_t function; /* the mark's: its name says why */
  uint64_t sample_count;
  uint64_t wait_count;
};

struct accounting {
  struct time_split total;    /* of all threads */
  struct thread_row *threads; /* by on-CPU time, then wall time */
  uint32_t thread_count;
  struct process_row *processes; /* by on-CPU time, then PID */
  uint32_t process_count;
  struct incomplete_row *incomplete; /* by samples, then waits */
  uint32_t incomplete_count;
  uint64_t sample_count;
  uint64_t complete_sample_count;
  uint64_t wait_count; /* intervals */
  uint64_t complete_wait_count;
};

/* How long a thread lived in the capture. */
uint64_t thread_wall_ns(const struct profile *profile, const struct profile_thread *thread);

/* 0 or -ENOMEM; fini either way. */
int accounting_build(struct accounting *accounting, const struct profile *profile);
void accounting_fini(struct accounting *accounting);

#endif
