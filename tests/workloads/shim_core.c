/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the shim's core has to bear, one situation a run:
 *
 *   shim_core confined chroot|setuid   shuts itself in, then has two children allocate 100 blocks
 *   shim_core late                     allocates in destructors of thread-specific data, atexit
 *   shim_core mallinfo FILE            allocates until FILE is there; prints mallinfo2's in-use
 * bytes shim_core errno                    says whether allocating and freeing kept errno */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCKS 100

static void allocate(size_t bytes) {
  for (int i = 0; i < BLOCKS; i++) {
    void *volatile block = malloc(bytes);
    *(volatile char *)block = 1;
  }
}

static int confined(const char *how) {
  if (!strcmp(how, "chroot") ? chroot("/proc/self/fdinfo") : setresuid(65534, 65534, 65534))
    return 1;
  for (int i = 0; i < 2; i++) {
    pid_t child = fork();
    if (child == 0) {
      allocate(77);
      _exit(0);
    }
    waitpid(child, NULL, 0);
  }
  return 0;
}

static void at_end(void *block) {
  free(block);
  allocate(33);
}

static pthread_key_t keys[3];

static void *thread_with_keys(void *unused) {
  for (int i = 0; i < 3; i++)
    pthread_setspecific(keys[i], malloc(11));
  return unused;
}

static void after_main(void) {
  allocate(55);
}

static int late(void) {
  pthread_t thread;

  atexit(after_main);
  for (int i = 0; i < 3; i++)
    pthread_key_create(&keys[i], at_end);
  pthread_create(&thread, NULL, thread_with_keys, NULL);
  pthread_join(thread, NULL);
  return 0;
}

static int answer(const char *file) {
  while (access(file, F_OK)) {
    for (int i = 0; i < 1000; i++)
      free(malloc(100));
    usleep(1000);
  }
  printf("%zu\n", mallinfo2().uordblks);
  return 0;
}

static int keeps_errno(void) {
  for (size_t bytes = 1; bytes < 1 << 20; bytes *= 2) {
    errno = 4711;
    void *block = malloc(bytes);
    block = realloc(block, bytes * 2);
    free(block);
    free(aligned_alloc(64, 64 * bytes));
    if (errno != 4711)
      return 1;
  }
  return 0;
}

int main(int argc, char **argv) {
  if (argc > 2 && !strcmp(argv[1], "confined"))
    return confined(argv[2]);
  if (argc > 1 && !strcmp(argv[1], "late"))
    return late();
  if (argc > 2 && !strcmp(argv[1], "mallinfo"))
    return answer(argv[2]);
  if (argc > 1 && !strcmp(argv[1], "errno"))
    return keeps_errno();
  return 2;
}
