/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An index over address ranges that may overlap: where several hold an address, the one of the
 * highest priority answers. Add all, build once, find many. */
#ifndef RAGPROF_SYMBOL_RANGES_H
#define RAGPROF_SYMBOL_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct range {
  uint64_t low;
  uint64_t high; /* exclusive */
  uint64_t priority;
  uint32_t id;
};

struct range_segment;

struct ranges {
  struct range *items; /* until the build */
  size_t count;
  size_t capacity;
  struct range_segment *segments; /* sorted, disjoint */
  size_t segment_count;
};

/* Empty ranges are ignored. 0 or -ENOMEM. */
int ranges_add(struct ranges *ranges, uint64_t low, uint64_t high, uint64_t priority, uint32_t id);
/* O(n log n). Among equal priorities the higher id wins. 0 or -ENOMEM. */
int ranges_build(struct ranges *ranges);
/* Whether a range holds the address; its id. */
bool ranges_find(const struct ranges *ranges, uint64_t address, uint32_t *id);
void ranges_fini(struct ranges *ranges);

#endif
