/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the members of the JSON report that say what the kernel did: syscalls, slow_syscalls, files,
 * peers, blocks, faults. */
#include "render/report_json_system.h"

#include <math.h>
#include <stdlib.h>

#include "base/units.h"
#include "render/report_system.h"

/* Stacks are most of a report: so many of a row, of those that follow so many rows but one. */
#define STACKS_MAX 5
#define ROWS_WITH_STACKS 50

/* ---- Rows of operations ---------------------------------------------------------------------- */

void report_json_limit_stacks(struct report_json *writer, uint32_t row) {
  writer->stacks_max = row < ROWS_WITH_STACKS ? STACKS_MAX : 1;
}

void report_json_fine_ms(struct report_json *writer, const char *key, uint64_t ns) {
  json_member_double(&writer->json, key, (double)ns / (double)NS_PER_MS, 6);
}

static void put_percentile(struct report_json *writer, const char *key,
                           const struct operation_sum *sum, uint64_t ns) {
  double ms = sum->has_percentiles ? (double)ns / (double)NS_PER_MS : NAN;
  json_member_double(&writer->json, key, ms, 6);
}

void report_json_sum(struct report_json *writer, const struct operation_sum *sum) {
  struct json *json = &writer->json;
  json_member_u64(json, "count", sum->count);
  json_member_u64(json, "errors", sum->errors);
  json_member_u64(json, "bytes", sum->bytes);
  report_json_fine_ms(writer, "total_ms", sum->total_ns);
  report_json_pct(writer, "wall_pct", sum->total_ns, writer->summary->accounting.total.wall_ns);
  report_json_fine_ms(writer, "mean_ms", sum->count ? sum->total_ns / sum->count : 0);
  put_percentile(writer, "p50_ms", sum, sum->p50_ns);
  put_percentile(writer, "p95_ms", sum, sum->p95_ns);
  put_percentile(writer, "p99_ms", sum, sum->p99_ns);
  report_json_fine_ms(writer, "max_ms", sum->max_ns);
}

static void put_errors(struct report_json *writer, const struct operation_row *row) {
  struct json *json = &writer->json;
  char text[32];
  json_key(json, "by_error");
  json_open_array(json);
  for (uint32_t i = 0; i < row->error_count; i++) {
    json_open_object(json);
    json_member_text(json, "error", system_error_name(text, row->errors[i].error));
    json_member_u64(json, "errno", row->errors[i].error);
    json_member_u64(json, "count", row->errors[i].count);
    json_close_object(json);
  }
  json_close_array(json);
}

void report_json_thread(struct report_json *writer, uint32_t thread) {
  const struct profile *profile = writer->profile;
  struct json *json = &writer->json;
  if (thread == PROFILE_NONE) {
    json_key(json, "thread");
    json_null(json);
    return;
  }
  json_member_text(json, "thread", profile->threads[thread].name);
  json_member_u64(json, "tid", profile->threads[thread].tid);
  json_member_u64(json, "pid", profile->processes[profile->threads[thread].process].pid);
}

void report_json_threads(struct report_json *writer, const struct operation_row *row) {
  struct json *json = &writer->json;
  json_key(json, "threads");
  json_open_array(json);
  for (uint32_t i = 0; row && i < report_json_shown(writer, row->operation_count); i++) {
    const struct profile_operation *operation = &writer->profile->operations[row->operations[i]];
    json_open_object(json);
    report_json_thread(writer, operation->thread);
    json_member_u64(json, "count", operation->total.count);
    json_member_u64(json, "errors", operation->total.errors);
    json_member_u64(json, "bytes", operation->total.bytes);
    report_json_fine_ms(writer, "total_ms", operation->total.total_ns);
    report_json_fine_ms(writer, "max_ms", operation->total.max_ns);
    json_close_object(json);
  }
  json_close_array(json);
}

void report_json_stacks(struct report_json *writer, const struct operation_row *row) {
  struct json *json = &writer->json;
  uint32_t count = row ? report_json_shown(writer, row->stack_count) : 0;
  json_member_u64(json, "stack_count", row ? row->stack_count : 0);
  json_key(json, "stacks");
  json_open_array(json);
  for (uint32_t i = 0; i < count && i < writer->stacks_max; i++) {
    const struct operation_stack *stack = &row->stacks[i];
    json_open_object(json);
    json_member_u64(json, "count", stack->count);
    json_member_u64(json, "bytes", stack->bytes);
    report_json_fine_ms(writer, "total_ms", stack->total_ns);
    report_json_stack(writer, stack->node);
    json_close_object(json);
  }
  json_close_array(json);
}

void report_json_row(struct report_json *writer, const struct operation_row *row) {
  json_member_text(&writer->json, "name", row->name);
  report_json_sum(writer, &row->sum);
  put_errors(writer, row);
  report_json_stacks(writer, row);
}

static void put_named(struct report_json *writer, const char *key,
                      const struct operations *operations) {
  struct json *json = &writer->json;
  json_key(json, key);
  json_open_array(json);
  for (uint32_t i = 0; i < report_json_shown(writer, operations->count); i++) {
    json_open_object(json);
    report_json_limit_stacks(writer, i);
    report_json_row(writer, &operations->rows[i]);
    report_json_threads(writer, &operations->rows[i]);
    json_close_object(json);
  }
  json_close_array(json);
}

/* ---- System calls ---------------------------------------------------------------------------- */

static void put_object(struct report_json *writer, const char *key, uint32_t object) {
  const struct profile *profile = writer->profile;
  bool is_known = object < profile->object_count;
  json_member_text(&writer->json, key, operations_object_name(profile, object));
  json_member_text(&writer->json, "object_kind",
                   is_known ? object_kind_name(profile->objects[object].kind) : "");
}

static void put_slow(struct report_json *writer) {
  const struct slow *slow = &writer->summary->system.slow;
  struct json *json = &writer->json;
  json_key(json, "slow_syscalls");
  json_open_array(json);
  for (uint32_t i = 0; i < report_json_shown(writer, slow->count); i++) {
    const struct slow_row *row = &slow->rows[i];
    json_open_object(json);
    json_member_text(json, "name", row->name);
    put_object(writer, "object", row->object);
    json_member_u64(json, "count", row->count);
    json_member_u64(json, "errors", row->errors);
    report_json_fine_ms(writer, "total_ms", row->total_ns);
    report_json_fine_ms(writer, "max_ms", row->max_ns);
    report_json_fine_ms(writer, "max_start_ms", row->max_time_ns);
    report_json_stack(writer, row->node);
    json_close_object(json);
  }
  json_close_array(json);
}

/* ---- Files, peers, disks --------------------------------------------------------------------- */

static void put_kinds(struct report_json *writer, const struct io_row *row) {
  json_key(&writer->json, "operations");
  json_open_array(&writer->json);
  for (int kind = 0; kind < IO_KINDS; kind++) {
    if (!row->kinds[kind])
      continue;
    json_open_object(&writer->json);
    report_json_row(writer, row->kinds[kind]);
    json_close_object(&writer->json);
  }
  json_close_array(&writer->json);
}

static void put_file(struct report_json *writer, const struct io_row *row) {
  struct json *json = &writer->json;
  double cached_pct = io_cached_pct(row);
  put_object(writer, "file", row->object);
  report_json_fine_ms(writer, "total_ms", row->total_ns);
  json_member_u64(json, "opens", io_sum(row, IO_OPEN)->count);
  json_member_u64(json, "reads", io_sum(row, IO_READ)->count);
  json_member_u64(json, "read_bytes", io_sum(row, IO_READ)->bytes);
  json_member_u64(json, "writes", io_sum(row, IO_WRITE)->count);
  json_member_u64(json, "write_bytes", io_sum(row, IO_WRITE)->bytes);
  json_member_u64(json, "fsyncs", io_sum(row, IO_FSYNC)->count);
  json_member_u64(json, "device_read_bytes", io_sum(row, IO_DEVICE_READ)->bytes);
  json_member_double(json, "cached_pct", cached_pct < 0 ? NAN : cached_pct, 2);
}

static void put_peer(struct report_json *writer, const struct io_row *row) {
  const struct operation_sum *connect = io_sum(row, IO_CONNECT);
  struct json *json = &writer->json;
  put_object(writer, "peer", row->object);
  json_member_u64(json, "connects", connect->count);
  report_json_fine_ms(writer, "connect_mean_ms",
                      connect->count ? connect->total_ns / connect->count : 0);
  json_member_u64(json, "accepts", io_sum(row, IO_ACCEPT)->count);
  json_member_u64(json, "sent_bytes", io_sum(row, IO_SEND)->bytes);
  json_member_u64(json, "received_bytes", io_sum(row, IO_RECEIVE)->bytes);
  report_json_fine_ms(writer, "receive_ms", io_sum(row, IO_RECEIVE)->total_ns);
  report_json_fine_ms(writer, "receive_max_ms", io_sum(row, IO_RECEIVE)->max_ns);
  json_member_u64(json, "retransmits", io_sum(row, IO_RETRANSMIT)->count);
  json_member_u64(json, "dns_lookups", io_sum(row, IO_DNS)->count);
  report_json_fine_ms(writer, "dns_ms", io_sum(row, IO_DNS)->total_ns);
}

static void put_io(struct report_json *writer, const char *key, const struct io *io,
                   void (*put)(struct report_json *, const struct io_row *)) {
  json_key(&writer->json, key);
  json_open_array(&writer->json);
  for (uint32_t i = 0; i < report_json_shown(writer, io->count); i++) {
    json_open_object(&writer->json);
    report_json_limit_stacks(writer, i);
    put(writer, &io->rows[i]);
    put_kinds(writer, &io->rows[i]);
    json_close_object(&writer->json);
  }
  json_close_array(&writer->json);
}

static void put_blocks(struct report_json *writer) {
  const struct operations *operations = &writer->summary->system.disks.operations;
  const struct operation_row **rows = operations_by_time(operations, writer->profile);
  struct json *json = &writer->json;
  writer->failed |= !rows;
  json_key(json, "blocks");
  json_open_array(json);
  for (uint32_t i = 0; rows && i < report_json_shown(writer, operations->count); i++) {
    json_open_object(json);
    report_json_limit_stacks(writer, i);
    json_member_text(json, "disk", operations_object_name(writer->profile, rows[i]->object));
    report_json_row(writer, rows[i]);
    json_close_object(json);
  }
  json_close_array(json);
  free(rows);
}

/* ---- Page faults ----------------------------------------------------------------------------- */

static void put_fault_objects(struct report_json *writer, const struct io *objects) {
  struct json *json = &writer->json;
  json_key(json, "objects");
  json_open_array(json);
  for (uint32_t i = 0; i < report_json_shown(writer, objects->count); i++) {
    const struct io_row *row = &objects->rows[i];
    json_open_object(json);
    put_object(writer, "object", row->object);
    json_member_u64(json, "major", io_sum(row, IO_MAJOR)->count);
    json_member_u64(json, "minor", io_sum(row, IO_MINOR)->count);
    json_member_u64(json, "bytes", io_sum(row, IO_MAJOR)->bytes + io_sum(row, IO_MINOR)->bytes);
    report_json_fine_ms(writer, "total_ms", row->total_ns);
    json_close_object(json);
  }
  json_close_array(json);
}

static void put_fault_stacks(struct report_json *writer, const struct faults *faults) {
  struct json *json = &writer->json;
  json_key(json, "stacks");
  json_open_array(json);
  for (uint32_t i = 0; i < report_json_shown(writer, faults->stack_count); i++) {
    const struct fault_stack *stack = &faults->stacks[i];
    json_open_object(json);
    json_member_u64(json, "major", stack->major);
    json_member_u64(json, "minor", stack->minor);
    json_member_u64(json, "bytes", stack->bytes);
    report_json_fine_ms(writer, "on_cpu_ms", stack->on_cpu_ns);
    json_member_u64(json, "samples", stack->samples);
    report_json_fine_ms(writer, "blocked_ms", stack->blocked_ns);
    json_member_u64(json, "waits", stack->waits);
    report_json_fine_ms(writer, "max_ms", stack->max_ns);
    put_object(writer, "object", stack->object);
    report_json_stack(writer, stack->node);
    json_close_object(json);
  }
  json_close_array(json);
}

static void put_faults(struct report_json *writer) {
  const struct faults *faults = &writer->summary->system.faults;
  struct json *json = &writer->json;
  json_key(json, "faults");
  if (!faults->is_recorded) {
    json_null(json);
    return;
  }
  json_open_object(json);
  json_member_u64(json, "major", faults->major);
  json_member_u64(json, "minor", faults->minor);
  json_member_bool(json, "is_exact", faults->is_exact);
  report_json_fine_ms(writer, "on_cpu_ms", faults->on_cpu_ns);
  report_json_fine_ms(writer, "blocked_ms", faults->blocked_ns);
  put_fault_objects(writer, &faults->objects);
  put_fault_stacks(writer, faults);
  json_close_object(json);
}

void report_json_put_system(struct report_json *writer) {
  const struct system_part *part = &writer->summary->system;
  put_named(writer, "syscalls", &part->syscalls);
  put_slow(writer);
  put_io(writer, "files", &part->files, put_file);
  put_io(writer, "peers", &part->peers, put_peer);
  put_blocks(writer);
  put_faults(writer);
  report_json_put_scheduling(writer);
  report_json_put_locks(writer);
  put_named(writer, "probes", &part->probes);
}
