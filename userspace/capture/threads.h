/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The threads seen by a capture, as records of the trace. A TID that is used again after its thread
 * ended is a new thread. */
#ifndef RAGPROF_CAPTURE_THREADS_H
#define RAGPROF_CAPTURE_THREADS_H

#include <stdint.h>

#include "ragprof.h"
#include "trace/writer.h"

struct thread_store;

int thread_store_new(struct thread_store **out, struct trace_writer *writer);
void thread_store_free(struct thread_store *store);

/* The trace id of a thread; one that is not known yet is entered. */
uint32_t thread_store_id(struct thread_store *store, uint32_t pid, uint32_t tid);
/* The same, but 0 for a thread that is not known. */
uint32_t thread_store_find(const struct thread_store *store, uint32_t tid);

/* A thread's report: name and exact times. `base_ns` is the capture's start. */
void thread_store_report(struct thread_store *store, const struct event_thread *event,
                         uint64_t base_ns);

/* When a thread began, since the capture's start, where no event told. */
void thread_store_began(struct thread_store *store, uint32_t tid, uint64_t start_ns);
/* The next thread of this TID is another one. */
void thread_store_forget(struct thread_store *store, uint32_t tid);

uint32_t thread_store_count(const struct thread_store *store);

#endif
