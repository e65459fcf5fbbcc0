/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The functions of one ELF file by address, from its symbol tables and PLT. */
#ifndef RAGPROF_SYMBOL_TABLE_H
#define RAGPROF_SYMBOL_TABLE_H

#include <libelf.h>
#include <stdbool.h>
#include <stdint.h>

struct symbol_table;

struct table_entry {
  const char *name; /* raw; valid as long as the ELF file that it came from, or the table */
  uint64_t start;
  bool is_plt;   /* to be shown as "name@plt" */
  bool is_guess; /* it has no size, and what followed it may be stripped */
};

struct symbol_table *symbol_table_new(void);
void symbol_table_free(struct symbol_table *table);

/* Adds the functions of a SHT_SYMTAB or SHT_DYNSYM section; broken ones are left out. `elf` must
 * outlive the table. 0 or -ENOMEM. */
int symbol_table_add_section(struct symbol_table *table, Elf *elf, Elf_Scn *section);
/* Adds the PLT slots: by decoding the jump of each and looking for the relocation of the pointer
 * that it goes through. x86-64 only; others get none. After the symbol sections. 0 or -ENOMEM. */
int symbol_table_add_plt(struct symbol_table *table, Elf *elf);
/* One function of known bounds. The name is not copied. 0 or -ENOMEM. */
int symbol_table_add_plt_slot(struct symbol_table *table, const char *name, uint64_t start,
                              uint64_t size);
/* The name of a function that starts there (before or after the build), or NULL. */
const char *symbol_table_name_at(const struct symbol_table *table, uint64_t start);

/* Sorts; no more is added after it. A symbol without a size reaches to the next one, at most to the
 * end of its section; where the file is stripped of .symtab, at most 4 KiB, because what follows
 * may be anything. 0 or -ENOMEM. */
int symbol_table_build(struct symbol_table *table);
/* The function that holds an address: the innermost, then the best name (global or weak before
 * local, fewer leading underscores, shorter). */
bool symbol_table_find(const struct symbol_table *table, uint64_t vaddr, struct table_entry *entry);

#endif
