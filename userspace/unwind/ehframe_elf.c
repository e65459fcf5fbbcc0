/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds the executable segments and the .eh_frame bytes of an ELF image. Reads no more of the file
 * than its headers and that section, by pread, so that a file that shrinks only gives a short read.
 */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "unwind/ehframe_internal.h"

/* Bounds on what a hostile (or sparse) file can make us allocate. The largest .eh_frame in the wild
 * are some tens of megabytes. */
#define EHFRAME_BYTES_MAX (256u << 20)
#define NAMES_BYTES_MAX (16u << 20)
#define SYMBOLS_BYTES_MAX (256u << 20)
#define PAGE_BYTES 4096u

static bool image_holds(const struct elf_image *image, uint64_t offset, uint64_t bytes) {
  return offset <= image->bytes && bytes <= image->bytes - offset;
}

bool ehframe_elf_bytes(const struct elf_image *image, uint64_t offset, void *out, size_t bytes) {
  if (!image_holds(image, offset, bytes))
    return false;
  if (image->data) {
    memcpy(out, image->data + offset, bytes);
    return true;
  }
  for (size_t done = 0; done < bytes;) {
    ssize_t got = pread(image->fd, (char *)out + done, bytes - done, (off_t)(offset + done));
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return false;
    done += (size_t)got;
  }
  return true;
}

/* The bytes in memory: a part of the image, or a copy that *owned keeps. 0, -ENOMEM or -EIO. */
static int image_bytes(const struct elf_image *image, uint64_t offset, size_t bytes,
                       const uint8_t **data, void **owned) {
  *owned = NULL;
  if (!image_holds(image, offset, bytes))
    return -EIO;
  if (image->data) {
    *data = image->data + offset;
    return 0;
  }
  *owned = malloc(bytes ? bytes : 1);
  if (!*owned)
    return error_set(ENOMEM, "out of memory for %zu bytes of an ELF file", bytes);
  if (!ehframe_elf_bytes(image, offset, *owned, bytes)) {
    free(*owned);
    *owned = NULL;
    return -EIO;
  }
  *data = *owned;
  return 0;
}

static int header_check(const Elf64_Ehdr *header) {
  if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
    return error_set(EINVAL, "not an ELF file");
  if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
      header->e_machine != EM_X86_64)
    return error_set(ENOTSUP, "not an x86-64 ELF file (machine %u)", header->e_machine);
  if (header->e_phnum && header->e_phentsize != sizeof(Elf64_Phdr))
    return error_set(EINVAL, "ELF program headers of %u bytes", header->e_phentsize);
  if (header->e_phnum == PN_XNUM)
    return error_set(EINVAL, "too many ELF program headers");
  return 0;
}

/* ---- program headers ---- */

static void segment_add(struct unwind_table *table, const Elf64_Phdr *phdr) {
  if (!(phdr->p_flags & PF_X) || table->segment_count == UNWIND_SEGMENTS_MAX)
    return;
  table->segments[table->segment_count++] = (struct unwind_segment){
      .offset = phdr->p_offset, .vaddr = phdr->p_vaddr, .bytes = phdr->p_filesz};
}

static void segments_read(struct unwind_table *table, const Elf64_Phdr *phdrs, size_t count) {
  uint64_t base = UINT64_MAX;

  for (size_t i = 0; i < count; i++) {
    if (phdrs[i].p_type != PT_LOAD)
      continue;
    if (phdrs[i].p_vaddr < base)
      base = phdrs[i].p_vaddr;
    segment_add(table, &phdrs[i]);
  }
  table->base_vaddr = base == UINT64_MAX ? 0 : base & ~(uint64_t)(PAGE_BYTES - 1);
}

/* The bytes of the file from a virtual address to the end of its segment. */
static bool vaddr_extent(const Elf64_Phdr *phdrs, size_t count, uint64_t vaddr, uint64_t *offset,
                         uint64_t *bytes) {
  for (size_t i = 0; i < count; i++) {
    const Elf64_Phdr *phdr = &phdrs[i];
    if (phdr->p_type != PT_LOAD || vaddr < phdr->p_vaddr || vaddr - phdr->p_vaddr >= phdr->p_filesz)
      continue;
    *bytes = phdr->p_filesz - (vaddr - phdr->p_vaddr);
    return !__builtin_add_overflow(phdr->p_offset, vaddr - phdr->p_vaddr, offset);
  }
  return false;
}

/* .eh_frame_hdr (LSB core, 10.6.2): u8 version, u8 encodings of eh_frame_ptr, count and table, then
 * eh_frame_ptr. */
static bool header_pointer(const struct elf_image *image, const Elf64_Phdr *phdr, uint64_t *vaddr) {
  uint8_t bytes[12];
  if (phdr->p_filesz < sizeof(bytes) ||
      !ehframe_elf_bytes(image, phdr->p_offset, bytes, sizeof(bytes)) || bytes[0] != 1)
    return false;
  struct cursor cursor = cursor_of(bytes + 4, sizeof(bytes) - 4);
  return ehframe_pointer(&cursor, bytes[1], phdr->p_vaddr + 4, vaddr);
}

/* .eh_frame of a file that has lost its section headers. */
static int section_by_segments(struct ehframe_section *section, const struct elf_image *image,
                               const Elf64_Phdr *phdrs, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint64_t vaddr, offset, bytes;
    if (phdrs[i].p_type != PT_GNU_EH_FRAME || !header_pointer(image, &phdrs[i], &vaddr) ||
        !vaddr_extent(phdrs, count, vaddr, &offset, &bytes))
      continue;
    if (offset > image->bytes)
      return 0;
    if (bytes > image->bytes - offset)
      bytes = image->bytes - offset;
    if (bytes > EHFRAME_BYTES_MAX)
      bytes = EHFRAME_BYTES_MAX;
    section->vaddr = vaddr;
    section->bytes = bytes;
    section->is_open_ended = true;
    return image_bytes(image, offset, bytes, &section->data, &section->owned);
  }
  return 0;
}

/* ---- section headers ---- */

struct section_names {
  const char *text;
  size_t bytes;
  void *owned;
};

static bool name_is(const struct section_names *names, uint32_t at, const char *name) {
  size_t bytes = strlen(name) + 1;
  return at < names->bytes && bytes <= names->bytes - at && !memcmp(names->text + at, name, bytes);
}

static int names_read(struct section_names *names, const struct elf_image *image,
                      const Elf64_Ehdr *header, const Elf64_Shdr *shdrs) {
  const Elf64_Shdr *shdr;
  const uint8_t *data = NULL;

  memset(names, 0, sizeof(*names));
  if (header->e_shstrndx >= header->e_shnum)
    return -EIO;
  shdr = &shdrs[header->e_shstrndx];
  if (shdr->sh_type == SHT_NOBITS || shdr->sh_size > NAMES_BYTES_MAX)
    return -EIO;
  int err = image_bytes(image, shdr->sh_offset, shdr->sh_size, &data, &names->owned);
  if (err)
    return err;
  names->text = (const char *)data;
  names->bytes = shdr->sh_size;
  return 0;
}

static int section_take(struct ehframe_section *section, const struct elf_image *image,
                        const Elf64_Shdr *shdr) {
  if (shdr->sh_type == SHT_NOBITS || shdr->sh_size > EHFRAME_BYTES_MAX)
    return 0;
  section->vaddr = shdr->sh_addr;
  section->bytes = shdr->sh_size;
  return image_bytes(image, shdr->sh_offset, shdr->sh_size, &section->data, &section->owned);
}

/* A copy of the section headers (the image need not be aligned), to be freed. 0, -ENOMEM, or -EIO:
 * they cannot be used. */
static int shdrs_read(Elf64_Shdr **shdrs, const struct elf_image *image, const Elf64_Ehdr *header) {
  if (!header->e_shnum || header->e_shentsize != sizeof(Elf64_Shdr))
    return -EIO;
  size_t bytes = header->e_shnum * sizeof(Elf64_Shdr);
  *shdrs = malloc(bytes);
  if (!*shdrs)
    return error_set(ENOMEM, "out of memory for ELF section headers");
  if (ehframe_elf_bytes(image, header->e_shoff, *shdrs, bytes))
    return 0;
  free(*shdrs);
  return -EIO;
}

/* -EIO: the section headers cannot be used. */
static int section_by_name(struct ehframe_section *section, const struct elf_image *image,
                           const Elf64_Ehdr *header) {
  struct section_names names;
  Elf64_Shdr *shdrs;

  int err = shdrs_read(&shdrs, image, header);
  if (err)
    return err;
  err = names_read(&names, image, header, shdrs);
  if (!err) {
    for (size_t i = 0; i < header->e_shnum && !section->data && !err; i++)
      if (name_is(&names, shdrs[i].sh_name, ".eh_frame"))
        err = section_take(section, image, &shdrs[i]);
    free(names.owned);
  }
  free(shdrs);
  return err;
}

/* ---- symbols ---- */

static int symbols_walk(const struct elf_image *image, const Elf64_Shdr *shdr,
                        void (*take)(void *ctx, struct elf_function function), void *ctx) {
  const uint8_t *data;
  void *owned;

  if (shdr->sh_entsize != sizeof(Elf64_Sym) || shdr->sh_size > SYMBOLS_BYTES_MAX)
    return 0;
  int err = image_bytes(image, shdr->sh_offset, shdr->sh_size, &data, &owned);
  if (err)
    return err == -EIO ? 0 : err;
  for (size_t i = 0; i < shdr->sh_size / sizeof(Elf64_Sym); i++) {
    Elf64_Sym symbol;
    memcpy(&symbol, data + i * sizeof(symbol), sizeof(symbol));
    if (ELF64_ST_TYPE(symbol.st_info) == STT_FUNC && symbol.st_shndx != SHN_UNDEF)
      take(ctx, (struct elf_function){symbol.st_value, symbol.st_size});
  }
  free(owned);
  return 0;
}

int ehframe_elf_functions(const struct elf_image *image,
                          void (*take)(void *ctx, struct elf_function function), void *ctx) {
  Elf64_Ehdr header;
  Elf64_Shdr *shdrs;

  if (!ehframe_elf_bytes(image, 0, &header, sizeof(header)))
    return 0;
  int err = shdrs_read(&shdrs, image, &header);
  if (err)
    return err == -EIO ? 0 : err;
  for (size_t i = 0; i < header.e_shnum && !err; i++)
    if (shdrs[i].sh_type == SHT_SYMTAB || shdrs[i].sh_type == SHT_DYNSYM)
      err = symbols_walk(image, &shdrs[i], take, ctx);
  free(shdrs);
  return err;
}

int ehframe_elf_read(struct unwind_table *table, struct ehframe_section *section,
                     const struct elf_image *image) {
  Elf64_Ehdr header;
  Elf64_Phdr *phdrs;

  memset(section, 0, sizeof(*section));
  if (!ehframe_elf_bytes(image, 0, &header, sizeof(header)))
    return error_set(EINVAL, "not an ELF file: too short");
  int err = header_check(&header);
  if (err)
    return err;
  size_t bytes = header.e_phnum * sizeof(Elf64_Phdr);
  phdrs = malloc(bytes ? bytes : 1);
  if (!phdrs)
    return error_set(ENOMEM, "out of memory for ELF program headers");
  if (!ehframe_elf_bytes(image, header.e_phoff, phdrs, bytes)) {
    err = error_set(EINVAL, "ELF program headers lie outside the file");
  } else {
    segments_read(table, phdrs, header.e_phnum);
    err = section_by_name(section, image, &header);
    if (err == -EIO || (!err && !section->data))
      err = section_by_segments(section, image, phdrs, header.e_phnum);
    if (err == -EIO) /* the section itself lies outside the file: none */
      err = 0;
  }
  free(phdrs);
  return err;
}
