/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All that a report says, computed once; the renderers only print it. */
#ifndef RAGPROF_ANALYSIS_SUMMARY_H
#define RAGPROF_ANALYSIS_SUMMARY_H

#include "analysis/accounting.h"
#include "analysis/calls.h"
#include "analysis/heap.h"
#include "analysis/hotspots.h"
#include "analysis/leak.h"
#include "analysis/memory.h"
#include "analysis/system.h"
#include "analysis/waits.h"
#include "model/profile.h"

struct summary {
  const struct profile *profile;
  struct hotspots hotspots;
  struct waits waits;
  struct accounting accounting;
  struct heap *heap; /* never NULL; heap->is_recorded tells whether there is anything */
  struct leak_report *leaks;
  struct memory memory;
  struct calls calls;
  struct system_part system;
};

/* The profile must outlive the summary. 0 or -ENOMEM. */
int summary_build(struct summary **out, const struct profile *profile);
void summary_free(struct summary *summary);

/* part / whole in percent; 0 of nothing is 0. */
double percent_of(uint64_t part, uint64_t whole);

#endif
