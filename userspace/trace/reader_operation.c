/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decodes the records of what the kernel did for the target. Layouts are drawn at the encoders in
 * writer_operation.c. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "trace/reader_internal.h"

void reader_operations_fini(struct reader_operations *operations) {
  buf_fini(&operations->sums);
}

void reader_operations_start_chunk(struct reader_operations *operations) {
  operations->last_ns = 0;
  operations->last_operation = 0;
  memset(operations->last_points, 0, sizeof(operations->last_points));
}

static uint64_t read_event_time(struct reader *reader, struct cursor *cursor) {
  uint64_t *last_ns = &reader->operations.last_ns;
  *last_ns += format_unzigzag(reader_u64(cursor));
  if (*last_ns > FORMAT_TIME_NS_MAX)
    cursor->failed = true;
  return *last_ns;
}

/* The operation of a sum, a detail or a stack; 0 when there is no such one. */
static uint32_t read_operation_step(struct reader *reader, struct cursor *cursor) {
  uint64_t id = reader->operations.last_operation + format_unzigzag(reader_u64(cursor));
  if (!id || id > reader->operations.operation_count) {
    reader->has_unknown_id = true;
    return 0;
  }
  reader->operations.last_operation = (uint32_t)id;
  return (uint32_t)id;
}

int read_object(struct reader *reader, struct cursor *cursor) {
  uint32_t id = reader_next_id(cursor, reader->operations.object_count);
  struct trace_object object = {.kind = reader_u32(cursor)};
  object.name = reader_text(reader, cursor);
  if (object.kind < OBJECT_FILE || object.kind >= OBJECT_KINDS)
    cursor->failed = true;
  int end = reader_check(reader, cursor);
  if (end)
    return end;
  reader->operations.object_count = id;
  return VISIT(reader, object, id, &object);
}

int read_operation(struct reader *reader, struct cursor *cursor) {
  struct reader_operations *state = &reader->operations;
  uint32_t id = reader_next_id(cursor, state->operation_count);
  struct trace_operation operation = {.class = reader_u32(cursor)};
  if (operation.class < OPERATION_SYSCALL || operation.class >= OPERATION_CLASSES)
    cursor->failed = true;
  operation.pid = reader_u32(cursor);
  operation.thread = reader_id(reader, cursor, reader->thread_count);
  operation.object = reader_id(reader, cursor, state->object_count);
  operation.name = reader_text(reader, cursor);
  int end = reader_check(reader, cursor);
  if (end)
    return end;
  struct trace_operation_sum nothing = {.operation = id};
  buf_put(&state->sums, &nothing, sizeof(nothing));
  if (state->sums.failed)
    return error_set(ENOMEM, "out of memory");
  state->operation_count = id;
  return VISIT(reader, operation, id, &operation);
}

/* A number of 64 bits that only grows. */
static uint64_t read_growth(struct cursor *cursor, uint64_t last) {
  uint64_t now;
  if (__builtin_add_overflow(last, reader_u64(cursor), &now))
    cursor->failed = true;
  return now;
}

int read_operation_sum(struct reader *reader, struct cursor *cursor) {
  struct trace_operation_sum sum = {.time_ns = read_event_time(reader, cursor)};
  sum.operation = read_operation_step(reader, cursor);
  if (!sum.operation)
    return reader_check(reader, cursor);
  struct trace_operation_sum *last =
      (struct trace_operation_sum *)reader->operations.sums.data + sum.operation - 1;
  sum.count = read_growth(cursor, last->count);
  sum.errors = read_growth(cursor, last->errors);
  sum.bytes = read_growth(cursor, last->bytes);
  sum.total_ns = read_growth(cursor, last->total_ns);
  sum.max_ns = read_growth(cursor, last->max_ns);
  if (sum.time_ns < last->time_ns || sum.max_ns > FORMAT_TIME_NS_MAX)
    cursor->failed = true;
  int end = reader_check(reader, cursor);
  if (end)
    return end;
  *last = sum;
  return VISIT(reader, operation_sum, &sum);
}

static void read_results(struct cursor *cursor, struct trace_operation_detail *detail) {
  detail->result_count = reader_u32(cursor);
  if (detail->result_count > TRACE_RESULTS_MAX)
    cursor->failed = true;
  uint64_t sum = 0;
  for (uint32_t i = 0; i < detail->result_count && !cursor->failed; i++) {
    detail->results[i].error = reader_u32(cursor);
    detail->results[i].count = reader_u64(cursor);
    if (!detail->results[i].count || __builtin_add_overflow(sum, detail->results[i].count, &sum))
      cursor->failed = true;
    for (uint32_t j = 0; j < i; j++)
      if (detail->results[j].error == detail->results[i].error)
        cursor->failed = true;
  }
}

int read_operation_detail(struct reader *reader, struct cursor *cursor) {
  struct trace_operation_detail detail = {.operation = read_operation_step(reader, cursor)};
  reader_buckets(cursor, detail.buckets);
  read_results(cursor, &detail);
  int end = reader_check(reader, cursor);
  return end ? end : VISIT(reader, operation_detail, &detail);
}

int read_operation_stack(struct reader *reader, struct cursor *cursor) {
  struct trace_operation_stack stack = {.operation = read_operation_step(reader, cursor)};
  stack.node = reader_id(reader, cursor, reader->node_count);
  stack.count = reader_u64(cursor);
  stack.bytes = reader_u64(cursor);
  stack.total_ns = reader_u64(cursor);
  int end = reader_check(reader, cursor);
  return end ? end : VISIT(reader, operation_stack, &stack);
}

int read_slow_operation(struct reader *reader, struct cursor *cursor) {
  struct trace_slow_operation slow = {.time_ns = read_event_time(reader, cursor)};
  slow.operation = reader_entry(reader, cursor, reader->operations.operation_count);
  slow.thread = reader_entry(reader, cursor, reader->thread_count);
  slow.node = reader_id(reader, cursor, reader->node_count);
  slow.object = reader_id(reader, cursor, reader->operations.object_count);
  slow.duration_ns = reader_time(cursor);
  slow.result = (int64_t)format_unzigzag(reader_u64(cursor));
  int end = reader_check(reader, cursor);
  return end ? end : VISIT(reader, slow_operation, &slow);
}

int read_happening(struct reader *reader, struct cursor *cursor) {
  struct trace_happening happening = {.time_ns = read_event_time(reader, cursor)};
  happening.pid = reader_u32(cursor);
  happening.what = reader_u32(cursor);
  happening.value = reader_u64(cursor);
  happening.text = reader_text(reader, cursor);
  if (happening.what < HAPPENING_FORK || happening.what >= HAPPENINGS)
    cursor->failed = true;
  int end = reader_check(reader, cursor);
  return end ? end : VISIT(reader, happening, &happening);
}

/* Metrics that are not known here are passed on, as long as there can be such. */
int read_point(struct reader *reader, struct cursor *cursor) {
  struct trace_point point = {.time_ns = read_event_time(reader, cursor)};
  point.pid = reader_u32(cursor);
  uint32_t metric = reader_u32(cursor);
  uint64_t step = format_unzigzag(reader_u64(cursor));
  if (metric >= POINT_METRICS)
    cursor->failed = true;
  int end = reader_check(reader, cursor);
  if (end)
    return end;
  point.metric = metric;
  point.value = reader->operations.last_points[metric] += step;
  return VISIT(reader, point, &point);
}
