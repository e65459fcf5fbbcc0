/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Gathers the records of a trace; of processes, threads, symbols, calls, facts and counters
 * that come again, the last one holds. The reader has checked all ids. */
#include "model/load.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"

/* Spans of heap points once they are thinned: from 0.13 s to all the time that a reader lets
 * through. */
#define SPAN_BITS_MIN 27
#define SPAN_BITS_MAX 54

int loader_init(struct loader *loader) {
  *loader = (struct loader){.strings = strtab_new(), .heap_points_max = PROFILE_HEAP_POINTS_MAX};
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
  buf_fini(&loader->heap_points);
  buf_fini(&loader->memory_points);
  buf_fini(&loader->calls);
  hash_fini(&loader->call_of_name);
  buf_fini(&loader->slow_calls);
  buf_fini(&loader->facts);
  hash_fini(&loader->fact_of_name);
  buf_fini(&loader->counters);
  hash_fini(&loader->counter_of_name);
}

const char *loader_text(const struct loader *loader, uint32_t id) {
  return id ? ((const char *const *)loader->texts.data)[id - 1] : strtab_get(loader->strings, 0);
}

/* Appends an item; 0 or -ENOMEM. */
static int push(struct buf *items, const void *item, size_t bytes) {
  buf_put(items, item, bytes);
  return items->failed ? error_set(ENOMEM, "out of memory") : 0;
}

/* Appends an item and notes its index under `key`. */
static int push_keyed(struct buf *items, const void *item, size_t bytes, struct hash *hash,
                      uint64_t key) {
  uint64_t index = items->length / bytes;
  if (index >= PROFILE_NONE)
    return error_set(E2BIG, "the trace holds too many records");
  if (hash_put(hash, key, (uint32_t)index))
    return error_set(ENOMEM, "out of memory");
  return push(items, item, bytes);
}

/* The loader's own copy of a text; NULL when out of memory. */
static const char *keep(struct loader *loader, const char *text) {
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
  const char *kept = keep(loader, text);
  return kept ? push(&loader->texts, &kept, sizeof(kept)) : -ENOMEM;
}

static int on_module(void *context, uint32_t id, const struct trace_module *module) {
  (void)id;
  struct loader *loader = context;
  const char *path = keep(loader, module->path);
  return path ? push(&loader->modules, &path, sizeof(path)) : -ENOMEM;
}

static int on_frame(void *context, uint32_t id, const struct trace_frame *frame) {
  (void)id;
  struct loader *loader = context;
  return push(&loader->frames, frame, sizeof(*frame));
}

static int on_node(void *context, uint32_t id, struct trace_node node) {
  (void)id;
  struct loader *loader = context;
  return push(&loader->nodes, &node, sizeof(node));
}

static int on_symbol(void *context, const struct trace_symbol *symbol) {
  struct loader *loader = context;
  uint64_t key = (uint64_t)symbol->frame << 32 | symbol->depth;
  const uint32_t *known = hash_get(&loader->symbol_of_place, key);
  if (!known)
    return push_keyed(&loader->symbols, symbol, sizeof(*symbol), &loader->symbol_of_place, key);
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
      .name = keep(loader, process->name),
      .executable = keep(loader, process->executable),
      .runtime = keep(loader, process->runtime),
  };
  if (!entry.name || !entry.executable || !entry.runtime)
    return -ENOMEM;
  const uint32_t *known = hash_get(&loader->process_of_pid, process->pid);
  struct profile_process *processes = (struct profile_process *)loader->processes.data;
  if (known && is_same_process(&processes[*known], process)) {
    processes[*known] = entry;
    return 0;
  }
  return push_keyed(&loader->processes, &entry, sizeof(entry), &loader->process_of_pid,
                    process->pid);
}

/* The index of the latest process with this PID; one of no other record is made up. */
static int find_process(struct loader *loader, uint32_t pid, const char *thread_name,
                        uint32_t *index) {
  const uint32_t *known = hash_get(&loader->process_of_pid, pid);
  if (!known) {
    struct profile_process made_up = {
        .pid = pid, .name = thread_name, .executable = "", .runtime = ""};
    int error =
        push_keyed(&loader->processes, &made_up, sizeof(made_up), &loader->process_of_pid, pid);
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
                                 .name = keep(loader, thread->name),
                                 .start_ns = thread->start_ns,
                                 .end_ns = thread->end_ns};
  if (!entry.name)
    return -ENOMEM;
  int error = find_process(loader, thread->pid, entry.name, &entry.process);
  if (error)
    return error;
  struct profile_thread *threads = (struct profile_thread *)loader->threads.data;
  if (thread->thread > loader->threads.length / sizeof(*threads))
    return push(&loader->threads, &entry, sizeof(entry));
  struct profile_thread *known = &threads[thread->thread - 1];
  if (((struct profile_process *)loader->processes.data)[known->process].pid == thread->pid)
    entry.process = known->process; /* the PID may have another owner by now */
  entry.has_account = known->has_account;
  entry.account = known->account;
  *known = entry;
  return 0;
}

static void note_time(struct loader *loader, uint64_t ns) {
  if (loader->last_ns < ns)
    loader->last_ns = ns;
}

static int on_sample(void *context, const struct trace_sample *sample) {
  struct loader *loader = context;
  struct profile_sample entry = {
      .time_ns = sample->time_ns, .thread = sample->thread - 1, .node = sample->node};
  note_time(loader, sample->time_ns);
  return push(&loader->samples, &entry, sizeof(entry));
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
  note_time(loader, wait->start_ns + wait->span_ns);
  return push(&loader->waits, &entry, sizeof(entry));
}

static int on_account(void *context, const struct trace_account *account) {
  struct loader *loader = context;
  struct profile_thread *thread =
      &((struct profile_thread *)loader->threads.data)[account->thread - 1];
  thread->has_account = true;
  thread->account = *account;
  thread->account.thread = account->thread - 1;
  note_time(loader, account->time_ns);
  return 0;
}

static int on_heap_site(void *context, uint32_t id, const struct trace_heap_site *site) {
  (void)id;
  struct loader *loader = context;
  struct loader_heap_site entry = {.node = site->node, .kind = site->kind};
  if (loader->heap_sites.length / sizeof(entry) >= PROFILE_NONE - 1)
    return error_set(E2BIG, "the trace holds too many records");
  int error = find_process(loader, site->pid, "", &entry.process);
  return error ? error : push(&loader->heap_sites, &entry, sizeof(entry));
}

/* Keeps of each site the last point in each span. */
static void thin_heap_points(struct loader *loader) {
  struct loader_heap_site *sites = (struct loader_heap_site *)loader->heap_sites.data;
  struct loader_heap_point *points = (struct loader_heap_point *)loader->heap_points.data;
  size_t count = loader->heap_points.length / sizeof(*points), kept = 0;
  for (size_t i = 0; i < loader->heap_sites.length / sizeof(*sites); i++)
    sites[i].point_count = 0;
  for (size_t i = 0; i < count; i++) {
    struct loader_heap_site *site = &sites[points[i].site];
    uint64_t span = points[i].point.time_ns >> loader->heap_span_bits;
    if (site->point_count &&
        points[site->last_point].point.time_ns >> loader->heap_span_bits == span) {
      points[site->last_point] = points[i];
      continue;
    }
    points[kept] = points[i];
    site->last_point = kept++;
    site->point_count++;
  }
  loader->heap_points.length = kept * sizeof(*points);
}

/* Doubles the spans until half of the room is free. More sites than room stay as they are. */
static void make_heap_room(struct loader *loader) {
  size_t bytes_max = loader->heap_points_max / 2 * sizeof(struct loader_heap_point);
  while (loader->heap_points.length > bytes_max && loader->heap_span_bits < SPAN_BITS_MAX) {
    loader->heap_span_bits = loader->heap_span_bits ? loader->heap_span_bits + 1 : SPAN_BITS_MIN;
    thin_heap_points(loader);
  }
  while (loader->heap_points.length > bytes_max) {
    loader->heap_points_max *= 2;
    bytes_max *= 2;
  }
}

static int on_heap(void *context, const struct trace_heap *heap) {
  struct loader *loader = context;
  struct loader_heap_site *site =
      (struct loader_heap_site *)loader->heap_sites.data + heap->site - 1;
  struct loader_heap_point entry = {.site = heap->site - 1,
                                    .point = {.time_ns = heap->time_ns,
                                              .allocations = heap->allocations,
                                              .allocated_bytes = heap->allocated_bytes,
                                              .frees = heap->frees,
                                              .freed_bytes = heap->freed_bytes,
                                              .peak_bytes = heap->peak_bytes}};
  note_time(loader, heap->time_ns);
  if (site->point_count) {
    struct loader_heap_point *last =
        (struct loader_heap_point *)loader->heap_points.data + site->last_point;
    unsigned bits = loader->heap_span_bits;
    if (last->point.time_ns >> bits == heap->time_ns >> bits) {
      *last = entry;
      return 0;
    }
  }
  site->last_point = loader->heap_points.length / sizeof(entry);
  site->point_count++;
  int error = push(&loader->heap_points, &entry, sizeof(entry));
  if (!error && loader->heap_points.length / sizeof(entry) >= loader->heap_points_max)
    make_heap_room(loader);
  return error;
}

static int on_memory(void *context, const struct trace_memory *memory) {
  struct loader *loader = context;
  struct profile_memory_point entry = {.time_ns = memory->time_ns, .present = memory->present};
  memcpy(entry.values, memory->values, sizeof(entry.values));
  note_time(loader, memory->time_ns);
  int error = find_process(loader, memory->pid, "", &entry.process);
  return error ? error : push(&loader->memory_points, &entry, sizeof(entry));
}

static int on_call(void *context, const struct trace_call *call) {
  struct loader *loader = context;
  struct profile_call entry = {.name = keep(loader, call->name),
                               .count = call->count,
                               .errors = call->errors,
                               .bytes = call->bytes,
                               .total_ns = call->total_ns,
                               .max_ns = call->max_ns};
  if (!entry.name)
    return -ENOMEM;
  int error = find_process(loader, call->pid, "", &entry.process);
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
  return push_keyed(&loader->calls, &entry, sizeof(entry), &loader->call_of_name, key);
}

static int on_slow_call(void *context, const struct trace_slow_call *call) {
  struct loader *loader = context;
  struct profile_slow_call entry = {.time_ns = call->time_ns,
                                    .duration_ns = call->duration_ns,
                                    .result = call->result,
                                    .thread = call->thread - 1,
                                    .node = call->node,
                                    .name = keep(loader, call->name)};
  if (!entry.name)
    return -ENOMEM;
  note_time(loader, call->time_ns + call->duration_ns);
  return push(&loader->slow_calls, &entry, sizeof(entry));
}

static int on_counter(void *context, const char *name, uint64_t value) {
  struct loader *loader = context;
  struct profile_counter entry = {.name = keep(loader, name), .value = value};
  if (!entry.name)
    return -ENOMEM;
  const uint32_t *known = hash_get(&loader->counter_of_name, (uintptr_t)entry.name);
  if (!known)
    return push_keyed(&loader->counters, &entry, sizeof(entry), &loader->counter_of_name,
                      (uintptr_t)entry.name);
  ((struct profile_counter *)loader->counters.data)[*known] = entry;
  return 0;
}

static int on_meta(void *context, const char *name, const char *value) {
  struct loader *loader = context;
  struct profile_fact entry = {.name = keep(loader, name), .value = keep(loader, value)};
  if (!entry.name || !entry.value)
    return -ENOMEM;
  const uint32_t *known = hash_get(&loader->fact_of_name, (uintptr_t)entry.name);
  if (!known)
    return push_keyed(&loader->facts, &entry, sizeof(entry), &loader->fact_of_name,
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
    .counter = on_counter,
    .meta = on_meta,
};
