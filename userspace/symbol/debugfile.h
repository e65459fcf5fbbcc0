/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds what a stripped ELF file left elsewhere: its debug file, the file that several debug files
 * share (dwz), and the compressed symbol table that it carries along. */
#ifndef RAGPROF_SYMBOL_DEBUGFILE_H
#define RAGPROF_SYMBOL_DEBUGFILE_H

#include <elfutils/libdw.h>
#include <stdbool.h>

#include "symbol/image.h"

/* The debug file of `main`, which lies at `path`: by build ID, then by .gnu_debuglink, each below
 * `root` and then on this host; at last, if asked for, from a debuginfod server. One of another
 * build is refused. 0 or -ENOENT. */
int debugfile_find(struct image *out, Elf *main, const char *path, const char *root,
                   bool follow_debuginfod);
/* The file that .gnu_debugaltlink names. 0 or -ENOENT. */
int debugfile_find_shared(struct image *out, Dwarf *dwarf, const char *root);
/* The ELF file in .gnu_debugdata (xz). 0 or -ENOENT. */
int debugfile_unpack_mini(struct image *out, Elf *main);

/* The debug file of a build ID from the servers that DEBUGINFOD_URLS names: a descriptor, or
 * -ENOENT, or -ENOTSUP when the client library is not installed. */
int debuginfod_open(const uint8_t *build_id, size_t bytes);

#endif
