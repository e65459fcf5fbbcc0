/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the growable byte buffer. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_fini(struct buf *buf) {
  free(buf->data);
  *buf = (struct buf){0};
}

void buf_clear(struct buf *buf) {
  buf->length = 0;
  buf->failed = false;
}

bool buf_reserve(struct buf *buf, size_t extra_bytes) {
  if (buf->failed)
    return false;
  if (extra_bytes <= buf->capacity - buf->length)
    return true;
  size_t need;
  size_t capacity = buf->capacity ? buf->capacity : 64;
  if (__builtin_add_overflow(buf->length, extra_bytes, &need) || need > SIZE_MAX / 2) {
    buf->failed = true;
    return false;
  }
  while (capacity < need)
    capacity *= 2;
  uint8_t *grown = realloc(buf->data, capacity);
  if (!grown) {
    buf->failed = true;
    return false;
  }
  buf->data = grown;
  buf->capacity = capacity;
  return true;
}

void buf_put(struct buf *buf, const void *data, size_t bytes) {
  if (bytes == 0 || !buf_reserve(buf, bytes))
    return;
  memcpy(buf->data + buf->length, data, bytes);
  buf->length += bytes;
}

void buf_put_u8(struct buf *buf, uint8_t value) {
  buf_put(buf, &value, 1);
}

void buf_put_u32(struct buf *buf, uint32_t value) {
  uint8_t bytes[4];
  for (int i = 0; i < 4; i++)
    bytes[i] = (uint8_t)(value >> (8 * i));
  buf_put(buf, bytes, sizeof(bytes));
}

void buf_put_u64(struct buf *buf, uint64_t value) {
  uint8_t bytes[8];
  for (int i = 0; i < 8; i++)
    bytes[i] = (uint8_t)(value >> (8 * i));
  buf_put(buf, bytes, sizeof(bytes));
}

void buf_put_varint(struct buf *buf, uint64_t value) {
  uint8_t bytes[10];
  size_t count = 0;
  do {
    uint8_t low = value & 0x7f;
    value >>= 7;
    bytes[count++] = (uint8_t)(low | (value ? 0x80 : 0));
  } while (value);
  buf_put(buf, bytes, count);
}

void buf_put_text(struct buf *buf, const char *text) {
  buf_put(buf, text, strlen(text));
}

void buf_printf(struct buf *buf, const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  int length = vsnprintf(NULL, 0, format, args);
  va_end(args);
  if (length >= 0 && buf_reserve(buf, (size_t)length + 1)) {
    vsnprintf((char *)buf->data + buf->length, (size_t)length + 1, format, again);
    buf->length += (size_t)length;
  }
  va_end(again);
}

const char *buf_text(struct buf *buf) {
  if (!buf_reserve(buf, 1))
    return "";
  buf->data[buf->length] = '\0';
  return (const char *)buf->data;
}
