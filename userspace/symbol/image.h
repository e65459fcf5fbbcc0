/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An ELF file behind libelf, read by pread: never mapped, because a file that its owner truncates
 * while it is mapped kills the reader by SIGBUS. */
#ifndef RAGPROF_SYMBOL_IMAGE_H
#define RAGPROF_SYMBOL_IMAGE_H

#include <gelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct image {
  Elf *elf;     /* NULL: none */
  int fd;       /* closed with the image; -1 when it is the caller's */
  void *memory; /* freed with the image */
};

/* 0, or -EINVAL (no ELF file) with the cause. `path` is for the message. */
int image_open(struct image *image, int fd, const char *path);
/* The same, and takes the file descriptor, also on failure. */
int image_open_take(struct image *image, int fd, const char *path);
/* From malloc'ed bytes, which it takes, also on failure. */
int image_open_memory_take(struct image *image, void *bytes, size_t size, const char *path);
void image_close(struct image *image);

/* The first section of that name, or NULL. */
Elf_Scn *image_section(Elf *elf, const char *name, GElf_Shdr *header);
/* The first section of that type, or NULL. */
Elf_Scn *image_section_of_type(Elf *elf, uint32_t type, GElf_Shdr *header);
/* Its bytes, decompressed; NULL when there are none, more than the file or `limit_bytes` holds. */
Elf_Data *image_data(Elf_Scn *section, size_t limit_bytes);
/* A NUL-terminated string of a string section, or NULL. */
const char *image_text(const Elf_Data *strings, size_t offset);
/* Copies the build ID. Its whole length in bytes, 0: none. */
size_t image_build_id(Elf *elf, uint8_t *build_id, size_t capacity);

#endif
