/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns what a report says of memory and of timed calls: the verdict on leaks, and the tables. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/calltree.h"
#include "base/buf.h"
#include "base/units.h"
#include "render/report_content.h"
#include "render/report_name.h"
#include "render/report_site.h"

#define LEAK_LINES_MAX 3
#define RISING_BYTES_PER_S 1024 /* slower growth of RSS is not said in the verdict */

struct memory_report {
  struct report_content *content;
  const struct summary *summary;
  const struct profile *profile;
  struct stack_frames frames; /* scratch */
  uint32_t top_count;
  bool by_iteration; /* slopes are shown by iteration */
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *keep(struct memory_report *report, struct buf *buf) {
  const char *kept = report_keep(report->content, buf_text(buf));
  report->content->failed |= buf->failed;
  buf_fini(buf);
  return kept;
}

/* Estimates are marked by "≈", but for those of nothing. */
static void put_bytes(struct buf *buf, uint64_t bytes, bool is_estimate) {
  char text[UNITS_TEXT_BYTES];
  buf_printf(buf, "%s%s", is_estimate && bytes ? "≈" : "", units_bytes(text, bytes));
}

static void put_count(struct memory_report *report, struct buf *buf, uint64_t count,
                      bool is_estimate) {
  buf_printf(buf, "%s%s", is_estimate && count ? "≈" : "",
             report_keep_count(report->content, count));
}

/* A slope's value may be negative. */
static void put_rate(struct buf *buf, double bytes) {
  char text[UNITS_TEXT_BYTES];
  double size = fabs(bytes);
  buf_put_text(buf, bytes < 0 && size >= 0.5 ? "-" : "");
  if (size > 0 && size < 10)
    buf_printf(buf, "%.1f B", size);
  else
    buf_put_text(buf, units_bytes(text, (uint64_t)fmin(round(size), 1e18)));
}

static const struct leak_slope *slope_of(const struct memory_report *report,
                                         const struct leak_site *site) {
  if (report->by_iteration)
    return site->has_iteration_slope ? &site->per_iteration : NULL;
  return site->has_time_slope ? &site->per_second : NULL;
}

static const struct stack_frames *frames_of(struct memory_report *report, uint32_t node) {
  if (profile_frames(report->profile, node, &report->frames))
    report->content->failed = true;
  return &report->frames;
}

static struct report_line *add_line(struct memory_report *report, const char *label) {
  struct report_content *content = report->content;
  return report_add_line(content->verdict, &content->verdict_count, label);
}

/* ---- The verdict ----------------------------------------------------------------------------- */

/* "3 h 20 min" */
static void put_long_time(struct buf *buf, double seconds) {
  static const struct {
    const char *name;
    double seconds;
  } units[] = {{"years", 365 * 86400.0}, {"d", 86400}, {"h", 3600}, {"min", 60}, {"s", 1}};
  size_t i = 0;
  while (i + 1 < COUNT(units) && seconds < units[i].seconds)
    i++;
  double whole = floor(seconds / units[i].seconds);
  buf_printf(buf, "%.0f %s", whole, units[i].name);
  if (i == 0 || i + 1 == COUNT(units))
    return;
  double rest = floor((seconds - whole * units[i].seconds) / units[i + 1].seconds);
  if (rest >= 1 && whole < 10)
    buf_printf(buf, " %.0f %s", rest, units[i + 1].name);
}

static void put_limit(struct buf *buf, const struct leak_process *process) {
  char text[UNITS_TEXT_BYTES];
  if (!process->limit_bytes || !isfinite(process->seconds_to_limit))
    return;
  buf_printf(buf, "; the limit of %s", units_bytes(text, process->limit_bytes));
  if (process->limit_name)
    buf_printf(buf, " (%s)", process->limit_name);
  buf_put_text(buf, " is reached in ");
  put_long_time(buf, process->seconds_to_limit);
}

static const struct leak_process *fastest_process(const struct leak_report *leaks) {
  const struct leak_process *fastest = NULL;
  for (uint32_t i = 0; i < leaks->process_count; i++)
    if (leaks->processes[i].has_rss &&
        (!fastest || leaks->processes[i].rss.value > fastest->rss.value))
      fastest = &leaks->processes[i];
  return fastest;
}

static void put_resident(struct memory_report *report, struct buf *buf) {
  const struct memory *memory = &report->summary->memory;
  const struct leak_process *process = fastest_process(report->summary->leaks);
  char text[UNITS_TEXT_BYTES];
  uint64_t rss_bytes = memory_resident_bytes(memory);
  if (rss_bytes)
    buf_printf(buf, "%sRSS %s", buf->length ? "; " : "", units_bytes(text, rss_bytes));
  if (!rss_bytes || !process || process->rss.low <= 0 || process->rss.value < RISING_BYTES_PER_S)
    return;
  buf_put_text(buf, memory->process_count > 1 ? ", one process growing " : ", growing ");
  put_rate(buf, process->rss.value);
  buf_put_text(buf, "/s");
  if (process->is_allocator_retained)
    buf_put_text(buf, ", by what was freed but is kept by the allocator");
  put_limit(buf, process);
}

static void put_memory_line(struct memory_report *report) {
  const struct heap *heap = report->summary->heap;
  const struct heap_totals *totals = &heap->totals;
  bool is_estimate = heap_is_estimate(heap);
  char time[UNITS_TEXT_BYTES];
  struct buf buf = {0};
  const struct heap_totals *maps = &heap->kinds[HEAP_MAP], *breaks = &heap->kinds[HEAP_BREAK];
  if (!heap_has_allocations(heap) && maps->allocations + breaks->allocations) {
    put_bytes(&buf, maps->live_bytes + breaks->live_bytes, false);
    buf_put_text(&buf, " mapped in the capture and kept");
  } else if (heap->is_recorded) {
    put_bytes(&buf, totals->live_bytes, is_estimate);
    buf_put_text(&buf, " live at the end, at most ");
    put_bytes(&buf, totals->peak_bytes, is_estimate);
    buf_printf(&buf, " at %s; ", units_ns(time, heap->peak_ns));
    put_count(report, &buf, totals->allocations, is_estimate);
    buf_put_text(&buf, " allocations of ");
    put_bytes(&buf, totals->bytes_allocated, is_estimate);
  }
  put_resident(report, &buf);
  if (buf.length)
    add_line(report, "Memory")->text = keep(report, &buf);
  else
    buf_fini(&buf);
}

/* A program that frees everything at its exit holds nothing at the end. */
static void put_held(struct memory_report *report, struct buf *buf,
                     const struct heap_totals *totals, bool is_estimate) {
  buf_put_text(buf, ": ");
  put_bytes(buf, totals->live_bytes, is_estimate);
  if (totals->live_bytes < totals->peak_bytes / 2) {
    buf_put_text(buf, " at the end, at most ");
    put_bytes(buf, totals->peak_bytes, is_estimate);
    return;
  }
  buf_put_text(buf, " live in ");
  put_count(report, buf, totals->live_blocks, is_estimate);
  buf_put_text(buf, totals->live_blocks == 1 ? " block" : " blocks");
}

static void put_leak_line(struct memory_report *report, const struct leak_site *site) {
  const struct heap_stack *stack = &report->summary->heap->stacks[site->stack];
  const struct leak_slope *slope = slope_of(report, site);
  bool is_estimate = report->summary->heap->is_sampled[stack->kind];
  const struct stack_frames *frames = frames_of(report, stack->node);
  struct report_line *line = add_line(report, "Leak");
  struct buf buf = {0};
  if (slope) {
    buf_put_text(&buf, is_estimate ? "≈" : "");
    put_rate(&buf, slope->value);
    buf_put_text(&buf, report->by_iteration ? " per iteration (" : "/s (");
    put_rate(&buf, slope->low);
    buf_put_text(&buf, " to ");
    put_rate(&buf, slope->high);
    buf_put_text(&buf, ") at ");
  }
  report_put_site(&buf, report->profile, frames);
  put_held(report, &buf, &stack->totals, is_estimate);
  line->is_warning = true;
  line->path = report_keep_path(report->content, report->profile, frames);
  line->text = keep(report, &buf);
}

/* What can be said when nothing is called a leak. */
static void put_no_leak(struct memory_report *report) {
  const struct leak_report *leaks = report->summary->leaks;
  uint32_t too_short = 0;
  for (uint32_t i = 0; i < leaks->site_count; i++)
    too_short += leaks->sites[i].verdict == LEAK_TOO_SHORT;
  bool is_known = too_short < leaks->site_count || !leaks->site_count;
  add_line(report, "Leak")->text =
      is_known ? report_keep_format(report->content, "none found in %s stacks",
                                    report_keep_count(report->content, leaks->site_count))
               : "cannot be told: the capture is too short";
}

static void put_leaks(struct memory_report *report) {
  const struct leak_report *leaks = report->summary->leaks;
  uint32_t shown = 0;
  for (uint32_t i = 0; i < leaks->site_count && shown < LEAK_LINES_MAX; i++) {
    if (leaks->sites[i].verdict != LEAK_LEAK)
      continue;
    put_leak_line(report, &leaks->sites[i]);
    shown++;
  }
  if (leaks->leak_count > shown)
    add_line(report, "Leak")->text =
        report_keep_format(report->content, "and %u more stacks", leaks->leak_count - shown);
  if (!leaks->leak_count)
    put_no_leak(report);
}

static void start(struct memory_report *report, struct report_content *content,
                  const struct summary *summary) {
  *report =
      (struct memory_report){.content = content, .summary = summary, .profile = summary->profile};
  report->by_iteration = calltree_leaks_by_iteration(summary->leaks);
}

void report_put_memory_verdict(struct report_content *content, const struct summary *summary) {
  struct memory_report report;
  start(&report, content, summary);
  if (summary->heap->is_recorded)
    put_leaks(&report);
  put_memory_line(&report);
  stack_frames_fini(&report.frames);
}

/* ---- Tables ---------------------------------------------------------------------------------- */

static struct report_cell text(const char *kept) {
  return (struct report_cell){.text = kept};
}

static struct report_cell bytes(struct memory_report *report, uint64_t value, bool is_estimate) {
  struct buf buf = {0};
  put_bytes(&buf, value, is_estimate);
  return text(keep(report, &buf));
}

static struct report_cell count(struct memory_report *report, uint64_t value, bool is_estimate) {
  struct buf buf = {0};
  put_count(report, &buf, value, is_estimate);
  return text(keep(report, &buf));
}

static struct report_cell rate(struct memory_report *report, double value) {
  struct buf buf = {0};
  if (isnan(value))
    return text("");
  put_rate(&buf, value);
  return text(keep(report, &buf));
}

static struct report_cell duration(struct memory_report *report, uint64_t ns) {
  return text(report_keep_ns(report->content, ns));
}

/* `site` is NULL for a stack that was not judged: what the kernel was asked for. */
static void put_stack_row(struct memory_report *report, struct report_table *table,
                          const struct heap_stack *stack, const struct leak_site *site) {
  bool is_estimate = report->summary->heap->is_sampled[stack->kind];
  const struct leak_slope *slope = site ? slope_of(report, site) : NULL;
  bool is_leak = site && site->verdict == LEAK_LEAK;
  struct report_cell *row = report_add_row(report->content, table);
  if (!row)
    return;
  row[0] = text(site ? leak_verdict_name(site->verdict) : "");
  row[0].heat = is_leak ? REPORT_HOT : REPORT_PLAIN;
  if (slope && is_leak)
    row[1] = rate(report, slope->value);
  row[2] = bytes(report, stack->totals.live_bytes, is_estimate);
  row[3] = bytes(report, stack->totals.peak_bytes, is_estimate);
  row[4] = bytes(report, stack->totals.bytes_allocated, is_estimate);
  row[5] = count(report, stack->totals.allocations, is_estimate);
  row[6] = count(report, stack->totals.frees, is_estimate);
  row[7] = text(heap_kind_name(stack->kind));
  row[8] = text(report_keep_path(report->content, report->profile, frames_of(report, stack->node)));
}

/* Leaks as they were judged, then by the most that was live at once: of a program that frees all at
 * its exit the end says nothing. */
static int by_interest(const void *a, const void *b, void *context) {
  const struct leak_site *left = *(const struct leak_site *const *)a;
  const struct leak_site *right = *(const struct leak_site *const *)b;
  const struct heap *heap = context;
  bool left_leaks = left->verdict == LEAK_LEAK, right_leaks = right->verdict == LEAK_LEAK;
  if (left_leaks != right_leaks)
    return left_leaks ? -1 : 1;
  uint64_t left_bytes = heap->stacks[left->stack].totals.peak_bytes;
  uint64_t right_bytes = heap->stacks[right->stack].totals.peak_bytes;
  if (!left_leaks && left_bytes != right_bytes)
    return left_bytes > right_bytes ? -1 : 1;
  return (left > right) - (left < right);
}

static void put_judged_rows(struct memory_report *report, struct report_table *table) {
  const struct leak_report *leaks = report->summary->leaks;
  struct heap *heap = report->summary->heap;
  const struct leak_site **rows = calloc(leaks->site_count + 1ull, sizeof(*rows));
  report->content->failed |= !rows;
  for (uint32_t i = 0; rows && i < leaks->site_count; i++)
    rows[i] = &leaks->sites[i];
  if (rows)
    qsort_r(rows, leaks->site_count, sizeof(*rows), by_interest, heap);
  for (uint32_t i = 0; rows && i < leaks->site_count && i < report->top_count; i++)
    put_stack_row(report, table, &heap->stacks[rows[i]->stack], rows[i]);
  free(rows);
}

static void put_stacks(struct memory_report *report) {
  static const struct report_column by_second[] = {
      {"verdict", REPORT_WORD}, {"growth/s", REPORT_RIGHT}, {"live", REPORT_RIGHT},
      {"most", REPORT_SPARE},   {"taken", REPORT_SPARE},    {"allocations", REPORT_RIGHT},
      {"frees", REPORT_SPARE},  {"kind", REPORT_WORD},      {"stack", REPORT_PATH},
  };
  static const struct report_column by_iteration[] = {
      {"verdict", REPORT_WORD}, {"per iteration", REPORT_RIGHT}, {"live", REPORT_RIGHT},
      {"most", REPORT_SPARE},   {"taken", REPORT_SPARE},         {"allocations", REPORT_RIGHT},
      {"frees", REPORT_SPARE},  {"kind", REPORT_WORD},           {"stack", REPORT_PATH},
  };
  const struct heap *heap = report->summary->heap;
  if (heap->stack_count == 0)
    return;
  struct report_table *table =
      report_add_table(report->content, "Memory by stack",
                       report->by_iteration ? by_iteration : by_second, COUNT(by_second));
  put_judged_rows(report, table);
  for (uint32_t i = 0; table && i < heap->stack_count && table->row_count < report->top_count; i++)
    if (!heap_is_judged(heap, heap->stacks[i].kind))
      put_stack_row(report, table, &heap->stacks[i], NULL);
  if (table) {
    table->note =
        heap_is_estimate(heap)
            ? "leaks first; then by the most that was live at once; ≈ estimated from samples"
            : "leaks first; then by the most that was live at once; taken: in all";
    table->left_out_count = heap->stack_count - table->row_count;
  }
}

static const struct leak_process *growth_of(const struct leak_report *leaks, uint32_t process) {
  for (uint32_t i = 0; i < leaks->process_count; i++)
    if (leaks->processes[i].process == process)
      return &leaks->processes[i];
  return NULL;
}

static void put_process_row(struct memory_report *report, struct report_table *table,
                            const struct memory_process *memory) {
  const struct profile_process *process = &report->profile->processes[memory->process];
  const struct leak_process *growth = growth_of(report->summary->leaks, memory->process);
  struct report_cell *row = report_add_row(report->content, table);
  struct buf limit = {0};
  if (!row)
    return;
  row[0] = text(report_keep_clean(report->content, process->name));
  row[1] = text(report_keep_format(report->content, "%u", process->pid));
  if (memory_has(memory, MEMORY_RSS)) {
    row[2] = bytes(report, memory->last[MEMORY_RSS], false);
    row[3] = bytes(report, memory->peak[MEMORY_RSS], false);
  }
  if (memory_has(memory, MEMORY_PSS))
    row[4] = bytes(report, memory->last[MEMORY_PSS], false);
  if (!growth)
    return;
  if (growth->has_rss)
    row[5] = rate(report, growth->rss.value);
  row[6] = rate(report, growth->growth_bytes_per_s[GROWTH_HEAP]);
  row[7] = rate(report, growth->growth_bytes_per_s[GROWTH_RETAINED]);
  row[8] = rate(report, growth->growth_bytes_per_s[GROWTH_FILE]);
  if (growth->limit_bytes && isfinite(growth->seconds_to_limit))
    put_long_time(&limit, growth->seconds_to_limit);
  row[9] = text(keep(report, &limit));
}

static void put_processes(struct memory_report *report) {
  static const struct report_column columns[] = {
      {"process", REPORT_LEFT},   {"pid", REPORT_RIGHT},        {"RSS", REPORT_RIGHT},
      {"most", REPORT_SPARE},     {"PSS", REPORT_SPARE},        {"RSS/s", REPORT_RIGHT},
      {"heap/s", REPORT_SPARE},   {"retained/s", REPORT_SPARE}, {"files/s", REPORT_SPARE},
      {"limit in", REPORT_RIGHT},
  };
  const struct memory *memory = &report->summary->memory;
  if (memory->process_count == 0)
    return;
  struct report_table *table =
      report_add_table(report->content, "Memory by process", columns, COUNT(columns));
  for (uint32_t i = 0; table && i < memory->process_count && i < report->top_count; i++)
    put_process_row(report, table, &memory->processes[i]);
  if (table) {
    table->note = "growth per second; retained: free, but kept by the allocator";
    table->left_out_count = memory->process_count - table->row_count;
  }
}

static void put_calls(struct memory_report *report) {
  static const struct report_column columns[] = {
      {"call", REPORT_WORD},    {"time", REPORT_RIGHT},  {"calls", REPORT_RIGHT},
      {"errors", REPORT_SPARE}, {"bytes", REPORT_SPARE}, {"median", REPORT_RIGHT},
      {"95 %", REPORT_SPARE},   {"99 %", REPORT_RIGHT},  {"longest", REPORT_RIGHT},
  };
  const struct calls *calls = &report->summary->calls;
  if (calls->sum_count == 0)
    return;
  struct report_table *table = report_add_table(report->content, "Calls", columns, COUNT(columns));
  for (uint32_t i = 0; table && i < calls->sum_count && i < report->top_count; i++) {
    const struct call_sum *sum = &calls->sums[i];
    struct report_cell *row = report_add_row(report->content, table);
    if (!row)
      return;
    row[0] = text(report_keep_clean(report->content, sum->name));
    row[1] = sum->total_ns ? duration(report, sum->total_ns) : text("");
    row[2] = count(report, sum->count, false);
    row[3] = sum->errors ? count(report, sum->errors, false) : text("");
    row[4] = sum->bytes ? bytes(report, sum->bytes, false) : text("");
    const uint64_t times_ns[] = {sum->p50_ns, sum->p95_ns, sum->p99_ns, sum->max_ns};
    for (size_t k = 0; sum->total_ns && k < COUNT(times_ns); k++)
      row[5 + k] = duration(report, times_ns[k]);
  }
  if (table) {
    table->note = "locks that were free are counted without their time";
    table->left_out_count = calls->sum_count - table->row_count;
  }
}

static void put_slow_calls(struct memory_report *report) {
  static const struct report_column columns[] = {
      {"call", REPORT_WORD},     {"time", REPORT_RIGHT},   {"calls", REPORT_RIGHT},
      {"longest", REPORT_RIGHT}, {"errors", REPORT_SPARE}, {"bytes", REPORT_SPARE},
      {"stack", REPORT_PATH},
  };
  const struct calls *calls = &report->summary->calls;
  if (calls->slow_count == 0)
    return;
  struct report_table *table =
      report_add_table(report->content, "Slow calls by stack", columns, COUNT(columns));
  for (uint32_t i = 0; table && i < calls->slow_count && i < report->top_count; i++) {
    const struct call_slow *slow = &calls->slow[i];
    struct report_cell *row = report_add_row(report->content, table);
    if (!row)
      return;
    row[0] = text(report_keep_clean(report->content, slow->name));
    row[1] = duration(report, slow->total_ns);
    row[2] = count(report, slow->count, false);
    row[3] = duration(report, slow->max_ns);
    row[4] = slow->errors ? count(report, slow->errors, false) : text("");
    row[5] = slow->bytes ? bytes(report, slow->bytes, false) : text("");
    row[6] =
        text(report_keep_path(report->content, report->profile, frames_of(report, slow->node)));
  }
  if (table) {
    table->note = "those of over 1 ms";
    table->left_out_count = calls->slow_count - table->row_count;
  }
}

void report_put_memory_tables(struct report_content *content, const struct summary *summary,
                              uint32_t top_count) {
  struct memory_report report;
  start(&report, content, summary);
  report.top_count = top_count;
  put_stacks(&report);
  put_processes(&report);
  if (!summary->system.syscalls.count) { /* else the kernel's side says it all */
    put_calls(&report);
    put_slow_calls(&report);
  }
  stack_frames_fini(&report.frames);
}
