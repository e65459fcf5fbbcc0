/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names the native, kernel and run-time compiled frames of a capture, at its end. */
#ifndef RAGPROF_CAPTURE_NAMING_H
#define RAGPROF_CAPTURE_NAMING_H

#include <stdbool.h>

#include "capture/process.h"
#include "capture/stacks.h"
#include "trace/writer.h"

struct naming_options {
  bool inlines;
  bool follow_debuginfod;
};

/* Puts a trace_symbol for every frame that has a name. What cannot be named stays module+offset. */
void name_frames(struct stack_store *stacks, struct process_store *processes,
                 struct trace_writer *writer, const struct naming_options *options);

/* The perf map of a process that is ending is read before it is gone. */
void name_jit_frames(struct stack_store *stacks, struct process *process,
                     struct trace_writer *writer);

#endif
