/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory and timed calls for the synthetic traces of synthetic.h, with known content.
 *
 * Every SYNTHETIC_HEAP_STEP_NS a step; in each step, as in synthetic_heap_scenes, a site takes
 * `bytes` in `blocks` blocks and gives them back in the same step, at the end of every
 * `period` steps, or never (period 0); from step `last_step` on (when it is not 0) it rests. There
 * are SYNTHETIC_HEAP_ITERATIONS iterations to a step. Counts are those at the end of a step, so
 * that after N steps
 *   - a site that never frees holds min(N, last_step) * bytes;
 *   - the two leaks grow by 4,096 and 1,024 bytes an iteration. */
#ifndef RAGPROF_TESTS_SYNTHETIC_HEAP_H
#define RAGPROF_TESTS_SYNTHETIC_HEAP_H

#include "synthetic.h"

#define SYNTHETIC_HEAP_STEP_NS 200000000ull
#define SYNTHETIC_HEAP_ITERATIONS 10
#define SYNTHETIC_HEAP_LIMIT_BYTES (2ull << 30)
#define SYNTHETIC_HEAP_RSS_BYTES (180ull << 20) /* before the first step */

/* Frames that only these stacks have; their key is looked for here first. */
static const struct synthetic_frame synthetic_heap_frames[] = {
    {"remember", FRAME_PYTHON, 0, "SessionStore.remember", "/srv/rag/session.py", 31, 27, 0, NULL},
    {"load", FRAME_PYTHON, 0, "load_model", "/srv/rag/embedding.py", 74, 70, 0, NULL},
    {"objmalloc", FRAME_NATIVE, PYTHON, "PyObject_Malloc", "", 0, 0, 0, NULL},
    {"add", FRAME_NATIVE, FAISS, "faiss::IndexFlat::add(long, float const*)", "IndexFlat.cpp", 25,
     20, 0, NULL},
    {"vector", FRAME_NATIVE, FAISS,
     "std::vector<float, std::allocator<float> >::_M_default_append(unsigned long)", "vector.tcc",
     650, 630, 0, NULL},
    {"new", FRAME_NATIVE, FAISS, "operator new(unsigned long)", "", 0, 0, 0, NULL},
    {"datamem", FRAME_NATIVE, NUMPY, "PyDataMem_UserNEW", "", 0, 0, 0, NULL},
};

struct synthetic_heap_scene {
  const char *stack; /* "" for the stacks that there was no room for */
  enum heap_kind kind;
  uint64_t bytes; /* in a step */
  uint64_t blocks;
  uint32_t period;    /* 1: given back in the same step; 0: never */
  uint32_t last_step; /* 0: none */
};

static const struct synthetic_heap_scene synthetic_heap_scenes[] = {
    {"handle answer remember objmalloc", HEAP_MALLOC, 40960, 10, 0, 0},
    {"handle answer search add vector new", HEAP_MALLOC, 10240, 10, 0, 0},
    {"handle answer embed matmul datamem", HEAP_MALLOC, 64 << 20, 40, 1, 0},
    {"handle answer2 rerank datamem", HEAP_MALLOC, 512 << 10, 8, 10, 0},
    {"handle lookup objmalloc", HEAP_PYTHON, 400 << 10, 1000, 0, 30},
    {"handle answer bm25 genexpr objmalloc", HEAP_PYTHON, 1 << 20, 20000, 1, 0},
    {"load datamem", HEAP_MALLOC, 48 << 20, 3, 0, 1},
    {"load", HEAP_MAP, 256 << 20, 1, 0, 1},
    {"", HEAP_MALLOC, 2048, 32, 1, 0},
};

#define SYNTHETIC_HEAP_SCENES SYNTHETIC_COUNT(synthetic_heap_scenes)

/* What a site has counted after `steps` steps. */
static inline struct trace_heap synthetic_heap_at(const struct synthetic_heap_scene *scene,
                                                  uint64_t steps) {
  uint64_t taking = scene->last_step && steps > scene->last_step ? scene->last_step : steps;
  uint64_t given = scene->period ? taking / scene->period * scene->period : 0;
  uint64_t held = scene->period > 1 ? scene->period : scene->period == 1 ? 1 : taking;
  return (struct trace_heap){.time_ns = steps * SYNTHETIC_HEAP_STEP_NS,
                             .allocations = taking * scene->blocks,
                             .allocated_bytes = taking * scene->bytes,
                             .frees = given * scene->blocks,
                             .freed_bytes = given * scene->bytes,
                             .peak_bytes = (held < taking ? held : taking) * scene->bytes};
}

static inline uint32_t synthetic_heap_push(struct synthetic *synthetic, uint32_t parent,
                                           const char *keys) {
  uint32_t depth = 0;
  while (*keys) {
    char key[32];
    size_t bytes = strcspn(keys, " ");
    snprintf(key, sizeof(key), "%.*s", (int)bytes, keys);
    keys += bytes + strspn(keys + bytes, " ");
    uint32_t i = 0;
    while (i < SYNTHETIC_COUNT(synthetic_heap_frames) &&
           strcmp(synthetic_heap_frames[i].key, key) != 0)
      i++;
    if (i == SYNTHETIC_COUNT(synthetic_heap_frames)) {
      parent = synthetic_push(synthetic, parent, key, &depth);
      continue;
    }
    const struct synthetic_frame *from = &synthetic_heap_frames[i];
    struct trace_frame frame = {.kind = from->kind, .module = synthetic->modules[from->module]};
    if (from->kind == FRAME_PYTHON) {
      frame.function = synthetic_text(synthetic, from->function);
      frame.file = synthetic_text(synthetic, from->file);
      frame.line = from->line;
      frame.first_line = from->first_line;
    } else {
      frame.address = 0x900000 + i * 0x100;
    }
    uint32_t id = trace_put_frame(synthetic->writer, &frame);
    parent = trace_put_node(synthetic->writer, (struct trace_node){parent, id});
    if (from->kind == FRAME_PYTHON)
      continue;
    struct trace_symbol symbol = {.frame = id,
                                  .function = synthetic_text(synthetic, from->function),
                                  .file = synthetic_text(synthetic, from->file),
                                  .line = from->line,
                                  .first_line = from->first_line};
    trace_put_symbol(synthetic->writer, &symbol);
  }
  return parent;
}

static inline uint64_t synthetic_heap_live(uint64_t steps) {
  uint64_t live_bytes = 0;
  for (size_t i = 0; i < SYNTHETIC_HEAP_SCENES; i++) {
    struct trace_heap at = synthetic_heap_at(&synthetic_heap_scenes[i], steps);
    if (synthetic_heap_scenes[i].kind <= HEAP_PYTHON)
      live_bytes += at.allocated_bytes - at.freed_bytes;
  }
  return live_bytes;
}

static inline void synthetic_heap_put_memory(struct synthetic *synthetic, uint64_t steps) {
  uint64_t live_bytes = synthetic_heap_live(steps);
  uint64_t rss_bytes = SYNTHETIC_HEAP_RSS_BYTES + live_bytes;
  struct trace_memory memory = {.time_ns = steps * SYNTHETIC_HEAP_STEP_NS, .pid = SYNTHETIC_PID};
  const struct {
    enum memory_metric metric;
    uint64_t value;
  } values[] = {
      {MEMORY_RSS, rss_bytes},
      {MEMORY_PSS, rss_bytes - (20 << 20)},
      {MEMORY_VIRTUAL, rss_bytes + (1ull << 30)},
      {MEMORY_ANONYMOUS, rss_bytes - (60 << 20)},
      {MEMORY_FILE, 60 << 20},
      {MEMORY_HEAP_LIVE, live_bytes},
      {MEMORY_MALLOC_ARENA, live_bytes + (4 << 20)},
      {MEMORY_MALLOC_MAPPED, 0},
      {MEMORY_MALLOC_USED, live_bytes},
      {MEMORY_MALLOC_FREE, 4 << 20},
      {MEMORY_SHIM, 9 << 20},
      {MEMORY_CGROUP_LIMIT, SYNTHETIC_HEAP_LIMIT_BYTES},
      {MEMORY_CGROUP_USED, rss_bytes + (30 << 20)},
      {MEMORY_ITERATIONS, steps * SYNTHETIC_HEAP_ITERATIONS},
  };
  for (size_t i = 0; i < SYNTHETIC_COUNT(values); i++) {
    memory.present |= 1u << values[i].metric;
    memory.values[values[i].metric] = values[i].value;
  }
  trace_put_memory(synthetic->writer, &memory);
}

/* 1,000 reads of 4,096 bytes: 980 of 1 µs and more (bucket 33), 20 of 2 ms and more (bucket 120);
 * 10 connects, half of them failed. */
static inline void synthetic_heap_put_calls(struct synthetic *synthetic) {
  struct trace_call reads = {.pid = SYNTHETIC_PID,
                             .name = "read",
                             .count = 1000,
                             .bytes = 4096000,
                             .total_ns = 41000000,
                             .max_ns = 2300000};
  reads.buckets[33] = 980;
  reads.buckets[120] = 20;
  trace_put_call(synthetic->writer, &reads);
  struct trace_call connects = {.pid = SYNTHETIC_PID,
                                .name = "connect",
                                .count = 10,
                                .errors = 5,
                                .total_ns = 50000000,
                                .max_ns = 5000000};
  connects.buckets[130] = 10;
  trace_put_call(synthetic->writer, &connects);
  uint32_t node = synthetic_heap_push(synthetic, 0, "<module> handle lookup");
  for (uint32_t i = 0; i < 20; i++) {
    struct trace_slow_call call = {.time_ns = (i + 1) * 100000000ull,
                                   .duration_ns = 2000000 + i * 10000,
                                   .result = 4096,
                                   .thread = 1,
                                   .node = node,
                                   .name = "read"};
    trace_put_slow_call(synthetic->writer, &call);
  }
}

/* Adds `steps` steps to a capture that synthetic_put put. */
static inline void synthetic_heap_put(struct trace_writer *writer, uint64_t steps) {
  struct synthetic synthetic = {.writer = writer};
  uint32_t sites[SYNTHETIC_HEAP_SCENES];
  synthetic_put_frames(&synthetic); /* interned: the ids of before */
  for (size_t i = 0; i < SYNTHETIC_HEAP_SCENES; i++) {
    const struct synthetic_heap_scene *scene = &synthetic_heap_scenes[i];
    uint32_t node = 0;
    if (*scene->stack)
      node = synthetic_heap_push(&synthetic, 0, "_start main Py_Main <module> serve");
    node = synthetic_heap_push(&synthetic, node, scene->stack);
    struct trace_heap_site site = {.pid = SYNTHETIC_PID, .node = node, .kind = scene->kind};
    sites[i] = trace_put_heap_site(writer, &site);
  }
  for (uint64_t step = 1; step <= steps; step++) {
    for (size_t i = 0; i < SYNTHETIC_HEAP_SCENES; i++) {
      struct trace_heap heap = synthetic_heap_at(&synthetic_heap_scenes[i], step);
      heap.site = sites[i];
      trace_put_heap(writer, &heap);
    }
    synthetic_heap_put_memory(&synthetic, step);
  }
  synthetic_heap_put_calls(&synthetic);
  trace_put_meta(writer, "capture.source", "bpf+shim");
  trace_put_counter(writer, "memory.malloc_interval_bytes", 0);
  trace_put_counter(writer, "memory.python_interval_bytes", 512 << 10);
}

#endif
