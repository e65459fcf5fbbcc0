/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the profile from loading to freeing: times, weights and order of what load.c gathered and
 * build.c built. */
#include "model/profile.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/units.h"
#include "model/load.h"

/* What a sample is worth when the trace was cut off before it said its frequency: the default of a
 * capture. */
#define DEFAULT_FREQUENCY_HZ 99

static void *take(struct buf *buf, size_t item_bytes, size_t *count) {
  void *data = buf->data;
  *count = buf->length / item_bytes;
  *buf = (struct buf){0};
  return data;
}

static int take_32(struct buf *buf, size_t item_bytes, void *array, uint32_t *count) {
  size_t wide;
  void *data = take(buf, item_bytes, &wide);
  memcpy(array, &data, sizeof(data));
  *count = (uint32_t)wide;
  return wide < PROFILE_NONE ? 0 : error_set(E2BIG, "the trace holds too many records");
}

/* ---- Order of time --------------------------------------------------------------------------- */

struct moment {
  uint64_t time_ns;
  size_t index;
};

#define DIGIT_BITS 11
#define DIGITS (1u << DIGIT_BITS)

/* One pass of a radix sort: `from` to `to`, in order of the digit at `shift`, stable. */
static void sort_by_digit(const struct moment *from, struct moment *to, size_t count,
                          unsigned shift) {
  size_t starts[DIGITS] = {0};
  size_t sum = 0;
  for (size_t i = 0; i < count; i++)
    starts[from[i].time_ns >> shift & (DIGITS - 1)]++;
  for (size_t digit = 0; digit < DIGITS; digit++) {
    size_t here = starts[digit];
    starts[digit] = sum;
    sum += here;
  }
  for (size_t i = 0; i < count; i++)
    to[starts[from[i].time_ns >> shift & (DIGITS - 1)]++] = from[i];
}

/* Fills `moments` from items that begin with their time. False: they are in order already. */
static bool read_moments(struct moment *moments, const char *items, size_t count, size_t bytes,
                         uint64_t *max_ns) {
  bool is_sorted = true;
  *max_ns = 0;
  for (size_t i = 0; i < count; i++) {
    moments[i].index = i;
    memcpy(&moments[i].time_ns, items + i * bytes, sizeof(uint64_t));
    is_sorted = is_sorted && moments[i].time_ns >= *max_ns;
    if (*max_ns < moments[i].time_ns)
      *max_ns = moments[i].time_ns;
  }
  return !is_sorted;
}

void *sort_by_time(void *items, size_t count, size_t bytes) {
  struct moment *moments = calloc(count + 1, 2 * sizeof(*moments));
  if (!moments)
    return NULL;
  struct moment *from = moments, *to = moments + count;
  uint64_t max_ns;
  char *sorted = items;
  if (read_moments(moments, items, count, bytes, &max_ns)) {
    for (unsigned shift = 0; shift < 64 && max_ns >> shift; shift += DIGIT_BITS) {
      sort_by_digit(from, to, count, shift);
      struct moment *swap = from;
      from = to;
      to = swap;
    }
    sorted = malloc(count * bytes);
    for (size_t i = 0; sorted && i < count; i++)
      memcpy(sorted + i * bytes, (char *)items + from[i].index * bytes, bytes);
    if (sorted)
      free(items);
  }
  free(moments);
  return sorted;
}

_Static_assert(!offsetof(struct profile_sample, time_ns) &&
                   !offsetof(struct profile_wait, start_ns) &&
                   !offsetof(struct profile_memory_point, time_ns) &&
                   !offsetof(struct profile_slow_call, time_ns) &&
                   !offsetof(struct profile_slow_operation, time_ns) &&
                   !offsetof(struct profile_happening, time_ns) &&
                   !offsetof(struct profile_point, time_ns),
               "sort_by_time reads the time there");

/* `array` is the address of a pointer to `count` items. */
static int sort_array(void *array, size_t count, size_t bytes) {
  void *items;
  memcpy(&items, array, sizeof(items));
  if (!count)
    return 0;
  items = sort_by_time(items, count, bytes);
  if (!items)
    return error_set(ENOMEM, "out of memory");
  memcpy(array, &items, sizeof(items));
  return 0;
}

static int sort_events(struct profile *profile) {
  const struct {
    void *array;
    size_t count, bytes;
  } rows[] = {
      {&profile->samples, profile->sample_count, sizeof(*profile->samples)},
      {&profile->waits, profile->wait_count, sizeof(*profile->waits)},
      {&profile->memory_points, profile->memory_point_count, sizeof(*profile->memory_points)},
      {&profile->slow_calls, profile->slow_call_count, sizeof(*profile->slow_calls)},
      {&profile->slow_operations, profile->slow_operation_count, sizeof(*profile->slow_operations)},
      {&profile->happenings, profile->happening_count, sizeof(*profile->happenings)},
      {&profile->points, profile->point_count, sizeof(*profile->points)},
  };
  int error = 0;
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && !error; i++)
    error = sort_array(rows[i].array, rows[i].count, rows[i].bytes);
  return error;
}

/* ---- Times and weights ----------------------------------------------------------------------- */

static uint64_t fact_number(const struct profile *profile, const char *name, uint64_t max) {
  uint64_t value;
  return units_parse_count(profile_fact(profile, name), &value) || value > max ? 0 : value;
}

/* Nothing is later than the profile's end. */
static void set_duration(struct profile *profile, uint64_t last_ns) {
  profile->frequency_hz = (uint32_t)fact_number(profile, "capture.frequency_hz", NS_PER_S);
  profile->duration_ns = fact_number(profile, "capture.duration_ns", 1ull << 53);
  if (profile->duration_ns < last_ns)
    profile->duration_ns = last_ns;
}

static void close_lifetime(const struct profile *profile, uint64_t start_ns, uint64_t *end_ns) {
  if (!*end_ns)
    *end_ns = profile->duration_ns;
  if (*end_ns < start_ns)
    *end_ns = start_ns;
}

static void set_lifetimes(struct profile *profile) {
  for (uint32_t i = 0; i < profile->process_count; i++)
    close_lifetime(profile, profile->processes[i].start_ns, &profile->processes[i].end_ns);
  for (uint32_t i = 0; i < profile->thread_count; i++)
    close_lifetime(profile, profile->threads[i].start_ns, &profile->threads[i].end_ns);
}

static void set_weights(struct profile *profile) {
  uint64_t period_ns =
      NS_PER_S / (profile->frequency_hz ? profile->frequency_hz : DEFAULT_FREQUENCY_HZ);
  for (size_t i = 0; i < profile->sample_count; i++)
    profile->threads[profile->samples[i].thread].sample_count++;
  for (uint32_t i = 0; i < profile->thread_count; i++) {
    struct profile_thread *thread = &profile->threads[i];
    bool is_exact = thread->has_account && thread->account.on_cpu_ns && thread->sample_count;
    thread->sample_weight_ns =
        is_exact ? thread->account.on_cpu_ns / thread->sample_count : period_ns;
  }
}

/* ---- Loading --------------------------------------------------------------------------------- */

static int take_records(struct profile *profile, struct loader *loader) {
  profile->samples = take(&loader->samples, sizeof(*profile->samples), &profile->sample_count);
  profile->waits = take(&loader->waits, sizeof(*profile->waits), &profile->wait_count);
  profile->memory_points =
      take(&loader->memory_points, sizeof(*profile->memory_points), &profile->memory_point_count);
  profile->slow_calls =
      take(&loader->slow_calls, sizeof(*profile->slow_calls), &profile->slow_call_count);
  profile->slow_operations = take(&loader->operations.slow, sizeof(*profile->slow_operations),
                                  &profile->slow_operation_count);
  profile->happenings =
      take(&loader->operations.happenings, sizeof(*profile->happenings), &profile->happening_count);
  int error = take_32(&loader->processes, sizeof(*profile->processes), &profile->processes,
                      &profile->process_count);
  if (!error)
    error = take_32(&loader->threads, sizeof(*profile->threads), &profile->threads,
                    &profile->thread_count);
  if (!error)
    error = take_32(&loader->calls, sizeof(*profile->calls), &profile->calls, &profile->call_count);
  if (!error)
    error = take_32(&loader->operations.objects, sizeof(*profile->objects), &profile->objects,
                    &profile->object_count);
  if (!error)
    error = take_32(&loader->facts, sizeof(*profile->facts), &profile->facts, &profile->fact_count);
  if (!error)
    error = take_32(&loader->counters, sizeof(*profile->counters), &profile->counters,
                    &profile->counter_count);
  return error;
}

/* Makes the profile of the records; the loader keeps what was not taken. */
static int assemble(struct profile *profile, struct loader *loader) {
  int error = build_tree(profile, loader);
  if (!error)
    error = build_heap(profile, loader);
  if (!error)
    error = build_operations(profile, loader);
  if (!error)
    error = take_records(profile, loader);
  if (error)
    return error;
  profile->memory->strings = loader->strings;
  loader->strings = NULL;
  set_duration(profile, loader->last_ns);
  set_lifetimes(profile);
  set_weights(profile);
  return sort_events(profile);
}

static struct profile *new_profile(void) {
  struct profile *profile = calloc(1, sizeof(*profile));
  if (profile)
    profile->memory = calloc(1, sizeof(*profile->memory));
  if (profile && profile->memory)
    return profile;
  free(profile);
  return NULL;
}

/* From the file at `path`, or from memory when it is NULL. */
static int load(struct profile **out, const char *path, const void *data, size_t bytes) {
  struct loader loader;
  int error = loader_init(&loader);
  if (error)
    return error;
  struct profile *profile = new_profile();
  if (!profile)
    error = error_set(ENOMEM, "out of memory");
  else if (path)
    error = trace_read(path, &loader_visitor, &loader, &profile->status);
  else
    error = trace_read_memory(data, bytes, &loader_visitor, &loader, &profile->status);
  if (!error)
    error = assemble(profile, &loader);
  loader_fini(&loader);
  if (error)
    profile_free(profile);
  else
    *out = profile;
  return error;
}

int profile_load(struct profile **out, const char *path) {
  return load(out, path, NULL, 0);
}

int profile_load_memory(struct profile **out, const void *data, size_t bytes) {
  return load(out, NULL, data, bytes);
}

void profile_free(struct profile *profile) {
  if (!profile)
    return;
  free(profile->frames);
  free(profile->functions);
  free(profile->nodes);
  free(profile->processes);
  free(profile->threads);
  free(profile->samples);
  free(profile->waits);
  free(profile->heap_sites);
  free(profile->heap_points);
  free(profile->memory_points);
  free(profile->calls);
  free(profile->slow_calls);
  free(profile->objects);
  free(profile->operations);
  free(profile->operation_points);
  free(profile->operation_stacks);
  free(profile->slow_operations);
  free(profile->happenings);
  free(profile->points);
  free(profile->facts);
  free(profile->counters);
  if (profile->memory) {
    strtab_free(profile->memory->strings);
    free(profile->memory->is_incomplete);
    free(profile->memory->details);
    free(profile->memory);
  }
  free(profile);
}

/* ---- Questions ------------------------------------------------------------------------------- */

const char *profile_fact(const struct profile *profile, const char *name) {
  for (uint32_t i = 0; i < profile->fact_count; i++)
    if (!strcmp(profile->facts[i].name, name))
      return profile->facts[i].value;
  return "";
}

uint64_t profile_counter(const struct profile *profile, const char *name) {
  for (uint32_t i = 0; i < profile->counter_count; i++)
    if (!strcmp(profile->counters[i].name, name))
      return profile->counters[i].value;
  return 0;
}

bool profile_is_complete(const struct profile *profile, uint32_t node) {
  if (profile->memory && profile->memory->is_incomplete)
    return !profile->memory->is_incomplete[node];
  while (profile->nodes[node].parent != PROFILE_NONE) /* a profile made by hand */
    node = profile->nodes[node].parent;
  return profile->frames[profile->nodes[node].frame].kind != FRAME_MARK;
}
