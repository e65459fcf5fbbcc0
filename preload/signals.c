/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keeps the signal of the CPU timers out of the target's sight: it stays unblocked and ours,
 * whatever the target asks for, and what it reads back is what it set. When it wants that very
 * signal for itself, the timers move to another one. */
#include "signals.h"

#include <string.h>

#include "calls.h"
#include "sys.h"

/* Which actions of the target's block our signal while they run: bit n - 1 for signal n. */
static uint64_t actions_with_ours;

/* The target's action for our signal: the default one, or to ignore it. */
static struct sigaction hidden;

/* Whether this thread believes our signal to be blocked. */
static SHIM_TLS bool believes_blocked;

static int ours(void) {
  return __atomic_load_n(&shim_cpu_signal, __ATOMIC_ACQUIRE);
}

/* ---- choosing a signal ---- */

static bool is_unused(int number) {
  struct sigaction action;

  return number != ours() && CALLS_NEXT(sigaction)(number, NULL, &action) == 0 &&
         action.sa_handler == SIG_DFL;
}

/* Programs that want some take the first, or the last. */
#define FROM_LAST 5

int shim_signal_choose(void) {
  struct sigaction action = {.sa_sigaction = shim_cpu_handle,
                             .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};

  sigfillset(&action.sa_mask);
  int count = SIGRTMAX - SIGRTMIN + 1;
  for (int i = 0; i < count; i++) {
    int number = SIGRTMAX - (i + FROM_LAST) % count;
    if (is_unused(number) && CALLS_NEXT(sigaction)(number, &action, NULL) == 0)
      return number;
  }
  return 0;
}

void shim_signal_unblock(void) {
  uint64_t set = 1ull << (ours() - 1);

  shim_syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &set, NULL, sizeof(set));
}

/* Sent by somebody else, to a target that has no handler for it. */
void shim_signal_pass_on(int number, siginfo_t *info, void *context) {
  struct sigaction action = {.sa_handler = SIG_DFL};

  (void)info, (void)context;
  if (number != ours() || hidden.sa_handler == SIG_IGN)
    return;
  CALLS_NEXT(sigaction)(number, &action, NULL);
  shim_syscall(SYS_tgkill, shim_syscall(SYS_getpid), shim_syscall(SYS_gettid), number);
}

/* What was kept from the target's masks of actions for one signal holds for another from now on. */
static void change_action_masks(int from, int to) {
  for (int number = 1; number <= SIGRTMAX; number++) {
    uint64_t bit = 1ull << (number - 1);
    struct sigaction action;

    if (!(actions_with_ours & bit) || CALLS_NEXT(sigaction)(number, NULL, &action))
      continue;
    if (!to || sigismember(&action.sa_mask, to) != 1)
      __atomic_and_fetch(&actions_with_ours, ~bit, __ATOMIC_RELAXED);
    sigaddset(&action.sa_mask, from);
    if (to)
      sigdelset(&action.sa_mask, to);
    CALLS_NEXT(sigaction)(number, &action, NULL);
  }
}

/* The same for the mask of this thread; those of others are out of reach: what they block remains
 * blocked, so that they are no longer sampled if that is our new signal. */
static void change_thread_mask(int from, int to) {
  sigset_t mask;

  CALLS_NEXT(pthread_sigmask)(SIG_SETMASK, NULL, &mask);
  if (believes_blocked)
    sigaddset(&mask, from);
  believes_blocked = to && sigismember(&mask, to) == 1;
  if (believes_blocked)
    sigdelset(&mask, to);
  CALLS_NEXT(pthread_sigmask)(SIG_SETMASK, &mask, NULL);
}

/* The target wants our signal. Without another one, there are no more samples. */
static void give_up_ours(void) {
  int from = ours(), to = shim_signal_choose();

  __atomic_store_n(&shim_cpu_signal, to, __ATOMIC_RELEASE);
  shim_cpu_move_timers(to);
  change_action_masks(from, to);
  change_thread_mask(from, to);
  hidden = (struct sigaction){.sa_handler = SIG_DFL};
}

/* ---- actions ---- */

static bool is_handler(const struct sigaction *action) {
  return action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
}

static int act_hidden(const struct sigaction *action, struct sigaction *old) {
  struct sigaction before = hidden;

  if (action)
    hidden = *action;
  if (old)
    *old = before;
  return 0;
}

static int act(int number, const struct sigaction *action, struct sigaction *old) {
  struct sigaction narrowed;
  uint64_t bit = 1ull << ((number - 1) & 63);
  bool had_ours = __atomic_load_n(&actions_with_ours, __ATOMIC_RELAXED) & bit;
  bool has_ours = action && sigismember(&action->sa_mask, ours()) == 1;

  if (has_ours) {
    narrowed = *action;
    sigdelset(&narrowed.sa_mask, ours());
    action = &narrowed;
  }
  bool is_set = action != NULL;
  int result = CALLS_NEXT(sigaction)(number, action, old);
  if (result)
    return result;
  if (is_set && has_ours)
    __atomic_or_fetch(&actions_with_ours, bit, __ATOMIC_RELAXED);
  else if (is_set)
    __atomic_and_fetch(&actions_with_ours, ~bit, __ATOMIC_RELAXED);
  if (old && had_ours)
    sigaddset(&old->sa_mask, ours());
  return 0;
}

SHIM_EXPORT int sigaction(int number, const struct sigaction *action, struct sigaction *old) {
  if (!ours() || (action && !shim_cpu_is_own_process()))
    return CALLS_NEXT(sigaction)(number, action, old);
  if (number != ours())
    return act(number, action, old);
  if (!action || !is_handler(action))
    return act_hidden(action, old);
  struct sigaction before = hidden;
  give_up_ours();
  int result = act(number, action, NULL);
  if (old && !result)
    *old = before;
  return result;
}

/* The flags are what libc's own functions of these names set. */
static sighandler_t set_handler(int number, sighandler_t handler, int flags) {
  struct sigaction action = {.sa_handler = handler, .sa_flags = flags}, old;

  return sigaction(number, &action, &old) ? SIG_ERR : old.sa_handler;
}

SHIM_EXPORT sighandler_t signal(int number, sighandler_t handler) {
  return ours() && number == ours() ? set_handler(number, handler, SA_RESTART)
                                    : CALLS_NEXT(signal)(number, handler);
}

SHIM_EXPORT sighandler_t sysv_signal(int number, sighandler_t handler) {
  return ours() && number == ours() ? set_handler(number, handler, SA_RESETHAND | SA_NODEFER)
                                    : CALLS_NEXT(sysv_signal)(number, handler);
}

SHIM_EXPORT sighandler_t __sysv_signal(int number, sighandler_t handler) {
  return sysv_signal(number, handler);
}

/* ---- masks ---- */

static const sigset_t *without_ours(const sigset_t *set, sigset_t *room) {
  if (!set || !ours())
    return set;
  *room = *set;
  sigdelset(room, ours());
  return room;
}

const sigset_t *shim_signals_with_ours(const sigset_t *mask, sigset_t *room) {
  if (!mask || !ours())
    return mask;
  *room = *mask;
  sigaddset(room, ours());
  return room;
}

static void note_mask(int how, bool has_ours) {
  if (how == SIG_SETMASK)
    believes_blocked = has_ours;
  else if (has_ours)
    believes_blocked = how == SIG_BLOCK;
}

static int change_mask(int (*next)(int, const sigset_t *, sigset_t *), int how, const sigset_t *set,
                       sigset_t *old) {
  sigset_t room;
  bool did_believe = believes_blocked;
  bool has_ours = set && ours() && sigismember(set, ours()) == 1;
  int result = next(how, without_ours(set, &room), old);

  if (result || !ours())
    return result;
  if (set)
    note_mask(how, has_ours);
  if (old && did_believe)
    sigaddset(old, ours());
  return result;
}

SHIM_EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *old) {
  return change_mask(CALLS_NEXT(sigprocmask), how, set, old);
}

SHIM_EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *old) {
  return change_mask(CALLS_NEXT(pthread_sigmask), how, set, old);
}

/* ---- waiting for signals, which ours would end ---- */

SHIM_EXPORT int sigsuspend(const sigset_t *mask) {
  sigset_t room;

  return CALLS_NEXT(sigsuspend)(shim_signals_with_ours(mask, &room));
}

SHIM_EXPORT int pause(void) {
  struct calls_mark mark = calls_begin();
  int result;

  CALLS_REPEAT(mark, result, CALLS_NEXT(pause)());
  return result;
}

SHIM_EXPORT int sigwait(const sigset_t *set, int *number) {
  sigset_t room;

  return CALLS_NEXT(sigwait)(without_ours(set, &room), number);
}

SHIM_EXPORT int sigwaitinfo(const sigset_t *set, siginfo_t *info) {
  struct calls_mark mark = calls_begin();
  sigset_t room;
  int result;

  CALLS_REPEAT(mark, result, CALLS_NEXT(sigwaitinfo)(without_ours(set, &room), info));
  return result;
}

SHIM_EXPORT int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout) {
  struct calls_mark mark = calls_begin();
  struct timespec left;
  sigset_t room;
  int result = CALLS_NEXT(sigtimedwait)(without_ours(set, &room), info, timeout);

  while (calls_again(&mark, result))
    result =
        CALLS_NEXT(sigtimedwait)(without_ours(set, &room), info, calls_left(&mark, timeout, &left));
  return result;
}

SHIM_EXPORT int signalfd(int fd, const sigset_t *set, int flags) {
  sigset_t room;

  return CALLS_NEXT(signalfd)(fd, without_ours(set, &room), flags);
}

/* ---- System V's waits, which no handler restarts ---- */

SHIM_EXPORT int semop(int id, struct sembuf *steps, size_t count) {
  struct calls_mark mark = calls_begin();
  int result;

  CALLS_REPEAT(mark, result, CALLS_NEXT(semop)(id, steps, count));
  return result;
}

SHIM_EXPORT int semtimedop(int id, struct sembuf *steps, size_t count,
                           const struct timespec *timeout) {
  struct calls_mark mark = calls_begin();
  struct timespec left;
  int result = CALLS_NEXT(semtimedop)(id, steps, count, timeout);

  while (calls_again(&mark, result))
    result = CALLS_NEXT(semtimedop)(id, steps, count, calls_left(&mark, timeout, &left));
  return result;
}

SHIM_EXPORT int msgsnd(int id, const void *message, size_t bytes, int flags) {
  struct calls_mark mark = calls_begin();
  int result;

  CALLS_REPEAT(mark, result, CALLS_NEXT(msgsnd)(id, message, bytes, flags));
  return result;
}

SHIM_EXPORT ssize_t msgrcv(int id, void *message, size_t bytes, long type, int flags) {
  struct calls_mark mark = calls_begin();
  ssize_t result;

  CALLS_REPEAT(mark, result, CALLS_NEXT(msgrcv)(id, message, bytes, type, flags));
  return result;
}
