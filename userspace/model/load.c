/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Gathers the records of a trace; of processes, threads, symbols, calls, facts and counters
 * that come again, the last one holds. The reader has checked all ids. Records of
 * operations: load_operation.c. */
#include "model/load.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/error.h"

int loader_init(struct loader *loader) {
  *loader = (struct loader){.strings = strtab_new()};
  loader->heap_points = (struct thinned){.point_bytes = sizeof(struct loader_heap_point),
                                         .series_offset = offsetof(struct loader_heap_point, site),
                                         .points_max = PROFILE_HEAP_POINTS_MAX};
  loader_operations_init(&loader->operations);
  return loader->strings ? 0 : error_set(ENOMEM, "out of memory");
}

void loader_fini(struct loader *loader) {
  strtab_free(loader->strings);
  buf_fini(&loader->texts);
  buf_fini(&loader->modules);
  buf_fini(&loader->frames);
  buf_fini(&loader->nodes);
  buf_fini(&loader->symbols);
  hash_fini(&loader->symbol_of_place);
  buf_fini(&loader->processes);
  hash_fini(&loader->process_of_pid);
  buf_fini(&loader->threads);
  buf_fini(&loader->samples);
  buf_fini(&loader->waits);
  buf_fini(&loader->heap_sites);
  thinned_fini(&loader->heap_points);
  buf_fini(&loader->memory_points);
  buf_fini(&loader->calls);
  hash_fini(&loader->call_of_name);
  buf_fini(&loader->slow_calls);
  buf_fini(&loader->facts);
  hash_fini(&loader->fact_of_name);
  buf_fini(&loader->counters);
  hash_fini(&loader->counter_of_name);
  loader_operations_fini(&loader->operations);
}

const char *loader_text(const struct loader *loader, uint32_t id) {
  return id ? ((const char *const *)loader->texts.data)[id - 1] : strtab_get(loader->strings, 0);
}

int loader_push(struct buf *items, const void *item, size_t bytes) {
  buf_put(items, item, bytes);
  return items->failed ? error_set(ENOMEM, "out of memory") : 0;
}

int loader_push_keyed(struct buf *items, const void *item, size_t bytes, struct hash *hash,
                      uint64_t key) {
  uint64_t index = items->length / bytes;
  if (index >= PROFILE_NONE)
    return error_set(E2BIG, "the trace holds too many records");
  if (hash_put(hash, key, (uint32_t)index))
    return error_set(ENOMEM, "out of memory");
  return loader_push(items, item, bytes);
}

const char *loader_keep(struct loader *loader, const char *text) {
  size_t bytes = strlen(text);
  uint32_t id = strtab_add(loader->strings, text, bytes);
  if (!id && bytes) {
    error_set(ENOMEM, "out of memory");
    return NULL;
  }
  return strtab_get(loader->strings, id);
}

static int on_string(void *context, uint32_t id, const char *text, size_t bytes) {
  (void)id, (void)bytes;
  struct loader *loader = context;
  const char *kept = loader_keep(loader, text);
  return kept ? loader_push(&loader->texts, &kept, sizeof(kept)) : -ENOMEM;
}

static int on_module(void *context, uint32_t id, const struct trace_module *module) {
  (void)id;
  struct loader *loader = context;
  const char *path = loader_keep(loader, module->path);
  return path ? loader_push(&loader->modules, &path, sizeof(path)) : -ENOMEM;
}

static int on_frame(void *context, uint32_t id, const struct trace_frame *frame) {
  (void)id;
  struct loader *loader = context;
  return loader_push(&loader->frames, frame, sizeof(*frame));
}

static int on_node(void *context, uint32_t id, struct trace_node node) {
  (void)id;
  struct loader *loader = context;
  return loader_push(&loader->nodes, &node, sizeof(node));
}

static int on_symbol(void *context, const struct trace_symbol *symbol) {
  struct loader *loader = context;
  uint64_t key = (uint64_t)symbol->frame << 32 | symbol->depth;
  const uint32_t *known = hash_get(&loader->symbol_of_place, key);
  if (!known)
    return loader_push_keyed(&loader->symbols, symbol, sizeof(*symbol), &loader->symbol_of_place,
                             key);
  ((struct trace_symbol *)loader->symbols.data)[*known] = *symbol;
  return 0;
}

/* A PID that is used again after its process ended is another process. */
static bool is_same_process(const struct profile_process *known,
                            const struct trace_process *process) {
  return !known->end_ns || process->start_ns < known->end_ns;
}

static int on_process(void *context, const struct trace_process *process) {
  struct loader *loader = context;
  struct profile_process entry = {
      .pid = process->pid,
      .parent_pid = process->parent_pid,
      .start_ns = process->start_ns,
      .end_ns = process->end_ns,
      .name = loader_keep(loader, process->name),
      .executable = loader_keep(loader, process->executable),
      .runtime = loader_keep(loader, process->runtime),
  };
  if (!entry.name || !entry.executable || !entry.runtime)
    return -ENOMEM;
  const uint32_t *known = hash_get(&loader->process_of_pid, process->pid);
  struct profile_process *processes = (struct profile_process *)loader->processes.data;
  if (known && is_same_process(&processes[*known], process)) {
    processes[*known] = entry;
    return 0;
  }
  return loader_push_keyed(&loader->processes, &entry, sizeof(entry), &loader->process_of_pid,
                           process->pid);
}

int loader_find_process(struct loader *loader, uint32_t pid, const char *thread_name,
                        uint32_t *index) {
  const uint32_t *known = hash_get(&loader->process_of_pid, pid);
  if (!known) {
    struct profile_process made_up = {
        .pid = pid, .name = thread_name, .executable = "", .runtime = ""};
    int error = loader_push_keyed(&loader->processes, &made_up, sizeof(made_up),
                                  &loader->process_of_pid, pid);
    if (error)
      return error;
    known = hash_get(&loader->process_of_pid, pid);
  }
  *index = *known;
  return 0;
}

static int on_thread(void *context, const struct trace_thread *thread) {
  struct loader *loader = context;
  struct profile_thread entry = {.tid = thread->tid,
                                 .name = loader_keep(loader, thread->name),
                                 .start_ns = thread->start_ns,
                                 .end_ns = thread->end_ns};
  if (!entry.name)
    return -ENOMEM;
  int error = loader_find_process(loader, thread->pid, entry.name, &entry.process);
  if (error)
    return error;
  struct profile_thread *threads = (struct profile_thread *)loader->threads.data;
  if (thread->thread > loader->threads.length / sizeof(*threads))
    return loader_push(&loader->threads, &entry, sizeof(entry));
  struct profile_thread *known = &threads[thread->thread - 1];
  if (((struct profile_process *)loader->processes.data)[known->process].pid == thread->pid)
    entry.process = known->process; /* the PID may have another owner by now */
  entry.has_account = known->has_account;
  entry.account = known->account;
  *known = entry;
  return 0;
}

void loader_note_time(struct loader *loader, uint64_t ns) {
  if (loader->last_ns < ns)
    loader->last_ns = ns;
}

static int on_sample(void *context, const struct trace_sample *sample) {
  struct loader *loader = context;
  struct profile_sample entry = {
      .time_ns = sample->time_ns, .thread = sample->thread - 1, .node = sample->node};
  loader_note_time(loader, sample->time_ns);
  return loader_push(&loader->samples, &entry, sizeof(entry));
}

static int on_wait(void *context, const struct trace_wait *wait) {
  struct loader *loader = context;
  struct profile_wait entry = {
      .start_ns = wait->start_ns,
      .span_ns = wait->span_ns,
      .blocked_ns = wait->blocked_ns,
      .run_queue_ns = wait->run_queue_ns,
      .max_ns = wait->max_ns,
      .count = wait->count,
      .thread = wait->thread - 1,
      .node = wait->node,
      .waker = wait->waker ? wait->waker - 1 : PROFILE_NONE,
      .waker_tid = wait->waker_tid,
      .reason = wait->reason,
  };
  loader_note_time(loader, wait->start_ns + wait->span_ns);
  return loader_push(&loader->waits, &entry, sizeof(entry));
}

static int on_account(void *context, const struct trace_account *account) {
  struct loader *loader = context;
  struct profile_thread *thread =
      &((struct profile_thread *)loader->threads.data)[account->thread - 1];
  thread->has_account = true;
  thread->account = *account;
  thread->account.thread = account->thread - 1;
  loader_note_time(loader, account->time_ns);
  return 0;
}

static int on_heap_site(void *context, uint32_t id, const struct trace_heap_site *site) {
  (void)id;
  struct loader *loader = context;
  struct loader_heap_site entry = {.node = site->node, .kind = site->kind};
  if (loader->heap_sites.length / sizeof(entry) >= PROFILE_NONE - 1)
    return error_set(E2BIG, "the trace holds too many records");
  int error = loader_find_process(loader, site->pid, "", &entry.process);
  if (!error)
    error = thinned_add_series(&loader->heap_points);
  return error ? error : loader_push(&loader->heap_sites, &entry, sizeof(entry));
}

static int on_heap(void *context, const struct trace_heap *heap) {
  struct loader *loader = context;
  struct loader_heap_point entry = {.point = {.time_ns = heap->time_ns,
                                              .allocations = heap->allocations,
                                              .allocated_bytes = heap->allocated_bytes,
                                              .frees = heap->frees,
                                              .freed_bytes = heap->freed_bytes,
                                              .peak_bytes = heap->peak_bytes},
                                    .site = heap->site - 1};
  loader_note_time(loader, heap->time_ns);
  return thinned_add(&loader->heap_points, &entry);
}

static int on_memory(void *context, const struct trace_memory *memory) {
  struct loader *loader = context;
  struct profile_memory_point entry = {.time_ns = memory->time_ns, .present = memory->present};
  memcpy(entry.values, memory->values, sizeof(entry.values));
  loader_note_time(loader, memory->time_ns);
  int error = loader_find_process(loader, memory->pid, "", &entry.process);
  return error ? error : loader_push(&loader->memory_points, &entry, sizeof(entry));
}

static int on_call(void *context, const struct trace_call *call) {
  struct loader *loader = context;
  struct profile_call entry = {.name = loader_keep(loader, call->name),
                               .count = call->count,
                               .errors = call->errors,
                               .bytes = call->bytes,
                               .total_ns = call->total_ns,
                               .max_ns = call->max_ns};
  if (!entry.name)
    return -ENOMEM;
  int error = loader_find_process(loader, call->pid, "", &entry.process);
  if (error)
    return error;
  memcpy(entry.buckets, call->buckets, sizeof(entry.buckets));
  struct profile_call *calls = (struct profile_call *)loader->calls.data;
  uint64_t key = hash_mix(entry.process, (uintptr_t)entry.name);
  for (const uint32_t *at; (at = hash_get(&loader->call_of_name, key)); key++) {
    if (calls[*at].process != entry.process || calls[*at].name != entry.name)
      continue;
    calls[*at] = entry;
    return 0;
  }
  return loader_push_keyed(&loader->calls, &entry, sizeof(entry), &loader->call_of_name, key);
}

static int on_slow_call(void *context, const struct trace_slow_call *call) {
  struct loader *loader = context;
  struct profile_slow_call entry = {.time_ns = call->time_ns,
                                    .duration_ns = call->duration_ns,
                                    .result = call->result,
                                    .thread = call->thread - 1,
                                    .node = call->node,
                                    .name = loader_keep(loader, call->name)};
  if (!entry.name)
    return -ENOMEM;
  loader_note_time(loader, call->time_ns + call->duration_ns);
  return loader_push(&loader->slow_calls, &entry, sizeof(entry));
}

static int on_counter(void *context, const char *name, uint64_t value) {
  struct loader *loader = context;
  struct profile_counter entry = {.name = loader_keep(loader, name), .value = value};
  if (!entry.name)
    return -ENOMEM;
  const uint32_t *known = hash_get(&loader->counter_of_name, (uintptr_t)entry.name);
  if (!known)
    return loader_push_keyed(&loader->counters, &entry, sizeof(entry), &loader->counter_of_name,
                             (uintptr_t)entry.name);
  ((struct profile_counter *)loader->counters.data)[*known] = entry;
  return 0;
}

static int on_meta(void *context, const char *name, const char *value) {
  struct loader *loader = context;
  struct profile_fact entry = {.name = loader_keep(loader, name),
                               .value = loader_keep(loader, value)};
  if (!entry.name || !entry.value)
    return -ENOMEM;
  const uint32_t *known = hash_get(&loader->fact_of_name, (uintptr_t)entry.name);
  if (!known)
    return loader_push_keyed(&loader->facts, &entry, sizeof(entry), &loader->fact_of_name,
                             (uintptr_t)entry.name);
  ((struct profile_fact *)loader->facts.data)[*known] = entry;
  return 0;
}

const struct trace_visitor loader_visitor = {
    .string = on_string,
    .module = on_module,
    .frame = on_frame,
    .node = on_node,
    .process = on_process,
    .thread = on_thread,
    .symbol = on_symbol,
    .sample = on_sample,
    .wait = on_wait,
    .account = on_account,
    .heap_site = on_heap_site,
    .heap = on_heap,
    .memory = on_memory,
    .call = on_call,
    .slow_call = on_slow_call,
    .object = loader_on_object,
    .operation = loader_on_operation,
    .operation_sum = loader_on_operation_sum,
    .operation_detail = loader_on_operation_detail,
    .operation_stack = loader_on_operation_stack,
    .slow_operation = loader_on_slow_operation,
    .happening = loader_on_happening,
    .point = loader_on_point,
    .counter = on_counter,
    .meta = on_meta,
};
