/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Timed calls: percentiles of histograms whose content is known, sums over processes, slow calls by
 * stack. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/calls.h"
#include "handmade.h"
#include "region.h"

static struct handmade made;

static void expect_near(uint64_t actual, double expected, double tolerance) {
  if ((double)actual < expected * (1 - tolerance) || (double)actual > expected * (1 + tolerance))
    fail_msg("expected about %.0f, got %llu", expected, (unsigned long long)actual);
}

/* 1 to 10,000 µs, each once, in the buckets that the shim itself chooses. */
static void percentiles_are_right_to_a_sixteenth(void **state) {
  uint64_t buckets[TRACE_BUCKETS] = {0};
  (void)state;
  _Static_assert(TRACE_BUCKETS == REGION_BUCKETS, "one histogram");
  for (uint64_t us = 1; us <= 10000; us++)
    buckets[region_histogram_bucket(us * NS_PER_US)]++;
  for (int pct = 1; pct <= 100; pct++)
    expect_near(calls_percentile_ns(buckets, pct / 100.0, 10000 * NS_PER_US), pct * 1e5, 1 / 15.0);
}

static void percentiles_of_the_ends(void **state) {
  uint64_t buckets[TRACE_BUCKETS] = {0};
  (void)state;
  assert_int_equal(calls_percentile_ns(buckets, 0.5, 7), 0);
  buckets[0] = 1;
  assert_in_range(calls_percentile_ns(buckets, 0.5, 60), 1, 60);
  assert_int_equal(calls_percentile_ns(buckets, 0.5, 20), 20); /* never above the longest */
  buckets[0] = 0;
  buckets[TRACE_BUCKETS - 1] = 1; /* open: only the longest is known */
  assert_int_equal(calls_percentile_ns(buckets, 0.99, 90 * NS_PER_S), 90 * NS_PER_S);
}

static void add_call(const char *name, uint64_t count, uint64_t total_ns, uint64_t max_ns) {
  struct profile_call *call = &made.calls[made.profile.call_count++];
  *call = (struct profile_call){.process = made.profile.process_count - 1,
                                .name = name,
                                .count = count,
                                .errors = 1,
                                .bytes = 10 * count,
                                .total_ns = total_ns,
                                .max_ns = max_ns};
  call->buckets[region_histogram_bucket(max_ns)] = count;
}

static void build(struct calls *calls) {
  struct stacks stacks = {0};
  uint64_t weights_ns[HANDMADE_MAX] = {0};
  assert_int_equal(stacks_build(&stacks, &made.profile, weights_ns), 0);
  assert_int_equal(calls_build(calls, &made.profile, &stacks), 0);
  stacks_fini(&stacks);
}

static void processes_are_added_up(void **state) {
  char read_again[] = "read"; /* equal, not the same */
  struct calls calls;
  (void)state;
  handmade_init(&made, 0);
  handmade_process(&made, 1, "a", "");
  add_call("read", 3, 3000, 2000);
  add_call("write", 9, 90000, 50000);
  add_call("fsync", 0, 0, 0); /* never called */
  handmade_process(&made, 2, "b", "");
  add_call(read_again, 1, 8000, 8000);
  build(&calls);
  assert_int_equal(calls.sum_count, 2);
  assert_string_equal(calls.sums[0].name, "write");
  assert_int_equal(calls.sums[1].count, 4);
  assert_int_equal(calls.sums[1].errors, 2);
  assert_int_equal(calls.sums[1].bytes, 40);
  assert_int_equal(calls.sums[1].total_ns, 11000);
  assert_int_equal(calls.sums[1].max_ns, 8000);
  expect_near(calls.sums[1].p50_ns, 2000, 1 / 15.0);
  expect_near(calls.sums[1].p99_ns, 8000, 1 / 15.0);
  calls_fini(&calls);
}

/* Two lines of one function are one stack, shown with the line of the longest call. */
static void slow_calls_are_added_up_by_stack(void **state) {
  struct calls calls;
  (void)state;
  handmade_init(&made, 0);
  uint32_t function = handmade_function(&made, FRAME_PYTHON, "f", "f.py", "", 1);
  uint32_t other = handmade_function(&made, FRAME_PYTHON, "g", "f.py", "", 9);
  uint32_t nodes[] = {handmade_call(&made, PROFILE_NONE, function, 2),
                      handmade_call(&made, PROFILE_NONE, function, 3),
                      handmade_call(&made, PROFILE_NONE, other, 10)};
  for (uint32_t i = 0; i < 6; i++)
    made.slow_calls[made.profile.slow_call_count++] =
        (struct profile_slow_call){.time_ns = i,
                                   .duration_ns = (1 + i) * NS_PER_MS,
                                   .result = i == 5 ? -5 : 100,
                                   .node = nodes[i % 3],
                                   .name = "read"};
  build(&calls);
  assert_int_equal(calls.slow_count, 2);
  const struct call_slow *first = &calls.slow[0]; /* calls 0, 1, 3, 4 */
  assert_int_equal(first->total_ns, (1 + 2 + 4 + 5) * NS_PER_MS);
  assert_int_equal(first->count, 4);
  assert_int_equal(first->bytes, 400);
  assert_int_equal(first->max_ns, 5 * NS_PER_MS);
  assert_int_equal(first->max_time_ns, 4);
  assert_int_equal(first->node, nodes[1]);
  assert_int_equal(calls.slow[1].count, 2);
  assert_int_equal(calls.slow[1].errors, 1);
  assert_int_equal(calls.slow[1].bytes, 100);
  calls_fini(&calls);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(percentiles_are_right_to_a_sixteenth),
      cmocka_unit_test(percentiles_of_the_ends),
      cmocka_unit_test(processes_are_added_up),
      cmocka_unit_test(slow_calls_are_added_up_by_stack),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
