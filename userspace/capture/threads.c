/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the table of threads by TID. */
#include "capture/threads.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"

struct thread {
  uint32_t pid;
  uint32_t tid;
  uint64_t start_ns;
  uint64_t end_ns;
  char name[16];
};

struct thread_store {
  struct trace_writer *writer;
  struct thread *threads; /* trace id − 1 */
  uint32_t count;
  uint32_t capacity;
  struct hash by_tid; /* TID → trace id of its last thread; 0: none */
};

int thread_store_new(struct thread_store **out, struct trace_writer *writer) {
  struct thread_store *store = calloc(1, sizeof(*store));
  if (!store)
    return error_set(ENOMEM, "out of memory");
  store->writer = writer;
  *out = store;
  return 0;
}

void thread_store_free(struct thread_store *store) {
  if (!store)
    return;
  free(store->threads);
  hash_fini(&store->by_tid);
  free(store);
}

uint32_t thread_store_count(const struct thread_store *store) {
  return store->count;
}

uint32_t thread_store_find(const struct thread_store *store, uint32_t tid) {
  uint32_t *id = hash_get(&store->by_tid, tid);
  return id ? *id : 0;
}

static void put(struct thread_store *store, uint32_t id) {
  const struct thread *thread = &store->threads[id - 1];
  trace_put_thread(store->writer, &(struct trace_thread){.thread = id,
                                                         .pid = thread->pid,
                                                         .tid = thread->tid,
                                                         .start_ns = thread->start_ns,
                                                         .end_ns = thread->end_ns,
                                                         .name = thread->name});
}

static uint32_t add(struct thread_store *store, uint32_t pid, uint32_t tid) {
  if (store->count == store->capacity) {
    uint32_t capacity = store->capacity ? store->capacity * 2 : 64;
    struct thread *grown = realloc(store->threads, capacity * sizeof(*grown));
    if (!grown)
      return 0;
    store->threads = grown;
    store->capacity = capacity;
  }
  if (hash_put(&store->by_tid, tid, store->count + 1))
    return 0;
  store->threads[store->count++] = (struct thread){.pid = pid, .tid = tid};
  return store->count;
}

uint32_t thread_store_id(struct thread_store *store, uint32_t pid, uint32_t tid) {
  uint32_t id = thread_store_find(store, tid);
  if (id)
    return id;
  id = add(store, pid, tid);
  if (id)
    put(store, id);
  return id;
}

static uint64_t since(uint64_t time_ns, uint64_t base_ns) {
  return time_ns > base_ns ? time_ns - base_ns : 0;
}

static void put_account(struct thread_store *store, uint32_t id, const struct event_thread *event,
                        uint64_t base_ns) {
  trace_put_account(store->writer,
                    &(struct trace_account){.time_ns = since(event->time_ns, base_ns),
                                            .thread = id,
                                            .wall_ns = event->time_ns - event->start_ns,
                                            .on_cpu_ns = event->on_cpu_ns,
                                            .blocked_ns = event->blocked_ns,
                                            .run_queue_ns = event->run_queue_ns,
                                            .voluntary_switches = event->voluntary_switches,
                                            .involuntary_switches = event->involuntary_switches});
}

void thread_store_report(struct thread_store *store, const struct event_thread *event,
                         uint64_t base_ns) {
  if (event->what == THREAD_NEW)
    hash_put(&store->by_tid, event->tid, 0);
  uint32_t id = thread_store_find(store, event->tid);
  if (!id)
    id = add(store, event->tgid, event->tid);
  if (!id)
    return;
  struct thread *thread = &store->threads[id - 1];
  struct thread before = *thread;
  snprintf(thread->name, sizeof(thread->name), "%s", event->name);
  if (event->what == THREAD_NEW)
    thread->start_ns = since(event->start_ns, base_ns);
  if (event->what == THREAD_EXIT) /* found by its TID still: sums of its waits are yet to come */
    thread->end_ns = since(event->time_ns, base_ns);
  if (memcmp(&before, thread, sizeof(before)) || !before.name[0])
    put(store, id);
  put_account(store, id, event, base_ns);
}

void thread_store_began(struct thread_store *store, uint32_t tid, uint64_t start_ns) {
  uint32_t id = thread_store_find(store, tid);
  if (!id || store->threads[id - 1].start_ns == start_ns)
    return;
  store->threads[id - 1].start_ns = start_ns;
  put(store, id);
}

void thread_store_forget(struct thread_store *store, uint32_t tid) {
  hash_put(&store->by_tid, tid, 0);
}
