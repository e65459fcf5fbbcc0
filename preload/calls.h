/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one list of the calls that are timed, and what their hooks share. A hook makes the real call
 * outside of the shim, so that a cancelled thread or a longjmp out of a signal handler leaves
 * nothing behind, and accounts for it afterwards. */
#ifndef RAGPROF_PRELOAD_CALLS_H
#define RAGPROF_PRELOAD_CALLS_H

/* The checking inlines of libc's headers would stand in the way of their own definitions. */
#undef _FORTIFY_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cpu.h"
#include "shim.h"

/* X(form, call, result, name, parameters, arguments). PLAIN: the hook follows from this line, the
 * first parameter is a descriptor; OWN: it is written out in one of calls_*.c. */
#define CALLS_HOOKS(X)                                                                             \
  CALLS_FILE_HOOKS(X)                                                                              \
  CALLS_SOCKET_HOOKS(X)                                                                            \
  CALLS_LOCK_HOOKS(X)                                                                              \
  CALLS_WAIT_HOOKS(X)                                                                              \
  CALLS_SIGNAL_HOOKS(X)

/* clang-format off */
#define CALLS_FILE_HOOKS(X)                                                                                    \
  X(OWN, READ, ssize_t, read, (int fd, void *data, size_t bytes), (fd, data, bytes))                           \
  X(OWN, READ, ssize_t, __read_chk, (int fd, void *data, size_t bytes, size_t room), (fd, data, bytes, room))  \
  X(OWN, READ, ssize_t, readv, (int fd, const struct iovec *parts, int count), (fd, parts, count))             \
  X(OWN, WRITE, ssize_t, write, (int fd, const void *data, size_t bytes), (fd, data, bytes))                   \
  X(OWN, WRITE, ssize_t, writev, (int fd, const struct iovec *parts, int count), (fd, parts, count))           \
  X(PLAIN, PREAD, ssize_t, pread, (int fd, void *data, size_t bytes, off_t off), (fd, data, bytes, off))       \
  X(PLAIN, PREAD, ssize_t, pread64, (int fd, void *data, size_t bytes, off64_t off), (fd, data, bytes, off))   \
  X(PLAIN, PREAD, ssize_t, __pread_chk, (int fd, void *data, size_t bytes, off_t off, size_t room),            \
    (fd, data, bytes, off, room))                                                                              \
  X(PLAIN, PREAD, ssize_t, __pread64_chk, (int fd, void *data, size_t bytes, off64_t off, size_t room),        \
    (fd, data, bytes, off, room))                                                                              \
  X(PLAIN, PREAD, ssize_t, preadv, (int fd, const struct iovec *parts, int count, off_t off),                  \
    (fd, parts, count, off))                                                                                   \
  X(PLAIN, PREAD, ssize_t, preadv64, (int fd, const struct iovec *parts, int count, off64_t off),              \
    (fd, parts, count, off))                                                                                   \
  X(PLAIN, PREAD, ssize_t, preadv2, (int fd, const struct iovec *parts, int count, off_t off, int flags),      \
    (fd, parts, count, off, flags))                                                                            \
  X(PLAIN, PREAD, ssize_t, preadv64v2, (int fd, const struct iovec *parts, int count, off64_t off, int flags), \
    (fd, parts, count, off, flags))                                                                            \
  X(PLAIN, PWRITE, ssize_t, pwrite, (int fd, const void *data, size_t bytes, off_t off),                       \
    (fd, data, bytes, off))                                                                                    \
  X(PLAIN, PWRITE, ssize_t, pwrite64, (int fd, const void *data, size_t bytes, off64_t off),                   \
    (fd, data, bytes, off))                                                                                    \
  X(PLAIN, PWRITE, ssize_t, pwritev, (int fd, const struct iovec *parts, int count, off_t off),                \
    (fd, parts, count, off))                                                                                   \
  X(PLAIN, PWRITE, ssize_t, pwritev64, (int fd, const struct iovec *parts, int count, off64_t off),            \
    (fd, parts, count, off))                                                                                   \
  X(PLAIN, PWRITE, ssize_t, pwritev2, (int fd, const struct iovec *parts, int count, off_t off, int flags),    \
    (fd, parts, count, off, flags))                                                                            \
  X(PLAIN, PWRITE, ssize_t, pwritev64v2,                                                                       \
    (int fd, const struct iovec *parts, int count, off64_t off, int flags), (fd, parts, count, off, flags))    \
  X(OWN, SENDFILE, ssize_t, sendfile, (int to, int fd, off_t *off, size_t bytes), (to, fd, off, bytes))        \
  X(OWN, SENDFILE, ssize_t, sendfile64, (int to, int fd, off64_t *off, size_t bytes), (to, fd, off, bytes))    \
  X(PLAIN, FSYNC, int, fsync, (int fd), (fd))                                                                  \
  X(PLAIN, FDATASYNC, int, fdatasync, (int fd), (fd))                                                          \
  X(OWN, OPEN, int, open, (const char *path, int flags, ...), )                                                \
  X(OWN, OPEN, int, open64, (const char *path, int flags, ...), )                                              \
  X(OWN, OPEN, int, openat, (int at, const char *path, int flags, ...), )                                      \
  X(OWN, OPEN, int, openat64, (int at, const char *path, int flags, ...), )                                    \
  X(OWN, OPEN, int, creat, (const char *path, mode_t mode), (path, mode))                                      \
  X(OWN, OPEN, int, creat64, (const char *path, mode_t mode), (path, mode))                                    \
  X(OWN, OPEN, int, __open_2, (const char *path, int flags), (path, flags))                                    \
  X(OWN, OPEN, int, __open64_2, (const char *path, int flags), (path, flags))                                  \
  X(OWN, OPEN, int, __openat_2, (int at, const char *path, int flags), (at, path, flags))                      \
  X(OWN, OPEN, int, __openat64_2, (int at, const char *path, int flags), (at, path, flags))                    \
  X(OWN, CLOSE, int, close, (int fd), (fd))                                                                    \
  X(OWN, CLOSE, int, close_range, (unsigned first, unsigned last, int flags), (first, last, flags))            \
  X(OWN, CLOSE, void, closefrom, (int first), (first))                                                         \
  X(OWN, CLOSE, int, dup2, (int fd, int to), (fd, to))                                                         \
  X(OWN, CLOSE, int, dup3, (int fd, int to, int flags), (fd, to, flags))

#define CALLS_SOCKET_HOOKS(X)                                                                                  \
  X(OWN, SEND, ssize_t, send, (int fd, const void *data, size_t bytes, int flags), (fd, data, bytes, flags))   \
  X(OWN, SEND, ssize_t, sendto,                                                                                \
    (int fd, const void *data, size_t bytes, int flags, CALLS_ADDRESS to, socklen_t to_bytes),                 \
    (fd, data, bytes, flags, to, to_bytes))                                                                    \
  X(OWN, SEND, ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))      \
  X(OWN, SEND, int, sendmmsg, (int fd, struct mmsghdr *messages, unsigned count, int flags),                   \
    (fd, messages, count, flags))                                                                              \
  X(OWN, RECV, ssize_t, recv, (int fd, void *data, size_t bytes, int flags), (fd, data, bytes, flags))         \
  X(OWN, RECV, ssize_t, __recv_chk, (int fd, void *data, size_t bytes, size_t room, int flags),                \
    (fd, data, bytes, room, flags))                                                                            \
  X(OWN, RECV, ssize_t, recvfrom,                                                                              \
    (int fd, void *data, size_t bytes, int flags, CALLS_ADDRESS_OUT from, socklen_t *from_bytes),              \
    (fd, data, bytes, flags, from, from_bytes))                                                                \
  X(OWN, RECV, ssize_t, __recvfrom_chk,                                                                        \
    (int fd, void *data, size_t bytes, size_t room, int flags, CALLS_ADDRESS_OUT from, socklen_t *from_bytes), \
    (fd, data, bytes, room, flags, from, from_bytes))                                                          \
  X(OWN, RECV, ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))            \
  X(OWN, RECV, int, recvmmsg,                                                                                  \
    (int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout),                   \
    (fd, messages, count, flags, timeout))                                                                     \
  X(PLAIN, CONNECT, int, connect, (int fd, CALLS_ADDRESS to, socklen_t to_bytes), (fd, to, to_bytes))          \
  X(OWN, ACCEPT, int, accept, (int fd, CALLS_ADDRESS_OUT from, socklen_t *from_bytes), (fd, from, from_bytes)) \
  X(OWN, ACCEPT, int, accept4, (int fd, CALLS_ADDRESS_OUT from, socklen_t *from_bytes, int flags),             \
    (fd, from, from_bytes, flags))                                                                             \
  X(OWN, POLL, int, poll, (struct pollfd *fds, nfds_t count, int timeout_ms), (fds, count, timeout_ms))        \
  X(OWN, POLL, int, __poll_chk, (struct pollfd *fds, nfds_t count, int timeout_ms, size_t room),               \
    (fds, count, timeout_ms, room))                                                                            \
  X(OWN, POLL, int, ppoll,                                                                                     \
    (struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask),                  \
    (fds, count, timeout, mask))                                                                               \
  X(OWN, POLL, int, __ppoll_chk,                                                                               \
    (struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask, size_t room),     \
    (fds, count, timeout, mask, room))                                                                         \
  X(OWN, SELECT, int, select, (int count, fd_set *in, fd_set *out, fd_set *odd, struct timeval *timeout),      \
    (count, in, out, odd, timeout))                                                                            \
  X(OWN, SELECT, int, pselect,                                                                                 \
    (int count, fd_set *in, fd_set *out, fd_set *odd, const struct timespec *timeout, const sigset_t *mask),   \
    (count, in, out, odd, timeout, mask))                                                                      \
  X(OWN, EPOLL_WAIT, int, epoll_wait, (int fd, struct epoll_event *events, int count, int timeout_ms),         \
    (fd, events, count, timeout_ms))                                                                           \
  X(OWN, EPOLL_WAIT, int, epoll_pwait,                                                                         \
    (int fd, struct epoll_event *events, int count, int timeout_ms, const sigset_t *mask),                     \
    (fd, events, count, timeout_ms, mask))                                                                     \
  X(OWN, EPOLL_WAIT, int, epoll_pwait2,                                                                        \
    (int fd, struct epoll_event *events, int count, const struct timespec *timeout, const sigset_t *mask),     \
    (fd, events, count, timeout, mask))                                                                        \
  X(OWN, GETADDRINFO, int, getaddrinfo,                                                                        \
    (const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found),            \
    (node, service, hints, found))

#define CALLS_LOCK_HOOKS(X)                                                                                    \
  X(OWN, MUTEX_LOCK, int, pthread_mutex_lock, (pthread_mutex_t *lock), (lock))                                 \
  X(OWN, MUTEX_LOCK, int, pthread_mutex_timedlock, (pthread_mutex_t *lock, const struct timespec *until),      \
    (lock, until))                                                                                             \
  X(OWN, MUTEX_LOCK, int, pthread_mutex_clocklock,                                                             \
    (pthread_mutex_t *lock, clockid_t clock, const struct timespec *until), (lock, clock, until))              \
  X(OWN, RWLOCK_LOCK, int, pthread_rwlock_rdlock, (pthread_rwlock_t *lock), (lock))                            \
  X(OWN, RWLOCK_LOCK, int, pthread_rwlock_wrlock, (pthread_rwlock_t *lock), (lock))                            \
  X(OWN, RWLOCK_LOCK, int, pthread_rwlock_timedrdlock, (pthread_rwlock_t *lock, const struct timespec *until), \
    (lock, until))                                                                                             \
  X(OWN, RWLOCK_LOCK, int, pthread_rwlock_timedwrlock, (pthread_rwlock_t *lock, const struct timespec *until), \
    (lock, until))                                                                                             \
  X(OWN, RWLOCK_LOCK, int, pthread_rwlock_clockrdlock,                                                         \
    (pthread_rwlock_t *lock, clockid_t clock, const struct timespec *until), (lock, clock, until))             \
  X(OWN, RWLOCK_LOCK, int, pthread_rwlock_clockwrlock,                                                         \
    (pthread_rwlock_t *lock, clockid_t clock, const struct timespec *until), (lock, clock, until))             \
  X(OWN, COND_WAIT, int, pthread_cond_wait, (pthread_cond_t *condition, pthread_mutex_t *lock),                \
    (condition, lock))                                                                                         \
  X(OWN, COND_WAIT, int, pthread_cond_timedwait,                                                               \
    (pthread_cond_t *condition, pthread_mutex_t *lock, const struct timespec *until),                          \
    (condition, lock, until))                                                                                  \
  X(OWN, COND_WAIT, int, pthread_cond_clockwait,                                                               \
    (pthread_cond_t *condition, pthread_mutex_t *lock, clockid_t clock, const struct timespec *until),         \
    (condition, lock, clock, until))                                                                           \
  X(OWN, SEM_WAIT, int, sem_wait, (sem_t *semaphore), (semaphore))                                             \
  X(OWN, SEM_WAIT, int, sem_timedwait, (sem_t *semaphore, const struct timespec *until), (semaphore, until))   \
  X(OWN, SEM_WAIT, int, sem_clockwait, (sem_t *semaphore, clockid_t clock, const struct timespec *until),      \
    (semaphore, clock, until))                                                                                 \
  X(OWN, JOIN, int, pthread_join, (pthread_t thread, void **value), (thread, value))                           \
  X(OWN, JOIN, int, pthread_timedjoin_np, (pthread_t thread, void **value, const struct timespec *until),      \
    (thread, value, until))                                                                                    \
  X(OWN, JOIN, int, pthread_clockjoin_np,                                                                      \
    (pthread_t thread, void **value, clockid_t clock, const struct timespec *until),                           \
    (thread, value, clock, until))

#define CALLS_WAIT_HOOKS(X)                                                                                    \
  X(OWN, SLEEP, int, nanosleep, (const struct timespec *time, struct timespec *left), (time, left))            \
  X(OWN, SLEEP, int, clock_nanosleep,                                                                          \
    (clockid_t clock, int flags, const struct timespec *time, struct timespec *left),                          \
    (clock, flags, time, left))                                                                                \
  X(OWN, SLEEP, int, usleep, (useconds_t time_us), (time_us))                                                  \
  X(OWN, SLEEP, unsigned, sleep, (unsigned time_s), (time_s))                                                  \
  X(OWN, WAIT_CHILD, pid_t, wait, (int *status), (status))                                                     \
  X(OWN, WAIT_CHILD, pid_t, waitpid, (pid_t pid, int *status, int flags), (pid, status, flags))                \
  X(OWN, WAIT_CHILD, pid_t, wait3, (int *status, int flags, struct rusage *usage), (status, flags, usage))     \
  X(OWN, WAIT_CHILD, pid_t, wait4, (pid_t pid, int *status, int flags, struct rusage *usage),                  \
    (pid, status, flags, usage))                                                                               \
  X(OWN, WAIT_CHILD, int, waitid, (idtype_t type, id_t id, siginfo_t *info, int flags),                        \
    (type, id, info, flags))

/* Not timed: they are hooked so that the signal of the CPU timers stays out of sight, so that
 * threads and children have timers from their start, and so that a sandbox is noticed. */
#define CALLS_SIGNAL_HOOKS(X)                                                                                  \
  X(OWN, NONE, int, sigaction, (int number, const struct sigaction *action, struct sigaction *old),            \
    (number, action, old))                                                                                     \
  X(OWN, NONE, sighandler_t, signal, (int number, sighandler_t handler), (number, handler))                    \
  X(OWN, NONE, sighandler_t, sysv_signal, (int number, sighandler_t handler), (number, handler))               \
  X(OWN, NONE, sighandler_t, __sysv_signal, (int number, sighandler_t handler), (number, handler))             \
  X(OWN, NONE, int, sigprocmask, (int how, const sigset_t *set, sigset_t *old), (how, set, old))               \
  X(OWN, NONE, int, pthread_sigmask, (int how, const sigset_t *set, sigset_t *old), (how, set, old))           \
  X(OWN, NONE, int, sigsuspend, (const sigset_t *mask), (mask))                                                \
  X(OWN, NONE, int, pause, (void), ())                                                                         \
  X(OWN, NONE, int, sigwait, (const sigset_t *set, int *number), (set, number))                                \
  X(OWN, NONE, int, sigwaitinfo, (const sigset_t *set, siginfo_t *info), (set, info))                          \
  X(OWN, NONE, int, sigtimedwait, (const sigset_t *set, siginfo_t *info, const struct timespec *timeout),      \
    (set, info, timeout))                                                                                      \
  X(OWN, NONE, int, signalfd, (int fd, const sigset_t *set, int flags), (fd, set, flags))                      \
  X(OWN, NONE, int, semop, (int id, struct sembuf *steps, size_t count), (id, steps, count))                   \
  X(OWN, NONE, int, semtimedop,                                                                                \
    (int id, struct sembuf *steps, size_t count, const struct timespec *timeout), (id, steps, count, timeout)) \
  X(OWN, NONE, int, msgsnd, (int id, const void *message, size_t bytes, int flags),                            \
    (id, message, bytes, flags))                                                                               \
  X(OWN, NONE, ssize_t, msgrcv, (int id, void *message, size_t bytes, long type, int flags),                   \
    (id, message, bytes, type, flags))                                                                         \
  X(OWN, NONE, int, pthread_create,                                                                            \
    (pthread_t *thread, const pthread_attr_t *attributes, void *(*routine)(void *), void *argument),           \
    (thread, attributes, routine, argument))                                                                   \
  X(OWN, NONE, pid_t, fork, (void), ())                                                                        \
  X(OWN, NONE, int, prctl, (int option, ...), )                                                                \
  X(OWN, NONE, long, syscall, (long number, ...), )
/* clang-format on */

/* As sys/socket.h declares these parameters: unions of pointers, for C. */
#define CALLS_ADDRESS __CONST_SOCKADDR_ARG
#define CALLS_ADDRESS_OUT __SOCKADDR_ARG

struct rusage;

/* The functions behind the hooks, NULL until looked up: all at start, or one at its first call. */
struct calls_next {
#define CALLS_NEXT_MEMBER(form, call, result, name, parameters, arguments) result(*name) parameters;
  CALLS_HOOKS(CALLS_NEXT_MEMBER)
#undef CALLS_NEXT_MEMBER
};

extern struct calls_next calls_next;

/* The next definition of a name; of one that this libc does not have, a function that fails with
 * ENOSYS: who found our definition finds out that way. */
void *calls_find(const char *name);

static inline void *calls_look_up(void **next, const char *name) {
  return SHIM_LIKELY(*next != NULL) ? *next : (*next = calls_find(name));
}

#define CALLS_NEXT(name)                                                                           \
  ((__typeof__(calls_next.name))calls_look_up((void **)&calls_next.name, #name))

/* False: the call is passed through as it is. */
static inline bool calls_are_wanted(void) {
  return SHIM_UNLIKELY(shim_config.calls | (shim_config.cpu_hz != 0) | shim_iteration_wants_reads);
}

/* What is known of a call before it is made. */
struct calls_mark {
  uint64_t start_ns;
  uint32_t interrupts;
};

static inline uint64_t calls_now_ns(void) {
  struct timespec now;

  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline struct calls_mark calls_begin(void) {
  return (struct calls_mark){.start_ns = calls_now_ns(), .interrupts = shim_cpu_interrupts};
}

/* Whether our own signal came between since the mark was made, or since this was asked last. */
static inline bool calls_cut(struct calls_mark *mark) {
  bool is_cut = mark->interrupts != shim_cpu_interrupts;

  mark->interrupts = shim_cpu_interrupts;
  return is_cut;
}

/* Whether a call failed only because of our signal: the target would not have seen that. A signal
 * of its own that was handled as well has come while ours was, so it might as well have come before
 * the call. */
static inline bool calls_again(struct calls_mark *mark, int64_t result) {
  return SHIM_UNLIKELY(result < 0 && errno == EINTR) && calls_cut(mark);
}

/* Makes a call, again when our signal ended it. */
#define CALLS_REPEAT(mark, result, made)                                                           \
  do                                                                                               \
    (result) = (made);                                                                             \
  while (calls_again(&(mark), (result)))

/* The outcome of a call as calls_end wants it: of one that sets errno, and of one that returns it.
 */
static inline int64_t calls_outcome(int64_t result) {
  return result < 0 ? -(int64_t)errno : result;
}

static inline int64_t calls_error(int error) {
  return -(int64_t)error;
}

/* Accounts for a call that was made: `outcome` is bytes, another count, or -errno; fd is -1 where
 * it would tell nothing. Keeps errno. */
void calls_end(const struct calls_mark *mark, enum region_call call, int fd, int64_t outcome,
               struct shim_place place);

/* Counts a lock that was taken at once. False: go the long way. */
void calls_count_quick(enum region_call call);

/* One step of a transfer: write, send or recv. */
typedef ssize_t calls_step(int fd, void *data, size_t bytes, int flags);

/* Moves what is left of `parts` after `done` bytes, when our signal cut a blocking call short: the
 * target would not have seen that. The bytes moved in all. */
ssize_t calls_carry_on(struct calls_mark *mark, ssize_t done, calls_step *step, int fd,
                       const struct iovec *parts, size_t count, int flags);

/* Tells iteration.c what was read. */
void calls_tell_read(int fd, const struct iovec *parts, size_t count, ssize_t bytes);

/* What is left of a timeout that began with the mark; of none (below 0, NULL), none. */
int calls_left_ms(const struct calls_mark *mark, int timeout_ms);
const struct timespec *calls_left(const struct calls_mark *mark, const struct timespec *timeout,
                                  struct timespec *left);

#endif
