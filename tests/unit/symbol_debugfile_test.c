/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of stripped files from where objcopy, xz and dwz put them; and what must not be believed.
 */
#include "symbol_support.h"

#include <sys/stat.h>

#define BUILD_ID "0123456789abcdef"

struct stripped {
  const char *path; /* of the stripped file */
  uint64_t local;   /* the address of local_step, which is not exported */
};

/* whole → program (stripped) and program.debug, in the scratch folder. */
static struct stripped build(void **state, const char *flags) {
  struct stripped result = {.path = in_scratch(state, "program")};
  const char *dir = scratch_of(state)->path;
  must_run("rm -rf '%s'/* && gcc -O2 -g -Wl,--build-id=0x" BUILD_ID
           " -o '%s/whole' \"$PWD/%s/plain.c\"",
           dir, dir, WORKLOADS);
  must_run("cd '%s' && objcopy --only-keep-debug %s whole program.debug && strip -o program whole",
           dir, flags);
  char path[4096];
  snprintf(path, sizeof(path), "%s/whole", dir);
  result.local = address_by_nm(path, "local_step");
  return result;
}

/* Moves the debug file below `root` to its place by build ID. */
static void place_by_build_id(void **state, const char *root) {
  must_run("cd '%s' && mkdir -p '%s/usr/lib/debug/.build-id/01' && "
           "mv program.debug '%s/usr/lib/debug/.build-id/01/23456789abcdef.debug'",
           scratch_of(state)->path, root, root);
}

static void expect_named(const struct stripped *file, const char *seen_as, const char *root) {
  struct seen seen;
  struct opened opened = open_elf_in(file->path, seen_as, root);
  resolve(&opened, file->local, &seen);
  assert_int_equal(seen.count, 1);
  assert_string_equal(seen.frames[0].function, "local_step");
  assert_non_null(strstr(seen.frames[0].file, "plain.c"));
  assert_true(seen.frames[0].line > 0);
  close_elf(&opened);
}

/* Nothing but the bounds of the function is found. */
static void expect_unnamed(const struct stripped *file, const char *seen_as, const char *root) {
  struct seen seen;
  struct opened opened = open_elf_in(file->path, seen_as, root);
  resolve(&opened, file->local, &seen);
  assert_int_equal(seen.count, 1);
  assert_int_equal(strncmp(seen.frames[0].function, "[unknown] ", 10), 0);
  close_elf(&opened);
}

static void finds_by_build_id_below_the_root(void **state) {
  struct stripped file = build(state, "");
  expect_unnamed(&file, "/app/program", in_scratch(state, "root"));
  place_by_build_id(state, "root");
  expect_named(&file, "/app/program", in_scratch(state, "root"));
}

static void finds_compressed_debug_files(void **state) {
  struct stripped file = build(state, "--compress-debug-sections=zlib");
  place_by_build_id(state, "root");
  expect_named(&file, "/app/program", in_scratch(state, "root"));
}

static void refuses_a_file_of_another_build(void **state) {
  struct stripped file = build(state, "");
  must_run("cd '%s' && gcc -O2 -g -Wl,--build-id=0xfefefefefefefefe -o program.debug "
           "\"$OLDPWD/%s/plain.c\"",
           scratch_of(state)->path, WORKLOADS);
  place_by_build_id(state, "root");
  expect_unnamed(&file, "/app/program", in_scratch(state, "root"));
}

/* A container's link that leads out of it is followed inside of it, as the container itself would.
 */
static void stays_below_the_root(void **state) {
  struct stripped file = build(state, "");
  const char *dir = scratch_of(state)->path;
  place_by_build_id(state, "elsewhere");
  must_run("cd '%s' && mkdir -p root/usr/lib/debug && ln -s '%s/elsewhere/usr/lib/debug/.build-id' "
           "root/usr/lib/debug/.build-id",
           dir, dir);
  expect_unnamed(&file, "/app/program", in_scratch(state, "root"));
  must_run("cd '%s' && mkdir -p 'root%s' && mv elsewhere 'root%s/'", dir, dir, dir);
  expect_named(&file, "/app/program", in_scratch(state, "root"));
}

static void ignores_a_fifo(void **state) {
  struct stripped file = build(state, "");
  must_run("cd '%s' && mkdir -p root/usr/lib/debug/.build-id/01 && "
           "mkfifo root/usr/lib/debug/.build-id/01/23456789abcdef.debug",
           scratch_of(state)->path);
  expect_unnamed(&file, "/app/program", in_scratch(state, "root"));
}

static void add_link(void **state) {
  must_run("cd '%s' && objcopy --add-gnu-debuglink=program.debug program", scratch_of(state)->path);
}

static void finds_by_link_in_each_place(void **state) {
  static const char *const places[] = {"app", "app/.debug", "usr/lib/debug/app"};
  for (int i = 0; i < 3; i++) {
    struct stripped file = build(state, "");
    add_link(state);
    must_run("cd '%s' && mkdir -p 'root/%s' && mv program.debug 'root/%s/'",
             scratch_of(state)->path, places[i], places[i]);
    expect_named(&file, "/app/program", in_scratch(state, "root"));
  }
}

static void checks_the_crc_of_a_link(void **state) {
  struct stripped file = build(state, "");
  add_link(state);
  must_run("cd '%s' && mkdir -p root/app && mv program.debug root/app/ && "
           "printf x >> root/app/program.debug",
           scratch_of(state)->path);
  expect_unnamed(&file, "/app/program", in_scratch(state, "root"));
}

/* As GDB's manual makes it ("MiniDebugInfo"): the functions that .dynsym lacks, packed by xz. */
static void unpacks_the_mini_symbol_table(void **state) {
  need_tool("xz");
  struct seen seen;
  struct stripped file = build(state, "");
  must_run("cd '%s' && objcopy --only-keep-debug whole mini && "
           "objcopy -S --remove-section .gdb_index --remove-section .comment "
           "--keep-symbol=local_step --keep-symbol=compare mini && "
           "xz mini && objcopy --add-section .gnu_debugdata=mini.xz program",
           scratch_of(state)->path);
  struct opened opened = open_elf_in(file.path, "/app/program", in_scratch(state, "root"));
  resolve(&opened, file.local + 1, &seen);
  assert_int_equal(seen.count, 1);
  assert_string_equal(seen.frames[0].function, "local_step");
  assert_int_equal(seen.frames[0].offset_bytes, 1);
  uint64_t vaddr, bytes;
  assert_int_equal(symbol_elf_lookup(opened.elf, "local_step", &vaddr, &bytes), 0);
  assert_int_equal(vaddr, file.local);
  close_elf(&opened);
}

static void survives_a_broken_mini_symbol_table(void **state) {
  need_tool("xz");
  struct stripped file = build(state, "");
  must_run("cd '%s' && cp whole mini && xz mini && head -c 500 mini.xz > cut.xz && "
           "objcopy --add-section .gnu_debugdata=cut.xz program",
           scratch_of(state)->path);
  expect_unnamed(&file, "/app/program", in_scratch(state, "root"));
}

/* 300 MiB of zeros pack to 45 KB. */
static void bounds_an_xz_bomb(void **state) {
  need_tool("xz");
  struct stripped file = build(state, "");
  must_run("cd '%s' && head -c 300M /dev/zero | xz -0 > bomb.xz && "
           "objcopy --add-section .gnu_debugdata=bomb.xz program",
           scratch_of(state)->path);
  expect_unnamed(&file, "/app/program", in_scratch(state, "root"));
}

static void follows_what_dwz_shares(void **state) {
  need_tool("dwz");
  struct stripped file = build(state, "");
  must_run("cd '%s' && cp program.debug other.debug && "
           "dwz -m shared.debug -M '%s/shared.debug' program.debug other.debug",
           scratch_of(state)->path, scratch_of(state)->path);
  place_by_build_id(state, "root");
  must_run("cd '%s' && mkdir -p 'root%s' && cp shared.debug 'root%s/'", scratch_of(state)->path,
           scratch_of(state)->path, scratch_of(state)->path);
  expect_named(&file, "/app/program", in_scratch(state, "root"));
}

/* A "server" that is a folder shows whether the client was asked; nothing leaves the machine. */
static void asks_debuginfod_only_when_told(void **state) {
  if (run_shell("ldconfig -p | grep -q libdebuginfod.so.1")) {
    print_message("SKIPPED: libdebuginfod is not installed\n");
    skip();
  }
  struct seen seen;
  struct stripped file = build(state, "");
  char url[4200];
  must_run("cd '%s' && mkdir -p served/buildid/" BUILD_ID " && "
           "mv program.debug served/buildid/" BUILD_ID "/debuginfo",
           scratch_of(state)->path);
  snprintf(url, sizeof(url), "file://%s", in_scratch(state, "served"));
  setenv("DEBUGINFOD_URLS", url, 1);
  setenv("DEBUGINFOD_CACHE_PATH", in_scratch(state, "cache"), 1);
  expect_unnamed(&file, "/app/program", in_scratch(state, "root"));
  assert_int_not_equal(access(in_scratch(state, "cache"), F_OK), 0);

  struct symbol_options options = {.follow_debuginfod = true, .inlines = true};
  struct opened opened = {.fd = open(file.path, O_RDONLY | O_CLOEXEC)};
  assert_int_equal(symbol_elf_open(&opened.elf, opened.fd, "/app/program", "", &options), 0);
  resolve(&opened, file.local, &seen);
  assert_int_equal(seen.count, 1);
  assert_string_equal(seen.frames[0].function, "local_step");
  close_elf(&opened);
  unsetenv("DEBUGINFOD_URLS");
  unsetenv("DEBUGINFOD_CACHE_PATH");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(finds_by_build_id_below_the_root),
      cmocka_unit_test(finds_compressed_debug_files),
      cmocka_unit_test(refuses_a_file_of_another_build),
      cmocka_unit_test(stays_below_the_root),
      cmocka_unit_test(ignores_a_fifo),
      cmocka_unit_test(finds_by_link_in_each_place),
      cmocka_unit_test(checks_the_crc_of_a_link),
      cmocka_unit_test(unpacks_the_mini_symbol_table),
      cmocka_unit_test(survives_a_broken_mini_symbol_table),
      cmocka_unit_test(bounds_an_xz_bomb),
      cmocka_unit_test(follows_what_dwz_shares),
      cmocka_unit_test(asks_debuginfod_only_when_told),
  };
  return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
