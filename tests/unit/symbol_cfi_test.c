/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names for functions of which only .eh_frame knows; their bounds by nm, before the strip. */
#include "symbol_support.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <signal.h>

#define SIGNAL_FRAME "<signal handler called>"

/* "whole" and, without its symbols, "program". */
static void build_stripped(void **state, const char *flags) {
  const char *dir = scratch_of(state)->path;
  must_run("gcc -O2 %s -o '%s/whole' %s/statics.c", flags, dir, WORKLOADS);
  must_run("strip -o '%s/program' '%s/whole'", dir, dir);
}

static void expect_only(struct opened *opened, uint64_t vaddr, const char *name,
                        uint64_t offset_bytes) {
  struct seen seen;
  resolve(opened, vaddr, &seen);
  assert_int_equal(seen.count, 1);
  assert_string_equal(seen.frames[0].function, name);
  assert_string_equal(seen.frames[0].file, "");
  assert_int_equal(seen.frames[0].line, 0);
  assert_int_equal(seen.frames[0].offset_bytes, offset_bytes);
}

static void expect_bounds(struct opened *opened, const char *file, uint64_t start, uint64_t bytes) {
  char name[512];
  snprintf(name, sizeof(name), "[unknown] %s+0x%" PRIx64, file, start);
  for (uint64_t at = 0; at < bytes; at++)
    expect_only(opened, start + at, name, at);
}

static void one_name_at_every_address(void **state) {
  char command[4096], line[512], name[400];
  uint64_t start, bytes;
  int checked = 0, parts = 0;
  build_stripped(state, "-freorder-blocks-and-partition");
  struct opened opened = open_elf(in_scratch(state, "program"));
  snprintf(command, sizeof(command),
           "nm -S --defined-only '%s' | sed -n '/ [tT] .*step/s/ [tT]//p'",
           in_scratch(state, "whole"));
  FILE *in = popen(command, "r");
  assert_non_null(in);
  while (fgets(line, sizeof(line), in)) {
    assert_int_equal(sscanf(line, "%lx %lx %399s", &start, &bytes, name), 3);
    expect_bounds(&opened, "program", start, bytes);
    checked++;
    parts += strstr(name, ".cold") != NULL;
  }
  pclose(in);
  assert_true(checked - parts == 5);
  assert_true(parts >= 1);
  close_elf(&opened);
}

static void the_last_part_of_the_path(void **state) {
  build_stripped(state, "");
  uint64_t start = address_by_nm(in_scratch(state, "whole"), "step_one");
  struct opened opened =
      open_elf_in(in_scratch(state, "program"), "/app/lib/x.cpython-311-x86_64-linux-gnu.so", "");
  expect_bounds(&opened, "x.cpython-311-x86_64-linux-gnu.so", start, 1);
  close_elf(&opened);
}

static void no_name_without_bounds(void **state) {
  build_stripped(state, "");
  uint64_t bare = address_by_nm(in_scratch(state, "whole"), "bare_routine");
  struct opened opened = open_elf(in_scratch(state, "program"));
  for (uint64_t at = bare; at < bare + 4; at++)
    assert_int_equal(symbol_elf_resolve(opened.elf, at, see_nothing, NULL), 0);
  close_elf(&opened);
}

static void symbols_come_first(void **state) {
  struct seen seen;
  build_stripped(state, "");
  uint64_t start = address_by_nm(in_scratch(state, "whole"), "step_one");
  struct opened opened = open_elf(in_scratch(state, "whole"));
  resolve(&opened, start, &seen);
  assert_int_equal(seen.count, 1);
  assert_string_equal(seen.frames[0].function, "step_one");
  close_elf(&opened);
}

/* unsized_routine is exported, the functions below it are not. */
static void a_symbol_without_a_size_ends_where_a_function_begins(void **state) {
  struct seen seen;
  build_stripped(state, "-fPIC -shared -fno-toplevel-reorder -Wl,-z,noseparate-code");
  uint64_t unsized = address_by_nm(in_scratch(state, "whole"), "unsized_routine");
  uint64_t next = address_by_nm(in_scratch(state, "whole"), "step_one");
  assert_true(next > unsized && next - unsized < 4096);
  struct opened opened = open_elf(in_scratch(state, "program"));
  resolve(&opened, unsized + 3, &seen);
  assert_int_equal(seen.count, 1);
  assert_string_equal(seen.frames[0].function, "unsized_routine");
  expect_bounds(&opened, "program", next, 1);
  close_elf(&opened);
}

static void check_signal_frame(void **state, const char *name) {
  uint64_t symbol = address_by_nm(in_scratch(state, "whole"), "return_from_signal");
  uint64_t nop_bytes = (address_by_nm(in_scratch(state, "whole"), "bare_routine") - symbol) / 4;
  struct opened opened = open_elf(in_scratch(state, name));
  expect_only(&opened, symbol - 1, SIGNAL_FRAME, 4 * nop_bytes - 1);
  expect_only(&opened, symbol, SIGNAL_FRAME, 4 * nop_bytes);
  expect_only(&opened, symbol + 4 * nop_bytes - 1, SIGNAL_FRAME, 8 * nop_bytes - 1);
  close_elf(&opened);
}

static void signal_frames_with_and_without_symbols(void **state) {
  build_stripped(state, "");
  check_signal_frame(state, "whole");
  check_signal_frame(state, "program");
}

static uintptr_t returns_to;

static void handler(int number) {
  (void)number;
  returns_to = (uintptr_t)__builtin_return_address(0);
}

/* Where the kernel really leads a handler back to, in this process. */
static void the_signal_frame_of_libc(void **state) {
  Dl_info info;
  struct sigaction action = {.sa_handler = handler};
  assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
  assert_int_equal(raise(SIGUSR1), 0);
  assert_int_not_equal(returns_to, 0);
  if (!dladdr((void *)returns_to, &info) || access(info.dli_fname, R_OK)) {
    print_message("SKIPPED: handlers do not return to a file here\n");
    skip();
  }
  uint64_t vaddr = returns_to - 1 - (uintptr_t)info.dli_fbase;
  must_run("objcopy -S -R .note.gnu.build-id -R .gnu_debuglink '%s' '%s' 2>/dev/null",
           info.dli_fname, in_scratch(state, "libc.so.6"));
  const char *files[] = {info.dli_fname, in_scratch(state, "libc.so.6")};
  for (int i = 0; i < 2; i++) {
    struct seen seen;
    struct opened opened = open_elf(files[i]);
    resolve(&opened, vaddr, &seen);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.frames[0].function, SIGNAL_FRAME);
    close_elf(&opened);
  }
}

static void descriptions_by_hand(void **state) {
  static const char *const bounded[] = {"absolute", "relative", "wide", "narrow", "after_all"};
  static const char *const refused[] = {"indirect", "unknown_letter", "lone", "discarded"};
  const char *dir = scratch_of(state)->path;
  must_run("gcc -nostdlib -static -no-pie -Wl,-e,0 -Wl,--build-id=none -o '%s/linked' %s/frames.S",
           dir, WORKLOADS);
  must_run("cd '%s' && objcopy --rename-section .frames=.eh_frame linked whole && "
           "strip -o program whole",
           dir);
  struct opened opened = open_elf(in_scratch(state, "program"));
  for (size_t i = 0; i < sizeof(bounded) / sizeof(*bounded); i++)
    expect_bounds(&opened, "program", address_by_nm(in_scratch(state, "whole"), bounded[i]), 16);
  for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
    uint64_t start = address_by_nm(in_scratch(state, "whole"), refused[i]);
    assert_int_equal(symbol_elf_resolve(opened.elf, start, see_nothing, NULL), 0);
    assert_int_equal(symbol_elf_resolve(opened.elf, start + 15, see_nothing, NULL), 0);
  }
  expect_only(&opened, address_by_nm(in_scratch(state, "whole"), "signalled") + 5, SIGNAL_FRAME, 5);
  close_elf(&opened);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_name_at_every_address),
      cmocka_unit_test(the_last_part_of_the_path),
      cmocka_unit_test(no_name_without_bounds),
      cmocka_unit_test(symbols_come_first),
      cmocka_unit_test(a_symbol_without_a_size_ends_where_a_function_begins),
      cmocka_unit_test(signal_frames_with_and_without_symbols),
      cmocka_unit_test(the_signal_frame_of_libc),
      cmocka_unit_test(descriptions_by_hand),
  };
  return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
