/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the report on a terminal: aligned tables that fit its width. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "render/report_content.h"
#include "render/report_formats.h"

#define DEFAULT_ROWS 10
#define DEFAULT_COLUMNS 100 /* when the width is unknown */
#define LEAST_COLUMNS 72
#define MOST_COLUMNS 200
#define MARGIN 2       /* before every line but headings */
#define GAP 2          /* between columns */
#define PLACE_YIELD 12 /* by so much a place is cut shorter than a name */
#define LEAST_CELL 10  /* a name is not cut below this */
#define LEAST_PATH 60  /* a path with less room goes below its row */
#define PATH_INDENT 6  /* of such a path */
#define PATH_LINES_MAX 4
#define STEPS_MAX 512

#define ARROW " → "
#define ARROW_COLUMNS 3
#define NEXT_ARROW "→ " /* at the beginning of a line */

enum style { PLAIN, BOLD, DIM, WARM, HOT };

struct page {
  FILE *out;
  uint32_t width;
  bool color;
};

static void set_style(const struct page *page, enum style style) {
  static const char *const codes[] = {
      [PLAIN] = "\033[0m", [BOLD] = "\033[1m",   [DIM] = "\033[2m",
      [WARM] = "\033[33m", [HOT] = "\033[1;31m",
  };
  if (page->color)
    fputs(codes[style], page->out);
}

static void put_styled(struct page *page, enum style style, const char *text) {
  set_style(page, style);
  fputs(text, page->out);
  set_style(page, PLAIN);
}

static void put_spaces(struct page *page, size_t count) {
  fprintf(page->out, "%*s", (int)count, "");
}

/* ---- Cutting and padding --------------------------------------------------------------------- */

/* The bytes of the beginning of `text` that take at most `columns`. */
static size_t bytes_in(const char *text, size_t columns) {
  size_t total = 0;
  uint32_t code;
  for (size_t bytes; (bytes = utf8_decode(text + total, &code)) > 0; total += bytes) {
    size_t width = (size_t)utf8_columns(code);
    if (width > columns)
      break;
    columns -= width;
  }
  return total;
}

/* The end of `text` that takes at most `columns`. */
static const char *tail_of(const char *text, size_t columns) {
  size_t have = utf8_text_columns(text);
  uint32_t code;
  while (have > columns) {
    text += utf8_decode(text, &code);
    have -= (size_t)utf8_columns(code);
  }
  return text;
}

/* Prints within exactly `columns`, or fewer at the end of a line. */
static void put_cell(struct page *page, const char *text, size_t columns, enum report_align align,
                     bool is_last) {
  size_t have = utf8_text_columns(text);
  bool is_right = align == REPORT_RIGHT || align == REPORT_SPARE;
  if (is_right && have < columns)
    put_spaces(page, columns - have);
  if (have <= columns) {
    fputs(text, page->out);
  } else if (align == REPORT_TAIL) {
    text = tail_of(text, columns - 1);
    fprintf(page->out, "…%s", text);
    have = 1 + utf8_text_columns(text);
  } else {
    size_t bytes = bytes_in(text, columns - 1);
    fwrite(text, 1, bytes, page->out);
    fputs("…", page->out);
    have = columns;
  }
  if (!is_right && have < columns && !is_last)
    put_spaces(page, columns - have);
}

/* ---- Paths ----------------------------------------------------------------------------------- */

struct step {
  const char *text;
  size_t bytes;
  size_t columns;
};

struct steps {
  struct step steps[STEPS_MAX];
  uint32_t count;
};

static size_t columns_of(const char *text, size_t bytes) {
  size_t columns = 0;
  uint32_t code;
  for (size_t at = 0; at < bytes; columns += (size_t)utf8_columns(code))
    at += utf8_decode(text + at, &code);
  return columns;
}

static void remove_steps(struct steps *steps, uint32_t at, uint32_t count) {
  memmove(&steps->steps[at], &steps->steps[at + count],
          (steps->count - at - count) * sizeof(steps->steps[0]));
  steps->count -= count;
}

static const struct step ellipsis = {.text = "…", .bytes = sizeof("…") - 1, .columns = 1};

/* Of a path of too many steps the innermost ones are kept. */
static void split(struct steps *steps, const char *path) {
  steps->count = 0;
  while (*path) {
    size_t bytes = strcspn(path, "\n");
    if (steps->count == STEPS_MAX) {
      remove_steps(steps, 0, STEPS_MAX / 2);
      steps->steps[0] = ellipsis;
    }
    steps->steps[steps->count++] =
        (struct step){.text = path, .bytes = bytes, .columns = columns_of(path, bytes)};
    path += bytes;
    path += *path == '\n';
  }
}

static uint32_t count_lines(const struct steps *steps, size_t width) {
  uint32_t lines = 1;
  size_t used = 0;
  for (uint32_t i = 0; i < steps->count; i++) {
    size_t need = steps->steps[i].columns + (i > 0 ? ARROW_COLUMNS : 0);
    if (used > 0 && used + need > width) {
      lines++;
      used = ARROW_COLUMNS - 1;
      need = steps->steps[i].columns;
    }
    used += need;
  }
  return lines;
}

/* Leaves out steps behind the first one until the rest fits: both ends of a path say most. */
static void shorten(struct steps *steps, size_t width) {
  uint32_t at = steps->count && steps->steps[0].columns == 1 ? 2 : 1; /* "… → first → …" */
  if (steps->count <= at + 2 || count_lines(steps, width) <= PATH_LINES_MAX)
    return;
  steps->steps[at] = ellipsis;
  while (steps->count > at + 2 && count_lines(steps, width) > PATH_LINES_MAX)
    remove_steps(steps, at + 1, 1);
}

/* Prints from the current column on, further lines with `indent` spaces. Ends the last line. */
static void put_path(struct page *page, const char *path, size_t indent) {
  size_t width = page->width > indent ? page->width - indent : 1;
  struct steps steps;
  size_t used = 0;
  split(&steps, path);
  shorten(&steps, width);
  for (uint32_t i = 0; i < steps.count; i++) {
    const struct step *step = &steps.steps[i];
    size_t need = step->columns + (i > 0 ? ARROW_COLUMNS : 0);
    if (used > 0 && used + need > width) {
      fputc('\n', page->out);
      put_spaces(page, indent);
      put_styled(page, DIM, NEXT_ARROW);
      used = ARROW_COLUMNS - 1;
    } else if (i > 0) {
      put_styled(page, DIM, ARROW);
      used += ARROW_COLUMNS;
    }
    size_t room = width > used + 1 ? width - used : 1;
    size_t bytes = step->columns > room ? bytes_in(step->text, room - 1) : step->bytes;
    fwrite(step->text, 1, bytes, page->out);
    if (step->columns > room)
      fputs("…", page->out);
    used += step->columns < room ? step->columns : room;
  }
  fputc('\n', page->out);
}

/* ---- Lines ----------------------------------------------------------------------------------- */

/* Words, broken at spaces. Ends the last line. */
static void put_wrapped(struct page *page, const char *text, size_t indent) {
  size_t width = page->width > indent ? page->width - indent : 1;
  size_t used = 0;
  while (*text) {
    size_t bytes = strcspn(text, " ");
    size_t columns = columns_of(text, bytes);
    if (used > 0 && used + 1 + columns > width) {
      fputc('\n', page->out);
      put_spaces(page, indent);
      used = 0;
    } else if (used > 0) {
      fputc(' ', page->out);
      used++;
    }
    fwrite(text, 1, bytes, page->out);
    used += columns;
    text += bytes;
    text += strspn(text, " ");
  }
  fputc('\n', page->out);
}

static void put_lines(struct page *page, const struct report_line *lines, uint32_t count) {
  size_t label_columns = 0;
  for (uint32_t i = 0; i < count; i++) {
    size_t columns = utf8_text_columns(lines[i].label);
    label_columns = columns > label_columns ? columns : label_columns;
  }
  size_t indent = MARGIN + label_columns + GAP;
  for (uint32_t i = 0; i < count; i++) {
    put_spaces(page, MARGIN);
    set_style(page, lines[i].is_warning ? HOT : BOLD);
    put_cell(page, lines[i].label, label_columns, REPORT_WORD, false);
    set_style(page, PLAIN);
    put_spaces(page, GAP);
    put_wrapped(page, lines[i].text, indent);
    if (!*lines[i].path)
      continue;
    put_spaces(page, indent);
    put_path(page, lines[i].path, indent);
  }
}

/* ---- Tables ---------------------------------------------------------------------------------- */

struct layout {
  size_t columns[REPORT_COLUMNS_MAX]; /* 0: not shown */
  size_t path_indent;                 /* where the path column begins */
  bool path_is_below;
};

static const struct report_cell *cell_at(const struct report_table *table, uint32_t row,
                                         uint32_t column) {
  return &table->cells[(size_t)row * table->column_count + column];
}

/* The widest cell; 0 when all are empty. */
static size_t natural_columns(const struct report_table *table, uint32_t column) {
  size_t widest = 0;
  for (uint32_t i = 0; i < table->row_count; i++) {
    size_t columns = utf8_text_columns(cell_at(table, i, column)->text);
    widest = columns > widest ? columns : widest;
  }
  size_t title = utf8_text_columns(table->columns[column].title);
  return widest && title > widest ? title : widest;
}

static bool is_flexible(enum report_align align) {
  return align == REPORT_LEFT || align == REPORT_TAIL;
}

/* Takes what is too much from the widest names, column by column; places give way first. */
static void shrink(struct layout *layout, const struct report_table *table, size_t used,
                   size_t width) {
  for (; used > width; used--) {
    uint32_t widest = REPORT_COLUMNS_MAX;
    size_t most = 0;
    for (uint32_t i = 0; i < table->column_count; i++) {
      enum report_align align = table->columns[i].align;
      size_t weight = layout->columns[i] + (align == REPORT_TAIL ? PLACE_YIELD : 0);
      if (!is_flexible(align) || layout->columns[i] <= LEAST_CELL || weight <= most)
        continue;
      widest = i;
      most = weight;
    }
    if (widest == REPORT_COLUMNS_MAX)
      return;
    layout->columns[widest]--;
  }
}

/* Returns the columns that are used then. */
static size_t drop_spare(struct layout *layout, const struct report_table *table, size_t used,
                         size_t width) {
  for (uint32_t i = table->column_count; i-- > 0 && used > width;) {
    if (table->columns[i].align != REPORT_SPARE || !layout->columns[i])
      continue;
    used -= layout->columns[i] + GAP;
    layout->columns[i] = 0;
  }
  return used;
}

static void lay_out(struct layout *layout, const struct page *page,
                    const struct report_table *table) {
  size_t used = MARGIN;
  bool has_path = false;
  *layout = (struct layout){0};
  for (uint32_t i = 0; i < table->column_count; i++) {
    if (table->columns[i].align == REPORT_PATH) {
      has_path = true;
      continue;
    }
    layout->columns[i] = natural_columns(table, i);
    used += layout->columns[i] ? layout->columns[i] + GAP : 0;
  }
  used = drop_spare(layout, table, used, page->width + GAP);
  layout->path_is_below = has_path && used + LEAST_PATH > page->width;
  layout->path_indent = layout->path_is_below ? PATH_INDENT : used;
  if (!has_path || layout->path_is_below)
    shrink(layout, table, used - GAP, page->width);
}

/* The column behind which nothing stands in the line of `row`. */
static uint32_t last_filled(const struct layout *layout, const struct report_table *table,
                            uint32_t row) {
  uint32_t last = 0;
  for (uint32_t i = 0; i < table->column_count; i++) {
    bool is_inline_path = table->columns[i].align == REPORT_PATH && !layout->path_is_below;
    if (is_inline_path || (layout->columns[i] && *cell_at(table, row, i)->text))
      last = i;
  }
  return last;
}

static void put_titles(struct page *page, const struct report_table *table,
                       const struct layout *layout) {
  uint32_t shown = 0;
  uint32_t last = table->column_count; /* behind it nothing stands */
  while (layout->path_is_below && last > 0 && layout->columns[last - 1] == 0)
    last--;
  put_spaces(page, MARGIN);
  set_style(page, DIM);
  for (uint32_t i = 0; i < table->column_count; i++) {
    const struct report_column *column = &table->columns[i];
    bool is_inline_path = column->align == REPORT_PATH && !layout->path_is_below;
    if (layout->columns[i] == 0 && !is_inline_path)
      continue;
    put_spaces(page, shown++ ? GAP : 0);
    if (is_inline_path)
      fputs(column->title, page->out);
    else
      put_cell(page, column->title, layout->columns[i], column->align, i + 1 == last);
  }
  set_style(page, PLAIN);
  fputc('\n', page->out);
}

static enum style style_of(const struct report_column *column, const struct report_cell *cell) {
  if (cell->heat == REPORT_HOT)
    return HOT;
  if (cell->heat == REPORT_WARM)
    return WARM;
  return column->align == REPORT_TAIL ? DIM : PLAIN;
}

static void put_row(struct page *page, const struct report_table *table,
                    const struct layout *layout, uint32_t row) {
  uint32_t last = last_filled(layout, table, row);
  const char *path = NULL;
  put_spaces(page, MARGIN);
  for (uint32_t i = 0; i < table->column_count; i++) {
    const struct report_column *column = &table->columns[i];
    const struct report_cell *cell = cell_at(table, row, i);
    if (column->align == REPORT_PATH)
      path = cell->text;
    if (layout->columns[i] == 0 || i > last)
      continue;
    enum style style = style_of(column, cell);
    if (style != PLAIN)
      set_style(page, style);
    put_cell(page, cell->text, layout->columns[i], column->align, i == last);
    if (style != PLAIN)
      set_style(page, PLAIN);
    put_spaces(page, i == last ? 0 : GAP);
  }
  if (!path || !*path || layout->path_is_below)
    fputc('\n', page->out);
  if (!path || !*path)
    return;
  if (layout->path_is_below)
    put_spaces(page, layout->path_indent);
  put_path(page, path, layout->path_indent);
}

static void put_heading(struct page *page, const char *title, const char *note) {
  fputc('\n', page->out);
  put_styled(page, BOLD, title);
  if (*note) {
    set_style(page, DIM);
    fputs("  ", page->out);
    put_wrapped(page, note, utf8_text_columns(title) + 2);
    set_style(page, PLAIN);
  } else {
    fputc('\n', page->out);
  }
}

static void put_table(struct page *page, const struct report_table *table) {
  struct layout layout;
  lay_out(&layout, page, table);
  put_heading(page, table->title, table->note);
  put_titles(page, table, &layout);
  for (uint32_t i = 0; i < table->row_count; i++)
    put_row(page, table, &layout, i);
  if (table->left_out_count) {
    set_style(page, DIM);
    fprintf(page->out, "%*s… and %llu more\n", MARGIN, "",
            (unsigned long long)table->left_out_count);
    set_style(page, PLAIN);
  }
}

static void put_report(struct page *page, const struct report_content *content) {
  set_style(page, BOLD);
  put_wrapped(page, content->title, 0);
  set_style(page, PLAIN);
  fputc('\n', page->out);
  put_lines(page, content->verdict, content->verdict_count);
  for (uint32_t i = 0; i < content->table_count; i++)
    put_table(page, &content->tables[i]);
  put_heading(page, "Capture", "");
  put_lines(page, content->facts, content->fact_count);
}

int report_render_text(FILE *out, const struct profile *profile,
                       const struct render_options *options) {
  struct summary *summary;
  struct report_content *content;
  uint32_t width = options->width_columns ? options->width_columns : DEFAULT_COLUMNS;
  struct page page = {.out = out, .color = options->color};
  page.width = width < LEAST_COLUMNS ? LEAST_COLUMNS : width > MOST_COLUMNS ? MOST_COLUMNS : width;
  int rc = summary_build(&summary, profile);
  if (rc)
    return rc;
  rc = report_content_build(&content, summary,
                            options->top_count ? options->top_count : DEFAULT_ROWS);
  if (!rc) {
    put_report(&page, content);
    rc = ferror(out) ? -EIO : 0;
  }
  report_content_free(content);
  summary_free(summary);
  return rc;
}
