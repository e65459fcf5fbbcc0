/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the help texts and the version text, made from the tables of commands and options. */
#include "cli/help.h"

#include <bpf/libbpf.h>
#include <elfutils/version.h>
#include <string.h>
#include <zstd.h>

#include "cli/arguments.h"
#include "commit.h"
#include "render/render.h"
#include "unwind/cpython.h"

#define TEXT_COLUMNS 96
#define LABEL_COLUMNS 28

/* Columns of UTF-8 text without wide or combining characters: its code points. */
static int columns_of(const char *text, size_t bytes) {
  int columns = 0;
  for (size_t i = 0; i < bytes; i++)
    columns += ((unsigned char)text[i] & 0xc0) != 0x80;
  return columns;
}

/* Writes words, wrapped, from column `at` on; continuation lines start at `indent`. Blank lines in
 * the text stay. */
static void write_wrapped(FILE *out, const char *text, int at, int indent) {
  bool line_is_empty = true;
  while (*text) {
    if (text[0] == '\n' && text[1] == '\n') {
      fprintf(out, "\n\n%*s", indent, "");
      at = indent;
      line_is_empty = true;
    }
    text += strspn(text, " \n");
    size_t length = strcspn(text, " \n");
    int columns = columns_of(text, length);
    if (!line_is_empty && at + 1 + columns > TEXT_COLUMNS) {
      fprintf(out, "\n%*s", indent, "");
      at = indent;
      line_is_empty = true;
    }
    fprintf(out, "%s%.*s", line_is_empty ? "" : " ", (int)length, text);
    at += columns + !line_is_empty;
    line_is_empty = false;
    text += length;
  }
  fputc('\n', out);
}

static void write_row(FILE *out, const char *label, const char *text) {
  int columns = fprintf(out, "  %s", label);
  if (columns + 2 > LABEL_COLUMNS)
    fprintf(out, "\n%*s", LABEL_COLUMNS, "");
  else
    fprintf(out, "%*s", LABEL_COLUMNS - columns, "");
  write_wrapped(out, text, LABEL_COLUMNS, LABEL_COLUMNS);
}

static void write_option(FILE *out, const struct option_spec *option) {
  char label[96], text[512], choices[128] = "";
  const char *value = option_value_name(option);
  if (option->short_name)
    snprintf(label, sizeof(label), "-%c, --%s%s%s", option->short_name, option->long_name,
             *value ? " " : "", value);
  else
    snprintf(label, sizeof(label), "    --%s%s%s", option->long_name, *value ? " " : "", value);
  if (option->type == OPTION_CHOICE)
    snprintf(choices, sizeof(choices), ": %s", option->choices);
  snprintf(text, sizeof(text), "%s%s%s%s%s%s", option->summary, choices,
           option->repeatable ? "; may be given several times" : "",
           option->default_value ? " (default: " : "",
           option->default_value ? option->default_value : "", option->default_value ? ")" : "");
  write_row(out, label, text);
}

static void write_options(FILE *out, const char *title, const struct option_spec *option) {
  bool is_first = true;
  for (; option && option->long_name; option++) {
    if (option_is_hidden(option))
      continue;
    if (is_first)
      fprintf(out, "\n%s:\n", title);
    is_first = false;
    write_option(out, option);
  }
}

static void write_examples(FILE *out, const char *examples) {
  if (!examples)
    return;
  fputs("\nExamples:\n", out);
  while (*examples) {
    size_t length = strcspn(examples, "\n");
    fprintf(out, "%s%.*s\n", length ? "  " : "", (int)length, examples);
    examples += length + (examples[length] == '\n');
  }
}

static void write_exit_codes(FILE *out, const struct command *command) {
  fputs("\nExit codes:\n", out);
  for (const struct exit_meaning *row = command_exit_codes(command); row->code; row++)
    write_row(out, row->code, row->text);
}

void help_command(FILE *out, const struct command *command) {
  fprintf(out, "Usage: ragprof %s\n\n", command->synopsis);
  write_wrapped(out, command->description ? command->description : command->summary, 0, 0);
  write_options(out, "Options", command->options);
  write_options(out, "Common options", common_options);
  write_examples(out, command->examples);
  write_exit_codes(out, command);
}

void help_program(FILE *out) {
  fputs("ragprof " RAGPROF_VERSION ": where the time of a running service goes\n\n"
        "Usage: ragprof COMMAND [OPTIONS] [OPERANDS]\n\nCommands:\n",
        out);
  for (const struct command *const *at = commands; *at; at++)
    write_row(out, (*at)->name, (*at)->summary);
  write_options(out, "Options of every command", common_options);
  write_row(out, "    --version", "show version, commit and features");
  write_exit_codes(out, NULL);
  fputs("\n'ragprof help COMMAND' says more about a command.\n", out);
}

static void write_formats(FILE *out, const char *label, const struct render_format *formats) {
  fprintf(out, "%-12s", label);
  for (const struct render_format *at = formats; at->name; at++)
    fprintf(out, "%s%s", at == formats ? "" : ", ", at->name);
  fputc('\n', out);
}

static void write_pythons(FILE *out) {
  const char *separator = "";
  fprintf(out, "%-12s", "CPython");
  for (uint32_t version = 0x0300; version <= 0x03ff; version++)
    if (cpython_offsets(version)) {
      fprintf(out, "%s%u.%u", separator, version >> 8, version & 0xff);
      separator = ", ";
    }
  fputc('\n', out);
}

void help_version(FILE *out) {
  fprintf(out, "ragprof %s\n", RAGPROF_VERSION);
  fprintf(out, "%-12s%s\n", "commit", RAGPROF_COMMIT);
  fprintf(out, "%-12s%u.%u\n", "libbpf", libbpf_major_version(), libbpf_minor_version());
  fprintf(out, "%-12s%d.%d\n", "elfutils", _ELFUTILS_VERSION / 1000, _ELFUTILS_VERSION % 1000);
  fprintf(out, "%-12s%s\n", "zstd", ZSTD_versionString());
  fprintf(out, "%-12s%d\n", "trace", TRACE_VERSION);
  write_pythons(out);
  write_formats(out, "report", report_formats);
  write_formats(out, "flame", flame_formats);
}
