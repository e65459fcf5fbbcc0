/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the tables of system calls, files, peers, disks and page faults. */
#include <stdlib.h>

#include "base/buf.h"
#include "render/report_name.h"
#include "render/report_system.h"

/* ---- System calls ---------------------------------------------------------------------------- */

static void put_syscalls(struct system_report *report) {
  static const struct report_column columns[] = {
      {"call", REPORT_WORD},     {"time", REPORT_RIGHT},   {"share", REPORT_RIGHT},
      {"calls", REPORT_RIGHT},   {"median", REPORT_RIGHT}, {"99 %", REPORT_RIGHT},
      {"longest", REPORT_RIGHT}, {"bytes", REPORT_SPARE},  {"errors", REPORT_SPARE},
      {"95 %", REPORT_SPARE},
  };
  const struct operations *syscalls = &report->system->syscalls;
  if (syscalls->count == 0)
    return;
  struct report_table *table =
      report_add_table(report->content, "System calls", columns, COUNT(columns));
  for (uint32_t i = 0; table && i < syscalls->count; i++) {
    const struct operation_sum *sum = &syscalls->rows[i].sum;
    struct report_cell *row =
        system_has_room(report, table) ? report_add_row(report->content, table) : NULL;
    if (!row)
      continue;
    row[0] = system_name(report, syscalls->rows[i].name);
    row[1] = system_ns_or_none(report, sum->total_ns);
    row[2] = system_share(report, sum->total_ns, report->wall_ns);
    row[2].heat = REPORT_PLAIN;
    row[3] = system_count(report, sum->count);
    row[6] = system_ns_or_none(report, sum->max_ns);
    row[7] = system_bytes_or_none(report, sum->bytes);
    row[8] = system_count_or_none(report, sum->errors);
    if (!sum->has_percentiles)
      continue;
    row[4] = system_ns_or_none(report, sum->p50_ns);
    row[5] = system_ns_or_none(report, sum->p99_ns);
    row[9] = system_ns_or_none(report, sum->p95_ns);
  }
  if (table)
    table->note = report_keep_format(report->content, "of %s thread time, exact",
                                     report_keep_ns(report->content, report->wall_ns));
}

static void put_syscall_stacks(struct system_report *report) {
  static const struct report_column columns[] = {
      {"call", REPORT_WORD},   {"time", REPORT_RIGHT}, {"share", REPORT_RIGHT},
      {"calls", REPORT_RIGHT}, {"mean", REPORT_RIGHT}, {"bytes", REPORT_SPARE},
      {"stack", REPORT_PATH},
  };
  uint32_t count;
  uint64_t left_out_count;
  struct system_place *places =
      system_places(report, &report->system->syscalls, NULL, NULL, &count, &left_out_count);
  struct report_table *table =
      places ? report_add_table(report->content, "System calls by stack", columns, COUNT(columns))
             : NULL;
  for (uint32_t i = 0; table && i < count; i++) {
    const struct system_place *place = &places[i];
    struct report_cell *row =
        system_has_room(report, table) ? report_add_row(report->content, table) : NULL;
    if (!row)
      continue;
    row[0] = system_name(report, place->name);
    row[1] = system_ns(report, place->total_ns);
    row[2] = system_share(report, place->total_ns, report->wall_ns);
    row[2].heat = REPORT_PLAIN;
    row[3] = system_count(report, place->count);
    row[4] = system_ns_or_none(report, place->count ? place->total_ns / place->count : 0);
    row[5] = system_bytes_or_none(report, place->bytes);
    row[6] = system_text(place->path);
  }
  if (table) {
    table->note = "of thread time";
    table->left_out_count += left_out_count;
  }
  free(places);
}

/* "ENOENT 12, EACCES 3" */
static const char *keep_errors(struct system_report *report, const struct operation_row *from) {
  struct buf buf = {0};
  char text[32];
  for (uint32_t i = 0; i < from->error_count; i++)
    buf_printf(&buf, "%s%s %s", i ? ", " : "", system_error_name(text, from->errors[i].error),
               report_keep_count(report->content, from->errors[i].count));
  const char *kept = report_keep(report->content, buf_text(&buf));
  report->content->failed |= buf.failed;
  buf_fini(&buf);
  return kept;
}

static void put_syscall_errors(struct system_report *report) {
  static const struct report_column columns[] = {
      {"call", REPORT_WORD},
      {"errors", REPORT_RIGHT},
      {"of its calls", REPORT_RIGHT},
      {"which", REPORT_LEFT},
  };
  const struct operations *syscalls = &report->system->syscalls;
  struct report_table *table = NULL;
  for (uint32_t i = 0; i < syscalls->count; i++) {
    const struct operation_row *from = &syscalls->rows[i];
    if (!from->sum.errors)
      continue;
    if (!table)
      table = report_add_table(report->content, "Errors of system calls", columns, COUNT(columns));
    if (!table)
      return;
    struct report_cell *row =
        system_has_room(report, table) ? report_add_row(report->content, table) : NULL;
    if (!row)
      continue;
    row[0] = system_name(report, from->name);
    row[1] = system_count(report, from->sum.errors);
    row[2] = system_share(report, from->sum.errors, from->sum.count);
    row[2].heat = REPORT_PLAIN;
    row[3] = system_text(keep_errors(report, from));
  }
}

static void put_slow(struct system_report *report) {
  static const struct report_column columns[] = {
      {"call", REPORT_WORD},     {"time", REPORT_RIGHT},   {"calls", REPORT_RIGHT},
      {"longest", REPORT_RIGHT}, {"errors", REPORT_SPARE}, {"on", REPORT_TAIL},
      {"stack", REPORT_PATH},
  };
  const struct slow *slow = &report->system->slow;
  if (slow->count == 0)
    return;
  struct report_table *table =
      report_add_table(report->content, "Slow system calls", columns, COUNT(columns));
  for (uint32_t i = 0; table && i < slow->count; i++) {
    const struct slow_row *from = &slow->rows[i];
    struct report_cell *row =
        system_has_room(report, table) ? report_add_row(report->content, table) : NULL;
    if (!row)
      continue;
    row[0] = system_name(report, from->name);
    row[1] = system_ns(report, from->total_ns);
    row[2] = system_count(report, from->count);
    row[3] = system_ns(report, from->max_ns);
    row[4] = system_count_or_none(report, from->errors);
    row[5] = system_object(report, from->object);
    row[6] = system_path(report, from->node);
  }
  if (table)
    table->note = "those of over 1 ms, by what they were done to and stack";
}

/* ---- Files, peers, disks --------------------------------------------------------------------- */

static void put_files(struct system_report *report) {
  static const struct report_column columns[] = {
      {"file", REPORT_TAIL},    {"time", REPORT_RIGHT},   {"reads", REPORT_RIGHT},
      {"read", REPORT_RIGHT},   {"writes", REPORT_RIGHT}, {"written", REPORT_RIGHT},
      {"cached", REPORT_SPARE}, {"opens", REPORT_SPARE},  {"fsyncs", REPORT_SPARE},
  };
  const struct io *files = &report->system->files;
  if (files->count == 0)
    return;
  struct report_table *table = report_add_table(report->content, "Files", columns, COUNT(columns));
  for (uint32_t i = 0; table && i < files->count; i++) {
    const struct io_row *from = &files->rows[i];
    struct report_cell *row =
        system_has_room(report, table) ? report_add_row(report->content, table) : NULL;
    if (!row)
      continue;
    double cached_pct = io_cached_pct(from);
    row[0] = system_target(report, from->object);
    row[1] = system_ns_or_none(report, from->total_ns);
    row[2] = system_count_or_none(report, io_sum(from, IO_READ)->count);
    row[3] = system_bytes_or_none(report, io_sum(from, IO_READ)->bytes);
    row[4] = system_count_or_none(report, io_sum(from, IO_WRITE)->count);
    row[5] = system_bytes_or_none(report, io_sum(from, IO_WRITE)->bytes);
    row[6] = system_text(cached_pct < 0 ? "" : report_keep_pct(report->content, cached_pct));
    row[7] = system_count_or_none(report, io_sum(from, IO_OPEN)->count);
    row[8] = system_count_or_none(report, io_sum(from, IO_FSYNC)->count);
  }
  if (table)
    table->note = "time in system calls; cached: of the bytes read, not from the device";
}

static void put_peers(struct system_report *report) {
  static const struct report_column columns[] = {
      {"peer", REPORT_LEFT},      {"receiving", REPORT_RIGHT},   {"longest", REPORT_RIGHT},
      {"received", REPORT_RIGHT}, {"sent", REPORT_RIGHT},        {"connects", REPORT_SPARE},
      {"each", REPORT_SPARE},     {"retransmits", REPORT_SPARE}, {"accepts", REPORT_SPARE},
  };
  const struct io *peers = &report->system->peers;
  if (peers->count == 0)
    return;
  struct report_table *table = report_add_table(report->content, "Peers", columns, COUNT(columns));
  for (uint32_t i = 0; table && i < peers->count; i++) {
    const struct io_row *from = &peers->rows[i];
    struct report_cell *row =
        system_has_room(report, table) ? report_add_row(report->content, table) : NULL;
    if (!row)
      continue;
    row[0] = system_target(report, from->object);
    row[1] = system_ns_or_none(report, io_sum(from, IO_RECEIVE)->total_ns);
    row[2] = system_ns_or_none(report, io_sum(from, IO_RECEIVE)->max_ns);
    row[3] = system_bytes_or_none(report, io_sum(from, IO_RECEIVE)->bytes);
    row[4] = system_bytes_or_none(report, io_sum(from, IO_SEND)->bytes);
    row[5] = system_count_or_none(report, io_sum(from, IO_CONNECT)->count);
    row[6] = system_mean(report, io_sum(from, IO_CONNECT));
    row[7] = system_count_or_none(report, io_sum(from, IO_RETRANSMIT)->count);
    row[8] = system_count_or_none(report, io_sum(from, IO_ACCEPT)->count);
  }
  if (table)
    table->note = "receiving: time in receive, waiting included; each: mean of the connects";
}

/* Each kind of operation of each object, with its latency and the stack with most of it. */
static void put_operations(struct system_report *report, const struct operations *operations,
                           const char *title) {
  static const struct report_column columns[] = {
      {"kind", REPORT_WORD},  {"time", REPORT_RIGHT},    {"count", REPORT_RIGHT},
      {"mean", REPORT_RIGHT}, {"longest", REPORT_RIGHT}, {"bytes", REPORT_SPARE},
      {"99 %", REPORT_SPARE}, {"errors", REPORT_SPARE},  {"on", REPORT_TAIL},
      {"stack", REPORT_PATH},
  };
  if (operations->count == 0)
    return;
  const struct operation_row **rows = operations_by_time(operations, report->profile);
  struct report_table *table = report_add_table(report->content, title, columns, COUNT(columns));
  report->content->failed |= !rows;
  for (uint32_t i = 0; rows && table && i < operations->count; i++) {
    const struct operation_sum *sum = &rows[i]->sum;
    struct report_cell *row =
        system_has_room(report, table) ? report_add_row(report->content, table) : NULL;
    if (!row)
      continue;
    row[0] = system_name(report, rows[i]->name);
    row[1] = system_ns_or_none(report, sum->total_ns);
    row[2] = system_count(report, sum->count);
    row[3] = system_mean(report, sum);
    row[4] = system_ns_or_none(report, sum->max_ns);
    row[5] = system_bytes_or_none(report, sum->bytes);
    row[6] = system_ns_or_none(report, sum->has_percentiles ? sum->p99_ns : 0);
    row[7] = system_count_or_none(report, sum->errors);
    row[8] = system_target(report, rows[i]->object);
    row[9] = system_path(report, rows[i]->stack_count ? rows[i]->stacks[0].node : PROFILE_NONE);
  }
  if (table)
    table->note = "with the stack that most of it was spent at";
  free(rows);
}

/* ---- Page faults ----------------------------------------------------------------------------- */

static void put_fault_row(struct system_report *report, struct report_table *table,
                          struct report_cell of, const uint64_t figures[4]) {
  struct report_cell *row =
      system_has_room(report, table) ? report_add_row(report->content, table) : NULL;
  if (!row)
    return;
  row[0] = of;
  row[1] = system_count_or_none(report, figures[0]);
  row[2] = system_count_or_none(report, figures[1]);
  row[3] = system_bytes_or_none(report, figures[2]);
  row[4] = system_ns_or_none(report, figures[3]);
}

/* The first row has the whole: of what is mapped, not everything may be known. */
static void put_faults(struct system_report *report) {
  static const struct report_column columns[] = {
      {"of", REPORT_TAIL},     {"major", REPORT_RIGHT}, {"minor", REPORT_RIGHT},
      {"bytes", REPORT_RIGHT}, {"time", REPORT_RIGHT},
  };
  const struct faults *faults = &report->system->faults;
  if (faults->major + faults->minor == 0)
    return;
  struct report_table *table =
      report_add_table(report->content, "Page faults", columns, COUNT(columns));
  if (!table)
    return;
  put_fault_row(
      report, table, system_text("(all)"),
      (const uint64_t[]){faults->major, faults->minor, 0, faults->on_cpu_ns + faults->blocked_ns});
  for (uint32_t i = 0; i < faults->objects.count; i++) {
    const struct io_row *from = &faults->objects.rows[i];
    const struct operation_sum *major = io_sum(from, IO_MAJOR), *minor = io_sum(from, IO_MINOR);
    put_fault_row(report, table, system_target(report, from->object),
                  (const uint64_t[]){major->count, minor->count, major->bytes + minor->bytes,
                                     major->total_ns + minor->total_ns});
  }
  table->note = faults->is_exact ? "the first row: as the kernel itself counts"
                                 : "major: the page had to be read";
}

static void put_fault_stacks(struct system_report *report) {
  static const struct report_column columns[] = {
      {"time", REPORT_RIGHT},    {"on CPU", REPORT_RIGHT},   {"waiting", REPORT_RIGHT},
      {"major", REPORT_RIGHT},   {"minor", REPORT_RIGHT},    {"bytes", REPORT_SPARE},
      {"longest", REPORT_SPARE}, {"mostly of", REPORT_TAIL}, {"stack", REPORT_PATH},
  };
  const struct faults *faults = &report->system->faults;
  if (faults->stack_count == 0)
    return;
  struct report_table *table =
      report_add_table(report->content, "Page faults by stack", columns, COUNT(columns));
  for (uint32_t i = 0; table && i < faults->stack_count; i++) {
    const struct fault_stack *from = &faults->stacks[i];
    struct report_cell *row =
        system_has_room(report, table) ? report_add_row(report->content, table) : NULL;
    if (!row)
      continue;
    row[0] = system_ns(report, from->on_cpu_ns + from->blocked_ns);
    row[1] = system_ns_or_none(report, from->on_cpu_ns);
    row[2] = system_ns_or_none(report, from->blocked_ns);
    row[3] = system_count_or_none(report, from->major);
    row[4] = system_count_or_none(report, from->minor);
    row[5] = system_bytes_or_none(report, from->bytes);
    row[6] = system_ns_or_none(report, from->max_ns);
    row[7] = system_object(report, from->object);
    row[8] = system_path(report, from->node);
  }
  if (table)
    table->note = "on CPU: samples within the kernel's handler; waiting: for the page";
}

void report_put_system_tables(struct report_content *content, const struct summary *summary,
                              uint32_t top_count) {
  struct system_report report = {.content = content,
                                 .summary = summary,
                                 .system = &summary->system,
                                 .profile = summary->profile,
                                 .wall_ns = summary->accounting.total.wall_ns,
                                 .top_count = top_count};
  put_syscalls(&report);
  put_syscall_stacks(&report);
  put_syscall_errors(&report);
  put_slow(&report);
  put_files(&report);
  put_operations(&report, &report.system->files.operations, "File operations");
  put_peers(&report);
  put_operations(&report, &report.system->peers.operations, "Socket operations");
  put_operations(&report, &report.system->disks.operations, "Block requests");
  put_faults(&report);
  put_fault_stacks(&report);
  report_put_scheduling_tables(&report);
  stack_frames_fini(&report.frames);
}
