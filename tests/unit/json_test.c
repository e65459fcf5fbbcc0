/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The JSON writer: structure, numbers, and strings of any origin. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/json.h"

struct capture {
  struct json json;
  FILE *out;
  char *text;
  size_t bytes;
};

static struct json *begin(struct capture *capture, int indent) {
  capture->text = NULL;
  capture->out = open_memstream(&capture->text, &capture->bytes);
  assert_non_null(capture->out);
  json_begin(&capture->json, capture->out, indent);
  return &capture->json;
}

static void expect(struct capture *capture, const char *expected) {
  json_end(&capture->json);
  fclose(capture->out);
  assert_string_equal(capture->text, expected);
  free(capture->text);
}

static void one_line_is_compact(void **state) {
  struct capture capture;
  struct json *json = begin(&capture, 0);
  (void)state;
  json_open_object(json);
  json_member_text(json, "a", "x");
  json_key(json, "b");
  json_open_array(json);
  json_u64(json, UINT64_MAX);
  json_null(json);
  json_open_object(json);
  json_close_object(json);
  json_open_array(json);
  json_close_array(json);
  json_close_array(json);
  json_member_bool(json, "c", true);
  json_member_bool(json, "d", false);
  json_close_object(json);
  expect(&capture, "{\"a\":\"x\",\"b\":[18446744073709551615,null,{},[]],\"c\":true,"
                   "\"d\":false}\n");
}

static void indented_lines_nest(void **state) {
  struct capture capture;
  struct json *json = begin(&capture, 2);
  (void)state;
  json_open_object(json);
  json_key(json, "rows");
  json_open_array(json);
  json_u64(json, 1);
  json_u64(json, 2);
  json_close_array(json);
  json_key(json, "none");
  json_open_array(json);
  json_close_array(json);
  json_close_object(json);
  expect(&capture, "{\n  \"rows\": [\n    1,\n    2\n  ],\n  \"none\": []\n}\n");
}

static void numbers_are_json(void **state) {
  struct capture capture;
  struct json *json = begin(&capture, 0);
  (void)state;
  json_open_array(json);
  json_double(json, 12.345, 2);
  json_double(json, -0.5, 0);
  json_double(json, 1e20, 1);
  json_double(json, NAN, 2);
  json_double(json, INFINITY, 2);
  json_double(json, -INFINITY, 2);
  json_close_array(json);
  expect(&capture, "[12.35,-0,100000000000000000000.0,null,null,null]\n");
}

static void strings_are_escaped(void **state) {
  static const struct {
    const char *text;
    const char *expected;
  } rows[] = {
      {"plain → é", "\"plain → é\"\n"},
      {"\"\\", "\"\\\"\\\\\"\n"},
      {"\n\t\r\x01\x1b[31m\x7f", "\"\\n\\t\\u000d\\u0001\\u001b[31m\\u007f\"\n"},
      {"\xc2\x9b"
       "1m",
       "\"\\u009b1m\"\n"},
      {"a\xff"
       "b\xc0\x80"
       "c",
       "\"a\xef\xbf\xbd"
       "b\xef\xbf\xbd\xef\xbf\xbd"
       "c\"\n"},
      {"\xe2\x82", "\"\xef\xbf\xbd\"\n"},
      {"\xe2\x80\xa8\xe2\x80\xae", "\"\\u2028\\u202e\"\n"},
      {"</script><!--<b>", "\"\\u003c/script>\\u003c!--<b>\"\n"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    struct capture capture;
    json_text(begin(&capture, 0), rows[i].text);
    expect(&capture, rows[i].expected);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_line_is_compact),
      cmocka_unit_test(indented_lines_nest),
      cmocka_unit_test(numbers_are_json),
      cmocka_unit_test(strings_are_escaped),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
