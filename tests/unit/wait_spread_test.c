/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The spreading of waits that were not walked: totals are exact, shares follow the time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "capture/wait_spread.h"

#define GIL 3
#define RUN_QUEUE 7

struct seen {
  struct wait_key keys[16];
  struct wait_sum sums[16];
  size_t count;
};

static void note(void *context, const struct wait_key *key, const struct wait_sum *sum) {
  struct seen *seen = context;
  assert_true(seen->count < 16);
  seen->keys[seen->count] = *key;
  seen->sums[seen->count++] = *sum;
}

static const struct wait_sum *sum_of(const struct seen *seen, uint32_t tid, uint64_t stack) {
  for (size_t i = 0; i < seen->count; i++)
    if (seen->keys[i].tid == tid && seen->keys[i].stack == stack)
      return &seen->sums[i];
  return NULL;
}

static void add(struct wait_spread *spread, uint32_t tid, uint32_t reason, uint64_t stack,
                uint64_t count, uint64_t blocked_ns, uint64_t run_queue_ns) {
  wait_spread_add(spread,
                  &(struct wait_key){.stack = stack, .tgid = 1, .tid = tid, .reason = reason},
                  &(struct wait_sum){.count = count,
                                     .blocked_ns = blocked_ns,
                                     .run_queue_ns = run_queue_ns,
                                     .max_ns = blocked_ns});
}

static void test_what_was_walked_stays(void **state) {
  (void)state;
  struct wait_spread *spread = wait_spread_new();
  struct seen seen = {0};
  add(spread, 10, GIL, 100, 4, 4000, 40);
  add(spread, 11, GIL, 101, 5, 5000, 50);
  wait_spread_take(spread, note, &seen);
  assert_int_equal(seen.count, 2);
  assert_int_equal(sum_of(&seen, 10, 100)->blocked_ns, 4000);
  assert_int_equal(sum_of(&seen, 11, 101)->count, 5);
  seen.count = 0;
  wait_spread_take(spread, note, &seen);
  assert_int_equal(seen.count, 0);
  wait_spread_free(spread);
}

static void test_the_rest_follows_the_time_and_totals_are_exact(void **state) {
  (void)state;
  struct wait_spread *spread = wait_spread_new();
  struct seen seen = {0};
  add(spread, 10, GIL, 100, 10, 2999999, 0);
  add(spread, 10, GIL, STACK_NOT_TAKEN, 101, 40000003, 7);
  add(spread, 10, GIL, 200, 10, 999999, 0);
  wait_spread_take(spread, note, &seen);
  assert_int_equal(seen.count, 2);
  const struct wait_sum *a = sum_of(&seen, 10, 100), *b = sum_of(&seen, 10, 200);
  assert_int_equal(a->blocked_ns + b->blocked_ns, 2999999 + 999999 + 40000003);
  assert_int_equal(a->run_queue_ns + b->run_queue_ns, 7);
  assert_int_equal(a->count + b->count, 121);
  double share = (double)a->blocked_ns / (double)(a->blocked_ns + b->blocked_ns);
  assert_true(share > 0.7499 && share < 0.7501);
  wait_spread_free(spread);
}

static void test_threads_and_reasons_are_kept_apart(void **state) {
  (void)state;
  struct wait_spread *spread = wait_spread_new();
  struct seen seen = {0};
  add(spread, 10, RUN_QUEUE, STACK_NOT_TAKEN, 1, 0, 500);
  add(spread, 10, RUN_QUEUE, 300, 1, 0, 50);
  add(spread, 10, GIL, 100, 1, 1000, 0);
  add(spread, 11, GIL, 100, 1, 1000, 0);
  wait_spread_take(spread, note, &seen);
  assert_int_equal(seen.count, 3);
  assert_int_equal(sum_of(&seen, 10, 300)->run_queue_ns, 550);
  assert_int_equal(sum_of(&seen, 10, 100)->blocked_ns, 1000);
  assert_int_equal(sum_of(&seen, 11, 100)->blocked_ns, 1000);
  wait_spread_free(spread);
}

static void test_without_a_walk_the_stack_of_the_time_before_stands_in(void **state) {
  (void)state;
  struct wait_spread *spread = wait_spread_new();
  struct seen seen = {0};
  add(spread, 10, GIL, STACK_NOT_TAKEN, 3, 300, 0);
  wait_spread_take(spread, note, &seen);
  assert_non_null(sum_of(&seen, 10, STACK_NOT_TAKEN)); /* none yet: nothing is made up */
  add(spread, 10, GIL, 100, 1, 10, 0);
  wait_spread_take(spread, note, &seen);
  seen.count = 0;
  add(spread, 10, GIL, STACK_NOT_TAKEN, 3, 300, 0);
  add(spread, 11, GIL, STACK_NOT_TAKEN, 2, 200, 0);
  wait_spread_take(spread, note, &seen);
  assert_int_equal(sum_of(&seen, 10, 100)->blocked_ns, 300);
  assert_int_equal(sum_of(&seen, 11, STACK_NOT_TAKEN)->blocked_ns, 200);
  wait_spread_free(spread);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_was_walked_stays),
      cmocka_unit_test(test_the_rest_follows_the_time_and_totals_are_exact),
      cmocka_unit_test(test_threads_and_reasons_are_kept_apart),
      cmocka_unit_test(test_without_a_walk_the_stack_of_the_time_before_stands_in),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
