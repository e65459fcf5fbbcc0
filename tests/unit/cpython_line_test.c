/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks the three readers of line tables against what the interpreters say of every instruction of
 * a good part of their standard libraries, and at the edges of the formats. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cpython_testing.h"
#include "unwind/cpython.h"

/* ---- Against the interpreters -------------------------------------------------------------------
 */

#define FILES_MAX "400"
#define TABLE_BYTES_MAX (1u << 22)

struct totals {
  uint64_t codes;
  uint64_t addresses;
  uint64_t without_line;
  uint64_t wrong;
};

static void *read_block(FILE *in, size_t count, size_t size) {
  void *data = calloc(count + 1, size);
  assert_non_null(data);
  assert_true(count < TABLE_BYTES_MAX);
  assert_int_equal(fread(data, size, count, in), count);
  return data;
}

static bool check_code(FILE *in, uint32_t version, struct totals *totals) {
  uint32_t head[2], count = 0;
  if (fread(head, sizeof(head), 1, in) != 1)
    return false;
  uint8_t *table = read_block(in, head[1], 1);
  assert_int_equal(fread(&count, sizeof(count), 1, in), 1);
  uint32_t *lines = read_block(in, count, sizeof(lines[0]));
  for (uint32_t i = 0; i < count; i++) {
    uint32_t line = cpython_line(version, table, head[1], head[0], 2ll * i);
    if (line != lines[i] && totals->wrong++ < 10)
      print_error("code at line %u, address %u: line %u, expected %u\n", head[0], 2 * i, line,
                  lines[i]);
    totals->without_line += lines[i] == 0;
  }
  totals->addresses += count;
  totals->codes++;
  free(table);
  free(lines);
  return true;
}

static uint32_t version_of(const char *python) {
  char command[PYTHON_PATH_BYTES + 64];
  unsigned major = 0, minor = 0;
  snprintf(command, sizeof(command), "'%s' -V", python);
  FILE *in = popen(command, "r");
  assert_non_null(in);
  assert_int_equal(fscanf(in, "Python %u.%u", &major, &minor), 2);
  pclose(in);
  return major << 8 | minor;
}

static void test_library(void **state) {
  const char *python = *state;
  char command[PYTHON_PATH_BYTES + 64];
  struct totals totals = {0};
  if (!python) {
    print_message("no such interpreter on this machine\n");
    skip();
  }
  uint32_t version = version_of(python);
  snprintf(command, sizeof(command), "'%s' -W ignore tests/python/dump_lines.py " FILES_MAX,
           python);
  FILE *in = popen(command, "r");
  assert_non_null(in);
  while (check_code(in, version, &totals))
    ;
  assert_int_equal(pclose(in), 0);
  print_message("%s: %llu code objects, %llu addresses (%llu without a line), %llu wrong\n", python,
                (unsigned long long)totals.codes, (unsigned long long)totals.addresses,
                (unsigned long long)totals.without_line, (unsigned long long)totals.wrong);
  assert_true(totals.addresses > 100000);
  assert_int_equal(totals.wrong, 0);
}

/* ---- Edges --------------------------------------------------------------------------------------
 */

#define LINE(version, first_line, address, ...)                                                    \
  cpython_line(version, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}),    \
               first_line, address)

static void test_not_started(void **state) {
  (void)state;
  assert_int_equal(cpython_line(0x030b, NULL, 0, 42, -2), 42);
  assert_int_equal(cpython_line(0x0308, NULL, 0, 42, -1), 42);
}

static void test_no_table(void **state) {
  (void)state;
  assert_int_equal(cpython_line(0x030b, NULL, 16, 42, 0), 0);
  assert_int_equal(cpython_line(0x030b, (const uint8_t *)"", 0, 42, 0), 0);
  assert_int_equal(cpython_line(0x030a, (const uint8_t *)"", 0, 42, 0), 0);
  /* An empty lnotab is that of a function of one line. */
  assert_int_equal(cpython_line(0x0309, (const uint8_t *)"", 0, 42, 6), 42);
}

/* The example of Objects/lnotab_notes.txt (3.9): lines 1, 2, 7 (+5), 207 (+127 +73), 208 at the
 * addresses 0, 6, 50, 350, 361; here from line 1 on. */
static void test_lnotab(void **state) {
  (void)state;
#define NOTES 0, 1, 6, 1, 44, 5, 255, 0, 45, 127, 0, 73, 11, 1
  assert_int_equal(LINE(0x0309, 1, 0, NOTES), 2);
  assert_int_equal(LINE(0x0309, 1, 5, NOTES), 2);
  assert_int_equal(LINE(0x0309, 1, 6, NOTES), 3);
  assert_int_equal(LINE(0x0309, 1, 50, NOTES), 8);
  assert_int_equal(LINE(0x0309, 1, 349, NOTES), 8);
  assert_int_equal(LINE(0x0309, 1, 350, NOTES), 208);
  assert_int_equal(LINE(0x0309, 1, 361, NOTES), 209);
  assert_int_equal(LINE(0x0309, 1, 9999, NOTES), 209);
  assert_int_equal(LINE(0x0308, 10, 4, 4, 0xfe), 8); /* line increments are signed */
  assert_int_equal(LINE(0x0308, 10, 4, 4), 10);      /* half a pair is none */
}

/* 3.10: [0,6) line 2, [6,10) no line, [10,12) line 1. */
static void test_pep626(void **state) {
  (void)state;
#define RANGES 6, 1, 4, 0x80, 2, 0xff
  assert_int_equal(LINE(0x030a, 1, 0, RANGES), 2);
  assert_int_equal(LINE(0x030a, 1, 5, RANGES), 2);
  assert_int_equal(LINE(0x030a, 1, 6, RANGES), 0);
  assert_int_equal(LINE(0x030a, 1, 10, RANGES), 1);
  assert_int_equal(LINE(0x030a, 1, 12, RANGES), 0);
  assert_int_equal(LINE(0x030a, 1, 0, 2, 0x81), 0); /* line -126 */
}

/* 3.11+, one entry of each kind, built by Objects/locations.md. */
static void test_pep657(void **state) {
  (void)state;
#define ENTRIES                                                                                    \
  0x80 | 11 << 3 | 0, 4, 8,    /* one line further, 2 bytes of code */                             \
      0x80 | 3 << 3 | 7, 0x12, /* short form, same line, 16 bytes */                               \
      0x80 | 15 << 3 | 1,      /* no line, 4 bytes */                                              \
      0x80 | 13 << 3 | 0, 0x41,                                                                    \
      0x03, /* without columns: -(0x41 & 63 | 3 << 6) >> 1, odd = minus */                         \
      0x80 | 14 << 3 | 0, 0x0a, 1, 2, 3 /* long form: +5 */
  assert_int_equal(LINE(0x030b, 200, 0, ENTRIES), 201);
  assert_int_equal(LINE(0x030c, 200, 2, ENTRIES), 201);
  assert_int_equal(LINE(0x030d, 200, 17, ENTRIES), 201);
  assert_int_equal(LINE(0x030d, 200, 18, ENTRIES), 0);
  assert_int_equal(LINE(0x030d, 200, 22, ENTRIES), 201 - 96);
  assert_int_equal(LINE(0x030d, 200, 24, ENTRIES), 201 - 96 + 5);
  assert_int_equal(LINE(0x030d, 200, 26, ENTRIES), 0);
}

static void test_hostile(void **state) {
  (void)state;
  assert_int_equal(LINE(0x030b, 5, 0, 0xf0, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f), 0);
  assert_int_equal(LINE(0x030b, 5, 0, 0x01, 0x02, 0x03), 0);
  assert_int_equal(LINE(0x030b, 5, INT64_MAX, 0xd8, 0x01), 0);
  assert_int_equal(LINE(0x030a, UINT32_MAX, 0, 2, 1), 0);
}

int main(void) {
  static char paths[PYTHON_SLOT_COUNT][PYTHON_PATH_BYTES];
  find_pythons(paths);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_not_started),
      cmocka_unit_test(test_no_table),
      cmocka_unit_test(test_lnotab),
      cmocka_unit_test(test_pep626),
      cmocka_unit_test(test_pep657),
      cmocka_unit_test(test_hostile),
      PYTHON_TESTS("library", test_library, paths),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
