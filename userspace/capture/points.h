/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is read of every followed process on a clock, from /proc and the cgroups: memory, faults,
 * files, threads, limits, input/output, migrations; and of the host, what is runnable. It costs at
 * most one percent of a CPU: with many or large processes, each is read more seldom. */
#ifndef RAGPROF_CAPTURE_POINTS_H
#define RAGPROF_CAPTURE_POINTS_H

#include <stdbool.h>
#include <stdint.h>

#include "capture/process.h"
#include "ragprof.h"
#include "trace/writer.h"

struct point_store;
struct shim;

struct point_sink {
  struct trace_writer *writer;
  struct process_store *processes;
  const struct shim *shim; /* reads the memory of its own processes; or NULL */
};

/* 0 or -errno. The sink's parts must outlive the store. */
int point_store_new(struct point_store **out, const struct point_sink *sink);
void point_store_free(struct point_store *store);

/* Times are CLOCK_MONOTONIC; `base_ns` is the capture's start. */
void point_store_begin(struct point_store *store, uint64_t base_ns);
void point_store_tick(struct point_store *store, uint64_t now_ns);
/* For the last time. */
void point_store_end(struct point_store *store, uint64_t now_ns);

/* A thread's own counts: what a process came to when it can no longer be read. */
void point_store_thread(struct point_store *store, const struct event_thread *event);
void point_store_process_end(struct point_store *store, uint32_t pid, uint64_t time_ns);

/* Writes how the resident memory of a process is made up. */
struct memory_walk;
void points_put_walk(struct trace_writer *writer, uint64_t since_start_ns, uint32_t pid,
                     const struct memory_walk *walk);

#endif
