/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The arithmetic of sampling, against libm and against streams of blocks with known sums. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sample.h"

static void log_is_libms(void **state) {
  (void)state;
  for (double x = 1e-17; x < 1e17; x *= 1.0173)
    assert_true(fabs(sample_log(x) - log(x)) <= 4e-15 * fmax(1, fabs(log(x))));
  assert_true(sample_log(1) == 0);
}

static void probability_is_expm1(void **state) {
  (void)state;
  for (double mean = 1e-12; mean < 100; mean *= 1.0173) {
    double exact = -expm1(-mean);
    assert_true(fabs(sample_probability(mean) - exact) <= 1e-13 * exact);
  }
}

static void distances_are_exponential(void **state) {
  enum { DRAWS = 200000 };
  uint64_t random = 88172645463325252ull;
  double sum = 0, squares = 0;
  int over = 0;
  (void)state;

  for (int i = 0; i < DRAWS; i++) {
    double distance = (double)sample_distance(&random, 65536) / 65536;
    assert_true(distance > 0);
    sum += distance;
    squares += distance * distance;
    over += distance > 2;
  }
  assert_true(fabs(sum / DRAWS - 1) < 0.01);
  assert_true(fabs(squares / DRAWS - 2) < 0.06); /* E[x²] = 2 */
  assert_true(fabs((double)over / DRAWS - exp(-2)) < 0.004);
}

/* Blocks as an allocator hands them out; each is kept with its probability. */
static void estimate(uint32_t interval, uint64_t bytes, double *blocks_ratio, double *bytes_ratio) {
  enum { BLOCKS = 400000 };
  uint64_t random = 1234567;
  int64_t left = sample_distance(&random, interval);
  double blocks = 0, sum = 0;

  for (uint64_t i = 0; i < BLOCKS; i++) {
    if ((left -= (int64_t)(bytes | 1)) > 0)
      continue;
    struct sample_weight weight =
        sample_weight((void *)(0x7f0000001000 + 16 * i * ((bytes + 31) / 16)), bytes, interval);
    blocks += (double)weight.blocks;
    sum += (double)weight.bytes;
    left = sample_distance(&random, interval);
  }
  *blocks_ratio = blocks / BLOCKS;
  *bytes_ratio = sum / ((double)bytes * BLOCKS);
}

static void estimates_are_unbiased(void **state) {
  static const uint64_t sizes[] = {512, 4000, 65536, 100000, 1000000};
  (void)state;

  for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
    double blocks, bytes;
    estimate(65536, sizes[i], &blocks, &bytes);
    /* The standard error of n kept blocks is 1/sqrt(n) of the sum: 3,000 for the smallest. */
    assert_true(fabs(blocks - 1) < 0.06);
    assert_true(fabs(bytes - 1) < 0.06);
  }
}

static void a_free_takes_off_the_same(void **state) {
  (void)state;
  for (uint64_t i = 1; i < 1000; i++) {
    struct sample_weight one = sample_weight((void *)(i * 16), i * 37, 524288);
    struct sample_weight two = sample_weight((void *)(i * 16), i * 37, 524288);
    assert_int_equal(one.blocks, two.blocks);
    assert_int_equal(one.bytes, two.bytes);
    assert_true(one.blocks >= 1);
  }
}

static void a_large_block_counts_once(void **state) {
  (void)state;
  struct sample_weight weight = sample_weight((void *)0x10, 100ull << 20, 524288);
  assert_int_equal(weight.blocks, 1);
  assert_int_equal(weight.bytes, 100ull << 20);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(log_is_libms),
      cmocka_unit_test(probability_is_expm1),
      cmocka_unit_test(distances_are_exponential),
      cmocka_unit_test(estimates_are_unbiased),
      cmocka_unit_test(a_free_takes_off_the_same),
      cmocka_unit_test(a_large_block_counts_once),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
