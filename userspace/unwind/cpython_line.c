/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the three formats in which CPython code objects map instructions to lines. The bytes come
 * from another process's memory and may be anything: every read is bounded, and a line is computed
 * in 64 bits. */
#include "unwind/cpython.h"

/* A table's position and the address and line that it has reached. 64 bits cannot overflow: a step
 * adds less than 2^33 to either, and a table of 2^31 such steps is refused. */
struct line_walk {
  const uint8_t *at;
  const uint8_t *end;
  int64_t address;
  int64_t line;
};

#define TABLE_BYTES_MAX (1u << 30)

static uint32_t as_line(int64_t line) {
  return line > 0 && line <= UINT32_MAX ? (uint32_t)line : 0;
}

/* co_lnotab of 3.8 and 3.9 (Objects/lnotab_notes.txt): pairs of (address increment, u8; line
 * increment, s8). A line holds from its address up to the next pair's. */
static uint32_t lnotab_line(struct line_walk *walk, int64_t address) {
  for (; walk->end - walk->at >= 2; walk->at += 2) {
    walk->address += walk->at[0];
    if (walk->address > address)
      break;
    walk->line += (int8_t)walk->at[1];
  }
  return as_line(walk->line);
}

/* co_linetable of 3.10 (PEP 626, Objects/lnotab_notes.txt): pairs of (bytes covered, u8; line
 * increment, s8). -128 says that the covered instructions have no line. */
static uint32_t pep626_line(struct line_walk *walk, int64_t address) {
  for (; walk->end - walk->at >= 2; walk->at += 2) {
    int8_t line_delta = (int8_t)walk->at[1];
    bool has_line = line_delta != INT8_MIN;
    if (has_line)
      walk->line += line_delta;
    walk->address += walk->at[0];
    if (walk->address > address)
      return has_line ? as_line(walk->line) : 0;
  }
  return 0;
}

/* Six bits a byte, lowest first, bit 6 set where more follow; an entry's first byte has bit 7. */
static uint32_t location_varint(struct line_walk *walk) {
  uint32_t value = 0;
  for (uint32_t shift = 0; walk->at < walk->end && !(*walk->at & 0x80); shift += 6) {
    uint8_t byte = *walk->at++;
    if (shift < 32)
      value |= (uint32_t)(byte & 0x3f) << shift;
    if (!(byte & 0x40))
      break;
  }
  return value;
}

/* Zigzag in its sign-last form: bit 0 is the sign. */
static int64_t location_signed_varint(struct line_walk *walk) {
  uint32_t value = location_varint(walk);
  int64_t magnitude = value >> 1;
  return value & 1 ? -magnitude : magnitude;
}

/* co_linetable of 3.11-3.13 (PEP 657, Objects/locations.md): entries of a first byte
 * 1cccclll (kind c, l + 1 code units of 2 bytes) and bytes below 0x80 that the kind defines. */
enum location_kind {
  LOCATION_ONE_LINE0 = 10, /* 10, 11, 12: the line moves on by 0, 1, 2 */
  LOCATION_ONE_LINE2 = 12,
  LOCATION_NO_COLUMNS = 13,
  LOCATION_LONG = 14,
  LOCATION_NONE = 15,
};

static uint32_t pep657_line(struct line_walk *walk, int64_t address) {
  while (walk->at < walk->end) {
    uint8_t first = *walk->at++;
    if (!(first & 0x80))
      continue;
    uint32_t kind = (first >> 3) & 15;
    if (kind >= LOCATION_ONE_LINE0 && kind <= LOCATION_ONE_LINE2)
      walk->line += kind - LOCATION_ONE_LINE0;
    else if (kind == LOCATION_NO_COLUMNS || kind == LOCATION_LONG)
      walk->line += location_signed_varint(walk);
    walk->address += ((first & 7) + 1) * 2;
    if (walk->address > address)
      return kind == LOCATION_NONE ? 0 : as_line(walk->line);
  }
  return 0;
}

uint32_t cpython_line(uint32_t version, const uint8_t *table, size_t bytes, uint32_t first_line,
                      int64_t address) {
  if (address < 0)
    return first_line;
  if (!table || bytes > TABLE_BYTES_MAX)
    return 0;
  struct line_walk walk = {.at = table, .end = table + bytes, .line = first_line};
  if (version <= 0x0309)
    return lnotab_line(&walk, address);
  if (version == 0x030a)
    return pep626_line(&walk, address);
  return pep657_line(&walk, address);
}
