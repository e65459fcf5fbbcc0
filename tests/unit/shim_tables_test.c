/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The shim's tables: live blocks, sites, address ranges, counted from several threads at once where
 * that is how they are used. Also run under TSan (make tsan). */
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc.h"
#include "intervals.h"
#include "live.h"
#include "thread.h"

#define THREADS 4
#define ROUNDS 20000

static char folder[] = "/tmp/ragprof-test-XXXXXX";

/* The stack that the "walk" finds is what the test put in place.ip: one frame. */
void shim_walk_here(struct shim_thread *thread, struct shim_place place) {
  thread->stack.words[0] = place.ip;
  thread->stack.native_count = 1;
  thread->stack.python_count = 0;
  thread->stack.hash = place.ip * 0x9e3779b97f4a7c15ull;
}

void shim_answer(void) {}

static void remove_files(void) {
  char path[PATH_MAX];

  for (int n = 0; n < 3; n++) {
    snprintf(path, sizeof(path), "%s/%d.%d", folder, (int)getpid(), n);
    unlink(path);
  }
}

static int start_region(void **state) {
  (void)state;
  remove_files();
  shim_config.alloc = SHIM_EVERY;
  shim_config.python = SHIM_OFF;
  strcpy(shim_config.folder, folder);
  return shim_region_start() ? 0 : -1;
}

static struct shim_thread *new_thread(void) {
  struct shim_thread *thread = calloc(1, sizeof(*thread));

  assert_non_null(thread);
  thread->random = 88172645463325252ull;
  return thread;
}

static void live_words_are_apart_by_granule(void **state) {
  static struct live live = {.granule_bits = 4};
  uint64_t old = 1;
  (void)state;

  assert_true(live_put(&live, (void *)0x7f0000000010, live_word(7, 100), &old));
  assert_int_equal(old, 0);
  assert_true(live_put(&live, (void *)0x7f0000000020, live_word(8, LIVE_SIZE_MAX), &old));
  assert_int_equal(old, 0);
  assert_true(live_put(&live, (void *)0x10, live_word(0, 0), &old));
  assert_int_equal(live_site(live_take(&live, (void *)0x7f0000000010)), 7);
  assert_int_equal(live_take(&live, (void *)0x7f0000000010), 0);
  assert_true(live_bytes(live_take(&live, (void *)0x7f0000000020)) == LIVE_SIZE_MAX);
  assert_true(live_take(&live, (void *)0x10) == live_word(0, 0)); /* 0 bytes at site 0: a block */
}

static void live_reaches_47_bits_and_no_further(void **state) {
  static struct live live = {.granule_bits = 3};
  uint64_t old;
  (void)state;

  assert_true(live_put(&live, (void *)0x7ffffffffff8, live_word(1, 8), &old));
  assert_false(live_put(&live, (void *)0x800000000000, live_word(1, 8), &old));
  assert_int_equal(live_take(&live, (void *)0x800000000000), 0);
  assert_int_equal(live_take(&live, (void *)0x700000000000), 0); /* no chunk there */
  assert_int_equal(live_site(live_take(&live, (void *)0x7ffffffffff8)), 1);
}

static void a_fork_finds_no_live_block(void **state) {
  static struct live live = {.granule_bits = 4};
  uint64_t old;
  (void)state;

  assert_true(live_put(&live, (void *)0x7f0000000010, live_word(7, 100), &old));
  pid_t child = fork();
  if (!child)
    _exit(live_take(&live, (void *)0x7f0000000010) ? 1 : 0);
  int status = -1;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  assert_int_equal(live_site(live_take(&live, (void *)0x7f0000000010)), 7);
}

/* Each thread counts blocks at its own addresses; half of them are freed by the next thread. */
struct worker {
  pthread_t id;
  unsigned number;
  uint64_t allocated_bytes;
  uint64_t unknown; /* blocks that should have been known */
};

static struct shim_place place_of(uint64_t ip) {
  return (struct shim_place){.ip = ip};
}

static void *block_of(unsigned thread, unsigned round) {
  return (void *)(0x100000000ull * (thread + 1) + 64ull * round);
}

static void *allocate(void *argument) {
  struct worker *worker = argument;
  struct shim_thread *thread = new_thread();

  for (unsigned round = 0; round < ROUNDS; round++) {
    size_t bytes = round % 100 + worker->number;
    worker->allocated_bytes += bytes;
    shim_block_new(thread, REGION_MALLOC, block_of(worker->number, round), bytes,
                   place_of(1000 + round % 300));
    if (round % 2)
      worker->unknown += !shim_block_free(thread, REGION_MALLOC, block_of(worker->number, round));
  }
  free(thread);
  return NULL;
}

static void *free_rest(void *argument) {
  struct worker *worker = argument;
  struct shim_thread *thread = new_thread();

  for (unsigned round = 0; round < ROUNDS; round += 2)
    worker->unknown +=
        !shim_block_free(thread, REGION_MALLOC, block_of((worker->number + 1) % THREADS, round));
  free(thread);
  return NULL;
}

struct sums {
  uint64_t allocations, allocated_bytes, frees, freed_bytes;
};

static struct sums sum_sites(void) {
  struct sums sums = {0};

  for (uint32_t i = 0; i < shim_region->site_count; i++) {
    const struct region_site *site = &shim_region->sites[i];
    if (site->kind != REGION_MALLOC)
      continue;
    sums.allocations += site->allocations;
    sums.allocated_bytes += site->allocated_bytes;
    sums.frees += site->frees;
    sums.freed_bytes += site->freed_bytes;
  }
  return sums;
}

static void run(struct worker *workers, void *(*work)(void *)) {
  for (unsigned i = 0; i < THREADS; i++) {
    workers[i].number = i;
    assert_int_equal(pthread_create(&workers[i].id, NULL, work, &workers[i]), 0);
  }
  for (unsigned i = 0; i < THREADS; i++) {
    assert_int_equal(pthread_join(workers[i].id, NULL), 0);
    assert_int_equal(workers[i].unknown, 0);
  }
}

static void counts_from_threads_are_exact(void **state) {
  struct worker workers[THREADS] = {0};
  uint64_t bytes = 0;
  (void)state;

  run(workers, allocate);
  for (unsigned i = 0; i < THREADS; i++)
    bytes += workers[i].allocated_bytes;
  struct sums sums = sum_sites();
  assert_int_equal(sums.allocations, THREADS * ROUNDS);
  assert_int_equal(sums.allocated_bytes, bytes);
  assert_int_equal(sums.frees, THREADS * ROUNDS / 2);
  run(workers, free_rest);
  sums = sum_sites();
  assert_int_equal(sums.frees, THREADS * ROUNDS);
  assert_int_equal(sums.freed_bytes, bytes);
  assert_int_equal(shim_region->lost_sites, 0);
  assert_int_equal(shim_region->lost_blocks, 0);
}

static void each_stack_has_one_site(void **state) {
  struct worker workers[THREADS] = {0};
  uint32_t used[300] = {0};
  (void)state;

  run(workers, allocate);
  run(workers, free_rest);
  for (uint32_t i = REGION_CALLS + 1; i < shim_region->site_count; i++) {
    const struct region_site *site = &shim_region->sites[i];
    if (!site->state || !site->allocations) /* made twice at once: one is never used */
      continue;
    assert_int_equal(site->native_count, 1);
    used[shim_region->words[site->word_first] - 1000]++;
  }
  for (unsigned i = 0; i < 300; i++)
    assert_int_equal(used[i], 1);
}

static void peak_is_the_most_at_once(void **state) {
  struct shim_thread *thread = new_thread();
  (void)state;

  shim_block_new(thread, REGION_MALLOC, (void *)0x1000, 300, place_of(7));
  shim_block_new(thread, REGION_MALLOC, (void *)0x2000, 500, place_of(7));
  assert_true(shim_block_free(thread, REGION_MALLOC, (void *)0x1000));
  shim_block_new(thread, REGION_MALLOC, (void *)0x3000, 200, place_of(7));
  assert_int_equal(shim_region->sites[REGION_CALLS + 1].peak_bytes, 800);
  assert_false(shim_block_free(thread, REGION_MALLOC, (void *)0x4000));
  /* One that comes back without its free: the old one has ended. */
  shim_block_new(thread, REGION_MALLOC, (void *)0x3000, 900, place_of(8));
  struct sums sums = sum_sites();
  assert_int_equal(sums.frees, 2);
  assert_int_equal(sums.freed_bytes, 500);
  free(thread);
}

static void full_tables_count_without_frames(void **state) {
  struct shim_thread *thread = new_thread();
  (void)state;

  shim_region->site_count = REGION_SITES_MAX;
  shim_block_new(thread, REGION_MALLOC, (void *)0x1000, 300, place_of(7));
  assert_int_equal(shim_region->sites[REGION_MALLOC].allocated_bytes, 300);
  assert_int_equal(shim_region->lost_sites, 1);
  thread->stack.hash = 99;
  assert_int_equal(shim_site(thread, REGION_CALLS + REGION_CALL_OPEN, &thread->stack),
                   REGION_CALLS);
  assert_true(shim_block_free(thread, REGION_MALLOC, (void *)0x1000));
  assert_int_equal(shim_region->sites[REGION_MALLOC].freed_bytes, 300);
  free(thread);
}

static void another_generation_is_another_site(void **state) {
  struct shim_thread *thread = new_thread();
  (void)state;

  shim_walk_here(thread, place_of(5));
  uint32_t first = shim_site(thread, REGION_MALLOC, &thread->stack);
  assert_int_equal(shim_site(thread, REGION_MALLOC, &thread->stack), first);
  assert_int_not_equal(shim_site(thread, REGION_PYTHON, &thread->stack), first);
  shim_region->generation++;
  assert_int_not_equal(shim_site(thread, REGION_MALLOC, &thread->stack), first);
  free(thread);
}

/* A deep stack as an interpreter makes them: the leaf differs, the rest is the same. */
static uint32_t deep_site(struct shim_thread *thread, uint64_t native_leaf, uint64_t python_leaf,
                          uint32_t python_count) {
  struct shim_stack *stack = &thread->stack;

  stack->native_count = 40;
  stack->python_count = python_count;
  for (uint32_t i = 0; i < 40; i++)
    stack->words[i] = i ? 1000 + i : native_leaf;
  for (uint32_t i = 0; i < python_count; i++)
    stack->words[40 + i] = i ? 2000 + python_count - i : python_leaf;
  stack->hash = native_leaf * 31 + python_leaf * 17 + python_count;
  return shim_site(thread, REGION_MALLOC, stack);
}

static bool holds_stack(uint32_t index, const struct shim_stack *stack) {
  const struct region_site *site = &shim_region->sites[index];
  const uint64_t *words = shim_region->words;
  uint32_t native_own = site->native_count - site->native_tail.count;
  uint32_t python_own = site->python_count - site->python_tail.count;
  uint64_t read[200];

  memcpy(read, words + site->word_first, native_own * 8);
  memcpy(read + native_own, words + site->native_tail.first, site->native_tail.count * 8);
  memcpy(read + 40, words + site->word_first + native_own, python_own * 8);
  memcpy(read + 40 + python_own, words + site->python_tail.first, site->python_tail.count * 8);
  return site->native_count == stack->native_count && site->python_count == stack->python_count &&
         !memcmp(read, stack->words, (stack->native_count + stack->python_count) * 8);
}

static void stacks_share_their_tails(void **state) {
  struct shim_thread *thread = new_thread();
  (void)state;

  assert_true(holds_stack(deep_site(thread, 1, 2, 100), &thread->stack));
  assert_int_equal(shim_region->word_count, 140);
  for (uint64_t leaf = 10; leaf < 20; leaf++)
    assert_true(holds_stack(deep_site(thread, leaf, 100 + leaf, 100), &thread->stack));
  assert_int_equal(shim_region->word_count, 140 + 10 * 2);
  assert_true(holds_stack(deep_site(thread, 1, 3, 130), &thread->stack)); /* deeper */
  assert_int_equal(shim_region->word_count, 160 + 31);
  assert_true(holds_stack(deep_site(thread, 5, 6, 20), &thread->stack)); /* on the way back */
  assert_int_equal(shim_region->word_count, 191 + 2);
  assert_true(holds_stack(deep_site(thread, 7, 8, 0), &thread->stack)); /* no Python at all */
  /* The signal handler may come at any moment: it neither uses nor changes what is shared. */
  thread->in_handler = true;
  assert_true(holds_stack(deep_site(thread, 1, 9, 100), &thread->stack));
  assert_int_equal(shim_region->word_count, 194 + 140);
  free(thread);
}

/* A limit that would make a larger file a SIGXFSZ: no region, no signal. */
static void no_region_over_the_file_size_limit(void **state) {
  (void)state;
  pid_t child = fork();
  if (!child) {
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){.rlim_cur = 1 << 20, .rlim_max = 1 << 20});
    _exit(shim_region_start() ? 1 : 0);
  }
  int status = -1;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
}

struct cuts {
  uint64_t blocks, bytes;
};

static void count_cut(void *context, uint32_t site, uint64_t blocks, uint64_t bytes) {
  struct cuts *cuts = context;

  (void)site;
  cuts->blocks += blocks;
  cuts->bytes += bytes;
}

static struct cuts cut(struct intervals *intervals, uint64_t start, uint64_t end) {
  struct cuts cuts = {0};

  intervals_cut(intervals, start, end, count_cut, &cuts);
  return cuts;
}

static void ranges_are_cut_in_parts(void **state) {
  static struct intervals intervals;
  struct cuts cuts;
  (void)state;

  assert_true(intervals_add(&intervals, 100, 200, 1));
  assert_true(intervals_add(&intervals, 300, 400, 2));
  cuts = cut(&intervals, 140, 160); /* the middle of one */
  assert_int_equal(cuts.bytes, 20);
  assert_int_equal(cuts.blocks, 0);
  assert_int_equal(intervals.count, 3);
  cuts = cut(&intervals, 150, 310); /* its second part, and the head of the next */
  assert_int_equal(cuts.bytes, 50);
  assert_int_equal(cuts.blocks, 0);
  cuts = cut(&intervals, 0, 1000); /* what is left of both */
  assert_int_equal(cuts.bytes, 130);
  assert_int_equal(cuts.blocks, 2);
  assert_int_equal(intervals.count, 0);
}

/* Against a map of bytes: every byte is of the site that was put last. */
static void random_ranges_add_up(void **state) {
  enum { SPACE = 500 };
  static struct intervals intervals;
  static uint8_t owner[SPACE];
  uint64_t added = 0, cut_bytes = 0, blocks = 0;
  (void)state;

  intervals.count = 0;
  srandom(7);
  for (int round = 0; round < 20000; round++) {
    uint64_t start = (uint64_t)random() % SPACE;
    uint64_t end = start + 1 + (uint64_t)random() % (SPACE - start);
    struct cuts cuts = cut(&intervals, start, end);
    uint64_t owned = 0;
    for (uint64_t i = start; i < end; i++)
      owned += owner[i] != 0;
    assert_int_equal(cuts.bytes, owned);
    memset(owner + start, round % 3 ? round % 3 : 0, end - start);
    cut_bytes += cuts.bytes;
    blocks += cuts.blocks;
    if (round % 3) {
      assert_true(intervals_add(&intervals, start, end, (uint32_t)round));
      added += end - start;
    }
  }
  struct cuts rest = cut(&intervals, 0, SPACE);
  assert_int_equal(cut_bytes + rest.bytes, added);
  assert_int_equal(intervals.count, 0);
  assert_true(blocks + rest.blocks > 1000);
}

static void a_full_table_loses_the_second_part(void **state) {
  static struct intervals intervals;
  struct cuts cuts;
  (void)state;

  for (uint32_t i = 0; i < INTERVALS_MAX; i++)
    assert_true(intervals_add(&intervals, 100ull * i, 100ull * i + 90, i));
  assert_false(intervals_add(&intervals, 1ull << 40, (1ull << 40) + 1, 1));
  cuts = cut(&intervals, 10, 20);
  assert_int_equal(cuts.bytes, 80);
  assert_int_equal(intervals.count, INTERVALS_MAX);
}

static int make_folder(void **state) {
  (void)state;
  return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
  (void)state;
  remove_files();
  return rmdir(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(live_words_are_apart_by_granule),
      cmocka_unit_test(live_reaches_47_bits_and_no_further),
      cmocka_unit_test_setup(a_fork_finds_no_live_block, start_region),
      cmocka_unit_test_setup(counts_from_threads_are_exact, start_region),
      cmocka_unit_test_setup(each_stack_has_one_site, start_region),
      cmocka_unit_test_setup(peak_is_the_most_at_once, start_region),
      cmocka_unit_test_setup(full_tables_count_without_frames, start_region),
      cmocka_unit_test_setup(another_generation_is_another_site, start_region),
      cmocka_unit_test_setup(stacks_share_their_tails, start_region),
      cmocka_unit_test_setup(no_region_over_the_file_size_limit, start_region),
      cmocka_unit_test(ranges_are_cut_in_parts),
      cmocka_unit_test(random_ranges_add_up),
      cmocka_unit_test(a_full_table_loses_the_second_part),
  };

  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
