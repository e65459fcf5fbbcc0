/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cause of the last failure of this thread. The layer that meets a failure records it here
 * with its context; only a command prints it. Library code never prints and never exits. */
#ifndef RAGPROF_BASE_ERROR_H
#define RAGPROF_BASE_ERROR_H

/* Records the cause and returns -errno_value, so that a caller can write
 * `return error_set(ENOENT, "%s: no such file", path);`. errno_value is positive. */
int error_set(int errno_value, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Like error_set with strerror(errno) appended as ": reason". Returns -errno. */
int error_errno(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The recorded cause, without a newline; "" when nothing was recorded. Valid until the next
 * error_set of this thread. */
const char *error_text(void);

/* Forgets the recorded cause. */
void error_clear(void);

#endif
