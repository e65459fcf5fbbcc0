/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the gathering of facts and counters. */
#include "capture/facts.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/units.h"

static void put_number(struct trace_writer *writer, const char *name, uint64_t value) {
  char text[32];
  snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
  trace_put_meta(writer, name, text);
}

/* PRETTY_NAME of os-release(5). */
static void put_os(struct trace_writer *writer) {
  FILE *file = fopen("/etc/os-release", "re");
  char line[256], name[200];
  while (file && fgets(line, sizeof(line), file))
    if (sscanf(line, "PRETTY_NAME=\"%199[^\"]\"", name) == 1)
      trace_put_meta(writer, "host.os", name);
  if (file)
    fclose(file);
}

void facts_put_start(struct trace_writer *writer, const struct session_options *options) {
  struct utsname host;
  struct timespec now;
  if (!uname(&host)) {
    trace_put_meta(writer, "host.kernel", host.release);
    trace_put_meta(writer, "host.machine", host.machine);
  }
  put_os(writer);
  put_number(writer, "host.cpus", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
  clock_gettime(CLOCK_REALTIME, &now);
  put_number(writer, "capture.start_unix_ns",
             (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec);
  trace_put_meta(writer, "ragprof.version", RAGPROF_VERSION);
  trace_put_meta(writer, "capture.command", options->command);
  put_number(writer, "capture.frequency_hz", options->frequency_hz);
}

void facts_put_source(struct trace_writer *writer, const char *event, bool has_bpf, bool has_shim) {
  trace_put_meta(writer, "capture.event", event);
  trace_put_meta(writer, "capture.source",
                 has_bpf && has_shim ? "bpf+shim"
                 : has_bpf           ? "bpf"
                                     : "shim");
}

static void put_target(struct trace_writer *writer, struct process_store *processes) {
  struct buf pids = {0};
  const char *name = NULL;
  for (size_t i = 0; i < process_store_count(processes); i++) {
    const struct process *process = process_store_at(processes, i);
    if (!process->is_target)
      continue;
    if (!name)
      name = process->name;
    buf_printf(&pids, pids.length ? " %u" : "%u", process->pid);
  }
  trace_put_meta(writer, "target.pids", buf_text(&pids));
  trace_put_meta(writer, "target.name", name ? name : "");
  buf_fini(&pids);
}

static uint64_t cpu_ns(const struct rusage *usage) {
  return (uint64_t)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * NS_PER_S +
         (uint64_t)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) * NS_PER_US;
}

static void put_cost(struct trace_writer *writer, const struct facts_end *end) {
  struct program_cost costs[PROGRAMS_MAX];
  uint64_t run_ns = 0, runs = 0;
  char name[80];
  int count = end->programs ? programs_costs(end->programs, costs) : 0;
  for (int i = 0; i < count; i++) {
    snprintf(name, sizeof(name), "cost.bpf.%s.run_ns", costs[i].name);
    trace_put_counter(writer, name, costs[i].run_ns);
    snprintf(name, sizeof(name), "cost.bpf.%s.runs", costs[i].name);
    trace_put_counter(writer, name, costs[i].runs);
    run_ns += costs[i].run_ns;
    runs += costs[i].runs;
  }
  trace_put_counter(writer, "cost.bpf_ns", run_ns);
  trace_put_counter(writer, "cost.bpf_runs", runs);
  uint64_t recording_ns = cpu_ns(end->usage_at_end) - cpu_ns(end->usage_at_start);
  struct rusage all;
  trace_put_counter(writer, "cost.collector_cpu_ns", recording_ns);
  trace_put_counter(writer, "cost.collector_rss_bytes",
                    (uint64_t)end->usage_at_end->ru_maxrss * 1024);
  if (!getrusage(RUSAGE_SELF, &all))
    trace_put_counter(writer, "cost.setup_and_naming_cpu_ns", cpu_ns(&all) - recording_ns);
  trace_put_counter(writer, "cost.table_bytes", end->table_bytes);
}

static uint64_t put_loss(struct trace_writer *writer, const struct capture_counters *counters) {
  const struct {
    const char *name;
    uint64_t value;
  } losses[] = {
      {"lost.samples", counters->lost_samples},
      {"lost.stacks", counters->lost_stacks},
      {"lost.waits", counters->lost_waits},
      {"lost.threads", counters->lost_threads},
      {"lost.codes", counters->lost_codes},
      {"lost.slow_operations", counters->lost_slow_operations},
      {"lost.objects", counters->lost_objects},
      {"lost.operations", counters->lost_operations},
      {"lost.operation_stacks", counters->lost_operation_stacks},
      {"lost.happenings", counters->lost_happenings},
      {"lost.mappings", counters->lost_mappings},
  };
  uint64_t lost = 0;
  for (size_t i = 0; i < sizeof(losses) / sizeof(losses[0]); i++) {
    trace_put_counter(writer, losses[i].name, losses[i].value);
    lost += losses[i].value;
  }
  trace_put_counter(writer, "lost.wait_ns", counters->lost_wait_ns);
  return lost;
}

uint64_t facts_put_end(struct trace_writer *writer, const struct facts_end *end) {
  struct capture_counters counters = {.samples = end->samples};
  if (end->programs)
    counters = programs_counters(end->programs);
  put_number(writer, "capture.duration_ns", end->duration_ns);
  trace_put_meta(writer, "capture.end", end->end);
  put_target(writer, end->processes);
  trace_put_counter(writer, "capture.samples", counters.samples);
  trace_put_counter(writer, "capture.switches", counters.switches);
  trace_put_counter(writer, "capture.waits_not_walked", counters.waits_not_taken);
  trace_put_counter(writer, "capture.stacks", end->statistics.stacks);
  trace_put_counter(writer, "capture.python_stacks", end->statistics.python_stacks);
  trace_put_counter(writer, "capture.misplaced_stacks", end->statistics.misplaced);
  put_cost(writer, end);
  return put_loss(writer, &counters);
}
