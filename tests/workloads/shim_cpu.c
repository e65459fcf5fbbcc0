/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a sampler by signals could disturb, or miss. Each scenario watches for itself what it is to
 * see, and prints it as JSON. Arguments: interrupted SECONDS | alarmed | blocked | itimer | short |
 * handlers | defaults | sent NUMBER | masks | forked */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/poll.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workload.h"

/* The line keeps the compiler from making one of several. */
#define BURNER(name)                                                                               \
  static NOINLINE void name(uint64_t ns) {                                                         \
    for (uint64_t end_ns = thread_cpu_ns() + ns; thread_cpu_ns() < end_ns;)                        \
      spin();                                                                                      \
    __asm__ volatile("" : : "i"(__LINE__) : "memory");                                             \
  }

BURNER(in_long_thread)
BURNER(in_short_threads)
BURNER(in_blocked_thread)
BURNER(in_parent)
BURNER(in_child)

#define MS 1000000ull

/* ---- interrupted: no call may fail with EINTR, or move less than all, as no signal is sent ----
 */

#define FDS 1000
#define BLOCK (1 << 20)

static uint64_t interrupted, short_moves, calls, early;
static uint64_t control_interrupted, control_short; /* the same of calls that no hook sees */
static int pipe_of_writer[2], socket_pair[2];

static void seen(long result) {
  calls++;
  interrupted += result < 0 && errno == EINTR;
}

static volatile pid_t prodded[2];

/* A wait of 1 ms that may not end before. */
#define WAITED(made)                                                                               \
  do {                                                                                             \
    uint64_t start_ns = wall_ns();                                                                 \
    errno = 0;                                                                                     \
    seen(made);                                                                                    \
    early += wall_ns() - start_ns < 990000;                                                        \
  } while (0)

static struct timespec after_1_ms(clockid_t clock) {
  struct timespec at;

  clock_gettime(clock, &at);
  at.tv_nsec += 1000000;
  at.tv_sec += at.tv_nsec / 1000000000;
  at.tv_nsec %= 1000000000;
  return at;
}

/* Descriptors that are never ready: looking at them all takes a while in the kernel, in which the
 * signal comes. Made before there are threads, which make it slow to have more descriptors. */
static struct pollfd fds[FDS];
static fd_set set;

static void make_quiet(void) {
  int quiet[2];

  if (pipe(quiet))
    exit(1);
  for (int i = 0; i < FDS; i++)
    fds[i] = (struct pollfd){.fd = quiet[0], .events = POLLIN};
  for (int i = 0; i < 900; i++) {
    int fd = dup(quiet[0]);
    if (fd < FD_SETSIZE)
      FD_SET(fd, &set);
  }
}

static void wait_on_many(int epoll) {
  struct timespec one_ms = {0, 1000000};
  struct timeval one_ms_too = {0, 1000};
  struct epoll_event event;
  fd_set copy = set;
  char byte;

  WAITED(poll(fds, FDS, 1));
  WAITED(ppoll(fds, FDS, &one_ms, NULL));
  WAITED(select(FD_SETSIZE, &copy, NULL, NULL, &one_ms_too));
  copy = set;
  WAITED(pselect(FD_SETSIZE, &copy, NULL, NULL, &one_ms, NULL));
  WAITED(epoll_wait(epoll, &event, 1, 1));
  WAITED(epoll_pwait(epoll, &event, 1, 1, NULL));
  WAITED(recv(socket_pair[0], &byte, 1, 0));
  if (syscall(SYS_poll, fds, FDS, 1) < 0)
    control_interrupted += errno == EINTR;
}

static void wait_for_time(sem_t *semaphore, sigset_t *usr1) {
  struct timespec one_ms = {0, 1000000}, until;
  siginfo_t info;

  WAITED(nanosleep(&one_ms, NULL));
  WAITED(-(long)clock_nanosleep(CLOCK_MONOTONIC, 0, &one_ms, NULL));
  WAITED(usleep(1000));
  until = after_1_ms(CLOCK_REALTIME);
  WAITED(sem_timedwait(semaphore, &until));
  WAITED(sigtimedwait(usr1, &info, &one_ms));
}

static void *wait_much(void *end) {
  struct timeval one_ms = {0, 1000};
  sem_t semaphore;
  sigset_t usr1;
  int epoll = epoll_create1(0);

  if (socketpair(AF_UNIX, SOCK_STREAM, 0, socket_pair))
    exit(1);
  setsockopt(socket_pair[0], SOL_SOCKET, SO_RCVTIMEO, &one_ms, sizeof(one_ms));
  sem_init(&semaphore, 0, 0);
  sigemptyset(&usr1);
  sigaddset(&usr1, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &usr1, NULL);
  prodded[0] = gettid();
  while (wall_ns() < *(uint64_t *)end) {
    wait_on_many(epoll);
    wait_for_time(&semaphore, &usr1);
  }
  return NULL;
}

/* Blocks of 1 MB, which a blocking write moves in one go. */
static void *write_much(void *end) {
  static char data[BLOCK];

  prodded[1] = gettid();
  for (unsigned i = 0; wall_ns() < *(uint64_t *)end; i++) {
    if (i % 2) {
      long moved = write(pipe_of_writer[1], data, BLOCK);
      seen(moved);
      short_moves += moved != BLOCK;
    } else {
      control_short += syscall(SYS_write, pipe_of_writer[1], data, BLOCK) != BLOCK;
    }
  }
  close(pipe_of_writer[1]);
  return NULL;
}

static void *read_much(void *unused) {
  static char data[BLOCK];

  while (read(pipe_of_writer[0], data, BLOCK) > 0)
    ;
  return unused;
}

/* Linux from 5.11 on sends the signals of CPU timers only on the way back from the kernel, where
 * they end no call. Older ones do not wait; so they are sent here as those send them, to look like
 * the timers in /proc/self/timers. Nothing is sent where there are none. */
static int prod(siginfo_t *info) {
  int number = 0;
  void *value = NULL;
  char line[256];
  FILE *file = fopen("/proc/self/timers", "r");

  while (file && fgets(line, sizeof(line), file))
    if (sscanf(line, "signal: %d/%p", &number, &value) == 2)
      break;
  if (file)
    fclose(file);
  *info = (siginfo_t){.si_signo = number, .si_code = SI_TIMER};
  info->si_value.sival_ptr = value;
  return number;
}

static void prod_until(uint64_t end_ns) {
  siginfo_t info;

  while (!prodded[0] || !prodded[1])
    usleep(1000);
  if (!prod(&info))
    return;
  for (unsigned i = 0; wall_ns() < end_ns; i++) {
    struct timespec time = {0, 200000 + i * 7919 % 700 * 1000};
    syscall(SYS_rt_tgsigqueueinfo, getpid(), prodded[i % 2], info.si_signo, &info);
    syscall(SYS_nanosleep, &time, NULL);
  }
}

static int run_interrupted(double seconds) {
  uint64_t end_ns = wall_ns() + (uint64_t)(seconds * 1e9);
  pthread_t threads[3];

  make_quiet();
  if (pipe(pipe_of_writer))
    return 1;
  pthread_create(&threads[0], NULL, wait_much, &end_ns);
  pthread_create(&threads[1], NULL, write_much, &end_ns);
  pthread_create(&threads[2], NULL, read_much, NULL);
  prod_until(end_ns);
  for (int i = 0; i < 3; i++)
    pthread_join(threads[i], NULL);
  printf("{\"calls\": %lu, \"interrupted\": %lu, \"short\": %lu, \"early\": %lu,"
         " \"control_interrupted\": %lu, \"control_short\": %lu}\n",
         calls, interrupted, short_moves, early, control_interrupted, control_short);
  return 0;
}

/* ---- blocked: a thread that blocks every signal it can is sampled all the same ---- */

static int mask_differs(const sigset_t *expected) {
  sigset_t mask;

  pthread_sigmask(SIG_SETMASK, NULL, &mask);
  for (int number = 1; number <= SIGRTMAX; number++)
    if (number != SIGKILL && number != SIGSTOP && number != 32 && number != 33 &&
        sigismember(&mask, number) != sigismember(expected, number))
      return number;
  return 0;
}

static void *block_all(void *differs) {
  sigset_t all;

  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, NULL);
  in_blocked_thread(1000 * MS);
  *(int *)differs = mask_differs(&all);
  return NULL;
}

static int run_blocked(void) {
  pthread_t thread;
  int differs = 0;

  pthread_create(&thread, NULL, block_all, &differs);
  in_parent(1000 * MS);
  pthread_join(thread, NULL);
  printf("{\"differs\": %d}\n", differs);
  return 0;
}

/* ---- itimer: a target that profiles itself by SIGPROF ---- */

static volatile sig_atomic_t prof_signals;

static void count_prof(int number) {
  prof_signals += number == SIGPROF;
}

static int run_itimer(void) {
  struct itimerval every_10_ms = {{0, 10000}, {0, 10000}}, none = {0};
  struct sigaction action = {.sa_handler = count_prof, .sa_flags = SA_RESTART}, old;

  sigaction(SIGPROF, &action, NULL);
  setitimer(ITIMER_PROF, &every_10_ms, NULL);
  in_parent(1000 * MS);
  setitimer(ITIMER_PROF, &none, NULL);
  sigaction(SIGPROF, NULL, &old);
  printf("{\"signals\": %d, \"kept\": %d}\n", (int)prof_signals, old.sa_handler == count_prof);
  return 0;
}

/* ---- short: 200 threads of 3 ms each use as much CPU time as one of 600 ms ---- */

static void *live_shortly(void *unused) {
  in_short_threads(3 * MS);
  return unused;
}

static int run_short(void) {
  uint64_t start_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);

  for (int i = 0; i < 200; i++) {
    pthread_t thread;
    pthread_create(&thread, NULL, live_shortly, NULL);
    pthread_join(thread, NULL);
  }
  in_long_thread(600 * MS);
  printf("{\"cpu_ns\": %lu}\n", clock_ns(CLOCK_PROCESS_CPUTIME_ID) - start_ns);
  return 0;
}

/* ---- handlers: a target that takes all signals but one for itself ---- */

#define SA_RESTORER 0x04000000 /* the kernel's; glibc shows it */

static volatile sig_atomic_t taken[65], surprises;

static void take(int number, siginfo_t *info, void *context) {
  (void)context;
  taken[number]++;
  surprises += info->si_code != SI_TKILL;
}

static int run_handlers(void) {
  struct sigaction action = {.sa_sigaction = take, .sa_flags = SA_SIGINFO}, old;
  int not_default = 0, missed = 0, not_kept = 0;

  sigfillset(&action.sa_mask);
  for (int number = SIGRTMIN + 1; number <= SIGRTMAX; number++) {
    sigaction(number, &action, &old);
    not_default += old.sa_handler != SIG_DFL;
    in_parent(5 * MS);
  }
  for (int number = SIGRTMIN + 1; number <= SIGRTMAX; number++) {
    raise(number);
    missed += taken[number] != 1;
    sigaction(number, NULL, &old);
    not_kept += old.sa_sigaction != take || (old.sa_flags & ~SA_RESTORER) != SA_SIGINFO ||
                sigismember(&old.sa_mask, SIGRTMAX - 5) != 1;
  }
  in_parent(300 * MS);
  printf("{\"not_default\": %d, \"missed\": %d, \"surprises\": %d, \"not_kept\": %d}\n",
         not_default, missed, (int)surprises, not_kept);
  return 0;
}

/* As node does at its start, and others by signal(). */
static int run_defaults(void) {
  struct sigaction action = {.sa_handler = SIG_DFL}, old;
  int differs = 0;

  for (int number = 1; number <= SIGRTMAX; number++) {
    if (number == 32 || number == 33)
      continue;
    sigaction(number, &action, NULL);
    if (number >= SIGRTMIN) {
      signal(number, SIG_IGN);
      sigaction(number, NULL, &old);
      differs += old.sa_handler != SIG_IGN;
      differs += signal(number, SIG_DFL) != SIG_IGN;
    }
  }
  in_parent(500 * MS);
  printf("{\"differs\": %d}\n", differs);
  return 0;
}

/* ---- masks: what is read back is what was set, step by step ---- */

static int run_masks(void) {
  sigset_t all, none, old;
  int differs = 0, number;

  sigfillset(&all);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, &old);
  differs += mask_differs(&none) != 0;
  sigprocmask(SIG_BLOCK, &all, &old);
  differs += mask_differs(&all) != 0 || sigismember(&old, SIGRTMAX - 5);
  sigprocmask(SIG_UNBLOCK, &none, &old);
  differs += mask_differs(&all) != 0 || !sigismember(&old, SIGRTMAX - 5);
  for (number = SIGRTMIN; number <= SIGRTMAX; number++) {
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, number);
    sigprocmask(SIG_UNBLOCK, &one, NULL);
    sigdelset(&all, number);
    differs += mask_differs(&all) != 0;
  }
  in_parent(300 * MS);
  printf("{\"differs\": %d}\n", differs);
  return 0;
}

static int run_forked(void) {
  pid_t pid = fork();

  if (pid == 0) {
    in_child(600 * MS);
    _exit(0);
  }
  in_parent(600 * MS);
  return waitpid(pid, NULL, 0) != pid;
}

/* Without a handler for it: the target ends by it. */
static int run_sent(int number) {
  in_parent(100 * MS);
  kill(getpid(), number);
  return 0;
}

/* ---- alarmed: a signal of the target's own ends its calls, as ever ---- */

static volatile sig_atomic_t alarms;

static void count_alarm(int number) {
  alarms += number == SIGALRM;
}

/* A call without end, which only the alarm ends. */
#define ALARMED(made)                                                                              \
  do {                                                                                             \
    in_parent(4 * MS);                                                                             \
    errno = 0;                                                                                     \
    setitimer(ITIMER_REAL, &every_5_ms, NULL);                                                     \
    calls++;                                                                                       \
    interrupted += (made) < 0 && errno == EINTR;                                                   \
    setitimer(ITIMER_REAL, &never, NULL);                                                          \
  } while (0)

static int run_alarmed(void) {
  /* again and again: the first alarm may come before the call has begun */
  struct itimerval every_5_ms = {{0, 5000}, {0, 5000}}, never = {{0, 0}, {0, 0}};
  struct sigaction action = {.sa_handler = count_alarm};
  struct timespec hour = {3600, 0};
  sigset_t none;
  sem_t semaphore;
  int quiet[2];
  char byte;

  sigemptyset(&none);
  sigaction(SIGALRM, &action, NULL);
  sem_init(&semaphore, 0, 0);
  if (pipe(quiet))
    return 1;
  for (int i = 0; i < 20; i++) {
    ALARMED(poll(NULL, 0, -1));
    ALARMED(ppoll(NULL, 0, &hour, &none));
    ALARMED(select(0, NULL, NULL, NULL, NULL));
    ALARMED(nanosleep(&hour, NULL));
    ALARMED(-(long)(errno = clock_nanosleep(CLOCK_MONOTONIC, 0, &hour, NULL)));
    ALARMED(usleep(900000000));
    ALARMED(read(quiet[0], &byte, 1));
    ALARMED(sem_wait(&semaphore));
    ALARMED(pause());
    ALARMED(sigsuspend(&none));
    ALARMED(sigwaitinfo(&none, NULL));
    ALARMED(-(long)sleep(3600));
  }
  printf("{\"calls\": %lu, \"interrupted\": %lu, \"alarms\": %d}\n", calls, interrupted,
         (int)alarms);
  return 0;
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";

  if (!strcmp(what, "interrupted"))
    return run_interrupted(duration_argument_s(argc - 1, argv + 1, 3));
  if (!strcmp(what, "blocked"))
    return run_blocked();
  if (!strcmp(what, "alarmed"))
    return run_alarmed();
  if (!strcmp(what, "itimer"))
    return run_itimer();
  if (!strcmp(what, "short"))
    return run_short();
  if (!strcmp(what, "handlers"))
    return run_handlers();
  if (!strcmp(what, "defaults"))
    return run_defaults();
  if (!strcmp(what, "masks"))
    return run_masks();
  if (!strcmp(what, "forked"))
    return run_forked();
  if (!strcmp(what, "sent") && argc > 2)
    return run_sent(atoi(argv[2]));
  return 2;
}
