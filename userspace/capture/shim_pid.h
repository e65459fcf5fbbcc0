/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which process a region belongs to. The region says so in the numbers of its own PID namespace,
 * and may lie. */
#ifndef RAGPROF_CAPTURE_SHIM_PID_H
#define RAGPROF_CAPTURE_SHIM_PID_H

#include <stdbool.h>
#include <stdint.h>

/* The processes of other PID namespaces than ours, as they were last listed. */
struct shim_pids {
  uint64_t listed_ns;
  uint64_t list_from_ns; /* not before, so that it stays cheap */
  struct foreign_pid {
    uint32_t pid;
    uint32_t inner_pid;
  } * at;
  uint32_t count;
  uint32_t capacity;
};

/* The process that maps the file, found at seen_ns, and calls itself inner_pid; `name` has to do
 * where what it maps is hidden. 0 when that cannot
 * be told yet; inner_pid, with *gone, when there is no such process any more. */
uint32_t shim_pid_find(struct shim_pids *pids, uint32_t inner_pid, const char *name, uint64_t inode,
                       uint64_t seen_ns, uint64_t now_ns, bool *gone);

/* The thread of `pid` that calls itself inner_tid in its own namespace; the first thread when it is
 * gone. */
uint32_t shim_pid_thread(uint32_t pid, uint32_t inner_tid);

/* A descriptor that becomes readable when the process ends; -1 when there is none. */
int shim_pid_open(uint32_t pid);
bool shim_pid_lives(uint32_t pid); /* a zombie does not */

/* Whether the process may have made a file of this owner: its own user, this one, or root, from
 * whom it may have inherited it. */
bool shim_pid_may_own(uint32_t pid, uint32_t owner);

#endif
