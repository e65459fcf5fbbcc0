/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The shadow of the address space: chunks of words, mapped when the first block of their 16 MiB is
 * put, found through two levels. A fork's child finds all of them wiped. Frees no memory. */
#include "live.h"
#include "shim.h"

#define CHUNK_BYTES (1u << LIVE_CHUNK_BITS)
#define DIRECTORY_BITS (LIVE_CHUNK_BITS + 12)
_Static_assert(LIVE_CHUNKS == 1u << 12, "DIRECTORY_BITS");

struct live_directory {
  uint64_t *chunks[LIVE_CHUNKS];
};

/* Stores `made` unless another thread was first; what is there then. */
static void *settle(void **place, void *made, size_t bytes) {
  void *there = NULL;

  if (!made ||
      __atomic_compare_exchange_n(place, &there, made, false, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE))
    return made;
  shim_unmap(made, bytes);
  return there;
}

static uint64_t *make_chunk(struct live *live, uint64_t address) {
  struct live_directory **place = &live->directories[address >> DIRECTORY_BITS];
  struct live_directory *directory = __atomic_load_n(place, __ATOMIC_ACQUIRE);
  size_t bytes = (CHUNK_BYTES >> live->granule_bits) * sizeof(uint64_t);

  if (!directory)
    directory = settle((void **)place, shim_map(sizeof(*directory)), sizeof(*directory));
  if (!directory)
    return NULL;
  uint64_t **chunk = &directory->chunks[(address >> LIVE_CHUNK_BITS) % LIVE_CHUNKS];
  return settle((void **)chunk, shim_map_wiped(bytes), bytes);
}

static inline uint64_t *find_chunk(const struct live *live, uint64_t address) {
  if (SHIM_UNLIKELY(address >> DIRECTORY_BITS >= LIVE_DIRECTORIES))
    return NULL;
  const struct live_directory *directory =
      __atomic_load_n(&live->directories[address >> DIRECTORY_BITS], __ATOMIC_ACQUIRE);
  if (SHIM_UNLIKELY(!directory))
    return NULL;
  return __atomic_load_n(&directory->chunks[(address >> LIVE_CHUNK_BITS) % LIVE_CHUNKS],
                         __ATOMIC_ACQUIRE);
}

static inline uint64_t *word_of(const struct live *live, uint64_t *chunk, uint64_t address) {
  return chunk + (address % CHUNK_BYTES >> live->granule_bits);
}

bool live_put(struct live *live, const void *block, uint64_t word, uint64_t *old) {
  uint64_t address = (uint64_t)block;
  uint64_t *chunk = find_chunk(live, address);

  if (SHIM_UNLIKELY(!chunk)) {
    if (address >> DIRECTORY_BITS >= LIVE_DIRECTORIES || !(chunk = make_chunk(live, address)))
      return false;
  }
  uint64_t *place = word_of(live, chunk, address);
  *old = __atomic_load_n(place, __ATOMIC_RELAXED);
  __atomic_store_n(place, word, __ATOMIC_RELAXED);
  return true;
}

uint64_t live_take(struct live *live, const void *block) {
  uint64_t *chunk = find_chunk(live, (uint64_t)block);
  if (SHIM_UNLIKELY(!chunk))
    return 0;

  uint64_t *place = word_of(live, chunk, (uint64_t)block);
  uint64_t word = __atomic_load_n(place, __ATOMIC_RELAXED);
  if (word)
    __atomic_store_n(place, 0, __ATOMIC_RELAXED);
  return word;
}
