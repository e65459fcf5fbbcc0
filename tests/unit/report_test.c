/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reports of a small profile whose answers are known, against tests/golden/report.*; names of
 * functions and stacks; hostile names.
 *
 * What is known: 10 s, two threads. main computes for 6 s (600 samples: faiss 400, search itself
 * 100, tokenize 100), waits 35 times for a socket (3.5 s, and 0.5 s for a CPU then); worker
 * computes for 2 s (200 samples) in a function with a hostile name, and waits 7.9 s for a lock that
 * main releases (and 0.1 s for a CPU). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "handmade_system.h"
#include "render/render.h"
#include "render/report_name.h"
#include "render/report_site.h"

#define MS NS_PER_MS
#define HOSTILE "<img src=x onerror=alert(1)>|`x` @all #1 \x1b[31m\xff"

static struct handmade made;
static struct handmade_system system_made;

struct stacks_of_known {
  uint32_t faiss, search, tokenize, recv, evil, lock;
};

static void make_stacks(struct stacks_of_known *to) {
  uint32_t module = handmade_function(&made, FRAME_PYTHON, "<module>", "/srv/rag/app.py", "", 1);
  uint32_t handle =
      handmade_function(&made, FRAME_PYTHON, "Handler.do_POST", "/srv/rag/app.py", "", 20);
  uint32_t search =
      handmade_function(&made, FRAME_PYTHON, "Index.search", "/srv/rag/index.py", "", 30);
  uint32_t tokenize =
      handmade_function(&made, FRAME_PYTHON, "tokenize", "/srv/rag/text.py", "", 40);
  uint32_t faiss =
      handmade_function(&made, FRAME_NATIVE, "faiss::IndexFlat::search(long, float const*) const",
                        "", "/opt/lib/libfaiss.so", 0);
  uint32_t recv =
      handmade_function(&made, FRAME_NATIVE, "recv", "", "/lib/x86_64-linux-gnu/libc.so.6", 0);
  uint32_t boot = handmade_function(&made, FRAME_PYTHON, "Thread._bootstrap",
                                    "/usr/lib/python3.11/threading.py", "", 986);
  uint32_t evil = handmade_function(&made, FRAME_PYTHON, HOSTILE, "/srv/rag/worker.py", "", 5);
  uint32_t lock = handmade_function(&made, FRAME_PYTHON, "take", "/srv/rag/worker.py", "", 9);
  uint32_t node = handmade_call(&made, PROFILE_NONE, module, 10);
  uint32_t handle_node = handmade_call(&made, node, handle, 21);
  to->search = handmade_call(&made, handle_node, search, 33);
  to->faiss = handmade_call(&made, to->search, faiss, 0);
  to->tokenize = handmade_call(&made, handmade_call(&made, node, handle, 22), tokenize, 44);
  to->recv = handmade_call(&made, handmade_call(&made, node, handle, 25), recv, 0);
  uint32_t boot_node = handmade_call(&made, PROFILE_NONE, boot, 1002);
  to->evil = handmade_call(&made, boot_node, evil, 6);
  to->lock = handmade_call(&made, boot_node, lock, 11);
}

static void make_known(void) {
  struct stacks_of_known at;
  handmade_init(&made, 10000 * MS);
  handmade_process(&made, 100, "rag-server", "python 3.11.2");
  uint32_t main_thread = handmade_thread(&made, 100, "main", 10 * MS);
  uint32_t worker = handmade_thread(&made, 101, "worker", 10 * MS);
  handmade_account(&made, main_thread, 6000 * MS, 3500 * MS, 500 * MS);
  handmade_account(&made, worker, 2000 * MS, 7900 * MS, 100 * MS);
  make_stacks(&at);
  handmade_samples(&made, main_thread, at.faiss, 400);
  handmade_samples(&made, main_thread, at.search, 100);
  handmade_samples(&made, main_thread, at.tokenize, 100);
  handmade_samples(&made, worker, at.evil, 200);
  struct profile_wait *wait =
      handmade_wait(&made, main_thread, at.recv, WAIT_SOCKET, 3500 * MS, 500 * MS);
  wait->count = 35;
  wait->max_ns = 200 * MS;
  wait = handmade_wait(&made, worker, at.lock, WAIT_FUTEX, 7900 * MS, 100 * MS);
  wait->waker = main_thread;
  wait->waker_tid = 100;
  handmade_fact(&made, "target.name", "rag-server");
  handmade_fact(&made, "target.pids", "100");
  handmade_fact(&made, "host.cpus", "4");
  handmade_fact(&made, "host.kernel", "6.1.0");
  handmade_fact(&made, "capture.command", "attach");
  handmade_fact(&made, "capture.event", "cpu-clock");
  handmade_counter(&made, "lost.samples", 8);
  handmade_counter(&made, "cost.bpf_ns", 5 * MS);
  handmade_counter(&made, "cost.bpf_runs", 1000);
  handmade_counter(&made, "cost.collector_cpu_ns", 50 * MS);
}

/* A minute of two iterations a second, a snapshot each second: Store.remember leaks 1,000 blocks of
 * 1,024 bytes a second (500 KiB an iteration), faiss takes 64 MiB each second and gives them back
 * at once, the model's 100 MiB stay, and CPython's objects in tokenize (sampled) come and go. 40
 * MiB of RSS are no heap; the cgroup ends at 512 MiB. */
static void make_heap(void) {
  struct stacks_of_known at;
  handmade_init(&made, 60000 * MS);
  made.profile.frequency_hz = 0;
  handmade_process(&made, 100, "rag-server", "python 3.11.2");
  make_stacks(&at);
  uint32_t remember = handmade_call(
      &made, made.nodes[at.search].parent,
      handmade_function(&made, FRAME_PYTHON, "Store.remember", "/srv/rag/store.py", "", 50), 52);
  uint32_t object = handmade_call(
      &made, remember,
      handmade_function(&made, FRAME_NATIVE, "PyObject_Malloc", "", "/usr/bin/python3", 0), 0);
  handmade_heap_site(&made, object, HEAP_MALLOC);
  for (uint64_t s = 1; s <= 60; s++)
    handmade_heap(&made, s * 1000 * MS, 1024, s * 1000, 0);
  handmade_heap_site(&made, at.faiss, HEAP_MALLOC);
  for (uint64_t s = 1; s <= 60; s++)
    handmade_heap(&made, s * 1000 * MS, 64 << 20, s, s);
  handmade_heap_site(&made, at.evil, HEAP_MALLOC);
  handmade_heap(&made, 1000 * MS, 100 << 20, 1, 0);
  handmade_heap_site(&made, at.tokenize, HEAP_PYTHON);
  for (uint64_t s = 1; s <= 60; s++)
    handmade_heap(&made, s * 1000 * MS, 64, s * 9000, s * 9000 - 500);
  handmade_heap_site(&made, at.search, HEAP_MAP);
  handmade_heap(&made, 1000 * MS, 128 << 20, 1, 0);
  for (uint64_t s = 1; s <= 60; s++) {
    struct profile_memory_point *point = handmade_memory(&made, s * 1000 * MS);
    uint64_t live_bytes = (100 << 20) + s * 1024000 + 500 * 64;
    handmade_metric(point, MEMORY_RSS, (40 << 20) + live_bytes);
    handmade_metric(point, MEMORY_PSS, (35 << 20) + live_bytes);
    handmade_metric(point, MEMORY_FILE, 30 << 20);
    handmade_metric(point, MEMORY_ANONYMOUS, (10 << 20) + live_bytes);
    handmade_metric(point, MEMORY_HEAP_LIVE, live_bytes);
    handmade_metric(point, MEMORY_CGROUP_LIMIT, 512 << 20);
    handmade_metric(point, MEMORY_CGROUP_USED, (40 << 20) + live_bytes);
    handmade_metric(point, MEMORY_ITERATIONS, 2 * s);
  }
  handmade_counter(&made, "memory.malloc_interval_bytes", 0);
  handmade_counter(&made, "memory.python_interval_bytes", 512 << 10);
}

/* 1,000 reads of 4 KiB, of which 20 took 2 ms (five each at two lines of one function and ten in
 * another), and ten failed connects of 30 ms. */
static void make_calls(void) {
  struct stacks_of_known at;
  handmade_init(&made, 10000 * MS);
  made.profile.frequency_hz = 0;
  handmade_process(&made, 100, "rag-server", "python 3.11.2");
  uint32_t thread = handmade_thread(&made, 100, "main", 0);
  make_stacks(&at);
  struct profile_call *call = &made.calls[made.profile.call_count++];
  *call = (struct profile_call){
      .name = "read", .count = 1000, .bytes = 4096000, .total_ns = 41 * MS, .max_ns = 2 * MS};
  call->buckets[33] = 980; /* from 1,024 ns on */
  call->buckets[120] = 20; /* from 1.97 ms on */
  call = &made.calls[made.profile.call_count++];
  *call = (struct profile_call){
      .name = "connect", .count = 10, .errors = 10, .total_ns = 300 * MS, .max_ns = 30 * MS};
  call->buckets[151] = 10; /* from 29.4 ms on */
  uint32_t other_line = handmade_call(&made, made.nodes[at.search].parent,
                                      made.frames[made.nodes[at.search].frame].function_id, 34);
  for (int i = 0; i < 20; i++)
    made.slow_calls[made.profile.slow_call_count++] =
        (struct profile_slow_call){.time_ns = (uint64_t)i * MS,
                                   .duration_ns = (i == 7 ? 3 : 2) * MS,
                                   .result = i == 3 ? -5 : 4096,
                                   .thread = thread,
                                   .node = i >= 10 ? at.tokenize
                                           : i % 2 ? other_line
                                                   : at.search,
                                   .name = "read"};
}

/* The system calls, locks and probes of the server of make_known: main reads 1,000 times from its
 * index (4 KiB in 2 us, a quarter of it from the device), waits 100 times 40 ms for a peer, and
 * syncs a log 20 times in 30 ms; both threads contend for a lock and for the GIL. */
static void make_system_operations(const struct stacks_of_known *at) {
  uint32_t index = handmade_object(&made, OBJECT_FILE, "/srv/rag/index.faiss");
  uint32_t log = handmade_object(&made, OBJECT_FILE, "/srv/rag/<b>|log@all");
  uint32_t peer = handmade_object(&made, OBJECT_SOCKET, "tcp 127.0.0.1:6333");
  uint32_t disk = handmade_object(&made, OBJECT_DEVICE, "vda");
  uint32_t lock = handmade_object(&made, OBJECT_LOCK, "0x7f0000001000");
  uint32_t gil = handmade_object(&made, OBJECT_LOCK, "GIL");
  handmade_operation(&made, OPERATION_SYSCALL, 0, PROFILE_NONE, "pread64", 1000, 2000)
      ->total.bytes = 4096000;
  handmade_operation_stack(&made, at->search, 1000, 2 * MS);
  handmade_operation(&made, OPERATION_SYSCALL, 0, PROFILE_NONE, "recvfrom", 100, 40 * MS)
      ->total.bytes = 6400;
  handmade_detail(&made, &system_made)->buckets[154] = 100; /* 37.7 to 41.9 ms */
  handmade_operation_stack(&made, at->recv, 100, 4000 * MS);
  handmade_slow(&made, 1, 0, peer, at->recv, 40 * MS);
  handmade_operation(&made, OPERATION_SYSCALL, 0, PROFILE_NONE, "fsync", 20, 30 * MS)
      ->total.errors = 3;
  struct trace_operation_detail *detail = handmade_detail(&made, &system_made);
  detail->result_count = 1;
  detail->results[0].error = 5;
  detail->results[0].count = 2;
  handmade_operation(&made, OPERATION_FILE, PROFILE_NONE, index, "read", 1000, 2000)->total.bytes =
      4096000;
  handmade_operation_stack(&made, at->search, 1000, 2 * MS);
  handmade_operation(&made, OPERATION_FILE, PROFILE_NONE, index, "device read", 250, 100000)
      ->total.bytes = 1024000;
  handmade_operation(&made, OPERATION_FILE, PROFILE_NONE, log, "fsync", 20, 30 * MS);
  handmade_operation_stack(&made, at->tokenize, 20, 600 * MS);
  handmade_operation(&made, OPERATION_SOCKET, PROFILE_NONE, peer, "receive", 100, 40 * MS)
      ->total.bytes = 6400;
  handmade_detail(&made, &system_made)->buckets[154] = 100;
  handmade_operation_stack(&made, at->recv, 100, 4000 * MS);
  handmade_operation(&made, OPERATION_SOCKET, PROFILE_NONE, peer, "connect", 4, 250000);
  handmade_operation(&made, OPERATION_BLOCK, PROFILE_NONE, disk, "read", 250, 90000)->total.bytes =
      1024000;
  handmade_operation(&made, OPERATION_FAULT, PROFILE_NONE, index, "major", 200, 0);
  handmade_operation_stack(&made, at->faiss, 200, 0);
  for (uint32_t thread = 0; thread < 2; thread++) {
    handmade_operation(&made, OPERATION_LOCK, thread, lock, "wait", 200, 10 * MS);
    handmade_operation_stack(&made, at->lock, 200, 2000 * MS);
    handmade_operation(&made, OPERATION_LOCK, thread, lock, "hold", 200, 10 * MS);
    handmade_operation_stack(&made, at->tokenize, 200, 2000 * MS);
    handmade_operation(&made, OPERATION_LOCK, thread, gil, "wait", 300, 5 * MS);
    handmade_operation(&made, OPERATION_LOCK, 1 - thread, gil, "hold", 300, 5 * MS);
    handmade_operation_stack(&made, at->search, 300, 1500 * MS);
  }
  handmade_operation(&made, OPERATION_PROBE, 0, PROFILE_NONE, "libfaiss.so:*search*", 50, 8 * MS);
  handmade_detail(&made, &system_made)->buckets[136] = 50; /* 7.9 to 8.4 ms */
  handmade_operation_stack(&made, at->faiss, 50, 400 * MS);
}

static void make_system(void) {
  struct stacks_of_known at;
  make_known();
  handmade_system_init(&made, &system_made);
  make_stacks(&at);
  make_system_operations(&at);
  handmade_process(&made, 200, "ls", "");
  made.processes[1].start_ns = 50 * MS;
  uint32_t handler = handmade_call(
      &made, at.faiss,
      handmade_function(&made, FRAME_KERNEL, "asm_exc_page_fault", "", "[kernel]", 0), 0);
  handmade_wait(&made, 0, handler, WAIT_PAGE_FAULT, 700 * MS, 0);
  static const struct {
    enum point_metric metric;
    uint64_t first, last;
  } points[] = {
      {POINT_THREADS, 2, 2},
      {POINT_DESCRIPTORS, 20, 950},
      {POINT_DESCRIPTORS_LIMIT, 1024, 1024},
      {POINT_MAJOR_FAULTS, 0, 200},
      {POINT_MINOR_FAULTS, 9000, 9500},
      {POINT_CPU_QUOTA_US, 50000, 50000},
      {POINT_CPU_PERIOD_US, 100000, 100000},
      {POINT_CPU_PERIODS, 0, 100},
      {POINT_CPU_THROTTLED, 0, 40},
      {POINT_CPU_THROTTLED_NS, 0, 2000 * MS},
      {POINT_MIGRATIONS, 0, 7},
      {POINT_RESIDENT_HEAP, 1 << 20, 30 << 20},
  };
  for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
    handmade_point(&made, 0, 0, points[i].metric, points[i].first);
    handmade_point(&made, 9000 * MS, 0, points[i].metric, points[i].last);
  }
  handmade_happening(&made, 50 * MS, 0, HAPPENING_FORK, 200, "");
  handmade_happening(&made, 60 * MS, 1, HAPPENING_EXEC, 0, "/usr/bin/ls");
  handmade_happening(&made, 80 * MS, 1, HAPPENING_EXIT, 139, "");
  handmade_fact(&made, "source.block", "this kernel has no tracepoints of block requests");
}

static char *render(const char *format, const struct render_options *options) {
  char *text = NULL;
  size_t bytes;
  FILE *out = open_memstream(&text, &bytes);
  assert_non_null(out);
  assert_int_equal(render_format_find(report_formats, format)->render(out, &made.profile, options),
                   0);
  fclose(out);
  return text;
}

static char *read_whole(const char *path) {
  char *text = calloc(1, 1 << 20);
  FILE *in = fopen(path, "r");
  if (!in)
    fail_msg("%s cannot be read: tests run in the project's root", path);
  assert_true(fread(text, 1, (1 << 20) - 1, in) > 0);
  fclose(in);
  return text;
}

/* Of the profile that was made last. */
static void expect_golden(const char *format, uint32_t width_columns, const char *path) {
  struct render_options options = {.width_columns = width_columns};
  char *expected = read_whole(path);
  char *text = render(format, &options);
  assert_string_equal(text, expected);
  free(text);
  free(expected);
}

static void text_is_as_known(void **state) {
  (void)state;
  make_known();
  expect_golden("text", 80, "tests/golden/report.txt");
}

static void markdown_is_as_known(void **state) {
  (void)state;
  make_known();
  expect_golden("markdown", 0, "tests/golden/report.md");
}

static void json_is_as_known(void **state) {
  (void)state;
  make_known();
  expect_golden("json", 0, "tests/golden/report.json");
}

static void memory_is_as_known(void **state) {
  (void)state;
  make_heap();
  expect_golden("text", 100, "tests/golden/memory.txt");
  expect_golden("markdown", 0, "tests/golden/memory.md");
}

static void calls_are_as_known(void **state) {
  (void)state;
  make_calls();
  expect_golden("text", 100, "tests/golden/calls.txt");
}

static void the_systems_part_is_as_known(void **state) {
  (void)state;
  make_system();
  expect_golden("text", 100, "tests/golden/system.txt");
  expect_golden("markdown", 0, "tests/golden/system.md");
  expect_golden("json", 0, "tests/golden/system.json");
}

/* What the kernel's side says is not said twice; a script gets both. */
static void the_kernels_calls_stand_for_the_shims(void **state) {
  (void)state;
  make_system();
  made.calls[made.profile.call_count++] =
      (struct profile_call){.name = "read", .count = 7, .total_ns = 1, .max_ns = 1};
  char *text = render("text", &(struct render_options){0});
  assert_non_null(strstr(text, "\nSystem calls "));
  assert_null(strstr(text, "\nCalls "));
  free(text);
  text = render("json", &(struct render_options){0});
  assert_non_null(strstr(text, "\"calls\": [\n    {\n      \"name\": \"read\""));
  assert_non_null(strstr(text, "\"syscalls\": [\n    {\n      \"name\": \"recvfrom\""));
  free(text);
}

/* Whatever a trace says: the largest figures, an exit status and metrics that do not exist. */
static void absurd_figures_are_survived(void **state) {
  static const char *const formats[] = {"text", "markdown", "json"};
  (void)state;
  make_system();
  for (uint32_t i = 0; i < made.profile.operation_count; i++) {
    struct trace_operation_sum *total = &made.profile.operations[i].total;
    total->count = total->errors = total->bytes = total->total_ns = total->max_ns = UINT64_MAX;
    memset(system_made.details[i].buckets, 0xff, sizeof(system_made.details[i].buckets));
    system_made.details[i].result_count = UINT32_MAX;
  }
  for (size_t i = 0; i < made.profile.operation_stack_count; i++)
    system_made.stacks[i].count = system_made.stacks[i].bytes = system_made.stacks[i].total_ns =
        UINT64_MAX;
  for (size_t i = 0; i < made.profile.point_count; i++)
    system_made.points[i].value = UINT64_MAX - i;
  handmade_point(&made, 0, 0, (enum point_metric)1000, 1);
  handmade_happening(&made, UINT64_MAX, 1, HAPPENING_EXIT, UINT64_MAX, "");
  handmade_happening(&made, UINT64_MAX, 1, (enum process_happening)99, 1, "");
  made.profile.slow_operations[0].duration_ns = UINT64_MAX;
  for (size_t i = 0; i < 3; i++)
    free(render(formats[i], &(struct render_options){0}));
}

/* A table of one row has one, whatever is missing in it. */
static void no_table_is_empty(void **state) {
  (void)state;
  make_system();
  char *text = render("text", &(struct render_options){.width_columns = 100});
  for (const char *at = strstr(text, "\n\n"); at; at = strstr(at + 1, "\n\n")) {
    const char *title = at + 2, *next = strstr(title, "\n\n");
    size_t lines = 0;
    for (const char *line = title; line && (!next || line < next); line = strchr(line + 1, '\n'))
      lines++;
    assert_true(!*title || lines > 2 || !strncmp(title, "Capture", strlen("Capture")));
  }
  free(text);
}

static uint32_t push(uint32_t parent, enum frame_kind kind, const char *name, const char *file,
                     const char *module, uint32_t line) {
  return handmade_call(&made, parent, handmade_function(&made, kind, name, file, module, 1), line);
}

/* Nothing but the interpreter's own memory is held by the interpreter. */
static void sites_are_named_by_who_wanted_the_memory(void **state) {
  static const struct {
    struct {
      enum frame_kind kind;
      const char *name, *file, *module;
    } frames[5];
    const char *expected;
  } rows[] = {
      {{{FRAME_PYTHON, "remember", "/srv/store.py", ""},
        {FRAME_NATIVE, "bytearray_extend", "", "/usr/bin/python3.11"},
        {FRAME_NATIVE, "PyObject_Realloc", "", "/usr/bin/python3.11"},
        {FRAME_NATIVE, "realloc", "", "/usr/lib/libragprof.so"}},
       "remember (store.py:7)"},
      {{{FRAME_PYTHON, "encode", "/srv/embedding.py", ""},
        {FRAME_NATIVE, "array_empty", "", "/opt/numpy/core/_multiarray_umath.cpython-311.so"},
        {FRAME_NATIVE, "PyDataMem_UserNEW", "",
         "/opt/numpy/core/_multiarray_umath.cpython-311.so"}},
       "encode (embedding.py:7)"},
      {{{FRAME_PYTHON, "add", "/srv/index.py", ""},
        {FRAME_NATIVE, "faiss::IndexFlat::add(long, float const*)", "", "/opt/_swigfaiss.so"},
        {FRAME_NATIVE, "std::vector<float, std::allocator<float> >::resize(unsigned long)", "",
         "/opt/_swigfaiss.so"},
        {FRAME_NATIVE, "operator new(unsigned long)", "", "/usr/lib/libstdc++.so.6.0.30"}},
       "faiss::IndexFlat::add (_swigfaiss.so)"},
      {{{FRAME_PYTHON, "parse", "/srv/text.py", ""},
        {FRAME_NATIVE, "[unknown] _parser.so+0x12", "", "/opt/_parser.so"}},
       "parse (text.py:7)"},
      {{{FRAME_NATIVE, "main", "/src/app.c", "/opt/app"},
        {FRAME_NATIVE, "[unknown] libparser.so+0x12", "", "/opt/libparser.so"},
        {FRAME_NATIVE, "strdup", "", "/lib/libc.so.6"}},
       "libparser.so+0x12 (libparser.so)"},
      {{{FRAME_PYTHON, "serve", "/srv/app.py", ""},
        {FRAME_PYTHON, "loads", "/usr/lib/python3.11/json/__init__.py", ""},
        {FRAME_NATIVE, "_PyObject_Malloc", "", "/usr/bin/python3.11"}},
       "serve (app.py:7)"},
      {{{FRAME_PYTHON, "loads", "/usr/lib/python3.11/json/__init__.py", ""},
        {FRAME_NATIVE, "_PyObject_Malloc", "", "/usr/bin/python3.11"}},
       "loads (json/__init__.py:7)"},
      {{{FRAME_NATIVE, "Py_BytesMain", "", "/usr/bin/python3.11"},
        {FRAME_NATIVE, "new_arena", "", "/usr/bin/python3.11"}},
       "new_arena (python3.11)"},
      {{{FRAME_NATIVE, "malloc_heavy(int)", "/src/app.cc", "/opt/app"}}, "malloc_heavy (app.cc:7)"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct stack_frames frames = {0};
    struct buf buf = {0};
    uint32_t node = PROFILE_NONE;
    handmade_init(&made, 0);
    for (size_t k = 0; k < 5 && rows[i].frames[k].name; k++)
      node = push(node, rows[i].frames[k].kind, rows[i].frames[k].name, rows[i].frames[k].file,
                  rows[i].frames[k].module, 7);
    assert_int_equal(profile_frames(&made.profile, node, &frames), 0);
    report_put_site(&buf, &made.profile, &frames);
    assert_string_equal(buf_text(&buf), rows[i].expected);
    stack_frames_fini(&frames);
    buf_fini(&buf);
  }
}

/* Two ways through the interpreter to one recv: 3 and 2 calls of 10 ms. */
static void stacks_that_read_the_same_are_one_row(void **state) {
  static const char interpreter[] = "/usr/bin/python3.11";
  (void)state;
  handmade_init(&made, 1000 * MS);
  handmade_system_init(&made, &system_made);
  handmade_process(&made, 100, "server", "");
  handmade_thread(&made, 100, "main", 0);
  uint32_t serve = push(PROFILE_NONE, FRAME_PYTHON, "serve", "/srv/app.py", "", 3);
  handmade_operation(&made, OPERATION_SYSCALL, 0, PROFILE_NONE, "recvfrom", 5, 10 * MS);
  handmade_operation_stack(&made,
                           push(push(serve, FRAME_NATIVE, "sock_recv", "", interpreter, 0),
                                FRAME_NATIVE, "recv", "", "/lib/libc.so.6", 0),
                           3, 30 * MS);
  handmade_operation_stack(&made,
                           push(push(serve, FRAME_NATIVE, "sock_recv_into", "", interpreter, 0),
                                FRAME_NATIVE, "recv", "", "/lib/libc.so.6", 0),
                           2, 20 * MS);
  char *text = render("text", &(struct render_options){.width_columns = 100});
  const char *table = strstr(text, "System calls by stack");
  assert_non_null(table);
  const char *row = strstr(table, "recvfrom  50.0 ms");
  assert_non_null(row);
  const char *path = strstr(row, "recv\n");
  assert_non_null(path);
  assert_memory_equal(path + strlen("recv\n"), "\n", 1); /* the table's last line */
  free(text);
}

/* 60 files of two stacks each: the first 50 show both. */
static void json_has_fewer_stacks_of_later_rows(void **state) {
  static char names[60][16];
  size_t stacks = 0;
  (void)state;
  handmade_init(&made, 1000 * MS);
  handmade_system_init(&made, &system_made);
  handmade_process(&made, 100, "server", "");
  uint32_t first = push(PROFILE_NONE, FRAME_PYTHON, "first", "/srv/app.py", "", 3);
  uint32_t second = push(PROFILE_NONE, FRAME_PYTHON, "second", "/srv/app.py", "", 9);
  for (uint32_t i = 0; i < 60; i++) {
    snprintf(names[i], sizeof(names[i]), "/data/%u", i);
    uint32_t file = handmade_object(&made, OBJECT_FILE, names[i]);
    handmade_operation(&made, OPERATION_FILE, PROFILE_NONE, file, "read", 2, 1000);
    handmade_operation_stack(&made, first, 1, 1000);
    handmade_operation_stack(&made, second, 1, 1000);
  }
  char *text = render("json", &(struct render_options){0});
  for (const char *at = text; (at = strstr(at, "\"stack\": [")); at++)
    stacks++;
  assert_int_equal(stacks, 50 * 2 + 10);
  free(text);
}

static size_t longest_line(const char *text) {
  size_t longest = 0;
  while (*text) {
    size_t bytes = strcspn(text, "\n");
    char *line = strndup(text, bytes);
    size_t columns = utf8_text_columns(line);
    longest = columns > longest ? columns : longest;
    free(line);
    text += bytes + (text[bytes] == '\n');
  }
  return longest;
}

static void text_fits_its_width(void **state) {
  static const uint32_t widths[] = {72, 80, 100, 120, 160, 200};
  static void (*const makes[])(void) = {make_known, make_heap, make_calls, make_system};
  (void)state;
  for (size_t k = 0; k < 4; k++) {
    makes[k]();
    for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
      struct render_options options = {.width_columns = widths[i]};
      char *text = render("text", &options);
      assert_in_range(longest_line(text), 40, widths[i]);
      free(text);
    }
  }
}

/* Without colour no control character at all, whatever the symbols hold; with it only SGR. */
static void control_characters_stay_out(void **state) {
  static const char *const formats[] = {"text", "markdown", "json"};
  (void)state;
  make_known();
  for (size_t i = 0; i < 3; i++) {
    char *text = render(formats[i], &(struct render_options){0});
    uint32_t code;
    for (const char *at = text; *at; at += utf8_decode(at, &code))
      assert_true(*at == '\n' || (unsigned char)*at >= 0x20);
    free(text);
  }
  char *text = render("text", &(struct render_options){.color = true});
  const char *escape = strchr(text, '\x1b');
  assert_non_null(escape);
  for (; escape; escape = strchr(escape + 1, '\x1b')) {
    size_t parameters = strspn(escape + 2, "0123456789;");
    assert_int_equal(escape[1], '[');
    assert_int_equal(escape[2 + parameters], 'm');
  }
  assert_null(strstr(text, "\x1b[31mr")); /* the symbol's own */
  free(text);
}

static void rows_are_limited(void **state) {
  (void)state;
  make_known();
  char *text = render("text", &(struct render_options){.top_count = 1});
  assert_non_null(strstr(text, "… and 3 more\n")); /* functions with self time */
  assert_null(strstr(text, "tokenize"));
  free(text);
}

static void an_empty_profile_is_reported(void **state) {
  static const char *const formats[] = {"text", "markdown", "json"};
  (void)state;
  handmade_init(&made, 0);
  for (size_t i = 0; i < 3; i++) {
    char *text = render(formats[i], &(struct render_options){0});
    assert_non_null(strstr(text, "only 0 on-CPU samples"));
    free(text);
  }
}

static void damage_is_said_first(void **state) {
  (void)state;
  make_known();
  made.profile.status = (struct trace_status){
      .damage = "a chunk is cut short", .file_bytes = 2048, .read_bytes = 512};
  char *text = render("text", &(struct render_options){0});
  const char *warning = strstr(text, "a chunk is cut short");
  assert_non_null(warning);
  assert_true(warning < strstr(text, "Hottest functions"));
  free(text);
}

static void names_are_shortened(void **state) {
  static const struct {
    const char *name;
    const char *expected;
  } rows[] = {
      {"main", "main"},
      {"faiss::IndexFlat::search(long, float const*) const", "faiss::IndexFlat::search"},
      {"std::vector<int, std::allocator<int> >::push_back(int&&)", "std::vector::push_back"},
      {"(anonymous namespace)::helper(char)", "helper"},
      {"void a::(anonymous namespace)::run<a::B<int>>(a::B<int>)", "a::run"},
      {"A::operator()(int) const", "A::operator()"},
      {"A::operator<(A const&) const", "A::operator<"},
      {"operator<<(std::ostream&, A const&)", "operator<<"},
      {"A::operator->() const", "A::operator->"},
      {"f(int)::{lambda(int)#1}::operator()(int) const", "f::{lambda#1}::operator()"},
      {"f<(anonymous namespace)::T>()", "f"},
      {"<alloc::vec::Vec<T> as core::fmt::Debug>::fmt",
       "<alloc::vec::Vec<T> as core::fmt::Debug>::fmt"},
      {"broken<(", "broken<("},
      {"[unknown] lib.so.1+0x12", "lib.so.1+0x12"},
      {"[unknown] _x.cpython-311-x86_64-linux-gnu.so+0x12", "_x.so+0x12"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct profile_function function = {
        .name = rows[i].name, .file = "", .module = "", .kind = FRAME_NATIVE};
    struct buf buf = {0};
    report_put_short_name(&buf, &function);
    assert_string_equal(buf_text(&buf), rows[i].expected);
    buf_fini(&buf);
  }
}

static void python_names_lose_only_locals(void **state) {
  struct profile_function function = {
      .name = "A.f.<locals>.<lambda>", .file = "", .module = "", .kind = FRAME_PYTHON};
  struct buf buf = {0};
  (void)state;
  report_put_short_name(&buf, &function);
  assert_string_equal(buf_text(&buf), "A.f.<lambda>");
  buf_fini(&buf);
}

static void expect_path(uint32_t node, const char *expected) {
  struct stack_frames frames = {0};
  struct buf buf = {0};
  assert_int_equal(profile_frames(&made.profile, node, &frames), 0);
  report_put_path(&buf, &made.profile, &frames);
  assert_string_equal(buf_text(&buf), expected);
  stack_frames_fini(&frames);
  buf_fini(&buf);
}

static void paths_say_what_matters(void **state) {
  static const char libc[] = "/lib/libc.so.6", interpreter[] = "/usr/bin/python3.11";
  (void)state;
  handmade_init(&made, 0);
  uint32_t node = push(PROFILE_NONE, FRAME_NATIVE, "_start", "", interpreter, 0);
  node = push(node, FRAME_NATIVE, "Py_BytesMain", "", interpreter, 0);
  node = push(node, FRAME_PYTHON, "serve", "/srv/app.py", "", 7);
  node = push(node, FRAME_NATIVE, "_PyObject_Call", "", interpreter, 0);
  uint32_t function = handmade_function(&made, FRAME_PYTHON, "walk", "/srv/pkg/__init__.py", "", 1);
  for (int i = 0; i < 3; i++)
    node = handmade_call(&made, node, function, 9);
  made.frames[made.nodes[node].frame].flags = FRAME_COROUTINE;
  node = push(node, FRAME_NATIVE, "take_gil", "", interpreter, 0);
  node = push(node, FRAME_NATIVE, "pthread_cond_timedwait", "", libc, 0);
  node = push(node, FRAME_NATIVE, "__futex_abstimed_wait", "", libc, 0);
  node = push(node, FRAME_KERNEL, "entry_SYSCALL_64_after_hwframe", "", "[kernel]", 0);
  node = push(node, FRAME_KERNEL, "futex_wait", "", "[kernel]", 0);
  node = push(node, FRAME_KERNEL, "schedule", "", "[kernel]", 0);
  expect_path(node, "…\nserve (app.py:7)\nasync walk (pkg/__init__.py:9) ×3\n"
                    "pthread_cond_timedwait\nfutex_wait");
}

static void paths_show_marks(void **state) {
  (void)state;
  handmade_init(&made, 0);
  uint32_t node = push(PROFILE_NONE, FRAME_MARK, "[truncated]", "", "", 0);
  node = push(node, FRAME_PYTHON, "run", "/usr/lib/python3.11/threading.py", "", 2);
  node = push(node, FRAME_PYTHON, "work", "/srv/app.py", "", 3);
  expect_path(node, "[truncated]\n…\nwork (app.py:3)");
}

static void paths_without_application_keep_their_end(void **state) {
  static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
  (void)state;
  handmade_init(&made, 0);
  uint32_t node = PROFILE_NONE;
  for (int i = 0; i < 6; i++)
    node = push(node, FRAME_PYTHON, names[i], "/usr/lib/python3.11/queue.py", "", 1);
  expect_path(node, "…\nc (queue.py:1)\nd (queue.py:1)\ne (queue.py:1)\nf (queue.py:1)");
}

/* What the interpreter does for itself is told by its innermost function; the shim's are never. */
static void paths_of_the_interpreter_alone_say_what_it_does(void **state) {
  static const char interpreter[] = "/usr/bin/python3.11";
  (void)state;
  handmade_init(&made, 0);
  uint32_t node = push(PROFILE_NONE, FRAME_NATIVE, "__libc_start_main", "", "/lib/libc.so.6", 0);
  node = push(node, FRAME_NATIVE, "Py_BytesMain", "", interpreter, 0);
  node = push(node, FRAME_NATIVE, "new_arena", "", interpreter, 0);
  expect_path(node, "__libc_start_main\nnew_arena");
  node = push(PROFILE_NONE, FRAME_PYTHON, "work", "/srv/app.py", "", 3);
  node = push(node, FRAME_NATIVE, "counted_malloc", "", "/usr/lib/libragprof.so", 0);
  node = push(node, FRAME_NATIVE, "malloc", "", "/lib/libc.so.6", 0);
  expect_path(node, "work (app.py:3)\nmalloc");
}

/* Of seven frames of the standard library the ends remain; of three nameless functions of a library
 * the innermost one. */
static void ways_through_libraries_are_shortened(void **state) {
  static const char *const nameless[] = {"[unknown] x.so+0x1", "[unknown] x.so+0x2",
                                         "[unknown] x.so+0x3"};
  static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g"};
  (void)state;
  handmade_init(&made, 0);
  uint32_t node = push(PROFILE_NONE, FRAME_PYTHON, "work", "/srv/app.py", "", 3);
  for (int i = 0; i < 7; i++)
    node = push(node, FRAME_PYTHON, names[i], "/usr/lib/python3.11/http/client.py", "", 1);
  for (int i = 0; i < 3; i++)
    node = push(node, FRAME_NATIVE, nameless[i], "", "/opt/x.so", 0);
  expect_path(node, "work (app.py:3)\na (client.py:1)\n…\ng (client.py:1)\nx.so+0x3");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(text_is_as_known),
      cmocka_unit_test(markdown_is_as_known),
      cmocka_unit_test(json_is_as_known),
      cmocka_unit_test(memory_is_as_known),
      cmocka_unit_test(calls_are_as_known),
      cmocka_unit_test(the_systems_part_is_as_known),
      cmocka_unit_test(the_kernels_calls_stand_for_the_shims),
      cmocka_unit_test(absurd_figures_are_survived),
      cmocka_unit_test(no_table_is_empty),
      cmocka_unit_test(sites_are_named_by_who_wanted_the_memory),
      cmocka_unit_test(stacks_that_read_the_same_are_one_row),
      cmocka_unit_test(json_has_fewer_stacks_of_later_rows),
      cmocka_unit_test(text_fits_its_width),
      cmocka_unit_test(control_characters_stay_out),
      cmocka_unit_test(rows_are_limited),
      cmocka_unit_test(an_empty_profile_is_reported),
      cmocka_unit_test(damage_is_said_first),
      cmocka_unit_test(names_are_shortened),
      cmocka_unit_test(python_names_lose_only_locals),
      cmocka_unit_test(paths_say_what_matters),
      cmocka_unit_test(paths_show_marks),
      cmocka_unit_test(paths_without_application_keep_their_end),
      cmocka_unit_test(paths_of_the_interpreter_alone_say_what_it_does),
      cmocka_unit_test(ways_through_libraries_are_shortened),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
