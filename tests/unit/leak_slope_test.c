/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The slope and its interval, against lines that the test itself drew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "analysis/leak.h"
#include "leak_series.h"

static void put_line(struct leak_point *points, size_t count, double slope) {
  for (size_t i = 0; i < count; i++)
    points[i] = (struct leak_point){(double)i * 0.5 + 7, 1000 + slope * ((double)i * 0.5 + 7)};
}

static void a_line_has_its_slope(void **state) {
  (void)state;
  static const double slopes[] = {0, 64, -64, 1048576, 1e-3};
  struct leak_point points[50];
  struct leak_slope slope;
  for (size_t i = 0; i < 5; i++) {
    put_line(points, 50, slopes[i]);
    assert_true(leak_slope_fit(&slope, points, 50));
    assert_true(fabs(slope.value - slopes[i]) <= 1e-9 * (1 + fabs(slopes[i])));
    assert_true(fabs(slope.low - slopes[i]) <= 1e-6 * (1 + fabs(slopes[i])));
    assert_true(fabs(slope.high - slopes[i]) <= 1e-6 * (1 + fabs(slopes[i])));
  }
}

static void too_few_points_have_none(void **state) {
  (void)state;
  struct leak_slope slope;
  struct leak_point points[8] = {{1, 1}, {2, 2}, {3, 3}, {3, 9}, {3, 8}, {3, 7}, {3, 6}, {4, 4}};
  assert_false(leak_slope_fit(&slope, points, 0));
  assert_false(leak_slope_fit(&slope, points, 3));
  assert_false(leak_slope_fit(&slope, points, 7)); /* three different x */
  assert_true(leak_slope_fit(&slope, points, 8));
}

static int compare(const void *a, const void *b) {
  double left = *(const double *)a, right = *(const double *)b;
  return left < right ? -1 : left > right;
}

/* The definition itself, with qsort. */
static double median_of_slopes(const struct leak_point *points, size_t count) {
  double *slopes = calloc(count * count, sizeof(*slopes));
  size_t n = 0;
  for (size_t i = 0; i < count; i++)
    for (size_t j = 0; j < i; j++)
      if (points[i].x != points[j].x)
        slopes[n++] = (points[i].y - points[j].y) / (points[i].x - points[j].x);
  qsort(slopes, n, sizeof(*slopes), compare);
  double median = n % 2 ? slopes[n / 2] : (slopes[n / 2 - 1] + slopes[n / 2]) / 2;
  free(slopes);
  return median;
}

static void the_value_is_the_median_of_all_slopes(void **state) {
  (void)state;
  struct random_state random = random_of(5);
  struct leak_point points[90];
  struct leak_slope slope;
  for (int run = 0; run < 200; run++) {
    size_t count = 4 + (size_t)(random_unit(&random) * 86);
    double x = 0;
    for (size_t i = 0; i < count; i++) {
      x += i < 4 ? 1 : floor(random_unit(&random) * 3); /* some x are equal */
      points[i] = (struct leak_point){x, floor(random_unit(&random) * 20)};
    }
    assert_true(leak_slope_fit(&slope, points, count));
    double expected = median_of_slopes(points, count);
    assert_true(fabs(slope.value - expected) < 1e-12);
    assert_true(slope.low <= slope.value && slope.value <= slope.high);
  }
}

/* A quarter of the points is nonsense. */
static void outliers_hardly_move_it(void **state) {
  (void)state;
  struct leak_point points[200];
  struct leak_slope slope;
  struct random_state random = random_of(6);
  put_line(points, 200, 64);
  for (size_t i = 0; i < 200; i++)
    points[i].y += i % 4 == 1 ? 1e7 * random_unit(&random) : random_normal(&random);
  assert_true(leak_slope_fit(&slope, points, 200));
  assert_true(fabs(slope.value - 64) < 3);
}

static void many_points_are_thinned(void **state) {
  (void)state;
  static struct leak_point points[20000];
  struct leak_slope slope;
  put_line(points, 20000, 64);
  assert_true(leak_slope_fit(&slope, points, 20000));
  assert_true(fabs(slope.value - 64) < 1e-9);
}

struct coverage {
  const char *noise;
  uint32_t count;
  double correlation; /* 1: a random walk */
  double floor_pct;   /* least share of intervals that hold the truth; nominal is 95 */
};

/* 400 lines under noise for each row, which hold the true slope at least so often. A walk of few
 * points cannot be told from other noise. */
static void intervals_hold_the_truth(void **state) {
  (void)state;
  static const struct coverage rows[] = {
      {"independent", 12, 0, 90},   {"independent", 30, 0, 92},   {"independent", 150, 0, 92},
      {"correlated", 30, 0.5, 90},  {"correlated", 100, 0.5, 90}, {"correlated", 100, 0.8, 90},
      {"correlated", 150, 0.9, 90}, {"walk", 30, 1, 88},          {"walk", 150, 1, 88},
  };
  struct leak_point points[200];
  for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
    int held = 0, runs = 400;
    for (int run = 0; run < runs; run++) {
      struct random_state random = random_of((uint64_t)run * 100 + row);
      double noise = 0, rho = rows[row].correlation;
      for (int i = 0; i < 50 && rho < 1; i++) /* settles */
        noise = rho * noise + sqrt(1 - rho * rho) * random_normal(&random);
      for (uint32_t i = 0; i < rows[row].count; i++) {
        noise = rho * noise + (rho < 1 ? sqrt(1 - rho * rho) : 1) * random_normal(&random);
        points[i] = (struct leak_point){i, 3.0 * i + noise};
      }
      struct leak_slope slope;
      assert_true(leak_slope_fit(&slope, points, rows[row].count));
      held += slope.low <= 3 && 3 <= slope.high;
    }
    print_message("%-12s %3u points, correlation %.1f: %.1f %% hold the truth\n", rows[row].noise,
                  rows[row].count, rows[row].correlation, 100.0 * held / runs);
    assert_true(100.0 * held / runs >= rows[row].floor_pct);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_line_has_its_slope),
      cmocka_unit_test(too_few_points_have_none),
      cmocka_unit_test(the_value_is_the_median_of_all_slopes),
      cmocka_unit_test(outliers_hardly_move_it),
      cmocka_unit_test(many_points_are_thinned),
      cmocka_unit_test(intervals_hold_the_truth),
  };
  return cmocka_run_group_tests_name("leak_slope", tests, NULL, NULL);
}
