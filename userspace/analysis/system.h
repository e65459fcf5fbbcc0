/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The system's part of a summary: what the kernel did for the target. */
#ifndef RAGPROF_ANALYSIS_SYSTEM_H
#define RAGPROF_ANALYSIS_SYSTEM_H

#include "analysis/accounting.h"
#include "analysis/faults.h"
#include "analysis/io.h"
#include "analysis/locks.h"
#include "analysis/operations.h"
#include "analysis/points.h"
#include "analysis/processes.h"
#include "analysis/scheduling.h"
#include "analysis/slow.h"

struct system_part {
  struct points points;
  struct operations syscalls; /* by name, over all threads */
  struct slow slow;
  struct io files;
  struct io peers;
  struct io disks;
  struct faults faults;
  struct scheduling scheduling;
  struct locks locks;
  struct operations probes; /* by name */
  struct processes processes;
};

/* 0 or -ENOMEM; fini either way. */
int system_build(struct system_part *part, const struct profile *profile,
                 const struct stacks *stacks, const struct accounting *accounting);
void system_fini(struct system_part *part);

#endif
