/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the writer share: its state, and how a record gets into the chunk. Private to
 * writer.c and writer_operation.c. */
#ifndef RAGPROF_TRACE_WRITER_INTERNAL_H
#define RAGPROF_TRACE_WRITER_INTERNAL_H

#include <zstd.h>

#include "base/buf.h"
#include "base/hash.h"
#include "trace/format.h"
#include "trace/writer.h"

/* What writer_operation.c keeps: ids, and what differences are taken to. */
struct writer_operations {
  struct hash objects;
  struct buf object_entries; /* struct object_entry */
  uint32_t object_count;
  struct hash operations;
  struct buf operation_entries; /* struct operation_entry */
  uint32_t operation_count;
  struct buf sums;                     /* struct trace_operation_sum by id - 1: the last record */
  uint64_t last_ns;                    /* time of the last record in this chunk that has one */
  uint32_t last_operation;             /* of the last sum, detail or stack in this chunk, or 0 */
  uint64_t last_points[POINT_METRICS]; /* each metric's last value in this chunk, or 0 */
};

void writer_operations_fini(struct writer_operations *operations);
void writer_operations_start_chunk(struct writer_operations *operations);

struct trace_writer {
  int fd;
  char *path;
  uint64_t file_bytes; /* whole chunks on disk */
  uint32_t sequence;   /* of the next chunk */
  int error;           /* the first one, negative */
  char error_text[512];
  uint64_t invalid_count;

  struct buf raw;    /* records of the chunk in the making */
  struct buf packed; /* the chunk as it goes to disk */
  ZSTD_CCtx *zstd;
  uint64_t last_ns; /* time of the last sample, wait, heap, memory or slow call in this chunk */
  uint32_t last_heap_site;              /* of the last heap record in this chunk, or 0 */
  uint64_t last_memory[MEMORY_METRICS]; /* each metric's last value in this chunk, or 0 */

  struct strtab *strings;
  uint32_t string_count; /* written; ids of the table and of the file are the same */
  struct hash modules;
  struct buf module_entries; /* struct module_entry */
  uint32_t module_count;
  struct hash frames;
  struct buf frame_entries; /* struct trace_frame */
  uint32_t frame_count;
  struct hash nodes; /* parent << 32 | frame */
  uint32_t node_count;
  uint32_t thread_count;
  struct hash heap_sites;
  struct buf heap_site_entries; /* struct trace_heap_site */
  struct buf heap_entries;      /* struct trace_heap by site id - 1: its last record */
  uint32_t heap_site_count;
  struct writer_operations operations;
  struct buf scratch; /* the body of a call, or of an operation's detail */
};

/* The body of a record in the making. The largest (a memory record) has 3 + MEMORY_METRICS varints
 * of at most 10 bytes; a module has three and a build ID. */
struct body {
  size_t length;
  uint8_t bytes[256];
};

static inline void body_varint(struct body *body, uint64_t value) {
  size_t at = body->length;
  for (; value >= 0x80; value >>= 7)
    body->bytes[at++] = (uint8_t)(value | 0x80);
  body->bytes[at++] = (uint8_t)value;
  body->length = at;
}

void writer_out_of_memory(struct trace_writer *writer);
void writer_put_record(struct trace_writer *writer, enum format_record_type type, const void *body,
                       size_t bytes);
void writer_put_body(struct trace_writer *writer, enum format_record_type type,
                     const struct body *body);
/* The same of what is in writer->scratch. */
void writer_put_scratch(struct trace_writer *writer, enum format_record_type type);

/* Whether to go on with a record; one that is not valid is counted. */
bool writer_accept(struct trace_writer *writer, bool is_valid);

/* The id of a string; 0 for NULL and "". */
uint32_t writer_put_text(struct trace_writer *writer, const char *text);

/* A hash maps a content's hash to its id; different contents of one hash sit at the next free
 * keys. Returns the id of an equal entry, or 0 with `key` at a free one. */
uint32_t writer_find_entry(const struct hash *hash, uint64_t *key, const struct buf *entries,
                           const void *wanted, size_t bytes);
/* The id that the entry gets; 0 when memory ran out. */
uint32_t writer_add_entry(struct trace_writer *writer, struct hash *hash, uint64_t key,
                          struct buf *entries, uint32_t *count, const void *entry, size_t bytes);

bool writer_are_buckets_valid(const uint64_t buckets[TRACE_BUCKETS]);
void writer_put_buckets(struct buf *body, const uint64_t buckets[TRACE_BUCKETS]);

static inline bool writer_is_time(uint64_t ns) {
  return ns <= FORMAT_TIME_NS_MAX;
}

static inline bool writer_is_thread(const struct trace_writer *writer, uint32_t id) {
  return id && id <= writer->thread_count;
}

#endif
