/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interning, what the writer refuses to write, and what happens on disk: modes, old files, a full
 * disk. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/resource.h>

#include "base/error.h"
#include "trace_log.h"

static int set_up(void **state) {
  *state = trace_path_new();
  return 0;
}

static int tear_down(void **state) {
  trace_path_remove(*state);
  return 0;
}

static struct trace_writer *open_new(const char *path) {
  struct trace_writer *writer;
  assert_int_equal(trace_writer_open(&writer, path, false), 0);
  return writer;
}

/* Closes and reads back as text. */
static char *close_and_read(struct trace_writer *writer, const char *path) {
  struct buf log = {0};
  struct trace_status status;
  assert_int_equal(trace_writer_close(writer), 0);
  assert_int_equal(trace_read(path, &log_visitor, &log, &status), 0);
  assert_true(status.complete);
  assert_null(status.damage);
  char *text = strdup(buf_text(&log));
  buf_fini(&log);
  return text;
}

static void equal_content_has_one_id(void **state) {
  struct trace_writer *writer = open_new(*state);
  assert_int_equal(trace_put_string(writer, "", 0), 0);
  assert_int_equal(trace_put_string(writer, "ab", 2), 1);
  assert_int_equal(trace_put_string(writer, "abc", 2), 1);
  assert_int_equal(trace_put_string(writer, "abc", 3), 2);
  struct trace_module with_id = {"ab", (const uint8_t *)"\1\2", 2};
  struct trace_module other_id = {"ab", (const uint8_t *)"\1\3", 2};
  struct trace_module no_id = {"ab", NULL, 2};
  assert_int_equal(trace_put_module(writer, &with_id), 1);
  assert_int_equal(trace_put_module(writer, &other_id), 2);
  assert_int_equal(trace_put_module(writer, &no_id), 3);
  assert_int_equal(trace_put_module(writer, &with_id), 1);
  struct trace_frame frame = {.kind = FRAME_NATIVE, .module = 1, .address = 16};
  struct trace_frame line = {.kind = FRAME_NATIVE, .module = 1, .address = 16, .line = 1};
  assert_int_equal(trace_put_frame(writer, &frame), 1);
  assert_int_equal(trace_put_frame(writer, &line), 2);
  assert_int_equal(trace_put_frame(writer, &frame), 1);
  assert_int_equal(trace_put_node(writer, (struct trace_node){0, 1}), 1);
  assert_int_equal(trace_put_node(writer, (struct trace_node){1, 1}), 2);
  assert_int_equal(trace_put_node(writer, (struct trace_node){0, 1}), 1);
  char *log = close_and_read(writer, *state);
  assert_string_equal(log, "string 1 2 ab\nstring 2 3 abc\nmodule 1 ab 0102\nmodule 2 ab 0103\n"
                           "module 3 ab \nframe 1 1 0 1 10 0 0 0 0\nframe 2 1 0 1 10 0 0 1 0\n"
                           "node 1 0 1\nnode 2 1 1\n");
  free(log);
}

static void strings_end_at_a_nul_and_at_their_limit(void **state) {
  struct trace_writer *writer = open_new(*state);
  char *many = malloc(100000);
  memset(many, 'y', 100000);
  assert_int_equal(trace_put_string(writer, "ab\0cd", 5), 1);
  assert_int_equal(trace_put_string(writer, "ab", 2), 1);
  assert_int_equal(trace_put_string(writer, "\0cd", 3), 0);
  assert_int_equal(trace_put_string(writer, many, 100000), 2);
  assert_int_equal(trace_put_string(writer, many, 65535), 2);
  assert_int_equal(trace_put_string(writer, many, 65534), 3);
  free(many);
  char *log = close_and_read(writer, *state);
  assert_int_equal(strlen(log),
                   strlen("string 1 2 ab\nstring 2 65535 \nstring 3 65534 \n") + 65535 + 65534);
  free(log);
}

/* A bug in a capture must not make the rest of the file unreadable. */
static void what_a_reader_would_refuse_is_dropped_and_counted(void **state) {
  struct trace_writer *writer = open_new(*state);
  struct trace_thread thread = {.thread = 1, .name = ""};
  struct trace_thread gap = {.thread = 3, .name = ""};
  trace_put_thread(writer, &thread);
  trace_put_thread(writer, &gap);                                                      /* 1 */
  trace_put_sample(writer, &(struct trace_sample){.thread = 0});                       /* 2 */
  trace_put_sample(writer, &(struct trace_sample){.thread = 2});                       /* 3 */
  trace_put_sample(writer, &(struct trace_sample){.thread = 1, .node = 1});            /* 4 */
  trace_put_sample(writer, &(struct trace_sample){.thread = 1, .time_ns = -1});        /* 5 */
  trace_put_wait(writer, &(struct trace_wait){.thread = 1});                           /* 6 */
  trace_put_wait(writer, &(struct trace_wait){.thread = 1, .count = 1, .reason = 99}); /* 7 */
  trace_put_account(writer, &(struct trace_account){.thread = 2});                     /* 8 */
  trace_put_symbol(writer, &(struct trace_symbol){.frame = 1});                        /* 9 */
  assert_int_equal(trace_put_frame(writer, &(struct trace_frame){.kind = 9}), 0);      /* 10 */
  assert_int_equal(trace_put_node(writer, (struct trace_node){0, 1}), 0);              /* 11 */
  trace_put_wait(writer, &(struct trace_wait){.thread = 1, .count = 1, .waker = 9});
  char *log = close_and_read(writer, *state);
  assert_string_equal(log, "thread 1 0 0 0 0 \nwait 0 0 0 0 0 1 1 0 0 0 0\n"
                           "string 1 12 lost.invalid\ncounter lost.invalid 11\n");
  free(log);
}

/* What a hostile target may have written to its region. */
static void counts_that_fall_are_dropped_and_counted(void **state) {
  struct trace_writer *writer = open_new(*state);
  struct trace_heap_site site = {.pid = 7, .kind = HEAP_PYTHON};
  assert_int_equal(trace_put_heap_site(writer, &site), 1);
  const struct trace_heap good = {1000, 1, 10, 100, 6, 60, 50};
  trace_put_heap(writer, &good);
  struct trace_heap bad[] = {good, good, good, good, good, good, good, good, good};
  bad[0].site = 2;
  bad[1].site = 0;
  bad[2].time_ns = 999;
  bad[3].allocations = 9;
  bad[4].allocated_bytes = 99;
  bad[5].frees = 5;
  bad[6].freed_bytes = 59;
  bad[7].peak_bytes = 49;
  bad[8].allocations = (1ull << 53) + 1;
  for (size_t i = 0; i < 9; i++)
    trace_put_heap(writer, &bad[i]);
  site.kind = HEAP_KINDS;
  assert_int_equal(trace_put_heap_site(writer, &site), 0); /* 10 */
  site = (struct trace_heap_site){.pid = 7, .node = 1};
  assert_int_equal(trace_put_heap_site(writer, &site), 0);                               /* 11 */
  trace_put_memory(writer, &(struct trace_memory){.present = 1u << MEMORY_METRICS});     /* 12 */
  trace_put_call(writer, &(struct trace_call){.name = ""});                              /* 13 */
  trace_put_call(writer, &(struct trace_call){.name = "s", .max_ns = UINT64_MAX});       /* 14 */
  trace_put_call(writer, &(struct trace_call){.name = "s", .buckets = {UINT64_MAX, 1}}); /* 15 */
  trace_put_slow_call(writer, &(struct trace_slow_call){.name = "s"});                   /* 16 */
  char *log = close_and_read(writer, *state);
  assert_string_equal(log, "heap_site 1 7 0 1\nheap 1000 1 10 100 6 60 50\nstring 1 1 s\n"
                           "string 2 12 lost.invalid\ncounter lost.invalid 16\n");
  free(log);
}

static void operations_that_cannot_be_are_dropped_and_counted(void **state) {
  struct trace_writer *writer = open_new(*state);
  struct trace_thread thread = {.thread = 1, .name = ""};
  trace_put_thread(writer, &thread);
  const struct trace_object object = {OBJECT_FILE, "o"};
  const struct trace_operation good = {OPERATION_FILE, 7, 1, 1, "o"};
  struct trace_operation bad[] = {good, good, good, good, good};
  assert_int_equal(trace_put_object(writer, &object), 1);
  assert_int_equal(trace_put_object(writer, &(struct trace_object){0, "o"}), 0);            /* 1 */
  assert_int_equal(trace_put_object(writer, &(struct trace_object){OBJECT_KINDS, "o"}), 0); /* 2 */
  assert_int_equal(trace_put_operation(writer, &good), 1);
  bad[0].class = OPERATION_CLASSES;
  bad[1].class = 0;
  bad[2].thread = 2;
  bad[3].object = 2;
  bad[4].name = "";
  for (size_t i = 0; i < 5; i++)
    assert_int_equal(trace_put_operation(writer, &bad[i]), 0); /* 3 to 7 */
  struct trace_operation_detail twice = {
      .operation = 1, .result_count = 2, .results = {{11, 1}, {11, 2}}};
  struct trace_operation_detail many = {.operation = 1, .result_count = TRACE_RESULTS_MAX + 1};
  struct trace_operation_detail full = {.operation = 1, .buckets = {UINT64_MAX, 1}};
  struct trace_operation_detail results = {
      .operation = 1, .result_count = 2, .results = {{11, UINT64_MAX}, {12, 1}}};
  struct trace_operation_detail unknown = {.operation = 2};
  trace_put_operation_detail(writer, &twice);   /* 8 */
  trace_put_operation_detail(writer, &many);    /* 9 */
  trace_put_operation_detail(writer, &full);    /* 10 */
  trace_put_operation_detail(writer, &results); /* 11 */
  trace_put_operation_detail(writer, &unknown); /* 12 */
  trace_put_operation_stack(writer, &(struct trace_operation_stack){.operation = 1, .node = 1});
  trace_put_operation_stack(writer, &(struct trace_operation_stack){.operation = 0}); /* 13, 14 */
  const struct trace_slow_operation slow = {.operation = 1, .thread = 1, .object = 1};
  struct trace_slow_operation bad_slow[] = {slow, slow, slow, slow, slow};
  bad_slow[0].operation = 0;
  bad_slow[1].thread = 0;
  bad_slow[2].node = 1;
  bad_slow[3].object = 2;
  bad_slow[4].duration_ns = UINT64_MAX;
  for (size_t i = 0; i < 5; i++)
    trace_put_slow_operation(writer, &bad_slow[i]); /* 15 to 19 */
  trace_put_happening(writer, &(struct trace_happening){.what = HAPPENINGS, .text = ""}); /* 20 */
  trace_put_happening(writer, &(struct trace_happening){.what = 0, .text = ""});          /* 21 */
  trace_put_point(writer, &(struct trace_point){.metric = POINT_METRICS});                /* 22 */
  trace_put_point(writer, &(struct trace_point){.time_ns = UINT64_MAX});                  /* 23 */
  trace_put_slow_operation(writer, &slow);
  char *log = close_and_read(writer, *state);
  assert_string_equal(log, "thread 1 0 0 0 0 \nstring 1 1 o\nobject 1 1 o\noperation 1 2 7 1 1 o\n"
                           "slow_operation 0 0 0 1 1 0 1\n"
                           "string 2 12 lost.invalid\ncounter lost.invalid 23\n");
  free(log);
}

static void sums_that_fall_are_dropped_and_counted(void **state) {
  struct trace_writer *writer = open_new(*state);
  assert_int_equal(trace_put_operation(writer, &(struct trace_operation){.class = 1, .name = "o"}),
                   1);
  const struct trace_operation_sum good = {1000, 1, 10, 4, 100, 80, 50};
  trace_put_operation_sum(writer, &good);
  struct trace_operation_sum bad[] = {good, good, good, good, good, good, good, good, good};
  bad[0].operation = 2;
  bad[1].operation = 0;
  bad[2].time_ns = 999;
  bad[3].count = 9;
  bad[4].errors = 3;
  bad[5].bytes = 99;
  bad[6].total_ns = 79;
  bad[7].max_ns = 49;
  bad[8].max_ns = (1ull << 53) + 1;
  for (size_t i = 0; i < 9; i++)
    trace_put_operation_sum(writer, &bad[i]);
  trace_put_operation_sum(writer, &good); /* nothing new is no mistake */
  char *log = close_and_read(writer, *state);
  assert_string_equal(log,
                      "string 1 1 o\noperation 1 1 0 0 0 o\noperation_sum 1000 1 10 4 100 80 50\n"
                      "operation_sum 1000 1 10 4 100 80 50\n"
                      "string 2 12 lost.invalid\ncounter lost.invalid 9\n");
  free(log);
}

/* What no error came up for is left out. */
static void results_of_nothing_are_not_written(void **state) {
  struct trace_writer *writer = open_new(*state);
  assert_int_equal(trace_put_operation(writer, &(struct trace_operation){.class = 1, .name = "o"}),
                   1);
  struct trace_operation_detail detail = {
      .operation = 1, .result_count = 3, .results = {{11, 0}, {12, 7}, {0, 0}}};
  trace_put_operation_detail(writer, &detail);
  char *log = close_and_read(writer, *state);
  assert_string_equal(log, "string 1 1 o\noperation 1 1 0 0 0 o\noperation_detail 1 12=7\n");
  free(log);
}

static void equal_operations_have_one_id(void **state) {
  struct trace_writer *writer = open_new(*state);
  struct trace_thread thread = {.thread = 1, .name = ""};
  trace_put_thread(writer, &thread);
  const struct trace_object objects[] = {
      {OBJECT_FILE, "o"}, {OBJECT_PIPE, "o"}, {OBJECT_FILE, "p"}};
  for (uint32_t i = 0; i < 6; i++)
    assert_int_equal(trace_put_object(writer, &objects[i % 3]), i % 3 + 1);
  const struct trace_operation operations[] = {
      {OPERATION_FILE, 7, 1, 1, "o"}, {OPERATION_SOCKET, 7, 1, 1, "o"},
      {OPERATION_FILE, 8, 1, 1, "o"}, {OPERATION_FILE, 7, 0, 1, "o"},
      {OPERATION_FILE, 7, 1, 2, "o"}, {OPERATION_FILE, 7, 1, 1, "p"}};
  for (uint32_t i = 0; i < 12; i++)
    assert_int_equal(trace_put_operation(writer, &operations[i % 6]), i % 6 + 1);
  free(close_and_read(writer, *state));
}

/* A free may be seen before its allocation, since the counters are read while they move. */
static void a_free_seen_too_early_waits_for_its_allocation(void **state) {
  struct trace_writer *writer = open_new(*state);
  struct trace_heap_site site = {.pid = 7};
  assert_int_equal(trace_put_heap_site(writer, &site), 1);
  trace_put_heap(writer, &(struct trace_heap){1, 1, 10, 100, 11, 110, 50});
  trace_put_heap(writer, &(struct trace_heap){2, 1, 11, 120, 11, 110, 50});
  char *log = close_and_read(writer, *state);
  assert_string_equal(log, "heap_site 1 7 0 0\nheap 1 1 10 100 10 100 50\n"
                           "heap 2 1 11 120 11 110 50\n");
  free(log);
}

/* An hour of a server whose 500 sites free what they take costs little: type, length, time, site,
 * and two counts of two or three bytes, before compression. */
static void steady_sites_are_small(void **state) {
  struct trace_writer *writer = open_new(*state);
  for (uint32_t i = 0; i < 500; i++)
    assert_int_equal(trace_put_heap_site(writer, &(struct trace_heap_site){.pid = i}), i + 1);
  assert_int_equal(trace_writer_flush(writer), 0);
  uint64_t before = trace_writer_bytes(writer);
  for (uint64_t second = 1; second <= 360; second++)
    for (uint32_t i = 0; i < 500; i++)
      trace_put_heap(writer, &(struct trace_heap){second * 1000000000, i + 1, second * (300 + i),
                                                  second * (3000 + i), second * (300 + i),
                                                  second * (3000 + i), 64});
  assert_int_equal(trace_writer_flush(writer), 0);
  assert_true(trace_writer_bytes(writer) - before < 360 * 500 * 12);
  free(close_and_read(writer, *state));
}

/* 500 system calls of a busy server: type, length, time, operation, and five counts of one to five
 * bytes, before compression. */
static void steady_operations_are_small(void **state) {
  struct trace_writer *writer = open_new(*state);
  for (uint32_t i = 0; i < 500; i++)
    assert_int_equal(
        trace_put_operation(
            writer, &(struct trace_operation){.class = OPERATION_SYSCALL, .pid = i, .name = "o"}),
        i + 1);
  assert_int_equal(trace_writer_flush(writer), 0);
  uint64_t before = trace_writer_bytes(writer);
  for (uint64_t second = 1; second <= 360; second++)
    for (uint32_t i = 0; i < 500; i++)
      trace_put_operation_sum(
          writer, &(struct trace_operation_sum){second * 1000000000, i + 1, second * (300 + i), 0,
                                                second * (3000 + i), second * (1000000 + i), 1000});
  assert_int_equal(trace_writer_flush(writer), 0);
  assert_true(trace_writer_bytes(writer) - before < 360 * 500 * 16);
  free(close_and_read(writer, *state));
}

static void chunks_are_written_as_data_gathers(void **state) {
  struct trace_writer *writer = open_new(*state);
  struct trace_thread thread = {.thread = 1, .name = ""};
  trace_put_thread(writer, &thread);
  uint64_t before = trace_writer_bytes(writer);
  /* 6 bytes or more each: type, length, 3-byte time, thread, node */
  for (uint64_t i = 0; i < 100000; i++)
    trace_put_sample(writer, &(struct trace_sample){.time_ns = i * 1234567, .thread = 1});
  assert_true(trace_writer_bytes(writer) > before);
  struct stat disk;
  assert_int_equal(stat(*state, &disk), 0);
  assert_int_equal(disk.st_size, trace_writer_bytes(writer));
  char *log = close_and_read(writer, *state);
  const char *at = log;
  for (uint64_t i = 0; i < 100000; i++) {
    char line[64];
    snprintf(line, sizeof(line), "sample %" PRIu64 " 1 0\n", i * 1234567);
    at = strchr(at, '\n') + 1;
    assert_memory_equal(at, line, strlen(line));
  }
  free(log);
}

/* Compresses better than a reader allows, so it must be stored. */
static void monotonous_content_stays_readable(void **state) {
  struct trace_writer *writer = open_new(*state);
  struct trace_thread thread = {.thread = 1, .name = ""};
  trace_put_thread(writer, &thread);
  for (int i = 0; i < 200000; i++)
    trace_put_sample(writer, &(struct trace_sample){.time_ns = 5, .thread = 1});
  char *log = close_and_read(writer, *state);
  assert_int_equal(strlen(log), strlen("thread 1 0 0 0 0 \n") + 200000 * strlen("sample 5 1 0\n"));
  free(log);
}

static void the_file_is_for_its_owner_only(void **state) {
  static const mode_t masks[] = {0, 022, 0777};
  for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
    mode_t old = umask(masks[i]);
    struct trace_writer *writer = open_new(*state);
    umask(old);
    struct stat file;
    assert_int_equal(stat(*state, &file), 0);
    assert_int_equal(file.st_mode & 07777, 0600);
    trace_writer_abandon(writer);
    assert_int_equal(access(*state, F_OK), -1);
  }
}

static void an_old_file_is_replaced_only_on_request(void **state) {
  struct trace_writer *writer;
  write_whole(*state, "precious", 8);
  chmod(*state, 0644);
  assert_int_equal(trace_writer_open(&writer, *state, false), -EEXIST);
  assert_non_null(strstr(error_text(), "exists already"));
  struct buf kept = read_whole(*state);
  assert_string_equal(buf_text(&kept), "precious");
  buf_fini(&kept);
  assert_int_equal(trace_writer_open(&writer, *state, true), 0);
  struct stat file;
  assert_int_equal(stat(*state, &file), 0);
  assert_int_equal(file.st_mode & 07777, 0600);
  free(close_and_read(writer, *state));
}

static void only_regular_files_are_replaced(void **state) {
  const char *path = *state;
  char target[96];
  struct trace_writer *writer;
  snprintf(target, sizeof(target), "%s.target", path);
  write_whole(target, "precious", 8);
  assert_int_equal(symlink(target, path), 0);
  for (int overwrite = 0; overwrite < 2; overwrite++)
    assert_int_equal(trace_writer_open(&writer, path, overwrite), -EEXIST);
  struct buf kept = read_whole(target);
  assert_string_equal(buf_text(&kept), "precious");
  buf_fini(&kept);
  unlink(path);
  unlink(target);
  assert_int_equal(symlink("/nonexistent/file", path), 0); /* dangling */
  assert_int_equal(trace_writer_open(&writer, path, true), -EEXIST);
  unlink(path);
  assert_int_equal(mkfifo(path, 0600), 0);
  assert_int_equal(trace_writer_open(&writer, path, true), -EEXIST);
  assert_non_null(strstr(error_text(), "not a regular file"));
  assert_int_equal(trace_writer_open(&writer, "/tmp", true), -EEXIST);
  assert_int_equal(trace_writer_open(&writer, "/nonexistent/file", true), -ENOENT);
}

/* A full disk, by the file size limit, which needs no privileges: write() gives EFBIG, after a
 * partial write first. */
static void a_full_disk_keeps_what_was_flushed(void **state) {
  signal(SIGXFSZ, SIG_IGN);
  struct trace_writer *writer = open_new(*state);
  struct trace_thread thread = {.thread = 1, .name = "before"};
  trace_put_thread(writer, &thread);
  assert_int_equal(trace_writer_flush(writer), 0);
  uint64_t whole_bytes = trace_writer_bytes(writer);
  struct rlimit old, limit;
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
  limit = old;
  limit.rlim_cur = whole_bytes + 10;
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
  trace_put_meta(writer, "after", "the disk is full");
  int error = trace_writer_flush(writer);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
  assert_int_equal(error, -EFBIG);
  assert_non_null(strstr(error_text(), *state));
  struct stat file;
  assert_int_equal(stat(*state, &file), 0);
  assert_int_equal(file.st_size, whole_bytes);
  /* There is room again, but a hole would follow: nothing more is written. */
  assert_int_equal(trace_put_string(writer, "more", 4), 0);
  trace_put_sample(writer, &(struct trace_sample){.thread = 1});
  assert_int_equal(trace_writer_flush(writer), -EFBIG);
  assert_int_equal(trace_writer_close(writer), -EFBIG);
  assert_non_null(strstr(error_text(), "File too large"));
  struct buf log = {0};
  struct trace_status status;
  assert_int_equal(trace_read(*state, &log_visitor, &log, &status), 0);
  assert_string_equal(buf_text(&log), "string 1 6 before\nthread 1 0 0 0 0 before\n");
  assert_false(status.complete);
  assert_int_equal(status.read_bytes, status.file_bytes);
  assert_non_null(strstr(status.damage, "no end mark"));
  buf_fini(&log);
}

static void a_disk_that_is_full_at_once_leaves_no_file(void **state) {
  signal(SIGXFSZ, SIG_IGN);
  struct rlimit old, limit;
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
  limit = old;
  limit.rlim_cur = 8;
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
  struct trace_writer *writer;
  int error = trace_writer_open(&writer, *state, false);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
  assert_int_equal(error, -EFBIG);
  assert_int_equal(access(*state, F_OK), -1);
}

static void nothing_is_closed_without_a_writer(void **state) {
  (void)state;
  assert_int_equal(trace_writer_close(NULL), 0);
  trace_writer_abandon(NULL);
}

static void persisted_values_have_names(void **state) {
  (void)state;
  assert_string_equal(heap_kind_name(HEAP_MALLOC), "malloc");
  assert_string_equal(heap_kind_name(HEAP_BREAK), "brk");
  assert_string_equal(heap_kind_name(HEAP_KINDS), "unknown");
  assert_string_equal(memory_metric_name(MEMORY_RSS), "rss");
  assert_string_equal(memory_metric_name(MEMORY_CGROUP_LIMIT), "cgroup_limit");
  assert_string_equal(memory_metric_name(MEMORY_METRICS), "unknown");
  for (int i = 0; i < MEMORY_METRICS; i++)
    assert_string_not_equal(memory_metric_name(i), "unknown");
  assert_string_equal(object_kind_name(OBJECT_FILE), "file");
  assert_string_equal(object_kind_name(OBJECT_LOCK), "lock");
  assert_string_equal(operation_class_name(OPERATION_SYSCALL), "syscall");
  assert_string_equal(operation_class_name(OPERATION_PROBE), "probe");
  assert_string_equal(process_happening_name(HAPPENING_OOM_KILL), "OOM kill");
  assert_string_equal(point_metric_name(POINT_THREADS), "threads");
  assert_string_equal(point_metric_name(POINT_RESIDENT_SHARED), "resident_shared");
  const char *const holes[] = {
      object_kind_name(0),          object_kind_name(OBJECT_KINDS),
      operation_class_name(0),      operation_class_name(OPERATION_CLASSES),
      process_happening_name(0),    process_happening_name(HAPPENINGS),
      point_metric_name(20),        point_metric_name(POINT_METRICS),
      point_metric_name(UINT32_MAX)};
  for (size_t i = 0; i < sizeof(holes) / sizeof(holes[0]); i++)
    assert_string_equal(holes[i], "unknown");
  for (int i = 1; i < OBJECT_KINDS; i++)
    assert_string_not_equal(object_kind_name(i), "unknown");
  for (int i = 1; i < OPERATION_CLASSES; i++)
    assert_string_not_equal(operation_class_name(i), "unknown");
  for (int i = 1; i < HAPPENINGS; i++)
    assert_string_not_equal(process_happening_name(i), "unknown");
  for (int i = 0; i <= POINT_MEMORY_LIMIT; i++)
    assert_string_not_equal(point_metric_name(i), "unknown");
  for (int i = POINT_SMAPS_FIRST; i <= POINT_RESIDENT_SHARED; i++)
    assert_string_not_equal(point_metric_name(i), "unknown");
  assert_string_equal(wait_reason_name(WAIT_UNKNOWN), "unknown");
  assert_string_equal(wait_reason_name(WAIT_GIL), "GIL");
  assert_string_equal(wait_reason_name(WAIT_STOPPED), "stopped");
  assert_string_equal(wait_reason_name(WAIT_REASONS), "unknown");
  assert_string_equal(wait_reason_name((enum wait_reason) - 1), "unknown");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(equal_content_has_one_id),
      TEST(strings_end_at_a_nul_and_at_their_limit),
      TEST(what_a_reader_would_refuse_is_dropped_and_counted),
      TEST(counts_that_fall_are_dropped_and_counted),
      TEST(operations_that_cannot_be_are_dropped_and_counted),
      TEST(sums_that_fall_are_dropped_and_counted),
      TEST(results_of_nothing_are_not_written),
      TEST(equal_operations_have_one_id),
      TEST(a_free_seen_too_early_waits_for_its_allocation),
      TEST(steady_sites_are_small),
      TEST(steady_operations_are_small),
      TEST(chunks_are_written_as_data_gathers),
      TEST(monotonous_content_stays_readable),
      TEST(the_file_is_for_its_owner_only),
      TEST(an_old_file_is_replaced_only_on_request),
      TEST(only_regular_files_are_replaced),
      TEST(a_full_disk_keeps_what_was_flushed),
      TEST(a_disk_that_is_full_at_once_leaves_no_file),
      TEST(nothing_is_closed_without_a_writer),
      TEST(persisted_values_have_names),
  };
  return cmocka_run_group_tests_name("trace_writer", tests, NULL, NULL);
}
