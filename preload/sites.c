/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds the site of a stack, or makes it. Lock-free: a site is filled before it is linked into its
 * chain, and stays there. */
#include <string.h>
#include <sys/mman.h>

#include "sys.h"
#include "thread.h"

#define BUCKETS (64u * 1024)
#define TAIL_WORDS_MIN 8u /* a shorter one is not worth a look elsewhere */

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

/* How many of the last words are those of a run. */
static uint32_t common_tail(struct region_run run, const uint64_t *words, uint32_t count) {
  const uint64_t *end = shim_region->words + run.first + run.count;
  uint32_t most = count < run.count ? count : run.count;
  uint32_t common = 0;

  while (common < most && words[count - 1 - common] == *(end - 1 - common))
    common++;
  return common;
}

/* The tail that a stack's words share with the run. Nothing where that saves less than half of
 * them: then they are stored whole, and are the run that later stacks share. */
static struct region_run shared_tail(struct region_run run, const uint64_t *words, uint32_t count) {
  uint32_t common = run.count ? common_tail(run, words, count) : 0;

  if (common < TAIL_WORDS_MIN || common < count / 2)
    return (struct region_run){0};
  return (struct region_run){.first = run.first + run.count - common, .count = common};
}

/* The runs of a thread; none for the signal handler, which may come amidst a change of them. */
static void load_runs(const struct shim_thread *thread, struct region_run *native,
                      struct region_run *python) {
  bool hold = !thread->in_handler && thread->run_serial == shim_region_serial;

  *native = hold ? thread->native_run : (struct region_run){0};
  *python = hold ? thread->python_run : (struct region_run){0};
}

static void keep_runs(struct shim_thread *thread, const struct region_site *site) {
  if (thread->in_handler)
    return;
  if (thread->run_serial != shim_region_serial) {
    thread->run_serial = shim_region_serial;
    thread->native_run = thread->python_run = (struct region_run){0};
  }
  uint32_t first = site->word_first;
  if (!site->native_tail.count)
    thread->native_run = (struct region_run){.first = first, .count = site->native_count};
  first += site->native_count - site->native_tail.count;
  if (!site->python_tail.count && site->python_count)
    thread->python_run = (struct region_run){.first = first, .count = site->python_count};
}

/* Stores the words of a stack but for the tails that lie there already. */
static bool store_words(struct shim_thread *thread, const struct shim_stack *stack,
                        struct region_site *site) {
  struct region *region = shim_region;
  const uint64_t *python = stack->words + stack->native_count;
  struct region_run native_run, python_run;

  load_runs(thread, &native_run, &python_run);
  struct region_run native_tail = shared_tail(native_run, stack->words, stack->native_count);
  struct region_run python_tail = shared_tail(python_run, python, stack->python_count);
  uint32_t native_own = stack->native_count - native_tail.count;
  uint32_t python_own = stack->python_count - python_tail.count;
  uint32_t first = take(&region->word_count, native_own + python_own, REGION_WORDS_MAX);
  uint64_t *to = region->words + first;
  if (first == UINT32_MAX || !shim_region_room(to, (native_own + python_own) * sizeof(*to)))
    return false;

  memcpy(to, stack->words, native_own * sizeof(*to));
  memcpy(to + native_own, python, python_own * sizeof(*to));
  *site = (struct region_site){.word_first = first,
                               .native_count = (uint16_t)stack->native_count,
                               .python_count = (uint16_t)stack->python_count,
                               .native_end = stack->native_end,
                               .python_end = stack->python_end,
                               .native_tail = native_tail,
                               .python_tail = python_tail};
  keep_runs(thread, site);
  return true;
}

/* A new site with its words; 0 where there is no room. */
static uint32_t make_site(struct shim_thread *thread, uint32_t kind, uint64_t hash,
                          const struct shim_stack *stack) {
  struct region *region = shim_region;
  struct region_site site;

  if (__atomic_load_n(&region->site_count, __ATOMIC_RELAXED) >= REGION_SITES_MAX ||
      !store_words(thread, stack, &site))
    return 0;
  uint32_t index = take(&region->site_count, 1, REGION_SITES_MAX);
  if (index == UINT32_MAX || !shim_region_room(region->sites + index, sizeof(region->sites[0])))
    return 0;
  site.hash = hash;
  site.kind = kind;
  site.generation = __atomic_load_n(&region->generation, __ATOMIC_RELAXED);
  region->sites[index] = site;
  __atomic_store_n(&region->sites[index].state, 1, __ATOMIC_RELEASE);
  return index;
}

/* The same frames are another stack once a module was unloaded. */
static uint64_t site_hash(uint32_t kind, const struct shim_stack *stack) {
  uint64_t generation = __atomic_load_n(&shim_region->generation, __ATOMIC_RELAXED);
  uint64_t hash = stack->hash ^ (generation << 8 | (kind + 1)) * 0x9e3779b97f4a7c15ull;

  hash = (hash ^ hash >> 32) * 0xd6e8feb86659fd93ull;
  return hash ? hash : 1;
}

static __attribute__((noinline)) uint32_t find_site(struct shim_thread *thread, uint32_t kind,
                                                    uint64_t hash, const struct shim_stack *stack) {
  struct chains *table = get_chains();
  uint32_t site = 0;

  if (SHIM_LIKELY(table != NULL)) {
    uint32_t *bucket = &table->first[hash >> 48];
    uint32_t first = __atomic_load_n(bucket, __ATOMIC_ACQUIRE);
    uint32_t searched = 0; /* the chain from here on holds no such site */

    if (SHIM_LIKELY((site = search(table, first, 0, hash)) != 0))
      return site;
    for (uint32_t made = make_site(thread, kind, hash, stack); made && !site;) {
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
    return find_site(thread, kind, hash, stack);
  if (SHIM_UNLIKELY(known->hash != hash || known->serial != shim_region_serial)) {
    uint32_t site = find_site(thread, kind, hash, stack);
    if (site <= REGION_CALLS)
      return site;
    *known = (struct shim_known_site){.hash = hash, .site = site, .serial = shim_region_serial};
  }
  return known->site;
}
