/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names code: ELF files by libdw, the kernel by kallsyms, compiled-at-run-time code by perf maps.
 * All files come from the target and are hostile. */
#ifndef RAGPROF_SYMBOL_SYMBOL_H
#define RAGPROF_SYMBOL_SYMBOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* One function at an address. Strings are valid during the callback only. */
struct symbol {
  const char *function;  /* demangled (C++, Rust legacy and v0) */
  const char *file;      /* "" unknown */
  uint32_t line;         /* 0 unknown */
  uint32_t first_line;   /* line of the definition, 0 unknown */
  uint64_t offset_bytes; /* from the start of the function */
  bool inlined;
};

/* Called from the innermost inlined function (depth 0) to the function that has the frame. */
typedef void (*symbol_fn)(void *context, uint32_t depth, const struct symbol *symbol);

struct symbol_options {
  bool follow_debuginfod; /* off by default: DEBUGINFOD_URLS is ignored */
  bool inlines;           /* expand inlined calls where DWARF has them */
};

/* ELF files. Open once, resolve many. */
struct symbol_elf;

/* `fd` stays the caller's and must stay open. `root` is the directory in which separate debug files
 * are looked for as well ("/proc/PID/root" for a container, "" for this host): by build ID under
 * usr/lib/debug/.build-id, by .gnu_debuglink beside the file and under usr/lib/debug. Symbols come
 * from .symtab, .dynsym, .gnu_debugdata (xz), PLT slots (as "name@plt") and DWARF. A function that
 * none of them names, but whose bounds .eh_frame tells, is "[unknown] FILE+0xSTART" at each of its
 * addresses. The code that a signal handler returns to is "<signal handler called>". */
int symbol_elf_open(struct symbol_elf **out, int fd, const char *path, const char *root,
                    const struct symbol_options *options);
/* Number of functions reported (0: none is known there). `vaddr` is an address of the ELF file. */
uint32_t symbol_elf_resolve(struct symbol_elf *elf, uint64_t vaddr, symbol_fn callback,
                            void *context);
/* The address and size of a symbol by its exact raw name. 0 or -ENOENT. */
int symbol_elf_lookup(struct symbol_elf *elf, const char *name, uint64_t *vaddr, uint64_t *bytes);
void symbol_elf_close(struct symbol_elf *elf);

/* The build ID (NT_GNU_BUILD_ID) of an ELF file: its length in bytes (0: none), or -errno. */
ssize_t symbol_build_id(int fd, uint8_t *build_id, size_t capacity);

/* The kernel, by /proc/kallsyms. */
struct symbol_kernel;
int symbol_kernel_open(struct symbol_kernel **out); /* -EPERM when addresses are hidden */
bool symbol_kernel_resolve(struct symbol_kernel *kernel, uint64_t address, symbol_fn callback,
                           void *context); /* file is the module's name in brackets, or "" */
void symbol_kernel_close(struct symbol_kernel *kernel);

/* A perf map (/tmp/perf-PID.map). Refused (-EPERM, with the cause) when it is not a regular file,
 * is a link, or belongs to neither `uid` nor root; read with bounds on line length and size. */
struct symbol_map;
int symbol_map_open(struct symbol_map **out, pid_t pid, uid_t uid);
bool symbol_map_resolve(struct symbol_map *map, uint64_t address, symbol_fn callback,
                        void *context);
void symbol_map_close(struct symbol_map *map);

/* A readable name of a raw one: demangled, or the same. The result is malloc'ed; NULL when out of
 * memory. */
char *symbol_demangle(const char *raw);

#endif
