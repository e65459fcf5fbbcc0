/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The profile: a trace in memory, with symbols applied and inlined calls expanded into frames of
 * their own. Everything right of the trace file reads this. Plain arrays, indexed by ids that start
 * at 0; no id here is a trace id. Immutable once loaded. */
#ifndef RAGPROF_MODEL_PROFILE_H
#define RAGPROF_MODEL_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trace/reader.h"
#include "trace/trace.h"

#define PROFILE_NONE UINT32_MAX

/* A function at a line, as it stands on stacks. Strings are never NULL. */
struct profile_frame {
  const char *function; /* "[unknown]" with module+offset when no symbol was found */
  const char *file;     /* source file, "" unknown */
  const char *module;   /* path of the ELF file, "[kernel]", "" for Python */
  uint32_t line;        /* current line, 0 unknown */
  uint32_t first_line;  /* of the function, 0 unknown */
  enum frame_kind kind;
  uint32_t flags;       /* enum frame_flag */
  uint32_t function_id; /* equal for frames of the same function (kind, name, file, module),
                           whatever the line: indexes profile.functions */
};

/* What the frames of one function share. */
struct profile_function {
  const char *name;
  const char *file;
  const char *module;
  uint32_t first_line;
  enum frame_kind kind;
};

/* Calling-context tree. A parent's index is smaller than its child's. Stacks whose outermost frame
 * is a FRAME_MARK are incomplete. */
struct profile_node {
  uint32_t parent; /* PROFILE_NONE at the root */
  uint32_t frame;
  uint32_t depth; /* 0 at the root */
};

struct profile_process {
  uint32_t pid;
  uint32_t parent_pid;
  uint64_t start_ns;
  uint64_t end_ns; /* the capture's end while it lived */
  const char *name;
  const char *executable;
  const char *runtime;
};

struct profile_thread {
  uint32_t process; /* index */
  uint32_t tid;
  const char *name;
  uint64_t start_ns;
  uint64_t end_ns;
  bool has_account;
  struct trace_account account; /* exact times, when has_account */
  uint64_t sample_count;
  uint64_t sample_weight_ns; /* what one on-CPU sample of this thread stands for: its exact on-CPU
                                time / samples; the sampling period when no exact time is known */
};

struct profile_sample {
  uint64_t time_ns;
  uint32_t thread;
  uint32_t node;
};

struct profile_wait {
  uint64_t start_ns;
  uint64_t span_ns;
  uint64_t blocked_ns;
  uint64_t run_queue_ns;
  uint64_t max_ns;
  uint64_t count;
  uint32_t thread;
  uint32_t node;
  uint32_t waker; /* thread index or PROFILE_NONE */
  uint32_t waker_tid;
  enum wait_reason reason;
};

/* A stack at which a process took memory, with what it had counted at moments. */
struct profile_heap_site {
  uint32_t process; /* index */
  uint32_t node;
  enum heap_kind kind;
  size_t point_first; /* in profile.heap_points, in order of time */
  size_t point_count; /* at least 1 */
};

struct profile_heap_point {
  uint64_t time_ns;
  uint64_t allocations; /* so far, as the three below */
  uint64_t allocated_bytes;
  uint64_t frees;
  uint64_t freed_bytes;
  uint64_t peak_bytes; /* most that were live at once so far */
};

struct profile_memory_point {
  uint64_t time_ns;
  uint32_t process; /* index */
  uint32_t present; /* bit m: values[m] was read */
  uint64_t values[MEMORY_METRICS];
};

struct profile_call {
  uint32_t process; /* index */
  const char *name;
  uint64_t count;
  uint64_t errors;
  uint64_t bytes;
  uint64_t total_ns;
  uint64_t max_ns;
  uint64_t buckets[TRACE_BUCKETS];
};

struct profile_slow_call {
  uint64_t time_ns;
  uint64_t duration_ns;
  int64_t result;
  uint32_t thread;
  uint32_t node;
  const char *name;
};

struct profile_object {
  enum object_kind kind;
  const char *name;
};

/* Something that was done again and again; equal ones (class, process, thread, object and name) are
 * one. */
struct profile_operation {
  enum operation_class class;
  uint32_t process;                            /* index */
  uint32_t thread;                             /* index, or PROFILE_NONE: all of the process */
  uint32_t object;                             /* index, or PROFILE_NONE */
  const char *name;                            /* interned: equal names are equal pointers */
  struct trace_operation_sum total;            /* the last sum; .operation is this one's index */
  const struct trace_operation_detail *detail; /* NULL: none was recorded */
  size_t point_first;                          /* in profile.operation_points, in order of time */
  size_t point_count;
  size_t stack_first; /* in profile.operation_stacks */
  size_t stack_count;
};

/* What of an operation fell to a stack, in such numbers that those of all its stacks make up the
 * operation's exact total, where any stack was taken. */
struct profile_operation_stack {
  uint32_t operation; /* index */
  uint32_t node;
  uint64_t count;
  uint64_t bytes;
  uint64_t total_ns;
};

struct profile_slow_operation {
  uint64_t time_ns;
  uint64_t duration_ns;
  int64_t result;
  uint32_t operation; /* index */
  uint32_t thread;    /* index */
  uint32_t node;
  uint32_t object; /* index, or PROFILE_NONE */
};

struct profile_happening {
  uint64_t time_ns;
  uint32_t process; /* index */
  enum process_happening what;
  uint64_t value;
  const char *text;
};

struct profile_point {
  uint64_t time_ns;
  uint32_t process; /* index, or PROFILE_NONE: the host */
  enum point_metric metric;
  uint64_t value;
};

struct profile_fact {
  const char *name;
  const char *value;
};

struct profile_counter {
  const char *name;
  uint64_t value;
};

struct profile {
  struct profile_frame *frames;
  uint32_t frame_count;
  struct profile_function *functions;
  uint32_t function_count;
  struct profile_node *nodes;
  uint32_t node_count;
  struct profile_process *processes;
  uint32_t process_count;
  struct profile_thread *threads;
  uint32_t thread_count;
  struct profile_sample *samples; /* in order of time */
  size_t sample_count;
  struct profile_wait *waits; /* in order of start */
  size_t wait_count;
  struct profile_heap_site *heap_sites; /* sites of equal process, kind and node are one */
  uint32_t heap_site_count;
  struct profile_heap_point *heap_points; /* site by site */
  size_t heap_point_count;
  struct profile_memory_point *memory_points; /* in order of time */
  size_t memory_point_count;
  struct profile_call *calls;
  uint32_t call_count;
  struct profile_slow_call *slow_calls; /* in order of time */
  size_t slow_call_count;
  struct profile_object *objects;
  uint32_t object_count;
  struct profile_operation *operations;
  uint32_t operation_count;
  struct trace_operation_sum *operation_points; /* operation by operation: cumulative, thinned */
  size_t operation_point_count;
  struct profile_operation_stack *operation_stacks; /* operation by operation */
  size_t operation_stack_count;
  struct profile_slow_operation *slow_operations; /* in order of time */
  size_t slow_operation_count;
  struct profile_happening *happenings; /* in order of time */
  size_t happening_count;
  struct profile_point *points; /* in order of time */
  size_t point_count;
  struct profile_fact *facts;
  uint32_t fact_count;
  struct profile_counter *counters;
  uint32_t counter_count;
  uint64_t duration_ns;
  uint32_t frequency_hz;
  struct trace_status status;    /* whether the file was whole */
  struct profile_memory *memory; /* owns the strings */
};

/* Reads a trace file. 0 or -errno with the cause in error_text(). */
int profile_load(struct profile **out, const char *path);
/* The same over the bytes of a trace file in memory. */
int profile_load_memory(struct profile **out, const void *data, size_t bytes);
void profile_free(struct profile *profile);

/* The value of a fact ("" when it is absent) and of a counter (0 when absent). */
const char *profile_fact(const struct profile *profile, const char *name);
uint64_t profile_counter(const struct profile *profile, const char *name);

/* Whether the stack that ends in `node` reaches the thread's first frame. */
bool profile_is_complete(const struct profile *profile, uint32_t node);

#endif
