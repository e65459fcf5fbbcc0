/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sums over operations: what is one row, its percentiles, errors and stacks, and its order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "analysis/operations.h"
#include "handmade_system.h"

#define MS NS_PER_MS
/* From docs/trace-format.md: eight buckets to each power of two, bucket 1 begins at 64 ns. */
#define BUCKET_1024_NS 33 /* 1,024 to 1,152 ns */
#define BUCKET_38_MS 154  /* 37,748,736 to 41,943,040 ns */

static struct handmade made;
static struct handmade_system system_made;
static struct stacks stacks;
static uint32_t threads[3];
static uint32_t serve_node, other_line_node, other_node;

/* Two processes: 100 with the threads 0 and 1, 200 with 2. Three stacks, two of which differ in
 * their line only. */
static void make(void) {
  handmade_init(&made, 1000 * MS);
  handmade_system_init(&made, &system_made);
  handmade_process(&made, 100, "one", "");
  threads[0] = handmade_thread(&made, 100, "a", 0);
  threads[1] = handmade_thread(&made, 101, "b", 0);
  handmade_process(&made, 200, "two", "");
  threads[2] = handmade_thread(&made, 200, "c", 0);
  uint32_t serve = handmade_function(&made, FRAME_PYTHON, "serve", "/srv/app.py", "", 1);
  uint32_t other = handmade_function(&made, FRAME_PYTHON, "other", "/srv/app.py", "", 9);
  serve_node = handmade_call(&made, PROFILE_NONE, serve, 3);
  other_line_node = handmade_call(&made, PROFILE_NONE, serve, 4);
  other_node = handmade_call(&made, PROFILE_NONE, other, 10);
}

static void build_stacks(void) {
  static const uint64_t weights[HANDMADE_MAX];
  assert_int_equal(stacks_build(&stacks, &made.profile, weights), 0);
}

static void build(struct operations *operations, enum operation_class class, unsigned by) {
  build_stacks();
  assert_int_equal(operations_build(operations, &made.profile, &stacks, class, by), 0);
}

static void finish(struct operations *operations) {
  operations_fini(operations);
  stacks_fini(&stacks);
}

/* read: 10 × 1 ms, 20 × 2 ms, 5 × 4 ms = 70 ms; write: 100 × 1 ms, of which one took 30 ms. */
static void names_are_summed_over_threads(void **state) {
  struct operations operations;
  (void)state;
  make();
  handmade_operation(&made, OPERATION_SYSCALL, threads[0], PROFILE_NONE, "read", 10, 1 * MS);
  handmade_operation(&made, OPERATION_SYSCALL, threads[1], PROFILE_NONE, "read", 20, 2 * MS)
      ->total.bytes = 4096;
  handmade_operation(&made, OPERATION_SYSCALL, threads[2], PROFILE_NONE, "read", 5, 4 * MS)
      ->total.bytes = 100;
  handmade_operation(&made, OPERATION_SYSCALL, threads[0], PROFILE_NONE, "write", 100, 1 * MS)
      ->total.max_ns = 30 * MS;
  handmade_operation(&made, OPERATION_SYSCALL, threads[0], PROFILE_NONE, "never", 0, 0);
  handmade_operation(&made, OPERATION_PROBE, threads[0], PROFILE_NONE, "read", 1000, 1 * MS);
  build(&operations, OPERATION_SYSCALL, OPERATIONS_BY_NAME);
  assert_int_equal(operations.count, 2);
  assert_int_equal(operations.object_count, 0);
  assert_string_equal(operations.rows[0].name, "write");
  assert_int_equal(operations.rows[0].sum.max_ns, 30 * MS);
  const struct operation_row *read = &operations.rows[1];
  assert_string_equal(read->name, "read");
  assert_int_equal(read->sum.count, 35);
  assert_int_equal(read->sum.total_ns, 70 * MS);
  assert_int_equal(read->sum.bytes, 4196);
  assert_int_equal(read->sum.max_ns, 4 * MS);
  assert_false(read->sum.has_percentiles);
  /* by thread, the one with most time first: 40, 20, 10 ms */
  assert_int_equal(read->operation_count, 3);
  assert_int_equal(made.profile.operations[read->operations[0]].thread, threads[1]);
  assert_int_equal(made.profile.operations[read->operations[1]].thread, threads[2]);
  assert_int_equal(made.profile.operations[read->operations[2]].thread, threads[0]);
  finish(&operations);
}

static void threads_and_processes_tell_rows_apart(void **state) {
  static const struct {
    unsigned by;
    uint32_t expected;
  } rows[] = {
      {0, 1},
      {OPERATIONS_BY_NAME, 2},
      {OPERATIONS_BY_PROCESS, 2},
      {OPERATIONS_BY_PROCESS | OPERATIONS_BY_NAME, 3},
      {OPERATIONS_BY_THREAD, 3},
      {OPERATIONS_BY_THREAD | OPERATIONS_BY_NAME, 4},
  };
  (void)state;
  make();
  handmade_operation(&made, OPERATION_SYSCALL, threads[0], PROFILE_NONE, "read", 1, 1);
  handmade_operation(&made, OPERATION_SYSCALL, threads[0], PROFILE_NONE, "write", 1, 1);
  handmade_operation(&made, OPERATION_SYSCALL, threads[1], PROFILE_NONE, "read", 1, 1);
  handmade_operation(&made, OPERATION_SYSCALL, threads[2], PROFILE_NONE, "read", 1, 1);
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct operations operations;
    build(&operations, OPERATION_SYSCALL, rows[i].by);
    assert_int_equal(operations.count, rows[i].expected);
    finish(&operations);
  }
}

/* Of 100 durations, 90 in [1024, 1152) ns and 10 in [37.7, 41.9) ms. */
static void percentiles_come_from_all_histograms(void **state) {
  struct operations operations;
  (void)state;
  make();
  handmade_operation(&made, OPERATION_SYSCALL, threads[0], PROFILE_NONE, "recv", 90, 1100);
  handmade_detail(&made, &system_made)->buckets[BUCKET_1024_NS] = 90;
  handmade_operation(&made, OPERATION_SYSCALL, threads[1], PROFILE_NONE, "recv", 10, 40 * MS);
  handmade_detail(&made, &system_made)->buckets[BUCKET_38_MS] = 10;
  build(&operations, OPERATION_SYSCALL, OPERATIONS_BY_NAME);
  const struct operation_sum *sum = &operations.rows[0].sum;
  assert_true(sum->has_percentiles);
  assert_in_range(sum->p50_ns, 1024, 1152);
  assert_in_range(sum->p95_ns, 37748736, 40 * MS); /* never above the longest */
  assert_in_range(sum->p99_ns, 37748736, 40 * MS);
  const struct operation_row *row = &operations.rows[0];
  assert_int_equal(operations_between(&made.profile, row, 36 * MS, 50 * MS), 10);
  assert_int_equal(operations_between(&made.profile, row, 0, 2000), 90);
  assert_int_equal(operations_between(&made.profile, row, 2000, 36 * MS), 0);
  finish(&operations);
}

/* 15 errors in all: ENOENT (2) 5 + 4, EACCES (13) 3, and 3 that were not told apart. */
static void errors_are_told_apart(void **state) {
  struct operations operations;
  (void)state;
  make();
  handmade_operation(&made, OPERATION_SYSCALL, threads[0], PROFILE_NONE, "openat", 50, 1)
      ->total.errors = 8;
  struct trace_operation_detail *detail = handmade_detail(&made, &system_made);
  detail->result_count = 2;
  detail->results[0].error = 13;
  detail->results[0].count = 3;
  detail->results[1].error = 2;
  detail->results[1].count = 5;
  handmade_operation(&made, OPERATION_SYSCALL, threads[1], PROFILE_NONE, "openat", 50, 1)
      ->total.errors = 7;
  detail = handmade_detail(&made, &system_made);
  detail->result_count = 1;
  detail->results[0].error = 2;
  detail->results[0].count = 4;
  build(&operations, OPERATION_SYSCALL, OPERATIONS_BY_NAME);
  const struct operation_row *row = &operations.rows[0];
  assert_int_equal(row->error_count, 3);
  assert_int_equal(row->errors[0].error, 2);
  assert_int_equal(row->errors[0].count, 9);
  assert_int_equal(row->errors[1].count, 3);
  assert_int_equal(row->errors[2].count, 3);
  assert_int_equal(row->errors[1].error + row->errors[2].error, 13);
  finish(&operations);
}

/* serve has 3 + 5 + 2 of two lines and two threads, other 4; line 4 took most time. */
static void stacks_that_differ_in_lines_are_one(void **state) {
  struct operations operations;
  (void)state;
  make();
  handmade_operation(&made, OPERATION_SYSCALL, threads[0], PROFILE_NONE, "read", 12, 10);
  handmade_operation_stack(&made, serve_node, 3, 30);
  handmade_operation_stack(&made, other_line_node, 5, 50);
  handmade_operation_stack(&made, other_node, 4, 40);
  handmade_operation(&made, OPERATION_SYSCALL, threads[1], PROFILE_NONE, "read", 2, 10);
  handmade_operation_stack(&made, serve_node, 2, 20);
  build(&operations, OPERATION_SYSCALL, OPERATIONS_BY_NAME);
  const struct operation_row *row = &operations.rows[0];
  assert_int_equal(row->stack_count, 2);
  assert_int_equal(row->stacks[0].count, 10);
  assert_int_equal(row->stacks[0].total_ns, 100);
  assert_int_equal(row->stacks[0].node, other_line_node);
  assert_int_equal(row->stacks[1].node, other_node);
  assert_int_equal(row->stacks[1].total_ns, 40);
  finish(&operations);
}

static void an_objects_rows_stand_together(void **state) {
  struct operations operations;
  (void)state;
  make();
  uint32_t log = handmade_object(&made, OBJECT_FILE, "/log");
  uint32_t index = handmade_object(&made, OBJECT_FILE, "/index");
  uint32_t log_again = handmade_object(&made, OBJECT_FILE, "/log");
  uint32_t device = handmade_object(&made, OBJECT_DEVICE, "/log");
  handmade_operation(&made, OPERATION_FILE, PROFILE_NONE, index, "read", 1, 50);
  handmade_operation(&made, OPERATION_FILE, PROFILE_NONE, log, "write", 1, 10);
  handmade_operation(&made, OPERATION_FILE, PROFILE_NONE, log, "fsync", 1, 100);
  handmade_operation(&made, OPERATION_FILE, PROFILE_NONE, log_again, "write", 2, 10);
  handmade_operation(&made, OPERATION_FILE, PROFILE_NONE, device, "write", 1, 5);
  build(&operations, OPERATION_FILE, OPERATIONS_BY_OBJECT | OPERATIONS_BY_NAME);
  assert_int_equal(operations.count, 4);
  assert_int_equal(operations.object_count, 3);
  const struct operation_object *first = &operations.objects[0];
  assert_string_equal(operations_object_name(&made.profile, first->object), "/log");
  assert_int_equal(first->row_count, 2);
  assert_int_equal(operations_find(&operations, first, "write")->sum.count, 3);
  assert_int_equal(operations_find(&operations, first, "fsync")->sum.total_ns, 100);
  assert_null(operations_find(&operations, first, "read"));
  assert_string_equal(operations_object_name(&made.profile, operations.objects[1].object),
                      "/index");
  const struct operation_row **rows = operations_by_time(&operations, &made.profile);
  static const uint64_t expected_ns[] = {100, 50, 30, 5};
  for (size_t i = 0; i < 4; i++)
    assert_int_equal(rows[i]->sum.total_ns, expected_ns[i]);
  free(rows);
  finish(&operations);
}

static void places_are_in_one_order(void **state) {
  struct operations operations;
  struct operation_place *places;
  uint32_t count;
  (void)state;
  make();
  uint32_t gil = handmade_object(&made, OBJECT_LOCK, "GIL");
  uint32_t lock = handmade_object(&made, OBJECT_LOCK, "0x10");
  handmade_operation(&made, OPERATION_LOCK, threads[0], gil, "hold", 3, 10);
  handmade_operation_stack(&made, serve_node, 1, 10);
  handmade_operation_stack(&made, other_node, 2, 20);
  handmade_operation(&made, OPERATION_LOCK, threads[2], gil, "hold", 1, 15);
  handmade_operation_stack(&made, serve_node, 1, 15);
  handmade_operation(&made, OPERATION_LOCK, threads[1], gil, "wait", 3, 1000);
  handmade_operation_stack(&made, serve_node, 3, 3000);
  handmade_operation(&made, OPERATION_LOCK, threads[0], lock, "hold", 3, 1000);
  handmade_operation_stack(&made, serve_node, 3, 3000);
  build(&operations, OPERATION_LOCK,
        OPERATIONS_BY_OBJECT | OPERATIONS_BY_PROCESS | OPERATIONS_BY_NAME);
  assert_int_equal(operations_places(&places, &count, &operations, &made.profile, "hold", "GIL"),
                   0);
  assert_int_equal(count, 3);
  assert_int_equal(places[0].stack->total_ns, 20);
  assert_int_equal(places[1].stack->total_ns, 15);
  assert_int_equal(made.processes[places[1].row->process].pid, 200);
  assert_int_equal(places[2].stack->total_ns, 10);
  free(places);
  finish(&operations);
}

/* Sums that do not fit stay at the most. */
static void sums_saturate(void **state) {
  struct operations operations;
  (void)state;
  make();
  handmade_operation(&made, OPERATION_SYSCALL, threads[0], PROFILE_NONE, "read", 1, 1)
      ->total.total_ns = UINT64_MAX - 1;
  handmade_operation(&made, OPERATION_SYSCALL, threads[1], PROFILE_NONE, "read", 1, 5);
  build(&operations, OPERATION_SYSCALL, OPERATIONS_BY_NAME);
  assert_true(operations.rows[0].sum.total_ns == UINT64_MAX);
  finish(&operations);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(names_are_summed_over_threads),
      cmocka_unit_test(threads_and_processes_tell_rows_apart),
      cmocka_unit_test(percentiles_come_from_all_histograms),
      cmocka_unit_test(errors_are_told_apart),
      cmocka_unit_test(stacks_that_differ_in_lines_are_one),
      cmocka_unit_test(an_objects_rows_stand_together),
      cmocka_unit_test(places_are_in_one_order),
      cmocka_unit_test(sums_saturate),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
