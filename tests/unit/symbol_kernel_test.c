/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kallsyms: texts as kernels write them, and the running kernel's. */
#include "symbol_support.h"

#include "symbol/internal.h"

static int read_text(struct symbol_kernel **kernel, const char *text) {
  FILE *in = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
  assert_non_null(in);
  int result = symbol_kernel_read(kernel, in);
  fclose(in);
  return result;
}

static void check(struct symbol_kernel *kernel, uint64_t address, const char *function,
                  const char *module, uint64_t offset) {
  struct seen seen = {0};
  assert_true(symbol_kernel_resolve(kernel, address, see, &seen));
  assert_int_equal(seen.count, 1);
  assert_string_equal(seen.frames[0].function, function);
  assert_string_equal(seen.frames[0].file, module);
  assert_int_equal(seen.frames[0].offset_bytes, offset);
}

static void check_none(struct symbol_kernel *kernel, uint64_t address) {
  assert_false(symbol_kernel_resolve(kernel, address, see_nothing, NULL));
}

static void reads_symbols_and_modules(void **state) {
  (void)state;
  struct symbol_kernel *kernel;
  assert_int_equal(read_text(&kernel, "0000000000000000 A fixed_percpu_data\n"
                                      "ffffffff81000000 T _stext\n"
                                      "ffffffff81000000 T startup_64\n"
                                      "ffffffff81002000 t __do_sys_read\n"
                                      "ffffffff81002000 T do_sys_read\n"
                                      "ffffffff81001000 T vfs_read\n"
                                      "ffffffff82000000 D data_follows\n"
                                      "garbage\n"
                                      "ffffffffc0000000 t ext4_read\t[ext4]\n"
                                      "ffffffffc0000100 t ext4_write\t[ext4]\n"
                                      "ffffffffc0001000 t bpf_prog_6deef7357e7b4530\t[bpf]\n"),
                   0);
  check(kernel, 0xffffffff81000010, "startup_64", "", 0x10);
  check(kernel, 0xffffffff81001fff, "vfs_read", "", 0xfff);
  check(kernel, 0xffffffff81002000, "do_sys_read", "", 0);
  check(kernel, 0xffffffffc00000ff, "ext4_read", "[ext4]", 0xff);
  check(kernel, 0xffffffffc0000100, "ext4_write", "[ext4]", 0);
  check(kernel, 0xffffffffc0001001, "bpf_prog_6deef7357e7b4530", "[bpf]", 1);
  check_none(kernel, 0x10);               /* data */
  check_none(kernel, 0xffffffff82000001); /* data */
  check_none(kernel, 0xffffffff81f00000); /* too far behind do_sys_read */
  check_none(kernel, UINT64_MAX);
  symbol_kernel_close(kernel);
}

static void tells_that_addresses_are_hidden(void **state) {
  (void)state;
  struct symbol_kernel *kernel;
  error_clear();
  assert_int_equal(read_text(&kernel, "0000000000000000 T _stext\n0000000000000000 T vfs_read\n"),
                   -EPERM);
  assert_non_null(strstr(error_text(), "kptr_restrict"));
  assert_int_equal(read_text(&kernel, "\n"), -EPERM);
}

static void survives_broken_lines(void **state) {
  (void)state;
  struct symbol_kernel *kernel;
  assert_int_equal(read_text(&kernel, "\n \nzz T x\nffffffff81000000\nffffffff81000000 T\n"
                                      "ffffffff81000000 T \nffffffff81000000 TT x\n"
                                      "fffffffffffffffff T too_long\n"
                                      "ffffffff81000000 T good"),
                   0);
  check(kernel, 0xffffffff81000000, "good", "", 0);
  symbol_kernel_close(kernel);
}

static void names_the_running_kernel(void **state) {
  (void)state;
  struct symbol_kernel *kernel;
  uint64_t address = 0, at;
  char line[1024], type, name[512];
  if (symbol_kernel_open(&kernel)) {
    print_message("SKIPPED: %s\n", error_text());
    skip();
  }
  FILE *in = fopen("/proc/kallsyms", "re");
  while (fgets(line, sizeof(line), in))
    if (sscanf(line, "%lx %c %511s", &at, &type, name) == 3 && !strcmp(name, "schedule"))
      address = at;
  fclose(in);
  assert_true(address != 0);
  check(kernel, address + 4, "schedule", "", 4);
  symbol_kernel_close(kernel);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reads_symbols_and_modules),
      cmocka_unit_test(tells_that_addresses_are_hidden),
      cmocka_unit_test(survives_broken_lines),
      cmocka_unit_test(names_the_running_kernel),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
