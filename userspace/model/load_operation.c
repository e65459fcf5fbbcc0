/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Gathers the records of what the kernel did for the target; of details and stacks that come again,
 * the last one holds. */
#include <errno.h>
#include <stddef.h>

#include "base/error.h"
#include "model/load.h"

void loader_operations_init(struct loader_operations *operations) {
  operations->points =
      (struct thinned){.point_bytes = sizeof(struct trace_operation_sum),
                       .series_offset = offsetof(struct trace_operation_sum, operation),
                       .points_max = PROFILE_OPERATION_POINTS_MAX};
  operations->metrics = (struct thinned){.point_bytes = sizeof(struct loader_point),
                                         .series_offset = offsetof(struct loader_point, series),
                                         .points_max = PROFILE_METRIC_POINTS_MAX};
}

void loader_operations_fini(struct loader_operations *operations) {
  buf_fini(&operations->objects);
  hash_fini(&operations->object_of_content);
  buf_fini(&operations->object_of_id);
  buf_fini(&operations->operations);
  thinned_fini(&operations->points);
  buf_fini(&operations->details);
  buf_fini(&operations->stacks);
  hash_fini(&operations->stack_of_place);
  buf_fini(&operations->slow);
  buf_fini(&operations->happenings);
  thinned_fini(&operations->metrics);
  hash_fini(&operations->series_of_metric);
}

/* The index of the object with this content. */
static int intern_object(struct loader *loader, const struct trace_object *object,
                         uint32_t *index) {
  struct loader_operations *state = &loader->operations;
  struct profile_object entry = {.kind = object->kind, .name = loader_keep(loader, object->name)};
  if (!entry.name)
    return -ENOMEM;
  uint64_t key = hash_mix(entry.kind, (uintptr_t)entry.name);
  const struct profile_object *objects = (const struct profile_object *)state->objects.data;
  for (const uint32_t *at; (at = hash_get(&state->object_of_content, key)); key++) {
    if (objects[*at].kind != entry.kind || objects[*at].name != entry.name)
      continue;
    *index = *at;
    return 0;
  }
  *index = (uint32_t)(state->objects.length / sizeof(entry));
  return loader_push_keyed(&state->objects, &entry, sizeof(entry), &state->object_of_content, key);
}

int loader_on_object(void *context, uint32_t id, const struct trace_object *object) {
  (void)id;
  struct loader *loader = context;
  uint32_t index = 0;
  int error = intern_object(loader, object, &index);
  return error ? error : loader_push(&loader->operations.object_of_id, &index, sizeof(index));
}

static uint32_t object_of(const struct loader *loader, uint32_t id) {
  return id ? ((const uint32_t *)loader->operations.object_of_id.data)[id - 1] : PROFILE_NONE;
}

int loader_on_operation(void *context, uint32_t id, const struct trace_operation *operation) {
  (void)id;
  struct loader *loader = context;
  struct loader_operation entry = {
      .class = operation->class,
      .process = PROFILE_NONE,
      .thread = operation->thread ? operation->thread - 1 : PROFILE_NONE,
      .object = object_of(loader, operation->object),
      .detail = PROFILE_NONE,
      .name = loader_keep(loader, operation->name),
  };
  if (!entry.name)
    return -ENOMEM;
  if (loader->operations.operations.length / sizeof(entry) >= PROFILE_NONE - 1)
    return error_set(E2BIG, "the trace holds too many records");
  int error = 0;
  if (entry.thread == PROFILE_NONE)
    error = loader_find_process(loader, operation->pid, "", &entry.process);
  if (!error)
    error = thinned_add_series(&loader->operations.points);
  return error ? error : loader_push(&loader->operations.operations, &entry, sizeof(entry));
}

int loader_on_operation_sum(void *context, const struct trace_operation_sum *sum) {
  struct loader *loader = context;
  struct trace_operation_sum entry = *sum;
  entry.operation--;
  loader_note_time(loader, sum->time_ns);
  return thinned_add(&loader->operations.points, &entry);
}

int loader_on_operation_detail(void *context, const struct trace_operation_detail *detail) {
  struct loader *loader = context;
  struct buf *details = &loader->operations.details;
  struct loader_operation *operation =
      (struct loader_operation *)loader->operations.operations.data + detail->operation - 1;
  if (operation->detail == PROFILE_NONE) {
    operation->detail = (uint32_t)(details->length / sizeof(*detail));
    return loader_push(details, detail, sizeof(*detail));
  }
  ((struct trace_operation_detail *)details->data)[operation->detail] = *detail;
  return 0;
}

int loader_on_operation_stack(void *context, const struct trace_operation_stack *stack) {
  struct loader *loader = context;
  struct loader_operations *state = &loader->operations;
  struct profile_operation_stack entry = {.operation = stack->operation - 1,
                                          .node = stack->node,
                                          .count = stack->count,
                                          .bytes = stack->bytes,
                                          .total_ns = stack->total_ns};
  uint64_t key = (uint64_t)stack->operation << 32 | stack->node;
  const uint32_t *known = hash_get(&state->stack_of_place, key);
  if (!known)
    return loader_push_keyed(&state->stacks, &entry, sizeof(entry), &state->stack_of_place, key);
  ((struct profile_operation_stack *)state->stacks.data)[*known] = entry;
  return 0;
}

int loader_on_slow_operation(void *context, const struct trace_slow_operation *slow) {
  struct loader *loader = context;
  struct profile_slow_operation entry = {.time_ns = slow->time_ns,
                                         .duration_ns = slow->duration_ns,
                                         .result = slow->result,
                                         .operation = slow->operation - 1,
                                         .thread = slow->thread - 1,
                                         .node = slow->node,
                                         .object = object_of(loader, slow->object)};
  loader_note_time(loader, slow->time_ns + slow->duration_ns);
  return loader_push(&loader->operations.slow, &entry, sizeof(entry));
}

int loader_on_happening(void *context, const struct trace_happening *happening) {
  struct loader *loader = context;
  struct profile_happening entry = {.time_ns = happening->time_ns,
                                    .what = happening->what,
                                    .value = happening->value,
                                    .text = loader_keep(loader, happening->text)};
  if (!entry.text)
    return -ENOMEM;
  loader_note_time(loader, happening->time_ns);
  int error = loader_find_process(loader, happening->pid, "", &entry.process);
  return error ? error : loader_push(&loader->operations.happenings, &entry, sizeof(entry));
}

/* The series of a metric of a process. */
static int find_series(struct loader_operations *state, const struct profile_point *point,
                       uint32_t *series) {
  uint64_t key = (uint64_t)point->process << 32 | point->metric;
  const uint32_t *known = hash_get(&state->series_of_metric, key);
  if (known) {
    *series = *known;
    return 0;
  }
  *series = (uint32_t)(state->metrics.series.length / sizeof(struct thinned_series));
  if (hash_put(&state->series_of_metric, key, *series))
    return error_set(ENOMEM, "out of memory");
  return thinned_add_series(&state->metrics);
}

int loader_on_point(void *context, const struct trace_point *point) {
  struct loader *loader = context;
  struct loader_point entry = {.point = {.time_ns = point->time_ns,
                                         .process = PROFILE_NONE,
                                         .metric = point->metric,
                                         .value = point->value}};
  loader_note_time(loader, point->time_ns);
  int error = 0;
  if (point->pid)
    error = loader_find_process(loader, point->pid, "", &entry.point.process);
  if (!error)
    error = find_series(&loader->operations, &entry.point, &entry.series);
  return error ? error : thinned_add(&loader->operations.metrics, &entry);
}
