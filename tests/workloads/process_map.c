/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Maps and unmaps known amounts from known functions, then holds still until its input ends:
 * keep_mappings() takes 10 mappings of 1 MiB, keep_break() moves the break up by 2 MiB,
 * give_back() maps 5 of 4 MiB and unmaps them, cut_middle() maps 8 MiB and unmaps 3 MiB from their
 * middle, reserve() reserves 1 GiB without any right of access. */
#include <sys/mman.h>
#include <unistd.h>

#include "workload.h"

#define MIB (1ul << 20)

static char *map(size_t bytes, int rights) {
  char *at = mmap(NULL, bytes, rights, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED)
    exit(2);
  return at;
}

static NOINLINE void keep_mappings(void) {
  for (int i = 0; i < 10; i++)
    map(MIB, PROT_READ | PROT_WRITE);
  KEEP_FRAME();
}

static NOINLINE void keep_break(void) {
  sbrk(2 * MIB);
  KEEP_FRAME();
}

static NOINLINE void give_back(void) {
  for (int i = 0; i < 5; i++)
    munmap(map(4 * MIB, PROT_READ | PROT_WRITE), 4 * MIB);
  KEEP_FRAME();
}

static NOINLINE void cut_middle(void) {
  munmap(map(8 * MIB, PROT_READ | PROT_WRITE) + 2 * MIB, 3 * MIB);
  KEEP_FRAME();
}

static NOINLINE void reserve(void) {
  map(1024 * MIB, PROT_NONE);
  KEEP_FRAME();
}

int main(void) {
  char byte;
  sbrk(0);
  while (read(STDIN_FILENO, &byte, 1) == 1) {
    keep_mappings();
    keep_break();
    give_back();
    cut_middle();
    reserve();
  }
  return 0;
}
