/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Qualified names for functions that DWARF gives the bare name of only (a lambda of GCC's is
 * "operator()"). */
#ifndef RAGPROF_SYMBOL_SCOPE_H
#define RAGPROF_SYMBOL_SCOPE_H

#include <elfutils/libdw.h>

#include "symbol/text.h"

struct scope_names;

struct scope_names *scope_names_new(void); /* NULL: no memory */
void scope_names_free(struct scope_names *names);

/* "search::best(int)::{lambda}::operator()" for a function or inlined call of C++ in `unit`;
 * NULL when there is nothing to add. Kept by `names`. The first call for a function walks its unit;
 * a file has a limited number of them. */
const char *scope_names_get(struct scope_names *names, const struct text_sections *texts,
                            Dwarf_Die *unit, Dwarf_Die *function);

#endif
