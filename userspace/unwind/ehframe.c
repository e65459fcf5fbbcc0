/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of unwind rows of one ELF image: puts the functions in order, has their programs run,
 * keeps the rows sorted and without repetition, and answers lookups. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/error.h"
#include "unwind/ehframe_internal.h"

#define PAGE_BYTES 4096u

static bool is_same_rule(struct unwind_row a, struct unwind_row b) {
  return a.cfa == b.cfa && a.rbp == b.rbp && a.type == b.type;
}

void ehframe_sink_row(struct cfi_sink *sink, struct unwind_row row) {
  struct unwind_table *table = sink->table;

  if (sink->failed || (table->row_count && is_same_rule(table->rows[table->row_count - 1], row)))
    return;
  if (table->row_count == sink->row_capacity) {
    size_t capacity = sink->row_capacity ? sink->row_capacity * 2 : 1024;
    void *bigger = reallocarray(table->rows, capacity, sizeof(*table->rows));
    if (!bigger) {
      sink->failed = true;
      return;
    }
    table->rows = bigger;
    sink->row_capacity = capacity;
  }
  table->rows[table->row_count++] = row;
}

static void put_invalid(struct cfi_sink *sink, uint32_t pc) {
  ehframe_sink_row(sink, (struct unwind_row){.pc = pc, .rbp = ROW_RBP_SAME, .type = ROW_INVALID});
}

static void take_row(void *ctx, struct unwind_row row, bool is_supported) {
  struct cfi_sink *sink = ctx;
  sink->table->unsupported_count += !is_supported;
  ehframe_sink_row(sink, row);
}

/* ---- the order of functions ---- */

static int key_compare(const void *a, const void *b) {
  uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
  return left < right ? -1 : left > right;
}

/* Sort keys begin << 32 | number: functions by address, those that share one by their place in the
 * section. NULL when memory ran out. */
static uint64_t *order_new(const struct cfi_index *index) {
  uint64_t *keys = reallocarray(NULL, index->fde_count + 1, sizeof(*keys));
  bool is_sorted = true;

  if (!keys)
    return NULL;
  for (size_t i = 0; i < index->fde_count; i++) {
    keys[i] = (uint64_t)index->fdes[i].begin << 32 | i;
    is_sorted = is_sorted && (!i || keys[i - 1] < keys[i]);
  }
  if (!is_sorted)
    qsort(keys, index->fde_count, sizeof(*keys), key_compare);
  return keys;
}

/* The rows of one function, up to where the next one begins. */
static void function_rows(struct cfi_sink *sink, const struct cfi_index *index,
                          const struct ehframe_section *section, const struct cfi_fde *fde,
                          uint64_t next_begin) {
  struct unwind_table *table = sink->table;
  uint32_t limit = fde->end < next_begin ? fde->end : (uint32_t)next_begin;
  uint32_t unsupported_before = table->unsupported_count;
  size_t rows_before = table->row_count;

  table->fde_count++;
  if (!ehframe_program_run(&index->cies[fde->cie], section, fde, table->base_vaddr, limit, take_row,
                           sink)) {
    table->row_count = rows_before;
    table->unsupported_count = unsupported_before + 1;
    put_invalid(sink, fde->begin);
  }
  if (limit < next_begin)
    put_invalid(sink, limit);
}

/* Where functions overlap, the one that begins last governs, as a search in .eh_frame_hdr would
 * have it; of those that begin together, the first in the section. */
static int rows_build(struct unwind_table *table, const struct ehframe_section *section) {
  struct cfi_sink sink = {.table = table};
  struct cfi_index index;
  uint64_t *order;

  int err = ehframe_index_build(&index, section, table);
  if (err)
    return err;
  order = order_new(&index);
  sink.failed = !order;
  for (size_t i = 0, next; i < index.fde_count && !sink.failed; i = next) {
    for (next = i + 1; next < index.fde_count && order[next] >> 32 == order[i] >> 32;)
      next++;
    function_rows(&sink, &index, section, &index.fdes[(uint32_t)order[i]],
                  next < index.fde_count ? order[next] >> 32 : UINT64_MAX);
  }
  free(order);
  ehframe_index_fini(&index);
  if (sink.failed)
    return error_set(ENOMEM, "out of memory for unwind rows");
  return 0;
}

/* Gives back what doubling left over. */
static void rows_shrink(struct unwind_table *table) {
  void *smaller = reallocarray(table->rows, table->row_count, sizeof(*table->rows));
  if (smaller && table->row_count)
    table->rows = smaller;
}

static int build(struct unwind_table *table, const struct elf_image *image) {
  struct ehframe_section section;

  memset(table, 0, sizeof(*table));
  int err = ehframe_elf_read(table, &section, image);
  if (!err && section.data)
    err = rows_build(table, &section);
  free(section.owned);
  if (!err)
    err = ehframe_gap_fill(table, image);
  if (err)
    unwind_table_fini(table);
  else if (table->row_count)
    rows_shrink(table);
  return err;
}

int unwind_table_build(struct unwind_table *table, const void *image, size_t bytes) {
  struct elf_image elf = {.data = image, .bytes = bytes, .fd = -1};
  return build(table, &elf);
}

int unwind_table_build_fd(struct unwind_table *table, int fd) {
  struct stat status;

  memset(table, 0, sizeof(*table));
  if (fstat(fd, &status))
    return error_errno("cannot stat an ELF file");
  struct elf_image elf = {.bytes = (uint64_t)status.st_size, .fd = fd};
  return build(table, &elf);
}

int unwind_table_segments_fd(struct unwind_table *table, int fd) {
  struct stat status;
  struct ehframe_section section;

  memset(table, 0, sizeof(*table));
  if (fstat(fd, &status))
    return error_errno("cannot stat an ELF file");
  struct elf_image elf = {.bytes = (uint64_t)status.st_size, .fd = fd};
  int err = ehframe_elf_read(table, &section, &elf);
  free(section.owned);
  return err;
}

void unwind_table_fini(struct unwind_table *table) {
  free(table->rows);
  memset(table, 0, sizeof(*table));
}

/* ---- lookups ---- */

/* A segment is mapped in whole pages: offsets on its first page before it count as its own, unless
 * another segment holds them. */
uint64_t unwind_table_vaddr(const struct unwind_table *table, uint64_t file_offset) {
  for (uint32_t i = 0; i < table->segment_count; i++) {
    const struct unwind_segment *segment = &table->segments[i];
    if (file_offset >= segment->offset && file_offset - segment->offset < segment->bytes)
      return segment->vaddr + (file_offset - segment->offset);
  }
  for (uint32_t i = 0; i < table->segment_count; i++) {
    const struct unwind_segment *segment = &table->segments[i];
    if (file_offset < segment->offset && segment->bytes &&
        file_offset >= (segment->offset & ~(uint64_t)(PAGE_BYTES - 1)))
      return segment->vaddr - (segment->offset - file_offset);
  }
  return UINT64_MAX;
}

const struct unwind_row *unwind_table_find(const struct unwind_table *table, uint64_t vaddr) {
  uint64_t pc = vaddr - table->base_vaddr;
  size_t low = 0, high = table->row_count;

  if (vaddr < table->base_vaddr || pc > UINT32_MAX)
    return NULL;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (table->rows[middle].pc <= pc)
      low = middle + 1;
    else
      high = middle;
  }
  return low ? &table->rows[low - 1] : NULL;
}
