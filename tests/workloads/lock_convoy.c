/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Known answer: threads that fight for one mutex. Half of them compute while they hold it, in
 * hold_computing(), the others sleep, in hold_sleeping(), twice as long; all wait for it in
 * wait_for_lock(), and each times its waiting itself. At the end a JSON object tells the mutex's
 * address, and of each thread its TID, what it does, how often it waited for longer than a free
 * lock takes, and how long. Arguments: SECONDS (default 4), THREADS (default 4), KIND: "plain" (the
 * default), "recursive", "robust", "pi". */
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "workload.h"

#define THREADS_MAX 64
#define FREE_NS 20000
#define COMPUTE_NS 2000000
#define SLEEP_NS 4000000

struct member {
  pthread_t thread;
  pid_t tid;
  int computes;
  uint64_t waits, wait_ns;
};

static pthread_mutex_t mutex;
static struct member members[THREADS_MAX];
static uint64_t end_ns;

static NOINLINE void hold_computing(void) {
  uint64_t until_ns = wall_ns() + COMPUTE_NS;
  while (wall_ns() < until_ns)
    continue;
  pthread_mutex_unlock(&mutex);
  KEEP_FRAME();
}

static NOINLINE void hold_sleeping(void) {
  struct timespec pause = {0, SLEEP_NS};
  nanosleep(&pause, NULL);
  pthread_mutex_unlock(&mutex);
  KEEP_FRAME();
}

static NOINLINE void wait_for_lock(struct member *member) {
  uint64_t start_ns = wall_ns();
  pthread_mutex_lock(&mutex);
  uint64_t waited_ns = wall_ns() - start_ns;
  if (waited_ns > FREE_NS) {
    member->waits++;
    member->wait_ns += waited_ns;
  }
  KEEP_FRAME();
}

static void *fight(void *argument) {
  struct member *member = argument;
  struct timespec pause = {0, 200000};
  member->tid = (pid_t)syscall(SYS_gettid);
  while (wall_ns() < end_ns) {
    wait_for_lock(member);
    if (member->computes)
      hold_computing();
    else
      hold_sleeping();
    nanosleep(&pause, NULL); /* so that others get it */
  }
  return NULL;
}

static int make_mutex(const char *kind) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  if (!strcmp(kind, "recursive"))
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
  else if (!strcmp(kind, "robust"))
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  else if (!strcmp(kind, "pi"))
    pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
  return pthread_mutex_init(&mutex, &attributes);
}

int main(int argc, char **argv) {
  end_ns = wall_ns() + (uint64_t)(duration_argument_s(argc, argv, 4) * 1e9);
  int count = argc > 2 ? atoi(argv[2]) : 4;
  if (count < 1 || count > THREADS_MAX || make_mutex(argc > 3 ? argv[3] : "plain"))
    return 1;
  for (int i = 0; i < count; i++) {
    members[i].computes = i % 2;
    if (pthread_create(&members[i].thread, NULL, fight, &members[i]))
      return 1;
  }
  for (int i = 0; i < count; i++)
    pthread_join(members[i].thread, NULL);
  printf("{\"address\": %llu, \"threads\": [", (unsigned long long)(uintptr_t)&mutex);
  for (int i = 0; i < count; i++)
    printf("%s{\"tid\": %d, \"computes\": %d, \"waits\": %llu, \"wait_ns\": %llu}", i ? ", " : "",
           members[i].tid, members[i].computes, (unsigned long long)members[i].waits,
           (unsigned long long)members[i].wait_ns);
  printf("]}\n");
  return 0;
}
