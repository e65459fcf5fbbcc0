/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether a command can be started with the library, and where the library is. Looks only. */
#ifndef RAGPROF_CAPTURE_PRELOAD_H
#define RAGPROF_CAPTURE_PRELOAD_H

#include <limits.h>
#include <stdbool.h>

/* Finds libragprof.so: RAGPROF_LIBRARY, beside this executable, or in ../lib/ragprof from there.
 * 0, or -errno with what stands against it in error_text(). */
int preload_find(char path[PATH_MAX]);

/* What keeps the dynamic linker from loading the library into a command (a static binary,
 * a set-user-ID one, another libc, another machine, …): -ENOTSUP with the reason in error_text().
 * 0 also for a command that cannot be found: its exec says so. */
int preload_check(const char *command);

/* The file that execvp(3) would run. */
bool preload_command(const char *command, char path[PATH_MAX]);

#endif
