/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a profile makes of heap sites, memory and calls: merging, thinning, order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/load.h"
#include "trace_log.h"

struct fixture {
  char *path;
  struct trace_writer *writer;
  struct profile *profile;
};

static int set_up(void **state) {
  struct fixture *fixture = calloc(1, sizeof(*fixture));
  fixture->path = trace_path_new();
  *state = fixture;
  return trace_writer_open(&fixture->writer, fixture->path, false);
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  profile_free(fixture->profile);
  if (fixture->writer)
    trace_writer_abandon(fixture->writer);
  trace_path_remove(fixture->path);
  free(fixture);
  return 0;
}

static const struct profile *load(struct fixture *fixture) {
  assert_int_equal(trace_writer_close(fixture->writer), 0);
  fixture->writer = NULL;
  assert_int_equal(profile_load(&fixture->profile, fixture->path), 0);
  return fixture->profile;
}

/* A stack of one frame at an address, of a function at a line. */
static uint32_t put_stack(struct fixture *fixture, uint64_t address, const char *function,
                          uint32_t line) {
  struct trace_frame frame = {.kind = FRAME_NATIVE, .address = address};
  struct trace_symbol symbol = {.frame = trace_put_frame(fixture->writer, &frame),
                                .function =
                                    trace_put_string(fixture->writer, function, strlen(function)),
                                .line = line};
  trace_put_symbol(fixture->writer, &symbol);
  return trace_put_node(fixture->writer, (struct trace_node){0, symbol.frame});
}

static uint32_t put_site(struct fixture *fixture, uint32_t pid, uint32_t node,
                         enum heap_kind kind) {
  struct trace_heap_site site = {pid, node, kind};
  return trace_put_heap_site(fixture->writer, &site);
}

static void put_heap(struct fixture *fixture, struct trace_heap heap) {
  trace_put_heap(fixture->writer, &heap);
}

static void assert_points(const struct profile *profile, uint32_t site,
                          const struct profile_heap_point *expected, size_t count) {
  assert_true(site < profile->heap_site_count);
  assert_int_equal(profile->heap_sites[site].point_count, count);
  assert_memory_equal(&profile->heap_points[profile->heap_sites[site].point_first], expected,
                      count * sizeof(*expected));
}

static void sites_that_symbols_make_equal_are_added_up(void **state) {
  struct fixture *fixture = *state;
  uint32_t one = put_stack(fixture, 0x10, "f", 7), two = put_stack(fixture, 0x20, "f", 7);
  uint32_t other_line = put_stack(fixture, 0x30, "f", 8);
  uint32_t a = put_site(fixture, 5, one, HEAP_MALLOC), b = put_site(fixture, 5, two, HEAP_MALLOC);
  put_site(fixture, 5, two, HEAP_MAP); /* never counted anything */
  uint32_t line = put_site(fixture, 5, other_line, HEAP_MALLOC);
  uint32_t kind = put_site(fixture, 5, one, HEAP_PYTHON);
  uint32_t process = put_site(fixture, 6, one, HEAP_MALLOC);
  put_heap(fixture, (struct trace_heap){10, a, 1, 100, 0, 0, 100});
  put_heap(fixture, (struct trace_heap){20, b, 2, 8, 1, 4, 6});
  put_heap(fixture, (struct trace_heap){30, b, 3, 12, 1, 4, 8});
  put_heap(fixture, (struct trace_heap){15, a, 1, 100, 1, 100, 100}); /* later in the file */
  put_heap(fixture, (struct trace_heap){30, a, 2, 150, 1, 100, 100});
  put_heap(fixture, (struct trace_heap){10, line, 1, 1, 0, 0, 1});
  put_heap(fixture, (struct trace_heap){10, kind, 2, 2, 0, 0, 2});
  put_heap(fixture, (struct trace_heap){10, process, 3, 3, 0, 0, 3});
  const struct profile *profile = load(fixture);
  assert_int_equal(profile->heap_site_count, 4);
  const struct profile_heap_point sum[] = {
      {10, 1, 100, 0, 0, 100},
      {15, 1, 100, 1, 100, 100},
      {20, 3, 108, 2, 104, 106},
      {30, 5, 162, 2, 104, 108},
  };
  assert_points(profile, 0, sum, 4);
  assert_points(profile, 1, &(struct profile_heap_point){10, 1, 1, 0, 0, 1}, 1);
  assert_points(profile, 2, &(struct profile_heap_point){10, 2, 2, 0, 0, 2}, 1);
  assert_points(profile, 3, &(struct profile_heap_point){10, 3, 3, 0, 0, 3}, 1);
  assert_int_equal(profile->heap_sites[0].node, profile->heap_sites[2].node);
  assert_int_not_equal(profile->heap_sites[0].node, profile->heap_sites[1].node);
  assert_int_equal(profile->heap_sites[2].kind, HEAP_PYTHON);
  assert_int_equal(profile->processes[profile->heap_sites[3].process].pid, 6);
  assert_int_equal(profile->duration_ns, 30);
}

static void stacks_without_room_have_a_node(void **state) {
  struct fixture *fixture = *state;
  put_heap(fixture,
           (struct trace_heap){1, put_site(fixture, 5, 0, HEAP_MALLOC), 1, 100, 0, 0, 100});
  const struct profile *profile = load(fixture);
  const struct profile_node *node = &profile->nodes[profile->heap_sites[0].node];
  assert_string_equal(profile->frames[node->frame].function, "[no stack]");
  assert_false(profile_is_complete(profile, profile->heap_sites[0].node));
}

static void memory_and_slow_calls_are_in_order_of_time(void **state) {
  struct fixture *fixture = *state;
  struct trace_thread thread = {.thread = 1, .pid = 9, .tid = 9, .name = "t"};
  trace_put_thread(fixture->writer, &thread);
  uint32_t node = put_stack(fixture, 0x10, "f", 7);
  static const uint64_t times_ns[] = {50, 10, 40};
  for (size_t i = 0; i < 3; i++) {
    struct trace_memory memory = {.time_ns = times_ns[i],
                                  .pid = i < 2 ? 9 : 10,
                                  .present = 1u << MEMORY_RSS,
                                  .values = {[MEMORY_RSS] = 1000 + i}};
    struct trace_slow_call call = {times_ns[i], 2000000 + i, -11, 1, node, "read"};
    trace_put_memory(fixture->writer, &memory);
    trace_put_slow_call(fixture->writer, &call);
  }
  const struct profile *profile = load(fixture);
  static const uint64_t rss[] = {1001, 1002, 1000};
  static const uint32_t pids[] = {9, 10, 9};
  assert_int_equal(profile->memory_point_count, 3);
  assert_int_equal(profile->slow_call_count, 3);
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(profile->memory_points[i].values[MEMORY_RSS], rss[i]);
    assert_int_equal(profile->memory_points[i].present, 1u << MEMORY_RSS);
    assert_int_equal(profile->processes[profile->memory_points[i].process].pid, pids[i]);
    assert_int_equal(profile->slow_calls[i].duration_ns, 1000000 + rss[i] - 1000 + 1000000);
    assert_string_equal(profile->slow_calls[i].name, "read");
    assert_int_equal(profile->slow_calls[i].result, -11);
    const struct profile_node *at = &profile->nodes[profile->slow_calls[i].node];
    assert_string_equal(profile->frames[at->frame].function, "f");
  }
  assert_int_equal(profile->duration_ns, 50 + 2000000);
}

static void the_last_record_of_a_call_holds(void **state) {
  struct fixture *fixture = *state;
  static const struct {
    uint32_t pid;
    const char *name;
    uint64_t count;
  } rows[] = {{7, "read", 1}, {7, "write", 2}, {8, "read", 3}, {7, "read", 4}};
  for (size_t i = 0; i < 4; i++) {
    struct trace_call call = {.pid = rows[i].pid,
                              .name = rows[i].name,
                              .count = rows[i].count,
                              .buckets = {[247] = rows[i].count}};
    trace_put_call(fixture->writer, &call);
  }
  const struct profile *profile = load(fixture);
  assert_int_equal(profile->call_count, 3);
  static const uint64_t counts[] = {4, 2, 3};
  for (uint32_t i = 0; i < 3; i++) {
    assert_int_equal(profile->calls[i].count, counts[i]);
    assert_int_equal(profile->calls[i].buckets[247], counts[i]);
    assert_string_equal(profile->calls[i].name, i == 1 ? "write" : "read");
    assert_int_equal(profile->processes[profile->calls[i].process].pid, i == 2 ? 8 : 7);
  }
}

/* More points than are kept: what is left are points that were there, the first spans' and the last
 * of each site; no site loses its end. */
static void many_points_are_thinned_evenly(void **state) {
  struct fixture *fixture = *state;
  const uint32_t sites = 1024, seconds = PROFILE_HEAP_POINTS_MAX / 1024 + 100;
  uint32_t ids[1024];
  for (uint32_t i = 0; i < sites; i++)
    ids[i] = put_site(fixture, i + 1, 0, HEAP_MALLOC);
  for (uint64_t second = 1; second <= seconds; second++)
    for (uint32_t i = 0; i < sites; i++)
      put_heap(fixture, (struct trace_heap){second * 1000000000, ids[i], second, second * (i + 1),
                                            second / 2, second / 2, 0});
  put_heap(fixture, (struct trace_heap){(seconds + 9ull) * 1000000000, ids[3], 1000000, 5000000,
                                        1000000, 5000000, 0});
  const struct profile *profile = load(fixture);
  assert_true(profile->heap_point_count <= PROFILE_HEAP_POINTS_MAX);
  assert_true(profile->heap_point_count > PROFILE_HEAP_POINTS_MAX / 4);
  for (uint32_t i = 0; i < sites; i++) {
    const struct profile_heap_site *site = &profile->heap_sites[i];
    const struct profile_heap_point *points = &profile->heap_points[site->point_first];
    size_t count = site->point_count - (i == 3);
    for (size_t j = 0; j < count; j++) {
      uint64_t second = points[j].time_ns / 1000000000;
      assert_int_equal(points[j].allocations, second);
      assert_int_equal(points[j].allocated_bytes, second * (i + 1));
      assert_int_equal(points[j].freed_bytes, second / 2);
      assert_true(second - (j ? points[j - 1].time_ns / 1000000000 : 0) <= 5);
    }
    assert_int_equal(points[count - 1].allocations, seconds);
  }
  const struct profile_heap_site *longest = &profile->heap_sites[3];
  assert_int_equal(
      profile->heap_points[longest->point_first + longest->point_count - 1].allocations, 1000000);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(sites_that_symbols_make_equal_are_added_up),
      TEST(stacks_without_room_have_a_node),
      TEST(memory_and_slow_calls_are_in_order_of_time),
      TEST(the_last_record_of_a_call_holds),
      TEST(many_points_are_thinned_evenly),
  };
  return cmocka_run_group_tests_name("profile_heap", tests, NULL, NULL);
}
