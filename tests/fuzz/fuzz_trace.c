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
  uint32_t strings, modules, frames, nodes, threads, heap_sites, objects, operations;
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

static void require_buckets(const uint64_t buckets[TRACE_BUCKETS]) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < TRACE_BUCKETS; i++)
    REQUIRE(!__builtin_add_overflow(sum, buckets[i], &sum));
}

static int on_call(void *context, const struct trace_call *call) {
  (void)context;
  require_buckets(call->buckets);
  REQUIRE(call->name && call->max_ns <= 1ull << 53);
  return 0;
}

static int on_slow_call(void *context, const struct trace_slow_call *call) {
  const struct seen *seen = context;
  REQUIRE(call->thread && call->thread <= seen->threads && call->node <= seen->nodes);
  REQUIRE(call->name && call->duration_ns <= 1ull << 53);
  return 0;
}

static int on_object(void *context, uint32_t id, const struct trace_object *object) {
  struct seen *seen = context;
  REQUIRE(id == ++seen->objects && object->name);
  REQUIRE(object->kind >= OBJECT_FILE && object->kind < OBJECT_KINDS);
  return 0;
}

static int on_operation(void *context, uint32_t id, const struct trace_operation *operation) {
  struct seen *seen = context;
  REQUIRE(id == ++seen->operations && operation->name);
  REQUIRE(operation->class >= OPERATION_SYSCALL && operation->class < OPERATION_CLASSES);
  REQUIRE(operation->thread <= seen->threads && operation->object <= seen->objects);
  return 0;
}

static int on_operation_sum(void *context, const struct trace_operation_sum *sum) {
  const struct seen *seen = context;
  REQUIRE(sum->operation && sum->operation <= seen->operations);
  REQUIRE(sum->time_ns <= 1ull << 53 && sum->max_ns <= 1ull << 53);
  return 0;
}

static int on_operation_detail(void *context, const struct trace_operation_detail *detail) {
  const struct seen *seen = context;
  REQUIRE(detail->operation && detail->operation <= seen->operations);
  REQUIRE(detail->result_count <= TRACE_RESULTS_MAX);
  require_buckets(detail->buckets);
  uint64_t sum = 0;
  for (uint32_t i = 0; i < detail->result_count; i++)
    REQUIRE(detail->results[i].count &&
            !__builtin_add_overflow(sum, detail->results[i].count, &sum));
  return 0;
}

static int on_operation_stack(void *context, const struct trace_operation_stack *stack) {
  const struct seen *seen = context;
  REQUIRE(stack->operation && stack->operation <= seen->operations && stack->node <= seen->nodes);
  return 0;
}

static int on_slow_operation(void *context, const struct trace_slow_operation *slow) {
  const struct seen *seen = context;
  REQUIRE(slow->operation && slow->operation <= seen->operations && slow->node <= seen->nodes);
  REQUIRE(slow->thread && slow->thread <= seen->threads && slow->object <= seen->objects);
  REQUIRE(slow->time_ns <= 1ull << 53 && slow->duration_ns <= 1ull << 53);
  return 0;
}

static int on_happening(void *context, const struct trace_happening *happening) {
  (void)context;
  REQUIRE(happening->what >= HAPPENING_FORK && happening->what < HAPPENINGS && happening->text);
  return 0;
}

static int on_point(void *context, const struct trace_point *point) {
  (void)context;
  REQUIRE((unsigned)point->metric < POINT_METRICS && point->time_ns <= 1ull << 53);
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
                                               .slow_call = on_slow_call,
                                               .object = on_object,
                                               .operation = on_operation,
                                               .operation_sum = on_operation_sum,
                                               .operation_detail = on_operation_detail,
                                               .operation_stack = on_operation_stack,
                                               .slow_operation = on_slow_operation,
                                               .happening = on_happening,
                                               .point = on_point};
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

static void check_sums(const struct trace_operation_sum *points, size_t count, uint32_t operation) {
  for (size_t i = 0; i < count; i++) {
    REQUIRE(points[i].operation == operation);
    REQUIRE(!i ||
            (points[i - 1].time_ns < points[i].time_ns && points[i - 1].count <= points[i].count &&
             points[i - 1].errors <= points[i].errors && points[i - 1].bytes <= points[i].bytes &&
             points[i - 1].total_ns <= points[i].total_ns &&
             points[i - 1].max_ns <= points[i].max_ns));
  }
}

/* The stacks of an operation make up its total, to the last nanosecond. */
static void check_stacks(const struct profile *profile, const struct profile_operation *operation,
                         uint32_t id) {
  uint64_t count = 0, bytes = 0, total_ns = 0;
  for (size_t i = 0; i < operation->stack_count; i++) {
    const struct profile_operation_stack *stack =
        &profile->operation_stacks[operation->stack_first + i];
    REQUIRE(stack->operation == id && stack->node < profile->node_count);
    REQUIRE(!i || stack[-1].node < stack->node);
    REQUIRE(!__builtin_add_overflow(count, stack->count, &count));
    REQUIRE(!__builtin_add_overflow(bytes, stack->bytes, &bytes));
    REQUIRE(!__builtin_add_overflow(total_ns, stack->total_ns, &total_ns));
  }
  REQUIRE(!operation->stack_count ||
          (count == operation->total.count && bytes == operation->total.bytes &&
           total_ns == operation->total.total_ns));
}

static void check_operations(const struct profile *profile) {
  size_t next_point = 0, stacks = 0;
  for (uint32_t i = 0; i < profile->operation_count; i++) {
    const struct profile_operation *operation = &profile->operations[i];
    REQUIRE(operation->process < profile->process_count && operation->name);
    REQUIRE(operation->thread == PROFILE_NONE ||
            (operation->thread < profile->thread_count &&
             profile->threads[operation->thread].process == operation->process));
    REQUIRE(operation->object == PROFILE_NONE || operation->object < profile->object_count);
    REQUIRE(operation->total.operation == i && operation->total.time_ns <= profile->duration_ns);
    REQUIRE(operation->point_first == next_point);
    REQUIRE(operation->stack_first + operation->stack_count <= profile->operation_stack_count);
    check_sums(&profile->operation_points[next_point], operation->point_count, i);
    check_stacks(profile, operation, i);
    if (operation->detail) {
      REQUIRE(operation->detail->operation == i);
      require_buckets(operation->detail->buckets);
    }
    next_point += operation->point_count;
    stacks += operation->stack_count;
  }
  REQUIRE(next_point == profile->operation_point_count);
  REQUIRE(stacks == profile->operation_stack_count);
}

static void check_happenings(const struct profile *profile) {
  for (size_t i = 0; i < profile->slow_operation_count; i++) {
    const struct profile_slow_operation *slow = &profile->slow_operations[i];
    REQUIRE(slow->operation < profile->operation_count && slow->thread < profile->thread_count);
    REQUIRE(slow->node < profile->node_count);
    REQUIRE(slow->object == PROFILE_NONE || slow->object < profile->object_count);
    REQUIRE(slow->time_ns + slow->duration_ns <= profile->duration_ns);
    REQUIRE(!i || slow[-1].time_ns <= slow->time_ns);
  }
  for (size_t i = 0; i < profile->happening_count; i++) {
    const struct profile_happening *happening = &profile->happenings[i];
    REQUIRE(happening->process < profile->process_count && happening->text);
    REQUIRE(happening->time_ns <= profile->duration_ns);
    REQUIRE(!i || happening[-1].time_ns <= happening->time_ns);
  }
  for (size_t i = 0; i < profile->point_count; i++) {
    const struct profile_point *point = &profile->points[i];
    REQUIRE(point->process == PROFILE_NONE || point->process < profile->process_count);
    REQUIRE(point->time_ns <= profile->duration_ns);
    REQUIRE(!i || point[-1].time_ns <= point->time_ns);
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
  check_operations(profile);
  check_happenings(profile);
  check_leaks(profile);
  profile_fact(profile, "capture.command");
  profile_counter(profile, "lost.samples");
  profile_free(profile);
  return 0;
}
