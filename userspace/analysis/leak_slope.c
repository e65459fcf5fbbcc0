/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The robust slope of a series and its interval. */
#include <math.h>
#include <stdlib.h>

#include "analysis/leak.h"

/* All pairs of this many points are looked at; of more points an even selection is taken. */
#define POINTS_MAX 1000u
#define DISTINCT_MIN 4u
#define Z_95 1.959963984540054

/* The value that would stand at `k` if `values` were sorted; puts smaller ones before it (Hoare's
 * selection). */
static double select_value(double *values, size_t count, size_t k) {
  size_t low = 0, high = count - 1;
  while (low < high) {
    double pivot = values[low + (high - low) / 2];
    size_t i = low, j = high;
    for (;;) {
      while (values[i] < pivot)
        i++;
      while (values[j] > pivot)
        j--;
      if (i >= j)
        break;
      double swap = values[i];
      values[i++] = values[j];
      values[j--] = swap;
    }
    /* [low, j] ≤ pivot ≤ [j + 1, high], but for i == j, which is the pivot itself */
    if (k <= j)
      high = j;
    else
      low = j + 1;
  }
  return values[k];
}

static double median_of(double *values, size_t count) {
  double upper = select_value(values, count, count / 2);
  return count % 2 ? upper : (select_value(values, count, count / 2 - 1) + upper) / 2;
}

struct ranked {
  double value;
  size_t index;
};

static int compare_ranked(const void *a, const void *b) {
  const struct ranked *left = a, *right = b;
  if (left->value != right->value)
    return left->value < right->value ? -1 : 1;
  return left->index < right->index ? -1 : left->index > right->index;
}

/* Ranks, less their mean; equal values share theirs. */
static void rank(struct ranked *sorted, size_t count, double *ranks) {
  qsort(sorted, count, sizeof(*sorted), compare_ranked);
  for (size_t i = 0, next; i < count; i = next) {
    for (next = i + 1; next < count && sorted[next].value == sorted[i].value;)
      next++;
    for (size_t j = i; j < next; j++)
      ranks[sorted[j].index] = (double)(i + next - 1) / 2 - (double)(count - 1) / 2;
  }
}

/* By how much serial correlation of the residuals widens the variance of Kendall's S: Hamed and Rao
 * 1998, over the lags up to the first that is not significant. At least 1. */
static double correlation_factor(const double *ranks, size_t count) {
  double n = (double)count, variance = 0, sum = 0;
  for (size_t i = 0; i < count; i++)
    variance += ranks[i] * ranks[i];
  if (variance <= 0)
    return 1;
  for (size_t lag = 1; lag + 2 < count; lag++) {
    double covariance = 0, left = n - (double)lag;
    for (size_t i = 0; i + lag < count; i++)
      covariance += ranks[i] * ranks[i + lag];
    /* Ranks of residuals of a fitted line correlate too little, by about 4 / n. */
    double correlation = covariance / variance + 4 / n;
    if (correlation < 1.645 / sqrt(n))
      break;
    sum += left * (left - 1) * (left - 2) * fmin(correlation, 1);
  }
  return 1 + 2 / (n * (n - 1) * (n - 2)) * sum;
}

/* False when memory ran out. */
static bool find_factor(double *factor, const struct leak_point *points, size_t count,
                        double slope) {
  struct ranked *sorted = calloc(count, sizeof(*sorted));
  double *ranks = calloc(count, sizeof(*ranks));
  for (size_t i = 0; sorted && i < count; i++)
    sorted[i] = (struct ranked){points[i].y - slope * points[i].x, i};
  if (sorted && ranks) {
    rank(sorted, count, ranks);
    *factor = correlation_factor(ranks, count);
  }
  bool is_good = sorted && ranks;
  free(sorted);
  free(ranks);
  return is_good;
}

/* The slopes between all points of different x; their number. */
static size_t put_slopes(double *slopes, const struct leak_point *points, size_t count) {
  size_t slope_count = 0;
  for (size_t i = 0; i < count; i++)
    for (size_t j = i + 1; j < count; j++)
      if (points[j].x > points[i].x)
        slopes[slope_count++] = (points[j].y - points[i].y) / (points[j].x - points[i].x);
  return slope_count;
}

static bool fit(struct leak_slope *slope, const struct leak_point *points, size_t count) {
  double *slopes = calloc(count * (count - 1) / 2, sizeof(*slopes));
  if (!slopes)
    return false;
  size_t slope_count = put_slopes(slopes, points, count);
  slope->value = median_of(slopes, slope_count);
  double factor = 1, n = (double)count;
  bool is_good = find_factor(&factor, points, count, slope->value);
  double half = Z_95 * sqrt(n * (n - 1) * (2 * n + 5) / 18 * factor) / 2;
  double middle = (double)slope_count / 2;
  double low = floor(middle - half) - 1, high = ceil(middle + half);
  slope->low = select_value(slopes, slope_count, low > 0 ? (size_t)low : 0);
  slope->high = select_value(slopes, slope_count,
                             high < (double)slope_count ? (size_t)high : slope_count - 1);
  free(slopes);
  return is_good;
}

bool leak_slope_fit(struct leak_slope *slope, const struct leak_point *points, size_t count) {
  size_t distinct = count > 0;
  for (size_t i = 1; i < count && distinct < DISTINCT_MIN; i++)
    distinct += points[i].x > points[i - 1].x;
  if (distinct < DISTINCT_MIN)
    return false;
  if (count <= POINTS_MAX)
    return fit(slope, points, count);
  struct leak_point *some = calloc(POINTS_MAX, sizeof(*some));
  if (!some)
    return false;
  for (size_t i = 0; i < POINTS_MAX; i++)
    some[i] = points[i * (count - 1) / (POINTS_MAX - 1)];
  bool is_good = fit(slope, some, POINTS_MAX);
  free(some);
  return is_good;
}
