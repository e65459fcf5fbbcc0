/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the trace says about host, capture, cost and loss, in the names that trace/trace.h lists. */
#ifndef RAGPROF_CAPTURE_FACTS_H
#define RAGPROF_CAPTURE_FACTS_H

#include <stdint.h>
#include <sys/resource.h>

#include "capture/process.h"
#include "capture/programs.h"
#include "capture/session.h"
#include "capture/stacks.h"
#include "trace/writer.h"

void facts_put_start(struct trace_writer *writer, const struct session_options *options);
/* What is sampled on, and who records. */
void facts_put_source(struct trace_writer *writer, const char *event, bool has_bpf, bool has_shim);

struct facts_end {
  uint64_t duration_ns;
  const char *end;
  const struct programs *programs; /* NULL without BPF */
  struct process_store *processes;
  struct stack_statistics statistics;
  uint64_t table_bytes;
  uint64_t samples;                    /* taken in */
  const struct rusage *usage_at_start; /* of the recording */
  const struct rusage *usage_at_end;
};

/* Returns how many events were lost. */
uint64_t facts_put_end(struct trace_writer *writer, const struct facts_end *end);

#endif
