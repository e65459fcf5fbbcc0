// SPDX-License-Identifier: GPL-2.0-or-later
// Grows and shrinks the heap around glibc's dynamic mmap and trim thresholds, between two marks
// (writes to no descriptor) that strace shows. Whoever else allocated by malloc in this process
// would move the thresholds, and with them the system calls seen between the marks.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void mark(const char *text) {
  if (write(-1, text, strlen(text)) >= 0)
    _exit(3);
}

int main(void) {
  void *blocks[64];
  void *first = malloc(1000);
  mark("begin");
  for (size_t round = 0; round < 6; round++) {
    for (size_t i = 0; i < 64; i++)
      blocks[i] = malloc(40000 + 8000 * ((i * 7 + round) % 32));
    for (size_t i = 0; i < 64; i++)
      free(blocks[63 - i]);
    for (size_t i = 0; i < 64; i++)
      blocks[i] = calloc(1, 3000 * (i + 1));
    for (size_t i = 0; i < 64; i++)
      blocks[i] = realloc(blocks[i], 5000 * (64 - i));
    for (size_t i = 0; i < 64; i++)
      free(blocks[i]);
    free(malloc((size_t)1 << (17 + round)));
  }
  mark("end");
  free(first);
  return 0;
}
