/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes the heap sites of the profile: sites that came out with equal process, kind and stack (once
 * frames have their names) become one, whose points add up theirs. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "model/load.h"

/* A site of the loader, and where its points stand in the profile. */
struct run {
  struct loader_heap_site site;
  uint32_t index; /* of the site in the loader */
  size_t point_count;
  size_t first;
};

struct moment {
  struct profile_heap_point point;
  uint32_t run; /* counted from the first of its site */
};

_Static_assert(!offsetof(struct moment, point.time_ns), "sort_by_time reads the time there");

static int out_of_memory(void) {
  return error_set(ENOMEM, "out of memory");
}

static bool is_same_site(const struct loader_heap_site *a, const struct loader_heap_site *b) {
  return a->process == b->process && a->kind == b->kind && a->node == b->node;
}

static int compare_runs(const void *a, const void *b) {
  const struct run *left = a, *right = b;
  if (left->site.process != right->site.process)
    return left->site.process < right->site.process ? -1 : 1;
  if (left->site.kind != right->site.kind)
    return left->site.kind < right->site.kind ? -1 : 1;
  if (left->site.node != right->site.node)
    return left->site.node < right->site.node ? -1 : 1;
  return left->index < right->index ? -1 : left->index > right->index;
}

static uint64_t saturating_sum(uint64_t a, uint64_t b) {
  uint64_t sum;
  return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

/* Adds to `sum` what a site counted since `last`. */
static void add_growth(struct profile_heap_point *sum, struct profile_heap_point *last,
                       const struct profile_heap_point *now) {
  sum->time_ns = now->time_ns;
  sum->allocations = saturating_sum(sum->allocations, now->allocations - last->allocations);
  sum->allocated_bytes =
      saturating_sum(sum->allocated_bytes, now->allocated_bytes - last->allocated_bytes);
  sum->frees = saturating_sum(sum->frees, now->frees - last->frees);
  sum->freed_bytes = saturating_sum(sum->freed_bytes, now->freed_bytes - last->freed_bytes);
  sum->peak_bytes = saturating_sum(sum->peak_bytes, now->peak_bytes - last->peak_bytes);
  if (sum->frees > sum->allocations) /* only where a sum was cut off */
    sum->frees = sum->allocations;
  if (sum->freed_bytes > sum->allocated_bytes)
    sum->freed_bytes = sum->allocated_bytes;
  *last = *now;
}

/* Puts the sums over moments in order of time to `points`, one for each time; their number. `last`
 * is zero for each run. */
static size_t add_up(struct profile_heap_point *points, const struct moment *moments, size_t count,
                     struct profile_heap_point *last) {
  struct profile_heap_point sum = {0};
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    add_growth(&sum, &last[moments[i].run], &moments[i].point);
    if (kept && points[kept - 1].time_ns == sum.time_ns)
      kept--;
    points[kept++] = sum;
  }
  return kept;
}

/* Replaces the points of `run_count` runs, which stand one after another, by those of their sum, at
 * the place of the first. */
static int merge(struct profile_heap_point *points, const struct run *runs, uint32_t run_count,
                 size_t *count) {
  struct moment *moments = calloc(*count, sizeof(*moments)), *sorted = NULL;
  struct profile_heap_point *last = calloc(run_count, sizeof(*last));
  for (size_t i = 0, run = 0; moments && i < *count; i++) {
    if (runs[run].first + runs[run].point_count == runs[0].first + i)
      run++;
    moments[i] = (struct moment){points[runs[0].first + i], (uint32_t)run};
  }
  if (moments && last)
    sorted = sort_by_time(moments, *count, sizeof(*moments));
  if (sorted)
    *count = add_up(points + runs[0].first, sorted, *count, last);
  free(sorted ? sorted : moments);
  free(last);
  return sorted ? 0 : out_of_memory();
}

/* Makes a site of each set of equal runs. */
static int make_sites(struct profile *profile, const struct run *runs, uint32_t run_count) {
  size_t kept = 0;
  for (uint32_t i = 0, next; i < run_count; i = next) {
    size_t count = 0;
    for (next = i; next < run_count && is_same_site(&runs[i].site, &runs[next].site); next++)
      count += runs[next].point_count;
    int error = next - i > 1 ? merge(profile->heap_points, &runs[i], next - i, &count) : 0;
    if (error)
      return error;
    memmove(&profile->heap_points[kept], &profile->heap_points[runs[i].first],
            count * sizeof(*profile->heap_points));
    profile->heap_sites[profile->heap_site_count++] =
        (struct profile_heap_site){.process = runs[i].site.process,
                                   .node = runs[i].site.node,
                                   .kind = runs[i].site.kind,
                                   .point_first = kept,
                                   .point_count = count};
    kept += count;
  }
  profile->heap_point_count = kept;
  return 0;
}

/* The runs of all sites that have points, equal ones together; their number. */
static uint32_t sort_runs(struct run *runs, const struct loader_heap_site *sites,
                          const struct thinned *points, uint32_t count) {
  uint32_t used = 0;
  for (uint32_t i = 0; i < count; i++) {
    size_t point_count = thinned_series(points, i)->count;
    if (point_count)
      runs[used++] = (struct run){.site = sites[i], .index = i, .point_count = point_count};
  }
  qsort(runs, used, sizeof(*runs), compare_runs);
  for (uint32_t i = 1; i < used; i++)
    runs[i].first = runs[i - 1].first + runs[i - 1].point_count;
  return used;
}

/* Moves the points out of the loader, run by run. `next` has room for a place per site. */
static void move_points(struct profile *profile, struct loader *loader, const struct run *runs,
                        uint32_t run_count, size_t *next) {
  const struct loader_heap_point *points =
      (const struct loader_heap_point *)loader->heap_points.points.data;
  for (uint32_t i = 0; i < run_count; i++)
    next[runs[i].index] = runs[i].first;
  for (size_t i = 0; i < thinned_count(&loader->heap_points); i++)
    profile->heap_points[next[points[i].site]++] = points[i].point;
  thinned_fini(&loader->heap_points);
}

int build_heap(struct profile *profile, struct loader *loader) {
  const struct loader_heap_site *sites = (const struct loader_heap_site *)loader->heap_sites.data;
  uint32_t site_count = (uint32_t)(loader->heap_sites.length / sizeof(*sites));
  size_t point_count = thinned_count(&loader->heap_points);
  if (!point_count)
    return 0;
  struct run *runs = calloc(site_count, sizeof(*runs));
  size_t *next = calloc(site_count, sizeof(*next));
  profile->heap_sites = calloc(site_count, sizeof(*profile->heap_sites));
  profile->heap_points = calloc(point_count, sizeof(*profile->heap_points));
  int error = 0;
  if (runs && next && profile->heap_sites && profile->heap_points) {
    uint32_t run_count = sort_runs(runs, sites, &loader->heap_points, site_count);
    move_points(profile, loader, runs, run_count, next);
    error = make_sites(profile, runs, run_count);
  } else {
    error = out_of_memory();
  }
  free(runs);
  free(next);
  return error;
}
