/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Encodes the records of what the kernel did for the target: objects, operations and what they came
 * to, happenings, points. Their times are differences among themselves, so that a reader that skips
 * these records reads the others right. */
#include "base/buf.h"
#include "trace/format.h"
#include "trace/writer_internal.h"

struct object_entry {
  uint32_t kind;
  uint32_t name; /* string id */
};

struct operation_entry {
  uint32_t class;
  uint32_t pid;
  uint32_t thread;
  uint32_t object;
  uint32_t name; /* string id */
};

_Static_assert(sizeof(struct object_entry) == 8 && sizeof(struct operation_entry) == 20,
               "no padding: entries are compared as bytes");

void writer_operations_fini(struct writer_operations *operations) {
  hash_fini(&operations->objects);
  buf_fini(&operations->object_entries);
  hash_fini(&operations->operations);
  buf_fini(&operations->operation_entries);
  buf_fini(&operations->sums);
}

void writer_operations_start_chunk(struct writer_operations *operations) {
  operations->last_ns = 0;
  operations->last_operation = 0;
  for (uint32_t i = 0; i < POINT_METRICS; i++)
    operations->last_points[i] = 0;
}

static bool is_operation(const struct trace_writer *writer, uint32_t id) {
  return id && id <= writer->operations.operation_count;
}

static void body_time(struct body *body, struct trace_writer *writer, uint64_t ns) {
  body_varint(body, format_zigzag(ns - writer->operations.last_ns));
  writer->operations.last_ns = ns;
}

/* The operation of a sum, a detail or a stack, as a difference to that of the one before. */
static uint64_t operation_step(struct trace_writer *writer, uint32_t operation) {
  uint64_t step = format_zigzag((uint64_t)operation - writer->operations.last_operation);
  writer->operations.last_operation = operation;
  return step;
}

/* object = kind | name */
uint32_t trace_put_object(struct trace_writer *writer, const struct trace_object *object) {
  struct writer_operations *state = &writer->operations;
  struct object_entry entry = {object->kind, writer_put_text(writer, object->name)};
  if (!writer_accept(writer, entry.kind >= OBJECT_FILE && entry.kind < OBJECT_KINDS))
    return 0;
  uint64_t key = hash_bytes(&entry, sizeof(entry));
  uint32_t id =
      writer_find_entry(&state->objects, &key, &state->object_entries, &entry, sizeof(entry));
  if (id)
    return id;
  id = writer_add_entry(writer, &state->objects, key, &state->object_entries, &state->object_count,
                        &entry, sizeof(entry));
  if (!id)
    return 0;
  struct body body = {0};
  body_varint(&body, entry.kind);
  body_varint(&body, entry.name);
  writer_put_body(writer, RECORD_OBJECT, &body);
  return writer->error ? 0 : id;
}

static bool is_operation_valid(const struct trace_writer *writer,
                               const struct operation_entry *entry) {
  return entry->class >= OPERATION_SYSCALL && entry->class < OPERATION_CLASSES && entry->name &&
         entry->thread <= writer->thread_count && entry->object <= writer->operations.object_count;
}

/* operation = class | pid | thread | object | name */
static uint32_t add_operation(struct trace_writer *writer, uint64_t key,
                              const struct operation_entry *entry) {
  struct writer_operations *state = &writer->operations;
  struct trace_operation_sum nothing = {0};
  buf_put(&state->sums, &nothing, sizeof(nothing));
  if (state->sums.failed) {
    writer_out_of_memory(writer);
    return 0;
  }
  uint32_t id = writer_add_entry(writer, &state->operations, key, &state->operation_entries,
                                 &state->operation_count, entry, sizeof(*entry));
  if (!id)
    return 0;
  struct body body = {0};
  body_varint(&body, entry->class);
  body_varint(&body, entry->pid);
  body_varint(&body, entry->thread);
  body_varint(&body, entry->object);
  body_varint(&body, entry->name);
  writer_put_body(writer, RECORD_OPERATION, &body);
  return writer->error ? 0 : id;
}

uint32_t trace_put_operation(struct trace_writer *writer, const struct trace_operation *operation) {
  struct operation_entry entry = {operation->class, operation->pid, operation->thread,
                                  operation->object, writer_put_text(writer, operation->name)};
  if (!writer_accept(writer, is_operation_valid(writer, &entry)))
    return 0;
  uint64_t key = hash_bytes(&entry, sizeof(entry));
  uint32_t id = writer_find_entry(&writer->operations.operations, &key,
                                  &writer->operations.operation_entries, &entry, sizeof(entry));
  return id ? id : add_operation(writer, key, &entry);
}

static bool has_not_fallen(const struct trace_operation_sum *last,
                           const struct trace_operation_sum *sum) {
  return sum->time_ns >= last->time_ns && sum->count >= last->count &&
         sum->errors >= last->errors && sum->bytes >= last->bytes &&
         sum->total_ns >= last->total_ns && sum->max_ns >= last->max_ns;
}

/* operation_sum = zigzag(time_ns - last) | zigzag(operation - last operation)
 *               | count | errors | bytes | total_ns | max_ns
 * The last five are differences to those of the operation's record before, in whatever chunk. */
void trace_put_operation_sum(struct trace_writer *writer, const struct trace_operation_sum *sum) {
  if (!writer_accept(writer, is_operation(writer, sum->operation)))
    return;
  struct trace_operation_sum *last =
      (struct trace_operation_sum *)writer->operations.sums.data + sum->operation - 1;
  if (!writer_accept(writer, writer_is_time(sum->time_ns) && writer_is_time(sum->max_ns) &&
                                 has_not_fallen(last, sum)))
    return;
  struct body body = {0};
  body_time(&body, writer, sum->time_ns);
  body_varint(&body, operation_step(writer, sum->operation));
  body_varint(&body, sum->count - last->count);
  body_varint(&body, sum->errors - last->errors);
  body_varint(&body, sum->bytes - last->bytes);
  body_varint(&body, sum->total_ns - last->total_ns);
  body_varint(&body, sum->max_ns - last->max_ns);
  *last = *sum;
  writer_put_body(writer, RECORD_OPERATION_SUM, &body);
}

static bool is_detail_valid(const struct trace_writer *writer,
                            const struct trace_operation_detail *detail) {
  if (!is_operation(writer, detail->operation) || detail->result_count > TRACE_RESULTS_MAX ||
      !writer_are_buckets_valid(detail->buckets))
    return false;
  uint64_t sum = 0;
  for (uint32_t i = 0; i < detail->result_count; i++) {
    if (__builtin_add_overflow(sum, detail->results[i].count, &sum))
      return false;
    for (uint32_t j = 0; j < i; j++)
      if (detail->results[j].error == detail->results[i].error)
        return false;
  }
  return true;
}

/* operation_detail = zigzag(operation - last operation) | buckets as of a call
 *                  | results | (error, count)[results]                   (those that came up) */
void trace_put_operation_detail(struct trace_writer *writer,
                                const struct trace_operation_detail *detail) {
  if (!writer_accept(writer, is_detail_valid(writer, detail)))
    return;
  struct buf *body = &writer->scratch;
  uint32_t used = 0;
  for (uint32_t i = 0; i < detail->result_count; i++)
    used += detail->results[i].count != 0;
  buf_clear(body);
  buf_put_varint(body, operation_step(writer, detail->operation));
  writer_put_buckets(body, detail->buckets);
  buf_put_varint(body, used);
  for (uint32_t i = 0; i < detail->result_count; i++) {
    if (!detail->results[i].count)
      continue;
    buf_put_varint(body, detail->results[i].error);
    buf_put_varint(body, detail->results[i].count);
  }
  writer_put_scratch(writer, RECORD_OPERATION_DETAIL);
}

/* operation_stack = zigzag(operation - last operation) | node | count | bytes | total_ns */
void trace_put_operation_stack(struct trace_writer *writer,
                               const struct trace_operation_stack *stack) {
  if (!writer_accept(writer,
                     is_operation(writer, stack->operation) && stack->node <= writer->node_count))
    return;
  struct body body = {0};
  body_varint(&body, operation_step(writer, stack->operation));
  body_varint(&body, stack->node);
  body_varint(&body, stack->count);
  body_varint(&body, stack->bytes);
  body_varint(&body, stack->total_ns);
  writer_put_body(writer, RECORD_OPERATION_STACK, &body);
}

/* slow_operation = zigzag(time_ns - last) | operation | thread | node | object | duration_ns
 *                | zigzag(result) */
void trace_put_slow_operation(struct trace_writer *writer,
                              const struct trace_slow_operation *slow) {
  if (!writer_accept(
          writer, is_operation(writer, slow->operation) && writer_is_thread(writer, slow->thread) &&
                      slow->node <= writer->node_count &&
                      slow->object <= writer->operations.object_count &&
                      writer_is_time(slow->time_ns) && writer_is_time(slow->duration_ns)))
    return;
  struct body body = {0};
  body_time(&body, writer, slow->time_ns);
  body_varint(&body, slow->operation);
  body_varint(&body, slow->thread);
  body_varint(&body, slow->node);
  body_varint(&body, slow->object);
  body_varint(&body, slow->duration_ns);
  body_varint(&body, format_zigzag((uint64_t)slow->result));
  writer_put_body(writer, RECORD_SLOW_OPERATION, &body);
}

/* happening = zigzag(time_ns - last) | pid | what | value | text */
void trace_put_happening(struct trace_writer *writer, const struct trace_happening *happening) {
  uint32_t text = writer_put_text(writer, happening->text);
  if (!writer_accept(writer, writer_is_time(happening->time_ns) &&
                                 happening->what >= HAPPENING_FORK && happening->what < HAPPENINGS))
    return;
  struct body body = {0};
  body_time(&body, writer, happening->time_ns);
  body_varint(&body, happening->pid);
  body_varint(&body, happening->what);
  body_varint(&body, happening->value);
  body_varint(&body, text);
  writer_put_body(writer, RECORD_HAPPENING, &body);
}

/* point = zigzag(time_ns - last) | pid | metric | zigzag(value - last of the metric) */
void trace_put_point(struct trace_writer *writer, const struct trace_point *point) {
  if (!writer_accept(writer,
                     writer_is_time(point->time_ns) && (unsigned)point->metric < POINT_METRICS))
    return;
  uint64_t *last = &writer->operations.last_points[point->metric];
  struct body body = {0};
  body_time(&body, writer, point->time_ns);
  body_varint(&body, point->pid);
  body_varint(&body, point->metric);
  body_varint(&body, format_zigzag(point->value - *last));
  *last = point->value;
  writer_put_body(writer, RECORD_POINT, &body);
}
