/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Symbol tables and PLT slots against nm and objdump. */
#include "symbol_support.h"

#include <sys/mman.h>
#include <time.h>

static void build_plain(void **state, const char *name, const char *flags) {
  must_run("gcc -O2 %s -o '%s' %s/plain.c", flags, in_scratch(state, name), WORKLOADS);
}

/* Each line of `command` is "address size name"; several names may share an address. Asks for the
 * first, middle and last byte of each. Returns how many were checked. */
static int check_listed(struct opened *opened, const char *command, bool exact_name) {
  char line[4096], name[4000];
  uint64_t address, size;
  int checked = 0;
  struct seen seen;
  FILE *in = popen(command, "r");
  assert_non_null(in);
  while (fgets(line, sizeof(line), in)) {
    if (sscanf(line, "%lx %lx %3999s", &address, &size, name) != 3 || !size)
      continue;
    uint64_t offsets[] = {0, size / 2, size - 1};
    for (int i = 0; i < 3; i++) {
      resolve(opened, address + offsets[i], &seen);
      assert_int_equal(seen.count, 1);
      if (exact_name)
        assert_string_equal(seen.frames[0].function, name);
      assert_int_equal(seen.frames[0].offset_bytes, offsets[i]);
    }
    checked++;
  }
  assert_int_equal(pclose(in), 0);
  return checked;
}

static void names_what_nm_names(void **state) {
  build_plain(state, "plain", "");
  struct opened opened = open_elf(in_scratch(state, "plain"));
  char command[4096];
  /* Without the aliases and the label inside of another function. */
  snprintf(command, sizeof(command),
           "nm -S --defined-only '%s' | awk 'tolower($3) == \"t\" && "
           "$4 !~ /hidden_step|weak_step/ { print $1, $2, $4 }'",
           in_scratch(state, "plain"));
  assert_true(check_listed(&opened, command, true) >= 6);
  close_elf(&opened);
}

static void prefers_the_public_alias(void **state) {
  struct seen seen;
  build_plain(state, "plain", "");
  struct opened opened = open_elf(in_scratch(state, "plain"));
  resolve(&opened, address_by_nm(in_scratch(state, "plain"), "__hidden_step"), &seen);
  assert_string_equal(seen.frames[0].function, "public_step");
  close_elf(&opened);
}

static void extends_symbols_without_a_size(void **state) {
  struct seen seen;
  build_plain(state, "plain", "");
  struct opened opened = open_elf(in_scratch(state, "plain"));
  uint64_t first = address_by_nm(in_scratch(state, "plain"), "sized_first");
  const char *expected[] = {"sized_first", "unsized_routine", "sized_last"};
  uint64_t offsets[] = {7, 8 + 3, 8 + 4 + 1}; /* the last byte of each: see plain.c */
  for (int i = 0; i < 3; i++) {
    resolve(&opened, first + offsets[i], &seen);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.frames[0].function, expected[i]);
  }
  close_elf(&opened);
}

static void names_the_exports_of_libc(void **state) {
  (void)state;
  char command[4096], path[4096] = "";
  FILE *in = popen("gcc -print-file-name=libc.so.6", "r");
  assert_non_null(fgets(path, sizeof(path), in));
  pclose(in);
  path[strcspn(path, "\n")] = '\0';
  if (path[0] != '/') {
    print_message("SKIPPED: no libc.so.6\n");
    skip();
  }
  /* Without options for debug files, whose inlined calls nm does not know. */
  struct opened opened = {.fd = open(path, O_RDONLY | O_CLOEXEC)};
  assert_int_equal(symbol_elf_open(&opened.elf, opened.fd, path, "/proc/self/root", NULL), 0);
  snprintf(command, sizeof(command),
           "nm -D -S --defined-only '%s' | awk 'tolower($3) ~ /^[ti]$/ "
           "{ sub(/@.*/, \"\", $4); print $1, $2, $4 }'",
           path);
  assert_true(check_listed(&opened, command, false) > 1000);
  close_elf(&opened);
}

static void check_plt(void **state, const char *flags) {
  char command[4096], line[512], name[400];
  uint64_t address;
  struct seen seen;
  int checked = 0;
  build_plain(state, "plt", flags);
  struct opened opened = open_elf(in_scratch(state, "plt"));
  snprintf(command, sizeof(command),
           "for s in .plt .plt.sec .plt.got; do objdump -d -j $s '%s' 2>/dev/null; done |"
           " sed -n 's/^\\([0-9a-f]*\\) <\\(.*@plt\\)>:$/\\1 \\2/p'",
           in_scratch(state, "plt"));
  FILE *in = popen(command, "r");
  assert_non_null(in);
  while (fgets(line, sizeof(line), in)) {
    assert_int_equal(sscanf(line, "%lx %399s", &address, name), 2);
    resolve(&opened, address + 4, &seen);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.frames[0].function, name);
    assert_int_equal(seen.frames[0].offset_bytes, 4);
    checked++;
  }
  pclose(in);
  assert_true(checked >= 4); /* qsort, strlen, malloc, free */
  close_elf(&opened);
}

static void names_lazy_plt_slots(void **state) {
  check_plt(state, "-fcf-protection=none -Wl,-z,lazy");
}

static void names_bound_plt_slots(void **state) {
  check_plt(state, "-fcf-protection=none -Wl,-z,now");
}

static void names_ibt_plt_slots(void **state) {
  check_plt(state, "-fcf-protection=full -Wl,-z,lazy -Wl,-z,ibtplt");
}

static void names_plt_slots_of_a_stripped_file(void **state) {
  check_plt(state, "-s -fcf-protection=none -Wl,-z,lazy");
}

#define NO_CFI "-fno-asynchronous-unwind-tables"

static void names_nothing_in_a_stripped_file(void **state) {
  build_plain(state, "plain", NO_CFI);
  uint64_t inside = address_by_nm(in_scratch(state, "plain"), "local_step");
  must_run("strip -o '%s' '%s'", in_scratch(state, "stripped"), in_scratch(state, "plain"));
  struct opened opened = open_elf(in_scratch(state, "stripped"));
  assert_int_equal(symbol_elf_resolve(opened.elf, inside, see_nothing, NULL), 0);
  assert_int_equal(symbol_elf_resolve(opened.elf, UINT64_MAX, see_nothing, NULL), 0);
  close_elf(&opened);
}

/* With dynamic symbols only, what follows the last byte of a function belongs to nobody. */
static void leaves_gaps_alone(void **state) {
  struct seen seen;
  build_plain(state, "whole.so", "-fPIC -shared " NO_CFI);
  must_run("strip -o '%s' '%s'", in_scratch(state, "gap.so"), in_scratch(state, "whole.so"));
  uint64_t local = address_by_nm(in_scratch(state, "whole.so"), "local_step");
  uint64_t public = address_by_nm(in_scratch(state, "whole.so"), "public_step");
  struct opened opened = open_elf(in_scratch(state, "gap.so"));
  resolve(&opened, local, &seen);
  assert_int_equal(seen.count, 0);
  resolve(&opened, public, &seen);
  assert_int_equal(seen.count, 1);
  assert_string_equal(seen.frames[0].function, "public_step");
  close_elf(&opened);
}

static void looks_names_up(void **state) {
  uint64_t vaddr, bytes;
  build_plain(state, "plain", "");
  struct opened opened = open_elf(in_scratch(state, "plain"));
  assert_int_equal(symbol_elf_lookup(opened.elf, "counter_of_calls", &vaddr, &bytes), 0);
  assert_int_equal(vaddr, address_by_nm(in_scratch(state, "plain"), "counter_of_calls"));
  assert_int_equal(bytes, sizeof(int));
  assert_int_equal(symbol_elf_lookup(opened.elf, "counter_of_call", &vaddr, &bytes), -ENOENT);
  assert_int_equal(symbol_elf_lookup(opened.elf, "plain.c", &vaddr, &bytes), -ENOENT);
  assert_int_equal(symbol_elf_lookup(opened.elf, "puts", &vaddr, &bytes), -ENOENT);
  close_elf(&opened);
}

static void reads_the_build_id(void **state) {
  static const uint8_t expected[] = {0xde, 0xad, 0xbe, 0xef, 0x01, 0x02, 0x03, 0x04};
  uint8_t build_id[32];
  build_plain(state, "with-id", "-Wl,--build-id=0xdeadbeef01020304");
  build_plain(state, "without-id", "-Wl,--build-id=none");
  int fd = open(in_scratch(state, "with-id"), O_RDONLY | O_CLOEXEC);
  assert_int_equal(symbol_build_id(fd, build_id, sizeof(build_id)), sizeof(expected));
  assert_memory_equal(build_id, expected, sizeof(expected));
  memset(build_id, 0, sizeof(build_id));
  assert_int_equal(symbol_build_id(fd, build_id, 2), sizeof(expected));
  assert_memory_equal(build_id, "\xde\xad\0", 3);
  close(fd);
  fd = open(in_scratch(state, "without-id"), O_RDONLY | O_CLOEXEC);
  assert_int_equal(symbol_build_id(fd, build_id, sizeof(build_id)), 0);
  close(fd);
  fd = open(WORKLOADS "/plain.c", O_RDONLY | O_CLOEXEC);
  assert_true(symbol_build_id(fd, build_id, sizeof(build_id)) < 0);
  close(fd);
}

/* The vDSO of this process, copied to a memfd as the capture does. */
static void names_the_vdso(void **state) {
  (void)state;
  unsigned long low = 0, high = 0;
  char line[512];
  FILE *maps = fopen("/proc/self/maps", "re");
  while (fgets(line, sizeof(line), maps))
    if (strstr(line, "[vdso]"))
      assert_int_equal(sscanf(line, "%lx-%lx", &low, &high), 2);
  fclose(maps);
  if (!low) {
    print_message("SKIPPED: this process has no vDSO\n");
    skip();
  }
  struct opened opened = {.fd = memfd_create("vdso", MFD_CLOEXEC)};
  assert_int_equal(write(opened.fd, (const void *)low, high - low), (ssize_t)(high - low));
  assert_int_equal(symbol_elf_open(&opened.elf, opened.fd, "[vdso]", "", NULL), 0);
  uint64_t vaddr, bytes;
  struct seen seen;
  assert_int_equal(symbol_elf_lookup(opened.elf, "__vdso_clock_gettime", &vaddr, &bytes), 0);
  resolve(&opened, vaddr + 1, &seen);
  assert_int_equal(seen.count, 1);
  assert_string_equal(seen.frames[0].function, "clock_gettime"); /* its weak alias */
  close_elf(&opened);
}

static double now_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void resolves_ten_thousand_addresses_fast(void **state) {
  struct seen seen;
  build_plain(state, "plain", "");
  struct opened opened = open_elf(in_scratch(state, "plain"));
  uint64_t start = address_by_nm(in_scratch(state, "plain"), "main");
  resolve(&opened, start, &seen);
  double begin = now_s();
  for (int i = 0; i < 10000; i++)
    assert_int_equal(symbol_elf_resolve(opened.elf, start + i % 8, see_nothing, NULL), 1);
  assert_true(now_s() - begin < 0.2);
  close_elf(&opened);
}

static void refuses_what_is_no_elf_file(void **state) {
  (void)state;
  struct symbol_elf *elf;
  int fd = open(WORKLOADS "/plain.c", O_RDONLY | O_CLOEXEC);
  error_clear();
  assert_true(symbol_elf_open(&elf, fd, "plain.c", "", NULL) < 0);
  assert_non_null(strstr(error_text(), "plain.c"));
  close(fd);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(names_what_nm_names),
      cmocka_unit_test(prefers_the_public_alias),
      cmocka_unit_test(extends_symbols_without_a_size),
      cmocka_unit_test(names_the_exports_of_libc),
      cmocka_unit_test(names_lazy_plt_slots),
      cmocka_unit_test(names_bound_plt_slots),
      cmocka_unit_test(names_ibt_plt_slots),
      cmocka_unit_test(names_plt_slots_of_a_stripped_file),
      cmocka_unit_test(names_nothing_in_a_stripped_file),
      cmocka_unit_test(leaves_gaps_alone),
      cmocka_unit_test(looks_names_up),
      cmocka_unit_test(reads_the_build_id),
      cmocka_unit_test(names_the_vdso),
      cmocka_unit_test(resolves_ten_thousand_addresses_fast),
      cmocka_unit_test(refuses_what_is_no_elf_file),
  };
  return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
