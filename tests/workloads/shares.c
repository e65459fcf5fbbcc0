/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Known answer: of the CPU time, half() takes 50 %, third() 30 %, sixth() 15 % and rest() 5 %, in
 * slices of 1 to 9 ms × share, all called from work() from main(). Each function burns until its
 * own quota of thread CPU time is used, so preemption does not move the shares; the slices vary so
 * that they cannot run in step with a sampling clock. The truth measured by the program itself is
 * printed as JSON at the end. Built with -O2 -fomit-frame-pointer.
 * Arguments: SECONDS (default 10). */
#include "workload.h"

struct burner {
  const char *name;
  unsigned quota_pct;
  uint64_t used_ns;
};

static struct burner burners[] = {
    {"half", 50, 0}, {"third", 30, 0}, {"sixth", 15, 0}, {"rest", 5, 0}};

/* Over- and undershoot are carried: the quota holds over the whole run, not per slice. */
#define BURNER(function, index)                                                                    \
  static NOINLINE void function(uint64_t goal_ns) {                                                \
    uint64_t start_ns = thread_cpu_ns(), now_ns = start_ns;                                        \
    while (burners[index].used_ns + (now_ns - start_ns) < goal_ns) {                               \
      spin();                                                                                      \
      now_ns = thread_cpu_ns();                                                                    \
    }                                                                                              \
    burners[index].used_ns += now_ns - start_ns;                                                   \
    KEEP_FRAME();                                                                                  \
  }

BURNER(half, 0)
BURNER(third, 1)
BURNER(sixth, 2)
BURNER(rest, 3)

static uint64_t next_slice_ns(void) {
  static uint64_t state = 88172645463325252ull; /* xorshift64, Marsaglia 2003 */
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return 1000000 + state % 8000000;
}

static NOINLINE void work(uint64_t goal_ns) {
  half(goal_ns * burners[0].quota_pct / 100);
  third(goal_ns * burners[1].quota_pct / 100);
  sixth(goal_ns * burners[2].quota_pct / 100);
  rest(goal_ns * burners[3].quota_pct / 100);
  KEEP_FRAME();
}

int main(int argc, char **argv) {
  uint64_t end_ns = wall_ns() + (uint64_t)(duration_argument_s(argc, argv, 10) * 1e9);
  for (uint64_t goal_ns = 0; wall_ns() < end_ns;)
    work(goal_ns += next_slice_ns());

  uint64_t total_ns = 0;
  for (int i = 0; i < 4; i++)
    total_ns += burners[i].used_ns;
  printf("{\"cpu_ns\": %llu", (unsigned long long)total_ns);
  for (int i = 0; i < 4; i++)
    printf(", \"%s\": %.3f", burners[i].name, 100.0 * burners[i].used_ns / total_ns);
  printf("}\n");
  return 0;
}
