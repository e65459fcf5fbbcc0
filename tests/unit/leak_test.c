/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The leak report of whole profiles, made by hand: which stack comes first, over which axis, what a
 * process's growth is made of, when it meets its limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "analysis/leak.h"
#include "handmade.h"
#include "leak_series.h"

#define S NS_PER_S
#define SITES_MAX 8
#define POINTS_MAX 400

/* A site has a point, and the process a memory point, at every second. */
struct fixture {
  struct handmade made;
  struct profile_heap_site sites[SITES_MAX];
  struct profile_heap_point points[SITES_MAX * POINTS_MAX];
  struct profile_memory_point memory[POINTS_MAX];
  struct heap *heap;
  struct leak_report *report;
};

static int set_up(void **state) {
  struct fixture *fixture = calloc(1, sizeof(*fixture));
  struct handmade *made = &fixture->made;
  handmade_init(made, POINTS_MAX * S);
  handmade_process(made, 7, "server", "");
  uint32_t function = handmade_function(made, FRAME_NATIVE, "f", "f.c", "/bin/f", 1);
  for (uint32_t i = 0; i < SITES_MAX; i++)
    handmade_call(made, PROFILE_NONE, function, i + 1);
  made->profile.heap_sites = fixture->sites;
  made->profile.heap_points = fixture->points;
  made->profile.memory_points = fixture->memory;
  *state = fixture;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  leak_report_free(fixture->report);
  heap_free(fixture->heap);
  free(fixture);
  return 0;
}

/* The stack of node `site`: live bytes as a series says, of blocks of one byte. */
static void put_site(struct fixture *fixture, const struct series *series, uint32_t count) {
  struct profile *profile = &fixture->made.profile;
  uint32_t id = profile->heap_site_count++;
  fixture->sites[id] = (struct profile_heap_site){
      .node = id, .point_first = profile->heap_point_count, .point_count = count};
  uint64_t taken = 0, live = 0, peak = 0;
  for (uint32_t i = 0; i < count; i++) {
    uint64_t now = (uint64_t)series->bytes[i];
    taken += 1000 + (now > live ? now - live : 0);
    live = now;
    peak = live > peak ? live : peak;
    fixture->points[profile->heap_point_count++] =
        (struct profile_heap_point){.time_ns = (i + 1) * S,
                                    .allocations = taken,
                                    .allocated_bytes = taken,
                                    .frees = taken - live,
                                    .freed_bytes = taken - live,
                                    .peak_bytes = peak};
  }
}

static void make_and_put(struct fixture *fixture, struct series_options options, uint64_t seed) {
  static struct series series;
  series_make(&series, &options, seed);
  put_site(fixture, &series, options.count);
}

/* Memory points of `count` seconds; without values yet. */
static void put_memory(struct fixture *fixture, uint32_t count) {
  for (uint32_t i = 0; i < count; i++)
    fixture->memory[i] = (struct profile_memory_point){.time_ns = (i + 1) * S};
  fixture->made.profile.memory_point_count = count;
}

static void set_metric(struct fixture *fixture, enum memory_metric metric, double from,
                       double each) {
  for (size_t i = 0; i < fixture->made.profile.memory_point_count; i++) {
    fixture->memory[i].present |= 1u << metric;
    fixture->memory[i].values[metric] = (uint64_t)(from + each * (double)i);
  }
}

static const struct leak_report *analyse(struct fixture *fixture) {
  struct profile *profile = &fixture->made.profile;
  assert_int_equal(heap_build(&fixture->heap, profile), 0);
  assert_int_equal(leak_analyse(&fixture->report, profile, fixture->heap), 0);
  return fixture->report;
}

static uint32_t node_of(const struct fixture *fixture, const struct leak_site *site) {
  return fixture->heap->stacks[site->stack].node;
}

static void assert_near(double value, double expected, double share) {
  if (fabs(value - expected) > share * fabs(expected))
    fail_msg("%g is not near %g", value, expected);
}

static const struct series_options flat = {.kind = SERIES_FLAT, .count = 100, .noise = 5e3};
static const struct series_options cache = {
    .kind = SERIES_LRU, .count = 100, .step = 5e4, .fill = 0.5};

static struct series_options leaking(double step) {
  return (struct series_options){.kind = SERIES_LEAK,
                                 .count = 100,
                                 .step = step,
                                 .noise = step,
                                 .warmup = 20 * step,
                                 .warmup_iterations = 2};
}

/* The smaller leak holds fewer bytes than what does not leak, and comes before it all the same. */
static void leaks_come_first_by_their_slope(void **state) {
  struct fixture *fixture = *state;
  make_and_put(fixture, flat, 1);
  make_and_put(fixture, leaking(640), 2);
  make_and_put(fixture, cache, 3);
  make_and_put(fixture, leaking(6400), 4);
  put_memory(fixture, 100);
  const struct leak_report *report = analyse(fixture);
  assert_int_equal(report->site_count, 4);
  assert_int_equal(report->leak_count, 2);
  assert_int_equal(node_of(fixture, &report->sites[0]), 3);
  assert_int_equal(node_of(fixture, &report->sites[1]), 1);
  assert_int_equal(node_of(fixture, &report->sites[2]), 2);
  assert_int_equal(node_of(fixture, &report->sites[3]), 0);
  assert_int_equal(report->sites[2].verdict, LEAK_CACHE);
  assert_int_equal(report->sites[3].verdict, LEAK_FLAT);
  const struct leak_site *first = &report->sites[0];
  assert_true(first->has_time_slope);
  assert_false(first->has_iteration_slope || report->has_iterations);
  assert_near(first->per_second.value, 6400, 0.05);
  assert_true(first->per_second.low <= 6400 && 6400 <= first->per_second.high);
  assert_true(first->warmup_ns >= 3 * S && first->warmup_ns <= 40 * S);
  assert_int_equal(first->point_count + first->warmup_ns / S, 100);
  assert_true(first->confidence > 0.5 && first->confidence <= 1);
}

/* Three iterations a second, a leak in each: the load pauses for a while, so that over time the
 * series has a step in it. */
static void iterations_decide_where_there_are_any(void **state) {
  struct fixture *fixture = *state;
  static struct series series;
  put_memory(fixture, 100);
  set_metric(fixture, MEMORY_ITERATIONS, 0, 0);
  double iterations = 0;
  for (uint32_t i = 0; i < 100; i++) {
    iterations += i < 40 || i > 70 ? 3 : 0;
    fixture->memory[i].values[MEMORY_ITERATIONS] = (uint64_t)iterations;
    series.bytes[i] = 1e6 + 4096 * iterations;
  }
  put_site(fixture, &series, 100);
  const struct leak_report *report = analyse(fixture);
  assert_true(report->has_iterations);
  assert_int_equal(report->iterations, 69 * 3);
  assert_int_equal(report->sites[0].verdict, LEAK_LEAK);
  assert_true(report->sites[0].has_iteration_slope);
  assert_near(report->sites[0].per_iteration.value, 4096, 1e-6);
}

/* The target went idle: nothing is allocated at all in the last half of the capture. */
static void idleness_is_no_plateau(void **state) {
  struct fixture *fixture = *state;
  make_and_put(fixture, leaking(64000), 5);
  put_memory(fixture, 300);
  const struct leak_report *report = analyse(fixture);
  assert_int_equal(report->leak_count, 1);
  assert_near(report->sites[0].per_second.value, 64000, 0.05);
}

/* What a program frees on its way out: the last point is of that moment, and so may be some before
 * it, by what is live in all. */
static void the_exit_is_left_out(void **state) {
  struct fixture *fixture = *state;
  make_and_put(fixture, leaking(64000), 6);
  put_memory(fixture, 100);
  set_metric(fixture, MEMORY_HEAP_LIVE, 10e6, 64000);
  for (uint32_t i = 97; i < 100; i++) {
    struct profile_heap_point *point = &fixture->points[i];
    point->frees = point->allocations;
    point->freed_bytes = point->allocated_bytes;
    fixture->memory[i].values[MEMORY_HEAP_LIVE] = (100 - i) * 1000000;
  }
  fixture->made.processes[0].end_ns = 100 * S;
  const struct leak_report *report = analyse(fixture);
  assert_int_equal(report->leak_count, 1);
  assert_int_equal(report->sites[0].point_count + report->sites[0].warmup_ns / S, 97);
  assert_int_equal(fixture->heap->totals.live_bytes, 0);
}

/* Every site is an estimate from few samples: eight of them must have been added. */
static void few_samples_make_no_claim(void **state) {
  struct fixture *fixture = *state;
  handmade_counter(&fixture->made, "memory.malloc_interval_bytes", 524288);
  make_and_put(fixture, leaking(6400), 7);   /* 640 KB in all */
  make_and_put(fixture, leaking(640000), 8); /* 64 MB */
  put_memory(fixture, 100);
  const struct leak_report *report = analyse(fixture);
  assert_int_equal(report->leak_count, 1);
  assert_int_equal(node_of(fixture, &report->sites[0]), 1);
  /* 64 MB are 122 samples: known to 9 %, and the interval to twice that */
  const struct leak_slope *slope = &report->sites[0].per_second;
  assert_true(slope->high - slope->low > 0.3 * slope->value);
}

static void mappings_are_not_judged_beside_allocations(void **state) {
  struct fixture *fixture = *state;
  make_and_put(fixture, leaking(6400), 9);
  make_and_put(fixture, leaking(0), 10);
  fixture->sites[0].kind = HEAP_MAP;
  put_memory(fixture, 100);
  const struct leak_report *report = analyse(fixture);
  assert_int_equal(report->site_count, 1);
  assert_int_equal(node_of(fixture, &report->sites[0]), 1);
  assert_int_equal(report->leak_count, 0);
}

static void mappings_are_judged_where_nothing_else_was_counted(void **state) {
  struct fixture *fixture = *state;
  make_and_put(fixture, leaking(6400), 9);
  fixture->sites[0].kind = HEAP_MAP;
  put_memory(fixture, 100);
  const struct leak_report *report = analyse(fixture);
  assert_int_equal(report->site_count, 1);
  assert_int_equal(report->leak_count, 1);
}

static void short_captures_say_so(void **state) {
  struct fixture *fixture = *state;
  struct series_options options = leaking(64000);
  options.count = 6;
  make_and_put(fixture, options, 10);
  put_memory(fixture, 6);
  const struct leak_report *report = analyse(fixture);
  assert_int_equal(report->sites[0].verdict, LEAK_TOO_SHORT);
  assert_true(report->sites[0].confidence == 0);
}

/* 10 MB/s: 4 of live blocks, 3 that malloc keeps, 2 of files, 1 of something else; and 5 that are
 * not touched. */
static void growth_is_split(void **state) {
  struct fixture *fixture = *state;
  make_and_put(fixture, flat, 11);
  put_memory(fixture, 100);
  set_metric(fixture, MEMORY_RSS, 300e6, 10e6);
  set_metric(fixture, MEMORY_HEAP_LIVE, 100e6, 4e6);
  set_metric(fixture, MEMORY_MALLOC_ARENA, 110e6, 7e6);
  set_metric(fixture, MEMORY_MALLOC_MAPPED, 5e6, 0);
  set_metric(fixture, MEMORY_MALLOC_USED, 105e6, 4e6);
  set_metric(fixture, MEMORY_FILE, 50e6, 2e6);
  set_metric(fixture, MEMORY_VIRTUAL, 900e6, 15e6);
  set_metric(fixture, MEMORY_CGROUP_LIMIT, 4e9, 0);
  set_metric(fixture, MEMORY_CGROUP_USED, 1e9, 10e6); /* 1.99e9 at the end */
  set_metric(fixture, MEMORY_CGROUP_CACHE, 99e7, 0);
  set_metric(fixture, MEMORY_HOST_AVAILABLE, 9e9, 0);
  const struct leak_report *report = analyse(fixture);
  assert_int_equal(report->process_count, 1);
  const struct leak_process *process = &report->processes[0];
  assert_true(process->has_rss);
  assert_near(process->rss.value, 10e6, 1e-6);
  assert_near(process->growth_bytes_per_s[GROWTH_HEAP], 4e6, 1e-6);
  assert_near(process->growth_bytes_per_s[GROWTH_RETAINED], 3e6, 1e-6);
  assert_near(process->growth_bytes_per_s[GROWTH_FILE], 2e6, 1e-6);
  assert_near(process->growth_bytes_per_s[GROWTH_OTHER], 1e6, 1e-6);
  assert_near(process->growth_bytes_per_s[GROWTH_UNTOUCHED], 5e6, 1e-6);
  assert_string_equal(process->limit_name, "cgroup");
  assert_true(process->limit_bytes == 4000000000);
  assert_near(process->seconds_to_limit, (4e9 - 1.99e9 + 0.99e9) / 10e6, 1e-6);
  assert_true(process->seconds_to_limit_low <= process->seconds_to_limit);
}

static void the_nearer_limit_counts(void **state) {
  struct fixture *fixture = *state;
  put_memory(fixture, 50);
  set_metric(fixture, MEMORY_RSS, 100e6, 1e6);
  set_metric(fixture, MEMORY_CGROUP_LIMIT, 64e9, 0);
  set_metric(fixture, MEMORY_CGROUP_USED, 1e9, 0);
  set_metric(fixture, MEMORY_HOST_AVAILABLE, 500e6, 0);
  const struct leak_process *process = &analyse(fixture)->processes[0];
  assert_string_equal(process->limit_name, "host memory");
  assert_near(process->seconds_to_limit, 500, 1e-6);
  assert_true(process->limit_bytes == 149000000 + 500000000);
}

static void what_does_not_grow_meets_no_limit(void **state) {
  struct fixture *fixture = *state;
  put_memory(fixture, 50);
  set_metric(fixture, MEMORY_RSS, 100e6, 0);
  const struct leak_process *process = &analyse(fixture)->processes[0];
  assert_true(isinf(process->seconds_to_limit));
  assert_int_equal(process->limit_bytes, 0);
  assert_true(isnan(process->growth_bytes_per_s[GROWTH_HEAP]));
}

/* 200 MB were freed to malloc, which keeps them. */
static void what_the_allocator_keeps_is_no_leak(void **state) {
  struct fixture *fixture = *state;
  static struct series series;
  for (uint32_t i = 0; i < 100; i++)
    series.bytes[i] = i < 30 ? 7e6 * i : i < 60 ? 210e6 - 6.8e6 * (i - 30) : 6e6;
  put_site(fixture, &series, 100);
  put_memory(fixture, 100);
  set_metric(fixture, MEMORY_RSS, 230e6, 0);
  set_metric(fixture, MEMORY_HEAP_LIVE, 10e6, 0);
  set_metric(fixture, MEMORY_HEAP_PEAK, 210e6, 0);
  set_metric(fixture, MEMORY_MALLOC_ARENA, 225e6, 0);
  set_metric(fixture, MEMORY_MALLOC_MAPPED, 0, 0);
  set_metric(fixture, MEMORY_MALLOC_USED, 10e6, 0);
  const struct leak_report *report = analyse(fixture);
  assert_true(report->processes[0].is_allocator_retained);
  assert_int_equal(report->sites[0].verdict, LEAK_RETAINED);
}

static void an_empty_profile_has_an_empty_report(void **state) {
  struct fixture *fixture = *state;
  const struct leak_report *report = analyse(fixture);
  assert_int_equal(report->site_count + report->process_count + report->leak_count, 0);
  assert_false(report->has_iterations);
}

static void verdicts_have_names(void **state) {
  (void)state;
  assert_string_equal(leak_verdict_name(LEAK_FLAT), "flat");
  assert_string_equal(leak_verdict_name(LEAK_LEAK), "leak");
  assert_string_equal(leak_verdict_name(LEAK_CACHE), "bounded cache");
  assert_string_equal(leak_verdict_name(LEAK_DEFERRED), "GC-deferred");
  assert_string_equal(leak_verdict_name(LEAK_RETAINED), "allocator-retained");
  assert_string_equal(leak_verdict_name(LEAK_TOO_SHORT), "too short to say");
  assert_string_equal(leak_verdict_name(LEAK_VERDICTS), "unknown");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(leaks_come_first_by_their_slope),
      TEST(iterations_decide_where_there_are_any),
      TEST(idleness_is_no_plateau),
      TEST(the_exit_is_left_out),
      TEST(few_samples_make_no_claim),
      TEST(mappings_are_not_judged_beside_allocations),
      TEST(mappings_are_judged_where_nothing_else_was_counted),
      TEST(short_captures_say_so),
      TEST(growth_is_split),
      TEST(the_nearer_limit_counts),
      TEST(what_does_not_grow_meets_no_limit),
      TEST(what_the_allocator_keeps_is_no_leak),
      TEST(an_empty_profile_has_an_empty_report),
      TEST(verdicts_have_names),
  };
  return cmocka_run_group_tests_name("leak", tests, NULL, NULL);
}
