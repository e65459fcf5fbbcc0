/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the reader share: its state, and the fields of a record, each checked as it is
 * read. Private to reader.c and reader_operation.c. */
#ifndef RAGPROF_TRACE_READER_INTERNAL_H
#define RAGPROF_TRACE_READER_INTERNAL_H

#include <zstd.h>

#include "base/buf.h"
#include "base/hash.h"
#include "trace/format.h"
#include "trace/reader.h"

/* Where the bytes come from: a file, or memory when fd is negative. */
struct source {
  int fd;
  struct cursor memory;
  const char *name; /* for messages */
};

/* What reader_operation.c keeps: ids, and what differences are taken to. */
struct reader_operations {
  uint32_t object_count;
  uint32_t operation_count;
  struct buf sums;                     /* struct trace_operation_sum by id - 1: the last record */
  uint64_t last_ns;                    /* time of the last record in this chunk that has one */
  uint32_t last_operation;             /* of the last sum, detail or stack in this chunk, or 0 */
  uint64_t last_points[POINT_METRICS]; /* each metric's last value in this chunk, or 0 */
};

void reader_operations_fini(struct reader_operations *operations);
void reader_operations_start_chunk(struct reader_operations *operations);

struct reader {
  const struct trace_visitor *visitor;
  void *context;
  struct trace_status *status;
  struct source source;

  uint8_t *stored; /* FORMAT_CHUNK_STORED_BYTES_MAX */
  uint8_t *raw;    /* FORMAT_CHUNK_RAW_BYTES_MAX */
  ZSTD_DCtx *zstd;
  uint64_t last_ns; /* time of the last sample, wait, heap, memory or slow call in this chunk */
  uint32_t last_heap_site;
  uint64_t last_memory[MEMORY_METRICS];
  bool has_unknown_id; /* in the record at hand */

  struct strtab *texts;
  struct buf text_ids; /* uint32_t in `texts` by string id */
  uint32_t string_count;
  uint32_t module_count;
  uint32_t frame_count;
  uint32_t node_count;
  uint32_t thread_count;
  struct buf heap_entries; /* struct trace_heap by site id - 1: its last record */
  uint32_t heap_site_count;
  struct reader_operations operations;
};

/* What a step of reading says besides 0 and a negative errno: the file ends here, and
 * status->damage says why unless it is whole. */
#define READING_ENDS 1

#define MALFORMED "a record is malformed"
#define UNKNOWN_ID "a record refers to an id that was not announced"

/* Notes why the file ends here. READING_ENDS. */
int reader_damaged(struct reader *reader, const char *why);

/* A trace has millions of numbers: all but malformed ones, and those of ten bytes, are read here.
 */
static inline uint64_t reader_u64(struct cursor *cursor) {
  const uint8_t *at = cursor->at, *end = cursor->failed ? at : cursor->end;
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 63 && at < end; shift += 7) {
    value |= (uint64_t)(*at & 0x7f) << shift;
    if (*at++ < 0x80) {
      cursor->at = at;
      return value;
    }
  }
  return cursor_varint(cursor);
}

static inline uint32_t reader_u32(struct cursor *cursor) {
  uint64_t value = reader_u64(cursor);
  if (value > UINT32_MAX)
    cursor->failed = true;
  return (uint32_t)value;
}

static inline uint64_t reader_time(struct cursor *cursor) {
  uint64_t ns = reader_u64(cursor);
  if (ns > FORMAT_TIME_NS_MAX)
    cursor->failed = true;
  return ns;
}

/* An id of a table of `count` entries, or 0. */
uint32_t reader_id(struct reader *reader, struct cursor *cursor, uint32_t count);
/* An id of a table of `count` entries. */
uint32_t reader_entry(struct reader *reader, struct cursor *cursor, uint32_t count);
const char *reader_text(struct reader *reader, struct cursor *cursor);
void reader_buckets(struct cursor *cursor, uint64_t buckets[TRACE_BUCKETS]);

/* The id that the record at hand gets in its table. */
uint32_t reader_next_id(struct cursor *cursor, uint32_t count);

/* 0 when all fields of the record at hand were there and good. */
int reader_check(struct reader *reader, const struct cursor *cursor);

/* Its arguments are evaluated only when there is such a callback. */
#define VISIT(reader, method, ...)                                                                 \
  ((reader)->visitor->method ? (reader)->visitor->method((reader)->context, __VA_ARGS__) : 0)

int read_object(struct reader *reader, struct cursor *cursor);
int read_operation(struct reader *reader, struct cursor *cursor);
int read_operation_sum(struct reader *reader, struct cursor *cursor);
int read_operation_detail(struct reader *reader, struct cursor *cursor);
int read_operation_stack(struct reader *reader, struct cursor *cursor);
int read_slow_operation(struct reader *reader, struct cursor *cursor);
int read_happening(struct reader *reader, struct cursor *cursor);
int read_point(struct reader *reader, struct cursor *cursor);

#endif
