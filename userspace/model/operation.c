/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes the operations of the profile: those that came out equal become one, whose numbers add up
 * theirs, and the numbers of an operation's stacks are made to add up to its total. Also the points
 * of metrics. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "model/load.h"

struct builder {
  struct profile *profile;
  struct loader_operations *from;
  uint32_t count;    /* of the loader's operations */
  uint32_t *targets; /* of each of them, the operation of the profile */
};

static int out_of_memory(void) {
  return error_set(ENOMEM, "out of memory");
}

static uint64_t saturating_sum(uint64_t a, uint64_t b) {
  uint64_t sum;
  return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static uint64_t larger(uint64_t a, uint64_t b) {
  return a > b ? a : b;
}

/* ---- Operations ------------------------------------------------------------------------------ */

static bool is_same(const struct profile_operation *a, const struct profile_operation *b) {
  return a->class == b->class && a->process == b->process && a->thread == b->thread &&
         a->object == b->object && a->name == b->name;
}

/* The index of the profile's operation that is equal to `operation`; a new one if there is none. */
static int intern(struct profile *profile, struct hash *known,
                  const struct profile_operation *operation, uint32_t *index) {
  uint64_t key = hash_mix(hash_mix(operation->class, operation->process),
                          hash_mix(operation->thread, operation->object));
  key = hash_mix(key, (uintptr_t)operation->name);
  for (const uint32_t *at; (at = hash_get(known, key)); key++) {
    if (!is_same(&profile->operations[*at], operation))
      continue;
    *index = *at;
    return 0;
  }
  *index = profile->operation_count;
  if (hash_put(known, key, *index))
    return out_of_memory();
  profile->operations[profile->operation_count] = *operation;
  profile->operations[profile->operation_count++].total.operation = *index;
  return 0;
}

static int intern_all(struct builder *builder, const struct profile_thread *threads) {
  const struct loader_operation *from =
      (const struct loader_operation *)builder->from->operations.data;
  struct hash known = {0};
  int error = 0;
  for (uint32_t i = 0; i < builder->count && !error; i++) {
    struct profile_operation operation = {
        .class = from[i].class,
        .process =
            from[i].thread == PROFILE_NONE ? from[i].process : threads[from[i].thread].process,
        .thread = from[i].thread,
        .object = from[i].object,
        .name = from[i].name,
    };
    error = intern(builder->profile, &known, &operation, &builder->targets[i]);
  }
  hash_fini(&known);
  return error;
}

/* ---- Points ---------------------------------------------------------------------------------- */

/* Adds to `sum` what one of several equal operations came to since `last`. */
static void add_growth(struct trace_operation_sum *sum, struct trace_operation_sum *last,
                       const struct trace_operation_sum *now) {
  sum->time_ns = now->time_ns;
  sum->count = saturating_sum(sum->count, now->count - last->count);
  sum->errors = saturating_sum(sum->errors, now->errors - last->errors);
  sum->bytes = saturating_sum(sum->bytes, now->bytes - last->bytes);
  sum->total_ns = saturating_sum(sum->total_ns, now->total_ns - last->total_ns);
  sum->max_ns = larger(sum->max_ns, now->max_ns);
  *last = *now;
}

/* Replaces points of several equal operations by those of their sum, one for each time; their
 * number goes to `count`. `last` is by the loader's operation, and zero. */
static int merge_points(struct trace_operation_sum *points, size_t *count,
                        struct trace_operation_sum *last) {
  struct trace_operation_sum *copy = malloc(*count * sizeof(*copy));
  if (!copy)
    return out_of_memory();
  memcpy(copy, points, *count * sizeof(*copy));
  struct trace_operation_sum *sorted = sort_by_time(copy, *count, sizeof(*copy));
  if (!sorted) {
    free(copy);
    return out_of_memory();
  }
  struct trace_operation_sum sum = {0};
  size_t kept = 0;
  for (size_t i = 0; i < *count; i++) {
    add_growth(&sum, &last[sorted[i].operation], &sorted[i]);
    if (kept && points[kept - 1].time_ns == sum.time_ns)
      kept--;
    points[kept++] = sum;
  }
  free(sorted);
  *count = kept;
  return 0;
}

/* Moves the points out of the loader, so that those of an operation stand together. */
static int move_points(struct builder *builder) {
  struct profile *profile = builder->profile;
  struct thinned *from = &builder->from->points;
  const struct trace_operation_sum *points = (const struct trace_operation_sum *)from->points.data;
  size_t *next = calloc(builder->count, sizeof(*next));
  profile->operation_points = calloc(thinned_count(from) + 1, sizeof(*points));
  if (!next || !profile->operation_points) {
    free(next);
    return out_of_memory();
  }
  for (uint32_t i = 0; i < builder->count; i++)
    profile->operations[builder->targets[i]].point_count += thinned_series(from, i)->count;
  for (uint32_t i = 1; i < profile->operation_count; i++)
    profile->operations[i].point_first =
        profile->operations[i - 1].point_first + profile->operations[i - 1].point_count;
  for (uint32_t i = 0; i < profile->operation_count; i++)
    next[i] = profile->operations[i].point_first;
  for (size_t i = 0; i < thinned_count(from); i++)
    profile->operation_points[next[builder->targets[points[i].operation]]++] = points[i];
  free(next);
  return 0;
}

/* Whether several operations of the loader became this one of the profile; their points are next to
 * one another but still of the loader's operations. */
static bool is_merged(const struct trace_operation_sum *points, size_t count) {
  for (size_t i = 1; i < count; i++)
    if (points[i].operation != points[0].operation)
      return true;
  return false;
}

static int finish_points(struct builder *builder, struct trace_operation_sum *last) {
  struct profile *profile = builder->profile;
  size_t kept = 0;
  for (uint32_t i = 0; i < profile->operation_count; i++) {
    struct profile_operation *operation = &profile->operations[i];
    struct trace_operation_sum *points = &profile->operation_points[operation->point_first];
    int error = is_merged(points, operation->point_count)
                    ? merge_points(points, &operation->point_count, last)
                    : 0;
    if (error)
      return error;
    memmove(&profile->operation_points[kept], points, operation->point_count * sizeof(*points));
    operation->point_first = kept;
    for (size_t j = 0; j < operation->point_count; j++)
      profile->operation_points[kept++].operation = i;
    if (operation->point_count)
      operation->total = profile->operation_points[kept - 1];
  }
  profile->operation_point_count = kept;
  return 0;
}

static int build_points(struct builder *builder) {
  struct trace_operation_sum *last = calloc(builder->count, sizeof(*last));
  int error = last ? move_points(builder) : out_of_memory();
  if (!error)
    error = finish_points(builder, last);
  free(last);
  thinned_fini(&builder->from->points);
  return error;
}

/* ---- Details --------------------------------------------------------------------------------- */

/* The place of an error among the results; `result_count` when it has none. */
static uint32_t find_result(const struct trace_operation_detail *detail, uint32_t error) {
  uint32_t i = 0;
  while (i < detail->result_count && detail->results[i].error != error)
    i++;
  return i;
}

/* When there is no room for another error, the last one becomes that of the others. */
static void add_result(struct trace_operation_detail *to, uint32_t error, uint64_t count) {
  uint32_t at = find_result(to, error);
  if (at == TRACE_RESULTS_MAX)
    at = find_result(to, 0);
  if (at == TRACE_RESULTS_MAX)
    to->results[--at].error = 0;
  if (at == to->result_count) {
    to->results[at].error = error;
    to->results[at].count = 0;
    to->result_count++;
  }
  to->results[at].count = saturating_sum(to->results[at].count, count);
}

/* Buckets stay such that they add up to 64 bits: what is beyond that is left out. */
static void add_detail(struct trace_operation_detail *to,
                       const struct trace_operation_detail *from) {
  uint64_t room = UINT64_MAX;
  for (uint32_t i = 0; i < TRACE_BUCKETS; i++)
    room -= to->buckets[i];
  for (uint32_t i = 0; i < TRACE_BUCKETS; i++) {
    uint64_t more = from->buckets[i] < room ? from->buckets[i] : room;
    to->buckets[i] += more;
    room -= more;
  }
  for (uint32_t i = 0; i < from->result_count; i++)
    add_result(to, from->results[i].error, from->results[i].count);
}

/* Takes the loader's details; that of the first of equal operations holds the sum. */
static void build_details(struct builder *builder) {
  struct profile *profile = builder->profile;
  const struct loader_operation *from =
      (const struct loader_operation *)builder->from->operations.data;
  struct trace_operation_detail *details =
      (struct trace_operation_detail *)builder->from->details.data;
  profile->memory->details = details;
  builder->from->details = (struct buf){0};
  for (uint32_t i = 0; i < builder->count; i++) {
    struct profile_operation *operation = &profile->operations[builder->targets[i]];
    if (from[i].detail == PROFILE_NONE)
      continue;
    if (operation->detail) {
      add_detail(&details[operation->detail - details], &details[from[i].detail]);
      continue;
    }
    details[from[i].detail].operation = builder->targets[i];
    operation->detail = &details[from[i].detail];
  }
}

/* ---- Stacks ---------------------------------------------------------------------------------- */

static int compare_stacks(const void *a, const void *b) {
  const struct profile_operation_stack *left = a, *right = b;
  if (left->operation != right->operation)
    return left->operation < right->operation ? -1 : 1;
  return left->node < right->node ? -1 : left->node > right->node;
}

/* Puts stacks in order and makes one of those that are equal; their number. */
static size_t merge_stacks(struct profile_operation_stack *stacks, size_t count) {
  size_t kept = 0;
  if (count)
    qsort(stacks, count, sizeof(*stacks), compare_stacks);
  for (size_t i = 0; i < count; i++) {
    if (!kept || compare_stacks(&stacks[kept - 1], &stacks[i])) {
      stacks[kept++] = stacks[i];
      continue;
    }
    struct profile_operation_stack *to = &stacks[kept - 1];
    to->count = saturating_sum(to->count, stacks[i].count);
    to->bytes = saturating_sum(to->bytes, stacks[i].bytes);
    to->total_ns = saturating_sum(to->total_ns, stacks[i].total_ns);
  }
  return kept;
}

/* A number of a stack, by where it lies in it. */
static uint64_t *number(struct profile_operation_stack *stack, size_t offset) {
  return (uint64_t *)(void *)((char *)stack + offset);
}

static uint64_t sum_of(struct profile_operation_stack *stacks, size_t count, size_t offset) {
  uint64_t sum = 0;
  for (size_t i = 0; i < count; i++)
    sum = saturating_sum(sum, *number(&stacks[i], offset));
  return sum;
}

/* Gives each stack its part of `total`, in the proportion of its number, or of its count where no
 * stack has such a number. Rounded by the running share, so that the parts make up the total. */
static void share(struct profile_operation_stack *stacks, size_t count, size_t offset,
                  uint64_t total) {
  size_t weight_offset = offset;
  uint64_t sum = sum_of(stacks, count, weight_offset);
  if (!sum) {
    weight_offset = offsetof(struct profile_operation_stack, count);
    sum = sum_of(stacks, count, weight_offset);
  }
  uint64_t weights = 0, given = 0;
  for (size_t i = 0; i < count; i++) {
    weights = saturating_sum(weights, *number(&stacks[i], weight_offset));
    uint64_t due = (uint64_t)((unsigned __int128)weights * total / sum);
    *number(&stacks[i], offset) = due - given;
    given = due;
  }
}

/* The counts come last: they are what the others may go by. */
static void scale_stacks(struct profile_operation_stack *stacks, size_t count,
                         const struct trace_operation_sum *total) {
  share(stacks, count, offsetof(struct profile_operation_stack, bytes), total->bytes);
  share(stacks, count, offsetof(struct profile_operation_stack, total_ns), total->total_ns);
  share(stacks, count, offsetof(struct profile_operation_stack, count), total->count);
}

static bool is_nothing(const struct profile_operation_stack *stack) {
  return !stack->count && !stack->bytes && !stack->total_ns;
}

/* Where no stack counts anything, the operation has none. */
static void build_stacks(struct builder *builder) {
  struct profile *profile = builder->profile;
  struct profile_operation_stack *stacks =
      (struct profile_operation_stack *)builder->from->stacks.data;
  size_t count = builder->from->stacks.length / sizeof(*stacks), kept = 0;
  builder->from->stacks = (struct buf){0};
  profile->operation_stacks = stacks;
  for (size_t i = 0; i < count; i++)
    stacks[i].operation = builder->targets[stacks[i].operation];
  count = merge_stacks(stacks, count);
  for (size_t first = 0, next; first < count; first = next) {
    struct profile_operation *operation = &profile->operations[stacks[first].operation];
    for (next = first; next < count && stacks[next].operation == stacks[first].operation;)
      next++;
    operation->stack_first = kept;
    if (!sum_of(&stacks[first], next - first, offsetof(struct profile_operation_stack, count)))
      continue;
    scale_stacks(&stacks[first], next - first, &operation->total);
    for (size_t i = first; i < next; i++)
      if (!is_nothing(&stacks[i]))
        stacks[kept++] = stacks[i];
    operation->stack_count = kept - operation->stack_first;
  }
  profile->operation_stack_count = kept;
}

/* ---- The whole ------------------------------------------------------------------------------- */

static void map_slow(struct builder *builder) {
  struct profile_slow_operation *slow = (struct profile_slow_operation *)builder->from->slow.data;
  for (size_t i = 0; i < builder->from->slow.length / sizeof(*slow); i++)
    slow[i].operation = builder->targets[slow[i].operation];
}

static int build_metrics(struct profile *profile, struct thinned *from) {
  const struct loader_point *points = (const struct loader_point *)from->points.data;
  size_t count = thinned_count(from);
  profile->points = calloc(count + 1, sizeof(*profile->points));
  if (!profile->points)
    return out_of_memory();
  for (size_t i = 0; i < count; i++)
    profile->points[i] = points[i].point;
  profile->point_count = count;
  thinned_fini(from);
  return 0;
}

int build_operations(struct profile *profile, struct loader *loader) {
  struct builder builder = {.profile = profile, .from = &loader->operations};
  int error = build_metrics(profile, &loader->operations.metrics);
  builder.count = (uint32_t)(builder.from->operations.length / sizeof(struct loader_operation));
  if (error || !builder.count)
    return error;
  builder.targets = calloc(builder.count, sizeof(*builder.targets));
  profile->operations = calloc(builder.count, sizeof(*profile->operations));
  error = builder.targets && profile->operations
              ? intern_all(&builder, (const struct profile_thread *)loader->threads.data)
              : out_of_memory();
  if (!error)
    error = build_points(&builder);
  if (!error) {
    build_details(&builder);
    build_stacks(&builder);
    map_slow(&builder);
  }
  free(builder.targets);
  return error;
}
