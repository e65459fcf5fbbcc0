/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Profiles made by hand for tests of analysis and reports: small enough to know every answer. */
#ifndef RAGPROF_TESTS_HANDMADE_H
#define RAGPROF_TESTS_HANDMADE_H

#include <assert.h>
#include <string.h>

#include "base/units.h"
#include "model/profile.h"

#define HANDMADE_MAX 64
#define HANDMADE_POINTS_MAX 1024

struct handmade {
  struct profile profile;
  struct profile_frame frames[HANDMADE_MAX];
  struct profile_function functions[HANDMADE_MAX];
  struct profile_node nodes[HANDMADE_MAX];
  struct profile_process processes[HANDMADE_MAX];
  struct profile_thread threads[HANDMADE_MAX];
  struct profile_sample samples[HANDMADE_MAX * 16];
  struct profile_wait waits[HANDMADE_MAX];
  struct profile_heap_site heap_sites[HANDMADE_MAX];
  struct profile_heap_point heap_points[HANDMADE_POINTS_MAX];
  struct profile_memory_point memory_points[HANDMADE_POINTS_MAX];
  struct profile_call calls[HANDMADE_MAX];
  struct profile_slow_call slow_calls[HANDMADE_MAX];
  struct profile_fact facts[HANDMADE_MAX];
  struct profile_counter counters[HANDMADE_MAX];
};

static inline void handmade_init(struct handmade *made, uint64_t duration_ns) {
  memset(made, 0, sizeof(*made));
  made->profile = (struct profile){
      .frames = made->frames,
      .functions = made->functions,
      .nodes = made->nodes,
      .processes = made->processes,
      .threads = made->threads,
      .samples = made->samples,
      .waits = made->waits,
      .heap_sites = made->heap_sites,
      .heap_points = made->heap_points,
      .memory_points = made->memory_points,
      .calls = made->calls,
      .slow_calls = made->slow_calls,
      .facts = made->facts,
      .counters = made->counters,
      .duration_ns = duration_ns,
      .frequency_hz = 100,
      .status = {.complete = true},
  };
}

static inline void handmade_process(struct handmade *made, uint32_t pid, const char *name,
                                    const char *runtime) {
  made->processes[made->profile.process_count++] =
      (struct profile_process){.pid = pid,
                               .parent_pid = 1,
                               .end_ns = made->profile.duration_ns,
                               .name = name,
                               .executable = "/usr/bin/python3",
                               .runtime = runtime};
}

/* Of the last process, alive all the time. */
static inline uint32_t handmade_thread(struct handmade *made, uint32_t tid, const char *name,
                                       uint64_t sample_weight_ns) {
  assert(made->profile.thread_count < HANDMADE_MAX);
  made->threads[made->profile.thread_count] =
      (struct profile_thread){.process = made->profile.process_count - 1,
                              .tid = tid,
                              .name = name,
                              .end_ns = made->profile.duration_ns,
                              .sample_weight_ns = sample_weight_ns};
  return made->profile.thread_count++;
}

static inline void handmade_account(struct handmade *made, uint32_t thread, uint64_t on_cpu_ns,
                                    uint64_t blocked_ns, uint64_t run_queue_ns) {
  made->threads[thread].has_account = true;
  made->threads[thread].account = (struct trace_account){.wall_ns = made->profile.duration_ns,
                                                         .on_cpu_ns = on_cpu_ns,
                                                         .blocked_ns = blocked_ns,
                                                         .run_queue_ns = run_queue_ns};
}

static inline uint32_t handmade_function(struct handmade *made, enum frame_kind kind,
                                         const char *name, const char *file, const char *module,
                                         uint32_t first_line) {
  assert(made->profile.function_count < HANDMADE_MAX);
  made->functions[made->profile.function_count] = (struct profile_function){
      .name = name, .file = file, .module = module, .first_line = first_line, .kind = kind};
  return made->profile.function_count++;
}

/* A stack's next frame: `function` at `line`, called from the node `parent`. */
static inline uint32_t handmade_call(struct handmade *made, uint32_t parent, uint32_t function,
                                     uint32_t line) {
  const struct profile_function *from = &made->functions[function];
  assert(made->profile.node_count < HANDMADE_MAX);
  uint32_t id = made->profile.node_count++;
  made->profile.frame_count = made->profile.node_count;
  made->frames[id] = (struct profile_frame){.function = from->name,
                                            .file = from->file,
                                            .module = from->module,
                                            .line = line,
                                            .first_line = from->first_line,
                                            .kind = from->kind,
                                            .function_id = function};
  made->nodes[id] =
      (struct profile_node){.parent = parent,
                            .frame = id,
                            .depth = parent == PROFILE_NONE ? 0 : made->nodes[parent].depth + 1};
  return id;
}

static inline void handmade_samples(struct handmade *made, uint32_t thread, uint32_t node,
                                    uint32_t count) {
  for (; count > 0; count--) {
    assert(made->profile.sample_count < HANDMADE_MAX * 16);
    made->samples[made->profile.sample_count++] =
        (struct profile_sample){.thread = thread, .node = node};
    made->threads[thread].sample_count++;
  }
}

static inline struct profile_wait *handmade_wait(struct handmade *made, uint32_t thread,
                                                 uint32_t node, enum wait_reason reason,
                                                 uint64_t blocked_ns, uint64_t run_queue_ns) {
  assert(made->profile.wait_count < HANDMADE_MAX);
  struct profile_wait *wait = &made->waits[made->profile.wait_count++];
  *wait = (struct profile_wait){.span_ns = blocked_ns + run_queue_ns,
                                .blocked_ns = blocked_ns,
                                .run_queue_ns = run_queue_ns,
                                .max_ns = blocked_ns + run_queue_ns,
                                .count = 1,
                                .thread = thread,
                                .node = node,
                                .waker = PROFILE_NONE,
                                .reason = reason};
  return wait;
}

/* Of the last process; points follow by handmade_heap. */
static inline void handmade_heap_site(struct handmade *made, uint32_t node, enum heap_kind kind) {
  assert(made->profile.heap_site_count < HANDMADE_MAX);
  made->heap_sites[made->profile.heap_site_count++] =
      (struct profile_heap_site){.process = made->profile.process_count - 1,
                                 .node = node,
                                 .kind = kind,
                                 .point_first = made->profile.heap_point_count};
}

/* Of the last site: so many blocks of `bytes` each were taken, and so many given back, up to then.
 */
static inline void handmade_heap(struct handmade *made, uint64_t time_ns, uint64_t bytes,
                                 uint64_t allocations, uint64_t frees) {
  struct profile_heap_site *site = &made->heap_sites[made->profile.heap_site_count - 1];
  size_t id = made->profile.heap_point_count++;
  assert(id < HANDMADE_POINTS_MAX);
  uint64_t live_bytes = (allocations - frees) * bytes;
  uint64_t before = site->point_count++ ? made->heap_points[id - 1].peak_bytes : 0;
  made->heap_points[id] =
      (struct profile_heap_point){.time_ns = time_ns,
                                  .allocations = allocations,
                                  .allocated_bytes = allocations * bytes,
                                  .frees = frees,
                                  .freed_bytes = frees * bytes,
                                  .peak_bytes = live_bytes > before ? live_bytes : before};
}

/* Of the last process. */
static inline struct profile_memory_point *handmade_memory(struct handmade *made,
                                                           uint64_t time_ns) {
  assert(made->profile.memory_point_count < HANDMADE_POINTS_MAX);
  struct profile_memory_point *point = &made->memory_points[made->profile.memory_point_count++];
  *point =
      (struct profile_memory_point){.time_ns = time_ns, .process = made->profile.process_count - 1};
  return point;
}

static inline void handmade_metric(struct profile_memory_point *point, enum memory_metric metric,
                                   uint64_t value) {
  point->present |= 1u << metric;
  point->values[metric] = value;
}

static inline void handmade_fact(struct handmade *made, const char *name, const char *value) {
  made->facts[made->profile.fact_count++] = (struct profile_fact){.name = name, .value = value};
}

static inline void handmade_counter(struct handmade *made, const char *name, uint64_t value) {
  made->counters[made->profile.counter_count++] =
      (struct profile_counter){.name = name, .value = value};
}

#endif
