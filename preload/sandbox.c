/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Notices that the target shuts itself in by seccomp, where a system call that it did not think of
 * may be the end of it. The shim then makes none: what has room already is counted on, new stacks
 * are not kept apart. In the strict mode, in which even reading the clock is a fault (the kernel
 * forbids RDTSC along with it), it stops. */
#include <linux/seccomp.h>
#include <stdarg.h>
#include <sys/prctl.h>

#include "calls.h"
#include "sys.h"
#include "thread.h"

/* Room that is made before the door closes: stacks that will still be kept apart. */
#define SPARE_SITES 1024u
#define SPARE_WORDS (32u * SPARE_SITES)

static void make_spare_room(void) {
  struct shim_thread *thread = shim_enter();
  uint32_t sites, words;

  if (!thread)
    return;
  sites = __atomic_load_n(&shim_region->site_count, __ATOMIC_RELAXED);
  words = __atomic_load_n(&shim_region->word_count, __ATOMIC_RELAXED);
  if (sites <= REGION_SITES_MAX - SPARE_SITES && words <= REGION_WORDS_MAX - SPARE_WORDS) {
    shim_region_room(&shim_region->sites[sites], SPARE_SITES * sizeof(shim_region->sites[0]));
    shim_region_room(&shim_region->words[words], SPARE_WORDS * sizeof(shim_region->words[0]));
  }
  shim_leave(thread);
}

static void stop(void) {
  if (!shim_cpu_is_own_process())
    return;
  shim_cpu_move_timers(0);
  shim_stop();
}

/* Seals the shim off for a call that is about to be made, and stays so if it succeeds. Not in a
 * child of vfork, which would seal off its parent. */
#define SEALED_FOR(result, made)                                                                   \
  do {                                                                                             \
    bool was_sealed = shim_sealed;                                                                 \
    make_spare_room();                                                                             \
    bool is_own = shim_cpu_is_own_process();                                                       \
    shim_sealed = is_own || was_sealed;                                                            \
    (result) = (made);                                                                             \
    shim_sealed = (is_own && (result) >= 0) || was_sealed;                                         \
  } while (0)

SHIM_EXPORT int prctl(int option, ...) {
  unsigned long arguments[4];
  va_list more;
  int result;

  va_start(more, option);
  for (int i = 0; i < 4; i++)
    arguments[i] = va_arg(more, unsigned long);
  va_end(more);
#define MADE CALLS_NEXT(prctl)(option, arguments[0], arguments[1], arguments[2], arguments[3])
  if (option == PR_SET_SECCOMP && arguments[0] == SECCOMP_MODE_FILTER) {
    SEALED_FOR(result, MADE);
    return result;
  }
  if ((option == PR_SET_SECCOMP && arguments[0] == SECCOMP_MODE_STRICT) ||
      (option == PR_SET_TSC && arguments[0] == PR_TSC_SIGSEGV))
    stop();
  return MADE;
#undef MADE
}

/* How libseccomp sets a filter. Reading six arguments where fewer were given reads registers and
 * stack that are there. */
SHIM_EXPORT long syscall(long number, ...) {
  long arguments[6], result;
  va_list more;

  va_start(more, number);
  for (int i = 0; i < 6; i++)
    arguments[i] = va_arg(more, long);
  va_end(more);
#define MADE                                                                                       \
  CALLS_NEXT(syscall)                                                                              \
  (number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5])
  if (SHIM_UNLIKELY(number == SYS_seccomp)) {
    if (arguments[0] == SECCOMP_SET_MODE_STRICT)
      stop();
    if (arguments[0] == SECCOMP_SET_MODE_FILTER) {
      SEALED_FOR(result, MADE);
      return result;
    }
  }
  return MADE;
#undef MADE
}
