/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The shim's side of a capture: the folder in which the processes of a session make their regions,
 * what the command is started with, and the way from the regions into the trace. */
#ifndef RAGPROF_CAPTURE_SHIM_H
#define RAGPROF_CAPTURE_SHIM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "capture/accounts.h"
#include "capture/process.h"
#include "capture/programs.h"
#include "capture/shim_stacks.h"
#include "capture/threads.h"
#include "trace/writer.h"

struct shim;

struct shim_options {
  const char *library; /* path of libragprof.so */
  const char *alloc;   /* every, sampled, off */
  const char *python;
  uint64_t interval_bytes; /* mean distance of samples */
  uint64_t snapshot_ns;
  const char *iteration; /* NULL: none */
};

/* Makes the folder. 0 or -errno. */
int shim_new(struct shim **out, const struct shim_options *options);
/* Removes it. NULL is fine. */
void shim_free(struct shim *shim);

/* "NAME=value\0" for each variable that the command is to be started with. `cpu_hz` 0: BPF samples.
 */
void shim_environment(const struct shim *shim, uint32_t cpu_hz, struct buf *out);

/* What of the capture the shim writes into. */
struct shim_sink {
  struct trace_writer *writer;
  struct process_store *processes;
  struct module_store *modules;
  struct stack_store *stacks;
  struct thread_store *threads;
  struct account_store *accounts;  /* NULL: BPF counts samples, waits, times and processes */
  const struct programs *programs; /* where they count iterations; or NULL */
  uint64_t start_ns;               /* CLOCK_MONOTONIC */
  bool follow_children;
};

int shim_begin(struct shim *shim, const struct shim_sink *sink);

/* Takes new regions in, and what is due from all; calls are to follow each other by no more than
 * what the last one returned, in ns. */
uint64_t shim_tick(struct shim *shim, uint64_t now_ns);

/* Takes all there is from the regions; nothing is written afterwards but by shim_put_facts. */
void shim_end(struct shim *shim, uint64_t now_ns);

/* Whether the process has a region, and its memory is read with that. */
bool shim_covers(const struct shim *shim, uint32_t pid);

/* Counters and facts, as trace/trace.h lists them. Returns how many events were lost. */
uint64_t shim_put_facts(const struct shim *shim, struct trace_writer *writer);

/* A summary for the terminal. */
struct shim_totals {
  uint32_t processes;
  uint64_t samples;
  uint64_t allocations; /* of malloc and Python, by all processes */
  uint64_t live_bytes;  /* when its process, or the capture, ended */
  uint64_t peak_bytes;  /* of all processes together, at the snapshots */
  bool counts_heap;
};

struct shim_totals shim_totals(const struct shim *shim);

/* What the user should know: why the folder is not where it should be; "" for nothing. */
const char *shim_note(const struct shim *shim);

#endif
