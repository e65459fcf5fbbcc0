/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads program and section headers within fixed bounds. */
#include "unwind/cpython_elf.h"

#include <elf.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool cpython_elf_read(const struct cpython_elf *elf, uint64_t offset, void *data, size_t bytes) {
  if (offset > elf->file_bytes || bytes > elf->file_bytes - offset)
    return false;
  for (size_t done = 0; done < bytes;) {
    ssize_t got = pread(elf->fd, (char *)data + done, bytes - done, (off_t)(offset + done));
    if (got <= 0)
      return false;
    done += (size_t)got;
  }
  return true;
}

uint64_t cpython_elf_offset(const struct cpython_elf *elf, uint64_t vaddr) {
  for (uint32_t i = 0; i < elf->segment_count; i++) {
    const struct cpython_segment *segment = &elf->segments[i];
    if (vaddr >= segment->vaddr && vaddr - segment->vaddr < segment->file_bytes)
      return segment->offset + (vaddr - segment->vaddr);
  }
  return 0;
}

static void take_load(struct cpython_elf *elf, const Elf64_Phdr *header) {
  if (elf->segment_count >= CPYTHON_SEGMENTS_MAX || header->p_offset > elf->file_bytes)
    return;
  struct cpython_segment *segment = &elf->segments[elf->segment_count++];
  uint64_t left = elf->file_bytes - header->p_offset;
  segment->offset = header->p_offset;
  segment->vaddr = header->p_vaddr;
  segment->file_bytes = header->p_filesz < left ? header->p_filesz : left;
  segment->is_writable = header->p_flags & PF_W;
  segment->is_code = header->p_flags & PF_X;
}

#define PROGRAM_HEADERS_MAX 64

static bool read_program_headers(struct cpython_elf *elf, const Elf64_Ehdr *file) {
  Elf64_Phdr headers[PROGRAM_HEADERS_MAX];
  size_t count = file->e_phnum < PROGRAM_HEADERS_MAX ? file->e_phnum : PROGRAM_HEADERS_MAX;
  if (!count || file->e_phentsize != sizeof(headers[0]) ||
      !cpython_elf_read(elf, file->e_phoff, headers, count * sizeof(headers[0])))
    return false;
  for (size_t i = 0; i < count; i++) {
    if (headers[i].p_type == PT_LOAD) {
      take_load(elf, &headers[i]);
    } else if (headers[i].p_type == PT_INTERP) {
      elf->is_executable = true;
    } else if (headers[i].p_type == PT_DYNAMIC) {
      elf->dynamic_offset = headers[i].p_offset;
      elf->dynamic_bytes = headers[i].p_filesz;
    } else if (headers[i].p_type == PT_GNU_EH_FRAME) {
      elf->eh_frame_hdr_vaddr = headers[i].p_vaddr;
      elf->eh_frame_hdr_bytes = headers[i].p_filesz;
    }
  }
  return elf->segment_count > 0;
}

#define SECTION_HEADERS_MAX 256

/* Section headers only serve .symtab; a file without them is a stripped one. */
static void read_section_headers(struct cpython_elf *elf, const Elf64_Ehdr *file) {
  Elf64_Shdr headers[SECTION_HEADERS_MAX];
  size_t count = file->e_shnum < SECTION_HEADERS_MAX ? file->e_shnum : SECTION_HEADERS_MAX;
  if (!count || file->e_shentsize != sizeof(headers[0]) ||
      !cpython_elf_read(elf, file->e_shoff, headers, count * sizeof(headers[0])))
    return;
  for (size_t i = 0; i < count; i++) {
    uint32_t link = headers[i].sh_link;
    if (headers[i].sh_type != SHT_SYMTAB || link >= count)
      continue;
    elf->symtab_offset = headers[i].sh_offset;
    elf->symtab_bytes = headers[i].sh_size;
    elf->symtab_names_offset = headers[link].sh_offset;
    elf->symtab_names_bytes = headers[link].sh_size;
    return;
  }
}

bool cpython_elf_open(struct cpython_elf *elf, int fd) {
  struct stat status;
  Elf64_Ehdr file;
  memset(elf, 0, sizeof(*elf));
  if (fstat(fd, &status) || !S_ISREG(status.st_mode) || status.st_size <= 0)
    return false;
  elf->fd = fd;
  elf->file_bytes = (uint64_t)status.st_size;
  if (!cpython_elf_read(elf, 0, &file, sizeof(file)) ||
      memcmp(file.e_ident, ELFMAG, SELFMAG) != 0 || file.e_ident[EI_CLASS] != ELFCLASS64 ||
      file.e_ident[EI_DATA] != ELFDATA2LSB || file.e_machine != EM_X86_64)
    return false;
  elf->is_executable = file.e_type == ET_EXEC;
  if (!read_program_headers(elf, &file))
    return false;
  read_section_headers(elf, &file);
  return true;
}
