/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Known answer: ten functions that call nothing take 19, 16, 14, 12, 10, 8.5, 7, 5.5, 4.5 and 3.5 %
 * of the CPU time, in this order: each does the same work that many times. Built with -O2
 * -fomit-frame-pointer. Arguments: SECONDS (default 10). */
#include "workload.h"

#define UNIT 2000

#define WORKER(name, share)                                                                        \
  static NOINLINE uint64_t name(uint64_t state) {                                                  \
    for (unsigned i = 0; i < (share)*UNIT; i++) {                                                  \
      state ^= state << 13;                                                                        \
      state ^= state >> 7;                                                                         \
      state ^= state << 17;                                                                        \
    }                                                                                              \
    return state + (share);                                                                        \
  }

/* in half percents */
WORKER(first, 38)
WORKER(second, 32)
WORKER(third, 28)
WORKER(fourth, 24)
WORKER(fifth, 20)
WORKER(sixth, 17)
WORKER(seventh, 14)
WORKER(eighth, 11)
WORKER(ninth, 9)
WORKER(tenth, 7)

static NOINLINE uint64_t round_of_all(uint64_t state) {
  state = first(second(third(fourth(fifth(state)))));
  return sixth(seventh(eighth(ninth(tenth(state))))) + 1;
}

int main(int argc, char **argv) {
  uint64_t end_ns = wall_ns() + (uint64_t)(duration_argument_s(argc, argv, 10) * 1e9);
  uint64_t state = 88172645463325252ull;
  while (wall_ns() < end_ns)
    state = round_of_all(state);
  printf("%llu\n", (unsigned long long)state);
  return 0;
}
