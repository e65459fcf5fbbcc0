/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which process a region belongs to. The region says so in the numbers of its own PID namespace,
 * and may lie. */
#ifndef RAGPROF_CAPTURE_SHIM_PID_H
#define RAGPROF_CAPTURE_SHIM_PID_H

#include <stdbool.h>
#include <stdint.h>

/* The process that maps the file and calls itself `inner_pid`; `inner_pid` as it is, with *gone, if
 * there is no such process any more. Other namespaces are searched no more often than is cheap:
 * *search_from_ns. */
uint32_t shim_pid_find(uint32_t inner_pid, uint64_t inode, uint64_t *search_from_ns,
                       uint64_t now_ns, bool *gone);

/* A descriptor that becomes readable when the process ends; -1 when there is none. */
int shim_pid_open(uint32_t pid);
bool shim_pid_lives(uint32_t pid); /* a zombie does not */

/* Whether the process may have made a file of this owner: its own user, this one, or root, from
 * whom it may have inherited it. */
bool shim_pid_may_own(uint32_t pid, uint32_t owner);

#endif
