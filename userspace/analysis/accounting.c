/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the accounts of threads and processes and the figures of completeness. */
#include "analysis/accounting.h"

#include <errno.h>
#include <stdlib.h>

uint64_t time_split_sum_ns(const struct time_split *split) {
  return split->on_cpu_ns + split->blocked_ns + split->run_queue_ns;
}

static void add_split(struct time_split *to, const struct time_split *from) {
  to->wall_ns += from->wall_ns;
  to->on_cpu_ns += from->on_cpu_ns;
  to->blocked_ns += from->blocked_ns;
  to->run_queue_ns += from->run_queue_ns;
  to->sample_count += from->sample_count;
}

uint64_t thread_wall_ns(const struct profile *profile, const struct profile_thread *thread) {
  if (thread->has_account)
    return thread->account.wall_ns;
  uint64_t end_ns = thread->end_ns ? thread->end_ns : profile->duration_ns;
  return end_ns > thread->start_ns ? end_ns - thread->start_ns : 0;
}

static void take_account(struct thread_row *row, const struct profile *profile,
                         const struct profile_thread *thread) {
  row->time.sample_count = thread->sample_count;
  row->is_exact = thread->has_account;
  if (thread->has_account) {
    row->time.wall_ns = thread->account.wall_ns;
    row->time.on_cpu_ns = thread->account.on_cpu_ns;
    row->time.blocked_ns = thread->account.blocked_ns;
    row->time.run_queue_ns = thread->account.run_queue_ns;
    return;
  }
  row->time.wall_ns = thread_wall_ns(profile, thread);
  row->time.on_cpu_ns = thread->sample_count * thread->sample_weight_ns;
}

static void add_waits(struct accounting *accounting, const struct profile *profile) {
  for (size_t i = 0; i < profile->wait_count; i++) {
    const struct profile_wait *wait = &profile->waits[i];
    struct thread_row *row = &accounting->threads[wait->thread];
    if (row->is_exact)
      continue;
    row->time.blocked_ns += wait->blocked_ns;
    row->time.run_queue_ns += wait->run_queue_ns;
  }
}

static int descending(uint64_t a, uint64_t b) {
  return a < b ? 1 : a > b ? -1 : 0;
}

static int compare_splits(const struct time_split *a, const struct time_split *b) {
  int order = descending(a->on_cpu_ns, b->on_cpu_ns);
  return order ? order : descending(a->wall_ns, b->wall_ns);
}

static int compare_threads(const void *left, const void *right) {
  const struct thread_row *a = left, *b = right;
  int order = compare_splits(&a->time, &b->time);
  return order ? order : descending(b->thread, a->thread);
}

static int compare_processes(const void *left, const void *right) {
  const struct process_row *a = left, *b = right;
  int order = compare_splits(&a->time, &b->time);
  return order ? order : descending(b->process, a->process);
}

static int compare_incomplete(const void *left, const void *right) {
  const struct incomplete_row *a = left, *b = right;
  int order = descending(a->sample_count, b->sample_count);
  if (!order)
    order = descending(a->wait_count, b->wait_count);
  return order ? order : descending(b->function, a->function);
}

static int build_rows(struct accounting *accounting, const struct profile *profile) {
  accounting->threads = calloc(profile->thread_count + (size_t)1, sizeof(*accounting->threads));
  accounting->processes =
      calloc(profile->process_count + (size_t)1, sizeof(*accounting->processes));
  if (!accounting->threads || !accounting->processes)
    return -ENOMEM;
  accounting->thread_count = profile->thread_count;
  accounting->process_count = profile->process_count;
  for (uint32_t i = 0; i < profile->thread_count; i++) {
    accounting->threads[i].thread = i;
    take_account(&accounting->threads[i], profile, &profile->threads[i]);
  }
  add_waits(accounting, profile);
  for (uint32_t i = 0; i < profile->process_count; i++)
    accounting->processes[i].process = i;
  for (uint32_t i = 0; i < profile->thread_count; i++) {
    struct process_row *process = &accounting->processes[profile->threads[i].process];
    process->thread_count++;
    add_split(&process->time, &accounting->threads[i].time);
    add_split(&accounting->total, &accounting->threads[i].time);
  }
  qsort(accounting->threads, accounting->thread_count, sizeof(*accounting->threads),
        compare_threads);
  qsort(accounting->processes, accounting->process_count, sizeof(*accounting->processes),
        compare_processes);
  return 0;
}

/* The function of each node's outermost frame. */
static uint32_t *find_roots(const struct profile *profile) {
  uint32_t *roots = calloc(profile->node_count + (size_t)1, sizeof(*roots));
  for (uint32_t i = 0; roots && i < profile->node_count; i++) {
    const struct profile_node *node = &profile->nodes[i];
    roots[i] = node->parent == PROFILE_NONE ? profile->frames[node->frame].function_id
                                            : roots[node->parent];
  }
  return roots;
}

static void count_stacks(struct accounting *accounting, const struct profile *profile,
                         const uint32_t *roots, struct incomplete_row *rows) {
  for (size_t i = 0; i < profile->sample_count; i++) {
    uint32_t root = roots[profile->samples[i].node];
    bool is_complete = profile->functions[root].kind != FRAME_MARK;
    accounting->sample_count++;
    accounting->complete_sample_count += is_complete;
    rows[root].sample_count += !is_complete;
  }
  for (size_t i = 0; i < profile->wait_count; i++) {
    uint64_t count = profile->waits[i].count;
    uint32_t root = roots[profile->waits[i].node];
    bool is_complete = profile->functions[root].kind != FRAME_MARK;
    accounting->wait_count += count;
    accounting->complete_wait_count += is_complete ? count : 0;
    rows[root].wait_count += is_complete ? 0 : count;
  }
}

static int judge_stacks(struct accounting *accounting, const struct profile *profile) {
  uint32_t *roots = find_roots(profile);
  struct incomplete_row *rows = calloc(profile->function_count + (size_t)1, sizeof(*rows));
  accounting->incomplete = rows;
  if (!roots || !rows) {
    free(roots);
    return -ENOMEM;
  }
  count_stacks(accounting, profile, roots, rows);
  free(roots);
  for (uint32_t i = 0; i < profile->function_count; i++) {
    rows[i].function = i;
    if (rows[i].sample_count || rows[i].wait_count)
      rows[accounting->incomplete_count++] = rows[i];
  }
  qsort(rows, accounting->incomplete_count, sizeof(*rows), compare_incomplete);
  return 0;
}

int accounting_build(struct accounting *accounting, const struct profile *profile) {
  *accounting = (struct accounting){0};
  int rc = build_rows(accounting, profile);
  return rc ? rc : judge_stacks(accounting, profile);
}

void accounting_fini(struct accounting *accounting) {
  free(accounting->threads);
  free(accounting->processes);
  free(accounting->incomplete);
  *accounting = (struct accounting){0};
}
