/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Traces as text, for tests: a visitor that writes a line per record, and puts that write the same
 * line on their own when they put the record, so that what was read can be compared with what was
 * meant. Also: files and temporary directories. */
#ifndef RAGPROF_TESTS_TRACE_LOG_H
#define RAGPROF_TESTS_TRACE_LOG_H

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "trace/reader.h"
#include "trace/writer.h"

/* ---- Lines ----------------------------------------------------------------------------------- */

static inline void log_string(struct buf *log, uint32_t id, const char *text, size_t bytes) {
  buf_printf(log, "string %u %zu ", id, bytes);
  buf_put(log, text, bytes);
  buf_put_u8(log, '\n');
}

static inline void log_module(struct buf *log, uint32_t id, const struct trace_module *module) {
  buf_printf(log, "module %u %s ", id, module->path);
  for (uint32_t i = 0; module->build_id && i < module->build_id_bytes; i++)
    buf_printf(log, "%02x", module->build_id[i]);
  buf_put_u8(log, '\n');
}

static inline void log_frame(struct buf *log, uint32_t id, const struct trace_frame *frame) {
  buf_printf(log, "frame %u %d %u %u %" PRIx64 " %u %u %u %u\n", id, frame->kind, frame->flags,
             frame->module, frame->address, frame->function, frame->file, frame->line,
             frame->first_line);
}

static inline void log_node(struct buf *log, uint32_t id, struct trace_node node) {
  buf_printf(log, "node %u %u %u\n", id, node.parent, node.frame);
}

static inline void log_process(struct buf *log, const struct trace_process *process) {
  buf_printf(log, "process %u %u %" PRIu64 " %" PRIu64 " %s|%s|%s\n", process->pid,
             process->parent_pid, process->start_ns, process->end_ns, process->name,
             process->executable, process->runtime);
}

static inline void log_thread(struct buf *log, const struct trace_thread *thread) {
  buf_printf(log, "thread %u %u %u %" PRIu64 " %" PRIu64 " %s\n", thread->thread, thread->pid,
             thread->tid, thread->start_ns, thread->end_ns, thread->name);
}

static inline void log_symbol(struct buf *log, const struct trace_symbol *symbol) {
  buf_printf(log, "symbol %u %u %u %u %u %u\n", symbol->frame, symbol->depth, symbol->function,
             symbol->file, symbol->line, symbol->first_line);
}

static inline void log_sample(struct buf *log, const struct trace_sample *sample) {
  buf_printf(log, "sample %" PRIu64 " %u %u\n", sample->time_ns, sample->thread, sample->node);
}

static inline void log_wait(struct buf *log, const struct trace_wait *wait) {
  buf_printf(log,
             "wait %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
             " %u %u %u %u %d\n",
             wait->start_ns, wait->span_ns, wait->blocked_ns, wait->run_queue_ns, wait->max_ns,
             wait->count, wait->thread, wait->node, wait->waker, wait->waker_tid, wait->reason);
}

static inline void log_account(struct buf *log, const struct trace_account *account) {
  buf_printf(log,
             "account %" PRIu64 " %u %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
             " %" PRIu64 "\n",
             account->time_ns, account->thread, account->wall_ns, account->on_cpu_ns,
             account->blocked_ns, account->run_queue_ns, account->voluntary_switches,
             account->involuntary_switches);
}

static inline void log_heap_site(struct buf *log, uint32_t id, const struct trace_heap_site *site) {
  buf_printf(log, "heap_site %u %u %u %d\n", id, site->pid, site->node, site->kind);
}

static inline void log_heap(struct buf *log, const struct trace_heap *heap) {
  buf_printf(log,
             "heap %" PRIu64 " %u %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
             heap->time_ns, heap->site, heap->allocations, heap->allocated_bytes, heap->frees,
             heap->freed_bytes, heap->peak_bytes);
}

static inline void log_memory(struct buf *log, const struct trace_memory *memory) {
  buf_printf(log, "memory %" PRIu64 " %u", memory->time_ns, memory->pid);
  for (uint32_t i = 0; i < MEMORY_METRICS; i++)
    if (memory->present >> i & 1)
      buf_printf(log, " %s=%" PRIu64, memory_metric_name(i), memory->values[i]);
  buf_put_u8(log, '\n');
}

static inline void log_call(struct buf *log, const struct trace_call *call) {
  buf_printf(log, "call %u %s %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, call->pid,
             call->name, call->count, call->errors, call->bytes, call->total_ns, call->max_ns);
  for (uint32_t i = 0; i < TRACE_BUCKETS; i++)
    if (call->buckets[i])
      buf_printf(log, " %u:%" PRIu64, i, call->buckets[i]);
  buf_put_u8(log, '\n');
}

static inline void log_slow_call(struct buf *log, const struct trace_slow_call *call) {
  buf_printf(log, "slow_call %" PRIu64 " %" PRIu64 " %" PRId64 " %u %u %s\n", call->time_ns,
             call->duration_ns, call->result, call->thread, call->node, call->name);
}

static inline void log_object(struct buf *log, uint32_t id, const struct trace_object *object) {
  buf_printf(log, "object %u %d %s\n", id, object->kind, object->name);
}

static inline void log_operation(struct buf *log, uint32_t id,
                                 const struct trace_operation *operation) {
  buf_printf(log, "operation %u %d %u %u %u %s\n", id, operation->class, operation->pid,
             operation->thread, operation->object, operation->name);
}

static inline void log_operation_sum(struct buf *log, const struct trace_operation_sum *sum) {
  buf_printf(log,
             "operation_sum %" PRIu64 " %u %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
             "\n",
             sum->time_ns, sum->operation, sum->count, sum->errors, sum->bytes, sum->total_ns,
             sum->max_ns);
}

static inline void log_operation_detail(struct buf *log,
                                        const struct trace_operation_detail *detail) {
  buf_printf(log, "operation_detail %u", detail->operation);
  for (uint32_t i = 0; i < TRACE_BUCKETS; i++)
    if (detail->buckets[i])
      buf_printf(log, " %u:%" PRIu64, i, detail->buckets[i]);
  for (uint32_t i = 0; i < detail->result_count; i++)
    buf_printf(log, " %u=%" PRIu64, detail->results[i].error, detail->results[i].count);
  buf_put_u8(log, '\n');
}

static inline void log_operation_stack(struct buf *log, const struct trace_operation_stack *stack) {
  buf_printf(log, "operation_stack %u %u %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", stack->operation,
             stack->node, stack->count, stack->bytes, stack->total_ns);
}

static inline void log_slow_operation(struct buf *log, const struct trace_slow_operation *slow) {
  buf_printf(log, "slow_operation %" PRIu64 " %" PRIu64 " %" PRId64 " %u %u %u %u\n", slow->time_ns,
             slow->duration_ns, slow->result, slow->operation, slow->thread, slow->node,
             slow->object);
}

static inline void log_happening(struct buf *log, const struct trace_happening *happening) {
  buf_printf(log, "happening %" PRIu64 " %u %d %" PRIu64 " %s\n", happening->time_ns,
             happening->pid, happening->what, happening->value, happening->text);
}

static inline void log_point(struct buf *log, const struct trace_point *point) {
  buf_printf(log, "point %" PRIu64 " %u %d %" PRIu64 "\n", point->time_ns, point->pid,
             point->metric, point->value);
}

static inline void log_counter(struct buf *log, const char *name, uint64_t value) {
  buf_printf(log, "counter %s %" PRIu64 "\n", name, value);
}

static inline void log_meta(struct buf *log, const char *name, const char *value) {
  buf_printf(log, "meta %s %s\n", name, value);
}

/* ---- The visitor ----------------------------------------------------------------------------- */

static inline int visit_string(void *context, uint32_t id, const char *text, size_t bytes) {
  log_string(context, id, text, bytes);
  return text[bytes] ? -1 : 0; /* texts are NUL-terminated */
}

static inline int visit_module(void *context, uint32_t id, const struct trace_module *module) {
  log_module(context, id, module);
  return 0;
}

static inline int visit_frame(void *context, uint32_t id, const struct trace_frame *frame) {
  log_frame(context, id, frame);
  return 0;
}

static inline int visit_node(void *context, uint32_t id, struct trace_node node) {
  log_node(context, id, node);
  return 0;
}

static inline int visit_process(void *context, const struct trace_process *process) {
  log_process(context, process);
  return 0;
}

static inline int visit_thread(void *context, const struct trace_thread *thread) {
  log_thread(context, thread);
  return 0;
}

static inline int visit_symbol(void *context, const struct trace_symbol *symbol) {
  log_symbol(context, symbol);
  return 0;
}

static inline int visit_sample(void *context, const struct trace_sample *sample) {
  log_sample(context, sample);
  return 0;
}

static inline int visit_wait(void *context, const struct trace_wait *wait) {
  log_wait(context, wait);
  return 0;
}

static inline int visit_account(void *context, const struct trace_account *account) {
  log_account(context, account);
  return 0;
}

static inline int visit_heap_site(void *context, uint32_t id, const struct trace_heap_site *site) {
  log_heap_site(context, id, site);
  return 0;
}

static inline int visit_heap(void *context, const struct trace_heap *heap) {
  log_heap(context, heap);
  return 0;
}

static inline int visit_memory(void *context, const struct trace_memory *memory) {
  log_memory(context, memory);
  return 0;
}

static inline int visit_call(void *context, const struct trace_call *call) {
  log_call(context, call);
  return 0;
}

static inline int visit_slow_call(void *context, const struct trace_slow_call *call) {
  log_slow_call(context, call);
  return 0;
}

static inline int visit_object(void *context, uint32_t id, const struct trace_object *object) {
  log_object(context, id, object);
  return 0;
}

static inline int visit_operation(void *context, uint32_t id,
                                  const struct trace_operation *operation) {
  log_operation(context, id, operation);
  return 0;
}

static inline int visit_operation_sum(void *context, const struct trace_operation_sum *sum) {
  log_operation_sum(context, sum);
  return 0;
}

static inline int visit_operation_detail(void *context,
                                         const struct trace_operation_detail *detail) {
  log_operation_detail(context, detail);
  return 0;
}

static inline int visit_operation_stack(void *context, const struct trace_operation_stack *stack) {
  log_operation_stack(context, stack);
  return 0;
}

static inline int visit_slow_operation(void *context, const struct trace_slow_operation *slow) {
  log_slow_operation(context, slow);
  return 0;
}

static inline int visit_happening(void *context, const struct trace_happening *happening) {
  log_happening(context, happening);
  return 0;
}

static inline int visit_point(void *context, const struct trace_point *point) {
  log_point(context, point);
  return 0;
}

static inline int visit_counter(void *context, const char *name, uint64_t value) {
  log_counter(context, name, value);
  return 0;
}

static inline int visit_meta(void *context, const char *name, const char *value) {
  log_meta(context, name, value);
  return 0;
}

/* Its context is a struct buf. */
__attribute__((unused)) static const struct trace_visitor log_visitor = {
    .string = visit_string,
    .module = visit_module,
    .frame = visit_frame,
    .node = visit_node,
    .process = visit_process,
    .thread = visit_thread,
    .symbol = visit_symbol,
    .sample = visit_sample,
    .wait = visit_wait,
    .account = visit_account,
    .heap_site = visit_heap_site,
    .heap = visit_heap,
    .memory = visit_memory,
    .call = visit_call,
    .slow_call = visit_slow_call,
    .object = visit_object,
    .operation = visit_operation,
    .operation_sum = visit_operation_sum,
    .operation_detail = visit_operation_detail,
    .operation_stack = visit_operation_stack,
    .slow_operation = visit_slow_operation,
    .happening = visit_happening,
    .point = visit_point,
    .counter = visit_counter,
    .meta = visit_meta,
};

/* ---- Files ----------------------------------------------------------------------------------- */

/* A path in a fresh temporary directory; remove with trace_path_remove. */
static inline char *trace_path_new(void) {
  char *path = malloc(64);
  strcpy(path, "/tmp/ragprof-test-XXXXXX");
  if (!mkdtemp(path))
    abort();
  return strcat(path, "/trace");
}

static inline void trace_path_remove(char *path) {
  unlink(path);
  *strrchr(path, '/') = '\0';
  rmdir(path);
  free(path);
}

static inline struct buf read_whole(const char *path) {
  struct buf content = {0};
  uint8_t block[4096];
  int fd = open(path, O_RDONLY);
  for (ssize_t got; fd >= 0 && (got = read(fd, block, sizeof(block))) > 0;)
    buf_put(&content, block, (size_t)got);
  if (fd >= 0)
    close(fd);
  return content;
}

static inline void write_whole(const char *path, const void *data, size_t bytes) {
  FILE *file = fopen(path, "w");
  if (!file || fwrite(data, 1, bytes, file) != bytes || fclose(file))
    abort();
}

#endif
