/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A lock for what is seldom contended, without libc: 0 free, 1 held, 2 held and waited for. Lives
 * in memory that a fork wipes, so that a child never finds it held. Not to be taken by signal
 * handlers; shim_enter sees to that. */
#ifndef RAGPROF_PRELOAD_LOCK_H
#define RAGPROF_PRELOAD_LOCK_H

#include <linux/futex.h>
#include <stdbool.h>

#include "sys.h"

static inline void shim_lock(uint32_t *lock) {
  uint32_t seen = 0;

  if (__atomic_compare_exchange_n(lock, &seen, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
    return;
  while (__atomic_exchange_n(lock, 2, __ATOMIC_ACQUIRE))
    shim_syscall(SYS_futex, lock, FUTEX_WAIT_PRIVATE, 2, NULL);
}

static inline void shim_unlock(uint32_t *lock) {
  if (__atomic_exchange_n(lock, 0, __ATOMIC_RELEASE) == 2)
    shim_syscall(SYS_futex, lock, FUTEX_WAKE_PRIVATE, 1);
}

#endif
