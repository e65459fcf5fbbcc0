/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the encoding of operations for the page. */
#include "render/flame_operations.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/calltree.h"
#include "render/flame_text.h"

struct note {
  enum flame_tone tone;
  const char *label; /* of `labels` */
};

struct flame_operations {
  const struct profile *profile;
  enum calltree_kind *kinds; /* by operation */
  uint32_t *notes_of;        /* by operation */
  struct strtab *labels;
  struct hash note_ids; /* label and tone → note */
  struct note *notes;   /* room for one by operation */
  uint32_t note_count;
};

static int find_note(struct flame_operations *operations, uint32_t index) {
  const struct profile *profile = operations->profile;
  struct calltree_note model = calltree_note_of(profile, &profile->operations[index]);
  struct buf text = {0};
  flame_put_note(&text, FLAME_PLAIN, &model);
  uint32_t label = text.failed ? 0 : strtab_add(operations->labels, buf_text(&text), text.length);
  buf_fini(&text);
  if (!label)
    return -ENOMEM;
  enum flame_tone tone = flame_note_tone(&model);
  uint64_t key = (uint64_t)label << 8 | tone;
  uint32_t *known = hash_get(&operations->note_ids, key);
  uint32_t id = known ? *known : operations->note_count;
  operations->notes_of[index] = id;
  if (known)
    return 0;
  operations->notes[id] = (struct note){tone, strtab_get(operations->labels, label)};
  operations->note_count++;
  return hash_put(&operations->note_ids, key, id);
}

int flame_operations_new(struct flame_operations **out, const struct profile *profile) {
  struct flame_operations *operations = calloc(1, sizeof(*operations));
  uint64_t room = profile->operation_count + 1ull;
  *out = NULL;
  if (!operations)
    return -ENOMEM;
  operations->profile = profile;
  operations->kinds = calloc(room, sizeof(*operations->kinds));
  operations->notes_of = calloc(room, sizeof(*operations->notes_of));
  operations->notes = calloc(room, sizeof(*operations->notes));
  operations->labels = strtab_new();
  int rc = 0;
  if (!operations->kinds || !operations->notes_of || !operations->notes || !operations->labels)
    rc = -ENOMEM;
  for (uint32_t i = 0; !rc && i < profile->operation_count; i++) {
    operations->kinds[i] = calltree_kind_of(profile, &profile->operations[i]);
    if (operations->kinds[i] != CALLTREE_KINDS)
      rc = find_note(operations, i);
  }
  if (rc)
    flame_operations_free(operations);
  else
    *out = operations;
  return rc;
}

void flame_operations_free(struct flame_operations *operations) {
  if (!operations)
    return;
  free(operations->kinds);
  free(operations->notes_of);
  free(operations->notes);
  strtab_free(operations->labels);
  hash_fini(&operations->note_ids);
  free(operations);
}

void flame_operations_mark(const struct flame_operations *operations, uint32_t *node_ids) {
  const struct profile *profile = operations->profile;
  for (size_t i = 0; i < profile->operation_stack_count; i++) {
    const struct profile_operation_stack *stack = &profile->operation_stacks[i];
    if (operations->kinds[stack->operation] != CALLTREE_KINDS && stack->node < profile->node_count)
      node_ids[stack->node] = 1;
  }
}

void flame_operations_put_notes(const struct flame_operations *operations, struct buf *buf,
                                struct strtab *strings) {
  buf_put_varint(buf, operations->note_count);
  for (uint32_t i = 0; i < operations->note_count; i++) {
    const struct note *note = &operations->notes[i];
    buf_put_varint(buf, note->tone);
    buf_put_varint(buf, strtab_add(strings, note->label, strlen(note->label)));
  }
}

/* Whether an operation moved its bytes: those of a mapping were only made visible, those of a
 * retransmission are the sender's once more. */
static bool has_moved(const struct profile_operation *operation) {
  static const char *const movers[] = {"read", "write", "send", "receive"};
  if (operation->class != OPERATION_FILE && operation->class != OPERATION_SOCKET)
    return true;
  for (size_t i = 0; i < sizeof(movers) / sizeof(movers[0]); i++)
    if (!strcmp(operation->name, movers[i]))
      return true;
  return false;
}

static void put_item(const struct flame_operations *operations, struct buf *buf, uint32_t index,
                     uint32_t node, const struct profile_operation_stack *part) {
  const struct profile_operation *operation = &operations->profile->operations[index];
  buf_put_varint(buf, operations->kinds[index] - CALLTREE_SYSCALL);
  buf_put_varint(buf, operations->notes_of[index]);
  buf_put_varint(buf, operation->process);
  buf_put_varint(buf, operation->thread == PROFILE_NONE ? 0 : operation->thread + 1ull);
  buf_put_varint(buf, node);
  buf_put_varint(buf, part->count);
  buf_put_varint(buf, has_moved(operation) ? part->bytes : 0);
  buf_put_varint(buf, part->total_ns);
}

/* Divides operations among their stacks as analysis/calltree.c does. */
void flame_operations_put(const struct flame_operations *operations, struct buf *buf,
                          const uint32_t *node_ids) {
  const struct profile *profile = operations->profile;
  uint64_t count = 0;
  for (uint32_t i = 0; i < profile->operation_count; i++)
    if (operations->kinds[i] != CALLTREE_KINDS)
      count += profile->operations[i].stack_count ? profile->operations[i].stack_count : 1;
  buf_put_varint(buf, count);
  for (uint32_t i = 0; i < profile->operation_count; i++) {
    const struct profile_operation *operation = &profile->operations[i];
    if (operations->kinds[i] == CALLTREE_KINDS)
      continue;
    for (size_t s = 0; s < operation->stack_count; s++) {
      const struct profile_operation_stack *stack =
          &profile->operation_stacks[operation->stack_first + s];
      put_item(operations, buf, i, stack->node < profile->node_count ? node_ids[stack->node] : 0,
               stack);
    }
    struct profile_operation_stack whole = {.count = operation->total.count,
                                            .bytes = operation->total.bytes,
                                            .total_ns = operation->total.total_ns};
    if (!operation->stack_count)
      put_item(operations, buf, i, 0, &whole);
  }
}
