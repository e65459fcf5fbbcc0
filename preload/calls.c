/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Accounts for the calls that are timed: totals and histogram of each, the stack of those that took
 * REGION_CALL_STACK_NS, an event for those that took REGION_CALL_SLOW_NS. */
#include "calls.h"

#include <sys/stat.h>

#include "sys.h"
#include "trace/trace.h"

struct calls_next calls_next;

static long missing(void) {
  errno = ENOSYS;
  return -1;
}

void *calls_find(const char *name) {
  void *found = shim_real(name);

  return found ? found : (void *)missing;
}

__attribute__((constructor)) static void find_all(void) {
  int kept = errno;

#define FIND(form, call, result, name, parameters, arguments) (void)CALLS_NEXT(name);
  CALLS_HOOKS(FIND)
#undef FIND
  errno = kept;
}

static void add(uint64_t *sum, uint64_t more) {
  if (more)
    __atomic_add_fetch(sum, more, __ATOMIC_RELAXED);
}

static void raise_to(uint64_t *maximum, uint64_t value) {
  uint64_t seen = __atomic_load_n(maximum, __ATOMIC_RELAXED);

  while (seen < value && !__atomic_compare_exchange_n(maximum, &seen, value, true, __ATOMIC_RELAXED,
                                                      __ATOMIC_RELAXED))
    ;
}

/* What a non-blocking caller or one with a timeout expects is no error. */
static bool is_error(int64_t result) {
  return result < 0 && result != -EINTR && result != -EAGAIN && result != -EINPROGRESS &&
         result != -ETIMEDOUT;
}

/* Bytes or an error; what other counts, descriptors and PIDs a call returns is not told. */
static int64_t told_result(enum region_call call, int64_t outcome) {
  _Static_assert(REGION_CALL_SENDFILE < REGION_CALL_CONNECT, "those that move bytes come first");
  return call <= REGION_CALL_SENDFILE || outcome < 0 ? outcome : 0;
}

static void count_total(enum region_call call, uint64_t ns, int64_t result) {
  struct region_call_total *total = &shim_region->calls[call];

  add(&total->count, 1);
  add(&total->errors, is_error(result));
  add(&total->bytes, result > 0 ? (uint64_t)result : 0);
  add(&total->total_ns, ns);
  add(&total->buckets[region_histogram_bucket(ns)], 1);
  raise_to(&total->max_ns, ns);
}

static enum wait_reason reason_of_mode(mode_t mode) {
  switch (mode & S_IFMT) {
  case S_IFREG:
  case S_IFDIR:
  case S_IFBLK:
    return WAIT_DISK;
  case S_IFSOCK:
    return WAIT_SOCKET;
  case S_IFIFO:
    return WAIT_PIPE;
  default:
    return WAIT_UNKNOWN;
  }
}

/* Asked only for calls so long that one more system call does not matter. */
static enum wait_reason reason_of(enum region_call call, int fd) {
#define REASON(name, text, reason) reason,
  static const uint8_t reasons[] = {REGION_CALLS_LIST(REASON)};
#undef REASON
  struct stat status;

  if (reasons[call] != WAIT_UNKNOWN || fd < 0 ||
      shim_syscall(SYS_newfstatat, fd, "", &status, AT_EMPTY_PATH) < 0)
    return reasons[call];
  return reason_of_mode(status.st_mode);
}

static uint32_t count_site(struct shim_thread *thread, enum region_call call, uint64_t ns,
                           int64_t result, enum wait_reason reason) {
  uint32_t number = shim_site(thread, REGION_CALLS + call, &thread->stack);
  struct region_site *site = &shim_region->sites[number];

  if (reason != WAIT_UNKNOWN && site->wait_reason != reason && number > REGION_CALLS)
    site->wait_reason = reason;
  add(&site->allocations, 1);
  add(&site->allocated_bytes, ns);
  add(&site->frees, is_error(result));
  add(&site->freed_bytes, result > 0 ? (uint64_t)result : 0);
  raise_to(&site->peak_bytes, ns);
  return number;
}

static void count_call(struct shim_thread *thread, enum region_call call, int fd,
                       const struct region_event *event, struct shim_place place) {
  count_total(call, event->value, event->result);
  if (event->value < REGION_CALL_STACK_NS)
    return;

  struct region_event slow = *event;
  slow.waits = reason_of(call, fd);
  shim_walk_here(thread, place);
  slow.site = count_site(thread, call, slow.value, slow.result, (enum wait_reason)slow.waits);
  if (slow.value >= REGION_CALL_SLOW_NS)
    shim_region_event(&slow);
}

void calls_end(const struct calls_mark *mark, enum region_call call, int fd, int64_t outcome,
               struct shim_place place) {
  if (!shim_config.calls)
    return;
  int kept = errno;
  struct region_event event = {.time_ns = mark->start_ns,
                               .value = calls_now_ns() - mark->start_ns,
                               .result = told_result(call, outcome),
                               .type = REGION_EVENT_CALL,
                               .call = call};
  struct shim_thread *thread = shim_enter();

  if (thread) {
    event.tid = thread->tid;
    count_call(thread, call, fd, &event, place);
    shim_leave(thread);
  }
  errno = kept;
}

void calls_count_quick(enum region_call call) {
  struct shim_thread *thread = shim_config.calls ? shim_enter() : NULL;

  if (!thread)
    return;
  add(&shim_region->quick[thread->tid % REGION_STRIPES][call - REGION_CALL_MUTEX_LOCK], 1);
  shim_leave(thread);
}

/* All of one part, or less at an error, the end, or a cut that is not ours. */
static size_t carry_on_part(struct calls_mark *mark, calls_step *step, int fd, struct iovec part,
                            int flags) {
  size_t done = 0;

  while (done < part.iov_len) {
    ssize_t moved = step(fd, (uint8_t *)part.iov_base + done, part.iov_len - done, flags);
    if (calls_again(mark, moved))
      continue;
    if (moved <= 0)
      break;
    done += (size_t)moved;
    if (done < part.iov_len && !calls_cut(mark))
      break;
  }
  return done;
}

ssize_t calls_carry_on(struct calls_mark *mark, ssize_t done, calls_step *step, int fd,
                       const struct iovec *parts, size_t count, int flags) {
  size_t passed = 0;
  int kept = errno;

  if (SHIM_LIKELY(done <= 0 || !calls_cut(mark)))
    return done;
  for (size_t i = 0; i < count; passed += parts[i++].iov_len) {
    size_t skip = (size_t)done - passed;
    if (skip >= parts[i].iov_len)
      continue;
    struct iovec rest = {(uint8_t *)parts[i].iov_base + skip, parts[i].iov_len - skip};
    size_t moved = carry_on_part(mark, step, fd, rest, flags);
    done += (ssize_t)moved;
    if (moved < rest.iov_len)
      break;
  }
  errno = kept;
  return done;
}

void calls_tell_read(int fd, const struct iovec *parts, size_t count, ssize_t bytes) {
  size_t left = bytes > 0 ? (size_t)bytes : 0;

  if (!shim_iteration_wants_reads)
    return;
  for (size_t i = 0; i < count && left; i++) {
    size_t taken = parts[i].iov_len < left ? parts[i].iov_len : left;
    shim_iteration_read(fd, parts[i].iov_base, taken);
    left -= taken;
  }
}

int calls_left_ms(const struct calls_mark *mark, int timeout_ms) {
  if (timeout_ms <= 0)
    return timeout_ms;
  uint64_t passed_ms = (calls_now_ns() - mark->start_ns) / 1000000;
  return passed_ms < (uint64_t)timeout_ms ? timeout_ms - (int)passed_ms : 0;
}

const struct timespec *calls_left(const struct calls_mark *mark, const struct timespec *timeout,
                                  struct timespec *left) {
  uint64_t passed_ns = calls_now_ns() - mark->start_ns;

  if (!timeout)
    return NULL;
  left->tv_sec = timeout->tv_sec - (time_t)(passed_ns / 1000000000);
  left->tv_nsec = timeout->tv_nsec - (long)(passed_ns % 1000000000);
  if (left->tv_nsec < 0) {
    left->tv_nsec += 1000000000;
    left->tv_sec--;
  }
  if (left->tv_sec < 0)
    *left = (struct timespec){0};
  return left;
}

/* ---- the hooks that follow from the list ---- */

#define HOOK_PLAIN(call, result, name, parameters, arguments)                                      \
  result name parameters;                                                                          \
  SHIM_EXPORT result name parameters {                                                             \
    if (!calls_are_wanted())                                                                       \
      return CALLS_NEXT(name) arguments;                                                           \
    struct calls_mark mark = calls_begin();                                                        \
    result got;                                                                                    \
    CALLS_REPEAT(mark, got, CALLS_NEXT(name) arguments);                                           \
    calls_end(&mark, REGION_CALL_##call, fd, calls_outcome(got), SHIM_HERE);                       \
    return got;                                                                                    \
  }
#define HOOK_OWN(call, result, name, parameters, arguments)
#define HOOK(form, call, result, name, parameters, arguments)                                      \
  HOOK_##form(call, result, name, parameters, arguments)
CALLS_HOOKS(HOOK)
