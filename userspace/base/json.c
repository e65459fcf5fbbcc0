/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns how values become JSON text. */
#include "base/json.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/utf8.h"

void json_begin(struct json *json, FILE *out, int indent) {
  memset(json, 0, sizeof(*json));
  json->out = out;
  json->indent = indent;
}

void json_end(struct json *json) {
  fputc('\n', json->out);
}

static void new_line(struct json *json) {
  if (json->indent > 0)
    fprintf(json->out, "\n%*s", json->depth * json->indent, "");
}

/* What separates a value or key from what stands before it. */
static void separate(struct json *json) {
  if (json->after_key) {
    json->after_key = false;
    return;
  }
  if (json->depth == 0)
    return;
  bool *has_items = &json->has_items[json->depth - 1];
  if (*has_items)
    fputc(',', json->out);
  *has_items = true;
  new_line(json);
}

static void open_container(struct json *json, char bracket) {
  assert(json->depth < JSON_DEPTH_MAX);
  separate(json);
  fputc(bracket, json->out);
  json->has_items[json->depth++] = false;
}

static void close_container(struct json *json, char bracket) {
  assert(json->depth > 0);
  json->depth--;
  if (json->has_items[json->depth])
    new_line(json);
  fputc(bracket, json->out);
}

void json_open_object(struct json *json) {
  open_container(json, '{');
}

void json_close_object(struct json *json) {
  close_container(json, '}');
}

void json_open_array(struct json *json) {
  open_container(json, '[');
}

void json_close_array(struct json *json) {
  close_container(json, ']');
}

/* "</" and "<!" are escaped too: they would end or distort a script element that holds the JSON. */
static bool must_escape(uint32_t code, char next) {
  if (code == '<')
    return next == '/' || next == '!';
  return utf8_is_control(code);
}

static void put_escape(FILE *out, uint32_t code) {
  switch (code) {
  case '\n':
    fputs("\\n", out);
    break;
  case '\t':
    fputs("\\t", out);
    break;
  default:
    fprintf(out, "\\u%04" PRIx32, code); /* controls lie in the basic plane */
  }
}

static void put_string(FILE *out, const char *text) {
  uint32_t code;
  fputc('"', out);
  for (size_t bytes; (bytes = utf8_decode(text, &code)) > 0; text += bytes) {
    if (code == '"' || code == '\\')
      fprintf(out, "\\%c", (char)code);
    else if (must_escape(code, text[bytes]))
      put_escape(out, code);
    else if (code == UTF8_REPLACEMENT)
      fputs("\xef\xbf\xbd", out);
    else
      fwrite(text, 1, bytes, out);
  }
  fputc('"', out);
}

void json_key(struct json *json, const char *key) {
  assert(!json->after_key);
  separate(json);
  put_string(json->out, key);
  fputs(json->indent > 0 ? ": " : ":", json->out);
  json->after_key = true;
}

void json_text(struct json *json, const char *text) {
  separate(json);
  put_string(json->out, text);
}

void json_u64(struct json *json, uint64_t value) {
  separate(json);
  fprintf(json->out, "%" PRIu64, value);
}

void json_double(struct json *json, double value, int decimals) {
  separate(json);
  if (!isfinite(value)) {
    fputs("null", json->out);
    return;
  }
  char text[512]; /* DBL_MAX has 309 digits before the point */
  snprintf(text, sizeof(text), "%.*f", decimals > 17 ? 17 : decimals, value);
  char *comma = strchr(text, ','); /* a locale's decimal comma is no JSON */
  if (comma)
    *comma = '.';
  fputs(text, json->out);
}

void json_bool(struct json *json, bool value) {
  separate(json);
  fputs(value ? "true" : "false", json->out);
}

void json_null(struct json *json) {
  separate(json);
  fputs("null", json->out);
}

void json_member_text(struct json *json, const char *key, const char *text) {
  json_key(json, key);
  json_text(json, text);
}

void json_member_u64(struct json *json, const char *key, uint64_t value) {
  json_key(json, key);
  json_u64(json, value);
}

void json_member_double(struct json *json, const char *key, double value, int decimals) {
  json_key(json, key);
  json_double(json, value, decimals);
}

void json_member_bool(struct json *json, const char *key, bool value) {
  json_key(json, key);
  json_bool(json, value);
}
