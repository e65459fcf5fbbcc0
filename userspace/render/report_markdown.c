/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the report in GitHub's Markdown. Names of the target stand in code spans or escaped, so that
 * they are neither markup nor mentions. */
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "render/report_content.h"
#include "render/report_formats.h"

#define DEFAULT_ROWS 10
#define STEPS_MAX 16 /* of a path; more are left out behind the first */

/* Prose. A zero-width space keeps '@' and '#' from becoming mentions of people and issues. */
static void put_text(FILE *out, const char *text) {
  for (; *text; text++) {
    switch (*text) {
    case '<':
      fputs("&lt;", out);
      break;
    case '>':
      fputs("&gt;", out);
      break;
    case '&':
      fputs("&amp;", out);
      break;
    case '@':
    case '#':
      fprintf(out, "%c&#8203;", *text);
      break;
    default:
      if (strchr("\\`*_[]{}|~$", *text))
        fputc('\\', out);
      fputc(*text, out);
    }
  }
}

/* A fence of backticks is longer than any run of them inside (CommonMark 6.1). */
static size_t fence_length(const char *text) {
  size_t longest = 0;
  while (*text) {
    size_t run = strspn(text, "`");
    longest = run > longest ? run : longest;
    text += run + (run == 0);
  }
  return longest + 1;
}

static void put_fence(FILE *out, size_t length) {
  while (length-- > 0)
    fputc('`', out);
}

/* In a table a bar ends the cell even in code, unless it is escaped (GFM 4.10). */
static void put_code_text(FILE *out, const char *text, bool in_table) {
  for (; *text; text++) {
    if (*text == '\n')
      fputs(" → ", out);
    else if (*text == '|' && in_table)
      fputs("\\|", out);
    else
      fputc(*text, out);
  }
}

static void put_code(FILE *out, const char *text, bool in_table) {
  if (!*text)
    return;
  size_t length = fence_length(text);
  size_t bytes = strlen(text);
  bool padded = *text == '`' || text[bytes - 1] == '`' || *text == ' ' || text[bytes - 1] == ' ';
  put_fence(out, length);
  fputs(padded ? " " : "", out);
  put_code_text(out, text, in_table);
  fputs(padded ? " " : "", out);
  put_fence(out, length);
}

/* The beginning of the last `keep` steps. */
static const char *last_steps(const char *path, uint32_t keep) {
  const char *at = path + strlen(path);
  while (at > path) {
    if (at[-1] == '\n' && --keep == 0)
      break;
    at--;
  }
  return at;
}

static uint32_t count_steps(const char *path) {
  uint32_t count = 1;
  for (; *path; path++)
    count += *path == '\n';
  return count;
}

static void put_path(FILE *out, const char *path, bool in_table) {
  struct buf shortened = {0};
  if (count_steps(path) > STEPS_MAX) {
    buf_put(&shortened, path, strcspn(path, "\n"));
    buf_put_text(&shortened, "\n…\n");
    buf_put_text(&shortened, last_steps(path, STEPS_MAX - 2));
    path = buf_text(&shortened);
  }
  put_code(out, path, in_table);
  buf_fini(&shortened);
}

static void put_lines(FILE *out, const struct report_line *lines, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    fprintf(out, "- **%s%s:** ", lines[i].is_warning ? "⚠ " : "", lines[i].label);
    put_text(out, lines[i].text);
    if (*lines[i].path) {
      fputs("<br>", out);
      put_path(out, lines[i].path, false);
    }
    fputc('\n', out);
  }
}

static bool is_empty(const struct report_table *table, uint32_t column) {
  for (uint32_t i = 0; i < table->row_count; i++)
    if (*table->cells[(size_t)i * table->column_count + column].text)
      return false;
  return true;
}

static void put_cell(FILE *out, enum report_align align, const char *text) {
  switch (align) {
  case REPORT_RIGHT:
  case REPORT_SPARE:
  case REPORT_WORD:
    put_text(out, text);
    break;
  case REPORT_LEFT:
  case REPORT_TAIL:
    put_code(out, text, true);
    break;
  case REPORT_PATH:
    put_path(out, text, true);
    break;
  }
}

static bool is_number(enum report_align align) {
  return align == REPORT_RIGHT || align == REPORT_SPARE;
}

static void put_table(FILE *out, const struct report_table *table) {
  fprintf(out, "\n## %s\n\n", table->title);
  if (*table->note) {
    put_text(out, table->note);
    fputs("\n\n", out);
  }
  for (uint32_t i = 0; i < table->column_count; i++)
    if (!is_empty(table, i))
      fprintf(out, "| %s ", table->columns[i].title);
  fputs("|\n", out);
  for (uint32_t i = 0; i < table->column_count; i++)
    if (!is_empty(table, i))
      fputs(is_number(table->columns[i].align) ? "| ---: " : "| --- ", out);
  fputs("|\n", out);
  for (uint32_t row = 0; row < table->row_count; row++) {
    for (uint32_t i = 0; i < table->column_count; i++) {
      if (is_empty(table, i))
        continue;
      fputs("| ", out);
      put_cell(out, table->columns[i].align,
               table->cells[(size_t)row * table->column_count + i].text);
      fputc(' ', out);
    }
    fputs("|\n", out);
  }
  if (table->left_out_count)
    fprintf(out, "\n… and %llu more\n", (unsigned long long)table->left_out_count);
}

static void put_report(FILE *out, const struct report_content *content) {
  fputs("# ", out);
  put_text(out, content->title);
  fputs("\n\n", out);
  put_lines(out, content->verdict, content->verdict_count);
  for (uint32_t i = 0; i < content->table_count; i++)
    put_table(out, &content->tables[i]);
  fputs("\n## Capture\n\n", out);
  put_lines(out, content->facts, content->fact_count);
}

int report_render_markdown(FILE *out, const struct profile *profile,
                           const struct render_options *options) {
  struct summary *summary;
  struct report_content *content;
  int rc = summary_build(&summary, profile);
  if (rc)
    return rc;
  rc = report_content_build(&content, summary,
                            options->top_count ? options->top_count : DEFAULT_ROWS);
  if (!rc) {
    put_report(out, content);
    rc = ferror(out) ? -EIO : 0;
  }
  report_content_free(content);
  summary_free(summary);
  return rc;
}
