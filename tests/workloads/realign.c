/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Known answer: all CPU time is in burn(), called through realigned() (a local aligned to 64 bytes
 * in a function that also uses alloca, so the compiler keeps the caller's stack pointer in memory:
 * a DW_CFA_def_cfa_expression) and variable() (alloca of a changing size), from main.
 * Arguments: SECONDS (default 10). */
#include <alloca.h>
#include <string.h>

#include "workload.h"

static NOINLINE void burn(volatile char *bytes, size_t size) {
  bytes[size - 1] = 1;
  for (int i = 0; i < 50; i++)
    spin();
  KEEP_FRAME();
}

static NOINLINE void variable(size_t size) {
  char *bytes = alloca(size);
  memset(bytes, 0, size);
  burn(bytes, size);
  KEEP_FRAME();
}

static NOINLINE char realigned(size_t size) {
  volatile char aligned[256] __attribute__((aligned(64))) = {0};
  char *bytes = alloca(size);
  aligned[size % 256] = 1;
  burn(bytes, size);
  variable(size);
  KEEP_FRAME();
  return aligned[3];
}

int main(int argc, char **argv) {
  uint64_t end_ns = wall_ns() + (uint64_t)(duration_argument_s(argc, argv, 10) * 1e9);
  unsigned sum = 0;
  for (size_t size = 16; wall_ns() < end_ns; size = size % 4000 + 16)
    sum += (unsigned)realigned(size) + 1;
  return sum == 0;
}
