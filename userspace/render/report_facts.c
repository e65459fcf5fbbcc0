/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the words about target, host and capture, its completeness and its cost. */
#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/units.h"
#include "render/report_content.h"
#include "render/report_name.h"

struct facts {
  struct report_content *content;
  const struct summary *summary;
  const struct profile *profile;
};

static void add(struct facts *facts, const char *label, struct buf *buf) {
  if (buf->length || buf->failed) {
    struct report_line *line =
        report_add_line(facts->content->facts, &facts->content->fact_count, label);
    line->text = report_keep(facts->content, buf_text(buf));
  }
  facts->content->failed |= buf->failed;
  buf_fini(buf);
}

/* Appends "before VALUE after", with a comma after what stands there, when the fact is known. */
static void put_fact(struct facts *facts, struct buf *buf, const char *before, const char *name,
                     const char *after) {
  const char *value = profile_fact(facts->profile, name);
  if (!*value)
    return;
  if (buf->length)
    buf_put_text(buf, ", ");
  buf_put_text(buf, before);
  report_put_clean(buf, value);
  buf_put_text(buf, after);
}

static void put_target(struct facts *facts) {
  const struct profile *profile = facts->profile;
  struct buf buf = {0};
  put_fact(facts, &buf, "", "target.name", "");
  put_fact(facts, &buf, "pid ", "target.pids", "");
  if (profile->process_count && *profile->processes[0].executable) {
    buf_put_text(&buf, buf.length ? ", " : "");
    report_put_clean(&buf, profile->processes[0].executable);
  }
  put_fact(facts, &buf, "exit status ", "target.exit_status", "");
  add(facts, "Target", &buf);
}

static void put_host(struct facts *facts) {
  struct buf buf = {0};
  put_fact(facts, &buf, "", "host.hostname", "");
  put_fact(facts, &buf, "", "host.os", "");
  put_fact(facts, &buf, "kernel ", "host.kernel", "");
  put_fact(facts, &buf, "", "host.machine", "");
  put_fact(facts, &buf, "", "host.cpus", " CPUs");
  add(facts, "Host", &buf);
}

static void put_capture(struct facts *facts) {
  const struct profile *profile = facts->profile;
  char time[UNITS_TEXT_BYTES];
  struct buf buf = {0};
  put_fact(facts, &buf, "", "capture.command", "");
  buf_printf(&buf, "%s%s", buf.length ? ", " : "", units_ns(time, profile->duration_ns));
  put_fact(facts, &buf, "by ", "capture.source", "");
  put_fact(facts, &buf, "", "capture.event", "");
  if (profile->frequency_hz)
    buf_printf(&buf, " at %u Hz", profile->frequency_hz);
  put_fact(facts, &buf, "ended: ", "capture.end", "");
  put_fact(facts, &buf, "ragprof ", "ragprof.version", "");
  add(facts, "Capture", &buf);
}

/* How each kind was counted: "every malloc, python one in 512 KiB". */
static void put_allocations(struct facts *facts) {
  const struct heap *heap = facts->summary->heap;
  char text[UNITS_TEXT_BYTES];
  struct buf buf = {0};
  for (int kind = 0; kind < HEAP_KINDS; kind++) {
    if (!heap->kinds[kind].allocations)
      continue;
    buf_put_text(&buf, buf.length ? ", " : "");
    if (heap->is_sampled[kind])
      buf_printf(&buf, "%s sampled every %s", heap_kind_name(kind),
                 units_bytes(text, heap->interval_bytes[kind]));
    else
      buf_printf(&buf, "every %s", heap_kind_name(kind));
  }
  if (profile_counter(facts->profile, "memory.foreign_allocator"))
    buf_put_text(&buf, buf.length ? "; malloc is not libc's" : "");
  add(facts, "Allocations", &buf);
}

static void put_completeness(struct facts *facts) {
  const struct accounting *accounting = &facts->summary->accounting;
  struct buf buf = {0};
  buf_printf(&buf, "%s samples", report_keep_count(facts->content, accounting->sample_count));
  if (accounting->sample_count)
    buf_printf(&buf, " (%.2f%% reach the first frame)",
               percent_of(accounting->complete_sample_count, accounting->sample_count));
  buf_printf(&buf, ", %s waits", report_keep_count(facts->content, accounting->wait_count));
  if (accounting->wait_count)
    buf_printf(&buf, " (%.2f%%)",
               percent_of(accounting->complete_wait_count, accounting->wait_count));
  uint64_t not_walked = profile_counter(facts->profile, "capture.waits_not_walked");
  if (not_walked)
    buf_printf(&buf,
               "; %s short ones for the GIL or a CPU were not walked, their time is spread "
               "over the stacks of those that were",
               report_keep_count(facts->content, not_walked));
  add(facts, "Stacks", &buf);
}

static void put_loss(struct facts *facts) {
  const struct profile *profile = facts->profile;
  struct buf buf = {0};
  bool is_counted = false;
  for (uint32_t i = 0; i < profile->counter_count; i++) {
    if (strncmp(profile->counters[i].name, "lost.", 5))
      continue;
    is_counted = true;
    if (!profile->counters[i].value)
      continue;
    buf_put_text(&buf, buf.length ? ", " : "");
    report_put_lost(&buf, &profile->counters[i]);
  }
  if (!buf.length && !buf.failed)
    buf_put_text(&buf, is_counted ? "nothing" : "not counted");
  add(facts, "Lost", &buf);
}

/* What the kernel could not tell, and why: facts "source.NAME". */
static void put_absent(struct facts *facts) {
  static const char prefix[] = "source.";
  const struct profile *profile = facts->profile;
  for (uint32_t i = 0; i < profile->fact_count; i++) {
    struct buf buf = {0};
    if (strncmp(profile->facts[i].name, prefix, strlen(prefix)) || !*profile->facts[i].value)
      continue;
    report_put_clean(&buf, profile->facts[i].name + strlen(prefix));
    buf_put_text(&buf, ": ");
    report_put_clean(&buf, profile->facts[i].value);
    add(facts, "Left out", &buf);
  }
}

static void put_bpf_cost(struct facts *facts, struct buf *buf) {
  uint64_t bpf_ns = profile_counter(facts->profile, "cost.bpf_ns");
  uint64_t runs = profile_counter(facts->profile, "cost.bpf_runs");
  char time[UNITS_TEXT_BYTES], mean[UNITS_TEXT_BYTES];
  if (runs == 0)
    return;
  buf_printf(buf, "BPF %s in %s runs (%s each", units_ns(time, bpf_ns),
             report_keep_count(facts->content, runs), units_ns(mean, bpf_ns / runs));
  if (facts->profile->duration_ns)
    buf_printf(buf, ", %.2f%% of one CPU", percent_of(bpf_ns, facts->profile->duration_ns));
  buf_put_text(buf, ")");
}

/* The most that the shim held at once in each process. */
static uint64_t shim_bytes(const struct facts *facts) {
  const struct memory *memory = &facts->summary->memory;
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < memory->process_count; i++)
    bytes += memory->processes[i].peak[MEMORY_SHIM];
  return bytes;
}

static void put_cost(struct facts *facts) {
  const struct profile *profile = facts->profile;
  char text[UNITS_TEXT_BYTES];
  struct buf buf = {0};
  uint64_t cpu_ns = profile_counter(profile, "cost.collector_cpu_ns");
  uint64_t rss_bytes = profile_counter(profile, "cost.collector_rss_bytes");
  uint64_t table_bytes = profile_counter(profile, "cost.table_bytes");
  put_bpf_cost(facts, &buf);
  if (cpu_ns) {
    buf_printf(&buf, "%scollector %s", buf.length ? ", " : "", units_ns(text, cpu_ns));
    if (profile->duration_ns)
      buf_printf(&buf, " (%.2f%% of one CPU)", percent_of(cpu_ns, profile->duration_ns));
  }
  if (rss_bytes)
    buf_printf(&buf, "%smemory %s", buf.length ? ", " : "", units_bytes(text, rss_bytes));
  if (table_bytes)
    buf_printf(&buf, "%stables %s", buf.length ? ", " : "", units_bytes(text, table_bytes));
  if (shim_bytes(facts))
    buf_printf(&buf, "%sin the target %s", buf.length ? ", " : "",
               units_bytes(text, shim_bytes(facts)));
  add(facts, "Own cost", &buf);
}

void report_put_facts(struct report_content *content, const struct summary *summary) {
  struct facts facts = {.content = content, .summary = summary, .profile = summary->profile};
  put_target(&facts);
  put_host(&facts);
  put_capture(&facts);
  put_allocations(&facts);
  put_completeness(&facts);
  put_absent(&facts);
  put_loss(&facts);
  put_cost(&facts);
}
