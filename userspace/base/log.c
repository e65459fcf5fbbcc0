/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns what ragprof says on stderr. Each message is one write; what a target's names put into it
 * cannot steer the terminal. */
#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "base/utf8.h"

#define MESSAGE_BYTES 4096
#define ERASE_LINE "\r\033[K"

static struct {
  enum log_level level;
  bool progress_shown;
} state = {.level = LOG_INFO};

void log_set_level(enum log_level level) {
  state.level = level;
}

/* Copies `from` with '?' for control characters; debug messages may span lines. */
static void make_harmless(char *to, size_t to_bytes, const char *from, bool lines) {
  uint32_t code;
  size_t at = 0;
  for (size_t bytes; (bytes = utf8_decode(from, &code)) > 0; from += bytes) {
    bool kept = !utf8_is_control(code) || code == '\t' || (lines && code == '\n');
    if (at + bytes >= to_bytes)
      break;
    if (!kept || code == UTF8_REPLACEMENT) {
      to[at++] = '?';
      continue;
    }
    for (size_t i = 0; i < bytes; i++)
      to[at++] = from[i];
  }
  to[at] = '\0';
}

static void print(enum log_level level, const char *prefix, const char *format, va_list args) {
  char raw[MESSAGE_BYTES];
  char message[MESSAGE_BYTES];
  if (level > state.level)
    return;
  vsnprintf(raw, sizeof(raw), format, args);
  make_harmless(message, sizeof(message), raw, level == LOG_DEBUG);
  fprintf(stderr, "%sragprof: %s%s\n", state.progress_shown ? ERASE_LINE : "", prefix, message);
  state.progress_shown = false;
}

void log_error(const char *format, ...) {
  va_list args;
  va_start(args, format);
  print(LOG_ERROR, "", format, args);
  va_end(args);
}

void log_warning(const char *format, ...) {
  va_list args;
  va_start(args, format);
  print(LOG_WARNING, "warning: ", format, args);
  va_end(args);
}

void log_info(const char *format, ...) {
  va_list args;
  va_start(args, format);
  print(LOG_INFO, "", format, args);
  va_end(args);
}

void log_debug(const char *format, ...) {
  va_list args;
  va_start(args, format);
  print(LOG_DEBUG, "", format, args);
  va_end(args);
}

static void show_progress(const char *format, va_list args) {
  char raw[MESSAGE_BYTES];
  char message[MESSAGE_BYTES];
  vsnprintf(raw, sizeof(raw), format, args);
  make_harmless(message, sizeof(message), raw, false);
  fprintf(stderr, ERASE_LINE "%s", message);
  state.progress_shown = true;
}

void log_progress(const char *format, ...) {
  va_list args;
  if (!format) {
    if (state.progress_shown)
      fputs(ERASE_LINE, stderr);
    state.progress_shown = false;
    return;
  }
  if (state.level < LOG_INFO || !isatty(STDERR_FILENO))
    return;
  va_start(args, format);
  show_progress(format, args);
  va_end(args);
}
