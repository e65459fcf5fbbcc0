/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hooks of calls after which a process may no longer reach the session's folder: another root
 * or user. Before each, a file is put by for a child to come. */
#include <sched.h>
#include <unistd.h>

#include "thread.h"

static void put_by(void) {
  struct shim_thread *thread = shim_enter();

  if (!thread)
    return;
  shim_region_spare();
  shim_leave(thread);
}

#define CONFINING_HOOKS(X)                                                                         \
  X(chroot, (const char *path), (path))                                                            \
  X(setuid, (uid_t user), (user))                                                                  \
  X(seteuid, (uid_t user), (user))                                                                 \
  X(setreuid, (uid_t real, uid_t effective), (real, effective))                                    \
  X(setresuid, (uid_t real, uid_t effective, uid_t saved), (real, effective, saved))               \
  X(unshare, (int flags), (flags))

#define HOOK(name, parameters, arguments)                                                          \
  SHIM_EXPORT int name parameters {                                                                \
    static int(*next) parameters;                                                                  \
    int(*behind) parameters = __atomic_load_n(&next, __ATOMIC_RELAXED);                            \
    if (!behind)                                                                                   \
      __atomic_store_n(&next, behind = shim_real(#name), __ATOMIC_RELAXED);                        \
    put_by();                                                                                      \
    return behind arguments;                                                                       \
  }
CONFINING_HOOKS(HOOK)
