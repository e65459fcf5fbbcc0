/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns one ELF file's names: which sources are consulted, when they are read, and in which order
 * they are believed. */
#include <errno.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "symbol/image.h"
#include "symbol/symbol.h"
#include "symbol/table.h"

struct symbol_elf {
  struct image main;
  char *path;
  char *root;
  struct symbol_options options;
  struct symbol_table *table; /* NULL until the first question */
};

int symbol_elf_open(struct symbol_elf **out, int fd, const char *path, const char *root,
                    const struct symbol_options *options) {
  struct symbol_elf *elf = calloc(1, sizeof(*elf));
  if (!elf)
    return error_set(ENOMEM, "%s: out of memory", path);
  elf->path = strdup(path);
  elf->root = strdup(root ? root : "");
  if (options)
    elf->options = *options;
  int result = image_open(&elf->main, fd, path);
  if (!result && (!elf->path || !elf->root))
    result = error_set(ENOMEM, "%s: out of memory", path);
  if (result)
    symbol_elf_close(elf);
  else
    *out = elf;
  return result;
}

void symbol_elf_close(struct symbol_elf *elf) {
  if (!elf)
    return;
  symbol_table_free(elf->table);
  image_close(&elf->main);
  free(elf->path);
  free(elf->root);
  free(elf);
}

static int add_sections(struct symbol_table *table, Elf *elf, uint32_t type) {
  GElf_Shdr header;
  Elf_Scn *section = image_section_of_type(elf, type, &header);
  return section ? symbol_table_add_section(table, elf, section) : 0;
}

static int load_table(struct symbol_elf *elf) {
  struct symbol_table *table = symbol_table_new();
  if (!table)
    return -ENOMEM;
  int result = add_sections(table, elf->main.elf, SHT_SYMTAB);
  if (!result)
    result = add_sections(table, elf->main.elf, SHT_DYNSYM);
  if (!result)
    result = symbol_table_add_plt(table, elf->main.elf);
  if (!result)
    result = symbol_table_build(table);
  if (result)
    symbol_table_free(table);
  else
    elf->table = table;
  return result;
}

static char *readable_name(const struct table_entry *entry) {
  char *name = symbol_demangle(entry->name);
  if (!name || !entry->is_plt)
    return name;
  char *with_suffix = NULL;
  if (asprintf(&with_suffix, "%s@plt", name) < 0)
    with_suffix = NULL;
  free(name);
  return with_suffix;
}

uint32_t symbol_elf_resolve(struct symbol_elf *elf, uint64_t vaddr, symbol_fn callback,
                            void *context) {
  struct table_entry entry;
  if ((!elf->table && load_table(elf)) || !symbol_table_find(elf->table, vaddr, &entry))
    return 0;
  char *name = readable_name(&entry);
  if (!name)
    return 0;
  struct symbol symbol = {.function = name, .file = "", .offset_bytes = vaddr - entry.start};
  callback(context, 0, &symbol);
  free(name);
  return 1;
}

/* Whether the section has the symbol. A local one gives way to a global one of the same name. */
static bool lookup_in(Elf *elf, uint32_t type, const char *name, GElf_Sym *found) {
  GElf_Shdr header;
  Elf_Scn *section = image_section_of_type(elf, type, &header);
  Elf_Data *data = image_data(section, (size_t)1 << 30);
  if (!data)
    return false;
  Elf_Data *strings = image_data(elf_getscn(elf, header.sh_link), (size_t)1 << 30);
  bool is_found = false;
  GElf_Sym symbol;
  for (int i = 0; gelf_getsym(data, i, &symbol); i++) {
    if (symbol.st_shndx == SHN_UNDEF || GELF_ST_TYPE(symbol.st_info) == STT_FILE ||
        GELF_ST_TYPE(symbol.st_info) == STT_SECTION)
      continue;
    const char *text = image_text(strings, symbol.st_name);
    if (!text || strcmp(text, name))
      continue;
    *found = symbol;
    is_found = true;
    if (GELF_ST_BIND(symbol.st_info) != STB_LOCAL)
      break;
  }
  return is_found;
}

int symbol_elf_lookup(struct symbol_elf *elf, const char *name, uint64_t *vaddr, uint64_t *bytes) {
  GElf_Sym found;
  if (!lookup_in(elf->main.elf, SHT_DYNSYM, name, &found) &&
      !lookup_in(elf->main.elf, SHT_SYMTAB, name, &found))
    return -ENOENT;
  *vaddr = found.st_value;
  *bytes = found.st_size;
  return 0;
}
