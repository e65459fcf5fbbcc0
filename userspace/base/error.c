/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the per-thread text of the last failure. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char cause[1024];

int error_set(int errno_value, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(cause, sizeof(cause), format, args);
  va_end(args);
  return -errno_value;
}

int error_errno(const char *format, ...) {
  int saved = errno;
  va_list args;
  va_start(args, format);
  int length = vsnprintf(cause, sizeof(cause), format, args);
  va_end(args);
  if (length >= 0 && (size_t)length < sizeof(cause))
    snprintf(cause + length, sizeof(cause) - (size_t)length, ": %s", strerror(saved));
  return -saved;
}

const char *error_text(void) {
  return cause;
}

void error_clear(void) {
  cause[0] = '\0';
}
