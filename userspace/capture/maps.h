/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads /proc/PID: mappings, names, owners, children. What it says is a snapshot of something that
 * moves: a process may end at any line. */
#ifndef RAGPROF_CAPTURE_MAPS_H
#define RAGPROF_CAPTURE_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct maps_line {
  uint64_t start;
  uint64_t end;
  uint64_t offset;
  uint64_t device;
  uint64_t inode;
  const char *path; /* "" for anonymous memory; without " (deleted)" */
};

/* Calls back for every executable mapping, in order of address. 0, -errno, or the callback's
 * negative result. */
int maps_read(pid_t pid, int (*callback)(void *context, const struct maps_line *line),
              void *context);

struct process_status {
  char name[16];
  uid_t uid;
  pid_t parent;
  pid_t tgid;
  bool has_memory; /* false: a kernel thread, or a zombie */
};

/* 0, or -ESRCH when there is no such process. */
int process_status_read(pid_t pid, struct process_status *status);

/* The path of the executable, malloc'ed; NULL when it cannot be read. */
char *process_executable(pid_t pid);

/* The children of a process. Calls back with each. */
void process_children(pid_t pid, void (*callback)(void *context, pid_t child), void *context);

/* Every PID of the system. */
void process_each(void (*callback)(void *context, pid_t pid), void *context);

#endif
