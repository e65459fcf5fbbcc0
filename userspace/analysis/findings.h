/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What stands out in the system's part, with its evidence: patterns that have a name. */
#ifndef RAGPROF_ANALYSIS_FINDINGS_H
#define RAGPROF_ANALYSIS_FINDINGS_H

#include <stdint.h>

#include "analysis/summary.h"

enum finding_kind {
  FINDING_OOM_KILL,
  FINDING_DESCRIPTORS,  /* open files near the limit */
  FINDING_THROTTLED,    /* by the cgroup's CPU quota */
  FINDING_CPU_SHORTAGE, /* threads that wait for a CPU: nanoseconds of those that they wanted one */
  FINDING_LOCK_CONVOY,
  FINDING_GIL_CONVOY,
  FINDING_SPINNING,
  FINDING_FSYNC,
  FINDING_PAGE_FAULTS,
  FINDING_DELAYED_ACK, /* receives of about 40 ms from one peer */
  FINDING_DNS_TIMEOUT, /* look-ups, or waits for a server's answer, of 5 s */
  FINDING_KINDS
};

/* Members that a kind does not speak of are 0 or PROFILE_NONE. */
struct finding {
  enum finding_kind kind;
  uint64_t count;
  uint64_t of_count; /* all of its kind */
  uint64_t total_ns; /* of those that are counted, over all threads */
  uint64_t max_ns;
  double average; /* threads that were in it at a time: total_ns of the capture's length */
  uint32_t thread_count;
  uint32_t object;  /* index */
  uint32_t process; /* index */
  uint32_t thread;  /* index: who holds the lock most */
  uint32_t node;    /* of the profile: where most of it comes from */
  const char *name; /* of a pool */
};

#define FINDINGS_MAX 16

struct findings {
  struct finding rows[FINDINGS_MAX]; /* in the order of their kinds */
  uint32_t count;
};

/* 0 or -ENOMEM. */
int findings_build(struct findings *findings, const struct summary *summary);

#endif
