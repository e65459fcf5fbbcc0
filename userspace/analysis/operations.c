/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the grouping of operations, and the merging of their histograms, errors and stacks. */
#include "analysis/operations.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/calls.h"
#include "base/hash.h"

struct work {
  const struct profile *profile;
  const struct stacks *stacks;
  struct operations *operations;
  enum operation_class class;
  unsigned by;
  uint32_t *row_of;  /* operation → row, or PROFILE_NONE */
  struct hash rows;  /* what tells rows apart → row */
  struct hash nodes; /* row and merged node → stack of the row */
};

const char *operations_object_name(const struct profile *profile, uint32_t object) {
  return object < profile->object_count ? profile->objects[object].name : "";
}

static uint64_t plus(uint64_t a, uint64_t b) {
  uint64_t sum;
  return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static uint64_t text_hash(const char *text) {
  return hash_bytes(text, strlen(text));
}

/* Objects of one kind and name are one. */
static uint64_t object_hash(const struct profile *profile, uint32_t object) {
  if (object >= profile->object_count)
    return 0;
  return hash_mix(text_hash(profile->objects[object].name), profile->objects[object].kind);
}

static uint64_t row_key(const struct work *work, const struct profile_operation *operation) {
  uint64_t key = 0;
  if (work->by & OPERATIONS_BY_NAME)
    key = hash_mix(key, text_hash(operation->name));
  if (work->by & OPERATIONS_BY_OBJECT)
    key = hash_mix(key, object_hash(work->profile, operation->object));
  if (work->by & OPERATIONS_BY_PROCESS)
    key = hash_mix(key, operation->process);
  if (work->by & OPERATIONS_BY_THREAD)
    key = hash_mix(key, operation->thread);
  return key;
}

/* ---- rows ---- */

static void add_sum(struct operation_sum *to, const struct trace_operation_sum *from) {
  to->count = plus(to->count, from->count);
  to->errors = plus(to->errors, from->errors);
  to->bytes = plus(to->bytes, from->bytes);
  to->total_ns = plus(to->total_ns, from->total_ns);
  to->max_ns = from->max_ns > to->max_ns ? from->max_ns : to->max_ns;
}

static int put_in_row(struct work *work, uint32_t id) {
  const struct profile_operation *operation = &work->profile->operations[id];
  struct operations *operations = work->operations;
  uint64_t key = row_key(work, operation);
  uint32_t *known = hash_get(&work->rows, key);
  uint32_t at = known ? *known : operations->count;
  struct operation_row *row = &operations->rows[at];
  if (!known) {
    bool by_object = work->by & OPERATIONS_BY_OBJECT;
    *row = (struct operation_row){
        .name = work->by & OPERATIONS_BY_NAME ? operation->name : NULL,
        .object = by_object ? operation->object : PROFILE_NONE,
        .process = work->by & OPERATIONS_BY_PROCESS ? operation->process : PROFILE_NONE,
        .thread = work->by & OPERATIONS_BY_THREAD ? operation->thread : PROFILE_NONE};
    if (hash_put(&work->rows, key, operations->count++))
      return -ENOMEM;
  }
  add_sum(&row->sum, &operation->total);
  row->operation_count++;
  row->stack_count += (uint32_t)operation->stack_count; /* room for so many */
  work->row_of[id] = at;
  return 0;
}

static int make_rows(struct work *work) {
  const struct profile *profile = work->profile;
  int rc = 0;
  for (uint32_t i = 0; !rc && i < profile->operation_count; i++) {
    const struct profile_operation *operation = &profile->operations[i];
    work->row_of[i] = PROFILE_NONE;
    if (operation->class == work->class && operation->total.count)
      rc = put_in_row(work, i);
  }
  return rc;
}

static int by_figures(uint64_t a_ns, uint64_t b_ns, uint64_t a_count, uint64_t b_count) {
  if (a_ns != b_ns)
    return a_ns < b_ns ? 1 : -1;
  return a_count < b_count ? 1 : a_count > b_count ? -1 : 0;
}

static int compare_members(const void *left, const void *right, void *context) {
  const struct profile *profile = context;
  uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
  const struct trace_operation_sum *a_sum = &profile->operations[a].total;
  const struct trace_operation_sum *b_sum = &profile->operations[b].total;
  int order = by_figures(a_sum->total_ns, b_sum->total_ns, a_sum->count, b_sum->count);
  return order ? order : (a > b) - (a < b);
}

/* Gives each row its operations, side by side in `members`. */
static void share_members(struct work *work) {
  struct operations *operations = work->operations;
  uint32_t *next = operations->members;
  for (uint32_t i = 0; i < operations->count; i++) {
    operations->rows[i].operations = next;
    next += operations->rows[i].operation_count;
    operations->rows[i].operation_count = 0;
  }
  for (uint32_t i = 0; i < work->profile->operation_count; i++) {
    if (work->row_of[i] == PROFILE_NONE)
      continue;
    struct operation_row *row = &operations->rows[work->row_of[i]];
    operations->members[row->operations - operations->members + row->operation_count++] = i;
  }
  for (uint32_t i = 0; i < operations->count; i++)
    qsort_r(operations->members + (operations->rows[i].operations - operations->members),
            operations->rows[i].operation_count, sizeof(uint32_t), compare_members,
            (void *)work->profile);
}

/* ---- details ---- */

static const struct trace_operation_detail *detail_of(const struct profile *profile,
                                                      const struct operation_row *row, uint32_t i) {
  return profile->operations[row->operations[i]].detail;
}

static void add_percentiles(const struct profile *profile, struct operation_row *row) {
  uint64_t buckets[TRACE_BUCKETS] = {0};
  for (uint32_t i = 0; i < row->operation_count; i++) {
    const struct trace_operation_detail *detail = detail_of(profile, row, i);
    row->sum.has_percentiles |= detail != NULL;
    for (uint32_t k = 0; detail && k < TRACE_BUCKETS; k++)
      buckets[k] = plus(buckets[k], detail->buckets[k]);
  }
  row->sum.p50_ns = calls_percentile_ns(buckets, 0.50, row->sum.max_ns);
  row->sum.p95_ns = calls_percentile_ns(buckets, 0.95, row->sum.max_ns);
  row->sum.p99_ns = calls_percentile_ns(buckets, 0.99, row->sum.max_ns);
}

uint64_t operations_between(const struct profile *profile, const struct operation_row *row,
                            uint64_t low_ns, uint64_t high_ns) {
  uint64_t count = 0;
  for (uint32_t i = 0; i < row->operation_count; i++) {
    const struct trace_operation_detail *detail = detail_of(profile, row, i);
    for (uint32_t k = 0; detail && k < TRACE_BUCKETS; k++) {
      uint64_t middle_ns = calls_bucket_middle_ns(k);
      count = plus(count, middle_ns >= low_ns && middle_ns < high_ns ? detail->buckets[k] : 0);
    }
  }
  return count;
}

static int compare_errors(const void *left, const void *right) {
  const struct operation_error *a = left, *b = right;
  if (a->count != b->count)
    return a->count < b->count ? 1 : -1;
  return (a->error > b->error) - (a->error < b->error);
}

static void add_error(struct operation_row *row, uint32_t error, uint64_t count) {
  uint32_t i = 0;
  while (i < row->error_count && row->errors[i].error != error)
    i++;
  row->error_count += i == row->error_count;
  row->errors[i] =
      (struct operation_error){.error = error, .count = plus(row->errors[i].count, count)};
}

static uint32_t results_in(const struct trace_operation_detail *detail) {
  if (!detail)
    return 0;
  return detail->result_count < TRACE_RESULTS_MAX ? detail->result_count : TRACE_RESULTS_MAX;
}

static int add_errors(const struct profile *profile, struct operation_row *row) {
  size_t room = 1;
  uint64_t known = 0;
  for (uint32_t i = 0; i < row->operation_count; i++)
    room += results_in(detail_of(profile, row, i));
  row->errors = calloc(room, sizeof(*row->errors));
  if (!row->errors)
    return -ENOMEM;
  for (uint32_t i = 0; i < row->operation_count; i++) {
    const struct trace_operation_detail *detail = detail_of(profile, row, i);
    for (uint32_t k = 0; k < results_in(detail); k++) {
      known = plus(known, detail->results[k].count);
      if (detail->results[k].count)
        add_error(row, detail->results[k].error, detail->results[k].count);
    }
  }
  if (known < row->sum.errors)
    add_error(row, 0, row->sum.errors - known);
  qsort(row->errors, row->error_count, sizeof(*row->errors), compare_errors);
  return 0;
}

/* ---- stacks ---- */

static int add_stack(struct work *work, uint32_t at, const struct profile_operation_stack *from) {
  struct operation_row *row = &work->operations->rows[at];
  uint64_t key = (uint64_t)at << 32 | work->stacks->merged[from->node];
  uint32_t *known = hash_get(&work->nodes, key);
  uint32_t id = known ? *known : row->stack_count;
  struct operation_stack *stack = &row->stacks[id];
  if (!known) {
    *stack = (struct operation_stack){.node = from->node, .node_ns = from->total_ns};
    if (hash_put(&work->nodes, key, row->stack_count++))
      return -ENOMEM;
  } else if (from->total_ns > stack->node_ns) {
    stack->node = from->node;
    stack->node_ns = from->total_ns;
  }
  stack->count = plus(stack->count, from->count);
  stack->bytes = plus(stack->bytes, from->bytes);
  stack->total_ns = plus(stack->total_ns, from->total_ns);
  return 0;
}

static int compare_stacks(const void *left, const void *right) {
  const struct operation_stack *a = left, *b = right;
  int order = by_figures(a->total_ns, b->total_ns, a->count, b->count);
  return order ? order : (a->node > b->node) - (a->node < b->node);
}

static int add_stacks(struct work *work, uint32_t at) {
  const struct profile *profile = work->profile;
  struct operation_row *row = &work->operations->rows[at];
  int rc = 0;
  row->stacks = calloc(row->stack_count + (size_t)1, sizeof(*row->stacks));
  row->stack_count = 0;
  if (!row->stacks)
    return -ENOMEM;
  for (uint32_t i = 0; i < row->operation_count; i++) {
    const struct profile_operation *operation = &profile->operations[row->operations[i]];
    for (size_t k = 0; !rc && k < operation->stack_count; k++)
      rc = add_stack(work, at, &profile->operation_stacks[operation->stack_first + k]);
  }
  qsort(row->stacks, row->stack_count, sizeof(*row->stacks), compare_stacks);
  return rc;
}

/* ---- order ---- */

static int compare_rows(const void *left, const void *right, void *context) {
  const struct operation_row *a = left, *b = right;
  const struct profile *profile = context;
  int order = by_figures(a->sum.total_ns, b->sum.total_ns, a->sum.count, b->sum.count);
  if (!order && a->sum.bytes != b->sum.bytes)
    order = a->sum.bytes < b->sum.bytes ? 1 : -1;
  if (!order && a->name)
    order = strcmp(a->name, b->name);
  if (!order)
    order = strcmp(operations_object_name(profile, a->object),
                   operations_object_name(profile, b->object));
  return order ? order : (a->operations > b->operations) - (a->operations < b->operations);
}

/* An object's rows side by side, the objects in the order of their first rows. */
static int gather_objects(struct work *work) {
  const struct profile *profile = work->profile;
  struct operations *operations = work->operations;
  size_t room = operations->count + (size_t)1;
  struct operation_row *sorted = calloc(room, sizeof(*sorted));
  uint32_t *object_of = calloc(room, sizeof(*object_of));
  struct hash ids = {0};
  operations->objects = calloc(room, sizeof(*operations->objects));
  int rc = sorted && object_of && operations->objects ? 0 : -ENOMEM;
  for (uint32_t i = 0; !rc && i < operations->count; i++) {
    const struct operation_row *row = &operations->rows[i];
    uint64_t key = hash_mix(object_hash(profile, row->object), row->process);
    uint32_t *known = hash_get(&ids, key);
    object_of[i] = known ? *known : operations->object_count;
    if (!known) {
      rc = hash_put(&ids, key, operations->object_count);
      operations->objects[operations->object_count++] =
          (struct operation_object){.object = row->object, .process = row->process};
    }
    operations->objects[object_of[i]].row_count++;
  }
  uint32_t next = 0;
  for (uint32_t i = 0; !rc && i < operations->object_count; i++) {
    operations->objects[i].row_first = next;
    next += operations->objects[i].row_count;
    operations->objects[i].row_count = 0;
  }
  for (uint32_t i = 0; !rc && i < operations->count; i++) {
    struct operation_object *object = &operations->objects[object_of[i]];
    sorted[object->row_first + object->row_count++] = operations->rows[i];
  }
  if (!rc)
    memcpy(operations->rows, sorted, operations->count * sizeof(*sorted));
  free(sorted);
  free(object_of);
  hash_fini(&ids);
  return rc;
}

/* ---- all ---- */

static int fill_rows(struct work *work) {
  struct operations *operations = work->operations;
  int rc = 0;
  for (uint32_t i = 0; !rc && i < operations->count; i++) {
    add_percentiles(work->profile, &operations->rows[i]);
    rc = add_errors(work->profile, &operations->rows[i]);
    if (!rc)
      rc = add_stacks(work, i);
  }
  if (rc)
    return rc;
  qsort_r(operations->rows, operations->count, sizeof(*operations->rows), compare_rows,
          (void *)work->profile);
  return work->by & OPERATIONS_BY_OBJECT ? gather_objects(work) : 0;
}

int operations_build(struct operations *operations, const struct profile *profile,
                     const struct stacks *stacks, enum operation_class class, unsigned by) {
  struct work work = {
      .profile = profile, .stacks = stacks, .operations = operations, .class = class, .by = by};
  size_t room = profile->operation_count + (size_t)1;
  *operations = (struct operations){0};
  work.row_of = calloc(room, sizeof(*work.row_of));
  operations->rows = calloc(room, sizeof(*operations->rows));
  operations->members = calloc(room, sizeof(*operations->members));
  int rc = work.row_of && operations->rows && operations->members ? 0 : -ENOMEM;
  if (!rc)
    rc = make_rows(&work);
  if (!rc) {
    share_members(&work);
    rc = fill_rows(&work);
  }
  free(work.row_of);
  hash_fini(&work.rows);
  hash_fini(&work.nodes);
  return rc;
}

void operations_fini(struct operations *operations) {
  for (uint32_t i = 0; operations->rows && i < operations->count; i++) {
    free(operations->rows[i].stacks);
    free(operations->rows[i].errors);
  }
  free(operations->rows);
  free(operations->objects);
  free(operations->members);
  *operations = (struct operations){0};
}

const struct operation_row *operations_find(const struct operations *operations,
                                            const struct operation_object *object,
                                            const char *name) {
  for (uint32_t i = 0; i < object->row_count; i++) {
    const struct operation_row *row = &operations->rows[object->row_first + i];
    if (row->name && !strcmp(row->name, name))
      return row;
  }
  return NULL;
}

static int compare_places(const void *left, const void *right) {
  const struct operation_place *a = left, *b = right;
  int order = compare_stacks(a->stack, b->stack);
  return order ? order : (a->row > b->row) - (a->row < b->row);
}

int operations_places(struct operation_place **places, uint32_t *count,
                      const struct operations *operations, const struct profile *profile,
                      const char *name, const char *object) {
  size_t room = 1;
  for (uint32_t i = 0; i < operations->count; i++)
    room += operations->rows[i].stack_count;
  *count = 0;
  *places = calloc(room, sizeof(**places));
  if (!*places)
    return -ENOMEM;
  for (uint32_t i = 0; i < operations->count; i++) {
    const struct operation_row *row = &operations->rows[i];
    if ((name && strcmp(row->name, name) != 0) ||
        (object && strcmp(operations_object_name(profile, row->object), object) != 0))
      continue;
    for (uint32_t k = 0; k < row->stack_count; k++)
      (*places)[(*count)++] = (struct operation_place){.row = row, .stack = &row->stacks[k]};
  }
  qsort(*places, *count, sizeof(**places), compare_places);
  return 0;
}

static int compare_pointers(const void *left, const void *right, void *context) {
  return compare_rows(*(const struct operation_row *const *)left,
                      *(const struct operation_row *const *)right, context);
}

const struct operation_row **operations_by_time(const struct operations *operations,
                                                const struct profile *profile) {
  const struct operation_row **rows = calloc(operations->count + (size_t)1, sizeof(const void *));
  for (uint32_t i = 0; rows && i < operations->count; i++)
    rows[i] = &operations->rows[i];
  if (rows)
    qsort_r(rows, operations->count, sizeof(const void *), compare_pointers, (void *)profile);
  return rows;
}
