/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starts the shim: what counting needs at the first hooked call, which may come before libc is
 * ready; the rest in the constructor. */
#include <errno.h>

#include "alloc.h"
#include "hooks.h"
#include "thread.h"

bool shim_start(void) {
  shim_config_read();
  if (!shim_config.folder[0] || !shim_threads_start() || !shim_region_start())
    return false;
  shim_region->foreign_allocator = shim_malloc_is_foreign;
  return true;
}

void shim_parts_start(void) {
  shim_region->foreign_allocator = shim_malloc_is_foreign;
  shim_python_alloc_start();
  shim_iteration_start();
  shim_cpu_start();
}

__attribute__((constructor)) static void start(void) {
  int kept = errno;

  shim_next_find();
  struct shim_thread *thread = shim_enter();
  if (thread) {
    shim_threads_watch_ends();
    shim_python_find();
    shim_parts_start();
    shim_cpu_thread_start(thread);
    shim_leave(thread);
  }
  errno = kept;
}

__attribute__((destructor)) static void stop(void) {
  struct shim_thread *thread = shim_enter();

  if (!thread)
    return;
  shim_cpu_thread_end(thread);
  shim_live_flush(thread);
  __atomic_store_n(&shim_region->state, REGION_EXITED, __ATOMIC_RELEASE);
  shim_leave(thread);
}
