/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Traces with valid checksums and hostile content, and traces of later writers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <zstd.h>

#include "trace_bytes.h"
#include "trace_log.h"

#define HUGE_TIME ((1ull << 53) + 1)
#define U32_OVERFLOW (1ull << 32)

/* One of each: string 1 "s", module 1, frame 1, node 1, thread 1, heap site 1, with 10 blocks of
 * 100 bytes, 6 of 60 given back, at 1000 ns; object 1, operation 1 of it, which came to 10 with 4
 * errors, 100 bytes and 80 ns, at most 50, at 1000 ns. */
static void put_base(struct buf *raw) {
  bytes_string(raw, "s");
  BYTES_NUMBERS(raw, 2, 1, 0);
  BYTES_NUMBERS(raw, 3, 1, 0, 1, 4096, 1, 1, 10, 5);
  BYTES_NUMBERS(raw, 4, 1, 1);
  BYTES_NUMBERS(raw, 6, 1, 7, 7, 0, 0, 1);
  BYTES_NUMBERS(raw, 13, 7, 1, 0);
  BYTES_NUMBERS(raw, 14, 2000, 2, 10, 100, 8, 80, 50);
  BYTES_NUMBERS(raw, 18, 3, 1);
  BYTES_NUMBERS(raw, 19, 3, 7, 1, 1, 1);
  BYTES_NUMBERS(raw, 20, 2000, 2, 10, 4, 100, 80, 50);
}

#define BASE_LOG                                                                                   \
  "string 1 1 s\nmodule 1 s \nframe 1 1 0 1 1000 1 1 10 5\nnode 1 0 1\nthread 1 7 7 0 0 s\n"       \
  "heap_site 1 7 1 0\nheap 1000 1 10 100 6 60 50\nobject 1 3 s\noperation 1 3 7 1 1 s\n"           \
  "operation_sum 1000 1 10 4 100 80 50\n"

/* Reads a file of one chunk; what was visited goes to `log`. */
static const char *read_one(const struct buf *raw, struct buf *log) {
  struct buf file = {0};
  struct trace_status status;
  bytes_header(&file);
  bytes_stored_chunk(&file, 0, raw);
  bytes_end(&file, 1);
  assert_int_equal(trace_read_memory(file.data, file.length, &log_visitor, log, &status), 0);
  assert_int_equal(status.complete, !status.damage);
  buf_fini(&file);
  return status.damage;
}

static void assert_refused(struct buf *raw, const char *says) {
  struct buf log = {0};
  const char *damage = read_one(raw, &log);
  assert_non_null(damage);
  assert_non_null(strstr(damage, says));
  assert_string_equal(buf_text(&log), BASE_LOG); /* nothing of the bad record was passed on */
  buf_fini(&log);
  buf_fini(raw);
}

#define REFUSED(says, type, ...)                                                                   \
  do {                                                                                             \
    struct buf raw = {0};                                                                          \
    put_base(&raw);                                                                                \
    BYTES_NUMBERS(&raw, type, __VA_ARGS__);                                                        \
    assert_refused(&raw, says);                                                                    \
  } while (0)

static void the_base_is_good(void **state) {
  (void)state;
  struct buf raw = {0}, log = {0};
  put_base(&raw);
  assert_null(read_one(&raw, &log));
  assert_string_equal(buf_text(&log), BASE_LOG);
  buf_fini(&raw);
  buf_fini(&log);
}

static void ids_that_were_not_announced_are_refused(void **state) {
  (void)state;
  REFUSED("id", 2, 2, 0);                            /* module: path */
  REFUSED("id", 3, 1, 0, 2, 0, 0, 0, 0, 0);          /* frame: module */
  REFUSED("id", 3, 1, 0, 0, 0, 2, 0, 0, 0);          /* frame: function */
  REFUSED("id", 3, 1, 0, 0, 0, 0, 2, 0, 0);          /* frame: file */
  REFUSED("id", 4, 2, 2);                            /* node: frame */
  REFUSED("id", 4, 2, 0);                            /* node: no frame */
  REFUSED("id", 5, 1, 1, 0, 0, 2, 0, 0);             /* process: name */
  REFUSED("id", 6, 3, 7, 7, 0, 0, 0);                /* thread: not the next */
  REFUSED("id", 6, 0, 7, 7, 0, 0, 0);                /* thread: none */
  REFUSED("id", 7, 0, 0, 1, 0, 0, 0);                /* symbol: no frame */
  REFUSED("id", 7, 2, 0, 1, 0, 0, 0);                /* symbol: frame */
  REFUSED("id", 7, 1, 0, 2, 0, 0, 0);                /* symbol: function */
  REFUSED("id", 8, 0, 0, 1);                         /* sample: no thread */
  REFUSED("id", 8, 0, 2, 1);                         /* sample: thread */
  REFUSED("id", 8, 0, 1, 2);                         /* sample: node */
  REFUSED("id", 9, 0, 1, 2, 0, 1, 0, 0, 0, 0, 0, 0); /* wait: node */
  REFUSED("id", 9, 0, 1, 1, 0, 1, 0, 0, 0, 0, 2, 0); /* wait: waker */
  REFUSED("id", 10, 2, 0, 0, 0, 0, 0, 0, 0);         /* account: thread */
  REFUSED("id", 11, 2, 0);                           /* counter: name */
  REFUSED("id", 12, 1, 2);                           /* meta: value */
  REFUSED("id", 12, UINT32_MAX, 1);
  REFUSED("id", 13, 7, 2, 0);                            /* heap site: node */
  REFUSED("id", 14, 0, 2, 0, 0, 0, 0, 0);                /* heap: the site after the last */
  REFUSED("id", 14, 0, 1, 0, 0, 0, 0, 0);                /* heap: site 0 */
  REFUSED("id", 14, 0, 3, 0, 0, 0, 0, 0);                /* heap: site -1 */
  REFUSED("id", 14, 0, 2 * U32_OVERFLOW, 0, 0, 0, 0, 0); /* heap: site 1 but for the high bits */
  REFUSED("id", 16, 7, 2, 0, 0, 0, 0, 0, 0);             /* call: name */
  REFUSED("id", 17, 0, 2, 1, 1, 0, 0);                   /* slow call: thread */
  REFUSED("id", 17, 0, 0, 1, 1, 0, 0);                   /* slow call: no thread */
  REFUSED("id", 17, 0, 1, 2, 1, 0, 0);                   /* slow call: node */
  REFUSED("id", 17, 0, 1, 1, 2, 0, 0);                   /* slow call: name */
}

static void values_out_of_range_are_refused(void **state) {
  (void)state;
  REFUSED("malformed", 3, 0, 0, 0, 0, 0, 0, 0, 0); /* frame kinds are 1 to 5 */
  REFUSED("malformed", 3, 6, 0, 0, 0, 0, 0, 0, 0);
  REFUSED("malformed", 3, 1, 0, 0, 0, 0, 0, U32_OVERFLOW, 0);
  REFUSED("malformed", 2, 1, 65); /* a build ID of 65 bytes, and none of them there */
  REFUSED("malformed", 4, 0, 1);  /* its own parent */
  REFUSED("malformed", 4, 3, 1);  /* a parent before the first */
  REFUSED("malformed", 5, U32_OVERFLOW, 1, 0, 0, 0, 0, 0);
  REFUSED("malformed", 5, 1, 1, HUGE_TIME, 0, 0, 0, 0);
  REFUSED("malformed", 7, 1, 64, 1, 0, 0, 0); /* depths are below 64 */
  REFUSED("malformed", 8, 2001, 1, 1);        /* zigzag of -1001: before the start */
  REFUSED("malformed", 8, 2 * HUGE_TIME, 1, 1);
  REFUSED("malformed", 9, 0, 1, 1, 12, 1, 0, 0, 0, 0, 0, 0);        /* an unknown reason */
  REFUSED("malformed", 9, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);         /* a count of 0 */
  REFUSED("malformed", 9, 0, 1, 1, 0, 1, 0, 0, 1, 0, 0, 0);         /* a span of -1 */
  REFUSED("malformed", 9, 0, 1, 1, 0, 1, HUGE_TIME, 0, 0, 0, 0, 0); /* blocked too long */
  REFUSED("malformed", 10, 1, 0, HUGE_TIME, 0, 0, 0, 0, 0);
  REFUSED("malformed", 8, 0, 1); /* too short */
  REFUSED("malformed", 9, 0, 1, 1, 0, 1, 0, 0, 0, 0, 0);
  REFUSED("malformed", 13, 7, 1, 4); /* heap kinds are 0 to 3 */
  REFUSED("malformed", 13, U32_OVERFLOW, 1, 0);
  REFUSED("malformed", 13, 7, 1);
}

/* Site 1 has 4 live blocks of 40 bytes at 1000 ns; the zigzag of -n is 2n - 1. */
static void counts_that_cannot_be_are_refused(void **state) {
  (void)state;
  uint64_t max = 1ull << 53;
  REFUSED("malformed", 14, 1, 0, 0, 0, 0, 0, 0);          /* earlier than before */
  REFUSED("malformed", 14, 2 * max, 0, 0, 0, 0, 0, 0);    /* too late */
  REFUSED("malformed", 14, 0, 0, 0, 0, 9, 0, 0);          /* 5 of 4 live blocks freed */
  REFUSED("malformed", 14, 0, 0, 0, 0, 0, 81, 0);         /* 41 of 40 live bytes freed */
  REFUSED("malformed", 14, 0, 0, 0, 0, 2, 0, 0);          /* one more live, none taken */
  REFUSED("malformed", 14, 0, 0, 1, 0, 4, 0, 0);          /* two more live, one taken */
  REFUSED("malformed", 14, 0, 0, 0, 5, 0, 12, 0);         /* six bytes live of five taken */
  REFUSED("malformed", 14, 0, 0, max - 9, 0, 0, 0, 0);    /* one beyond the most */
  REFUSED("malformed", 14, 0, 0, UINT64_MAX, 0, 0, 0, 0); /* round to one fewer */
  REFUSED("malformed", 14, 0, 0, 0, max - 99, 0, 0, 0);
  REFUSED("malformed", 14, 0, 0, 0, 0, 0, 0, max - 49);
  REFUSED("malformed", 14, 0, 0, 0, 0, 0, 0); /* too short */
}

static void operations_of_unknown_ids_are_refused(void **state) {
  (void)state;
  REFUSED("id", 18, 1, 2);                               /* object: name */
  REFUSED("id", 19, 1, 7, 2, 0, 1);                      /* operation: thread */
  REFUSED("id", 19, 1, 7, 0, 2, 1);                      /* operation: object */
  REFUSED("id", 19, 1, 7, 0, 0, 2);                      /* operation: name */
  REFUSED("id", 20, 0, 2, 0, 0, 0, 0, 0);                /* sum: the operation after the last */
  REFUSED("id", 20, 0, 1, 0, 0, 0, 0, 0);                /* sum: operation 0 */
  REFUSED("id", 20, 0, 3, 0, 0, 0, 0, 0);                /* sum: operation -1 */
  REFUSED("id", 20, 0, 2 * U32_OVERFLOW, 0, 0, 0, 0, 0); /* sum: 1 but for the high bits */
  REFUSED("id", 21, 2, 0, 0);                            /* detail */
  REFUSED("id", 21, 1, 0, 0);
  REFUSED("id", 22, 2, 1, 0, 0, 0);       /* stack: operation */
  REFUSED("id", 22, 0, 2, 0, 0, 0);       /* stack: node */
  REFUSED("id", 23, 0, 2, 1, 1, 1, 0, 0); /* slow operation: operation */
  REFUSED("id", 23, 0, 0, 1, 1, 1, 0, 0); /* slow operation: none */
  REFUSED("id", 23, 0, 1, 2, 1, 1, 0, 0); /* slow operation: thread */
  REFUSED("id", 23, 0, 1, 0, 1, 1, 0, 0); /* slow operation: no thread */
  REFUSED("id", 23, 0, 1, 1, 2, 1, 0, 0); /* slow operation: node */
  REFUSED("id", 23, 0, 1, 1, 1, 2, 0, 0); /* slow operation: object */
  REFUSED("id", 24, 0, 7, 1, 0, 2);       /* happening: text */
}

/* Operation 1 stands at 10, 4, 100, 80 and 50. */
static void sums_that_cannot_be_are_refused(void **state) {
  (void)state;
  uint64_t max = 1ull << 53;
  REFUSED("malformed", 20, 1, 0, 0, 0, 0, 0, 0);               /* earlier than before */
  REFUSED("malformed", 20, 2 * max, 0, 0, 0, 0, 0, 0);         /* too late */
  REFUSED("malformed", 20, 0, 0, UINT64_MAX, 0, 0, 0, 0);      /* round to one fewer */
  REFUSED("malformed", 20, 0, 0, UINT64_MAX - 9, 0, 0, 0, 0);  /* round to none */
  REFUSED("malformed", 20, 0, 0, 0, UINT64_MAX - 3, 0, 0, 0);  /* errors */
  REFUSED("malformed", 20, 0, 0, 0, 0, UINT64_MAX - 99, 0, 0); /* bytes */
  REFUSED("malformed", 20, 0, 0, 0, 0, 0, UINT64_MAX - 79, 0); /* total_ns */
  REFUSED("malformed", 20, 0, 0, 0, 0, 0, 0, UINT64_MAX - 49); /* max_ns */
  REFUSED("malformed", 20, 0, 0, 0, 0, 0, 0, max - 49);        /* longer than can be */
  REFUSED("malformed", 20, 0, 0, 0, 0, 0, 0);                  /* too short */
}

static void details_that_cannot_be_are_refused(void **state) {
  (void)state;
  REFUSED("malformed", 21, 0, 1, 248, 1, 0); /* buckets are 0 to 247 */
  REFUSED("malformed", 21, 0, 2, 247, 1, 0, 1, 0);
  REFUSED("malformed", 21, 0, 1, 0, 0, 0);                /* an empty one */
  REFUSED("malformed", 21, 0, 2, 0, UINT64_MAX, 0, 1, 0); /* their sum */
  REFUSED("malformed", 21, 0, UINT64_MAX, 0, 1);
  REFUSED("malformed", 21, 0, 0, 1, 11, 0);                 /* a result that never was */
  REFUSED("malformed", 21, 0, 0, 2, 11, 1, 11, 1);          /* the same twice */
  REFUSED("malformed", 21, 0, 0, 2, 11, UINT64_MAX, 12, 1); /* their sum */
  REFUSED("malformed", 21, 0, 0, 1, U32_OVERFLOW, 1);
  REFUSED("malformed", 21, 0, 0, 2, 11, 1); /* two, and one there */
  REFUSED("malformed", 21, 0, 0, UINT64_MAX, 11, 1);
  REFUSED("malformed", 21, 0, 0, 17, 1, 1, 2, 1, 3, 1, 4, 1, 5, 1, 6, 1, 7, 1, 8, 1, 9, 1, 10, 1,
          11, 1, 12, 1, 13, 1, 14, 1, 15, 1, 16, 1, 17, 1); /* one too many */
  REFUSED("malformed", 21, 0, 0);                           /* too short */
}

static void events_of_operations_that_cannot_be_are_refused(void **state) {
  (void)state;
  uint64_t max = 1ull << 53;
  REFUSED("malformed", 18, 0, 1); /* object kinds are 1 to 7 */
  REFUSED("malformed", 18, 8, 1);
  REFUSED("malformed", 18, U32_OVERFLOW + 1, 1);
  REFUSED("malformed", 19, 0, 7, 0, 0, 1); /* classes are 1 to 7 */
  REFUSED("malformed", 19, 8, 7, 0, 0, 1);
  REFUSED("malformed", 19, 1, U32_OVERFLOW, 0, 0, 1);
  REFUSED("malformed", 19, 1, 7, 0, 0);
  REFUSED("malformed", 22, 0, 1, 0, 0);
  REFUSED("malformed", 23, 0, 1, 1, 1, 1, max + 1, 0);
  REFUSED("malformed", 23, 2001, 1, 1, 1, 1, 0, 0); /* before the start */
  REFUSED("malformed", 23, 0, 1, 1, 1, 1, 0);
  REFUSED("malformed", 24, 0, 7, 0, 0, 1); /* happenings are 1 to 4 */
  REFUSED("malformed", 24, 0, 7, 5, 0, 1);
  REFUSED("malformed", 24, 2 * max, 7, 1, 0, 1);
  REFUSED("malformed", 24, 0, U32_OVERFLOW, 1, 0, 1);
  REFUSED("malformed", 25, 0, 7, 64, 0); /* metrics are 0 to 63 */
  REFUSED("malformed", 25, 0, 7, UINT64_MAX, 0);
  REFUSED("malformed", 25, 0, U32_OVERFLOW, 0, 0);
  REFUSED("malformed", 25, 0, 7, 0);
}

/* Numbers of 64 bits may be as large as they are, and metrics that are not known are passed on. */
static void the_largest_numbers_are_good(void **state) {
  (void)state;
  struct buf raw = {0}, log = {0};
  put_base(&raw);
  BYTES_NUMBERS(&raw, 20, 0, 0, UINT64_MAX - 10, UINT64_MAX - 4, UINT64_MAX - 100, UINT64_MAX - 80,
                (1ull << 53) - 50);
  BYTES_NUMBERS(&raw, 21, 0, 2, 0, UINT64_MAX - 1, 246, 1, 2, 0, UINT64_MAX - 1, UINT32_MAX, 1);
  BYTES_NUMBERS(&raw, 25, 0, 0, 63, 2);
  BYTES_NUMBERS(&raw, 25, 0, 7, 63, 3);
  BYTES_NUMBERS(&raw, 25, 0, 7, 62, 1);
  assert_null(read_one(&raw, &log));
  assert_string_equal(buf_text(&log),
                      BASE_LOG "operation_sum 1000 1 18446744073709551615 18446744073709551615 "
                               "18446744073709551615 18446744073709551615 9007199254740992\n"
                               "operation_detail 1 0:18446744073709551614 247:1 "
                               "0=18446744073709551614 4294967295=1\n"
                               "point 1000 0 63 1\npoint 1000 7 63 18446744073709551615\n"
                               "point 1000 7 62 18446744073709551615\n");
  buf_fini(&raw);
  buf_fini(&log);
}

static void memory_and_calls_that_cannot_be_are_refused(void **state) {
  (void)state;
  uint64_t max = 1ull << 53;
  REFUSED("malformed", 15, 0, U32_OVERFLOW, 0);
  REFUSED("malformed", 15, 0, 7, U32_OVERFLOW);
  REFUSED("malformed", 15, 0, 7, 3, 0); /* two metrics, one value */
  REFUSED("malformed", 15, 2 * max, 7, 0);
  REFUSED("malformed", 16, 7, 1, 1, 0, 0, 9, max + 1, 0);   /* the longest call */
  REFUSED("malformed", 16, 7, 1, 1, 0, 0, 9, 9, 1, 248, 1); /* buckets are 0 to 247 */
  REFUSED("malformed", 16, 7, 1, 1, 0, 0, 9, 9, 2, 247, 1, 0, 1);
  REFUSED("malformed", 16, 7, 1, 1, 0, 0, 9, 9, 2, 0, 1, UINT64_MAX, 1);
  REFUSED("malformed", 16, 7, 1, 1, 0, 0, 9, 9, 1, 0, 0);                /* an empty one */
  REFUSED("malformed", 16, 7, 1, 1, 0, 0, 9, 9, 2, 0, UINT64_MAX, 0, 1); /* their sum */
  REFUSED("malformed", 16, 7, 1, 1, 0, 0, 9, 9, UINT64_MAX, 0, 1);
  REFUSED("malformed", 17, 0, 1, 1, 1, max + 1, 0);
  REFUSED("malformed", 17, 0, 1, 1, 1, 0);
}

/* A capture of a later version: its metrics come after the known ones, and are ignored. */
static void later_metrics_are_ignored(void **state) {
  (void)state;
  struct buf raw = {0}, log = {0};
  put_base(&raw);
  BYTES_NUMBERS(&raw, 15, 0, 7, 1u << 31 | 1u << 20 | 1u << 19 | 1, 10, 12, 999, 999);
  BYTES_NUMBERS(&raw, 15, 2, 7, 1, 1);
  assert_null(read_one(&raw, &log));
  assert_string_equal(buf_text(&log), BASE_LOG "memory 1000 7 rss=5 host_available=6\n"
                                               "memory 1001 7 rss=4\n");
  buf_fini(&raw);
  buf_fini(&log);
}

static void bad_strings_are_refused(void **state) {
  (void)state;
  static const char zeros[65536] = "";
  char *many = malloc(65536);
  memset(many, 'x', 65536);
  const struct {
    const char *bytes;
    size_t count;
  } rows[] = {{"", 0}, {"a\0b", 3}, {zeros, 1}, {many, 65536}};
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct buf raw = {0};
    put_base(&raw);
    bytes_record(&raw, 1, rows[i].bytes, rows[i].count);
    assert_refused(&raw, "malformed");
  }
  free(many);
}

static void a_record_must_fit_its_chunk(void **state) {
  (void)state;
  static const char *const tails[] = {
      "\x08",                                             /* no length */
      "\x08\x80",                                         /* half a length */
      "\x08\x04\x02\x01\x01",                             /* one byte short */
      "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",     /* 2^64 - 1 */
      "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", /* a varint of 11 bytes */
      "\x63\x05...",                                      /* also of an unknown type */
  };
  for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
    struct buf raw = {0};
    put_base(&raw);
    buf_put_text(&raw, tails[i]);
    assert_refused(&raw, "malformed");
  }
}

static void later_writers_may_add_records_and_fields(void **state) {
  (void)state;
  struct buf raw = {0}, log = {0};
  put_base(&raw);
  BYTES_NUMBERS(&raw, 200, 1, 2, 3);
  bytes_record(&raw, 0, "", 0);
  BYTES_NUMBERS(&raw, 8, 0, 1, 1, 99, 98, 97);
  BYTES_NUMBERS(&raw, 14, 0, 0, 0, 0, 0, 0, 0, 99, 98);
  BYTES_NUMBERS(&raw, 20, 2, 0, 1, 0, 0, 0, 0, 99, 98);
  BYTES_NUMBERS(&raw, 21, 0, 0, 0, 99, 98);
  BYTES_NUMBERS(&raw, 24, 0, 7, 1, 8, 0, 99);
  assert_null(read_one(&raw, &log));
  assert_string_equal(buf_text(&log),
                      BASE_LOG "sample 1000 1 1\nheap 1000 1 10 100 6 60 50\n"
                               "operation_sum 1001 1 11 4 100 80 50\noperation_detail 1\n"
                               "happening 1001 7 1 8 \n");
  buf_fini(&raw);
  buf_fini(&log);
}

/* A reader of before skips the records of operations, and must read the others as they are. */
static void older_readers_may_skip_operations(void **state) {
  (void)state;
  struct buf raw = {0}, log = {0};
  bytes_string(&raw, "s");
  BYTES_NUMBERS(&raw, 6, 1, 7, 7, 0, 0, 1);
  BYTES_NUMBERS(&raw, 19, 3, 7, 1, 0, 1);
  BYTES_NUMBERS(&raw, 8, 2000, 1, 0);
  BYTES_NUMBERS(&raw, 20, 200000, 2, 1, 0, 0, 0, 0);
  BYTES_NUMBERS(&raw, 8, 2, 1, 0); /* 1 ns after the sample before */
  assert_null(read_one(&raw, &log));
  assert_string_equal(buf_text(&log),
                      "string 1 1 s\nthread 1 7 7 0 0 s\noperation 1 3 7 1 0 s\nsample 1000 1 0\n"
                      "operation_sum 100000 1 1 0 0 0 0\nsample 1001 1 0\n");
  buf_fini(&raw);
  buf_fini(&log);
}

static void repeated_strings_get_ids_of_their_own(void **state) {
  (void)state;
  struct buf raw = {0}, log = {0};
  bytes_string(&raw, "s");
  bytes_string(&raw, "s");
  bytes_string(&raw, "t");
  BYTES_NUMBERS(&raw, 12, 2, 3);
  assert_null(read_one(&raw, &log));
  assert_string_equal(buf_text(&log), "string 1 1 s\nstring 2 1 s\nstring 3 1 t\nmeta s t\n");
  buf_fini(&raw);
  buf_fini(&log);
}

struct lie {
  uint32_t kind, stored_bytes, raw_bytes;
  const char *says;
};

/* Chunk headers that lie, over a payload of 1,000 bytes. */
static void chunk_headers_that_lie_are_refused(void **state) {
  (void)state;
  static const uint8_t payload[1000];
  static const struct lie lies[] = {
      {0, 1000, 1000, "header"},              /* kinds start at 1 */
      {4, 1000, 1000, "header"},              /* unknown */
      {3, 1000, 999, "header"},               /* stored, but not as much */
      {2, 1000, 1000, "header"},              /* an end with content */
      {2, 0, 1, "header"},                    /* likewise */
      {1, 1000, 1000 * 256 + 4097, "header"}, /* unpacks too much */
      {1, 1000, 1000, "decompress"},          /* is no zstd frame */
  };
  for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
    struct buf file = {0}, log = {0};
    struct trace_status status;
    bytes_header(&file);
    bytes_chunk_lying(&file, lies[i].kind, 0, payload, lies[i].stored_bytes, lies[i].raw_bytes);
    assert_int_equal(trace_read_memory(file.data, file.length, &log_visitor, &log, &status), 0);
    assert_non_null(strstr(status.damage, lies[i].says));
    assert_int_equal(log.length, 0);
    assert_int_equal(status.read_bytes, 16);
    buf_fini(&file);
  }
}

static void sizes_beyond_the_file_allocate_nothing(void **state) {
  (void)state;
  static const uint32_t sizes[] = {1024 * 1024, 1024 * 1024 + 1, INT32_MAX, UINT32_MAX};
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
    struct buf file = {0};
    struct trace_status status;
    bytes_header(&file);
    buf_put_text(&file, "RPCK");
    buf_put_u32(&file, 3);
    buf_put_u32(&file, sizes[i]);
    buf_put_u32(&file, sizes[i]);
    buf_put_u64(&file, 0);
    assert_int_equal(trace_read_memory(file.data, file.length, &log_visitor, NULL, &status), 0);
    assert_non_null(status.damage);
    buf_fini(&file);
  }
}

/* A zstd frame that unpacks to more than the header says. */
static void a_decompression_bomb_is_refused(void **state) {
  (void)state;
  size_t bytes = 64 * 1024 * 1024;
  uint8_t *zeros = calloc(1, bytes);
  uint8_t *packed = malloc(ZSTD_compressBound(bytes));
  size_t stored = ZSTD_compress(packed, ZSTD_compressBound(bytes), zeros, bytes, 1);
  assert_false(ZSTD_isError(stored));
  struct buf file = {0};
  struct trace_status status;
  bytes_header(&file);
  bytes_chunk_lying(&file, 1, 0, packed, (uint32_t)stored, (uint32_t)stored * 256);
  assert_int_equal(trace_read_memory(file.data, file.length, &log_visitor, NULL, &status), 0);
  assert_string_equal(status.damage, "a chunk does not decompress");
  buf_fini(&file);
  free(zeros);
  free(packed);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_base_is_good),
      cmocka_unit_test(ids_that_were_not_announced_are_refused),
      cmocka_unit_test(values_out_of_range_are_refused),
      cmocka_unit_test(counts_that_cannot_be_are_refused),
      cmocka_unit_test(operations_of_unknown_ids_are_refused),
      cmocka_unit_test(sums_that_cannot_be_are_refused),
      cmocka_unit_test(details_that_cannot_be_are_refused),
      cmocka_unit_test(events_of_operations_that_cannot_be_are_refused),
      cmocka_unit_test(the_largest_numbers_are_good),
      cmocka_unit_test(memory_and_calls_that_cannot_be_are_refused),
      cmocka_unit_test(later_metrics_are_ignored),
      cmocka_unit_test(bad_strings_are_refused),
      cmocka_unit_test(a_record_must_fit_its_chunk),
      cmocka_unit_test(later_writers_may_add_records_and_fields),
      cmocka_unit_test(older_readers_may_skip_operations),
      cmocka_unit_test(repeated_strings_get_ids_of_their_own),
      cmocka_unit_test(chunk_headers_that_lie_are_refused),
      cmocka_unit_test(sizes_beyond_the_file_allocate_nothing),
      cmocka_unit_test(a_decompression_bomb_is_refused),
  };
  return cmocka_run_group_tests_name("trace_hostile", tests, NULL, NULL);
}
