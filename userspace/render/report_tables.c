/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the tables of a report: which columns they have and which rows they show. */
#include <inttypes.h>

#include "base/buf.h"
#include "render/report_content.h"
#include "render/report_name.h"

#define HOT_PCT 10.0
#define WARM_PCT 3.0
#define GOES_ON_PCT 10.0 /* share of callees from which a path ends in "…" */

struct tables {
  struct report_content *content;
  const struct summary *summary;
  const struct profile *profile;
  uint32_t top_count;
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *keep(struct tables *tables, struct buf *buf) {
  const char *kept = report_keep(tables->content, buf_text(buf));
  tables->content->failed |= buf->failed;
  buf_fini(buf);
  return kept;
}

static const char *keep_name(struct tables *tables, uint32_t function) {
  struct buf buf = {0};
  report_put_short_name(&buf, &tables->profile->functions[function]);
  return keep(tables, &buf);
}

static const char *keep_place(struct tables *tables, uint32_t function, uint32_t line) {
  struct buf buf = {0};
  report_put_place(&buf, &tables->profile->functions[function], line);
  return keep(tables, &buf);
}

static struct report_cell share(struct tables *tables, uint64_t part, uint64_t whole) {
  double pct = percent_of(part, whole);
  enum report_heat heat = pct >= HOT_PCT    ? REPORT_HOT
                          : pct >= WARM_PCT ? REPORT_WARM
                                            : REPORT_PLAIN;
  return (struct report_cell){.text = report_keep_pct(tables->content, pct), .heat = heat};
}

static struct report_cell duration(struct tables *tables, uint64_t ns) {
  return (struct report_cell){.text = report_keep_ns(tables->content, ns)};
}

static struct report_cell count(struct tables *tables, uint64_t value) {
  return (struct report_cell){.text = report_keep_count(tables->content, value)};
}

static struct report_cell text(const char *kept) {
  return (struct report_cell){.text = kept};
}

/* ---- CPU time -------------------------------------------------------------------------------- */

static const char *cpu_note(struct tables *tables) {
  const struct hotspots *hotspots = &tables->summary->hotspots;
  return report_keep_format(tables->content, "of %s CPU time, %s samples",
                            report_keep_ns(tables->content, hotspots->total_ns),
                            report_keep_count(tables->content, hotspots->total_count));
}

static void put_function(struct tables *tables, struct report_table *table,
                         const struct hot_function *hot, bool by_total) {
  const struct profile_function *function = &tables->profile->functions[hot->function];
  uint64_t whole_ns = tables->summary->hotspots.total_ns;
  struct report_cell *row = report_add_row(tables->content, table);
  if (!row)
    return;
  uint64_t first_ns = by_total ? hot->total_ns : hot->self_ns;
  row[0] = share(tables, first_ns, whole_ns);
  row[1] = duration(tables, first_ns);
  row[2] = share(tables, by_total ? hot->self_ns : hot->total_ns, whole_ns);
  row[2].heat = REPORT_PLAIN;
  row[3] = text(report_kind_name(function->kind));
  row[4] = text(keep_name(tables, hot->function));
  row[5] = text(keep_place(tables, hot->function, 0));
}

static void put_functions_by_self(struct tables *tables) {
  static const struct report_column columns[] = {
      {"self", REPORT_RIGHT}, {"time", REPORT_RIGHT},    {"total", REPORT_RIGHT},
      {"kind", REPORT_WORD},  {"function", REPORT_LEFT}, {"where", REPORT_TAIL},
  };
  const struct hotspots *hotspots = &tables->summary->hotspots;
  uint32_t self_count = 0;
  while (self_count < hotspots->function_count && hotspots->functions[self_count].self_count)
    self_count++;
  if (self_count == 0)
    return;
  struct report_table *table =
      report_add_table(tables->content, "Hottest functions by self time", columns, COUNT(columns));
  if (!table)
    return;
  table->note = cpu_note(tables);
  for (uint32_t i = 0; i < self_count && i < tables->top_count; i++)
    put_function(tables, table, &hotspots->functions[i], false);
  table->left_out_count = self_count - table->row_count;
}

/* How a thread is started and how the interpreter calls itself stands on every stack and says
 * nothing; it is left out unless there is nothing else. */
static void put_functions_by_total(struct tables *tables) {
  static const struct report_column columns[] = {
      {"total", REPORT_RIGHT}, {"time", REPORT_RIGHT},    {"self", REPORT_RIGHT},
      {"kind", REPORT_WORD},   {"function", REPORT_LEFT}, {"where", REPORT_TAIL},
  };
  const struct hotspots *hotspots = &tables->summary->hotspots;
  uint32_t telling_count = 0;
  for (uint32_t i = 0; i < hotspots->function_count; i++)
    telling_count += !hotspots->functions[i].is_passage;
  bool all = telling_count == 0;
  if (hotspots->function_count == 0)
    return;
  struct report_table *table =
      report_add_table(tables->content, "Hottest functions by total time", columns, COUNT(columns));
  if (!table)
    return;
  table->note = all || telling_count == hotspots->function_count
                    ? cpu_note(tables)
                    : report_keep_format(tables->content, "of %s CPU time; without start-up code",
                                         report_keep_ns(tables->content, hotspots->total_ns));
  for (uint32_t i = 0; i < hotspots->function_count && table->row_count < tables->top_count; i++) {
    const struct hot_function *hot = &hotspots->functions[hotspots->by_total[i]];
    if (all || !hot->is_passage)
      put_function(tables, table, hot, true);
  }
  table->left_out_count = (all ? hotspots->function_count : telling_count) - table->row_count;
}

static void put_python_lines(struct tables *tables) {
  static const struct report_column columns[] = {
      {"own", REPORT_RIGHT}, {"time", REPORT_RIGHT},    {"total", REPORT_RIGHT},
      {"line", REPORT_TAIL}, {"function", REPORT_LEFT},
  };
  const struct hotspots *hotspots = &tables->summary->hotspots;
  struct report_table *table = NULL;
  for (uint32_t i = 0; i < hotspots->line_count; i++) {
    const struct hot_line *hot = &hotspots->lines[i];
    if (hot->own_ns == 0 || tables->profile->functions[hot->function].kind != FRAME_PYTHON)
      continue;
    if (!table)
      table = report_add_table(tables->content, "Hottest Python lines", columns, COUNT(columns));
    if (!table)
      return;
    if (table->row_count == tables->top_count) {
      table->left_out_count++;
      continue;
    }
    struct report_cell *row = report_add_row(tables->content, table);
    if (!row)
      return;
    row[0] = share(tables, hot->own_ns, hotspots->total_ns);
    row[1] = duration(tables, hot->own_ns);
    row[2] = share(tables, hot->total_ns, hotspots->total_ns);
    row[2].heat = REPORT_PLAIN;
    row[3] = text(keep_place(tables, hot->function, hot->line));
    row[4] = text(keep_name(tables, hot->function));
  }
  if (table)
    table->note = "of CPU time; own: with the native code that it runs";
}

static void put_paths(struct tables *tables) {
  static const struct report_column columns[] = {
      {"share", REPORT_RIGHT}, {"time", REPORT_RIGHT}, {"path", REPORT_PATH}};
  const struct hotspots *hotspots = &tables->summary->hotspots;
  struct stack_frames frames = {0};
  if (hotspots->path_count == 0)
    return;
  struct report_table *table =
      report_add_table(tables->content, "Hottest paths", columns, COUNT(columns));
  for (uint32_t i = 0; table && i < hotspots->path_count && i < tables->top_count; i++) {
    const struct hot_path *hot = &hotspots->paths[i];
    struct report_cell *row = report_add_row(tables->content, table);
    if (!row || stacks_frames(&hotspots->stacks, hot->node, &frames)) {
      tables->content->failed = true;
      break;
    }
    row[0] = share(tables, hot->ns, hotspots->total_ns);
    row[1] = duration(tables, hot->ns);
    const char *path = report_keep_path(tables->content, tables->profile, &frames);
    bool goes_on = percent_of(hot->callees_ns, hot->ns) >= GOES_ON_PCT;
    row[2] = text(goes_on ? report_keep_format(tables->content, "%s\n…", path) : path);
  }
  if (table) {
    table->note = "of CPU time; a sample is in one path only";
    table->left_out_count = hotspots->path_count - table->row_count;
  }
  stack_frames_fini(&frames);
}

/* ---- Waiting --------------------------------------------------------------------------------- */

static void put_reasons(struct tables *tables) {
  static const struct report_column columns[] = {
      {"reason", REPORT_WORD},  {"time", REPORT_RIGHT}, {"share", REPORT_RIGHT},
      {"waits", REPORT_RIGHT},  {"mean", REPORT_RIGHT}, {"longest", REPORT_RIGHT},
      {"parked", REPORT_RIGHT},
  };
  const struct waits *waits = &tables->summary->waits;
  uint64_t wall_ns = tables->summary->accounting.total.wall_ns;
  if (waits->reason_count == 0)
    return;
  struct report_table *table =
      report_add_table(tables->content, "Waiting by reason", columns, COUNT(columns));
  for (uint32_t i = 0; table && i < waits->reason_count; i++) {
    const struct wait_sum *sum = &waits->reasons[i];
    struct report_cell *row = report_add_row(tables->content, table);
    if (!row)
      return;
    row[0] = text(wait_reason_name(sum->reason));
    row[1] = duration(tables, sum->total_ns);
    row[2] = share(tables, sum->total_ns, wall_ns);
    row[3] = count(tables, sum->count);
    row[4] = duration(tables, sum->count ? sum->total_ns / sum->count : 0);
    row[5] = duration(tables, sum->max_ns);
    row[6] = sum->parked_ns ? duration(tables, sum->parked_ns) : text("");
  }
  if (table)
    table->note = report_keep_format(tables->content,
                                     "of %s thread time; parked: threads that hardly did else",
                                     report_keep_ns(tables->content, wall_ns));
}

static void put_wait_stack(struct tables *tables, struct report_table *table,
                           const struct wait_stack *stack) {
  struct stack_frames frames = {0};
  const struct wait_sum *sum = &stack->sum;
  struct report_cell *row = report_add_row(tables->content, table);
  if (!row || profile_frames(tables->profile, stack->node, &frames)) {
    tables->content->failed = true;
    return;
  }
  row[0] = text(wait_reason_name(sum->reason));
  row[1] = duration(tables, sum->total_ns);
  row[2] = share(tables, sum->total_ns, tables->summary->accounting.total.wall_ns);
  row[3] = count(tables, sum->count);
  row[4] = duration(tables, sum->count ? sum->total_ns / sum->count : 0);
  row[5] = duration(tables, sum->max_ns);
  row[6] = count(tables, stack->thread_count);
  row[7] = stack->parked_count ? count(tables, stack->parked_count) : text("");
  row[8] = text(report_keep_path(tables->content, tables->profile, &frames));
  stack_frames_fini(&frames);
}

static void put_wait_stacks(struct tables *tables) {
  static const struct report_column columns[] = {
      {"reason", REPORT_WORD},   {"time", REPORT_RIGHT},   {"share", REPORT_RIGHT},
      {"waits", REPORT_RIGHT},   {"mean", REPORT_RIGHT},   {"longest", REPORT_RIGHT},
      {"threads", REPORT_RIGHT}, {"parked", REPORT_RIGHT}, {"stack", REPORT_PATH},
  };
  const struct waits *waits = &tables->summary->waits;
  if (waits->stack_count == 0)
    return;
  struct report_table *table =
      report_add_table(tables->content, "Longest waits by stack", columns, COUNT(columns));
  for (uint32_t i = 0; table && i < waits->stack_count && i < tables->top_count; i++)
    put_wait_stack(tables, table, &waits->stacks[i]);
  if (table) {
    table->note = "of thread time; those of parked threads stand last";
    table->left_out_count = waits->stack_count - table->row_count;
  }
}

static const char *keep_thread(struct tables *tables, uint32_t thread, uint32_t tid) {
  struct buf buf = {0};
  if (thread == PROFILE_NONE && tid == 0)
    return "not known";
  if (thread == PROFILE_NONE) {
    buf_printf(&buf, "outside (tid %u)", tid);
    return keep(tables, &buf);
  }
  report_put_clean(&buf, tables->profile->threads[thread].name);
  buf_printf(&buf, " (%u)", tables->profile->threads[thread].tid);
  return keep(tables, &buf);
}

static const char *wakes_note(struct tables *tables) {
  const struct waits *waits = &tables->summary->waits;
  uint64_t total_ns = 0;
  uint64_t known_ns = 0;
  for (uint32_t i = 0; i < waits->wake_count; i++) {
    total_ns += waits->wakes[i].sum.total_ns;
    known_ns += waits->wakes[i].waker_tid ? waits->wakes[i].sum.total_ns : 0;
  }
  return report_keep_format(tables->content, "for locks and the GIL; known for %s of their time",
                            report_keep_pct(tables->content, percent_of(known_ns, total_ns)));
}

static void put_wakes(struct tables *tables) {
  static const struct report_column columns[] = {
      {"reason", REPORT_WORD},   {"time", REPORT_RIGHT},  {"waits", REPORT_RIGHT},
      {"longest", REPORT_RIGHT}, {"thread", REPORT_LEFT}, {"woken by", REPORT_LEFT},
  };
  const struct waits *waits = &tables->summary->waits;
  if (waits->wake_count == 0)
    return;
  struct report_table *table =
      report_add_table(tables->content, "Who wakes whom", columns, COUNT(columns));
  for (uint32_t i = 0; table && i < waits->wake_count && i < tables->top_count; i++) {
    const struct wait_wake *wake = &waits->wakes[i];
    struct report_cell *row = report_add_row(tables->content, table);
    if (!row)
      return;
    row[0] = text(wait_reason_name(wake->sum.reason));
    row[1] = duration(tables, wake->sum.total_ns);
    row[2] = count(tables, wake->sum.count);
    row[3] = duration(tables, wake->sum.max_ns);
    row[4] = text(keep_thread(tables, wake->thread, 0));
    row[5] = text(keep_thread(tables, wake->waker, wake->waker_tid));
  }
  if (table) {
    table->note = wakes_note(tables);
    table->left_out_count = waits->wake_count - table->row_count;
  }
}

/* ---- Accounts -------------------------------------------------------------------------------- */

/* Five cells: wall, on CPU, blocked, queued, samples. */
static void put_split(struct tables *tables, struct report_cell *row,
                      const struct time_split *time) {
  row[0] = duration(tables, time->wall_ns);
  row[1] = duration(tables, time->on_cpu_ns);
  row[2] = duration(tables, time->blocked_ns);
  row[3] = duration(tables, time->run_queue_ns);
  row[4] = count(tables, time->sample_count);
}

static void put_threads(struct tables *tables) {
  static const struct report_column columns[] = {
      {"thread", REPORT_LEFT},  {"pid", REPORT_RIGHT},     {"tid", REPORT_RIGHT},
      {"wall", REPORT_RIGHT},   {"on CPU", REPORT_RIGHT},  {"blocked", REPORT_RIGHT},
      {"queued", REPORT_RIGHT}, {"samples", REPORT_RIGHT}, {"sum", REPORT_RIGHT},
  };
  const struct accounting *accounting = &tables->summary->accounting;
  const struct profile *profile = tables->profile;
  if (accounting->thread_count == 0)
    return;
  struct report_table *table =
      report_add_table(tables->content, "Threads", columns, COUNT(columns));
  for (uint32_t i = 0; table && i < accounting->thread_count && i < tables->top_count; i++) {
    const struct thread_row *thread = &accounting->threads[i];
    const struct profile_thread *from = &profile->threads[thread->thread];
    struct report_cell *row = report_add_row(tables->content, table);
    if (!row)
      return;
    row[0] = text(report_keep_clean(tables->content, from->name));
    if (profile->process_count > 1)
      row[1] =
          text(report_keep_format(tables->content, "%u", profile->processes[from->process].pid));
    row[2] = text(report_keep_format(tables->content, "%u", from->tid));
    put_split(tables, row + 3, &thread->time);
    row[8] = text(report_keep_pct(
        tables->content, percent_of(time_split_sum_ns(&thread->time), thread->time.wall_ns)));
  }
  if (table) {
    table->note = "sum: on CPU, blocked and queued for a CPU, of wall time";
    table->left_out_count = accounting->thread_count - table->row_count;
  }
}

static void put_processes(struct tables *tables) {
  static const struct report_column columns[] = {
      {"process", REPORT_LEFT}, {"pid", REPORT_RIGHT},     {"threads", REPORT_RIGHT},
      {"wall", REPORT_SPARE},   {"on CPU", REPORT_RIGHT},  {"blocked", REPORT_RIGHT},
      {"queued", REPORT_RIGHT}, {"samples", REPORT_SPARE}, {"runtime", REPORT_LEFT},
  };
  const struct accounting *accounting = &tables->summary->accounting;
  if (accounting->process_count < 2) /* the title names the only one */
    return;
  struct report_table *table =
      report_add_table(tables->content, "Processes", columns, COUNT(columns));
  for (uint32_t i = 0; table && i < accounting->process_count && i < tables->top_count; i++) {
    const struct process_row *process = &accounting->processes[i];
    const struct profile_process *from = &tables->profile->processes[process->process];
    struct report_cell *row = report_add_row(tables->content, table);
    if (!row)
      return;
    row[0] = text(report_keep_clean(tables->content, from->name));
    row[1] = text(report_keep_format(tables->content, "%u", from->pid));
    row[2] = count(tables, process->thread_count);
    put_split(tables, row + 3, &process->time);
    row[8] = text(report_keep_clean(tables->content, from->runtime));
  }
  if (table) {
    table->note = "the times of their threads, added up";
    table->left_out_count = accounting->process_count - table->row_count;
  }
}

static void put_incomplete(struct tables *tables) {
  static const struct report_column columns[] = {
      {"samples", REPORT_RIGHT}, {"waits", REPORT_RIGHT}, {"why", REPORT_LEFT}};
  const struct accounting *accounting = &tables->summary->accounting;
  if (accounting->incomplete_count == 0)
    return;
  struct report_table *table =
      report_add_table(tables->content, "Incomplete stacks", columns, COUNT(columns));
  for (uint32_t i = 0; table && i < accounting->incomplete_count && i < tables->top_count; i++) {
    const struct incomplete_row *from = &accounting->incomplete[i];
    struct report_cell *row = report_add_row(tables->content, table);
    if (!row)
      return;
    row[0] = count(tables, from->sample_count);
    row[1] = count(tables, from->wait_count);
    row[2] =
        text(report_keep_clean(tables->content, tables->profile->functions[from->function].name));
  }
  if (table) {
    table->note = "they do not reach the thread's first frame";
    table->left_out_count = accounting->incomplete_count - table->row_count;
  }
}

void report_put_tables(struct report_content *content, const struct summary *summary,
                       uint32_t top_count) {
  struct tables tables = {
      .content = content, .summary = summary, .profile = summary->profile, .top_count = top_count};
  put_functions_by_self(&tables);
  put_functions_by_total(&tables);
  put_python_lines(&tables);
  put_paths(&tables);
  put_reasons(&tables);
  put_wait_stacks(&tables);
  put_wakes(&tables);
  put_threads(&tables);
  put_processes(&tables);
  put_incomplete(&tables);
}
