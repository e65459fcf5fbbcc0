/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes the fuzzer's first inputs into a folder: small traces, as they are and with their chunks
 * unpacked, so that a mutation of a byte is one of a record. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <zstd.h>

#include "synthetic_heap.h"
#include "synthetic_operations.h"
#include "trace_bytes.h"
#include "trace_content.h"

#define HEADER_BYTES 16
#define CHUNK_HEADER_BYTES 24

/* Appends a chunk with its payload unpacked. */
static void unpack_chunk(struct buf *file, const uint8_t *header, uint32_t sequence) {
  struct cursor cursor = cursor_of(header + 4, 12);
  uint32_t kind = cursor_u32(&cursor), stored = cursor_u32(&cursor), bytes = cursor_u32(&cursor);
  struct buf raw = {0};
  if (kind == 2) {
    bytes_end(file, sequence);
    return;
  }
  buf_reserve(&raw, bytes + 1);
  raw.length = bytes;
  if (kind == 3)
    memcpy(raw.data, header + CHUNK_HEADER_BYTES, bytes);
  else if (ZSTD_isError(ZSTD_decompress(raw.data, bytes, header + CHUNK_HEADER_BYTES, stored)))
    abort();
  bytes_stored_chunk(file, sequence, &raw);
  buf_fini(&raw);
}

static void unpack(const char *from, const char *to) {
  struct buf packed = read_whole(from);
  struct buf file = {0};
  bytes_header(&file);
  uint32_t sequence = 0;
  for (size_t at = HEADER_BYTES; at < packed.length; sequence++) {
    struct cursor stored = cursor_of(packed.data + at + 8, 4);
    unpack_chunk(&file, packed.data + at, sequence);
    at += CHUNK_HEADER_BYTES + cursor_u32(&stored);
  }
  write_whole(to, file.data, file.length);
  buf_fini(&packed);
  buf_fini(&file);
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: make_trace_seeds FOLDER\n");
    return 2;
  }
  char packed[4096], unpacked[4096];
  for (uint32_t i = 0; i < 5; i++) {
    snprintf(packed, sizeof(packed), "%s/packed-%u", argv[1], i);
    snprintf(unpacked, sizeof(unpacked), "%s/unpacked-%u", argv[1], i);
    unlink(packed);
    if (i == 0) {
      struct buf log = {0};
      uint64_t file_bytes[CONTENT_PARTS + 1];
      size_t log_bytes[CONTENT_PARTS + 1];
      content_write(packed, &log, file_bytes, log_bytes);
      buf_fini(&log);
    } else {
      struct synthetic_options options = {
          .sample_count = i * i * 3, .wait_count = i * 3, .thread_count = i, .seed = i};
      struct trace_writer *writer;
      if (trace_writer_open(&writer, packed, false))
        return 1;
      synthetic_put(writer, &options);
      if (i > 2)
        synthetic_heap_put(writer, i * 5);
      if (i % 2)
        synthetic_operations_put(writer, i, i);
      if (trace_writer_close(writer))
        return 1;
    }
    unpack(packed, unpacked);
  }
  return 0;
}
