/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Known answer: starts with libc alone; after 1 s of main_only() it maps libcrypto.so.3 by dlopen
 * and burns CPU in its SHA-256 (hand-written assembly) under crypto_work(), then libm under
 * math_work(), in turns. Every sample's stack ends in main and _start. Exits 77 where libcrypto is
 * not installed. Arguments: SECONDS (default 10). */
#include <dlfcn.h>

#include "workload.h"

typedef unsigned char *(*digest_function)(const unsigned char *, size_t, unsigned char *);
typedef double (*math_function)(double, double);

static NOINLINE void main_only(void) {
  uint64_t start_ns = wall_ns();
  while (wall_ns() - start_ns < 1000000000)
    spin();
  KEEP_FRAME();
}

static NOINLINE void crypto_work(digest_function digest) {
  static unsigned char data[65536];
  unsigned char result[32];
  uint64_t start_ns = thread_cpu_ns();
  while (thread_cpu_ns() - start_ns < 10000000)
    digest(data, sizeof data, result);
  KEEP_FRAME();
}

static NOINLINE double math_work(math_function power) {
  double sum = 0;
  uint64_t start_ns = thread_cpu_ns();
  while (thread_cpu_ns() - start_ns < 10000000)
    for (int i = 1; i < 500; i++)
      sum += power(i * 0.013, 1.7);
  KEEP_FRAME();
  return sum;
}

int main(int argc, char **argv) {
  uint64_t end_ns = wall_ns() + (uint64_t)(duration_argument_s(argc, argv, 10) * 1e9);
  main_only();
  void *crypto = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
  void *math = dlopen("libm.so.6", RTLD_NOW | RTLD_LOCAL);
  digest_function digest = crypto ? (digest_function)dlsym(crypto, "SHA256") : NULL;
  math_function power = math ? (math_function)dlsym(math, "pow") : NULL;
  if (!digest || !power) {
    fprintf(stderr, "dlopener: libcrypto.so.3 or libm.so.6 is missing\n");
    return 77;
  }
  double sum = 0;
  while (wall_ns() < end_ns) {
    crypto_work(digest);
    sum += math_work(power);
  }
  return sum == 0;
}
