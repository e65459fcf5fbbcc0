/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `attach` and `run` have in common: the options of a capture, the name of its file, the
 * signals that end it, and the last lines on the terminal. */
#ifndef RAGPROF_CLI_RECORDING_H
#define RAGPROF_CLI_RECORDING_H

#include <signal.h>
#include <stddef.h>
#include <sys/types.h>

#include "capture/session.h"
#include "cli/command.h"

/* Keys of the common options; a command's own begin at RECORDING_KEYS. */
enum {
  KEY_DURATION,
  KEY_FREQUENCY,
  KEY_OUTPUT,
  KEY_FORCE,
  KEY_NO_CHILDREN,
  KEY_NO_INLINES,
  KEY_DEBUGINFOD,
  KEY_PROBE,
  RECORDING_KEYS
};

/* Their rows for a command's option table. */
#define RECORDING_OPTIONS                                                                          \
  {.key = KEY_DURATION,                                                                            \
   .short_name = 'd',                                                                              \
   .long_name = "duration",                                                                        \
   .type = OPTION_DURATION,                                                                        \
   .value_name = "TIME",                                                                           \
   .summary = "stop recording after TIME: 30, 30s, 500ms, 5m, 1h"},                                \
      {.key = KEY_FREQUENCY,                                                                       \
       .short_name = 'F',                                                                          \
       .long_name = "frequency",                                                                   \
       .type = OPTION_COUNT,                                                                       \
       .value_name = "HZ",                                                                         \
       .default_value = "99",                                                                      \
       .summary = "on-CPU samples per second and CPU, 1 to 10000"},                                \
      {.key = KEY_OUTPUT,                                                                          \
       .short_name = 'o',                                                                          \
       .long_name = "output",                                                                      \
       .type = OPTION_FILE,                                                                        \
       .value_name = "FILE",                                                                       \
       .summary = "the trace file (mode 0600); default: ragprof-NAME-PID-TIME.ragprof"},           \
      {.key = KEY_FORCE,                                                                           \
       .long_name = "force",                                                                       \
       .type = OPTION_FLAG,                                                                        \
       .summary = "replace an existing trace file"},                                               \
      {.key = KEY_NO_CHILDREN,                                                                     \
       .long_name = "no-children",                                                                 \
       .type = OPTION_FLAG,                                                                        \
       .summary = "do not follow child processes"},                                                \
      {.key = KEY_NO_INLINES,                                                                      \
       .long_name = "no-inlines",                                                                  \
       .type = OPTION_FLAG,                                                                        \
       .summary = "do not show inlined functions as frames of their own"},                         \
      {.key = KEY_DEBUGINFOD,                                                                      \
       .long_name = "debuginfod",                                                                  \
       .type = OPTION_FLAG,                                                                        \
       .summary = "ask the servers in DEBUGINFOD_URLS for missing symbols"},                       \
  {                                                                                                \
    .key = KEY_PROBE, .long_name = "probe", .type = OPTION_TEXT, .repeatable = true,               \
    .value_name = "SPEC",                                                                          \
    .summary = "time each call of a function, FILE:FUNCTION, FILE:'PATTERN*' or FILE:0xOFFSET, "   \
               "or count a point, usdt:PROVIDER:NAME"                                              \
  }

/* Set by SIGINT, SIGTERM and SIGHUP once recording_catch_signals has been called. */
extern volatile sig_atomic_t recording_stop;
/* The signal that did, if another process sent it to this one alone (kill(1), a supervisor); 0 when
 * the terminal did, which sends it to the whole foreground group. */
extern volatile sig_atomic_t recording_sent_signal;
void recording_catch_signals(void);

/* Fills in the options of a capture. `name` and `pid` go into the default file name, which is put
 * into `path`. EXIT_OK, or EXIT_USAGE after a message. */
int recording_options(const struct command *command, const struct arguments *arguments,
                      const char *name, pid_t pid, char path[], size_t path_bytes,
                      struct session_options *options);

/* Finishes the session and says where the trace is and how to look at it. An exit code. */
int recording_finish(struct session *session, enum session_end end, const char *path);

#endif
