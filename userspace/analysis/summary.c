/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the order in which the parts of a summary are computed. */
#include "analysis/summary.h"

#include <errno.h>
#include <stdlib.h>

int summary_build(struct summary **out, const struct profile *profile) {
  struct summary *summary = calloc(1, sizeof(*summary));
  *out = NULL;
  if (!summary)
    return -ENOMEM;
  summary->profile = profile;
  int rc = hotspots_build(&summary->hotspots, profile);
  if (!rc)
    rc = waits_build(&summary->waits, profile, &summary->hotspots.stacks);
  if (!rc)
    rc = accounting_build(&summary->accounting, profile);
  if (!rc)
    rc = heap_build(&summary->heap, profile);
  if (!rc)
    rc = leak_analyse(&summary->leaks, profile, summary->heap);
  if (!rc)
    rc = memory_build(&summary->memory, profile);
  if (!rc)
    rc = calls_build(&summary->calls, profile, &summary->hotspots.stacks);
  if (!rc)
    rc = system_build(&summary->system, profile, &summary->hotspots.stacks, &summary->accounting);
  if (rc) {
    summary_free(summary);
    return rc;
  }
  *out = summary;
  return 0;
}

void summary_free(struct summary *summary) {
  if (!summary)
    return;
  hotspots_fini(&summary->hotspots);
  waits_fini(&summary->waits);
  accounting_fini(&summary->accounting);
  heap_free(summary->heap);
  leak_report_free(summary->leaks);
  memory_fini(&summary->memory);
  calls_fini(&summary->calls);
  system_fini(&summary->system);
  free(summary);
}

double percent_of(uint64_t part, uint64_t whole) {
  return whole ? 100.0 * (double)part / (double)whole : 0;
}
