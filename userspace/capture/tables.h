/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The store of unwind tables that the BPF programs read: lays compiled rows out in segments, adding
 * segments as they are needed. Layout: bpf/ragprof.h. */
#ifndef RAGPROF_CAPTURE_TABLES_H
#define RAGPROF_CAPTURE_TABLES_H

#include <stdint.h>

#include "unwind/ehframe.h"

struct table_store;

/* A run of pages of a table, within one segment. */
struct table_piece {
  uint64_t begin; /* relative to the table's base_vaddr; rows are relative to this */
  uint64_t end;
  uint32_t segment;
  uint32_t index_first;
  uint32_t page_count;
  uint32_t row_first;
  uint32_t row_end;
};

/* `segments_fd` is the outer map; it stays the caller's. 0 or -ENOMEM. */
int table_store_new(struct table_store **out, int segments_fd);
void table_store_free(struct table_store *store);

/* Copies a table in. *pieces is malloc'ed, sorted, and the caller's. 0 with no pieces for an empty
 * table; -ENOSPC when all segments are full; -ENOMEM. */
int table_store_add(struct table_store *store, const struct unwind_table *table,
                    struct table_piece **pieces, uint32_t *piece_count);

/* The rows of a segment, for walks in user space. */
struct unwind_row *table_store_rows(const struct table_store *store, uint32_t segment);

/* Memory that the segments take. */
uint64_t table_store_bytes(const struct table_store *store);

#endif
