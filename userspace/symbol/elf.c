/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns one ELF file's names: which sources are consulted, when they are read, and in which order
 * they are believed. */
#include <errno.h>
#include <gelf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "symbol/cfi.h"
#include "symbol/debugfile.h"
#include "symbol/dwarf.h"
#include "symbol/image.h"
#include "symbol/symbol.h"
#include "symbol/table.h"

/* As debuggers call it: the function has no caller, the kernel made its frame. */
#define SIGNAL_FRAME_NAME "<signal handler called>"

struct symbol_elf {
  struct image main;
  bool has_files;     /* debug and mini were looked for */
  struct image debug; /* the separate debug file, if any */
  struct image mini;  /* what .gnu_debugdata holds, if anything */
  char *path;
  char *root;
  struct symbol_options options;
  bool is_loaded; /* what follows is there; at the first question about an address */
  struct symbol_table *table;
  struct symbol_dwarf *dwarf; /* NULL: none */
  struct symbol_cfi *cfi;     /* NULL: none */
};

int symbol_elf_open(struct symbol_elf **out, int fd, const char *path, const char *root,
                    const struct symbol_options *options) {
  struct symbol_elf *elf = calloc(1, sizeof(*elf));
  if (!elf)
    return error_set(ENOMEM, "%s: out of memory", path);
  elf->main.fd = elf->debug.fd = elf->mini.fd = -1;
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
  symbol_cfi_close(elf->cfi);
  symbol_dwarf_close(elf->dwarf);
  symbol_table_free(elf->table);
  image_close(&elf->mini);
  image_close(&elf->debug);
  image_close(&elf->main);
  free(elf->path);
  free(elf->root);
  free(elf);
}

static bool has_section(Elf *elf, uint32_t type) {
  GElf_Shdr header;
  return elf && image_section_of_type(elf, type, &header);
}

static int add_sections(struct symbol_table *table, Elf *elf, uint32_t type) {
  GElf_Shdr header;
  Elf_Scn *section = elf ? image_section_of_type(elf, type, &header) : NULL;
  return section ? symbol_table_add_section(table, elf, section) : 0;
}

static int fill_table(struct symbol_elf *elf, struct symbol_table *table) {
  int result = add_sections(table, elf->main.elf, SHT_SYMTAB);
  if (!result && !has_section(elf->main.elf, SHT_SYMTAB))
    result = add_sections(table, elf->debug.elf, SHT_SYMTAB);
  if (!result)
    result = add_sections(table, elf->main.elf, SHT_DYNSYM);
  if (!result)
    result = add_sections(table, elf->mini.elf, SHT_SYMTAB);
  if (!result)
    result = symbol_table_add_plt(table, elf->main.elf);
  return result ? result : symbol_table_build(table);
}

/* Whatever is missing or broken leaves fewer names, never a failure. */
static void load_files(struct symbol_elf *elf) {
  if (elf->has_files)
    return;
  elf->has_files = true;
  bool has_symbols = has_section(elf->main.elf, SHT_SYMTAB);
  if (!has_symbols || !symbol_dwarf_exists(elf->main.elf))
    debugfile_find(&elf->debug, elf->main.elf, elf->path, elf->root,
                   elf->options.follow_debuginfod);
  if (!has_symbols && !has_section(elf->debug.elf, SHT_SYMTAB))
    debugfile_unpack_mini(&elf->mini, elf->main.elf);
}

static void load(struct symbol_elf *elf) {
  if (elf->is_loaded)
    return;
  elf->is_loaded = true;
  load_files(elf);
  if (symbol_dwarf_open(&elf->dwarf, elf->main.elf, elf->root) && elf->debug.elf)
    symbol_dwarf_open(&elf->dwarf, elf->debug.elf, elf->root);
  symbol_cfi_open(&elf->cfi, elf->main.elf);
  elf->table = symbol_table_new();
  if (elf->table && fill_table(elf, elf->table)) {
    symbol_table_free(elf->table);
    elf->table = NULL;
  }
}

static bool is_mangled(const char *name) {
  return name[0] == '_' && (name[1] == 'Z' || name[1] == 'R');
}

/* NULL when unknown. The linkage name of a C function is an alias ("__GI_qsort"). */
static const char *source_name(const struct dwarf_frame *frame) {
  if (frame->linkage_name && (!frame->name || is_mangled(frame->linkage_name)))
    return frame->linkage_name;
  return frame->name;
}

/* What the compiler appended to the name of `origin` (".cold", ".part.0"), or NULL. */
static const char *clone_suffix(const char *name, const char *origin) {
  size_t length = strlen(origin);
  return !strncmp(name, origin, length) && name[length] == '.' ? name + length : NULL;
}

/* Between the symbol table's name of a function and DWARF's; either may be NULL. DWARF unites a
 * function with its clones and the parts of it that were moved away, except that a ".part" stays
 * apart: the function calls it, which would look like recursion. Of the names of a C function, the
 * public one in the symbol table ("malloc") tells more than the one in the source
 * ("__libc_malloc"), and is there with and without a debug file. */
static const char *choose_name(const char *symbol, const struct dwarf_frame *frame) {
  const char *origin = source_name(frame);
  if (!symbol || !origin)
    return symbol ? symbol : origin;
  const char *suffix = clone_suffix(symbol, origin);
  if (suffix)
    return strncmp(suffix, ".part", 5) ? origin : symbol;
  return is_mangled(origin) ? origin : symbol;
}

struct report {
  symbol_fn callback;
  void *context;
  uint32_t count;
};

/* "a/b", malloc'ed, or NULL when out of memory. */
static char *join(const char *a, const char *separator, const char *b) {
  char *joined;
  return asprintf(&joined, "%s%s%s", a, separator, b) < 0 ? NULL : joined;
}

static void report_frame(struct report *report, const char *raw, const char *suffix,
                         const struct dwarf_frame *frame, uint64_t vaddr) {
  char *readable = symbol_demangle(raw);
  char *name = readable ? join(readable, "", suffix) : NULL;
  bool is_relative = frame->file[0] && frame->file[0] != '/' && frame->directory[0] == '/';
  char *file = is_relative ? join(frame->directory, "/", frame->file) : NULL;
  struct symbol symbol = {.function = name,
                          .file = file ? file : frame->file,
                          .line = frame->line,
                          .first_line = frame->first_line,
                          .offset_bytes = vaddr - frame->start,
                          .inlined = frame->inlined};
  if (name)
    report->callback(report->context, report->count++, &symbol);
  free(file);
  free(name);
  free(readable);
}

/* The function that has the frame: the one that both sources may name. */
static void report_outermost(struct report *report, struct dwarf_frame *frame,
                             const struct table_entry *entry, uint64_t vaddr) {
  const char *name = choose_name(entry->name, frame);
  if (entry->name && entry->start <= vaddr && (name == entry->name || !frame->start))
    frame->start = entry->start;
  if (name)
    report_frame(report, name, entry->is_plt ? "@plt" : "", frame, vaddr);
}

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash && slash[1] ? slash + 1 : path;
}

/* A function of which only the bounds are known. Its name reads as if its first instruction had
 * been sampled and stayed unnamed: model/build.c names those, and both are shown alike. */
static void report_bounds(struct report *report, const struct symbol_elf *elf,
                          const struct cfi_function *bounds, uint64_t vaddr) {
  struct dwarf_frame frame = {.file = "", .directory = "", .start = bounds->start};
  char name[512] = SIGNAL_FRAME_NAME;
  if (!bounds->is_signal_frame)
    snprintf(name, sizeof(name), "[unknown] %.400s+0x%" PRIx64, base_name(elf->path),
             bounds->start);
  report_frame(report, name, "", &frame, vaddr);
}

/* A symbol without a size is taken to reach further than it may where most are stripped: another
 * function that begins below it is not it. */
static bool find_symbol(const struct symbol_elf *elf, uint64_t vaddr,
                        const struct cfi_function *bounds, struct table_entry *entry) {
  if (elf->table && symbol_table_find(elf->table, vaddr, entry) &&
      (!entry->is_guess || !bounds || bounds->start <= entry->start))
    return true;
  *entry = (struct table_entry){0};
  return false;
}

static void report_symbols(struct report *report, const struct symbol_elf *elf,
                           const struct cfi_function *bounds, uint64_t vaddr) {
  struct table_entry entry;
  struct dwarf_frame frames[DWARF_FRAMES_MAX] = {{.file = "", .directory = ""}};
  bool has_entry = find_symbol(elf, vaddr, bounds, &entry);
  uint32_t count = elf->dwarf ? symbol_dwarf_resolve(elf->dwarf, vaddr, frames) : 0;
  uint32_t outermost = count ? count - 1 : 0;
  for (uint32_t i = 0; i < outermost && elf->options.inlines; i++) {
    const char *name = source_name(&frames[i]);
    report_frame(report, name ? name : "[inlined]", "", &frames[i], vaddr);
  }
  if (count || has_entry)
    report_outermost(report, &frames[outermost], &entry, vaddr);
}

/* The code that handlers return to has a symbol, if at all, one byte after the address that stands
 * for a return to it. Its CFI begins before it for that reason (glibc's sigaction.c, x86-64). */
uint32_t symbol_elf_resolve(struct symbol_elf *elf, uint64_t vaddr, symbol_fn callback,
                            void *context) {
  load(elf);
  struct report report = {.callback = callback, .context = context};
  struct cfi_function found;
  struct cfi_function *bounds =
      elf->cfi && symbol_cfi_find(elf->cfi, vaddr, &found) ? &found : NULL;
  if (!bounds || !bounds->is_signal_frame)
    report_symbols(&report, elf, bounds, vaddr);
  if (bounds && !report.count)
    report_bounds(&report, elf, bounds, vaddr);
  return report.count;
}

/* Whether the section has the symbol. A local one gives way to a global one of the same name. */
static bool lookup_in(Elf *elf, uint32_t type, const char *name, GElf_Sym *found) {
  GElf_Shdr header;
  Elf_Scn *section = elf ? image_section_of_type(elf, type, &header) : NULL;
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
      !lookup_in(elf->main.elf, SHT_SYMTAB, name, &found)) {
    load_files(elf);
    if (!lookup_in(elf->debug.elf, SHT_SYMTAB, name, &found) &&
        !lookup_in(elf->mini.elf, SHT_SYMTAB, name, &found))
      return -ENOENT;
  }
  *vaddr = found.st_value;
  *bytes = found.st_size;
  return 0;
}
