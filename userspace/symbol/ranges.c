/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the flattening of overlapping ranges: a sweep over their starts with a heap of those that
 * are open, so that a lookup is one binary search. */
#include "symbol/ranges.h"

#include <errno.h>
#include <stdlib.h>

struct range_segment {
  uint64_t low;
  uint64_t high;
  uint32_t id;
};

/* Open ranges, the one that wins on top: a binary heap of indexes into items. */
struct sweep {
  const struct range *items;
  uint32_t *heap;
  size_t heap_count;
};

int ranges_add(struct ranges *ranges, uint64_t low, uint64_t high, uint64_t priority, uint32_t id) {
  if (low >= high)
    return 0;
  if (ranges->count == ranges->capacity) {
    size_t capacity = ranges->capacity ? ranges->capacity * 2 : 64;
    if (capacity > UINT32_MAX)
      return -ENOMEM;
    struct range *items = reallocarray(ranges->items, capacity, sizeof(*items));
    if (!items)
      return -ENOMEM;
    ranges->items = items;
    ranges->capacity = capacity;
  }
  ranges->items[ranges->count++] =
      (struct range){.low = low, .high = high, .priority = priority, .id = id};
  return 0;
}

static int by_low(const void *a, const void *b) {
  const struct range *left = a, *right = b;
  return (left->low > right->low) - (left->low < right->low);
}

static bool wins(const struct sweep *sweep, size_t a, size_t b) {
  const struct range *left = &sweep->items[sweep->heap[a]];
  const struct range *right = &sweep->items[sweep->heap[b]];
  return left->priority != right->priority ? left->priority > right->priority
                                           : left->id > right->id;
}

static void swap(struct sweep *sweep, size_t a, size_t b) {
  uint32_t item = sweep->heap[a];
  sweep->heap[a] = sweep->heap[b];
  sweep->heap[b] = item;
}

static void push(struct sweep *sweep, uint32_t item) {
  size_t at = sweep->heap_count++;
  sweep->heap[at] = item;
  for (; at > 0 && wins(sweep, at, (at - 1) / 2); at = (at - 1) / 2)
    swap(sweep, at, (at - 1) / 2);
}

static void pop(struct sweep *sweep) {
  sweep->heap[0] = sweep->heap[--sweep->heap_count];
  for (size_t at = 0;;) {
    size_t best = at;
    for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < sweep->heap_count; child++)
      if (wins(sweep, child, best))
        best = child;
    if (best == at)
      return;
    swap(sweep, at, best);
    at = best;
  }
}

static void emit(struct ranges *ranges, uint64_t low, uint64_t high, uint32_t id) {
  struct range_segment *last =
      ranges->segment_count ? &ranges->segments[ranges->segment_count - 1] : NULL;
  if (last && last->high == low && last->id == id)
    last->high = high;
  else
    ranges->segments[ranges->segment_count++] =
        (struct range_segment){.low = low, .high = high, .id = id};
}

/* Each turn either opens a range or ends one, so there are at most 2 × count segments. */
static void flatten(struct ranges *ranges, uint32_t *heap) {
  struct sweep sweep = {.items = ranges->items, .heap = heap};
  size_t next = 0;
  uint64_t at = ranges->count ? ranges->items[0].low : 0;
  for (;;) {
    while (next < ranges->count && ranges->items[next].low <= at)
      push(&sweep, (uint32_t)next++);
    while (sweep.heap_count && ranges->items[heap[0]].high <= at)
      pop(&sweep);
    if (!sweep.heap_count) {
      if (next == ranges->count)
        return;
      at = ranges->items[next].low;
      continue;
    }
    const struct range *top = &ranges->items[heap[0]];
    uint64_t end = top->high;
    if (next < ranges->count && ranges->items[next].low < end)
      end = ranges->items[next].low;
    emit(ranges, at, end, top->id);
    at = end;
  }
}

int ranges_build(struct ranges *ranges) {
  if (!ranges->count)
    return 0;
  uint32_t *heap = calloc(ranges->count, sizeof(*heap));
  ranges->segments = calloc(ranges->count, 2 * sizeof(*ranges->segments));
  if (!heap || !ranges->segments) {
    free(heap);
    return -ENOMEM;
  }
  qsort(ranges->items, ranges->count, sizeof(*ranges->items), by_low);
  flatten(ranges, heap);
  free(heap);
  free(ranges->items);
  ranges->items = NULL;
  ranges->count = ranges->capacity = 0;
  return 0;
}

bool ranges_find(const struct ranges *ranges, uint64_t address, uint32_t *id) {
  size_t low = 0, high = ranges->segment_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (ranges->segments[middle].high <= address)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == ranges->segment_count || ranges->segments[low].low > address)
    return false;
  *id = ranges->segments[low].id;
  return true;
}

void ranges_fini(struct ranges *ranges) {
  free(ranges->items);
  free(ranges->segments);
  *ranges = (struct ranges){0};
}
