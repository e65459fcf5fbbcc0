/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hooks of files and of descriptors at large: read, write, sendfile, open, close. Those that follow
 * from the list alone are in calls.c. */
#include "calls.h"

#include <stdarg.h>

SHIM_EXPORT ssize_t read(int fd, void *data, size_t bytes) {
  if (!calls_are_wanted())
    return CALLS_NEXT(read)(fd, data, bytes);
  struct calls_mark mark = calls_begin();
  ssize_t done;

  CALLS_REPEAT(mark, done, CALLS_NEXT(read)(fd, data, bytes));
  calls_end(&mark, REGION_CALL_READ, fd, calls_outcome(done), SHIM_HERE);
  calls_tell_read(fd, &(struct iovec){data, bytes}, 1, done);
  return done;
}

ssize_t __read_chk(int fd, void *data, size_t bytes, size_t room);
SHIM_EXPORT ssize_t __read_chk(int fd, void *data, size_t bytes, size_t room) {
  if (!calls_are_wanted())
    return CALLS_NEXT(__read_chk)(fd, data, bytes, room);
  struct calls_mark mark = calls_begin();
  ssize_t done;

  CALLS_REPEAT(mark, done, CALLS_NEXT(__read_chk)(fd, data, bytes, room));
  calls_end(&mark, REGION_CALL_READ, fd, calls_outcome(done), SHIM_HERE);
  calls_tell_read(fd, &(struct iovec){data, bytes}, 1, done);
  return done;
}

SHIM_EXPORT ssize_t readv(int fd, const struct iovec *parts, int count) {
  if (!calls_are_wanted())
    return CALLS_NEXT(readv)(fd, parts, count);
  struct calls_mark mark = calls_begin();
  ssize_t done;

  CALLS_REPEAT(mark, done, CALLS_NEXT(readv)(fd, parts, count));
  calls_end(&mark, REGION_CALL_READ, fd, calls_outcome(done), SHIM_HERE);
  calls_tell_read(fd, parts, (size_t)count, done);
  return done;
}

static ssize_t write_step(int fd, void *data, size_t bytes, int flags) {
  (void)flags;
  return CALLS_NEXT(write)(fd, data, bytes);
}

SHIM_EXPORT ssize_t write(int fd, const void *data, size_t bytes) {
  if (!calls_are_wanted())
    return CALLS_NEXT(write)(fd, data, bytes);
  struct calls_mark mark = calls_begin();
  struct iovec part = {(void *)data, bytes};
  ssize_t done;

  CALLS_REPEAT(mark, done, CALLS_NEXT(write)(fd, data, bytes));
  done = calls_carry_on(&mark, done, write_step, fd, &part, 1, 0);
  calls_end(&mark, REGION_CALL_WRITE, fd, calls_outcome(done), SHIM_HERE);
  return done;
}

SHIM_EXPORT ssize_t writev(int fd, const struct iovec *parts, int count) {
  if (!calls_are_wanted())
    return CALLS_NEXT(writev)(fd, parts, count);
  struct calls_mark mark = calls_begin();
  ssize_t done;

  CALLS_REPEAT(mark, done, CALLS_NEXT(writev)(fd, parts, count));
  done = calls_carry_on(&mark, done, write_step, fd, parts, (size_t)count, 0);
  calls_end(&mark, REGION_CALL_WRITE, fd, calls_outcome(done), SHIM_HERE);
  return done;
}

/* The kernel moves `off`, or the file's own offset, along with what was sent. */
#define HOOK_SENDFILE(name, off_type)                                                              \
  SHIM_EXPORT ssize_t name(int to, int fd, off_type *off, size_t bytes) {                          \
    if (!calls_are_wanted())                                                                       \
      return CALLS_NEXT(name)(to, fd, off, bytes);                                                 \
    struct calls_mark mark = calls_begin();                                                        \
    ssize_t done, more;                                                                            \
                                                                                                   \
    CALLS_REPEAT(mark, done, CALLS_NEXT(name)(to, fd, off, bytes));                                \
    while (done > 0 && (size_t)done < bytes && calls_cut(&mark)) {                                 \
      CALLS_REPEAT(mark, more, CALLS_NEXT(name)(to, fd, off, bytes - (size_t)done));               \
      if (more <= 0)                                                                               \
        break;                                                                                     \
      done += more;                                                                                \
    }                                                                                              \
    calls_end(&mark, REGION_CALL_SENDFILE, fd, calls_outcome(done), SHIM_HERE);                    \
    return done;                                                                                   \
  }

HOOK_SENDFILE(sendfile, off_t)
HOOK_SENDFILE(sendfile64, off64_t)

/* ---- open: the mode is there only where the flags ask for it ---- */

#define OPEN_MODE(flags, mode)                                                                     \
  do                                                                                               \
    if ((flags) & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) {                                        \
      va_list more;                                                                                \
      va_start(more, flags);                                                                       \
      (mode) = va_arg(more, mode_t);                                                               \
      va_end(more);                                                                                \
    }                                                                                              \
  while (0)

#define TIMED_OPEN(made)                                                                           \
  do {                                                                                             \
    if (!calls_are_wanted())                                                                       \
      return (made);                                                                               \
    struct calls_mark mark = calls_begin();                                                        \
    int fd;                                                                                        \
                                                                                                   \
    CALLS_REPEAT(mark, fd, made);                                                                  \
    calls_end(&mark, REGION_CALL_OPEN, -1, calls_outcome(fd), SHIM_HERE);                          \
    return fd;                                                                                     \
  } while (0)

#define HOOK_OPEN(name)                                                                            \
  SHIM_EXPORT int name(const char *path, int flags, ...) {                                         \
    mode_t mode = 0;                                                                               \
                                                                                                   \
    OPEN_MODE(flags, mode);                                                                        \
    TIMED_OPEN(CALLS_NEXT(name)(path, flags, mode));                                               \
  }

#define HOOK_OPENAT(name)                                                                          \
  SHIM_EXPORT int name(int at, const char *path, int flags, ...) {                                 \
    mode_t mode = 0;                                                                               \
                                                                                                   \
    OPEN_MODE(flags, mode);                                                                        \
    TIMED_OPEN(CALLS_NEXT(name)(at, path, flags, mode));                                           \
  }

#define HOOK_CREAT(name)                                                                           \
  SHIM_EXPORT int name(const char *path, mode_t mode) {                                            \
    TIMED_OPEN(CALLS_NEXT(name)(path, mode));                                                      \
  }

/* What a fortified program calls when it gives no mode. */
#define HOOK_OPEN_2(name)                                                                          \
  int name(const char *path, int flags);                                                           \
  SHIM_EXPORT int name(const char *path, int flags) {                                              \
    TIMED_OPEN(CALLS_NEXT(name)(path, flags));                                                     \
  }

#define HOOK_OPENAT_2(name)                                                                        \
  int name(int at, const char *path, int flags);                                                   \
  SHIM_EXPORT int name(int at, const char *path, int flags) {                                      \
    TIMED_OPEN(CALLS_NEXT(name)(at, path, flags));                                                 \
  }

HOOK_OPEN(open)
HOOK_OPEN(open64)
HOOK_OPENAT(openat)
HOOK_OPENAT(openat64)
HOOK_CREAT(creat)
HOOK_CREAT(creat64)
HOOK_OPEN_2(__open_2)
HOOK_OPEN_2(__open64_2)
HOOK_OPENAT_2(__openat_2)
HOOK_OPENAT_2(__openat64_2)

/* ---- what ends descriptors: never made twice, as an interrupted close has closed ---- */

SHIM_EXPORT int close(int fd) {
  if (!calls_are_wanted())
    return CALLS_NEXT(close)(fd);
  if (shim_iteration_wants_reads)
    shim_iteration_closed(fd); /* before another thread may get the number */
  struct calls_mark mark = calls_begin();
  int result = CALLS_NEXT(close)(fd);

  calls_end(&mark, REGION_CALL_CLOSE, -1, calls_outcome(result), SHIM_HERE);
  return result;
}

/* The descriptors past the last that iteration.c knows cost nothing to tell it. */
#define TOLD_MAX 65536u

static void tell_closed(unsigned first, unsigned last) {
  if (shim_iteration_wants_reads)
    for (unsigned fd = first; fd <= last && fd < TOLD_MAX; fd++)
      shim_iteration_closed((int)fd);
}

SHIM_EXPORT int close_range(unsigned first, unsigned last, int flags) {
  if (!(flags & (int)CLOSE_RANGE_CLOEXEC))
    tell_closed(first, last);
  return CALLS_NEXT(close_range)(first, last, flags);
}

SHIM_EXPORT void closefrom(int first) {
  tell_closed(first > 0 ? (unsigned)first : 0, TOLD_MAX);
  CALLS_NEXT(closefrom)(first);
}

SHIM_EXPORT int dup2(int fd, int to) {
  if (shim_iteration_wants_reads && fd != to)
    shim_iteration_closed(to);
  return CALLS_NEXT(dup2)(fd, to);
}

SHIM_EXPORT int dup3(int fd, int to, int flags) {
  if (shim_iteration_wants_reads)
    shim_iteration_closed(to);
  return CALLS_NEXT(dup3)(fd, to, flags);
}
