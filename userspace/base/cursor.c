/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the bounds-checked cursor. Allocates nothing. */
#include "base/buf.h"

struct cursor cursor_of(const void *data, size_t bytes) {
  return (struct cursor){.at = data, .end = (const uint8_t *)data + bytes};
}

size_t cursor_left(const struct cursor *cursor) {
  return (size_t)(cursor->end - cursor->at);
}

const uint8_t *cursor_bytes(struct cursor *cursor, size_t bytes) {
  if (cursor->failed || bytes > cursor_left(cursor)) {
    cursor->failed = true;
    return NULL;
  }
  const uint8_t *at = cursor->at;
  cursor->at += bytes;
  return at;
}

static uint64_t little_endian(struct cursor *cursor, size_t bytes) {
  const uint8_t *at = cursor_bytes(cursor, bytes);
  uint64_t value = 0;
  for (size_t i = 0; at && i < bytes; i++)
    value |= (uint64_t)at[i] << (8 * i);
  return value;
}

uint8_t cursor_u8(struct cursor *cursor) {
  return (uint8_t)little_endian(cursor, 1);
}

uint32_t cursor_u32(struct cursor *cursor) {
  return (uint32_t)little_endian(cursor, 4);
}

uint64_t cursor_u64(struct cursor *cursor) {
  return little_endian(cursor, 8);
}

uint64_t cursor_varint(struct cursor *cursor) {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    uint8_t byte = cursor_u8(cursor);
    if (cursor->failed)
      return 0;
    value |= (uint64_t)(byte & 0x7f) << shift;
    if (!(byte & 0x80))
      return value;
  }
  cursor->failed = true;
  return 0;
}
