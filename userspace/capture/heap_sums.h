/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The counts of heap sites on their way into the trace. A site of the trace may stand for several
 * of a region (Python lines have many addresses) and of several regions (before and after an exec):
 * they are added up here, by what each grew. */
#ifndef RAGPROF_CAPTURE_HEAP_SUMS_H
#define RAGPROF_CAPTURE_HEAP_SUMS_H

#include <stdbool.h>
#include <stdint.h>

#include "trace/writer.h"

struct heap_sums;

int heap_sums_new(struct heap_sums **out);
void heap_sums_free(struct heap_sums *sums);

/* What a site grew by; its peak is absolute. `site` is in *growth. */
void heap_sums_add(struct heap_sums *sums, const struct trace_heap *growth);

/* Writes what changed: sites with other live bytes than written last, and those that only turned
 * over when that was written last long ago, or `all`. */
void heap_sums_put(struct heap_sums *sums, struct trace_writer *writer, uint64_t time_ns, bool all);

#endif
