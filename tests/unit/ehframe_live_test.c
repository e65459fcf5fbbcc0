/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stacks of a running program, stopped instruction by instruction: our steps over our tables
 * against libunwind's, which reads the same CFI by itself. Both must give the same chain of return
 * addresses, and ours must end at the thread's first frame. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <alloca.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libunwind-ptrace.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unwind/step.h"

#define TEST_FRAMES_MAX 64
#define TEST_MAPPINGS_MAX 64

/* ---- what is stopped ---- */

static volatile uint64_t sink;

static int compare_doubles(const void *a, const void *b) {
  double left = *(const double *)a, right = *(const double *)b;
  return left < right ? -1 : left > right;
}

static void sorts_and_prints(void) {
  double values[64];
  char text[256];
  for (int round = 0;; round++) {
    for (int i = 0; i < 64; i++)
      values[i] = (i * 7919 + round) % 64 / 3.0;
    qsort(values, 64, sizeof(values[0]), compare_doubles);
    sink += (uint64_t)snprintf(text, sizeof(text), "%d %s %.17g %Lf %lx", round, "text", values[3],
                               (long double)values[5], (unsigned long)round);
    sink += strtoul(text, NULL, 10) + strlen(strerror(round % 100));
  }
}

/* A frame that is realigned and of variable size: gcc keeps the caller's stack in r10 at first, and
 * then finds the CFA in memory. */
__attribute__((noinline)) static uint64_t realigned(size_t bytes, int depth) {
  _Alignas(64) volatile uint64_t aligned[16];
  volatile char *space = alloca(bytes);
  space[0] = (char)depth;
  space[bytes - 1] = 2;
  for (int i = 0; i < 16; i++)
    aligned[i] = bytes * (uint64_t)i;
  if (depth > 0)
    aligned[3] += realigned(bytes + 8, depth - 1);
  return aligned[3] + (uint64_t)space[0];
}

static void realigns(void) {
  for (size_t bytes = 1;; bytes = bytes % 1000 + 1)
    sink += realigned(bytes, 4);
}

/* Hand-written assembly in the manner of OpenSSL's: the old rsp first in a register, then in a
 * stack slot of a realigned frame (DW_CFA_def_cfa_expression: breg7 40; deref; plus_uconst 8), then
 * the slot is found by a register (breg7 8; breg9 0; lit8; mul; plus; deref; plus_uconst 8), then
 * by rbp (breg6 40; deref; plus_uconst 8). */
uint64_t assembly(uint64_t value);
__asm__(".text\n"
        ".type assembly,@function\n"
        "assembly:\n"
        ".cfi_startproc\n"
        "  mov %rsp, %rax\n"
        "  .cfi_def_cfa_register %rax\n"
        "  push %rbp\n"
        "  .cfi_offset %rbp, -16\n"
        "  push %rbx\n"
        "  .cfi_offset %rbx, -24\n"
        "  sub $128, %rsp\n"
        "  and $-64, %rsp\n"
        "  mov %rax, 40(%rsp)\n"
        "  .cfi_escape 0x0f, 5, 0x77, 40, 0x06, 0x23, 8\n"
        "  xor %eax, %eax\n"
        "  xor %ebp, %ebp\n"
        "  mov $4, %r9\n"
        "  lea (%rdi, %rdi, 2), %rbx\n"
        "  .cfi_escape 0x0f, 11, 0x77, 8, 0x79, 0, 0x38, 0x1e, 0x22, 0x06, 0x23, 8, 0x96\n"
        "  lea 8(%rbx), %rbx\n"
        "  nop\n"
        "  mov %rsp, %rbp\n"
        "  .cfi_escape 0x0f, 5, 0x76, 40, 0x06, 0x23, 8\n"
        "  xor %r9d, %r9d\n"
        "  mov %rbx, %rax\n"
        "  mov 40(%rbp), %rsi\n"
        "  .cfi_def_cfa %rsi, 8\n"
        "  mov -16(%rsi), %rbx\n"
        "  .cfi_restore %rbx\n"
        "  mov -8(%rsi), %rbp\n"
        "  .cfi_restore %rbp\n"
        "  lea (%rsi), %rsp\n"
        "  .cfi_def_cfa_register %rsp\n"
        "  ret\n"
        ".cfi_endproc\n"
        ".size assembly, .-assembly\n");

static void runs_assembly(void) {
  for (uint64_t value = 0;; value++)
    sink += assembly(value);
}

static void on_signal(int number) {
  char text[64];
  sink += (uint64_t)snprintf(text, sizeof(text), "%d %g", number, (double)sink);
}

static void takes_signals(void) {
  struct sigaction action = {.sa_handler = on_signal};
  stack_t other = {.ss_sp = malloc(SIGSTKSZ + 65536), .ss_size = SIGSTKSZ + 65536};
  sigaction(SIGUSR1, &action, NULL);
  action.sa_flags = SA_ONSTACK;
  sigaction(SIGUSR2, &action, NULL);
  sigaltstack(&other, NULL);
  for (;;) {
    raise(SIGUSR1);
    raise(SIGUSR2);
  }
}

static void *thread_body(void *argument) {
  (void)argument;
  sorts_and_prints();
  return NULL;
}

static void starts_a_thread(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, thread_body, NULL);
  pthread_join(thread, NULL);
}

/* Montgomery multiplication and exponentiation: the assembly behind RSA. */
static void multiplies_big_numbers(void) {
  void *library = dlopen("libcrypto.so.3", RTLD_NOW);
  void *(*new_context)(void) = dlsym(library, "BN_CTX_new");
  int (*from_hex)(void **, const char *) = dlsym(library, "BN_hex2bn");
  int (*power)(void *, void *, void *, void *, void *, void *) =
      dlsym(library, "BN_mod_exp_mont_consttime");
  char hex[513];
  void *modulus = NULL, *base = NULL, *result = NULL;
  memset(hex, 'c', sizeof(hex));
  for (size_t bits = 1024;; bits = bits == 1024 ? 2048 : bits == 2048 ? 320 : 1024) {
    hex[bits / 4 - 1] = '7'; /* odd */
    hex[bits / 4] = '\0';
    from_hex(&modulus, hex);
    from_hex(&base, hex + 1);
    from_hex(&result, "1");
    power(result, base, base, modulus, new_context(), NULL);
    hex[bits / 4 - 1] = hex[bits / 4] = 'c';
  }
}

/* Matrix kernels in assembly without CFI, of the processor that the environment names. */
static void multiplies_matrices(void) {
  enum { SIZE = 96, ROW_MAJOR = 101, PLAIN = 111, LEFT = 141, UPPER = 121, NON_UNIT = 131 };
  static double a[SIZE * SIZE], b[SIZE * SIZE], c[SIZE * SIZE];
  static float f[SIZE * SIZE], g[SIZE * SIZE], h[SIZE * SIZE];
  void *library = dlopen("libopenblas.so.0", RTLD_NOW);
  void (*dgemm)(int, int, int, int, int, int, double, double *, int, double *, int, double,
                double *, int) = dlsym(library, "cblas_dgemm");
  void (*sgemm)(int, int, int, int, int, int, float, float *, int, float *, int, float, float *,
                int) = dlsym(library, "cblas_sgemm");
  void (*dtrsm)(int, int, int, int, int, int, int, double, double *, int, double *, int) =
      dlsym(library, "cblas_dtrsm");
  double (*ddot)(int, double *, int, double *, int) = dlsym(library, "cblas_ddot");
  for (int i = 0; i < SIZE * SIZE; i++)
    a[i] = b[i] = f[i] = g[i] = 1 + i % 7;
  for (;;) {
    dgemm(ROW_MAJOR, PLAIN, PLAIN, SIZE, SIZE, SIZE, 1, a, SIZE, b, SIZE, 0, c, SIZE);
    sgemm(ROW_MAJOR, PLAIN, PLAIN, SIZE, SIZE, SIZE, 1, f, SIZE, g, SIZE, 0, h, SIZE);
    dtrsm(ROW_MAJOR, LEFT, UPPER, PLAIN, NON_UNIT, SIZE, SIZE, 1, a, SIZE, c, SIZE);
    sink += (uint64_t)ddot(SIZE * SIZE, a, 1, b, 1);
  }
}

/* ---- our side ---- */

struct mapping {
  uint64_t start, end, offset;
  char path[256];
  struct unwind_table *table;
};

struct subject {
  pid_t pid; /* the process */
  pid_t tid; /* the thread that is stepped */
  struct mapping mappings[TEST_MAPPINGS_MAX];
  size_t mapping_count;
};

static bool read_memory(void *ctx, uint64_t address, void *out, size_t bytes) {
  const struct subject *subject = ctx;
  struct iovec local = {out, bytes}, remote = {(void *)address, bytes};
  return process_vm_readv(subject->pid, &local, 1, &remote, 1, 0) == (ssize_t)bytes;
}

/* The file's table, or the vdso's from the target's memory. */
static struct unwind_table *table_of(struct subject *subject, const struct mapping *mapping) {
  struct unwind_table *table = calloc(1, sizeof(*table));
  if (!strcmp(mapping->path, "[vdso]")) {
    size_t bytes = mapping->end - mapping->start;
    void *image = malloc(bytes);
    assert_true(read_memory(subject, mapping->start, image, bytes));
    assert_int_equal(unwind_table_build(table, image, bytes), 0);
    free(image);
    return table;
  }
  int fd = open(mapping->path, O_RDONLY);
  assert_true(fd >= 0);
  assert_int_equal(unwind_table_build_fd(table, fd), 0);
  close(fd);
  return table;
}

static void drop_mappings(struct subject *subject) {
  for (size_t i = 0; i < subject->mapping_count; i++) {
    unwind_table_fini(subject->mappings[i].table);
    free(subject->mappings[i].table);
  }
  subject->mapping_count = 0;
}

static void read_mappings(struct subject *subject) {
  char path[64], line[512];
  snprintf(path, sizeof(path), "/proc/%d/maps", subject->pid);
  FILE *file = fopen(path, "r");
  assert_non_null(file);
  drop_mappings(subject);
  while (fgets(line, sizeof(line), file) && subject->mapping_count < TEST_MAPPINGS_MAX) {
    struct mapping *mapping = &subject->mappings[subject->mapping_count];
    char access[5];
    mapping->path[0] = '\0';
    if (sscanf(line, "%lx-%lx %4s %lx %*s %*s %255s", &mapping->start, &mapping->end, access,
               &mapping->offset, mapping->path) < 4 ||
        access[2] != 'x' || (mapping->path[0] != '/' && strcmp(mapping->path, "[vdso]") != 0))
      continue;
    mapping->table = table_of(subject, mapping);
    subject->mapping_count++;
  }
  fclose(file);
}

static const struct mapping *mapping_at(const struct subject *subject, uint64_t address) {
  for (size_t i = 0; i < subject->mapping_count; i++)
    if (address >= subject->mappings[i].start && address < subject->mappings[i].end)
      return &subject->mappings[i];
  return NULL;
}

struct chain {
  uint64_t ips[TEST_FRAMES_MAX];
  size_t count;
  int end; /* ours: enum unwind_step; libunwind's: what unw_step returned */
};

static void read_registers(struct subject *subject, struct unwind_registers *out) {
  struct user_regs_struct user;
  assert_int_equal(ptrace(PTRACE_GETREGS, subject->tid, 0, &user), 0);
  *out = (struct unwind_registers){.ip = user.rip,
                                   .sp = user.rsp,
                                   .bp = user.rbp,
                                   .general = {user.rax, user.rdx, user.rcx, user.rbx, user.rsi,
                                               user.rdi, 0, 0, user.r8, user.r9, user.r10, user.r11,
                                               user.r12, user.r13, user.r14, user.r15}};
}

static void our_chain(struct subject *subject, struct chain *chain) {
  struct unwind_registers registers;
  bool is_innermost = true;

  read_registers(subject, &registers);
  for (chain->count = 0; chain->count < TEST_FRAMES_MAX;) {
    chain->ips[chain->count++] = registers.ip;
    const struct mapping *mapping = mapping_at(subject, registers.ip - !is_innermost);
    uint64_t bias =
        mapping ? mapping->start - unwind_table_vaddr(mapping->table, mapping->offset) : 0;
    enum unwind_step step = unwind_step(mapping ? mapping->table : NULL, bias, &registers,
                                        is_innermost, read_memory, subject);
    chain->end = step;
    if (step != UNWIND_STEPPED && step != UNWIND_STEPPED_SIGNAL)
      return;
    is_innermost = step == UNWIND_STEPPED_SIGNAL;
  }
}

/* ---- libunwind's side ---- */

static void their_chain(unw_addr_space_t space, void *context, struct chain *chain) {
  unw_cursor_t cursor;
  assert_int_equal(unw_init_remote(&cursor, space, context), 0);
  for (chain->count = 0; chain->count < TEST_FRAMES_MAX;) {
    unw_word_t ip;
    unw_get_reg(&cursor, UNW_REG_IP, &ip);
    chain->ips[chain->count++] = ip;
    chain->end = unw_step(&cursor);
    if (chain->end <= 0)
      return;
  }
}

/* ---- the comparison ---- */

struct tally {
  unsigned stops;
  unsigned to_the_root;
  unsigned same;
  unsigned longest;
  unsigned different; /* both went to their end, by other frames */
  unsigned oracle_failed;
};

static void describe(const struct subject *subject, const char *whose, const struct chain *chain) {
  print_message("  %s (end %d):", whose, chain->end);
  for (size_t i = 0; i < chain->count; i++) {
    const struct mapping *mapping = mapping_at(subject, chain->ips[i]);
    const char *slash = mapping ? strrchr(mapping->path, '/') : NULL;
    print_message(" %s+%lx", mapping ? slash ? slash + 1 : mapping->path : "?",
                  mapping ? chain->ips[i] - mapping->start + mapping->offset : chain->ips[i]);
  }
  print_message("\n");
}

static void compare(struct subject *subject, unw_addr_space_t space, void *context,
                    struct tally *tally) {
  struct chain ours, theirs;
  struct unwind_registers registers;

  read_registers(subject, &registers);
  if (!mapping_at(subject, registers.ip))
    read_mappings(subject);
  our_chain(subject, &ours);
  their_chain(space, context, &theirs);
  tally->stops++;
  if (ours.count > tally->longest)
    tally->longest = (unsigned)ours.count;
  tally->to_the_root += ours.end == UNWIND_ROOT;
  bool is_same =
      ours.count == theirs.count && !memcmp(ours.ips, theirs.ips, ours.count * sizeof(ours.ips[0]));
  tally->same += is_same;
  tally->oracle_failed += !is_same && theirs.end < 0;
  tally->different += !is_same && theirs.end >= 0;
  if ((!is_same || ours.end != UNWIND_ROOT) && tally->stops - tally->same < 5) {
    describe(subject, "ours", &ours);
    describe(subject, "libunwind", &theirs);
  }
}

/* Without libunwind, which cannot pass such code: the outer frames must be those that the program
 * had before it got there. */
static void compare_outer(struct subject *subject, const struct chain *reference,
                          struct tally *tally) {
  enum { OUTER = 6 };
  struct chain ours;
  struct unwind_registers registers;

  read_registers(subject, &registers);
  if (!mapping_at(subject, registers.ip))
    read_mappings(subject);
  our_chain(subject, &ours);
  bool is_same = ours.count > OUTER && ours.end == UNWIND_ROOT &&
                 !memcmp(&ours.ips[ours.count - OUTER], &reference->ips[reference->count - OUTER],
                         OUTER * sizeof(ours.ips[0]));
  tally->stops++;
  tally->same += is_same;
  if (!is_same && tally->stops - tally->same < 5)
    describe(subject, "ours", &ours);
}

/* ---- stopping ---- */

/* One instruction further; signals are passed on. False when the process ended. */
static bool single_step(struct subject *subject) {
  int signal_number = 0, status;

  for (;;) {
    if (ptrace(PTRACE_SINGLESTEP, subject->tid, 0, signal_number))
      return false;
    if (waitpid(subject->tid, &status, __WALL) != subject->tid || !WIFSTOPPED(status))
      return false;
    if (WSTOPSIG(status) == SIGTRAP)
      return true;
    signal_number = WSTOPSIG(status);
  }
}

/* Lets it run for a while, so that the next steps are somewhere else. */
static bool run_on(struct subject *subject, unsigned microseconds) {
  int status;
  if (ptrace(PTRACE_CONT, subject->tid, 0, 0))
    return false;
  usleep(microseconds);
  kill(subject->pid, SIGSTOP);
  return waitpid(subject->tid, &status, __WALL) == subject->tid && WIFSTOPPED(status);
}

static void start(struct subject *subject, void (*body)(void)) {
  int status;
  memset(subject, 0, sizeof(*subject));
  subject->pid = subject->tid = fork();
  assert_true(subject->pid >= 0);
  if (subject->pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    body();
    _exit(0);
  }
  assert_int_equal(waitpid(subject->pid, &status, 0), subject->pid);
  assert_true(WIFSTOPPED(status));
  ptrace(PTRACE_SETOPTIONS, subject->pid, 0, PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL);
}

static void stop(struct subject *subject) {
  kill(subject->pid, SIGKILL);
  while (waitpid(-1, NULL, __WALL) > 0 || errno == EINTR) /* its threads are reaped one by one */
    ;
  drop_mappings(subject);
}

/* `bursts` times: run on for a while (not before the first), then `steps` instructions, comparing
 * at every `stride`-th. */
static struct tally watch(struct subject *subject, unsigned bursts, unsigned steps,
                          unsigned stride) {
  struct tally tally = {0};
  unw_addr_space_t space = unw_create_addr_space(&_UPT_accessors, 0);
  void *context = _UPT_create(subject->tid);

  unw_set_caching_policy(space, UNW_CACHE_GLOBAL);
  for (unsigned burst = 0; burst < bursts; burst++) {
    if (burst && !run_on(subject, 1000 + burst * 37))
      break;
    for (unsigned i = 0; i < steps && single_step(subject); i++)
      if (i % stride == 0)
        compare(subject, space, context, &tally);
  }
  _UPT_destroy(context);
  unw_destroy_addr_space(space);
  print_message(
      "%u stops, %u to the root, %u as libunwind, %u unlike it, %u where it failed, up to "
      "%u frames\n",
      tally.stops, tally.to_the_root, tally.same, tally.different, tally.oracle_failed,
      tally.longest);
  return tally;
}

static struct tally watch_body(void (*body)(void), unsigned bursts, unsigned steps,
                               unsigned stride) {
  struct subject subject;
  start(&subject, body);
  struct tally tally = watch(&subject, bursts, steps, stride);
  stop(&subject);
  return tally;
}

static void expect_agreement(struct tally tally, unsigned stops, double incomplete_pct_max) {
  assert_true(tally.stops >= stops);
  assert_true((tally.stops - tally.to_the_root) * 100 <= incomplete_pct_max * tally.stops);
  assert_int_equal(tally.different, 0);
  assert_true(tally.oracle_failed * 100 <= tally.stops);
}

/* ---- the tests ---- */

static void through_libc(void **state) {
  (void)state;
  expect_agreement(watch_body(sorts_and_prints, 2, 8000, 5), 3000, 0);
}

/* gcc's CFI is wrong for the last two instructions of such a function: it still says that rbp lies
 * at rbp, which was popped already. Both sides follow it. */
static void through_realigned_frames(void **state) {
  (void)state;
  expect_agreement(watch_body(realigns, 1, 2500, 2), 1000, 0.5);
}

static void through_assembly(void **state) {
  (void)state;
  expect_agreement(watch_body(runs_assembly, 1, 600, 1), 500, 0);
}

static void through_signal_handlers(void **state) {
  (void)state;
  expect_agreement(watch_body(takes_signals, 1, 6000, 3), 1500, 0);
}

static void through_big_numbers(void **state) {
  (void)state;
  void *library = dlopen("libcrypto.so.3", RTLD_NOW);
  if (!library) {
    print_message("skipped: no libcrypto.so.3\n");
    skip();
  }
  dlclose(library);
  expect_agreement(watch_body(multiplies_big_numbers, 60, 30, 2), 500, 0);
}

static void through_matrix_kernels(void **state) {
  (void)state;
  static const char *const processors[] = {"Core2", "Nehalem", "Sandybridge", "Haswell"};
  void *library = dlopen("libopenblas.so.0", RTLD_NOW);
  if (!library) {
    print_message("skipped: no libopenblas.so.0 (package libopenblas0-pthread)\n");
    skip();
  }
  setenv("OPENBLAS_NUM_THREADS", "1", 1);
  dlclose(library);
  for (size_t i = 0; i < sizeof(processors) / sizeof(processors[0]); i++) {
    struct subject subject;
    struct chain reference;
    struct tally tally = {0};
    setenv("OPENBLAS_CORETYPE", processors[i], 1);
    start(&subject, multiplies_matrices);
    read_mappings(&subject);
    our_chain(&subject, &reference);
    assert_int_equal(reference.end, UNWIND_ROOT);
    for (unsigned burst = 0; burst < 30 && run_on(&subject, burst ? 1500 + burst * 37 : 100000);
         burst++)
      for (unsigned step = 0; step < 25 && single_step(&subject); step++)
        compare_outer(&subject, &reference, &tally);
    stop(&subject);
    print_message("%s: %u stops, %u whole\n", processors[i], tally.stops, tally.same);
    assert_true(tally.stops >= 500);
    assert_true(tally.same * 1000ull >= tally.stops * 995ull);
  }
}

static void from_a_thread(void **state) {
  (void)state;
  struct subject subject;
  unsigned long tid = 0;
  int status;

  start(&subject, starts_a_thread);
  ptrace(PTRACE_CONT, subject.pid, 0, 0);
  assert_int_equal(waitpid(subject.pid, &status, __WALL), subject.pid);
  assert_int_equal(status >> 8, SIGTRAP | (PTRACE_EVENT_CLONE << 8));
  assert_int_equal(ptrace(PTRACE_GETEVENTMSG, subject.pid, 0, &tid), 0);
  subject.tid = (pid_t)tid;
  assert_int_equal(waitpid(subject.tid, &status, __WALL), subject.tid);
  for (int i = 0; i < 100; i++) /* clone3's first instructions in the child have no right CFI */
    assert_true(single_step(&subject));
  struct tally tally = watch(&subject, 1, 6000, 4);
  stop(&subject);
  expect_agreement(tally, 1000, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(through_libc),           cmocka_unit_test(through_realigned_frames),
      cmocka_unit_test(through_assembly),       cmocka_unit_test(through_signal_handlers),
      cmocka_unit_test(through_big_numbers),    cmocka_unit_test(from_a_thread),
      cmocka_unit_test(through_matrix_kernels),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
