/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds where HTTP requests begin in what was read from a connection that was accepted: HTTP/1.x
 * request lines, bodies skipped by their length or chunks, and HTTP/2 request streams. Knows
 * nothing of descriptors or the region, and keeps no byte of what it was shown. */
#ifndef RAGPROF_PRELOAD_ITERATION_HTTP_H
#define RAGPROF_PRELOAD_ITERATION_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The requests that count. */
struct http_wanted {
  const char *path; /* without a query; NULL: all */
  size_t path_bytes;
  bool is_prefix; /* the path may go on */
};

/* The place within a connection's bytes. Zeroed: no connection that is read. */
struct http_reader {
  uint64_t left;       /* bytes of the body, the chunk or the frame to skip */
  uint32_t stream;     /* HTTP/2: of this frame */
  uint32_t stream_max; /* HTTP/2: the highest so far: a stream's second HEADERS are trailers */
  uint16_t at;         /* within a word that is compared */
  uint8_t state;
  uint8_t header;  /* enum http_header of this line; bits of those it may still become */
  uint8_t version; /* major */
  uint8_t frame_type;
  bool differs; /* the path is another */
  bool chunked;
};

void http_reader_begin(struct http_reader *reader);

/* False once there is nothing more to be found. */
static inline bool http_reader_reads(const struct http_reader *reader) {
  return reader->state != 0;
}

/* How many wanted requests begin in `bytes` more of the connection. A request counts once its line
 * is complete. Bytes that are not HTTP end it: the rest of the connection is passed over. */
uint32_t http_reader_feed(struct http_reader *reader, const struct http_wanted *wanted,
                          const void *data, size_t bytes);

#endif
