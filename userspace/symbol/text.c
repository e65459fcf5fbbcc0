/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the checks that strings of DWARF end within their section. */
#include "symbol/text.h"

#include <errno.h>
#include <gelf.h>
#include <stdbool.h>
#include <string.h>

#include "base/error.h"

/* Sections of nothing but strings, which every producer ends by NUL; others hold some. */
static bool is_text_only(const char *name) {
  return !strcmp(name, "str") || !strcmp(name, "line_str");
}

static int add_section(struct text_sections *sections, Elf_Scn *section, const char *name) {
  Elf_Data *data = elf_getdata(section, NULL);
  if (!data || !data->d_buf || !data->d_size)
    return 0;
  const char *start = data->d_buf;
  if (is_text_only(name) && start[data->d_size - 1])
    return error_set(EINVAL, "DWARF: strings are cut short");
  if (sections->count == TEXT_SECTIONS_MAX)
    return error_set(EINVAL, "DWARF: too many sections");
  sections->items[sections->count].start = start;
  sections->items[sections->count++].bytes = data->d_size;
  return 0;
}

int text_sections_add(struct text_sections *sections, Elf *elf) {
  size_t names;
  GElf_Shdr header;
  int result = elf_getshdrstrndx(elf, &names) ? -EINVAL : 0;
  for (Elf_Scn *section = NULL; !result && (section = elf_nextscn(elf, section));) {
    const char *name =
        gelf_getshdr(section, &header) ? elf_strptr(elf, names, header.sh_name) : NULL;
    if (!name || header.sh_type == SHT_NOBITS)
      continue;
    if (!strncmp(name, ".debug_", 7))
      result = add_section(sections, section, name + 7);
    else if (!strncmp(name, ".zdebug_", 8))
      result = add_section(sections, section, name + 8);
  }
  return result;
}

static bool ends(const struct text_sections *sections, const char *text) {
  for (size_t i = 0; i < sections->count; i++) {
    uintptr_t offset = (uintptr_t)text - (uintptr_t)sections->items[i].start;
    if (offset < sections->items[i].bytes)
      return memchr(text, '\0', sections->items[i].bytes - offset);
  }
  return false;
}

const char *text_attribute(const struct text_sections *sections, Dwarf_Die *die,
                           unsigned attribute) {
  Dwarf_Attribute value;
  const char *text = dwarf_formstring(dwarf_attr_integrate(die, attribute, &value));
  return text && ends(sections, text) ? text : NULL;
}
