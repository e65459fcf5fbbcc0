/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sums over heap sites: totals, and the series of live bytes of one site, of all, or of the sites
 * that share a stack over several processes. */
#ifndef RAGPROF_ANALYSIS_HEAP_H
#define RAGPROF_ANALYSIS_HEAP_H

#include <stdbool.h>
#include <stdint.h>

#include "model/profile.h"

/* What a site (or a set of them) counted to the end of the capture. */
struct heap_totals {
  uint64_t allocations;
  uint64_t frees;
  uint64_t bytes_allocated;
  uint64_t bytes_freed;
  uint64_t live_bytes;
  uint64_t live_blocks;
  uint64_t peak_bytes; /* of one site: exact; of several processes: the sum of theirs */
};

/* A stack, its process's or (when it is the same in several) all processes' sites of one kind. */
struct heap_stack {
  uint32_t node;
  enum heap_kind kind;
  uint32_t site_first; /* in heap.sites_by_stack */
  uint32_t site_count;
  struct heap_totals totals;
};

struct heap {
  bool is_recorded;            /* false: the capture did not watch allocations */
  bool is_sampled[HEAP_KINDS]; /* figures of the kind are estimates */
  uint64_t interval_bytes[HEAP_KINDS];
  struct heap_totals totals; /* HEAP_MALLOC and HEAP_PYTHON: what the program asked for */
  struct heap_totals kinds[HEAP_KINDS];
  uint64_t peak_ns;          /* when live bytes were highest, to the nearest snapshot */
  struct heap_stack *stacks; /* by live bytes, then allocated bytes */
  uint32_t stack_count;
  uint32_t *sites_by_stack; /* indices in profile.heap_sites */
};

/* Whether the totals are estimates: a kind that took anything was sampled. */
static inline bool heap_is_estimate(const struct heap *heap) {
  for (int kind = HEAP_MALLOC; kind <= HEAP_PYTHON; kind++)
    if (heap->is_sampled[kind] && heap->kinds[kind].allocations)
      return true;
  return false;
}

/* Whether allocations were counted, and not only (in a capture without the shim) mappings. */
static inline bool heap_has_allocations(const struct heap *heap) {
  return heap->kinds[HEAP_MALLOC].allocations || heap->kinds[HEAP_PYTHON].allocations;
}

/* Whether stacks of a kind can leak: those that asked an allocator for memory; where nobody counted
 * that, those that mapped some. */
static inline bool heap_is_judged(const struct heap *heap, enum heap_kind kind) {
  return kind == HEAP_MALLOC || kind == HEAP_PYTHON || !heap_has_allocations(heap);
}

/* 0 or -ENOMEM. */
int heap_build(struct heap **out, const struct profile *profile);
void heap_free(struct heap *heap);

/* A step function: the value from time_ns to the next point. */
struct heap_step {
  uint64_t time_ns;
  int64_t live_bytes;
  int64_t live_blocks;
  uint64_t allocations;
};

/* The series of a stack over all of its sites, in order of time; malloc'ed, the caller's. 0 or
 * -ENOMEM. */
int heap_series(const struct profile *profile, const struct heap *heap,
                const struct heap_stack *stack, struct heap_step **steps, size_t *count);

/* The live bytes of a site at a moment (of its last point at or before it). */
uint64_t heap_live_at(const struct profile *profile, const struct profile_heap_site *site,
                      uint64_t time_ns);

#endif
