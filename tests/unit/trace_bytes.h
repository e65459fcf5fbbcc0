/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Builds trace files byte by byte, from docs/trace-format.md and not from the product's headers:
 * what a hostile or a later writer would write. */
#ifndef RAGPROF_TESTS_TRACE_BYTES_H
#define RAGPROF_TESTS_TRACE_BYTES_H

#include <string.h>
#include <zlib.h>

#include "base/buf.h"

static inline void bytes_header(struct buf *file) {
  size_t start = file->length;
  buf_put(file, "\x89RAGP\r\n\x1a\1\0\0\0", 12);
  buf_put_u32(file, (uint32_t)crc32(0, file->data + start, 12));
}

/* A chunk whose header says what it is told to, with a checksum that is right. */
static inline void bytes_chunk_lying(struct buf *file, uint32_t kind, uint32_t sequence,
                                     const void *payload, uint32_t stored_bytes,
                                     uint32_t raw_bytes) {
  size_t start = file->length;
  buf_put_text(file, "RPCK");
  buf_put_u32(file, kind);
  buf_put_u32(file, stored_bytes);
  buf_put_u32(file, raw_bytes);
  buf_put_u32(file, sequence);
  uint32_t crc = (uint32_t)crc32(0, file->data + start, 20);
  if (stored_bytes)
    crc = (uint32_t)crc32(crc, payload, stored_bytes);
  buf_put_u32(file, crc);
  buf_put(file, payload, stored_bytes);
}

static inline void bytes_stored_chunk(struct buf *file, uint32_t sequence, const struct buf *raw) {
  bytes_chunk_lying(file, 3, sequence, raw->data, (uint32_t)raw->length, (uint32_t)raw->length);
}

static inline void bytes_end(struct buf *file, uint32_t sequence) {
  bytes_chunk_lying(file, 2, sequence, NULL, 0, 0);
}

/* A record of a type and its body. */
static inline void bytes_record(struct buf *raw, uint8_t type, const void *body, size_t bytes) {
  buf_put_u8(raw, type);
  buf_put_varint(raw, bytes);
  buf_put(raw, body, bytes);
}

static inline void bytes_string(struct buf *raw, const char *text) {
  bytes_record(raw, 1, text, strlen(text));
}

/* A record of varints. */
static inline void bytes_numbers(struct buf *raw, uint8_t type, size_t count,
                                 const uint64_t *numbers) {
  struct buf body = {0};
  for (size_t i = 0; i < count; i++)
    buf_put_varint(&body, numbers[i]);
  bytes_record(raw, type, body.data, body.length);
  buf_fini(&body);
}

#define BYTES_NUMBERS(raw, type, ...)                                                              \
  bytes_numbers(raw, type, sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t),                   \
                (uint64_t[]){__VA_ARGS__})

#endif
