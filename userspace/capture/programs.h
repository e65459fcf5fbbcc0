/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The BPF programs: loading, attaching, and reading what they counted. */
#ifndef RAGPROF_CAPTURE_PROGRAMS_H
#define RAGPROF_CAPTURE_PROGRAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "capture/cost.h"
#include "capture/operations.h"
#include "capture/own_code.h"
#include "capture/probe.h"
#include "capture/process.h"
#include "capture/sources.h"
#include "capture/user_probe.h"
#include "capture/wait_spread.h"
#include "ragprof.h"

struct programs;

struct programs_options {
  uint32_t frequency_hz;
  bool follow_children;
  const struct probe *probe;       /* what an iteration is; NULL: none */
  struct user_probes *user_probes; /* NULL: none */
};

/* Opens, configures and loads; nothing runs yet. 0 or -errno with a cause that says what is missing
 * (privileges, kernel type information, …). */
int programs_load(struct programs **out, const struct programs_options *options);
void programs_free(struct programs *programs);

/* Whether this user may also sample, for which other rights are needed. 0 or -errno. */
int programs_may_sample(const struct programs *programs);

/* The descriptors and memory that the stores need. */
int programs_segments_fd(const struct programs *programs);
int programs_events_fd(const struct programs *programs);
struct process_maps programs_process_maps(const struct programs *programs);
const struct own_code *programs_own_code(const struct programs *programs);
struct operation_maps programs_operation_maps(const struct programs *programs);

/* What is recorded besides samples and switches, and what this kernel lacks of it. */
const struct source_set *programs_sources(const struct programs *programs);
/* The same as far as it can be told without loading anything. 0 or -errno. */
int programs_look_for_sources(struct source_set *set);

/* Attaches everything; the task iterator has then registered the threads that are there. */
int programs_attach(struct programs *programs);
/* What the user's probes are attached with. */
struct bpf_object *programs_object(const struct programs *programs);
/* How often a process has passed the probe. */
uint64_t programs_iterations(const struct programs *programs, uint32_t pid);

/* No program runs after this. */
void programs_detach(struct programs *programs);

/* "cycles" or "cpu-clock". */
const char *programs_event(const struct programs *programs);

/* Has every thread report its exact times; with `ending`, also ends the open waits. */
int programs_report_threads(struct programs *programs, bool ending);

/* Hands over the sums of short waits since the last call. Exact: what is being added to is switched
 * first and read only at the next call, or with `ending` (after programs_detach) at once. */
void programs_take_waits(struct programs *programs, bool ending, wait_sum_fn callback,
                         void *context);

struct capture_counters programs_counters(const struct programs *programs);

/* Forgets which stacks were shipped when the table of them is nearly full. */
void programs_tend_stacks(struct programs *programs, uint64_t stacks_shipped);

/* What the programs cost, on a clock and at the end: see cost.h. */
void programs_tend_costs(struct programs *programs, uint64_t time_ns);
/* How many were filled in, after programs_detach. */
int programs_costs(const struct programs *programs, struct program_cost costs[PROGRAMS_MAX]);

#endif
