/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the way from the command line to a command and back to an exit code. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/help.h"

/* A caller may have closed standard descriptors; a trace file must not become number 2. */
static void occupy_standard_descriptors(void) {
  int fd;
  do
    fd = open("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd > STDERR_FILENO)
    close(fd);
}

/* The exit code, or EXIT_FAILED when standard output could not take all that was written to it. A
 * reader that went away (EPIPE) knows that; it gets no message. */
static int finish(int exit_code) {
  bool failed = ferror(stdout);
  errno = 0;
  if (fflush(stdout) == 0 && !failed)
    return exit_code;
  if (errno != EPIPE)
    log_error("standard output: %s", errno ? strerror(errno) : "write error");
  return exit_code == EXIT_OK ? EXIT_FAILED : exit_code;
}

static int run_command(const struct command *command, int count, char **words) {
  struct arguments *arguments = NULL;
  int error = arguments_parse(&arguments, command, count, words);
  if (error == -EINVAL)
    return command_usage_error(command, "%s", error_text());
  if (error)
    return command_failed();
  bool quiet = arguments_common(arguments, COMMON_QUIET);
  bool verbose = arguments_common(arguments, COMMON_VERBOSE);
  int exit_code = EXIT_OK;
  log_set_level(quiet ? LOG_ERROR : verbose ? LOG_DEBUG : LOG_INFO);
  if (arguments_common(arguments, COMMON_HELP))
    help_command(stdout, command);
  else if (quiet && verbose)
    exit_code = command_usage_error(command, "--quiet and --verbose exclude each other");
  else
    exit_code = command->run(arguments);
  arguments_free(arguments);
  return exit_code;
}

static int unknown_command(const char *name) {
  const char *meant = command_suggest(name);
  if (name[0] == '-')
    log_error("unknown option '%s': options stand behind the command's name", name);
  else if (meant)
    log_error("unknown command '%s': did you mean '%s'?", name, meant);
  else
    log_error("unknown command '%s'", name);
  log_error("see 'ragprof help'");
  return EXIT_USAGE;
}

static int dispatch(int argc, char **argv) {
  if (argc < 2) {
    help_program(stderr);
    return EXIT_USAGE;
  }
  const char *name = argv[1];
  const struct command *command = command_find(name);
  if (command)
    return run_command(command, argc - 2, argv + 2);
  if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
    help_program(stdout);
  else if (strcmp(name, "--version") == 0)
    help_version(stdout);
  else
    return unknown_command(name);
  return EXIT_OK;
}

int main(int argc, char **argv) {
  occupy_standard_descriptors();
  return finish(dispatch(argc, argv));
}
