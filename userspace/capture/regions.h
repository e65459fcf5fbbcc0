/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hands out runs of the mapping table that BPF searches. A run is never rewritten while a program
 * may be reading it: what is released is handed out again only after a grace period. */
#ifndef RAGPROF_CAPTURE_REGIONS_H
#define RAGPROF_CAPTURE_REGIONS_H

#include <stdint.h>

#include "ragprof.h"

struct region_store;

/* A run of the table, shared by a process and its forked children. */
struct map_region {
  uint32_t first;
  uint32_t count;
  uint32_t serial; /* never used again */
  uint32_t users;
  uint64_t released_ns;
  struct map_region *next; /* in order of `first`, among all that are not reclaimed */
};

int region_store_new(struct region_store **out, struct unwind_mapping *table);
void region_store_free(struct region_store *store);

/* A run with a copy of `mappings`, with one user. NULL when the table is full. */
struct map_region *region_add(struct region_store *store, const struct unwind_mapping *mappings,
                              uint32_t count);
struct map_region *region_share(struct map_region *region);
void region_release(struct map_region *region, uint64_t now_ns); /* NULL is fine */
void region_reclaim(struct region_store *store, uint64_t now_ns);

#endif
