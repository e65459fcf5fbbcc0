/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Known answer: every on-CPU sample in burn() has main() below exactly 120 frames of descend(),
 * and `_start` at the root; no frame pointers. About one sample in fifty falls while descending,
 * with fewer frames. Arguments: SECONDS (default 10). */
#include "workload.h"

#define DEPTH 120

static NOINLINE void burn(void) {
  for (int i = 0; i < 200; i++)
    spin();
  KEEP_FRAME();
}

/* The locals differ by depth's parity so that the two call sites have frames of their own. */
static NOINLINE unsigned descend(unsigned depth) {
  volatile unsigned local[6] = {depth, depth + 1};
  if (depth == DEPTH)
    burn();
  else
    local[2] = descend(depth + 1);
  KEEP_FRAME();
  return local[0] + local[2];
}

int main(int argc, char **argv) {
  uint64_t end_ns = wall_ns() + (uint64_t)(duration_argument_s(argc, argv, 10) * 1e9);
  unsigned sum = 0;
  while (wall_ns() < end_ns)
    sum += descend(1);
  return sum == 0;
}
