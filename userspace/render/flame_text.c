/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns how a frame is named in flame graphs, and the cleaning of what the target named. */
#include "render/flame_text.h"

#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* The code point at `at` and its length; -1 and 1 for a byte that is no UTF-8 (RFC 3629: no
 * surrogates, no overlong forms, nothing above U+10FFFF). */
static int32_t decode(const uint8_t *at, size_t *bytes) {
  static const int32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  size_t length = *at < 0x80 ? 1 : *at < 0xc0 ? 0 : *at < 0xe0 ? 2 : *at < 0xf0 ? 3 : 4;
  *bytes = 1;
  if (length == 0 || *at >= 0xf8)
    return -1;
  int32_t code = length == 1 ? *at : *at & (0x7f >> length);
  for (size_t i = 1; i < length; i++) {
    if ((at[i] & 0xc0) != 0x80)
      return -1;
    code = code << 6 | (at[i] & 0x3f);
  }
  if (code < smallest[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
    return -1;
  *bytes = length;
  return code;
}

/* Controls (C0, DEL, C1), line and paragraph separators, marks that reorder text, noncharacters. */
static bool is_harmful(int32_t code) {
  return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x2028 && code <= 0x202e) ||
         (code >= 0x2066 && code <= 0x2069) || code == 0x200e || code == 0x200f ||
         (code & 0xfffe) == 0xfffe;
}

static const char *escape(enum flame_place place, int32_t code) {
  if (place == FLAME_FOLDED)
    return code == ';' ? ":" : NULL;
  if (place != FLAME_XML)
    return NULL;
  switch (code) {
  case '<':
    return "&lt;";
  case '>':
    return "&gt;";
  case '&':
    return "&amp;";
  case '"':
    return "&quot;";
  case '\'':
    return "&#39;";
  default:
    return NULL;
  }
}

void flame_put_text(struct buf *buf, enum flame_place place, const char *text) {
  for (const uint8_t *at = (const uint8_t *)text; *at;) {
    size_t bytes;
    int32_t code = decode(at, &bytes);
    const char *instead = code == '\n' || code == '\t' ? " "
                          : is_harmful(code)           ? REPLACEMENT
                                                       : escape(place, code);
    if (instead)
      buf_put_text(buf, instead);
    else
      buf_put(buf, at, bytes);
    at += bytes;
  }
}

const char *flame_short_path(const char *path) {
  const char *base = strrchr(path, '/');
  if (!base)
    return path;
  if (strncmp(base, "/__", 3))
    return base + 1;
  while (base > path && base[-1] != '/')
    base--;
  return base == path && *base == '/' ? base + 1 : base;
}

void flame_put_label(struct buf *buf, enum flame_place place, const struct profile *profile,
                     const struct calltree_node *node) {
  if (node->is_wait) {
    buf_put_text(buf, "waiting: ");
    flame_put_text(buf, place, wait_reason_name(node->reason));
    return;
  }
  if (node->frame == PROFILE_NONE) {
    buf_put_text(buf, "all");
    return;
  }
  const struct profile_function *function = &profile->functions[node->function];
  flame_put_text(buf, place, function->name);
  if (function->kind != FRAME_PYTHON || !*function->file)
    return;
  buf_put_text(buf, " (");
  flame_put_text(buf, place, flame_short_path(function->file));
  if (function->first_line)
    buf_printf(buf, ":%u", function->first_line);
  buf_put_text(buf, ")");
}

const char *flame_title(const struct profile *profile, const char *title) {
  if (title && *title)
    return title;
  const char *name = profile_fact(profile, "target.name");
  return *name ? name : "ragprof";
}
