/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cleaning of names, and the digests of the page's policy against published vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "render/flame_digest.h"
#include "render/flame_text.h"

static void expect_text(enum flame_place place, const char *text, const char *expected) {
  struct buf buf = {0};
  flame_put_text(&buf, place, text);
  assert_string_equal(buf_text(&buf), expected);
  buf_fini(&buf);
}

#define BAD "\xef\xbf\xbd"

static void names_become_harmless(void **state) {
  (void)state;
  static const struct {
    enum flame_place place;
    const char *text;
    const char *expected;
  } rows[] = {
      {FLAME_PLAIN, "std::vector<int>::at & co; ok", "std::vector<int>::at & co; ok"},
      {FLAME_PLAIN, "größe 数据库 🔍", "größe 数据库 🔍"},
      {FLAME_PLAIN, "a\nb\tc", "a b c"},
      {FLAME_PLAIN, "\x1b[31mred\x7f", BAD "[31mred" BAD},
      {FLAME_PLAIN, "caf\xe9!", "caf" BAD "!"},
      {FLAME_PLAIN, "tail\xe2\x82", "tail" BAD},
      {FLAME_PLAIN,
       "user\xe2\x80\xae"
       "cod",
       "user" BAD "cod"}, /* U+202E: right-to-left override */
      {FLAME_PLAIN, "c1\xc2\x9b", "c1" BAD},
      {FLAME_FOLDED, "one;two\nthree 9", "one:two three 9"},
      {FLAME_XML, "<a href=\"x\" b='y'>&amp;",
       "&lt;a href=&quot;x&quot; b=&#39;y&#39;&gt;&amp;amp;"},
      {FLAME_XML, "]]>", "]]&gt;"},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
    expect_text(rows[i].place, rows[i].text, rows[i].expected);
}

static void paths_are_shortened(void **state) {
  (void)state;
  static const char *const rows[][2] = {
      {"/srv/rag/app.py", "app.py"},
      {"app.py", "app.py"},
      {"", ""},
      {"/srv/rag/__init__.py", "rag/__init__.py"},
      {"/__main__.py", "__main__.py"},
      {"rag/__main__.py", "rag/__main__.py"},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
    assert_string_equal(flame_short_path(rows[i][0]), rows[i][1]);
}

static void functions_without_a_name_are_shortened_but_in_folded_stacks(void **state) {
  struct profile_function function = {
      .name = "[unknown] libx.so+0x12", .file = "", .module = "", .kind = FRAME_NATIVE};
  struct profile profile = {.functions = &function, .function_count = 1};
  struct calltree tree = {0};
  struct calltree_node node = {.note = PROFILE_NONE};
  struct buf buf = {0};
  (void)state;
  flame_put_label(&buf, FLAME_PLAIN, &profile, &tree, &node);
  assert_string_equal(buf_text(&buf), "libx.so+0x12");
  buf_clear(&buf);
  flame_put_label(&buf, FLAME_FOLDED, &profile, &tree, &node);
  assert_string_equal(buf_text(&buf), "[unknown] libx.so+0x12");
  buf_fini(&buf);
}

static void leaves_say_why_or_what(void **state) {
  static const struct {
    struct calltree_note note;
    enum flame_place place;
    const char *expected;
  } rows[] = {
      {{.reason = WAIT_GIL}, FLAME_PLAIN, "waiting: GIL"},
      {{OPERATION_FILE, 0, "read", "/data/a;b"}, FLAME_FOLDED, "read /data/a:b"},
      {{OPERATION_FILE, 0, "read", "/data/<b>"}, FLAME_XML, "read /data/&lt;b&gt;"},
      {{OPERATION_SYSCALL, 0, "futex", ""}, FLAME_PLAIN, "futex"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
    struct buf buf = {0};
    flame_put_note(&buf, rows[i].place, &rows[i].note);
    assert_string_equal(buf_text(&buf), rows[i].expected);
    buf_fini(&buf);
  }
}

static void values_have_units(void **state) {
  static const struct {
    enum calltree_unit unit;
    uint64_t value;
    const char *expected;
  } rows[] = {
      {CALLTREE_NS, 1500000, "1.50 ms"},
      {CALLTREE_BYTES, 1536, "1.50 KiB"},
      {CALLTREE_BYTES_PER_S, 64, "64 B/s"},
      {CALLTREE_BYTES_PER_ITERATION, 3 << 20, "3.00 MiB per iteration"},
      {CALLTREE_FAULTS, 262144, "262144 faults"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
    char text[FLAME_VALUE_BYTES];
    assert_string_equal(flame_value(text, rows[i].unit, rows[i].value), rows[i].expected);
  }
}

static void expect_sha256(const char *text, const char *expected) {
  uint8_t digest[DIGEST_BYTES];
  char hex[2 * DIGEST_BYTES + 1];
  digest_sha256(digest, text, strlen(text));
  for (int i = 0; i < DIGEST_BYTES; i++)
    snprintf(hex + 2 * i, 3, "%02x", digest[i]);
  assert_string_equal(hex, expected);
}

/* The examples of FIPS 180-4 (NIST's SHA256.pdf), and lengths around a block, from coreutils. */
static void sha256_vectors(void **state) {
  (void)state;
  expect_sha256("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  expect_sha256("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  expect_sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  char text[65];
  memset(text, 'a', sizeof(text));
  text[55] = '\0';
  expect_sha256(text, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
  text[55] = 'a';
  text[64] = '\0';
  expect_sha256(text, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
}

/* RFC 4648, section 10 */
static void base64_vectors(void **state) {
  (void)state;
  static const char *const rows[][2] = {
      {"", ""},
      {"f", "Zg=="},
      {"fo", "Zm8="},
      {"foo", "Zm9v"},
      {"foob", "Zm9vYg=="},
      {"fooba", "Zm9vYmE="},
      {"foobar", "Zm9vYmFy"},
  };
  for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
    struct buf buf = {0};
    digest_put_base64(&buf, rows[i][0], strlen(rows[i][0]));
    assert_string_equal(buf_text(&buf), rows[i][1]);
    buf_fini(&buf);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(names_become_harmless),
      cmocka_unit_test(paths_are_shortened),
      cmocka_unit_test(functions_without_a_name_are_shortened_but_in_folded_stacks),
      cmocka_unit_test(leaves_say_why_or_what),
      cmocka_unit_test(values_have_units),
      cmocka_unit_test(sha256_vectors),
      cmocka_unit_test(base64_vectors),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
