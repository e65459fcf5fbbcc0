/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds the part of a function that GCC moved away from it (-freorder-blocks-and-partition) in a
 * file that has no symbol for it.
 *
 * The moved part has an FDE of its own. It is entered by jumps from the middle of the function, so
 * its CFI begins with a frame already set up, where a function begins at CFA = rsp + 8. Of the FDEs
 * that begin so, it is the one that the function's direct jumps lead to and that jumps back. The
 * code is not disassembled: every byte that could begin a jump counts, and a wrong one would have
 * to hit the same small range by chance, twice and in both directions. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "unwind/cpython_elf.h"

/* DWARF 5, 7.24, and the LSB's "DWARF Extensions" for .eh_frame_hdr. */
enum {
  ENCODING_PCREL_SDATA4 = 0x1b,
  ENCODING_DATAREL_SDATA4 = 0x3b,
  ENCODING_UDATA4 = 0x03,
  CFA_NOP = 0x00,
  CFA_DEF_CFA = 0x0c,
  CFA_DEF_CFA_OFFSET = 0x0e,
  CFA_OFFSET = 0x80, /* high two bits */
};

#define REGISTER_RSP 7

struct range {
  uint64_t vaddr;
  uint64_t bytes;
};

/* A row of .eh_frame_hdr: both values relative to the header's address. */
struct header_row {
  int32_t pc;
  int32_t fde;
};

struct search {
  const struct cpython_elf *elf;
  struct range function;
  struct header_row *rows;
  uint32_t *jump_counts; /* from the function to each row's FDE */
  uint32_t row_count;
};

static bool contains(const struct range *range, uint64_t vaddr) {
  return vaddr >= range->vaddr && vaddr - range->vaddr < range->bytes;
}

static bool read_at(const struct cpython_elf *elf, uint64_t vaddr, void *data, size_t bytes) {
  uint64_t offset = cpython_elf_offset(elf, vaddr);
  return offset && cpython_elf_read(elf, offset, data, bytes);
}

#define ROWS_MAX (4u << 20)

static bool read_rows(struct search *search) {
  const struct cpython_elf *elf = search->elf;
  struct {
    uint8_t version, frame_encoding, count_encoding, table_encoding;
    int32_t frame;
    uint32_t count;
  } header;
  if (elf->eh_frame_hdr_bytes < sizeof(header) ||
      !read_at(elf, elf->eh_frame_hdr_vaddr, &header, sizeof(header)) || header.version != 1 ||
      header.frame_encoding != ENCODING_PCREL_SDATA4 || header.count_encoding != ENCODING_UDATA4 ||
      header.table_encoding != ENCODING_DATAREL_SDATA4)
    return false;
  uint64_t room = (elf->eh_frame_hdr_bytes - sizeof(header)) / sizeof(struct header_row);
  if (!header.count || header.count > ROWS_MAX || header.count > room)
    return false;
  search->rows = malloc(header.count * sizeof(search->rows[0]));
  search->jump_counts = calloc(header.count, sizeof(search->jump_counts[0]));
  search->row_count = header.count;
  return search->rows && search->jump_counts &&
         read_at(elf, elf->eh_frame_hdr_vaddr + sizeof(header), search->rows,
                 header.count * sizeof(search->rows[0]));
}

/* The last row at or before an address; -1 when there is none. */
static int64_t find_row(const struct search *search, uint64_t vaddr) {
  int64_t pc = (int64_t)(vaddr - search->elf->eh_frame_hdr_vaddr);
  uint32_t low = 0, high = search->row_count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (search->rows[middle].pc <= pc)
      low = middle + 1;
    else
      high = middle;
  }
  return (int64_t)low - 1;
}

/* Whether a CIE is one that GCC writes for x86-64: augmentation "z…R…" with 4-byte relative
 * addresses. Handlers ("P", "L") belong to C++ and are not looked for. */
static bool cie_is_usual(const struct cpython_elf *elf, uint64_t vaddr) {
  uint8_t bytes[24];
  if (!read_at(elf, vaddr, bytes, sizeof(bytes)))
    return false;
  struct cursor cursor = cursor_of(bytes, sizeof(bytes));
  cursor_u32(&cursor); /* length */
  bool is_cie = cursor_u32(&cursor) == 0 && cursor_u8(&cursor) == 1;
  const uint8_t *augmentation = cursor_bytes(&cursor, 3);
  if (!is_cie || !augmentation || memcmp(augmentation, "zR", 3) != 0)
    return false;
  cursor_varint(&cursor); /* code alignment */
  cursor_varint(&cursor); /* data alignment */
  cursor_varint(&cursor); /* return address register */
  cursor_varint(&cursor); /* bytes of augmentation data */
  return cursor_u8(&cursor) == ENCODING_PCREL_SDATA4 && !cursor.failed;
}

/* Whether CFI sets up a frame before its first advance. */
static bool begins_inside_a_frame(struct cursor cursor) {
  while (cursor_left(&cursor)) {
    uint8_t opcode = cursor_u8(&cursor);
    if (opcode == CFA_DEF_CFA_OFFSET)
      return cursor_varint(&cursor) > 8 && !cursor.failed;
    if (opcode == CFA_DEF_CFA)
      return (cursor_varint(&cursor) != REGISTER_RSP || cursor_varint(&cursor) > 8) &&
             !cursor.failed;
    if ((opcode & 0xc0) == CFA_OFFSET)
      cursor_varint(&cursor);
    else if (opcode != CFA_NOP)
      return false;
  }
  return false;
}

/* Takes the range of a row's FDE. Whether it may be a moved part. */
static bool read_moved_fde(const struct search *search, uint32_t row, struct range *range) {
  uint8_t bytes[64];
  uint64_t fde = search->elf->eh_frame_hdr_vaddr + (uint64_t)(int64_t)search->rows[row].fde;
  uint64_t pc = search->elf->eh_frame_hdr_vaddr + (uint64_t)(int64_t)search->rows[row].pc;
  if (!read_at(search->elf, fde, bytes, sizeof(bytes)))
    return false;
  struct cursor cursor = cursor_of(bytes, sizeof(bytes));
  uint32_t length = cursor_u32(&cursor);
  uint32_t cie = cursor_u32(&cursor);
  if (length < 13 || !cie || !cie_is_usual(search->elf, fde + 4 - cie))
    return false;
  range->vaddr = fde + 8 + (uint64_t)(int64_t)(int32_t)cursor_u32(&cursor);
  range->bytes = cursor_u32(&cursor);
  uint64_t skip = cursor_varint(&cursor);
  if (range->vaddr != pc || !range->bytes || skip > cursor_left(&cursor))
    return false;
  cursor_bytes(&cursor, skip);
  if (length + 4 < sizeof(bytes))
    cursor.end = bytes + length + 4;
  return cursor.at < cursor.end && begins_inside_a_frame(cursor);
}

/* The target of the direct jump (jmp rel32, jcc rel32) that the bytes may be; 0 when they are none.
 */
static uint64_t jump_target(const uint8_t *at, size_t left, uint64_t vaddr) {
  size_t opcode_bytes = left && at[0] == 0xe9                                 ? 1
                        : left > 1 && at[0] == 0x0f && (at[1] & 0xf0) == 0x80 ? 2
                                                                              : 0;
  int32_t distance = 0;
  if (!opcode_bytes || left < opcode_bytes + sizeof(distance))
    return 0;
  memcpy(&distance, at + opcode_bytes, sizeof(distance));
  return vaddr + opcode_bytes + sizeof(distance) + (uint64_t)(int64_t)distance;
}

#define CODE_BYTES_MAX (1u << 20) /* of either part; the eval loop has 48-62 KB */

static uint8_t *read_code(const struct cpython_elf *elf, const struct range *range) {
  uint8_t *code = range->bytes && range->bytes <= CODE_BYTES_MAX ? malloc(range->bytes) : NULL;
  if (code && !read_at(elf, range->vaddr, code, range->bytes)) {
    free(code);
    return NULL;
  }
  return code;
}

static void count_jumps_out(struct search *search, const uint8_t *code) {
  for (uint64_t i = 0; i < search->function.bytes; i++) {
    uint64_t target = jump_target(code + i, search->function.bytes - i, search->function.vaddr + i);
    if (!target || contains(&search->function, target))
      continue;
    int64_t row = find_row(search, target);
    if (row >= 0)
      search->jump_counts[row]++;
  }
}

static bool jumps_into(const struct cpython_elf *elf, const struct range *from,
                       const struct range *to) {
  uint8_t *code = read_code(elf, from);
  bool found = false;
  for (uint64_t i = 0; code && i < from->bytes && !found; i++)
    found = contains(to, jump_target(code + i, from->bytes - i, from->vaddr + i));
  free(code);
  return found;
}

#define JUMPS_MIN 2
#define CANDIDATES_MAX 256 /* real files have a handful; a hostile one must not cost seconds */

static bool pick_moved_part(const struct search *search, struct range *out) {
  uint32_t most = JUMPS_MIN - 1, candidates = 0;
  for (uint32_t row = 0; row < search->row_count && candidates < CANDIDATES_MAX; row++) {
    struct range range;
    if (search->jump_counts[row] <= most)
      continue;
    candidates++;
    if (!read_moved_fde(search, row, &range) || contains(&search->function, range.vaddr) ||
        !jumps_into(search->elf, &range, &search->function))
      continue;
    most = search->jump_counts[row];
    *out = range;
  }
  return most >= JUMPS_MIN;
}

bool cpython_cold_find(const struct cpython_elf *elf, uint64_t vaddr, uint64_t bytes,
                       uint64_t *cold_vaddr, uint64_t *cold_bytes) {
  struct search search = {.elf = elf, .function = {.vaddr = vaddr, .bytes = bytes}};
  struct range cold = {0};
  uint8_t *code = read_code(elf, &search.function);
  bool found = false;
  if (code && read_rows(&search)) {
    count_jumps_out(&search, code);
    found = pick_moved_part(&search, &cold);
  }
  free(code);
  free(search.rows);
  free(search.jump_counts);
  *cold_vaddr = cold.vaddr;
  *cold_bytes = cold.bytes;
  return found;
}
