/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Each 100 ms opens 5 files more, starts a thread more and touches 2 MiB more in keep_touching(),
 * 40 times; then holds until its input ends. Prints how many files are open, and "ready". */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "workload.h"

#define STEPS 40
#define STEP_BYTES (2ul << 20)

static void *hold(void *unused) {
  pause();
  return unused;
}

static NOINLINE void keep_touching(void) {
  void *at = mmap(NULL, STEP_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED)
    exit(2);
  memset(at, 1, STEP_BYTES);
  KEEP_FRAME();
}

static int open_files(void) {
  int count = -1; /* that of the folder itself */
  DIR *folder = opendir("/proc/self/fd");
  const struct dirent *entry;
  while (folder && (entry = readdir(folder)))
    count += entry->d_name[0] != '.';
  if (folder)
    closedir(folder);
  return count;
}

int main(void) {
  char byte;
  for (int i = 0; i < STEPS; i++) {
    pthread_t thread;
    for (int j = 0; j < 5; j++)
      if (open("/dev/null", O_RDONLY) < 0)
        return 2;
    if (pthread_create(&thread, NULL, hold, NULL))
      return 2;
    keep_touching();
    usleep(100000);
  }
  printf("%d\nready\n", open_files());
  fflush(stdout);
  while (read(STDIN_FILENO, &byte, 1) == 1)
    continue;
  return 0;
}
