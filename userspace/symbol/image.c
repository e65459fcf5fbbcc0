/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns opening ELF files by libelf and getting at their sections within bounds. */
#include "symbol/image.h"

#include <elfutils/libdwelf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "symbol/symbol.h"

static int check(struct image *image, const char *path) {
  if (!image->elf || elf_kind(image->elf) != ELF_K_ELF) {
    image_close(image);
    return error_set(EINVAL, "%s: not an ELF file", path);
  }
  return 0;
}

int image_open(struct image *image, int fd, const char *path) {
  elf_version(EV_CURRENT);
  *image = (struct image){.fd = -1, .elf = elf_begin(fd, ELF_C_READ, NULL)};
  return check(image, path);
}

int image_open_take(struct image *image, int fd, const char *path) {
  int result = image_open(image, fd, path);
  if (result)
    close(fd);
  else
    image->fd = fd;
  return result;
}

int image_open_memory_take(struct image *image, void *bytes, size_t size, const char *path) {
  elf_version(EV_CURRENT);
  *image = (struct image){.fd = -1, .memory = bytes, .elf = elf_memory(bytes, size)};
  return check(image, path);
}

void image_close(struct image *image) {
  if (image->elf)
    elf_end(image->elf);
  if (image->fd >= 0)
    close(image->fd);
  free(image->memory);
  *image = (struct image){.fd = -1};
}

Elf_Scn *image_section(Elf *elf, const char *name, GElf_Shdr *header) {
  size_t names;
  if (elf_getshdrstrndx(elf, &names))
    return NULL;
  for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section));) {
    if (!gelf_getshdr(section, header))
      continue;
    const char *found = elf_strptr(elf, names, header->sh_name);
    if (found && !strcmp(found, name))
      return section;
  }
  return NULL;
}

Elf_Scn *image_section_of_type(Elf *elf, uint32_t type, GElf_Shdr *header) {
  for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section));)
    if (gelf_getshdr(section, header) && header->sh_type == type)
      return section;
  return NULL;
}

Elf_Data *image_data(Elf_Scn *section, size_t limit_bytes) {
  GElf_Shdr header;
  GElf_Chdr compression;
  if (!section || !gelf_getshdr(section, &header) || header.sh_type == SHT_NOBITS ||
      header.sh_size > limit_bytes)
    return NULL;
  if (header.sh_flags & SHF_COMPRESSED) {
    if (!gelf_getchdr(section, &compression) || compression.ch_size > limit_bytes ||
        elf_compress(section, 0, 0) < 0)
      return NULL;
  }
  Elf_Data *data = elf_getdata(section, NULL);
  return data && data->d_buf && data->d_size ? data : NULL;
}

const char *image_text(const Elf_Data *strings, size_t offset) {
  if (!strings || offset >= strings->d_size)
    return NULL;
  const char *text = (const char *)strings->d_buf + offset;
  return memchr(text, '\0', strings->d_size - offset) ? text : NULL;
}

size_t image_build_id(Elf *elf, uint8_t *build_id, size_t capacity) {
  const void *bytes;
  ssize_t size = dwelf_elf_gnu_build_id(elf, &bytes);
  if (size <= 0)
    return 0;
  memcpy(build_id, bytes, (size_t)size < capacity ? (size_t)size : capacity);
  return (size_t)size;
}

ssize_t symbol_build_id(int fd, uint8_t *build_id, size_t capacity) {
  struct image image;
  int result = image_open(&image, fd, "build ID");
  if (result)
    return result;
  size_t size = image_build_id(image.elf, build_id, capacity);
  image_close(&image);
  return (ssize_t)size;
}
