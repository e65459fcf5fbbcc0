/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The arithmetic of sampling. */
#include <string.h>

#include "sample.h"

#define LN2 0.69314718055994530942

/* x = m * 2^e with m in [sqrt(1/2), sqrt(2)); ln m = 2 atanh((m - 1) / (m + 1)), whose argument is
 * under 0.172: nine terms of the series leave less than 1e-15. */
double sample_log(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof(bits));
  int exponent = (int)(bits >> 52) - 1023;
  bits = (bits & ((1ull << 52) - 1)) | 1023ull << 52;
  double m;
  memcpy(&m, &bits, sizeof(m));
  if (m > 1.41421356237309504880) {
    m /= 2;
    exponent++;
  }

  double ratio = (m - 1) / (m + 1);
  double square = ratio * ratio;
  double sum = 0;
  for (int term = 19; term >= 1; term -= 2)
    sum = sum * square + 1.0 / term;
  return 2 * ratio * sum + exponent * LN2;
}

/* expm1(-r) for r in (0, 1/4] by its series, then the doublings that lead to `mean`:
 * with f = -expm1(-r), -expm1(-2r) = f (2 - f). Keeps its relative precision down to tiny means. */
double sample_probability(double mean) {
  int doublings = 0;

  if (mean > 40)
    return 1;
  for (; mean > 0.25; mean /= 2)
    doublings++;
  double sum = 0;
  for (int term = 12; term >= 1; term--)
    sum = mean / term * (1 - sum);
  while (doublings--)
    sum *= 2 - sum;
  return sum;
}

int64_t sample_distance(uint64_t *random, uint32_t interval_bytes) {
  uint64_t x = *random;

  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  *random = x;
  double uniform = (double)((x >> 11) + 1) * (1.0 / 9007199254740993.0); /* 2^53 + 1: in (0, 1) */
  return (int64_t)(-sample_log(uniform) * interval_bytes) + 1;
}

static uint64_t round_by(double value, double fraction) {
  uint64_t whole = (uint64_t)value;

  return whole + (value - (double)whole > fraction);
}

struct sample_weight sample_weight(const void *block, uint64_t bytes, uint32_t interval_bytes) {
  double weight = 1 / sample_probability((double)(bytes | 1) / interval_bytes);
  uint64_t hash = ((uint64_t)block >> 3) * 0x9e3779b97f4a7c15ull;

  hash = (hash ^ hash >> 32) * 0xd6e8feb86659fd93ull;
  double fraction = (double)(hash >> 11) * (1.0 / 9007199254740992.0);
  return (struct sample_weight){.blocks = round_by(weight, fraction),
                                .bytes = round_by(weight * (double)bytes, fraction)};
}
