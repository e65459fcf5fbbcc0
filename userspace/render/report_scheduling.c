/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the tables of scheduling, locks, probes and the lives of processes. */
#include <stdlib.h>

#include "base/buf.h"
#include "render/report_name.h"
#include "render/report_system.h"

#define LOCK_PCT 0.05 /* of thread time: what is shown as less than 0.1 % is left out */

static const char *keep(struct system_report *report, struct buf *buf) {
  const char *kept = report_keep(report->content, buf_text(buf));
  report->content->failed |= buf->failed;
  buf_fini(buf);
  return kept;
}

/* ---- Scheduling ------------------------------------------------------------------------------ */

/* "2", or "0.50" by a quota. */
static const char *keep_cpus(struct system_report *report, const struct scheduling_row *row) {
  uint64_t cpus = row->cpus_allowed ? row->cpus_allowed : report->system->scheduling.cpus;
  if (row->quota_cpus > 0 && (!cpus || row->quota_cpus < (double)cpus))
    return report_keep_format(report->content, "%.2f", row->quota_cpus);
  return cpus ? report_keep_count(report->content, cpus) : "";
}

static const char *keep_throttled(struct system_report *report, const struct scheduling_row *row) {
  if (!row->throttled_periods)
    return "";
  return report_keep_format(
      report->content, "%s (%s)", report_keep_ns(report->content, row->throttled_ns),
      report_keep_pct(report->content, percent_of(row->throttled_periods, row->periods)));
}

static void put_scheduling(struct system_report *report) {
  static const struct report_column columns[] = {
      {"process", REPORT_LEFT},      {"pid", REPORT_RIGHT},       {"queued", REPORT_RIGHT},
      {"runnable", REPORT_RIGHT},    {"CPUs", REPORT_RIGHT},      {"throttled", REPORT_RIGHT},
      {"involuntary", REPORT_SPARE}, {"voluntary", REPORT_SPARE}, {"migrations", REPORT_SPARE},
  };
  const struct scheduling *scheduling = &report->system->scheduling;
  if (scheduling->count == 0)
    return;
  struct report_table *table =
      report_add_table(report->content, "Scheduling", columns, COUNT(columns));
  for (uint32_t i = 0; table && i < scheduling->count; i++) {
    const struct scheduling_row *from = &scheduling->rows[i];
    struct report_cell *row =
        system_has_room(report, table) ? report_add_row(report->content, table) : NULL;
    if (!row)
      continue;
    row[0] = system_name(report, report->profile->processes[from->process].name);
    row[1] = system_pid(report, from->process);
    row[2] = system_ns(report, from->run_queue_ns);
    row[3] = system_text(report_keep_format(report->content, "%.2f", from->runnable));
    row[4] = system_text(keep_cpus(report, from));
    row[5] = system_text(keep_throttled(report, from));
    row[6] = system_count_or_none(report, from->involuntary_switches);
    row[7] = system_count_or_none(report, from->voluntary_switches);
    row[8] = from->has_migrations ? system_count(report, from->migrations) : system_text("");
  }
  if (table)
    table->note = "runnable: threads that run or want to, on average; CPUs: allowed, or the quota";
}

static void put_spinning(struct system_report *report) {
  static const struct report_column columns[] = {
      {"pool", REPORT_WORD},    {"spinning", REPORT_RIGHT}, {"of CPU time", REPORT_RIGHT},
      {"asleep", REPORT_RIGHT}, {"threads", REPORT_RIGHT},  {"stack", REPORT_PATH},
  };
  const struct scheduling *scheduling = &report->system->scheduling;
  if (scheduling->spin_count == 0)
    return;
  struct report_table *table =
      report_add_table(report->content, "Pools of threads that wait", columns, COUNT(columns));
  for (uint32_t i = 0; table && i < scheduling->spin_count; i++) {
    const struct spin_row *from = &scheduling->spins[i];
    struct report_cell *row =
        system_has_room(report, table) ? report_add_row(report->content, table) : NULL;
    if (!row)
      continue;
    row[0] = system_text(from->pool);
    row[1] = system_ns_or_none(report, from->spin_ns);
    row[2] = system_share(report, from->spin_ns, report->summary->hotspots.total_ns);
    row[3] = system_ns_or_none(report, from->sleep_ns);
    row[4] = system_count(report, from->thread_count);
    row[5] = system_path(report, from->node);
  }
  if (table)
    table->note = "for work or for each other: on the CPU by samples, asleep on a futex";
}

/* ---- Locks ----------------------------------------------------------------------------------- */

/* One of the two rows of a lock: who waits, or who held it meanwhile. */
static void put_lock_row(struct system_report *report, struct report_table *table,
                         const struct lock_row *lock, bool is_hold) {
  const struct operation_row *from = is_hold ? lock->hold : lock->wait;
  struct report_cell *row = from ? report_add_row(report->content, table) : NULL;
  if (!row)
    return;
  row[0] = system_object(report, lock->object);
  row[1] = report->profile->process_count > 1 ? system_pid(report, lock->process) : system_text("");
  row[2] = system_text(is_hold ? "holds" : "waits");
  row[3] = system_ns(report, from->sum.total_ns);
  row[4] = system_share(report, from->sum.total_ns, report->wall_ns);
  if (is_hold)
    row[4].heat = REPORT_PLAIN;
  row[5] = system_count(report, from->sum.count);
  row[6] = system_ns(report, from->sum.max_ns);
  row[7] = system_count(report, from->operation_count);
  row[8] = system_path(report, from->stack_count ? from->stacks[0].node : PROFILE_NONE);
}

/* Short waits for a lock are everywhere: they say nothing unless there is nothing else. */
static bool is_worth_a_row(const struct system_report *report, uint32_t i) {
  uint64_t wait_ns = locks_sum(report->system->locks.rows[i].wait)->total_ns;
  return i == 0 || percent_of(wait_ns, report->wall_ns) >= LOCK_PCT;
}

static void put_locks(struct system_report *report) {
  static const struct report_column columns[] = {
      {"lock", REPORT_WORD},     {"pid", REPORT_SPARE},     {"who", REPORT_WORD},
      {"time", REPORT_RIGHT},    {"share", REPORT_RIGHT},   {"waits", REPORT_RIGHT},
      {"longest", REPORT_RIGHT}, {"threads", REPORT_RIGHT}, {"stack", REPORT_PATH},
  };
  const struct locks *locks = &report->system->locks;
  if (locks->count == 0)
    return;
  struct report_table *table =
      report_add_table(report->content, "Contended locks", columns, COUNT(columns));
  for (uint32_t i = 0, shown = 0; table && i < locks->count; i++) {
    if (shown >= report->top_count || !is_worth_a_row(report, i)) {
      table->left_out_count++;
      continue;
    }
    shown++;
    put_lock_row(report, table, &locks->rows[i], false);
    put_lock_row(report, table, &locks->rows[i], true);
  }
  if (table)
    table->note = "of thread time; holds: who had it, or handed on, while others waited";
}

static void put_gil(struct system_report *report) {
  static const struct report_column columns[] = {
      {"thread", REPORT_LEFT},       {"tid", REPORT_RIGHT},   {"waited", REPORT_RIGHT},
      {"of its time", REPORT_RIGHT}, {"waits", REPORT_RIGHT}, {"longest", REPORT_RIGHT},
      {"kept others", REPORT_RIGHT},
  };
  const struct locks *locks = &report->system->locks;
  if (locks->thread_count == 0)
    return;
  struct report_table *table =
      report_add_table(report->content, "The interpreter's lock (GIL)", columns, COUNT(columns));
  for (uint32_t i = 0; table && i < locks->thread_count; i++) {
    const struct gil_thread *from = &locks->threads[i];
    struct report_cell *row =
        system_has_room(report, table) ? report_add_row(report->content, table) : NULL;
    if (!row)
      continue;
    row[0] = system_thread(report, from->thread);
    row[2] = system_ns(report, from->wait_ns);
    row[4] = system_count(report, from->waits);
    row[5] = system_ns_or_none(report, from->max_ns);
    row[6] = system_ns_or_none(report, from->held_ns);
    if (from->thread == PROFILE_NONE)
      continue;
    const struct profile_thread *thread = &report->profile->threads[from->thread];
    row[1] = system_text(report_keep_format(report->content, "%u", thread->tid));
    row[3] = system_share(report, from->wait_ns, thread_wall_ns(report->profile, thread));
  }
  if (table)
    table->note = report_keep_format(
        report->content, "%s of waiting, %s of all threads' time; kept others: while it held it",
        report_keep_ns(report->content, locks->gil_wait_ns),
        report_keep_pct(report->content, percent_of(locks->gil_wait_ns, report->wall_ns)));
}

static void put_gil_holders(struct system_report *report) {
  static const struct report_column columns[] = {
      {"time", REPORT_RIGHT},
      {"share", REPORT_RIGHT},
      {"waits", REPORT_RIGHT},
      {"stack", REPORT_PATH},
  };
  uint32_t count;
  uint64_t left_out_count, total_ns = 0;
  struct system_place *places = system_places(report, &report->system->locks.operations, "hold",
                                              "GIL", &count, &left_out_count);
  struct report_table *table =
      places ? report_add_table(report->content, "Holders of the GIL", columns, COUNT(columns))
             : NULL;
  for (uint32_t i = 0; i < report->system->locks.gil_count; i++)
    total_ns += locks_sum(report->system->locks.gils[i].hold)->total_ns;
  for (uint32_t i = 0; table && i < count; i++) {
    struct report_cell *row =
        system_has_room(report, table) ? report_add_row(report->content, table) : NULL;
    if (!row)
      continue;
    row[0] = system_ns(report, places[i].total_ns);
    row[1] = system_share(report, places[i].total_ns, total_ns);
    row[1].heat = REPORT_PLAIN;
    row[2] = system_count(report, places[i].count);
    row[3] = system_text(places[i].path);
  }
  if (table) {
    table->note = "where they were while others waited for it";
    table->left_out_count += left_out_count;
  }
  free(places);
}

/* ---- Probes ---------------------------------------------------------------------------------- */

static void put_probes(struct system_report *report) {
  static const struct report_column columns[] = {
      {"probe", REPORT_LEFT},   {"time", REPORT_RIGHT},    {"spans", REPORT_RIGHT},
      {"median", REPORT_RIGHT}, {"99 %", REPORT_RIGHT},    {"longest", REPORT_RIGHT},
      {"95 %", REPORT_SPARE},   {"threads", REPORT_SPARE}, {"stack", REPORT_PATH},
  };
  const struct operations *probes = &report->system->probes;
  if (probes->count == 0)
    return;
  struct report_table *table = report_add_table(report->content, "Probes", columns, COUNT(columns));
  for (uint32_t i = 0; table && i < probes->count; i++) {
    const struct operation_row *from = &probes->rows[i];
    struct report_cell *row =
        system_has_room(report, table) ? report_add_row(report->content, table) : NULL;
    if (!row)
      continue;
    row[0] = system_name(report, from->name);
    row[1] = system_ns_or_none(report, from->sum.total_ns);
    row[2] = system_count(report, from->sum.count);
    row[3] = system_ns_or_none(report, from->sum.p50_ns);
    row[4] = system_ns_or_none(report, from->sum.p99_ns);
    row[5] = system_ns_or_none(report, from->sum.max_ns);
    row[6] = system_ns_or_none(report, from->sum.p95_ns);
    row[7] = system_count(report, from->operation_count);
    row[8] = system_path(report, from->stack_count ? from->stacks[0].node : PROFILE_NONE);
  }
  if (table)
    table->note = "entry to return, with the stack that most of it was spent at";
}

/* ---- Processes ------------------------------------------------------------------------------- */

static const char *keep_end(struct system_report *report, const struct process_life *life) {
  struct buf buf = {0};
  if (life->has_exit)
    system_put_status(&buf, life->status);
  if (life->is_oom_killed)
    buf_printf(&buf, "%sout of memory", buf.length ? ", " : "");
  return keep(report, &buf);
}

static void put_life(struct system_report *report, struct report_table *table, uint32_t process) {
  const struct profile_process *from = &report->profile->processes[process];
  const struct process_life *life = &report->system->processes.lives[process];
  struct report_cell *row =
      system_has_room(report, table) ? report_add_row(report->content, table) : NULL;
  if (!row)
    return;
  row[0] = system_name(report, from->name);
  row[1] = system_pid(report, process);
  row[2] = system_text(report_keep_format(report->content, "%u", from->parent_pid));
  row[3] = system_ns_or_none(report, from->start_ns);
  row[4] = system_ns_or_none(report, life->has_exit ? life->exit_ns : 0);
  row[5] = system_text(keep_end(report, life));
  row[6] = system_count_or_none(report, life->forks);
  row[7] = system_name(report, life->executable);
}

static void put_lives(struct system_report *report) {
  static const struct report_column columns[] = {
      {"process", REPORT_LEFT}, {"pid", REPORT_RIGHT},       {"parent", REPORT_SPARE},
      {"began", REPORT_SPARE},  {"ended", REPORT_RIGHT},     {"how", REPORT_WORD},
      {"forks", REPORT_SPARE},  {"executable", REPORT_TAIL},
  };
  if (!report->system->processes.are_seen)
    return;
  struct report_table *table =
      report_add_table(report->content, "Lives of processes", columns, COUNT(columns));
  for (uint32_t i = 0; table && i < report->profile->process_count; i++)
    put_life(report, table, i);
  if (table)
    table->note = "began and ended: in the capture";
}

static const struct course *course_of(const struct system_report *report, uint32_t process,
                                      enum point_metric metric) {
  return points_course(&report->system->points, process, metric);
}

static void put_level(struct system_report *report, struct report_cell *cells,
                      const struct course *course) {
  if (!course->count)
    return;
  cells[0] = system_count(report, course->last);
  cells[1] = system_count(report, course->max);
  cells[2] = system_count(report, course->first);
}

static void put_levels(struct system_report *report) {
  static const struct report_column columns[] = {
      {"process", REPORT_LEFT}, {"pid", REPORT_RIGHT},      {"threads", REPORT_RIGHT},
      {"most", REPORT_RIGHT},   {"at first", REPORT_SPARE}, {"files", REPORT_RIGHT},
      {"most", REPORT_RIGHT},   {"at first", REPORT_SPARE}, {"limit", REPORT_RIGHT},
  };
  struct report_table *table = NULL;
  for (uint32_t i = 0; i < report->profile->process_count; i++) {
    const struct course *threads = course_of(report, i, POINT_THREADS);
    const struct course *files = course_of(report, i, POINT_DESCRIPTORS);
    const struct course *limit = course_of(report, i, POINT_DESCRIPTORS_LIMIT);
    if (!threads->count && !files->count)
      continue;
    if (!table)
      table = report_add_table(report->content, "Threads and open files", columns, COUNT(columns));
    if (!table)
      return;
    struct report_cell *row =
        system_has_room(report, table) ? report_add_row(report->content, table) : NULL;
    if (!row)
      continue;
    row[0] = system_name(report, report->profile->processes[i].name);
    row[1] = system_pid(report, i);
    put_level(report, &row[2], threads);
    put_level(report, &row[5], files);
    row[8] = limit->count ? system_count(report, limit->last) : system_text("");
  }
}

static void put_resident(struct system_report *report) {
  static const struct report_column columns[] = {
      {"process", REPORT_LEFT},    {"pid", REPORT_RIGHT},    {"heap", REPORT_RIGHT},
      {"anonymous", REPORT_RIGHT}, {"files", REPORT_RIGHT},  {"code", REPORT_RIGHT},
      {"stack", REPORT_SPARE},     {"shared", REPORT_SPARE},
  };
  static const enum point_metric metrics[] = {POINT_RESIDENT_HEAP,  POINT_RESIDENT_ANONYMOUS,
                                              POINT_RESIDENT_FILE,  POINT_RESIDENT_CODE,
                                              POINT_RESIDENT_STACK, POINT_RESIDENT_SHARED};
  struct report_table *table = NULL;
  for (uint32_t i = 0; i < report->profile->process_count; i++) {
    uint64_t points = 0;
    for (size_t k = 0; k < COUNT(metrics); k++)
      points += course_of(report, i, metrics[k])->count;
    if (!points)
      continue;
    if (!table)
      table = report_add_table(report->content, "Resident memory by kind", columns, COUNT(columns));
    if (!table)
      return;
    struct report_cell *row =
        system_has_room(report, table) ? report_add_row(report->content, table) : NULL;
    if (!row)
      continue;
    row[0] = system_name(report, report->profile->processes[i].name);
    row[1] = system_pid(report, i);
    for (size_t k = 0; k < COUNT(metrics); k++)
      row[2 + k] = system_bytes_or_none(report, course_of(report, i, metrics[k])->last);
  }
  if (table)
    table->note = "when it was last read";
}

void report_put_scheduling_tables(struct system_report *report) {
  put_scheduling(report);
  put_spinning(report);
  put_locks(report);
  put_gil(report);
  put_gil_holders(report);
  put_probes(report);
  put_lives(report);
  put_levels(report);
  put_resident(report);
}
