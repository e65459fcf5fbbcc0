/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls with known answers: each scenario counts its own calls, bytes and errors by what the
 * functions return, or measures its own waits, and prints them as JSON by the names of
 * preload/region.h. Arguments: forms [N] | waits | kinds | cancel | jump | vfork | vfork_sandbox |
 * closes | strict
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workload.h"

/* What fortified programs call. */
ssize_t __read_chk(int, void *, size_t, size_t);
ssize_t __pread_chk(int, void *, size_t, off_t, size_t);
ssize_t __pread64_chk(int, void *, size_t, off64_t, size_t);
ssize_t __recv_chk(int, void *, size_t, size_t, int);
ssize_t __recvfrom_chk(int, void *, size_t, size_t, int, struct sockaddr *, socklen_t *);
int __poll_chk(struct pollfd *, nfds_t, int, size_t);
int __ppoll_chk(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *, size_t);
int __open_2(const char *, int);
int __open64_2(const char *, int);
int __openat_2(int, const char *, int);
int __openat64_2(int, const char *, int);

/* clang-format off */
#define CALLS(X)                                                                                   \
  X(read) X(write) X(pread) X(pwrite) X(send) X(recv) X(sendfile) X(connect) X(accept) X(poll)     \
  X(select) X(epoll_wait) X(open) X(close) X(fsync) X(fdatasync) X(pthread_mutex_lock)             \
  X(pthread_rwlock_lock) X(pthread_cond_wait) X(sem_wait) X(pthread_join) X(nanosleep) X(wait)     \
  X(getaddrinfo)
/* clang-format on */

enum call {
#define CALL_ENUM(name) CALL_##name,
  CALLS(CALL_ENUM) CALL_COUNT
#undef CALL_ENUM
};

struct tally {
  uint64_t count, errors, bytes, ns;
};

static struct tally tallies[CALL_COUNT];
static char data[4096];
static char scratch_path[] = "/tmp/shim-calls-XXXXXX";

/* The result of a call that sets errno, and whether it moves bytes. */
static long tally(enum call call, long result, int moves) {
  struct tally *sum = &tallies[call];
  int expected = errno == EINTR || errno == EAGAIN || errno == EINPROGRESS || errno == ETIMEDOUT;

  sum->count++;
  sum->errors += result < 0 && !expected;
  sum->bytes += moves && result > 0 ? (uint64_t)result : 0;
  return result;
}

/* The result of a call that returns its error. */
static void tally_error(enum call call, int error) {
  tallies[call].count++;
  tallies[call].errors += error && error != EINTR && error != EAGAIN && error != ETIMEDOUT;
}

#define MOVES(name, made) tally(CALL_##name, (made), 1)
#define PLAIN(name, made) tally(CALL_##name, (made), 0)
#define ERROR(name, made) tally_error(CALL_##name, (made))

static void print_tallies(void) {
  const char *separator = "{";

#define CALL_PRINT(name)                                                                           \
  if (tallies[CALL_##name].count) {                                                                \
    printf("%s\"%s\": {\"count\": %lu, \"errors\": %lu, \"bytes\": %lu, \"ns\": %lu}", separator,  \
           #name, tallies[CALL_##name].count, tallies[CALL_##name].errors,                         \
           tallies[CALL_##name].bytes, tallies[CALL_##name].ns);                                   \
    separator = ", ";                                                                              \
  }
  CALLS(CALL_PRINT)
  printf("}\n");
}

static struct timespec in_ms(clockid_t clock, long ms) {
  struct timespec at;

  clock_gettime(clock, &at);
  at.tv_nsec += ms * 1000000;
  at.tv_sec += at.tv_nsec / 1000000000;
  at.tv_nsec %= 1000000000;
  return at;
}

/* ---- forms: each form of each call, with different sizes ---- */

static void read_and_write(void) {
  struct iovec parts[2] = {{data, 100}, {data + 100, 23}};
  int pair[2], file = PLAIN(open, open(scratch_path, O_RDWR));

  if (pipe(pair))
    exit(1);
  MOVES(write, write(pair[1], data, 500));
  MOVES(write, writev(pair[1], parts, 2));
  MOVES(read, read(pair[0], data, 400));
  MOVES(read, __read_chk(pair[0], data, 50, sizeof(data)));
  MOVES(read, readv(pair[0], parts, 2));
  PLAIN(read, read(-1, data, 10));
  fcntl(pair[0], F_SETFL, O_NONBLOCK);
  MOVES(read, read(pair[0], data, sizeof(data)));
  PLAIN(read, read(pair[0], data, 1)); /* EAGAIN is no error */

  MOVES(pwrite, pwrite(file, data, 1000, 0));
  MOVES(pwrite, pwrite64(file, data, 900, 1000));
  MOVES(pwrite, pwritev(file, parts, 2, 0));
  MOVES(pwrite, pwritev64(file, parts, 2, 0));
  MOVES(pwrite, pwritev2(file, parts, 2, 0, 0));
  MOVES(pwrite, pwritev64v2(file, parts, 2, 0, 0));
  MOVES(pread, pread(file, data, 11, 0));
  MOVES(pread, pread64(file, data, 12, 0));
  MOVES(pread, __pread_chk(file, data, 13, 0, sizeof(data)));
  MOVES(pread, __pread64_chk(file, data, 14, 0, sizeof(data)));
  MOVES(pread, preadv(file, parts, 2, 0));
  MOVES(pread, preadv64(file, parts, 2, 0));
  MOVES(pread, preadv2(file, parts, 2, 0, 0));
  MOVES(pread, preadv64v2(file, parts, 1, 0, 0));
  PLAIN(fsync, fsync(file));
  PLAIN(fdatasync, fdatasync(file));
  PLAIN(fdatasync, fdatasync(-1));

  off_t off = 0;
  off64_t off64 = 10;
  MOVES(sendfile, sendfile(pair[1], file, &off, 700));
  MOVES(sendfile, sendfile64(pair[1], file, &off64, 300));
  PLAIN(close, close(pair[0]));
  PLAIN(close, close(pair[1]));
  PLAIN(close, close(file));
  PLAIN(close, close(-1));
}

static void open_forms(void) {
  int fds[] = {PLAIN(open, open64(scratch_path, O_RDONLY)),
               PLAIN(open, open(scratch_path, O_WRONLY | O_CREAT | O_TRUNC, 0600)),
               PLAIN(open, openat(AT_FDCWD, scratch_path, O_RDONLY)),
               PLAIN(open, openat64(AT_FDCWD, scratch_path, O_RDONLY)),
               PLAIN(open, creat(scratch_path, 0600)),
               PLAIN(open, creat64(scratch_path, 0600)),
               PLAIN(open, __open_2(scratch_path, O_RDONLY)),
               PLAIN(open, __open64_2(scratch_path, O_RDONLY)),
               PLAIN(open, __openat_2(AT_FDCWD, scratch_path, O_RDONLY)),
               PLAIN(open, __openat64_2(AT_FDCWD, scratch_path, O_RDONLY)),
               PLAIN(open, open("/tmp", O_TMPFILE | O_RDWR, 0640))};

  PLAIN(open, open("/nonexistent/file", O_RDONLY));
  for (unsigned i = 0; i < sizeof(fds) / sizeof(*fds); i++)
    PLAIN(close, close(fds[i]));
}

static void socket_forms(void) {
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t bytes = sizeof(name);
  struct iovec parts[2] = {{data, 70}, {data + 70, 7}};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
  struct mmsghdr messages[2] = {{.msg_hdr = message}, {.msg_hdr = message}};
  int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
  int second = socket(AF_INET, SOCK_STREAM, 0), datagrams[2];

  if (bind(listener, (struct sockaddr *)&name, bytes) || listen(listener, 5) ||
      getsockname(listener, (struct sockaddr *)&name, &bytes) ||
      socketpair(AF_UNIX, SOCK_DGRAM, 0, datagrams))
    exit(1);
  PLAIN(connect, connect(client, (struct sockaddr *)&name, bytes));
  PLAIN(connect, connect(second, (struct sockaddr *)&name, bytes));
  PLAIN(connect, connect(-1, (struct sockaddr *)&name, bytes));
  int served = PLAIN(accept, accept(listener, NULL, NULL));
  int other = PLAIN(accept, accept4(listener, NULL, NULL, SOCK_CLOEXEC));

  MOVES(send, send(client, data, 300, 0));
  MOVES(send, sendto(client, data, 200, 0, NULL, 0));
  MOVES(send, sendmsg(client, &message, 0));
  PLAIN(send, send(-1, data, 1, MSG_NOSIGNAL));
  tallies[CALL_send].count++;
  if (sendmmsg(datagrams[0], messages, 2, 0) == 2)
    tallies[CALL_send].bytes += 154;
  MOVES(recv, recv(served, data, 100, MSG_WAITALL));
  MOVES(recv, __recv_chk(served, data, 90, sizeof(data), 0));
  MOVES(recv, recvfrom(served, data, 80, 0, NULL, NULL));
  MOVES(recv, __recvfrom_chk(served, data, 60, sizeof(data), 0, NULL, NULL));
  MOVES(recv, recvmsg(served, &message, 0));
  tallies[CALL_recv].count++;
  if (recvmmsg(datagrams[1], messages, 2, 0, NULL) == 2)
    tallies[CALL_recv].bytes += 154;

  int fds[] = {listener, client, second, served, other, datagrams[0], datagrams[1]};
  for (unsigned i = 0; i < sizeof(fds) / sizeof(*fds); i++)
    PLAIN(close, close(fds[i]));
}

static void poll_forms(void) {
  struct timespec none = {0};
  struct timeval at_once = {0};
  struct epoll_event event = {.events = EPOLLIN};
  struct pollfd *volatile nowhere = (struct pollfd *)8;
  sigset_t mask;
  int set = epoll_create1(0);

  sigemptyset(&mask);
  PLAIN(poll, poll(NULL, 0, 0));
  PLAIN(poll, __poll_chk(NULL, 0, 0, 0));
  PLAIN(poll, ppoll(NULL, 0, &none, &mask));
  PLAIN(poll, __ppoll_chk(NULL, 0, &none, NULL, 0));
  PLAIN(poll, poll(nowhere, 1, 0)); /* EFAULT */
  PLAIN(select, select(0, NULL, NULL, NULL, &at_once));
  PLAIN(select, pselect(0, NULL, NULL, NULL, &none, &mask));
  PLAIN(epoll_wait, epoll_wait(set, &event, 1, 0));
  PLAIN(epoll_wait, epoll_pwait(set, &event, 1, 0, &mask));
  PLAIN(epoll_wait, epoll_pwait2(set, &event, 1, &none, &mask));
  PLAIN(epoll_wait, epoll_wait(-1, &event, 1, 0));
  PLAIN(close, close(set));
}

static void *nothing(void *argument) {
  return argument;
}

static pthread_t started(void) {
  pthread_t thread;

  if (pthread_create(&thread, NULL, nothing, NULL))
    exit(1);
  return thread;
}

static void lock_forms(void) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
  pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  pthread_mutexattr_t checking;
  struct timespec past = {1, 0}, soon = in_ms(CLOCK_REALTIME, 1000);
  sem_t semaphore;

  ERROR(pthread_mutex_lock, pthread_mutex_lock(&mutex));
  ERROR(pthread_mutex_lock, pthread_mutex_timedlock(&mutex, &past)); /* ETIMEDOUT */
  pthread_mutex_unlock(&mutex);
  ERROR(pthread_mutex_lock, pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &past));
  ERROR(pthread_cond_wait, pthread_cond_timedwait(&condition, &mutex, &past));
  ERROR(pthread_cond_wait, pthread_cond_clockwait(&condition, &mutex, CLOCK_MONOTONIC, &past));
  pthread_mutex_unlock(&mutex);
  pthread_mutexattr_init(&checking);
  pthread_mutexattr_settype(&checking, PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutex_init(&mutex, &checking);
  ERROR(pthread_mutex_lock, pthread_mutex_lock(&mutex));
  ERROR(pthread_mutex_lock, pthread_mutex_lock(&mutex)); /* EDEADLK */
  pthread_mutex_unlock(&mutex);

  ERROR(pthread_rwlock_lock, pthread_rwlock_rdlock(&rwlock));
  ERROR(pthread_rwlock_lock, pthread_rwlock_timedrdlock(&rwlock, &soon));
  ERROR(pthread_rwlock_lock, pthread_rwlock_clockrdlock(&rwlock, CLOCK_REALTIME, &soon));
  for (int i = 0; i < 3; i++)
    pthread_rwlock_unlock(&rwlock);
  ERROR(pthread_rwlock_lock, pthread_rwlock_wrlock(&rwlock));
  ERROR(pthread_rwlock_lock, pthread_rwlock_timedwrlock(&rwlock, &past)); /* EDEADLK */
  pthread_rwlock_unlock(&rwlock);
  ERROR(pthread_rwlock_lock, pthread_rwlock_clockwrlock(&rwlock, CLOCK_REALTIME, &soon));

  sem_init(&semaphore, 0, 2);
  PLAIN(sem_wait, sem_wait(&semaphore));
  PLAIN(sem_wait, sem_timedwait(&semaphore, &soon));
  PLAIN(sem_wait, sem_clockwait(&semaphore, CLOCK_MONOTONIC, &past)); /* ETIMEDOUT */

  ERROR(pthread_join, pthread_join(started(), NULL));
  ERROR(pthread_join, pthread_timedjoin_np(started(), NULL, &soon));
  ERROR(pthread_join, pthread_clockjoin_np(started(), NULL, CLOCK_REALTIME, &soon));
}

static pid_t child(void) {
  pid_t pid = fork();

  if (pid == 0)
    _exit(0);
  return pid;
}

static void wait_forms(void) {
  struct timespec short_time = {0, 1000};
  struct addrinfo *found;
  siginfo_t info;

  PLAIN(nanosleep, nanosleep(&short_time, NULL));
  ERROR(nanosleep, clock_nanosleep(CLOCK_MONOTONIC, 0, &short_time, NULL));
  ERROR(nanosleep, clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &short_time, NULL));
  PLAIN(nanosleep, usleep(1));
  PLAIN(nanosleep, (long)sleep(0));
  child(), PLAIN(wait, wait(NULL));
  PLAIN(wait, waitpid(child(), NULL, 0));
  child(), PLAIN(wait, wait3(NULL, 0, NULL));
  PLAIN(wait, wait4(child(), NULL, 0, NULL));
  PLAIN(wait, waitid(P_PID, (id_t)child(), &info, WEXITED));
  PLAIN(wait, wait(NULL)); /* ECHILD */
  int error = getaddrinfo("127.0.0.1", "80", NULL, &found);
  tally_error(CALL_getaddrinfo, error);
  if (!error)
    freeaddrinfo(found);
}

static int forms(int rounds) {
  int file = mkstemp(scratch_path);

  if (file < 0)
    return 1;
  for (int i = 0; i < rounds; i++) {
    read_and_write();
    open_forms();
    socket_forms();
    poll_forms();
    lock_forms();
    wait_forms();
  }
  unlink(scratch_path);
  print_tallies();
  return 0;
}

/* ---- waits of known length ---- */

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static sem_t is_held;

static void *hold(void *ms) {
  struct timespec time = {0, (long)ms * 1000000};

  pthread_mutex_lock(&held);
  sem_post(&is_held);
  syscall(SYS_nanosleep, &time, NULL);
  pthread_mutex_unlock(&held);
  return NULL;
}

#define TIMED(name, made)                                                                          \
  do {                                                                                             \
    uint64_t start_ns = wall_ns();                                                                 \
    made;                                                                                          \
    tallies[CALL_##name].ns += wall_ns() - start_ns;                                               \
  } while (0)

static NOINLINE void wait_for_mutex(void) {
  pthread_t thread;

  pthread_create(&thread, NULL, hold, (void *)30);
  while (sem_trywait(&is_held))
    ;
  TIMED(pthread_mutex_lock, ERROR(pthread_mutex_lock, pthread_mutex_lock(&held)));
  pthread_mutex_unlock(&held);
  pthread_create(&thread, NULL, hold, (void *)25);
  TIMED(pthread_join, ERROR(pthread_join, pthread_join(thread, NULL)));
}

static NOINLINE void wait_for_times(void) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  struct timespec five_ms = {0, 5000000}, until;
  struct timeval ten_ms = {0, 10000};
  sem_t none;

  for (int i = 0; i < 20; i++)
    TIMED(nanosleep, PLAIN(nanosleep, nanosleep(&five_ms, NULL)));
  TIMED(poll, PLAIN(poll, poll(NULL, 0, 10)));
  TIMED(select, PLAIN(select, select(0, NULL, NULL, NULL, &ten_ms)));
  sem_init(&none, 0, 0);
  until = in_ms(CLOCK_REALTIME, 15);
  TIMED(sem_wait, PLAIN(sem_wait, sem_timedwait(&none, &until)));
  pthread_mutex_lock(&mutex);
  tallies[CALL_pthread_mutex_lock].count++;
  until = in_ms(CLOCK_REALTIME, 20);
  TIMED(pthread_cond_wait,
        ERROR(pthread_cond_wait, pthread_cond_timedwait(&condition, &mutex, &until)));
}

static int waits(void) {
  sem_init(&is_held, 0, 0);
  wait_for_mutex();
  wait_for_times();
  tallies[CALL_pthread_mutex_lock].count += 2; /* those of hold() */
  print_tallies();
  return 0;
}

/* ---- kinds: what a descriptor is tells what was waited for ---- */

static void *feed(void *fd) {
  struct timespec time = {0, 5000000};

  syscall(SYS_nanosleep, &time, NULL);
  return (void *)syscall(SYS_write, (long)fd, "x", 1);
}

static NOINLINE void read_slowly(int from, long to) {
  pthread_t thread;

  pthread_create(&thread, NULL, feed, (void *)to);
  MOVES(read, read(from, data, 1));
  pthread_join(thread, NULL);
}

static NOINLINE void read_pipe(void) {
  int pair[2];

  if (pipe(pair) == 0)
    read_slowly(pair[0], pair[1]);
  KEEP_FRAME();
}

static NOINLINE void read_socket(void) {
  int pair[2];

  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0)
    read_slowly(pair[0], pair[1]);
  KEEP_FRAME();
}

/* ---- manners ---- */

static void write_at_cancel(void *fd) {
  MOVES(write, write((int)(long)fd, data, 10));
}

static void *sleep_long(void *fd) {
  struct timespec time = {60, 0};

  pthread_cleanup_push(write_at_cancel, fd);
  nanosleep(&time, NULL);
  pthread_cleanup_pop(0);
  return NULL;
}

/* A thread that is cancelled in a call goes on to make others; so does one that jumps out of it. */
static int cancel(void) {
  pthread_t thread;
  void *result;
  int pair[2];

  if (pipe(pair) || pthread_create(&thread, NULL, sleep_long, (void *)(long)pair[1]))
    return 1;
  syscall(SYS_nanosleep, &(struct timespec){0, 10000000}, NULL);
  pthread_cancel(thread);
  pthread_join(thread, &result);
  MOVES(read, read(pair[0], data, 10));
  print_tallies();
  return result != PTHREAD_CANCELED;
}

static sigjmp_buf out;

static void jump_out(int number) {
  siglongjmp(out, number);
}

static int jump(void) {
  struct timespec time = {60, 0};
  int pair[2];

  signal(SIGALRM, jump_out);
  if (pipe(pair))
    return 1;
  if (sigsetjmp(out, 1) == 0) {
    ualarm(10000, 0);
    nanosleep(&time, NULL);
    return 1;
  }
  MOVES(write, write(pair[1], data, 10));
  MOVES(read, read(pair[0], data, 10));
  print_tallies();
  return 0;
}

static int spawn_by_vfork(void) {
  int status;

  for (volatile int i = 0; i < 50; i++) {
    pid_t pid = vfork();
    if (pid == 0) {
      int null = open("/dev/null", O_RDWR);
      dup2(null, 0);
      close(null);
      execl("/bin/true", "true", NULL);
      _exit(127);
    }
    PLAIN(wait, waitpid(pid, &status, 0));
    if (status)
      return 1;
  }
  tallies[CALL_open].count = tallies[CALL_close].count = 50; /* the child's share of our memory */
  print_tallies();
  return 0;
}

/* A child of vfork that shuts itself in, as launchers do: its parent's calls have their stacks all
 * the same. */
static int vfork_sandbox(void) {
  struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  struct sock_fprog program = {1, &allow};
  struct timespec five_ms = {0, 5000000};
  int status;
  pid_t pid = vfork();

  if (pid == 0) {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0)
      execl("/bin/true", "true", NULL);
    _exit(127);
  }
  PLAIN(wait, waitpid(pid, &status, 0));
  for (int i = 0; i < 5; i++)
    PLAIN(nanosleep, nanosleep(&five_ms, NULL));
  print_tallies();
  return status != 0;
}

/* All descriptors go, as daemons do it. */
static int close_all(void) {
  int pair[2], kept = fcntl(1, F_DUPFD, 900);

  for (int fd = 0; fd < 800; fd++)
    PLAIN(close, close(fd));
  close_range(0, 800, 0);
  if (pipe(pair))
    return 1;
  MOVES(write, write(pair[1], data, 10));
  MOVES(read, read(pair[0], data, 10));
  dup2(kept, 1);
  print_tallies();
  return 0;
}

/* Only read, write, exit and sigreturn are left to it: anything else is a SIGKILL. */
static int strict(void) {
  int pair[2];

  if (pipe(pair) || prctl(PR_SET_SECCOMP, 1))
    return 1;
  for (int i = 0; i < 20000; i++) {
    if (write(pair[1], data, 100) != 100 || read(pair[0], data, 100) != 100)
      syscall(SYS_exit, 1);
  }
  syscall(SYS_exit, 0);
  return 1;
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "forms";

  setvbuf(stdout, NULL, _IOFBF, 8192);
  if (!strcmp(what, "waits"))
    return waits();
  if (!strcmp(what, "kinds")) {
    read_pipe();
    read_socket();
    print_tallies();
    return 0;
  }
  if (!strcmp(what, "cancel"))
    return cancel();
  if (!strcmp(what, "jump"))
    return jump();
  if (!strcmp(what, "vfork"))
    return spawn_by_vfork();
  if (!strcmp(what, "vfork_sandbox"))
    return vfork_sandbox();
  if (!strcmp(what, "closes"))
    return close_all();
  if (!strcmp(what, "strict"))
    return strict();
  return forms(argc > 2 ? atoi(argv[2]) : 1);
}
