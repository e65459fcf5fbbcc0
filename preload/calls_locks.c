/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hooks of locks, conditions, semaphores and joins. A lock that is free is taken without looking at
 * the clock: the try forms take what the plain ones would have taken at once, with the same result
 * (an owner that died, a recursion, an error), and only EBUSY or EAGAIN leads on to the call that
 * may wait. libc's own calls are found in their default version, which for conditions is the one of
 * glibc 2.3.2, as in all programs for x86-64. */
#include "calls.h"

#define TAKEN_AT_ONCE(call, tried, busy)                                                           \
  do {                                                                                             \
    int at_once = (tried);                                                                         \
    if (SHIM_LIKELY(at_once != (busy))) {                                                          \
      calls_count_quick(REGION_CALL_##call);                                                       \
      return at_once;                                                                              \
    }                                                                                              \
  } while (0)

/* A hook of a function that returns an error number. */
#define HOOK_LOCK(call, name, parameters, arguments, tried)                                        \
  SHIM_EXPORT int name parameters {                                                                \
    if (!shim_config.calls)                                                                        \
      return CALLS_NEXT(name) arguments;                                                           \
    tried;                                                                                         \
    struct calls_mark mark = calls_begin();                                                        \
    int error = CALLS_NEXT(name) arguments;                                                        \
                                                                                                   \
    calls_end(&mark, REGION_CALL_##call, -1, calls_error(error), SHIM_HERE);                       \
    return error;                                                                                  \
  }

#define TRY_MUTEX TAKEN_AT_ONCE(MUTEX_LOCK, pthread_mutex_trylock(lock), EBUSY)
#define TRY_READ TAKEN_AT_ONCE(RWLOCK_LOCK, pthread_rwlock_tryrdlock(lock), EBUSY)
#define TRY_WRITE TAKEN_AT_ONCE(RWLOCK_LOCK, pthread_rwlock_trywrlock(lock), EBUSY)
#define WAITS (void)0

HOOK_LOCK(MUTEX_LOCK, pthread_mutex_lock, (pthread_mutex_t * lock), (lock), TRY_MUTEX)
HOOK_LOCK(MUTEX_LOCK, pthread_mutex_timedlock,
          (pthread_mutex_t * lock, const struct timespec *until), (lock, until), TRY_MUTEX)
HOOK_LOCK(MUTEX_LOCK, pthread_mutex_clocklock,
          (pthread_mutex_t * lock, clockid_t clock, const struct timespec *until),
          (lock, clock, until), TRY_MUTEX)

HOOK_LOCK(RWLOCK_LOCK, pthread_rwlock_rdlock, (pthread_rwlock_t * lock), (lock), TRY_READ)
HOOK_LOCK(RWLOCK_LOCK, pthread_rwlock_timedrdlock,
          (pthread_rwlock_t * lock, const struct timespec *until), (lock, until), TRY_READ)
HOOK_LOCK(RWLOCK_LOCK, pthread_rwlock_clockrdlock,
          (pthread_rwlock_t * lock, clockid_t clock, const struct timespec *until),
          (lock, clock, until), TRY_READ)
HOOK_LOCK(RWLOCK_LOCK, pthread_rwlock_wrlock, (pthread_rwlock_t * lock), (lock), TRY_WRITE)
HOOK_LOCK(RWLOCK_LOCK, pthread_rwlock_timedwrlock,
          (pthread_rwlock_t * lock, const struct timespec *until), (lock, until), TRY_WRITE)
HOOK_LOCK(RWLOCK_LOCK, pthread_rwlock_clockwrlock,
          (pthread_rwlock_t * lock, clockid_t clock, const struct timespec *until),
          (lock, clock, until), TRY_WRITE)

HOOK_LOCK(COND_WAIT, pthread_cond_wait, (pthread_cond_t * condition, pthread_mutex_t *lock),
          (condition, lock), WAITS)
HOOK_LOCK(COND_WAIT, pthread_cond_timedwait,
          (pthread_cond_t * condition, pthread_mutex_t *lock, const struct timespec *until),
          (condition, lock, until), WAITS)
HOOK_LOCK(COND_WAIT, pthread_cond_clockwait,
          (pthread_cond_t * condition, pthread_mutex_t *lock, clockid_t clock,
           const struct timespec *until),
          (condition, lock, clock, until), WAITS)

HOOK_LOCK(JOIN, pthread_join, (pthread_t thread, void **value), (thread, value), WAITS)
HOOK_LOCK(JOIN, pthread_timedjoin_np,
          (pthread_t thread, void **value, const struct timespec *until), (thread, value, until),
          WAITS)
HOOK_LOCK(JOIN, pthread_clockjoin_np,
          (pthread_t thread, void **value, clockid_t clock, const struct timespec *until),
          (thread, value, clock, until), WAITS)

/* ---- semaphores set errno; those with a (absolute) timeout may be interrupted ---- */

static bool semaphore_taken(sem_t *semaphore) {
  int kept = errno;

  if (sem_trywait(semaphore) == 0) {
    calls_count_quick(REGION_CALL_SEM_WAIT);
    return true;
  }
  errno = kept;
  return false;
}

#define HOOK_SEMAPHORE(name, parameters, arguments)                                                \
  SHIM_EXPORT int name parameters {                                                                \
    if (!calls_are_wanted())                                                                       \
      return CALLS_NEXT(name) arguments;                                                           \
    if (semaphore_taken(semaphore))                                                                \
      return 0;                                                                                    \
    struct calls_mark mark = calls_begin();                                                        \
    int result;                                                                                    \
                                                                                                   \
    CALLS_REPEAT(mark, result, CALLS_NEXT(name) arguments);                                        \
    calls_end(&mark, REGION_CALL_SEM_WAIT, -1, calls_outcome(result), SHIM_HERE);                  \
    return result;                                                                                 \
  }

HOOK_SEMAPHORE(sem_wait, (sem_t * semaphore), (semaphore))
HOOK_SEMAPHORE(sem_timedwait, (sem_t * semaphore, const struct timespec *until), (semaphore, until))
HOOK_SEMAPHORE(sem_clockwait, (sem_t * semaphore, clockid_t clock, const struct timespec *until),
               (semaphore, clock, until))
