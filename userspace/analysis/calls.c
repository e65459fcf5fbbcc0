/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the sums of timed calls and the reading of their histograms. */
#include "analysis/calls.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"

#define FIRST_POWER 6 /* bucket 0 holds what is shorter than 64 ns */
#define STEPS 8       /* buckets to each power of two */

static uint64_t bucket_floor_ns(uint32_t bucket) {
  if (!bucket)
    return 0;
  uint32_t power = (bucket - 1) / STEPS + FIRST_POWER;
  return (uint64_t)(STEPS + (bucket - 1) % STEPS) << (power - 3);
}

uint64_t calls_bucket_middle_ns(uint32_t bucket) {
  return (bucket_floor_ns(bucket) + bucket_floor_ns(bucket + 1)) / 2;
}

uint64_t calls_percentile_ns(const uint64_t buckets[TRACE_BUCKETS], double share, uint64_t max_ns) {
  double count = 0, passed = 0;
  for (uint32_t i = 0; i < TRACE_BUCKETS; i++)
    count += (double)buckets[i];
  for (uint32_t i = 0; i < TRACE_BUCKETS; i++) {
    passed += (double)buckets[i];
    if (!buckets[i] || passed < ceil(share * count))
      continue;
    uint64_t middle_ns = calls_bucket_middle_ns(i);
    return i + 1 == TRACE_BUCKETS || middle_ns > max_ns ? max_ns : middle_ns;
  }
  return 0;
}

/* ---- by name ---- */

struct histogram {
  uint64_t buckets[TRACE_BUCKETS];
};

static uint64_t plus(uint64_t a, uint64_t b) {
  uint64_t sum;
  return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static void add_call(struct call_sum *sum, struct histogram *histogram,
                     const struct profile_call *call) {
  sum->name = call->name;
  sum->count = plus(sum->count, call->count);
  sum->errors = plus(sum->errors, call->errors);
  sum->bytes = plus(sum->bytes, call->bytes);
  sum->total_ns = plus(sum->total_ns, call->total_ns);
  sum->max_ns = call->max_ns > sum->max_ns ? call->max_ns : sum->max_ns;
  for (uint32_t i = 0; i < TRACE_BUCKETS; i++)
    histogram->buckets[i] = plus(histogram->buckets[i], call->buckets[i]);
}

static int sum_by_time(const void *a, const void *b) {
  const struct call_sum *left = a, *right = b;
  if (left->total_ns != right->total_ns)
    return left->total_ns < right->total_ns ? 1 : -1;
  return strcmp(left->name, right->name);
}

static uint32_t sum_of(const struct calls *calls, const char *name) {
  uint32_t i = 0;
  while (i < calls->sum_count && strcmp(calls->sums[i].name, name) != 0)
    i++;
  return i;
}

/* There are some two dozen names. */
static int add_sums(struct calls *calls, const struct profile *profile) {
  if (profile->call_count == 0)
    return 0;
  struct histogram *histograms = calloc(profile->call_count, sizeof(*histograms));
  calls->sums = calloc(profile->call_count, sizeof(*calls->sums));
  if (!histograms || !calls->sums) {
    free(histograms);
    return -ENOMEM;
  }
  for (uint32_t i = 0; i < profile->call_count; i++) {
    const struct profile_call *call = &profile->calls[i];
    if (!call->count)
      continue;
    uint32_t at = sum_of(calls, call->name);
    calls->sum_count += at == calls->sum_count;
    add_call(&calls->sums[at], &histograms[at], call);
  }
  for (uint32_t i = 0; i < calls->sum_count; i++) {
    struct call_sum *sum = &calls->sums[i];
    sum->p50_ns = calls_percentile_ns(histograms[i].buckets, 0.50, sum->max_ns);
    sum->p95_ns = calls_percentile_ns(histograms[i].buckets, 0.95, sum->max_ns);
    sum->p99_ns = calls_percentile_ns(histograms[i].buckets, 0.99, sum->max_ns);
  }
  free(histograms);
  qsort(calls->sums, calls->sum_count, sizeof(*calls->sums), sum_by_time);
  return 0;
}

/* ---- slow ones ---- */

static int slow_by_time(const void *a, const void *b) {
  const struct call_slow *left = a, *right = b;
  if (left->total_ns != right->total_ns)
    return left->total_ns < right->total_ns ? 1 : -1;
  return (left->node > right->node) - (left->node < right->node);
}

static void add_slow_call(struct call_slow *slow, const struct profile_slow_call *call) {
  slow->name = call->name;
  slow->count++;
  slow->errors += call->result < 0;
  slow->bytes = plus(slow->bytes, call->result > 0 ? (uint64_t)call->result : 0);
  slow->total_ns = plus(slow->total_ns, call->duration_ns);
  if (slow->count > 1 && call->duration_ns <= slow->max_ns)
    return;
  slow->max_ns = call->duration_ns;
  slow->max_time_ns = call->time_ns;
  slow->node = call->node;
}

static int add_slow(struct calls *calls, const struct profile *profile,
                    const struct stacks *stacks) {
  struct hash rows = {0};
  uint32_t capacity = 0;
  int rc = 0;
  for (size_t i = 0; !rc && i < profile->slow_call_count; i++) {
    const struct profile_slow_call *call = &profile->slow_calls[i];
    uint64_t key = hash_mix(hash_bytes(call->name, strlen(call->name)), stacks->merged[call->node]);
    uint32_t *known = hash_get(&rows, key);
    if (known) {
      add_slow_call(&calls->slow[*known], call);
      continue;
    }
    struct call_slow *slow = array_grown(calls->slow, calls->slow_count, &capacity, sizeof(*slow));
    if (!slow)
      rc = -ENOMEM;
    if (rc)
      break;
    calls->slow = slow;
    slow[calls->slow_count] = (struct call_slow){0};
    add_slow_call(&slow[calls->slow_count], call);
    rc = hash_put(&rows, key, calls->slow_count++);
  }
  hash_fini(&rows);
  if (calls->slow_count)
    qsort(calls->slow, calls->slow_count, sizeof(*calls->slow), slow_by_time);
  return rc;
}

int calls_build(struct calls *calls, const struct profile *profile, const struct stacks *stacks) {
  *calls = (struct calls){0};
  int rc = add_sums(calls, profile);
  return rc ? rc : add_slow(calls, profile, stacks);
}

void calls_fini(struct calls *calls) {
  free(calls->sums);
  free(calls->slow);
}
