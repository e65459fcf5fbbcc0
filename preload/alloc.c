/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counts blocks at their sites, exactly or by samples, and notes the live ones. Knows no allocator:
 * hooks tell it what was handed out and what comes back. */
#include "alloc.h"
#include "live.h"
#include "sample.h"

#define LIVE_STEP_BYTES (64 * 1024) /* a thread keeps less than that to itself */
#define ANSWER_EVENTS 256u          /* how often a request of the collector's is looked for */

/* While it is true no other thread runs, and counters need no locked instruction. glibc 2.32. */
extern char __libc_single_threaded __attribute__((weak));

SHIM_TLS int64_t shim_countdown[2];
static SHIM_TLS bool countdown_drawn[2];
uint16_t shim_sampled_pages[2][SHIM_PAGE_CLASSES];

static struct live blocks[2] = {{.granule_bits = 4}, {.granule_bits = 4}};

static inline bool is_alone(void) {
  return &__libc_single_threaded && __libc_single_threaded;
}

static inline uint64_t add(uint64_t *counter, uint64_t value, bool alone) {
  if (!alone)
    return __atomic_add_fetch(counter, value, __ATOMIC_RELAXED);
  uint64_t sum = __atomic_load_n(counter, __ATOMIC_RELAXED) + value;
  __atomic_store_n(counter, sum, __ATOMIC_RELAXED);
  return sum;
}

static inline void raise(int64_t *peak, int64_t value) {
  int64_t known = __atomic_load_n(peak, __ATOMIC_RELAXED);

  while (value > known && !__atomic_compare_exchange_n(peak, &known, value, true, __ATOMIC_RELAXED,
                                                       __ATOMIC_RELAXED))
    ;
}

static inline void count_new(struct region_site *site, uint64_t count, uint64_t bytes, bool alone) {
  add(&site->allocations, count, alone);
  uint64_t allocated = add(&site->allocated_bytes, bytes, alone);
  uint64_t freed = __atomic_load_n(&site->freed_bytes, __ATOMIC_RELAXED);
  raise((int64_t *)&site->peak_bytes, (int64_t)(allocated - freed));
}

static inline void count_free(struct region_site *site, uint64_t count, uint64_t bytes,
                              bool alone) {
  add(&site->frees, count, alone);
  add(&site->freed_bytes, bytes, alone);
}

void shim_site_new(uint32_t site, uint64_t count, uint64_t bytes) {
  count_new(&shim_region->sites[site], count, bytes, is_alone());
}

void shim_site_free(uint32_t site, uint64_t count, uint64_t bytes) {
  count_free(&shim_region->sites[site], count, bytes, is_alone());
}

static inline void flush_live(struct shim_thread *thread, bool alone) {
  int64_t live =
      (int64_t)add((uint64_t *)&shim_region->live_bytes, (uint64_t)thread->live_delta, alone);

  thread->live_delta = 0;
  raise(&shim_region->peak_bytes, live);
}

void shim_live_flush(struct shim_thread *thread) {
  flush_live(thread, is_alone());
}

/* Adds to the live bytes of the process, by steps while there are other threads. */
static inline void add_live(struct shim_thread *thread, int64_t bytes, bool alone) {
  thread->live_delta += bytes;
  if (alone || thread->live_delta >= LIVE_STEP_BYTES || thread->live_delta <= -LIVE_STEP_BYTES)
    flush_live(thread, alone);
}

/* The interval of a kind that is sampled, else 0. */
static inline uint32_t interval_of(uint32_t kind) {
  enum shim_mode mode = kind == REGION_PYTHON ? shim_config.python : shim_config.alloc;

  return SHIM_UNLIKELY(mode == SHIM_SAMPLED) ? shim_config.interval_bytes : 0;
}

static inline uint16_t *pages_of(uint32_t kind, const void *block) {
  return &shim_sampled_pages[kind][(uintptr_t)block / 4096 % SHIM_PAGE_CLASSES];
}

static inline struct sample_weight weight_of(uint32_t interval, const void *block, uint64_t bytes) {
  if (SHIM_UNLIKELY(interval))
    return sample_weight(block, bytes, interval);
  return (struct sample_weight){.blocks = 1, .bytes = bytes};
}

static inline void count_word_free(struct shim_thread *thread, uint32_t kind, const void *block,
                                   uint64_t word) {
  bool alone = is_alone();
  struct sample_weight weight = weight_of(interval_of(kind), block, live_bytes(word));

  count_free(&shim_region->sites[live_site(word)], weight.blocks, weight.bytes, alone);
  add_live(thread, -(int64_t)weight.bytes, alone);
}

/* Notes the block as live. A word that is still there is of a block whose end was not seen. */
static inline void put(struct shim_thread *thread, uint32_t kind, void *block, uint64_t word) {
  uint64_t old = 0;

  if (SHIM_UNLIKELY(live_bytes(word) == LIVE_SIZE_MAX ||
                    !live_put(&blocks[kind], block, word, &old)))
    __atomic_add_fetch(&shim_region->lost_blocks, 1, __ATOMIC_RELAXED);
  else if (SHIM_UNLIKELY(old))
    count_word_free(thread, kind, block, old);
  else if (SHIM_UNLIKELY(interval_of(kind)))
    __atomic_add_fetch(pages_of(kind, block), 1, __ATOMIC_RELAXED);
}

/* Whether a sample falls on a block for which the countdown ran out: not so when that was only
 * because a new thread had none yet. Draws the next distance. */
static bool draw(struct shim_thread *thread, uint32_t kind, size_t bytes, uint32_t interval) {
  bool was_drawn = countdown_drawn[kind];

  countdown_drawn[kind] = true;
  shim_countdown[kind] = sample_distance(&thread->random, interval);
  return was_drawn || (shim_countdown[kind] -= (int64_t)(bytes | 1)) <= 0;
}

static void count_block(struct shim_thread *thread, uint32_t kind, void *block, size_t bytes,
                        uint32_t interval) {
  uint32_t site = shim_site(thread, kind, &thread->stack);
  struct sample_weight weight = weight_of(interval, block, bytes);
  bool alone = is_alone();

  count_new(&shim_region->sites[site], weight.blocks, weight.bytes, alone);
  if (SHIM_UNLIKELY(interval))
    add(&shim_region->sites[site].samples, 1, alone);
  put(thread, kind, block, live_word(site, bytes < LIVE_SIZE_MAX ? bytes : LIVE_SIZE_MAX));
  add_live(thread, (int64_t)weight.bytes, alone);
}

void shim_block_new(struct shim_thread *thread, uint32_t kind, void *block, size_t bytes,
                    struct shim_place place) {
  uint32_t interval = interval_of(kind);

  if (SHIM_UNLIKELY(interval)) {
    if (!draw(thread, kind, bytes, interval))
      return;
    /* More than one sample on a block is one still. */
    if (shim_countdown[kind] <= 0)
      shim_countdown[kind] = sample_distance(&thread->random, interval);
  }
  shim_walk_here(thread, place);
  count_block(thread, kind, block, bytes, interval);
  if (SHIM_UNLIKELY(++thread->events % ANSWER_EVENTS == 0))
    shim_answer();
}

uint64_t shim_block_take(uint32_t kind, void *block) {
  uint64_t word = live_take(&blocks[kind], block);

  __builtin_prefetch(&shim_region->sites[live_site(word)].allocations, 1);
  if (SHIM_UNLIKELY(interval_of(kind)) && word)
    __atomic_sub_fetch(pages_of(kind, block), 1, __ATOMIC_RELAXED);
  return word;
}

void shim_block_taken_free(struct shim_thread *thread, uint32_t kind, void *block, uint64_t word) {
  if (word)
    count_word_free(thread, kind, block, word);
}

void shim_block_put_back(uint32_t kind, void *block, uint64_t word) {
  uint64_t old;

  if (word && live_put(&blocks[kind], block, word, &old) && interval_of(kind))
    __atomic_add_fetch(pages_of(kind, block), 1, __ATOMIC_RELAXED);
}

bool shim_block_free(struct shim_thread *thread, uint32_t kind, void *block) {
  uint64_t word = shim_block_take(kind, block);

  if (!word)
    return false;
  count_word_free(thread, kind, block, word);
  return true;
}

/* An allocator that is not libc's may hand out small blocks at multiples of 8. */
void shim_blocks_start(bool is_foreign) {
  blocks[REGION_MALLOC].granule_bits = is_foreign ? 3 : 4;
}
