/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the first lines of a report: what the target did with its time, the hottest function and
 * path, the biggest wait, and what is wrong with the capture. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "analysis/target.h"
#include "base/buf.h"
#include "base/units.h"
#include "render/report_content.h"
#include "render/report_name.h"

/* Below these a capture is said to be imperfect. */
#define COMPLETE_SAMPLES_PCT 99.5
#define COMPLETE_WAITS_PCT 98.0
#define ACCOUNT_TOLERANCE_PCT 2.0
#define FEW_SAMPLES 100

struct verdict {
  struct report_content *content;
  const struct summary *summary;
  const struct profile *profile;
};

static struct report_line *add_line(struct verdict *verdict, const char *label) {
  return report_add_line(verdict->content->verdict, &verdict->content->verdict_count, label);
}

static const char *keep(struct verdict *verdict, struct buf *buf) {
  const char *kept = report_keep(verdict->content, buf_text(buf));
  verdict->content->failed |= buf->failed;
  buf_fini(buf);
  return kept;
}

static void put_title(struct verdict *verdict) {
  const struct profile *profile = verdict->profile;
  char time[UNITS_TEXT_BYTES];
  struct buf buf = {0};
  const char *name = target_title(profile);
  report_put_clean(&buf, *name ? name : "ragprof report");
  const char *pids = profile_fact(profile, "target.pids");
  if (*pids) {
    buf_put_text(&buf, strspn(pids, "0123456789") == strlen(pids) ? ", pid " : ", pids ");
    report_put_clean(&buf, pids);
  }
  const char *runtime = profile->process_count ? profile->processes[0].runtime : "";
  if (*runtime) {
    buf_put_text(&buf, ", ");
    report_put_clean(&buf, runtime);
  }
  buf_printf(&buf, ": %s", units_ns(time, profile->duration_ns));
  if (profile->frequency_hz)
    buf_printf(&buf, " at %u Hz", profile->frequency_hz);
  verdict->content->title = keep(verdict, &buf);
}

static void put_cpu(struct verdict *verdict) {
  const struct time_split *total = &verdict->summary->accounting.total;
  uint64_t duration_ns = verdict->profile->duration_ns;
  uint64_t cpu_count;
  char time[UNITS_TEXT_BYTES];
  if (duration_ns == 0 || total->on_cpu_ns == 0)
    return;
  struct buf buf = {0};
  double busy = (double)total->on_cpu_ns / (double)duration_ns;
  buf_printf(&buf, "%s of CPU time: %.2f CPUs busy on average", units_ns(time, total->on_cpu_ns),
             busy);
  if (!units_parse_count(profile_fact(verdict->profile, "host.cpus"), &cpu_count) && cpu_count)
    buf_printf(&buf, " of %" PRIu64 " (%.0f%%)", cpu_count, 100 * busy / (double)cpu_count);
  add_line(verdict, "CPU")->text = keep(verdict, &buf);
}

/* "socket 60.0%, futex 30.1%, GIL 3.2%, others 1.8%" of `wall_ns`. */
static void put_reasons(struct buf *buf, const struct waits *waits, uint64_t wall_ns) {
  uint64_t others_ns = 0;
  uint32_t shown = 0;
  for (uint32_t i = 0; i < waits->reason_count; i++) {
    const struct wait_sum *sum = &waits->reasons[i];
    if (sum->reason == WAIT_RUN_QUEUE)
      continue;
    if (shown == 4 || percent_of(sum->total_ns, wall_ns) < 0.05) {
      others_ns += sum->total_ns;
      continue;
    }
    buf_printf(buf, "%s%s %.1f%%", shown++ ? ", " : "", wait_reason_name(sum->reason),
               percent_of(sum->total_ns, wall_ns));
  }
  if (shown > 0 && percent_of(others_ns, wall_ns) >= 0.05)
    buf_printf(buf, ", others %.1f%%", percent_of(others_ns, wall_ns));
}

static void put_time(struct verdict *verdict) {
  const struct accounting *accounting = &verdict->summary->accounting;
  const struct time_split *total = &accounting->total;
  char time[UNITS_TEXT_BYTES];
  if (total->wall_ns == 0)
    return;
  struct buf buf = {0};
  struct buf reasons = {0};
  put_reasons(&reasons, &verdict->summary->waits, total->wall_ns);
  buf_printf(&buf, "%s %s, %s in all: on CPU %.1f%%, waiting %.1f%%",
             report_keep_count(verdict->content, accounting->thread_count),
             accounting->thread_count == 1 ? "thread" : "threads", units_ns(time, total->wall_ns),
             percent_of(total->on_cpu_ns, total->wall_ns),
             percent_of(total->blocked_ns, total->wall_ns));
  if (reasons.length)
    buf_printf(&buf, " (%s)", buf_text(&reasons));
  buf_printf(&buf, ", run queue %.1f%%", percent_of(total->run_queue_ns, total->wall_ns));
  buf_fini(&reasons);
  add_line(verdict, "Time")->text = keep(verdict, &buf);
}

static void put_hot_function(struct verdict *verdict) {
  const struct hotspots *hotspots = &verdict->summary->hotspots;
  if (hotspots->function_count == 0)
    return;
  const struct hot_function *hot = &hotspots->functions[0];
  const struct profile_function *function = &verdict->profile->functions[hot->function];
  struct buf buf = {0};
  struct buf place = {0};
  report_put_short_name(&buf, function);
  report_put_place(&place, function, 0);
  if (place.length)
    buf_printf(&buf, " (%s)", buf_text(&place));
  buf_fini(&place);
  double self_pct = percent_of(hot->self_ns, hotspots->total_ns);
  double total_pct = percent_of(hot->total_ns, hotspots->total_ns);
  buf_printf(&buf, ": %.1f%% of CPU time by itself", self_pct);
  if (total_pct >= self_pct + 0.1)
    buf_printf(&buf, ", %.1f%% with all it calls", total_pct);
  add_line(verdict, "Hot function")->text = keep(verdict, &buf);
}

/* Lines are in order of own time, which only Python's tell apart from self time. */
static void put_hot_line(struct verdict *verdict) {
  const struct hotspots *hotspots = &verdict->summary->hotspots;
  const struct profile_function *functions = verdict->profile->functions;
  uint32_t i = 0;
  while (i < hotspots->line_count && functions[hotspots->lines[i].function].kind != FRAME_PYTHON)
    i++;
  if (i == hotspots->line_count || hotspots->lines[i].own_ns == 0)
    return;
  const struct hot_line *hot = &hotspots->lines[i];
  struct buf buf = {0};
  report_put_place(&buf, &functions[hot->function], hot->line);
  buf_put_text(&buf, " in ");
  report_put_short_name(&buf, &functions[hot->function]);
  buf_printf(&buf, ": %.1f%% of CPU time, with the native code that it runs",
             percent_of(hot->own_ns, hotspots->total_ns));
  add_line(verdict, "Hot line")->text = keep(verdict, &buf);
}

static void put_hot_path(struct verdict *verdict) {
  const struct hotspots *hotspots = &verdict->summary->hotspots;
  struct stack_frames frames = {0};
  if (hotspots->path_count == 0)
    return;
  const struct hot_path *hot = &hotspots->paths[0];
  struct report_line *line = add_line(verdict, "Hot path");
  if (stacks_frames(&hotspots->stacks, hot->node, &frames))
    verdict->content->failed = true;
  line->text = report_keep_format(verdict->content, "%.1f%% of CPU time",
                                  percent_of(hot->ns, hotspots->total_ns));
  line->path = report_keep_path(verdict->content, verdict->profile, &frames);
  stack_frames_fini(&frames);
}

static void put_wait_figures(struct buf *buf, struct verdict *verdict,
                             const struct wait_stack *stack) {
  char total[UNITS_TEXT_BYTES], longest[UNITS_TEXT_BYTES];
  const struct wait_sum *sum = &stack->sum;
  buf_printf(buf, "%s: %s, %.1f%% of all threads' time", wait_reason_name(sum->reason),
             units_ns(total, sum->total_ns),
             percent_of(sum->total_ns, verdict->summary->accounting.total.wall_ns));
  buf_printf(buf, "; %s %s", report_keep_count(verdict->content, sum->count),
             sum->count == 1 ? "wait" : "waits");
  if (sum->count > 1)
    buf_printf(buf, " up to %s", units_ns(longest, sum->max_ns));
  buf_printf(buf, " in %u %s", stack->thread_count,
             stack->thread_count == 1 ? "thread" : "threads");
}

static void put_wait_line(struct verdict *verdict, const struct wait_stack *stack,
                          const char *label, const char *text) {
  struct stack_frames frames = {0};
  struct report_line *line = add_line(verdict, label);
  if (profile_frames(verdict->profile, stack->node, &frames))
    verdict->content->failed = true;
  line->text = text;
  line->path = report_keep_path(verdict->content, verdict->profile, &frames);
  stack_frames_fini(&frames);
}

static bool is_parked(const struct wait_stack *stack) {
  return stack->parked_count > 0 && stack->sum.parked_ns > stack->sum.total_ns / 2;
}

/* Rows stand with the least parked first, so the first one is the biggest wait that is not. */
static void put_waits(struct verdict *verdict) {
  const struct waits *waits = &verdict->summary->waits;
  if (waits->stack_count > 0 && !is_parked(&waits->stacks[0])) {
    struct buf buf = {0};
    put_wait_figures(&buf, verdict, &waits->stacks[0]);
    put_wait_line(verdict, &waits->stacks[0], "Biggest wait", keep(verdict, &buf));
  }
  const struct wait_stack *most = NULL;
  for (uint32_t i = 0; i < waits->stack_count; i++)
    if (is_parked(&waits->stacks[i]) &&
        (!most || waits->stacks[i].sum.parked_ns > most->sum.parked_ns))
      most = &waits->stacks[i];
  if (!most)
    return;
  const char *text = report_keep_format(verdict->content, "%s: %u %s hardly did anything else (%s)",
                                        wait_reason_name(most->sum.reason), most->parked_count,
                                        most->parked_count == 1 ? "thread" : "threads",
                                        report_keep_ns(verdict->content, most->sum.parked_ns));
  put_wait_line(verdict, most, "Parked", text);
}

static void warn(struct verdict *verdict, struct buf *buf) {
  struct report_line *line = add_line(verdict, "Warning");
  line->is_warning = true;
  line->text = keep(verdict, buf);
}

static void judge_file(struct verdict *verdict) {
  const struct trace_status *status = &verdict->profile->status;
  char got[UNITS_TEXT_BYTES], size[UNITS_TEXT_BYTES];
  struct buf buf = {0};
  if (status->complete && !status->damage)
    return;
  buf_printf(&buf,
             "the trace file is not whole (%s): %s of %s could be read, what follows is missing",
             status->damage ? status->damage : "no end mark", units_bytes(got, status->read_bytes),
             units_bytes(size, status->file_bytes));
  warn(verdict, &buf);
}

/* What share of all events of its kind is lost, for those that are counted on both sides. */
static double lost_pct(const struct verdict *verdict, const struct profile_counter *counter) {
  const struct accounting *accounting = &verdict->summary->accounting;
  uint64_t seen = !strcmp(counter->name, "lost.samples") ? accounting->sample_count
                  : !strcmp(counter->name, "lost.waits") ? accounting->wait_count
                                                         : 0;
  return seen ? 100.0 * (double)counter->value / ((double)counter->value + (double)seen) : 0;
}

static void judge_loss(struct verdict *verdict) {
  const struct profile *profile = verdict->profile;
  struct buf buf = {0};
  for (uint32_t i = 0; i < profile->counter_count; i++) {
    const struct profile_counter *counter = &profile->counters[i];
    if (strncmp(counter->name, "lost.", 5) || counter->value == 0)
      continue;
    buf_put_text(&buf, buf.length ? ", " : "lost: ");
    report_put_lost(&buf, counter);
    double pct = lost_pct(verdict, counter);
    if (pct > 0)
      buf_printf(&buf, " (%s)", report_keep_pct(verdict->content, pct));
  }
  if (buf.length)
    warn(verdict, &buf);
}

static void judge_stacks(struct verdict *verdict) {
  const struct accounting *accounting = &verdict->summary->accounting;
  double samples_pct = percent_of(accounting->complete_sample_count, accounting->sample_count);
  double waits_pct = percent_of(accounting->complete_wait_count, accounting->wait_count);
  bool samples_lack = accounting->sample_count && samples_pct < COMPLETE_SAMPLES_PCT;
  bool waits_lack = accounting->wait_count && waits_pct < COMPLETE_WAITS_PCT;
  struct buf buf = {0};
  if (!samples_lack && !waits_lack)
    return;
  buf_put_text(&buf, "stacks that do not reach the thread's first frame:");
  if (samples_lack)
    buf_printf(&buf, " %.1f%% of samples", 100 - samples_pct);
  if (waits_lack)
    buf_printf(&buf, "%s %.1f%% of waits", samples_lack ? "," : "", 100 - waits_pct);
  warn(verdict, &buf);
}

static void judge_amount(struct verdict *verdict) {
  const struct accounting *accounting = &verdict->summary->accounting;
  const struct time_split *total = &accounting->total;
  double sum_pct = percent_of(time_split_sum_ns(total), total->wall_ns);
  struct buf buf = {0};
  if (accounting->sample_count < FEW_SAMPLES && verdict->profile->frequency_hz) {
    buf_printf(&buf, "only %" PRIu64 " on-CPU %s: shares of CPU time are rough",
               accounting->sample_count, accounting->sample_count == 1 ? "sample" : "samples");
    warn(verdict, &buf);
  }
  if (total->wall_ns &&
      (sum_pct < 100 - ACCOUNT_TOLERANCE_PCT || sum_pct > 100 + ACCOUNT_TOLERANCE_PCT)) {
    buf = (struct buf){0};
    buf_printf(&buf,
               "on-CPU, waiting and run-queue time add up to %.1f%% of the threads' wall time",
               sum_pct);
    warn(verdict, &buf);
  }
}

/* The stacks are never called complete when one is not. */
static const char *whole_text(struct verdict *verdict) {
  const struct accounting *accounting = &verdict->summary->accounting;
  uint64_t all = accounting->sample_count + accounting->wait_count;
  uint64_t complete = accounting->complete_sample_count + accounting->complete_wait_count;
  if (complete == all)
    return "whole: nothing was lost, the stacks are complete";
  return report_keep_format(verdict->content,
                            "whole: nothing was lost, %.2f%% of the stacks are complete",
                            fmin(percent_of(complete, all), 99.99));
}

static void put_capture(struct verdict *verdict) {
  uint32_t before = verdict->content->verdict_count;
  judge_file(verdict);
  judge_loss(verdict);
  judge_stacks(verdict);
  judge_amount(verdict);
  if (verdict->content->verdict_count == before)
    add_line(verdict, "Capture")->text = whole_text(verdict);
}

void report_put_verdict(struct report_content *content, const struct summary *summary) {
  struct verdict verdict = {.content = content, .summary = summary, .profile = summary->profile};
  put_title(&verdict);
  put_time(&verdict);
  put_cpu(&verdict);
  put_hot_function(&verdict);
  put_hot_line(&verdict);
  put_hot_path(&verdict);
  put_waits(&verdict);
  report_put_system_verdict(content, summary);
  report_put_memory_verdict(content, summary);
  put_capture(&verdict);
}
