/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Known answer: one thread a kind of wait, each looping in a function of its name until the end;
 * every wait is timed around the call by the program itself, and at the end a JSON object says for
 * each kind how many waits there were and how long they took together:
 *   wait_nanosleep    5 ms timer sleeps
 *   wait_futex        a condition variable, signalled by the thread "partner" every 3 ms
 *   wait_pipe         read of a pipe that "partner" writes to every 3 ms
 *   wait_socket       recv from a socketpair that "partner" writes to every 3 ms
 *   wait_poll         poll of no descriptors with a timeout of 7 ms
 *   wait_fsync        4 KiB pwrite + fsync of a file in TMPDIR (may be instant on tmpfs)
 *   wait_child        waitpid of a child that sleeps 10 ms
 * The durations include the wake-up latency, as off-CPU time with run-queue time does.
 * Arguments: SECONDS (default 10). */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workload.h"

struct wait_kind {
  const char *name;
  void (*wait)(void);
  uint64_t count, total_ns;
};

static uint64_t end_ns;
static int pipe_fds[2], socket_fds[2], file_fd;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static uint64_t turn;

static NOINLINE void sleep_ms(unsigned ms) {
  struct timespec pause = {0, (long)ms * 1000000};
  nanosleep(&pause, NULL);
  KEEP_FRAME();
}

static NOINLINE void wait_nanosleep(void) {
  sleep_ms(5);
  KEEP_FRAME();
}

static NOINLINE void wait_futex(void) {
  pthread_mutex_lock(&mutex);
  for (uint64_t seen = turn; turn == seen;)
    pthread_cond_wait(&turned, &mutex);
  pthread_mutex_unlock(&mutex);
  KEEP_FRAME();
}

static NOINLINE void wait_pipe(void) {
  char byte;
  if (read(pipe_fds[0], &byte, 1) != 1)
    abort();
  KEEP_FRAME();
}

static NOINLINE void wait_socket(void) {
  char byte;
  if (recv(socket_fds[0], &byte, 1, 0) != 1)
    abort();
  KEEP_FRAME();
}

static NOINLINE void wait_poll(void) {
  poll(NULL, 0, 7);
  KEEP_FRAME();
}

static NOINLINE void wait_fsync(void) {
  static char page[4096];
  page[0]++;
  if (pwrite(file_fd, page, sizeof page, 0) != sizeof page || fsync(file_fd))
    abort();
  KEEP_FRAME();
}

static NOINLINE void wait_child(void) {
  pid_t child = fork();
  if (child == 0) {
    sleep_ms(10);
    _exit(0);
  }
  if (child < 0 || waitpid(child, NULL, 0) != child)
    abort();
  KEEP_FRAME();
}

static struct wait_kind kinds[] = {
    {"wait_nanosleep", wait_nanosleep, 0, 0}, {"wait_futex", wait_futex, 0, 0},
    {"wait_pipe", wait_pipe, 0, 0},           {"wait_socket", wait_socket, 0, 0},
    {"wait_poll", wait_poll, 0, 0},           {"wait_fsync", wait_fsync, 0, 0},
    {"wait_child", wait_child, 0, 0},
};
#define KIND_COUNT (sizeof kinds / sizeof kinds[0])

static void *run_waits(void *argument) {
  struct wait_kind *kind = argument;
  pthread_setname_np(pthread_self(), kind->name);
  while (wall_ns() < end_ns) {
    uint64_t start_ns = wall_ns();
    kind->wait();
    kind->total_ns += wall_ns() - start_ns;
    kind->count++;
  }
  return NULL;
}

/* Wakes the waiters of the other threads; goes on a little longer than they do, so that none of
 * them is left waiting. */
static void *run_partner(void *argument) {
  (void)argument;
  pthread_setname_np(pthread_self(), "partner");
  while (wall_ns() < end_ns + 50000000) {
    sleep_ms(3);
    pthread_mutex_lock(&mutex);
    turn++;
    pthread_cond_broadcast(&turned);
    pthread_mutex_unlock(&mutex);
    if (write(pipe_fds[1], "", 1) != 1 || send(socket_fds[1], "", 1, 0) != 1)
      abort();
  }
  return NULL;
}

static int open_scratch_file(void) {
  const char *folder = getenv("TMPDIR");
  char path[4096];
  snprintf(path, sizeof path, "%s/ragprof-offcpu-XXXXXX", folder ? folder : "/tmp");
  int fd = mkstemp(path);
  if (fd >= 0)
    unlink(path);
  return fd;
}

int main(int argc, char **argv) {
  pthread_t threads[KIND_COUNT + 1];
  end_ns = wall_ns() + (uint64_t)(duration_argument_s(argc, argv, 10) * 1e9);
  file_fd = open_scratch_file();
  if (file_fd < 0 || pipe(pipe_fds) || socketpair(AF_UNIX, SOCK_STREAM, 0, socket_fds))
    return 1;
  for (size_t i = 0; i < KIND_COUNT; i++)
    if (pthread_create(&threads[i], NULL, run_waits, &kinds[i]))
      return 1;
  if (pthread_create(&threads[KIND_COUNT], NULL, run_partner, NULL))
    return 1;
  for (size_t i = 0; i <= KIND_COUNT; i++)
    pthread_join(threads[i], NULL);

  for (size_t i = 0; i < KIND_COUNT; i++)
    printf("%s\"%s\": {\"count\": %llu, \"total_ns\": %llu}", i ? ", " : "{", kinds[i].name,
           (unsigned long long)kinds[i].count, (unsigned long long)kinds[i].total_ns);
  printf("}\n");
  return 0;
}
