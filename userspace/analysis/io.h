/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What was done to each file, peer, disk or mapping, kind by kind. */
#ifndef RAGPROF_ANALYSIS_IO_H
#define RAGPROF_ANALYSIS_IO_H

#include <stdint.h>

#include "analysis/operations.h"

/* The names of operations, as trace.h has them. */
enum io_kind {
  IO_OPEN,
  IO_READ,
  IO_WRITE,
  IO_FSYNC,
  IO_MAP,
  IO_DEVICE_READ,
  IO_CONNECT,
  IO_ACCEPT,
  IO_SEND,
  IO_RECEIVE,
  IO_RETRANSMIT,
  IO_DNS,
  IO_FLUSH,
  IO_DISCARD,
  IO_MAJOR,
  IO_MINOR,
  IO_KINDS
};

struct io_row {
  uint32_t object;                             /* index */
  const struct operation_row *kinds[IO_KINDS]; /* NULL: none */
  uint64_t total_ns; /* of its kinds, but for those that pass beside the caller */
  uint64_t bytes;    /* the same */
  uint64_t count;
};

struct io {
  struct operations operations; /* by object and name, over all processes */
  struct io_row *rows;          /* by time, bytes and count */
  uint32_t count;
};

/* 0 or -ENOMEM; fini either way. */
int io_build(struct io *io, const struct profile *profile, const struct stacks *stacks,
             enum operation_class class);
void io_fini(struct io *io);

/* Sums of all zeros where there is none of the kind. */
const struct operation_sum *io_sum(const struct io_row *row, enum io_kind kind);

/* The share of the bytes read that came from the page cache, 0 to 100; negative: nothing was read.
 * What was read ahead counts against it. */
double io_cached_pct(const struct io_row *row);

#endif
