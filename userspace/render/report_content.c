/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the texts and tables of a report while it is built and printed. */
#include "render/report_content.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/units.h"
#include "render/report_name.h"

const char *report_keep(struct report_content *content, const char *text) {
  uint32_t id = strtab_add(content->texts, text, strlen(text));
  content->failed |= id == 0 && *text;
  return strtab_get(content->texts, id);
}

static const char *keep_buf(struct report_content *content, struct buf *buf) {
  const char *kept = report_keep(content, buf_text(buf));
  content->failed |= buf->failed;
  buf_fini(buf);
  return kept;
}

const char *report_keep_format(struct report_content *content, const char *format, ...) {
  char *text;
  va_list args;
  va_start(args, format);
  int length = vasprintf(&text, format, args);
  va_end(args);
  if (length < 0) {
    content->failed = true;
    return "";
  }
  const char *kept = report_keep(content, text);
  free(text);
  return kept;
}

const char *report_keep_path(struct report_content *content, const struct profile *profile,
                             const struct stack_frames *frames) {
  struct buf buf = {0};
  report_put_path(&buf, profile, frames);
  return keep_buf(content, &buf);
}

const char *report_keep_clean(struct report_content *content, const char *text) {
  struct buf buf = {0};
  report_put_clean(&buf, text);
  return keep_buf(content, &buf);
}

/* What is there but rounds to nothing shows as such. */
const char *report_keep_pct(struct report_content *content, double pct) {
  if (pct > 0 && pct < 0.05)
    return "<0.1%";
  return report_keep_format(content, "%.1f%%", pct);
}

const char *report_keep_ns(struct report_content *content, uint64_t ns) {
  char text[UNITS_TEXT_BYTES];
  return report_keep(content, units_ns(text, ns));
}

#define COUNT_TEXT_BYTES 32

static void group_digits(char text[COUNT_TEXT_BYTES], uint64_t count) {
  char digits[24];
  size_t length = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, count);
  for (size_t i = 0; i < length; i++) {
    if (i > 0 && (length - i) % 3 == 0)
      *text++ = ',';
    *text++ = digits[i];
  }
  *text = '\0';
}

const char *report_keep_count(struct report_content *content, uint64_t count) {
  char text[COUNT_TEXT_BYTES];
  group_digits(text, count);
  return report_keep(content, text);
}

static bool ends_with(const char *text, const char *end) {
  size_t length = strlen(text), end_length = strlen(end);
  return length >= end_length && !strcmp(text + length - end_length, end);
}

void report_put_lost(struct buf *buf, const struct profile_counter *counter) {
  const char *kind = counter->name + strlen("lost.");
  char text[UNITS_TEXT_BYTES], count[COUNT_TEXT_BYTES];
  if (ends_with(kind, "_ns")) {
    buf_printf(buf, "%s of ", units_ns(text, counter->value));
    buf_printf(buf, "%.*ss", (int)(strlen(kind) - strlen("_ns")), kind);
    return;
  }
  if (ends_with(kind, "bytes")) {
    buf_put_text(buf, units_bytes(text, counter->value));
    return;
  }
  group_digits(count, counter->value);
  buf_printf(buf, "%s ", count);
  size_t start = buf->length;
  report_put_clean(buf, kind);
  for (size_t i = start; i < buf->length; i++)
    buf->data[i] = buf->data[i] == '_' ? ' ' : buf->data[i];
}

struct report_table *report_add_table(struct report_content *content, const char *title,
                                      const struct report_column *columns, uint32_t count) {
  if (content->table_count == REPORT_TABLES_MAX) {
    content->failed = true;
    return NULL;
  }
  struct report_table *table = &content->tables[content->table_count++];
  *table =
      (struct report_table){.title = title, .note = "", .columns = columns, .column_count = count};
  return table;
}

struct report_cell *report_add_row(struct report_content *content, struct report_table *table) {
  struct report_cell *cells =
      table ? array_grown(table->cells, table->row_count, &table->row_capacity,
                          table->column_count * sizeof(*cells))
            : NULL;
  if (!cells) {
    content->failed = true;
    return NULL;
  }
  table->cells = cells;
  struct report_cell *row = cells + (size_t)table->row_count++ * table->column_count;
  for (uint32_t i = 0; i < table->column_count; i++)
    row[i] = (struct report_cell){.text = ""};
  return row;
}

struct report_line *report_add_line(struct report_line *lines, uint32_t *count, const char *label) {
  uint32_t at = *count < REPORT_LINES_MAX ? (*count)++ : REPORT_LINES_MAX - 1;
  lines[at] = (struct report_line){.label = label, .text = "", .path = ""};
  return &lines[at];
}

int report_content_build(struct report_content **out, const struct summary *summary,
                         uint32_t top_count) {
  struct report_content *content = calloc(1, sizeof(*content));
  *out = NULL;
  if (!content)
    return -ENOMEM;
  content->texts = strtab_new();
  content->failed = !content->texts;
  if (!content->failed) {
    report_put_verdict(content, summary);
    report_put_tables(content, summary, top_count);
    report_put_system_tables(content, summary, top_count);
    report_put_memory_tables(content, summary, top_count);
    report_put_facts(content, summary);
  }
  if (content->failed) {
    report_content_free(content);
    return -ENOMEM;
  }
  *out = content;
  return 0;
}

void report_content_free(struct report_content *content) {
  if (!content)
    return;
  for (uint32_t i = 0; i < content->table_count; i++)
    free(content->tables[i].cells);
  strtab_free(content->texts);
  free(content);
}
