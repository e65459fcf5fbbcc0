/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the allocation of the mapping table: first fit over a sorted list. */
#include "capture/regions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/units.h"

#define GRACE_NS NS_PER_S

struct region_store {
  struct unwind_mapping *table;
  struct map_region *regions;
  uint32_t serial;
};

int region_store_new(struct region_store **out, struct unwind_mapping *table) {
  struct region_store *store = calloc(1, sizeof(*store));
  if (!store)
    return error_set(ENOMEM, "out of memory");
  store->table = table;
  *out = store;
  return 0;
}

void region_store_free(struct region_store *store) {
  if (!store)
    return;
  for (struct map_region *region = store->regions, *next; region; region = next) {
    next = region->next;
    free(region);
  }
  free(store);
}

struct map_region *region_add(struct region_store *store, const struct unwind_mapping *mappings,
                              uint32_t count) {
  struct map_region **link = &store->regions;
  uint32_t at = 0;
  for (; *link && (*link)->first - at < count; link = &(*link)->next)
    at = (*link)->first + (*link)->count;
  if (!*link && MAPPINGS_MAX - at < count)
    return NULL;
  struct map_region *region = calloc(1, sizeof(*region));
  if (!region)
    return NULL;
  *region = (struct map_region){
      .first = at, .count = count, .serial = ++store->serial, .users = 1, .next = *link};
  *link = region;
  memcpy(store->table + at, mappings, count * sizeof(*mappings));
  return region;
}

struct map_region *region_share(struct map_region *region) {
  if (region)
    region->users++;
  return region;
}

void region_release(struct map_region *region, uint64_t now_ns) {
  if (region && --region->users == 0)
    region->released_ns = now_ns;
}

void region_reclaim(struct region_store *store, uint64_t now_ns) {
  for (struct map_region **link = &store->regions; *link;) {
    struct map_region *region = *link;
    if (region->users || now_ns - region->released_ns < GRACE_NS) {
      link = &region->next;
      continue;
    }
    *link = region->next;
    free(region);
  }
}
