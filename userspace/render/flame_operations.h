/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel did, by stack, as the page carries it: two parts of the data that flame_data.h
 * draws.
 *
 *   count, notes: tone | label (string number)
 *   count, items: kind - CALLTREE_SYSCALL | note | process | thread + 1 | node | count | bytes | ns
 *
 * A note is what a leaf says; an item is what of an operation fell to a stack. Thread 0: all of the
 * process; node 0: no stack is known. Of files and sockets, bytes are those read, written, sent and
 * received. */
#ifndef RAGPROF_RENDER_FLAME_OPERATIONS_H
#define RAGPROF_RENDER_FLAME_OPERATIONS_H

#include "base/buf.h"
#include "base/hash.h"
#include "model/profile.h"

struct flame_operations;

/* 0 or -ENOMEM. */
int flame_operations_new(struct flame_operations **out, const struct profile *profile);
void flame_operations_free(struct flame_operations *operations);

/* Sets node_ids[] of the nodes of stacks to 1. */
void flame_operations_mark(const struct flame_operations *operations, uint32_t *node_ids);
void flame_operations_put_notes(const struct flame_operations *operations, struct buf *buf,
                                struct strtab *strings);
/* `node_ids`: the profile's nodes to the page's. */
void flame_operations_put(const struct flame_operations *operations, struct buf *buf,
                          const uint32_t *node_ids);

#endif
