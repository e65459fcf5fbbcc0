/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compiles the .eh_frame of an ELF image into the compact rows of bpf/ragprof.h: sorted, one row
 * from each pc where the rule changes. Functions that have none (hand-written assembly) get rows by
 * following their code, where a symbol tells where they are. The image is hostile: everything is
 * bounds-checked. */
#ifndef RAGPROF_UNWIND_EHFRAME_H
#define RAGPROF_UNWIND_EHFRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ragprof.h"

/* An executable PT_LOAD segment: turns a file offset into a virtual address. */
struct unwind_segment {
  uint64_t offset; /* bytes, in the file */
  uint64_t vaddr;
  uint64_t bytes; /* file size of the segment */
};

#define UNWIND_SEGMENTS_MAX 16

struct unwind_table {
  struct unwind_row *rows; /* sorted by pc; pc is relative to base_vaddr */
  size_t row_count;
  uint64_t base_vaddr; /* page-aligned lowest PT_LOAD address */
  struct unwind_segment segments[UNWIND_SEGMENTS_MAX];
  uint32_t segment_count;
  uint32_t unsupported_count; /* rows whose rule has no compact form (they became invalid) */
  uint32_t fde_count;
};

/* Builds from an ELF64 little-endian x86-64 image. 0, or -EINVAL (no ELF, broken headers; the cause
 * is in error_text()), -ENOTSUP (another machine), -ENOMEM. An image without .eh_frame gives an
 * empty table with its segments. Broken CFI of one function makes that function's rows invalid and
 * leaves the others. */
int unwind_table_build(struct unwind_table *table, const void *image, size_t bytes);

/* The same from an open file. Only what is needed is read, by pread: a file that shrinks meanwhile
 * does not kill the caller. */
int unwind_table_build_fd(struct unwind_table *table, int fd);

/* The same, but for a table that only turns file offsets into addresses: no rows. */
int unwind_table_segments_fd(struct unwind_table *table, int fd);

void unwind_table_fini(struct unwind_table *table);

/* The virtual address of a file offset, or UINT64_MAX when no executable segment holds it. */
uint64_t unwind_table_vaddr(const struct unwind_table *table, uint64_t file_offset);

/* The row that governs a virtual address; NULL before the first row. */
const struct unwind_row *unwind_table_find(const struct unwind_table *table, uint64_t vaddr);

#endif
