/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the members heap, memory, iterations, calls and slow_calls of the JSON report. */
#include <math.h>
#include <stdlib.h>

#include "analysis/calltree.h"
#include "base/buf.h"
#include "base/units.h"
#include "render/report_json.h"
#include "render/report_site.h"

#define SERIES_POINTS_MAX 120

/* ---- heap ------------------------------------------------------------------------------------ */

static void put_totals(struct json *json, const struct heap_totals *totals) {
  json_member_u64(json, "peak_bytes", totals->peak_bytes);
  json_member_u64(json, "live_bytes", totals->live_bytes);
  json_member_u64(json, "live_blocks", totals->live_blocks);
  json_member_u64(json, "allocations", totals->allocations);
  json_member_u64(json, "frees", totals->frees);
  json_member_u64(json, "bytes_allocated", totals->bytes_allocated);
  json_member_u64(json, "bytes_freed", totals->bytes_freed);
}

static void put_kinds(struct report_json *writer) {
  const struct heap *heap = writer->summary->heap;
  struct json *json = &writer->json;
  json_key(json, "by_kind");
  json_open_array(json);
  for (int kind = 0; kind < HEAP_KINDS; kind++) {
    if (!heap->kinds[kind].allocations)
      continue;
    json_open_object(json);
    json_member_text(json, "kind", heap_kind_name(kind));
    json_member_bool(json, "is_sampled", heap->is_sampled[kind]);
    json_member_u64(json, "interval_bytes", heap->interval_bytes[kind]);
    put_totals(json, &heap->kinds[kind]);
    json_close_object(json);
  }
  json_close_array(json);
}

/* A slope and its interval; nulls where there is none. */
static void put_slope(struct json *json, const char *key, const struct leak_slope *slope) {
  json_member_double(json, key, slope ? slope->value : NAN, 3);
}

static void put_interval(struct json *json, const char *key, const struct leak_slope *slope) {
  json_key(json, key);
  if (!slope) {
    json_null(json);
    return;
  }
  json_open_array(json);
  json_double(json, slope->low, 3);
  json_double(json, slope->high, 3);
  json_close_array(json);
}

static void put_verdict(struct json *json, const struct leak_site *site) {
  const struct leak_slope *by_second = site && site->has_time_slope ? &site->per_second : NULL;
  const struct leak_slope *by_iteration =
      site && site->has_iteration_slope ? &site->per_iteration : NULL;
  json_key(json, "verdict");
  if (site)
    json_text(json, leak_verdict_name(site->verdict));
  else
    json_null(json);
  put_slope(json, "slope_bytes_per_s", by_second);
  put_slope(json, "slope_bytes_per_iteration", by_iteration);
  put_interval(json, "ci95", by_iteration ? by_iteration : by_second);
  put_interval(json, "ci95_bytes_per_s", by_second);
  put_interval(json, "ci95_bytes_per_iteration", by_iteration);
  if (!site)
    return;
  json_member_double(json, "confidence", site->confidence, 3);
  json_member_double(json, "warmup_ms", (double)site->warmup_ns / (double)NS_PER_MS, 3);
  json_member_u64(json, "points", site->point_count);
}

static void put_site_name(struct report_json *writer) {
  struct buf name = {0};
  report_put_site(&name, writer->profile, &writer->frames);
  json_member_text(&writer->json, "site", buf_text(&name));
  writer->failed |= name.failed;
  buf_fini(&name);
}

/* `judged` is NULL for memory that is not the program's own asking. */
static void put_site(struct report_json *writer, const struct heap_stack *stack,
                     const struct leak_site *judged) {
  struct json *json = &writer->json;
  json_open_object(json);
  put_verdict(json, judged);
  json_member_text(json, "kind", heap_kind_name(stack->kind));
  json_member_bool(json, "is_sampled", writer->summary->heap->is_sampled[stack->kind]);
  json_member_u64(json, "processes", stack->site_count);
  put_totals(json, &stack->totals);
  writer->failed |= profile_frames(writer->profile, stack->node, &writer->frames) != 0;
  put_site_name(writer);
  report_json_stack(writer, stack->node);
  json_close_object(json);
}

/* Those that were judged in the order of their judgement, then the others by live bytes. */
static void put_sites(struct report_json *writer) {
  const struct heap *heap = writer->summary->heap;
  const struct leak_report *leaks = writer->summary->leaks;
  uint32_t left = report_json_shown(writer, heap->stack_count);
  bool *is_judged = calloc(heap->stack_count + 1ull, sizeof(*is_judged));
  json_key(&writer->json, "sites");
  json_open_array(&writer->json);
  for (uint32_t i = 0; is_judged && i < leaks->site_count; i++) {
    is_judged[leaks->sites[i].stack] = true;
    if (left && left--)
      put_site(writer, &heap->stacks[leaks->sites[i].stack], &leaks->sites[i]);
  }
  for (uint32_t i = 0; is_judged && i < heap->stack_count && left; i++)
    if (!is_judged[i] && left--)
      put_site(writer, &heap->stacks[i], NULL);
  json_close_array(&writer->json);
  writer->failed |= !is_judged;
  free(is_judged);
}

static void put_heap(struct report_json *writer) {
  const struct heap *heap = writer->summary->heap;
  struct json *json = &writer->json;
  json_key(json, "heap");
  if (!heap->is_recorded) {
    json_null(json);
    return;
  }
  json_open_object(json);
  json_member_bool(json, "is_sampled", heap_is_estimate(heap));
  json_member_bool(json, "is_foreign_allocator",
                   profile_counter(writer->profile, "memory.foreign_allocator") != 0);
  put_totals(json, &heap->totals);
  report_json_ms(writer, "peak_ms", heap->peak_ns);
  json_member_u64(json, "leaks", writer->summary->leaks->leak_count);
  put_kinds(writer);
  put_sites(writer);
  json_close_object(json);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* Members "rss_bytes", "iterations", …: those that were read. */
static void put_metrics(struct report_json *writer, const char *key, const uint64_t *values,
                        uint32_t present) {
  struct json *json = &writer->json;
  struct buf name = {0};
  json_key(json, key);
  json_open_object(json);
  for (int metric = 0; metric < MEMORY_METRICS; metric++) {
    if (!(present >> metric & 1))
      continue;
    buf_clear(&name);
    buf_printf(&name, "%s%s", memory_metric_name(metric),
               metric == MEMORY_ITERATIONS ? "" : "_bytes");
    json_member_u64(json, buf_text(&name), values[metric]);
  }
  json_close_object(json);
  writer->failed |= name.failed;
  buf_fini(&name);
}

static void put_point(struct json *json, const struct profile_memory_point *point) {
  static const struct {
    const char *key;
    enum memory_metric metric;
  } members[] = {{"rss_bytes", MEMORY_RSS},
                 {"live_bytes", MEMORY_HEAP_LIVE},
                 {"iterations", MEMORY_ITERATIONS}};
  json_open_object(json);
  json_member_double(json, "ms", (double)point->time_ns / (double)NS_PER_MS, 3);
  for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
    if (point->present >> members[i].metric & 1)
      json_member_u64(json, members[i].key, point->values[members[i].metric]);
  json_close_object(json);
}

/* At most SERIES_POINTS_MAX of the points, evenly chosen, the last one among them. */
static void put_series(struct report_json *writer, const struct memory_process *process) {
  uint32_t count =
      process->point_count < SERIES_POINTS_MAX ? process->point_count : SERIES_POINTS_MAX;
  json_key(&writer->json, "series");
  json_open_array(&writer->json);
  for (uint32_t i = 0; i < count; i++) {
    uint64_t at = (uint64_t)(i + 1) * process->point_count / count - 1;
    put_point(&writer->json, &writer->profile->memory_points[process->points[at]]);
  }
  json_close_array(&writer->json);
}

static void put_growth(struct json *json, const struct leak_process *growth) {
  static const char *const names[GROWTH_KINDS] = {[GROWTH_HEAP] = "heap",
                                                  [GROWTH_RETAINED] = "allocator_retained",
                                                  [GROWTH_FILE] = "file",
                                                  [GROWTH_OTHER] = "other",
                                                  [GROWTH_UNTOUCHED] = "untouched"};
  put_slope(json, "growth_bytes_per_s", growth->has_rss ? &growth->rss : NULL);
  put_interval(json, "ci95_bytes_per_s", growth->has_rss ? &growth->rss : NULL);
  json_key(json, "growth_split_bytes_per_s");
  json_open_object(json);
  for (int i = 0; i < GROWTH_KINDS; i++)
    json_member_double(json, names[i], growth->growth_bytes_per_s[i], 1);
  json_close_object(json);
  json_member_bool(json, "is_allocator_retained", growth->is_allocator_retained);
  json_key(json, "limit_bytes");
  if (growth->limit_bytes)
    json_u64(json, growth->limit_bytes);
  else
    json_null(json);
  json_member_text(json, "limit_name", growth->limit_name ? growth->limit_name : "");
  json_member_double(json, "seconds_to_limit", growth->seconds_to_limit, 1);
  json_member_double(json, "seconds_to_limit_low", growth->seconds_to_limit_low, 1);
}

static void put_process(struct report_json *writer, const struct memory_process *memory) {
  const struct profile_process *process = &writer->profile->processes[memory->process];
  const struct leak_report *leaks = writer->summary->leaks;
  struct json *json = &writer->json;
  json_open_object(json);
  json_member_u64(json, "pid", process->pid);
  json_member_text(json, "name", process->name);
  json_member_u64(json, "rss_bytes", memory->last[MEMORY_RSS]);
  json_member_u64(json, "rss_peak_bytes", memory->peak[MEMORY_RSS]);
  for (uint32_t i = 0; i < leaks->process_count; i++)
    if (leaks->processes[i].process == memory->process)
      put_growth(json, &leaks->processes[i]);
  put_metrics(writer, "first", memory->first, memory->present);
  put_metrics(writer, "last", memory->last, memory->present);
  put_metrics(writer, "peak", memory->peak, memory->present);
  put_series(writer, memory);
  json_close_object(json);
}

static void put_iterations(struct report_json *writer) {
  const struct leak_report *leaks = writer->summary->leaks;
  json_key(&writer->json, "iterations");
  if (leaks->has_iterations)
    json_u64(&writer->json, leaks->iterations);
  else
    json_null(&writer->json);
}

void report_json_put_memory(struct report_json *writer) {
  const struct memory *memory = &writer->summary->memory;
  struct json *json = &writer->json;
  put_heap(writer);
  json_key(json, "memory");
  json_open_object(json);
  json_key(json, "processes");
  json_open_array(json);
  for (uint32_t i = 0; i < report_json_shown(writer, memory->process_count); i++)
    put_process(writer, &memory->processes[i]);
  json_close_array(json);
  json_close_object(json);
  put_iterations(writer);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void put_call(struct report_json *writer, const struct call_sum *sum) {
  struct json *json = &writer->json;
  json_open_object(json);
  json_member_text(json, "name", sum->name);
  json_member_u64(json, "count", sum->count);
  json_member_u64(json, "errors", sum->errors);
  json_member_u64(json, "bytes", sum->bytes);
  report_json_ms(writer, "total_ms", sum->total_ns);
  json_member_double(json, "p50_ms", (double)sum->p50_ns / (double)NS_PER_MS, 6);
  json_member_double(json, "p95_ms", (double)sum->p95_ns / (double)NS_PER_MS, 6);
  json_member_double(json, "p99_ms", (double)sum->p99_ns / (double)NS_PER_MS, 6);
  json_member_double(json, "max_ms", (double)sum->max_ns / (double)NS_PER_MS, 6);
  json_close_object(json);
}

static void put_slow_call(struct report_json *writer, const struct call_slow *slow) {
  struct json *json = &writer->json;
  json_open_object(json);
  json_member_text(json, "name", slow->name);
  json_member_u64(json, "count", slow->count);
  json_member_u64(json, "errors", slow->errors);
  json_member_u64(json, "bytes", slow->bytes);
  report_json_ms(writer, "total_ms", slow->total_ns);
  report_json_ms(writer, "max_ms", slow->max_ns);
  report_json_ms(writer, "max_start_ms", slow->max_time_ns);
  report_json_stack(writer, slow->node);
  json_close_object(json);
}

void report_json_put_calls(struct report_json *writer) {
  const struct calls *calls = &writer->summary->calls;
  json_key(&writer->json, "calls");
  json_open_array(&writer->json);
  for (uint32_t i = 0; i < report_json_shown(writer, calls->sum_count); i++)
    put_call(writer, &calls->sums[i]);
  json_close_array(&writer->json);
  json_key(&writer->json, "slow_calls");
  json_open_array(&writer->json);
  for (uint32_t i = 0; i < report_json_shown(writer, calls->slow_count); i++)
    put_slow_call(writer, &calls->slow[i]);
  json_close_array(&writer->json);
}
