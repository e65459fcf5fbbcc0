/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What operations were done to (files, peers, locks, …): from the events of BPF to names in the
 * trace. */
#ifndef RAGPROF_CAPTURE_OBJECTS_H
#define RAGPROF_CAPTURE_OBJECTS_H

#include <stddef.h>
#include <stdint.h>

#include "ragprof.h"
#include "trace/writer.h"

struct object_store;

int object_store_new(struct object_store **out, struct trace_writer *writer);
void object_store_free(struct object_store *store);

/* `bytes` is the size of the event as it came; what it says is checked. */
void object_store_add(struct object_store *store, const struct event_object *event, size_t bytes);

/* The trace id of an object by BPF's id; 0: not known (yet), or 0 was asked for. */
uint32_t object_store_id(const struct object_store *store, uint64_t id);

#endif
