/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sums over the operations of a class: by name, object, process or thread, with percentiles,
 * errors and stacks; and the rows of one object gathered again. */
#ifndef RAGPROF_ANALYSIS_OPERATIONS_H
#define RAGPROF_ANALYSIS_OPERATIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "analysis/stacks.h"
#include "model/profile.h"

/* What tells rows apart. */
enum operations_by {
  OPERATIONS_BY_NAME = 1 << 0,
  OPERATIONS_BY_OBJECT = 1 << 1,
  OPERATIONS_BY_PROCESS = 1 << 2,
  OPERATIONS_BY_THREAD = 1 << 3,
};

struct operation_sum {
  uint64_t count;
  uint64_t errors;
  uint64_t bytes;
  uint64_t total_ns;
  uint64_t max_ns;
  bool has_percentiles;
  uint64_t p50_ns; /* to a sixteenth: the middle of their bucket */
  uint64_t p95_ns;
  uint64_t p99_ns;
};

struct operation_error {
  uint32_t error; /* errno; 0: those that were not told apart */
  uint64_t count;
};

/* What fell to the stacks that are the same but for their lines. */
struct operation_stack {
  uint32_t node; /* of the profile: the one with most of the time */
  uint64_t count;
  uint64_t bytes;
  uint64_t total_ns;
  uint64_t node_ns; /* of `node` itself */
};

struct operation_row {
  const char *name; /* NULL where rows are not told apart by it, as the ids below PROFILE_NONE */
  uint32_t object;
  uint32_t process;
  uint32_t thread;
  struct operation_sum sum;
  struct operation_stack *stacks; /* by time, then count */
  uint32_t stack_count;
  struct operation_error *errors; /* by count; together sum.errors where all are known */
  uint32_t error_count;
  const uint32_t *operations; /* of the profile, that it is made of: by time, then count */
  uint32_t operation_count;
};

/* The rows of one object. */
struct operation_object {
  uint32_t object;
  uint32_t process; /* PROFILE_NONE unless rows are told apart by it */
  uint32_t row_first;
  uint32_t row_count;
};

struct operations {
  struct operation_row *rows; /* by time, then count; by object first where they are told so */
  uint32_t count;
  struct operation_object *objects; /* in the order of the first row; empty without objects */
  uint32_t object_count;
  uint32_t *members;
};

/* `by`: enum operations_by. `stacks` is that of the profile's hotspots. 0 or -ENOMEM; fini either
 * way. */
int operations_build(struct operations *operations, const struct profile *profile,
                     const struct stacks *stacks, enum operation_class class, unsigned by);
void operations_fini(struct operations *operations);

/* The row of that name among those of an object; NULL when there is none. */
const struct operation_row *operations_find(const struct operations *operations,
                                            const struct operation_object *object,
                                            const char *name);

/* The rows in the order of their times, whatever the object. The caller frees; NULL: out of memory.
 */
const struct operation_row **operations_by_time(const struct operations *operations,
                                                const struct profile *profile);

/* A stack of a row. */
struct operation_place {
  const struct operation_row *row;
  const struct operation_stack *stack;
};

/* The stacks of all rows (of a name, unless that is NULL, and of an object's name, the same) in one
 * order: by time, then count. The caller frees. 0 or -ENOMEM. */
int operations_places(struct operation_place **places, uint32_t *count,
                      const struct operations *operations, const struct profile *profile,
                      const char *name, const char *object);

/* How many durations of a row lie in [low_ns, high_ns), as far as the histogram's steps of an
 * eighth tell: those of the buckets whose middle does. */
uint64_t operations_between(const struct profile *profile, const struct operation_row *row,
                            uint64_t low_ns, uint64_t high_ns);

/* "" for PROFILE_NONE. */
const char *operations_object_name(const struct profile *profile, uint32_t object);

#endif
