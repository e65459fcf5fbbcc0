/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is written is read back; damaged, cut and foreign files give what is whole, and a reason. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "trace_content.h"

struct content {
  char *path;
  struct buf file;
  struct buf log;
  uint64_t file_bytes[CONTENT_PARTS + 1];
  size_t log_bytes[CONTENT_PARTS + 1];
};

static int set_up(void **state) {
  struct content *content = calloc(1, sizeof(*content));
  content->path = trace_path_new();
  content_write(content->path, &content->log, content->file_bytes, content->log_bytes);
  content->file = read_whole(content->path);
  *state = content;
  return 0;
}

static int tear_down(void **state) {
  struct content *content = *state;
  trace_path_remove(content->path);
  buf_fini(&content->file);
  buf_fini(&content->log);
  free(content);
  return 0;
}

/* The number of whole chunks of records in the first `bytes` of the file; -1: not even the header.
 */
static int whole_chunks(const struct content *content, uint64_t bytes) {
  int chunks = -1;
  while (chunks < CONTENT_PARTS && content->file_bytes[chunks + 1] <= bytes)
    chunks++;
  return chunks;
}

static void assert_reads_as(const struct buf *log, const struct buf *expected, size_t bytes) {
  assert_int_equal(log->length, bytes);
  if (bytes)
    assert_memory_equal(log->data, expected->data, bytes);
}

static void what_was_put_is_read_back(void **state) {
  const struct content *content = *state;
  struct buf log = {0};
  struct trace_status status;
  assert_int_equal(trace_read(content->path, &log_visitor, &log, &status), 0);
  assert_reads_as(&log, &content->log, content->log.length);
  assert_true(status.complete);
  assert_null(status.damage);
  assert_int_equal(status.file_bytes, content->file.length);
  assert_int_equal(status.read_bytes, content->file.length);
  assert_int_equal(status.chunk_count, CONTENT_PARTS + 1);
  buf_fini(&log);
}

static void callbacks_may_be_absent_and_status_too(void **state) {
  const struct content *content = *state;
  struct trace_visitor none = {0};
  struct trace_status status;
  assert_int_equal(trace_read(content->path, &none, NULL, &status), 0);
  assert_true(status.complete);
  assert_int_equal(trace_read(content->path, &none, NULL, NULL), 0);
}

static int refuse(void *context, const struct trace_sample *sample) {
  (void)sample;
  ++*(int *)context;
  return -ECANCELED;
}

static void a_callback_ends_the_reading(void **state) {
  const struct content *content = *state;
  struct trace_visitor visitor = {.sample = refuse};
  int calls = 0;
  assert_int_equal(trace_read(content->path, &visitor, &calls, NULL), -ECANCELED);
  assert_int_equal(calls, 1);
}

static void a_file_cut_anywhere_reads_up_to_its_last_whole_chunk(void **state) {
  const struct content *content = *state;
  for (size_t bytes = 0; bytes < content->file.length; bytes++) {
    struct buf log = {0};
    struct trace_status status;
    /* exactly the bytes, so that a sanitizer sees a read past the end */
    uint8_t *cut = malloc(bytes ? bytes : 1);
    memcpy(cut, content->file.data, bytes);
    int error = trace_read_memory(cut, bytes, &log_visitor, &log, &status);
    int chunks = whole_chunks(content, bytes);
    if (chunks < 0) {
      assert_int_equal(error, -EINVAL);
      assert_int_equal(log.length, 0);
    } else {
      assert_int_equal(error, 0);
      assert_reads_as(&log, &content->log, content->log_bytes[chunks]);
      assert_int_equal(status.chunk_count, chunks);
      assert_int_equal(status.read_bytes, content->file_bytes[chunks]);
      assert_non_null(status.damage);
    }
    assert_false(status.complete);
    assert_int_equal(status.file_bytes, bytes);
    free(cut);
    buf_fini(&log);
  }
}

static void a_flipped_byte_anywhere_is_found(void **state) {
  const struct content *content = *state;
  static const uint8_t flips[] = {0x01, 0x80, 0xff};
  for (size_t at = 0; at < content->file.length * sizeof(flips); at++) {
    size_t byte = at / sizeof(flips);
    struct buf log = {0};
    struct trace_status status;
    content->file.data[byte] ^= flips[at % sizeof(flips)];
    int error =
        trace_read_memory(content->file.data, content->file.length, &log_visitor, &log, &status);
    content->file.data[byte] ^= flips[at % sizeof(flips)];
    int chunks = whole_chunks(content, byte);
    if (chunks < 0) {
      assert_int_equal(error, -EINVAL);
    } else {
      assert_int_equal(error, 0);
      assert_non_null(status.damage);
      assert_reads_as(&log, &content->log, content->log_bytes[chunks]);
    }
    assert_false(status.complete);
    buf_fini(&log);
  }
}

static void a_chunk_that_is_missing_or_doubled_is_found(void **state) {
  const struct content *content = *state;
  const uint64_t *at = content->file_bytes;
  struct buf file = {0}, log = {0};
  struct trace_status status;
  buf_put(&file, content->file.data, at[1]);
  buf_put(&file, content->file.data + at[2], content->file.length - at[2]);
  assert_int_equal(trace_read_memory(file.data, file.length, &log_visitor, &log, &status), 0);
  assert_reads_as(&log, &content->log, content->log_bytes[1]);
  assert_string_equal(status.damage, "a chunk is missing");
  buf_clear(&file);
  buf_clear(&log);
  buf_put(&file, content->file.data, at[2]);
  buf_put(&file, content->file.data + at[1], content->file.length - at[1]);
  assert_int_equal(trace_read_memory(file.data, file.length, &log_visitor, &log, &status), 0);
  assert_reads_as(&log, &content->log, content->log_bytes[2]);
  assert_non_null(status.damage);
  buf_fini(&file);
  buf_fini(&log);
}

static void bytes_after_the_end_mark_are_reported(void **state) {
  const struct content *content = *state;
  struct buf file = {0}, log = {0};
  struct trace_status status;
  buf_put(&file, content->file.data, content->file.length);
  buf_put_text(&file, "x");
  assert_int_equal(trace_read_memory(file.data, file.length, &log_visitor, &log, &status), 0);
  assert_reads_as(&log, &content->log, content->log.length);
  assert_true(status.complete);
  assert_non_null(status.damage);
  buf_fini(&file);
  buf_fini(&log);
}

static void a_file_that_is_no_trace_is_refused_in_one_line(void **state) {
  const struct content *content = *state;
  static const struct {
    const char *bytes;
    size_t count;
    const char *says;
  } rows[] = {
      {"", 0, "empty"},
      {"\x7f"
       "ELF\2\1\1",
       7, "not a ragprof trace"},
      {"hello, this is a text file of some length", 41, "not a ragprof trace"},
      {"PERFILE2 and then binary data follows here", 42, "not a ragprof trace"},
      {"\x89RAGP\r\n\x1a\1\0", 10, "cut off within the header"},
      {"\x89RAGP\n\x1a\1\0\0\0\1\1\1\1\1", 16, "not a ragprof trace"}, /* CRLF was converted */
      {"\x89RAGP\r\n\x1a\1\0\0\0\0\0\0\0", 16, "header is damaged"},
      /* CRC-32 of the 12 bytes, from Python's zlib.crc32 */
      {"\x89RAGP\r\n\x1a\2\0\0\0"
       "\x63\x03\xd1\x78",
       16, "trace version 2"},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct trace_status status;
    write_whole(content->path, rows[i].bytes, rows[i].count);
    assert_int_equal(trace_read(content->path, &log_visitor, NULL, &status), -EINVAL);
    assert_non_null(strstr(error_text(), rows[i].says));
    assert_non_null(strstr(error_text(), content->path));
    assert_null(strchr(error_text(), '\n'));
  }
}

static void what_cannot_be_opened_says_why(void **state) {
  (void)state;
  struct trace_status status;
  assert_int_equal(trace_read("/tmp", &log_visitor, NULL, &status), -EISDIR);
  assert_non_null(strstr(error_text(), "/tmp: is a directory"));
  assert_int_equal(trace_read("/nonexistent/file", &log_visitor, NULL, &status), -ENOENT);
  assert_non_null(strstr(error_text(), "/nonexistent/file: No such file"));
}

static void a_pipe_is_read_like_a_file(void **state) {
  const struct content *content = *state;
  struct buf log = {0};
  struct trace_status status;
  int ends[2];
  char path[32];
  assert_int_equal(pipe(ends), 0);
  assert_int_equal(write(ends[1], content->file.data, content->file.length), content->file.length);
  close(ends[1]);
  snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[0]);
  assert_int_equal(trace_read(path, &log_visitor, &log, &status), 0);
  assert_reads_as(&log, &content->log, content->log.length);
  assert_true(status.complete);
  assert_int_equal(status.file_bytes, content->file.length);
  close(ends[0]);
  buf_fini(&log);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(what_was_put_is_read_back),
      TEST(callbacks_may_be_absent_and_status_too),
      TEST(a_callback_ends_the_reading),
      TEST(a_file_cut_anywhere_reads_up_to_its_last_whole_chunk),
      TEST(a_flipped_byte_anywhere_is_found),
      TEST(a_chunk_that_is_missing_or_doubled_is_found),
      TEST(bytes_after_the_end_mark_are_reported),
      TEST(a_file_that_is_no_trace_is_refused_in_one_line),
      TEST(what_cannot_be_opened_says_why),
      TEST(a_pipe_is_read_like_a_file),
  };
  return cmocka_run_group_tests_name("trace_file", tests, NULL, NULL);
}
