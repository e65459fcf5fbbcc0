/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Known answer: 64 threads named "worker-N" besides the main thread, which only waits in
 * pthread_join. By N modulo 4: 0 burns CPU in burn_mostly() 1 ms and sleeps 20 ms; 1 sleeps 5 ms at
 * a time in sleep_mostly(); 2 and 3 take turns at one of 8 mutexes in lock_mostly(), held for 1 ms
 * of sleep by the holder, so they wait in futex. Arguments: SECONDS (default 10). */
#include <pthread.h>

#include "workload.h"

#define THREAD_COUNT 64
#define MUTEX_COUNT 8

static pthread_mutex_t mutexes[MUTEX_COUNT];
static uint64_t end_ns;

static void sleep_ms(unsigned ms) {
  struct timespec pause = {0, (long)ms * 1000000};
  nanosleep(&pause, NULL);
}

static NOINLINE void burn_mostly(void) {
  uint64_t start_ns = thread_cpu_ns();
  while (thread_cpu_ns() - start_ns < 1000000)
    spin();
  sleep_ms(20);
  KEEP_FRAME();
}

static NOINLINE void sleep_mostly(void) {
  sleep_ms(5);
  KEEP_FRAME();
}

static NOINLINE void lock_mostly(pthread_mutex_t *mutex) {
  pthread_mutex_lock(mutex);
  sleep_ms(1);
  pthread_mutex_unlock(mutex);
  KEEP_FRAME();
}

static void *worker(void *argument) {
  unsigned number = (unsigned)(uintptr_t)argument;
  char name[16];
  snprintf(name, sizeof name, "worker-%u", number);
  pthread_setname_np(pthread_self(), name);
  while (wall_ns() < end_ns) {
    if (number % 4 == 0)
      burn_mostly();
    else if (number % 4 == 1)
      sleep_mostly();
    else
      lock_mostly(&mutexes[number / 4 % MUTEX_COUNT]);
  }
  return NULL;
}

int main(int argc, char **argv) {
  pthread_t threads[THREAD_COUNT];
  end_ns = wall_ns() + (uint64_t)(duration_argument_s(argc, argv, 10) * 1e9);
  for (int i = 0; i < MUTEX_COUNT; i++)
    pthread_mutex_init(&mutexes[i], NULL);
  for (uintptr_t i = 0; i < THREAD_COUNT; i++)
    if (pthread_create(&threads[i], NULL, worker, (void *)i))
      return 1;
  for (int i = 0; i < THREAD_COUNT; i++)
    pthread_join(threads[i], NULL);
  return 0;
}
