/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is said to stand out, and what is not: each pattern with its evidence, and its like that is
 * none. A capture takes 10 s. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "analysis/findings.h"
#include "handmade_system.h"

#define MS NS_PER_MS
/* Buckets by docs/trace-format.md. */
#define BUCKET_1024_NS 33
#define BUCKET_38_MS 154 /* to 41.9 ms */
#define BUCKET_5_S 210   /* 4.83 to 5.37 s */

static struct handmade made;
static struct handmade_system system_made;
static struct findings found;
static uint32_t node;

static void make(void) {
  handmade_init(&made, 10000 * MS);
  handmade_system_init(&made, &system_made);
  handmade_process(&made, 100, "server", "");
  handmade_thread(&made, 100, "main", 10 * MS);
  handmade_thread(&made, 101, "worker", 10 * MS);
  uint32_t serve = handmade_function(&made, FRAME_PYTHON, "serve", "/srv/app.py", "", 1);
  node = handmade_call(&made, PROFILE_NONE, serve, 3);
}

static void find(void) {
  struct summary *summary;
  assert_int_equal(summary_build(&summary, &made.profile), 0);
  assert_int_equal(findings_build(&found, summary), 0);
  summary_free(summary);
}

static const struct finding *only(enum finding_kind kind) {
  find();
  assert_int_equal(found.count, 1);
  assert_int_equal(found.rows[0].kind, kind);
  return &found.rows[0];
}

static void expect_nothing(void) {
  find();
  assert_int_equal(found.count, 0);
}

static void nothing_of_nothing(void **state) {
  (void)state;
  make();
  expect_nothing();
}

static void an_oom_kill(void **state) {
  (void)state;
  make();
  handmade_happening(&made, 10 * MS, 0, HAPPENING_OOM_KILL, 0, "");
  assert_int_equal(only(FINDING_OOM_KILL)->process, 0);
}

static void descriptors_near_the_limit(void **state) {
  (void)state;
  make();
  handmade_point(&made, 0, 0, POINT_DESCRIPTORS_LIMIT, 100);
  handmade_point(&made, 0, 0, POINT_DESCRIPTORS, 79);
  expect_nothing();
  handmade_point(&made, 1, 0, POINT_DESCRIPTORS, 80);
  handmade_point(&made, 2, 0, POINT_DESCRIPTORS, 10);
  assert_int_equal(only(FINDING_DESCRIPTORS)->count, 80);
  assert_int_equal(found.rows[0].of_count, 100);
}

static void throttling(void **state) {
  (void)state;
  make();
  handmade_point(&made, 0, 0, POINT_CPU_PERIODS, 1000);
  handmade_point(&made, 0, 0, POINT_CPU_THROTTLED, 900); /* before the capture */
  handmade_point(&made, 0, 0, POINT_CPU_THROTTLED_NS, 0);
  handmade_point(&made, 9000 * MS, 0, POINT_CPU_PERIODS, 1100);
  handmade_point(&made, 9000 * MS, 0, POINT_CPU_THROTTLED, 904);
  expect_nothing();
  handmade_point(&made, 9000 * MS, 0, POINT_CPU_THROTTLED, 930);
  handmade_point(&made, 9000 * MS, 0, POINT_CPU_THROTTLED_NS, 1500 * MS);
  assert_int_equal(only(FINDING_THROTTLED)->count, 30);
  assert_int_equal(found.rows[0].of_count, 100);
  assert_int_equal(found.rows[0].total_ns, 1500 * MS);
}

/* Two threads ran 6 s and queued 2 s each, then ran 4 s and queued 3 s. */
static void too_few_cpus(void **state) {
  (void)state;
  make();
  handmade_point(&made, 0, 0, POINT_CPUS_ALLOWED, 1);
  handmade_account(&made, 0, 6100 * MS, 1900 * MS, 2000 * MS);
  handmade_account(&made, 1, 6100 * MS, 1900 * MS, 2000 * MS);
  expect_nothing();
  handmade_account(&made, 0, 4000 * MS, 3000 * MS, 3000 * MS);
  handmade_account(&made, 1, 4000 * MS, 3000 * MS, 3000 * MS);
  assert_int_equal(only(FINDING_CPU_SHORTAGE)->total_ns, 6000 * MS);
  assert_int_equal(found.rows[0].of_count, 14000 * MS);
}

/* 200 waits of 10 ms in each of two threads: 0.4 threads wait on average. */
static void make_lock(const char *name, bool both_hold) {
  make();
  uint32_t lock = handmade_object(&made, OBJECT_LOCK, name);
  handmade_operation(&made, OPERATION_LOCK, 0, lock, "wait", 200, 10 * MS);
  handmade_operation(&made, OPERATION_LOCK, 1, lock, "wait", 200, 10 * MS);
  handmade_operation(&made, OPERATION_LOCK, 0, lock, "hold", 150, 10 * MS);
  if (!both_hold)
    return;
  handmade_operation(&made, OPERATION_LOCK, 1, lock, "hold", 250, 10 * MS);
  handmade_operation_stack(&made, node, 250, 2500 * MS);
}

static void a_lock_convoy(void **state) {
  (void)state;
  make_lock("0x7f0000001000", true);
  const struct finding *convoy = only(FINDING_LOCK_CONVOY);
  assert_int_equal(convoy->count, 400);
  assert_int_equal(convoy->total_ns, 4000 * MS);
  assert_true(convoy->average == 0.4);
  assert_int_equal(convoy->thread_count, 2);
  assert_int_equal(convoy->thread, 1);
  assert_int_equal(convoy->node, node);
}

/* Workers wait for work all the time; that does not hide the lock that they fight for. */
static void idle_workers_hide_no_convoy(void **state) {
  (void)state;
  make_lock("0x7f0000001000", true);
  uint32_t queue = handmade_object(&made, OBJECT_LOCK, "0x7f0000002000");
  handmade_operation(&made, OPERATION_LOCK, 0, queue, "wait", 300, 30 * MS);
  handmade_operation(&made, OPERATION_LOCK, 1, queue, "wait", 300, 30 * MS);
  assert_int_equal(only(FINDING_LOCK_CONVOY)->total_ns, 4000 * MS);
}

/* One thread only lets others go on: it hands out work. */
static void handing_out_work_is_no_convoy(void **state) {
  (void)state;
  make_lock("0x7f0000001000", false);
  expect_nothing();
}

static void a_gil_convoy(void **state) {
  (void)state;
  make_lock("GIL", false);
  assert_int_equal(only(FINDING_GIL_CONVOY)->total_ns, 4000 * MS);
  make();
  uint32_t gil = handmade_object(&made, OBJECT_LOCK, "GIL");
  handmade_operation(&made, OPERATION_LOCK, 0, gil, "wait", 200, 5 * MS); /* a tenth */
  expect_nothing();
}

/* 30 of 100 samples spin. */
static void a_pool_that_spins(void **state) {
  (void)state;
  make();
  handmade_point(&made, 0, 0, POINT_THREADS, 2);
  uint32_t barrier = handmade_call(
      &made, PROFILE_NONE,
      handmade_function(&made, FRAME_NATIVE, "ggml_barrier", "", "/opt/libggml.so", 0), 0);
  handmade_samples(&made, 0, node, 70);
  handmade_samples(&made, 1, barrier, 15);
  expect_nothing();
  handmade_samples(&made, 1, barrier, 15);
  assert_string_equal(only(FINDING_SPINNING)->name, "ggml");
  assert_int_equal(found.rows[0].count, 30);
  assert_int_equal(found.rows[0].of_count, 100);
  assert_int_equal(found.rows[0].total_ns, 300 * MS);
}

static void syncing(void **state) {
  (void)state;
  make();
  uint32_t cache = handmade_object(&made, OBJECT_FILE, "/cache");
  uint32_t log = handmade_object(&made, OBJECT_FILE, "/log");
  handmade_operation(&made, OPERATION_FILE, PROFILE_NONE, cache, "fsync", 10, 10 * MS);
  handmade_operation(&made, OPERATION_FILE, PROFILE_NONE, log, "write", 1000, 5 * MS);
  expect_nothing();
  handmade_operation(&made, OPERATION_FILE, PROFILE_NONE, log, "fsync", 10, 40 * MS);
  handmade_operation_stack(&made, node, 10, 400 * MS);
  assert_int_equal(only(FINDING_FSYNC)->total_ns, 500 * MS);
  assert_int_equal(found.rows[0].count, 20);
  assert_int_equal(found.rows[0].max_ns, 40 * MS);
  assert_int_equal(found.rows[0].object, log);
  assert_int_equal(found.rows[0].node, node);
}

/* 90 ms on the CPU in 1 s of first touch, 900 ms waiting for the disk. */
static void page_faults(void **state) {
  (void)state;
  make();
  uint32_t handler = handmade_call(
      &made, node, handmade_function(&made, FRAME_KERNEL, "asm_exc_page_fault", "", "[kernel]", 0),
      0);
  uint32_t index = handmade_object(&made, OBJECT_FILE, "/index");
  handmade_samples(&made, 0, handler, 9);
  handmade_operation(&made, OPERATION_FAULT, PROFILE_NONE, index, "major", 500, 0);
  handmade_operation_stack(&made, node, 500, 0);
  expect_nothing();
  handmade_wait(&made, 0, handler, WAIT_PAGE_FAULT, 900 * MS, 0);
  assert_int_equal(only(FINDING_PAGE_FAULTS)->total_ns, 990 * MS);
  assert_int_equal(found.rows[0].of_count, 500);
  assert_int_equal(found.rows[0].object, index);
  assert_int_equal(found.rows[0].node, node);
}

/* Of 100 receives 25 took 38 to 42 ms; the others were immediate. */
static void delayed_acknowledgements(void **state) {
  (void)state;
  make();
  uint32_t peer = handmade_object(&made, OBJECT_SOCKET, "tcp 127.0.0.1:9000");
  handmade_operation(&made, OPERATION_SOCKET, PROFILE_NONE, peer, "receive", 100, 10 * MS);
  handmade_operation_stack(&made, node, 100, 1000 * MS);
  struct trace_operation_detail *detail = handmade_detail(&made, &system_made);
  detail->buckets[BUCKET_1024_NS] = 81;
  detail->buckets[BUCKET_38_MS] = 19;
  expect_nothing();
  detail->buckets[BUCKET_1024_NS] = 75;
  detail->buckets[BUCKET_38_MS] = 25;
  assert_int_equal(only(FINDING_DELAYED_ACK)->count, 25);
  assert_int_equal(found.rows[0].of_count, 100);
  assert_int_equal(found.rows[0].object, peer);
  assert_int_equal(found.rows[0].node, node);
}

/* The receives are quick, since the wait is in the poll before them; other slow calls, and those
 * of another length, are none of it. */
static void delayed_acknowledgements_in_poll(void **state) {
  (void)state;
  make();
  uint32_t peer = handmade_object(&made, OBJECT_SOCKET, "tcp 127.0.0.1:9000");
  handmade_operation(&made, OPERATION_SOCKET, PROFILE_NONE, peer, "receive", 40, 1000);
  handmade_operation(&made, OPERATION_SYSCALL, 0, PROFILE_NONE, "poll", 40, 1 * MS);
  handmade_operation(&made, OPERATION_SYSCALL, 0, PROFILE_NONE, "sendto", 40, 1 * MS);
  for (int i = 0; i < 9; i++)
    handmade_slow(&made, 1, 0, peer, node, 40 * MS);
  handmade_slow(&made, 1, 0, peer, node, 52 * MS);
  handmade_slow(&made, 1, 0, PROFILE_NONE, node, 40 * MS);
  handmade_slow(&made, 2, 0, peer, node, 40 * MS);
  expect_nothing();
  handmade_slow(&made, 1, 0, peer, node, 41 * MS);
  assert_int_equal(only(FINDING_DELAYED_ACK)->count, 10);
  assert_int_equal(found.rows[0].of_count, 40);
  assert_int_equal(found.rows[0].total_ns, 401 * MS);
  assert_int_equal(found.rows[0].node, node);
}

static void a_look_up_that_timed_out(void **state) {
  (void)state;
  make();
  uint32_t server = handmade_object(&made, OBJECT_SOCKET, "udp 127.0.0.53:53");
  handmade_operation(&made, OPERATION_SOCKET, PROFILE_NONE, server, "dns", 9, 40 * MS);
  expect_nothing();
  struct profile_operation *dns =
      handmade_operation(&made, OPERATION_SOCKET, PROFILE_NONE, server, "dns", 2, 0);
  dns->total.total_ns = 10010 * MS;
  dns->total.max_ns = 5006 * MS;
  handmade_detail(&made, &system_made)->buckets[BUCKET_5_S] = 2;
  assert_int_equal(only(FINDING_DNS_TIMEOUT)->count, 2);
  assert_int_equal(found.rows[0].max_ns, 5006 * MS);
}

/* What is never answered is no look-up: its wait tells. One of 5 s for a web server is none. */
static void a_wait_for_a_name_server(void **state) {
  (void)state;
  make();
  uint32_t server = handmade_object(&made, OBJECT_SOCKET, "udp 10.0.0.2:53");
  uint32_t web = handmade_object(&made, OBJECT_SOCKET, "tcp 10.0.0.2:8053");
  handmade_operation(&made, OPERATION_SYSCALL, 0, PROFILE_NONE, "poll", 10, 1 * MS);
  handmade_slow(&made, 0, 0, web, node, 5005 * MS);
  expect_nothing();
  handmade_slow(&made, 0, 0, server, node, 5005 * MS);
  assert_int_equal(only(FINDING_DNS_TIMEOUT)->count, 1);
  assert_int_equal(found.rows[0].object, server);
  assert_int_equal(found.rows[0].node, node);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nothing_of_nothing),
      cmocka_unit_test(an_oom_kill),
      cmocka_unit_test(descriptors_near_the_limit),
      cmocka_unit_test(throttling),
      cmocka_unit_test(too_few_cpus),
      cmocka_unit_test(a_lock_convoy),
      cmocka_unit_test(idle_workers_hide_no_convoy),
      cmocka_unit_test(handing_out_work_is_no_convoy),
      cmocka_unit_test(a_gil_convoy),
      cmocka_unit_test(a_pool_that_spins),
      cmocka_unit_test(syncing),
      cmocka_unit_test(page_faults),
      cmocka_unit_test(delayed_acknowledgements),
      cmocka_unit_test(delayed_acknowledgements_in_poll),
      cmocka_unit_test(a_look_up_that_timed_out),
      cmocka_unit_test(a_wait_for_a_name_server),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
