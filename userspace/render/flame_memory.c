/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the encoding of memory for the page: the course of each site and of each process. */
#include "render/flame_memory.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "analysis/calltree.h"
#include "analysis/heap.h"
#include "analysis/leak.h"
#include "analysis/memory.h"
#include "trace/format.h"

#define ENTRIES_MAX 400000 /* of all sites; more are put in larger buckets */

struct growth {
  uint64_t value; /* 0: no leak */
  uint64_t low;
  uint64_t high;
};

struct flame_memory {
  const struct profile *profile;
  struct heap *heap;
  struct leak_report *leaks;
  struct growth *growths; /* by site of the profile */
  bool by_iteration;
};

static bool is_shown(const struct profile_heap_site *site) {
  return site->kind == HEAP_MALLOC || site->kind == HEAP_PYTHON;
}

static uint64_t part_of(double value, uint64_t part, uint64_t whole) {
  return calltree_whole_bytes(whole ? value * (double)part / (double)whole : 0);
}

/* As the most that they held was: at the end all may have been given back. */
static void divide_growth(struct flame_memory *memory, const struct leak_site *leak) {
  const struct profile *profile = memory->profile;
  const struct heap_stack *stack = &memory->heap->stacks[leak->stack];
  const struct leak_slope *slope = memory->by_iteration ? &leak->per_iteration : &leak->per_second;
  uint64_t whole = stack->totals.peak_bytes;
  for (uint32_t i = 0; i < stack->site_count; i++) {
    uint32_t index = memory->heap->sites_by_stack[stack->site_first + i];
    const struct profile_heap_site *site = &profile->heap_sites[index];
    uint64_t part = profile->heap_points[site->point_first + site->point_count - 1].peak_bytes;
    memory->growths[index] = (struct growth){.value = part_of(slope->value, part, whole),
                                             .low = part_of(slope->low, part, whole),
                                             .high = part_of(slope->high, part, whole)};
  }
}

int flame_memory_new(struct flame_memory **out, const struct profile *profile) {
  struct flame_memory *memory = calloc(1, sizeof(*memory));
  *out = NULL;
  if (!memory)
    return -ENOMEM;
  memory->profile = profile;
  memory->growths = calloc(profile->heap_site_count + 1ull, sizeof(*memory->growths));
  int rc = memory->growths ? heap_build(&memory->heap, profile) : -ENOMEM;
  if (!rc)
    rc = leak_analyse(&memory->leaks, profile, memory->heap);
  if (rc) {
    flame_memory_free(memory);
    return rc;
  }
  memory->by_iteration = calltree_leaks_by_iteration(memory->leaks);
  for (uint32_t i = 0; i < memory->leaks->site_count; i++)
    if (memory->leaks->sites[i].verdict == LEAK_LEAK)
      divide_growth(memory, &memory->leaks->sites[i]);
  *out = memory;
  return 0;
}

void flame_memory_free(struct flame_memory *memory) {
  if (!memory)
    return;
  leak_report_free(memory->leaks);
  heap_free(memory->heap);
  free(memory->growths);
  free(memory);
}

void flame_memory_mark(const struct flame_memory *memory, uint32_t *node_ids) {
  for (uint32_t i = 0; i < memory->profile->heap_site_count; i++)
    if (is_shown(&memory->profile->heap_sites[i]))
      node_ids[memory->profile->heap_sites[i].node] = 1;
}

/* ---- sites ---- */

struct buckets {
  uint64_t bucket_ns;
  uint32_t count;
  uint32_t step; /* so many are one */
};

/* The last bucket of the group into which the moment falls. */
static uint32_t bucket_of(const struct buckets *buckets, uint64_t time_ns) {
  uint64_t group = time_ns / buckets->bucket_ns / buckets->step;
  uint64_t last = (group + 1) * buckets->step - 1;
  return last < buckets->count ? (uint32_t)last : buckets->count - 1;
}

static void put_entry(struct buf *buf, const struct profile_heap_point *point,
                      const struct profile_heap_point *before) {
  uint64_t allocations = point->allocations - before->allocations;
  uint64_t bytes = point->allocated_bytes - before->allocated_bytes;
  buf_put_varint(buf, allocations);
  buf_put_varint(buf, bytes);
  buf_put_varint(buf, format_zigzag((int64_t)(allocations - (point->frees - before->frees))));
  buf_put_varint(buf, format_zigzag((int64_t)(bytes - (point->freed_bytes - before->freed_bytes))));
}

/* The last point of each bucket. Returns the number; writes nothing when `buf` is NULL. */
static uint32_t put_entries(struct buf *buf, const struct profile *profile,
                            const struct profile_heap_site *site, const struct buckets *buckets) {
  static const struct profile_heap_point nothing;
  const struct profile_heap_point *points = &profile->heap_points[site->point_first];
  const struct profile_heap_point *before = &nothing;
  uint32_t count = 0, last = 0;
  for (size_t i = 0; i < site->point_count; i++) {
    uint32_t bucket = bucket_of(buckets, points[i].time_ns);
    if (i + 1 < site->point_count && bucket_of(buckets, points[i + 1].time_ns) == bucket)
      continue;
    count++;
    if (!buf)
      continue;
    buf_put_varint(buf, bucket - last);
    put_entry(buf, &points[i], before);
    before = &points[i];
    last = bucket;
  }
  return count;
}

static void put_site(const struct flame_memory *memory, struct buf *buf, uint32_t index,
                     const uint32_t *node_ids, const struct buckets *buckets) {
  const struct profile *profile = memory->profile;
  const struct profile_heap_site *site = &profile->heap_sites[index];
  const struct growth *growth = &memory->growths[index];
  buf_put_varint(buf, site->process);
  buf_put_varint(buf, node_ids[site->node]);
  buf_put_varint(buf, heap_live_at(profile, site, memory->heap->peak_ns));
  buf_put_varint(buf, growth->value);
  buf_put_varint(buf, growth->low);
  buf_put_varint(buf, growth->high);
  buf_put_varint(buf, put_entries(NULL, profile, site, buckets));
  put_entries(buf, profile, site, buckets);
}

/* ---- series ---- */

static uint32_t bucket_of_point(const struct profile *profile, const struct memory_process *process,
                                uint32_t i, const struct buckets *buckets) {
  return bucket_of(buckets, profile->memory_points[process->points[i]].time_ns);
}

struct values {
  struct buf *buf; /* NULL: they are only counted */
  uint32_t count;
  uint32_t bucket; /* of the one before */
  uint64_t value;
};

static void put_value(struct values *values, uint32_t bucket, uint64_t value) {
  if (values->buf) {
    buf_put_varint(values->buf, bucket - values->bucket);
    buf_put_varint(values->buf, format_zigzag(value - values->value));
  }
  values->count++;
  values->bucket = bucket;
  values->value = value;
}

/* The last value of each bucket that has one; 0 when the process ended before the capture did.
 * Returns the number. */
static uint32_t put_values(struct buf *buf, const struct profile *profile,
                           const struct memory_process *process, enum memory_metric metric,
                           const struct buckets *buckets) {
  struct values values = {.buf = buf};
  for (uint32_t i = 0; i < process->point_count; i++) {
    const struct profile_memory_point *point = &profile->memory_points[process->points[i]];
    uint32_t bucket = bucket_of_point(profile, process, i, buckets);
    bool is_last = i + 1 == process->point_count ||
                   bucket_of_point(profile, process, i + 1, buckets) != bucket;
    if (is_last && (point->present >> metric & 1))
      put_value(&values, bucket, point->values[metric]);
  }
  uint32_t end = bucket_of(buckets, profile->processes[process->process].end_ns);
  if (values.count && end > values.bucket && end + 1 < buckets->count)
    put_value(&values, end, 0);
  return values.count;
}

static int put_series(const struct flame_memory *memory, struct buf *buf,
                      const struct buckets *buckets) {
  struct memory processes;
  int rc = memory_build(&processes, memory->profile);
  buf_put_varint(buf, processes.process_count);
  for (uint32_t i = 0; !rc && i < processes.process_count; i++) {
    const struct memory_process *process = &processes.processes[i];
    buf_put_varint(buf, process->process);
    buf_put_varint(buf, MEMORY_RSS);
    buf_put_varint(buf, put_values(NULL, memory->profile, process, MEMORY_RSS, buckets));
    put_values(buf, memory->profile, process, MEMORY_RSS, buckets);
  }
  memory_fini(&processes);
  return rc;
}

int flame_memory_put(const struct flame_memory *memory, struct buf *buf, const uint32_t *node_ids,
                     uint64_t bucket_ns, uint32_t bucket_count) {
  const struct profile *profile = memory->profile;
  struct buckets buckets = {.bucket_ns = bucket_ns, .count = bucket_count, .step = 1};
  uint32_t count = 0;
  for (uint32_t i = 0; i < profile->heap_site_count; i++)
    count += is_shown(&profile->heap_sites[i]);
  buf_put_varint(buf, count);
  struct buckets larger = buckets;
  if (profile->heap_point_count > ENTRIES_MAX && (uint64_t)count * bucket_count > ENTRIES_MAX)
    larger.step = (uint32_t)((uint64_t)count * bucket_count / ENTRIES_MAX) + 1;
  for (uint32_t i = 0; i < profile->heap_site_count; i++)
    if (is_shown(&profile->heap_sites[i]))
      put_site(memory, buf, i, node_ids, &larger);
  return put_series(memory, buf, &buckets);
}

/* ---- facts ---- */

static void put_limit(struct json *json, const struct leak_report *leaks) {
  const struct leak_process *soonest = NULL;
  for (uint32_t i = 0; i < leaks->process_count; i++)
    if (isfinite(leaks->processes[i].seconds_to_limit) && leaks->processes[i].limit_bytes &&
        (!soonest || leaks->processes[i].seconds_to_limit < soonest->seconds_to_limit))
      soonest = &leaks->processes[i];
  json_member_u64(json, "limit_bytes", soonest ? soonest->limit_bytes : 0);
  json_member_text(json, "limit_name", soonest && soonest->limit_name ? soonest->limit_name : "");
  json_member_double(json, "seconds_to_limit", soonest ? soonest->seconds_to_limit : INFINITY, 0);
}

void flame_memory_put_facts(const struct flame_memory *memory, struct json *json) {
  const struct heap *heap = memory->heap;
  const struct leak_report *leaks = memory->leaks;
  uint32_t too_short = 0;
  json_key(json, "heap");
  if (!heap->is_recorded) {
    json_null(json);
    return;
  }
  for (uint32_t i = 0; i < leaks->site_count; i++)
    too_short += leaks->sites[i].verdict == LEAK_TOO_SHORT;
  json_open_object(json);
  json_member_bool(json, "is_sampled", heap_is_estimate(heap));
  json_member_text(json, "leak_unit", memory->by_iteration ? "iteration" : "s");
  json_member_u64(json, "peak_bytes", heap->totals.peak_bytes);
  json_member_u64(json, "peak_ns", heap->peak_ns);
  json_member_u64(json, "allocations", heap->totals.allocations);
  json_member_u64(json, "frees", heap->totals.frees);
  json_member_u64(json, "leaks", leaks->leak_count);
  json_member_u64(json, "judged", leaks->site_count);
  json_member_u64(json, "too_short", too_short);
  put_limit(json, leaks);
  json_close_object(json);
}
