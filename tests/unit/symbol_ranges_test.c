/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The range index against painting every range onto an array. */
#include "symbol_support.h"

#include "symbol/ranges.h"

#define SPAN 600
#define NOBODY UINT32_MAX

static void check_against_painting(uint32_t count, unsigned seed) {
  uint32_t painted[SPAN];
  uint64_t best[SPAN] = {0};
  struct ranges ranges = {0};
  memset(painted, 0xff, sizeof(painted));
  srandom(seed);
  for (uint32_t id = 0; id < count; id++) {
    uint64_t low = (uint64_t)random() % SPAN;
    uint64_t high = low + (uint64_t)random() % (1 + (uint64_t)random() % (SPAN - low));
    uint64_t priority = (uint64_t)random() % 5;
    assert_int_equal(ranges_add(&ranges, low, high, priority, id), 0);
    for (uint64_t at = low; at < high; at++)
      if (painted[at] == NOBODY || priority >= best[at]) {
        painted[at] = id;
        best[at] = priority;
      }
  }
  assert_int_equal(ranges_build(&ranges), 0);
  for (uint64_t at = 0; at < SPAN; at++) {
    uint32_t id = NOBODY;
    assert_int_equal(ranges_find(&ranges, at, &id), painted[at] != NOBODY);
    assert_int_equal(id, painted[at]);
  }
  ranges_fini(&ranges);
}

static void answers_like_painting(void **state) {
  (void)state;
  for (unsigned seed = 0; seed < 300; seed++)
    check_against_painting(seed % 40, seed);
}

static void reaches_the_end_of_the_address_space(void **state) {
  (void)state;
  struct ranges ranges = {0};
  uint32_t id;
  assert_int_equal(ranges_add(&ranges, UINT64_MAX - 16, UINT64_MAX, 1, 3), 0);
  assert_int_equal(ranges_add(&ranges, 8, 8, 1, 4), 0); /* empty */
  assert_int_equal(ranges_build(&ranges), 0);
  assert_true(ranges_find(&ranges, UINT64_MAX - 1, &id));
  assert_int_equal(id, 3);
  assert_false(ranges_find(&ranges, UINT64_MAX, &id));
  assert_false(ranges_find(&ranges, 8, &id));
  ranges_fini(&ranges);
}

static void finds_nothing_in_nothing(void **state) {
  (void)state;
  struct ranges ranges = {0};
  uint32_t id;
  assert_int_equal(ranges_build(&ranges), 0);
  assert_false(ranges_find(&ranges, 0, &id));
  ranges_fini(&ranges);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(answers_like_painting),
      cmocka_unit_test(reaches_the_end_of_the_address_space),
      cmocka_unit_test(finds_nothing_in_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
