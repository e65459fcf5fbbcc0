/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Goes on with native walks that BPF had to leave where a mapping was not known yet (just after an
 * exec or a dlopen), over the stack memory that BPF copied out. */
#ifndef RAGPROF_CAPTURE_RESUME_H
#define RAGPROF_CAPTURE_RESUME_H

#include <stddef.h>
#include <stdint.h>

#include "capture/process.h"
#include "capture/tables.h"
#include "ragprof.h"

struct resume_store;

int resume_store_new(struct resume_store **out, const struct table_store *tables);
void resume_store_free(struct resume_store *store);

/* Keeps the copied memory until its stack comes. Events shorter than they claim are ignored. */
void resume_store_add(struct resume_store *store, const struct event_raw *event, size_t bytes);

/* Walks on from the frame at which the stack with this `raw` ended. Puts the frames above it into
 * `frames` and how the walk ended into *end; returns how many. The mappings must be up to date. */
size_t resume_walk(struct resume_store *store, uint64_t raw, const struct process *process,
                   __u64 *frames, size_t capacity, enum walk_end *end);

#endif
