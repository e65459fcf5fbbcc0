/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Known answer: the same PID executes this program COUNT + 1 times (default 20), burning 50 ms of
 * CPU in one_life() each time, so about 50 × (COUNT + 1) ms in all, all of it in one_life().
 * Prints {"lives": N} in its last life. Arguments: COUNT (what is left, counted down). */
#include <unistd.h>

#include "workload.h"

static NOINLINE void one_life(void) {
  uint64_t start_ns = thread_cpu_ns();
  while (thread_cpu_ns() - start_ns < 50000000)
    spin();
  KEEP_FRAME();
}

int main(int argc, char **argv) {
  int left = argc > 1 ? atoi(argv[1]) : 20;
  int lives = argc > 2 ? atoi(argv[2]) : 1;
  one_life();
  if (left <= 0) {
    printf("{\"lives\": %d}\n", lives);
    return 0;
  }
  char left_text[16], lives_text[16];
  snprintf(left_text, sizeof left_text, "%d", left - 1);
  snprintf(lives_text, sizeof lives_text, "%d", lives + 1);
  execl("/proc/self/exe", argv[0], left_text, lives_text, (char *)NULL);
  return 1;
}
