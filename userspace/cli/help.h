/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Everything that is generated from the tables of commands and options: help, the version, man
 * pages, shell completion. */
#ifndef RAGPROF_CLI_HELP_H
#define RAGPROF_CLI_HELP_H

#include <stdio.h>

#include "cli/command.h"

void help_program(FILE *out);
void help_command(FILE *out, const struct command *command);
void help_version(FILE *out);

/* The page of a command, or of the program when it is NULL; man(7) macros. */
void man_page(FILE *out, const struct command *command);

/* 0, or -EINVAL for a shell other than bash, zsh and fish. */
int completion_script(FILE *out, const char *shell);

/* NULL when there is no such command. */
const struct command *command_find(const char *name);
/* The existing command that a misspelt name most likely means, or NULL. */
const char *command_suggest(const char *name);

/* "FORMAT" of "--format FORMAT"; "" for a flag. */
const char *option_value_name(const struct option_spec *option);

/* What an exit code of a command means. A NULL text ends the table. */
struct exit_meaning {
  const char *code;
  const char *text;
};
const struct exit_meaning *command_exit_codes(const struct command *command);

/* What the operands of a command are, read off its synopsis. */
enum operand_kind {
  OPERAND_NONE,
  OPERAND_FILE,
  OPERAND_PID,
  OPERAND_PROGRAM,
  OPERAND_COMMAND,
  OPERAND_SHELL,
};
enum operand_kind command_operands(const struct command *command);

#endif
