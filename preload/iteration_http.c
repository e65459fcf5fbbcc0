/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The HTTP reader: one state per connection, one byte at a time, whole bodies at once. It refuses
 * to guess: what does not read as HTTP (RFC 9112, RFC 9113) ends the reading of that connection. */
#include "iteration_http.h"

enum http_state {
  HTTP_NONE = 0,
  HTTP_START, /* before a request line */
  HTTP_METHOD,
  HTTP_TARGET,    /* its first byte */
  HTTP_SCHEME,    /* of the absolute form, up to its "//" */
  HTTP_AUTHORITY, /* up to the path */
  HTTP_PATH,
  HTTP_QUERY,
  HTTP_VERSION,
  HTTP_LINE_START, /* of a header */
  HTTP_NAME,
  HTTP_VALUE,
  HTTP_BODY,
  HTTP_CHUNK_SIZE,
  HTTP_CHUNK_EXTENSION,
  HTTP_CHUNK_DATA,
  HTTP_CHUNK_END,
  HTTP_TRAILER_START,
  HTTP_TRAILER,
  HTTP_PREFACE, /* of HTTP/2, after its first line */
  HTTP_FRAME_HEADER,
  HTTP_FRAME_DATA,
};

#define METHOD_BYTES_MAX 32
#define PREFACE_REST "\r\nSM\r\n\r\n"
#define FRAME_HEADER_BYTES 9
#define FRAME_TYPE_HEADERS 1

/* The headers that say how long a body is. */
enum http_header { HEADER_LENGTH = 1, HEADER_ENCODING = 2 };
static const char *const header_names[] = {
    [HEADER_LENGTH] = "content-length", [HEADER_ENCODING] = "transfer-encoding"};
#define HEADERS_ALL (HEADER_LENGTH | HEADER_ENCODING)

static char lower(char c) {
  return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static void enter(struct http_reader *reader, enum http_state state) {
  reader->state = (uint8_t)state;
  reader->at = 0;
}

void http_reader_begin(struct http_reader *reader) {
  *reader = (struct http_reader){.state = HTTP_START};
}

static void read_start(struct http_reader *reader, char c) {
  if (c == '\r' || c == '\n') /* RFC 9112, 2.2: empty lines before a request */
    return;
  if (c < 'A' || c > 'Z') {
    enter(reader, HTTP_NONE);
    return;
  }
  *reader = (struct http_reader){.state = HTTP_METHOD, .at = 1};
}

static void read_method(struct http_reader *reader, char c) {
  if (c == ' ')
    enter(reader, HTTP_TARGET);
  else if (((c < 'A' || c > 'Z') && c != '-' && c != '_') || ++reader->at > METHOD_BYTES_MAX)
    enter(reader, HTTP_NONE);
}

static void read_path(struct http_reader *reader, const struct http_wanted *wanted, char c) {
  if (reader->at < wanted->path_bytes)
    reader->differs |= wanted->path[reader->at++] != c;
  else
    reader->differs |= wanted->path && !wanted->is_prefix;
}

/* The path ended: all of the wanted one must have been there. */
static void end_path(struct http_reader *reader, const struct http_wanted *wanted,
                     enum http_state next) {
  reader->differs |= reader->at < wanted->path_bytes;
  enter(reader, next);
}

/* origin-form "/path?query", absolute-form "http://host/path", "host:port" and "*". */
static void read_target(struct http_reader *reader, const struct http_wanted *wanted, char c) {
  bool is_path = reader->state == HTTP_PATH;
  if ((unsigned char)c < ' ' || c == 0x7f) {
    enter(reader, HTTP_NONE);
  } else if (c == ' ') {
    if (reader->state == HTTP_QUERY)
      enter(reader, HTTP_VERSION);
    else
      end_path(reader, wanted, HTTP_VERSION);
  } else if (is_path && (c == '?' || c == '#')) {
    end_path(reader, wanted, HTTP_QUERY);
  } else if (is_path) {
    read_path(reader, wanted, c);
  } else if (reader->state == HTTP_SCHEME) {
    reader->at = c == '/' ? reader->at + 1 : 0;
    if (reader->at == 2)
      enter(reader, HTTP_AUTHORITY);
  } else if (reader->state != HTTP_QUERY && c == '/') { /* where the path begins */
    enter(reader, HTTP_PATH);
    read_path(reader, wanted, c);
  } else if (reader->state == HTTP_TARGET) {
    enter(reader, HTTP_SCHEME);
  }
}

/* "HTTP/1.1": whether that ends a wanted request line. */
static bool read_version(struct http_reader *reader, char c) {
  static const char pattern[] = "HTTP/#.#"; /* # a digit */
  if (reader->at < sizeof(pattern) - 1) {
    char expected = pattern[reader->at++];
    bool is_digit = c >= '0' && c <= '9';
    if (expected == '#' ? !is_digit : c != expected)
      enter(reader, HTTP_NONE);
    else if (expected == '#' && !reader->version)
      reader->version = (uint8_t)(c - '0');
    return false;
  }
  if (c == '\r')
    return false;
  if (c != '\n' || reader->version < 1 || reader->version > 2) {
    enter(reader, HTTP_NONE);
    return false;
  }
  enter(reader, reader->version == 1 ? HTTP_LINE_START : HTTP_PREFACE);
  return reader->version == 1 && !reader->differs;
}

static void end_headers(struct http_reader *reader) {
  if (reader->chunked) {
    reader->left = 0;
    enter(reader, HTTP_CHUNK_SIZE);
  } else {
    enter(reader, reader->left ? HTTP_BODY : HTTP_START);
  }
}

static void read_name(struct http_reader *reader, char c) {
  if (c == ':') {
    for (unsigned i = HEADER_LENGTH; i <= HEADER_ENCODING; i++)
      if ((reader->header & i) && header_names[i][reader->at])
        reader->header &= ~i; /* only the beginning of it */
    enter(reader, HTTP_VALUE);
    if (reader->header == HEADER_LENGTH)
      reader->left = 0;
    return;
  }
  if (c == '\n') {
    enter(reader, HTTP_NONE);
    return;
  }
  for (unsigned i = HEADER_LENGTH; i <= HEADER_ENCODING; i++)
    if ((reader->header & i) && header_names[i][reader->at] != lower(c))
      reader->header &= ~i;
  if (reader->header)
    reader->at++;
}

static void read_line_start(struct http_reader *reader, char c) {
  if (c == '\r')
    return;
  if (c == '\n') {
    end_headers(reader);
    return;
  }
  if (c == ' ' || c == '\t') { /* the line before goes on */
    reader->header = 0;
    enter(reader, HTTP_VALUE);
    return;
  }
  reader->header = HEADERS_ALL;
  enter(reader, HTTP_NAME);
  read_name(reader, c);
}

static void read_value(struct http_reader *reader, char c) {
  static const char chunked[] = "chunked";
  if (c == '\n') {
    enter(reader, HTTP_LINE_START);
  } else if (reader->header == HEADER_LENGTH && c >= '0' && c <= '9') {
    if (reader->left > UINT64_MAX / 10 - 1)
      enter(reader, HTTP_NONE);
    else
      reader->left = reader->left * 10 + (uint64_t)(c - '0');
  } else if (reader->header == HEADER_ENCODING) {
    reader->at = lower(c) == chunked[reader->at] ? reader->at + 1 : lower(c) == 'c';
    if (!chunked[reader->at]) {
      reader->chunked = true;
      reader->header = 0;
    }
  }
}

static int hex(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  c = lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void read_chunk_size(struct http_reader *reader, char c) {
  int digit = reader->state == HTTP_CHUNK_SIZE ? hex(c) : -1;
  if (digit >= 0 && reader->at++ < 15)
    reader->left = reader->left << 4 | (uint64_t)digit;
  else if (digit >= 0)
    enter(reader, HTTP_NONE);
  else if (c == '\n')
    enter(reader, reader->left ? HTTP_CHUNK_DATA : HTTP_TRAILER_START);
  else if (c != '\r')
    reader->state = HTTP_CHUNK_EXTENSION;
}

/* Of a line whose text does not matter: where it ends. */
static void read_line_end(struct http_reader *reader, char c, enum http_state next) {
  if (c == '\n')
    enter(reader, next);
}

static void read_trailer_start(struct http_reader *reader, char c) {
  if (c != '\r')
    enter(reader, c == '\n' ? HTTP_START : HTTP_TRAILER);
}

static void read_preface(struct http_reader *reader, char c) {
  if (c != PREFACE_REST[reader->at])
    enter(reader, HTTP_NONE);
  else if (!PREFACE_REST[++reader->at])
    enter(reader, HTTP_FRAME_HEADER);
}

/* Whether a stream of the client's begins here: length (24 bits), type, flags, stream (31 bits).
 * Paths are packed (RFC 7541) and are not read: a wanted one never matches. */
static bool read_frame_header(struct http_reader *reader, const struct http_wanted *wanted,
                              char c) {
  uint8_t byte = (uint8_t)c;
  if (reader->at == 0)
    reader->left = reader->stream = 0;
  if (reader->at < 3)
    reader->left = reader->left << 8 | byte;
  else if (reader->at == 3)
    reader->frame_type = byte;
  else if (reader->at > 4)
    reader->stream = reader->stream << 8 | byte;
  if (++reader->at < FRAME_HEADER_BYTES)
    return false;
  enter(reader, reader->left ? HTTP_FRAME_DATA : HTTP_FRAME_HEADER);
  if (reader->frame_type != FRAME_TYPE_HEADERS || !(reader->stream & 1) ||
      reader->stream <= reader->stream_max)
    return false;
  reader->stream_max = reader->stream;
  return !wanted->path;
}

/* One byte; whether a wanted request begins with it. */
static bool read_byte(struct http_reader *reader, const struct http_wanted *wanted, char c) {
  switch ((enum http_state)reader->state) {
  case HTTP_START:
    read_start(reader, c);
    break;
  case HTTP_METHOD:
    read_method(reader, c);
    break;
  case HTTP_TARGET:
  case HTTP_SCHEME:
  case HTTP_AUTHORITY:
  case HTTP_PATH:
  case HTTP_QUERY:
    read_target(reader, wanted, c);
    break;
  case HTTP_VERSION:
    return read_version(reader, c);
  case HTTP_LINE_START:
    read_line_start(reader, c);
    break;
  case HTTP_NAME:
    read_name(reader, c);
    break;
  case HTTP_VALUE:
    read_value(reader, c);
    break;
  case HTTP_CHUNK_SIZE:
  case HTTP_CHUNK_EXTENSION:
    read_chunk_size(reader, c);
    break;
  case HTTP_CHUNK_END:
    reader->left = 0;
    read_line_end(reader, c, HTTP_CHUNK_SIZE);
    break;
  case HTTP_TRAILER_START:
    read_trailer_start(reader, c);
    break;
  case HTTP_TRAILER:
    read_line_end(reader, c, HTTP_TRAILER_START);
    break;
  case HTTP_PREFACE:
    read_preface(reader, c);
    break;
  case HTTP_FRAME_HEADER:
    return read_frame_header(reader, wanted, c);
  case HTTP_NONE:
  case HTTP_BODY:
  case HTTP_CHUNK_DATA:
  case HTTP_FRAME_DATA:
    break;
  }
  return false;
}

/* What follows the bytes that are skipped as a whole; HTTP_NONE: this state does not skip. */
static enum http_state after_skipped(const struct http_reader *reader) {
  switch (reader->state) {
  case HTTP_BODY:
    return HTTP_START;
  case HTTP_CHUNK_DATA:
    return HTTP_CHUNK_END;
  case HTTP_FRAME_DATA:
    return HTTP_FRAME_HEADER;
  default:
    return HTTP_NONE;
  }
}

uint32_t http_reader_feed(struct http_reader *reader, const struct http_wanted *wanted,
                          const void *data, size_t bytes) {
  const char *at = data;
  const char *end = at + bytes;
  uint32_t begun = 0;
  while (at < end && reader->state != HTTP_NONE) {
    enum http_state next = after_skipped(reader);
    if (next == HTTP_NONE) {
      begun += read_byte(reader, wanted, *at++);
      continue;
    }
    size_t skipped = (size_t)(end - at);
    if (skipped >= reader->left) {
      skipped = (size_t)reader->left;
      enter(reader, next);
    }
    reader->left -= skipped;
    at += skipped;
  }
  return begun;
}
