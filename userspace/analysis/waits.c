/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the sums of off-CPU time over reasons, stacks and wakers. */
#include "analysis/waits.h"

#include <errno.h>
#include <stdlib.h>

#include "analysis/accounting.h"
#include "base/array.h"
#include "base/hash.h"

/* The time of one thread at one stack. */
struct thread_sum {
  uint64_t ns;
  uint32_t thread;
  uint32_t row;
};

struct work {
  const struct profile *profile;
  const struct stacks *stacks;
  struct waits *waits;
  uint32_t stack_capacity;
  uint32_t wake_capacity;
  struct hash stack_ids; /* merged node and reason → row */
  struct hash wake_ids;  /* threads and reason → row */
  struct hash line_ids;  /* node of the profile and reason → its time */
  uint64_t *lines_ns;    /* by stack of the profile, with its lines */
  uint32_t line_count;
  uint32_t line_capacity;
  uint64_t *best_ns; /* of the lines that a row shows */
  uint32_t best_capacity;
  struct hash thread_ids; /* thread and row → thread sum */
  struct thread_sum *threads;
  uint32_t thread_count;
  uint32_t thread_capacity;
  struct wait_sum reasons[WAIT_REASONS];
};

/* One share of a wait: the blocked part at its reason, or the queued part. */
struct part {
  enum wait_reason reason;
  uint64_t ns;
  uint64_t max_ns;
};

static void add(struct wait_sum *sum, const struct profile_wait *wait, const struct part *part) {
  sum->total_ns += part->ns;
  sum->count += wait->count;
  if (part->max_ns > sum->max_ns)
    sum->max_ns = part->max_ns;
}

static int stack_row(struct work *work, const struct profile_wait *wait, enum wait_reason reason,
                     uint32_t *row) {
  struct waits *waits = work->waits;
  uint64_t key = (uint64_t)work->stacks->merged[wait->node] << 8 | reason;
  uint32_t *known = hash_get(&work->stack_ids, key);
  if (known) {
    *row = *known;
    return 0;
  }
  uint32_t count = waits->stack_count;
  struct wait_stack *stacks =
      array_grown(waits->stacks, count, &work->stack_capacity, sizeof(*stacks));
  if (!stacks)
    return -ENOMEM;
  waits->stacks = stacks;
  uint64_t *best_ns = array_grown(work->best_ns, count, &work->best_capacity, sizeof(*best_ns));
  if (!best_ns)
    return -ENOMEM;
  work->best_ns = best_ns;
  best_ns[count] = 0;
  stacks[count] = (struct wait_stack){.sum.reason = reason, .node = wait->node};
  *row = waits->stack_count++;
  return hash_put(&work->stack_ids, key, *row);
}

/* Shows the row with the lines at which most of its time was spent. */
static int weigh_lines(struct work *work, const struct profile_wait *wait, const struct part *part,
                       uint32_t row) {
  uint64_t key = (uint64_t)wait->node << 8 | part->reason;
  uint32_t *known = hash_get(&work->line_ids, key);
  uint32_t id = known ? *known : work->line_count;
  if (!known) {
    uint64_t *lines_ns =
        array_grown(work->lines_ns, work->line_count, &work->line_capacity, sizeof(*lines_ns));
    if (!lines_ns)
      return -ENOMEM;
    work->lines_ns = lines_ns;
    lines_ns[work->line_count++] = 0;
    if (hash_put(&work->line_ids, key, id))
      return -ENOMEM;
  }
  work->lines_ns[id] += part->ns;
  if (work->lines_ns[id] > work->best_ns[row]) {
    work->best_ns[row] = work->lines_ns[id];
    work->waits->stacks[row].node = wait->node;
  }
  return 0;
}

static int add_thread(struct work *work, uint32_t thread, uint32_t row, uint64_t ns) {
  uint64_t key = (uint64_t)thread << 32 | row;
  uint32_t *known = hash_get(&work->thread_ids, key);
  if (known) {
    work->threads[*known].ns += ns;
    return 0;
  }
  struct thread_sum *threads =
      array_grown(work->threads, work->thread_count, &work->thread_capacity, sizeof(*threads));
  if (!threads)
    return -ENOMEM;
  work->threads = threads;
  threads[work->thread_count] = (struct thread_sum){.ns = ns, .thread = thread, .row = row};
  work->waits->stacks[row].thread_count++;
  return hash_put(&work->thread_ids, key, work->thread_count++);
}

static int add_part(struct work *work, const struct profile_wait *wait, const struct part *part) {
  uint32_t row;
  add(&work->reasons[part->reason], wait, part);
  work->waits->total_ns += part->ns;
  int rc = stack_row(work, wait, part->reason, &row);
  if (rc)
    return rc;
  add(&work->waits->stacks[row].sum, wait, part);
  rc = weigh_lines(work, wait, part, row);
  return rc ? rc : add_thread(work, wait->thread, row, part->ns);
}

static int add_wake(struct work *work, const struct profile_wait *wait, const struct part *part) {
  struct waits *waits = work->waits;
  if (part->reason != WAIT_FUTEX && part->reason != WAIT_GIL)
    return 0;
  uint64_t waker = wait->waker == PROFILE_NONE ? wait->waker_tid : 1ull << 32 | wait->waker;
  uint64_t key = hash_mix((uint64_t)wait->thread << 8 | part->reason, waker);
  uint32_t *known = hash_get(&work->wake_ids, key);
  if (known) {
    add(&waits->wakes[*known].sum, wait, part);
    return 0;
  }
  struct wait_wake *wakes =
      array_grown(waits->wakes, waits->wake_count, &work->wake_capacity, sizeof(*wakes));
  if (!wakes)
    return -ENOMEM;
  waits->wakes = wakes;
  wakes[waits->wake_count] = (struct wait_wake){.sum.reason = part->reason,
                                                .thread = wait->thread,
                                                .waker = wait->waker,
                                                .waker_tid = wait->waker_tid};
  add(&wakes[waits->wake_count].sum, wait, part);
  return hash_put(&work->wake_ids, key, waits->wake_count++);
}

/* The longest of a sum is known for the interval as a whole. A single interval is exact; of several
 * no part can be longer than the longest, nor than all of them. */
static uint64_t longest(const struct profile_wait *wait, uint64_t part_ns) {
  if (wait->count <= 1 || part_ns < wait->max_ns)
    return part_ns;
  return wait->max_ns;
}

static int add_wait(struct work *work, const struct profile_wait *wait) {
  enum wait_reason reason = (unsigned)wait->reason < WAIT_REASONS ? wait->reason : WAIT_UNKNOWN;
  struct part blocked = {.reason = reason, .ns = wait->blocked_ns};
  struct part queued = {.reason = WAIT_RUN_QUEUE, .ns = wait->run_queue_ns};
  if (reason == WAIT_RUN_QUEUE) {
    queued.ns += blocked.ns;
    blocked.ns = 0;
  }
  blocked.max_ns = longest(wait, blocked.ns);
  queued.max_ns = longest(wait, queued.ns);
  int rc = 0;
  if (reason != WAIT_RUN_QUEUE) {
    rc = add_part(work, wait, &blocked);
    if (!rc)
      rc = add_wake(work, wait, &blocked);
  }
  if (!rc && (queued.ns || reason == WAIT_RUN_QUEUE))
    rc = add_part(work, wait, &queued);
  return rc;
}

static int find_parked(struct work *work) {
  const struct profile *profile = work->profile;
  uint32_t *threads_of = calloc(profile->process_count + (size_t)1, sizeof(*threads_of));
  if (!threads_of)
    return -ENOMEM;
  for (uint32_t i = 0; i < profile->thread_count; i++)
    threads_of[profile->threads[i].process]++;
  for (uint32_t i = 0; i < work->thread_count; i++) {
    const struct thread_sum *sum = &work->threads[i];
    const struct profile_thread *thread = &profile->threads[sum->thread];
    uint64_t wall_ns = thread_wall_ns(profile, thread);
    if (threads_of[thread->process] < 2 || sum->ns / PARKED_TIME_PCT < wall_ns / 100 ||
        wall_ns / PARKED_LIFE_PCT < profile->duration_ns / 100)
      continue;
    struct wait_stack *row = &work->waits->stacks[sum->row];
    row->sum.parked_ns += sum->ns;
    row->parked_count++;
    work->reasons[row->sum.reason].parked_ns += sum->ns;
  }
  free(threads_of);
  return 0;
}

static int descending(uint64_t a, uint64_t b) {
  return a < b ? 1 : a > b ? -1 : 0;
}

static int compare_reasons(const void *left, const void *right) {
  const struct wait_sum *a = left, *b = right;
  int order = descending(a->total_ns, b->total_ns);
  return order ? order : (int)a->reason - (int)b->reason;
}

static int compare_stacks(const void *left, const void *right) {
  const struct wait_stack *a = left, *b = right;
  int order = descending(a->sum.total_ns - a->sum.parked_ns, b->sum.total_ns - b->sum.parked_ns);
  if (!order)
    order = descending(a->sum.total_ns, b->sum.total_ns);
  if (!order)
    order = (int)a->sum.reason - (int)b->sum.reason;
  return order ? order : descending(b->node, a->node);
}

static int compare_wakes(const void *left, const void *right) {
  const struct wait_wake *a = left, *b = right;
  int order = (a->waker_tid == 0) - (b->waker_tid == 0);
  if (!order)
    order = compare_reasons(&a->sum, &b->sum);
  if (!order)
    order = descending(b->thread, a->thread);
  return order ? order : descending(b->waker_tid, a->waker_tid);
}

static int order_rows(struct work *work) {
  struct waits *waits = work->waits;
  waits->reasons = calloc(WAIT_REASONS, sizeof(*waits->reasons));
  if (!waits->reasons)
    return -ENOMEM;
  for (int i = 0; i < WAIT_REASONS; i++) {
    work->reasons[i].reason = i;
    if (work->reasons[i].count)
      waits->reasons[waits->reason_count++] = work->reasons[i];
  }
  qsort(waits->reasons, waits->reason_count, sizeof(*waits->reasons), compare_reasons);
  if (waits->stack_count)
    qsort(waits->stacks, waits->stack_count, sizeof(*waits->stacks), compare_stacks);
  if (waits->wake_count)
    qsort(waits->wakes, waits->wake_count, sizeof(*waits->wakes), compare_wakes);
  return 0;
}

int waits_build(struct waits *waits, const struct profile *profile, const struct stacks *stacks) {
  struct work work = {.profile = profile, .stacks = stacks, .waits = waits};
  int rc = 0;
  *waits = (struct waits){0};
  for (size_t i = 0; !rc && i < profile->wait_count; i++)
    rc = add_wait(&work, &profile->waits[i]);
  if (!rc)
    rc = find_parked(&work);
  if (!rc)
    rc = order_rows(&work);
  hash_fini(&work.stack_ids);
  hash_fini(&work.wake_ids);
  hash_fini(&work.line_ids);
  hash_fini(&work.thread_ids);
  free(work.lines_ns);
  free(work.best_ns);
  free(work.threads);
  return rc;
}

void waits_fini(struct waits *waits) {
  free(waits->reasons);
  free(waits->stacks);
  free(waits->wakes);
  *waits = (struct waits){0};
}
