/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decodes the entries of an .eh_frame section (LSB core, 10.6.1): CIEs and FDEs. Does not run their
 * programs, and allocates nothing. */
#include "unwind/ehframe_internal.h"

/* Pointer encodings (LSB core, 10.5.1). */
enum {
  PE_ABSPTR = 0x00,
  PE_ULEB128 = 0x01,
  PE_UDATA2 = 0x02,
  PE_UDATA4 = 0x03,
  PE_UDATA8 = 0x04,
  PE_SLEB128 = 0x09,
  PE_SDATA2 = 0x0a,
  PE_SDATA4 = 0x0b,
  PE_SDATA8 = 0x0c,
  PE_FORMAT = 0x0f,
  PE_PCREL = 0x10,
  PE_RELATION = 0x70,
  PE_INDIRECT = 0x80,
  PE_OMIT = 0xff,
};

static uint64_t little_endian(struct cursor *cursor, size_t count) {
  const uint8_t *bytes = cursor_bytes(cursor, count);
  uint64_t value = 0;

  if (bytes)
    memcpy(&value, bytes, count); /* x86-64 images are read on little-endian hosts */
  return value;
}

static uint64_t pointer_value(struct cursor *cursor, uint8_t encoding) {
  switch (encoding & PE_FORMAT) {
  case PE_ABSPTR:
  case PE_UDATA8:
  case PE_SDATA8:
    return little_endian(cursor, 8);
  case PE_UDATA2:
    return little_endian(cursor, 2);
  case PE_UDATA4:
    return little_endian(cursor, 4);
  case PE_SDATA2:
    return (uint64_t)(int16_t)little_endian(cursor, 2);
  case PE_SDATA4:
    return (uint64_t)(int32_t)little_endian(cursor, 4);
  case PE_ULEB128:
    return cfi_uleb(cursor);
  case PE_SLEB128:
    return (uint64_t)cfi_sleb(cursor);
  default:
    cursor->failed = true;
    return 0;
  }
}

bool ehframe_pointer(struct cursor *cursor, uint8_t encoding, uint64_t vaddr, uint64_t *value) {
  if (encoding == PE_OMIT || (encoding & PE_INDIRECT) ||
      ((encoding & PE_RELATION) != 0 && (encoding & PE_RELATION) != PE_PCREL))
    cursor->failed = true;
  *value = cursor->failed ? 0 : pointer_value(cursor, encoding);
  if (*value && (encoding & PE_RELATION) == PE_PCREL)
    *value += vaddr;
  return !cursor->failed;
}

/* ---- entries ---- */

bool ehframe_entry_read(struct cfi_entry *entry, const struct ehframe_section *section,
                        size_t offset) {
  uint64_t length = 0;

  for (; section->bytes - offset >= 4; offset += 4) {
    struct cursor cursor = cursor_of(section->data + offset, section->bytes - offset);
    entry->offset = offset;
    length = cursor_u32(&cursor);
    if (!length && !section->is_open_ended)
      continue;
    if (length == UINT32_MAX) /* the extended form; its id stays 4 bytes wide */
      length = cursor_u64(&cursor);
    if (cursor.failed || length < 4 || length > cursor_left(&cursor))
      return false;
    entry->id_offset = (size_t)(cursor.at - section->data);
    entry->end = entry->id_offset + (size_t)length;
    entry->id = cursor_u32(&cursor);
    return true;
  }
  return false;
}

/* The augmentation data as the letters of the string announce it. An unknown letter ends it: what
 * follows is skipped by its length. */
static void augmentation_read(struct cfi_cie *cie, const char *letters, struct cursor *data) {
  uint64_t ignored;

  for (; *letters && !data->failed; letters++) {
    switch (*letters) {
    case 'R':
      cie->pointer_encoding = cfi_u8(data);
      break;
    case 'P': {
      uint8_t encoding = cfi_u8(data) & ~(PE_INDIRECT | PE_RELATION); /* only its size matters */
      ehframe_pointer(data, encoding, 0, &ignored);
      break;
    }
    case 'L':
      cfi_u8(data);
      break;
    case 'S':
      cie->is_signal_frame = true;
      break;
    case 'B':
      break;
    default:
      return;
    }
  }
}

/* Everything between the augmentation string and the program. */
static void cie_body(struct cfi_cie *cie, struct cursor *cursor, uint8_t version,
                     const char *augmentation) {
  if (!strcmp(augmentation, "eh"))
    cursor_bytes(cursor, 8); /* GCC 2's EH data pointer */
  if (version == 4 && (cfi_u8(cursor) != 8 || cfi_u8(cursor) != 0))
    cursor->failed = true; /* address size and segment selector size */
  cie->code_align = cfi_uleb(cursor);
  cie->data_align = cfi_sleb(cursor);
  uint64_t ra_column = version == 1 ? cfi_u8(cursor) : cfi_uleb(cursor);
  if (ra_column != DWARF_RA)
    cursor->failed = true;
  cie->has_augmentation_data = *augmentation == 'z';
  if (cie->has_augmentation_data) {
    size_t bytes = cfi_uleb(cursor);
    const uint8_t *data = cursor_bytes(cursor, bytes);
    if (!data)
      return; /* the cursor has failed */
    struct cursor inner = cursor_of(data, bytes);
    augmentation_read(cie, augmentation + 1, &inner);
    cursor->failed |= inner.failed;
  } else if (*augmentation && strcmp(augmentation, "eh") != 0) {
    cursor->failed = true;
  }
}

void ehframe_cie_parse(struct cfi_cie *cie, const struct ehframe_section *section, size_t offset) {
  struct cfi_entry entry;

  memset(cie, 0, sizeof(*cie));
  cie->is_broken = true;
  if (offset >= section->bytes || !ehframe_entry_read(&entry, section, offset) ||
      entry.offset != offset || entry.id != 0)
    return;
  struct cursor cursor =
      cursor_of(section->data + entry.id_offset + 4, entry.end - entry.id_offset - 4);
  uint8_t version = cfi_u8(&cursor);
  const char *augmentation = (const char *)cursor.at;
  const uint8_t *nul = memchr(cursor.at, 0, cursor_left(&cursor));
  if ((version != 1 && version != 3 && version != 4) || !nul)
    return;
  cursor.at = nul + 1;
  cie_body(cie, &cursor, version, augmentation);
  cie->program = cursor.at;
  cie->program_end = cursor.end;
  cie->is_broken = cursor.failed;
}

bool ehframe_fde_read(struct cfi_fde *fde, const struct ehframe_section *section,
                      const struct cfi_entry *entry, const struct cfi_cie *cie,
                      uint64_t base_vaddr) {
  const uint8_t *start = section->data + entry->id_offset + 4;
  struct cursor cursor = cursor_of(start, entry->end - entry->id_offset - 4);
  uint64_t vaddr = section->vaddr + entry->id_offset + 4;
  uint64_t begin, bytes;

  if (!ehframe_pointer(&cursor, cie->pointer_encoding, vaddr, &begin) ||
      !ehframe_pointer(&cursor, cie->pointer_encoding & PE_FORMAT, 0, &bytes))
    return false;
  if (cie->has_augmentation_data)
    cursor_bytes(&cursor, cfi_uleb(&cursor));
  if (cursor.failed || !bytes || begin < base_vaddr)
    return false;
  begin -= base_vaddr;
  if (begin > UINT32_MAX - 1 || bytes > UINT32_MAX - begin)
    return false;
  fde->begin = (uint32_t)begin;
  fde->end = (uint32_t)(begin + bytes);
  fde->program_off = (uint32_t)(cursor.at - section->data);
  fde->program_bytes = (uint32_t)cursor_left(&cursor);
  return true;
}
