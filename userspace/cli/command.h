/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One command, one file, one exported entry. The table of commands feeds dispatch, --help, man
 * pages and shell completion, so that they cannot disagree. */
#ifndef RAGPROF_CLI_COMMAND_H
#define RAGPROF_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Documented exit codes. `run` passes the child's own status through (128+N for signal N). */
enum exit_code { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

enum option_type {
  OPTION_FLAG, /* value: "1" when given */
  OPTION_TEXT,
  OPTION_COUNT,    /* a whole number ≥ 0 */
  OPTION_DURATION, /* 30, 30s, 500ms, 5m, 1h */
  OPTION_CHOICE,   /* one of `choices` */
  OPTION_FILE,     /* a path: completed as such */
};

/* An option of a command. `key` indexes the parsed values: an enum of the command's own, dense from
 * 0. The table of a command ends with a NULL long_name. */
struct option_spec {
  int key;
  char short_name; /* 0: none */
  const char *long_name;
  enum option_type type;
  bool repeatable;           /* may be given several times; the values are collected in order */
  const char *value_name;    /* "PID"; NULL for flags */
  const char *default_value; /* NULL: unset */
  const char *choices;       /* OPTION_CHOICE: "text|json|markdown" */
  const char *summary;       /* one line for help and man page; NULL: hidden, for the build's use */
};

struct arguments; /* the parsed command line */

/* Parsed values. Text is NULL when unset; numbers are checked and in range by then. */
bool arguments_has(const struct arguments *arguments, int key); /* given on the command line */
const char *arguments_text(const struct arguments *arguments, int key);
uint64_t arguments_count(const struct arguments *arguments, int key);
uint64_t arguments_duration_ns(const struct arguments *arguments, int key);
size_t arguments_values(const struct arguments *arguments, int key, const char *const **values);
/* What is left after the options; after "--" everything is left over. NULL-terminated. */
size_t arguments_rest(const struct arguments *arguments, const char *const **rest);

struct command {
  const char *name;
  const char *synopsis;    /* "attach [OPTIONS] PID..." without the program's name */
  const char *summary;     /* one line */
  const char *description; /* man page DESCRIPTION: paragraphs separated by blank lines */
  const char *examples;    /* lines "$ command" and "# what it does", for help and man page */
  const struct option_spec *options; /* common ones (-q, -v, --color, -h) are added by themselves */
  bool takes_command;                /* options end at the first operand, as with env or nice */
  int (*run)(const struct arguments *arguments); /* an exit code */
};

extern const struct command *const commands[]; /* ends with NULL */

/* Prints "ragprof: …" to stderr, and "ragprof: see 'ragprof help CMD'" for usage errors. Returns
 * EXIT_USAGE or EXIT_FAILED for `return`. The second prints error_text(). */
int command_usage_error(const struct command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int command_failed(void);

#endif
