/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hooks of sockets and of waiting for descriptors: send, recv, accept, poll, select, epoll. */
#include "calls.h"
#include "signals.h"

static ssize_t send_step(int fd, void *data, size_t bytes, int flags) {
  return CALLS_NEXT(send)(fd, data, bytes, flags);
}

static ssize_t recv_step(int fd, void *data, size_t bytes, int flags) {
  return CALLS_NEXT(recv)(fd, data, bytes, flags);
}

/* ---- send ---- */

SHIM_EXPORT ssize_t send(int fd, const void *data, size_t bytes, int flags) {
  if (!calls_are_wanted())
    return CALLS_NEXT(send)(fd, data, bytes, flags);
  struct calls_mark mark = calls_begin();
  struct iovec part = {(void *)data, bytes};
  ssize_t done;

  CALLS_REPEAT(mark, done, CALLS_NEXT(send)(fd, data, bytes, flags));
  done = calls_carry_on(&mark, done, send_step, fd, &part, 1, flags);
  calls_end(&mark, REGION_CALL_SEND, fd, calls_outcome(done), SHIM_HERE);
  return done;
}

SHIM_EXPORT ssize_t sendto(int fd, const void *data, size_t bytes, int flags, CALLS_ADDRESS to,
                           socklen_t to_bytes) {
  if (!calls_are_wanted())
    return CALLS_NEXT(sendto)(fd, data, bytes, flags, to, to_bytes);
  struct calls_mark mark = calls_begin();
  struct iovec part = {(void *)data, bytes};
  ssize_t done;

  CALLS_REPEAT(mark, done, CALLS_NEXT(sendto)(fd, data, bytes, flags, to, to_bytes));
  done = calls_carry_on(&mark, done, send_step, fd, &part, 1, flags);
  calls_end(&mark, REGION_CALL_SEND, fd, calls_outcome(done), SHIM_HERE);
  return done;
}

SHIM_EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  if (!calls_are_wanted())
    return CALLS_NEXT(sendmsg)(fd, message, flags);
  struct calls_mark mark = calls_begin();
  ssize_t done;

  CALLS_REPEAT(mark, done, CALLS_NEXT(sendmsg)(fd, message, flags));
  done = calls_carry_on(&mark, done, send_step, fd, message ? message->msg_iov : NULL,
                        message ? message->msg_iovlen : 0, flags);
  calls_end(&mark, REGION_CALL_SEND, fd, calls_outcome(done), SHIM_HERE);
  return done;
}

/* Of sendmmsg and recvmmsg, which return the number of messages. */
static int64_t bytes_of_messages(const struct mmsghdr *messages, int count) {
  int64_t bytes = 0;

  if (count < 0)
    return calls_outcome(count);
  for (int i = 0; i < count; i++)
    bytes += messages[i].msg_len;
  return bytes;
}

SHIM_EXPORT int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags) {
  if (!calls_are_wanted())
    return CALLS_NEXT(sendmmsg)(fd, messages, count, flags);
  struct calls_mark mark = calls_begin();
  int done;

  CALLS_REPEAT(mark, done, CALLS_NEXT(sendmmsg)(fd, messages, count, flags));
  calls_end(&mark, REGION_CALL_SEND, fd, bytes_of_messages(messages, done), SHIM_HERE);
  return done;
}

/* ---- recv ---- */

/* A call that is made again has all of the socket's own timeout (SO_RCVTIMEO) before it once more:
 * our signal comes to who uses the CPU, that is before the wait has begun. */

/* A look at what will be read again is not a read; only MSG_WAITALL waits for more than there is.
 */
static ssize_t received(struct calls_mark *mark, int fd, const struct iovec *parts, size_t count,
                        ssize_t done, int flags) {
  if (flags & MSG_WAITALL)
    done = calls_carry_on(mark, done, recv_step, fd, parts, count, flags);
  if (!(flags & MSG_PEEK))
    calls_tell_read(fd, parts, count, done);
  return done;
}

#define HOOK_RECV(name, parameters, arguments)                                                     \
  ssize_t name parameters;                                                                         \
  SHIM_EXPORT ssize_t name parameters {                                                            \
    if (!calls_are_wanted())                                                                       \
      return CALLS_NEXT(name) arguments;                                                           \
    struct calls_mark mark = calls_begin();                                                        \
    struct iovec part = {data, bytes};                                                             \
    ssize_t done;                                                                                  \
                                                                                                   \
    CALLS_REPEAT(mark, done, CALLS_NEXT(name) arguments);                                          \
    done = received(&mark, fd, &part, 1, done, flags);                                             \
    calls_end(&mark, REGION_CALL_RECV, fd, calls_outcome(done), SHIM_HERE);                        \
    return done;                                                                                   \
  }

HOOK_RECV(recv, (int fd, void *data, size_t bytes, int flags), (fd, data, bytes, flags))
HOOK_RECV(__recv_chk, (int fd, void *data, size_t bytes, size_t room, int flags),
          (fd, data, bytes, room, flags))
HOOK_RECV(recvfrom,
          (int fd, void *data, size_t bytes, int flags, CALLS_ADDRESS_OUT from,
           socklen_t *from_bytes),
          (fd, data, bytes, flags, from, from_bytes))
HOOK_RECV(__recvfrom_chk,
          (int fd, void *data, size_t bytes, size_t room, int flags, CALLS_ADDRESS_OUT from,
           socklen_t *from_bytes),
          (fd, data, bytes, room, flags, from, from_bytes))

SHIM_EXPORT ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
  if (!calls_are_wanted())
    return CALLS_NEXT(recvmsg)(fd, message, flags);
  struct calls_mark mark = calls_begin();
  ssize_t done;

  CALLS_REPEAT(mark, done, CALLS_NEXT(recvmsg)(fd, message, flags));
  if (done > 0)
    done = received(&mark, fd, message->msg_iov, message->msg_iovlen, done, flags);
  calls_end(&mark, REGION_CALL_RECV, fd, calls_outcome(done), SHIM_HERE);
  return done;
}

SHIM_EXPORT int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                         struct timespec *timeout) {
  if (!calls_are_wanted())
    return CALLS_NEXT(recvmmsg)(fd, messages, count, flags, timeout);
  struct calls_mark mark = calls_begin();
  int done;

  CALLS_REPEAT(mark, done, CALLS_NEXT(recvmmsg)(fd, messages, count, flags, timeout));
  calls_end(&mark, REGION_CALL_RECV, fd, bytes_of_messages(messages, done), SHIM_HERE);
  return done;
}

/* ---- accept ---- */

#define HOOK_ACCEPT(name, parameters, arguments)                                                   \
  SHIM_EXPORT int name parameters {                                                                \
    if (!calls_are_wanted())                                                                       \
      return CALLS_NEXT(name) arguments;                                                           \
    struct calls_mark mark = calls_begin();                                                        \
    int got;                                                                                       \
                                                                                                   \
    CALLS_REPEAT(mark, got, CALLS_NEXT(name) arguments);                                           \
    calls_end(&mark, REGION_CALL_ACCEPT, fd, calls_outcome(got), SHIM_HERE);                       \
    if (got >= 0 && shim_iteration_wants_reads)                                                    \
      shim_iteration_accepted(got);                                                                \
    return got;                                                                                    \
  }

HOOK_ACCEPT(accept, (int fd, CALLS_ADDRESS_OUT from, socklen_t *from_bytes), (fd, from, from_bytes))
HOOK_ACCEPT(accept4, (int fd, CALLS_ADDRESS_OUT from, socklen_t *from_bytes, int flags),
            (fd, from, from_bytes, flags))

/* ---- waiting for descriptors: a handler ends these whatever its flags, so they go on with the
 * time that is left. A mask that comes with the call keeps our signal out altogether. ---- */

/* A hook with a relative timeout, of which `made` waits for `wait`; `rest` is what is left of it.
 */
#define HOOK_WAIT(call, name, parameters, timeout_type, timeout, rest, prepared, made)             \
  int name parameters;                                                                             \
  SHIM_EXPORT int name parameters {                                                                \
    __attribute__((unused)) struct timespec left;                                                  \
    __attribute__((unused)) sigset_t wider;                                                        \
    timeout_type wait = timeout;                                                                   \
                                                                                                   \
    if (!calls_are_wanted())                                                                       \
      return made;                                                                                 \
    prepared;                                                                                      \
    struct calls_mark mark = calls_begin();                                                        \
    int got = made;                                                                                \
    while (calls_again(&mark, got)) {                                                              \
      wait = rest;                                                                                 \
      got = made;                                                                                  \
    }                                                                                              \
    calls_end(&mark, REGION_CALL_##call, -1, calls_outcome(got), SHIM_HERE);                       \
    return got;                                                                                    \
  }

#define HOOK_WAIT_MS(call, name, parameters, made)                                                 \
  HOOK_WAIT(call, name, parameters, int, timeout_ms, calls_left_ms(&mark, timeout_ms), (void)0,    \
            made)

#define HOOK_WAIT_MS_MASK(call, name, parameters, made)                                            \
  HOOK_WAIT(call, name, parameters, int, timeout_ms, calls_left_ms(&mark, timeout_ms),             \
            mask = shim_signals_with_ours(mask, &wider), made)

#define HOOK_WAIT_MASK(call, name, parameters, made)                                               \
  HOOK_WAIT(call, name, parameters, const struct timespec *, timeout,                              \
            calls_left(&mark, timeout, &left), mask = shim_signals_with_ours(mask, &wider), made)

HOOK_WAIT_MS(POLL, poll, (struct pollfd * fds, nfds_t count, int timeout_ms),
             CALLS_NEXT(poll)(fds, count, wait))
HOOK_WAIT_MS(POLL, __poll_chk, (struct pollfd * fds, nfds_t count, int timeout_ms, size_t room),
             CALLS_NEXT(__poll_chk)(fds, count, wait, room))
HOOK_WAIT_MS(EPOLL_WAIT, epoll_wait,
             (int fd, struct epoll_event *events, int count, int timeout_ms),
             CALLS_NEXT(epoll_wait)(fd, events, count, wait))
HOOK_WAIT_MS_MASK(EPOLL_WAIT, epoll_pwait,
                  (int fd, struct epoll_event *events, int count, int timeout_ms,
                   const sigset_t *mask),
                  CALLS_NEXT(epoll_pwait)(fd, events, count, wait, mask))
HOOK_WAIT_MASK(EPOLL_WAIT, epoll_pwait2,
               (int fd, struct epoll_event *events, int count, const struct timespec *timeout,
                const sigset_t *mask),
               CALLS_NEXT(epoll_pwait2)(fd, events, count, wait, mask))
HOOK_WAIT_MASK(POLL, ppoll,
               (struct pollfd * fds, nfds_t count, const struct timespec *timeout,
                const sigset_t *mask),
               CALLS_NEXT(ppoll)(fds, count, wait, mask))
HOOK_WAIT_MASK(POLL, __ppoll_chk,
               (struct pollfd * fds, nfds_t count, const struct timespec *timeout,
                const sigset_t *mask, size_t room),
               CALLS_NEXT(__ppoll_chk)(fds, count, wait, mask, room))
HOOK_WAIT_MASK(SELECT, pselect,
               (int count, fd_set *in, fd_set *out, fd_set *odd, const struct timespec *timeout,
                const sigset_t *mask),
               CALLS_NEXT(pselect)(count, in, out, odd, wait, mask))

/* Linux leaves in `timeout` what is left of it. */
SHIM_EXPORT int select(int count, fd_set *in, fd_set *out, fd_set *odd, struct timeval *timeout) {
  if (!calls_are_wanted())
    return CALLS_NEXT(select)(count, in, out, odd, timeout);
  struct calls_mark mark = calls_begin();
  int got;

  CALLS_REPEAT(mark, got, CALLS_NEXT(select)(count, in, out, odd, timeout));
  calls_end(&mark, REGION_CALL_SELECT, -1, calls_outcome(got), SHIM_HERE);
  return got;
}

/* ---- names: libc asks its servers by calls of its own that no hook sees ---- */

static int64_t names_outcome(int error) {
  switch (error) {
  case 0:
    return 0;
  case EAI_SYSTEM:
    return -(int64_t)errno;
  case EAI_MEMORY:
    return -ENOMEM;
  default:
    return -ENOENT;
  }
}

SHIM_EXPORT int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                            struct addrinfo **found) {
  if (!calls_are_wanted())
    return CALLS_NEXT(getaddrinfo)(node, service, hints, found);
  struct calls_mark mark = calls_begin();
  int error = CALLS_NEXT(getaddrinfo)(node, service, hints, found);

  calls_end(&mark, REGION_CALL_GETADDRINFO, -1, names_outcome(error), SHIM_HERE);
  return error;
}
