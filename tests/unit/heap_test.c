/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sums over heap sites, on profiles made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "analysis/heap.h"
#include "handmade.h"

#define S NS_PER_S

/* Two processes; the first ends at 6 s. Stack 0 in both, stack 1 in the second, and a mapping. */
struct fixture {
  struct handmade made;
  struct profile_heap_site sites[4];
  struct profile_heap_point points[16];
  struct profile_memory_point memory[2];
  struct heap *heap;
};

static const struct profile_heap_site sites[] = {
    {.process = 0, .node = 0, .kind = HEAP_MALLOC, .point_first = 0, .point_count = 3},
    {.process = 1, .node = 0, .kind = HEAP_MALLOC, .point_first = 3, .point_count = 2},
    {.process = 1, .node = 1, .kind = HEAP_PYTHON, .point_first = 5, .point_count = 2},
    {.process = 1, .node = 1, .kind = HEAP_MAP, .point_first = 7, .point_count = 1},
};

/* time, allocations, bytes, frees, bytes, peak */
static const struct profile_heap_point points[] = {
    {1 * S, 10, 1000, 0, 0, 1000},         {2 * S, 20, 2000, 5, 500, 1500},
    {4 * S, 20, 2000, 18, 1800, 1600},     {2 * S, 1, 50, 0, 0, 50},
    {8 * S, 3, 150, 1, 50, 120},           {3 * S, 100, 10000, 40, 4000, 7000},
    {9 * S, 200, 20000, 190, 19000, 7000}, {5 * S, 1, 1 << 20, 0, 0, 1 << 20},
};

static int set_up(void **state) {
  struct fixture *fixture = calloc(1, sizeof(*fixture));
  struct handmade *made = &fixture->made;
  handmade_init(made, 10 * S);
  handmade_process(made, 7, "one", "");
  handmade_process(made, 8, "two", "");
  made->processes[0].end_ns = 6 * S;
  uint32_t function = handmade_function(made, FRAME_NATIVE, "f", "f.c", "/bin/f", 1);
  handmade_call(made, PROFILE_NONE, function, 2);
  handmade_call(made, PROFILE_NONE, function, 3);
  memcpy(fixture->sites, sites, sizeof(sites));
  memcpy(fixture->points, points, sizeof(points));
  made->profile.heap_sites = fixture->sites;
  made->profile.heap_site_count = 4;
  made->profile.heap_points = fixture->points;
  made->profile.heap_point_count = 8;
  made->profile.memory_points = fixture->memory;
  *state = fixture;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  heap_free(fixture->heap);
  free(fixture);
  return 0;
}

static const struct heap *build(struct fixture *fixture) {
  assert_int_equal(heap_build(&fixture->heap, &fixture->made.profile), 0);
  return fixture->heap;
}

static void totals_are_those_of_the_last_points(void **state) {
  const struct heap *heap = build(*state);
  assert_true(heap->is_recorded);
  assert_false(heap->is_sampled[HEAP_MALLOC] || heap->is_sampled[HEAP_PYTHON]);
  assert_int_equal(heap->totals.allocations, 20 + 3 + 200);
  assert_int_equal(heap->totals.frees, 18 + 1 + 190);
  assert_int_equal(heap->totals.bytes_allocated, 2000 + 150 + 20000);
  assert_int_equal(heap->totals.bytes_freed, 1800 + 50 + 19000);
  assert_int_equal(heap->totals.live_bytes, 200 + 100 + 1000);
  assert_int_equal(heap->totals.live_blocks, 2 + 2 + 10);
  assert_int_equal(heap->kinds[HEAP_MALLOC].live_bytes, 300);
  assert_int_equal(heap->kinds[HEAP_PYTHON].live_bytes, 1000);
  assert_int_equal(heap->kinds[HEAP_MAP].live_bytes, 1 << 20);
  assert_int_equal(heap->kinds[HEAP_BREAK].allocations, 0);
}

static void the_peak_is_what_was_live_at_once(void **state) {
  struct fixture *fixture = *state;
  const struct heap *heap = build(fixture);
  /* at 3 s: 1500 + 50 + 6000, but the Python site alone says 7000; not the sum of the peaks */
  assert_int_equal(heap->totals.peak_bytes, 7550);
  assert_true(heap->peak_ns == 3 * S);
  assert_int_equal(heap->kinds[HEAP_MALLOC].peak_bytes,
                   1600); /* the site's own, between two points */
  assert_int_equal(heap->kinds[HEAP_PYTHON].peak_bytes, 7000);
}

static void a_process_knows_its_peak_between_snapshots(void **state) {
  struct fixture *fixture = *state;
  for (uint64_t i = 0; i < 2; i++)
    fixture->memory[i] = (struct profile_memory_point){
        .time_ns = (4 + i) * S, .process = 1, .present = 1u << MEMORY_HEAP_PEAK};
  fixture->memory[0].values[MEMORY_HEAP_PEAK] = 9000;
  fixture->memory[1].values[MEMORY_HEAP_PEAK] = 9000;
  fixture->made.profile.memory_point_count = 2;
  const struct heap *heap = build(fixture);
  assert_int_equal(heap->totals.peak_bytes, 9000);
  assert_true(heap->peak_ns == 3 * S); /* the snapshot at which most was live */
}

static void equal_stacks_of_processes_are_one(void **state) {
  const struct heap *heap = build(*state);
  assert_int_equal(heap->stack_count, 3);
  static const struct {
    uint32_t node;
    enum heap_kind kind;
    uint32_t sites;
    uint64_t live;
    uint64_t peak;
  } rows[] = {{1, HEAP_MAP, 1, 1 << 20, 1 << 20},
              {1, HEAP_PYTHON, 1, 1000, 7000},
              {0, HEAP_MALLOC, 2, 300, 1720}};
  for (uint32_t i = 0; i < 3; i++) {
    assert_int_equal(heap->stacks[i].node, rows[i].node);
    assert_int_equal(heap->stacks[i].kind, rows[i].kind);
    assert_int_equal(heap->stacks[i].site_count, rows[i].sites);
    assert_int_equal(heap->stacks[i].totals.live_bytes, rows[i].live);
    assert_int_equal(heap->stacks[i].totals.peak_bytes, rows[i].peak);
  }
  const uint32_t *of_last = &heap->sites_by_stack[heap->stacks[2].site_first];
  assert_int_equal(of_last[0] + of_last[1], 0 + 1);
}

/* The first process ends at 6 s, and what it held with it. */
static void a_series_adds_up_the_processes(void **state) {
  struct fixture *fixture = *state;
  const struct heap *heap = build(fixture);
  struct heap_step *steps;
  size_t count;
  assert_int_equal(heap_series(&fixture->made.profile, heap, &heap->stacks[2], &steps, &count), 0);
  static const struct heap_step expected[] = {
      {1 * S, 1000, 10, 10}, {2 * S, 1550, 16, 21}, {4 * S, 250, 3, 21},
      {6 * S, 50, 1, 21},    {8 * S, 100, 2, 23},
  };
  assert_int_equal(count, 5);
  assert_memory_equal(steps, expected, sizeof(expected));
  free(steps);
}

static void live_bytes_are_those_of_the_point_before(void **state) {
  struct fixture *fixture = *state;
  const struct profile *profile = &fixture->made.profile;
  static const struct {
    uint64_t time_ns, live;
  } rows[] = {{0, 0},        {S - 1, 0},   {S, 1000},    {2 * S - 1, 1000},
              {2 * S, 1500}, {4 * S, 200}, {9 * S, 200}, {UINT64_MAX, 200}};
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
    assert_int_equal(heap_live_at(profile, &profile->heap_sites[0], rows[i].time_ns), rows[i].live);
}

static void counters_say_what_was_sampled(void **state) {
  struct fixture *fixture = *state;
  handmade_counter(&fixture->made, "memory.malloc_interval_bytes", 0);
  handmade_counter(&fixture->made, "memory.python_interval_bytes", 524288);
  const struct heap *heap = build(fixture);
  assert_false(heap->is_sampled[HEAP_MALLOC]);
  assert_true(heap->is_sampled[HEAP_PYTHON]);
  assert_int_equal(heap->interval_bytes[HEAP_PYTHON], 524288);
}

static void a_capture_without_allocations_says_so(void **state) {
  struct fixture *fixture = *state;
  fixture->made.profile.heap_site_count = 0;
  assert_false(build(fixture)->is_recorded);
  heap_free(fixture->heap);
  handmade_counter(&fixture->made, "memory.malloc_interval_bytes", 0);
  const struct heap *heap = build(fixture); /* watched, but nothing came */
  assert_true(heap->is_recorded);
  assert_int_equal(heap->stack_count, 0);
  assert_int_equal(heap->totals.peak_bytes, 0);
}

static void sums_of_hostile_counts_do_not_wrap(void **state) {
  struct fixture *fixture = *state;
  for (size_t i = 0; i < 7; i++)
    fixture->points[i].allocated_bytes = fixture->points[i].allocations = UINT64_MAX - 16 + i;
  const struct heap *heap = build(fixture);
  assert_true(heap->totals.bytes_allocated == UINT64_MAX);
  assert_true(heap->totals.live_bytes == UINT64_MAX);
  struct heap_step *steps;
  size_t count;
  for (uint32_t i = 0; i < heap->stack_count; i++) {
    assert_int_equal(heap_series(&fixture->made.profile, heap, &heap->stacks[i], &steps, &count),
                     0);
    free(steps);
  }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(totals_are_those_of_the_last_points),
      TEST(the_peak_is_what_was_live_at_once),
      TEST(a_process_knows_its_peak_between_snapshots),
      TEST(equal_stacks_of_processes_are_one),
      TEST(a_series_adds_up_the_processes),
      TEST(live_bytes_are_those_of_the_point_before),
      TEST(counters_say_what_was_sampled),
      TEST(a_capture_without_allocations_says_so),
      TEST(sums_of_hostile_counts_do_not_wrap),
  };
  return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
