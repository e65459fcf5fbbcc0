/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the interpreter probe needs of an ELF file's headers; private to unwind/cpython_*.c. Reads
 * by pread and trusts no offset. */
#ifndef RAGPROF_UNWIND_CPYTHON_ELF_H
#define RAGPROF_UNWIND_CPYTHON_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CPYTHON_SEGMENTS_MAX 32

struct cpython_segment {
  uint64_t offset; /* bytes, in the file */
  uint64_t vaddr;
  uint64_t file_bytes;
  bool is_writable;
  bool is_code;
};

struct cpython_elf {
  int fd; /* the caller's */
  uint64_t file_bytes;
  bool is_executable; /* has PT_INTERP, or is not position-independent */
  struct cpython_segment segments[CPYTHON_SEGMENTS_MAX];
  uint32_t segment_count;
  uint64_t dynamic_offset;
  uint64_t dynamic_bytes; /* 0 when the file has none */
  uint64_t eh_frame_hdr_vaddr;
  uint64_t eh_frame_hdr_bytes; /* 0 when the file has none */
  uint64_t symtab_offset;
  uint64_t symtab_bytes; /* 0 when it was stripped */
  uint64_t symtab_names_offset;
  uint64_t symtab_names_bytes;
};

/* Whether the file is an ELF64 little-endian x86-64 image with readable headers. */
bool cpython_elf_open(struct cpython_elf *elf, int fd);

/* Whether all `bytes` could be read. */
bool cpython_elf_read(const struct cpython_elf *elf, uint64_t offset, void *data, size_t bytes);

/* The file offset of a virtual address; 0 when the file holds no byte for it. */
uint64_t cpython_elf_offset(const struct cpython_elf *elf, uint64_t vaddr);

/* Finds the part that the compiler moved away from a function; see cpython_cold.c. Whether there is
 * one. */
bool cpython_cold_find(const struct cpython_elf *elf, uint64_t vaddr, uint64_t bytes,
                       uint64_t *cold_vaddr, uint64_t *cold_bytes);

#endif
