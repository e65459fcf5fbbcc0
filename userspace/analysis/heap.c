/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sums heap sites: by kind, by stack over all processes, and over time. */
#include "analysis/heap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* Time is cut into this many parts to find the moment of the peak. */
#define PEAK_PARTS 4096u

static int out_of_memory(void) {
  return error_set(ENOMEM, "out of memory");
}

static void add_to(uint64_t *sum, uint64_t value) {
  if (__builtin_add_overflow(*sum, value, sum))
    *sum = UINT64_MAX;
}

static const struct profile_heap_point *last_point(const struct profile *profile,
                                                   const struct profile_heap_site *site) {
  return &profile->heap_points[site->point_first + site->point_count - 1];
}

/* When the blocks of a site were gone with their process; what it did last may be known later. */
static uint64_t end_of(const struct profile *profile, const struct profile_heap_site *site) {
  uint64_t end_ns = profile->processes[site->process].end_ns;
  uint64_t last_ns = last_point(profile, site)->time_ns;
  return end_ns > last_ns ? end_ns : last_ns;
}

static uint64_t live_of(const struct profile_heap_point *point) {
  return point->allocated_bytes - point->freed_bytes;
}

static void add_site(struct heap_totals *totals, const struct profile_heap_point *last) {
  add_to(&totals->allocations, last->allocations);
  add_to(&totals->frees, last->frees);
  add_to(&totals->bytes_allocated, last->allocated_bytes);
  add_to(&totals->bytes_freed, last->freed_bytes);
  add_to(&totals->live_bytes, live_of(last));
  add_to(&totals->live_blocks, last->allocations - last->frees);
  add_to(&totals->peak_bytes, last->peak_bytes);
}

/* ---- Stacks ---------------------------------------------------------------------------------- */

static int compare_sites(const void *a, const void *b, void *context) {
  const struct profile *profile = context;
  const struct profile_heap_site *left = &profile->heap_sites[*(const uint32_t *)a];
  const struct profile_heap_site *right = &profile->heap_sites[*(const uint32_t *)b];
  if (left->node != right->node)
    return left->node < right->node ? -1 : 1;
  if (left->kind != right->kind)
    return left->kind < right->kind ? -1 : 1;
  return left->process < right->process ? -1 : left->process > right->process;
}

static int compare_stacks(const void *a, const void *b) {
  const struct heap_stack *left = a, *right = b;
  if (left->totals.live_bytes != right->totals.live_bytes)
    return left->totals.live_bytes > right->totals.live_bytes ? -1 : 1;
  if (left->totals.bytes_allocated != right->totals.bytes_allocated)
    return left->totals.bytes_allocated > right->totals.bytes_allocated ? -1 : 1;
  return left->site_first < right->site_first ? -1 : left->site_first > right->site_first;
}

static void build_stacks(struct heap *heap, const struct profile *profile) {
  for (uint32_t i = 0; i < profile->heap_site_count; i++)
    heap->sites_by_stack[i] = i;
  qsort_r(heap->sites_by_stack, profile->heap_site_count, sizeof(uint32_t), compare_sites,
          (void *)profile);
  for (uint32_t i = 0; i < profile->heap_site_count; i++) {
    const struct profile_heap_site *site = &profile->heap_sites[heap->sites_by_stack[i]];
    struct heap_stack *stack = heap->stack_count ? &heap->stacks[heap->stack_count - 1] : NULL;
    if (!stack || stack->node != site->node || stack->kind != site->kind) {
      stack = &heap->stacks[heap->stack_count++];
      *stack = (struct heap_stack){.node = site->node, .kind = site->kind, .site_first = i};
    }
    stack->site_count++;
    add_site(&stack->totals, last_point(profile, site));
  }
  qsort(heap->stacks, heap->stack_count, sizeof(*heap->stacks), compare_stacks);
}

/* ---- Peaks ----------------------------------------------------------------------------------- */

/* Changes of live bytes by part of the time. */
struct timeline {
  uint64_t part_ns;
  uint64_t changes[HEAP_KINDS][PEAK_PARTS]; /* modulo 2^64 */
  uint64_t last_ns[PEAK_PARTS];             /* time of the last point in the part */
};

/* A process's blocks are gone after its end, unless nothing came after it. */
static void add_points(struct timeline *timeline, const struct profile *profile,
                       const struct profile_heap_site *site) {
  const struct profile_heap_point *points = &profile->heap_points[site->point_first];
  uint64_t live = 0;
  for (size_t i = 0; i < site->point_count; i++) {
    uint64_t part = points[i].time_ns / timeline->part_ns;
    timeline->changes[site->kind][part] += live_of(&points[i]) - live;
    live = live_of(&points[i]);
    if (timeline->last_ns[part] < points[i].time_ns)
      timeline->last_ns[part] = points[i].time_ns;
  }
  uint64_t after = end_of(profile, site) / timeline->part_ns + 1;
  if (after < PEAK_PARTS)
    timeline->changes[site->kind][after] -= live;
}

static void raise_to(uint64_t *peak, uint64_t live) {
  if (live <= INT64_MAX && *peak < live)
    *peak = live;
}

static void find_peaks(struct heap *heap, const struct timeline *timeline) {
  uint64_t live[HEAP_KINDS] = {0};
  heap->totals.peak_bytes = 0;
  for (uint32_t kind = 0; kind < HEAP_KINDS; kind++)
    heap->kinds[kind].peak_bytes = 0;
  for (uint32_t part = 0; part < PEAK_PARTS; part++) {
    for (uint32_t kind = 0; kind < HEAP_KINDS; kind++) {
      live[kind] += timeline->changes[kind][part];
      raise_to(&heap->kinds[kind].peak_bytes, live[kind]);
    }
    uint64_t before = heap->totals.peak_bytes;
    raise_to(&heap->totals.peak_bytes, live[HEAP_MALLOC] + live[HEAP_PYTHON]);
    if (heap->totals.peak_bytes != before)
      heap->peak_ns = timeline->last_ns[part];
  }
}

/* Between two snapshots more may have been live than at either: the process itself kept count of
 * its peak, and every site of its own. The moment of the peak stays that of the snapshot at which
 * most was live: one that tells of a higher peak comes after it. */
static void raise_peaks(struct heap *heap, const struct profile *profile) {
  for (size_t i = 0; i < profile->memory_point_count; i++) {
    const struct profile_memory_point *point = &profile->memory_points[i];
    if (point->present >> MEMORY_HEAP_PEAK & 1)
      raise_to(&heap->totals.peak_bytes, point->values[MEMORY_HEAP_PEAK]);
  }
  for (uint32_t i = 0; i < profile->heap_site_count; i++) {
    const struct profile_heap_site *site = &profile->heap_sites[i];
    uint64_t peak_bytes = last_point(profile, site)->peak_bytes;
    if (heap->kinds[site->kind].peak_bytes < peak_bytes)
      heap->kinds[site->kind].peak_bytes = peak_bytes;
  }
  for (uint32_t kind = HEAP_MALLOC; kind <= HEAP_PYTHON; kind++)
    if (heap->totals.peak_bytes < heap->kinds[kind].peak_bytes)
      heap->totals.peak_bytes = heap->kinds[kind].peak_bytes;
}

static int build_peaks(struct heap *heap, const struct profile *profile) {
  struct timeline *timeline = calloc(1, sizeof(*timeline));
  if (!timeline)
    return out_of_memory();
  timeline->part_ns = profile->duration_ns / PEAK_PARTS + 1;
  for (uint32_t i = 0; i < profile->heap_site_count; i++)
    add_points(timeline, profile, &profile->heap_sites[i]);
  find_peaks(heap, timeline);
  free(timeline);
  raise_peaks(heap, profile);
  return 0;
}

/* ---- The whole ------------------------------------------------------------------------------- */

static void set_modes(struct heap *heap, const struct profile *profile) {
  static const char *const names[HEAP_KINDS] = {
      [HEAP_MALLOC] = "memory.malloc_interval_bytes",
      [HEAP_PYTHON] = "memory.python_interval_bytes",
  };
  heap->is_recorded = profile->heap_site_count > 0;
  for (uint32_t kind = 0; kind < HEAP_KINDS; kind++) {
    for (uint32_t i = 0; names[kind] && i < profile->counter_count; i++)
      heap->is_recorded = heap->is_recorded || !strcmp(profile->counters[i].name, names[kind]);
    heap->interval_bytes[kind] = names[kind] ? profile_counter(profile, names[kind]) : 0;
    heap->is_sampled[kind] = heap->interval_bytes[kind] != 0;
  }
}

static void build_totals(struct heap *heap, const struct profile *profile) {
  for (uint32_t i = 0; i < profile->heap_site_count; i++) {
    const struct profile_heap_site *site = &profile->heap_sites[i];
    add_site(&heap->kinds[site->kind], last_point(profile, site));
    if (site->kind == HEAP_MALLOC || site->kind == HEAP_PYTHON)
      add_site(&heap->totals, last_point(profile, site));
  }
}

int heap_build(struct heap **out, const struct profile *profile) {
  struct heap *heap = calloc(1, sizeof(*heap));
  if (!heap)
    return out_of_memory();
  size_t count = (size_t)profile->heap_site_count + 1; /* never an array of nothing */
  heap->stacks = calloc(count, sizeof(*heap->stacks));
  heap->sites_by_stack = calloc(count, sizeof(*heap->sites_by_stack));
  int error = 0;
  if (!heap->stacks || !heap->sites_by_stack) {
    error = out_of_memory();
  } else {
    set_modes(heap, profile);
    build_totals(heap, profile);
    build_stacks(heap, profile);
    error = build_peaks(heap, profile);
  }
  if (error)
    heap_free(heap);
  else
    *out = heap;
  return error;
}

void heap_free(struct heap *heap) {
  if (!heap)
    return;
  free(heap->stacks);
  free(heap->sites_by_stack);
  free(heap);
}

/* ---- Series ---------------------------------------------------------------------------------- */

static int compare_steps(const void *a, const void *b) {
  const struct heap_step *left = a, *right = b;
  return left->time_ns < right->time_ns ? -1 : left->time_ns > right->time_ns;
}

/* Appends what changed at each point of a site; the number of steps. `last_end_ns` is the end of
 * the process that lived longest: blocks of the others are gone after their end. */
static size_t put_changes(struct heap_step *steps, const struct profile *profile,
                          const struct profile_heap_site *site, uint64_t last_end_ns) {
  const struct profile_heap_point *points = &profile->heap_points[site->point_first];
  struct profile_heap_point last = {0};
  size_t count = 0;
  for (size_t i = 0; i < site->point_count; i++) {
    steps[count++] =
        (struct heap_step){.time_ns = points[i].time_ns,
                           .live_bytes = (int64_t)(live_of(&points[i]) - live_of(&last)),
                           .live_blocks = (int64_t)((points[i].allocations - points[i].frees) -
                                                    (last.allocations - last.frees)),
                           .allocations = points[i].allocations - last.allocations};
    last = points[i];
  }
  uint64_t end_ns = end_of(profile, site);
  if (end_ns < last_end_ns)
    steps[count++] = (struct heap_step){.time_ns = end_ns,
                                        .live_bytes = (int64_t)(0 - live_of(&last)),
                                        .live_blocks = (int64_t)(last.frees - last.allocations)};
  return count;
}

/* Turns changes into sums, one for each time; their number. */
static size_t sum_changes(struct heap_step *steps, size_t count) {
  struct heap_step sum = {0};
  size_t kept = 0;
  qsort(steps, count, sizeof(*steps), compare_steps);
  for (size_t i = 0; i < count; i++) {
    sum.time_ns = steps[i].time_ns;
    sum.live_bytes = (int64_t)((uint64_t)sum.live_bytes + (uint64_t)steps[i].live_bytes);
    sum.live_blocks = (int64_t)((uint64_t)sum.live_blocks + (uint64_t)steps[i].live_blocks);
    sum.allocations += steps[i].allocations;
    if (kept && steps[kept - 1].time_ns == sum.time_ns)
      kept--;
    steps[kept++] = sum;
  }
  return kept;
}

int heap_series(const struct profile *profile, const struct heap *heap,
                const struct heap_stack *stack, struct heap_step **steps, size_t *count) {
  const uint32_t *sites = &heap->sites_by_stack[stack->site_first];
  uint64_t last_end_ns = 0;
  size_t most = 0;
  for (uint32_t i = 0; i < stack->site_count; i++) {
    const struct profile_heap_site *site = &profile->heap_sites[sites[i]];
    uint64_t end_ns = end_of(profile, site);
    last_end_ns = last_end_ns < end_ns ? end_ns : last_end_ns;
    most += site->point_count + 1;
  }
  *steps = calloc(most, sizeof(**steps));
  if (!*steps)
    return out_of_memory();
  *count = 0;
  for (uint32_t i = 0; i < stack->site_count; i++)
    *count += put_changes(*steps + *count, profile, &profile->heap_sites[sites[i]], last_end_ns);
  *count = sum_changes(*steps, *count);
  return 0;
}

uint64_t heap_live_at(const struct profile *profile, const struct profile_heap_site *site,
                      uint64_t time_ns) {
  const struct profile_heap_point *points = &profile->heap_points[site->point_first];
  size_t low = 0, high = site->point_count; /* points before `low` are at or before the moment */
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (points[middle].time_ns <= time_ns)
      low = middle + 1;
    else
      high = middle;
  }
  return low ? live_of(&points[low - 1]) : 0;
}
