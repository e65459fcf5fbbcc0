/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Quantities as people write and read them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/units.h"
#include "base/utf8.h"

static void durations_are_read(void **state) {
  static const struct {
    const char *text;
    int result;
    uint64_t ns;
  } rows[] = {
      {"30", 0, 30000000000},
      {"30s", 0, 30000000000},
      {"1.5s", 0, 1500000000},
      {"0.000000001", 0, 1},
      {"0.0000000019", 0, 1},
      {"500ms", 0, 500000000},
      {"10us", 0, 10000},
      {"5m", 0, 300000000000},
      {"2h", 0, 7200000000000},
      {"0", 0, 0},
      {"18446744073", 0, 18446744073000000000u},
      {"18446744074", -EINVAL, 0},
      {"99999999999999999999999", -EINVAL, 0},
      {"", -EINVAL, 0},
      {"s", -EINVAL, 0},
      {"1.", -EINVAL, 0},
      {".5", -EINVAL, 0},
      {"-1", -EINVAL, 0},
      {"+1", -EINVAL, 0},
      {" 1", -EINVAL, 0},
      {"1 s", -EINVAL, 0},
      {"1s ", -EINVAL, 0},
      {"1d", -EINVAL, 0},
      {"1e3", -EINVAL, 0},
      {"0x10", -EINVAL, 0},
      {"nan", -EINVAL, 0},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    uint64_t ns = 0;
    assert_int_equal(units_parse_duration(rows[i].text, &ns), rows[i].result);
    if (rows[i].result == 0)
      assert_true(ns == rows[i].ns);
  }
}

static void counts_are_read(void **state) {
  uint64_t value = 7;
  (void)state;
  assert_int_equal(units_parse_count("0", &value), 0);
  assert_true(value == 0);
  assert_int_equal(units_parse_count("18446744073709551615", &value), 0);
  assert_true(value == UINT64_MAX);
  assert_int_equal(units_parse_count("18446744073709551616", &value), -ERANGE);
  assert_int_equal(units_parse_count("99999999999999999999x", &value), -EINVAL);
  assert_int_equal(units_parse_count("", &value), -EINVAL);
  assert_int_equal(units_parse_count("-1", &value), -EINVAL);
  assert_int_equal(units_parse_count("1k", &value), -EINVAL);
  assert_true(value == UINT64_MAX);
}

static void times_have_three_digits(void **state) {
  static const struct {
    uint64_t ns;
    const char *text;
  } rows[] = {
      {0, "0 ns"},
      {999, "999 ns"},
      {1000, "1.00 µs"},
      {9994, "9.99 µs"},
      {9996, "10.0 µs"},
      {12000, "12.0 µs"},
      {99960, "100 µs"},
      {999499, "999 µs"},
      {999600, "1.00 ms"},
      {310000000, "310 ms"},
      {999600000, "1.00 s"},
      {1240000000, "1.24 s"},
      {60000000000, "60.0 s"},
      {599000000000, "599 s"},
      {600000000000, "10.0 min"},
      {3600000000000, "1.00 h"},
      {7200000000000000, "2000 h"},
  };
  char text[UNITS_TEXT_BYTES];
  (void)state;
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
    assert_string_equal(units_ns(text, rows[i].ns), rows[i].text);
}

static void sizes_have_three_digits(void **state) {
  static const struct {
    uint64_t bytes;
    const char *text;
  } rows[] = {
      {0, "0 B"},
      {1023, "1023 B"},
      {1024, "1.00 KiB"},
      {1572864, "1.50 MiB"},
      {1047552, "1023 KiB"},
      {1048064, "1.00 MiB"}, /* 1023.5 KiB would read as 1024 KiB */
      {UINT64_MAX, "16384 PiB"},
  };
  char text[UNITS_TEXT_BYTES];
  (void)state;
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
    assert_string_equal(units_bytes(text, rows[i].bytes), rows[i].text);
}

/* The well-formed sequences of the Unicode standard, table 3-7, and what lies beside them. */
static void utf8_is_checked(void **state) {
  static const struct {
    const char *text;
    uint32_t code;
    size_t bytes;
  } rows[] = {
      {"", 0, 0},
      {"a", 'a', 1},
      {"\xc3\xa9", 0xe9, 2},
      {"\xe2\x82\xac", 0x20ac, 3},
      {"\xf0\x9f\x98\x80", 0x1f600, 4},
      {"\xf4\x8f\xbf\xbf", 0x10ffff, 4},
      {"\xc0\x80", UTF8_REPLACEMENT, 1},
      {"\xc1\xbf", UTF8_REPLACEMENT, 1},
      {"\xe0\x9f\xbf", UTF8_REPLACEMENT, 1},
      {"\xed\xa0\x80", UTF8_REPLACEMENT, 1},
      {"\xf4\x90\x80\x80", UTF8_REPLACEMENT, 1},
      {"\xf5\x80\x80\x80", UTF8_REPLACEMENT, 1},
      {"\x80", UTF8_REPLACEMENT, 1},
      {"\xff", UTF8_REPLACEMENT, 1},
      {"\xe2\x82", UTF8_REPLACEMENT, 2},
      {"\xe2", UTF8_REPLACEMENT, 1},
      {"\xf0\x9f\x98"
       "a",
       UTF8_REPLACEMENT, 3},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    uint32_t code;
    assert_int_equal(utf8_decode(rows[i].text, &code), rows[i].bytes);
    assert_int_equal(code, rows[i].code);
  }
}

static void columns_are_counted(void **state) {
  (void)state;
  assert_int_equal(utf8_text_columns(""), 0);
  assert_int_equal(utf8_text_columns("a → b"), 5);
  assert_int_equal(utf8_text_columns("検索"), 4);
  assert_int_equal(utf8_text_columns("e\xcc\x81"), 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(durations_are_read),      cmocka_unit_test(counts_are_read),
      cmocka_unit_test(times_have_three_digits), cmocka_unit_test(sizes_have_three_digits),
      cmocka_unit_test(utf8_is_checked),         cmocka_unit_test(columns_are_counted),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
