/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds the site of a stack, or makes it. Lock-free: a site is filled before it is linked into its
 * chain, and stays there. */
#include <string.h>
#include <sys/mman.h>

#include "sys.h"
#include "thread.h"

#define BUCKETS (64u * 1024)

/* The chains: sites by number, 0 ends one (site 0 is in none). */
struct chains {
  uint32_t first[BUCKETS];
  uint32_t next[REGION_SITES_MAX];
};

static struct chains *chains;

static struct chains *get_chains(void) {
  struct chains *known = __atomic_load_n(&chains, __ATOMIC_ACQUIRE);
  if (SHIM_LIKELY(known != NULL))
    return known;

  struct chains *made = shim_map(sizeof(*made));
  if (made && !__atomic_compare_exchange_n(&chains, &known, made, false, __ATOMIC_RELEASE,
                                           __ATOMIC_ACQUIRE)) {
    shim_unmap(made, sizeof(*made));
    return known;
  }
  return made;
}

void shim_sites_start(void) {
  if (chains)
    shim_syscall(SYS_madvise, chains, sizeof(*chains), MADV_DONTNEED);
}

/* Takes `count` more of a table that has `room`; its first, or UINT32_MAX. */
static uint32_t take(uint32_t *used, uint32_t count, uint32_t room) {
  uint32_t first = __atomic_load_n(used, __ATOMIC_RELAXED);

  do
    if (count > room - first)
      return UINT32_MAX;
  while (!__atomic_compare_exchange_n(used, &first, first + count, true, __ATOMIC_RELAXED,
                                      __ATOMIC_RELAXED));
  return first;
}

static uint32_t search(const struct chains *table, uint32_t site, uint32_t end, uint64_t hash) {
  while (site != end && shim_region->sites[site].hash != hash)
    site = table->next[site];
  return site == end ? 0 : site;
}

/* A new site with its words; 0 where there is no room. */
static uint32_t make_site(uint32_t kind, uint64_t hash, const struct shim_stack *stack) {
  struct region *region = shim_region;
  uint32_t count = stack->native_count + stack->python_count;

  if (__atomic_load_n(&region->site_count, __ATOMIC_RELAXED) >= REGION_SITES_MAX)
    return 0;
  uint32_t first = take(&region->word_count, count, REGION_WORDS_MAX);
  if (first == UINT32_MAX ||
      !shim_region_room(region->words + first, count * sizeof(region->words[0])))
    return 0;
  uint32_t index = take(&region->site_count, 1, REGION_SITES_MAX);
  if (index == UINT32_MAX || !shim_region_room(region->sites + index, sizeof(region->sites[0])))
    return 0;

  struct region_site *site = &region->sites[index];
  memcpy(region->words + first, stack->words, count * sizeof(region->words[0]));
  site->hash = hash;
  site->kind = kind;
  site->word_first = first;
  site->native_count = (uint16_t)stack->native_count;
  site->python_count = (uint16_t)stack->python_count;
  site->native_end = stack->native_end;
  site->python_end = stack->python_end;
  site->generation = __atomic_load_n(&region->generation, __ATOMIC_RELAXED);
  __atomic_store_n(&site->state, 1, __ATOMIC_RELEASE);
  return index;
}

/* The same frames are another stack once a module was unloaded. */
static uint64_t site_hash(uint32_t kind, const struct shim_stack *stack) {
  uint64_t generation = __atomic_load_n(&shim_region->generation, __ATOMIC_RELAXED);
  uint64_t hash = stack->hash ^ (generation << 8 | (kind + 1)) * 0x9e3779b97f4a7c15ull;

  hash = (hash ^ hash >> 32) * 0xd6e8feb86659fd93ull;
  return hash ? hash : 1;
}

static __attribute__((noinline)) uint32_t find_site(uint32_t kind, uint64_t hash,
                                                    const struct shim_stack *stack) {
  struct chains *table = get_chains();
  uint32_t site = 0;

  if (SHIM_LIKELY(table != NULL)) {
    uint32_t *bucket = &table->first[hash >> 48];
    uint32_t first = __atomic_load_n(bucket, __ATOMIC_ACQUIRE);
    uint32_t searched = 0; /* the chain from here on holds no such site */

    if (SHIM_LIKELY((site = search(table, first, 0, hash)) != 0))
      return site;
    for (uint32_t made = make_site(kind, hash, stack); made && !site;) {
      table->next[made] = searched = first;
      if (__atomic_compare_exchange_n(bucket, &first, made, false, __ATOMIC_RELEASE,
                                      __ATOMIC_ACQUIRE))
        return made;
      site = search(table, first, searched, hash);
    }
  }
  if (site)
    return site;
  __atomic_add_fetch(&shim_region->lost_sites, 1, __ATOMIC_RELAXED);
  return kind < REGION_CALLS ? kind : REGION_CALLS;
}

uint32_t shim_site(struct shim_thread *thread, uint32_t kind, const struct shim_stack *stack) {
  uint64_t hash = site_hash(kind, stack);
  struct shim_known_site *known = &thread->sites[hash % SHIM_KNOWN_SITES];

  if (thread->in_handler) /* what it interrupted may be at that entry */
    return find_site(kind, hash, stack);
  if (SHIM_UNLIKELY(known->hash != hash || known->serial != shim_region_serial)) {
    uint32_t site = find_site(kind, hash, stack);
    if (site <= REGION_CALLS)
      return site;
    *known = (struct shim_known_site){.hash = hash, .site = site, .serial = shim_region_serial};
  }
  return known->site;
}
