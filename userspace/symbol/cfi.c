/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the list of functions that .eh_frame describes. libdw splits the section into its entries;
 * the programs in them are never run. */
#include "symbol/cfi.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "symbol/image.h"
#include "symbol/ranges.h"

#define EH_FRAME_MAX_BYTES ((size_t)512 << 20)

/* Pointer encodings (LSB Core 5.0, 10.5.1): the low four bits tell the form, the next three what it
 * is relative to, the highest one that it is the address of the pointer. */
#define ENCODING_FORM 0x0f
#define ENCODING_BASE 0xf0

/* What is kept of a CIE, in one word: its pointer encoding and a flag. */
#define CIE_ENCODING 0xffu
#define CIE_IS_SIGNAL_FRAME 0x100u

struct symbol_cfi {
  struct cfi_function *functions;
  uint32_t count;
  uint32_t capacity;
  struct ranges by_address;
};

struct reading {
  struct symbol_cfi *cfi;
  const Elf_Data *data;
  uint64_t vaddr; /* of the section */
  size_t address_bytes;
  struct hash cies; /* offset → what is kept of it */
};

/* ---- pointers ---- */

/* 0: a form that compilers use nowhere for functions. */
static size_t pointer_bytes(uint8_t encoding, size_t address_bytes) {
  switch (encoding & ENCODING_FORM) {
  case DW_EH_PE_absptr:
    return address_bytes;
  case DW_EH_PE_udata2:
  case DW_EH_PE_sdata2:
    return 2;
  case DW_EH_PE_udata4:
  case DW_EH_PE_sdata4:
    return 4;
  case DW_EH_PE_udata8:
  case DW_EH_PE_sdata8:
    return 8;
  default:
    return 0;
  }
}

static uint64_t read_number(const uint8_t *at, size_t bytes, bool is_signed) {
  uint16_t half;
  uint32_t word;
  uint64_t whole;
  switch (bytes) {
  case 2:
    memcpy(&half, at, sizeof(half));
    return is_signed ? (uint64_t)(int16_t)half : half;
  case 4:
    memcpy(&word, at, sizeof(word));
    return is_signed ? (uint64_t)(int32_t)word : word;
  default:
    memcpy(&whole, at, sizeof(whole));
    return whole;
  }
}

/* ---- entries ---- */

/* The augmentation's letters tell what its data are (LSB Core 5.0, 10.6.1.1.1); of those, only the
 * pointer encoding matters. false: a form that is not understood. */
static bool read_cie(const struct reading *reading, const Dwarf_CIE *cie, uint32_t *kept) {
  const char *letter = cie->augmentation;
  const uint8_t *at = cie->augmentation_data;
  const uint8_t *end = at ? at + cie->augmentation_data_size : NULL;
  *kept = DW_EH_PE_absptr;
  if (*letter && *letter != 'z')
    return false;
  for (letter += *letter == 'z'; *letter; letter++) {
    if (*letter == 'S') {
      *kept |= CIE_IS_SIGNAL_FRAME;
    } else if (*letter == 'R' || *letter == 'L' || *letter == 'P') {
      if (at >= end)
        return false;
      uint8_t encoding = *at++;
      if (*letter == 'R')
        *kept |= encoding;
      size_t skipped = *letter == 'P' ? pointer_bytes(encoding, reading->address_bytes) : 0;
      if ((*letter == 'P' && !skipped) || skipped > (size_t)(end - at))
        return false;
      at += skipped;
    } else if (*letter != 'B') { /* 'B': aarch64's return addresses are signed by key B */
      return false;
    }
  }
  return true;
}

static int add(struct symbol_cfi *cfi, const struct cfi_function *function, uint64_t bytes) {
  if (cfi->count == cfi->capacity) {
    uint32_t capacity = cfi->capacity ? cfi->capacity * 2 : 1024;
    struct cfi_function *grown =
        capacity > cfi->capacity ? reallocarray(cfi->functions, capacity, sizeof(*grown)) : NULL;
    if (!grown)
      return -ENOMEM;
    cfi->functions = grown;
    cfi->capacity = capacity;
  }
  uint64_t end;
  if (__builtin_add_overflow(function->start, bytes, &end))
    return 0;
  cfi->functions[cfi->count] = *function;
  return ranges_add(&cfi->by_address, function->start, end, function->start, cfi->count++);
}

/* What the linker threw away begins at 0. */
static int add_fde(struct reading *reading, const Dwarf_FDE *fde) {
  const uint32_t *kept = hash_get(&reading->cies, fde->CIE_pointer);
  if (!kept)
    return 0;
  uint8_t encoding = *kept & CIE_ENCODING;
  uint8_t base = encoding & ENCODING_BASE;
  size_t bytes = pointer_bytes(encoding, reading->address_bytes);
  if (!bytes || (base && base != DW_EH_PE_pcrel) || (size_t)(fde->end - fde->start) < 2 * bytes)
    return 0;
  uint64_t start = read_number(fde->start, bytes, encoding & DW_EH_PE_signed);
  if (!start)
    return 0;
  if (base == DW_EH_PE_pcrel)
    start += reading->vaddr + (uint64_t)(fde->start - (const uint8_t *)reading->data->d_buf);
  struct cfi_function function = {.start = start, .is_signal_frame = *kept & CIE_IS_SIGNAL_FRAME};
  return add(reading->cfi, &function, read_number(fde->start + bytes, bytes, false));
}

static int add_entry(struct reading *reading, Dwarf_Off offset, const Dwarf_CFI_Entry *entry) {
  uint32_t kept;
  if (!dwarf_cfi_cie_p(entry))
    return add_fde(reading, &entry->fde);
  if (!read_cie(reading, &entry->cie, &kept))
    return 0;
  return hash_put(&reading->cies, offset, kept) ? -ENOMEM : 0;
}

/* To libdw a length of 0 is the end; linkers leave such words between the parts that they join. */
static int read_entries(struct reading *reading, const uint8_t *ident) {
  int result = 0;
  Dwarf_Off next;
  for (Dwarf_Off at = 0; !result && at < reading->data->d_size; at = next) {
    Dwarf_CFI_Entry entry;
    next = at;
    int failed = dwarf_next_cfi(ident, (Elf_Data *)reading->data, true, at, &next, &entry);
    if (!failed)
      result = add_entry(reading, at, &entry);
    else if (failed > 0)
      next = at + 4;
    if (next <= at)
      break;
  }
  return result ? result : ranges_build(&reading->cfi->by_address);
}

int symbol_cfi_open(struct symbol_cfi **out, Elf *elf) {
  const uint8_t host_order = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
  const uint8_t *ident = (const uint8_t *)elf_getident(elf, NULL);
  GElf_Shdr header;
  Elf_Data *data = image_data(image_section(elf, ".eh_frame", &header), EH_FRAME_MAX_BYTES);
  if (!data || !ident || ident[EI_DATA] != host_order)
    return -ENOENT;
  struct reading reading = {.cfi = calloc(1, sizeof(*reading.cfi)),
                            .data = data,
                            .vaddr = header.sh_addr,
                            .address_bytes = gelf_getclass(elf) == ELFCLASS32 ? 4 : 8};
  int result = reading.cfi ? read_entries(&reading, ident) : -ENOMEM;
  hash_fini(&reading.cies);
  if (result)
    symbol_cfi_close(reading.cfi);
  else
    *out = reading.cfi;
  return result;
}

void symbol_cfi_close(struct symbol_cfi *cfi) {
  if (!cfi)
    return;
  ranges_fini(&cfi->by_address);
  free(cfi->functions);
  free(cfi);
}

bool symbol_cfi_find(const struct symbol_cfi *cfi, uint64_t vaddr, struct cfi_function *function) {
  uint32_t id;
  if (!ranges_find(&cfi->by_address, vaddr, &id))
    return false;
  *function = cfi->functions[id];
  return true;
}
