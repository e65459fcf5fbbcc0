/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Forks as many children as the argument says, one after another: a third exits with a status of
 * its own, a third is killed by a signal, a third executes /bin/true. Prints what wait4(2) says of
 * each: "PID STATUS MINOR MAJOR". The last child's first thread ends before another one exits with
 * status 3. */
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workload.h"

static void *exit_late(void *unused) {
  usleep(20000);
  exit(3);
  return unused;
}

static void end_by_thread(void) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, exit_late, NULL))
    _exit(2);
  pthread_exit(NULL);
}

static void be_child(int i, int count) {
  static const int signals[] = {SIGKILL, SIGTERM, SIGUSR1};
  if (i == count - 1)
    end_by_thread();
  if (i % 3 == 0)
    _exit(i & 127);
  if (i % 3 == 1)
    raise(signals[i / 3 % 3]);
  execl("/bin/true", "true", (char *)NULL);
  _exit(127);
}

int main(int argc, char **argv) {
  int count = argc > 1 ? atoi(argv[1]) : 30;
  for (int i = 0; i < count; i++) {
    struct rusage usage;
    int status;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
      be_child(i, count);
    if (child < 0 || wait4(child, &status, 0, &usage) != child)
      return 2;
    printf("%d %d %ld %ld\n", child, status, usage.ru_minflt, usage.ru_majflt);
  }
  return 0;
}
