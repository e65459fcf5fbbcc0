/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parses a command line against the tables of command.h. Commands read the result through the
 * accessors of command.h; this header is for main, help, man and completion. */
#ifndef RAGPROF_CLI_ARGUMENTS_H
#define RAGPROF_CLI_ARGUMENTS_H

#include "cli/command.h"

/* The options that every command has, as a table like a command's own. */
enum common_key { COMMON_QUIET, COMMON_VERBOSE, COMMON_COLOR, COMMON_HELP, COMMON_COUNT };
extern const struct option_spec common_options[];

enum color_mode { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

/* `words` starts behind the command's name and must outlive the result. 0, -ENOMEM, or -EINVAL with
 * the cause in error_text(). Parsing ends at -h: what follows it is not looked at. */
int arguments_parse(struct arguments **out, const struct command *command, int count,
                    char *const *words);
void arguments_free(struct arguments *arguments);

bool arguments_common(const struct arguments *arguments, enum common_key key);
enum color_mode arguments_color(const struct arguments *arguments);
const struct command *arguments_command(const struct arguments *arguments);

/* An option without a summary is for the project's own use: no help, man page or completion
 * mentions it. */
bool option_is_hidden(const struct option_spec *option);
bool option_takes_value(const struct option_spec *option);

/* The candidate that a misspelt word most likely means: at most `limit` edits away (insert, delete,
 * replace, swap of neighbours). `best` and `best_edits` carry the result over several calls; start
 * with NULL and limit + 1. */
void suggest_consider(const char *word, const char *candidate, const char **best,
                      unsigned *best_edits);
unsigned suggest_limit(const char *word);

#endif
