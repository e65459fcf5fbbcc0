/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who waits for which lock, and who holds it meanwhile; the interpreter's lock apart. */
#ifndef RAGPROF_ANALYSIS_LOCKS_H
#define RAGPROF_ANALYSIS_LOCKS_H

#include <stdint.h>

#include "analysis/operations.h"

/* A lock of one process. The operations of `wait` and `hold` are those of one thread each. */
struct lock_row {
  uint32_t object;
  uint32_t process;
  const struct operation_row *wait; /* NULL: none */
  const struct operation_row *hold; /* time that others waited while its threads held it */
  uint32_t both_count;              /* threads that do either: a lock, not a hand-over of work */
};

/* What one thread has to do with the interpreter's lock. */
struct gil_thread {
  uint32_t thread; /* index, or PROFILE_NONE: not known */
  uint64_t waits;
  uint64_t wait_ns;
  uint64_t max_ns;
  uint64_t held_count; /* waits of others that it held the lock in */
  uint64_t held_ns;
};

struct locks {
  struct operations operations; /* by object, process and name */
  struct lock_row *rows; /* those that several threads wait for and hold, then the others; by time
                            waited; those of the GIL apart */
  uint32_t count;
  struct lock_row *gils; /* of one process each */
  uint32_t gil_count;
  struct gil_thread *threads; /* by time waited, then held */
  uint32_t thread_count;
  uint64_t gil_wait_ns;
  uint64_t gil_waits;
};

/* 0 or -ENOMEM; fini either way. */
int locks_build(struct locks *locks, const struct profile *profile, const struct stacks *stacks);
void locks_fini(struct locks *locks);

/* Sums of all zeros for NULL. */
const struct operation_sum *locks_sum(const struct operation_row *row);

#endif
