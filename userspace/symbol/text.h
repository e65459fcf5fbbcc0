/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Strings of DWARF that are known to end. libdw 0.188 hands out pointers into sections without
 * looking whether a NUL follows before the section's end. */
#ifndef RAGPROF_SYMBOL_TEXT_H
#define RAGPROF_SYMBOL_TEXT_H

#include <elfutils/libdw.h>
#include <stddef.h>

#define TEXT_SECTIONS_MAX 32

struct text_sections {
  struct {
    const char *start;
    size_t bytes;
  } items[TEXT_SECTIONS_MAX];
  size_t count;
};

/* Notes the sections of a file that libdw has opened. -EINVAL: its strings do not end, and libdw
 * must not be asked for any. */
int text_sections_add(struct text_sections *sections, Elf *elf);
/* A string attribute, also by way of the entry's origin; NULL: none. */
const char *text_attribute(const struct text_sections *sections, Dwarf_Die *die,
                           unsigned attribute);

#endif
