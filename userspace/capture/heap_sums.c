/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the table of heap sites by their ids in the trace. */
#include "capture/heap_sums.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/units.h"

#define TURNOVER_NS (10 * NS_PER_S) /* how often a site whose live bytes stand still is written */

struct heap_sum {
  struct trace_heap now; /* time_ns: when it was written last */
  uint64_t written_live_bytes;
  bool is_new;
  bool has_changed;
};

struct heap_sums {
  struct heap_sum *sums; /* id − 1 */
  uint32_t count;
  uint32_t capacity;
};

int heap_sums_new(struct heap_sums **out) {
  *out = calloc(1, sizeof(**out));
  return *out ? 0 : error_set(ENOMEM, "out of memory");
}

void heap_sums_free(struct heap_sums *sums) {
  if (!sums)
    return;
  free(sums->sums);
  free(sums);
}

static struct heap_sum *get(struct heap_sums *sums, uint32_t site) {
  if (site > sums->capacity) {
    uint32_t capacity = site < 512 ? 1024 : site * 2;
    struct heap_sum *grown = reallocarray(sums->sums, capacity, sizeof(*grown));
    if (!grown)
      return NULL;
    memset(grown + sums->capacity, 0, (capacity - sums->capacity) * sizeof(*grown));
    sums->sums = grown;
    sums->capacity = capacity;
  }
  if (site > sums->count)
    sums->count = site;
  return &sums->sums[site - 1];
}

/* A snapshot is not of one moment: a block may be seen freed before it was seen allocated. */
static uint64_t difference(uint64_t a, uint64_t b) {
  return a > b ? a - b : 0;
}

void heap_sums_add(struct heap_sums *sums, const struct trace_heap *growth) {
  struct heap_sum *sum = growth->site ? get(sums, growth->site) : NULL;
  if (!sum)
    return;
  struct trace_heap *now = &sum->now;
  sum->is_new |= !now->site;
  sum->has_changed = true;
  now->site = growth->site;
  now->allocations += growth->allocations;
  now->allocated_bytes += growth->allocated_bytes;
  now->frees += growth->frees;
  now->freed_bytes += growth->freed_bytes;
  uint64_t live_bytes = difference(now->allocated_bytes, now->freed_bytes);
  if (now->peak_bytes < growth->peak_bytes)
    now->peak_bytes = growth->peak_bytes;
  if (now->peak_bytes < live_bytes)
    now->peak_bytes = live_bytes;
}

static void put(struct heap_sum *sum, struct trace_writer *writer, uint64_t time_ns) {
  sum->now.time_ns = time_ns;
  sum->written_live_bytes = difference(sum->now.allocated_bytes, sum->now.freed_bytes);
  sum->has_changed = false;
  sum->is_new = false;
  struct trace_heap record = sum->now;
  if (record.frees > record.allocations)
    record.frees = record.allocations;
  if (record.freed_bytes > record.allocated_bytes)
    record.freed_bytes = record.allocated_bytes;
  trace_put_heap(writer, &record);
}

void heap_sums_put(struct heap_sums *sums, struct trace_writer *writer, uint64_t time_ns,
                   bool all) {
  for (uint32_t i = 0; i < sums->count; i++) {
    struct heap_sum *sum = &sums->sums[i];
    if (!sum->has_changed)
      continue;
    bool moved =
        difference(sum->now.allocated_bytes, sum->now.freed_bytes) != sum->written_live_bytes;
    if (all || sum->is_new || moved || time_ns - sum->now.time_ns >= TURNOVER_NS)
      put(sum, writer, time_ns);
  }
}
