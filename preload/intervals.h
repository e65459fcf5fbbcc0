/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The address ranges that a process mapped, each with its site: disjoint and sorted. The caller
 * locks. */
#ifndef RAGPROF_PRELOAD_INTERVALS_H
#define RAGPROF_PRELOAD_INTERVALS_H

#include <stdbool.h>
#include <stdint.h>

#define INTERVALS_MAX (64u * 1024) /* about the kernel's default for mappings, 65,530 */

struct interval {
  uint64_t start;
  uint64_t end;
  uint32_t site;
  uint32_t is_part; /* was split off: its end is not the end of the block it belonged to */
};

struct intervals {
  uint32_t lock;
  uint32_t count;
  struct interval sorted[INTERVALS_MAX];
};

/* Told of each piece that is cut out: `blocks` is 1 when it was the last of a block, else 0. */
typedef void intervals_cut_fn(void *context, uint32_t site, uint64_t blocks, uint64_t bytes);

/* Cuts [start, end) out of all intervals. Where that leaves two parts and there is no room for the
 * second, it is cut out too. */
void intervals_cut(struct intervals *intervals, uint64_t start, uint64_t end, intervals_cut_fn *cut,
                   void *context);

/* Adds [start, end), which must be free. False: no room. */
bool intervals_add(struct intervals *intervals, uint64_t start, uint64_t end, uint32_t site);

#endif
