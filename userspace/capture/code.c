/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the code objects that BPF shipped. */
#include "capture/code.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "unwind/cpython.h"

#define LINES_BYTES_MAX (1u << 20)

/* Include/cpython/code.h, the same values in 3.8 to 3.13 */
#define CO_GENERATOR 0x20
#define CO_COROUTINE 0x80
#define CO_ASYNC_GENERATOR 0x200

struct code {
  uint32_t version;
  uint32_t name; /* string ids */
  uint32_t file;
  uint32_t first_line;
  uint32_t flags; /* enum frame_flag */
  bool is_shim;   /* no Python code stands behind it */
  uint32_t lines_bytes;
  uint8_t *lines;
};

struct code_store {
  struct trace_writer *writer;
  struct hash by_id; /* code id → index */
  struct code *codes;
  size_t count;
  size_t capacity;
  struct hash frames; /* code id and address → trace frame */
};

int code_store_new(struct code_store **out, struct trace_writer *writer) {
  struct code_store *store = calloc(1, sizeof(*store));
  if (!store)
    return error_set(ENOMEM, "out of memory");
  store->writer = writer;
  *out = store;
  return 0;
}

void code_store_free(struct code_store *store) {
  if (!store)
    return;
  for (size_t i = 0; i < store->count; i++)
    free(store->codes[i].lines);
  free(store->codes);
  hash_fini(&store->by_id);
  hash_fini(&store->frames);
  free(store);
}

/* ---- text ---- */

static uint32_t code_point(const struct code_text *text, size_t at) {
  uint32_t value = 0;
  memcpy(&value, text->data + at * text->kind, text->kind);
  return value;
}

static void put_utf8(struct buf *buf, uint32_t c) {
  if (c < 0x80) {
    buf_put_u8(buf, (uint8_t)c);
  } else if (c < 0x800) {
    buf_put_u8(buf, (uint8_t)(0xc0 | c >> 6));
    buf_put_u8(buf, (uint8_t)(0x80 | (c & 0x3f)));
  } else if (c < 0x10000) {
    buf_put_u8(buf, (uint8_t)(0xe0 | c >> 12));
    buf_put_u8(buf, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
    buf_put_u8(buf, (uint8_t)(0x80 | (c & 0x3f)));
  } else {
    buf_put_u8(buf, (uint8_t)(0xf0 | (c >> 18 & 7)));
    buf_put_u8(buf, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
    buf_put_u8(buf, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
    buf_put_u8(buf, (uint8_t)(0x80 | (c & 0x3f)));
  }
}

/* A str as CPython stores it (PEP 393: Latin-1, UCS-2 or UCS-4) as an interned UTF-8 string;
 * `fallback` when it could not be read. */
static uint32_t put_text(struct code_store *store, const struct code_text *text,
                         const char *fallback) {
  struct buf utf8 = {0};
  bool readable = text->kind == 1 || text->kind == 2 || text->kind == 4;
  size_t room = readable ? CODE_TEXT_MAX / text->kind : 0;
  for (size_t i = 0; i < text->length && i < room; i++)
    if (code_point(text, i))
      put_utf8(&utf8, code_point(text, i));
  if (readable && text->length > room)
    buf_put_text(&utf8, "…");
  if (!utf8.length)
    buf_put_text(&utf8, fallback);
  uint32_t id = trace_put_string(store->writer, (const char *)utf8.data, utf8.length);
  buf_fini(&utf8);
  return id;
}

/* ---- code objects ---- */

/* The line table: what came with the event, or all of it from the process when it was longer. */
static void take_lines(struct code *code, const struct event_code *event, size_t have) {
  size_t want = event->lines_bytes < LINES_BYTES_MAX ? event->lines_bytes : LINES_BYTES_MAX;
  code->lines = want ? malloc(want) : NULL;
  if (!code->lines)
    return;
  size_t got = have < want ? have : want;
  memcpy(code->lines, event->lines, got);
  code->lines_bytes = (uint32_t)got;
  if (got == want)
    return;
  struct iovec local = {code->lines, want}, remote = {(void *)event->lines_address, want};
  if (process_vm_readv((pid_t)event->tgid, &local, 1, &remote, 1, 0) == (ssize_t)want)
    code->lines_bytes = (uint32_t)want;
}

static uint32_t frame_flags(uint32_t co_flags) {
  if (co_flags & CO_COROUTINE)
    return FRAME_COROUTINE;
  return co_flags & (CO_GENERATOR | CO_ASYNC_GENERATOR) ? FRAME_GENERATOR : 0;
}

static struct code *add_slot(struct code_store *store) {
  if (store->count == store->capacity) {
    size_t capacity = store->capacity ? store->capacity * 2 : 256;
    struct code *grown = realloc(store->codes, capacity * sizeof(*grown));
    if (!grown)
      return NULL;
    store->codes = grown;
    store->capacity = capacity;
  }
  return &store->codes[store->count++];
}

void code_store_add(struct code_store *store, const struct event_code *event, size_t bytes) {
  if (bytes < offsetof(struct event_code, lines) || hash_get(&store->by_id, event->id))
    return;
  struct code *code = add_slot(store);
  if (!code)
    return;
  *code = (struct code){
      .version = event->version,
      .name = put_text(store, &event->name, "[unreadable name]"),
      .file = put_text(store, &event->file, "[unreadable file]"),
      .first_line = event->first_line,
      .flags = frame_flags(event->flags),
      .is_shim = event->flags & CPYTHON_CODE_IS_SHIM,
  };
  take_lines(code, event, bytes - offsetof(struct event_code, lines));
  hash_put(&store->by_id, event->id, (uint32_t)store->count - 1);
}

uint32_t code_store_frame(struct code_store *store, uint32_t code_id, int32_t address) {
  static const char lost[] = "[Python function lost]";
  uint64_t key = (uint64_t)code_id << 32 | (uint32_t)address;
  uint32_t *known = hash_get(&store->frames, key);
  if (known)
    return *known;
  struct trace_frame frame = {.kind = FRAME_PYTHON};
  uint32_t *at = hash_get(&store->by_id, code_id);
  if (at) {
    const struct code *code = &store->codes[*at];
    if (code->is_shim)
      return 0;
    frame.flags = code->flags;
    frame.function = code->name;
    frame.file = code->file;
    frame.first_line = code->first_line;
    frame.line =
        cpython_line(code->version, code->lines, code->lines_bytes, code->first_line, address);
  } else {
    frame.function = trace_put_string(store->writer, lost, sizeof(lost) - 1);
  }
  uint32_t id = trace_put_frame(store->writer, &frame);
  hash_put(&store->frames, key, id);
  return id;
}
