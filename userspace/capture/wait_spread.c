/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the sums of one tick, and each thread's last stack by reason. */
#include "capture/wait_spread.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/hash.h"

struct entry {
  struct wait_key key;
  struct wait_sum sum;
};

struct wait_spread {
  struct buf entries;   /* struct entry */
  struct buf last;      /* struct wait_key */
  struct hash by_owner; /* hash of thread and reason → index in `last` */
};

struct wait_spread *wait_spread_new(void) {
  return calloc(1, sizeof(struct wait_spread));
}

void wait_spread_free(struct wait_spread *spread) {
  if (!spread)
    return;
  buf_fini(&spread->entries);
  buf_fini(&spread->last);
  hash_fini(&spread->by_owner);
  free(spread);
}

void wait_spread_add(void *context, const struct wait_key *key, const struct wait_sum *sum) {
  struct wait_spread *spread = context;
  struct entry entry = {.key = *key, .sum = *sum};
  buf_put(&spread->entries, &entry, sizeof(entry));
}

static bool is_same_owner(const struct wait_key *a, const struct wait_key *b) {
  return a->tid == b->tid && a->tgid == b->tgid && a->reason == b->reason;
}

/* By owner; of one owner, what was not walked comes first. */
static int by_owner(const void *left, const void *right) {
  const struct wait_key *a = &((const struct entry *)left)->key;
  const struct wait_key *b = &((const struct entry *)right)->key;
  if (a->tgid != b->tgid)
    return a->tgid < b->tgid ? -1 : 1;
  if (a->tid != b->tid)
    return a->tid < b->tid ? -1 : 1;
  if (a->reason != b->reason)
    return a->reason < b->reason ? -1 : 1;
  int b_not_taken = b->stack == STACK_NOT_TAKEN;
  return b_not_taken - (a->stack == STACK_NOT_TAKEN);
}

/* ---- the last stack of each owner ---- */

/* Its place in `last`; UINT32_MAX when it has none yet. */
static uint32_t find_last(struct wait_spread *spread, const struct wait_key *owner, uint64_t *key) {
  const struct wait_key *last = (const struct wait_key *)spread->last.data;
  *key = hash_mix((uint64_t)owner->tgid << 32 | owner->tid, owner->reason);
  for (uint32_t *at; (at = hash_get(&spread->by_owner, *key)); (*key)++)
    if (is_same_owner(&last[*at], owner))
      return *at;
  return UINT32_MAX;
}

static void remember(struct wait_spread *spread, const struct wait_key *taken) {
  uint64_t key;
  uint32_t at = find_last(spread, taken, &key);
  if (at != UINT32_MAX) {
    ((struct wait_key *)spread->last.data)[at].stack = taken->stack;
    return;
  }
  buf_put(&spread->last, taken, sizeof(*taken));
  if (!spread->last.failed)
    hash_put(&spread->by_owner, key, (uint32_t)(spread->last.length / sizeof(*taken) - 1));
}

/* ---- spreading ---- */

/* What of `whole` falls to the stacks up to now, `part` of `total` of the time. */
static uint64_t share(uint64_t whole, uint64_t part, uint64_t total) {
  return total ? (uint64_t)((unsigned __int128)whole * part / total) : 0;
}

static uint64_t time_of(const struct wait_sum *sum) {
  return sum->blocked_ns + sum->run_queue_ns + 1; /* never nothing */
}

/* Adds `rest` to `count` sums of one owner, by time; rounding leaves nothing over. */
static void spread_over(struct entry *taken, size_t count, const struct wait_sum *rest) {
  uint64_t total = 0, part = 0;
  for (size_t i = 0; i < count; i++)
    total += time_of(&taken[i].sum);
  for (size_t i = 0; i < count; i++) {
    struct wait_sum *sum = &taken[i].sum;
    uint64_t before = part;
    part += time_of(sum);
    sum->count += share(rest->count, part, total) - share(rest->count, before, total);
    sum->blocked_ns +=
        share(rest->blocked_ns, part, total) - share(rest->blocked_ns, before, total);
    sum->run_queue_ns +=
        share(rest->run_queue_ns, part, total) - share(rest->run_queue_ns, before, total);
    if (rest->max_ns > sum->max_ns && part == total)
      sum->max_ns = rest->max_ns;
  }
}

/* The sums [first, end) of one owner. */
static void take_owner(struct wait_spread *spread, struct entry *first, struct entry *end,
                       wait_sum_fn callback, void *context) {
  struct entry *taken = first;
  while (taken < end && taken->key.stack == STACK_NOT_TAKEN)
    taken++;
  for (struct entry *rest = first; rest < taken; rest++) {
    uint64_t unused;
    uint32_t at = taken == end ? find_last(spread, &rest->key, &unused) : UINT32_MAX;
    if (at != UINT32_MAX)
      rest->key.stack = ((const struct wait_key *)spread->last.data)[at].stack;
    if (taken == end)
      callback(context, &rest->key, &rest->sum);
    else
      spread_over(taken, (size_t)(end - taken), &rest->sum);
  }
  for (struct entry *entry = taken; entry < end; entry++)
    callback(context, &entry->key, &entry->sum);
  if (taken < end)
    remember(spread, &taken->key);
}

void wait_spread_take(struct wait_spread *spread, wait_sum_fn callback, void *context) {
  struct entry *entries = (struct entry *)spread->entries.data;
  size_t count = spread->entries.length / sizeof(*entries);
  if (count)
    qsort(entries, count, sizeof(*entries), by_owner);
  for (size_t first = 0, end; first < count; first = end) {
    for (end = first + 1; end < count && is_same_owner(&entries[first].key, &entries[end].key);)
      end++;
    take_owner(spread, &entries[first], &entries[end], callback, context);
  }
  buf_clear(&spread->entries);
}
