/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What stands below the timeline, decoded again: series add up to what was counted and lie where it
 * happened, bars and marks are thinned to those that matter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/units.h"
#include "render/flame_series.h"
#include "render/flame_text.h"
#include "render/flame_tracks.h"
#include "trace/format.h"

#define SECONDS 1000
#define BUCKETS 800

static struct profile_process processes[300];
static struct profile_operation operations[4];
static struct trace_operation_sum sums[4096];
static struct profile_point points[90000];
static struct profile profile;

static void make(uint32_t process_count) {
  memset(processes, 0, sizeof(processes));
  memset(operations, 0, sizeof(operations));
  for (uint32_t i = 0; i < process_count; i++)
    processes[i] = (struct profile_process){.pid = i + 1, .end_ns = SECONDS * NS_PER_S};
  profile = (struct profile){.processes = processes,
                             .process_count = process_count,
                             .operations = operations,
                             .operation_points = sums,
                             .points = points,
                             .duration_ns = SECONDS * NS_PER_S};
}

static struct profile_operation *add_operation(enum operation_class class, const char *name) {
  struct profile_operation *operation = &operations[profile.operation_count++];
  *operation = (struct profile_operation){.class = class,
                                          .thread = PROFILE_NONE,
                                          .object = PROFILE_NONE,
                                          .name = name,
                                          .point_first = profile.operation_point_count};
  return operation;
}

static void add_sum(struct profile_operation *operation, uint64_t time_ns, uint64_t count,
                    uint64_t bytes) {
  sums[profile.operation_point_count++] =
      (struct trace_operation_sum){.time_ns = time_ns, .count = count, .bytes = bytes};
  operation->point_count++;
}

static void add_point(uint32_t process, enum point_metric metric, uint64_t time_ns,
                      uint64_t value) {
  points[profile.point_count++] = (struct profile_point){time_ns, process, metric, value};
}

struct decoded {
  uint64_t step;
  uint64_t series;
  uint64_t entries;
  uint64_t values[BUCKETS]; /* of the series that was asked for */
  bool is_set[BUCKETS];
  uint64_t sum;
  bool is_there;
};

static struct decoded decode(uint64_t bucket_ns, enum flame_series what, uint32_t process) {
  uint32_t bucket_count = (uint32_t)(SECONDS * NS_PER_S / bucket_ns);
  struct buf buf = {0};
  struct decoded decoded = {0};
  assert_in_range(bucket_count, 1, BUCKETS);
  assert_int_equal(flame_series_put(&buf, &profile, bucket_ns, bucket_count), 0);
  struct cursor cursor = cursor_of(buf.data, buf.length);
  decoded.step = cursor_varint(&cursor);
  decoded.series = cursor_varint(&cursor);
  for (uint64_t i = 0; i < decoded.series; i++) {
    uint64_t found = cursor_varint(&cursor), of = cursor_varint(&cursor), bucket = 0;
    bool is_asked = found == what && of == (uint32_t)(process + 1); /* of the host: PROFILE_NONE */
    decoded.is_there |= is_asked;
    for (uint64_t left = cursor_varint(&cursor); left > 0; left--, decoded.entries++) {
      bucket += cursor_varint(&cursor);
      uint64_t value = cursor_varint(&cursor);
      assert_in_range(bucket, 0, bucket_count - 1);
      if (!is_asked)
        continue;
      decoded.values[bucket] = value;
      decoded.is_set[bucket] = true;
      decoded.sum += value;
    }
  }
  assert_false(cursor.failed);
  assert_int_equal(cursor_left(&cursor), 0);
  buf_fini(&buf);
  return decoded;
}

/* What two files were read adds up, in any buckets; other operations are no part of it. */
static void amounts_add_up(void **state) {
  (void)state;
  make(1);
  for (int file = 0; file < 2; file++) {
    struct profile_operation *read = add_operation(OPERATION_FILE, "read");
    for (uint64_t s = 1; s <= 700; s++)
      add_sum(read, s * NS_PER_S, s, s * 1000003 + s % 7);
  }
  struct profile_operation *open = add_operation(OPERATION_FILE, "open");
  add_sum(open, NS_PER_S, 5, 5);
  const uint64_t bucket_ns[] = {SECONDS * NS_PER_S / BUCKETS, 7 * NS_PER_S};
  for (size_t i = 0; i < 2; i++) {
    struct decoded read = decode(bucket_ns[i], SERIES_FILE_READ, 0);
    assert_int_equal(read.series, 1);
    assert_int_equal(read.sum, 2ull * (700 * 1000003));
    /* steady: every bucket has its share, and nothing comes after the last second */
    for (uint64_t b = 1; b < 700 * NS_PER_S / bucket_ns[i] - 1; b++)
      assert_in_range(read.values[b], bucket_ns[i] / NS_PER_S * 1900000ull,
                      bucket_ns[i] * 2.1e6 / NS_PER_S);
    for (uint64_t b = 700 * NS_PER_S / bucket_ns[i] + 1; b < BUCKETS; b++)
      assert_int_equal(read.values[b], 0);
  }
}

/* A sum is written when something changed: what it gained, it gained in the last second. But where
 * sums were thinned, it did so since the one before. */
static void amounts_lie_where_they_happened(void **state) {
  (void)state;
  make(1);
  struct profile_operation *burst = add_operation(OPERATION_FAULT, "major");
  add_sum(burst, 10 * NS_PER_S, 3, 0);
  add_sum(burst, 500 * NS_PER_S, 1003, 0);
  struct profile_operation *thinned = add_operation(OPERATION_SOCKET, "send");
  for (uint64_t i = 1; i <= 100; i++)
    add_sum(thinned, 10 * i * NS_PER_S, i, i * 1000);
  struct decoded faults = decode(5 * NS_PER_S, SERIES_MAJOR_FAULTS, 0);
  assert_int_equal(faults.sum, 1003);
  assert_int_equal(faults.values[1], 3);
  assert_int_equal(faults.values[99], 1000); /* [495 s, 500 s) */
  struct decoded sent = decode(5 * NS_PER_S, SERIES_SOCKET_SEND, 0);
  assert_int_equal(sent.sum, 100000);
  for (int b = 2; b < 200; b++)
    assert_int_equal(sent.values[b], 500);
}

/* A count of /proc began with its process: of one that was there before, the first value says
 * nothing. Levels are those at the end of a bucket. */
static void points_count_from_their_first(void **state) {
  (void)state;
  make(2);
  processes[1].start_ns = 100 * NS_PER_S;
  for (uint32_t process = 0; process < 2; process++)
    for (uint64_t s = 200; s <= 300; s += 10) {
      add_point(process, POINT_READ_BYTES, s * NS_PER_S, 50000 + (s - 200) * 40);
      add_point(process, POINT_THREADS, s * NS_PER_S, s);
    }
  add_point(PROFILE_NONE, POINT_HOST_RUNNABLE, 200 * NS_PER_S, 0);
  assert_int_equal(decode(10 * NS_PER_S, SERIES_DEVICE_READ, 0).sum, 100 * 40);
  struct decoded late = decode(10 * NS_PER_S, SERIES_DEVICE_READ, 1);
  assert_int_equal(late.sum, 50000 + 100 * 40);
  assert_int_equal(late.values[10], 5000); /* since its start at 100 s */
  struct decoded threads = decode(25 * NS_PER_S, SERIES_THREADS, 1);
  assert_int_equal(threads.values[8], 220);
  assert_true(threads.is_set[12]);
  assert_false(threads.is_set[7]);
  struct decoded runnable = decode(25 * NS_PER_S, SERIES_RUNNABLE, PROFILE_NONE);
  assert_true(runnable.is_there && runnable.is_set[8]); /* 0 is a level, too */
}

/* Faults are known twice: by what they hit, and from /proc. They are shown once. */
static void operations_come_before_points(void **state) {
  (void)state;
  make(1);
  add_sum(add_operation(OPERATION_FAULT, "minor"), 20 * NS_PER_S, 70, 0);
  for (uint64_t s = 10; s <= 30; s += 10) {
    add_point(0, POINT_MINOR_FAULTS, s * NS_PER_S, s * 100);
    add_point(0, POINT_MAJOR_FAULTS, s * NS_PER_S, s * 2);
  }
  assert_int_equal(decode(10 * NS_PER_S, SERIES_MINOR_FAULTS, 0).sum, 70);
  assert_int_equal(decode(10 * NS_PER_S, SERIES_MAJOR_FAULTS, 0).sum, 40);
}

static void many_processes_share_the_room(void **state) {
  (void)state;
  make(300);
  for (uint64_t s = 0; s < 300; s++)
    for (uint32_t process = 0; process < 300; process++)
      add_point(process, POINT_READ_BYTES, s * 3 * NS_PER_S, s * 12345);
  struct decoded read = decode(SECONDS * NS_PER_S / BUCKETS, SERIES_DEVICE_READ, 299);
  assert_in_range(read.entries, 30000, 60000);
  assert_true(read.step > 1);
  assert_int_equal(read.sum, 299 * 12345);
}

/* ---- bars and marks ---- */

#define MANY 5000

static struct profile_slow_operation slow[MANY];
static struct profile_slow_call slow_calls[2];
static struct profile_wait waits[4];
static struct profile_happening happenings[MANY];
static struct profile_object objects[] = {{OBJECT_SOCKET, "tcp 10.0.0.1:80"}};
static struct profile_thread threads[1];
static struct profile_node nodes[2] = {{.parent = PROFILE_NONE}, {.parent = 0}};

static struct cursor encode(struct buf *buf, struct strtab *strings, uint32_t *node_ids) {
  struct flame_tracks *tracks;
  assert_int_equal(flame_tracks_new(&tracks, &profile), 0);
  flame_tracks_mark(tracks, node_ids);
  for (int i = 0; i < 2; i++)
    node_ids[i] *= 7; /* any number */
  assert_int_equal(flame_tracks_put(tracks, buf, strings, node_ids, NS_PER_S, SECONDS), 0);
  flame_tracks_free(tracks);
  struct cursor cursor = cursor_of(buf->data, buf->length);
  assert_int_equal(cursor_varint(&cursor), 1); /* step */
  assert_int_equal(cursor_varint(&cursor), 0); /* series */
  return cursor;
}

static void make_bars(void) {
  make(1);
  add_operation(OPERATION_SYSCALL, "recvfrom")->thread = 0;
  add_operation(OPERATION_LOCK, "wait");
  profile.threads = threads;
  profile.thread_count = 1;
  profile.nodes = nodes;
  profile.node_count = 2;
  profile.objects = objects;
  profile.object_count = 1;
  profile.slow_calls = slow_calls;
  profile.slow_operations = slow;
  profile.waits = waits;
  profile.happenings = happenings;
  slow_calls[0] = (struct profile_slow_call){7 * NS_PER_MS, 2 * NS_PER_MS, 5, 0, 1, "read"};
}

/* Of 5,000 calls the 2,000 longest, in order of time; a lock's wait is no call. */
static void the_longest_calls_stay(void **state) {
  (void)state;
  make_bars();
  for (uint64_t i = 0; i < MANY; i++)
    slow[i] = (struct profile_slow_operation){.time_ns = i * NS_PER_MS,
                                              .duration_ns = (1 + i * 617 % MANY) * NS_PER_MS,
                                              .result = -104,
                                              .operation = i == 0,
                                              .node = i % 2 ? 1 : PROFILE_NONE};
  profile.slow_operation_count = MANY;
  profile.slow_call_count = 1;
  struct buf buf = {0};
  uint32_t node_ids[2] = {0};
  struct strtab *strings = strtab_new();
  struct cursor cursor = encode(&buf, strings, node_ids);
  assert_int_equal(node_ids[0], 0);
  assert_int_equal(cursor_varint(&cursor), MANY - 1);
  assert_int_equal(cursor_varint(&cursor), FLAME_BARS_MAX);
  uint64_t time_us = 0;
  for (int i = 0; i < FLAME_BARS_MAX; i++) {
    time_us += cursor_varint(&cursor);
    uint64_t index = time_us / 1000;
    uint64_t duration_us = cursor_varint(&cursor);
    assert_int_equal(duration_us, (1 + index * 617 % MANY) * 1000);
    assert_true(duration_us > (MANY - FLAME_BARS_MAX - 1) * 1000ull);
    assert_int_equal(cursor_varint(&cursor), 0); /* thread */
    assert_string_equal(strtab_get(strings, (uint32_t)cursor_varint(&cursor)),
                        "recvfrom tcp 10.0.0.1:80");
    assert_int_equal((int64_t)format_unzigzag(cursor_varint(&cursor)), -104);
    assert_int_equal(cursor_varint(&cursor), index % 2 ? 7 : 0);
    assert_int_equal(cursor_varint(&cursor), TONE_SOCKET);
  }
  assert_false(cursor.failed);
  strtab_free(strings);
  buf_fini(&buf);
}

/* Of calls that are equally long those over all of the time stay. */
static void equal_calls_are_thinned_evenly(void **state) {
  (void)state;
  make_bars();
  for (uint64_t i = 0; i < MANY; i++)
    slow[i] = (struct profile_slow_operation){
        .time_ns = i * NS_PER_MS, .duration_ns = NS_PER_MS, .node = 1, .object = PROFILE_NONE};
  profile.slow_operation_count = MANY;
  struct buf buf = {0};
  uint32_t node_ids[2] = {0};
  struct strtab *strings = strtab_new();
  struct cursor cursor = encode(&buf, strings, node_ids);
  assert_int_equal(cursor_varint(&cursor), MANY);
  assert_int_equal(cursor_varint(&cursor), FLAME_BARS_MAX);
  uint64_t time_us = 0, first_half = 0;
  for (int i = 0; i < FLAME_BARS_MAX; i++) {
    time_us += cursor_varint(&cursor);
    first_half += time_us < MANY / 2 * 1000;
    for (int field = 0; field < 6; field++)
      cursor_varint(&cursor);
  }
  assert_in_range(first_half, FLAME_BARS_MAX * 45 / 100, FLAME_BARS_MAX * 55 / 100);
  strtab_free(strings);
  buf_fini(&buf);
}

static uint64_t skip_bars(struct cursor *cursor) {
  uint64_t found = cursor_varint(cursor);
  for (uint64_t left = 7 * cursor_varint(cursor); left > 0; left--)
    cursor_varint(cursor);
  return found;
}

/* The shim's slow calls where the kernel's are not known; of waits those for sockets that are known
 * one by one and took a millisecond. */
static void other_sources_of_bars(void **state) {
  (void)state;
  make_bars();
  waits[0] = (struct profile_wait){.span_ns = NS_PER_MS, .count = 1, .reason = WAIT_SOCKET};
  waits[1] = (struct profile_wait){.span_ns = NS_PER_MS - 1, .count = 1, .reason = WAIT_SOCKET};
  waits[2] = (struct profile_wait){.span_ns = NS_PER_S, .count = 9, .reason = WAIT_SOCKET};
  waits[3] = (struct profile_wait){.span_ns = NS_PER_S, .count = 1, .reason = WAIT_DISK};
  profile.wait_count = 4;
  profile.slow_call_count = 1;
  struct buf buf = {0};
  uint32_t node_ids[2] = {0};
  struct strtab *strings = strtab_new();
  struct cursor cursor = encode(&buf, strings, node_ids);
  assert_int_equal(skip_bars(&cursor), 1);
  assert_int_equal(skip_bars(&cursor), 1);
  assert_int_equal(cursor_varint(&cursor), 0); /* happenings */
  assert_int_equal(cursor_varint(&cursor), 0);
  assert_int_equal(cursor_left(&cursor), 0);
  strtab_free(strings);
  buf_fini(&buf);
}

/* Of very many children that come and go, those that were killed for memory or failed stay. */
static void the_main_happenings_stay(void **state) {
  (void)state;
  make_bars();
  for (size_t i = 0; i < MANY; i++)
    happenings[i] = (struct profile_happening){i * NS_PER_MS, 0,
                                               i % 2 ? HAPPENING_EXIT : HAPPENING_FORK, 0, ""};
  happenings[4000].what = HAPPENING_OOM_KILL;
  happenings[4001].value = 9;
  happenings[4999].value = 256;
  profile.happening_count = MANY;
  struct buf buf = {0};
  uint32_t node_ids[2] = {0};
  struct strtab *strings = strtab_new();
  struct cursor cursor = encode(&buf, strings, node_ids);
  skip_bars(&cursor);
  skip_bars(&cursor);
  assert_int_equal(cursor_varint(&cursor), MANY);
  assert_int_equal(cursor_varint(&cursor), FLAME_MARKS_MAX);
  uint64_t time_us = 0, killed = 0, failed = 0;
  for (int i = 0; i < FLAME_MARKS_MAX; i++) {
    time_us += cursor_varint(&cursor);
    cursor_varint(&cursor); /* process */
    killed += cursor_varint(&cursor) == HAPPENING_OOM_KILL;
    failed += cursor_varint(&cursor) > 0;
    cursor_varint(&cursor); /* text */
  }
  assert_false(cursor.failed);
  assert_int_equal(cursor_left(&cursor), 0);
  assert_int_equal(time_us, 4999000); /* in order of time */
  assert_int_equal(killed, 1);
  assert_int_equal(failed, 2);
  strtab_free(strings);
  buf_fini(&buf);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(amounts_add_up),
      cmocka_unit_test(amounts_lie_where_they_happened),
      cmocka_unit_test(points_count_from_their_first),
      cmocka_unit_test(operations_come_before_points),
      cmocka_unit_test(many_processes_share_the_room),
      cmocka_unit_test(the_longest_calls_stay),
      cmocka_unit_test(equal_calls_are_thinned_evenly),
      cmocka_unit_test(other_sources_of_bars),
      cmocka_unit_test(the_main_happenings_stay),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
