/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hooks of sleeping and of waiting for children. */
#include "calls.h"

SHIM_EXPORT int nanosleep(const struct timespec *time, struct timespec *left) {
  if (!calls_are_wanted())
    return CALLS_NEXT(nanosleep)(time, left);
  struct calls_mark mark = calls_begin();
  const struct timespec *wait = time;
  struct timespec rest;
  int result = CALLS_NEXT(nanosleep)(wait, &rest);

  while (calls_again(&mark, result))
    result = CALLS_NEXT(nanosleep)(&rest, &rest);
  if (left && result < 0 && errno == EINTR)
    *left = rest;
  calls_end(&mark, REGION_CALL_SLEEP, -1, calls_outcome(result), SHIM_HERE);
  return result;
}

/* Returns an error number; only a relative sleep says what is left. */
SHIM_EXPORT int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time,
                                struct timespec *left) {
  if (!calls_are_wanted())
    return CALLS_NEXT(clock_nanosleep)(clock, flags, time, left);
  struct calls_mark mark = calls_begin();
  bool is_absolute = flags & TIMER_ABSTIME;
  struct timespec rest;
  int error = CALLS_NEXT(clock_nanosleep)(clock, flags, time, &rest);

  while (error == EINTR && calls_cut(&mark))
    error = CALLS_NEXT(clock_nanosleep)(clock, flags, is_absolute ? time : &rest, &rest);
  if (left && !is_absolute && error == EINTR)
    *left = rest;
  calls_end(&mark, REGION_CALL_SLEEP, -1, calls_error(error), SHIM_HERE);
  return error;
}

SHIM_EXPORT int usleep(useconds_t time_us) {
  if (!calls_are_wanted())
    return CALLS_NEXT(usleep)(time_us);
  struct calls_mark mark = calls_begin();
  struct timespec rest = {time_us / 1000000, time_us % 1000000 * 1000};
  int result;

  CALLS_REPEAT(mark, result, CALLS_NEXT(nanosleep)(&rest, &rest));
  calls_end(&mark, REGION_CALL_SLEEP, -1, calls_outcome(result), SHIM_HERE);
  return result;
}

/* As glibc's, whole seconds that are left. */
SHIM_EXPORT unsigned sleep(unsigned time_s) {
  if (!calls_are_wanted())
    return CALLS_NEXT(sleep)(time_s);
  struct calls_mark mark = calls_begin();
  struct timespec rest = {time_s, 0};
  int result;

  CALLS_REPEAT(mark, result, CALLS_NEXT(nanosleep)(&rest, &rest));
  calls_end(&mark, REGION_CALL_SLEEP, -1, calls_outcome(result), SHIM_HERE);
  return result < 0 ? (unsigned)rest.tv_sec : 0;
}

#define HOOK_CHILD(type, name, parameters, arguments)                                              \
  SHIM_EXPORT type name parameters {                                                               \
    if (!calls_are_wanted())                                                                       \
      return CALLS_NEXT(name) arguments;                                                           \
    struct calls_mark mark = calls_begin();                                                        \
    type got;                                                                                      \
                                                                                                   \
    CALLS_REPEAT(mark, got, CALLS_NEXT(name) arguments);                                           \
    calls_end(&mark, REGION_CALL_WAIT_CHILD, -1, calls_outcome(got), SHIM_HERE);                   \
    return got;                                                                                    \
  }

HOOK_CHILD(pid_t, wait, (int *status), (status))
HOOK_CHILD(pid_t, waitpid, (pid_t pid, int *status, int flags), (pid, status, flags))
HOOK_CHILD(pid_t, wait3, (int *status, int flags, struct rusage *usage), (status, flags, usage))
HOOK_CHILD(pid_t, wait4, (pid_t pid, int *status, int flags, struct rusage *usage),
           (pid, status, flags, usage))
HOOK_CHILD(int, waitid, (idtype_t type, id_t id, siginfo_t *info, int flags),
           (type, id, info, flags))
