/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Functions, inlined calls and lines from the DWARF of one ELF file. */
#ifndef RAGPROF_SYMBOL_DWARF_H
#define RAGPROF_SYMBOL_DWARF_H

#include <libelf.h>
#include <stdbool.h>
#include <stdint.h>

struct symbol_dwarf;

struct dwarf_frame {
  const char *linkage_name; /* mangled; NULL unknown */
  const char *name;         /* as in the source; NULL unknown */
  const char *file;         /* "" unknown */
  const char *directory;    /* that a relative file is below; "" unknown */
  uint32_t line;
  uint32_t first_line;
  uint64_t start; /* of the range of the function that holds the address */
  bool inlined;
};

#define DWARF_FRAMES_MAX 128

/* Whether a file has DWARF of its own. */
bool symbol_dwarf_exists(Elf *elf);
/* `elf` and the names returned live as long as each other. 0, -ENOENT (no DWARF), -E2BIG (more than
 * is read), -EINVAL (broken). */
int symbol_dwarf_open(struct symbol_dwarf **out, Elf *elf, const char *root);
/* Fills `frames` (of DWARF_FRAMES_MAX), the innermost first, and returns their number. Where no
 * function is known, file and line of the address are in frames[0] nevertheless. */
uint32_t symbol_dwarf_resolve(struct symbol_dwarf *dwarf, uint64_t vaddr,
                              struct dwarf_frame *frames);
void symbol_dwarf_close(struct symbol_dwarf *dwarf);

#endif
