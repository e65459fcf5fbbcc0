/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Perf maps: what is read, which line wins, and which files are refused. */
#include "symbol_support.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "symbol/internal.h"

#define NOBODY_UID 65534

static struct symbol_map *parse(const char *text) {
  struct symbol_map *map;
  assert_int_equal(symbol_map_parse_take(&map, strdup(text), strlen(text)), 0);
  return map;
}

static void check(struct symbol_map *map, uint64_t address, const char *function, uint64_t offset) {
  struct seen seen = {0};
  assert_true(symbol_map_resolve(map, address, see, &seen));
  assert_string_equal(seen.frames[0].function, function);
  assert_int_equal(seen.frames[0].offset_bytes, offset);
}

static void check_none(struct symbol_map *map, uint64_t address) {
  assert_false(symbol_map_resolve(map, address, see_nothing, NULL));
}

static void reads_names_with_spaces(void **state) {
  (void)state;
  struct symbol_map *map = parse("1000 10 LazyCompile:*search /app/index.js:12:3\n"
                                 "0x2000 0x20 py::handler:/app/app.py\n"
                                 "3000 8 unfinished");
  check(map, 0x1000, "LazyCompile:*search /app/index.js:12:3", 0);
  check(map, 0x201f, "py::handler:/app/app.py", 0x1f);
  check_none(map, 0x1010);
  check_none(map, 0x3000);
  symbol_map_close(map);
}

static void believes_the_last_line(void **state) {
  (void)state;
  struct symbol_map *map = parse("1000 100 old\n"
                                 "1040 10 inner\n"
                                 "1080 100 newer\n"
                                 "1040 8 newest\n");
  check(map, 0x1000, "old", 0);
  check(map, 0x1040, "newest", 0);
  check(map, 0x1048, "inner", 8);
  check(map, 0x1050, "old", 0x50);
  check(map, 0x10ff, "newer", 0x7f);
  check(map, 0x117f, "newer", 0xff);
  symbol_map_close(map);
}

static void leaves_broken_lines_out(void **state) {
  (void)state;
  struct symbol_map *map = parse("\n\n1000\n1000 \n1000 10\n1000 10 \nxyz 10 a\n1000 zz b\n"
                                 "11112222333344445 10 overflow\n"
                                 "fffffffffffffff0 ffffffffffffffff to_the_end\n"
                                 "2000 0 empty\n2000 8 good\n");
  check(map, 0x2000, "good", 0);
  check(map, 0xfffffffffffffff8, "to_the_end", 8);
  check_none(map, 0x1000);
  symbol_map_close(map);
}

static void cuts_long_lines(void **state) {
  (void)state;
  char *text = malloc(1 << 20);
  size_t length = (size_t)sprintf(text, "1000 10 ");
  memset(text + length, 'x', (1 << 20) - length - 1);
  text[(1 << 20) - 1] = '\n';
  struct symbol_map *map;
  struct seen seen = {0};
  assert_int_equal(symbol_map_parse_take(&map, text, 1 << 20), 0);
  assert_true(symbol_map_resolve(map, 0x1000, see, &seen));
  assert_int_equal(strlen(seen.frames[0].function), 1024);
  symbol_map_close(map);
}

/* The perf map of this process itself. */
static const char *own_path(void) {
  static char path[64];
  snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
  return path;
}

static void write_own(const char *text) {
  FILE *out = fopen(own_path(), "we");
  assert_non_null(out);
  fputs(text, out);
  fclose(out);
}

static int remove_own(void **state) {
  (void)state;
  return unlink(own_path()) && errno != ENOENT;
}

static void opens_the_file_of_a_process(void **state) {
  (void)state;
  struct symbol_map *map;
  write_own("1000 10 f\n");
  assert_int_equal(symbol_map_open(&map, getpid(), getuid()), 0);
  check(map, 0x1008, "f", 8);
  symbol_map_close(map);
  unlink(own_path());
  assert_int_equal(symbol_map_open(&map, getpid(), getuid()), -ENOENT);
}

static void refuses(const char *cause) {
  struct symbol_map *map;
  error_clear();
  assert_int_equal(symbol_map_open(&map, getpid(), getuid()), -EPERM);
  if (!strstr(error_text(), cause))
    fail_msg("\"%s\" does not say \"%s\"", error_text(), cause);
}

static void refuses_links(void **state) {
  must_run("printf '1000 10 f\\n' > '%s'", in_scratch(state, "target"));
  assert_int_equal(symlink(in_scratch(state, "target"), own_path()), 0);
  refuses("link");
}

static void refuses_fifos_without_waiting(void **state) {
  (void)state;
  assert_int_equal(mkfifo(own_path(), 0600), 0);
  refuses("not a regular file");
}

static void refuses_folders(void **state) {
  (void)state;
  assert_int_equal(mkdir(own_path(), 0700), 0);
  refuses("not a regular file");
  assert_int_equal(rmdir(own_path()), 0);
}

static void refuses_files_of_other_users(void **state) {
  (void)state;
  if (getuid()) {
    print_message("SKIPPED: giving a file away needs root\n");
    skip();
  }
  struct symbol_map *map;
  write_own("1000 10 f\n");
  assert_int_equal(chown(own_path(), NOBODY_UID, NOBODY_UID), 0);
  refuses("belongs to user 65534");
  assert_int_equal(symbol_map_open(&map, getpid(), NOBODY_UID), 0);
  symbol_map_close(map);
  assert_int_equal(chown(own_path(), 0, 0), 0);
  assert_int_equal(symbol_map_open(&map, getpid(), NOBODY_UID), 0);
  symbol_map_close(map);
}

/* Runs in a child: makes a process that is PID 1 of a PID namespace with a /tmp of its own, tells
 * its PID out here, and ends it when `release` is closed. */
static void live_in_namespaces(int report, int release) {
  char byte;
  if (unshare(CLONE_NEWPID | CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
      mount("none", "/tmp", "tmpfs", 0, NULL))
    _exit(1);
  FILE *out = fopen("/tmp/perf-1.map", "we");
  if (!out || fputs("1000 10 inside\n", out) < 0 || fclose(out))
    _exit(1);
  pid_t inner = fork();
  if (inner == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
      pause();
  }
  if (write(report, &inner, sizeof(inner)) != sizeof(inner) || read(release, &byte, 1) < 0)
    _exit(1);
  kill(inner, SIGKILL);
  _exit(0);
}

static void looks_inside_the_namespaces_of_the_target(void **state) {
  (void)state;
  int report[2], release[2];
  pid_t inner = 0;
  assert_int_equal(pipe2(report, O_CLOEXEC), 0);
  assert_int_equal(pipe2(release, O_CLOEXEC), 0);
  pid_t child = fork();
  if (child == 0) {
    close(release[1]);
    live_in_namespaces(report[1], release[0]);
  }
  close(report[1]);
  if (read(report[0], &inner, sizeof(inner)) != sizeof(inner)) {
    print_message("SKIPPED: no privilege to make namespaces\n");
    skip();
  }
  struct symbol_map *map;
  int result = symbol_map_open(&map, inner, getuid());
  close(release[1]);
  waitpid(child, NULL, 0);
  close(report[0]);
  close(release[0]);
  assert_int_equal(result, 0);
  check(map, 0x1001, "inside", 1);
  symbol_map_close(map);
}

static double now_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void reads_a_million_lines(void **state) {
  (void)state;
  size_t capacity = (size_t)64 << 20, length = 0;
  char *text = malloc(capacity);
  for (int i = 0; i < 1000000; i++) /* every address is compiled twice */
    length += (size_t)snprintf(text + length, capacity - length, "%x 80 JS:*function_%d\n",
                               0x100000 + i % 500000 * 0x100, i);
  struct symbol_map *map;
  double begin = now_s();
  assert_int_equal(symbol_map_parse_take(&map, text, length), 0);
  double parsed = now_s();
  assert_true(parsed - begin < 3);
  check(map, 0x100000 + 7 * 0x100 + 1, "JS:*function_500007", 1);
  for (uint64_t i = 0; i < 1000000; i++)
    assert_true(symbol_map_resolve(map, 0x100000 + i % 500000 * 0x100, see_nothing, NULL));
  assert_true(now_s() - parsed < 3);
  symbol_map_close(map);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reads_names_with_spaces),
      cmocka_unit_test(believes_the_last_line),
      cmocka_unit_test(leaves_broken_lines_out),
      cmocka_unit_test(cuts_long_lines),
      cmocka_unit_test_teardown(opens_the_file_of_a_process, remove_own),
      cmocka_unit_test_teardown(refuses_links, remove_own),
      cmocka_unit_test_teardown(refuses_fifos_without_waiting, remove_own),
      cmocka_unit_test_teardown(refuses_folders, remove_own),
      cmocka_unit_test_teardown(refuses_files_of_other_users, remove_own),
      cmocka_unit_test(looks_inside_the_namespaces_of_the_target),
      cmocka_unit_test(reads_a_million_lines),
  };
  return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
