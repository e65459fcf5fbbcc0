/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ELF files that targets map: opened once, their unwind tables compiled once, their descriptors
 * kept so that symbols can be read at the end even if the file or the process is gone by then. */
#ifndef RAGPROF_CAPTURE_MODULE_H
#define RAGPROF_CAPTURE_MODULE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "capture/tables.h"
#include "trace/writer.h"
#include "unwind/cpython.h"
#include "unwind/ehframe.h"

struct module {
  uint64_t device;
  uint64_t inode;
  char *path;
  char root[32]; /* where its separate debug files may be: "/proc/PID/root", "" on this host */
  int fd;        /* -1: nothing to read symbols from */
  uint8_t build_id[64];
  uint32_t build_id_bytes;
  struct unwind_table table; /* its rows are in the pieces only */
  uint64_t entry_vaddr;      /* where the kernel or the dynamic linker starts it; 0 unknown */
  struct table_piece *pieces;
  uint32_t piece_count;
  bool has_python;
  struct cpython_binary python;
  uint32_t trace_id;
};

struct module_store;

/* Both stay the caller's. `tables` NULL: rows are not needed. */
int module_store_new(struct module_store **out, struct table_store *tables,
                     struct trace_writer *writer);
void module_store_free(struct module_store *store);

/* What /proc/PID/maps says of a mapping. */
struct module_request {
  pid_t pid;      /* 0: the process is gone, the path is one of this mount namespace */
  uint64_t start; /* of the mapping */
  uint64_t end;
  uint64_t device;
  uint64_t inode;
  const char *path; /* "[vdso]" for the vdso */
};

/* The module of a mapped file; NULL when memory ran out. A file that cannot be opened or parsed
 * gives a module without tables. */
struct module *module_store_find(struct module_store *store, const struct module_request *request);

/* The module of a file that a process names itself, where /proc can no longer be asked; the build
 * ID (may be empty) keeps out a file that took its place. `pid` may be 0. */
struct module *module_store_named(struct module_store *store, pid_t pid, const char *path,
                                  const uint8_t *build_id, uint32_t build_id_bytes);

uint32_t module_store_count(const struct module_store *store);
struct module *module_store_get(struct module_store *store, uint32_t index);

#endif
