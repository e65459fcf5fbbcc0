/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Touches every page of a mapped file for the first time, in touch_index(), or with "random" of one
 * whose pages are read one by one; then 4,096 pages of anonymous memory in touch_memory(). Prints
 * its own faults, as the kernel counted them: "PHASE minor N major N pages N ms N". */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "workload.h"

#define PAGE 4096ul
#define MEMORY_PAGES 4096ul

static volatile unsigned char sink;

static NOINLINE void touch_index(const unsigned char *at, size_t bytes) {
  for (size_t i = 0; i < bytes; i += PAGE)
    sink += at[i];
}

static NOINLINE void touch_memory(unsigned char *at, size_t bytes) {
  for (size_t i = 0; i < bytes; i += PAGE)
    at[i] = 1;
}

static struct rusage before;
static uint64_t begin_ns;

static void begin(void) {
  getrusage(RUSAGE_SELF, &before);
  begin_ns = wall_ns();
}

static void end(const char *phase, size_t bytes) {
  struct rusage now;
  uint64_t ns = wall_ns() - begin_ns;
  getrusage(RUSAGE_SELF, &now);
  printf("%s minor %ld major %ld pages %zu ms %.3f\n", phase, now.ru_minflt - before.ru_minflt,
         now.ru_majflt - before.ru_majflt, bytes / PAGE, (double)ns / 1e6);
}

int main(int argc, char **argv) {
  struct stat info;
  int file = argc > 1 ? open(argv[1], O_RDONLY) : -1;
  if (file < 0 || fstat(file, &info) || !info.st_size)
    return 2;
  size_t bytes = (size_t)info.st_size;
  unsigned char *index = mmap(NULL, bytes, PROT_READ, MAP_SHARED, file, 0);
  unsigned char *memory =
      mmap(NULL, MEMORY_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (index == MAP_FAILED || memory == MAP_FAILED)
    return 2;
  if (argc > 2 && !strcmp(argv[2], "random"))
    madvise(index, bytes, MADV_RANDOM);
  begin();
  touch_index(index, bytes);
  end("index", bytes);
  begin();
  touch_memory(memory, MEMORY_PAGES * PAGE);
  end("memory", MEMORY_PAGES * PAGE);
  KEEP_FRAME();
  return 0;
}
