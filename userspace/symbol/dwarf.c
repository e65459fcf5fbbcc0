/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns three nested indexes that are built as far as questions need them: units by address,
 * functions of a unit, inlined calls of a function. Plain libdw only: libdwfl would look for debug
 * files, and ask servers, on its own. */
#include "symbol/dwarf.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwelf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "symbol/debugfile.h"
#include "symbol/image.h"
#include "symbol/ranges.h"
#include "symbol/scope.h"
#include "symbol/text.h"

/* libdw holds all debug sections in memory: a file with more is named by its symbol table only. */
#define DEBUG_MAX_BYTES ((uint64_t)1 << 30)
/* Entries and ranges visited per file, in all. Broken DWARF can loop; chromium's has some 10^8. */
#define STEPS_MAX ((uint64_t)100 << 20)
#define NESTING_MAX 128
#define NO_NODE UINT32_MAX

/* An inlined call. */
struct call {
  Dwarf_Die die;
  uint32_t caller; /* index of the inlined call around it, or NO_NODE */
};

struct function {
  Dwarf_Die die;
  bool is_loaded;
  struct call *calls;
  uint32_t call_count;
  uint32_t call_capacity;
  struct ranges calls_by_address;
};

struct unit {
  Dwarf_Die die;
  bool is_loaded;
  struct function *functions;
  uint32_t function_count;
  uint32_t function_capacity;
  struct ranges functions_by_address;
};

struct symbol_dwarf {
  Dwarf *dwarf;
  Dwarf *shared; /* dwz's, or NULL */
  struct image shared_image;
  struct scope_names *names;
  struct text_sections texts;
  struct unit *units;
  uint32_t unit_count;
  uint32_t unit_capacity;
  struct ranges units_by_address;
  uint64_t steps;
};

/* false: the file has had its share of work. */
static bool may_step(struct symbol_dwarf *dwarf) {
  return dwarf->steps < STEPS_MAX && ++dwarf->steps;
}

/* Room for one more; NULL: no memory. */
static void *room_for_one(void *items, uint32_t count, uint32_t *capacity, size_t item_bytes) {
  if (count < *capacity)
    return items;
  if (*capacity > UINT32_MAX / 2)
    return NULL;
  uint32_t bigger = *capacity ? *capacity * 2 : 16;
  void *grown = reallocarray(items, bigger, item_bytes);
  if (grown)
    *capacity = bigger;
  return grown;
}

static int add_ranges(struct symbol_dwarf *dwarf, struct ranges *ranges, Dwarf_Die *die,
                      uint64_t priority, uint32_t id) {
  Dwarf_Addr base, low, high;
  ptrdiff_t at = 0;
  while ((at = dwarf_ranges(die, at, &base, &low, &high)) > 0 && may_step(dwarf))
    if (ranges_add(ranges, low, high, priority, id))
      return -ENOMEM;
  return 0;
}

static int add_unit(struct symbol_dwarf *dwarf, const Dwarf_Die *die) {
  struct unit *units =
      room_for_one(dwarf->units, dwarf->unit_count, &dwarf->unit_capacity, sizeof(*units));
  if (!units)
    return -ENOMEM;
  dwarf->units = units;
  struct unit *unit = &units[dwarf->unit_count];
  *unit = (struct unit){.die = *die};
  return add_ranges(dwarf, &dwarf->units_by_address, &unit->die, 0, dwarf->unit_count++);
}

/* .debug_aranges is not used: clang and rustc leave it out. Split units (.dwo) are left alone:
 * their paths are the target's choice. */
static int index_units(struct symbol_dwarf *dwarf) {
  Dwarf_CU *unit = NULL;
  Dwarf_Die die;
  while (!dwarf_get_units(dwarf->dwarf, unit, &unit, NULL, NULL, &die, NULL) && may_step(dwarf)) {
    int result = add_unit(dwarf, &die);
    if (result)
      return result;
  }
  return ranges_build(&dwarf->units_by_address);
}

/* Declarations and the originals of inlined functions have no code and are left out. */
static int add_function(struct symbol_dwarf *dwarf, struct unit *unit, Dwarf_Die *die) {
  struct function *functions = room_for_one(unit->functions, unit->function_count,
                                            &unit->function_capacity, sizeof(*functions));
  if (!functions)
    return -ENOMEM;
  unit->functions = functions;
  functions[unit->function_count] = (struct function){.die = *die};
  size_t known = unit->functions_by_address.count;
  int result = add_ranges(dwarf, &unit->functions_by_address, die, 0, unit->function_count);
  unit->function_count += unit->functions_by_address.count > known;
  return result;
}

/* Functions are also found in functions: the body of a lambda lies in its class, that in a
 * function. */
static bool may_hold_functions(Dwarf_Die *die) {
  switch (dwarf_tag(die)) {
  case DW_TAG_namespace: /* Rust keeps its functions in the modules */
  case DW_TAG_module:
  case DW_TAG_subprogram:
  case DW_TAG_lexical_block:
  case DW_TAG_class_type:
  case DW_TAG_structure_type:
  case DW_TAG_union_type:
    return true;
  default:
    return false;
  }
}

static int add_functions(struct symbol_dwarf *dwarf, struct unit *unit, Dwarf_Die *parent,
                         int depth) {
  Dwarf_Die die;
  if (depth > NESTING_MAX || dwarf_child(parent, &die))
    return 0;
  do {
    if (!may_step(dwarf))
      return 0;
    int result = 0;
    if (dwarf_tag(&die) == DW_TAG_subprogram)
      result = add_function(dwarf, unit, &die);
    if (!result && may_hold_functions(&die))
      result = add_functions(dwarf, unit, &die, depth + 1);
    if (result)
      return result;
  } while (!dwarf_siblingof(&die, &die));
  return 0;
}

static int load_unit(struct symbol_dwarf *dwarf, struct unit *unit) {
  if (unit->is_loaded)
    return 0;
  unit->is_loaded = true;
  int result = add_functions(dwarf, unit, &unit->die, 0);
  return result ? result : ranges_build(&unit->functions_by_address);
}

static int add_calls(struct symbol_dwarf *dwarf, struct function *function, Dwarf_Die *parent,
                     uint32_t caller, int depth);

static int add_call(struct symbol_dwarf *dwarf, struct function *function, Dwarf_Die *die,
                    uint32_t caller, int depth) {
  struct call *calls =
      room_for_one(function->calls, function->call_count, &function->call_capacity, sizeof(*calls));
  if (!calls)
    return -ENOMEM;
  function->calls = calls;
  uint32_t id = function->call_count++;
  calls[id] = (struct call){.die = *die, .caller = caller};
  int result = add_ranges(dwarf, &function->calls_by_address, die, (uint64_t)depth, id);
  return result ? result : add_calls(dwarf, function, die, id, depth + 1);
}

static int add_calls(struct symbol_dwarf *dwarf, struct function *function, Dwarf_Die *parent,
                     uint32_t caller, int depth) {
  Dwarf_Die die;
  if (depth > NESTING_MAX || dwarf_child(parent, &die))
    return 0;
  do {
    if (!may_step(dwarf))
      return 0;
    int result = 0;
    switch (dwarf_tag(&die)) {
    case DW_TAG_inlined_subroutine:
      result = add_call(dwarf, function, &die, caller, depth);
      break;
    case DW_TAG_lexical_block:
    case DW_TAG_try_block:
    case DW_TAG_catch_block:
      result = add_calls(dwarf, function, &die, caller, depth + 1);
      break;
    }
    if (result)
      return result;
  } while (!dwarf_siblingof(&die, &die));
  return 0;
}

static int load_function(struct symbol_dwarf *dwarf, struct function *function) {
  if (function->is_loaded)
    return 0;
  function->is_loaded = true;
  int result = add_calls(dwarf, function, &function->die, NO_NODE, 0);
  return result ? result : ranges_build(&function->calls_by_address);
}

static uint64_t old_compressed_size(Elf_Scn *section) {
  ssize_t size = dwelf_scn_gnu_compressed_size(section);
  return size > 0 ? (uint64_t)size : 0;
}

/* The bytes of memory that libdw takes for the debug sections; 0: there is no DWARF. */
static uint64_t debug_size(Elf *elf) {
  size_t names;
  uint64_t total = 0;
  bool has_info = false;
  GElf_Shdr header;
  GElf_Chdr compression;
  if (elf_getshdrstrndx(elf, &names))
    return 0;
  for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section));) {
    const char *name =
        gelf_getshdr(section, &header) ? elf_strptr(elf, names, header.sh_name) : NULL;
    if (!name || header.sh_type == SHT_NOBITS ||
        (strncmp(name, ".debug_", 7) && strncmp(name, ".zdebug_", 8)))
      continue;
    has_info |= !strcmp(name, ".debug_info") || !strcmp(name, ".zdebug_info");
    uint64_t size = header.sh_size;
    if (header.sh_flags & SHF_COMPRESSED)
      size = gelf_getchdr(section, &compression) ? compression.ch_size : UINT64_MAX;
    else if (name[1] == 'z')
      size = old_compressed_size(section);
    if (__builtin_add_overflow(total, size, &total))
      return UINT64_MAX;
  }
  return has_info ? total : 0;
}

bool symbol_dwarf_exists(Elf *elf) {
  return debug_size(elf) > 0;
}

/* Its absence leaves some names out. Broken strings in it make the whole unusable: libdw would
 * follow references into it. */
static int open_shared(struct symbol_dwarf *dwarf, const char *root) {
  if (debugfile_find_shared(&dwarf->shared_image, dwarf->dwarf, root))
    return 0;
  uint64_t size = debug_size(dwarf->shared_image.elf);
  if (!size || size > DEBUG_MAX_BYTES)
    return 0;
  dwarf->shared = dwarf_begin_elf(dwarf->shared_image.elf, DWARF_C_READ, NULL);
  if (!dwarf->shared)
    return 0;
  dwarf_setalt(dwarf->dwarf, dwarf->shared);
  return text_sections_add(&dwarf->texts, dwarf->shared_image.elf);
}

static int begin(struct symbol_dwarf *dwarf, Elf *elf, const char *root) {
  dwarf->shared_image.fd = -1;
  dwarf->names = scope_names_new();
  if (!dwarf->names)
    return -ENOMEM;
  dwarf->dwarf = dwarf_begin_elf(elf, DWARF_C_READ, NULL);
  if (!dwarf->dwarf)
    return error_set(EINVAL, "DWARF: %s", dwarf_errmsg(-1));
  int result = text_sections_add(&dwarf->texts, elf);
  if (!result)
    result = open_shared(dwarf, root);
  return result ? result : index_units(dwarf);
}

int symbol_dwarf_open(struct symbol_dwarf **out, Elf *elf, const char *root) {
  uint64_t size = debug_size(elf);
  if (!size)
    return -ENOENT;
  if (size > DEBUG_MAX_BYTES)
    return error_set(E2BIG, "more than %lu MiB of DWARF", DEBUG_MAX_BYTES >> 20);
  struct symbol_dwarf *dwarf = calloc(1, sizeof(*dwarf));
  if (!dwarf)
    return -ENOMEM;
  int result = begin(dwarf, elf, root);
  if (result)
    symbol_dwarf_close(dwarf);
  else
    *out = dwarf;
  return result;
}

void symbol_dwarf_close(struct symbol_dwarf *dwarf) {
  if (!dwarf)
    return;
  for (uint32_t i = 0; i < dwarf->unit_count; i++) {
    struct unit *unit = &dwarf->units[i];
    for (uint32_t k = 0; k < unit->function_count; k++) {
      free(unit->functions[k].calls);
      ranges_fini(&unit->functions[k].calls_by_address);
    }
    free(unit->functions);
    ranges_fini(&unit->functions_by_address);
  }
  free(dwarf->units);
  ranges_fini(&dwarf->units_by_address);
  if (dwarf->dwarf)
    dwarf_end(dwarf->dwarf);
  if (dwarf->shared)
    dwarf_end(dwarf->shared);
  image_close(&dwarf->shared_image);
  scope_names_free(dwarf->names);
  free(dwarf);
}

/* UINT32_MAX when there is none. */
static uint32_t number_of(Dwarf_Die *die, unsigned attribute) {
  Dwarf_Attribute value;
  Dwarf_Word number;
  if (dwarf_formudata(dwarf_attr_integrate(die, attribute, &value), &number) || number > UINT32_MAX)
    return UINT32_MAX;
  return (uint32_t)number;
}

static uint32_t line_of(Dwarf_Die *die, unsigned attribute) {
  uint32_t line = number_of(die, attribute);
  return line == UINT32_MAX ? 0 : line;
}

static const char *call_file(struct unit *unit, Dwarf_Die *call) {
  Dwarf_Files *files;
  size_t count;
  uint32_t index = number_of(call, DW_AT_call_file);
  if (dwarf_getsrcfiles(&unit->die, &files, &count) || index >= count)
    return "";
  const char *file = dwarf_filesrc(files, index, NULL, NULL);
  return file ? file : "";
}

/* The place that the address itself belongs to. */
static void set_line(struct unit *unit, uint64_t vaddr, struct dwarf_frame *frame) {
  Dwarf_Line *line = dwarf_getsrc_die(&unit->die, vaddr);
  int number;
  const char *file = line ? dwarf_linesrc(line, NULL, NULL) : NULL;
  frame->file = file ? file : "";
  frame->line = line && !dwarf_lineno(line, &number) && number > 0 ? (uint32_t)number : 0;
}

static uint64_t start_of(struct symbol_dwarf *dwarf, Dwarf_Die *die, uint64_t vaddr) {
  Dwarf_Addr base, low, high;
  ptrdiff_t at = 0;
  while ((at = dwarf_ranges(die, at, &base, &low, &high)) > 0 && may_step(dwarf))
    if (low <= vaddr && vaddr < high)
      return low;
  return vaddr;
}

/* Keeps the place that the frame has: it was set by the callee. */
static void set_function(struct symbol_dwarf *dwarf, struct unit *unit, struct dwarf_frame *frame,
                         Dwarf_Die *die, uint64_t vaddr) {
  frame->linkage_name = text_attribute(&dwarf->texts, die, DW_AT_linkage_name);
  if (!frame->linkage_name)
    frame->linkage_name = text_attribute(&dwarf->texts, die, DW_AT_MIPS_linkage_name);
  frame->name = text_attribute(&dwarf->texts, die, DW_AT_name);
  const char *qualified =
      frame->linkage_name ? NULL : scope_names_get(dwarf->names, &dwarf->texts, &unit->die, die);
  if (qualified)
    frame->name = qualified;
  frame->first_line = line_of(die, DW_AT_decl_line);
  frame->start = start_of(dwarf, die, vaddr);
  frame->inlined = dwarf_tag(die) == DW_TAG_inlined_subroutine;
}

uint32_t symbol_dwarf_resolve(struct symbol_dwarf *dwarf, uint64_t vaddr,
                              struct dwarf_frame *frames) {
  uint32_t unit_id, function_id, call_id, count = 0;
  frames[0] = (struct dwarf_frame){.file = "", .directory = ""};
  if (!ranges_find(&dwarf->units_by_address, vaddr, &unit_id))
    return 0;
  struct unit *unit = &dwarf->units[unit_id];
  const char *directory = text_attribute(&dwarf->texts, &unit->die, DW_AT_comp_dir);
  frames[0].directory = directory ? directory : "";
  set_line(unit, vaddr, &frames[0]);
  if (load_unit(dwarf, unit) || !ranges_find(&unit->functions_by_address, vaddr, &function_id))
    return 0;
  struct function *function = &unit->functions[function_id];
  if (!load_function(dwarf, function) &&
      ranges_find(&function->calls_by_address, vaddr, &call_id)) {
    for (; call_id != NO_NODE && count + 1 < DWARF_FRAMES_MAX;
         call_id = function->calls[call_id].caller) {
      struct call *call = &function->calls[call_id];
      set_function(dwarf, unit, &frames[count], &call->die, vaddr);
      frames[++count] = (struct dwarf_frame){.file = call_file(unit, &call->die),
                                             .directory = frames[0].directory,
                                             .line = line_of(&call->die, DW_AT_call_line)};
    }
  }
  set_function(dwarf, unit, &frames[count], &function->die, vaddr);
  return count + 1;
}
