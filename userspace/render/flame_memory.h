/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory as the page carries it: the last part of the data that flame_data.h draws.
 *
 *   count, sites:  process | node | live at the peak | growth | low | high | entry count, then
 *                  entries: bucket - previous bucket | allocations | bytes | live blocks | live
 * bytes count, series: process | metric | entry count, then entries: bucket - previous bucket |
 * value
 *
 * Sites are those of HEAP_MALLOC and HEAP_PYTHON. The four numbers of an entry are differences to
 * the site's entry before, the last two of them zigzag-coded, as the values of a series are; a
 * bucket's entry says what held at its end. The growth of a stack that leaks, with its interval, is
 * in bytes by iteration or second, as facts.heap.leak_unit says, and divided among its processes'
 * sites as the most that they held is; 0 when it does not leak. */
#ifndef RAGPROF_RENDER_FLAME_MEMORY_H
#define RAGPROF_RENDER_FLAME_MEMORY_H

#include "base/buf.h"
#include "base/json.h"
#include "model/profile.h"

struct flame_memory;

/* 0 or -ENOMEM. */
int flame_memory_new(struct flame_memory **out, const struct profile *profile);
void flame_memory_free(struct flame_memory *memory);

/* Sets node_ids[] of the nodes of sites to 1. */
void flame_memory_mark(const struct flame_memory *memory, uint32_t *node_ids);
/* `node_ids`: the profile's nodes to the page's. 0 or -ENOMEM. */
int flame_memory_put(const struct flame_memory *memory, struct buf *buf, const uint32_t *node_ids,
                     uint64_t bucket_ns, uint32_t bucket_count);
/* The member "heap": an object, or null when no allocations were counted. */
void flame_memory_put_facts(const struct flame_memory *memory, struct json *json);

#endif
