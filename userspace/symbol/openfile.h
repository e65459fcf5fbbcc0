/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening files whose paths a target can influence. */
#ifndef RAGPROF_SYMBOL_OPENFILE_H
#define RAGPROF_SYMBOL_OPENFILE_H

#include <stdbool.h>
#include <sys/stat.h>

/* Opens a regular file for reading, below `root` ("" or "/proc/PID/root"): links inside are
 * resolved as if `root` was the root directory and cannot lead out of it. With `refuse_link` the
 * last component must not be a link. Never blocks and never opens a device or FIFO. The descriptor
 * and *status, or -ENOENT, -EPERM (not a regular file, a link), -errno, with the cause. */
int openfile_regular(const char *root, const char *path, bool refuse_link, struct stat *status);

#endif
