/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns making raw names readable: C++ (Itanium ABI) and Rust (legacy and v0) by libiberty, with a
 * bound on what a name may grow to. */
#include <libiberty/demangle.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "symbol/internal.h"

struct sink {
  char text[SYMBOL_NAME_MAX_BYTES + 2]; /* one byte too long shows that it was cut */
  size_t length;
  jmp_buf full;
};

/* Back references make the output exponential in the input, and libiberty bounds the depth of its
 * recursion only. Leaving by longjmp is the one way to stop it. It holds no memory then, but for
 * the few bytes of a punycode identifier of Rust. */
static void collect(const char *text, size_t bytes, void *context) {
  struct sink *sink = context;
  size_t room = SYMBOL_NAME_MAX_BYTES + 1 - sink->length;
  if (bytes) /* else `text` may be NULL */
    memcpy(sink->text + sink->length, text, bytes < room ? bytes : room);
  sink->length += bytes < room ? bytes : room;
  if (bytes > room)
    longjmp(sink->full, 1);
}

/* Whether the sink holds the readable name. */
static bool demangle(struct sink *sink, const char *raw) {
  const int options = DMGL_PARAMS | DMGL_ANSI;
  if (setjmp(sink->full)) {
    sink->text[sink->length] = '\0';
    return true;
  }
  bool done = rust_demangle_callback(raw, options, collect, sink);
  if (!done) {
    sink->length = 0;
    done = cplus_demangle_v3_callback(raw, options, collect, sink);
  }
  sink->text[sink->length] = '\0';
  return done && sink->length;
}

char *symbol_demangle(const char *raw) {
  struct sink sink = {.length = 0};
  if (raw[0] != '_' || !demangle(&sink, raw)) {
    size_t length = strnlen(raw, SYMBOL_NAME_MAX_BYTES + 1);
    memcpy(sink.text, raw, length);
    sink.text[length] = '\0';
  }
  symbol_shorten(sink.text);
  return strdup(sink.text);
}
