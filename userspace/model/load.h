/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The making of a profile, in two steps: load.c gathers the records of a trace, build.c makes
 * frames, functions and the merged tree of them. Private to the model. */
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
};

/* More points of heap sites than this are thinned: of those that lie within the same 0.13, 0.27, …
 * seconds only each site's last is kept, which counts what the others did. 56 bytes each. */
#define PROFILE_HEAP_POINTS_MAX (3u << 20)

struct loader_heap_site {
  uint32_t process;
  uint32_t node; /* trace id */
  enum heap_kind kind;
  uint32_t point_count;
  size_t last_point; /* index in heap_points, when there are points */
};

struct loader_heap_point {
  uint32_t site; /* index */
  struct profile_heap_point point;
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
  struct buf threads;       /* struct profile_thread */
  struct buf samples;       /* struct profile_sample with a trace node */
  struct buf waits;         /* struct profile_wait with a trace node */
  struct buf heap_sites;    /* struct loader_heap_site */
  struct buf heap_points;   /* struct loader_heap_point, a site's in order of time */
  size_t heap_points_max;   /* thinned from there on */
  unsigned heap_span_bits;  /* of each site, one point in each 2^bits ns is kept */
  struct buf memory_points; /* struct profile_memory_point */
  struct buf calls;         /* struct profile_call */
  struct hash call_of_name; /* of process and name → index */
  struct buf slow_calls;    /* struct profile_slow_call with a trace node */
  struct buf facts;         /* struct profile_fact */
  struct hash fact_of_name;
  struct buf counters; /* struct profile_counter */
  struct hash counter_of_name;
  uint64_t last_ns; /* the latest time in an event */
};

extern const struct trace_visitor loader_visitor; /* its context is a struct loader */

int loader_init(struct loader *loader);
void loader_fini(struct loader *loader);

/* "" for id 0. */
const char *loader_text(const struct loader *loader, uint32_t id);

/* Makes frames, functions and nodes of `profile` from the records, and turns the nodes of samples,
 * waits, heap sites and slow calls into the profile's. `symbols` is put in order on the way. 0 or
 * -errno. */
int build_tree(struct profile *profile, struct loader *loader);

/* Makes the heap sites and points of `profile`, once the tree is built. 0 or -errno. */
int build_heap(struct profile *profile, struct loader *loader);

/* Sorts items that begin with their time as a uint64_t; equal times stay in the order they are in.
 * Returns the sorted items, which may be a new array (then the old one is freed). NULL: out of
 * memory, and the old array is as it was. */
void *sort_by_time(void *items, size_t count, size_t bytes);

#endif
