/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory as the page carries it, decoded again: two processes that leak at one stack and free all
 * when they end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/calltree.h"
#include "handmade.h"
#include "render/flame_memory.h"
#include "trace/format.h"

#define SECONDS 60
#define EARLY 40

static struct handmade made;

static void add_process(uint32_t pid, uint32_t node, uint64_t end_s) {
  handmade_process(&made, pid, "app", "");
  made.processes[made.profile.process_count - 1].end_ns = end_s * NS_PER_S;
  handmade_heap_site(&made, node, HEAP_MALLOC);
  for (uint64_t s = 1; s < end_s; s++)
    handmade_heap(&made, s * NS_PER_S, 100, 10 * s, 0);
  handmade_heap(&made, end_s * NS_PER_S, 100, 10 * end_s, 10 * end_s);
  for (uint64_t s = 1; s < end_s; s++)
    handmade_metric(handmade_memory(&made, s * NS_PER_S), MEMORY_RSS, pid * 1000000 + s);
}

static int by_time(const void *a, const void *b) {
  const struct profile_memory_point *left = a, *right = b;
  return (left->time_ns > right->time_ns) - (left->time_ns < right->time_ns);
}

/* The second process ends at `end_s`, the first one with the capture. */
static void make(uint64_t end_s) {
  handmade_init(&made, SECONDS * NS_PER_S);
  uint32_t function = handmade_function(&made, FRAME_NATIVE, "leak", "", "app", 0);
  uint32_t node = handmade_call(&made, PROFILE_NONE, function, 0);
  add_process(1, node, SECONDS);
  add_process(2, node, end_s);
  qsort(made.memory_points, made.profile.memory_point_count, sizeof(made.memory_points[0]),
        by_time);
}

struct decoded {
  uint64_t growth, low, high, peak;
  uint64_t allocations, bytes;
  int64_t live_blocks, live_bytes, most_bytes;
};

static void decode_site(struct cursor *cursor, struct decoded *site) {
  *site = (struct decoded){0};
  cursor_varint(cursor); /* process */
  assert_int_equal(cursor_varint(cursor), 1);
  site->peak = cursor_varint(cursor);
  site->growth = cursor_varint(cursor);
  site->low = cursor_varint(cursor);
  site->high = cursor_varint(cursor);
  for (uint64_t left = cursor_varint(cursor); left > 0; left--) {
    cursor_varint(cursor); /* bucket */
    site->allocations += cursor_varint(cursor);
    site->bytes += cursor_varint(cursor);
    site->live_blocks += (int64_t)format_unzigzag(cursor_varint(cursor));
    site->live_bytes += (int64_t)format_unzigzag(cursor_varint(cursor));
    site->most_bytes = site->live_bytes > site->most_bytes ? site->live_bytes : site->most_bytes;
  }
}

/* The last value of a series, and in which bucket it stands. */
static uint64_t decode_series(struct cursor *cursor, uint64_t *bucket) {
  uint64_t value = 0;
  *bucket = 0;
  cursor_varint(cursor); /* process */
  assert_int_equal(cursor_varint(cursor), MEMORY_RSS);
  for (uint64_t left = cursor_varint(cursor); left > 0; left--) {
    *bucket += cursor_varint(cursor);
    value += format_unzigzag(cursor_varint(cursor));
  }
  return value;
}

static void put(struct buf *buf, uint64_t bucket_ns, uint32_t bucket_count) {
  struct flame_memory *memory;
  uint32_t node_ids[HANDMADE_MAX] = {0};
  assert_int_equal(flame_memory_new(&memory, &made.profile), 0);
  flame_memory_mark(memory, node_ids);
  assert_int_equal(node_ids[0], 1);
  assert_int_equal(flame_memory_put(memory, buf, node_ids, bucket_ns, bucket_count), 0);
  flame_memory_free(memory);
}

/* In two sizes of buckets: sums do not depend on them. */
static void sites_add_up(void **state) {
  static const uint64_t bucket_ns[] = {NS_PER_S / 10, 7 * NS_PER_S};
  (void)state;
  make(EARLY);
  for (size_t i = 0; i < 2; i++) {
    struct buf buf = {0};
    struct decoded first, second;
    put(&buf, bucket_ns[i], (uint32_t)(SECONDS * NS_PER_S / bucket_ns[i] + 1));
    struct cursor cursor = cursor_of(buf.data, buf.length);
    assert_int_equal(cursor_varint(&cursor), 2);
    decode_site(&cursor, &first);
    decode_site(&cursor, &second);
    assert_false(cursor.failed);
    assert_int_equal(first.allocations, 10 * SECONDS);
    assert_int_equal(first.live_bytes, 0);
    assert_int_equal(second.bytes, 1000 * EARLY);
    assert_in_range(second.most_bytes, 1000 * (EARLY - 7), 1000 * (EARLY - 1));
    assert_int_equal(second.live_bytes, 0);
    assert_int_equal(second.live_blocks, 0);
    buf_fini(&buf);
  }
}

/* The growth of a stack is that of the call tree, however many processes it is divided among and
 * whatever they hold at the end. */
static void growth_is_divided(void **state) {
  struct buf buf = {0};
  struct decoded first, second;
  struct calltree *tree;
  (void)state;
  make(SECONDS);
  assert_int_equal(calltree_build(&tree, &made.profile, CALLTREE_LEAK, NULL), 0);
  assert_true(tree->total > 0);
  put(&buf, NS_PER_S, SECONDS);
  struct cursor cursor = cursor_of(buf.data, buf.length);
  cursor_varint(&cursor);
  decode_site(&cursor, &first);
  decode_site(&cursor, &second);
  assert_in_range(first.growth + second.growth, tree->total, tree->total + 1);
  assert_int_equal(first.growth, second.growth);
  assert_true(first.low <= first.growth && first.growth <= first.high);
  calltree_free(tree);
  buf_fini(&buf);
}

/* The resident set of a process that ended is nothing from then on. */
static void resident_sets_end_with_their_process(void **state) {
  struct buf buf = {0};
  struct decoded site;
  uint64_t bucket;
  (void)state;
  make(EARLY);
  put(&buf, NS_PER_S, SECONDS + 2);
  struct cursor cursor = cursor_of(buf.data, buf.length);
  cursor_varint(&cursor);
  decode_site(&cursor, &site);
  decode_site(&cursor, &site);
  assert_int_equal(cursor_varint(&cursor), 2);
  assert_int_equal(decode_series(&cursor, &bucket), 0); /* the larger one stands first */
  assert_int_equal(bucket, EARLY);
  assert_int_equal(decode_series(&cursor, &bucket), 0);
  assert_int_equal(bucket, SECONDS);
  assert_int_equal(cursor_left(&cursor), 0);
  assert_false(cursor.failed);
  buf_fini(&buf);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sites_add_up),
      cmocka_unit_test(growth_is_divided),
      cmocka_unit_test(resident_sets_end_with_their_process),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
