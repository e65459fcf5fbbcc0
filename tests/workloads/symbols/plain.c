/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Functions with every kind of symbol: global, local, weak, aliased, unsized, called by PLT. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int counter_of_calls = 7;

/* Two sized functions with a label of no size between them, as hand-written assembly has it. */
__asm__(".text\n"
        ".globl sized_first\n"
        ".type sized_first, @function\n"
        "sized_first:\n"
        "  nop\n nop\n nop\n nop\n"
        "inner_label:\n"
        "  nop\n nop\n nop\n ret\n"
        ".size sized_first, . - sized_first\n"
        ".type unsized_routine, @function\n"
        "unsized_routine:\n"
        "  nop\n nop\n nop\n ret\n"
        ".type sized_last, @function\n"
        "sized_last:\n"
        "  nop\n ret\n"
        ".size sized_last, . - sized_last\n");

static __attribute__((noinline)) int local_step(int x) {
  counter_of_calls++;
  return x * 3;
}

__attribute__((noinline)) int public_step(int x) {
  return local_step(x) + 1;
}

int __hidden_step(int x) __attribute__((alias("public_step")));
int weak_step(int x) __attribute__((weak, alias("public_step")));

static int compare(const void *a, const void *b) {
  return *(const int *)a - *(const int *)b;
}

int main(int argc, char **argv) {
  int values[4] = {public_step(argc), weak_step(2), __hidden_step(3), (int)strlen(argv[0])};
  qsort(values, 4, sizeof(*values), compare);
  void *block = malloc((size_t)values[0] + 1);
  int (*volatile printer)(const char *) = puts;
  printer(block ? "done" : "no memory");
  free(block);
  return 0;
}
