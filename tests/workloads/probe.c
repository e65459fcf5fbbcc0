/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Functions to be probed, which know how often they were called and how long that took. The first
 * argument says what is done; printed are calls and nanoseconds. */
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

static uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static volatile uint64_t sink;
static uint64_t total_ns; /* in the functions, by their own clock */

NOINLINE void spin_for(uint64_t ns) {
  uint64_t begin_ns = now_ns(), at_ns = begin_ns;
  while (at_ns < begin_ns + ns)
    at_ns = now_ns();
  total_ns += at_ns - begin_ns;
}

/* Long enough to be streamed one by one. */
NOINLINE void nap(uint64_t ns) {
  uint64_t begin_ns = now_ns();
  nanosleep(&(struct timespec){.tv_nsec = (long)ns}, NULL);
  total_ns += now_ns() - begin_ns;
}

NOINLINE int descend(int depth) {
  if (depth > 1)
    return descend(depth - 1) + 1;
  spin_for(2000000);
  return 1;
}

static jmp_buf back;

NOINLINE int jump_out(int how) {
  sink++;
  if (how)
    longjmp(back, 1);
  return 0;
}

NOINLINE static int hidden(int value) {
  __asm__ volatile("" ::: "memory");
  return value + 1;
}

static void *call_often(void *argument) {
  uint64_t count = *(uint64_t *)argument;
  for (uint64_t i = 0; i < count; i++)
    sink += (uint64_t)hidden((int)i);
  return NULL;
}

static void threads(uint64_t count, uint64_t each) {
  pthread_t ids[64];
  for (uint64_t i = 0; i < count; i++)
    pthread_create(&ids[i], NULL, call_often, &each);
  for (uint64_t i = 0; i < count; i++)
    pthread_join(ids[i], NULL);
}

static void jumps(uint64_t count) {
  for (volatile uint64_t i = 0; i < count; i++)
    if (!setjmp(back))
      jump_out(1);
  jump_out(0);
}

/* A library that is opened when the capture runs already. */
static void open_late(const char *path, uint64_t count) {
  sleep(4);
  void *library = dlopen(path, RTLD_NOW);
  int (*function)(int) = library ? (int (*)(int))dlsym(library, "library_call") : NULL;
  if (!function)
    return;
  sleep(1);
  for (uint64_t i = 0; i < count; i++)
    sink += (uint64_t)function((int)i);
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "spin";
  uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 0) : 100;
  uint64_t ns = argc > 3 ? strtoull(argv[3], NULL, 0) : 200000;
  uint64_t begin_ns = now_ns();
  for (uint64_t i = 0; i < count && !strcmp(what, "spin"); i++)
    spin_for(ns);
  for (uint64_t i = 0; i < count && !strcmp(what, "nap"); i++)
    nap(ns);
  if (!strcmp(what, "descend")) {
    sink += (uint64_t)descend((int)count);
    total_ns = now_ns() - begin_ns;
  } else if (!strcmp(what, "jumps"))
    jumps(count);
  else if (!strcmp(what, "threads"))
    threads(count, ns);
  else if (!strcmp(what, "late") && argc > 3)
    open_late(argv[3], count);
  printf("%llu %llu\n", (unsigned long long)count, (unsigned long long)total_ns);
  return 0;
}
