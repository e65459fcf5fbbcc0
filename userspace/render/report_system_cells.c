/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the wording of the cells of the system's tables. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/units.h"
#include "render/report_name.h"
#include "render/report_system.h"

#define HOT_PCT 10.0
#define WARM_PCT 3.0

struct report_cell system_text(const char *kept) {
  return (struct report_cell){.text = kept};
}

struct report_cell system_name(struct system_report *report, const char *name) {
  return system_text(report_keep_clean(report->content, name));
}

struct report_cell system_ns(struct system_report *report, uint64_t ns) {
  return system_text(report_keep_ns(report->content, ns));
}

struct report_cell system_ns_or_none(struct system_report *report, uint64_t ns) {
  return ns ? system_ns(report, ns) : system_text("");
}

struct report_cell system_bytes_or_none(struct system_report *report, uint64_t bytes) {
  char text[UNITS_TEXT_BYTES];
  return system_text(bytes ? report_keep(report->content, units_bytes(text, bytes)) : "");
}

struct report_cell system_count(struct system_report *report, uint64_t count) {
  return system_text(report_keep_count(report->content, count));
}

struct report_cell system_count_or_none(struct system_report *report, uint64_t count) {
  return count ? system_count(report, count) : system_text("");
}

struct report_cell system_share(struct system_report *report, uint64_t part, uint64_t whole) {
  double pct = percent_of(part, whole);
  enum report_heat heat = pct >= HOT_PCT    ? REPORT_HOT
                          : pct >= WARM_PCT ? REPORT_WARM
                                            : REPORT_PLAIN;
  return (struct report_cell){.text = report_keep_pct(report->content, pct), .heat = heat};
}

struct report_cell system_mean(struct system_report *report, const struct operation_sum *sum) {
  return system_ns_or_none(report, sum->count ? sum->total_ns / sum->count : 0);
}

struct report_cell system_path(struct system_report *report, uint32_t node) {
  if (node == PROFILE_NONE)
    return system_text("");
  if (profile_frames(report->profile, node, &report->frames))
    report->content->failed = true;
  return system_text(report_keep_path(report->content, report->profile, &report->frames));
}

struct report_cell system_pid(struct system_report *report, uint32_t process) {
  return system_text(
      report_keep_format(report->content, "%u", report->profile->processes[process].pid));
}

struct report_cell system_object(struct system_report *report, uint32_t object) {
  return system_name(report, operations_object_name(report->profile, object));
}

struct report_cell system_target(struct system_report *report, uint32_t object) {
  const char *name = operations_object_name(report->profile, object);
  return *name ? system_name(report, name) : system_text("(not known)");
}

struct report_cell system_thread(struct system_report *report, uint32_t thread) {
  if (thread == PROFILE_NONE)
    return system_text("not known");
  return system_name(report, report->profile->threads[thread].name);
}

bool system_has_room(struct system_report *report, struct report_table *table) {
  if (table->row_count < report->top_count)
    return true;
  table->left_out_count++;
  return false;
}

const char *system_error_name(char text[32], uint32_t error) {
  const char *name = error ? strerrorname_np((int)error) : "others";
  if (name)
    return name;
  snprintf(text, 32, "errno %u", error);
  return text;
}

void system_put_status(struct buf *buf, int status) {
  const char *name;
  if (WIFEXITED(status)) {
    buf_printf(buf, "exit %d", WEXITSTATUS(status));
    return;
  }
  if (!WIFSIGNALED(status)) {
    buf_printf(buf, "status %d", status);
    return;
  }
  name = sigabbrev_np(WTERMSIG(status));
  if (name)
    buf_printf(buf, "SIG%s", name);
  else
    buf_printf(buf, "signal %d", WTERMSIG(status));
  buf_put_text(buf, WCOREDUMP(status) ? ", core dumped" : "");
}
