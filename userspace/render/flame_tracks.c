/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the encoding of what stands below the timeline: which calls and waits were longest, what
 * became of processes. The series are flame_series.c's. */
#include "render/flame_tracks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "render/flame_series.h"
#include "render/flame_text.h"
#include "trace/format.h"

#define SHORTEST_NS NS_PER_MS

struct bar {
  uint64_t time_ns;
  uint64_t duration_ns;
  int64_t result;
  uint32_t thread;
  uint32_t node;
  const char *name;
  const char *object; /* "" when there is none */
  enum flame_tone tone;
};

struct bars {
  struct bar *items;
  size_t count;
  size_t found; /* before the shorter ones were left out */
};

struct flame_tracks {
  const struct profile *profile;
  struct bars calls;
  struct bars waits;
  const struct profile_happening **marks;
  size_t mark_count;
};

/* ---- bars ---- */

/* Of calls whose object is not known. */
static enum flame_tone tone_of_name(const char *name) {
  static const struct {
    const char *part;
    enum flame_tone tone;
  } tones[] = {
      {"futex", TONE_LOCK},    {"mutex", TONE_LOCK},     {"cond_", TONE_LOCK},
      {"sleep", TONE_EVENT},   {"poll", TONE_EVENT},     {"select", TONE_EVENT},
      {"wait", TONE_EVENT},    {"recv", TONE_SOCKET},    {"send", TONE_SOCKET},
      {"accept", TONE_SOCKET}, {"connect", TONE_SOCKET}, {"sync", TONE_FILE},
      {"open", TONE_FILE},     {"stat", TONE_FILE},
  };
  for (size_t i = 0; i < sizeof(tones) / sizeof(tones[0]); i++)
    if (strstr(name, tones[i].part))
      return tones[i].tone;
  return TONE_SYSCALL;
}

static struct bar bar_of_operation(const struct profile *profile,
                                   const struct profile_slow_operation *slow) {
  const struct profile_operation *operation = &profile->operations[slow->operation];
  uint32_t id = slow->object != PROFILE_NONE ? slow->object : operation->object;
  const struct profile_object *object = id < profile->object_count ? &profile->objects[id] : NULL;
  enum flame_tone tone =
      operation->class == OPERATION_PROBE ? TONE_PROBE : tone_of_name(operation->name);
  return (struct bar){.time_ns = slow->time_ns,
                      .duration_ns = slow->duration_ns,
                      .result = slow->result,
                      .thread = slow->thread,
                      .node = slow->node,
                      .name = operation->name,
                      .object = object ? object->name : "",
                      .tone = object ? flame_object_tone(object->kind) : tone};
}

static struct bar bar_of_call(const struct profile_slow_call *slow) {
  return (struct bar){.time_ns = slow->time_ns,
                      .duration_ns = slow->duration_ns,
                      .result = slow->result,
                      .thread = slow->thread,
                      .node = slow->node,
                      .name = slow->name,
                      .object = "",
                      .tone = tone_of_name(slow->name)};
}

/* The kernel's account of slow calls; the shim's, which would tell them again, only without it. */
static void find_calls(struct bars *bars, const struct profile *profile) {
  bool has_kernels = false;
  for (size_t i = 0; i < profile->slow_operation_count; i++) {
    const struct profile_slow_operation *slow = &profile->slow_operations[i];
    enum operation_class class = profile->operations[slow->operation].class;
    has_kernels |= class == OPERATION_SYSCALL;
    if (class == OPERATION_SYSCALL || class == OPERATION_PROBE)
      bars->items[bars->found++] = bar_of_operation(profile, slow);
  }
  for (size_t i = 0; !has_kernels && i < profile->slow_call_count; i++)
    bars->items[bars->found++] = bar_of_call(&profile->slow_calls[i]);
}

static void find_waits(struct bars *bars, const struct profile *profile) {
  for (size_t i = 0; i < profile->wait_count; i++) {
    const struct profile_wait *wait = &profile->waits[i];
    if (wait->reason != WAIT_SOCKET || wait->count != 1 || wait->span_ns < SHORTEST_NS)
      continue;
    bars->items[bars->found++] = (struct bar){.time_ns = wait->start_ns,
                                              .duration_ns = wait->span_ns,
                                              .thread = wait->thread,
                                              .node = wait->node,
                                              .name = "waiting: socket",
                                              .object = "",
                                              .tone = TONE_SOCKET};
  }
}

/* Equal ones in any order but that of time: what is left of them shall not be their beginning. */
static int by_duration(const void *a, const void *b) {
  const struct bar *left = a, *right = b;
  if (left->duration_ns != right->duration_ns)
    return left->duration_ns < right->duration_ns ? 1 : -1;
  uint64_t left_order = hash_mix(left->time_ns, left->thread);
  uint64_t right_order = hash_mix(right->time_ns, right->thread);
  return (left_order > right_order) - (left_order < right_order);
}

static int by_start(const void *a, const void *b) {
  const struct bar *left = a, *right = b;
  return (left->time_ns > right->time_ns) - (left->time_ns < right->time_ns);
}

static int take_bars(struct bars *bars, const struct profile *profile, size_t most,
                     void (*find)(struct bars *bars, const struct profile *profile)) {
  bars->items = calloc(most + 1, sizeof(*bars->items));
  if (!bars->items)
    return -ENOMEM;
  find(bars, profile);
  bars->count = bars->found;
  if (bars->count > FLAME_BARS_MAX) {
    qsort(bars->items, bars->found, sizeof(*bars->items), by_duration);
    bars->count = FLAME_BARS_MAX;
  }
  qsort(bars->items, bars->count, sizeof(*bars->items), by_start);
  return 0;
}

/* ---- marks ---- */

static int by_weight(const void *a, const void *b) {
  static const int weights[HAPPENINGS] = {
      [HAPPENING_OOM_KILL] = 4, [HAPPENING_EXEC] = 2, [HAPPENING_EXIT] = 1};
  const struct profile_happening *left = *(const struct profile_happening *const *)a;
  const struct profile_happening *right = *(const struct profile_happening *const *)b;
  int left_weight = weights[left->what] + (left->what == HAPPENING_EXIT && left->value ? 2 : 0);
  int right_weight = weights[right->what] + (right->what == HAPPENING_EXIT && right->value ? 2 : 0);
  if (left_weight != right_weight)
    return right_weight - left_weight;
  return (left > right) - (left < right);
}

static int by_place(const void *a, const void *b) {
  const struct profile_happening *left = *(const struct profile_happening *const *)a;
  const struct profile_happening *right = *(const struct profile_happening *const *)b;
  return (left > right) - (left < right);
}

/* Those of the profile are in order of time. */
static int take_marks(struct flame_tracks *tracks) {
  const struct profile *profile = tracks->profile;
  tracks->marks = calloc(profile->happening_count + 1, sizeof(const struct profile_happening *));
  if (!tracks->marks)
    return -ENOMEM;
  for (size_t i = 0; i < profile->happening_count; i++)
    if (profile->happenings[i].what > 0 && profile->happenings[i].what < HAPPENINGS)
      tracks->marks[tracks->mark_count++] = &profile->happenings[i];
  if (tracks->mark_count > FLAME_MARKS_MAX) {
    qsort(tracks->marks, tracks->mark_count, sizeof(tracks->marks[0]), by_weight);
    tracks->mark_count = FLAME_MARKS_MAX;
    qsort(tracks->marks, tracks->mark_count, sizeof(tracks->marks[0]), by_place);
  }
  return 0;
}

/* ---- the whole ---- */

int flame_tracks_new(struct flame_tracks **out, const struct profile *profile) {
  struct flame_tracks *tracks = calloc(1, sizeof(*tracks));
  *out = NULL;
  if (!tracks)
    return -ENOMEM;
  tracks->profile = profile;
  int rc = take_bars(&tracks->calls, profile,
                     profile->slow_operation_count + profile->slow_call_count, find_calls);
  if (!rc)
    rc = take_bars(&tracks->waits, profile, profile->wait_count, find_waits);
  if (!rc)
    rc = take_marks(tracks);
  if (rc)
    flame_tracks_free(tracks);
  else
    *out = tracks;
  return rc;
}

void flame_tracks_free(struct flame_tracks *tracks) {
  if (!tracks)
    return;
  free(tracks->calls.items);
  free(tracks->waits.items);
  free(tracks->marks);
  free(tracks);
}

static void mark_bars(const struct bars *bars, const struct profile *profile, uint32_t *node_ids) {
  for (size_t i = 0; i < bars->count; i++)
    if (bars->items[i].node < profile->node_count)
      node_ids[bars->items[i].node] = 1;
}

void flame_tracks_mark(const struct flame_tracks *tracks, uint32_t *node_ids) {
  mark_bars(&tracks->calls, tracks->profile, node_ids);
  mark_bars(&tracks->waits, tracks->profile, node_ids);
}

static void put_label(struct buf *buf, struct strtab *strings, const struct bar *bar) {
  struct buf text = {0};
  buf_put_text(&text, bar->name);
  buf_put_text(&text, *bar->object ? " " : "");
  buf_put_text(&text, bar->object);
  buf_put_varint(buf, text.failed ? 0 : strtab_add(strings, buf_text(&text), text.length));
  buf->failed |= text.failed;
  buf_fini(&text);
}

static void put_bars(struct buf *buf, const struct bars *bars, const struct profile *profile,
                     struct strtab *strings, const uint32_t *node_ids) {
  uint64_t before_us = 0;
  buf_put_varint(buf, bars->found);
  buf_put_varint(buf, bars->count);
  for (size_t i = 0; i < bars->count; i++) {
    const struct bar *bar = &bars->items[i];
    uint64_t time_us = bar->time_ns / NS_PER_US;
    buf_put_varint(buf, time_us - before_us);
    buf_put_varint(buf, bar->duration_ns / NS_PER_US);
    buf_put_varint(buf, bar->thread);
    put_label(buf, strings, bar);
    buf_put_varint(buf, format_zigzag(bar->result));
    buf_put_varint(buf, bar->node < profile->node_count ? node_ids[bar->node] : 0);
    buf_put_varint(buf, bar->tone);
    before_us = time_us;
  }
}

static void put_marks(const struct flame_tracks *tracks, struct buf *buf, struct strtab *strings) {
  uint64_t before_us = 0;
  buf_put_varint(buf, tracks->profile->happening_count);
  buf_put_varint(buf, tracks->mark_count);
  for (size_t i = 0; i < tracks->mark_count; i++) {
    const struct profile_happening *mark = tracks->marks[i];
    uint64_t time_us = mark->time_ns / NS_PER_US;
    buf_put_varint(buf, time_us - before_us);
    buf_put_varint(buf, mark->process);
    buf_put_varint(buf, mark->what);
    buf_put_varint(buf, mark->value);
    buf_put_varint(buf, strtab_add(strings, mark->text, strlen(mark->text)));
    before_us = time_us;
  }
}

int flame_tracks_put(const struct flame_tracks *tracks, struct buf *buf, struct strtab *strings,
                     const uint32_t *node_ids, uint64_t bucket_ns, uint32_t bucket_count) {
  int rc = flame_series_put(buf, tracks->profile, bucket_ns, bucket_count);
  if (rc)
    return rc;
  put_bars(buf, &tracks->calls, tracks->profile, strings, node_ids);
  put_bars(buf, &tracks->waits, tracks->profile, strings, node_ids);
  put_marks(tracks, buf, strings);
  return 0;
}
