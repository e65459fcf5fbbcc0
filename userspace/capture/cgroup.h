/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control groups of a process, of version 1 or 2, and the numbers in their files. */
#ifndef RAGPROF_CAPTURE_CGROUP_H
#define RAGPROF_CAPTURE_CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct cgroup {
  bool is_first; /* of version 1 */
  size_t root;   /* length of the hierarchy's own path, at the begin of `folder` */
  char folder[PATH_MAX];
};

/* What to look for: a controller, and a file that every group of it has, by version. */
struct cgroup_controller {
  const char *name;
  const char *first_file;
  const char *second_file;
};

/* The group of a process. In a container, whose paths may be those of the host, it is the root that
 * is seen there. False when there is none. */
bool cgroup_find(pid_t pid, const struct cgroup_controller *controller, struct cgroup *group);

/* Moves up. False at the root of the hierarchy. */
bool cgroup_up(struct cgroup *group);

/* A file that begins with a number. */
bool cgroup_number(const struct cgroup *group, const char *file, uint64_t *value);
/* A line "key number". */
bool cgroup_stat(const struct cgroup *group, const char *file, const char *key, uint64_t *value);

/* What of the CPUs a group may use. */
struct cgroup_cpu {
  uint64_t quota_us; /* in a period */
  uint64_t period_us;
  uint64_t periods; /* that had something to run, so far */
  uint64_t throttled;
  uint64_t throttled_ns;
};

/* The tightest quota of the process's group and those above it. False when there is none. */
bool cgroup_cpu_read(pid_t pid, struct cgroup_cpu *cpu);

#endif
