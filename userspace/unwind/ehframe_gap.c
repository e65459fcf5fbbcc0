/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fills the gaps that .eh_frame leaves with the rows of ehframe_code.c: of functions that a symbol
 * names, and that lie in a gap as a whole. Numeric libraries keep their hottest code there. */
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "unwind/ehframe_code.h"
#include "unwind/ehframe_internal.h"

/* Bounds the work that a file can cause. OpenBLAS for all processors has 12 MiB of such code. */
#define TOTAL_BYTES_MAX (64u << 20)

/* What is smaller is the padding between two functions. */
#define GAP_BYTES_MIN 16

/* Relative to the table's base, as all addresses here. */
struct gap {
  uint32_t begin;
  uint32_t end;
};

struct gap_function {
  uint32_t begin;
  uint32_t end; /* begin: not known, the next function or the end of the gap */
};

struct gap_fill {
  struct unwind_table *table;
  const struct elf_image *image;
  struct gap *gaps;
  size_t gap_count;
  size_t gap_capacity;
  struct gap_function *functions;
  size_t count;
  size_t capacity;
  uint8_t *code; /* of one function */
  struct code_scratch *scratch;
  bool failed; /* out of memory */
};

static int gap_add(struct gap_fill *fill, uint64_t begin, uint64_t end) {
  if (begin >= end || end - begin < GAP_BYTES_MIN || end > UINT32_MAX)
    return 0;
  if (fill->gap_count == fill->gap_capacity) {
    size_t capacity = fill->gap_capacity ? fill->gap_capacity * 2 : 256;
    void *bigger = reallocarray(fill->gaps, capacity, sizeof(*fill->gaps));
    if (!bigger)
      return error_set(ENOMEM, "out of memory for gaps of the CFI");
    fill->gaps = bigger;
    fill->gap_capacity = capacity;
  }
  fill->gaps[fill->gap_count++] = (struct gap){(uint32_t)begin, (uint32_t)end};
  return 0;
}

/* The ranges of executable segments that no valid row governs, in order (as the segments of a sound
 * file are; in another, lookups only find less). */
static int gaps_find(struct gap_fill *fill) {
  const struct unwind_table *table = fill->table;
  int err = 0;

  for (uint32_t i = 0; i < table->segment_count; i++) {
    uint64_t at = table->segments[i].vaddr - table->base_vaddr, end;
    if (__builtin_add_overflow(at, table->segments[i].bytes, &end))
      continue;
    const struct unwind_row *first = unwind_table_find(table, table->segments[i].vaddr);
    bool is_gap = !first || first->type == ROW_INVALID;
    size_t next = first ? (size_t)(first - table->rows) + 1 : 0;
    for (; next < table->row_count && table->rows[next].pc < end && !err; next++) {
      if (is_gap)
        err = gap_add(fill, at, table->rows[next].pc);
      is_gap = table->rows[next].type == ROW_INVALID;
      at = table->rows[next].pc;
    }
    if (is_gap && !err)
      err = gap_add(fill, at, end);
  }
  return err;
}

/* The end of the gap that a function begins in; 0 when it has rows. Both relative to the base. */
static uint32_t gap_end(const struct gap_fill *fill, uint64_t begin) {
  size_t low = 0, high = fill->gap_count;

  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (fill->gaps[middle].begin <= begin)
      low = middle + 1;
    else
      high = middle;
  }
  return low && begin < fill->gaps[low - 1].end ? fill->gaps[low - 1].end : 0;
}

static void take_function(void *ctx, struct elf_function function) {
  struct gap_fill *fill = ctx;
  uint64_t begin = function.vaddr - fill->table->base_vaddr;
  uint32_t end = gap_end(fill, begin);

  if (!end || fill->failed || function.bytes > end - begin)
    return;
  if (fill->count == fill->capacity) {
    size_t capacity = fill->capacity ? fill->capacity * 2 : 256;
    void *bigger = reallocarray(fill->functions, capacity, sizeof(*fill->functions));
    if (!bigger) {
      fill->failed = true;
      return;
    }
    fill->functions = bigger;
    fill->capacity = capacity;
  }
  fill->functions[fill->count++] =
      (struct gap_function){.begin = (uint32_t)begin, .end = (uint32_t)(begin + function.bytes)};
}

static int function_compare(const void *a, const void *b) {
  const struct gap_function *left = a, *right = b;
  if (left->begin != right->begin)
    return left->begin < right->begin ? -1 : 1;
  return left->end < right->end ? 1 : left->end > right->end ? -1 : 0; /* the longest first */
}

static void put_invalid(struct cfi_sink *sink, uint32_t pc) {
  ehframe_sink_row(sink, (struct unwind_row){.pc = pc, .rbp = ROW_RBP_SAME, .type = ROW_INVALID});
}

struct code_scratch *ehframe_code_scratch_new(void) {
  return malloc(ehframe_code_scratch_bytes());
}

void ehframe_code_scratch_free(struct code_scratch *scratch) {
  free(scratch);
}

/* The rows in order. Bytes that no path reached (padding, data, what only an indirect jump reaches)
 * get an invalid one; bytes within an instruction, its own. */
bool ehframe_code_rows(struct cfi_sink *sink, struct code_scratch *scratch, const uint8_t *code,
                       uint32_t bytes, uint32_t begin) {
  uint32_t covered = 0;

  if (!ehframe_code_follow(scratch, code, bytes))
    return false;
  for (uint32_t at = 0; at < bytes; at++) {
    struct unwind_row row;
    if (ehframe_code_row(scratch, at, &row))
      covered = at + row.pc;
    else if (at < covered)
      continue;
    else
      row = (struct unwind_row){.rbp = ROW_RBP_SAME, .type = ROW_INVALID};
    row.pc = begin + at;
    ehframe_sink_row(sink, row);
  }
  return true;
}

/* Puts the rows of the function whose code was read, and an invalid one at its end; where it
 * follows another directly, in place of that one's end. */
static void put_function(const struct gap_fill *fill, struct cfi_sink *sink,
                         struct gap_function function) {
  struct unwind_table *gaps = sink->table;
  uint32_t bytes = function.end - function.begin;
  bool is_adjacent = gaps->row_count && gaps->rows[gaps->row_count - 1].pc == function.begin;

  gaps->row_count -= is_adjacent;
  if (ehframe_code_rows(sink, fill->scratch, fill->code, bytes, function.begin))
    put_invalid(sink, function.end);
  else if (is_adjacent)
    put_invalid(sink, function.begin);
}

/* Follows one function's code, which may not reach past `limit`. */
static void follow(const struct gap_fill *fill, struct cfi_sink *sink, struct gap_function function,
                   uint32_t limit) {
  const struct unwind_table *table = fill->table;

  if (function.end == function.begin || function.end > limit)
    function.end = limit;
  uint32_t bytes = function.end - function.begin;
  if (bytes > CODE_BYTES_MAX)
    return;
  for (uint32_t i = 0; i < table->segment_count; i++) {
    const struct unwind_segment *segment = &table->segments[i];
    uint64_t at = table->base_vaddr + function.begin - segment->vaddr, offset;
    if (at >= segment->bytes || __builtin_add_overflow(segment->offset, at, &offset))
      continue;
    if (ehframe_elf_bytes(fill->image, offset, fill->code, bytes))
      put_function(fill, sink, function);
    return;
  }
}

/* Follows all, each up to the next one or the end of its gap. */
static void follow_all(struct gap_fill *fill, struct cfi_sink *sink) {
  uint64_t bytes = 0;

  for (size_t i = 0, next; i < fill->count && !sink->failed; i = next) {
    struct gap_function function = fill->functions[i];
    uint32_t limit = gap_end(fill, function.begin);
    for (next = i + 1; next < fill->count && fill->functions[next].begin == function.begin;)
      next++;
    if (next < fill->count && fill->functions[next].begin < limit)
      limit = fill->functions[next].begin;
    bytes += limit - function.begin;
    if (bytes > TOTAL_BYTES_MAX)
      return;
    follow(fill, sink, function, limit);
  }
}

/* Merges the rows of gaps, sorted as the table's are, into it: they win where both have a pc, but
 * for invalid ones, which only end a function. */
static int merge(struct unwind_table *table, const struct unwind_table *gaps) {
  struct unwind_table merged = *table;
  struct cfi_sink sink = {.table = &merged};
  size_t i = 0, j = 0;

  merged.rows = NULL;
  merged.row_count = 0;
  while (i < table->row_count || j < gaps->row_count) {
    bool takes_gap =
        i == table->row_count || (j < gaps->row_count && gaps->rows[j].pc <= table->rows[i].pc);
    bool is_tie = takes_gap && i < table->row_count && gaps->rows[j].pc == table->rows[i].pc;
    if (is_tie && gaps->rows[j].type == ROW_INVALID) {
      takes_gap = false;
      j++;
    } else if (is_tie) {
      i++;
    }
    ehframe_sink_row(&sink, takes_gap ? gaps->rows[j++] : table->rows[i++]);
  }
  if (sink.failed) {
    free(merged.rows);
    return error_set(ENOMEM, "out of memory for unwind rows");
  }
  free(table->rows);
  *table = merged;
  return 0;
}

int ehframe_gap_fill(struct unwind_table *table, const struct elf_image *image) {
  struct gap_fill fill = {.table = table, .image = image};
  struct unwind_table gaps = {.rows = NULL};
  struct cfi_sink sink = {.table = &gaps};

  int err = gaps_find(&fill);
  if (!err && fill.gap_count)
    err = ehframe_elf_functions(image, take_function, &fill);
  if (!err && fill.count) {
    qsort(fill.functions, fill.count, sizeof(*fill.functions), function_compare);
    fill.code = malloc(CODE_BYTES_MAX);
    fill.scratch = ehframe_code_scratch_new();
    fill.failed |= !fill.code || !fill.scratch;
    if (!fill.failed)
      follow_all(&fill, &sink);
  }
  if (!err && (fill.failed || sink.failed))
    err = error_set(ENOMEM, "out of memory for functions without CFI");
  if (!err && gaps.row_count)
    err = merge(table, &gaps);
  free(fill.code);
  ehframe_code_scratch_free(fill.scratch);
  free(fill.functions);
  free(fill.gaps);
  free(gaps.rows);
  return err;
}
