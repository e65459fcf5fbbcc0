/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the builders of the system's tables share: cells and paths. */
#ifndef RAGPROF_RENDER_REPORT_SYSTEM_H
#define RAGPROF_RENDER_REPORT_SYSTEM_H

#include "render/report_content.h"

struct system_report {
  struct report_content *content;
  const struct summary *summary;
  const struct system_part *system;
  const struct profile *profile;
  uint64_t wall_ns;           /* of all threads */
  struct stack_frames frames; /* scratch */
  uint32_t top_count;
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Cells; those of nothing are empty where the name says so. */
struct report_cell system_text(const char *kept);
struct report_cell system_name(struct system_report *report, const char *name);
struct report_cell system_ns(struct system_report *report, uint64_t ns);
struct report_cell system_ns_or_none(struct system_report *report, uint64_t ns);
struct report_cell system_bytes_or_none(struct system_report *report, uint64_t bytes);
struct report_cell system_count(struct system_report *report, uint64_t count);
struct report_cell system_count_or_none(struct system_report *report, uint64_t count);
struct report_cell system_share(struct system_report *report, uint64_t part, uint64_t whole);
struct report_cell system_mean(struct system_report *report, const struct operation_sum *sum);
struct report_cell system_path(struct system_report *report, uint32_t node);
struct report_cell system_pid(struct system_report *report, uint32_t process);
struct report_cell system_object(struct system_report *report, uint32_t object);
struct report_cell system_target(struct system_report *report, uint32_t object); /* never empty */
struct report_cell system_thread(struct system_report *report, uint32_t thread);

/* Stacks that read the same on the page: they differ in what paths leave out. */
struct system_place {
  const char *name; /* of the operation */
  const char *path;
  uint64_t count;
  uint64_t bytes;
  uint64_t total_ns;
};

/* Those of operations_places (the same filters), by time; the caller frees. NULL: there are none,
 * or memory ran out. `count` of them, `left_out_count` more were not looked at. */
struct system_place *system_places(struct system_report *report,
                                   const struct operations *operations, const char *name,
                                   const char *object, uint32_t *count, uint64_t *left_out_count);

/* Whether a further row is shown; else it is counted as left out. */
bool system_has_room(struct system_report *report, struct report_table *table);

/* "ENOENT", "errno 512", "others" for 0. */
const char *system_error_name(char text[32], uint32_t error);
/* Appends how a process ended: "exit 0", "SIGKILL", "SIGSEGV, core dumped". */
void system_put_status(struct buf *buf, int status);

/* The parts: report_system.c calls report_scheduling.c. */
void report_put_scheduling_tables(struct system_report *report);

#endif
