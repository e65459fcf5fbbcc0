/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the kinds of input and output, and the rows by what it was done to. */
#include "analysis/io.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const struct {
  const char *name;
  bool is_beside; /* part of another kind, or nobody's waiting */
} kinds[IO_KINDS] = {
    [IO_OPEN] = {"open", false},
    [IO_READ] = {"read", false},
    [IO_WRITE] = {"write", false},
    [IO_FSYNC] = {"fsync", false},
    [IO_MAP] = {"mmap", false},
    [IO_DEVICE_READ] = {"device read", true},
    [IO_CONNECT] = {"connect", false},
    [IO_ACCEPT] = {"accept", false},
    [IO_SEND] = {"send", false},
    [IO_RECEIVE] = {"receive", false},
    [IO_RETRANSMIT] = {"retransmit", true},
    [IO_DNS] = {"dns", true},
    [IO_FLUSH] = {"flush", false},
    [IO_DISCARD] = {"discard", false},
    [IO_MAJOR] = {"major", false},
    [IO_MINOR] = {"minor", false},
};

const struct operation_sum *io_sum(const struct io_row *row, enum io_kind kind) {
  static const struct operation_sum none;
  return row->kinds[kind] ? &row->kinds[kind]->sum : &none;
}

double io_cached_pct(const struct io_row *row) {
  uint64_t read_bytes = io_sum(row, IO_READ)->bytes;
  uint64_t device_bytes = io_sum(row, IO_DEVICE_READ)->bytes;
  if (!read_bytes)
    return -1;
  if (device_bytes >= read_bytes)
    return 0;
  return 100.0 * (double)(read_bytes - device_bytes) / (double)read_bytes;
}

static void fill(struct io_row *row, const struct operations *operations,
                 const struct operation_object *object) {
  row->object = object->object;
  for (int kind = 0; kind < IO_KINDS; kind++) {
    row->kinds[kind] = operations_find(operations, object, kinds[kind].name);
    if (kinds[kind].is_beside)
      continue;
    row->total_ns += io_sum(row, kind)->total_ns;
    row->bytes += io_sum(row, kind)->bytes;
    row->count += io_sum(row, kind)->count;
  }
}

static int compare(const void *left, const void *right) {
  const struct io_row *a = left, *b = right;
  if (a->total_ns != b->total_ns)
    return a->total_ns < b->total_ns ? 1 : -1;
  if (a->bytes != b->bytes)
    return a->bytes < b->bytes ? 1 : -1;
  if (a->count != b->count)
    return a->count < b->count ? 1 : -1;
  return (a->object > b->object) - (a->object < b->object);
}

int io_build(struct io *io, const struct profile *profile, const struct stacks *stacks,
             enum operation_class class) {
  *io = (struct io){0};
  int rc = operations_build(&io->operations, profile, stacks, class,
                            OPERATIONS_BY_OBJECT | OPERATIONS_BY_NAME);
  if (rc)
    return rc;
  io->rows = calloc(io->operations.object_count + (size_t)1, sizeof(*io->rows));
  if (!io->rows)
    return -ENOMEM;
  for (uint32_t i = 0; i < io->operations.object_count; i++)
    fill(&io->rows[io->count++], &io->operations, &io->operations.objects[i]);
  qsort(io->rows, io->count, sizeof(*io->rows), compare);
  return 0;
}

void io_fini(struct io *io) {
  operations_fini(&io->operations);
  free(io->rows);
  *io = (struct io){0};
}
