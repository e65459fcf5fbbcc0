/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns what kinds of call trees there are, and which operations belong to which. */
#include <errno.h>
#include <string.h>

#include "analysis/calltree.h"

static const struct kind {
  const char *name;
  const char *title;
  enum calltree_group group;
  enum calltree_unit unit;
} kinds[CALLTREE_KINDS] = {
    [CALLTREE_CPU] = {"cpu", "on-CPU time", CALLTREE_TIME, CALLTREE_NS},
    [CALLTREE_OFF_CPU] = {"off-cpu", "off-CPU time", CALLTREE_TIME, CALLTREE_NS},
    [CALLTREE_WALL] = {"wall", "wall time", CALLTREE_TIME, CALLTREE_NS},
    [CALLTREE_ALLOC] = {"alloc", "memory allocated", CALLTREE_MEMORY, CALLTREE_BYTES},
    [CALLTREE_LIVE] = {"live", "memory live at the end", CALLTREE_MEMORY, CALLTREE_BYTES},
    [CALLTREE_LEAK] = {"leak", "memory leaked", CALLTREE_MEMORY, CALLTREE_BYTES_PER_S},
    [CALLTREE_PEAK] = {"peak", "memory live at the peak", CALLTREE_MEMORY, CALLTREE_BYTES},
    [CALLTREE_SYSCALL] = {"syscall", "time in system calls", CALLTREE_OPERATIONS, CALLTREE_NS},
    [CALLTREE_IO] = {"io", "time of file and socket operations", CALLTREE_OPERATIONS, CALLTREE_NS},
    [CALLTREE_BLOCK] = {"block", "time of disk requests", CALLTREE_OPERATIONS, CALLTREE_NS},
    [CALLTREE_FAULT] = {"fault", "page faults", CALLTREE_OPERATIONS, CALLTREE_FAULTS},
    [CALLTREE_LOCK] = {"lock", "time waited for locks", CALLTREE_OPERATIONS, CALLTREE_NS},
    [CALLTREE_GIL] = {"gil", "time waited for the GIL, and held while others waited",
                      CALLTREE_OPERATIONS, CALLTREE_NS},
};

static const struct kind *kind_of(enum calltree_kind kind) {
  static const struct kind unknown = {"unknown", "unknown", CALLTREE_TIME, CALLTREE_NS};
  return (unsigned)kind < CALLTREE_KINDS ? &kinds[kind] : &unknown;
}

const char *calltree_kind_name(enum calltree_kind kind) {
  return kind_of(kind)->name;
}

const char *calltree_kind_title(enum calltree_kind kind) {
  return kind_of(kind)->title;
}

enum calltree_group calltree_kind_group(enum calltree_kind kind) {
  return kind_of(kind)->group;
}

enum calltree_unit calltree_kind_unit(enum calltree_kind kind) {
  return kind_of(kind)->unit;
}

int calltree_kind_parse(const char *text, enum calltree_kind *kind) {
  for (int i = 0; i < CALLTREE_KINDS; i++)
    if (!strcmp(text, kinds[i].name)) {
      *kind = i;
      return 0;
    }
  return -EINVAL;
}

/* ---- operations ---- */

/* The first row that fits says the kind. `name` NULL: any. A "device read" is a part of the read
 * that caused it. */
static const struct rule {
  enum operation_class class;
  const char *name;
  bool is_gil;
  enum calltree_kind kind;
  const char *leaf; /* NULL: the operation's name and its object */
} rules[] = {
    {OPERATION_SYSCALL, NULL, false, CALLTREE_SYSCALL, NULL},
    {OPERATION_FILE, "device read", false, CALLTREE_KINDS, NULL},
    {OPERATION_FILE, NULL, false, CALLTREE_IO, NULL},
    {OPERATION_SOCKET, NULL, false, CALLTREE_IO, NULL},
    {OPERATION_BLOCK, NULL, false, CALLTREE_BLOCK, NULL},
    {OPERATION_FAULT, NULL, false, CALLTREE_FAULT, NULL},
    {OPERATION_LOCK, "wait", false, CALLTREE_LOCK, NULL},
    {OPERATION_LOCK, "wait", true, CALLTREE_GIL, "waiting for the GIL"},
    {OPERATION_LOCK, "hold", true, CALLTREE_GIL, "holding the GIL while others wait"},
};

static const char *object_name(const struct profile *profile,
                               const struct profile_operation *operation) {
  return operation->object < profile->object_count ? profile->objects[operation->object].name : "";
}

static const struct rule *rule_of(const struct profile *profile,
                                  const struct profile_operation *operation) {
  bool is_gil =
      operation->class == OPERATION_LOCK && !strcmp(object_name(profile, operation), "GIL");
  for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
    if (rules[i].class == operation->class && rules[i].is_gil == is_gil &&
        (!rules[i].name || !strcmp(rules[i].name, operation->name)))
      return &rules[i];
  return NULL;
}

enum calltree_kind calltree_kind_of(const struct profile *profile,
                                    const struct profile_operation *operation) {
  const struct rule *rule = rule_of(profile, operation);
  return rule ? rule->kind : CALLTREE_KINDS;
}

struct calltree_note calltree_note_of(const struct profile *profile,
                                      const struct profile_operation *operation) {
  const struct rule *rule = rule_of(profile, operation);
  bool is_named = rule && rule->leaf;
  return (struct calltree_note){.class = operation->class,
                                .name = is_named ? rule->leaf : operation->name,
                                .object = is_named ? "" : object_name(profile, operation)};
}

bool calltree_is_recorded(const struct profile *profile, enum calltree_kind kind) {
  enum calltree_group group = calltree_kind_group(kind);
  if (group == CALLTREE_MEMORY)
    return profile->heap_site_count > 0;
  for (uint32_t i = 0; group == CALLTREE_OPERATIONS && i < profile->operation_count; i++)
    if (calltree_kind_of(profile, &profile->operations[i]) == kind)
      return true;
  return group == CALLTREE_TIME;
}
