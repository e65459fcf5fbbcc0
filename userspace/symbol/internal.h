/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The readers behind symbol.h, apart from where their text comes from: for tests. */
#ifndef RAGPROF_SYMBOL_INTERNAL_H
#define RAGPROF_SYMBOL_INTERNAL_H

#include <stdio.h>

#include "symbol/symbol.h"

/* Reads the text of /proc/kallsyms. As symbol_kernel_open. */
int symbol_kernel_read(struct symbol_kernel **out, FILE *in);

/* Reads the text of a perf map and takes it (malloc'ed), also on failure. 0 or -ENOMEM. */
int symbol_map_parse_take(struct symbol_map **out, char *text, size_t bytes);

/* Cuts a name of over SYMBOL_NAME_MAX_BYTES at a character and marks the cut by "...". */
#define SYMBOL_NAME_MAX_BYTES 1024
void symbol_shorten(char *name);

/* Orders two names of one address: > 0 when `a` is the better one to show (fewer leading
 * underscores, then shorter, then first in the alphabet). */
int symbol_compare_names(const char *a, const char *b);

#endif
