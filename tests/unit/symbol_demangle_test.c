/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Readable names against c++filt, the examples of the Rust RFC 2603, and hostile names. */
#include "symbol_support.h"

#include <time.h>

static void check(const char *raw, const char *expected) {
  char *name = symbol_demangle(raw);
  assert_non_null(name);
  assert_string_equal(name, expected);
  free(name);
}

static void reads_known_names(void **state) {
  (void)state;
  check("_ZNSt6vectorIiSaIiEE9push_backERKi",
        "std::vector<int, std::allocator<int> >::push_back(int const&)");
  check("_ZN3foo3barEv.cold", "foo::bar() [clone .cold]");
  /* Rust: legacy without its hash, and v0 */
  check("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE", "core::fmt::Write::write_fmt");
  check("_RNvC6_123foo3bar", "123foo::bar");
  check("_RNvNtCs1234_7mycrate3foo3bar", "mycrate::foo::bar");
}

static void leaves_others_alone(void **state) {
  (void)state;
  static const char *const names[] = {"",
                                      "main",
                                      "_",
                                      "__libc_start_main",
                                      "_Z",
                                      "_ZZZZZ",
                                      "_R",
                                      "i",
                                      "PyEval_EvalCode",
                                      "_ZN",
                                      "St6vectorIiE",
                                      "foo.part.0",
                                      "_PyEval_EvalFrameDefault"};
  for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
    check(names[i], names[i]);
}

/* Every name of the C++ library. */
static void agrees_with_cxxfilt(void **state) {
  (void)state;
  char command[8192], raw[8192], expected[65536];
  int checked = 0;
  need_tool("c++filt");
  snprintf(command, sizeof(command),
           "f=$(g++ -print-file-name=libstdc++.so.6); "
           "[ \"$f\" != libstdc++.so.6 ] && nm -D --defined-only \"$f\" | awk '{ print $3 }' | "
           "sed 's/@.*//' | sort -u | awk 'NR %% 4 == 1' >'%1$s' && c++filt -i <'%1$s'",
           in_scratch(state, "raw"));
  FILE *in = popen(command, "r");
  FILE *names = NULL;
  while (fgets(expected, sizeof(expected), in)) {
    if (!names)
      names = fopen(in_scratch(state, "raw"), "re");
    assert_non_null(fgets(raw, sizeof(raw), names));
    raw[strcspn(raw, "\n")] = expected[strcspn(expected, "\n")] = '\0';
    if (strlen(expected) > 1024)
      continue;
    check(raw, expected);
    checked++;
  }
  pclose(in);
  if (!names) {
    print_message("SKIPPED: no libstdc++.so.6\n");
    skip();
  }
  fclose(names);
  assert_true(checked > 500);
}

static void cuts_long_names_at_a_character(void **state) {
  (void)state;
  char raw[4096];
  for (size_t lead = 0; lead < 4; lead++) {
    memset(raw, 'a', lead);
    for (size_t at = lead; at + 3 < sizeof(raw); at += 2)
      memcpy(raw + at, "\xc3\xa9", 3); /* é */
    char *name = symbol_demangle(raw);
    size_t length = strlen(name);
    assert_true(length >= 1020 && length <= 1024);
    assert_string_equal(name + length - 3, "...");
    assert_int_equal((unsigned char)name[length - 4], 0xa9);
    free(name);
  }
}

static double seconds_of(const char *raw, size_t *length) {
  struct timespec begin, end;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
  char *name = symbol_demangle(raw);
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
  assert_non_null(name);
  *length = strlen(name);
  free(name);
  return (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) * 1e-9;
}

/* pair<T, T> with T the pair before: 2^n letters from 8 n. */
static void stops_names_that_double(void **state) {
  (void)state;
  char raw[1024] = "_Z1f1P";
  size_t at = strlen(raw), length;
  for (int i = 0; i < 30; i++) {
    char previous[8] = "S_";
    if (i > 0)
      snprintf(previous, sizeof(previous), "S%c_", i <= 10 ? '0' + i - 1 : 'A' + i - 11);
    at += (size_t)snprintf(raw + at, sizeof(raw) - at, "1QI%s%sE", previous, previous);
  }
  assert_true(seconds_of(raw, &length) < 0.5);
  assert_true(length <= 1024);
}

static void stops_nested_names(void **state) {
  (void)state;
  static const char *const units[] = {"P", "K", "F", "1AI", "N1A", "R", "Dp", "M1A", "(", "T_I"};
  char *raw = malloc(200000);
  size_t length;
  for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
    for (size_t count = 10; count < 60000; count *= 9) {
      strcpy(raw, "_Z1f");
      char *at = raw + 4;
      for (size_t k = 0; k < count; k++)
        at = stpcpy(at, units[i]);
      assert_true(seconds_of(raw, &length) < 0.5);
      memcpy(raw, "_RNv", 4);
      assert_true(seconds_of(raw, &length) < 0.5);
      assert_true(length <= 1024);
    }
  free(raw);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reads_known_names),       cmocka_unit_test(leaves_others_alone),
      cmocka_unit_test(agrees_with_cxxfilt),     cmocka_unit_test(cuts_long_names_at_a_character),
      cmocka_unit_test(stops_names_that_double), cmocka_unit_test(stops_nested_names),
  };
  return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
