/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages on stderr: the one mutable global besides the stop flag. */
#ifndef RAGPROF_BASE_LOG_H
#define RAGPROF_BASE_LOG_H

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/* Messages above `level` are dropped. -q: LOG_ERROR; default: LOG_INFO; -v: LOG_DEBUG. */
void log_set_level(enum log_level level);

/* "ragprof: text" with a newline; warnings say "ragprof: warning: text". */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A line that is replaced by the next one, on a terminal only; NULL erases it. */
void log_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
