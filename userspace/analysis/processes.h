/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lives of processes: what they ran, how they ended. */
#ifndef RAGPROF_ANALYSIS_PROCESSES_H
#define RAGPROF_ANALYSIS_PROCESSES_H

#include <stdbool.h>
#include <stdint.h>

#include "model/profile.h"

struct process_life {
  const char *executable; /* of the last exec that was seen, or the process's; "" unknown */
  uint64_t forks;
  uint64_t execs;
  bool has_exit;
  int status; /* as wait(2) gives it */
  uint64_t exit_ns;
  bool is_oom_killed;
  uint64_t oom_ns;
};

struct processes {
  struct process_life *lives; /* by process */
  bool are_seen;              /* something happened */
};

/* 0 or -ENOMEM; fini either way. */
int processes_build(struct processes *processes, const struct profile *profile);
void processes_fini(struct processes *processes);

#endif
