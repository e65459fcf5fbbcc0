/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the copied stacks that wait for their events. */
#include "capture/resume.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "unwind/step.h"

#define KEPT_MAX 16 /* a copy is followed by its stack within a few events */

struct resume_store {
  const struct table_store *tables;
  struct event_raw *kept[KEPT_MAX]; /* NULL: free */
  size_t next;                      /* the oldest, replaced next */
};

int resume_store_new(struct resume_store **out, const struct table_store *tables) {
  struct resume_store *store = calloc(1, sizeof(*store));
  if (!store)
    return error_set(ENOMEM, "out of memory");
  store->tables = tables;
  *out = store;
  return 0;
}

void resume_store_free(struct resume_store *store) {
  if (!store)
    return;
  for (size_t i = 0; i < KEPT_MAX; i++)
    free(store->kept[i]);
  free(store);
}

void resume_store_add(struct resume_store *store, const struct event_raw *event, size_t bytes) {
  size_t head = offsetof(struct event_raw, data);
  if (bytes < head || event->bytes > bytes - head)
    return;
  struct event_raw *copy = malloc(head + event->bytes);
  if (!copy)
    return;
  memcpy(copy, event, head + event->bytes);
  free(store->kept[store->next]);
  store->kept[store->next] = copy;
  store->next = (store->next + 1) % KEPT_MAX;
}

static struct event_raw *take(struct resume_store *store, uint64_t id) {
  for (size_t i = 0; i < KEPT_MAX; i++) {
    struct event_raw *raw = store->kept[i];
    if (!raw || raw->id != id)
      continue;
    store->kept[i] = NULL;
    return raw;
  }
  return NULL;
}

static bool read_copy(void *context, uint64_t address, void *out, size_t bytes) {
  const struct event_raw *raw = context;
  uint64_t at = address - raw->sp;
  if (at > raw->bytes || bytes > raw->bytes - at)
    return false;
  memcpy(out, raw->data + at, bytes);
  return true;
}

/* The rows for a pc and the run-time address that they are relative to; false when its mapping has
 * none. */
static bool find_table(const struct resume_store *store, const struct process *process, uint64_t pc,
                       struct unwind_table *table, uint64_t *bias) {
  struct unwind_mapping entry;
  if (!process_describe(process, pc, &entry) || entry.segment == SEGMENT_NONE)
    return false;
  *table = (struct unwind_table){.rows = table_store_rows(store->tables, entry.segment) +
                                         entry.row_first,
                                 .row_count = entry.row_end - entry.row_first};
  *bias = entry.base;
  return true;
}

/* glibc ends the CFI of clone, clone3 and vfork at their system call, which no frame was set up
 * for: the return address is on top of the stack. */
static bool step_from_syscall(struct event_raw *raw, struct unwind_registers *registers) {
  if (!raw->is_after_syscall || registers->ip != raw->ip || registers->sp != raw->sp ||
      !read_copy(raw, registers->sp, &registers->ip, sizeof(registers->ip)))
    return false;
  registers->sp += sizeof(registers->ip);
  return true;
}

static enum walk_end end_of(enum unwind_step step) {
  switch (step) {
  case UNWIND_ROOT:
    return WALK_ROOT;
  case UNWIND_FAILED_READ:
    return WALK_BAD_READ;
  default:
    return WALK_NO_RULE;
  }
}

size_t resume_walk(struct resume_store *store, uint64_t id, const struct process *process,
                   __u64 *frames, size_t capacity, enum walk_end *end) {
  struct event_raw *raw = take(store, id);
  *end = WALK_NO_MAPPING;
  if (!raw)
    return 0;
  struct unwind_registers registers = {.ip = raw->ip, .sp = raw->sp, .bp = raw->bp};
  bool innermost = !raw->is_return;
  size_t count = 0;
  for (;;) {
    uint64_t pc = registers.ip - !innermost, bias = 0;
    struct unwind_table table;
    if (!process_find_mapping(process, pc))
      break;
    bool known = find_table(store, process, pc, &table, &bias);
    const struct unwind_row *row = known ? unwind_table_find(&table, pc - bias) : NULL;
    bool has_rule = row && row->type != ROW_INVALID;
    enum unwind_step step =
        !has_rule && step_from_syscall(raw, &registers)
            ? UNWIND_STEPPED
            : unwind_step(known ? &table : NULL, bias, &registers, innermost, read_copy, raw);
    if (step != UNWIND_STEPPED && step != UNWIND_STEPPED_SIGNAL) {
      *end = end_of(step);
      break;
    }
    innermost = step == UNWIND_STEPPED_SIGNAL;
    *end = registers.ip ? WALK_TOO_DEEP : WALK_ROOT;
    if (!registers.ip || count == capacity)
      break;
    *end = WALK_NO_MAPPING;
    frames[count++] = registers.ip - !innermost;
  }
  free(raw);
  return count;
}
