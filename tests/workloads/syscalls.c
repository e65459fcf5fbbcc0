/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes system calls of known number, size, duration and outcome.
 *   mix          three threads and a child: reads, writes, failures
 *   storm N      N calls of getppid, back to back
 *   clock        the same without end; each quarter of a second, the ns of a call on a line
 *   threads N    N short-lived threads, one after the other, with ten calls each
 *   sleeps       90 sleeps of 2 ms, 9 of 20 ms, one of 100 ms, of two functions; prints its own sum
 *   signal       calls when SIGUSR1 comes (100 of getppid), until SIGTERM */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workload.h"

static char path[64];

static void fail(int fd) {
  char byte;
  for (int i = 0; i < 50; i++)
    if (open("/nonexistent/file", O_RDONLY) >= 0)
      abort();
  for (int i = 0; i < 20; i++)
    close(-1);
  for (int i = 0; i < 10; i++)
    if (pread(fd, &byte, 1, -1) >= 0)
      abort();
}

static void *work(void *unused) {
  (void)unused;
  char bytes[100];
  struct iovec two[2] = {{bytes, 10}, {bytes + 10, 23}};
  int fd = open(path, O_RDWR | O_CREAT, 0600);
  for (int i = 0; i < 1000; i++)
    if (pwrite(fd, "hello world", 11, i * 11) != 11 || pread(fd, bytes, 7, i * 11) != 7)
      abort();
  for (int i = 0; i < 100; i++)
    if (pwritev(fd, two, 2, 0) != 33 || preadv(fd, two, 2, 0) != 33)
      abort();
  fail(fd);
  close(fd);
  return NULL;
}

static int mix(void) {
  pthread_t threads[3];
  snprintf(path, sizeof(path), "/tmp/syscalls-%d", getpid());
  for (int i = 0; i < 3; i++)
    pthread_create(&threads[i], NULL, work, NULL);
  for (int i = 0; i < 3; i++)
    pthread_join(threads[i], NULL);
  if (!fork()) {
    for (int i = 0; i < 77; i++)
      syscall(SYS_getppid);
    _exit(0);
  }
  wait(NULL);
  return unlink(path);
}

static NOINLINE void storm(long count) {
  for (long i = 0; i < count; i++)
    syscall(SYS_getppid);
}

static void clock_storm(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (;;) {
    uint64_t start_ns = wall_ns(), now_ns = start_ns, count = 0;
    for (; now_ns - start_ns < 250000000; now_ns = wall_ns(), count += 1000)
      storm(1000);
    printf("%.1f\n", (double)(now_ns - start_ns) / (double)count);
  }
}

static void *ten(void *unused) {
  storm(10);
  return unused;
}

static void many(long count) {
  for (long i = 0; i < count; i++) {
    pthread_t thread;
    pthread_create(&thread, NULL, ten, NULL);
    pthread_join(thread, NULL);
  }
}

static NOINLINE void sleep_ms(long ms, int count) {
  struct timespec time = {0, ms * 1000000};
  for (int i = 0; i < count; i++)
    nanosleep(&time, NULL);
}

static NOINLINE void sleep_often(void) {
  sleep_ms(2, 90);
  KEEP_FRAME();
}

static NOINLINE void sleep_long(void) {
  sleep_ms(20, 9);
  sleep_ms(100, 1);
  KEEP_FRAME();
}

static void sleeps(void) {
  uint64_t start_ns = wall_ns();
  sleep_often();
  uint64_t middle_ns = wall_ns();
  sleep_long();
  printf("%.3f %.3f\n", (double)(middle_ns - start_ns) / 1e6,
         (double)(wall_ns() - middle_ns) / 1e6);
}

static volatile sig_atomic_t was_asked;

static void ask(int signal) {
  was_asked = signal;
}

static void answer(void) {
  signal(SIGUSR1, ask);
  for (;;) {
    pause();
    if (was_asked)
      storm(100);
    was_asked = 0;
  }
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "mix";
  long count = argc > 2 ? atol(argv[2]) : 0;
  if (!strcmp(what, "mix"))
    return mix();
  if (!strcmp(what, "storm"))
    storm(count);
  else if (!strcmp(what, "clock"))
    clock_storm();
  else if (!strcmp(what, "threads"))
    many(count);
  else if (!strcmp(what, "sleeps"))
    sleeps();
  else if (!strcmp(what, "signal"))
    answer();
  return 0;
}
