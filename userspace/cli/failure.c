/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns how a command says that it failed: here, and only here, a recorded cause is printed. */
#include <stdarg.h>
#include <stdio.h>

#include "base/error.h"
#include "base/log.h"
#include "cli/command.h"

int command_usage_error(const struct command *command, const char *format, ...) {
  char text[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof(text), format, args);
  va_end(args);
  log_error("%s", text);
  log_error("see 'ragprof help %s'", command->name);
  return EXIT_USAGE;
}

int command_failed(void) {
  const char *cause = error_text();
  log_error("%s", cause[0] ? cause : "failed for an unknown reason");
  return EXIT_FAILED;
}
