/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel did, for the synthetic traces of synthetic.h, with known content.
 *
 * Every SYNTHETIC_OPERATION_STEP_NS a step, in which each of synthetic_operations comes to `count`
 * more, `errors` of which ended with `error`, to `bytes` more, and to count * each_ns more: after N
 * steps an operation stands at N times its row, and all of its durations are in the bucket of
 * each_ns. Operations of the second thread are there only where there is one.
 *
 * Of an operation with stacks, only `weight` at each of them were walked in a step: the recorded
 * counts, bytes and times of its stacks are a part of its own. So of the loaded profile's, a stack
 * has weight / sum of weights of the exact total.
 *
 * An operation that `is_slow` has one slow operation in each step, 1 ms after the step's start, of
 * each_ns, with the first stack; the result is -error where there is one, else its bytes / count.
 * What it was done to is synthetic_slow_object.
 *
 * Points: see synthetic_points. Processes: 4300 is forked at 50 ms, calls exec at 51 ms and exits
 * with 1 at 60 ms; 4301 is forked at 70 ms, chosen when memory ran out at 80 ms, and ended by
 * SIGKILL at 81 ms. */
#ifndef RAGPROF_TESTS_SYNTHETIC_OPERATIONS_H
#define RAGPROF_TESTS_SYNTHETIC_OPERATIONS_H

#include "synthetic.h"

#define SYNTHETIC_OPERATION_STEP_NS 200000000ull
#define SYNTHETIC_OPERATION_STACKS 3
#define SYNTHETIC_INDEX "/srv/rag/data/index.faiss"
#define SYNTHETIC_LOG "/srv/rag/log/queries.jsonl"
#define SYNTHETIC_QDRANT "tcp 127.0.0.1:6333"

struct synthetic_operation {
  enum operation_class class;
  uint32_t thread; /* 1, 2, or 0: all of the process */
  enum object_kind object_kind;
  const char *object; /* NULL: none */
  const char *name;
  uint64_t count; /* in a step, as the two below */
  uint64_t errors;
  uint32_t error;
  uint64_t bytes;
  uint64_t each_ns;
  bool is_slow;
  struct {
    const char *keys; /* frames from synthetic.h, after the roots of a thread */
    uint64_t weight;
  } stacks[SYNTHETIC_OPERATION_STACKS];
};

static const struct trace_object synthetic_slow_object = {OBJECT_SOCKET, SYNTHETIC_QDRANT};

/* clang-format off */
static const struct synthetic_operation synthetic_operations[] = {
    {OPERATION_SYSCALL, 1, 0, NULL, "read", 1000, 10, 11, 4096000, 2000, false,
     {{"handle lookup syscall ext4_read", 3}, {"handle answer search pread syscall ext4_read", 1}}},
    {OPERATION_SYSCALL, 1, 0, NULL, "recvfrom", 40, 0, 0, 163840, 2500000, true,
     {{"handle answer2 generate recv syscall tcp_recvmsg", 1}}},
    {OPERATION_SYSCALL, 1, 0, NULL, "futex", 500, 50, 11, 0, 20000, false,
     {{"handle answer bm25 gil condwait syscall futex_wait", 4},
      {"handle lookup lock syscall futex_wait", 1}}},
    {OPERATION_SYSCALL, 1, 0, NULL, "openat", 20, 5, 2, 0, 9000, false, {{"handle lookup", 1}}},
    {OPERATION_SYSCALL, 1, 0, NULL, "fsync", 1, 0, 0, 0, 40000000, true, {{"handle answer", 1}}},
    {OPERATION_SYSCALL, 2, 0, NULL, "futex", 200, 0, 0, 0, 500000, false,
     {{"gil condwait syscall futex_wait", 1}}},
    {OPERATION_SYSCALL, 2, 0, NULL, "epoll_wait", 10, 0, 0, 0, 9000000, true,
     {{"epoll syscall ep_poll", 1}}},
    {OPERATION_FILE, 0, OBJECT_FILE, SYNTHETIC_INDEX, "open", 1, 0, 0, 0, 9000, false, {{0}}},
    {OPERATION_FILE, 0, OBJECT_FILE, SYNTHETIC_INDEX, "read", 400, 0, 0, 1638400, 3000, false,
     {{"handle answer search pread syscall ext4_read", 1}}},
    {OPERATION_FILE, 0, OBJECT_FILE, SYNTHETIC_INDEX, "device read", 50, 0, 0, 204800, 150000, false,
     {{"handle answer search faiss fault", 1}}},
    {OPERATION_FILE, 0, OBJECT_FILE, SYNTHETIC_INDEX, "mmap", 2, 0, 0, 8192, 4000, false, {{0}}},
    {OPERATION_FILE, 0, OBJECT_FILE, SYNTHETIC_LOG, "write", 100, 0, 0, 51200, 5000, false,
     {{"handle answer", 1}}},
    {OPERATION_FILE, 0, OBJECT_FILE, SYNTHETIC_LOG, "fsync", 1, 0, 0, 0, 40000000, false,
     {{"handle answer", 1}}},
    {OPERATION_FILE, 0, OBJECT_FILE, "/srv/rag/absent.toml", "open", 5, 5, 2, 0, 7000, false,
     {{"handle lookup", 1}}},
    {OPERATION_FILE, 0, OBJECT_PIPE, "pipe:[4711]", "write", 10, 0, 0, 10, 1000, false, {{0}}},
    {OPERATION_SOCKET, 0, OBJECT_SOCKET, SYNTHETIC_QDRANT, "connect", 4, 1, 111, 0, 300000, false,
     {{"handle answer search", 1}}},
    {OPERATION_SOCKET, 0, OBJECT_SOCKET, SYNTHETIC_QDRANT, "send", 40, 0, 0, 81920, 12000, false,
     {{"handle answer search", 1}}},
    {OPERATION_SOCKET, 0, OBJECT_SOCKET, SYNTHETIC_QDRANT, "receive", 40, 0, 0, 163840, 2500000, false,
     {{"handle answer2 generate recv syscall tcp_recvmsg", 1}}},
    {OPERATION_SOCKET, 0, OBJECT_SOCKET, SYNTHETIC_QDRANT, "retransmit", 2, 0, 0, 2896, 0, false,
     {{0}}},
    {OPERATION_SOCKET, 0, OBJECT_SOCKET, "tcp 0.0.0.0:8000 (listening)", "accept", 10, 0, 0, 0, 15000, false,
     {{"serve", 1}}},
    {OPERATION_SOCKET, 0, OBJECT_SOCKET, "udp 127.0.0.53:53", "dns", 1, 0, 0, 60, 40000000, false,
     {{"handle answer2 generate", 1}}},
    {OPERATION_SOCKET, 0, OBJECT_SOCKET, "unix /run/cache.sock", "receive", 30, 0, 0, 3000, 60000, false,
     {{"handle lookup recv", 1}}},
    {OPERATION_BLOCK, 0, OBJECT_DEVICE, "vda", "read", 50, 0, 0, 204800, 140000, false,
     {{"handle answer search faiss fault", 1}}},
    {OPERATION_BLOCK, 0, OBJECT_DEVICE, "vda", "write", 3, 0, 0, 53248, 900000, false,
     {{"handle answer", 1}}},
    {OPERATION_BLOCK, 0, OBJECT_DEVICE, "vda", "flush", 1, 0, 0, 0, 38000000, false,
     {{"handle answer", 1}}},
    {OPERATION_FAULT, 0, OBJECT_FILE, SYNTHETIC_INDEX, "major", 50, 0, 0, 204800, 160000, false,
     {{"handle answer search faiss fault", 1}}},
    {OPERATION_FAULT, 0, OBJECT_FILE, SYNTHETIC_INDEX, "minor", 150, 0, 0, 614400, 700, false,
     {{"handle answer search faiss fault", 1}}},
    {OPERATION_FAULT, 0, OBJECT_MEMORY, "[anonymous]", "minor", 1000, 0, 0, 4096000, 500, false,
     {{"handle answer embed matmul fault clear_page", 3},
      {"handle answer2 rerank matmul fault clear_page", 2}}},
    {OPERATION_FAULT, 0, OBJECT_MEMORY, "[heap]", "minor", 80, 0, 0, 327680, 500, false,
     {{"handle lookup fault", 1}}},
    {OPERATION_LOCK, 1, OBJECT_LOCK, "0x7f1234567890", "wait", 20, 0, 0, 0, 1000000, false,
     {{"handle lookup lock syscall futex_wait", 1}}},
    {OPERATION_LOCK, 2, OBJECT_LOCK, "0x7f1234567890", "hold", 20, 0, 0, 0, 1000000, false,
     {{"epoll", 1}}},
    {OPERATION_LOCK, 2, OBJECT_LOCK, "GIL", "wait", 16, 0, 0, 0, 5000000, false,
     {{"gil condwait syscall futex_wait", 1}}},
    {OPERATION_LOCK, 1, OBJECT_LOCK, "GIL", "hold", 16, 0, 0, 0, 5000000, false,
     {{"handle answer bm25 genexpr", 3}, {"handle answer embed tokenize dict", 1}}},
    {OPERATION_PROBE, 1, 0, NULL, "_swigfaiss.so:faiss::IndexFlat::search", 30, 0, 0, 0, 2000000, true,
     {{"handle answer search faiss", 1}}},
    {OPERATION_PROBE, 1, 0, NULL, "usdt:python:gc__start", 3, 0, 0, 0, 0, false,
     {{"handle answer embed tokenize", 1}}},
};
/* clang-format on */

#define SYNTHETIC_OPERATIONS SYNTHETIC_COUNT(synthetic_operations)

/* At step N a point is at `start` + N * `growth`. */
static const struct synthetic_point {
  enum point_metric metric;
  uint64_t start;
  uint64_t growth;
} synthetic_points[] = {
    {POINT_THREADS, 4, 0},
    {POINT_DESCRIPTORS, 20, 1},
    {POINT_DESCRIPTORS_LIMIT, 1024, 0},
    {POINT_MINOR_FAULTS, 9000, 1230},
    {POINT_MAJOR_FAULTS, 100, 50},
    {POINT_READ_BYTES, 1 << 20, 204800},
    {POINT_WRITE_BYTES, 0, 53248},
    {POINT_READ_CHARS, 1 << 20, 5898240},
    {POINT_WRITE_CHARS, 0, 133130},
    {POINT_CPU_QUOTA_US, 150000, 0},
    {POINT_CPU_PERIOD_US, 100000, 0},
    {POINT_CPU_PERIODS, 0, 2},
    {POINT_CPU_THROTTLED, 0, 1},
    {POINT_CPU_THROTTLED_NS, 0, 30000000},
    {POINT_MIGRATIONS, 0, 3},
    {POINT_CPUS_ALLOWED, 2, 0},
    {POINT_HOST_RUNNABLE, 5, 0}, /* of the host */
    {POINT_RESIDENT_HEAP, 30 << 20, 327680},
    {POINT_RESIDENT_STACK, 1 << 20, 0},
    {POINT_RESIDENT_ANONYMOUS, 90 << 20, 0},
    {POINT_RESIDENT_CODE, 20 << 20, 0},
    {POINT_RESIDENT_FILE, 40 << 20, 204800},
    {POINT_RESIDENT_SHARED, 4 << 20, 0},
};

/* The bucket of a duration, as docs/trace-format.md states it. */
static inline uint32_t synthetic_bucket(uint64_t ns) {
  if (ns < 64)
    return 0;
  uint32_t power = 63 - (uint32_t)__builtin_clzll(ns);
  return (power - 6) * 8 + (uint32_t)(ns >> (power - 3)) - 8 + 1;
}

/* What an operation stands at after `steps` steps. */
static inline struct trace_operation_sum
synthetic_operation_at(const struct synthetic_operation *operation, uint64_t steps) {
  return (struct trace_operation_sum){.time_ns = steps * SYNTHETIC_OPERATION_STEP_NS,
                                      .count = steps * operation->count,
                                      .errors = steps * operation->errors,
                                      .bytes = steps * operation->bytes,
                                      .total_ns = steps * operation->count * operation->each_ns,
                                      .max_ns = operation->each_ns};
}

static inline uint32_t synthetic_operation_node(struct synthetic *synthetic, uint32_t thread,
                                                const char *keys) {
  uint32_t depth = 0;
  uint32_t node = synthetic_push(synthetic, 0,
                                 thread == 2 ? "clone3 start_thread t_boot bootstrap"
                                             : "_start main Py_Main <module> serve",
                                 &depth);
  return synthetic_push(synthetic, node, keys, &depth);
}

static inline void synthetic_put_detail(struct synthetic *synthetic, uint32_t id,
                                        const struct synthetic_operation *operation,
                                        uint64_t steps) {
  struct trace_operation_detail detail = {.operation = id, .result_count = operation->errors > 0};
  detail.buckets[synthetic_bucket(operation->each_ns)] = steps * operation->count;
  detail.results[0].error = operation->error;
  detail.results[0].count = steps * operation->errors;
  trace_put_operation_detail(synthetic->writer, &detail);
}

static inline void synthetic_put_operation_stacks(struct synthetic *synthetic, uint32_t id,
                                                  const struct synthetic_operation *operation,
                                                  uint64_t steps) {
  for (uint32_t i = 0; i < SYNTHETIC_OPERATION_STACKS && operation->stacks[i].keys; i++) {
    uint64_t walked = operation->stacks[i].weight * steps;
    struct trace_operation_stack stack = {
        .operation = id,
        .node = synthetic_operation_node(synthetic, operation->thread, operation->stacks[i].keys),
        .count = walked,
        .bytes = operation->bytes ? walked * 512 : 0,
        .total_ns = walked * operation->each_ns};
    trace_put_operation_stack(synthetic->writer, &stack);
  }
}

static inline void synthetic_put_slow(struct synthetic *synthetic, uint32_t id, uint32_t object,
                                      const struct synthetic_operation *operation, uint64_t steps) {
  int64_t result = operation->error ? -(int64_t)operation->error
                                    : (int64_t)(operation->bytes / operation->count);
  uint32_t node = synthetic_operation_node(synthetic, operation->thread, operation->stacks[0].keys);
  for (uint64_t step = 0; step < steps; step++) {
    struct trace_slow_operation slow = {.time_ns = step * SYNTHETIC_OPERATION_STEP_NS + 1000000,
                                        .duration_ns = operation->each_ns,
                                        .result = result,
                                        .operation = id,
                                        .thread = operation->thread,
                                        .node = node,
                                        .object =
                                            operation->class == OPERATION_SYSCALL ? object : 0};
    trace_put_slow_operation(synthetic->writer, &slow);
  }
}

static inline void synthetic_put_happenings(struct trace_writer *writer) {
  static const struct trace_process processes[] = {
      {4300, SYNTHETIC_PID, 50000000, 60000000, "ls", "/usr/bin/ls", ""},
      {4301, SYNTHETIC_PID, 70000000, 81000000, "python3", "/usr/bin/python3.11", "python 3.11.2"},
  };
  static const struct trace_happening happenings[] = {
      {50000000, SYNTHETIC_PID, HAPPENING_FORK, 4300, ""},
      {51000000, 4300, HAPPENING_EXEC, 0, "/usr/bin/ls"},
      {60000000, 4300, HAPPENING_EXIT, 1 << 8, ""},
      {70000000, SYNTHETIC_PID, HAPPENING_FORK, 4301, ""},
      {80000000, 4301, HAPPENING_OOM_KILL, 0, ""},
      {81000000, 4301, HAPPENING_EXIT, 9, ""},
  };
  for (size_t i = 0; i < SYNTHETIC_COUNT(processes); i++)
    trace_put_process(writer, &processes[i]);
  for (size_t i = 0; i < SYNTHETIC_COUNT(happenings); i++)
    trace_put_happening(writer, &happenings[i]);
}

static inline void synthetic_put_points(struct trace_writer *writer, uint64_t step) {
  for (size_t i = 0; i < SYNTHETIC_COUNT(synthetic_points); i++) {
    const struct synthetic_point *from = &synthetic_points[i];
    struct trace_point point = {.time_ns = step * SYNTHETIC_OPERATION_STEP_NS,
                                .pid = from->metric == POINT_HOST_RUNNABLE ? 0 : SYNTHETIC_PID,
                                .metric = from->metric,
                                .value = from->start + step * from->growth};
    trace_put_point(writer, &point);
  }
}

static inline uint32_t synthetic_put_operation(struct trace_writer *writer,
                                               const struct synthetic_operation *from) {
  struct trace_operation operation = {
      .class = from->class, .pid = SYNTHETIC_PID, .thread = from->thread, .name = from->name};
  if (from->object) {
    struct trace_object object = {from->object_kind, from->object};
    operation.object = trace_put_object(writer, &object);
  }
  return trace_put_operation(writer, &operation);
}

/* Adds `steps` steps, at least one, to a capture that synthetic_put put with `thread_count`. */
static inline void synthetic_operations_put(struct trace_writer *writer, uint32_t thread_count,
                                            uint64_t steps) {
  struct synthetic synthetic = {.writer = writer};
  uint32_t ids[SYNTHETIC_OPERATIONS] = {0};
  synthetic_put_frames(&synthetic); /* interned: the ids of before */
  uint32_t object = trace_put_object(writer, &synthetic_slow_object);
  for (size_t i = 0; i < SYNTHETIC_OPERATIONS; i++)
    if (synthetic_operations[i].thread <= thread_count)
      ids[i] = synthetic_put_operation(writer, &synthetic_operations[i]);
  for (uint64_t step = 1; step <= steps; step++) {
    for (size_t i = 0; i < SYNTHETIC_OPERATIONS; i++) {
      struct trace_operation_sum sum = synthetic_operation_at(&synthetic_operations[i], step);
      sum.operation = ids[i];
      if (ids[i])
        trace_put_operation_sum(writer, &sum);
    }
    synthetic_put_points(writer, step);
  }
  for (size_t i = 0; i < SYNTHETIC_OPERATIONS; i++) {
    if (!ids[i])
      continue;
    synthetic_put_detail(&synthetic, ids[i], &synthetic_operations[i], steps);
    synthetic_put_operation_stacks(&synthetic, ids[i], &synthetic_operations[i], steps);
    if (synthetic_operations[i].is_slow)
      synthetic_put_slow(&synthetic, ids[i], object, &synthetic_operations[i], steps);
  }
  synthetic_put_happenings(writer);
}

#endif
