/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A sorted array of address ranges. */
#include <stddef.h>
#include <string.h>

#include "intervals.h"

/* The first interval that ends after `address`. */
static uint32_t first_after(const struct intervals *intervals, uint64_t address) {
  uint32_t low = 0, high = intervals->count;

  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (intervals->sorted[middle].end <= address)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static void shift(struct intervals *intervals, uint32_t from, uint32_t to) {
  memmove(&intervals->sorted[to], &intervals->sorted[from],
          (intervals->count - from) * sizeof(intervals->sorted[0]));
  intervals->count += to - from;
}

/* Takes the middle out of one interval: its right side becomes a part. */
static void split(struct intervals *intervals, uint32_t index, uint64_t start, uint64_t end,
                  intervals_cut_fn *cut, void *context) {
  struct interval *left = &intervals->sorted[index];
  uint64_t last = left->end;

  if (intervals->count == INTERVALS_MAX)
    end = last;
  cut(context, left->site, 0, end - start);
  left->end = start;
  if (end == last)
    return;
  shift(intervals, index + 1, index + 2);
  intervals->sorted[index + 1] =
      (struct interval){.start = end, .end = last, .site = left->site, .is_part = 1};
}

void intervals_cut(struct intervals *intervals, uint64_t start, uint64_t end, intervals_cut_fn *cut,
                   void *context) {
  uint32_t index = first_after(intervals, start);
  uint32_t gone = index; /* [gone, index) lie wholly in the range */
  struct interval *at;

  if (index < intervals->count && intervals->sorted[index].start < start) {
    at = &intervals->sorted[index];
    if (at->end > end) {
      split(intervals, index, start, end, cut, context);
      return;
    }
    cut(context, at->site, 0, at->end - start);
    at->end = start;
    gone = ++index;
  }
  for (; index < intervals->count && intervals->sorted[index].end <= end; index++) {
    at = &intervals->sorted[index];
    cut(context, at->site, !at->is_part, at->end - at->start);
  }
  if (index < intervals->count && intervals->sorted[index].start < end) {
    at = &intervals->sorted[index];
    cut(context, at->site, 0, end - at->start);
    at->start = end;
  }
  if (gone != index)
    shift(intervals, index, gone);
}

bool intervals_add(struct intervals *intervals, uint64_t start, uint64_t end, uint32_t site) {
  uint32_t index = first_after(intervals, start);

  if (intervals->count == INTERVALS_MAX)
    return false;
  shift(intervals, index, index + 1);
  intervals->sorted[index] = (struct interval){.start = start, .end = end, .site = site};
  return true;
}
