/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Judges one series of live bytes: what of it is warm-up, how fast the rest grows, and whether that
 * is a leak. A claim needs growth that is significant, large against the noise, present in every
 * part of the series, not slowing down and not over. */
#include "analysis/leak_judge.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

/* Growth below this is not worth a word. */
#define GROWTH_BYTES_MIN 1024.0
#define GROWTH_QUANTA_MIN 8.0 /* sampled: the samples that must have been added */
#define GROWTH_NOISES_MIN 4.0 /* against the standard deviation around the line */
#define Z_95 1.959963984540054
#define Z_CLAIM 3.29 /* 99.9 %: hundreds of stacks are judged at once */
#define CORRELATION_MAX 0.9
/* Fewer points must have grown by this many standard errors of a random walk. */
#define WALK_POINTS 64u
#define WALK_Z 4.0
/* A least squares slope of fewer standard errors gets a cursory look, at so many points. */
#define CLOSE_LOOK_Z 2.0
#define CURSORY_POINTS 100u
/* Points at the start that lie this many standard errors off the line are still warm-up. */
#define OFF_LINE_Z 2.0
/* Points at the end that lie this many below it, and miss this share of their growth: it is over.
 */
#define BELOW_LINE_Z 3.0
#define BELOW_LINE_GROWTH 0.25
/* The last eighth must have grown by this share of what the slope says. */
#define END_GROWTH_MIN 0.35
/* A series is cut into parts; each must have grown by this share of their mean. */
#define PARTS_MIN 4u
#define PARTS_MAX 8u
#define PART_GROWTH_MIN 0.2
/* Growth slows down when the second half's slope is below this share of the first's, by more than
 * this many standard errors; and is over below the second figure. */
#define SLOWING_RATIO 0.8
#define SLOWING_Z 1.5
#define STOPPED_RATIO 0.25
/* A cache has grown by this share of its level while it was watched, and replaces this share of its
 * blocks, at least, while it is full. */
#define CACHE_GROWTH_MIN 0.1
#define CHURN_MIN 0.005

/* A series on its way to a verdict. */
struct shape {
  const struct leak_point *all; /* from the start */
  size_t all_count;
  const struct leak_point *points; /* after the warm-up */
  size_t count;
  const struct leak_moment *moments; /* of the same points */
  struct leak_slope slope;
  double quantum_bytes;
  bool is_close;  /* all points are looked at */
  double growth;  /* over the points, by the slope */
  double noise;   /* standard deviation around the line */
  double *values; /* scratch for `all_count` */
};

/* ---- Small statistics ------------------------------------------------------------------------ */

static int compare_doubles(const void *a, const void *b) {
  double left = *(const double *)a, right = *(const double *)b;
  return left < right ? -1 : left > right;
}

/* The value below which the share `q` of the values lies; sorts them. */
static double quantile(double *values, size_t count, double q) {
  qsort(values, count, sizeof(*values), compare_doubles);
  return values[(size_t)(q * (double)(count - 1) + 0.5)];
}

static double quantile_of_points(const struct shape *shape, const struct leak_point *points,
                                 size_t count, double q) {
  for (size_t i = 0; i < count; i++)
    shape->values[i] = points[i].y;
  return quantile(shape->values, count, q);
}

/* Of the residuals around the slope's line: 1.4826 times the median of their distances from their
 * median, the standard deviation where they are normal. */
static double noise_of(const struct shape *shape) {
  double *values = shape->values;
  for (size_t i = 0; i < shape->count; i++)
    values[i] = shape->points[i].y - shape->slope.value * shape->points[i].x;
  double middle = quantile(values, shape->count, 0.5);
  for (size_t i = 0; i < shape->count; i++)
    values[i] = fabs(values[i] - middle);
  return 1.4826 * quantile(values, shape->count, 0.5);
}

static double z_of(const struct leak_slope *slope) {
  double error = (slope->high - slope->low) / (2 * Z_95);
  return error > 0 ? slope->value / error : slope->value ? copysign(INFINITY, slope->value) : 0;
}

/* ---- Warm-up --------------------------------------------------------------------------------- */

/* Sums over the points from one to the last, relative to the last. */
struct sums {
  double n, x, y, xx, xy, yy;
};

/* The squared standard error of the least squares slope, up to a constant. */
static double error_of(const struct sums *sums, double tiny) {
  double xx = sums->xx - sums->x * sums->x / sums->n;
  double xy = sums->xy - sums->x * sums->y / sums->n;
  double yy = sums->yy - sums->y * sums->y / sums->n;
  double rest = xx > 0 ? yy - xy * xy / xx : yy;
  return xx > 0 ? (fmax(rest, 0) / (sums->n - 2) + tiny) / xx : INFINITY;
}

/* A least squares line, and what is known of the points around it. */
struct line {
  double n, x, y; /* count, means */
  double xx;      /* sum of squares around the mean */
  double slope;
  double variance; /* around the line, of a mean's worth of points: more where they correlate */
};

static struct line fit_line(const struct leak_point *points, size_t count) {
  struct line line = {.n = (double)count};
  double xy = 0, rest = 0, product = 0, last = 0;
  for (size_t i = 0; i < count; i++) {
    line.x += points[i].x / line.n;
    line.y += points[i].y / line.n;
  }
  for (size_t i = 0; i < count; i++) {
    line.xx += (points[i].x - line.x) * (points[i].x - line.x);
    xy += (points[i].x - line.x) * (points[i].y - line.y);
  }
  line.slope = line.xx > 0 ? xy / line.xx : 0;
  for (size_t i = 0; i < count; i++) {
    double residual = points[i].y - line.y - line.slope * (points[i].x - line.x);
    rest += residual * residual;
    product += i ? residual * last : 0;
    last = residual;
  }
  double correlation = rest > 0 ? fmin(fmax(product / rest, 0), CORRELATION_MAX) : 0;
  line.variance = rest / (line.n - 2) * (1 + correlation) / (1 - correlation);
  return line;
}

/* How far the mean of some points lies above the line, and how many standard errors that is. */
static double height_above(const struct line *line, const struct leak_point *points, size_t count,
                           double *z) {
  double n = (double)count, height = 0, x = 0;
  for (size_t i = 0; i < count; i++) {
    x += (points[i].x - line->x) / n;
    height += (points[i].y - line->y - line->slope * (points[i].x - line->x)) / n;
  }
  double tiny = 1e-12 * line->slope * line->slope * line->xx; /* differences of rounding */
  *z = height / sqrt(line->variance * (1 / n + 1 / line->n + x * x / line->xx) + tiny);
  return height;
}

/* A twelfth of the points, which the line through the others is held against. */
static size_t twelfth_of(size_t count) {
  return count / 12 > 2 ? count / 12 : 2;
}

static bool begins_off_line(const struct leak_point *points, size_t count) {
  size_t first = twelfth_of(count);
  struct line line = fit_line(points + first, count - first);
  double z;
  height_above(&line, points, first, &z);
  return fabs(z) > OFF_LINE_Z;
}

/* The marginal standard error rule of simulation (White 1997, "An effective truncation heuristic
 * for bias reduction in simulation output"), applied to a slope: of all cuts up to the middle, the
 * one that leaves the least standard error; what a longer rest gains and what a bent start costs
 * are weighed against each other. As much again as a quarter of it is left out for safety. */
size_t leak_find_warmup(const struct leak_point *points, size_t count) {
  if (count < LEAK_POINTS_MIN)
    return 0;
  size_t cut_max =
      count - LEAK_POINTS_MIN < count * 3 / 5 ? count - LEAK_POINTS_MIN : count * 3 / 5;
  const struct leak_point *last = &points[count - 1];
  double range = 0;
  for (size_t i = 0; i < count; i++)
    range = fmax(range, fabs(points[i].y - last->y));
  double tiny = range * range * 1e-12; /* below it, differences are those of rounding */
  double least = INFINITY;
  size_t cut = 0;
  struct sums sums = {0};
  for (size_t i = count; i-- > 0;) {
    double x = points[i].x - last->x, y = points[i].y - last->y;
    sums = (struct sums){sums.n + 1,      sums.x + x,      sums.y + y,
                         sums.xx + x * x, sums.xy + x * y, sums.yy + y * y};
    if (i > cut_max)
      continue;
    double error = error_of(&sums, tiny);
    if (error <= least) {
      least = error;
      cut = i;
    }
  }
  cut += cut / 4;
  while (cut < cut_max && begins_off_line(points + cut, count - cut))
    cut += twelfth_of(count - cut);
  return cut < cut_max ? cut : cut_max;
}

/* ---- Claims ---------------------------------------------------------------------------------- */

static double growth_min(const struct shape *shape) {
  return fmax(GROWTH_BYTES_MIN, GROWTH_QUANTA_MIN * shape->quantum_bytes);
}

/* Whether growth is more than steps of this size would add up to by chance. That residuals wander
 * cannot be seen in a few points, so few points have to stand this as well. */
static bool is_more_than_a_walk(const struct shape *shape) {
  double sum = 0;
  if (shape->count >= WALK_POINTS)
    return true;
  for (size_t i = 1; i < shape->count; i++) {
    const struct leak_point *from = &shape->points[i - 1], *to = &shape->points[i];
    double off = to->y - from->y - shape->slope.value * (to->x - from->x);
    sum += off * off;
  }
  return shape->growth >= WALK_Z * sqrt(sum);
}

static bool is_significant(const struct shape *shape) {
  return shape->slope.low > 0 && z_of(&shape->slope) >= Z_CLAIM &&
         shape->growth >= fmax(growth_min(shape), GROWTH_NOISES_MIN * shape->noise) &&
         is_more_than_a_walk(shape);
}

/* The floor (lower quartile) of every part lies above that of the part before: growth in a few
 * steps is no steady growth. */
static bool grows_in_every_part(const struct shape *shape) {
  double floors[PARTS_MAX] = {0};
  size_t parts = shape->count / 4;
  parts = parts < PARTS_MIN ? PARTS_MIN : parts > PARTS_MAX ? PARTS_MAX : parts;
  for (size_t i = 0; i < parts; i++) {
    size_t first = i * shape->count / parts, last = (i + 1) * shape->count / parts;
    floors[i] = quantile_of_points(shape, shape->points + first, last - first, 0.25);
  }
  double mean = (floors[parts - 1] - floors[0]) / (double)(parts - 1);
  for (size_t i = 1; i < parts; i++)
    if (mean <= 0 || floors[i] - floors[i - 1] < PART_GROWTH_MIN * mean)
      return false;
  return true;
}

/* The slope of the second half against the first's, and the standard error of that ratio. 1 and
 * INFINITY where it cannot be told. */
static double ratio_of_halves(const struct leak_point *points, size_t count, double *error) {
  struct leak_slope first, second;
  *error = INFINITY;
  if (!leak_slope_fit(&first, points, count / 2) ||
      !leak_slope_fit(&second, points + count / 2, count - count / 2) || first.value <= 0)
    return 1;
  *error = hypot(first.high - first.low, second.high - second.low) / (2 * Z_95 * first.value);
  return second.value / first.value;
}

/* Whether the last twelfth of the points lies below the line through the others, as it does when
 * half of it or more did not grow. */
static bool ends_below_line(const struct shape *shape) {
  size_t before = shape->count - twelfth_of(shape->count);
  const struct leak_point *end = shape->points + shape->count - 1;
  struct line line = fit_line(shape->points, before);
  double z, height = height_above(&line, shape->points + before, shape->count - before, &z);
  double expected = line.slope * (end->x - shape->points[before - 1].x);
  return z < -BELOW_LINE_Z && height < -BELOW_LINE_GROWTH * expected;
}

/* Whether the last eighth of the points grew by much less than the slope says. */
static bool ends_in_plateau(const struct shape *shape) {
  size_t eighth = shape->count / 8 > 3 ? shape->count / 8 : 3;
  const struct leak_point *last = shape->points + shape->count - eighth;
  double growth = quantile_of_points(shape, last, eighth, 0.5) -
                  quantile_of_points(shape, last - eighth, eighth, 0.5);
  return growth < END_GROWTH_MIN * shape->slope.value * (last->x - (last - eighth)->x);
}

/* Whether there was no new maximum, at the end, for longer than twice the longest time before. */
static bool ends_without_maximum(const struct shape *shape) {
  double top = shape->points[0].y;
  size_t longest = 1, since = 0;
  for (size_t i = 1; i < shape->count; i++) {
    since++;
    if (shape->points[i].y <= top)
      continue;
    top = shape->points[i].y;
    longest = since > longest ? since : longest;
    since = 0;
  }
  return since >= 3 && since > 2 * longest;
}

/* Whether blocks come and go while the level stands: a cache that replaces. `from` is an index. */
static bool is_churning(const struct shape *shape, size_t from) {
  const struct leak_moment *first = &shape->moments[from];
  const struct leak_moment *last = &shape->moments[shape->count - 1];
  double before = shape->moments[0].allocations;
  return last->allocations - first->allocations > fmax(CHURN_MIN * before, 2);
}

/* Falls that are few and deep, rises that are many and small, and no floor that rises: what a
 * garbage collector does. */
static bool is_sawtooth(const struct shape *shape) {
  double rises = 0, falls = 0, deepest = 0, low = INFINITY, high = -INFINITY;
  for (size_t i = 0; i < shape->count; i++) {
    double step = i ? shape->points[i].y - shape->points[i - 1].y : 0;
    rises += step > 0;
    falls += step < 0;
    deepest = fmax(deepest, -step);
    low = fmin(low, shape->points[i].y);
    high = fmax(high, shape->points[i].y);
  }
  return falls >= 1 && rises >= 2 * falls && rises >= 4 && deepest >= 0.4 * (high - low) &&
         high - low >= growth_min(shape);
}

/* By how much the series rose to its level; 0 when that is within the noise, or was in a few steps.
 */
static double risen_to_level(const struct shape *shape) {
  double level = quantile_of_points(shape, shape->points, shape->count, 0.5);
  double risen = level - shape->all[0].y;
  size_t steps = 0;
  for (size_t i = 1; i < shape->all_count; i++)
    steps += shape->all[i].y > shape->all[i - 1].y;
  bool has_risen = risen >= fmax(growth_min(shape), GROWTH_NOISES_MIN * shape->noise) &&
                   risen >= CACHE_GROWTH_MIN * level && steps >= 4;
  return has_risen ? risen : 0;
}

/* ---- Verdict --------------------------------------------------------------------------------- */

/* Whether growth slows down. After a long warm-up, which may have been the start of a cache's
 * filling, it must be sure that it does not. */
static bool is_slowing(const struct shape *shape, double ratio, double error) {
  bool is_long_warmup = shape->count < shape->all_count * 7 / 10;
  return is_long_warmup ? ratio - error < SLOWING_RATIO
                        : ratio + SLOWING_Z * error < 1 && ratio < SLOWING_RATIO;
}

/* Whether the slope is but a small part of what the growth was on the average of all points. */
static bool is_nearly_full(const struct shape *shape) {
  const struct leak_point *first = &shape->all[0], *last = &shape->all[shape->all_count - 1];
  return shape->slope.value < STOPPED_RATIO * (last->y - first->y) / (last->x - first->x);
}

static enum leak_verdict judge_growth(const struct shape *shape) {
  double error, ratio = ratio_of_halves(shape->points, shape->count, &error);
  bool slows = is_slowing(shape, ratio, error);
  bool has_stopped =
      ends_below_line(shape) || ends_in_plateau(shape) || ends_without_maximum(shape);
  if (has_stopped || (slows && (ratio < STOPPED_RATIO || is_nearly_full(shape))))
    return is_churning(shape, shape->count - shape->count / 8 - 1) ? LEAK_CACHE : LEAK_TOO_SHORT;
  if (!grows_in_every_part(shape))
    return is_sawtooth(shape) ? LEAK_DEFERRED : LEAK_TOO_SHORT;
  return slows ? LEAK_TOO_SHORT : LEAK_LEAK;
}

static enum leak_verdict judge_level(const struct shape *shape) {
  if (is_sawtooth(shape))
    return LEAK_DEFERRED;
  double risen = risen_to_level(shape);
  if (!risen || !is_churning(shape, shape->count / 2))
    return LEAK_FLAT;
  return shape->growth < STOPPED_RATIO * risen ? LEAK_CACHE : LEAK_TOO_SHORT;
}

/* More points make a verdict surer; an interval that is wide against its slope, a leak less so. */
static double confidence_of(const struct leak_judgement *judgement,
                            const struct leak_slope *slope) {
  double n = (double)judgement->used, evidence = n / (n + LEAK_POINTS_MIN);
  if (judgement->verdict == LEAK_TOO_SHORT)
    return 0;
  if (judgement->verdict != LEAK_LEAK)
    return evidence;
  return evidence * (1 - fmin((slope->high - slope->low) / (2 * slope->value), 1) / 2);
}

/* An estimate from k samples is known to 1 / sqrt(k) of itself, however smooth it looks. */
static void widen(struct leak_slope *slope, double growth, double quantum_bytes) {
  if (quantum_bytes <= 0 || growth <= 0)
    return;
  double error = Z_95 * slope->value * sqrt(quantum_bytes / growth);
  slope->low = slope->value - hypot(slope->value - slope->low, error);
  slope->high = slope->value + hypot(slope->high - slope->value, error);
}

/* Puts the series over an axis to `points`, with the moments that they stand for; of moments of
 * equal x the lowest is taken, since what lives only within an iteration is no growth. */
static size_t put_points(struct leak_point *points, struct leak_moment *kept,
                         const struct leak_moment *moments, size_t count, enum leak_axis axis) {
  size_t put = 0;
  for (size_t i = 0; i < count; i++) {
    double x = axis == AXIS_SECONDS ? (double)(moments[i].time_ns - moments[0].time_ns) / 1e9
                                    : moments[i].iterations - moments[0].iterations;
    if (put && x <= points[put - 1].x) {
      if (moments[i].bytes < points[put - 1].y) {
        points[put - 1].y = moments[i].bytes;
        kept[put - 1] = moments[i];
      }
      continue;
    }
    points[put] = (struct leak_point){x, moments[i].bytes};
    kept[put++] = moments[i];
  }
  return put;
}

/* Whether the least squares line rises enough to be looked at closely. */
static bool may_grow(const struct shape *shape) {
  struct line line = fit_line(shape->points, shape->count);
  double range = shape->points[shape->count - 1].x - shape->points[0].x;
  return line.slope * sqrt(line.xx) > CLOSE_LOOK_Z * sqrt(line.variance) &&
         line.slope * range > growth_min(shape) / 2;
}

/* The slope; over an even selection of the points where a close look is not worth its time, which
 * grows with the square of their number. */
static bool fit_slope(struct leak_slope *slope, const struct leak_point *points, size_t count,
                      bool is_close) {
  struct leak_point some[CURSORY_POINTS];
  if (is_close || count <= CURSORY_POINTS)
    return leak_slope_fit(slope, points, count);
  for (size_t i = 0; i < CURSORY_POINTS; i++)
    some[i] = points[i * (count - 1) / (CURSORY_POINTS - 1)];
  return leak_slope_fit(slope, some, CURSORY_POINTS);
}

/* The slope over the other axis, of the moments from a time on. */
static bool fit_other(struct leak_slope *slope, struct leak_point *points, struct leak_moment *kept,
                      const struct leak_moment *moments, size_t count, enum leak_axis axis,
                      uint64_t from_ns, bool is_close) {
  size_t first = 0;
  while (first < count && moments[first].time_ns < from_ns)
    first++;
  size_t put = put_points(points, kept, moments + first, count - first, axis);
  return put >= LEAK_POINTS_MIN && fit_slope(slope, points, put, is_close);
}

/* A warm-up fades out, and no cut leaves nothing of it. So the interval covers the slope of a later
 * start as well. */
static void cover_later_start(struct leak_slope *slope, const struct shape *shape) {
  struct leak_slope later;
  size_t third = shape->count / 3;
  if (shape->count == shape->all_count ||
      !fit_slope(&later, shape->points + third, shape->count - third, shape->is_close))
    return;
  slope->low = fmin(slope->low, later.low);
  slope->high = fmax(slope->high, later.high);
}

static void judge_shape(struct leak_judgement *out, struct shape *shape, enum leak_axis by) {
  size_t cut = leak_find_warmup(shape->all, shape->all_count);
  shape->points = shape->all + cut;
  shape->moments += cut;
  shape->count = shape->all_count - cut;
  out->used = shape->count;
  double first = shape->all[0].y, last = shape->all[shape->all_count - 1].y;
  bool has_grown = last - first >= growth_min(shape);
  out->verdict = has_grown ? LEAK_TOO_SHORT : LEAK_FLAT;
  if (shape->count < LEAK_POINTS_MIN)
    return;
  shape->is_close = may_grow(shape);
  if (!fit_slope(&shape->slope, shape->points, shape->count, shape->is_close))
    return;
  shape->growth = shape->slope.value * (shape->points[shape->count - 1].x - shape->points[0].x);
  shape->noise = noise_of(shape);
  cover_later_start(&shape->slope, shape);
  widen(&shape->slope, shape->growth, shape->quantum_bytes);
  out->has_slope[by] = true;
  out->slope[by] = shape->slope;
  out->verdict = is_significant(shape) ? judge_growth(shape) : judge_level(shape);
}

int leak_judge(struct leak_judgement *out, const struct leak_moment *moments, size_t count,
               enum leak_axis by, double quantum_bytes) {
  *out = (struct leak_judgement){.verdict = LEAK_FLAT};
  if (!count)
    return 0;
  struct leak_point *points = calloc(count, sizeof(*points));
  struct leak_moment *kept = calloc(count, sizeof(*kept));
  double *values = calloc(count, sizeof(*values));
  if (points && kept && values) {
    struct shape shape = {
        .all = points, .moments = kept, .values = values, .quantum_bytes = quantum_bytes};
    shape.all_count = put_points(points, kept, moments, count, by);
    judge_shape(out, &shape, by);
    uint64_t from_ns = shape.moments->time_ns;
    while (out->warmup < count && moments[out->warmup].time_ns < from_ns)
      out->warmup++;
    out->confidence = confidence_of(out, &shape.slope);
    enum leak_axis other = by == AXIS_SECONDS ? AXIS_ITERATIONS : AXIS_SECONDS;
    out->has_slope[other] =
        fit_other(&out->slope[other], points, kept, moments, count, other, from_ns, shape.is_close);
    if (out->has_slope[other])
      widen(&out->slope[other], shape.growth, quantum_bytes);
  }
  bool is_good = points && kept && values;
  free(points);
  free(kept);
  free(values);
  return is_good ? 0 : -ENOMEM;
}
