/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns making raw names readable: C++ (Itanium ABI) and Rust (legacy and v0) by libiberty, with a
 * bound on what a name may grow to. */
#include <libiberty/demangle.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "symbol/symbol.h"

/* Longest name shown. Longer ones end in "...". */
#define NAME_MAX_BYTES 1024

struct sink {
  char text[NAME_MAX_BYTES + 1];
  size_t length;
  jmp_buf full;
};

/* Back references make the output exponential in the input, and libiberty bounds the depth of its
 * recursion only. Leaving by longjmp is the one way to stop it. It holds no memory then, but for
 * the few bytes of a punycode identifier of Rust. */
static void collect(const char *text, size_t bytes, void *context) {
  struct sink *sink = context;
  size_t room = NAME_MAX_BYTES - sink->length;
  memcpy(sink->text + sink->length, text, bytes < room ? bytes : room);
  sink->length += bytes < room ? bytes : room;
  if (bytes > room)
    longjmp(sink->full, 1);
}

/* Cuts at a character's first byte and marks the cut. */
static void shorten(char *text) {
  size_t length = NAME_MAX_BYTES - 3;
  while (length && ((unsigned char)text[length] & 0xc0) == 0x80)
    length--;
  memcpy(text + length, "...", 4);
}

/* Whether the sink holds the readable name. */
static bool demangle(struct sink *sink, const char *raw) {
  const int options = DMGL_PARAMS | DMGL_ANSI;
  if (setjmp(sink->full)) {
    shorten(sink->text);
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
  if (raw[0] == '_' && demangle(&sink, raw))
    return strdup(sink.text);
  if (strlen(raw) <= NAME_MAX_BYTES)
    return strdup(raw);
  memcpy(sink.text, raw, NAME_MAX_BYTES);
  shorten(sink.text);
  return strdup(sink.text);
}
