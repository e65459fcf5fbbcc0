/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns qualifying names by the scopes around a DWARF entry. libdw has no way up from an entry, so
 * that each search walks the unit: answers are kept, and searches counted. */
#include "symbol/scope.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "symbol/internal.h"

#define SEARCHES_MAX 1000
#define ORIGINS_MAX 16

struct scope_names {
  struct hash ids; /* offset of the entry → index in texts + 1; 0: nothing to add */
  char **texts;
  uint32_t count;
};

struct scope_names *scope_names_new(void) {
  struct scope_names *names = calloc(1, sizeof(*names));
  if (names)
    names->texts = calloc(SEARCHES_MAX, sizeof(*names->texts));
  if (names && names->texts)
    return names;
  free(names);
  return NULL;
}

void scope_names_free(struct scope_names *names) {
  if (!names)
    return;
  for (uint32_t i = 0; i < names->count; i++)
    free(names->texts[i]);
  free(names->texts);
  hash_fini(&names->ids);
  free(names);
}

static bool is_cpp(Dwarf_Die *unit) {
  switch (dwarf_srclang(unit)) {
  case DW_LANG_C_plus_plus:
  case DW_LANG_C_plus_plus_03:
  case DW_LANG_C_plus_plus_11:
  case DW_LANG_C_plus_plus_14:
    return true;
  default:
    return false;
  }
}

/* To the entry that is referred to, if any. */
static void follow(Dwarf_Die *die, unsigned attribute) {
  Dwarf_Attribute value;
  for (int i = 0; i < ORIGINS_MAX && dwarf_attr(die, attribute, &value); i++)
    if (!dwarf_formref_die(&value, die))
      return;
}

static void prepend(struct buf *text, const char *scope) {
  struct buf longer = {0};
  buf_put_text(&longer, scope);
  if (text->length)
    buf_put_text(&longer, "::");
  buf_put(&longer, text->data, text->length);
  buf_fini(text);
  *text = longer;
}

/* Whether the scope is qualified itself. */
static bool prepend_scope(const struct text_sections *texts, struct buf *text, Dwarf_Die *scope) {
  const char *linkage = text_attribute(texts, scope, DW_AT_linkage_name);
  char *readable = linkage && text->length ? symbol_demangle(linkage) : NULL;
  const char *name = text_attribute(texts, scope, DW_AT_name);
  if (readable)
    prepend(text, readable);
  else if (name)
    prepend(text, name);
  else if (text->length) /* the class of a lambda has no name */
    prepend(text, strcmp(buf_text(text), "operator()") ? "{unnamed}" : "{lambda}");
  bool is_qualified = readable;
  free(readable);
  return is_qualified;
}

static bool is_named_scope(Dwarf_Die *die) {
  switch (dwarf_tag(die)) {
  case DW_TAG_subprogram:
  case DW_TAG_class_type:
  case DW_TAG_structure_type:
  case DW_TAG_union_type:
  case DW_TAG_namespace:
    return true;
  default:
    return false;
  }
}

/* malloc'ed, or NULL: no scope but the unit is around it. */
static char *qualify(const struct text_sections *texts, Dwarf_Die *function) {
  Dwarf_Die *scopes;
  struct buf text = {0};
  int qualified_by = -1;
  int count = dwarf_getscopes_die(function, &scopes);
  for (int i = 0; i < count; i++) {
    if (!is_named_scope(&scopes[i]))
      continue;
    qualified_by++;
    if (prepend_scope(texts, &text, &scopes[i]) || text.length > SYMBOL_NAME_MAX_BYTES)
      break;
  }
  if (count > 0)
    free(scopes);
  char *name = qualified_by > 0 && !text.failed ? strdup(buf_text(&text)) : NULL;
  buf_fini(&text);
  if (name)
    symbol_shorten(name);
  return name;
}

const char *scope_names_get(struct scope_names *names, const struct text_sections *texts,
                            Dwarf_Die *unit, Dwarf_Die *function) {
  Dwarf_Die origin = *function;
  follow(&origin, DW_AT_abstract_origin);
  follow(&origin, DW_AT_specification);
  uint64_t key = dwarf_dieoffset(&origin);
  uint32_t *known = hash_get(&names->ids, key);
  if (known)
    return *known ? names->texts[*known - 1] : NULL;
  if (names->count == SEARCHES_MAX || !is_cpp(unit))
    return NULL;
  char *text = qualify(texts, &origin);
  names->texts[names->count++] = text;
  hash_put(&names->ids, key, text ? names->count : 0);
  return text;
}
