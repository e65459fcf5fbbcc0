/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A growable byte buffer and the little-endian base-128 integers (LEB128) of the trace file.
 * Running out of memory is remembered in `failed` and makes later puts no-ops, so that a caller
 * checks once, at the end. */
#ifndef RAGPROF_BASE_BUF_H
#define RAGPROF_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
  uint8_t *data; /* NULL while empty */
  size_t length; /* bytes */
  size_t capacity;
  bool failed; /* an allocation failed; the content is incomplete */
};

void buf_fini(struct buf *buf);
void buf_clear(struct buf *buf); /* keeps the memory */
bool buf_reserve(struct buf *buf, size_t extra_bytes);

void buf_put(struct buf *buf, const void *data, size_t bytes);
void buf_put_u8(struct buf *buf, uint8_t value);
void buf_put_u32(struct buf *buf, uint32_t value); /* little-endian */
void buf_put_u64(struct buf *buf, uint64_t value); /* little-endian */
void buf_put_varint(struct buf *buf, uint64_t value);
void buf_put_text(struct buf *buf, const char *text); /* without its NUL */
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The content as a NUL-terminated string; the NUL is not counted in length. "" on failure. */
const char *buf_text(struct buf *buf);

/* A bounds-checked cursor over bytes from outside. A read past the end sets `failed` and yields 0
 * (or NULL), as does every later read. */
struct cursor {
  const uint8_t *at;
  const uint8_t *end;
  bool failed;
};

struct cursor cursor_of(const void *data, size_t bytes);
size_t cursor_left(const struct cursor *cursor);
uint8_t cursor_u8(struct cursor *cursor);
uint32_t cursor_u32(struct cursor *cursor);
uint64_t cursor_u64(struct cursor *cursor);
uint64_t cursor_varint(struct cursor *cursor);
const uint8_t *cursor_bytes(struct cursor *cursor, size_t bytes);

#endif
