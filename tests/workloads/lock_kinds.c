/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Known answer: one kind of lock, or of what is none, at a time. A thread has it for HOLD_NS at
 * once in hold(), ROUNDS times, and another one waits for it in wait_for_it() and times that.
 * Prints a JSON object with the lock's address, the TIDs of both and the time waited. Arguments:
 * KIND: "rwlock-writer" (both write), "rwlock-reader" (the one that waits reads), "semaphore",
 * "condition" (the one that waits is an idle worker with a queue), "barrier", "free" (nobody
 * waits), "timed" (the lock is never given up, the wait for it times out). */
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "workload.h"

#define ROUNDS 20
#define HOLD_NS 20000000
#define PAUSE_NS 2000000

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t filled = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t semaphore, held;
static int queued;
static uint64_t waited_ns;
static pid_t waiter;

static void pause_ns(long ns) {
  struct timespec pause = {0, ns};
  nanosleep(&pause, NULL);
}

static int take_nothing(void) {
  return 0;
}

static int write_lock(void) {
  return pthread_rwlock_wrlock(&rwlock);
}

static int read_lock(void) {
  return pthread_rwlock_rdlock(&rwlock);
}

static int read_write_unlock(void) {
  return pthread_rwlock_unlock(&rwlock);
}

static int semaphore_take(void) {
  return sem_wait(&semaphore);
}

static int semaphore_give(void) {
  return sem_post(&semaphore);
}

static int mutex_take(void) {
  return pthread_mutex_lock(&mutex);
}

static int mutex_give(void) {
  return pthread_mutex_unlock(&mutex);
}

static int wait_for_work(void) {
  pthread_mutex_lock(&mutex);
  while (!queued)
    pthread_cond_wait(&filled, &mutex);
  queued--;
  return pthread_mutex_unlock(&mutex);
}

static int give_work(void) {
  pthread_mutex_lock(&mutex);
  queued++;
  pthread_cond_signal(&filled);
  return pthread_mutex_unlock(&mutex);
}

static int meet(void) {
  pthread_barrier_wait(&barrier);
  return 0;
}

static int take_in_time(void) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  uint64_t end_ns = (uint64_t)until.tv_sec * 1000000000 + (uint64_t)until.tv_nsec + HOLD_NS;
  until = (struct timespec){(time_t)(end_ns / 1000000000), (long)(end_ns % 1000000000)};
  pthread_mutex_timedlock(&mutex, &until);
  return 0;
}

/* What the one that has it does before and after, and the one that waits. */
static const struct kind {
  const char *name;
  void *object;
  int (*hold)(void);
  int (*let_go)(void);
  int (*wait)(void);
  int (*after)(void);
} kinds[] = {
    {"rwlock-writer", &rwlock, write_lock, read_write_unlock, write_lock, read_write_unlock},
    {"rwlock-reader", &rwlock, write_lock, read_write_unlock, read_lock, read_write_unlock},
    {"semaphore", &semaphore, semaphore_take, semaphore_give, semaphore_take, semaphore_give},
    {"condition", &mutex, take_nothing, give_work, wait_for_work, take_nothing},
    {"barrier", &barrier, take_nothing, meet, meet, take_nothing},
    {"free", &mutex, take_nothing, take_nothing, mutex_take, mutex_give},
    {"timed", &mutex, take_nothing, take_nothing, take_in_time, take_nothing},
};

static NOINLINE void hold(const struct kind *kind) {
  kind->hold();
  sem_post(&held); /* the other one begins to wait */
  pause_ns(HOLD_NS);
  kind->let_go();
  KEEP_FRAME();
}

static NOINLINE void wait_for_it(const struct kind *kind) {
  uint64_t start_ns = wall_ns();
  kind->wait();
  waited_ns += wall_ns() - start_ns;
  kind->after();
  KEEP_FRAME();
}

static void *run_waiter(void *argument) {
  waiter = (pid_t)syscall(SYS_gettid);
  for (int i = 0; i < ROUNDS; i++) {
    while (sem_trywait(&held))
      pause_ns(100000);
    wait_for_it(argument);
  }
  return NULL;
}

int main(int argc, char **argv) {
  const struct kind *kind = NULL;
  pthread_t thread;
  for (size_t i = 0; argc > 1 && i < sizeof kinds / sizeof kinds[0]; i++)
    if (!strcmp(kinds[i].name, argv[1]))
      kind = &kinds[i];
  if (!kind || sem_init(&semaphore, 0, 1) || sem_init(&held, 0, 0) ||
      pthread_barrier_init(&barrier, NULL, 2))
    return 1;
  if (!strcmp(kind->name, "timed"))
    pthread_mutex_lock(&mutex);
  if (pthread_create(&thread, NULL, run_waiter, (void *)kind))
    return 1;
  for (int i = 0; i < ROUNDS; i++) {
    hold(kind);
    pause_ns(PAUSE_NS);
  }
  pthread_join(thread, NULL);
  printf("{\"address\": %llu, \"holder\": %d, \"waiter\": %d, \"wait_ns\": %llu}\n",
         (unsigned long long)(uintptr_t)kind->object, getpid(), waiter,
         (unsigned long long)waited_ns);
  return 0;
}
