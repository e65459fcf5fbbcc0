/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A hash table from 64-bit keys to 32-bit values (open addressing, grows, no removal), and the
 * string table that is built on it. */
#ifndef RAGPROF_BASE_HASH_H
#define RAGPROF_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash_slot {
  uint64_t key;
  uint32_t value;
  uint32_t used;
};

struct hash {
  struct hash_slot *slots;
  size_t capacity; /* a power of two, or 0 */
  size_t count;
};

void hash_fini(struct hash *hash);
/* NULL when the key is absent. The pointer is valid until the next hash_put. */
uint32_t *hash_get(const struct hash *hash, uint64_t key);
/* Sets or replaces. 0 or -ENOMEM. */
int hash_put(struct hash *hash, uint64_t key, uint32_t value);

/* Mixes two words into one well-spread word (the finaliser of SplitMix64). */
uint64_t hash_mix(uint64_t a, uint64_t b);
uint64_t hash_bytes(const void *data, size_t bytes);

/* Interned strings. Id 0 is the empty string; ids are dense and never change. Strings may hold any
 * bytes but NUL. */
struct strtab;

struct strtab *strtab_new(void);
void strtab_free(struct strtab *table);
/* The string's id; 0 also when memory ran out. */
uint32_t strtab_add(struct strtab *table, const char *text, size_t bytes);
/* "" for an unknown id. The pointer is valid as long as the table. */
const char *strtab_get(const struct strtab *table, uint32_t id);
uint32_t strtab_count(const struct strtab *table);

#endif
