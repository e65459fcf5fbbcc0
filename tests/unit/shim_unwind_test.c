/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The shim's native walks against glibc's backtrace(3), which goes by libgcc's unwinder: from hooks
 * and from signal handlers, through code of every kind, and with what is remembered between walks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "shim.h"
#include "thread.h"

#define FRAMES_MAX 512
#define NOINLINE __attribute__((noinline, noclone))

/* As thread.c would make one. Each thread of the tests has its own. */
static struct shim_thread *new_thread(uint64_t number) {
  struct shim_thread *thread = shim_map(sizeof(*thread));
  assert_non_null(thread);
  thread->tid = (uint32_t)gettid();
  thread->start_ns = number;
  return thread;
}

static __thread struct shim_thread *self;
static uint32_t compared; /* walks, in all */

static int with_region(void **state) {
  (void)state;
  void *warm[2];
  strcpy(shim_config.folder, "/tmp/ragprof-unwind-XXXXXX");
  assert_non_null(mkdtemp(shim_config.folder));
  assert_true(shim_region_start());
  self = new_thread(1);
  backtrace(warm, 2); /* loads libgcc */
  return 0;
}

static int without_region(void **state) {
  (void)state;
  char path[1024];
  snprintf(path, sizeof(path), "rm -rf '%s'", shim_config.folder);
  return system(path) ? -1 : 0;
}

/* ---- the comparison ---- */

static void print_frames(const char *whose, const uint64_t *words, int count) {
  print_message("  %s:", whose);
  for (int i = 0; i < count && i < 30; i++) {
    Dl_info info = {0};
    dladdr((void *)words[i], &info);
    print_message(" %s+%lx", info.dli_sname ? info.dli_sname : "?",
                  words[i] - (uint64_t)(info.dli_sname ? info.dli_saddr : info.dli_fbase));
  }
  print_message("\n");
}

/* What the next stacks are like. */
static enum walk_end expected_end = WALK_ROOT;
static int interrupted_frame; /* which one a signal interrupted: there is no call before its pc */

/* Frames as return addresses less one; ours and theirs must be the same, to the end. */
static void expect_same(const struct shim_stack *stack, void *const *theirs, int count) {
  uint64_t words[FRAMES_MAX];
  for (int i = 0; i < count; i++)
    words[i] = (uint64_t)theirs[i] - (!interrupted_frame || i != interrupted_frame);
  bool is_same = (int)stack->native_count == count && stack->native_end == expected_end &&
                 !memcmp(stack->words, words, (size_t)count * 8);
  if (!is_same) {
    print_message("end %u\n", stack->native_end);
    print_frames("ours", stack->words, (int)stack->native_count);
    print_frames("theirs", words, count);
  }
  assert_true(is_same);
  compared++;
}

/* A hook: walks from its caller. */
NOINLINE static void hook(void) {
  void *theirs[FRAMES_MAX];
  errno = 4711;
  shim_walk_here(self, SHIM_HERE);
  assert_int_equal(errno, 4711);
  int count = backtrace(theirs, FRAMES_MAX), first = 1;
  while (first < count && theirs[first] != __builtin_return_address(0))
    first++; /* a sanitizer wraps backtrace */
  expect_same(&self->stack, theirs + first, count - first);
}

/* ---- code of many kinds ---- */

static volatile uint64_t sink;

/* Frames of changing size, with and without a frame pointer, realigned; walked at many depths, in
 * an order in which some of the frames stay, some return and some change under the walk. */
NOINLINE static uint64_t wander(uint32_t seed, int depth);

NOINLINE static uint64_t wander_plain(uint32_t seed, int depth) {
  volatile uint64_t pad[8];
  pad[seed % 8] = seed;
  return wander(seed * 3 + 1, depth - 1) + pad[seed % 8];
}

NOINLINE static uint64_t wander_sized(uint32_t seed, int depth) {
  volatile char *pad = __builtin_alloca(seed % 777 + 1);
  pad[0] = (char)seed;
  return wander(seed * 5 + 1, depth - 1) + (uint64_t)pad[0];
}

NOINLINE static uint64_t wander_aligned(uint32_t seed, int depth) {
  volatile uint64_t pad[8] __attribute__((aligned(64)));
  pad[seed % 8] = seed;
  uint64_t result = wander(seed * 7 + 1, depth - 1);
  return result + pad[seed % 8];
}

static int compare_and_wander(const void *a, const void *b) {
  hook();
  return *(const int *)a - *(const int *)b;
}

NOINLINE static uint64_t wander_through_libc(uint32_t seed) {
  int numbers[5] = {(int)(seed % 7), 3, 1, 2, 0};
  qsort(numbers, 5, sizeof(int), compare_and_wander);
  return (uint64_t)numbers[2];
}

NOINLINE static uint64_t wander(uint32_t seed, int depth) {
  if (seed % 3 == 0)
    hook();
  if (depth <= 0)
    return wander_through_libc(seed);
  switch (seed / 3 % 4) {
  case 0:
    return wander_plain(seed, depth) + 1;
  case 1:
    return wander_sized(seed, depth) + wander_plain(seed + 1, depth - 3);
  case 2:
    return wander_aligned(seed, depth) + 2;
  default:
    hook();
    return wander_sized(seed + 2, depth - 1) + wander_aligned(seed, depth - 4);
  }
}

static void through_frames_of_all_kinds(void **state) {
  (void)state;
  for (uint32_t seed = 0; seed < 40; seed++)
    sink += wander(seed * 2654435761u, (int)(seed % 24));
  assert_true(compared > 500);
  assert_true(shim_region->module_count >= 2);
}

/* The same frames, but what lies outside of them changed: only what the memory of the last walk is
 * compared with can tell. */
static jmp_buf back;

NOINLINE static void jump_out(int depth) {
  hook();
  if (depth)
    jump_out(depth - 1);
  else if (sink != 1)
    longjmp(back, 1);
  sink++;
}

NOINLINE static void from_here(int depth) {
  if (!setjmp(back))
    jump_out(depth);
  hook();
}

NOINLINE static void from_there(int depth) {
  if (!setjmp(back))
    jump_out(depth);
  hook();
  sink++;
}

static void after_jumps(void **state) {
  (void)state;
  for (int i = 0; i < 20; i++) {
    from_here(i % 5);
    from_there(i % 7);
  }
}

static void recurse(int depth) {
  if (depth)
    recurse(depth - 1);
  else
    hook();
  sink++;
}

/* Stacks as deep as backtrace can be asked for, and deeper than the shim keeps. */
static void deep_ones(void **state) {
  (void)state;
  recurse(400);
  recurse(400);
  recurse(30);
}

NOINLINE static void look(void) {
  shim_walk_here(self, SHIM_HERE);
}

NOINLINE static void recurse_and_look(int depth) {
  if (depth)
    recurse_and_look(depth - 1);
  else
    look();
  sink++;
}

static void deeper_than_is_kept(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    recurse_and_look(NATIVE_FRAMES_MAX + 100);
    assert_int_equal(self->stack.native_count, NATIVE_FRAMES_MAX);
    assert_int_equal(self->stack.native_end, WALK_TOO_DEEP);
  }
  hook();
}

/* The hash is of the frames: equal for equal stacks, another for others. */
static void hashes_of_stacks(void **state) {
  (void)state;
  uint64_t hashes[3][2];
  for (volatile int call = 0; call < 6; call++) { /* from one place */
    recurse_and_look(call % 3);
    hashes[call % 3][call / 3] = self->stack.hash;
  }
  assert_true(hashes[0][0] != hashes[1][0] && hashes[1][0] != hashes[2][0]);
  for (int depth = 0; depth < 3; depth++)
    assert_true(hashes[depth][0] == hashes[depth][1]);
}

/* ---- threads, other stacks ---- */

static void *in_a_thread(void *number) {
  self = new_thread((uint64_t)number);
  for (uint32_t seed = 0; seed < 10; seed++)
    sink += wander(seed * 40503u, 6);
  return NULL;
}

/* One after another, so that they get the same stack; some on stacks as small as they can be. */
static void in_threads(void **state) {
  (void)state;
  for (uint64_t i = 0; i < 8; i++) {
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, i & 1 ? 64 * 1024 : 8 << 20);
    assert_int_equal(pthread_create(&thread, &attributes, in_a_thread, (void *)(100 + i)), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
  }
}

/* The handler, glibc's restorer, what was interrupted. */
static void take_signal(int number) {
  (void)number;
  interrupted_frame = 2;
  hook();
  interrupted_frame = 0;
}

NOINLINE static void raise_it(int depth) {
  if (depth)
    raise_it(depth - 1);
  else
    raise(SIGUSR1);
  sink++;
}

static void in_signal_handlers(void **state) {
  (void)state;
  struct sigaction action = {.sa_handler = take_signal};
  sigaction(SIGUSR1, &action, NULL);
  for (int i = 0; i < 4; i++)
    raise_it(i);
}

static void on_an_alternate_stack(void **state) {
  (void)state;
  stack_t stack = {.ss_size = 64 * 1024};
  struct sigaction action = {.sa_handler = take_signal, .sa_flags = SA_ONSTACK};
  stack.ss_sp =
      mmap(NULL, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  sigaltstack(&stack, NULL);
  sigaction(SIGUSR1, &action, NULL);
  for (int i = 0; i < 4; i++) {
    raise_it(i);
    hook();
  }
  stack.ss_flags = SS_DISABLE;
  sigaltstack(&stack, NULL);
  munmap(stack.ss_sp, 64 * 1024);
}

static ucontext_t main_context, coroutine;

/* Its first frame returns to glibc's __start_context, where no CFI covers the byte before. */
static void coroutine_body(void) {
  for (int i = 0; i < 3; i++) {
    expected_end = WALK_NO_RULE;
    recurse(i);
    expected_end = WALK_ROOT;
    swapcontext(&coroutine, &main_context);
  }
}

/* Its stack ends at an unmapped page, right above its last frame. */
static void on_a_coroutine_stack(void **state) {
  (void)state;
  size_t bytes = 16 * 4096;
  for (volatile int round = 0; round < 2; round++) {
    char *stack =
        mmap(NULL, bytes + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(stack + bytes, 4096, PROT_NONE);
    getcontext(&coroutine);
    coroutine.uc_stack.ss_sp = stack;
    coroutine.uc_stack.ss_size = bytes;
    coroutine.uc_link = &main_context;
    makecontext(&coroutine, coroutine_body, 0);
    for (int i = 0; i < 3; i++) {
      swapcontext(&main_context, &coroutine);
      hook();
    }
    munmap(stack, bytes + 4096);
  }
}

/* A stack that leads nowhere must end the walk, not the process. */
NOINLINE static void look_from(uint64_t ip, uint64_t sp, uint64_t bp) {
  shim_walk_here(self, (struct shim_place){.ip = ip, .sp = sp, .bp = bp});
}

static void from_nonsense(void **state) {
  (void)state;
  uint64_t stack[64];
  uint64_t seed = 88172645463325252ull;
  for (int round = 0; round < 20000; round++) {
    for (int i = 0; i < 64; i++) {
      seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
      stack[i] = seed >> seed % 64;
      if (seed % 5 == 0)
        stack[i] = (uint64_t)&stack[seed / 5 % 64];
      if (seed % 5 == 1)
        stack[i] = (uint64_t)look_from + seed / 5 % 2000;
    }
    look_from((uint64_t)look_from + seed % 4000, (uint64_t)stack + seed / 3 % 100,
              seed % 7 ? (uint64_t)&stack[seed / 7 % 64] : seed);
    assert_true(self->stack.native_count <= NATIVE_FRAMES_MAX);
  }
  look_from((uint64_t)look_from, 8, 16);
  look_from(UINT64_MAX, UINT64_MAX, UINT64_MAX);
  look_from(0, 0, 0);
  hook();
}

/* ---- unwinding in progress ---- */

static void clean_up(void *value) {
  (void)value;
  hook();
}

static void *exits_early(void *number) {
  self = new_thread((uint64_t)number);
  pthread_cleanup_push(clean_up, NULL);
  recurse(5);
  pthread_exit(NULL);
  pthread_cleanup_pop(0);
  return NULL;
}

static void while_the_stack_is_unwound(void **state) {
  (void)state;
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, exits_early, (void *)200), 0);
  pthread_join(thread, NULL);
}

/* ---- loading and unloading ---- */

static int compare_ints(const void *a, const void *b) {
  hook();
  return *(const int *)a - *(const int *)b;
}

/* Two libraries whose one function calls back, of different frame sizes, in turn: the second is
 * likely to get the addresses of the first. */
static void build_library(const char *path, int pad) {
  char command[2048];
  snprintf(command, sizeof(command),
           "echo 'int call(int (*back)(const void *, const void *), int *n) { volatile long "
           "pad[%d]; pad[1] = 1; return back(n, n + 1) + (int)pad[1]; }' | gcc -O2 -shared -fPIC "
           "-fno-stack-protector -x c -o %s -",
           pad, path);
  assert_int_equal(system(command), 0);
}

static void in_unloaded_libraries(void **state) {
  (void)state;
  char paths[2][512];
  int numbers[2] = {1, 2};
  for (int i = 0; i < 2; i++) {
    snprintf(paths[i], sizeof(paths[i]), "%s/lib%d.so", shim_config.folder, i);
    build_library(paths[i], i ? 40 : 4);
  }
  uint32_t modules = shim_region->module_count;
  for (int i = 0; i < 6; i++) {
    void *library = dlopen(paths[i & 1], RTLD_NOW);
    assert_non_null(library);
    int (*call)(int (*)(const void *, const void *), int *) =
        (int (*)(int (*)(const void *, const void *), int *))dlsym(library, "call");
    call(compare_ints, numbers);
    dlclose(library);
    shim_modules_changed(true);
  }
  assert_in_range(shim_region->module_count, modules + 2, modules + 6);
  const struct region_module *last = &shim_region->modules[shim_region->module_count - 1];
  const struct region_module *other = last - 1;
  assert_int_equal(last->build_id_bytes > 0 || last->path_bytes > 0, 1);
  if (last->start < other->end && other->start < last->end) /* one took the other's place */
    assert_true(last->generation > other->generation);
}

/* Opening and closing one library again and again publishes it once: the others' stacks stay the
 * same sites. */
static void one_library_again_and_again(void **state) {
  (void)state;
  char path[1024];
  int numbers[2] = {1, 2};
  snprintf(path, sizeof(path), "%s/lib0.so", shim_config.folder);
  uint32_t modules = 0, generation = 0;
  for (int i = 0; i < 50; i++) {
    void *library = dlopen(path, RTLD_NOW);
    int (*call)(int (*)(const void *, const void *), int *) =
        (int (*)(int (*)(const void *, const void *), int *))dlsym(library, "call");
    call(compare_ints, numbers);
    dlclose(library);
    shim_modules_changed(true);
    if (!i) {
      modules = shim_region->module_count;
      generation = shim_region->generation;
    }
  }
  assert_int_equal(shim_region->module_count, modules);
  assert_int_equal(shim_region->generation, generation);
}

/* ---- signals at any moment ---- */

static volatile sig_atomic_t samples, wrong, incomplete;

static void take_sample(int number, siginfo_t *info, void *context) {
  (void)number, (void)info;
  void *theirs[FRAMES_MAX];
  int saved = errno;
  shim_walk_context(self, context);
  int count = backtrace(theirs, FRAMES_MAX), at = 0;
  const struct shim_stack *stack = &self->handler_stack;
  uint64_t pc = (uint64_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
  while (at < count && (uint64_t)theirs[at] != pc)
    at++;
  bool is_same = at < count && stack->words[0] == pc && (int)stack->native_count == count - at;
  for (int i = 1; is_same && i < count - at; i++)
    is_same = stack->words[i] == (uint64_t)theirs[at + i] - 1;
  samples++;
  incomplete += stack->native_end != WALK_ROOT;
  if (!is_same && wrong++ < 3) {
    print_frames("ours", stack->words, (int)stack->native_count);
    print_frames("theirs", (uint64_t *)theirs + at, count - at);
  }
  errno = saved;
}

static int compare_numbers(const void *a, const void *b) {
  return *(const int *)a - *(const int *)b;
}

static void sort_and_print(void) {
  static int numbers[300];
  char text[64];
  for (int i = 0; i < 300; i++)
    numbers[i] = i * 7919 % 300;
  qsort(numbers, 300, sizeof(int), compare_numbers);
  for (int i = 0; i < 100; i++)
    snprintf(text, sizeof(text), "%d %s %f", numbers[i], "text", i / 3.0);
  for (int i = 0; i < 100; i++)
    free(malloc((size_t)i * 100 + 1));
  sink += (uint64_t)text[0];
}

static void from_a_signal_handler(void **state) {
  (void)state;
  struct sigaction action = {.sa_sigaction = take_sample, .sa_flags = SA_SIGINFO | SA_RESTART};
  struct itimerval timer = {.it_interval = {.tv_usec = 499}, .it_value = {.tv_usec = 499}};
  samples = wrong = incomplete = 0;
  sigaction(SIGALRM, &action, NULL);
  setitimer(ITIMER_REAL, &timer, NULL);
  for (int i = 0; samples < 1000 && i < 100000; i++)
    sort_and_print();
  memset(&timer, 0, sizeof(timer));
  setitimer(ITIMER_REAL, &timer, NULL);
  print_message("%d samples, %d incomplete, %d unlike backtrace\n", (int)samples, (int)incomplete,
                (int)wrong);
  assert_true(samples >= 1000);
  assert_true(wrong * 200 <= samples);
}

/* ---- code without CFI ---- */

static struct shim_stack outside; /* of the caller of what the samples are taken in */
static volatile sig_atomic_t whole;

NOINLINE static void note_outside(void) {
  shim_walk_here(self, SHIM_HERE);
  outside = self->stack;
}

/* backtrace(3) cannot pass such code: the outer frames must be those of the caller, whose own call
 * is another one. */
static void take_kernel_sample(int number, siginfo_t *info, void *context) {
  (void)number, (void)info;
  const struct shim_stack *stack = &self->handler_stack;
  uint32_t outer = outside.native_count - 1;
  shim_walk_context(self, context);
  samples++;
  whole += stack->native_end == WALK_ROOT && stack->native_count >= outer &&
           !memcmp(&stack->words[stack->native_count - outer], &outside.words[1], outer * 8);
}

static void in_matrix_kernels(void **state) {
  (void)state;
  enum { SIZE = 96, ROW_MAJOR = 101, PLAIN = 111 };
  static double a[SIZE * SIZE], b[SIZE * SIZE], c[SIZE * SIZE];
  struct sigaction action = {.sa_sigaction = take_kernel_sample,
                             .sa_flags = SA_SIGINFO | SA_RESTART};
  struct itimerval timer = {.it_interval = {.tv_usec = 499}, .it_value = {.tv_usec = 499}};
  setenv("OPENBLAS_NUM_THREADS", "1", 1);
  void *library = dlopen("libopenblas.so.0", RTLD_NOW);
  if (!library) {
    print_message("skipped: no libopenblas.so.0 (package libopenblas0-pthread)\n");
    skip();
  }
  void (*dgemm)(int, int, int, int, int, int, double, double *, int, double *, int, double,
                double *, int) = dlsym(library, "cblas_dgemm");
  note_outside();
  samples = whole = 0;
  sigaction(SIGALRM, &action, NULL);
  setitimer(ITIMER_REAL, &timer, NULL);
  for (int i = 0; samples < 1000 && i < 1000000; i++)
    dgemm(ROW_MAJOR, PLAIN, PLAIN, SIZE, SIZE, SIZE, 1, a, SIZE, b, SIZE, 0, c, SIZE);
  memset(&timer, 0, sizeof(timer));
  setitimer(ITIMER_REAL, &timer, NULL);
  print_message("%d samples, %d whole\n", (int)samples, (int)whole);
  assert_true(samples >= 1000);
  assert_true(whole * 1000ll >= samples * 990ll);
}

/* A fork's child starts with an empty region: the modules have to be published in it again. */
static void in_a_forks_child(void **state) {
  (void)state;
  int status;
  hook();
  pid_t child = fork();
  if (!child) {
    if (!shim_region_forked() || shim_region->module_count)
      _exit(1);
    hook();
    _exit(shim_region->module_count >= 2 ? 0 : 2);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(through_frames_of_all_kinds),
      cmocka_unit_test(after_jumps),
      cmocka_unit_test(deep_ones),
      cmocka_unit_test(deeper_than_is_kept),
      cmocka_unit_test(hashes_of_stacks),
      cmocka_unit_test(in_threads),
      cmocka_unit_test(in_signal_handlers),
      cmocka_unit_test(on_an_alternate_stack),
      cmocka_unit_test(on_a_coroutine_stack),
      cmocka_unit_test(from_nonsense),
      cmocka_unit_test(while_the_stack_is_unwound),
      cmocka_unit_test(in_unloaded_libraries),
      cmocka_unit_test(one_library_again_and_again),
      cmocka_unit_test(from_a_signal_handler),
      cmocka_unit_test(in_matrix_kernels),
      cmocka_unit_test(in_a_forks_child),
  };
  return cmocka_run_group_tests(tests, with_region, without_region);
}
