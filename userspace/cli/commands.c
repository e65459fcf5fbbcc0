/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the table of commands and what can be said about a command from its entry alone. */
#include <string.h>

#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/help.h"

extern const struct command command_attach, command_run, command_report, command_flame,
    command_doctor, command_help, command_completion;

const struct command *const commands[] = {
    &command_attach, &command_run,  &command_report,     &command_flame,
    &command_doctor, &command_help, &command_completion, NULL,
};

const struct command *command_find(const char *name) {
  for (const struct command *const *at = commands; *at; at++)
    if (strcmp((*at)->name, name) == 0)
      return *at;
  return NULL;
}

const char *command_suggest(const char *name) {
  const char *best = NULL;
  unsigned best_edits = suggest_limit(name) + 1;
  for (const struct command *const *at = commands; *at; at++)
    suggest_consider(name, (*at)->name, &best, &best_edits);
  return best;
}

const char *option_value_name(const struct option_spec *option) {
  if (!option_takes_value(option))
    return "";
  return option->value_name ? option->value_name : "VALUE";
}

const struct exit_meaning *command_exit_codes(const struct command *command) {
  static const struct exit_meaning usual[] = {
      {"0", "success"},
      {"1", "failure; the cause is on standard error"},
      {"2", "wrong usage: an unknown option, a bad value, an operand too few or too many"},
      {NULL, NULL},
  };
  static const struct exit_meaning examiner[] = {
      {"0", "'ragprof attach' would work"},
      {"1", "it would not: something is missing"},
      {"2", "wrong usage: an unknown option, a bad value, an operand"},
      {NULL, NULL},
  };
  static const struct exit_meaning runner[] = {
      {"N", "the exit status of the command that was run; 128+N when signal N ended it"},
      {"1", "ragprof itself failed; the cause is on standard error"},
      {"2", "wrong usage: an unknown option, a bad value, no command"},
      {"126, 127", "the command could not be executed, was not found"},
      {NULL, NULL},
  };
  if (command && command->takes_command)
    return runner;
  return command && strcmp(command->name, "doctor") == 0 ? examiner : usual;
}

enum operand_kind command_operands(const struct command *command) {
  static const struct {
    const char *word;
    enum operand_kind kind;
  } words[] = {
      {" FILE", OPERAND_FILE},
      {" PID", OPERAND_PID},
      {"[PID", OPERAND_PID},
      {"[COMMAND]", OPERAND_COMMAND},
      {"bash|zsh|fish", OPERAND_SHELL},
  };
  if (command->takes_command)
    return OPERAND_PROGRAM;
  for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
    if (strstr(command->synopsis, words[i].word))
      return words[i].kind;
  return OPERAND_NONE;
}
