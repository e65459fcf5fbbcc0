/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the words for what stands out in the system's part. */
#include <inttypes.h>

#include "analysis/findings.h"
#include "base/buf.h"
#include "base/units.h"
#include "render/report_name.h"
#include "render/report_system.h"

struct words {
  struct report_content *content;
  const struct summary *summary;
  const struct profile *profile;
  const struct finding *found;
  struct buf buf;
};

static const char *ns(struct words *words, uint64_t value) {
  return report_keep_ns(words->content, value);
}

static const char *count(struct words *words, uint64_t value) {
  return report_keep_count(words->content, value);
}

static void put_object(struct words *words) {
  if (words->found->object != PROFILE_NONE)
    report_put_clean(&words->buf, operations_object_name(words->profile, words->found->object));
}

static void put_process(struct words *words) {
  const struct profile_process *process = &words->profile->processes[words->found->process];
  report_put_clean(&words->buf, process->name);
  buf_printf(&words->buf, " (pid %u)", process->pid);
}

static void say_oom_kill(struct words *words) {
  put_process(words);
  buf_put_text(&words->buf, " was killed by the kernel when memory ran out");
}

static void say_descriptors(struct words *words) {
  put_process(words);
  buf_printf(&words->buf, " had %s files open, its limit is %s", count(words, words->found->count),
             count(words, words->found->of_count));
}

static void say_throttled(struct words *words) {
  const struct finding *found = words->found;
  const struct scheduling *scheduling = &words->summary->system.scheduling;
  buf_printf(&words->buf, "the CPU quota was used up in %s of %s periods (%s), stopped for %s",
             count(words, found->count), count(words, found->of_count),
             report_keep_pct(words->content, percent_of(found->count, found->of_count)),
             ns(words, found->total_ns));
  for (uint32_t i = 0; i < scheduling->count; i++)
    if (scheduling->rows[i].process == found->process && scheduling->rows[i].quota_cpus > 0)
      buf_printf(&words->buf, "; %.2f threads want to run on %.2f CPUs", scheduling->runnable,
                 scheduling->rows[i].quota_cpus);
}

static void say_cpu_shortage(struct words *words) {
  const struct finding *found = words->found;
  const struct scheduling *scheduling = &words->summary->system.scheduling;
  buf_printf(&words->buf, "%.2f threads want to run", scheduling->runnable);
  if (scheduling->cpus)
    buf_printf(&words->buf, " on %" PRIu64 " %s", scheduling->cpus,
               scheduling->cpus == 1 ? "CPU" : "CPUs");
  buf_printf(&words->buf, ": %s in the run queue, %s of the time that they wanted one",
             ns(words, found->total_ns),
             report_keep_pct(words->content, percent_of(found->count, found->of_count)));
}

static void say_convoy(struct words *words) {
  const struct finding *found = words->found;
  buf_printf(&words->buf, "%u %s waited %s for %s", found->thread_count,
             found->thread_count == 1 ? "thread" : "threads", ns(words, found->total_ns),
             found->kind == FINDING_GIL_CONVOY ? "the " : "");
  put_object(words);
  buf_printf(&words->buf, " in %s waits up to %s, %.2f at a time", count(words, found->count),
             ns(words, found->max_ns), found->average);
  if (found->thread == PROFILE_NONE)
    return;
  buf_put_text(&words->buf, "; held most by ");
  report_put_clean(&words->buf, words->profile->threads[found->thread].name);
  buf_printf(&words->buf, " (%u)", words->profile->threads[found->thread].tid);
}

static void say_spinning(struct words *words) {
  const struct finding *found = words->found;
  buf_printf(&words->buf, "%s: %u threads wait on the CPU for %s, %s of all CPU time", found->name,
             found->thread_count, ns(words, found->total_ns),
             report_keep_pct(words->content, percent_of(found->count, found->of_count)));
}

static void say_fsync(struct words *words) {
  const struct finding *found = words->found;
  buf_printf(&words->buf, "%s in %s syncs (%s each, up to %s), most of it ",
             ns(words, found->total_ns), count(words, found->count),
             ns(words, found->total_ns / found->count), ns(words, found->max_ns));
  put_object(words);
}

static void say_page_faults(struct words *words) {
  const struct finding *found = words->found;
  buf_printf(&words->buf, "%s, %s faults of which %s had to read", ns(words, found->total_ns),
             count(words, found->count), count(words, found->of_count));
  if (found->object == PROFILE_NONE)
    return;
  buf_put_text(&words->buf, ", most of it ");
  put_object(words);
}

static void say_delayed_ack(struct words *words) {
  const struct finding *found = words->found;
  put_object(words);
  buf_printf(
      &words->buf,
      ": %s of %s receives took about 40 ms, as long as an acknowledgement is delayed (%s in "
      "all); who sends should write once, or set TCP_NODELAY",
      count(words, found->count), count(words, found->of_count), ns(words, found->total_ns));
}

static void say_dns_timeout(struct words *words) {
  const struct finding *found = words->found;
  put_object(words);
  buf_printf(&words->buf, ": %s %s for an answer took %s or more, up to %s",
             count(words, found->count), found->count == 1 ? "wait" : "waits",
             ns(words, 5 * NS_PER_S), ns(words, found->max_ns));
}

static const struct {
  const char *label;
  void (*say)(struct words *words);
  bool is_warning;
} sayings[FINDING_KINDS] = {
    [FINDING_OOM_KILL] = {"Out of memory", say_oom_kill, true},
    [FINDING_DESCRIPTORS] = {"Open files", say_descriptors, true},
    [FINDING_THROTTLED] = {"Throttled", say_throttled, true},
    [FINDING_CPU_SHORTAGE] = {"CPU shortage", say_cpu_shortage, false},
    [FINDING_LOCK_CONVOY] = {"Lock convoy", say_convoy, false},
    [FINDING_GIL_CONVOY] = {"GIL convoy", say_convoy, false},
    [FINDING_SPINNING] = {"Spinning", say_spinning, false},
    [FINDING_FSYNC] = {"Syncing", say_fsync, false},
    [FINDING_PAGE_FAULTS] = {"Page faults", say_page_faults, false},
    [FINDING_DELAYED_ACK] = {"Delayed ACK", say_delayed_ack, true},
    [FINDING_DNS_TIMEOUT] = {"DNS time-out", say_dns_timeout, true},
};

static void put_path(struct words *words, struct report_line *line) {
  struct stack_frames frames = {0};
  if (words->found->node == PROFILE_NONE)
    return;
  if (profile_frames(words->profile, words->found->node, &frames))
    words->content->failed = true;
  line->path = report_keep_path(words->content, words->profile, &frames);
  stack_frames_fini(&frames);
}

void report_put_system_verdict(struct report_content *content, const struct summary *summary) {
  struct findings findings;
  content->failed |= findings_build(&findings, summary) != 0;
  for (uint32_t i = 0; i < findings.count; i++) {
    const struct finding *found = &findings.rows[i];
    struct words words = {
        .content = content, .summary = summary, .profile = summary->profile, .found = found};
    struct report_line *line =
        report_add_line(content->verdict, &content->verdict_count, sayings[found->kind].label);
    sayings[found->kind].say(&words);
    line->text = report_keep(content, buf_text(&words.buf));
    line->is_warning = sayings[found->kind].is_warning;
    content->failed |= words.buf.failed;
    buf_fini(&words.buf);
    put_path(&words, line);
  }
}
