/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Streams JSON (RFC 8259) to a FILE. Commas and nesting are kept by the writer; invalid UTF-8 and
 * control characters in strings come out escaped (U+FFFD for bad bytes), so that the output is
 * always valid whatever a target's symbols hold. */
#ifndef RAGPROF_BASE_JSON_H
#define RAGPROF_BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define JSON_DEPTH_MAX 32

struct json {
  FILE *out;
  int indent; /* columns per level; 0: one line */
  int depth;
  bool has_items[JSON_DEPTH_MAX];
  bool after_key;
};

void json_begin(struct json *json, FILE *out, int indent);
void json_end(struct json *json); /* writes the last newline */

void json_open_object(struct json *json);
void json_close_object(struct json *json);
void json_open_array(struct json *json);
void json_close_array(struct json *json);
void json_key(struct json *json, const char *key);

void json_text(struct json *json, const char *text);
void json_u64(struct json *json, uint64_t value);
void json_double(struct json *json, double value, int decimals); /* null for NaN and infinity */
void json_bool(struct json *json, bool value);
void json_null(struct json *json);

/* key and value at once */
void json_member_text(struct json *json, const char *key, const char *text);
void json_member_u64(struct json *json, const char *key, uint64_t value);
void json_member_double(struct json *json, const char *key, double value, int decimals);
void json_member_bool(struct json *json, const char *key, bool value);

#endif
