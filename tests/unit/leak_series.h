/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Series of live bytes with known answers: the generator states the slope, and which verdict is
 * right. Deterministic: the same seed, the same series. */
#ifndef RAGPROF_TESTS_LEAK_SERIES_H
#define RAGPROF_TESTS_LEAK_SERIES_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define SERIES_MAX 1200

struct random_state {
  uint64_t state;
};

static inline struct random_state random_of(uint64_t seed) {
  struct random_state random = {seed * 0x9e3779b97f4a7c15ull + 0x2545f4914f6cdd1dull};
  return random;
}

/* xorshift64*; [0, 1) */
static inline double random_unit(struct random_state *random) {
  random->state ^= random->state >> 12;
  random->state ^= random->state << 25;
  random->state ^= random->state >> 27;
  return (double)((random->state * 0x2545f4914f6cdd1dull) >> 11) * 0x1p-53;
}

/* Box and Muller */
static inline double random_normal(struct random_state *random) {
  double radius = sqrt(-2 * log(1 - random_unit(random)));
  return radius * cos(6.283185307179586 * random_unit(random));
}

enum series_kind {
  SERIES_LEAK,          /* `step` bytes each iteration */
  SERIES_LEAK_NOW_THEN, /* 10 * `step`, in one iteration of ten */
  SERIES_LEAK_VARIED,   /* 0.5 to 1.5 * `step` */
  SERIES_FLAT,
  SERIES_LRU,     /* fills up at `step` until `fill` of the time, then stays */
  SERIES_POPULAR, /* a cache under a skewed load: fills ever more slowly; `fill`: time constant */
  SERIES_GARBAGE, /* grows by `step`, is collected every `period` iterations */
  SERIES_IMPORTS, /* a few steps of 50 * `step` at random times */
  SERIES_POOL,    /* one thread's buffers after another, 8 in the first `fill` of the time */
  SERIES_WALK,    /* wanders by `step`, freely */
  SERIES_QUEUE,   /* wanders, and is pulled back */
};

struct series_options {
  enum series_kind kind;
  uint32_t count;
  double step;
  double noise;       /* standard deviation */
  double correlation; /* of the noise at one iteration with that at the next */
  double warmup;      /* bytes that are taken at the start, fading out over … */
  double warmup_iterations;
  double fill;
  double period;
};

struct series {
  double bytes[SERIES_MAX];
  double allocations[SERIES_MAX]; /* so far */
  double slope;                   /* of a leak: bytes per iteration, as it came out */
};

struct series_state {
  double noise;
  double sum;
  double walk;
  double steps[6];
};

static inline double series_value(const struct series_options *options, struct series_state *state,
                                  struct random_state *random, double i) {
  double n = options->count, fill = options->fill * n;
  double pooled = floor(i / (fill / 8)), sum = 0;
  switch (options->kind) {
  case SERIES_LEAK:
    return options->step * i;
  case SERIES_LEAK_NOW_THEN:
    return state->sum += random_unit(random) < 0.1 ? 10 * options->step : 0;
  case SERIES_LEAK_VARIED:
    return state->sum += options->step * (0.5 + random_unit(random));
  case SERIES_FLAT:
    return 0;
  case SERIES_LRU:
    return options->step * (i < fill ? i : fill);
  case SERIES_POPULAR:
    return options->step * fill * (1 - exp(-i / fill));
  case SERIES_GARBAGE:
    state->sum = fmod(i, options->period) < 1 ? 0 : state->sum + options->step;
    return state->sum;
  case SERIES_IMPORTS:
    for (int k = 0; k < 6; k++)
      sum += i > state->steps[k] * n ? 50 * options->step : 0;
    return sum;
  case SERIES_POOL:
    return 20 * options->step * (pooled < 8 ? pooled : 8);
  case SERIES_WALK:
    return state->walk += options->step * random_normal(random);
  case SERIES_QUEUE:
    state->walk = 0.97 * state->walk + options->step * random_normal(random);
    return state->walk;
  }
  return 0;
}

static inline void series_make(struct series *series, const struct series_options *options,
                               uint64_t seed) {
  struct random_state random = random_of(seed);
  struct series_state state = {0};
  double rest = sqrt(1 - options->correlation * options->correlation), first = 0, last = 0;
  for (int k = 0; k < 6; k++)
    state.steps[k] = random_unit(&random) * 3; /* two of them, on average, in the series */
  for (uint32_t i = 0; i < options->count; i++) {
    double value = series_value(options, &state, &random, i);
    first = i ? first : value;
    last = value;
    state.noise = options->correlation * state.noise + rest * random_normal(&random);
    value += options->noise * state.noise + 1e6;
    if (options->warmup_iterations > 0)
      value -= options->warmup * exp(-(double)i / options->warmup_iterations);
    series->bytes[i] = value > 0 ? floor(value) : 0;
    series->allocations[i] = 100 + 20.0 * i;
  }
  series->slope = (last - first) / (options->count - 1);
}

#endif
