/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an allocation tracker costs: threads that do little but allocate and free, in mixed sizes,
 * from some 2,000 stacks of 15 to 18 frames.
 *
 *   malloc_heavy [PAIRS a thread [THREADS]]
 *
 * Prints the time of a pair of malloc and free in ns, and what was asked for. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BLOCKS 4096 /* held by a thread at any time, at most */
#define LEVELS 9    /* 2^9 ways down to the leaf, from 4 depths */
#define THREADS_MAX 64
#define NOINLINE __attribute__((noinline))

struct worker {
  uint64_t random;
  long left;
  unsigned path; /* a bit for each level: which of two functions is called */
  uint64_t bytes;
  void *blocks[BLOCKS];
};

static uint64_t next_random(struct worker *worker) {
  worker->random ^= worker->random << 13;
  worker->random ^= worker->random >> 7;
  worker->random ^= worker->random << 17;
  return worker->random;
}

/* Six of ten up to 143 bytes, three up to 1,151, one of a hundred up to 73,727. */
static size_t size_of(uint64_t random) {
  unsigned percent = (unsigned)(random >> 24) % 100;
  size_t spread = (size_t)(random >> 40);

  if (percent < 60)
    return 16 + spread % 128;
  if (percent < 90)
    return 128 + spread % 1024;
  if (percent < 99)
    return 1024 + spread % 8192;
  return 8192 + spread % 65536;
}

static NOINLINE long leaf(struct worker *worker) {
  for (int i = 0; i < 8 && worker->left > 0; i++, worker->left--) {
    uint64_t random = next_random(worker);
    void **place = &worker->blocks[random % BLOCKS];
    size_t bytes = size_of(random);
    free(*place);
    *place = malloc(bytes);
    *(volatile char *)*place = 1;
    worker->bytes += bytes;
  }
  return worker->left;
}

static NOINLINE long left_branch(struct worker *worker, int level);
static NOINLINE long right_branch(struct worker *worker, int level);

/* Each of these is another return address, so that each path is another stack. */
#define DOWN(worker, level)                                                                        \
  ((level) == LEVELS             ? leaf(worker)                                                    \
   : (worker)->path >> (level)&1 ? right_branch(worker, (level) + 1)                               \
                                 : left_branch(worker, (level) + 1))

static NOINLINE long left_branch(struct worker *worker, int level) {
  volatile long kept = level;
  long left = DOWN(worker, level);
  return left + kept - kept;
}

static NOINLINE long right_branch(struct worker *worker, int level) {
  volatile long kept[6] = {level};
  long left = DOWN(worker, level);
  return left + kept[0] - kept[0];
}

/* 1 to 4 frames more. */
static NOINLINE long detour(struct worker *worker, unsigned frames) {
  volatile long kept = frames;
  long left = frames ? detour(worker, frames - 1) : left_branch(worker, 0);
  return left + kept - kept;
}

static void *work(void *argument) {
  struct worker *worker = argument;

  while (worker->left > 0) {
    worker->path = (unsigned)(next_random(worker) >> 30);
    detour(worker, worker->path >> LEVELS & 3);
  }
  for (int i = 0; i < BLOCKS; i++)
    free(worker->blocks[i]);
  return NULL;
}

static double now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

int main(int argc, char **argv) {
  long pairs = argc > 1 ? atol(argv[1]) : 2500000;
  int threads = argc > 2 ? atoi(argv[2]) : 2;
  static struct worker workers[THREADS_MAX];
  pthread_t ids[THREADS_MAX];
  uint64_t bytes = 0;

  if (pairs < 1 || threads < 1 || threads > THREADS_MAX)
    return 2;
  double start_ns = now_ns();
  for (int i = 0; i < threads; i++) {
    workers[i].random = 88172645463325252ull * (uint64_t)(2 * i + 1);
    workers[i].left = pairs;
    if (pthread_create(&ids[i], NULL, work, &workers[i]))
      return 1;
  }
  for (int i = 0; i < threads; i++) {
    pthread_join(ids[i], NULL);
    bytes += workers[i].bytes;
  }
  double took_ns = now_ns() - start_ns;
  printf("%.1f ns a pair, %ld blocks, %llu bytes\n", took_ns / (double)pairs, pairs * threads,
         (unsigned long long)bytes);
  return 0;
}
