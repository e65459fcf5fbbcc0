/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CPU samples without privileges: a timer on the CPU clock of each thread, whose signal walks the
 * stack that it interrupts. Threads have theirs from their first instruction on, as pthread_create
 * is hooked; others (clone) from their first hooked call. The kernel looks at such timers on its
 * tick alone (CONFIG_HZ), so that a signal may stand for several periods, and a thread that ends
 * between two ticks has some left over: they are counted at its end. Keeping the signal out of the
 * target's sight is signals.c's part. */
#include "cpu.h"

#include <string.h>
#include <ucontext.h>

#include "calls.h"
#include "sys.h"

SHIM_TLS uint32_t shim_cpu_interrupts;
int shim_cpu_signal;

/* The timers, so that they can be moved to another signal: tid << 32 | the kernel's number plus 1;
 * 0: free; tid << 32: being made. */
#define TIMERS_MAX 4096u
static uint64_t timers[TIMERS_MAX];

bool shim_cpu_is_own_process(void) {
  return shim_region && shim_region->pid == (uint32_t)shim_syscall(SYS_getpid);
}

static uint64_t period_ns(void) {
  return 1000000000u / shim_config.cpu_hz;
}

/* The CPU clock of a thread of this process, as linux/posix-timers_types.h makes it: per thread
 * (4), of the scheduler (2). */
static clockid_t thread_clock(uint32_t tid) {
  return (clockid_t)(~tid << 3 | 4 | 2);
}

static uint64_t thread_cpu_ns(uint32_t tid) {
  struct timespec now = {0};

  shim_syscall(SYS_clock_gettime, thread_clock(tid), &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct timespec to_timespec(uint64_t ns) {
  return (struct timespec){(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
}

/* xorshift64, Marsaglia 2003 */
static uint64_t next_random(struct shim_thread *thread) {
  thread->random ^= thread->random << 13;
  thread->random ^= thread->random >> 7;
  return thread->random ^= thread->random << 17;
}

/* ---- timers ---- */

static void delete_timer(uint64_t word) {
  if ((uint32_t)word)
    shim_syscall(SYS_timer_delete, (uint32_t)word - 1);
}

/* A timer that expires after `first_ns` of the thread's CPU time from now, then each period. Its
 * word for timers[]; 0: there are no more to be had (RLIMIT_SIGPENDING). */
static uint64_t create_timer(uint32_t tid, int number, uint64_t first_ns) {
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = number};
  struct itimerspec times = {to_timespec(period_ns()), to_timespec(first_ns)};
  int timer;

  event.sigev_value.sival_ptr = timers;
  event._sigev_un._tid = (pid_t)tid;
  if (shim_syscall(SYS_timer_create, thread_clock(tid), &event, &timer) < 0)
    return 0;
  uint64_t word = (uint64_t)tid << 32 | ((uint32_t)timer + 1);
  if (shim_syscall(SYS_timer_settime, timer, 0, &times, NULL) == 0)
    return word;
  delete_timer(word);
  return 0;
}

/* A slot plus 1, marked as the thread's; 0: all are taken. */
static uint32_t claim_slot(uint32_t tid) {
  for (uint32_t i = 0; i < TIMERS_MAX; i++) {
    uint32_t slot = (tid + i) % TIMERS_MAX;
    uint64_t word = 0;
    if (__atomic_compare_exchange_n(&timers[slot], &word, (uint64_t)tid << 32, false,
                                    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
      return slot + 1;
  }
  return 0;
}

/* Stores a timer that was made for a slot, unless its thread ended meanwhile. */
static void fill_slot(uint64_t *slot, uint32_t tid, uint64_t word) {
  uint64_t claimed = (uint64_t)tid << 32;

  if (word &&
      !__atomic_compare_exchange_n(slot, &claimed, word, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
    delete_timer(word);
}

void shim_cpu_move_timers(int number) {
  for (uint32_t slot = 0; slot < TIMERS_MAX; slot++) {
    uint64_t word = __atomic_load_n(&timers[slot], __ATOMIC_ACQUIRE);
    uint32_t tid = (uint32_t)(word >> 32);
    if (!(uint32_t)word || !__atomic_compare_exchange_n(&timers[slot], &word, (uint64_t)tid << 32,
                                                        false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
      continue;
    delete_timer(word);
    fill_slot(&timers[slot], tid, number ? create_timer(tid, number, period_ns()) : 0);
  }
}

/* ---- threads ---- */

/* In a fork's child, which inherits no timer, but has the handler. */
void shim_cpu_start(void) {
  if (!shim_config.cpu_hz)
    return;
  memset(timers, 0, sizeof(timers));
  if (!shim_cpu_signal)
    shim_cpu_signal = shim_signal_choose();
}

/* The first expiry falls anywhere in a period, so that threads which live shorter than that are
 * sampled in proportion to their time. */
void shim_cpu_thread_start(struct shim_thread *thread) {
  if (!shim_config.cpu_hz || !shim_cpu_signal || thread->cpu.slot)
    return;
  uint64_t phase_ns = 1 + next_random(thread) % period_ns();

  shim_signal_unblock();
  thread->cpu.slot = claim_slot(thread->tid);
  if (!thread->cpu.slot)
    return;
  thread->cpu.first_ns = thread_cpu_ns(thread->tid) + phase_ns;
  fill_slot(&timers[thread->cpu.slot - 1], thread->tid,
            create_timer(thread->tid, shim_cpu_signal, phase_ns));
}

/* ---- samples ---- */

static void count_sample(struct shim_thread *thread, const struct shim_stack *stack,
                         uint64_t periods, uint64_t now_ns) {
  struct region_event event = {.time_ns = now_ns,
                               .value = periods,
                               .tid = thread->tid,
                               .type = REGION_EVENT_SAMPLE,
                               .site = shim_site(thread, REGION_CPU, stack)};
  struct region_site *site = &shim_region->sites[event.site];

  __atomic_add_fetch(&site->allocations, 1, __ATOMIC_RELAXED);
  __atomic_add_fetch(&site->allocated_bytes, periods, __ATOMIC_RELAXED);
  shim_region_event(&event);
}

/* Whether a signal came at the end of a system call that it ended, or right after one: the
 * instruction before is `syscall`. Where that lies on the page before, which need not be mapped, by
 * what syscall leaves in RCX (but for processors with FRED). */
static bool is_after_syscall(const ucontext_t *context) {
  uint64_t ip = (uint64_t)context->uc_mcontext.gregs[REG_RIP];

  if (ip % 4096 < 2)
    return (uint64_t)context->uc_mcontext.gregs[REG_RCX] == ip;
  const uint8_t *before = (const uint8_t *)ip - 2;
  return (int64_t)ip > 0 && before[0] == 0x0f && before[1] == 0x05;
}

static void sample(uint64_t periods, const ucontext_t *context) {
  struct shim_thread *thread = shim_thread_here();

  if (is_after_syscall(context))
    shim_cpu_interrupts++;
  if (!thread || thread->in_handler || !thread->cpu.slot)
    return; /* what is not counted here is at the thread's end */
  thread->in_handler = true;
  shim_walk_context(thread, context);
  count_sample(thread, &thread->handler_stack, periods, calls_now_ns());
  thread->cpu.periods += periods;
  thread->in_handler = false;
}

void shim_cpu_handle(int number, siginfo_t *info, void *context) {
  int kept = errno;

  if (info->si_code == SI_TIMER && info->si_value.sival_ptr == timers)
    sample(1 + (uint64_t)info->si_overrun, context);
  else
    shim_signal_pass_on(number, info, context);
  errno = kept;
}

/* The periods of a thread's life that no signal stood for. At least one in all: reports share out a
 * thread's CPU time, which is known exactly, among its samples, and need one to show it at all. */
static uint64_t periods_left(const struct shim_thread *thread, uint64_t cpu_ns) {
  const struct shim_cpu *cpu = &thread->cpu;
  uint64_t all = cpu_ns < cpu->first_ns ? 1 : 1 + (cpu_ns - cpu->first_ns) / period_ns();

  return all > cpu->periods ? all - cpu->periods : 0;
}

/* Where a thread began that pthread_create did not begin while we looked: under what calls us at
 * its end lie clone3 and start_thread, or in the first thread _start and the two of libc that call
 * main.
 */
static void find_base(struct shim_thread *thread) {
  bool is_first = thread->tid == (uint32_t)shim_syscall(SYS_getpid);
  uint32_t wanted = is_first ? 3 : 2;
  const struct shim_stack *stack = &thread->stack;

  shim_walk_here(thread, SHIM_HERE);
  if (stack->native_end != WALK_ROOT || stack->native_count <= wanted)
    return;
  for (uint32_t i = 0; i < wanted; i++)
    thread->cpu.base[i] = stack->words[stack->native_count - wanted + i];
}

/* They were spent in the routine that the thread began with, or in what it called. */
static void count_left(struct shim_thread *thread, uint64_t periods, uint64_t now_ns) {
  struct shim_stack *stack = &thread->handler_stack;

  if (!thread->cpu.base[0])
    find_base(thread);
  if (!thread->cpu.base[0]) {
    __atomic_add_fetch(&shim_region->lost_samples, periods, __ATOMIC_RELAXED);
    return;
  }
  *stack = (struct shim_stack){.hash = 0x1b873593, .native_end = WALK_ROOT};
  for (uint32_t i = 0; i < 4 && thread->cpu.base[i]; i++) {
    stack->words[stack->native_count++] = thread->cpu.base[i];
    stack->hash = (stack->hash ^ thread->cpu.base[i]) * 0x9e3779b97f4a7c15ull;
  }
  count_sample(thread, stack, periods, now_ns);
}

void shim_cpu_thread_end(struct shim_thread *thread) {
  if (!shim_config.cpu_hz)
    return;
  struct region_event end = {.time_ns = calls_now_ns(),
                             .value = thread_cpu_ns(thread->tid),
                             .result = (int64_t)thread->start_ns,
                             .tid = thread->tid,
                             .type = REGION_EVENT_THREAD};

  if (thread->cpu.slot) {
    delete_timer(__atomic_exchange_n(&timers[thread->cpu.slot - 1], 0, __ATOMIC_ACQUIRE));
    thread->cpu.slot = 0;
    uint64_t left = periods_left(thread, end.value);
    if (left)
      count_left(thread, left, end.time_ns);
  }
  shim_region_event(&end);
}

/* ---- threads and children from their start ---- */

/* What a new thread is to do, on its way from pthread_create to the thread. */
struct start {
  void *(*routine)(void *);
  void *argument;
};

#define STARTS_MAX 256u
static struct start starts[STARTS_MAX];
static bool starts_taken[STARTS_MAX];

static struct start *take_start(struct start start) {
  for (uint32_t i = 0; i < STARTS_MAX; i++)
    if (!__atomic_exchange_n(&starts_taken[i], true, __ATOMIC_ACQUIRE)) {
      starts[i] = start;
      return &starts[i];
    }
  return NULL;
}

static struct start give_start(struct start *given) {
  struct start start = *given;

  __atomic_store_n(&starts_taken[given - starts], false, __ATOMIC_RELEASE);
  return start;
}

/* Remembers what lies under the thread's routine. */
static __attribute__((noinline)) struct start begin(struct start *given, struct shim_place place) {
  struct start start = give_start(given);
  struct shim_thread *thread = shim_enter();

  if (!thread)
    return start;
  shim_walk_here(thread, place);
  thread->cpu.base[0] = (uint64_t)start.routine;
  for (uint32_t i = 0; i < 3 && i < thread->stack.native_count; i++)
    thread->cpu.base[i + 1] = thread->stack.words[i];
  shim_leave(thread);
  return start;
}

/* Ends in a jump: the target's stacks do not show that it was here. */
static void *run_thread(void *given) {
  struct start start = begin(given, SHIM_HERE);

  return start.routine(start.argument);
}

SHIM_EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                               void *(*routine)(void *), void *argument) {
  struct start *start = shim_config.cpu_hz ? take_start((struct start){routine, argument}) : NULL;

  if (!start)
    return CALLS_NEXT(pthread_create)(thread, attributes, routine, argument);
  int error = CALLS_NEXT(pthread_create)(thread, attributes, run_thread, start);
  if (error)
    give_start(start);
  return error;
}

SHIM_EXPORT pid_t fork(void) {
  pid_t pid = CALLS_NEXT(fork)();

  if (pid == 0 && shim_config.cpu_hz) {
    struct shim_thread *thread = shim_enter(); /* which starts the child's region and timer */
    if (thread)
      shim_leave(thread);
  }
  return pid;
}
