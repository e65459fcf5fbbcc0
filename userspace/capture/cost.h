/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the BPF programs cost, by the kernel's own account of their run time. That account costs two
 * looks at the clock for each run, which is more than some programs take themselves; so it is kept
 * for the first second and then for a tenth of a second out of every two, and the rest is
 * estimated from that. */
#ifndef RAGPROF_CAPTURE_COST_H
#define RAGPROF_CAPTURE_COST_H

#include <stdbool.h>
#include <stdint.h>

struct bpf_object;

#define PROGRAMS_MAX 48

struct program_cost {
  const char *name;
  uint64_t run_ns;
  uint64_t runs;
};

struct cost_meter {
  struct bpf_object *object;
  int stats_fd; /* the account is kept as long as it is open; -1: it is not */
  bool is_past_first;
  uint64_t begin_ns;                       /* of all */
  uint64_t changed_ns;                     /* when it was switched on or off last */
  uint64_t end_ns;                         /* 0: not yet */
  uint64_t later_ns;                       /* how long it was on after the first second */
  struct program_cost first[PROGRAMS_MAX]; /* by the end of the first second */
  struct program_cost last[PROGRAMS_MAX];
};

void cost_meter_begin(struct cost_meter *meter, struct bpf_object *object, uint64_t time_ns);
/* On a clock: switches it on or off when it is time to. */
void cost_meter_tick(struct cost_meter *meter, uint64_t time_ns);
/* When no program runs any more, before they are unloaded. */
void cost_meter_end(struct cost_meter *meter, uint64_t time_ns);

/* Estimates for the whole time. How many were filled in; 0 where the kernel keeps no account. */
int cost_meter_costs(const struct cost_meter *meter, struct program_cost costs[PROGRAMS_MAX]);

#endif
