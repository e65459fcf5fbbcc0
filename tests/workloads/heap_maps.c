// SPDX-License-Identifier: GPL-2.0-or-later
// Maps, moves, splits and unmaps memory, and moves the break, between two marks (writes to no
// descriptor) that strace shows: what lies between them is exactly these calls.
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096ul

static void *map(size_t bytes) {
  return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void mark(const char *text) {
  if (write(-1, text, strlen(text)) >= 0)
    _exit(3);
}

int main(void) {
  void *heap = sbrk(0);
  mark("begin");
  for (size_t i = 1; i <= 20; i++) {
    char *first = map(i * 10 * PAGE), *second = map(8 * PAGE);
    if (first == MAP_FAILED || second == MAP_FAILED)
      return 3;
    munmap(second + 2 * PAGE, 3 * PAGE); // a hole
    second = mremap(second, 2 * PAGE, PAGE, 0);
    first = mremap(first, i * 10 * PAGE, i * 20 * PAGE, MREMAP_MAYMOVE);
    if (i % 2)
      munmap(first, i * 20 * PAGE);
  }
  if (map(SIZE_MAX / 2) != MAP_FAILED || munmap((void *)1, PAGE) == 0)
    return 3;
  for (size_t i = 0; i < 10; i++)
    sbrk(3 * PAGE);
  sbrk(-(intptr_t)(5 * PAGE));
  if (brk((char *)heap + 40 * PAGE))
    return 3;
  mark("end");
  return 0;
}
