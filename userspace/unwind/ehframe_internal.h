/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the .eh_frame compiler share: finding the section in an ELF image
 * (ehframe_elf.c), decoding its entries (ehframe_entry.c), collecting them (ehframe_index.c),
 * running their programs (ehframe_program.c), and turning rules into rows (ehframe_row.c). Entries,
 * programs and rows allocate nothing: the shim compiles them in, too. */
#ifndef RAGPROF_UNWIND_EHFRAME_INTERNAL_H
#define RAGPROF_UNWIND_EHFRAME_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "unwind/ehframe.h"

/* DWARF register numbers of x86-64 (System V psABI, figure 3.36). */
enum { DWARF_RBP = 6, DWARF_RSP = 7, DWARF_RA = 16 };

/* ---- ELF ---- */

/* An ELF file: in memory (data) or behind a descriptor (data is NULL). */
struct elf_image {
  const uint8_t *data;
  uint64_t bytes;
  int fd;
};

struct ehframe_section {
  const uint8_t *data; /* NULL when the image has none */
  size_t bytes;
  uint64_t vaddr;
  bool is_open_ended; /* its size is unknown: the zero terminator ends it */
  void *owned;        /* to be freed */
};

/* Fills the table's base and segments and finds .eh_frame. 0, -EINVAL, -ENOTSUP, -ENOMEM, -EIO. */
int ehframe_elf_read(struct unwind_table *table, struct ehframe_section *section,
                     const struct elf_image *image);

/* Reads bytes of the file. */
bool ehframe_elf_bytes(const struct elf_image *image, uint64_t offset, void *out, size_t bytes);

/* A function by its symbol; the address is the file's. */
struct elf_function {
  uint64_t vaddr;
  uint64_t bytes; /* 0: the symbol does not say */
};

/* Hands every function of .symtab and .dynsym to `take`, in no order. 0, or -ENOMEM; none where the
 * section headers cannot be used. */
int ehframe_elf_functions(const struct elf_image *image,
                          void (*take)(void *ctx, struct elf_function function), void *ctx);

/* Fills the table's gaps: functions without CFI get rows by following their code. 0 or -ENOMEM. */
int ehframe_gap_fill(struct unwind_table *table, const struct elf_image *image);

/* ---- rules ---- */

enum cfa_kind {
  CFA_UNSUPPORTED = 0,
  CFA_REGISTER, /* cfa_register + cfa_offset */
  CFA_DEREF,    /* *(cfa_register + cfa_offset + 8 * cfa_index) + cfa_addend */
  CFA_PLT,      /* the lazy-binding stub: rsp + cfa_offset, + 8 from pc & 15 >= cfa_addend on */
};

enum save_kind {
  SAVE_SAME = 0, /* not saved: the caller's value is still in the register */
  SAVE_UNDEFINED,
  SAVE_AT_CFA, /* at CFA + offset */
  SAVE_AT_RBP, /* at the address in rbp */
  SAVE_AT_RSP, /* at rsp + offset */
  SAVE_UNSUPPORTED,
};

#define CFA_NO_INDEX 255

/* The rules at one pc, of the registers that rows speak of. */
struct cfi_rules {
  uint8_t cfa_kind;
  uint8_t cfa_register;
  uint8_t rbp_kind;
  uint8_t ra_kind;
  uint8_t cfa_index;  /* CFA_DEREF: a DWARF register number, or CFA_NO_INDEX */
  int64_t cfa_offset; /* bytes */
  int64_t cfa_addend; /* bytes */
  int64_t rbp_offset; /* bytes */
  int64_t ra_offset;  /* bytes */
};

/* DW_CFA_def_cfa_expression, and DW_CFA_expression for rbp (register 6) and the return address. */
void ehframe_cfa_expression(struct cfi_rules *rules, const uint8_t *code, size_t bytes);
void ehframe_save_expression(struct cfi_rules *rules, uint64_t reg, const uint8_t *code,
                             size_t bytes);

/* The row for the rules, without its pc. False when no row can say it (the row is then invalid). */
bool ehframe_row(struct unwind_row *row, const struct cfi_rules *rules, bool is_signal_frame);

/* ---- entries ---- */

struct cfi_cie {
  uint64_t code_align;
  int64_t data_align;
  const uint8_t *program;
  const uint8_t *program_end;
  uint8_t pointer_encoding;
  bool has_augmentation_data; /* 'z' */
  bool is_signal_frame;       /* 'S' */
  bool is_broken;
  struct cfi_rules initial; /* after its own program */
};

/* Parses the CIE whose length field is at `offset`; sets is_broken when it cannot be used. Its
 * program is not run. */
void ehframe_cie_parse(struct cfi_cie *cie, const struct ehframe_section *section, size_t offset);

struct cfi_entry {
  size_t offset;    /* of its length field */
  size_t id_offset; /* of its CIE id field */
  size_t end;
  uint32_t id; /* 0: a CIE; else the distance from id_offset back to the CIE */
};

/* The entry at `offset`. False at the end: no room, the terminator (which an open-ended section
 * stops at; elsewhere linkers leave it between input files), or a length that makes no sense. */
bool ehframe_entry_read(struct cfi_entry *entry, const struct ehframe_section *section,
                        size_t offset);

/* A function: [begin, end) relative to the table's base, and its program. */
struct cfi_fde {
  uint32_t begin;
  uint32_t end;
  uint32_t cie;         /* set by ehframe_index.c */
  uint32_t program_off; /* in the section */
  uint32_t program_bytes;
};

/* An FDE's range and program. False for what cannot be placed: broken, empty, before the base, or
 * beyond the 4 GiB that rows can address. */
bool ehframe_fde_read(struct cfi_fde *fde, const struct ehframe_section *section,
                      const struct cfi_entry *entry, const struct cfi_cie *cie,
                      uint64_t base_vaddr);

struct cfi_index {
  struct cfi_cie *cies;
  size_t cie_count;
  size_t cie_capacity;
  struct cfi_fde *fdes; /* in the order of the section */
  size_t fde_count;
  size_t fde_capacity;
};

/* Collects every usable FDE of the section. 0 or -ENOMEM; entries that make no sense are skipped.
 */
int ehframe_index_build(struct cfi_index *index, const struct ehframe_section *section,
                        const struct unwind_table *table);
void ehframe_index_fini(struct cfi_index *index);

/* Reads a pointer as DW_EH_PE_… says; `vaddr` is the address of the cursor's current byte. False,
 * and the cursor failed, for forms that .eh_frame cannot use. */
bool ehframe_pointer(struct cursor *cursor, uint8_t encoding, uint64_t vaddr, uint64_t *value);

/* ---- programs ---- */

/* Collects rows in a table. */
struct cfi_sink {
  struct unwind_table *table;
  size_t row_capacity;
  bool failed; /* out of memory */
};

void ehframe_sink_row(struct cfi_sink *sink, struct unwind_row row);

/* Runs the CIE's own program into cie->initial; sets is_broken where that fails. */
void ehframe_program_initial(struct cfi_cie *cie);

/* Takes the row in force from row.pc up to the next one's; an invalid one with is_supported false
 * where the rule has no compact form. */
typedef void (*cfi_take_fn)(void *ctx, struct unwind_row row, bool is_supported);

/* Runs an FDE's program and hands over the rows of [begin, limit). False when it is broken: the
 * rows so far are then to be dropped. */
bool ehframe_program_run(const struct cfi_cie *cie, const struct ehframe_section *section,
                         const struct cfi_fde *fde, uint64_t base_vaddr, uint32_t limit,
                         cfi_take_fn take, void *ctx);

/* ---- LEB128, the hot path of all of it ---- */

static inline uint8_t cfi_u8(struct cursor *cursor) {
  if (cursor->at >= cursor->end) {
    cursor->failed = true;
    return 0;
  }
  return *cursor->at++;
}

static inline uint64_t cfi_uleb(struct cursor *cursor) {
  uint64_t value = 0;
  for (unsigned shift = 0;; shift += 7) {
    uint8_t byte = cfi_u8(cursor);
    if (shift < 64)
      value |= (uint64_t)(byte & 0x7f) << shift;
    if (!(byte & 0x80))
      return value;
  }
}

static inline int64_t cfi_sleb(struct cursor *cursor) {
  uint64_t value = 0;
  for (unsigned shift = 0;;) {
    uint8_t byte = cfi_u8(cursor);
    if (shift < 64)
      value |= (uint64_t)(byte & 0x7f) << shift;
    shift += 7;
    if (byte & 0x80)
      continue;
    if (shift < 64 && (byte & 0x40))
      value |= UINT64_MAX << shift;
    return (int64_t)value;
  }
}

#endif
