/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Known answer: known_site() is asked for 1,000 blocks of 100 bytes and gives 300 of them back, by
 * whichever way the process is confined before and ends after: the first argument. "prefork" has
 * four children of which the i-th takes i * 100 blocks; "exec" does all of it twice, before and
 * after an exec; "threads" in four threads of a quarter each. */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workload.h"

#define BLOCKS 1000

static NOINLINE void *known_site(void) {
  void *block = malloc(100);
  KEEP_FRAME();
  return block;
}

static void take(int count) {
  void *blocks[BLOCKS];
  for (int i = 0; i < count; i++)
    blocks[i] = known_site();
  for (int i = 0; i < count * 3 / 10; i++)
    free(blocks[i]);
}

static void *take_quarter(void *unused) {
  take(BLOCKS / 4);
  return unused;
}

static void in_threads(void) {
  pthread_t threads[4];
  for (int i = 0; i < 4; i++)
    pthread_create(&threads[i], NULL, take_quarter, NULL);
  for (int i = 0; i < 4; i++)
    pthread_join(threads[i], NULL);
}

/* The children live until all of them have counted. */
static int prefork(void) {
  int gate[2], failed = 0, status;
  char byte;
  if (pipe(gate))
    return 1;
  for (int i = 1; i <= 4; i++)
    if (!fork()) {
      close(gate[1]);
      take(i * 100);
      _exit(read(gate[0], &byte, 1) != 0);
    }
  usleep(300000);
  close(gate[1]);
  while (wait(&status) > 0)
    failed |= status;
  return failed;
}

/* A child that begins to count only where its parent went. */
static int in_child(void) {
  int status;
  pid_t child = fork();
  if (!child) {
    take(BLOCKS);
    _exit(0);
  }
  return child < 0 || waitpid(child, &status, 0) != child || status;
}

/* Only what is named goes through; the rest fails with EPERM, as in a sandbox. */
static int confine(void) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 4, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 3, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_brk, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, 2, &program);
}

static int run_out(const char *how) {
  if (!strcmp(how, "sigkill"))
    kill(getpid(), SIGKILL);
  if (!strcmp(how, "abort"))
    abort();
  if (!strcmp(how, "_exit"))
    _exit(7);
  return 0;
}

int main(int argc, char **argv) {
  const char *how = argc > 1 ? argv[1] : "exit";
  if (!strcmp(how, "prefork"))
    return prefork();
  if (!strcmp(how, "close"))
    syscall(SYS_close_range, 0, ~0u, 0);
  if (!strcmp(how, "chroot") && (chroot(argc > 2 ? argv[2] : "/") || chdir("/")))
    return 2;
  if (!strcmp(how, "setuid") && setresuid(65534, 65534, 65534))
    return 2;
  if (!strcmp(how, "seccomp") && confine())
    return 2;
  if (!strcmp(how, "threads"))
    in_threads();
  else
    take(BLOCKS);
  if (argc > 2 && !strcmp(argv[argc - 1], "child"))
    return in_child();
  if (!strcmp(how, "exec"))
    execl(argv[0], argv[0], "exit", NULL);
  return run_out(how);
}
