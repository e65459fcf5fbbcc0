/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a report for people says, in words and tables, the same in every such format. All text is
 * clean: valid UTF-8 without control characters, but for '\n' between the steps of a path. */
#ifndef RAGPROF_RENDER_REPORT_CONTENT_H
#define RAGPROF_RENDER_REPORT_CONTENT_H

#include <stdbool.h>
#include <stdint.h>

#include "analysis/summary.h"
#include "base/buf.h"
#include "base/hash.h"

enum report_align {
  REPORT_RIGHT, /* numbers */
  REPORT_WORD,  /* words of our own */
  REPORT_LEFT,  /* names: cut at the end when there is no room */
  REPORT_TAIL,  /* places: cut at the beginning */
  REPORT_PATH,  /* steps with '\n' between them */
  REPORT_SPARE, /* numbers; left out, the last one first, where there is no room */
};

struct report_column {
  const char *title;
  enum report_align align;
};

enum report_heat { REPORT_PLAIN, REPORT_WARM, REPORT_HOT };

struct report_cell {
  const char *text;
  enum report_heat heat;
};

#define REPORT_COLUMNS_MAX 10

struct report_table {
  const char *title;
  const char *note; /* the base of the shares, what the figures mean */
  const struct report_column *columns;
  uint32_t column_count;
  struct report_cell *cells; /* row by row */
  uint32_t row_count;
  uint32_t row_capacity;
  uint64_t left_out_count; /* rows that there was no room for */
};

struct report_line {
  const char *label;
  const char *text;
  const char *path; /* steps, "" none */
  bool is_warning;
};

#define REPORT_LINES_MAX 48
#define REPORT_TABLES_MAX 48

struct report_content {
  const char *title;
  struct report_line verdict[REPORT_LINES_MAX];
  uint32_t verdict_count;
  struct report_table tables[REPORT_TABLES_MAX]; /* none is empty */
  uint32_t table_count;
  struct report_line facts[REPORT_LINES_MAX]; /* target, host, capture, loss, cost */
  uint32_t fact_count;
  struct strtab *texts; /* owns every text that is not constant */
  bool failed;          /* memory ran out: texts are missing */
};

/* `top_count` rows per table. 0 or -ENOMEM. */
int report_content_build(struct report_content **out, const struct summary *summary,
                         uint32_t top_count);
void report_content_free(struct report_content *content);

/* For the builders: keeps a text; starts a table and its next row; adds a line. */
const char *report_keep(struct report_content *content, const char *text);
const char *report_keep_format(struct report_content *content, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
struct report_table *report_add_table(struct report_content *content, const char *title,
                                      const struct report_column *columns, uint32_t count);
struct report_cell *report_add_row(struct report_content *content, struct report_table *table);
struct report_line *report_add_line(struct report_line *lines, uint32_t *count, const char *label);
/* The kept path of a stack. */
const char *report_keep_path(struct report_content *content, const struct profile *profile,
                             const struct stack_frames *frames);
const char *report_keep_clean(struct report_content *content, const char *text);
const char *report_keep_pct(struct report_content *content, double pct);
const char *report_keep_ns(struct report_content *content, uint64_t ns);
const char *report_keep_count(struct report_content *content, uint64_t count); /* "12,345" */
/* Appends a counter "lost.X" as "12 samples"; "_ns" and "bytes" at the end of X give the unit. */
void report_put_lost(struct buf *buf, const struct profile_counter *counter);

/* The parts: report_verdict.c, report_tables.c, report_system.c, report_memory.c, report_facts.c.
 */
void report_put_verdict(struct report_content *content, const struct summary *summary);
void report_put_tables(struct report_content *content, const struct summary *summary,
                       uint32_t top_count);
void report_put_system_verdict(struct report_content *content, const struct summary *summary);
void report_put_system_tables(struct report_content *content, const struct summary *summary,
                              uint32_t top_count);
void report_put_memory_verdict(struct report_content *content, const struct summary *summary);
void report_put_memory_tables(struct report_content *content, const struct summary *summary,
                              uint32_t top_count);
void report_put_facts(struct report_content *content, const struct summary *summary);

#endif
