/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the segments: creating, filling and freeing them. */
#include "capture/tables.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"

#define SEGMENT_BYTES ((size_t)SEGMENT_WORDS * 8)
#define PAGES_MAX (4u << 20) /* 1 GiB of text */
#define WORDS_WORTH_FILLING 4096

struct table_store {
  int segments_fd;
  uint32_t count;
  uint64_t used_words; /* of the last segment */
  uint64_t *segments[SEGMENTS_MAX];
};

int table_store_new(struct table_store **out, int segments_fd) {
  struct table_store *store = calloc(1, sizeof(*store));
  if (!store)
    return error_set(ENOMEM, "out of memory");
  store->segments_fd = segments_fd;
  *out = store;
  return 0;
}

void table_store_free(struct table_store *store) {
  if (!store)
    return;
  for (uint32_t i = 0; i < store->count; i++)
    munmap(store->segments[i], SEGMENT_BYTES);
  free(store);
}

uint64_t table_store_bytes(const struct table_store *store) {
  return store->count * SEGMENT_BYTES;
}

struct unwind_row *table_store_rows(const struct table_store *store, uint32_t segment) {
  return (struct unwind_row *)store->segments[segment];
}

/* Appends an empty segment. The outer map and the mapping keep it alive without its descriptor. */
static int add_segment(struct table_store *store) {
  if (store->count == SEGMENTS_MAX)
    return error_set(ENOSPC, "the unwind tables are full (%u MiB)",
                     (unsigned)(SEGMENTS_MAX * (SEGMENT_BYTES >> 20)));
  LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
  int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "segment", 4, SEGMENT_BYTES, 1, &options);
  if (fd < 0)
    return error_errno("cannot create a segment for unwind tables");
  int result = 0;
  void *words = mmap(NULL, SEGMENT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (words == MAP_FAILED) {
    result = error_errno("cannot map a segment for unwind tables");
  } else if (bpf_map_update_elem(store->segments_fd, &store->count, &fd, 0)) {
    result = error_errno("cannot add a segment for unwind tables");
    munmap(words, SEGMENT_BYTES);
  } else {
    store->segments[store->count++] = words;
    store->used_words = 0;
  }
  close(fd);
  return result;
}

/* First row whose pc is at or above `pc`. */
static size_t row_at(const struct unwind_table *table, uint64_t pc) {
  size_t low = 0, high = table->row_count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (table->rows[middle].pc < pc)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static uint64_t words_needed(const struct unwind_table *table, uint32_t page_begin,
                             uint32_t page_end) {
  uint64_t rows = row_at(table, (uint64_t)page_end << INDEX_SHIFT) -
                  row_at(table, (uint64_t)page_begin << INDEX_SHIFT);
  return (page_end - page_begin + 2) / 2 + rows + 1; /* one more: the row that governs the start */
}

/* The most pages from page_begin on that fit into `words`. */
static uint32_t pages_that_fit(const struct unwind_table *table, uint32_t page_begin,
                               uint32_t page_end, uint64_t words) {
  uint32_t low = page_begin, high = page_end;
  while (low < high) {
    uint32_t middle = low + (high - low + 1) / 2;
    if (words_needed(table, page_begin, middle) <= words)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

static uint64_t row_word(struct unwind_row row, uint64_t base) {
  uint64_t word;
  row.pc -= (uint32_t)base;
  memcpy(&word, &row, sizeof(word));
  return word;
}

/* Writes the pages into the last segment, behind what is there. */
static struct table_piece write_piece(struct table_store *store, const struct unwind_table *table,
                                      uint32_t page_begin, uint32_t page_end) {
  uint64_t *words = store->segments[store->count - 1];
  struct table_piece piece = {
      .begin = (uint64_t)page_begin << INDEX_SHIFT,
      .end = (uint64_t)page_end << INDEX_SHIFT,
      .segment = store->count - 1,
      .index_first = (uint32_t)store->used_words * 2,
      .page_count = page_end - page_begin,
  };
  uint32_t *index = (uint32_t *)words + piece.index_first;
  uint64_t at = store->used_words + (piece.page_count + 2) / 2;
  size_t row = row_at(table, piece.begin);
  piece.row_first = (uint32_t)at;
  if (row > 0 && (row == table->row_count || table->rows[row].pc != piece.begin)) {
    struct unwind_row governing = table->rows[row - 1];
    governing.pc = (uint32_t)piece.begin;
    words[at++] = row_word(governing, piece.begin);
  }
  for (uint32_t page = page_begin; page < page_end; page++) {
    index[page - page_begin] = (uint32_t)at;
    uint64_t end = ((uint64_t)page + 1) << INDEX_SHIFT;
    for (; row < table->row_count && table->rows[row].pc < end; row++)
      words[at++] = row_word(table->rows[row], piece.begin);
  }
  index[piece.page_count] = (uint32_t)at;
  piece.row_end = (uint32_t)at;
  store->used_words = at;
  return piece;
}

static int add_pieces(struct table_store *store, const struct unwind_table *table,
                      uint32_t page_count, struct table_piece *pieces, uint32_t *count) {
  for (uint32_t page = 0; page < page_count;) {
    uint64_t free_words = store->count ? SEGMENT_WORDS - store->used_words : 0;
    uint32_t end = pages_that_fit(table, page, page_count, free_words);
    bool worth_it = end == page_count || free_words >= WORDS_WORTH_FILLING;
    if (end == page || !worth_it) {
      int result = add_segment(store);
      if (result)
        return result;
      continue;
    }
    pieces[(*count)++] = write_piece(store, table, page, end);
    page = end;
  }
  return 0;
}

int table_store_add(struct table_store *store, const struct unwind_table *table,
                    struct table_piece **pieces, uint32_t *piece_count) {
  *pieces = NULL;
  *piece_count = 0;
  if (!table->row_count)
    return 0;
  uint32_t page_count = (table->rows[table->row_count - 1].pc >> INDEX_SHIFT) + 1;
  if (page_count > PAGES_MAX)
    return error_set(ENOSPC, "more than %u MiB of text", PAGES_MAX >> (20 - INDEX_SHIFT));
  /* every piece but the first and last fills a segment */
  size_t most = words_needed(table, 0, page_count) / (SEGMENT_WORDS / 2) + 3;
  struct table_piece *found = calloc(most, sizeof(*found));
  if (!found)
    return error_set(ENOMEM, "out of memory");
  int result = add_pieces(store, table, page_count, found, piece_count);
  if (result) {
    free(found);
    *piece_count = 0;
    return result;
  }
  *pieces = found;
  return 0;
}
