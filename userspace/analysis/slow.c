/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the sums of slow system calls. */
#include "analysis/slow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"

static void add(struct slow_row *row, const struct profile_slow_operation *slow) {
  row->count++;
  row->errors += slow->result < 0;
  row->total_ns += slow->duration_ns;
  if (row->count > 1 && slow->duration_ns <= row->max_ns)
    return;
  row->max_ns = slow->duration_ns;
  row->max_time_ns = slow->time_ns;
  row->node = slow->node;
}

static int compare(const void *left, const void *right) {
  const struct slow_row *a = left, *b = right;
  if (a->total_ns != b->total_ns)
    return a->total_ns < b->total_ns ? 1 : -1;
  int order = strcmp(a->name, b->name);
  if (!order)
    order = (a->object > b->object) - (a->object < b->object);
  return order ? order : (a->node > b->node) - (a->node < b->node);
}

static uint32_t object_of(const struct profile *profile,
                          const struct profile_slow_operation *slow) {
  uint32_t own = profile->operations[slow->operation].object;
  return slow->object == PROFILE_NONE ? own : slow->object;
}

int slow_build(struct slow *slow, const struct profile *profile, const struct stacks *stacks) {
  struct hash rows = {0};
  uint32_t capacity = 0;
  int rc = 0;
  *slow = (struct slow){0};
  for (size_t i = 0; !rc && i < profile->slow_operation_count; i++) {
    const struct profile_slow_operation *from = &profile->slow_operations[i];
    const struct profile_operation *operation = &profile->operations[from->operation];
    if (operation->class != OPERATION_SYSCALL)
      continue;
    uint32_t object = object_of(profile, from);
    uint64_t key = hash_mix(hash_bytes(operation->name, strlen(operation->name)), object);
    key = hash_mix(key, stacks->merged[from->node]);
    uint32_t *known = hash_get(&rows, key);
    if (known) {
      add(&slow->rows[*known], from);
      continue;
    }
    struct slow_row *grown = array_grown(slow->rows, slow->count, &capacity, sizeof(*grown));
    if (!grown) {
      rc = -ENOMEM;
      break;
    }
    slow->rows = grown;
    grown[slow->count] = (struct slow_row){.name = operation->name, .object = object};
    add(&grown[slow->count], from);
    rc = hash_put(&rows, key, slow->count++);
  }
  hash_fini(&rows);
  if (slow->count)
    qsort(slow->rows, slow->count, sizeof(*slow->rows), compare);
  return rc;
}

void slow_fini(struct slow *slow) {
  free(slow->rows);
  *slow = (struct slow){0};
}
