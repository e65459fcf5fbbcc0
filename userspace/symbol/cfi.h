/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bounds of functions by .eh_frame, which is there when every symbol is stripped. */
#ifndef RAGPROF_SYMBOL_CFI_H
#define RAGPROF_SYMBOL_CFI_H

#include <libelf.h>
#include <stdbool.h>
#include <stdint.h>

struct symbol_cfi;

struct cfi_function {
  uint64_t start;
  bool is_signal_frame; /* the code that a signal handler returns to */
};

/* Reads all of .eh_frame; `elf` is not needed afterwards. Broken entries are left out. 0, -ENOENT
 * (no .eh_frame, or of the other byte order), -ENOMEM. */
int symbol_cfi_open(struct symbol_cfi **out, Elf *elf);
void symbol_cfi_close(struct symbol_cfi *cfi);

/* The function that holds an address; where several claim it, the one that starts last. */
bool symbol_cfi_find(const struct symbol_cfi *cfi, uint64_t vaddr, struct cfi_function *function);

#endif
