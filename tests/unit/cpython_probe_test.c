/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks the search for an interpreter in ELF files: against nm on this machine's interpreters and
 * on stripped copies of them, on a program made for it whose eval loop has a moved part, and on
 * files that are broken or no interpreters. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "cpython_testing.h"
#include "unwind/cpython.h"

static char scratch[] = "/tmp/cpython_probe_test.XXXXXX";

__attribute__((format(printf, 3, 4))) static void capture(char *text, size_t bytes,
                                                          const char *format, ...) {
  char command[4096];
  va_list args;
  va_start(args, format);
  vsnprintf(command, sizeof(command), format, args);
  va_end(args);
  FILE *in = popen(command, "r");
  assert_non_null(in);
  size_t got = fread(text, 1, bytes - 1, in);
  text[got] = '\0';
  text[strcspn(text, "\n")] = '\0';
  pclose(in);
}

static int probe(struct cpython_binary *out, const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  assert_true(fd >= 0);
  int status = cpython_probe(out, fd, path);
  close(fd);
  return status;
}

/* A symbol's address and size by nm; zeros when the file has none. */
static void symbol_of(const char *path, const char *options, const char *name, uint64_t *vaddr,
                      uint64_t *bytes) {
  char text[256];
  *vaddr = *bytes = 0;
  capture(text, sizeof(text), "nm -S %s '%s' 2>/dev/null | grep -E ' %s$'", options, path, name);
  (void)sscanf(text, "%" SCNx64 " %" SCNx64, vaddr, bytes);
}

/* The file that holds the interpreter: libpython when the executable is linked to it. */
static void file_of(const char *python, char path[PYTHON_PATH_BYTES]) {
  capture(path, PYTHON_PATH_BYTES,
          "ldd '%s' 2>/dev/null | sed -n 's/.*=> \\(.*libpython3[^ ]*\\).*/\\1/p'", python);
  if (!path[0])
    snprintf(path, PYTHON_PATH_BYTES, "%s", python);
}

static void expect_version(const struct cpython_binary *binary, const char *python) {
  char text[64], expected[64];
  capture(expected, sizeof(expected), "'%s' -V 2>&1 | grep -oE '3\\.[0-9]+\\.[0-9]+'", python);
  snprintf(text, sizeof(text), "%u.%u.%u", binary->version >> 8, binary->version & 0xff,
           binary->micro);
  assert_string_equal(text, expected);
}

static void expect_symbols(const struct cpython_binary *binary, const char *path) {
  uint64_t vaddr, bytes;
  symbol_of(path, "-D", "_PyRuntime", &vaddr, &bytes);
  assert_int_equal(binary->runtime_vaddr, vaddr);
  assert_int_equal(binary->runtime_bytes, bytes);
  symbol_of(path, "-D", "_PyEval_EvalFrameDefault", &vaddr, &bytes);
  assert_int_equal(binary->eval_vaddr, vaddr);
  assert_int_equal(binary->eval_bytes, bytes);
}

static void test_interpreter(void **state) {
  char path[PYTHON_PATH_BYTES], copy[PYTHON_PATH_BYTES], command[4 * PYTHON_PATH_BYTES];
  struct cpython_binary binary;
  if (!*state) {
    print_message("no such interpreter on this machine\n");
    skip();
  }
  file_of(*state, path);
  assert_int_equal(probe(&binary, path), 0);
  expect_version(&binary, *state);
  expect_symbols(&binary, path);

  /* A stripped copy whose name says nothing: the version is in the file. */
  snprintf(copy, sizeof(copy), "%s/renamed", scratch);
  snprintf(command, sizeof(command), "strip --strip-all -o '%s' '%s'", copy, path);
  assert_int_equal(system(command), 0);
  assert_int_equal(probe(&binary, copy), 0);
  expect_version(&binary, *state);
  expect_symbols(&binary, path);
}

/* ---- The moved part of the eval loop ------------------------------------------------------------
 */

/* Cold paths of a function with a frame of its own: GCC moves them to .text.unlikely. Hidden, so
 * that .dynsym does not hold them, as when an application links the interpreter in. */
static const char moved_source[] =
    "#include <stdlib.h>\n"
    "char _PyRuntime[1024] = {1};\n"
    "const unsigned long Py_Version = 0x030a0df0;\n"
    "const unsigned long padding[4] = {1, 2, 3, 4};\n"
    "extern void rare(int, long *) __attribute__((cold, noinline));\n"
    "void rare(int n, long *p) { p[0] += n; __asm__ volatile(\"\" ::: \"memory\"); }\n"
    "extern long common(long) __attribute__((noinline));\n"
    "long common(long n) { __asm__ volatile(\"\" : \"+r\"(n)); return n * 3; }\n"
    "long _PyEval_EvalFrameDefault(long *p, int n) {\n"
    "  long sum = 0, keep[8] = {0};\n"
    "  for (int i = 0; i < n; i++) {\n"
    "    sum += common(p[i]);\n"
    "    if (__builtin_expect(p[i] == 7, 0)) { rare(1, keep); sum += common(keep[0]); rare(2, "
    "keep); }\n"
    "    if (__builtin_expect(p[i] == 9, 0)) { rare(3, keep); sum -= keep[1]; rare(4, keep); }\n"
    "    sum ^= common(sum);\n"
    "    if (__builtin_expect(sum == 11, 0)) { rare(5, keep); sum *= keep[2] + 1; rare(6, keep); "
    "}\n"
    "  }\n"
    "  return sum + keep[3];\n"
    "}\n"
    "long another(long *p, int n) {\n"
    "  long sum = 0, keep[8] = {0};\n"
    "  for (int i = 0; i < n; i++) {\n"
    "    if (__builtin_expect(p[i] == 7, 0)) { rare(1, keep); sum += common(keep[0]); rare(2, "
    "keep); }\n"
    "    sum += common(p[i] + padding[n & 3]);\n"
    "    if (__builtin_expect(p[i] == 9, 0)) { rare(3, keep); sum -= keep[1]; rare(4, keep); }\n"
    "  }\n"
    "  return sum + keep[3];\n"
    "}\n"
    "int main(int argc, char **argv) {\n"
    "  long values[4] = {argc, 7, 9, (long)argv};\n"
    "  return (int)(_PyEval_EvalFrameDefault(values, 4) + another(values, 4) + _PyRuntime[argc] +\n"
    "               (long)Py_Version) & 1;\n"
    "}\n";

static void build(const char *options, const char *program) {
  char command[4 * PYTHON_PATH_BYTES];
  snprintf(command, sizeof(command),
           "gcc -x c -O2 -freorder-blocks-and-partition -falign-functions=64 %s -o '%s' -", options,
           program);
  FILE *compiler = popen(command, "w");
  assert_non_null(compiler);
  fputs(moved_source, compiler);
  assert_int_equal(pclose(compiler), 0);
}

/* Exported and stripped, the moved part is found by the jumps, where the symbols had it. */
static void expect_found_by_jumps(const char *options, const char *program) {
  char stripped[PYTHON_PATH_BYTES], command[4 * PYTHON_PATH_BYTES];
  struct cpython_binary binary, by_jumps;
  build(options, program);
  snprintf(stripped, sizeof(stripped), "%s/moved_stripped", scratch);
  snprintf(command, sizeof(command), "strip --strip-all -o '%s' '%s'", stripped, program);
  assert_int_equal(system(command), 0);
  assert_int_equal(probe(&binary, program), 0);
  assert_int_equal(probe(&by_jumps, stripped), 0);
  assert_true(binary.eval_cold_bytes > 0);
  assert_memory_equal(&binary, &by_jumps, sizeof(binary));
}

static void test_moved_part(void **state) {
  (void)state;
  char program[PYTHON_PATH_BYTES];
  struct cpython_binary binary;
  uint64_t vaddr, bytes;
  if (system("gcc --version >/dev/null 2>&1")) {
    print_message("no gcc on this machine\n");
    skip();
  }
  snprintf(program, sizeof(program), "%s/moved", scratch);
  build("", program);
  symbol_of(program, "", "_PyEval_EvalFrameDefault.cold", &vaddr, &bytes);
  if (!bytes) {
    print_message("this gcc moves nothing\n");
    skip();
  }
  assert_int_equal(probe(&binary, program), 0);
  assert_int_equal(binary.version, 0x030a);
  assert_int_equal(binary.micro, 13);
  assert_int_equal(binary.eval_cold_vaddr, vaddr);
  assert_int_equal(binary.eval_cold_bytes, bytes);
  symbol_of(program, "", "_PyRuntime", &vaddr, &bytes);
  assert_int_equal(binary.runtime_vaddr, vaddr);
  assert_int_equal(binary.runtime_bytes, bytes);
  expect_found_by_jumps("-rdynamic -Wl,--hash-style=gnu", program);
  expect_found_by_jumps("-rdynamic -Wl,--hash-style=sysv", program);
}

/* ---- No interpreters ----------------------------------------------------------------------------
 */

static void write_file(const char *path, const void *data, size_t bytes) {
  FILE *out = fopen(path, "w");
  assert_non_null(out);
  assert_int_equal(fwrite(data, 1, bytes, out), bytes);
  fclose(out);
}

static void test_no_elf(void **state) {
  (void)state;
  char path[PYTHON_PATH_BYTES];
  struct cpython_binary binary;
  snprintf(path, sizeof(path), "%s/text", scratch);
  write_file(path, "#!/bin/sh\n", 10);
  assert_int_equal(probe(&binary, path), -ENOENT);
  write_file(path, "", 0);
  assert_int_equal(probe(&binary, path), -ENOENT);
  write_file(path, "\177ELF\2\1\1", 7);
  assert_int_equal(probe(&binary, path), -ENOENT);
  assert_int_equal(probe(&binary, "/dev/null"), -ENOENT);
}

static double probe_ms(const char *path, int *status) {
  struct cpython_binary binary;
  struct timespec from, to;
  clock_gettime(CLOCK_MONOTONIC, &from);
  *status = probe(&binary, path);
  clock_gettime(CLOCK_MONOTONIC, &to);
  return (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6;
}

/* The usual answer must be cheap: the probe runs over every file that a target maps. */
static void test_no_interpreter_is_fast(void **state) {
  (void)state;
  char path[PYTHON_PATH_BYTES];
  double best_ms = 1e9;
  int status = 0;
  capture(path, sizeof(path), "ldd /bin/sh | sed -n 's/.*=> \\(.*libc[^ ]*\\).*/\\1/p'");
  if (!path[0]) {
    print_message("no shared libc on this machine\n");
    skip();
  }
  for (int i = 0; i < 10; i++) {
    double ms = probe_ms(path, &status);
    best_ms = ms < best_ms ? ms : best_ms;
    assert_int_equal(status, -ENOENT);
  }
  print_message("%s: %.3f ms\n", path, best_ms);
  assert_true(best_ms < 1.0);
}

/* Broken copies: cut off anywhere, and with bytes flipped in headers and hash tables. Any answer
 * will do, but there must be one, and soon. */
static void test_broken(void **state) {
  char path[PYTHON_PATH_BYTES], broken[PYTHON_PATH_BYTES];
  struct cpython_binary binary;
  struct stat status;
  if (!*state) {
    print_message("no such interpreter on this machine\n");
    skip();
  }
  file_of(*state, path);
  snprintf(broken, sizeof(broken), "%s/broken", scratch);
  FILE *in = fopen(path, "r");
  assert_non_null(in);
  assert_int_equal(fstat(fileno(in), &status), 0);
  size_t bytes = (size_t)status.st_size;
  uint8_t *data = malloc(bytes);
  assert_non_null(data);
  assert_int_equal(fread(data, 1, bytes, in), bytes);
  fclose(in);
  write_file(broken, data, bytes);
  int fd = open(broken, O_RDWR | O_CLOEXEC);
  assert_true(fd >= 0);
  srandom(1);
  for (int i = 0; i < 2000; i++) {
    size_t limit = i % 2 ? 1024 : 65536;
    size_t at = (size_t)random() % limit;
    uint8_t byte = (uint8_t)random();
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    (void)cpython_probe(&binary, fd, broken);
    if (i % 4)
      continue;
    assert_int_equal(pwrite(fd, data, limit, 0), (ssize_t)limit);
  }
  assert_int_equal(pwrite(fd, data, 65536, 0), 65536);
  for (size_t length = bytes; length > 64; length = length * 9 / 10) {
    assert_int_equal(ftruncate(fd, (off_t)length), 0);
    (void)cpython_probe(&binary, fd, broken);
  }
  close(fd);
  free(data);
}

static int make_scratch(void **state) {
  (void)state;
  return mkdtemp(scratch) ? 0 : -1;
}

static int remove_scratch(void **state) {
  (void)state;
  char command[128];
  snprintf(command, sizeof(command), "rm -rf '%s'", scratch);
  return system(command) ? -1 : 0;
}

int main(void) {
  static char paths[PYTHON_SLOT_COUNT][PYTHON_PATH_BYTES];
  find_pythons(paths);
  const struct CMUnitTest tests[] = {
      PYTHON_TESTS("interpreter", test_interpreter, paths),
      cmocka_unit_test(test_moved_part),
      cmocka_unit_test(test_no_elf),
      cmocka_unit_test(test_no_interpreter_is_fast),
      PYTHON_TEST("broken", test_broken, paths, PYTHON_SLOT_3_13, "3_13"),
      PYTHON_TEST("broken", test_broken, paths, PYTHON_SLOT_SYSTEM, "of_the_system"),
  };
  return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
