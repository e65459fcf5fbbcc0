/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `ragprof help`: what the commands do; also the source of the man pages at build time. */
#include <stdio.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/help.h"

extern const struct command command_help;

enum { KEY_MAN, KEY_NAMES };

static const struct option_spec options[] = {
    /* hidden, for the build: no summary */
    {.key = KEY_MAN, .long_name = "man", .type = OPTION_TEXT},
    {.key = KEY_NAMES, .long_name = "names", .type = OPTION_FLAG},
    {0},
};

static int unknown_topic(const char *topic) {
  const char *meant = command_suggest(topic);
  if (meant)
    return command_usage_error(&command_help, "unknown command '%s': did you mean '%s'?", topic,
                               meant);
  return command_usage_error(&command_help, "unknown command '%s'", topic);
}

static int write_man(const char *topic) {
  const struct command *command = command_find(topic);
  if (!command && strcmp(topic, "ragprof") != 0)
    return unknown_topic(topic);
  man_page(stdout, command);
  return EXIT_OK;
}

static void write_names(void) {
  for (const struct command *const *at = commands; *at; at++)
    printf("%s\n", (*at)->name);
}

static int run(const struct arguments *arguments) {
  const char *const *rest;
  size_t count = arguments_rest(arguments, &rest);
  if (arguments_has(arguments, KEY_MAN))
    return write_man(arguments_text(arguments, KEY_MAN));
  if (arguments_has(arguments, KEY_NAMES)) {
    write_names();
    return EXIT_OK;
  }
  if (count > 1)
    return command_usage_error(&command_help, "one COMMAND at a time, found also '%s'", rest[1]);
  if (count == 0) {
    help_program(stdout);
    return EXIT_OK;
  }
  const struct command *command = command_find(rest[0]);
  if (!command)
    return unknown_topic(rest[0]);
  help_command(stdout, command);
  return EXIT_OK;
}

const struct command command_help = {
    .name = "help",
    .synopsis = "help [OPTIONS] [COMMAND]",
    .summary = "explain a command, or list them all",
    .description = "Says what ragprof's commands are or, with COMMAND, what that one does, its "
                   "options, examples and exit codes. The man pages say the same: 'man "
                   "ragprof-report'.",
    .examples = "$ ragprof help report\n",
    .options = options,
    .run = run,
};
