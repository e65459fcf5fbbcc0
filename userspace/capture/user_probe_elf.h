/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The functions of an ELF file that can be probed: found by name or pattern, and looked at for what
 * a probe on them costs and where they return. The file is hostile. */
#ifndef RAGPROF_CAPTURE_USER_PROBE_ELF_H
#define RAGPROF_CAPTURE_USER_PROBE_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "symbol/image.h"

#define PROBE_EXITS_MAX 64

struct probe_elf {
  struct image image;
  int fd;
  const char *path;
  bool is_go;
  bool has_unwinder; /* it can throw exceptions by itself */
};

/* A function, by addresses of the ELF file. */
struct probe_function {
  uint64_t vaddr;
  uint64_t bytes; /* 0: unknown */
  const char *raw;
  const char *shown; /* demangled, without its parameters */
  bool is_indirect;  /* an IFUNC: its code chooses another function */
};

/* `fd` and `path` stay the caller's. 0 or -errno. */
int probe_elf_open(struct probe_elf *elf, int fd, const char *path);
void probe_elf_close(struct probe_elf *elf);

/* Calls back for every function whose name, raw or demangled, with its parameters or without, is
 * `name`, or matches it as a shell pattern when it has a '*', '?' or '['. Each address once. */
void probe_elf_match(struct probe_elf *elf, const char *name,
                     void (*callback)(void *context, const struct probe_function *function),
                     void *context);
bool probe_is_pattern(const char *name);

/* Names that are close to one that there is not: ", is it A or B?", or nothing. */
void probe_elf_suggest(struct probe_elf *elf, const char *name, struct buf *out);

/* The function that begins at a file offset. False when none is known to. */
bool probe_elf_function_at(struct probe_elf *elf, uint64_t offset, struct probe_function *function);

/* The run of code with unwind information of its own that holds an address. */
bool probe_elf_bounds(struct probe_elf *elf, uint64_t vaddr, uint64_t *begin, uint64_t *end);

/* Where a probe on a function goes, in the file. */
struct probe_site {
  uint64_t entry;
  bool is_stepped; /* the kernel cannot emulate the instruction there */
  uint64_t exits[PROBE_EXITS_MAX];
  uint32_t exit_count; /* 0: they could not all be found */
};

/* False when the address is in no code of the file. `emulates_nops`: Linux 6.18. */
bool probe_elf_site(struct probe_elf *elf, const struct probe_function *function,
                    bool emulates_nops, struct probe_site *site);

/* The file offset of an address of its code; 0: in none. */
uint64_t probe_elf_offset(struct probe_elf *elf, uint64_t vaddr);

/* Whether the kernel emulates an instruction instead of stepping over it. */
bool probe_is_emulated(const uint8_t *code, size_t bytes, bool emulates_nops);

#endif
