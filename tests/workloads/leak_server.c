// SPDX-License-Identifier: GPL-2.0-or-later
// A server in C that leaks a known number of bytes a request, or is innocent in one of several
// ways. Prints what it leaked in all, as JSON.
//
// usage: leak_server CASE REQUESTS PAUSE_US [BYTES]
#include <pthread.h>

#include "leak_http.h"

static size_t leak_bytes = 4096;
static uint64_t leaked_bytes;
static const unsigned first_unsteady = 20; // requests until it is warm

// Work that comes and goes at every request, of a size that varies.
static NOINLINE void temporaries(void) {
  void *blocks[20];
  for (unsigned i = 0; i < 20; i++)
    memset(blocks[i] = malloc(100 + some(5000)), 1, 100);
  for (unsigned i = 0; i < 20; i++)
    free(blocks[i]);
}

// A queue whose length wanders: noise in the live bytes.
static NOINLINE void wandering_queue(void) {
  static void *queue[400];
  for (unsigned i = 0; i < 10; i++) {
    unsigned slot = some(400);
    free(queue[slot]);
    queue[slot] = some(2) ? malloc(50 + some(2000)) : NULL;
  }
}

static NOINLINE void warm_up(unsigned request) {
  static void *volatile tables[100];

  free(tables[request % 100]); // none, in the first 100 requests
  if (request < first_unsteady)
    tables[request % 100] = memset(malloc(100000), 1, 100000);
  else
    tables[request % 100] = NULL;
}

static NOINLINE void *forgotten(size_t bytes) {
  return memset(malloc(bytes), 1, bytes);
}

static void leak(unsigned request) {
  static void *volatile last;
  warm_up(request);
  temporaries();
  wandering_queue();
  size_t bytes = leak_bytes / 2 + some((unsigned)leak_bytes);
  free(forgotten(bytes / 2 + 1)); // the same function, given back
  last = forgotten(bytes);
  leaked_bytes += bytes;
  (void)last;
}

static void flat(unsigned request) {
  warm_up(request);
  temporaries();
  wandering_queue();
}

// Lives between blocks that go: the heap grows, what is live does not.
static void fragment(unsigned request) {
  static void *pinned[300];
  void *around[8];
  temporaries();
  for (unsigned i = 0; i < 8; i++)
    around[i] = memset(malloc(3000 + 16 * (request % 100)), 1, 3000);
  free(pinned[request % 300]);
  pinned[request % 300] = malloc(64);
  for (unsigned i = 0; i < 8; i++)
    free(around[i]);
}

static void *burst(void *unused) {
  void *blocks[64];
  for (unsigned i = 0; i < 64; i++)
    memset(blocks[i] = malloc(2000 + 100 * i), 1, 2000);
  for (unsigned i = 0; i < 64; i++)
    free(blocks[i]);
  return unused;
}

// Threads whose arenas stay after them.
static void arenas(unsigned request) {
  pthread_t threads[4];
  unsigned count = 1 + request % 4;
  temporaries();
  for (unsigned i = 0; i < count; i++)
    pthread_create(&threads[i], NULL, burst, NULL);
  for (unsigned i = 0; i < count; i++)
    pthread_join(threads[i], NULL);
}

// A log that is written out and emptied every 40 requests.
static void batches(unsigned request) {
  static void *entries[40];
  temporaries();
  entries[request % 40] = memset(malloc(8000), 1, 8000);
  if (request % 40 == 39)
    for (unsigned i = 0; i < 40; i++)
      free(entries[i]);
}

static const struct {
  const char *name;
  void (*handle)(unsigned request);
} cases[] = {
    {"leak", leak},     {"flat", flat},       {"fragment", fragment},
    {"arenas", arenas}, {"batches", batches},
};

int main(int argc, char **argv) {
  if (argc < 4)
    return 2;
  if (argc > 4)
    leak_bytes = (size_t)atol(argv[4]);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    if (!strcmp(argv[1], cases[i].name)) {
      int status = serve((unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]), cases[i].handle);
      printf("{\"iterations\": %s, \"leaked_bytes\": %llu}\n", argv[2],
             (unsigned long long)leaked_bytes);
      return status;
    }
  return 2;
}
