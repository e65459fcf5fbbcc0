/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The calling-context tree on a hand-made profile whose sums were worked out on paper. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/calltree.h"
#include "handmade.h"

/* main calls work at two lines (nodes 1 and 2), work calls itself at node 3 and read at node 4. */
enum { MAIN, WORK, READ };

static struct profile_frame frames[] = {
    {.function = "main", .file = "", .module = "app", .kind = FRAME_NATIVE, .function_id = MAIN},
    {.function = "work", .file = "a.py", .module = "", .line = 10, .function_id = WORK},
    {.function = "work", .file = "a.py", .module = "", .line = 11, .function_id = WORK},
    {.function = "read", .file = "", .module = "libc", .kind = FRAME_NATIVE, .function_id = READ},
};

static struct profile_node nodes[] = {
    {.parent = PROFILE_NONE, .frame = 0},  {.parent = 0, .frame = 1, .depth = 1},
    {.parent = 0, .frame = 2, .depth = 1}, {.parent = 2, .frame = 1, .depth = 2},
    {.parent = 1, .frame = 3, .depth = 2}, {.parent = 2, .frame = 3, .depth = 2},
    {.parent = PROFILE_NONE, .frame = 3},
};

static struct profile_thread threads[] = {
    {.tid = 1, .name = "one", .sample_weight_ns = 100},
    {.tid = 2, .name = "two", .sample_weight_ns = 7},
};

static struct profile_sample samples[] = {
    {.time_ns = 10, .thread = 0, .node = 1},
    {.time_ns = 20, .thread = 0, .node = 2},
    {.time_ns = 30, .thread = 0, .node = 3},
    {.time_ns = 40, .thread = 1, .node = 0},
};

static struct profile_wait waits[] = {
    /* Two stacks that differ in the line of work only: one leaf. */
    {.start_ns = 0,
     .span_ns = 100,
     .blocked_ns = 80,
     .run_queue_ns = 20,
     .count = 1,
     .thread = 0,
     .node = 4,
     .reason = WAIT_SOCKET},
    {.start_ns = 100,
     .span_ns = 50,
     .blocked_ns = 50,
     .count = 1,
     .thread = 0,
     .node = 5,
     .reason = WAIT_SOCKET},
    /* A sum of five short ones. */
    {.start_ns = 200,
     .span_ns = 100,
     .blocked_ns = 10,
     .count = 5,
     .thread = 1,
     .node = 5,
     .reason = WAIT_FUTEX},
    {.start_ns = 400,
     .span_ns = 9,
     .run_queue_ns = 9,
     .count = 1,
     .thread = 1,
     .node = 0,
     .reason = WAIT_RUN_QUEUE},
};

static struct profile profile = {
    .frames = frames,
    .frame_count = 4,
    .function_count = 3,
    .nodes = nodes,
    .node_count = 7,
    .threads = threads,
    .thread_count = 2,
    .samples = samples,
    .sample_count = 4,
    .waits = waits,
    .wait_count = 4,
    .duration_ns = 500,
};

static const struct calltree_node *child(const struct calltree *tree, uint32_t parent,
                                         uint32_t function) {
  for (uint32_t i = 0; i < tree->node_count; i++)
    if (tree->nodes[i].parent == parent && tree->nodes[i].function == function &&
        tree->nodes[i].note == PROFILE_NONE)
      return &tree->nodes[i];
  return NULL;
}

static const struct calltree_node *wait_leaf(const struct calltree *tree, uint32_t parent,
                                             enum wait_reason reason) {
  for (uint32_t i = 0; i < tree->node_count; i++) {
    const struct calltree_node *node = &tree->nodes[i];
    if (node->parent == parent && node->note != PROFILE_NONE && !tree->notes[node->note].class &&
        tree->notes[node->note].reason == reason)
      return node;
  }
  return NULL;
}

static uint32_t index_of(const struct calltree *tree, const struct calltree_node *node) {
  assert_non_null(node);
  return (uint32_t)(node - tree->nodes);
}

static struct calltree *built(enum calltree_kind kind, const struct calltree_filter *filter) {
  struct calltree *tree = NULL;
  assert_int_equal(calltree_build(&tree, &profile, kind, filter), 0);
  assert_int_equal(tree->nodes[0].parent, PROFILE_NONE);
  for (uint32_t i = 1; i < tree->node_count; i++)
    assert_true(tree->nodes[i].parent < i);
  return tree;
}

static void cpu_merges_lines_and_keeps_recursion(void **state) {
  (void)state;
  struct calltree *tree = built(CALLTREE_CPU, NULL);
  assert_int_equal(tree->total, 307);
  assert_int_equal(tree->nodes[0].total_count, 4);
  const struct calltree_node *top = child(tree, 0, MAIN);
  assert_int_equal(top->self, 7);
  assert_int_equal(top->total, 307);
  const struct calltree_node *work = child(tree, index_of(tree, top), WORK);
  assert_int_equal(work->self, 200);
  assert_int_equal(work->self_count, 2);
  assert_int_equal(work->total, 300);
  assert_int_equal(work->frame, 1);
  const struct calltree_node *inner = child(tree, index_of(tree, work), WORK);
  assert_int_equal(inner->self, 100);
  /* Nothing ran in read: it is no part of this view. */
  assert_int_equal(tree->node_count, 4);
  calltree_free(tree);
}

static void off_cpu_puts_reasons_at_leaves(void **state) {
  (void)state;
  struct calltree *tree = built(CALLTREE_OFF_CPU, NULL);
  assert_int_equal(tree->total, 80 + 20 + 50 + 10 + 9);
  assert_int_equal(tree->nodes[0].total_count, 1 + 1 + 5 + 1);
  uint32_t top = index_of(tree, child(tree, 0, MAIN));
  uint32_t work = index_of(tree, child(tree, top, WORK));
  uint32_t read = index_of(tree, child(tree, work, READ));
  const struct calltree_node *socket = wait_leaf(tree, read, WAIT_SOCKET);
  assert_int_equal(socket->self, 130);
  assert_int_equal(socket->self_count, 2);
  assert_int_equal(wait_leaf(tree, read, WAIT_FUTEX)->self_count, 5);
  assert_int_equal(wait_leaf(tree, read, WAIT_RUN_QUEUE)->self, 20);
  assert_int_equal(wait_leaf(tree, top, WAIT_RUN_QUEUE)->self, 9);
  assert_int_equal(tree->nodes[read].self, 0);
  assert_int_equal(tree->nodes[read].total, 160);
  calltree_free(tree);
}

static void wall_is_the_sum_of_both(void **state) {
  (void)state;
  struct calltree *tree = built(CALLTREE_WALL, NULL);
  assert_int_equal(tree->total, 307 + 169);
  uint32_t top = index_of(tree, child(tree, 0, MAIN));
  assert_int_equal(tree->nodes[top].self, 7);
  assert_int_equal(wait_leaf(tree, top, WAIT_RUN_QUEUE)->total, 9);
  calltree_free(tree);
}

static void filter_by_thread(void **state) {
  (void)state;
  struct calltree_filter filter = {.thread = 1};
  struct calltree *tree = built(CALLTREE_WALL, &filter);
  assert_int_equal(tree->total, 7 + 10 + 9);
  calltree_free(tree);
}

/* The first wait lies in [0, 100), so a half of it in [50, 100); the range's end is outside. */
static void filter_by_time_divides_waits(void **state) {
  (void)state;
  struct calltree_filter filter = {.thread = PROFILE_NONE, .begin_ns = 50, .end_ns = 110};
  struct calltree *tree = built(CALLTREE_OFF_CPU, &filter);
  assert_int_equal(tree->total, 40 + 10 + 10);
  calltree_free(tree);

  filter = (struct calltree_filter){.thread = PROFILE_NONE, .begin_ns = 20, .end_ns = 40};
  tree = built(CALLTREE_CPU, &filter);
  assert_int_equal(tree->total, 200);
  calltree_free(tree);
}

/* 30 seconds: in work a leak of 64 bytes a second beside blocks that live half a second, in read
 * 1,000 bytes that were given back in the tenth second, of which the kernel's part is not shown. */
static void make_heap(struct handmade *made) {
  handmade_init(made, 30 * NS_PER_S);
  handmade_process(made, 1, "app", "");
  uint32_t function = handmade_function(made, FRAME_NATIVE, "main", "", "app", 0);
  uint32_t main_node = handmade_call(made, PROFILE_NONE, function, 0);
  function = handmade_function(made, FRAME_NATIVE, "work", "", "app", 0);
  uint32_t work = handmade_call(made, main_node, function, 0);
  function = handmade_function(made, FRAME_NATIVE, "read", "", "libc", 0);
  uint32_t read = handmade_call(made, main_node, function, 0);
  handmade_heap_site(made, work, HEAP_MALLOC);
  for (uint64_t s = 1; s <= 30; s++)
    handmade_heap(made, s * NS_PER_S, 64, 3 * s, 2 * s);
  handmade_heap_site(made, read, HEAP_PYTHON);
  handmade_heap(made, 2 * NS_PER_S, 5000, 1, 0);
  handmade_heap(made, 10 * NS_PER_S, 5000, 1, 1);
  handmade_heap_site(made, read, HEAP_MAP);
  handmade_heap(made, 2 * NS_PER_S, 1 << 20, 1, 0);
  for (uint64_t s = 1; s <= 30; s++)
    handmade_metric(handmade_memory(made, s * NS_PER_S), MEMORY_RSS, 1 << 20);
}

static void memory_is_summed_as_time_is(void **state) {
  static struct handmade made;
  static const struct {
    enum calltree_kind kind;
    enum calltree_unit unit;
    uint64_t work, read, work_count;
  } rows[] = {
      {CALLTREE_ALLOC, CALLTREE_BYTES, 30 * 3 * 64, 5000, 90},
      {CALLTREE_LIVE, CALLTREE_BYTES, 30 * 64, 0, 30},
      {CALLTREE_PEAK, CALLTREE_BYTES, 9 * 64, 5000, 0}, /* before the tenth second */
      {CALLTREE_LEAK, CALLTREE_BYTES_PER_S, 64, 0, 1},
  };
  (void)state;
  make_heap(&made);
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct calltree *tree;
    assert_int_equal(calltree_build(&tree, &made.profile, rows[i].kind, NULL), 0);
    assert_int_equal(tree->unit, rows[i].unit);
    assert_int_equal(tree->total, rows[i].work + rows[i].read);
    uint32_t top = index_of(tree, child(tree, 0, MAIN));
    assert_int_equal(tree->nodes[top].self, 0);
    assert_int_equal(child(tree, top, WORK)->self, rows[i].work);
    assert_int_equal(child(tree, top, WORK)->self_count, rows[i].work_count);
    if (rows[i].read)
      assert_int_equal(child(tree, top, READ)->total, rows[i].read);
    else
      assert_null(child(tree, top, READ));
    calltree_free(tree);
  }
}

/* ---- operations ---- */

static struct profile_object objects[] = {{OBJECT_FILE, "/data/index.faiss"},
                                          {OBJECT_SOCKET, "tcp 127.0.0.1:6333"},
                                          {OBJECT_LOCK, "0x7f0000001000"},
                                          {OBJECT_LOCK, "GIL"},
                                          {OBJECT_DEVICE, "vda"},
                                          {OBJECT_MEMORY, "[heap]"}};
enum { INDEX, PEER, LOCK, GIL, DISK, HEAP };

static char read_name[] = "read"; /* interned: one pointer for each name */
static char wait_name[] = "wait";

#define STACKS(first, count) .stack_first = (first), .stack_count = (count)
static struct profile_operation operations[] = {
    {OPERATION_SYSCALL, 0, 0, PROFILE_NONE, read_name, .total.total_ns = 70, STACKS(0, 2)},
    {OPERATION_SYSCALL, 0, 1, PROFILE_NONE, read_name, .total.total_ns = 5, STACKS(2, 1)},
    {OPERATION_SYSCALL, 0, 1, PROFILE_NONE, "futex", .total = {.count = 3, .total_ns = 11}},
    {OPERATION_FILE, 0, PROFILE_NONE, INDEX, read_name, STACKS(3, 1)},
    {OPERATION_FILE, 0, PROFILE_NONE, INDEX, "device read", STACKS(4, 1)},
    {OPERATION_SOCKET, 0, PROFILE_NONE, PEER, "receive", STACKS(5, 1)},
    {OPERATION_BLOCK, 0, PROFILE_NONE, DISK, read_name, STACKS(6, 1)},
    {OPERATION_FAULT, 0, PROFILE_NONE, INDEX, "major", STACKS(7, 1)},
    {OPERATION_FAULT, 0, PROFILE_NONE, HEAP, "minor", STACKS(8, 1)},
    {OPERATION_LOCK, 0, 0, LOCK, wait_name, STACKS(9, 1)},
    {OPERATION_LOCK, 0, 1, LOCK, "hold", STACKS(10, 1)},
    {OPERATION_LOCK, 0, 0, GIL, wait_name, STACKS(11, 1)},
    {OPERATION_LOCK, 0, 1, GIL, "hold", STACKS(12, 1)},
    {OPERATION_PROBE, 0, 0, PROFILE_NONE, "search", STACKS(13, 1)},
};

/* operation, node, count, bytes, ns; nodes 4 and 5 are read, called from work at its two lines */
static struct profile_operation_stack operation_stacks[] = {
    {0, 4, 2, 0, 30},    {0, 5, 1, 0, 40},        {1, 4, 1, 0, 5},     {3, 4, 2, 8192, 27},
    {4, 4, 1, 4096, 20}, {5, 6, 4, 100, 1000},    {6, 4, 1, 4096, 19}, {7, 1, 3, 12288, 600},
    {8, 3, 900, 900, 0}, {9, 5, 7, 0, 700},       {10, 0, 7, 0, 700},  {11, 1, 9, 0, 90},
    {12, 3, 9, 0, 88},   {13, 1, 1, 0, 12345678},
};

static struct profile with_operations(void) {
  struct profile with = profile;
  with.objects = objects;
  with.object_count = sizeof(objects) / sizeof(objects[0]);
  with.operations = operations;
  with.operation_count = sizeof(operations) / sizeof(operations[0]);
  with.operation_stacks = operation_stacks;
  with.operation_stack_count = sizeof(operation_stacks) / sizeof(operation_stacks[0]);
  return with;
}

static const struct calltree_node *noted(const struct calltree *tree, const char *name,
                                         const char *object) {
  for (uint32_t i = 0; i < tree->node_count; i++) {
    const struct calltree_note *note = &tree->notes[tree->nodes[i].note];
    if (tree->nodes[i].note != PROFILE_NONE && !strcmp(note->name, name) &&
        !strcmp(note->object, object))
      return &tree->nodes[i];
  }
  return NULL;
}

static uint32_t function_above(const struct calltree *tree, const struct calltree_node *leaf) {
  return tree->nodes[leaf->parent].function;
}

/* Every operation stands in one kind only, or in none: a device's read is a part of the file's, and
 * a probe's span may hold anything. */
static void operations_end_in_what_was_done(void **state) {
  static const struct {
    enum calltree_kind kind;
    uint64_t total;
    const char *name, *object;
    uint64_t value, count;
    uint32_t above;
  } rows[] = {
      {CALLTREE_SYSCALL, 70 + 5 + 11, "read", "", 75, 4, READ},
      {CALLTREE_SYSCALL, 70 + 5 + 11, "futex", "", 11, 3, PROFILE_NONE}, /* no stack: at the root */
      {CALLTREE_IO, 1027, "read", "/data/index.faiss", 27, 2, READ},
      {CALLTREE_IO, 1027, "receive", "tcp 127.0.0.1:6333", 1000, 4, READ},
      {CALLTREE_BLOCK, 19, "read", "vda", 19, 1, READ},
      {CALLTREE_FAULT, 903, "major", "/data/index.faiss", 3, 3, WORK},
      {CALLTREE_FAULT, 903, "minor", "[heap]", 900, 900, WORK},
      {CALLTREE_LOCK, 700, "wait", "0x7f0000001000", 700, 7, READ},
      {CALLTREE_GIL, 178, "waiting for the GIL", "", 90, 9, WORK},
      {CALLTREE_GIL, 178, "holding the GIL while others wait", "", 88, 9, WORK},
  };
  struct profile with = with_operations();
  (void)state;
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct calltree *tree;
    assert_int_equal(calltree_build(&tree, &with, rows[i].kind, NULL), 0);
    assert_int_equal(tree->unit, rows[i].kind == CALLTREE_FAULT ? CALLTREE_FAULTS : CALLTREE_NS);
    assert_int_equal(tree->total, rows[i].total);
    const struct calltree_node *leaf = noted(tree, rows[i].name, rows[i].object);
    assert_non_null(leaf);
    assert_int_equal(leaf->self, rows[i].value);
    assert_int_equal(leaf->self_count, rows[i].count);
    assert_int_equal(function_above(tree, leaf), rows[i].above);
    calltree_free(tree);
  }
}

/* Without any operation of a kind there is nothing to draw; time there always is. */
static void what_is_recorded(void **state) {
  struct profile with = with_operations();
  (void)state;
  for (int kind = 0; kind < CALLTREE_KINDS; kind++) {
    enum calltree_group group = calltree_kind_group(kind);
    assert_int_equal(calltree_is_recorded(&with, kind), group != CALLTREE_MEMORY);
    assert_int_equal(calltree_is_recorded(&profile, kind), group == CALLTREE_TIME);
  }
  with.operation_count = 3; /* system calls only */
  assert_true(calltree_is_recorded(&with, CALLTREE_SYSCALL));
  assert_false(calltree_is_recorded(&with, CALLTREE_IO));
}

/* With iterations, two a second, leaks are given by those. */
static void leaks_are_by_iteration_where_those_are_known(void **state) {
  static struct handmade made;
  struct calltree *tree;
  (void)state;
  make_heap(&made);
  for (uint64_t s = 1; s <= 30; s++)
    handmade_metric(&made.memory_points[s - 1], MEMORY_ITERATIONS, 2 * s);
  assert_int_equal(calltree_build(&tree, &made.profile, CALLTREE_LEAK, NULL), 0);
  assert_int_equal(tree->unit, CALLTREE_BYTES_PER_ITERATION);
  assert_int_equal(tree->total, 32);
  calltree_free(tree);
}

static void empty_profile(void **state) {
  (void)state;
  struct profile nothing = {0};
  struct calltree *tree = NULL;
  assert_int_equal(calltree_build(&tree, &nothing, CALLTREE_WALL, NULL), 0);
  assert_int_equal(tree->node_count, 1);
  assert_int_equal(tree->total, 0);
  calltree_free(tree);
  calltree_free(NULL);
}

static void kind_names(void **state) {
  (void)state;
  static const char *const names[] = {"cpu",   "off-cpu", "wall",    "alloc", "live",
                                      "leak",  "peak",    "syscall", "io",    "block",
                                      "fault", "lock",    "gil"};
  for (int i = 0; i < CALLTREE_KINDS; i++) {
    enum calltree_kind kind;
    assert_int_equal(calltree_kind_parse(names[i], &kind), 0);
    assert_string_equal(calltree_kind_name(kind), names[i]);
  }
  enum calltree_kind kind;
  assert_int_equal(calltree_kind_parse("CPU", &kind), -EINVAL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(cpu_merges_lines_and_keeps_recursion),
      cmocka_unit_test(off_cpu_puts_reasons_at_leaves),
      cmocka_unit_test(wall_is_the_sum_of_both),
      cmocka_unit_test(filter_by_thread),
      cmocka_unit_test(filter_by_time_divides_waits),
      cmocka_unit_test(memory_is_summed_as_time_is),
      cmocka_unit_test(leaks_are_by_iteration_where_those_are_known),
      cmocka_unit_test(operations_end_in_what_was_done),
      cmocka_unit_test(what_is_recorded),
      cmocka_unit_test(empty_profile),
      cmocka_unit_test(kind_names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
