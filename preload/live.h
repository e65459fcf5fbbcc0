/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of live blocks: a shadow of the address space, a word for each place where a block may
 * begin. A block's word is written by whoever owns the block, so the words need no locks. */
#ifndef RAGPROF_PRELOAD_LIVE_H
#define RAGPROF_PRELOAD_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 47 bits of address = directory, chunk, byte in the chunk. */
#define LIVE_CHUNK_BITS 24
#define LIVE_CHUNKS 4096u
#define LIVE_DIRECTORIES 2048u

struct live_directory;

struct live {
  uint32_t granule_bits; /* blocks begin at multiples of 1 << granule_bits: 3 or 4 */
  struct live_directory *directories[LIVE_DIRECTORIES];
};

/* A word: size << 24 | 1 << 23 | site; 0: no block. */
#define LIVE_SIZE_MAX ((1ull << 40) - 1)
#define LIVE_SITE_MASK ((1u << 23) - 1)

static inline uint64_t live_word(uint32_t site, uint64_t bytes) {
  return bytes << 24 | 1u << 23 | site;
}

static inline uint32_t live_site(uint64_t word) {
  return (uint32_t)word & LIVE_SITE_MASK;
}

static inline uint64_t live_bytes(uint64_t word) {
  return word >> 24;
}

/* Puts a block's word and stores in *old the one that stood there. False: no room, or an address
 * that the table does not reach. */
bool live_put(struct live *live, const void *block, uint64_t word, uint64_t *old);

/* Takes a block's word out; 0 where there is none. */
uint64_t live_take(struct live *live, const void *block);

#endif
