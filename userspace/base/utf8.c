/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the decoding of UTF-8 (RFC 3629) and the widths of characters. */
#include "base/utf8.h"

struct range {
  uint32_t first;
  uint32_t last;
};

static bool contains(const struct range *ranges, size_t count, uint32_t code) {
  for (size_t i = 0; i < count; i++)
    if (code >= ranges[i].first && code <= ranges[i].last)
      return true;
  return false;
}

#define CONTAINS(ranges, code) contains(ranges, sizeof(ranges) / sizeof((ranges)[0]), code)

/* The sequences of RFC 3629, section 4: the range of the second byte keeps out overlong forms,
 * surrogates and what lies beyond U+10FFFF. */
static size_t sequence_bytes(uint8_t lead, uint8_t *second_min, uint8_t *second_max) {
  *second_min = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  *second_max = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  if (lead >= 0xc2 && lead <= 0xdf)
    return 2;
  if (lead >= 0xe0 && lead <= 0xef)
    return 3;
  if (lead >= 0xf0 && lead <= 0xf4)
    return 4;
  return 0;
}

size_t utf8_decode(const char *text, uint32_t *code) {
  const uint8_t *bytes = (const uint8_t *)text;
  uint8_t min, max;
  *code = bytes[0];
  if (bytes[0] < 0x80)
    return bytes[0] != 0;
  size_t count = sequence_bytes(bytes[0], &min, &max);
  uint32_t value = bytes[0] & (0x7fu >> count);
  for (size_t i = 1; i < count; i++) {
    if (bytes[i] < min || bytes[i] > max) {
      *code = UTF8_REPLACEMENT;
      return i;
    }
    value = value << 6 | (bytes[i] & 0x3fu);
    min = 0x80;
    max = 0xbf;
  }
  *code = count ? value : UTF8_REPLACEMENT;
  return count ? count : 1;
}

bool utf8_is_control(uint32_t code) {
  static const struct range controls[] = {
      {0x00, 0x1f},     {0x7f, 0x9f},     {0x061c, 0x061c}, {0x200e, 0x200f},
      {0x2028, 0x202e}, {0x2066, 0x2069}, {0xfeff, 0xfeff},
  };
  return code >= 0x7f ? CONTAINS(controls, code) : code < 0x20;
}

int utf8_columns(uint32_t code) {
  static const struct range zero[] = {
      {0x0300, 0x036f}, {0x0483, 0x0489}, {0x0591, 0x05bd}, {0x064b, 0x065f},
      {0x200b, 0x200d}, {0x20d0, 0x20f0}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f},
  };
  static const struct range wide[] = {
      {0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},   {0xa960, 0xa97c},
      {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},
      {0xffe0, 0xffe6},   {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1faff},
      {0x20000, 0x3fffd},
  };
  if (code < 0x0300)
    return 1;
  if (CONTAINS(zero, code))
    return 0;
  return CONTAINS(wide, code) ? 2 : 1;
}

size_t utf8_text_columns(const char *text) {
  size_t columns = 0;
  uint32_t code;
  for (size_t bytes; (bytes = utf8_decode(text, &code)) > 0; text += bytes)
    columns += (size_t)utf8_columns(code);
  return columns;
}
