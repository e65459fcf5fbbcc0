/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the figures of scheduling by process, and the sums of spinning by pool. */
#include "analysis/scheduling.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/spin.h"
#include "base/units.h"

/* ---- processes ---- */

static uint64_t life_ns(const struct profile *profile, const struct profile_process *process) {
  uint64_t end_ns = process->end_ns ? process->end_ns : profile->duration_ns;
  return end_ns > process->start_ns ? end_ns - process->start_ns : 0;
}

static void add_limits(struct scheduling_row *row, const struct points *points) {
  uint64_t quota_us = points_course(points, row->process, POINT_CPU_QUOTA_US)->last;
  uint64_t period_us = points_course(points, row->process, POINT_CPU_PERIOD_US)->last;
  row->cpus_allowed = points_course(points, row->process, POINT_CPUS_ALLOWED)->last;
  row->has_migrations = points_course(points, row->process, POINT_MIGRATIONS)->count > 0;
  row->migrations = points_rise(points, row->process, POINT_MIGRATIONS);
  if (quota_us && period_us)
    row->quota_cpus = (double)quota_us / (double)period_us;
  row->periods = points_rise_seen(points, row->process, POINT_CPU_PERIODS);
  row->throttled_periods = points_rise_seen(points, row->process, POINT_CPU_THROTTLED);
  row->throttled_ns = points_rise_seen(points, row->process, POINT_CPU_THROTTLED_NS);
}

static int compare_rows(const void *left, const void *right) {
  const struct scheduling_row *a = left, *b = right;
  if (a->run_queue_ns != b->run_queue_ns)
    return a->run_queue_ns < b->run_queue_ns ? 1 : -1;
  if (a->on_cpu_ns != b->on_cpu_ns)
    return a->on_cpu_ns < b->on_cpu_ns ? 1 : -1;
  return (a->process > b->process) - (a->process < b->process);
}

static void make_rows(struct scheduling *scheduling, const struct profile *profile,
                      const struct accounting *accounting, const struct points *points) {
  scheduling->count = accounting->process_count;
  for (uint32_t i = 0; i < accounting->process_count; i++) {
    const struct process_row *from = &accounting->processes[i];
    struct scheduling_row *row = &scheduling->rows[from->process];
    uint64_t alive_ns = life_ns(profile, &profile->processes[from->process]);
    uint64_t wanted_ns = from->time.on_cpu_ns + from->time.run_queue_ns;
    row->process = from->process;
    row->thread_count = from->thread_count;
    row->on_cpu_ns = from->time.on_cpu_ns;
    row->run_queue_ns = from->time.run_queue_ns;
    row->runnable = alive_ns ? (double)wanted_ns / (double)alive_ns : 0;
    if (profile->duration_ns)
      scheduling->runnable += (double)wanted_ns / (double)profile->duration_ns;
    add_limits(row, points);
    scheduling->cpus = row->cpus_allowed > scheduling->cpus ? row->cpus_allowed : scheduling->cpus;
  }
  for (uint32_t i = 0; i < profile->thread_count; i++) {
    const struct profile_thread *thread = &profile->threads[i];
    struct scheduling_row *row = &scheduling->rows[thread->process];
    if (!thread->has_account)
      continue;
    row->voluntary_switches += thread->account.voluntary_switches;
    row->involuntary_switches += thread->account.involuntary_switches;
  }
  qsort(scheduling->rows, scheduling->count, sizeof(*scheduling->rows), compare_rows);
}

static double mean_runnable_of_host(const struct profile *profile) {
  double sum = 0;
  size_t count = 0;
  for (size_t i = 0; i < profile->point_count; i++) {
    if (profile->points[i].metric != POINT_HOST_RUNNABLE)
      continue;
    sum += (double)profile->points[i].value;
    count++;
  }
  return count ? sum / (double)count : -1;
}

/* ---- spinning ---- */

struct spinning {
  const struct profile *profile;
  struct scheduling *scheduling;
  uint8_t *on_cpu; /* node → 1 + row of the pool that it spins in, 0: none */
  uint8_t *asleep; /* node → the same of what it waits in */
  uint64_t *node_ns;
  bool *is_in; /* thread and row: takes part */
};

/* 1 + the row of a pool, 0 for none. */
static uint8_t row_of(struct scheduling *scheduling, const char *pool) {
  uint32_t i = 0;
  if (!pool)
    return 0;
  while (i < scheduling->spin_count && strcmp(scheduling->spins[i].pool, pool) != 0)
    i++;
  if (i == SPIN_POOLS_MAX)
    return 0;
  if (i == scheduling->spin_count)
    scheduling->spins[scheduling->spin_count++] =
        (struct spin_row){.pool = pool, .node = PROFILE_NONE};
  return (uint8_t)(i + 1);
}

static void add_thread(struct spinning *work, struct spin_row *row, uint32_t thread) {
  size_t at = (size_t)thread * SPIN_POOLS_MAX + (size_t)(row - work->scheduling->spins);
  row->thread_count += !work->is_in[at];
  work->is_in[at] = true;
}

static void weigh_node(struct spinning *work, struct spin_row *row, uint32_t node, uint64_t ns) {
  work->node_ns[node] += ns;
  if (work->node_ns[node] <= row->node_ns)
    return;
  row->node_ns = work->node_ns[node];
  row->node = node;
}

static void add_samples(struct spinning *work) {
  const struct profile *profile = work->profile;
  for (size_t i = 0; i < profile->sample_count; i++) {
    const struct profile_sample *sample = &profile->samples[i];
    uint8_t id = work->on_cpu[sample->node];
    if (!id)
      continue;
    struct spin_row *row = &work->scheduling->spins[id - 1];
    uint64_t ns = profile->threads[sample->thread].sample_weight_ns;
    row->spin_ns += ns;
    row->samples++;
    weigh_node(work, row, sample->node, ns);
    add_thread(work, row, sample->thread);
  }
}

/* A pool that only slept shows where; one that spun, where it did. */
static void add_waits(struct spinning *work) {
  const struct profile *profile = work->profile;
  for (size_t i = 0; i < profile->wait_count; i++) {
    const struct profile_wait *wait = &profile->waits[i];
    uint8_t id = wait->reason == WAIT_FUTEX ? work->asleep[wait->node] : 0;
    if (!id)
      continue;
    struct spin_row *row = &work->scheduling->spins[id - 1];
    row->sleep_ns += wait->blocked_ns;
    row->sleeps += wait->count;
    if (!row->samples)
      weigh_node(work, row, wait->node, wait->blocked_ns);
    add_thread(work, row, wait->thread);
  }
}

static int compare_spins(const void *left, const void *right) {
  const struct spin_row *a = left, *b = right;
  if (a->spin_ns != b->spin_ns)
    return a->spin_ns < b->spin_ns ? 1 : -1;
  if (a->sleep_ns != b->sleep_ns)
    return a->sleep_ns < b->sleep_ns ? 1 : -1;
  return strcmp(a->pool, b->pool);
}

static int find_spinning(struct scheduling *scheduling, const struct profile *profile) {
  struct spinning work = {.profile = profile, .scheduling = scheduling};
  size_t room = profile->node_count + (size_t)1;
  work.on_cpu = calloc(room, sizeof(*work.on_cpu));
  work.asleep = calloc(room, sizeof(*work.asleep));
  work.node_ns = calloc(room, sizeof(*work.node_ns));
  work.is_in = calloc((profile->thread_count + (size_t)1) * SPIN_POOLS_MAX, sizeof(*work.is_in));
  int rc = work.on_cpu && work.asleep && work.node_ns && work.is_in ? 0 : -ENOMEM;
  for (uint32_t i = 0; !rc && i < profile->node_count; i++) {
    work.on_cpu[i] = row_of(scheduling, spin_pool(profile, i));
    work.asleep[i] = row_of(scheduling, spin_pool_asleep(profile, i));
  }
  if (!rc) {
    add_samples(&work);
    add_waits(&work);
    qsort(scheduling->spins, scheduling->spin_count, sizeof(scheduling->spins[0]), compare_spins);
  }
  while (scheduling->spin_count > 0 && !scheduling->spins[scheduling->spin_count - 1].thread_count)
    scheduling->spin_count--;
  free(work.on_cpu);
  free(work.asleep);
  free(work.node_ns);
  free(work.is_in);
  return rc;
}

int scheduling_build(struct scheduling *scheduling, const struct profile *profile,
                     const struct accounting *accounting, const struct points *points) {
  uint64_t host_cpus = 0;
  *scheduling = (struct scheduling){.host_runnable = -1};
  scheduling->is_recorded = profile->point_count || profile->operation_count;
  scheduling->rows = calloc(profile->process_count + (size_t)1, sizeof(*scheduling->rows));
  if (!scheduling->rows)
    return -ENOMEM;
  if (!scheduling->is_recorded)
    return 0;
  make_rows(scheduling, profile, accounting, points);
  scheduling->host_runnable = mean_runnable_of_host(profile);
  if (!scheduling->cpus && !units_parse_count(profile_fact(profile, "host.cpus"), &host_cpus))
    scheduling->cpus = host_cpus;
  return find_spinning(scheduling, profile);
}

void scheduling_fini(struct scheduling *scheduling) {
  free(scheduling->rows);
  *scheduling = (struct scheduling){0};
}
