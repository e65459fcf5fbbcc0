/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Known answer: about half of the CPU time is in handler() → handler_work(), on an alternate signal
 * stack, delivered by a 10 ms timer and burning 5 ms each; below the signal frame lies the
 * interrupted interrupted_work() ← main ← _start. The other half is interrupted_work() itself.
 * Arguments: SECONDS (default 10). */
#include <signal.h>
#include <sys/time.h>

#include "workload.h"

static NOINLINE void handler_work(void) {
  uint64_t start_ns = thread_cpu_ns();
  while (thread_cpu_ns() - start_ns < 5000000)
    spin();
  KEEP_FRAME();
}

static NOINLINE void handler(int number) {
  (void)number;
  handler_work();
  KEEP_FRAME();
}

static NOINLINE void interrupted_work(uint64_t end_ns) {
  while (wall_ns() < end_ns)
    spin();
  KEEP_FRAME();
}

int main(int argc, char **argv) {
  static char stack[65536];
  stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
  struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK | SA_RESTART};
  struct itimerval timer = {{0, 10000}, {0, 10000}};
  if (sigaltstack(&alternate, NULL) || sigaction(SIGALRM, &action, NULL) ||
      setitimer(ITIMER_REAL, &timer, NULL))
    return 1;
  interrupted_work(wall_ns() + (uint64_t)(duration_argument_s(argc, argv, 10) * 1e9));
  return 0;
}
