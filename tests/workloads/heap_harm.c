// SPDX-License-Identifier: GPL-2.0-or-later
// What programs do that a guest in their process may break. Each case prints what it saw; a run
// with the shim must print, and exit, as a run without it.
//
// usage: heap_harm CASE [ARGUMENT]
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "workload.h"

#pragma GCC diagnostic ignored "-Wclobbered" // none is changed between the two returns

extern char **environ;

static const char *argument = "";

// Allocates and frees `count` blocks; their sizes' sum.
static NOINLINE size_t churn(size_t count) {
  void *blocks[16] = {NULL};
  size_t sum = 0;
  for (size_t i = 0; i < count; i++) {
    size_t bytes = 8 + i * 37 % 900;
    free(blocks[i % 16]);
    blocks[i % 16] = malloc(bytes);
    memset(blocks[i % 16], 1, bytes);
    sum += bytes;
  }
  for (size_t i = 0; i < 16; i++)
    free(blocks[i]);
  return sum;
}

static NOINLINE size_t churn_deep(size_t count, unsigned depth) {
  size_t sum = depth ? churn_deep(count, depth - 1) : churn(count);
  KEEP_FRAME();
  return sum;
}

static void reap(pid_t child) {
  int status = 0;
  if (waitpid(child, &status, 0) != child)
    printf("no child\n");
  else if (WIFSIGNALED(status))
    printf("child ended by signal %d\n", WTERMSIG(status));
  else
    printf("child exited with %d\n", WEXITSTATUS(status));
}

// ---- Stacks -----------------------------------------------------------------------------------

// 6 KiB of 16 are in use when it allocates; it runs long enough to be sampled there.
static void *small_stack(void *result) {
  volatile char used[6 * 1024];
  for (size_t i = 0; i < sizeof used; i += 64)
    used[i] = 1;
  for (unsigned i = 0; i < 200; i++)
    *(size_t *)result = churn(1000) + used[0];
  return NULL;
}

static int small_stacks(void) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  printf("%d\n", pthread_attr_setstacksize(&attributes, 16384));
  for (unsigned round = 0; round < 20; round++) {
    pthread_t threads[4];
    size_t sums[4];
    for (unsigned i = 0; i < 4; i++)
      if (pthread_create(&threads[i], &attributes, small_stack, &sums[i]))
        return 3;
    for (unsigned i = 0; i < 4; i++) {
      pthread_join(threads[i], NULL);
      printf("%zu\n", sums[i]);
    }
  }
  return 0;
}

static volatile sig_atomic_t handled;

static void count_and_churn(int number) {
  handled += number > 0;
  churn_deep(10, 5);
}

// SIGSTKSZ is too small a number for machines with wide registers: what the kernel needs is asked.
static int alternate_stack(void) {
  stack_t stack = {.ss_size = 16384 + (size_t)sysconf(_SC_MINSIGSTKSZ)};
  stack.ss_sp = malloc(stack.ss_size);
  sigaltstack(&stack, NULL);
  sigaction(SIGUSR1, &(struct sigaction){.sa_handler = count_and_churn, .sa_flags = SA_ONSTACK},
            NULL);
  for (unsigned i = 0; i < 1000; i++)
    raise(SIGUSR1);
  printf("%d %zu\n", (int)handled, churn(1000));
  return 0;
}

static sigjmp_buf back;

static NOINLINE void jump_from(unsigned depth) {
  void *block = malloc(depth + 1);
  if (depth)
    jump_from(depth - 1);
  free(block);
  siglongjmp(back, 1);
}

static void jump_out(int number) {
  churn(10);
  siglongjmp(back, number);
}

static int long_jumps(void) {
  volatile unsigned jumps = 0;
  for (unsigned volatile i = 0; i < 2000; i++)
    if (sigsetjmp(back, 0))
      jumps++;
    else
      jump_from(i % 40);
  sigaction(SIGUSR2, &(struct sigaction){.sa_handler = jump_out, .sa_flags = SA_NODEFER}, NULL);
  for (unsigned volatile i = 0; i < 1000; i++)
    if (sigsetjmp(back, 1))
      jumps++;
    else
      raise(SIGUSR2);
  printf("%u %zu\n", jumps, churn_deep(1000, 50));
  return 0;
}

static ucontext_t main_context, side_context;

static void coroutine(void) {
  for (unsigned i = 0;; i++) {
    churn_deep(20, i % 10);
    swapcontext(&side_context, &main_context);
  }
}

// Four stacks from malloc, one after the other, each entered 500 times.
static int contexts(void) {
  for (unsigned round = 0; round < 4; round++) {
    ucontext_t *context = &side_context;
    getcontext(context);
    context->uc_stack.ss_size = 64 * 1024;
    context->uc_stack.ss_sp = malloc(context->uc_stack.ss_size);
    makecontext(context, coroutine, 0);
    for (unsigned i = 0; i < 500; i++)
      swapcontext(&main_context, context);
    free(context->uc_stack.ss_sp);
  }
  printf("%zu\n", churn(1000));
  return 0;
}

// ---- Threads ----------------------------------------------------------------------------------

static void *churn_thread(void *unused) {
  return (void *)(churn(200) + (size_t)unused);
}

static int many_threads(void) {
  size_t sum = 0;
  for (unsigned i = 0; i < 2000; i++) {
    pthread_t thread;
    void *result;
    if (pthread_create(&thread, NULL, churn_thread, NULL))
      return 3;
    pthread_join(thread, &result);
    sum += (size_t)result;
  }
  printf("%zu\n", sum);
  return 0;
}

static void *cancelled(void *unused) {
  for (;;) {
    churn(10);
    usleep(100);
  }
  return unused;
}

static int cancelled_threads(void) {
  unsigned count = 0;
  for (unsigned i = 0; i < 50; i++) {
    pthread_t thread;
    void *result;
    pthread_create(&thread, NULL, cancelled, NULL);
    usleep(300);
    pthread_cancel(thread);
    pthread_join(thread, &result);
    count += result == PTHREAD_CANCELED;
  }
  printf("%u\n", count);
  return 0;
}

static atomic_bool stop;

static void *churn_until_stop(void *unused) {
  while (!stop)
    churn(100);
  return unused;
}

static int fork_among_threads(void) {
  pthread_t threads[3];
  for (unsigned i = 0; i < 3; i++)
    pthread_create(&threads[i], NULL, churn_until_stop, NULL);
  for (int i = 0; i < 100; i++) {
    fflush(stdout);
    pid_t child = fork();
    if (!child)
      _exit(churn(100) ? i : 200);
    reap(child);
  }
  stop = true;
  for (unsigned i = 0; i < 3; i++)
    pthread_join(threads[i], NULL);
  return 0;
}

// ---- Processes --------------------------------------------------------------------------------

static int short_children(void) {
  pid_t children[500];
  for (int i = 0; i < 500; i++) {
    fflush(stdout);
    children[i] = fork();
    if (children[i] < 0)
      return 3;
    if (!children[i]) {
      churn(50);
      exit(i % 7);
    }
  }
  for (int i = 0; i < 500; i++)
    reap(children[i]);
  return 0;
}

static unsigned tree(unsigned depth) {
  unsigned count = 1;
  for (unsigned i = 0; depth && i < 4; i++) {
    int ends[2];
    if (pipe(ends))
      _exit(3);
    pid_t child = fork();
    if (!child) {
      churn(100);
      unsigned below = tree(depth - 1);
      _exit(write(ends[1], &below, sizeof below) != sizeof below);
    }
    unsigned below = 0;
    if (read(ends[0], &below, sizeof below) == sizeof below)
      count += below;
    waitpid(child, NULL, 0);
    close(ends[0]);
    close(ends[1]);
  }
  return count;
}

static int fork_tree(void) {
  printf("%u\n", tree(3));
  return 0;
}

static int vfork_and_spawn(void) {
  for (int i = 0; i < 100; i++) {
    pid_t child = vfork();
    if (!child) {
      if (i % 2)
        execl("/bin/sh", "sh", "-c", "exit 5", NULL);
      _exit(i);
    }
    reap(child);
    char *const command[] = {"sh", "-c", "exit 6", NULL};
    if (posix_spawn(&child, "/bin/sh", NULL, NULL, command, environ))
      return 3;
    reap(child);
    churn(100);
  }
  return 0;
}

static void *exec_again(void *unused) {
  churn(100);
  execl("/proc/self/exe", "heap_harm", "echo", "after exec", NULL);
  return unused;
}

static int exec_from_thread(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, exec_again, NULL);
  pthread_join(thread, NULL);
  return 3;
}

static int echo(void) {
  printf("%s %zu\n", argument, churn(100));
  return 0;
}

// The image is replaced `argument` times, each time after some work on the CPU.
static int exec_chain(void) {
  int left = atoi(argument);
  char text[16];
  if (!left)
    return echo();
  for (unsigned i = 0; i < 20; i++)
    spin();
  churn(100);
  snprintf(text, sizeof text, "%d", left - 1);
  execl("/proc/self/exe", "heap_harm", "exec_chain", text, NULL);
  return 3;
}

static int exec_without_environment(void) {
  char *const none[] = {NULL};
  clearenv();
  churn(100);
  execle("/proc/self/exe", "heap_harm", "echo", "alone", NULL, none);
  return 3;
}

static int daemonised(void) {
  int ends[2];
  if (pipe(ends))
    return 3;
  if (!fork()) {
    setsid();
    if (!fork()) {
      dup2(ends[1], 100);
      syscall(SYS_close_range, 0, 99, 0);
      size_t sum = churn(1000);
      int fd = open("/dev/null", O_RDWR);
      dprintf(100, "%zu fd %d\n", sum, fd);
    }
    _exit(0);
  }
  wait(NULL);
  close(ends[1]);
  char line[64] = "";
  if (read(ends[0], line, sizeof line - 1) < 0)
    return 3;
  printf("%s", line);
  return 0;
}

// ---- Ends -------------------------------------------------------------------------------------

static int end_by_exit(void) {
  churn(100);
  _exit(41);
}

static int end_by_abort(void) {
  churn(100);
  abort();
}

static int end_by_kill(void) {
  churn(100);
  raise(SIGKILL);
  return 3;
}

static int end_by_fault(void) {
  churn(100);
  *(volatile int *)(uintptr_t)argument[0] = 1;
  return 3;
}

static int end_by_quick_exit(void) {
  churn(100);
  quick_exit(43);
}

static void *end_process(void *unused) {
  usleep(20000);
  churn(100);
  printf("last\n");
  exit(44);
  return unused;
}

// The first thread goes before the others.
static int end_in_thread(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, end_process, NULL);
  pthread_exit(NULL);
}

// ---- Descriptors and limits -------------------------------------------------------------------

static int descriptors(void) {
  churn(1000);
  printf("%d ", open("/dev/null", O_RDONLY));
  for (int fd = 0; fd < 64; fd++)
    if (fcntl(fd, F_GETFD) >= 0)
      printf("%d ", fd);
  printf("\n");
  fflush(stdout);
  int copy = dup(1);
  syscall(SYS_close_range, 0, copy - 1, 0);
  churn(1000);
  int first = open("/dev/null", O_RDWR), second = open("/dev/null", O_RDWR);
  dprintf(copy, "%d %d\n", first, second);
  return 0;
}

static bool limit(int resource, rlim_t value) {
  return !setrlimit(resource, &(struct rlimit){value, value});
}

static int limits(void) {
  bool all = limit(RLIMIT_FSIZE, 100) && limit(RLIMIT_NOFILE, 3) && limit(RLIMIT_CORE, 0);
  pid_t child = fork();
  if (!child) {
    void *large = malloc(10000000);
    _exit(churn(1000) && large ? 9 : 10);
  }
  reap(child);
  printf("%d %zu\n", all, churn(1000));
  return 0;
}

// Run under a limit of the address space: what is left of it.
static int address_space(void) {
  size_t got = 0;
  while (malloc(1 << 20))
    got++;
  printf("%s\n", got > 20 ? "enough" : "starved");
  return got > 20 ? 0 : 3;
}

static int seccomp_filter(void) {
  churn(1000);
  static const int allowed[] = {SYS_read,   SYS_write,  SYS_exit_group,   SYS_brk,       SYS_mmap,
                                SYS_munmap, SYS_mremap, SYS_rt_sigreturn, SYS_newfstatat};
  enum { COUNT = sizeof allowed / sizeof allowed[0] };
  struct sock_filter code[COUNT * 2 + 2] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
  for (unsigned i = 0; i < COUNT; i++) {
    code[2 * i + 1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i], 0, 1);
    code[2 * i + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  }
  code[COUNT * 2 + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
  struct sock_fprog program = {COUNT * 2 + 2, code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
    return 3;
  for (unsigned i = 0; i < 300; i++)
    churn_deep(100, i);
  printf("%zu\n", churn(100000));
  return 0;
}

// Nothing but read, write and the end of the thread: what malloc does in the heap it has needs no
// system call.
static int seccomp_strict(void) {
  free(malloc(100000));
  churn(1000);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
    return 3;
  for (unsigned i = 0; i < 300; i++)
    churn_deep(100, i);
  bool written = write(1, "strict\n", 7) == 7;
  syscall(SYS_exit, written ? 0 : 3);
  return 3;
}

// ---- Modules ----------------------------------------------------------------------------------

// The argument: heap_plugin.so.
static int plugins(void) {
  size_t total = 0;
  for (unsigned i = 0; i < 500; i++) {
    void *library = dlopen(argument, i % 2 ? RTLD_NOW : RTLD_LAZY | RTLD_GLOBAL);
    void *(*allocate)(size_t) =
        library ? (void *(*)(size_t))dlsym(library, "plugin_allocate") : NULL;
    if (!allocate)
      return 3;
    void *block = allocate(100 + i);
    total += 100 + i;
    if (i % 3)
      dlclose(library);
    free(block);
    if (!(i % 3))
      dlclose(library);
    if (dlopen("/nonexistent.so", RTLD_NOW) || !dlerror() || dlerror())
      return 4;
  }
  printf("%zu\n", total);
  return 0;
}

static const struct {
  const char *name;
  int (*run)(void);
} cases[] = {
#define CASE(name)                                                                                 \
  { #name, name }
    CASE(small_stacks),
    CASE(alternate_stack),
    CASE(long_jumps),
    CASE(contexts),
    CASE(many_threads),
    CASE(cancelled_threads),
    CASE(fork_among_threads),
    CASE(short_children),
    CASE(fork_tree),
    CASE(vfork_and_spawn),
    CASE(exec_from_thread),
    CASE(echo),
    CASE(exec_chain),
    CASE(exec_without_environment),
    CASE(daemonised),
    CASE(end_by_exit),
    CASE(end_by_abort),
    CASE(end_by_kill),
    CASE(end_by_fault),
    CASE(end_by_quick_exit),
    CASE(end_in_thread),
    CASE(descriptors),
    CASE(limits),
    CASE(address_space),
    CASE(seccomp_filter),
    CASE(seccomp_strict),
    CASE(plugins),
};

int main(int argc, char **argv) {
  if (argc > 2)
    argument = argv[2];
  for (size_t i = 0; argc > 1 && i < sizeof cases / sizeof cases[0]; i++)
    if (!strcmp(argv[1], cases[i].name))
      return cases[i].run();
  fprintf(stderr, "heap_harm: no such case\n");
  return 2;
}
