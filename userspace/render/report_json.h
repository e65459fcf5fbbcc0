/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the JSON report share. */
#ifndef RAGPROF_RENDER_REPORT_JSON_H
#define RAGPROF_RENDER_REPORT_JSON_H

#include "analysis/summary.h"
#include "base/json.h"

struct report_json {
  struct json json;
  const struct summary *summary;
  const struct profile *profile;
  uint32_t top_count;
  uint32_t stacks_max;        /* of the row that is printed */
  struct stack_frames frames; /* scratch */
  bool failed;                /* memory ran out: something is missing */
};

/* Times are printed in ms, shares in percent. */
void report_json_ms(struct report_json *writer, const char *key, uint64_t ns);
void report_json_pct(struct report_json *writer, const char *key, uint64_t part, uint64_t whole);
/* How many of `count` rows are printed. */
uint32_t report_json_shown(const struct report_json *writer, uint32_t count);
/* The members "path" and "stack" of a node of the profile. */
void report_json_stack(struct report_json *writer, uint32_t node);

/* The members of memory and calls: report_json_memory.c. */
void report_json_put_memory(struct report_json *writer);
void report_json_put_calls(struct report_json *writer);

/* The members of the system's part, and what they add to a row of processes[]:
 * report_json_system.c, report_json_scheduling.c. */
void report_json_put_system(struct report_json *writer);
void report_json_put_process(struct report_json *writer, uint32_t process);

#endif
