/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fuzzes the trace reader, the profile made of what it reads, and what the analyses make of its
 * heap: whatever the bytes, what they promise must hold. Built with -DFUZZING, which leaves
 * checksums out. */
#include <stdlib.h>
#include <string.h>

#include "analysis/leak.h"
#include "model/profile.h"
#include "trace/reader.h"

#define REQUIRE(claim)                                                                             \
  do {                                                                                             \
    if (!(claim))                                                                                  \
      abort();                                                                                     \
  } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* What the reader has announced so far. */
struct seen {
  uint32_t strings, modules, frames, nodes, threads, heap_sites;
};

static int on_string(void *context, uint32_t id, const char *text, size_t bytes) {
  struct seen *seen = context;
  REQUIRE(id == ++seen->strings);
  REQUIRE(strlen(text) == bytes);
  return 0;
}

static int on_module(void *context, uint32_t id, const struct trace_module *module) {
  struct seen *seen = context;
  REQUIRE(id == ++seen->modules);
  REQUIRE(module->build_id_bytes <= 64 && module->path);
  volatile uint8_t sum = 0;
  for (uint32_t i = 0; i < module->build_id_bytes; i++)
    sum = (uint8_t)(sum + module->build_id[i]);
  (void)sum;
  return 0;
}

static int on_frame(void *context, uint32_t id, const struct trace_frame *frame) {
  struct seen *seen = context;
  REQUIRE(id == ++seen->frames);
  REQUIRE(frame->kind >= FRAME_NATIVE && frame->kind <= FRAME_MARK);
  REQUIRE(frame->module <= seen->modules && frame->function <= seen->strings &&
          frame->file <= seen->strings);
  return 0;
}

static int on_node(void *context, uint32_t id, struct trace_node node) {
  struct seen *seen = context;
  REQUIRE(id == ++seen->nodes);
  REQUIRE(node.parent < id && node.frame && node.frame <= seen->frames);
  return 0;
}

static int on_thread(void *context, const struct trace_thread *thread) {
  struct seen *seen = context;
  REQUIRE(thread->thread && thread->thread <= seen->threads + 1);
  if (thread->thread > seen->threads)
    seen->threads = thread->thread;
  return 0;
}

static int on_symbol(void *context, const struct trace_symbol *symbol) {
  const struct seen *seen = context;
  REQUIRE(symbol->frame && symbol->frame <= seen->frames && symbol->depth < 64);
  REQUIRE(symbol->function <= seen->strings && symbol->file <= seen->strings);
  return 0;
}

static int on_sample(void *context, const struct trace_sample *sample) {
  const struct seen *seen = context;
  REQUIRE(sample->thread && sample->thread <= seen->threads && sample->node <= seen->nodes);
  return 0;
}

static int on_wait(void *context, const struct trace_wait *wait) {
  const struct seen *seen = context;
  REQUIRE(wait->thread && wait->thread <= seen->threads && wait->node <= seen->nodes);
  REQUIRE(wait->waker <= seen->threads && wait->count && wait->reason < WAIT_REASONS);
  return 0;
}

static int on_heap_site(void *context, uint32_t id, const struct trace_heap_site *site) {
  struct seen *seen = context;
  REQUIRE(id == ++seen->heap_sites && site->node <= seen->nodes && site->kind < HEAP_KINDS);
  return 0;
}

static int on_heap(void *context, const struct trace_heap *heap) {
  const struct seen *seen = context;
  REQUIRE(heap->site && heap->site <= seen->heap_sites && heap->time_ns <= 1ull << 53);
  REQUIRE(heap->frees <= heap->allocations && heap->freed_bytes <= heap->allocated_bytes);
  REQUIRE(heap->allocations <= 1ull << 53 && heap->allocated_bytes <= 1ull << 53);
  return 0;
}

static int on_call(void *context, const struct trace_call *call) {
  (void)context;
  uint64_t sum = 0;
  for (uint32_t i = 0; i < TRACE_BUCKETS; i++)
    REQUIRE(!__builtin_add_overflow(sum, call->buckets[i], &sum));
  REQUIRE(call->name && call->max_ns <= 1ull << 53);
  return 0;
}

static int on_slow_call(void *context, const struct trace_slow_call *call) {
  const struct seen *seen = context;
  REQUIRE(call->thread && call->thread <= seen->threads && call->node <= seen->nodes);
  REQUIRE(call->name && call->duration_ns <= 1ull << 53);
  return 0;
}

static void check_reader(const uint8_t *data, size_t bytes) {
  static const struct trace_visitor visitor = {.string = on_string,
                                               .module = on_module,
                                               .frame = on_frame,
                                               .node = on_node,
                                               .thread = on_thread,
                                               .symbol = on_symbol,
                                               .sample = on_sample,
                                               .wait = on_wait,
                                               .heap_site = on_heap_site,
                                               .heap = on_heap,
                                               .call = on_call,
                                               .slow_call = on_slow_call};
  struct seen seen = {0};
  struct trace_status status;
  int error = trace_read_memory(data, bytes, &visitor, &seen, &status);
  REQUIRE(status.read_bytes <= status.file_bytes && status.file_bytes == bytes);
  REQUIRE(error || status.complete || status.damage);
}

static void check_tree(const struct profile *profile) {
  for (uint32_t i = 0; i < profile->frame_count; i++) {
    const struct profile_frame *frame = &profile->frames[i];
    REQUIRE(*frame->function && frame->file && frame->module);
    REQUIRE(frame->function_id < profile->function_count);
    REQUIRE(!strcmp(frame->function, profile->functions[frame->function_id].name));
  }
  for (uint32_t i = 0; i < profile->node_count; i++) {
    const struct profile_node *node = &profile->nodes[i];
    REQUIRE(node->frame < profile->frame_count);
    REQUIRE(node->parent == PROFILE_NONE
                ? !node->depth
                : node->parent < i && node->depth == profile->nodes[node->parent].depth + 1);
    profile_is_complete(profile, i);
  }
}

static void check_events(const struct profile *profile) {
  for (uint32_t i = 0; i < profile->thread_count; i++) {
    const struct profile_thread *thread = &profile->threads[i];
    REQUIRE(thread->process < profile->process_count && thread->start_ns <= thread->end_ns);
    REQUIRE(thread->name && thread->account.thread == (thread->has_account ? i : 0));
  }
  for (size_t i = 0; i < profile->sample_count; i++) {
    const struct profile_sample *sample = &profile->samples[i];
    REQUIRE(sample->thread < profile->thread_count && sample->node < profile->node_count);
    REQUIRE(sample->time_ns <= profile->duration_ns);
    REQUIRE(!i || sample[-1].time_ns <= sample->time_ns);
  }
  for (size_t i = 0; i < profile->wait_count; i++) {
    const struct profile_wait *wait = &profile->waits[i];
    REQUIRE(wait->thread < profile->thread_count && wait->node < profile->node_count);
    REQUIRE(wait->waker == PROFILE_NONE || wait->waker < profile->thread_count);
    REQUIRE(wait->start_ns + wait->span_ns <= profile->duration_ns);
    REQUIRE(!i || wait[-1].start_ns <= wait->start_ns);
  }
}

static void check_points(const struct profile_heap_point *points, size_t count) {
  for (size_t i = 0; i < count; i++) {
    REQUIRE(points[i].frees <= points[i].allocations);
    REQUIRE(points[i].freed_bytes <= points[i].allocated_bytes);
    REQUIRE(!i || (points[i - 1].time_ns < points[i].time_ns &&
                   points[i - 1].allocations <= points[i].allocations &&
                   points[i - 1].freed_bytes <= points[i].freed_bytes));
  }
}

static void check_memory(const struct profile *profile) {
  size_t next = 0;
  for (uint32_t i = 0; i < profile->heap_site_count; i++) {
    const struct profile_heap_site *site = &profile->heap_sites[i];
    REQUIRE(site->process < profile->process_count && site->node < profile->node_count);
    REQUIRE(site->point_first == next && site->point_count);
    next += site->point_count;
    check_points(&profile->heap_points[site->point_first], site->point_count);
  }
  REQUIRE(next == profile->heap_point_count);
  for (size_t i = 0; i < profile->memory_point_count; i++) {
    REQUIRE(profile->memory_points[i].process < profile->process_count);
    REQUIRE(profile->memory_points[i].time_ns <= profile->duration_ns);
  }
  for (uint32_t i = 0; i < profile->call_count; i++)
    REQUIRE(profile->calls[i].process < profile->process_count && profile->calls[i].name);
  for (size_t i = 0; i < profile->slow_call_count; i++) {
    const struct profile_slow_call *call = &profile->slow_calls[i];
    REQUIRE(call->thread < profile->thread_count && call->node < profile->node_count);
    REQUIRE(call->time_ns + call->duration_ns <= profile->duration_ns);
  }
}

static void check_leaks(const struct profile *profile) {
  struct heap *heap;
  struct leak_report *report;
  REQUIRE(!heap_build(&heap, profile));
  REQUIRE(!leak_analyse(&report, profile, heap));
  REQUIRE(heap->stack_count <= profile->heap_site_count);
  REQUIRE(report->site_count <= heap->stack_count && report->leak_count <= report->site_count);
  for (uint32_t i = 0; i < report->site_count; i++) {
    const struct leak_site *site = &report->sites[i];
    REQUIRE(site->stack < heap->stack_count && site->verdict < LEAK_VERDICTS);
    REQUIRE((site->verdict == LEAK_LEAK) == (i < report->leak_count));
    REQUIRE(site->confidence >= 0 && site->confidence <= 1);
  }
  for (uint32_t i = 0; i < report->process_count; i++)
    REQUIRE(report->processes[i].process < profile->process_count &&
            report->processes[i].limit_name);
  leak_report_free(report);
  heap_free(heap);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  check_reader(data, bytes);
  struct profile *profile;
  if (profile_load_memory(&profile, data, bytes))
    return 0;
  check_tree(profile);
  check_events(profile);
  check_memory(profile);
  check_leaks(profile);
  profile_fact(profile, "capture.command");
  profile_counter(profile, "lost.samples");
  profile_free(profile);
  return 0;
}
