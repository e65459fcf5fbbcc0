/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What processes' memory was at first, at last and at most, and what was resident at the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/memory.h"
#include "handmade.h"

static struct handmade made;

/* A point of the process with this index. */
static void add(uint32_t process, uint64_t second, uint64_t rss_bytes) {
  struct profile_memory_point *point = handmade_memory(&made, second * NS_PER_S);
  point->process = process;
  if (rss_bytes)
    handmade_metric(point, MEMORY_RSS, rss_bytes);
  handmade_metric(point, MEMORY_VIRTUAL, 1000 * second);
}

/* Of four processes, the second one ended early, the fourth was never read. */
static void make(void) {
  handmade_init(&made, 20 * NS_PER_S);
  for (uint32_t pid = 1; pid <= 4; pid++)
    handmade_process(&made, pid, "app", "");
  for (uint64_t s = 1; s <= 10; s++) {
    add(0, s, s == 5 ? 900 : 100 + s);
    if (s <= 3)
      add(1, s, 5000 * s);
    if (s <= 9)
      add(2, s, 2000);
  }
  add(2, 10, 0); /* ended */
}

static void points_are_gathered_by_process(void **state) {
  struct memory memory;
  (void)state;
  make();
  assert_int_equal(memory_build(&memory, &made.profile), 0);
  assert_int_equal(memory.process_count, 3);
  static const uint32_t order[] = {1, 2, 0}; /* by the most that was resident */
  for (uint32_t i = 0; i < 3; i++)
    assert_int_equal(memory.processes[i].process, order[i]);
  const struct memory_process *first = &memory.processes[2];
  assert_int_equal(first->first[MEMORY_RSS], 101);
  assert_int_equal(first->last[MEMORY_RSS], 110);
  assert_int_equal(first->peak[MEMORY_RSS], 900);
  assert_int_equal(first->point_count, 10);
  for (uint32_t i = 0; i < first->point_count; i++)
    assert_int_equal(made.memory_points[first->points[i]].time_ns, (i + 1) * NS_PER_S);
  memory_fini(&memory);
}

static void metrics_that_were_not_read_keep_their_last_value(void **state) {
  struct memory memory;
  (void)state;
  make();
  assert_int_equal(memory_build(&memory, &made.profile), 0);
  const struct memory_process *ended = &memory.processes[1];
  assert_true(memory_has(ended, MEMORY_RSS));
  assert_false(memory_has(ended, MEMORY_PSS));
  assert_int_equal(ended->last[MEMORY_RSS], 2000);
  assert_int_equal(ended->last[MEMORY_VIRTUAL], 10000);
  assert_int_equal(ended->last_resident_ns, 9 * NS_PER_S);
  memory_fini(&memory);
}

/* Those that ended just before count: the target itself may have. */
static void resident_are_those_of_the_end(void **state) {
  struct memory memory;
  (void)state;
  make();
  assert_int_equal(memory_build(&memory, &made.profile), 0);
  assert_int_equal(memory_resident_bytes(&memory), 110 + 2000);
  memory_fini(&memory);
}

static void nothing_is_nothing(void **state) {
  struct memory memory;
  (void)state;
  handmade_init(&made, 0);
  assert_int_equal(memory_build(&memory, &made.profile), 0);
  assert_int_equal(memory.process_count, 0);
  assert_int_equal(memory_resident_bytes(&memory), 0);
  memory_fini(&memory);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(points_are_gathered_by_process),
      cmocka_unit_test(metrics_that_were_not_read_keep_their_last_value),
      cmocka_unit_test(resident_are_those_of_the_end),
      cmocka_unit_test(nothing_is_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
