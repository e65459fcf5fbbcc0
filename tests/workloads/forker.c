/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Known answer: COUNT children (default 1,000), each of which burns 1 ms of CPU in child_work() and
 * exits with status 0; at most 8 live at once. Prints {"children": N, "failed": 0} and exits 0 when
 * every child exited 0: the profiler harmed none. Arguments: COUNT [SECONDS to idle first]. */
#include <sys/wait.h>
#include <unistd.h>

#include "workload.h"

static NOINLINE void child_work(void) {
  uint64_t start_ns = thread_cpu_ns();
  while (thread_cpu_ns() - start_ns < 1000000)
    spin();
  KEEP_FRAME();
}

static int wait_for_one(void) {
  int status;
  return wait(&status) < 0 || status != 0;
}

int main(int argc, char **argv) {
  int count = argc > 1 ? atoi(argv[1]) : 1000, live = 0, failed = 0;
  if (argc > 2)
    usleep((useconds_t)(atof(argv[2]) * 1e6));
  for (int i = 0; i < count; i++) {
    if (live == 8) {
      failed += wait_for_one();
      live--;
    }
    pid_t child = fork();
    if (child == 0) {
      child_work();
      _exit(0);
    }
    if (child < 0)
      return 1;
    live++;
  }
  for (; live > 0; live--)
    failed += wait_for_one();
  printf("{\"children\": %d, \"failed\": %d}\n", count, failed);
  return failed != 0;
}
