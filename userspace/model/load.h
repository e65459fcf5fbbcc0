/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The making of a profile, in two steps: load.c and load_operation.c gather the records of a trace,
 * build.c makes frames, functions and the merged tree of them, heap.c and operation.c what is
 * counted by stack. Private to the model. */
#ifndef RAGPROF_MODEL_LOAD_H
#define RAGPROF_MODEL_LOAD_H

#include "base/buf.h"
#include "base/hash.h"
#include "model/profile.h"

/* Deeper stacks than this keep the frames nearest to the root: recursion in a renderer stays
 * bounded, whatever the file says. Captures stop far below. */
#define PROFILE_DEPTH_MAX 4096u

/* What a profile owns besides its arrays. */
struct profile_memory {
  struct strtab *strings;
  uint8_t *is_incomplete; /* by node */
  struct trace_operation_detail *details;
};

/* ---- Points ---------------------------------------------------------------------------------- */

/* The points of many series, each in order of time and cumulative. When they become too many they
 * are thinned: of those that lie within the same 0.13, 0.27, … seconds only each series' last is
 * kept, which counts what the others did. */
struct thinned {
  struct buf points;    /* items that begin with their time as a uint64_t */
  struct buf series;    /* struct thinned_series */
  size_t point_bytes;   /* of an item */
  size_t series_offset; /* in an item, of the uint32_t index of its series */
  size_t points_max;    /* thinned from there on */
  unsigned span_bits;   /* of each series, one point in each 2^bits ns is kept */
};

struct thinned_series {
  size_t count; /* of points */
  size_t last;  /* index of the last, when there is one */
};

void thinned_fini(struct thinned *thinned);
/* Announces the next series. 0 or -ENOMEM, as the one below. */
int thinned_add_series(struct thinned *thinned);
int thinned_add(struct thinned *thinned, const void *point);
size_t thinned_count(const struct thinned *thinned);
const struct thinned_series *thinned_series(const struct thinned *thinned, uint32_t index);

#define PROFILE_HEAP_POINTS_MAX (3u << 20)      /* 64 bytes each */
#define PROFILE_OPERATION_POINTS_MAX (3u << 20) /* 56 bytes each */
#define PROFILE_METRIC_POINTS_MAX (3u << 20)    /* 32 bytes each */

/* ---- Records --------------------------------------------------------------------------------- */

struct loader_heap_site {
  uint32_t process;
  uint32_t node; /* trace id */
  enum heap_kind kind;
};

struct loader_heap_point {
  struct profile_heap_point point;
  uint32_t site; /* index */
};

struct loader_operation {
  enum operation_class class;
  uint32_t process; /* index; PROFILE_NONE: that of the thread */
  uint32_t thread;  /* index or PROFILE_NONE */
  uint32_t object;  /* likewise */
  uint32_t detail;  /* likewise */
  const char *name;
};

struct loader_point {
  struct profile_point point;
  uint32_t series;
};

struct loader_operations {
  struct buf objects;            /* struct profile_object, each content once */
  struct hash object_of_content; /* → index */
  struct buf object_of_id;       /* uint32_t index by trace id - 1 */
  struct buf operations;         /* struct loader_operation */
  struct thinned points;         /* struct trace_operation_sum of an index */
  struct buf details;            /* struct trace_operation_detail of an index */
  struct buf stacks;             /* struct profile_operation_stack with a trace node */
  struct hash stack_of_place;    /* operation << 32 | node → index */
  struct buf slow;               /* struct profile_slow_operation with a trace node */
  struct buf happenings;         /* struct profile_happening */
  struct thinned metrics;        /* struct loader_point */
  struct hash series_of_metric;  /* process << 32 | metric → series */
};

/* The records of a trace, as they came. Arrays in bufs are indexed by trace id - 1. Strings are
 * interned in `strings`, so that equal pointers mean equal strings. */
struct loader {
  struct strtab *strings;
  struct buf texts;   /* const char * */
  struct buf modules; /* const char *: paths */
  struct buf frames;  /* struct trace_frame */
  struct buf nodes;   /* struct trace_node */
  struct buf symbols; /* struct trace_symbol, in order of appearance; one per frame and depth */
  struct hash symbol_of_place; /* frame << 32 | depth → index */
  struct buf processes;        /* struct profile_process */
  struct hash process_of_pid;
  struct buf threads;         /* struct profile_thread */
  struct buf samples;         /* struct profile_sample with a trace node */
  struct buf waits;           /* struct profile_wait with a trace node */
  struct buf heap_sites;      /* struct loader_heap_site */
  struct thinned heap_points; /* struct loader_heap_point */
  struct buf memory_points;   /* struct profile_memory_point */
  struct buf calls;           /* struct profile_call */
  struct hash call_of_name;   /* of process and name → index */
  struct buf slow_calls;      /* struct profile_slow_call with a trace node */
  struct loader_operations operations;
  struct buf facts; /* struct profile_fact */
  struct hash fact_of_name;
  struct buf counters; /* struct profile_counter */
  struct hash counter_of_name;
  uint64_t last_ns; /* the latest time in an event */
};

extern const struct trace_visitor loader_visitor; /* its context is a struct loader */

int loader_init(struct loader *loader);
void loader_fini(struct loader *loader);

void loader_operations_init(struct loader_operations *operations);
void loader_operations_fini(struct loader_operations *operations);

int loader_on_object(void *context, uint32_t id, const struct trace_object *object);
int loader_on_operation(void *context, uint32_t id, const struct trace_operation *operation);
int loader_on_operation_sum(void *context, const struct trace_operation_sum *sum);
int loader_on_operation_detail(void *context, const struct trace_operation_detail *detail);
int loader_on_operation_stack(void *context, const struct trace_operation_stack *stack);
int loader_on_slow_operation(void *context, const struct trace_slow_operation *slow);
int loader_on_happening(void *context, const struct trace_happening *happening);
int loader_on_point(void *context, const struct trace_point *point);

/* Appends an item; 0 or -ENOMEM. */
int loader_push(struct buf *items, const void *item, size_t bytes);
/* Appends an item and notes its index under `key`. */
int loader_push_keyed(struct buf *items, const void *item, size_t bytes, struct hash *hash,
                      uint64_t key);
/* The loader's own copy of a text; NULL when out of memory. */
const char *loader_keep(struct loader *loader, const char *text);
/* The index of the latest process with this PID; one of no other record is made up. */
int loader_find_process(struct loader *loader, uint32_t pid, const char *thread_name,
                        uint32_t *index);
void loader_note_time(struct loader *loader, uint64_t ns);

/* "" for id 0. */
const char *loader_text(const struct loader *loader, uint32_t id);

/* Makes frames, functions and nodes of `profile` from the records, and turns the nodes of samples,
 * waits, heap sites, slow calls and operations' stacks into the profile's. `symbols` is put in
 * order on the way. 0 or -errno. */
int build_tree(struct profile *profile, struct loader *loader);

/* Makes the heap sites and points of `profile`, once the tree is built. 0 or -errno. */
int build_heap(struct profile *profile, struct loader *loader);

/* Makes the operations of `profile` with their points, details and stacks, the slow ones, and the
 * points of metrics, once the tree is built and while the loader has the threads. 0 or -errno. */
int build_operations(struct profile *profile, struct loader *loader);

/* Sorts items that begin with their time as a uint64_t; equal times stay in the order they are in.
 * Returns the sorted items, which may be a new array (then the old one is freed). NULL: out of
 * memory, and the old array is as it was. */
void *sort_by_time(void *items, size_t count, size_t bytes);

#endif
