/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hooks of mmap, mremap, munmap, brk and sbrk. Counts what the target's own code maps, in whole
 * pages: not what libc maps for itself (malloc's arenas, stacks, libraries), nor the shim. */
#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alloc.h"
#include "hooks.h"
#include "intervals.h"
#include "lock.h"

#define PAGE_BYTES 4096ull

static struct intervals *known;

static uint64_t page_end(uint64_t address) {
  return (address + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
}

/* Enters the shim with the intervals locked; NULL: nothing is to be counted. */
static struct shim_thread *begin(void) {
  struct shim_thread *thread = shim_config.alloc != SHIM_OFF ? shim_enter() : NULL;
  if (!thread)
    return NULL;

  struct intervals *there = __atomic_load_n(&known, __ATOMIC_ACQUIRE);
  if (!there) {
    struct intervals *made = shim_map_wiped(sizeof(*made));
    if (!made) {
      shim_leave(thread);
      return NULL;
    }
    if (!__atomic_compare_exchange_n(&known, &there, made, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE))
      shim_unmap(made, sizeof(*made));
  }
  shim_lock(&known->lock);
  return thread;
}

static void finish(struct shim_thread *thread) {
  shim_unlock(&known->lock);
  shim_leave(thread);
}

static void count_cut(void *context, uint32_t site, uint64_t blocks, uint64_t bytes) {
  (void)context;
  shim_site_free(site, blocks, bytes);
}

static void gone(uint64_t start, uint64_t end) {
  intervals_cut(known, start, end, count_cut, NULL);
}

/* [start, end) is now the target's; whatever was there is not. */
static void come(struct shim_thread *thread, uint32_t kind, uint64_t start, uint64_t end,
                 struct shim_place place) {
  gone(start, end);
  shim_walk_here(thread, place);
  uint32_t site = shim_site(thread, kind, &thread->stack);
  shim_site_new(site, 1, end - start);
  if (!intervals_add(known, start, end, site))
    __atomic_add_fetch(&shim_region->lost_blocks, 1, __ATOMIC_RELAXED);
}

static inline __attribute__((always_inline)) void *
map(void *at, size_t bytes, int prot, int flags, int file, off_t off, struct shim_place place) {
  void *mapped = shim_next.mmap(at, bytes, prot, flags, file, off);
  struct shim_thread *thread = mapped != MAP_FAILED ? begin() : NULL;

  if (thread) {
    come(thread, REGION_MAP, (uint64_t)mapped, page_end((uint64_t)mapped + bytes), place);
    finish(thread);
  }
  return mapped;
}

SHIM_EXPORT void *mmap(void *at, size_t bytes, int prot, int flags, int file, off_t off) {
  return map(at, bytes, prot, flags, file, off, SHIM_HERE);
}

SHIM_EXPORT void *mmap64(void *at, size_t bytes, int prot, int flags, int file, off_t off) {
  return map(at, bytes, prot, flags, file, off, SHIM_HERE);
}

/* The real call is made under the lock: a mapping that another thread gets at the same address is
 * then noted after this one was forgotten. */
SHIM_EXPORT int munmap(void *at, size_t bytes) {
  struct shim_thread *thread = begin();
  int result = shim_next.munmap(at, bytes);

  if (thread) {
    if (!result)
      gone((uint64_t)at, page_end((uint64_t)at + bytes));
    finish(thread);
  }
  return result;
}

/* Counted as the end of the old mapping and a new one, as realloc is. With an old size of 0 the
 * pages are shared and the old mapping stays, as it does with MREMAP_DONTUNMAP. */
static void remapped(struct shim_thread *thread, uint64_t from, size_t bytes, uint64_t to,
                     size_t wanted, int flags, struct shim_place place) {
  if (!(flags & 4 /* MREMAP_DONTUNMAP, Linux 5.7 */))
    gone(from, page_end(from + bytes));
  come(thread, REGION_MAP, to, page_end(to + wanted), place);
}

SHIM_EXPORT void *mremap(void *at, size_t bytes, size_t wanted, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  void *to = flags & MREMAP_FIXED ? va_arg(rest, void *) : NULL;
  va_end(rest);

  struct shim_thread *thread = begin();
  void *mapped = shim_next.mremap(at, bytes, wanted, flags, to);
  if (thread) {
    if (mapped != MAP_FAILED)
      remapped(thread, (uint64_t)at, bytes, (uint64_t)mapped, wanted, flags, SHIM_HERE);
    finish(thread);
  }
  return mapped;
}

static void moved_break(struct shim_thread *thread, uint64_t from, uint64_t to,
                        struct shim_place place) {
  if (to > from)
    come(thread, REGION_BREAK, from, to, place);
  else if (to < from)
    gone(to, from);
}

SHIM_EXPORT int brk(void *end) {
  struct shim_thread *thread = begin();
  uint64_t from = thread ? (uint64_t)shim_next.sbrk(0) : 0;
  int result = shim_next.brk(end);

  if (thread) {
    if (!result)
      moved_break(thread, from, (uint64_t)end, SHIM_HERE);
    finish(thread);
  }
  return result;
}

SHIM_EXPORT void *sbrk(intptr_t bytes) {
  struct shim_thread *thread = bytes ? begin() : NULL;
  void *from = shim_next.sbrk(bytes);

  if (thread) {
    if (from != (void *)-1)
      moved_break(thread, (uint64_t)from, (uint64_t)from + (uint64_t)bytes, SHIM_HERE);
    finish(thread);
  }
  return from;
}
