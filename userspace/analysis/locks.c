/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the rows of locks and of the threads that share the interpreter's. */
#include "analysis/locks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

const struct operation_sum *locks_sum(const struct operation_row *row) {
  static const struct operation_sum none;
  return row ? &row->sum : &none;
}

static uint32_t thread_of(const struct profile *profile, const struct operation_row *row,
                          uint32_t i) {
  return profile->operations[row->operations[i]].thread;
}

/* Some dozens of threads share a lock. */
static bool has_thread(const struct profile *profile, const struct operation_row *row,
                       uint32_t thread) {
  for (uint32_t i = 0; i < row->operation_count; i++)
    if (thread_of(profile, row, i) == thread)
      return true;
  return false;
}

static uint32_t count_both(const struct profile *profile, const struct lock_row *row) {
  uint32_t count = 0;
  for (uint32_t i = 0; row->wait && row->hold && i < row->wait->operation_count; i++) {
    uint32_t thread = thread_of(profile, row->wait, i);
    count += thread != PROFILE_NONE && has_thread(profile, row->hold, thread);
  }
  return count;
}

/* However long threads wait to be given work, that is nobody's contention. */
static int compare_locks(const void *left, const void *right) {
  const struct lock_row *a = left, *b = right;
  if ((a->both_count > 1) != (b->both_count > 1))
    return a->both_count > 1 ? -1 : 1;
  const struct operation_sum *a_sum = locks_sum(a->wait), *b_sum = locks_sum(b->wait);
  if (a_sum->total_ns != b_sum->total_ns)
    return a_sum->total_ns < b_sum->total_ns ? 1 : -1;
  if (a_sum->count != b_sum->count)
    return a_sum->count < b_sum->count ? 1 : -1;
  return (a->object > b->object) - (a->object < b->object);
}

static int compare_threads(const void *left, const void *right) {
  const struct gil_thread *a = left, *b = right;
  if (a->wait_ns != b->wait_ns)
    return a->wait_ns < b->wait_ns ? 1 : -1;
  if (a->held_ns != b->held_ns)
    return a->held_ns < b->held_ns ? 1 : -1;
  return (a->thread > b->thread) - (a->thread < b->thread);
}

static void make_rows(struct locks *locks, const struct profile *profile) {
  const struct operations *operations = &locks->operations;
  for (uint32_t i = 0; i < operations->object_count; i++) {
    const struct operation_object *object = &operations->objects[i];
    struct lock_row row = {.object = object->object,
                           .process = object->process,
                           .wait = operations_find(operations, object, "wait"),
                           .hold = operations_find(operations, object, "hold")};
    row.both_count = count_both(profile, &row);
    if (strcmp(operations_object_name(profile, object->object), "GIL") == 0)
      locks->gils[locks->gil_count++] = row;
    else
      locks->rows[locks->count++] = row;
  }
  qsort(locks->rows, locks->count, sizeof(*locks->rows), compare_locks);
  qsort(locks->gils, locks->gil_count, sizeof(*locks->gils), compare_locks);
}

static void add_to_thread(struct gil_thread *to, const struct trace_operation_sum *sum,
                          bool is_hold) {
  if (is_hold) {
    to->held_count += sum->count;
    to->held_ns += sum->total_ns;
    return;
  }
  to->waits += sum->count;
  to->wait_ns += sum->total_ns;
  to->max_ns = sum->max_ns > to->max_ns ? sum->max_ns : to->max_ns;
}

static int add_threads(struct locks *locks, const struct profile *profile, struct hash *ids,
                       const struct operation_row *row, bool is_hold) {
  for (uint32_t i = 0; row && i < row->operation_count; i++) {
    const struct profile_operation *operation = &profile->operations[row->operations[i]];
    uint32_t *known = hash_get(ids, operation->thread);
    uint32_t at = known ? *known : locks->thread_count;
    if (!known) {
      locks->threads[locks->thread_count++] = (struct gil_thread){.thread = operation->thread};
      if (hash_put(ids, operation->thread, at))
        return -ENOMEM;
    }
    add_to_thread(&locks->threads[at], &operation->total, is_hold);
  }
  return 0;
}

static int make_threads(struct locks *locks, const struct profile *profile) {
  struct hash ids = {0};
  int rc = 0;
  for (uint32_t i = 0; !rc && i < locks->gil_count; i++) {
    locks->gil_wait_ns += locks_sum(locks->gils[i].wait)->total_ns;
    locks->gil_waits += locks_sum(locks->gils[i].wait)->count;
    rc = add_threads(locks, profile, &ids, locks->gils[i].wait, false);
    if (!rc)
      rc = add_threads(locks, profile, &ids, locks->gils[i].hold, true);
  }
  hash_fini(&ids);
  qsort(locks->threads, locks->thread_count, sizeof(*locks->threads), compare_threads);
  return rc;
}

int locks_build(struct locks *locks, const struct profile *profile, const struct stacks *stacks) {
  *locks = (struct locks){0};
  int rc = operations_build(&locks->operations, profile, stacks, OPERATION_LOCK,
                            OPERATIONS_BY_OBJECT | OPERATIONS_BY_PROCESS | OPERATIONS_BY_NAME);
  if (rc)
    return rc;
  size_t room = locks->operations.object_count + (size_t)1;
  locks->rows = calloc(room, sizeof(*locks->rows));
  locks->gils = calloc(room, sizeof(*locks->gils));
  locks->threads = calloc(profile->operation_count + (size_t)1, sizeof(*locks->threads));
  if (!locks->rows || !locks->gils || !locks->threads)
    return -ENOMEM;
  make_rows(locks, profile);
  return make_threads(locks, profile);
}

void locks_fini(struct locks *locks) {
  operations_fini(&locks->operations);
  free(locks->rows);
  free(locks->gils);
  free(locks->threads);
  *locks = (struct locks){0};
}
