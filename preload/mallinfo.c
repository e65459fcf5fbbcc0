/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Answers the collector's question what libc's malloc holds. The answer takes malloc's locks and
 * walks its free lists, so it is given only from a hook whose real call is over, and not more often
 * than a hundredth of the time goes into it. */
#include <dlfcn.h>
#include <malloc.h>

#include "hooks.h"
#include "shim.h"
#include "sys.h"

#define COST_SHARE 100u

/* glibc 2.33 */
extern struct mallinfo2 mallinfo2(void) __attribute__((weak));

static void fill(struct region_mallinfo *out, struct mallinfo2 info, uint64_t time_ns) {
  out->arena_bytes = info.arena;
  out->mapped_bytes = info.hblkhd;
  out->used_bytes = info.uordblks;
  out->free_bytes = info.fordblks;
  out->trim_bytes = info.keepcost;
  out->time_ns = time_ns;
}

void shim_answer(void) {
  static uint64_t next_ns;
  static uint32_t
      busy; /* shim_region_serial while a thread answers: a fork's child is not bound by it */
  uint32_t serial = shim_region_serial;
  uint32_t asked = __atomic_load_n(&shim_region->asked, __ATOMIC_RELAXED);

  if (asked == __atomic_load_n(&shim_region->answered, __ATOMIC_RELAXED))
    return;
  uint64_t start_ns = shim_now_ns();
  if (start_ns < __atomic_load_n(&next_ns, __ATOMIC_RELAXED) ||
      __atomic_exchange_n(&busy, serial, __ATOMIC_ACQUIRE) == serial)
    return;
  if (mallinfo2 && !shim_malloc_is_foreign)
    fill(&shim_region->mallinfo, mallinfo2(), start_ns);
  uint64_t now_ns = shim_now_ns();
  __atomic_store_n(&next_ns, now_ns + COST_SHARE * (now_ns - start_ns), __ATOMIC_RELAXED);
  __atomic_store_n(&shim_region->answered, asked, __ATOMIC_RELEASE);
  __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
}
