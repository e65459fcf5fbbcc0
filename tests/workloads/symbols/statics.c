/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Functions that a stripped file does not name: some of C, one of them with a part that is moved
 * away; assembly with and without CFI; the code that a signal handler would return to. */
#include <stdlib.h>

/* The C library's CFI begins, as here, before the symbol (by one byte: sigaction.c of glibc). */
__asm__(".text\n"
        ".cfi_startproc\n"
        ".cfi_signal_frame\n"
        "  nop\n nop\n nop\n nop\n"
        ".globl return_from_signal\n"
        ".type return_from_signal, %function\n"
        "return_from_signal:\n"
        "  nop\n nop\n nop\n nop\n"
        ".size return_from_signal, . - return_from_signal\n"
        ".cfi_endproc\n"
        ".type bare_routine, %function\n"
        "bare_routine:\n"
        "  nop\n nop\n nop\n nop\n"
        ".size bare_routine, . - bare_routine\n"
        ".globl unsized_routine\n"
        ".type unsized_routine, %function\n"
        "unsized_routine:\n"
        "  nop\n nop\n nop\n nop\n");

static volatile int sink;

__attribute__((noinline, cold)) static void step_rare(int x) {
  sink = x * 31;
}

__attribute__((noinline)) static int step_one(int x) {
  sink += x;
  return x + 1;
}

__attribute__((noinline)) static int step_parted(int x) {
  if (x == 12345) {
    step_rare(x);
    sink -= step_one(x);
    exit(3);
  }
  return step_one(x) * 7;
}

__attribute__((noinline)) static int step_loop(int x) {
  int sum = 0;
  for (int i = 0; i < x; i++)
    sum += step_parted(i) ^ sink;
  return sum;
}

int call_steps(int x) {
  return step_loop(x) + step_one(2);
}

int main(int argc, char **argv) {
  (void)argv;
  return call_steps(argc) == 7;
}
