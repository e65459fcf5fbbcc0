/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What hooks need of the accounting besides shim.h: a block whose end is not certain yet, and
 * counters without a table of blocks. */
#ifndef RAGPROF_PRELOAD_ALLOC_H
#define RAGPROF_PRELOAD_ALLOC_H

#include "shim.h"

/* A block that realloc may give back: taken out of the table before, then either counted as freed
 * or put back. 0: it was not known. */
uint64_t shim_block_take(uint32_t kind, void *block);
void shim_block_taken_free(struct shim_thread *thread, uint32_t kind, void *block, uint64_t word);
void shim_block_put_back(uint32_t kind, void *block, uint64_t word);

/* Adds what the thread kept to itself of the live bytes to those of the process. */
void shim_live_flush(struct shim_thread *thread);

/* Before the first block. */
void shim_blocks_start(bool is_foreign);

/* Counts at a site alone, exactly. */
void shim_site_new(uint32_t site, uint64_t blocks, uint64_t bytes);
void shim_site_free(uint32_t site, uint64_t blocks, uint64_t bytes);

#endif
