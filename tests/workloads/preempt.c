/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Known answer: two busy threads a CPU in contend(); each runs about half of the time and is
 * runnable but waiting for the other half, and never sleeps. At the end a JSON object gives the
 * wall time, and on-CPU time by thread; the rest of wall is run-queue time.
 * Arguments: SECONDS (default 10). */
#include <pthread.h>
#include <unistd.h>

#include "workload.h"

#define MAX_THREADS 512

static uint64_t end_ns;
static uint64_t cpu_ns[MAX_THREADS];

static NOINLINE void contend(void) {
  while (wall_ns() < end_ns)
    spin();
  KEEP_FRAME();
}

static void *worker(void *argument) {
  pthread_setname_np(pthread_self(), "contender");
  contend();
  *(uint64_t *)argument = thread_cpu_ns();
  return NULL;
}

int main(int argc, char **argv) {
  pthread_t threads[MAX_THREADS];
  uint64_t start_ns = wall_ns();
  long count = 2 * sysconf(_SC_NPROCESSORS_ONLN);
  if (count > MAX_THREADS)
    count = MAX_THREADS;
  end_ns = start_ns + (uint64_t)(duration_argument_s(argc, argv, 10) * 1e9);
  for (long i = 0; i < count; i++)
    if (pthread_create(&threads[i], NULL, worker, &cpu_ns[i]))
      return 1;
  for (long i = 0; i < count; i++)
    pthread_join(threads[i], NULL);

  printf("{\"wall_ns\": %llu, \"cpu_ns\": [", (unsigned long long)(wall_ns() - start_ns));
  for (long i = 0; i < count; i++)
    printf("%s%llu", i ? ", " : "", (unsigned long long)cpu_ns[i]);
  printf("]}\n");
  return 0;
}
