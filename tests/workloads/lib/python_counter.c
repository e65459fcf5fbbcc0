// SPDX-License-Identifier: GPL-2.0-or-later
// Counts CPython's small blocks on its own, for holding against the shim's sums: preloaded, it puts
// itself below or beside it, by PyMem_SetAllocator. A block is small when pymalloc keeps it: 1 to
// 512 bytes, unless it came from another by realloc. Writes allocations, bytes, frees and freed
// bytes to the file that PYTHON_COUNTER names, as they change.
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define SMALL_BYTES 512
#define SLOTS (1u << 22)

struct allocator { // PyMemAllocatorEx
  void *ctx;
  void *(*malloc)(void *, size_t);
  void *(*calloc)(void *, size_t, size_t);
  void *(*realloc)(void *, void *, size_t);
  void (*free)(void *, void *);
};

static struct {
  uintptr_t block;
  size_t bytes;
} live[SLOTS];

static uint64_t unmapped[4];
static uint64_t *counts = unmapped; // allocations, bytes, frees, freed bytes
static struct allocator originals[3];

static size_t slot_of(uintptr_t block) {
  size_t slot = block / 16 * 0x9e3779b97f4a7c15u >> 42;
  while (live[slot].block && live[slot].block != block)
    slot = (slot + 1) % SLOTS;
  return slot;
}

static void *note(void *block, size_t bytes) {
  if (!block || !bytes || bytes > SMALL_BYTES)
    return block;
  size_t slot = slot_of((uintptr_t)block);
  live[slot].block = (uintptr_t)block;
  live[slot].bytes = bytes;
  counts[0]++;
  counts[1] += bytes;
  return block;
}

// Whether it was a small one; takes it out and closes the gap.
static int forget(void *block, size_t *bytes) {
  size_t slot = slot_of((uintptr_t)block);
  if (!block || !live[slot].block)
    return 0;
  *bytes = live[slot].bytes;
  live[slot].block = 0;
  for (size_t next = (slot + 1) % SLOTS; live[next].block; next = (next + 1) % SLOTS) {
    uintptr_t moved = live[next].block;
    size_t moved_bytes = live[next].bytes;
    live[next].block = 0;
    size_t to = slot_of(moved);
    live[to].block = moved;
    live[to].bytes = moved_bytes;
  }
  return 1;
}

static void count_free(size_t bytes) {
  counts[2]++;
  counts[3] += bytes;
}

static void *count_malloc(void *ctx, size_t bytes) {
  struct allocator *original = ctx;
  return note(original->malloc(original->ctx, bytes), bytes);
}

static void *count_calloc(void *ctx, size_t count, size_t bytes) {
  struct allocator *original = ctx;
  return note(original->calloc(original->ctx, count, bytes), count * bytes);
}

static void *count_realloc(void *ctx, void *block, size_t bytes) {
  struct allocator *original = ctx;
  size_t old_bytes;
  int was_small = forget(block, &old_bytes);
  void *moved = original->realloc(original->ctx, block, bytes);
  if (!moved)
    abort(); // the tests have memory
  if (was_small)
    count_free(old_bytes);
  return was_small || !block ? note(moved, bytes) : moved;
}

static void count_free_of(void *ctx, void *block) {
  struct allocator *original = ctx;
  size_t bytes;
  if (forget(block, &bytes))
    count_free(bytes);
  original->free(original->ctx, block);
}

__attribute__((constructor)) static void start(void) {
  void (*get)(int, struct allocator *) = dlsym(RTLD_DEFAULT, "PyMem_GetAllocator");
  void (*set)(int, struct allocator *) = dlsym(RTLD_DEFAULT, "PyMem_SetAllocator");
  const char *path = getenv("PYTHON_COUNTER");
  if (!get || !set || !path)
    return;
  int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0 || ftruncate(file, sizeof(unmapped)))
    abort();
  counts = mmap(NULL, sizeof(unmapped), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  for (int domain = 1; domain <= 2; domain++) {
    get(domain, &originals[domain]);
    set(domain, &(struct allocator){&originals[domain], count_malloc, count_calloc, count_realloc,
                                    count_free_of});
  }
}
