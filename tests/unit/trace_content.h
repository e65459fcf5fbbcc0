/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small trace of three parts with every kind of record, and what a reader must say of it. Each
 * part is meant to be flushed into a chunk of its own. */
#ifndef RAGPROF_TESTS_TRACE_CONTENT_H
#define RAGPROF_TESTS_TRACE_CONTENT_H

#include "trace_log.h"

#define CONTENT_PARTS 3

/* Puts a string that the writer must announce as `id`. */
static inline void content_string(struct trace_writer *writer, struct buf *log, uint32_t id,
                                  const char *text) {
  if (trace_put_string(writer, text, strlen(text)) != id)
    abort();
  log_string(log, id, text, strlen(text));
}

static inline void content_frame(struct trace_writer *writer, struct buf *log, uint32_t id,
                                 struct trace_frame frame) {
  if (trace_put_frame(writer, &frame) != id)
    abort();
  log_frame(log, id, &frame);
}

static inline void content_node(struct trace_writer *writer, struct buf *log, uint32_t id,
                                uint32_t parent, uint32_t frame) {
  struct trace_node node = {parent, frame};
  if (trace_put_node(writer, node) != id)
    abort();
  log_node(log, id, node);
}

static inline void content_sample(struct trace_writer *writer, struct buf *log, uint64_t time_ns,
                                  uint32_t thread, uint32_t node) {
  struct trace_sample sample = {time_ns, thread, node};
  trace_put_sample(writer, &sample);
  log_sample(log, &sample);
}

static inline void content_wait(struct trace_writer *writer, struct buf *log,
                                struct trace_wait wait) {
  trace_put_wait(writer, &wait);
  log_wait(log, &wait);
}

static inline void content_heap_site(struct trace_writer *writer, struct buf *log, uint32_t id,
                                     uint32_t pid, uint32_t node, enum heap_kind kind) {
  struct trace_heap_site site = {pid, node, kind};
  if (trace_put_heap_site(writer, &site) != id)
    abort();
  log_heap_site(log, id, &site);
}

static inline void content_heap(struct trace_writer *writer, struct buf *log,
                                struct trace_heap heap) {
  trace_put_heap(writer, &heap);
  log_heap(log, &heap);
}

static inline void content_memory(struct trace_writer *writer, struct buf *log,
                                  struct trace_memory memory) {
  trace_put_memory(writer, &memory);
  log_memory(log, &memory);
}

/* Its name must have been put before. */
static inline void content_call(struct trace_writer *writer, struct buf *log,
                                struct trace_call call) {
  trace_put_call(writer, &call);
  log_call(log, &call);
}

static inline void content_slow_call(struct trace_writer *writer, struct buf *log,
                                     struct trace_slow_call call) {
  trace_put_slow_call(writer, &call);
  log_slow_call(log, &call);
}

static inline void content_object(struct trace_writer *writer, struct buf *log, uint32_t id,
                                  enum object_kind kind, const char *name) {
  struct trace_object object = {kind, name};
  if (trace_put_object(writer, &object) != id)
    abort();
  log_object(log, id, &object);
}

/* Its name must have been put before. */
static inline void content_operation(struct trace_writer *writer, struct buf *log, uint32_t id,
                                     struct trace_operation operation) {
  if (trace_put_operation(writer, &operation) != id)
    abort();
  log_operation(log, id, &operation);
}

static inline void content_sum(struct trace_writer *writer, struct buf *log,
                               struct trace_operation_sum sum) {
  trace_put_operation_sum(writer, &sum);
  log_operation_sum(log, &sum);
}

static inline void content_detail(struct trace_writer *writer, struct buf *log,
                                  struct trace_operation_detail detail) {
  trace_put_operation_detail(writer, &detail);
  log_operation_detail(log, &detail);
}

static inline void content_stack(struct trace_writer *writer, struct buf *log,
                                 struct trace_operation_stack stack) {
  trace_put_operation_stack(writer, &stack);
  log_operation_stack(log, &stack);
}

static inline void content_slow(struct trace_writer *writer, struct buf *log,
                                struct trace_slow_operation slow) {
  trace_put_slow_operation(writer, &slow);
  log_slow_operation(log, &slow);
}

/* Its text must have been put before. */
static inline void content_happening(struct trace_writer *writer, struct buf *log,
                                     struct trace_happening happening) {
  trace_put_happening(writer, &happening);
  log_happening(log, &happening);
}

static inline void content_point(struct trace_writer *writer, struct buf *log,
                                 struct trace_point point) {
  trace_put_point(writer, &point);
  log_point(log, &point);
}

/* Objects and operations of every shape, and what they had come to by the second part's end. */
static inline void content_operations_2(struct trace_writer *writer, struct buf *log) {
  content_object(writer, log, 1, OBJECT_FILE, "/bin/app");
  content_object(writer, log, 2, OBJECT_LOCK, "");
  content_object(writer, log, 3, OBJECT_SOCKET, "/bin/app");
  content_operation(writer, log, 1, (struct trace_operation){OPERATION_SYSCALL, 77, 1, 0, "app"});
  content_operation(writer, log, 2, (struct trace_operation){OPERATION_FILE, 77, 0, 1, "app"});
  content_operation(writer, log, 3,
                    (struct trace_operation){OPERATION_PROBE, UINT32_MAX, 2, 3, "/bin/app"});
  content_sum(writer, log, (struct trace_operation_sum){1000, 2, 10, 1, 640, 5000, 900});
  content_sum(writer, log, (struct trace_operation_sum){1000, 1, 0, 0, 0, 0, 0});
  content_sum(writer, log, (struct trace_operation_sum){2000, 2, 10, 2, 640, 5000, 901});
  content_sum(writer, log,
              (struct trace_operation_sum){0, 3, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX,
                                           1ull << 53});
  content_detail(writer, log,
                 (struct trace_operation_detail){.operation = 2,
                                                 .buckets = {[0] = 4, [247] = UINT64_MAX - 4},
                                                 .result_count = 2,
                                                 .results = {{11, UINT64_MAX - 1}, {0, 1}}});
  content_stack(writer, log, (struct trace_operation_stack){2, 4, 7, 640, 4000});
  content_stack(writer, log, (struct trace_operation_stack){1, 0, UINT64_MAX, 0, UINT64_MAX});
  content_point(writer, log, (struct trace_point){5000, 77, POINT_THREADS, 4});
  content_point(writer, log, (struct trace_point){5000, 78, POINT_THREADS, 3});
  content_point(writer, log, (struct trace_point){4000, 0, POINT_HOST_RUNNABLE, UINT64_MAX});
}

static inline void content_operations_3(struct trace_writer *writer, struct buf *log) {
  struct trace_operation_detail many = {.operation = 3, .result_count = TRACE_RESULTS_MAX};
  for (uint32_t i = 0; i < TRACE_RESULTS_MAX; i++) {
    many.results[i].error = UINT32_MAX - i;
    many.results[i].count = i + 1;
  }
  /* differences to a sum in the chunk before, but to no operation, time or metric of it */
  content_sum(writer, log, (struct trace_operation_sum){1ull << 53, 2, 11, 2, 640, 5001, 901});
  content_detail(writer, log, many);
  content_detail(writer, log, (struct trace_operation_detail){.operation = 1});
  content_stack(writer, log, (struct trace_operation_stack){2, 4, 8, 640, 4001});
  content_slow(writer, log, (struct trace_slow_operation){1500000, 2000000, -110, 1, 2, 4, 3});
  content_slow(writer, log, (struct trace_slow_operation){0, 1ull << 53, INT64_MIN, 3, 1, 0, 0});
  content_happening(writer, log, (struct trace_happening){7, 77, HAPPENING_FORK, 78, ""});
  content_happening(writer, log, (struct trace_happening){8, 78, HAPPENING_EXEC, 0, "/bin/app"});
  content_happening(
      writer, log,
      (struct trace_happening){1ull << 53, UINT32_MAX, HAPPENING_OOM_KILL, UINT64_MAX, ""});
  content_point(writer, log, (struct trace_point){0, 77, POINT_THREADS, 5});
  content_point(writer, log, (struct trace_point){1, 77, POINT_METRICS - 1, 1});
}

/* Strings that a put interns are announced right before its own record. */
static inline void content_part_1(struct trace_writer *writer, struct buf *log) {
  static const uint8_t build_id[] = {0x00, 0x01, 0xfe, 0xff};
  trace_put_meta(writer, "host.cpus", "2");
  log_string(log, 1, "host.cpus", 9);
  log_string(log, 2, "2", 1);
  log_meta(log, "host.cpus", "2");
  struct trace_process process = {
      .pid = 77, .parent_pid = 1, .name = "app", .executable = "/bin/app", .runtime = ""};
  trace_put_process(writer, &process);
  log_string(log, 3, "app", 3);
  log_string(log, 4, "/bin/app", 8);
  log_process(log, &process);
  struct trace_thread thread = {.thread = 1, .pid = 77, .tid = 77, .name = "app"};
  trace_put_thread(writer, &thread);
  log_thread(log, &thread);
  struct trace_module module = {"/bin/app", build_id, sizeof(build_id)};
  if (trace_put_module(writer, &module) != 1)
    abort();
  log_module(log, 1, &module);
  struct trace_module bare = {"[vdso]", NULL, 0};
  if (trace_put_module(writer, &bare) != 2)
    abort();
  log_string(log, 5, "[vdso]", 6);
  log_module(log, 2, &bare);
  content_frame(
      writer, log, 1,
      (struct trace_frame){.kind = FRAME_NATIVE, .module = 1, .address = 0xfffffffffffffff0});
  content_node(writer, log, 1, 0, 1);
  content_sample(writer, log, 1000000, 1, 1);
  content_sample(writer, log, 999, 1, 1); /* earlier than the one before */
  content_sample(writer, log, 2000000000, 1, 0);
}

static inline void content_part_2(struct trace_writer *writer, struct buf *log) {
  content_string(writer, log, 6, "caf\xe9 \xff");
  content_frame(writer, log, 2,
                (struct trace_frame){.kind = FRAME_PYTHON,
                                     .flags = FRAME_COROUTINE,
                                     .function = 6,
                                     .file = 4,
                                     .line = UINT32_MAX,
                                     .first_line = 1});
  content_frame(writer, log, 3, (struct trace_frame){.kind = FRAME_MARK, .function = 3});
  content_frame(writer, log, 4, (struct trace_frame){.kind = FRAME_KERNEL, .address = 1});
  content_frame(writer, log, 5, (struct trace_frame){.kind = FRAME_JIT, .address = 2});
  content_node(writer, log, 2, 1, 2);
  content_node(writer, log, 3, 0, 3);
  content_node(writer, log, 4, 2, 4);
  struct trace_thread second = {
      .thread = 2, .pid = 77, .tid = 78, .start_ns = 5, .end_ns = 9, .name = ""};
  trace_put_thread(writer, &second);
  log_thread(log, &second);
  content_wait(writer, log,
               (struct trace_wait){.start_ns = 5000,
                                   .span_ns = 700,
                                   .blocked_ns = 600,
                                   .run_queue_ns = 100,
                                   .max_ns = 700,
                                   .count = 1,
                                   .thread = 2,
                                   .node = 4,
                                   .waker = 1,
                                   .waker_tid = 77,
                                   .reason = WAIT_GIL});
  content_wait(writer, log,
               (struct trace_wait){.start_ns = 1,
                                   .span_ns = 1ull << 53,
                                   .blocked_ns = 0,
                                   .run_queue_ns = 12,
                                   .max_ns = 5,
                                   .count = UINT64_MAX,
                                   .thread = 1,
                                   .node = 0,
                                   .waker = 0,
                                   .waker_tid = UINT32_MAX,
                                   .reason = WAIT_STOPPED});
  content_sample(writer, log, 1ull << 53, 2, 4);
  content_heap_site(writer, log, 1, 77, 4, HEAP_MALLOC);
  content_heap_site(writer, log, 2, 77, 0, HEAP_PYTHON);
  content_heap_site(writer, log, 3, UINT32_MAX, 4, HEAP_BREAK);
  content_heap(writer, log, (struct trace_heap){1000, 1, 10, 640, 4, 256, 512});
  content_heap(writer, log, (struct trace_heap){1000, 3, 1ull << 53, 1ull << 53, 0, 0, 1ull << 53});
  content_heap(writer, log, (struct trace_heap){2000, 1, 10, 640, 10, 640, 512}); /* all freed */
  content_heap(writer, log, (struct trace_heap){0, 2, 0, 0, 0, 0, 0});
  content_memory(writer, log, (struct trace_memory){.time_ns = 2000, .pid = 77});
  content_memory(
      writer, log,
      (struct trace_memory){.time_ns = 2000,
                            .pid = 77,
                            .present = 1u << MEMORY_RSS | 1u << MEMORY_HOST_AVAILABLE,
                            .values = {[MEMORY_RSS] = 5, [MEMORY_HOST_AVAILABLE] = UINT64_MAX}});
  content_operations_2(writer, log);
}

static inline void content_part_3(struct trace_writer *writer, struct buf *log) {
  struct trace_symbol inlined = {
      .frame = 1, .depth = 0, .function = 3, .file = 4, .line = 8, .first_line = 7};
  struct trace_symbol outer = {.frame = 1, .depth = 63, .function = 6};
  trace_put_symbol(writer, &inlined);
  trace_put_symbol(writer, &outer);
  log_symbol(log, &inlined);
  log_symbol(log, &outer);
  struct trace_account account = {.time_ns = 9,
                                  .thread = 2,
                                  .wall_ns = 8,
                                  .on_cpu_ns = 1,
                                  .blocked_ns = 3,
                                  .run_queue_ns = 4,
                                  .voluntary_switches = UINT64_MAX,
                                  .involuntary_switches = 300};
  trace_put_account(writer, &account);
  log_account(log, &account);
  struct trace_process ended = {.pid = 77,
                                .parent_pid = 1,
                                .start_ns = 1,
                                .end_ns = 10,
                                .name = "app",
                                .executable = "",
                                .runtime = ""};
  trace_put_process(writer, &ended);
  log_process(log, &ended);
  /* differences to a site's record in the chunk before, and to no metric before */
  content_heap(
      writer, log,
      (struct trace_heap){1ull << 53, 3, 1ull << 53, 1ull << 53, 1ull << 53, 7, 1ull << 53});
  content_heap(writer, log, (struct trace_heap){2000, 1, 11, 700, 10, 640, 513});
  content_memory(writer, log,
                 (struct trace_memory){.time_ns = 3000,
                                       .pid = 78,
                                       .present = (1u << MEMORY_METRICS) - 1,
                                       .values = {[MEMORY_RSS] = 4, [MEMORY_HOST_AVAILABLE] = 1}});
  struct trace_call call = {.pid = 77,
                            .name = "app",
                            .count = UINT64_MAX,
                            .errors = 1,
                            .bytes = 1ull << 40,
                            .total_ns = UINT64_MAX,
                            .max_ns = 1ull << 53,
                            .buckets = {[0] = 3, [1] = 1, [247] = UINT64_MAX - 4}};
  content_call(writer, log, call);
  content_call(writer, log, (struct trace_call){.pid = 78, .name = "/bin/app"});
  content_slow_call(writer, log, (struct trace_slow_call){1500000, 2000000, -110, 2, 4, "app"});
  content_slow_call(writer, log, (struct trace_slow_call){0, 1ull << 53, INT64_MIN, 1, 0, "app"});
  content_operations_3(writer, log);
  trace_put_counter(writer, "app", 7);
  log_counter(log, "app", 7);
}

/* Writes the trace to `path`. file_bytes[i] and log_bytes[i]: sizes of the file and of `log` after
 * part i; file_bytes[0] is the header's. */
static inline void content_write(const char *path, struct buf *log,
                                 uint64_t file_bytes[CONTENT_PARTS + 1],
                                 size_t log_bytes[CONTENT_PARTS + 1]) {
  void (*const parts[CONTENT_PARTS])(struct trace_writer *, struct buf *) = {
      content_part_1, content_part_2, content_part_3};
  struct trace_writer *writer;
  if (trace_writer_open(&writer, path, false))
    abort();
  file_bytes[0] = trace_writer_bytes(writer);
  log_bytes[0] = 0;
  for (int i = 0; i < CONTENT_PARTS; i++) {
    parts[i](writer, log);
    if (trace_writer_flush(writer))
      abort();
    file_bytes[i + 1] = trace_writer_bytes(writer);
    log_bytes[i + 1] = log->length;
  }
  if (trace_writer_close(writer))
    abort();
}

#endif
