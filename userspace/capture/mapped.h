/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the followed processes hold of mappings that they made in the capture, by stack: mmap,
 * mremap, munmap and brk as BPF sends them, as heap sites of the trace. Reservations without any
 * right of access are not memory taken. */
#ifndef RAGPROF_CAPTURE_MAPPED_H
#define RAGPROF_CAPTURE_MAPPED_H

#include <stdbool.h>
#include <stdint.h>

#include "capture/stacks.h"
#include "ragprof.h"
#include "trace/writer.h"

struct mapped_store;

int mapped_store_new(struct mapped_store **out, struct stack_store *stacks,
                     struct trace_writer *writer);
void mapped_store_free(struct mapped_store *store);

void mapped_store_call(struct mapped_store *store, const struct event_mapping *event);
/* What the program before had mapped is gone. */
void mapped_store_exec(struct mapped_store *store, uint32_t pid);
/* What a process gives back at its end is not counted as freed. */
void mapped_store_process_end(struct mapped_store *store, uint32_t pid);

/* Writes what changed, on a clock. Times since the capture's start. */
void mapped_store_put(struct mapped_store *store, uint64_t time_ns, bool all);

#endif
