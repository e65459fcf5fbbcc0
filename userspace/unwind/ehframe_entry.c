/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decodes the entries of an .eh_frame section (LSB core, 10.6.1): CIEs, parsed once each, and FDEs.
 * Does not run their programs. */
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/hash.h"
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

struct entry {
  size_t offset;    /* of its length field */
  size_t id_offset; /* of its CIE id field */
  size_t end;
  uint32_t id; /* 0: a CIE; else the distance from id_offset back to the CIE */
};

/* The entry at `offset`. False at the end: no room, the terminator (which an open-ended section
 * stops at; elsewhere linkers leave it between input files), or a length that makes no sense. */
static bool entry_read(struct entry *entry, const struct ehframe_section *section, size_t offset) {
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
  struct entry entry;

  memset(cie, 0, sizeof(*cie));
  cie->is_broken = true;
  if (offset >= section->bytes || !entry_read(&entry, section, offset) || entry.offset != offset ||
      entry.id != 0)
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

/* ---- the index ---- */

struct index_builder {
  struct cfi_index *index;
  const struct ehframe_section *section;
  const struct unwind_table *table;
  struct hash by_offset; /* a CIE's offset → its number */
  size_t last_offset;    /* most FDEs share the CIE of the one before */
  uint32_t last_number;
};

/* Room for one more element. */
static int grow(void **array, size_t *capacity, size_t count, size_t element_bytes) {
  if (count < *capacity)
    return 0;
  size_t wanted = *capacity ? *capacity * 2 : 256;
  void *bigger = reallocarray(*array, wanted, element_bytes);
  if (!bigger)
    return error_set(ENOMEM, "out of memory for unwind entries");
  *array = bigger;
  *capacity = wanted;
  return 0;
}

static int cie_number(struct index_builder *builder, size_t offset, uint32_t *number) {
  struct cfi_index *index = builder->index;
  uint32_t *known;

  if (index->cie_count && offset == builder->last_offset) {
    *number = builder->last_number;
    return 0;
  }
  known = hash_get(&builder->by_offset, offset);
  if (known) {
    *number = *known;
  } else {
    *number = (uint32_t)index->cie_count;
    if (grow((void **)&index->cies, &index->cie_capacity, index->cie_count, sizeof(*index->cies)) ||
        hash_put(&builder->by_offset, offset, *number))
      return -ENOMEM;
    ehframe_cie_parse(&index->cies[index->cie_count], builder->section, offset);
    ehframe_program_initial(&index->cies[index->cie_count++]);
  }
  builder->last_offset = offset;
  builder->last_number = *number;
  return 0;
}

static bool is_executable(const struct unwind_table *table, uint64_t vaddr) {
  for (uint32_t i = 0; i < table->segment_count; i++)
    if (vaddr - table->segments[i].vaddr < table->segments[i].bytes)
      return true;
  return false;
}

/* The function's range and program. False for what cannot be placed: discarded by the linker
 * (begins outside every executable segment), empty, or beyond the 4 GiB that rows can address. */
static bool fde_read(struct cfi_fde *fde, const struct index_builder *builder,
                     const struct entry *entry, const struct cfi_cie *cie) {
  const struct ehframe_section *section = builder->section;
  const uint8_t *start = section->data + entry->id_offset + 4;
  struct cursor cursor = cursor_of(start, entry->end - entry->id_offset - 4);
  uint64_t vaddr = section->vaddr + entry->id_offset + 4;
  uint64_t begin, bytes;

  if (!ehframe_pointer(&cursor, cie->pointer_encoding, vaddr, &begin) ||
      !ehframe_pointer(&cursor, cie->pointer_encoding & PE_FORMAT, 0, &bytes))
    return false;
  if (cie->has_augmentation_data)
    cursor_bytes(&cursor, cfi_uleb(&cursor));
  if (cursor.failed || !bytes || !is_executable(builder->table, begin) ||
      begin < builder->table->base_vaddr)
    return false;
  begin -= builder->table->base_vaddr;
  if (begin > UINT32_MAX - 1 || bytes > UINT32_MAX - begin)
    return false;
  fde->begin = (uint32_t)begin;
  fde->end = (uint32_t)(begin + bytes);
  fde->program_off = (uint32_t)(cursor.at - section->data);
  fde->program_bytes = (uint32_t)cursor_left(&cursor);
  return true;
}

static int fde_add(struct index_builder *builder, const struct entry *entry) {
  struct cfi_index *index = builder->index;
  struct cfi_fde fde;

  if (entry->id > entry->id_offset)
    return 0;
  int err = cie_number(builder, entry->id_offset - entry->id, &fde.cie);
  if (err)
    return err;
  if (index->cies[fde.cie].is_broken || !fde_read(&fde, builder, entry, &index->cies[fde.cie]))
    return 0;
  err = grow((void **)&index->fdes, &index->fde_capacity, index->fde_count, sizeof(*index->fdes));
  if (!err)
    index->fdes[index->fde_count++] = fde;
  return err;
}

int ehframe_index_build(struct cfi_index *index, const struct ehframe_section *section,
                        const struct unwind_table *table) {
  struct index_builder builder = {.index = index, .section = section, .table = table};
  struct entry entry;
  int err = 0;

  memset(index, 0, sizeof(*index));
  for (size_t at = 0; !err && entry_read(&entry, section, at); at = entry.end)
    if (entry.id != 0)
      err = fde_add(&builder, &entry);
  hash_fini(&builder.by_offset);
  if (err)
    ehframe_index_fini(index);
  return err;
}

void ehframe_index_fini(struct cfi_index *index) {
  free(index->cies);
  free(index->fdes);
  memset(index, 0, sizeof(*index));
}
