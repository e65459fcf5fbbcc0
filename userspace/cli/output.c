/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns how results reach disk: whole or not at all, private to the user, never over an existing
 * file unless asked. */
#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/units.h"
#include "cli/arguments.h"

static int open_standard_output(struct output *output) {
  signal(SIGPIPE, SIG_IGN); /* a reader that goes away is an error like any other */
  output->stream = stdout;
  return 0;
}

/* Devices, pipes and sockets hold nothing that could be lost. */
static int open_stream(struct output *output, const char *path) {
  signal(SIGPIPE, SIG_IGN);
  output->stream = fopen(path, "we");
  return output->stream ? 0 : error_errno("%s", path);
}

static int open_temporary(struct output *output, const char *path) {
  int fd;
  if (asprintf(&output->temporary, "%s.XXXXXX", path) < 0) {
    output->temporary = NULL;
    return error_set(ENOMEM, "out of memory");
  }
  fd = mkostemp(output->temporary, O_CLOEXEC); /* mode 0600 */
  if (fd < 0) {
    int error = error_errno("%s", path);
    free(output->temporary);
    output->temporary = NULL;
    return error;
  }
  output->stream = fdopen(fd, "w");
  return output->stream ? 0 : error_errno("%s", path);
}

int output_open(struct output *output, const char *path, bool overwrite) {
  struct stat status;
  int error;
  *output = (struct output){.overwrite = overwrite};
  if (!path || strcmp(path, "-") == 0)
    return open_standard_output(output);
  output->path = strdup(path);
  if (!output->path)
    return error_set(ENOMEM, "out of memory");
  bool exists = stat(path, &status) == 0;
  if (exists && S_ISDIR(status.st_mode))
    error = error_set(EISDIR, "%s: is a directory", path);
  else if (exists && !S_ISREG(status.st_mode))
    error = open_stream(output, path);
  else if (exists && !overwrite)
    error = error_set(EEXIST, "%s: exists already (use --force to replace it)", path);
  else
    error = open_temporary(output, path);
  if (error)
    output_close(output, false);
  return error;
}

static int close_stream(struct output *output) {
  const char *name = output->path ? output->path : "standard output";
  bool failed = ferror(output->stream);
  int error = 0;
  errno = 0;
  if (output->stream == stdout)
    failed |= fflush(stdout) != 0;
  else
    failed |= fclose(output->stream) != 0;
  if (failed && errno == 0)
    errno = EIO;
  if (failed)
    error = error_errno("%s", name);
  if (failed && output->stream == stdout) { /* reported here, not again at exit */
    __fpurge(stdout);
    clearerr(stdout);
  }
  output->stream = NULL;
  return error;
}

/* link() fails where rename() would replace, so a file that appeared meanwhile is kept. Filesystems
 * without hard links get a check instead. */
static int publish(const struct output *output) {
  const char *path = output->path;
  if (!output->overwrite) {
    if (link(output->temporary, path) == 0)
      return 0;
    if (errno == EEXIST || access(path, F_OK) == 0)
      return error_set(EEXIST, "%s: exists already (use --force to replace it)", path);
  }
  return rename(output->temporary, path) == 0 ? 0 : error_errno("%s", path);
}

int output_close(struct output *output, bool keep) {
  int error = 0;
  if (output->stream)
    error = close_stream(output);
  if (output->temporary) {
    if (keep && !error)
      error = publish(output);
    unlink(output->temporary);
  }
  free(output->temporary);
  free(output->path);
  *output = (struct output){0};
  return error;
}

static bool is_standard_output(const char *path) {
  return !path || strcmp(path, "-") == 0;
}

bool output_color(const struct arguments *arguments, const char *path) {
  const char *no_color = getenv("NO_COLOR");
  const char *terminal = getenv("TERM");
  switch (arguments_color(arguments)) {
  case COLOR_ALWAYS:
    return true;
  case COLOR_NEVER:
    return false;
  case COLOR_AUTO:
    break;
  }
  if (!is_standard_output(path) || (no_color && no_color[0]))
    return false;
  return isatty(STDOUT_FILENO) && terminal && strcmp(terminal, "dumb") != 0;
}

uint32_t output_width_columns(const char *path) {
  struct winsize size;
  uint64_t columns;
  const char *text = getenv("COLUMNS");
  if (!is_standard_output(path))
    return 0;
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    return size.ws_col;
  if (text && units_parse_count(text, &columns) == 0 && columns <= 10000)
    return (uint32_t)columns;
  return 0;
}
