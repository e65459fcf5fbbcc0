/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the intervals that are mapped, by process. */
#include "capture/mapped.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/array.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/units.h"
#include "capture/heap_sums.h"

#define PAGE_BYTES 4096ull
#define PUT_NS NS_PER_S
#define POINTS 200 /* a capture of n s is written every n / POINTS s */

/* [start, end), taken at `site`. */
struct interval {
  uint64_t start;
  uint64_t end;
  uint32_t site;
  bool is_rest; /* of a mapping out of whose middle a piece was cut */
};

struct space {
  uint32_t pid;
  uint64_t brk;               /* 0: not known yet */
  struct interval *intervals; /* sorted, without overlap */
  uint32_t count;
  uint32_t capacity;
};

struct mapped_store {
  struct stack_store *stacks;
  struct trace_writer *writer;
  struct heap_sums *sums;
  struct space *spaces;
  uint32_t count;
  uint32_t capacity;
  struct hash by_pid; /* → index in spaces[], used again by the next process of a PID */
  uint64_t put_from_ns;
};

int mapped_store_new(struct mapped_store **out, struct stack_store *stacks,
                     struct trace_writer *writer) {
  struct mapped_store *store = calloc(1, sizeof(*store));
  if (!store)
    return error_set(ENOMEM, "out of memory");
  store->stacks = stacks;
  store->writer = writer;
  int result = heap_sums_new(&store->sums);
  if (result) {
    free(store);
    return result;
  }
  *out = store;
  return 0;
}

void mapped_store_free(struct mapped_store *store) {
  if (!store)
    return;
  for (uint32_t i = 0; i < store->count; i++)
    free(store->spaces[i].intervals);
  free(store->spaces);
  hash_fini(&store->by_pid);
  heap_sums_free(store->sums);
  free(store);
}

static struct space *space_of(struct mapped_store *store, uint32_t pid) {
  const uint32_t *known = hash_get(&store->by_pid, pid);
  if (known)
    return &store->spaces[*known];
  struct space *spaces =
      array_grown(store->spaces, store->count, &store->capacity, sizeof(*spaces));
  if (!spaces)
    return NULL;
  store->spaces = spaces;
  if (hash_put(&store->by_pid, pid, store->count))
    return NULL;
  spaces[store->count] = (struct space){.pid = pid};
  return &spaces[store->count++];
}

/* ---- intervals ---- */

/* The first interval that ends above an address. */
static uint32_t first_above(const struct space *space, uint64_t address) {
  uint32_t low = 0, high = space->count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (space->intervals[middle].end <= address)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static bool insert(struct space *space, uint32_t at, const struct interval *interval) {
  struct interval *grown =
      array_grown(space->intervals, space->count, &space->capacity, sizeof(*grown));
  if (!grown)
    return false;
  space->intervals = grown;
  memmove(grown + at + 1, grown + at, (space->count - at) * sizeof(*grown));
  grown[at] = *interval;
  space->count++;
  return true;
}

static void erase(struct space *space, uint32_t first, uint32_t end) {
  memmove(space->intervals + first, space->intervals + end,
          (space->count - end) * sizeof(*space->intervals));
  space->count -= end - first;
}

static void count_gone(struct mapped_store *store, const struct interval *interval, bool is_whole,
                       uint64_t bytes) {
  heap_sums_add(store->sums, &(struct trace_heap){.site = interval->site,
                                                  .frees = is_whole && !interval->is_rest,
                                                  .freed_bytes = bytes});
}

/* A piece out of the middle of an interval. */
static void split(struct mapped_store *store, struct space *space, uint32_t at, uint64_t start,
                  uint64_t end) {
  struct interval rest = space->intervals[at];
  rest.start = end;
  rest.is_rest = true;
  count_gone(store, &rest, false, end - start);
  space->intervals[at].end = start;
  if (!insert(space, at + 1, &rest))
    count_gone(store, &rest, true, rest.end - rest.start);
}

/* [start, end) is mapped no more. What is not known of it was there before the capture. */
static void gone(struct mapped_store *store, struct space *space, uint64_t start, uint64_t end) {
  uint32_t at = first_above(space, start), first;
  if (at < space->count && space->intervals[at].start < start && space->intervals[at].end > end) {
    split(store, space, at, start, end);
    return;
  }
  if (at < space->count && space->intervals[at].start < start) {
    count_gone(store, &space->intervals[at], false, space->intervals[at].end - start);
    space->intervals[at++].end = start;
  }
  for (first = at; at < space->count && space->intervals[at].end <= end; at++)
    count_gone(store, &space->intervals[at], true,
               space->intervals[at].end - space->intervals[at].start);
  if (at < space->count && space->intervals[at].start < end) {
    count_gone(store, &space->intervals[at], false, end - space->intervals[at].start);
    space->intervals[at].start = end;
  }
  erase(space, first, at);
}

static void come(struct mapped_store *store, struct space *space, enum heap_kind kind,
                 uint64_t start, uint64_t end, uint64_t stack) {
  struct trace_heap_site site = {.pid = space->pid, .kind = kind};
  if (stack != STACK_LOST)
    site.node = stack_store_node(store->stacks, stack);
  gone(store, space, start, end);
  struct interval interval = {
      .start = start, .end = end, .site = trace_put_heap_site(store->writer, &site)};
  if (!interval.site || !insert(space, first_above(space, start), &interval))
    return;
  heap_sums_add(store->sums, &(struct trace_heap){.site = interval.site,
                                                  .allocations = 1,
                                                  .allocated_bytes = end - start});
}

/* ---- calls ---- */

static uint64_t page_end(uint64_t address) {
  return address > UINT64_MAX - PAGE_BYTES ? UINT64_MAX & ~(PAGE_BYTES - 1)
                                           : (address + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
}

/* Whole pages; nothing of what would wrap around. */
static uint64_t end_of(uint64_t start, uint64_t bytes) {
  return bytes > UINT64_MAX - start ? start : page_end(start + bytes);
}

static void on_mmap(struct mapped_store *store, struct space *space,
                    const struct event_mapping *event) {
  uint64_t start = event->result, end = end_of(start, event->arguments[1]);
  if (event->arguments[2] == PROT_NONE)
    gone(store, space, start, end);
  else if (start < end)
    come(store, space, HEAP_MAP, start, end, event->stack);
}

static void on_munmap(struct mapped_store *store, struct space *space,
                      const struct event_mapping *event) {
  gone(store, space, event->arguments[0], end_of(event->arguments[0], event->arguments[1]));
}

/* The end of the old mapping and a new one. With an old size of 0 the pages are shared, and the old
 * one stays, as it does with MREMAP_DONTUNMAP. */
static void on_mremap(struct mapped_store *store, struct space *space,
                      const struct event_mapping *event) {
  uint64_t from = event->arguments[0], to = event->result;
  uint64_t end = end_of(to, event->arguments[2]);
  if (!(event->arguments[3] & MREMAP_DONTUNMAP))
    gone(store, space, from, end_of(from, event->arguments[1]));
  if (to < end)
    come(store, space, HEAP_MAP, to, end, event->stack);
}

/* Where the break was before the first call is not known. */
static void on_brk(struct mapped_store *store, struct space *space,
                   const struct event_mapping *event) {
  uint64_t before = space->brk, now = page_end(event->result);
  space->brk = now;
  if (before && now > before)
    come(store, space, HEAP_BREAK, before, now, event->stack);
  else if (now < before)
    gone(store, space, now, before);
}

void mapped_store_call(struct mapped_store *store, const struct event_mapping *event) {
  static void (*const take[])(struct mapped_store *, struct space *,
                              const struct event_mapping *) = {
      [MAPPING_MMAP] = on_mmap,
      [MAPPING_MUNMAP] = on_munmap,
      [MAPPING_MREMAP] = on_mremap,
      [MAPPING_BRK] = on_brk,
  };
  struct space *space = space_of(store, event->tgid);
  if (space && event->kind < sizeof(take) / sizeof(take[0]) && take[event->kind])
    take[event->kind](store, space, event);
}

void mapped_store_exec(struct mapped_store *store, uint32_t pid) {
  struct space *space = space_of(store, pid);
  if (!space)
    return;
  gone(store, space, 0, UINT64_MAX);
  space->brk = 0;
}

void mapped_store_process_end(struct mapped_store *store, uint32_t pid) {
  struct space *space = space_of(store, pid);
  if (!space)
    return;
  free(space->intervals);
  *space = (struct space){.pid = pid};
}

void mapped_store_put(struct mapped_store *store, uint64_t time_ns, bool all) {
  if (!all && time_ns < store->put_from_ns)
    return;
  uint64_t longer_ns = time_ns / POINTS;
  store->put_from_ns = time_ns + (longer_ns > PUT_NS ? longer_ns : PUT_NS);
  heap_sums_put(store->sums, store->writer, time_ns, all);
}
