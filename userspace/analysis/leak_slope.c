/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The robust slope of a series and its interval. */
#include <math.h>
#include <stdlib.h>

#include "analysis/leak.h"

/* All pairs of this many points are looked at; of more points an even selection is taken. */
#define POINTS_MAX 1000u
#define DISTINCT_MIN 4u
/* A walk of n points returns to its line so slowly that n (1 - correlation) stays below this (the 5
 * % point of Dickey and Fuller's rho with a trend lies at 21). */
#define WALK_RETURN_MIN 35
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

/* The residuals of a line, what their ranks tell, and what that means for the slope. */
struct residuals {
  double *values;
  double *ranks;
  size_t count;
  double rank_variance;
};

static double correlation_of(const struct residuals *residuals, size_t lag) {
  double covariance = 0;
  for (size_t i = 0; i + lag < residuals->count; i++)
    covariance += residuals->ranks[i] * residuals->ranks[i + lag];
  return residuals->rank_variance > 0 ? covariance / residuals->rank_variance : 0;
}

/* By how much serial correlation widens the variance of Kendall's S: Hamed and Rao 1998, over the
 * lags up to the first that is not significant. `bias`: by how much residuals of a fitted line seem
 * less correlated than they are. At least 1. */
static double factor_of(const struct residuals *residuals, double bias) {
  double n = (double)residuals->count, sum = 0;
  for (size_t lag = 1; lag + 2 < residuals->count; lag++) {
    double correlation = correlation_of(residuals, lag) + bias, left = n - (double)lag;
    if (correlation < 1.645 / sqrt(n))
      break;
    sum += left * (left - 1) * (left - 2) * fmin(correlation, 1);
  }
  return 1 + 2 / (n * (n - 1) * (n - 2)) * sum;
}

static double correlation_factor(const struct residuals *residuals) {
  double n = (double)residuals->count;
  double factor = factor_of(residuals, 4 / n);
  return factor_of(residuals, fmin(3 * factor / n, 0.5));
}

/* Residuals that add up (a leak that takes now more, now less, or only now and then) wander off,
 * and their correlation, seen around a fitted line, is far too small. Where they cannot be told
 * from a random walk, the standard error is that of a walk's drift, from steps over a few points:
 * 6/5 of their variance, over the length of the walk. In y over the whole range of x; 0: they can
 * be. */
static double walk_error(const struct residuals *residuals) {
  double n = (double)residuals->count;
  double first = correlation_of(residuals, 1) + 4 / n,
         second = correlation_of(residuals, 2) + 4 / n;
  if (first < 1 / sqrt(n) || (1 - second / first) * n > WALK_RETURN_MIN)
    return 0;
  size_t lag = residuals->count > 16 ? 4 : residuals->count / 4;
  double sum = 0;
  for (size_t i = 0; i + lag < residuals->count; i++) {
    double step = residuals->values[i + lag] - residuals->values[i];
    sum += step * step;
  }
  double variance = sum / ((n - (double)lag) * (double)lag);
  return sqrt(1.2 * variance * n);
}

/* False when memory ran out. */
static bool find_residuals(struct residuals *out, const struct leak_point *points, size_t count,
                           double slope) {
  struct ranked *sorted = calloc(count, sizeof(*sorted));
  *out = (struct residuals){.values = calloc(count, sizeof(double)),
                            .ranks = calloc(count, sizeof(double)),
                            .count = count};
  bool is_good = sorted && out->values && out->ranks;
  for (size_t i = 0; is_good && i < count; i++) {
    out->values[i] = points[i].y - slope * points[i].x;
    sorted[i] = (struct ranked){out->values[i], i};
  }
  if (is_good)
    rank(sorted, count, out->ranks);
  for (size_t i = 0; is_good && i < count; i++)
    out->rank_variance += out->ranks[i] * out->ranks[i];
  free(sorted);
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

/* Sen's interval: the slopes as far from the middle one, in order, as the variance of S allows. */
static void put_interval(struct leak_slope *slope, double *slopes, size_t slope_count,
                         const struct residuals *residuals, double range) {
  double n = (double)residuals->count, middle = (double)slope_count / 2;
  double variance = n * (n - 1) * (2 * n + 5) / 18 * correlation_factor(residuals);
  double half = Z_95 * sqrt(variance) / 2;
  double low = floor(middle - half) - 1, high = ceil(middle + half);
  size_t last = slope_count - 1;
  slope->low = select_value(slopes, slope_count, low > 0 ? (size_t)low : 0);
  slope->high = select_value(slopes, slope_count, high < (double)last ? (size_t)high : last);
  double wandering = Z_95 * walk_error(residuals) / range;
  slope->low = fmin(slope->low, slope->value - wandering);
  slope->high = fmax(slope->high, slope->value + wandering);
}

static bool fit(struct leak_slope *slope, const struct leak_point *points, size_t count) {
  double *slopes = calloc(count * (count - 1) / 2, sizeof(*slopes));
  if (!slopes)
    return false;
  size_t slope_count = put_slopes(slopes, points, count);
  slope->value = median_of(slopes, slope_count);
  struct residuals residuals;
  bool is_good = find_residuals(&residuals, points, count, slope->value);
  if (is_good)
    put_interval(slope, slopes, slope_count, &residuals, points[count - 1].x - points[0].x);
  free(residuals.values);
  free(residuals.ranks);
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
