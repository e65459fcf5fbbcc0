/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sums over functions, lines, paths, waits and threads on profiles whose answers are known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "analysis/accounting.h"
#include "analysis/hotspots.h"
#include "analysis/origin.h"
#include "analysis/summary.h"
#include "analysis/waits.h"
#include "handmade.h"

#define MS NS_PER_MS
#define PYTHON "/usr/bin/python3.11"

static struct handmade made;
static struct summary *summary;

static void begin(void) {
  handmade_init(&made, 1000 * MS);
  handmade_process(&made, 100, "app", "");
}

static void compute(void) {
  assert_int_equal(summary_build(&summary, &made.profile), 0);
}

static int release(void **state) {
  (void)state;
  summary_free(summary);
  summary = NULL;
  return 0;
}

static const struct hot_function *function_row(uint32_t function) {
  for (uint32_t i = 0; i < summary->hotspots.function_count; i++)
    if (summary->hotspots.functions[i].function == function)
      return &summary->hotspots.functions[i];
  fail_msg("function %u has no row", function);
  return NULL;
}

static const struct hot_line *line_row(uint32_t function, uint32_t line) {
  for (uint32_t i = 0; i < summary->hotspots.line_count; i++)
    if (summary->hotspots.lines[i].function == function && summary->hotspots.lines[i].line == line)
      return &summary->hotspots.lines[i];
  fail_msg("line %u has no row", line);
  return NULL;
}

static uint32_t python(const char *name) {
  return handmade_function(&made, FRAME_PYTHON, name, "/srv/app.py", "", 1);
}

static uint32_t native(const char *name, const char *module) {
  return handmade_function(&made, FRAME_NATIVE, name, "", module, 0);
}

/* main 1 sample; main → fib 2; main → fib → fib 3; main → fib → fib → fib 4; 10 ms each. */
static void recursion_counts_once(void **state) {
  (void)state;
  begin();
  uint32_t thread = handmade_thread(&made, 100, "main", 10 * MS);
  uint32_t main_function = python("main"), fib = python("fib");
  uint32_t main_node = handmade_call(&made, PROFILE_NONE, main_function, 5);
  uint32_t first = handmade_call(&made, main_node, fib, 10);
  uint32_t second = handmade_call(&made, first, fib, 11);
  uint32_t third = handmade_call(&made, second, fib, 10);
  handmade_samples(&made, thread, main_node, 1);
  handmade_samples(&made, thread, first, 2);
  handmade_samples(&made, thread, second, 3);
  handmade_samples(&made, thread, third, 4);
  compute();
  assert_int_equal(summary->hotspots.total_ns, 100 * MS);
  assert_int_equal(summary->hotspots.total_count, 10);
  assert_int_equal(function_row(fib)->self_ns, 90 * MS);
  assert_int_equal(function_row(fib)->total_ns, 90 * MS);
  assert_int_equal(function_row(fib)->total_count, 9);
  assert_int_equal(function_row(main_function)->self_ns, 10 * MS);
  assert_int_equal(function_row(main_function)->total_ns, 100 * MS);
  /* Line 10 is on the stack of 2 + 3 + 4 samples, line 11 on that of 3 + 4. */
  assert_int_equal(line_row(fib, 10)->total_ns, 90 * MS);
  assert_int_equal(line_row(fib, 10)->self_ns, 60 * MS);
  assert_int_equal(line_row(fib, 11)->total_ns, 70 * MS);
  assert_int_equal(line_row(fib, 11)->self_ns, 30 * MS);
}

/* A function that calls another one that calls it again is on the stack once as well. */
static void mutual_recursion_counts_once(void **state) {
  (void)state;
  begin();
  uint32_t thread = handmade_thread(&made, 100, "main", 10 * MS);
  uint32_t even = python("even"), odd = python("odd");
  uint32_t node = handmade_call(&made, PROFILE_NONE, even, 1);
  uint32_t beside = handmade_call(&made, PROFILE_NONE, odd, 1);
  node = handmade_call(&made, node, odd, 1);
  node = handmade_call(&made, node, even, 1);
  handmade_samples(&made, thread, node, 5);
  handmade_samples(&made, thread, beside, 2);
  compute();
  assert_int_equal(function_row(even)->total_ns, 50 * MS);
  assert_int_equal(function_row(odd)->total_ns, 70 * MS);
}

/* A sample of a thread that was on the CPU for longer per sample weighs more. */
static void samples_weigh_what_their_thread_used(void **state) {
  (void)state;
  begin();
  uint32_t light = handmade_thread(&made, 100, "light", 1 * MS);
  uint32_t heavy = handmade_thread(&made, 101, "heavy", 9 * MS);
  uint32_t a = python("a"), b = python("b");
  uint32_t a_node = handmade_call(&made, PROFILE_NONE, a, 1);
  uint32_t b_node = handmade_call(&made, PROFILE_NONE, b, 1);
  handmade_samples(&made, light, a_node, 10);
  handmade_samples(&made, heavy, b_node, 10);
  compute();
  assert_int_equal(summary->hotspots.functions[0].function, b);
  assert_int_equal(function_row(b)->self_ns, 90 * MS);
  assert_int_equal(function_row(a)->self_ns, 10 * MS);
}

/* py (line 3) itself 1 sample, in numpy called from it 4, in Python code that numpy calls back 2.
 */
static void own_time_includes_native_code(void **state) {
  (void)state;
  begin();
  uint32_t thread = handmade_thread(&made, 100, "main", 10 * MS);
  uint32_t outer = python("outer"), callback = python("callback");
  uint32_t numpy = native("matmul", "/usr/lib/numpy.so");
  uint32_t outer_node = handmade_call(&made, PROFILE_NONE, outer, 3);
  uint32_t numpy_node = handmade_call(&made, outer_node, numpy, 0);
  uint32_t callback_node = handmade_call(&made, numpy_node, callback, 7);
  handmade_samples(&made, thread, outer_node, 1);
  handmade_samples(&made, thread, numpy_node, 4);
  handmade_samples(&made, thread, callback_node, 2);
  compute();
  assert_int_equal(function_row(outer)->self_ns, 10 * MS);
  assert_int_equal(function_row(outer)->own_ns, 50 * MS);
  assert_int_equal(function_row(outer)->total_ns, 70 * MS);
  assert_int_equal(function_row(numpy)->own_ns, 40 * MS);
  assert_int_equal(line_row(outer, 3)->own_ns, 50 * MS);
  assert_int_equal(line_row(outer, 3)->own_count, 5);
  assert_int_equal(line_row(callback, 7)->own_ns, 20 * MS);
}

static void equal_rows_stand_by_name(void **state) {
  (void)state;
  begin();
  uint32_t thread = handmade_thread(&made, 100, "main", 10 * MS);
  uint32_t zebra = python("zebra"), ant = python("ant"), mole = python("mole");
  handmade_samples(&made, thread, handmade_call(&made, PROFILE_NONE, zebra, 1), 3);
  handmade_samples(&made, thread, handmade_call(&made, PROFILE_NONE, ant, 1), 3);
  handmade_samples(&made, thread, handmade_call(&made, PROFILE_NONE, mole, 1), 3);
  compute();
  const struct hotspots *hotspots = &summary->hotspots;
  assert_int_equal(hotspots->functions[0].function, ant);
  assert_int_equal(hotspots->functions[1].function, mole);
  assert_int_equal(hotspots->functions[2].function, zebra);
  assert_int_equal(hotspots->lines[0].function, ant);
  for (uint32_t i = 0; i < 3; i++)
    assert_int_equal(hotspots->by_total[i], i);
}

/* Of 200 samples: handler itself 1 (0.5 %: left to main), search 119, search's many callees of 0.5
 * % each 60 in all, main 20. */
static void paths_are_disjoint_and_whole(void **state) {
  (void)state;
  static char names[60][8];
  begin();
  uint32_t thread = handmade_thread(&made, 100, "main", 1 * MS);
  uint32_t main_node = handmade_call(&made, PROFILE_NONE, python("main"), 1);
  uint32_t handler = handmade_call(&made, main_node, python("handler"), 1);
  uint32_t search = handmade_call(&made, handler, python("search"), 1);
  handmade_samples(&made, thread, main_node, 20);
  handmade_samples(&made, thread, handler, 1);
  handmade_samples(&made, thread, search, 119);
  for (int i = 0; i < 60; i++) {
    names[i][0] = 'f';
    names[i][1] = (char)('0' + i / 10);
    names[i][2] = (char)('0' + i % 10);
    handmade_samples(&made, thread, handmade_call(&made, search, native(names[i], "x.so"), 0), 1);
  }
  compute();
  const struct hotspots *hotspots = &summary->hotspots;
  assert_int_equal(hotspots->path_count, 2);
  assert_int_equal(hotspots->paths[0].ns, 179 * MS);
  assert_int_equal(hotspots->paths[0].count, 179);
  assert_int_equal(hotspots->paths[0].callees_ns, 60 * MS);
  assert_int_equal(hotspots->paths[1].ns, 21 * MS);
  assert_int_equal(hotspots->paths[1].callees_ns, 1 * MS);
  struct stack_frames frames = {0};
  assert_int_equal(stacks_frames(&hotspots->stacks, hotspots->paths[0].node, &frames), 0);
  assert_int_equal(frames.count, 3);
  assert_string_equal(made.frames[frames.frames[0]].function, "main");
  assert_string_equal(made.frames[frames.frames[2]].function, "search");
  stack_frames_fini(&frames);
}

/* Stacks that differ in lines only are one path; it shows the line of most time. */
static void paths_merge_lines(void **state) {
  (void)state;
  begin();
  uint32_t thread = handmade_thread(&made, 100, "main", 10 * MS);
  uint32_t work = python("work"), leaf = native("leaf", "x.so");
  uint32_t at_10 = handmade_call(&made, PROFILE_NONE, work, 10);
  uint32_t at_20 = handmade_call(&made, PROFILE_NONE, work, 20);
  handmade_samples(&made, thread, handmade_call(&made, at_10, leaf, 0), 4);
  handmade_samples(&made, thread, handmade_call(&made, at_20, leaf, 0), 6);
  compute();
  const struct hotspots *hotspots = &summary->hotspots;
  assert_int_equal(hotspots->path_count, 1);
  assert_int_equal(hotspots->paths[0].ns, 100 * MS);
  struct stack_frames frames = {0};
  assert_int_equal(stacks_frames(&hotspots->stacks, hotspots->paths[0].node, &frames), 0);
  assert_int_equal(made.frames[frames.frames[0]].line, 20);
  stack_frames_fini(&frames);
}

/* The interpreter's functions below a Python function belong to its path; what it calls between two
 * Python functions says nothing, what it does for one does. */
static void interpreter_is_not_a_path(void **state) {
  (void)state;
  begin();
  uint32_t thread = handmade_thread(&made, 100, "main", 10 * MS);
  uint32_t start = native("_start", PYTHON), call = native("_PyObject_Call", PYTHON);
  uint32_t add = native("long_add", PYTHON);
  uint32_t handler = python("handler"), work = python("work");
  uint32_t node = handmade_call(&made, PROFILE_NONE, start, 0);
  node = handmade_call(&made, node, handler, 4);
  node = handmade_call(&made, node, call, 0);
  node = handmade_call(&made, node, work, 9);
  handmade_samples(&made, thread, node, 3);
  handmade_samples(&made, thread, handmade_call(&made, node, add, 0), 7);
  compute();
  assert_int_equal(summary->hotspots.path_count, 1);
  assert_int_equal(summary->hotspots.paths[0].ns, 100 * MS);
  assert_int_equal(summary->hotspots.paths[0].callees_ns, 0);
  assert_true(function_row(start)->is_passage);
  assert_true(function_row(call)->is_passage);
  assert_false(function_row(add)->is_passage);
  assert_false(function_row(work)->is_passage);
}

static void origins_are_told_by_file_and_module(void **state) {
  static const struct {
    struct profile_function function;
    enum origin origin;
  } rows[] = {
      {{"f", "/srv/app.py", "", 1, FRAME_PYTHON}, ORIGIN_APPLICATION},
      {{"f", "/usr/lib/python3.11/threading.py", "", 1, FRAME_PYTHON}, ORIGIN_RUNTIME},
      {{"f", "/home/someone/.pyenv/versions/3.8.1/lib/python3.8/json/decoder.py", "", 1,
        FRAME_PYTHON},
       ORIGIN_RUNTIME},
      {{"f", "/opt/lib/python3.11/site-packages/uvicorn/main.py", "", 1, FRAME_PYTHON},
       ORIGIN_APPLICATION},
      {{"f", "/usr/lib/python3/dist-packages/numpy/core.py", "", 1, FRAME_PYTHON},
       ORIGIN_APPLICATION},
      {{"f", "<frozen importlib._bootstrap>", "", 1, FRAME_PYTHON}, ORIGIN_RUNTIME},
      {{"f", "<string>", "", 1, FRAME_PYTHON}, ORIGIN_APPLICATION},
      {{"f", "", "/usr/bin/python3.11", 0, FRAME_NATIVE}, ORIGIN_INTERPRETER},
      {{"f", "", "/opt/lib/libpython3.12.so.1.0", 0, FRAME_NATIVE}, ORIGIN_INTERPRETER},
      {{"f", "", "/usr/lib/x86_64-linux-gnu/libc.so.6", 0, FRAME_NATIVE}, ORIGIN_RUNTIME},
      {{"f", "", "/opt/venv/lib/python3.11/site-packages/faiss/_swig.so", 0, FRAME_NATIVE},
       ORIGIN_APPLICATION},
      {{"_start", "", "/srv/server", 0, FRAME_NATIVE}, ORIGIN_RUNTIME},
      {{"f", "", "[kernel]", 0, FRAME_KERNEL}, ORIGIN_KERNEL},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
    assert_int_equal(origin_of(&rows[i].function), rows[i].origin);
}

static const struct wait_stack *wait_row(uint32_t at, enum wait_reason reason) {
  assert_true(at < summary->waits.stack_count);
  assert_int_equal(summary->waits.stacks[at].sum.reason, reason);
  return &summary->waits.stacks[at];
}

/* Two waits for a lock at different lines of one function: 100 and 300 ms, then 40 and 20 ms until
 * a CPU was free. */
static void waits_split_into_reason_and_queue(void **state) {
  (void)state;
  begin();
  uint32_t thread = handmade_thread(&made, 100, "main", 10 * MS);
  uint32_t lock = python("lock");
  uint32_t at_1 = handmade_call(&made, PROFILE_NONE, lock, 1);
  uint32_t at_2 = handmade_call(&made, PROFILE_NONE, lock, 2);
  handmade_wait(&made, thread, at_1, WAIT_FUTEX, 100 * MS, 40 * MS);
  handmade_wait(&made, thread, at_2, WAIT_FUTEX, 300 * MS, 20 * MS);
  compute();
  const struct waits *waits = &summary->waits;
  assert_int_equal(waits->total_ns, 460 * MS);
  assert_int_equal(waits->reason_count, 2);
  assert_int_equal(waits->reasons[0].reason, WAIT_FUTEX);
  assert_int_equal(waits->reasons[0].total_ns, 400 * MS);
  assert_int_equal(waits->reasons[0].count, 2);
  assert_int_equal(waits->reasons[0].max_ns, 300 * MS);
  assert_int_equal(waits->reasons[1].reason, WAIT_RUN_QUEUE);
  assert_int_equal(waits->reasons[1].total_ns, 60 * MS);
  assert_int_equal(waits->reasons[1].max_ns, 40 * MS);
  assert_int_equal(waits->stack_count, 2);
  assert_int_equal(wait_row(0, WAIT_FUTEX)->sum.total_ns, 400 * MS);
  assert_int_equal(wait_row(0, WAIT_FUTEX)->thread_count, 1);
  assert_int_equal(made.nodes[wait_row(0, WAIT_FUTEX)->node].frame, made.nodes[at_2].frame);
  assert_int_equal(wait_row(1, WAIT_RUN_QUEUE)->sum.count, 2);
}

/* A sum of 1,000 waits: no part of it was longer than the longest wait. */
static void sums_of_waits_keep_their_longest(void **state) {
  (void)state;
  begin();
  uint32_t thread = handmade_thread(&made, 100, "main", 10 * MS);
  uint32_t node = handmade_call(&made, PROFILE_NONE, python("read"), 1);
  struct profile_wait *wait = handmade_wait(&made, thread, node, WAIT_DISK, 500 * MS, 2 * MS);
  wait->count = 1000;
  wait->max_ns = 5 * MS;
  compute();
  assert_int_equal(summary->waits.reasons[0].count, 1000);
  assert_int_equal(summary->waits.reasons[0].max_ns, 5 * MS);
  assert_int_equal(summary->waits.reasons[1].max_ns, 2 * MS);
}

/* One worker waits for work for 95 % of the capture, another one for a lock for 10 %; the worker of
 * a process of its own is all that this process does. */
static void parked_threads_stand_last(void **state) {
  (void)state;
  begin();
  uint32_t idle = handmade_thread(&made, 101, "pool-1", 10 * MS);
  uint32_t busy = handmade_thread(&made, 102, "pool-2", 10 * MS);
  handmade_process(&made, 200, "single", "");
  uint32_t single = handmade_thread(&made, 200, "single", 10 * MS);
  uint32_t get = handmade_call(&made, PROFILE_NONE, python("get"), 1);
  uint32_t lock = handmade_call(&made, PROFILE_NONE, python("lock"), 1);
  uint32_t ask = handmade_call(&made, PROFILE_NONE, python("ask"), 1);
  handmade_wait(&made, idle, get, WAIT_FUTEX, 950 * MS, 0);
  handmade_wait(&made, busy, lock, WAIT_FUTEX, 100 * MS, 0);
  handmade_wait(&made, single, ask, WAIT_SOCKET, 950 * MS, 0);
  compute();
  const struct waits *waits = &summary->waits;
  assert_int_equal(waits->stacks[0].node, ask);
  assert_int_equal(waits->stacks[0].parked_count, 0);
  assert_int_equal(waits->stacks[1].node, lock);
  assert_int_equal(waits->stacks[2].node, get);
  assert_int_equal(waits->stacks[2].parked_count, 1);
  assert_int_equal(waits->stacks[2].sum.parked_ns, 950 * MS);
  assert_int_equal(waits->reasons[0].parked_ns, 950 * MS);
}

/* Pairs of waiter and waker, for locks and the GIL only; unknown wakers last. */
static void wakers_are_summed_by_pair(void **state) {
  (void)state;
  begin();
  uint32_t a = handmade_thread(&made, 101, "a", 10 * MS);
  uint32_t b = handmade_thread(&made, 102, "b", 10 * MS);
  uint32_t node = handmade_call(&made, PROFILE_NONE, python("spin"), 1);
  for (int i = 0; i < 2; i++) {
    struct profile_wait *wait = handmade_wait(&made, a, node, WAIT_GIL, 5 * MS, 1 * MS);
    wait->waker = b;
    wait->waker_tid = 102;
  }
  handmade_wait(&made, a, node, WAIT_GIL, 50 * MS, 0);
  handmade_wait(&made, b, node, WAIT_FUTEX, 3 * MS, 0)->waker_tid = 999;
  handmade_wait(&made, b, node, WAIT_SOCKET, 70 * MS, 0)->waker_tid = 999;
  compute();
  const struct waits *waits = &summary->waits;
  assert_int_equal(waits->wake_count, 3);
  assert_int_equal(waits->wakes[0].waker, b);
  assert_int_equal(waits->wakes[0].sum.total_ns, 10 * MS);
  assert_int_equal(waits->wakes[0].sum.count, 2);
  assert_int_equal(waits->wakes[1].waker, PROFILE_NONE);
  assert_int_equal(waits->wakes[1].waker_tid, 999);
  assert_int_equal(waits->wakes[2].waker_tid, 0);
  assert_int_equal(waits->wakes[2].sum.total_ns, 50 * MS);
}

/* One thread counted by the scheduler, one added up from 3 samples of 10 ms and a wait. */
static void threads_are_exact_or_added_up(void **state) {
  (void)state;
  begin();
  uint32_t exact = handmade_thread(&made, 101, "exact", 10 * MS);
  uint32_t rough = handmade_thread(&made, 102, "rough", 10 * MS);
  uint32_t node = handmade_call(&made, PROFILE_NONE, python("f"), 1);
  handmade_account(&made, exact, 600 * MS, 300 * MS, 100 * MS);
  handmade_samples(&made, exact, node, 50);
  handmade_wait(&made, exact, node, WAIT_DISK, 290 * MS, 0);
  handmade_samples(&made, rough, node, 3);
  handmade_wait(&made, rough, node, WAIT_DISK, 900 * MS, 60 * MS);
  compute();
  const struct accounting *accounting = &summary->accounting;
  assert_int_equal(accounting->threads[0].thread, exact);
  assert_true(accounting->threads[0].is_exact);
  assert_int_equal(accounting->threads[0].time.blocked_ns, 300 * MS);
  assert_int_equal(time_split_sum_ns(&accounting->threads[0].time), 1000 * MS);
  assert_false(accounting->threads[1].is_exact);
  assert_int_equal(accounting->threads[1].time.on_cpu_ns, 30 * MS);
  assert_int_equal(accounting->threads[1].time.wall_ns, 1000 * MS);
  assert_int_equal(time_split_sum_ns(&accounting->threads[1].time), 990 * MS);
  assert_int_equal(accounting->total.wall_ns, 2000 * MS);
  assert_int_equal(accounting->total.sample_count, 53);
  assert_int_equal(accounting->processes[0].thread_count, 2);
  assert_int_equal(accounting->processes[0].time.on_cpu_ns, 630 * MS);
}

/* 3 of 4 samples and 90 of 100 waits reach the first frame. */
static void incomplete_stacks_are_counted(void **state) {
  (void)state;
  begin();
  uint32_t thread = handmade_thread(&made, 100, "main", 10 * MS);
  uint32_t mark = handmade_function(&made, FRAME_MARK, "[truncated]", "", "", 0);
  uint32_t work = python("work");
  uint32_t whole = handmade_call(&made, PROFILE_NONE, work, 1);
  uint32_t cut = handmade_call(&made, handmade_call(&made, PROFILE_NONE, mark, 0), work, 1);
  handmade_samples(&made, thread, whole, 3);
  handmade_samples(&made, thread, cut, 1);
  handmade_wait(&made, thread, whole, WAIT_DISK, 10 * MS, 0)->count = 90;
  handmade_wait(&made, thread, cut, WAIT_DISK, 10 * MS, 0)->count = 10;
  compute();
  const struct accounting *accounting = &summary->accounting;
  assert_int_equal(accounting->sample_count, 4);
  assert_int_equal(accounting->complete_sample_count, 3);
  assert_int_equal(accounting->wait_count, 100);
  assert_int_equal(accounting->complete_wait_count, 90);
  assert_int_equal(accounting->incomplete_count, 1);
  assert_int_equal(accounting->incomplete[0].function, mark);
  assert_int_equal(accounting->incomplete[0].sample_count, 1);
  assert_int_equal(accounting->incomplete[0].wait_count, 10);
  /* The mark is no function, but the work below it is work. */
  assert_int_equal(summary->hotspots.function_count, 1);
  assert_int_equal(function_row(work)->total_ns, 40 * MS);
}

static void nothing_is_no_error(void **state) {
  (void)state;
  handmade_init(&made, 0);
  compute();
  assert_int_equal(summary->hotspots.function_count, 0);
  assert_int_equal(summary->waits.stack_count, 0);
  assert_int_equal(summary->accounting.thread_count, 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, release)
  const struct CMUnitTest tests[] = {
      TEST(recursion_counts_once),
      TEST(mutual_recursion_counts_once),
      TEST(samples_weigh_what_their_thread_used),
      TEST(own_time_includes_native_code),
      TEST(equal_rows_stand_by_name),
      TEST(paths_are_disjoint_and_whole),
      TEST(paths_merge_lines),
      TEST(interpreter_is_not_a_path),
      TEST(origins_are_told_by_file_and_module),
      TEST(waits_split_into_reason_and_queue),
      TEST(sums_of_waits_keep_their_longest),
      TEST(parked_threads_stand_last),
      TEST(wakers_are_summed_by_pair),
      TEST(threads_are_exact_or_added_up),
      TEST(incomplete_stacks_are_counted),
      TEST(nothing_is_no_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
