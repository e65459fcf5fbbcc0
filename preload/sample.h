/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Poisson sampling by bytes: samples fall on the stream of allocated bytes at random, `interval`
 * bytes apart in the mean, and a block is kept when at least one falls on it, that is with
 * probability p = 1 - exp(-bytes / interval). Counting it 1 / p times makes sums unbiased.
 * No libm: the shim links libc only. */
#ifndef RAGPROF_PRELOAD_SAMPLE_H
#define RAGPROF_PRELOAD_SAMPLE_H

#include <stdint.h>

double sample_log(double x);            /* x > 0, normal */
double sample_probability(double mean); /* 1 - exp(-mean), mean > 0 */

/* Bytes to the next sample, at least 1; *random is the state of an xorshift64, never 0. */
int64_t sample_distance(uint64_t *random, uint32_t interval_bytes);

struct sample_weight {
  uint64_t blocks;
  uint64_t bytes;
};

/* What a kept block counts for: 1 / p blocks and bytes / p, rounded up or down by a hash of its
 * address, so that the mean is exact and its free takes off the same. */
struct sample_weight sample_weight(const void *block, uint64_t bytes, uint32_t interval_bytes);

#endif
