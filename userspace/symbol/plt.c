/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns naming the slots of .plt, .plt.sec and .plt.got. The order of slots differs between linkers
 * and their options, so each slot is decoded instead: the pointer that it jumps through has a
 * relocation, and that has the symbol. */
#include <errno.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "symbol/image.h"
#include "symbol/table.h"

#define PLT_SLOT_BYTES 16
#define SECTION_MAX_BYTES ((size_t)256 << 20)

/* A pointer that the dynamic linker fills, and what with. */
struct slot_pointer {
  uint64_t vaddr;
  const char *name;
};

struct slot_pointers {
  struct slot_pointer *items;
  size_t count;
  size_t capacity;
  size_t lazy_start; /* the first one from .rela.plt, in the order of that section */
  size_t lazy_count;
};

static int add_pointer(struct slot_pointers *pointers, uint64_t vaddr, const char *name) {
  if (pointers->count == pointers->capacity) {
    size_t capacity = pointers->capacity ? pointers->capacity * 2 : 64;
    struct slot_pointer *items = reallocarray(pointers->items, capacity, sizeof(*items));
    if (!items)
      return -ENOMEM;
    pointers->items = items;
    pointers->capacity = capacity;
  }
  pointers->items[pointers->count++] = (struct slot_pointer){.vaddr = vaddr, .name = name};
  return 0;
}

static const char *target_name(const struct symbol_table *table, Elf_Data *symbols,
                               const Elf_Data *strings, const GElf_Rela *relocation) {
  GElf_Sym symbol;
  switch (GELF_R_TYPE(relocation->r_info)) {
  case R_X86_64_JUMP_SLOT:
  case R_X86_64_GLOB_DAT:
    if (!gelf_getsym(symbols, (int)GELF_R_SYM(relocation->r_info), &symbol))
      return NULL;
    return image_text(strings, symbol.st_name);
  case R_X86_64_IRELATIVE: /* the addend is the function that chooses the implementation */
    return symbol_table_name_at(table, (uint64_t)relocation->r_addend);
  default:
    return NULL;
  }
}

/* Unnamed ones are kept, so that the order of .rela.plt stays. */
static int read_relocations(struct slot_pointers *pointers, const struct symbol_table *table,
                            Elf *elf, const char *section_name) {
  GElf_Shdr header, symbols_header;
  Elf_Scn *section = image_section(elf, section_name, &header);
  Elf_Data *data = image_data(section, SECTION_MAX_BYTES);
  if (!data || header.sh_type != SHT_RELA)
    return 0;
  Elf_Scn *symbols_section = elf_getscn(elf, header.sh_link);
  Elf_Data *symbols = image_data(symbols_section, SECTION_MAX_BYTES);
  if (!symbols || !gelf_getshdr(symbols_section, &symbols_header))
    return 0;
  Elf_Data *strings = image_data(elf_getscn(elf, symbols_header.sh_link), SECTION_MAX_BYTES);
  GElf_Rela relocation;
  int result = 0;
  for (int i = 0; !result && gelf_getrela(data, i, &relocation); i++)
    result = add_pointer(pointers, relocation.r_offset,
                         target_name(table, symbols, strings, &relocation));
  return result;
}

static int by_vaddr(const void *a, const void *b) {
  const struct slot_pointer *left = a, *right = b;
  return (left->vaddr > right->vaddr) - (left->vaddr < right->vaddr);
}

static const char *pointer_name(const struct slot_pointers *sorted, uint64_t vaddr) {
  struct slot_pointer key = {.vaddr = vaddr};
  const struct slot_pointer *found =
      sorted->count ? bsearch(&key, sorted->items, sorted->count, sizeof(key), by_vaddr) : NULL;
  return found ? found->name : NULL;
}

/* Intel SDM vol. 2: [endbr64] [bnd] jmp *disp32(%rip) is [f3 0f 1e fa] [f2] ff 25 disp32. */
static bool decode_jump(const uint8_t *code, size_t bytes, uint64_t vaddr, uint64_t *pointer) {
  static const uint8_t endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
  size_t at = 0;
  if (bytes >= sizeof(endbr64) && !memcmp(code, endbr64, sizeof(endbr64)))
    at = sizeof(endbr64);
  if (at < bytes && code[at] == 0xf2)
    at++;
  if (bytes - at < 6 || code[at] != 0xff || code[at + 1] != 0x25)
    return false;
  int32_t displacement;
  memcpy(&displacement, code + at + 2, sizeof(displacement));
  *pointer = vaddr + at + 6 + (uint64_t)(int64_t)displacement;
  return true;
}

/* The lazy half of a slot under IBT: endbr64; push imm32 (the index into .rela.plt); jmp. */
static bool decode_push(const uint8_t *code, size_t bytes, uint32_t *index) {
  static const uint8_t head[] = {0xf3, 0x0f, 0x1e, 0xfa, 0x68};
  if (bytes < sizeof(head) + 4 || memcmp(code, head, sizeof(head)))
    return false;
  memcpy(index, code + sizeof(head), sizeof(*index));
  return true;
}

struct plt_reader {
  struct symbol_table *table;
  const struct slot_pointers *sorted;
  const struct slot_pointer *lazy; /* in the order of .rela.plt */
  size_t lazy_count;
};

static int read_slots(const struct plt_reader *reader, Elf *elf, const char *section_name) {
  GElf_Shdr header;
  Elf_Scn *section = image_section(elf, section_name, &header);
  Elf_Data *data = image_data(section, SECTION_MAX_BYTES);
  if (!data)
    return 0;
  size_t step = header.sh_entsize == 8 ? 8 : PLT_SLOT_BYTES;
  const uint8_t *code = data->d_buf;
  int result = 0;
  for (size_t at = 0; !result && at + step <= data->d_size; at += step) {
    uint64_t vaddr = header.sh_addr + at, pointer;
    uint32_t index;
    const char *name = NULL;
    if (decode_jump(code + at, step, vaddr, &pointer))
      name = pointer_name(reader->sorted, pointer);
    else if (decode_push(code + at, step, &index) && index < reader->lazy_count)
      name = reader->lazy[index].name;
    if (name && *name && vaddr <= UINT64_MAX - step)
      result = symbol_table_add_plt_slot(reader->table, name, vaddr, step);
  }
  return result;
}

static bool has_plt(Elf *elf) {
  GElf_Ehdr header;
  return gelf_getehdr(elf, &header) && header.e_machine == EM_X86_64 &&
         header.e_ident[EI_CLASS] == ELFCLASS64;
}

int symbol_table_add_plt(struct symbol_table *table, Elf *elf) {
  static const char *const sections[] = {".plt", ".plt.sec", ".plt.got"};
  if (!has_plt(elf))
    return 0;
  struct slot_pointers lazy = {0}, sorted = {0};
  int result = read_relocations(&lazy, table, elf, ".rela.plt");
  for (size_t i = 0; !result && i < lazy.count; i++)
    result = add_pointer(&sorted, lazy.items[i].vaddr, lazy.items[i].name);
  /* Only .plt.got jumps through pointers that are bound at start. There can be millions of others.
   */
  GElf_Shdr header;
  if (!result && image_section(elf, ".plt.got", &header))
    result = read_relocations(&sorted, table, elf, ".rela.dyn");
  if (!result && sorted.count)
    qsort(sorted.items, sorted.count, sizeof(*sorted.items), by_vaddr);
  struct plt_reader reader = {
      .table = table, .sorted = &sorted, .lazy = lazy.items, .lazy_count = lazy.count};
  for (size_t i = 0; !result && i < sizeof(sections) / sizeof(*sections); i++)
    result = read_slots(&reader, elf, sections[i]);
  free(lazy.items);
  free(sorted.items);
  return result;
}
