/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sections of the system's part, over profiles whose answers are known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "analysis/spin.h"
#include "analysis/summary.h"
#include "handmade_system.h"

#define MS NS_PER_MS
#define LIBC "/lib/x86_64-linux-gnu/libc.so.6"

static struct handmade made;
static struct handmade_system system_made;
static struct summary *summary;

/* 10 s; process 0 with the threads 0 and 1. */
static void make(void) {
  handmade_init(&made, 10000 * MS);
  handmade_system_init(&made, &system_made);
  handmade_process(&made, 100, "server", "");
  handmade_thread(&made, 100, "main", 10 * MS);
  handmade_thread(&made, 101, "worker", 10 * MS);
}

static const struct system_part *build(void) {
  assert_int_equal(summary_build(&summary, &made.profile), 0);
  return &summary->system;
}

static uint32_t push(uint32_t parent, enum frame_kind kind, const char *name, const char *module) {
  return handmade_call(&made, parent, handmade_function(&made, kind, name, "", module, 0), 0);
}

/* ---- Files and peers ---- */

/* Reads of 1,000 bytes each, of which the device gave what it is said to have given. */
static double cached_pct(uint64_t read_bytes, uint64_t device_bytes) {
  make();
  uint32_t file = handmade_object(&made, OBJECT_FILE, "/index");
  handmade_operation(&made, OPERATION_FILE, PROFILE_NONE, file, "read", 10, 1)->total.bytes =
      read_bytes;
  handmade_operation(&made, OPERATION_FILE, PROFILE_NONE, file, "device read", 1, 1)->total.bytes =
      device_bytes;
  double pct = io_cached_pct(&build()->files.rows[0]);
  summary_free(summary);
  return pct;
}

static void the_page_cache_gave_what_the_device_did_not(void **state) {
  (void)state;
  assert_true(cached_pct(10000, 2500) == 75);
  assert_true(cached_pct(10000, 0) == 100);
  assert_true(cached_pct(10000, 16384) == 0); /* read ahead */
  assert_true(cached_pct(0, 4096) < 0);       /* only mapped: no share */
}

/* The time of a file is that of its system calls: a device's read passes within one. */
static void time_is_counted_once(void **state) {
  (void)state;
  make();
  uint32_t index = handmade_object(&made, OBJECT_FILE, "/index");
  uint32_t log = handmade_object(&made, OBJECT_FILE, "/log");
  handmade_operation(&made, OPERATION_FILE, PROFILE_NONE, index, "read", 10, 3 * MS);
  handmade_operation(&made, OPERATION_FILE, PROFILE_NONE, index, "device read", 10, 2 * MS);
  handmade_operation(&made, OPERATION_FILE, PROFILE_NONE, log, "write", 10, 1 * MS);
  handmade_operation(&made, OPERATION_FILE, PROFILE_NONE, log, "fsync", 1, 30 * MS);
  const struct io *files = &build()->files;
  assert_int_equal(files->count, 2);
  assert_int_equal(files->rows[0].object, log);
  assert_int_equal(files->rows[0].total_ns, 40 * MS);
  assert_int_equal(io_sum(&files->rows[0], IO_FSYNC)->max_ns, 30 * MS);
  assert_int_equal(files->rows[1].total_ns, 30 * MS);
  assert_int_equal(io_sum(&files->rows[1], IO_DEVICE_READ)->total_ns, 20 * MS);
  assert_int_equal(io_sum(&files->rows[1], IO_OPEN)->count, 0);
  summary_free(summary);
}

/* ---- Slow system calls ---- */

/* recv from two peers at one stack, and of the operation's own object; a probe's spans are none. */
static void slow_calls_are_told_apart_by_what_they_were_done_to(void **state) {
  (void)state;
  make();
  uint32_t node = push(PROFILE_NONE, FRAME_NATIVE, "main", "/bin/app");
  uint32_t near_peer = handmade_object(&made, OBJECT_SOCKET, "tcp 127.0.0.1:6333");
  uint32_t far_peer = handmade_object(&made, OBJECT_SOCKET, "tcp 10.0.0.1:443");
  handmade_operation(&made, OPERATION_SYSCALL, 0, PROFILE_NONE, "recvfrom", 100, 1 * MS);
  handmade_operation(&made, OPERATION_PROBE, 0, PROFILE_NONE, "search", 100, 1 * MS);
  handmade_slow(&made, 0, 0, near_peer, node, 5 * MS);
  handmade_slow(&made, 0, 0, far_peer, node, 20 * MS);
  handmade_slow(&made, 0, 1, near_peer, node, 9 * MS);
  handmade_slow(&made, 1, 0, PROFILE_NONE, node, 500 * MS);
  const struct slow *slow = &build()->slow;
  assert_int_equal(slow->count, 2);
  assert_int_equal(slow->rows[0].object, far_peer);
  assert_int_equal(slow->rows[1].object, near_peer);
  assert_int_equal(slow->rows[1].count, 2);
  assert_int_equal(slow->rows[1].total_ns, 14 * MS);
  assert_int_equal(slow->rows[1].max_ns, 9 * MS);
  assert_int_equal(slow->rows[1].max_time_ns, 2 * MS);
  summary_free(summary);
}

/* ---- Page faults ---- */

/* A copy touches a mapped file: 30 samples (300 ms) in the handler, 700 ms waiting for pages, 50 ms
 * preempted there; 100 samples of the copy itself. */
static void first_touch_is_where_the_page_was_touched(void **state) {
  (void)state;
  make();
  uint32_t copy = push(PROFILE_NONE, FRAME_NATIVE, "copy", "/bin/app");
  uint32_t handler = push(copy, FRAME_KERNEL, "asm_exc_page_fault", "[kernel]");
  uint32_t clear = push(push(handler, FRAME_KERNEL, "handle_mm_fault", "[kernel]"), FRAME_KERNEL,
                        "clear_page", "[kernel]");
  uint32_t index = handmade_object(&made, OBJECT_FILE, "/index");
  handmade_samples(&made, 0, clear, 30);
  handmade_samples(&made, 0, copy, 100);
  handmade_wait(&made, 0, handler, WAIT_PAGE_FAULT, 400 * MS, 10 * MS);
  handmade_wait(&made, 0, clear, WAIT_DISK, 300 * MS, 0);
  handmade_wait(&made, 0, clear, WAIT_RUN_QUEUE, 0, 50 * MS);
  handmade_operation(&made, OPERATION_FAULT, PROFILE_NONE, index, "major", 7, 100 * MS);
  handmade_operation_stack(&made, copy, 7, 700 * MS);
  handmade_operation(&made, OPERATION_FAULT, PROFILE_NONE, index, "minor", 93, 0);
  handmade_operation_stack(&made, handler, 93, 0);
  const struct faults *faults = &build()->faults;
  assert_true(faults->is_recorded);
  assert_false(faults->is_exact);
  assert_int_equal(faults->major, 7);
  assert_int_equal(faults->minor, 93);
  assert_int_equal(faults->stack_count, 1);
  assert_int_equal(faults->stacks[0].node, copy);
  assert_int_equal(faults->stacks[0].on_cpu_ns, 300 * MS);
  assert_int_equal(faults->stacks[0].samples, 30);
  assert_int_equal(faults->stacks[0].blocked_ns, 700 * MS);
  assert_int_equal(faults->stacks[0].waits, 2);
  assert_int_equal(faults->stacks[0].major, 7);
  assert_int_equal(faults->stacks[0].minor, 93);
  assert_int_equal(faults->stacks[0].object, index);
  assert_int_equal(faults->on_cpu_ns, 300 * MS);
  assert_int_equal(faults->blocked_ns, 700 * MS);
  summary_free(summary);
}

/* The kernel's own counts are those of the capture: from the first reading of a process that was
 * there before, all of one that began in it. */
static void fault_totals_are_the_kernels(void **state) {
  (void)state;
  make();
  handmade_process(&made, 200, "child", "");
  made.processes[1].start_ns = 2000 * MS;
  handmade_point(&made, 0, 0, POINT_MINOR_FAULTS, 5000);
  handmade_point(&made, 9000 * MS, 0, POINT_MINOR_FAULTS, 5600);
  handmade_point(&made, 0, 0, POINT_MAJOR_FAULTS, 12);
  handmade_point(&made, 3000 * MS, 1, POINT_MINOR_FAULTS, 40);
  handmade_point(&made, 9000 * MS, 1, POINT_MINOR_FAULTS, 100);
  handmade_point(&made, 9000 * MS, 1, POINT_MAJOR_FAULTS, 3);
  const struct faults *faults = &build()->faults;
  assert_true(faults->is_exact);
  assert_int_equal(faults->minor, 600 + 100);
  assert_int_equal(faults->major, 0 + 3);
  summary_free(summary);
}

static void without_the_kernels_side_nothing_is_said_of_faults(void **state) {
  (void)state;
  make();
  uint32_t node = push(PROFILE_NONE, FRAME_NATIVE, "main", "/bin/app");
  handmade_wait(&made, 0, node, WAIT_PAGE_FAULT, 400 * MS, 0);
  assert_false(build()->faults.is_recorded);
  assert_false(summary->system.scheduling.is_recorded);
  assert_int_equal(summary->system.faults.stack_count, 0);
  summary_free(summary);
}

/* ---- Scheduling ---- */

/* Two threads ran 4 s and 5 s of 10 s and queued 1 s and 2 s: 1.2 are runnable on average. The
 * cgroup of a quota of half a CPU was there before, and was throttled in 30 of 90 periods. */
static void runnable_threads_against_the_quota(void **state) {
  (void)state;
  make();
  handmade_account(&made, 0, 4000 * MS, 5000 * MS, 1000 * MS);
  handmade_account(&made, 1, 5000 * MS, 3000 * MS, 2000 * MS);
  made.threads[0].account.voluntary_switches = 10;
  made.threads[1].account.voluntary_switches = 5;
  made.threads[1].account.involuntary_switches = 70;
  handmade_point(&made, 0, 0, POINT_CPU_QUOTA_US, 50000);
  handmade_point(&made, 0, 0, POINT_CPU_PERIOD_US, 100000);
  handmade_point(&made, 0, 0, POINT_CPU_PERIODS, 1000);
  handmade_point(&made, 0, 0, POINT_CPU_THROTTLED, 500);
  handmade_point(&made, 0, 0, POINT_CPU_THROTTLED_NS, 77 * MS);
  handmade_point(&made, 0, 0, POINT_CPUS_ALLOWED, 2);
  handmade_point(&made, 0, 0, POINT_MIGRATIONS, 100);
  handmade_point(&made, 0, PROFILE_NONE, POINT_HOST_RUNNABLE, 2);
  handmade_point(&made, 9000 * MS, PROFILE_NONE, POINT_HOST_RUNNABLE, 5);
  handmade_point(&made, 9000 * MS, 0, POINT_CPU_PERIODS, 1090);
  handmade_point(&made, 9000 * MS, 0, POINT_CPU_THROTTLED, 530);
  handmade_point(&made, 9000 * MS, 0, POINT_CPU_THROTTLED_NS, 1277 * MS);
  handmade_point(&made, 9000 * MS, 0, POINT_MIGRATIONS, 142);
  const struct scheduling *scheduling = &build()->scheduling;
  const struct scheduling_row *row = &scheduling->rows[0];
  assert_int_equal(scheduling->count, 1);
  assert_int_equal(row->run_queue_ns, 3000 * MS);
  assert_true(row->runnable == 1.2);
  assert_true(scheduling->runnable == 1.2);
  assert_true(row->quota_cpus == 0.5);
  assert_int_equal(row->periods, 90);
  assert_int_equal(row->throttled_periods, 30);
  assert_int_equal(row->throttled_ns, 1200 * MS);
  assert_int_equal(row->migrations, 42);
  assert_int_equal(row->voluntary_switches, 15);
  assert_int_equal(row->involuntary_switches, 70);
  assert_int_equal(scheduling->cpus, 2);
  assert_true(scheduling->host_runnable == 3.5);
  summary_free(summary);
}

static void loops_of_waiting_are_known(void **state) {
  static const struct {
    struct {
      enum frame_kind kind;
      const char *name, *module;
    } frames[5];
    const char *spinning, *asleep; /* NULL: neither */
  } rows[] = {
      {{{FRAME_NATIVE, "gomp_thread_start", "/usr/lib/libgomp.so.1"},
        {FRAME_NATIVE, "gomp_team_barrier_wait_end", "/usr/lib/libgomp.so.1"}},
       "GNU OpenMP",
       "GNU OpenMP"},
      {{{FRAME_NATIVE, "[unknown] libgomp.so.1+0x1d2", "/opt/libs/libgomp-a34b3233.so.1.0.0"}},
       "GNU OpenMP",
       "GNU OpenMP"},
      /* a worker that computes, or waits for something else */
      {{{FRAME_NATIVE, "gomp_thread_start", "/usr/lib/libgomp.so.1"},
        {FRAME_NATIVE, "search._omp_fn.0", "/opt/libfaiss.so"}},
       NULL,
       NULL},
      {{{FRAME_NATIVE, "gomp_thread_start", "/usr/lib/libgomp.so.1"},
        {FRAME_NATIVE, "search._omp_fn.0", "/opt/libfaiss.so"},
        {FRAME_NATIVE, "pthread_mutex_lock", LIBC},
        {FRAME_KERNEL, "futex_wait", "[kernel]"}},
       NULL,
       NULL},
      {{{FRAME_NATIVE, "blas_thread_server", "/usr/lib/libopenblas.so.0"},
        {FRAME_NATIVE, "sched_yield", LIBC},
        {FRAME_KERNEL, "do_sched_yield", "[kernel]"}},
       "OpenBLAS",
       "OpenBLAS"},
      {{{FRAME_NATIVE, "blas_thread_server", "/usr/lib/libopenblas.so.0"},
        {FRAME_NATIVE, "pthread_cond_wait", LIBC},
        {FRAME_NATIVE, "__futex_abstimed_wait_common", LIBC},
        {FRAME_KERNEL, "futex_wait", "[kernel]"}},
       NULL,
       "OpenBLAS"},
      {{{FRAME_NATIVE, "blas_thread_server", "/usr/lib/libopenblas.so.0"},
        {FRAME_NATIVE, "sgemm_kernel_HASWELL", "/usr/lib/libopenblas.so.0"}},
       NULL,
       NULL},
      {{{FRAME_NATIVE, "ggml_barrier(ggml_threadpool*)", "/opt/libggml-base.so"}}, "ggml", "ggml"},
      {{{FRAME_NATIVE, "loop", "/bin/app"}, {FRAME_NATIVE, "__sched_yield", LIBC}},
       "sched_yield",
       NULL},
      {{{FRAME_NATIVE, "main", "/bin/app"}}, NULL, NULL},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    uint32_t node = PROFILE_NONE;
    make();
    for (size_t k = 0; k < 5 && rows[i].frames[k].name; k++)
      node = push(node, rows[i].frames[k].kind, rows[i].frames[k].name, rows[i].frames[k].module);
    const char *spinning = spin_pool(&made.profile, node);
    const char *asleep = spin_pool_asleep(&made.profile, node);
    assert_string_equal(spinning ? spinning : "", rows[i].spinning ? rows[i].spinning : "");
    assert_string_equal(asleep ? asleep : "", rows[i].asleep ? rows[i].asleep : "");
  }
}

/* Of a pool: 40 + 20 samples of 10 ms spin in two threads, 2 s asleep; 40 compute. */
static void spin_against_sleep(void **state) {
  (void)state;
  make();
  uint32_t start = push(PROFILE_NONE, FRAME_NATIVE, "gomp_thread_start", "/usr/lib/libgomp.so.1");
  uint32_t barrier =
      push(start, FRAME_NATIVE, "gomp_team_barrier_wait_end", "/usr/lib/libgomp.so.1");
  uint32_t body = push(start, FRAME_NATIVE, "search._omp_fn.0", "/opt/libfaiss.so");
  uint32_t futex = push(barrier, FRAME_KERNEL, "futex_wait", "[kernel]");
  handmade_samples(&made, 0, barrier, 40);
  handmade_samples(&made, 1, barrier, 20);
  handmade_samples(&made, 1, body, 40);
  handmade_wait(&made, 1, futex, WAIT_FUTEX, 2000 * MS, 100 * MS);
  handmade_point(&made, 0, 0, POINT_THREADS, 2);
  const struct scheduling *scheduling = &build()->scheduling;
  assert_int_equal(scheduling->spin_count, 1);
  assert_int_equal(scheduling->spins[0].spin_ns, 600 * MS);
  assert_int_equal(scheduling->spins[0].samples, 60);
  assert_int_equal(scheduling->spins[0].sleep_ns, 2000 * MS);
  assert_int_equal(scheduling->spins[0].thread_count, 2);
  assert_int_equal(scheduling->spins[0].node, barrier);
  summary_free(summary);
}

/* ---- Locks ---- */

/* The same address in two processes is two locks; both threads of the first wait and hold. */
static void locks_belong_to_a_process(void **state) {
  (void)state;
  make();
  uint32_t node = push(PROFILE_NONE, FRAME_NATIVE, "main", "/bin/app");
  uint32_t lock = handmade_object(&made, OBJECT_LOCK, "0x7f0000001000");
  handmade_process(&made, 200, "other", "");
  uint32_t third = handmade_thread(&made, 200, "third", 0);
  handmade_operation(&made, OPERATION_LOCK, 0, lock, "wait", 10, 20 * MS);
  handmade_operation_stack(&made, node, 10, 200 * MS);
  handmade_operation(&made, OPERATION_LOCK, 1, lock, "wait", 5, 10 * MS);
  handmade_operation(&made, OPERATION_LOCK, 0, lock, "hold", 5, 10 * MS);
  handmade_operation(&made, OPERATION_LOCK, 1, lock, "hold", 10, 20 * MS);
  handmade_operation(&made, OPERATION_LOCK, third, lock, "wait", 1, 400 * MS);
  const struct locks *locks = &build()->locks;
  assert_int_equal(locks->count, 2);
  assert_int_equal(locks->gil_count, 0);
  assert_int_equal(locks->rows[0].process, 0);
  assert_int_equal(locks->rows[0].wait->sum.total_ns, 250 * MS);
  assert_int_equal(locks->rows[0].wait->sum.count, 15);
  assert_int_equal(locks->rows[0].hold->sum.total_ns, 250 * MS);
  assert_int_equal(locks->rows[0].both_count, 2);
  /* longer, but of one side only */
  assert_int_equal(locks->rows[1].process, 1);
  assert_int_equal(locks->rows[1].wait->sum.total_ns, 400 * MS);
  assert_null(locks->rows[1].hold);
  assert_int_equal(locks->rows[1].both_count, 0);
  summary_free(summary);
}

static void the_gil_stands_apart_by_thread(void **state) {
  (void)state;
  make();
  uint32_t gil = handmade_object(&made, OBJECT_LOCK, "GIL");
  handmade_operation(&made, OPERATION_LOCK, 0, gil, "wait", 100, 5 * MS);
  handmade_operation(&made, OPERATION_LOCK, 1, gil, "wait", 10, 3 * MS);
  handmade_operation(&made, OPERATION_LOCK, 1, gil, "hold", 100, 5 * MS);
  handmade_operation(&made, OPERATION_LOCK, PROFILE_NONE, gil, "hold", 10, 3 * MS);
  const struct locks *locks = &build()->locks;
  assert_int_equal(locks->count, 0);
  assert_int_equal(locks->gil_count, 1);
  assert_int_equal(locks->gil_wait_ns, 530 * MS);
  assert_int_equal(locks->gil_waits, 110);
  assert_int_equal(locks->thread_count, 3);
  assert_int_equal(locks->threads[0].thread, 0);
  assert_int_equal(locks->threads[0].wait_ns, 500 * MS);
  assert_int_equal(locks->threads[0].max_ns, 5 * MS);
  assert_int_equal(locks->threads[0].held_ns, 0);
  assert_int_equal(locks->threads[1].thread, 1);
  assert_int_equal(locks->threads[1].wait_ns, 30 * MS);
  assert_int_equal(locks->threads[1].held_ns, 500 * MS);
  assert_int_equal(locks->threads[2].thread, PROFILE_NONE);
  assert_int_equal(locks->threads[2].held_ns, 30 * MS);
  summary_free(summary);
}

/* ---- Processes ---- */

static void lives_are_read_from_what_happened(void **state) {
  (void)state;
  make();
  handmade_process(&made, 200, "ls", "");
  handmade_happening(&made, 10 * MS, 0, HAPPENING_FORK, 200, "");
  handmade_happening(&made, 20 * MS, 1, HAPPENING_EXEC, 0, "/usr/bin/ls");
  handmade_happening(&made, 30 * MS, 1, HAPPENING_OOM_KILL, 0, "");
  handmade_happening(&made, 40 * MS, 1, HAPPENING_EXIT, 9, "");
  const struct processes *processes = &build()->processes;
  assert_true(processes->are_seen);
  assert_int_equal(processes->lives[0].forks, 1);
  assert_false(processes->lives[0].has_exit);
  assert_string_equal(processes->lives[0].executable, "/usr/bin/python3");
  assert_string_equal(processes->lives[1].executable, "/usr/bin/ls");
  assert_true(processes->lives[1].is_oom_killed);
  assert_int_equal(processes->lives[1].status, 9);
  assert_int_equal(processes->lives[1].exit_ns, 40 * MS);
  summary_free(summary);
}

/* Points of a metric that is not known are passed over. */
static void points_have_ends_and_a_most(void **state) {
  (void)state;
  make();
  handmade_point(&made, 0, 0, POINT_DESCRIPTORS, 20);
  handmade_point(&made, 1 * MS, 0, POINT_DESCRIPTORS, 90);
  handmade_point(&made, 2 * MS, 0, POINT_DESCRIPTORS, 30);
  handmade_point(&made, 2 * MS, 0, POINT_METRICS + 7, 1000);
  const struct course *course = points_course(&build()->points, 0, POINT_DESCRIPTORS);
  assert_int_equal(course->count, 3);
  assert_int_equal(course->first, 20);
  assert_int_equal(course->last, 30);
  assert_int_equal(course->max, 90);
  assert_int_equal(points_course(&summary->system.points, 0, POINT_THREADS)->count, 0);
  summary_free(summary);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_page_cache_gave_what_the_device_did_not),
      cmocka_unit_test(time_is_counted_once),
      cmocka_unit_test(slow_calls_are_told_apart_by_what_they_were_done_to),
      cmocka_unit_test(first_touch_is_where_the_page_was_touched),
      cmocka_unit_test(fault_totals_are_the_kernels),
      cmocka_unit_test(without_the_kernels_side_nothing_is_said_of_faults),
      cmocka_unit_test(runnable_threads_against_the_quota),
      cmocka_unit_test(loops_of_waiting_are_known),
      cmocka_unit_test(spin_against_sleep),
      cmocka_unit_test(locks_belong_to_a_process),
      cmocka_unit_test(the_gil_stands_apart_by_thread),
      cmocka_unit_test(lives_are_read_from_what_happened),
      cmocka_unit_test(points_have_ends_and_a_most),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
