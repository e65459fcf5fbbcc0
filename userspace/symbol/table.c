/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the choice among the symbols of a file: which ones are code, how far each reaches, and which
 * of several names of one function is shown. */
#include "symbol/table.h"

#include <errno.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "symbol/image.h"
#include "symbol/internal.h"
#include "symbol/ranges.h"

/* How far a symbol of unknown size may reach where most symbols are stripped. */
#define STRIPPED_REACH_BYTES 4096
#define STRING_SECTION_MAX_BYTES ((size_t)1 << 30)
#define SYMBOL_SECTION_MAX_BYTES ((size_t)1 << 30)

enum { RANK_PLT, RANK_FUNCTION, RANK_UNTYPED }; /* better first */

struct table_symbol {
  const char *name;
  uint64_t start;
  uint64_t size;  /* 0: unknown */
  uint64_t limit; /* the end of its section; UINT64_MAX unknown */
  uint8_t rank;
  bool is_local;
  bool is_weak;
};

struct symbol_table {
  struct table_symbol *symbols;
  size_t count;
  size_t capacity;
  bool is_whole; /* a .symtab was added */
  struct ranges ranges;
};

struct section_bounds {
  uint64_t end;
  bool is_code;
  bool is_known;
};

struct symbol_table *symbol_table_new(void) {
  return calloc(1, sizeof(struct symbol_table));
}

void symbol_table_free(struct symbol_table *table) {
  if (!table)
    return;
  ranges_fini(&table->ranges);
  free(table->symbols);
  free(table);
}

static int add(struct symbol_table *table, const struct table_symbol *symbol) {
  if (table->count == table->capacity) {
    size_t capacity = table->capacity ? table->capacity * 2 : 256;
    struct table_symbol *symbols = reallocarray(table->symbols, capacity, sizeof(*symbols));
    if (!symbols)
      return -ENOMEM;
    table->symbols = symbols;
    table->capacity = capacity;
  }
  table->symbols[table->count++] = *symbol;
  return 0;
}

static struct section_bounds *read_bounds(Elf *elf, size_t *count) {
  if (elf_getshdrnum(elf, count))
    *count = 0;
  struct section_bounds *bounds = calloc(*count + 1, sizeof(*bounds));
  for (Elf_Scn *section = NULL; bounds && (section = elf_nextscn(elf, section));) {
    GElf_Shdr header;
    size_t index = elf_ndxscn(section);
    if (index >= *count || !gelf_getshdr(section, &header) ||
        header.sh_addr > UINT64_MAX - header.sh_size)
      continue;
    bounds[index] = (struct section_bounds){.end = header.sh_addr + header.sh_size,
                                            .is_code = header.sh_flags & SHF_EXECINSTR,
                                            .is_known = true};
  }
  return bounds;
}

/* Labels of the assembler and the mapping symbols of Arm ("$x") name no function. */
static bool is_label(const char *name) {
  return !name[0] || name[0] == '$' || !strncmp(name, ".L", 2);
}

static bool decode(struct table_symbol *symbol, const GElf_Sym *raw, const Elf_Data *strings,
                   const struct section_bounds *bounds, size_t bounds_count) {
  int type = GELF_ST_TYPE(raw->st_info);
  bool is_function = type == STT_FUNC || type == STT_GNU_IFUNC;
  if ((!is_function && type != STT_NOTYPE) || raw->st_shndx == SHN_UNDEF ||
      raw->st_shndx == SHN_ABS || raw->st_shndx == SHN_COMMON)
    return false;
  /* Indexes past SHN_LORESERVE (files of over 65,279 sections) keep their bounds unknown. */
  bool has_section = raw->st_shndx < bounds_count && bounds[raw->st_shndx].is_known;
  if (has_section ? !bounds[raw->st_shndx].is_code : !is_function || !raw->st_size)
    return false;
  const char *name = image_text(strings, raw->st_name);
  if (!name || is_label(name))
    return false;
  *symbol = (struct table_symbol){.name = name,
                                  .start = raw->st_value,
                                  .size = raw->st_size,
                                  .limit = has_section ? bounds[raw->st_shndx].end : UINT64_MAX,
                                  .rank = is_function ? RANK_FUNCTION : RANK_UNTYPED,
                                  .is_local = GELF_ST_BIND(raw->st_info) == STB_LOCAL,
                                  .is_weak = GELF_ST_BIND(raw->st_info) == STB_WEAK};
  return symbol->start < symbol->limit;
}

int symbol_table_add_section(struct symbol_table *table, Elf *elf, Elf_Scn *section) {
  GElf_Shdr header;
  Elf_Data *data = image_data(section, SYMBOL_SECTION_MAX_BYTES);
  if (!data || !gelf_getshdr(section, &header) || !header.sh_entsize)
    return 0;
  Elf_Data *strings = image_data(elf_getscn(elf, header.sh_link), STRING_SECTION_MAX_BYTES);
  size_t bounds_count;
  struct section_bounds *bounds = read_bounds(elf, &bounds_count);
  if (!bounds)
    return -ENOMEM;
  table->is_whole |= header.sh_type == SHT_SYMTAB;
  int result = 0;
  GElf_Sym raw;
  for (int i = 0; !result && gelf_getsym(data, i, &raw); i++) {
    struct table_symbol symbol;
    if (decode(&symbol, &raw, strings, bounds, bounds_count))
      result = add(table, &symbol);
  }
  free(bounds);
  return result;
}

int symbol_table_add_plt_slot(struct symbol_table *table, const char *name, uint64_t start,
                              uint64_t size) {
  return add(
      table,
      &(struct table_symbol){
          .name = name, .start = start, .size = size, .limit = UINT64_MAX, .rank = RANK_PLT});
}

const char *symbol_table_name_at(const struct symbol_table *table, uint64_t start) {
  for (size_t i = 0; i < table->count; i++)
    if (table->symbols[i].start == start && table->symbols[i].rank == RANK_FUNCTION)
      return table->symbols[i].name;
  return NULL;
}

/* By address; at one address the best name last, so that it is the one that wins. */
static int by_start(const void *a, const void *b) {
  const struct table_symbol *left = a, *right = b;
  if (left->start != right->start)
    return left->start < right->start ? -1 : 1;
  if (left->rank != right->rank)
    return left->rank > right->rank ? -1 : 1;
  if (!left->size != !right->size)
    return !left->size ? -1 : 1;
  if (left->is_local != right->is_local)
    return left->is_local ? -1 : 1;
  /* C libraries define the public name as a weak alias of the internal one with underscores. */
  size_t left_underscores = strspn(left->name, "_"), right_underscores = strspn(right->name, "_");
  if (left_underscores != right_underscores)
    return left_underscores > right_underscores ? -1 : 1;
  if (left->is_weak != right->is_weak)
    return left->is_weak ? -1 : 1;
  return symbol_compare_names(left->name, right->name);
}

/* `next` is the start of the next symbol at a higher address. */
static uint64_t end_of(const struct symbol_table *table, const struct table_symbol *symbol,
                       uint64_t next) {
  uint64_t end = symbol->limit;
  if (symbol->size) {
    if (symbol->size < end - symbol->start)
      end = symbol->start + symbol->size;
    return end;
  }
  if (next < end)
    end = next;
  if (!table->is_whole && end - symbol->start > STRIPPED_REACH_BYTES)
    end = symbol->start + STRIPPED_REACH_BYTES;
  return end;
}

int symbol_table_build(struct symbol_table *table) {
  if (table->count > UINT32_MAX)
    return -ENOMEM;
  if (table->count)
    qsort(table->symbols, table->count, sizeof(*table->symbols), by_start);
  uint64_t next = UINT64_MAX;
  for (size_t i = table->count; i-- > 0;) {
    const struct table_symbol *symbol = &table->symbols[i];
    if (i + 1 < table->count && table->symbols[i + 1].start != symbol->start)
      next = table->symbols[i + 1].start;
    /* A symbol of unknown size only fills what no other claims: in hand-written assembly it is
     * often a label inside a function. */
    uint64_t priority = (symbol->size ? (uint64_t)1 << 63 : 0) | i;
    int result = ranges_add(&table->ranges, symbol->start, end_of(table, symbol, next), priority,
                            (uint32_t)i);
    if (result)
      return result;
  }
  return ranges_build(&table->ranges);
}

bool symbol_table_find(const struct symbol_table *table, uint64_t vaddr,
                       struct table_entry *entry) {
  uint32_t id;
  if (!ranges_find(&table->ranges, vaddr, &id))
    return false;
  const struct table_symbol *symbol = &table->symbols[id];
  *entry = (struct table_entry){.name = symbol->name,
                                .start = symbol->start,
                                .is_plt = symbol->rank == RANK_PLT,
                                .is_guess = !symbol->size && !table->is_whole};
  return true;
}
