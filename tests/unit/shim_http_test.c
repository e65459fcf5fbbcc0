/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where requests begin: each row is a connection's bytes and the requests in it, which must come
 * out the same whether the bytes are read at once, in halves at every place, or one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "iteration_http.h"

#define GET "GET /search HTTP/1.1\r\nHost: x\r\n\r\n"
#define H2 "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define SETTINGS "\0\0\6\4\0\0\0\0\0abcdef"
#define HEADERS(stream) "\0\0\3\1\4\0\0\0" stream "xyz"
#define DATA(stream) "\0\0\5\0\0\0\0\0" stream "GET /"

struct row {
  const char *name;
  const char *data;
  size_t bytes;
  uint32_t all;    /* requests */
  uint32_t search; /* for /search */
  uint32_t prefix; /* for /se* */
};

#define ROW(name, data, all, search, prefix)                                                       \
  { name, data, sizeof(data) - 1, all, search, prefix }

static const struct row rows[] = {
    ROW("one", GET, 1, 1, 1),
    ROW("keep-alive", GET GET GET, 3, 3, 3),
    ROW("no version yet", "GET /search HTTP/1.", 0, 0, 0),
    ROW("line without its end", "GET /search HTTP/1.1\r", 0, 0, 0),
    ROW("line alone", "GET /search HTTP/1.1\r\n", 1, 1, 1),
    ROW("HTTP/1.0, bare newlines", "GET /search HTTP/1.0\nHost: x\n\n" GET, 2, 2, 2),
    ROW("query", "GET /search?q=/x HTTP/1.1\r\n\r\n", 1, 1, 1),
    ROW("fragment", "GET /search#a HTTP/1.1\r\n\r\n", 1, 1, 1),
    ROW("longer path", "GET /searches HTTP/1.1\r\n\r\n", 1, 0, 1),
    ROW("shorter path", "GET /sear HTTP/1.1\r\n\r\n", 1, 0, 1),
    ROW("shorter than the prefix", "GET /s HTTP/1.1\r\n\r\n", 1, 0, 0),
    ROW("another path", "GET /x/search HTTP/1.1\r\n\r\n", 1, 0, 0),
    ROW("query that looks like it", "GET /?/search HTTP/1.1\r\n\r\n", 1, 0, 0),
    ROW("absolute form", "GET http://a:80/search?x HTTP/1.1\r\n\r\n", 1, 1, 1),
    ROW("absolute form without a path", "GET http://a HTTP/1.1\r\n\r\n", 1, 0, 0),
    ROW("OPTIONS *", "OPTIONS * HTTP/1.1\r\n\r\n", 1, 0, 0),
    ROW("CONNECT", "CONNECT a:443 HTTP/1.1\r\n\r\n", 1, 0, 0),
    ROW("body by its length", "POST /search HTTP/1.1\r\nContent-Length: 33\r\n\r\n" GET GET, 2, 2,
        2),
    ROW("length in other letters", "POST / HTTP/1.1\r\ncontent-LENGTH:33 \r\n\r\n" GET GET, 2, 1,
        1),
    ROW("no body", "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n" GET, 2, 1, 1),
    ROW("header that begins like it", "POST / HTTP/1.1\r\nContent-Lengthy: 33\r\n\r\n" GET, 2, 1,
        1),
    ROW("header that ends early", "POST / HTTP/1.1\r\nContent: 33\r\n\r\n" GET, 2, 1, 1),
    ROW("digits in another header", "GET / HTTP/1.1\r\nHost: 33\r\nAge: 5\r\n\r\n" GET, 2, 1, 1),
    ROW("folded header", "GET / HTTP/1.1\r\nX: a\r\n Content-Length: 9\r\n\r\n" GET, 2, 1, 1),
    ROW("chunks",
        "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
        "21;name=value\r\n" GET "\r\n1\r\nx\r\n0\r\nTrailer: GET / HTTP/1.1\r\n\r\n" GET,
        2, 1, 1),
    ROW("chunks over a length",
        "POST / HTTP/1.1\r\nContent-Length: 9999\r\nTransfer-Encoding: "
        "chunked\r\n\r\n0\r\n\r\n" GET,
        2, 1, 1),
    ROW("empty lines before", "\r\n\r\n" GET, 1, 1, 1),
    ROW("not HTTP", "\x16\x03\x01\x02" GET, 0, 0, 0),
    ROW("other protocols", "SELECT 1\r\n" GET, 0, 0, 0),
    ROW("lower case", "get / HTTP/1.1\r\n\r\n", 0, 0, 0),
    ROW("no such version", "GET / HTTP/9.1\r\n\r\n" GET, 0, 0, 0),
    ROW("control byte in the target", "GET /\x01 HTTP/1.1\r\n\r\n" GET, 0, 0, 0),
    ROW("websocket afterwards",
        "GET /search HTTP/1.1\r\nUpgrade: x\r\n\r\n\x81\x85GET / HTTP/1.1\r\n", 1, 1, 1),
    ROW("length out of bounds",
        "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n" GET, 1, 0, 0),
    ROW("HTTP/2", H2 SETTINGS HEADERS("\1") DATA("\1") HEADERS("\3"), 2, 0, 0),
    ROW("HTTP/2 trailers", H2 HEADERS("\1") HEADERS("\3") HEADERS("\1") HEADERS("\3"), 2, 0, 0),
    ROW("HTTP/2 from the server's side", H2 HEADERS("\2"), 0, 0, 0),
    ROW("HTTP/2 after an upgrade", GET H2 SETTINGS HEADERS("\3"), 2, 1, 1),
    ROW("no HTTP/2", "PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n" HEADERS("\1"), 0, 0, 0),
};

/* The bytes in two parts, the second in steps. */
static uint32_t count(const struct row *row, const struct http_wanted *wanted, size_t first,
                      size_t step) {
  struct http_reader reader;
  http_reader_begin(&reader);
  uint32_t begun = http_reader_feed(&reader, wanted, row->data, first);
  for (size_t at = first; at < row->bytes; at += step) {
    size_t left = row->bytes - at;
    begun += http_reader_feed(&reader, wanted, row->data + at, left < step ? left : step);
  }
  return begun;
}

static void check(const struct row *row, const struct http_wanted *wanted, uint32_t expected) {
  for (size_t first = 0; first <= row->bytes; first++)
    if (count(row, wanted, first, row->bytes) != expected)
      fail_msg("%s: cut at %zu", row->name, first);
  for (size_t step = 1; step < 4; step++)
    if (count(row, wanted, 0, step) != expected)
      fail_msg("%s: by %zu bytes", row->name, step);
}

static void requests_are_found_wherever_reads_end(void **state) {
  (void)state;
  const struct http_wanted all = {.path = NULL};
  const struct http_wanted search = {.path = "/search", .path_bytes = 7};
  const struct http_wanted prefix = {.path = "/se*", .path_bytes = 3, .is_prefix = true};
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    check(&rows[i], &all, rows[i].all);
    check(&rows[i], &search, rows[i].search);
    check(&rows[i], &prefix, rows[i].prefix);
  }
}

static void any_bytes_are_borne(void **state) {
  (void)state;
  const struct http_wanted search = {.path = "/search", .path_bytes = 7};
  srandom(1);
  for (int round = 0; round < 20000; round++) {
    const struct row *row = &rows[(size_t)random() % (sizeof(rows) / sizeof(rows[0]))];
    char data[512];
    size_t bytes = row->bytes < sizeof(data) ? row->bytes : sizeof(data);
    memcpy(data, row->data, bytes);
    for (int i = 0; i < 3; i++)
      data[(size_t)random() % bytes] = (char)random();
    struct http_reader reader;
    http_reader_begin(&reader);
    char *exact = malloc(bytes); /* so that a sanitizer sees a step too far */
    memcpy(exact, data, bytes);
    assert_true(http_reader_feed(&reader, &search, exact, bytes) <= bytes);
    free(exact);
  }
}

static void nothing_is_read_before_a_connection_begins(void **state) {
  (void)state;
  struct http_reader reader = {0};
  const struct http_wanted all = {.path = NULL};
  assert_false(http_reader_reads(&reader));
  assert_int_equal(http_reader_feed(&reader, &all, GET, sizeof(GET) - 1), 0);
  http_reader_begin(&reader);
  assert_true(http_reader_reads(&reader));
  http_reader_feed(&reader, &all, "\0", 1);
  assert_false(http_reader_reads(&reader));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(requests_are_found_wherever_reads_end),
      cmocka_unit_test(any_bytes_are_borne),
      cmocka_unit_test(nothing_is_read_before_a_connection_begins),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
