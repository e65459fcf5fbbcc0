/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the members scheduling, locks and gil of the JSON report, and what processes[] says of
 * lives, levels and resident memory. */
#include <math.h>

#include "base/buf.h"
#include "render/report_json_system.h"
#include "render/report_system.h"

static void put_number_or_null(struct json *json, const char *key, uint64_t value) {
  json_key(json, key);
  if (value)
    json_u64(json, value);
  else
    json_null(json);
}

/* ---- Scheduling ------------------------------------------------------------------------------ */

static void put_scheduled(struct report_json *writer, const struct scheduling_row *row) {
  const struct profile_process *process = &writer->profile->processes[row->process];
  struct json *json = &writer->json;
  json_open_object(json);
  json_member_text(json, "name", process->name);
  json_member_u64(json, "pid", process->pid);
  json_member_u64(json, "threads", row->thread_count);
  report_json_fine_ms(writer, "on_cpu_ms", row->on_cpu_ns);
  report_json_fine_ms(writer, "run_queue_ms", row->run_queue_ns);
  json_member_u64(json, "voluntary_switches", row->voluntary_switches);
  json_member_u64(json, "involuntary_switches", row->involuntary_switches);
  json_key(json, "migrations");
  if (row->has_migrations)
    json_u64(json, row->migrations);
  else
    json_null(json);
  json_member_double(json, "runnable_mean", row->runnable, 3);
  put_number_or_null(json, "cpus_allowed", row->cpus_allowed);
  json_member_double(json, "quota_cpus", row->quota_cpus > 0 ? row->quota_cpus : NAN, 3);
  json_member_u64(json, "quota_periods", row->periods);
  json_member_u64(json, "throttled_periods", row->throttled_periods);
  report_json_pct(writer, "throttled_pct", row->throttled_periods, row->periods);
  report_json_fine_ms(writer, "throttled_ms", row->throttled_ns);
  json_close_object(json);
}

static void put_pool(struct report_json *writer, const struct spin_row *row) {
  struct json *json = &writer->json;
  json_open_object(json);
  json_member_text(json, "pool", row->pool);
  report_json_fine_ms(writer, "spin_ms", row->spin_ns);
  report_json_pct(writer, "spin_pct", row->spin_ns, writer->summary->hotspots.total_ns);
  json_member_u64(json, "samples", row->samples);
  report_json_fine_ms(writer, "sleep_ms", row->sleep_ns);
  json_member_u64(json, "sleeps", row->sleeps);
  json_member_u64(json, "threads", row->thread_count);
  report_json_stack(writer, row->node);
  json_close_object(json);
}

void report_json_put_scheduling(struct report_json *writer) {
  const struct scheduling *scheduling = &writer->summary->system.scheduling;
  struct json *json = &writer->json;
  json_key(json, "scheduling");
  if (!scheduling->is_recorded) {
    json_null(json);
    return;
  }
  json_open_object(json);
  report_json_fine_ms(writer, "run_queue_ms", writer->summary->accounting.total.run_queue_ns);
  json_member_double(json, "runnable_mean", scheduling->runnable, 3);
  put_number_or_null(json, "cpus", scheduling->cpus);
  json_member_double(json, "host_runnable_mean",
                     scheduling->host_runnable < 0 ? NAN : scheduling->host_runnable, 3);
  json_key(json, "processes");
  json_open_array(json);
  for (uint32_t i = 0; i < report_json_shown(writer, scheduling->count); i++)
    put_scheduled(writer, &scheduling->rows[i]);
  json_close_array(json);
  json_key(json, "pools");
  json_open_array(json);
  for (uint32_t i = 0; i < scheduling->spin_count; i++)
    put_pool(writer, &scheduling->spins[i]);
  json_close_array(json);
  json_close_object(json);
}

/* ---- Locks ----------------------------------------------------------------------------------- */

/* Those that wait, or hold it meanwhile: their sum, threads and stacks. */
static void put_side(struct report_json *writer, const char *key, const struct operation_row *row) {
  json_key(&writer->json, key);
  json_open_object(&writer->json);
  report_json_sum(writer, locks_sum(row));
  report_json_threads(writer, row);
  report_json_stacks(writer, row);
  json_close_object(&writer->json);
}

static void put_lock(struct report_json *writer, const struct lock_row *row) {
  const struct profile_process *process = &writer->profile->processes[row->process];
  struct json *json = &writer->json;
  json_open_object(json);
  json_member_text(json, "lock", operations_object_name(writer->profile, row->object));
  json_member_u64(json, "pid", process->pid);
  json_member_text(json, "process", process->name);
  json_member_u64(json, "threads_on_both_sides", row->both_count);
  put_side(writer, "wait", row->wait);
  put_side(writer, "hold", row->hold);
  json_close_object(json);
}

static void put_lock_rows(struct report_json *writer, const char *key, const struct lock_row *rows,
                          uint32_t count) {
  json_key(&writer->json, key);
  json_open_array(&writer->json);
  for (uint32_t i = 0; i < report_json_shown(writer, count); i++) {
    report_json_limit_stacks(writer, i);
    put_lock(writer, &rows[i]);
  }
  json_close_array(&writer->json);
}

static void put_gil_thread(struct report_json *writer, const struct gil_thread *row) {
  struct json *json = &writer->json;
  uint64_t wall_ns = row->thread == PROFILE_NONE
                         ? 0
                         : thread_wall_ns(writer->profile, &writer->profile->threads[row->thread]);
  json_open_object(json);
  report_json_thread(writer, row->thread);
  json_member_u64(json, "waits", row->waits);
  report_json_fine_ms(writer, "wait_ms", row->wait_ns);
  report_json_pct(writer, "thread_pct", row->wait_ns, wall_ns);
  report_json_fine_ms(writer, "max_ms", row->max_ns);
  json_member_u64(json, "held_waits", row->held_count);
  report_json_fine_ms(writer, "held_ms", row->held_ns);
  json_close_object(json);
}

static void put_gil(struct report_json *writer) {
  const struct locks *locks = &writer->summary->system.locks;
  struct json *json = &writer->json;
  json_key(json, "gil");
  if (!locks->gil_count) {
    json_null(json);
    return;
  }
  json_open_object(json);
  json_member_u64(json, "waits", locks->gil_waits);
  report_json_fine_ms(writer, "wait_ms", locks->gil_wait_ns);
  report_json_pct(writer, "wall_pct", locks->gil_wait_ns,
                  writer->summary->accounting.total.wall_ns);
  json_key(json, "threads");
  json_open_array(json);
  for (uint32_t i = 0; i < report_json_shown(writer, locks->thread_count); i++)
    put_gil_thread(writer, &locks->threads[i]);
  json_close_array(json);
  put_lock_rows(writer, "processes", locks->gils, locks->gil_count);
  json_close_object(json);
}

void report_json_put_locks(struct report_json *writer) {
  const struct locks *locks = &writer->summary->system.locks;
  put_lock_rows(writer, "locks", locks->rows, locks->count);
  put_gil(writer);
}

/* ---- Processes ------------------------------------------------------------------------------- */

static void put_course(struct json *json, const char *key, const struct course *course) {
  if (!course->count)
    return;
  json_key(json, key);
  json_open_object(json);
  json_member_u64(json, "first", course->first);
  json_member_u64(json, "last", course->last);
  json_member_u64(json, "max", course->max);
  json_close_object(json);
}

static void put_end(struct report_json *writer, const struct process_life *life) {
  struct json *json = &writer->json;
  struct buf status = {0};
  json_key(json, "exit");
  if (!life->has_exit) {
    json_null(json);
    return;
  }
  system_put_status(&status, life->status);
  json_open_object(json);
  json_member_u64(json, "status", (uint32_t)life->status);
  json_member_text(json, "text", buf_text(&status));
  report_json_fine_ms(writer, "at_ms", life->exit_ns);
  json_close_object(json);
  writer->failed |= status.failed;
  buf_fini(&status);
}

void report_json_put_process(struct report_json *writer, uint32_t process) {
  static const struct {
    const char *key;
    enum point_metric metric;
    bool is_count; /* what it rose by in the capture; else its course */
  } metrics[] = {
      {"threads_level", POINT_THREADS, false},
      {"descriptors", POINT_DESCRIPTORS, false},
      {"descriptors_limit", POINT_DESCRIPTORS_LIMIT, false},
      {"minor_faults", POINT_MINOR_FAULTS, true},
      {"major_faults", POINT_MAJOR_FAULTS, true},
      {"read_bytes", POINT_READ_BYTES, true},
      {"write_bytes", POINT_WRITE_BYTES, true},
      {"read_chars", POINT_READ_CHARS, true},
      {"write_chars", POINT_WRITE_CHARS, true},
      {"resident_heap_bytes", POINT_RESIDENT_HEAP, false},
      {"resident_stack_bytes", POINT_RESIDENT_STACK, false},
      {"resident_anonymous_bytes", POINT_RESIDENT_ANONYMOUS, false},
      {"resident_code_bytes", POINT_RESIDENT_CODE, false},
      {"resident_file_bytes", POINT_RESIDENT_FILE, false},
      {"resident_shared_bytes", POINT_RESIDENT_SHARED, false},
      {"memory_limit_bytes", POINT_MEMORY_LIMIT, false},
  };
  const struct system_part *part = &writer->summary->system;
  const struct process_life *life = &part->processes.lives[process];
  struct json *json = &writer->json;
  json_member_u64(json, "forks", life->forks);
  json_member_u64(json, "execs", life->execs);
  put_end(writer, life);
  json_member_bool(json, "is_oom_killed", life->is_oom_killed);
  for (size_t i = 0; i < COUNT(metrics); i++) {
    const struct course *course = points_course(&part->points, process, metrics[i].metric);
    if (!metrics[i].is_count)
      put_course(json, metrics[i].key, course);
    else if (course->count)
      json_member_u64(json, metrics[i].key, points_rise(&part->points, process, metrics[i].metric));
  }
}
