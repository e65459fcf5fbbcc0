/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the u64 → u32 hash table and the string table. */
#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STRTAB_BLOCK_BYTES (64 * 1024)

struct strtab_block {
  struct strtab_block *next;
  size_t used;
  size_t capacity;
  char bytes[];
};

struct strtab {
  struct hash ids; /* hash of the bytes (probed on by +1 at collisions) → id */
  const char **texts;
  uint32_t count;
  uint32_t capacity;
  struct strtab_block *blocks;
};

void hash_fini(struct hash *hash) {
  free(hash->slots);
  *hash = (struct hash){0};
}

uint64_t hash_mix(uint64_t a, uint64_t b) {
  uint64_t x = a + 0x9e3779b97f4a7c15ull + b * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

uint64_t hash_bytes(const void *data, size_t bytes) {
  const uint8_t *at = data;
  uint64_t hash = bytes;
  for (; bytes >= 8; at += 8, bytes -= 8) {
    uint64_t word;
    memcpy(&word, at, 8);
    hash = hash_mix(hash, word);
  }
  uint64_t tail = 0;
  memcpy(&tail, at, bytes);
  return hash_mix(hash, tail);
}

static struct hash_slot *find(const struct hash *hash, uint64_t key) {
  size_t mask = hash->capacity - 1;
  size_t at = hash_mix(key, 0) & mask;
  while (hash->slots[at].used && hash->slots[at].key != key)
    at = (at + 1) & mask;
  return &hash->slots[at];
}

uint32_t *hash_get(const struct hash *hash, uint64_t key) {
  if (!hash->capacity)
    return NULL;
  struct hash_slot *slot = find(hash, key);
  return slot->used ? &slot->value : NULL;
}

static int grow(struct hash *hash) {
  struct hash bigger = {.capacity = hash->capacity ? hash->capacity * 2 : 64, .count = hash->count};
  bigger.slots = calloc(bigger.capacity, sizeof(*bigger.slots));
  if (!bigger.slots)
    return -ENOMEM;
  for (size_t i = 0; i < hash->capacity; i++)
    if (hash->slots[i].used)
      *find(&bigger, hash->slots[i].key) = hash->slots[i];
  free(hash->slots);
  *hash = bigger;
  return 0;
}

int hash_put(struct hash *hash, uint64_t key, uint32_t value) {
  if (hash->count * 4 >= hash->capacity * 3 && grow(hash))
    return -ENOMEM;
  struct hash_slot *slot = find(hash, key);
  hash->count += !slot->used;
  *slot = (struct hash_slot){.key = key, .value = value, .used = 1};
  return 0;
}

struct strtab *strtab_new(void) {
  struct strtab *table = calloc(1, sizeof(*table));
  if (!table)
    return NULL;
  strtab_add(table, "", 0);
  if (table->count == 1)
    return table;
  strtab_free(table);
  return NULL;
}

void strtab_free(struct strtab *table) {
  if (!table)
    return;
  for (struct strtab_block *block = table->blocks, *next; block; block = next) {
    next = block->next;
    free(block);
  }
  free(table->texts);
  hash_fini(&table->ids);
  free(table);
}

static char *store(struct strtab *table, const char *text, size_t bytes) {
  struct strtab_block *block = table->blocks;
  if (!block || block->capacity - block->used < bytes + 1) {
    size_t capacity = bytes + 1 > STRTAB_BLOCK_BYTES ? bytes + 1 : STRTAB_BLOCK_BYTES;
    block = malloc(sizeof(*block) + capacity);
    if (!block)
      return NULL;
    *block = (struct strtab_block){.next = table->blocks, .capacity = capacity};
    table->blocks = block;
  }
  char *at = block->bytes + block->used;
  memcpy(at, text, bytes);
  at[bytes] = '\0';
  block->used += bytes + 1;
  return at;
}

static bool has_room(struct strtab *table) {
  if (table->count < table->capacity)
    return true;
  if (table->capacity > UINT32_MAX / 2)
    return false;
  uint32_t capacity = table->capacity ? table->capacity * 2 : 256;
  const char **texts = realloc(table->texts, capacity * sizeof(*texts));
  if (!texts)
    return false;
  table->texts = texts;
  table->capacity = capacity;
  return true;
}

uint32_t strtab_add(struct strtab *table, const char *text, size_t bytes) {
  uint64_t key = hash_bytes(text, bytes);
  for (uint32_t *id; (id = hash_get(&table->ids, key)); key++) {
    const char *known = table->texts[*id];
    if (strlen(known) == bytes && !memcmp(known, text, bytes))
      return *id;
  }
  if (!has_room(table))
    return 0;
  const char *kept = store(table, text, bytes);
  if (!kept || hash_put(&table->ids, key, table->count))
    return 0;
  table->texts[table->count] = kept;
  return table->count++;
}

const char *strtab_get(const struct strtab *table, uint32_t id) {
  return id < table->count ? table->texts[id] : "";
}

uint32_t strtab_count(const struct strtab *table) {
  return table->count;
}
