// SPDX-License-Identifier: GPL-2.0-or-later
// An allocator to preload that only counts and hands on to glibc: the independent count beside the
// shim, in the same run. The counts are in the file that HEAP_COUNTER names (8 bytes each:
// allocations, bytes, frees), shared with forked children, and so outlive any end of the process.
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *block, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);
void *__libc_valloc(size_t bytes);
void *__libc_pvalloc(size_t bytes);
void __libc_free(void *block);

struct counts {
  atomic_ullong allocations, bytes, frees;
};

static struct counts before_start;
static struct counts *counts = &before_start;

// The thread-local word makes this library weigh on dynamic TLS vectors as the shim does, whose
// allocation glibc sizes by the number of modules with TLS.
static __thread volatile int weight;

__attribute__((constructor)) static void share_counts(void) {
  const char *path = getenv("HEAP_COUNTER");
  int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666) : -1;
  if (fd < 0 || ftruncate(fd, sizeof(struct counts)))
    return;
  struct counts *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (shared == MAP_FAILED)
    return;
  shared->allocations += before_start.allocations;
  shared->bytes += before_start.bytes;
  shared->frees += before_start.frees;
  counts = shared;
  weight = 1;
}

static void *counted(void *block, size_t bytes) {
  if (block) {
    counts->allocations++;
    counts->bytes += bytes;
  }
  return block;
}

void *malloc(size_t bytes) {
  return counted(__libc_malloc(bytes), bytes);
}

void *calloc(size_t count, size_t bytes) {
  return counted(__libc_calloc(count, bytes), count * bytes);
}

void free(void *block) {
  if (block)
    counts->frees++;
  __libc_free(block);
}

// One allocation and one free where both happened, as valgrind and heaptrack count it.
void *realloc(void *block, size_t bytes) {
  void *moved = __libc_realloc(block, bytes);
  if (block && (moved || !bytes))
    counts->frees++;
  return counted(moved, bytes);
}

void *reallocarray(void *block, size_t count, size_t bytes) {
  size_t total;
  if (__builtin_mul_overflow(count, bytes, &total)) {
    errno = ENOMEM;
    return NULL;
  }
  return realloc(block, total);
}

void *memalign(size_t alignment, size_t bytes) {
  return counted(__libc_memalign(alignment, bytes), bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
  return memalign(alignment, bytes);
}

int posix_memalign(void **block, size_t alignment, size_t bytes) {
  if (!alignment || alignment % sizeof(void *) || (alignment & (alignment - 1)))
    return EINVAL;
  int before = errno;
  void *got = memalign(alignment, bytes);
  errno = before;
  if (!got)
    return ENOMEM;
  *block = got;
  return 0;
}

void *valloc(size_t bytes) {
  return counted(__libc_valloc(bytes), bytes);
}

void *pvalloc(size_t bytes) {
  return counted(__libc_pvalloc(bytes), bytes);
}
