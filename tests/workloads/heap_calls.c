// SPDX-License-Identifier: GPL-2.0-or-later
// Calls every allocation function of the C library a known number of times: before main, in main,
// in threads and their exit, and after main. Independent counters count along.
//
// usage: heap_calls [ROUNDS] [THREADS] [mild]   (mild: without what valgrind refuses, pvalloc and
// calls that fail, and what allocators do not agree on, realloc to 0)
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "workload.h"

#pragma GCC diagnostic ignored "-Walloc-size-larger-than="
#pragma GCC diagnostic ignored "-Wunused-result"

enum { KEPT = 7 };

static const size_t sizes[] = {0, 1, 7, 8, 16, 24, 100, 511, 512, 513, 4000, 4096, 70000, 200000};
#define SIZES (sizeof sizes / sizeof sizes[0])

static void *volatile kept[KEPT];
static void *early[3];
static pthread_key_t key;
static bool mild;
static unsigned rounds = 20;

#define SOME_BYTES(i) (sizes[(i) % SIZES])
// Too much for any address space, hidden from the compiler's own knowledge of malloc.
static volatile size_t too_much = SIZE_MAX / 2;

static void require(bool holds, const char *what) {
  if (!holds) {
    fprintf(stderr, "heap_calls: %s\n", what);
    _Exit(3);
  }
}

static void *use(void *block, size_t bytes) {
  require(block != NULL, "no memory");
  if (bytes)
    memset(block, 0x5a, bytes);
  return block;
}

static NOINLINE void plain(unsigned i) {
  size_t bytes = SOME_BYTES(i);
  void *block = use(malloc(bytes), bytes);
  void *zeroed = calloc(3, bytes);
  require(zeroed && (!bytes || ((char *)zeroed)[3 * bytes - 1] == 0), "calloc gave no zeroes");
  free(block);
  free(zeroed);
  free(NULL);
}

static NOINLINE void resized(unsigned i) {
  void *block = realloc(NULL, 10);
  for (unsigned step = 0; step < 5; step++) {
    size_t bytes = SOME_BYTES(i + step) + 1;
    block = use(realloc(block, bytes), bytes);
  }
  block = use(reallocarray(block, 11, 13), 143);
  mild ? free(block) : (void)realloc(block, 0); // which frees it, in glibc
  use(reallocarray(NULL, 2, 40), 80);
  free(use(malloc(10), 10));
}

static NOINLINE void aligned(unsigned i) {
  size_t bytes = SOME_BYTES(i), alignment = (size_t)16 << (i % 9);
  void *block = NULL;
  require(posix_memalign(&block, alignment, bytes) == 0, "posix_memalign failed");
  require((uintptr_t)block % alignment == 0, "posix_memalign did not align");
  void *blocks[] = {block, aligned_alloc(alignment, bytes), memalign(alignment, bytes),
                    valloc(bytes), mild ? malloc(bytes) : pvalloc(bytes)};
  for (size_t k = 0; k < sizeof blocks / sizeof blocks[0]; k++)
    free(use(blocks[k], bytes));
}

// What fails is no allocation, and leaves the block and errno as the C library says.
static NOINLINE void refused(void) {
  void *block = use(malloc(33), 33), *before = block;
  errno = 0;
  require(!malloc(too_much) && errno == ENOMEM, "malloc of too much");
  errno = 0;
  require(!calloc(too_much, 3) && errno == ENOMEM, "calloc that overflows");
  errno = 0;
  require(!realloc(block, too_much) && errno == ENOMEM, "realloc to too much");
  errno = 0;
  require(!reallocarray(block, too_much, 3) && errno == ENOMEM, "reallocarray that overflows");
  require(((char *)block)[32] == 0x5a, "a failed realloc touched the block");
  errno = 77;
  require(posix_memalign(&block, 3, 10) == EINVAL && block == before, "posix_memalign by 3");
  free(block);
  require(errno == 77, "errno was not kept");
}

static void *serve(void *argument) {
  unsigned seed = (unsigned)(uintptr_t)argument;
  void *mine = malloc(48); // freed by the key's destructor when the thread ends
  pthread_setspecific(key, mine);
  for (unsigned i = 0; i < rounds; i++) {
    plain(seed + i);
    resized(seed + i);
    aligned(seed + i);
  }
  return malloc(64); // freed by whoever joins
}

static NOINLINE void in_threads(unsigned threads) {
  pthread_t all[64];
  for (unsigned i = 0; i < threads && i < 64; i++)
    require(!pthread_create(&all[i], NULL, serve, (void *)(uintptr_t)i), "no thread");
  for (unsigned i = 0; i < threads && i < 64; i++) {
    void *result;
    pthread_join(all[i], &result);
    free(result);
  }
}

__attribute__((constructor)) static void before_main(void) {
  for (size_t i = 0; i < 3; i++)
    early[i] = malloc(1000 + i);
}

static void at_exit(void) {
  free(use(malloc(321), 321));
  free(early[0]);
}

__attribute__((destructor)) static void after_main(void) {
  free(use(calloc(3, 111), 333));
  free(early[1]);
}

int main(int argc, char **argv) {
  unsigned threads = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
  if (argc > 1)
    rounds = (unsigned)atoi(argv[1]);
  mild = argc > 3;
  pthread_key_create(&key, free);
  atexit(at_exit);
  for (unsigned i = 0; i < rounds; i++) {
    plain(i);
    resized(i);
    aligned(i);
  }
  if (!mild)
    refused();
  in_threads(threads);
  for (unsigned i = 0; i < KEPT; i++)
    kept[i] = malloc(10 + i);
  return 0;
}
