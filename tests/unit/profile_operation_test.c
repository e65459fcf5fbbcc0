/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a profile makes of operations: merging, thinning, stacks that add up, order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/load.h"
#include "synthetic_operations.h"
#include "trace_bytes.h"
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
  assert_int_equal(profile_counter(fixture->profile, "lost.invalid"), 0);
  return fixture->profile;
}

/* A stack of one frame at an address, of a function at a line. */
static uint32_t put_node(struct fixture *fixture, uint64_t address, const char *function,
                         uint32_t line) {
  struct trace_frame frame = {.kind = FRAME_NATIVE, .address = address};
  struct trace_symbol symbol = {.frame = trace_put_frame(fixture->writer, &frame),
                                .function =
                                    trace_put_string(fixture->writer, function, strlen(function)),
                                .line = line};
  trace_put_symbol(fixture->writer, &symbol);
  return trace_put_node(fixture->writer, (struct trace_node){0, symbol.frame});
}

static void put_thread(struct fixture *fixture, uint32_t id, uint32_t pid) {
  struct trace_thread thread = {.thread = id, .pid = pid, .tid = pid, .name = "t"};
  trace_put_thread(fixture->writer, &thread);
}

static uint32_t put_operation(struct fixture *fixture, enum operation_class class, uint32_t pid,
                              uint32_t thread, uint32_t object, const char *name) {
  struct trace_operation operation = {class, pid, thread, object, name};
  return trace_put_operation(fixture->writer, &operation);
}

static void put_sum(struct fixture *fixture, struct trace_operation_sum sum) {
  trace_put_operation_sum(fixture->writer, &sum);
}

static void put_stack(struct fixture *fixture, struct trace_operation_stack stack) {
  trace_put_operation_stack(fixture->writer, &stack);
}

static void assert_points(const struct profile *profile, uint32_t operation,
                          const struct trace_operation_sum *expected, size_t count) {
  assert_true(operation < profile->operation_count);
  const struct profile_operation *at = &profile->operations[operation];
  assert_int_equal(at->point_count, count);
  for (size_t i = 0; i < count; i++) {
    const struct trace_operation_sum *point = &profile->operation_points[at->point_first + i];
    assert_int_equal(point->time_ns, expected[i].time_ns);
    assert_int_equal(point->operation, operation);
    assert_int_equal(point->count, expected[i].count);
    assert_int_equal(point->errors, expected[i].errors);
    assert_int_equal(point->bytes, expected[i].bytes);
    assert_int_equal(point->total_ns, expected[i].total_ns);
    assert_int_equal(point->max_ns, expected[i].max_ns);
    if (i + 1 == count)
      assert_memory_equal(point, &at->total, sizeof(*point));
  }
}

/* Of the stacks of an operation, in the order of their nodes. */
static void assert_stacks(const struct profile *profile, uint32_t operation, size_t count,
                          const uint64_t expected[][3]) {
  const struct profile_operation *at = &profile->operations[operation];
  assert_int_equal(at->stack_count, count);
  for (size_t i = 0; i < count; i++) {
    const struct profile_operation_stack *stack = &profile->operation_stacks[at->stack_first + i];
    assert_int_equal(stack->operation, operation);
    assert_true(stack->node < profile->node_count);
    assert_true(!i || stack[-1].node < stack->node);
    assert_int_equal(stack->count, expected[i][0]);
    assert_int_equal(stack->bytes, expected[i][1]);
    assert_int_equal(stack->total_ns, expected[i][2]);
  }
}

/* ---- Stacks ---------------------------------------------------------------------------------- */

/* A row: what was recorded of up to three stacks, the operation's total, and what must come out. */
struct scaling {
  uint64_t recorded[3][3]; /* count, bytes, total_ns */
  uint64_t total[3];
  size_t count;
  uint64_t scaled[3][3];
};

static const struct scaling scalings[] = {
    /* all were walked: nothing changes */
    {{{1, 10, 100}, {2, 20, 50}, {3, 5, 7}},
     {6, 35, 157},
     3,
     {{1, 10, 100}, {2, 20, 50}, {3, 5, 7}}},
    /* every tenth was walked */
    {{{3, 30, 300}, {7, 10, 100}, {0, 0, 0}},
     {100, 400, 4000},
     2,
     {{30, 300, 3000}, {70, 100, 1000}}},
    /* thirds: what is rounded off goes to the next, and the last has the rest */
    {{{1, 1, 1}, {1, 1, 1}, {1, 1, 1}}, {10, 2, 100}, 3, {{3, 0, 33}, {3, 1, 33}, {4, 1, 34}}},
    /* no bytes and no time by stack: by count */
    {{{1, 0, 0}, {3, 0, 0}, {0, 0, 0}}, {8, 100, 1000}, 2, {{2, 25, 250}, {6, 75, 750}}},
    /* estimates may be above the truth */
    {{{30, 1, 5}, {10, 0, 5}, {0, 0, 0}}, {4, 0, 5}, 2, {{3, 0, 2}, {1, 0, 3}}},
    /* nothing was counted by stack: none */
    {{{0, 10, 100}, {0, 0, 0}, {0, 0, 0}}, {6, 60, 600}, 0, {{0}}},
    /* stacks of an operation that came to nothing */
    {{{5, 10, 100}, {1, 0, 0}, {0, 0, 0}}, {0, 0, 0}, 0, {{0}}},
    /* numbers of 64 bits */
    {{{UINT64_MAX / 2, 0, UINT64_MAX}, {UINT64_MAX / 2, 0, 0}, {0, 0, 0}},
     {UINT64_MAX - 1, 0, UINT64_MAX},
     2,
     {{UINT64_MAX / 2, 0, UINT64_MAX}, {UINT64_MAX / 2, 0, 0}}},
    /* numbers that do not even add up to 64 bits: still the total */
    {{{UINT64_MAX, 0, 1}, {UINT64_MAX, 0, 1}, {0, 0, 0}}, {7, 0, 8}, 2, {{7, 0, 4}, {0, 0, 4}}},
};

static void stacks_make_up_the_total(void **state) {
  struct fixture *fixture = *state;
  uint32_t nodes[3];
  for (uint32_t i = 0; i < 3; i++)
    nodes[i] = put_node(fixture, 0x10 + i, "f", 7 + i);
  for (size_t i = 0; i < SYNTHETIC_COUNT(scalings); i++) {
    const struct scaling *row = &scalings[i];
    char name[16];
    snprintf(name, sizeof(name), "row%zu", i);
    uint32_t id = put_operation(fixture, OPERATION_SYSCALL, 7, 0, 0, name);
    put_sum(fixture, (struct trace_operation_sum){.time_ns = 1,
                                                  .operation = id,
                                                  .count = row->total[0],
                                                  .bytes = row->total[1],
                                                  .total_ns = row->total[2]});
    for (uint32_t j = 0; j < 3; j++)
      put_stack(fixture, (struct trace_operation_stack){id, nodes[j], row->recorded[j][0],
                                                        row->recorded[j][1], row->recorded[j][2]});
  }
  const struct profile *profile = load(fixture);
  assert_int_equal(profile->operation_count, SYNTHETIC_COUNT(scalings));
  size_t next = 0;
  for (uint32_t i = 0; i < SYNTHETIC_COUNT(scalings); i++) {
    assert_stacks(profile, i, scalings[i].count, scalings[i].scaled);
    assert_int_equal(profile->operations[i].stack_first, next);
    next += scalings[i].count;
  }
  assert_int_equal(profile->operation_stack_count, next);
}

/* Two addresses of one line are one stack; the same record again replaces the first. */
static void stacks_that_symbols_make_equal_are_added(void **state) {
  struct fixture *fixture = *state;
  uint32_t one = put_node(fixture, 0x10, "f", 7), other = put_node(fixture, 0x30, "g", 8);
  uint32_t two = put_node(fixture, 0x20, "f", 7);
  uint32_t id = put_operation(fixture, OPERATION_FILE, 7, 0, 0, "read");
  put_stack(fixture, (struct trace_operation_stack){id, one, 99, 99, 99});
  put_stack(fixture, (struct trace_operation_stack){id, other, 4, 0, 10});
  put_stack(fixture, (struct trace_operation_stack){id, two, 5, 20, 30});
  put_stack(fixture, (struct trace_operation_stack){id, one, 1, 10, 20});
  put_stack(fixture, (struct trace_operation_stack){id, 0, 10, 30, 40});
  put_sum(fixture, (struct trace_operation_sum){5, id, 40, 0, 600, 1000, 50});
  const struct profile *profile = load(fixture);
  static const uint64_t expected[][3] = {{12, 300, 500}, {8, 0, 100}, {20, 300, 400}};
  assert_stacks(profile, 0, 3, expected);
  const struct profile_operation_stack *stacks = profile->operation_stacks;
  static const char *const functions[] = {"f", "g", "[no stack]"};
  for (size_t i = 0; i < 3; i++)
    assert_string_equal(profile->frames[profile->nodes[stacks[i].node].frame].function,
                        functions[i]);
}

/* ---- Equal operations ------------------------------------------------------------------------ */

/* A thread's operation is of the thread's process, whatever PID stands in it: so these two are one.
 */
static void equal_operations_are_one(void **state) {
  struct fixture *fixture = *state;
  put_thread(fixture, 1, 7);
  put_thread(fixture, 2, 7);
  uint32_t node = put_node(fixture, 0x10, "f", 7);
  uint32_t a = put_operation(fixture, OPERATION_SYSCALL, 7, 1, 0, "read");
  uint32_t other = put_operation(fixture, OPERATION_SYSCALL, 7, 2, 0, "read");
  uint32_t b = put_operation(fixture, OPERATION_SYSCALL, 8, 1, 0, "read");
  put_sum(fixture, (struct trace_operation_sum){10, a, 1, 0, 100, 1000, 1000});
  put_sum(fixture, (struct trace_operation_sum){10, other, 5, 5, 5, 5, 5});
  put_sum(fixture, (struct trace_operation_sum){20, b, 2, 1, 8, 600, 500});
  put_sum(fixture, (struct trace_operation_sum){30, b, 3, 1, 12, 900, 500});
  put_sum(fixture, (struct trace_operation_sum){15, a, 2, 1, 100, 1500, 1000});
  put_sum(fixture, (struct trace_operation_sum){30, a, 4, 1, 150, 3000, 1200});
  put_stack(fixture, (struct trace_operation_stack){a, node, 1, 15, 300});
  put_stack(fixture, (struct trace_operation_stack){b, node, 1, 2, 90});
  struct trace_slow_operation slow = {.time_ns = 1, .operation = b, .thread = 1};
  trace_put_slow_operation(fixture->writer, &slow);
  const struct profile *profile = load(fixture);
  assert_int_equal(profile->operation_count, 2);
  assert_int_equal(profile->slow_operations[0].operation, 0);
  const struct trace_operation_sum sum[] = {
      {10, 0, 1, 0, 100, 1000, 1000},
      {15, 0, 2, 1, 100, 1500, 1000},
      {20, 0, 4, 2, 108, 2100, 1000},
      {30, 0, 7, 2, 162, 3900, 1200},
  };
  assert_points(profile, 0, sum, 4);
  assert_points(profile, 1, &(struct trace_operation_sum){10, 1, 5, 5, 5, 5, 5}, 1);
  assert_int_equal(profile->operation_point_count, 5);
  static const uint64_t stack[][3] = {{7, 162, 3900}};
  assert_stacks(profile, 0, 1, stack);
  assert_int_equal(profile->operations[0].thread, 0);
  assert_int_equal(profile->operations[1].thread, 1);
  assert_int_equal(profile->processes[profile->operations[0].process].pid, 7);
  assert_ptr_equal(profile->operations[0].name, profile->operations[1].name);
  assert_int_equal(profile->duration_ns, 30);
}

static const struct trace_operation_detail *detail_of(const struct profile *profile,
                                                      uint32_t operation) {
  return profile->operations[operation].detail;
}

static void details_of_equal_operations_are_added(void **state) {
  struct fixture *fixture = *state;
  put_thread(fixture, 1, 7);
  uint32_t a = put_operation(fixture, OPERATION_SYSCALL, 7, 1, 0, "read");
  uint32_t bare = put_operation(fixture, OPERATION_SYSCALL, 7, 1, 0, "write");
  uint32_t b = put_operation(fixture, OPERATION_SYSCALL, 8, 1, 0, "read");
  struct trace_operation_detail first = {.operation = a, .buckets = {[3] = 99}};
  struct trace_operation_detail many = {.operation = b,
                                        .buckets = {[3] = 4, [100] = UINT64_MAX - 4},
                                        .result_count = TRACE_RESULTS_MAX};
  for (uint32_t i = 0; i < TRACE_RESULTS_MAX; i++) {
    many.results[i].error = i + 1;
    many.results[i].count = 10;
  }
  trace_put_operation_detail(fixture->writer, &first);
  trace_put_operation_detail(fixture->writer, &many);
  first = (struct trace_operation_detail){.operation = a,
                                          .buckets = {[3] = 1, [4] = 2},
                                          .result_count = 2,
                                          .results = {{100, 3}, {2, 5}}};
  trace_put_operation_detail(fixture->writer, &first); /* the last one holds */
  const struct profile *profile = load(fixture);
  assert_int_equal(profile->operation_count, 2);
  assert_null(detail_of(profile, bare - 1));
  const struct trace_operation_detail *sum = detail_of(profile, 0);
  assert_int_equal(sum->operation, 0);
  assert_int_equal(sum->buckets[3], 5);
  assert_int_equal(sum->buckets[4], 2);
  assert_int_equal(sum->buckets[100], UINT64_MAX - 7); /* all together fit 64 bits */
  /* 100 and 2 come first, then 1, 3, …: sixteen in all, so the last of them are the others */
  assert_int_equal(sum->result_count, TRACE_RESULTS_MAX);
  uint64_t counts = 0;
  for (uint32_t i = 0; i < TRACE_RESULTS_MAX; i++) {
    uint32_t error = sum->results[i].error;
    assert_int_equal(sum->results[i].count, error == 100 ? 3 : error == 2 ? 15 : error ? 10 : 20);
    counts += sum->results[i].count;
  }
  assert_int_equal(counts, 168);
  assert_int_equal(sum->results[TRACE_RESULTS_MAX - 1].error, 0);
}

/* A writer interns objects, but a file of another one may hold them twice. */
static void equal_objects_are_one(void **state) {
  (void)state;
  struct buf raw = {0}, file = {0};
  bytes_string(&raw, "/a");
  bytes_string(&raw, "/b");
  bytes_string(&raw, "/a");
  BYTES_NUMBERS(&raw, 18, 1, 1);
  BYTES_NUMBERS(&raw, 18, 1, 2);
  BYTES_NUMBERS(&raw, 18, 1, 3); /* of another string's id, but the same text */
  BYTES_NUMBERS(&raw, 18, 2, 1); /* of another kind */
  BYTES_NUMBERS(&raw, 19, 2, 7, 0, 1, 1);
  BYTES_NUMBERS(&raw, 19, 2, 7, 0, 3, 3);
  BYTES_NUMBERS(&raw, 19, 2, 7, 0, 4, 1);
  BYTES_NUMBERS(&raw, 19, 2, 7, 0, 0, 1);
  bytes_header(&file);
  bytes_stored_chunk(&file, 0, &raw);
  bytes_end(&file, 1);
  struct profile *profile;
  assert_int_equal(profile_load_memory(&profile, file.data, file.length), 0);
  assert_null(profile->status.damage);
  assert_int_equal(profile->object_count, 3);
  assert_string_equal(profile->objects[1].name, "/b");
  assert_int_equal(profile->objects[2].kind, OBJECT_PIPE);
  assert_int_equal(profile->operation_count, 3);
  assert_int_equal(profile->operations[0].object, 0);
  assert_int_equal(profile->operations[1].object, 2);
  assert_int_equal(profile->operations[2].object, PROFILE_NONE);
  assert_int_equal(profile->operations[0].thread, PROFILE_NONE);
  assert_int_equal(profile->operations[2].total.count, 0);
  assert_int_equal(profile->operations[2].total.operation, 2);
  assert_int_equal(profile->operations[2].point_count, 0);
  profile_free(profile);
  buf_fini(&raw);
  buf_fini(&file);
}

/* ---- Events ---------------------------------------------------------------------------------- */

static void events_are_in_order_of_time(void **state) {
  struct fixture *fixture = *state;
  put_thread(fixture, 1, 9);
  uint32_t node = put_node(fixture, 0x10, "f", 7);
  struct trace_object object = {OBJECT_SOCKET, "tcp [::1]:443"};
  uint32_t peer = trace_put_object(fixture->writer, &object);
  put_operation(fixture, OPERATION_SYSCALL, 9, 1, 0, "poll");
  uint32_t id = put_operation(fixture, OPERATION_SYSCALL, 9, 1, 0, "recvfrom");
  static const uint64_t times_ns[] = {50, 10, 40};
  for (uint32_t i = 0; i < 3; i++) {
    struct trace_slow_operation slow = {times_ns[i], 2000000 + i, -11 - (int)i, id,
                                        1,           node,        i ? 0 : peer};
    struct trace_happening happening = {times_ns[i], 9 + i, HAPPENING_EXIT, i,
                                        i ? "" : "/bin/true"};
    struct trace_point point = {times_ns[i], i ? 9 : 0, POINT_THREADS + i, 1000 + i};
    trace_put_slow_operation(fixture->writer, &slow);
    trace_put_happening(fixture->writer, &happening);
    trace_put_point(fixture->writer, &point);
  }
  const struct profile *profile = load(fixture);
  static const uint32_t order[] = {1, 2, 0};
  assert_int_equal(profile->slow_operation_count, 3);
  assert_int_equal(profile->happening_count, 3);
  assert_int_equal(profile->point_count, 3);
  for (uint32_t i = 0; i < 3; i++) {
    uint32_t from = order[i];
    const struct profile_slow_operation *slow = &profile->slow_operations[i];
    assert_int_equal(slow->time_ns, times_ns[from]);
    assert_int_equal(slow->duration_ns, 2000000 + from);
    assert_int_equal(slow->result, -11 - (int)from);
    assert_string_equal(profile->operations[slow->operation].name, "recvfrom");
    assert_int_equal(slow->thread, 0);
    assert_int_equal(slow->object, from ? PROFILE_NONE : 0);
    assert_string_equal(profile->frames[profile->nodes[slow->node].frame].function, "f");
    const struct profile_happening *happening = &profile->happenings[i];
    assert_int_equal(happening->time_ns, times_ns[from]);
    assert_int_equal(profile->processes[happening->process].pid, 9 + from);
    assert_int_equal(happening->what, HAPPENING_EXIT);
    assert_int_equal(happening->value, from);
    assert_string_equal(happening->text, from ? "" : "/bin/true");
    const struct profile_point *point = &profile->points[i];
    assert_int_equal(point->time_ns, times_ns[from]);
    assert_int_equal(point->metric, POINT_THREADS + from);
    assert_int_equal(point->value, 1000 + from);
    assert_int_equal(point->process, from ? 0 : PROFILE_NONE);
  }
  assert_int_equal(profile->duration_ns, 50 + 2000000);
}

/* ---- Many points ----------------------------------------------------------------------------- */

/* What is left are points that were there, evenly, and the last of each operation. */
static void many_points_are_thinned_evenly(void **state) {
  struct fixture *fixture = *state;
  const uint32_t operations = 1024, seconds = PROFILE_OPERATION_POINTS_MAX / 1024 + 100;
  uint32_t ids[1024];
  for (uint32_t i = 0; i < operations; i++)
    ids[i] = put_operation(fixture, OPERATION_SYSCALL, i + 1, 0, 0, "read");
  for (uint64_t second = 1; second <= seconds; second++)
    for (uint32_t i = 0; i < operations; i++)
      put_sum(fixture, (struct trace_operation_sum){second * 1000000000, ids[i], second, 0,
                                                    second * (i + 1), second, 1});
  const struct profile *profile = load(fixture);
  assert_true(profile->operation_point_count <= PROFILE_OPERATION_POINTS_MAX);
  assert_true(profile->operation_point_count > PROFILE_OPERATION_POINTS_MAX / 4);
  for (uint32_t i = 0; i < operations; i++) {
    const struct profile_operation *operation = &profile->operations[i];
    const struct trace_operation_sum *points = &profile->operation_points[operation->point_first];
    for (size_t j = 0; j < operation->point_count; j++) {
      uint64_t second = points[j].time_ns / 1000000000;
      assert_int_equal(points[j].count, second);
      assert_int_equal(points[j].bytes, second * (i + 1));
      assert_true(second - (j ? points[j - 1].time_ns / 1000000000 : 0) <= 5);
    }
    assert_int_equal(operation->total.count, seconds);
  }
}

/* Of each process and metric for itself; those that were there at one moment stay together. */
static void many_points_of_metrics_are_thinned_evenly(void **state) {
  struct fixture *fixture = *state;
  const uint32_t series = 1024, seconds = PROFILE_METRIC_POINTS_MAX / 1024 + 100;
  for (uint64_t second = 1; second <= seconds; second++)
    for (uint32_t i = 0; i < series; i++) {
      struct trace_point point = {second * 1000000000, i / 32, i % 32, second * (i + 1)};
      trace_put_point(fixture->writer, &point);
    }
  const struct profile *profile = load(fixture);
  assert_true(profile->point_count <= PROFILE_METRIC_POINTS_MAX);
  assert_true(profile->point_count > PROFILE_METRIC_POINTS_MAX / 4);
  assert_int_equal(profile->point_count % series, 0);
  uint64_t last_ns = 0;
  for (size_t i = 0; i < profile->point_count; i++) {
    const struct profile_point *point = &profile->points[i];
    uint32_t pid = point->process == PROFILE_NONE ? 0 : profile->processes[point->process].pid;
    assert_int_equal(pid, i % series / 32);
    assert_int_equal(point->metric, i % 32);
    assert_int_equal(point->value, point->time_ns / 1000000000 * (i % series + 1));
    assert_true(point->time_ns >= last_ns && point->time_ns <= last_ns + 5000000000);
    last_ns = point->time_ns;
  }
  assert_int_equal(last_ns, seconds * 1000000000ull);
}

/* ---- The synthetic trace --------------------------------------------------------------------- */

#define STEPS 7

static const struct profile_operation *find(const struct profile *profile,
                                            const struct synthetic_operation *wanted) {
  for (uint32_t i = 0; i < profile->operation_count; i++) {
    const struct profile_operation *operation = &profile->operations[i];
    uint32_t thread = wanted->thread ? wanted->thread - 1 : PROFILE_NONE;
    const char *object =
        operation->object == PROFILE_NONE ? NULL : profile->objects[operation->object].name;
    if (operation->class == wanted->class && operation->thread == thread &&
        !strcmp(operation->name, wanted->name) && !object == !wanted->object &&
        (!object || !strcmp(object, wanted->object)))
      return operation;
  }
  return NULL;
}

/* Whether a stack ends in the function that the last of `keys` stands for. */
static bool ends_in(const struct profile *profile, uint32_t node, const char *keys) {
  const char *last = strrchr(keys, ' ');
  last = last ? last + 1 : keys;
  const struct synthetic_frame *frame = &synthetic_frames[synthetic_frame_of(last, strlen(last))];
  return !strcmp(profile->frames[profile->nodes[node].frame].function, frame->function);
}

static void assert_shares(const struct profile *profile, const struct profile_operation *operation,
                          const struct synthetic_operation *from) {
  uint64_t weights = 0;
  size_t stacks = 0, found = 0;
  for (; stacks < SYNTHETIC_OPERATION_STACKS && from->stacks[stacks].keys; stacks++)
    weights += from->stacks[stacks].weight;
  assert_int_equal(operation->stack_count, stacks);
  for (size_t i = 0; i < stacks; i++) {
    uint64_t weight = from->stacks[i].weight;
    for (size_t j = 0; j < stacks; j++) {
      const struct profile_operation_stack *stack =
          &profile->operation_stacks[operation->stack_first + j];
      found += ends_in(profile, stack->node, from->stacks[i].keys) &&
               stack->count == STEPS * from->count * weight / weights &&
               stack->bytes == STEPS * from->bytes * weight / weights &&
               stack->total_ns == STEPS * from->count * from->each_ns * weight / weights;
    }
  }
  assert_int_equal(found, stacks);
}

static void a_synthetic_trace_has_its_known_operations(void **state) {
  struct fixture *fixture = *state;
  struct synthetic_options options = {
      .sample_count = 1000, .wait_count = 100, .thread_count = 2, .seed = 3};
  synthetic_put(fixture->writer, &options);
  synthetic_operations_put(fixture->writer, 2, STEPS);
  const struct profile *profile = load(fixture);
  assert_int_equal(profile->operation_count, SYNTHETIC_OPERATIONS);
  uint32_t slow = 0;
  for (size_t i = 0; i < SYNTHETIC_OPERATIONS; i++) {
    const struct synthetic_operation *from = &synthetic_operations[i];
    const struct profile_operation *operation = find(profile, from);
    assert_non_null(operation);
    assert_int_equal(profile->processes[operation->process].pid, SYNTHETIC_PID);
    assert_int_equal(operation->total.count, STEPS * from->count);
    assert_int_equal(operation->total.total_ns, STEPS * from->count * from->each_ns);
    assert_int_equal(operation->point_count, STEPS);
    assert_int_equal(operation->detail->results[0].count, STEPS * from->errors);
    assert_shares(profile, operation, from);
    slow += from->is_slow;
  }
  assert_int_equal(profile->slow_operation_count, STEPS * slow);
  assert_int_equal(profile->happening_count, 6);
  assert_int_equal(profile->point_count, STEPS * SYNTHETIC_COUNT(synthetic_points));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(stacks_make_up_the_total),
      TEST(stacks_that_symbols_make_equal_are_added),
      TEST(equal_operations_are_one),
      TEST(details_of_equal_operations_are_added),
      cmocka_unit_test(equal_objects_are_one),
      TEST(events_are_in_order_of_time),
      TEST(many_points_are_thinned_evenly),
      TEST(many_points_of_metrics_are_thinned_evenly),
      TEST(a_synthetic_trace_has_its_known_operations),
  };
  return cmocka_run_group_tests_name("profile_operation", tests, NULL, NULL);
}
