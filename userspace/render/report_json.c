/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the report as JSON, schema ragprof.report/1 (docs/json-schema.md). Members may be added
 * under the same schema; none changes its meaning or goes away. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/units.h"
#include "render/report_content.h"
#include "render/report_formats.h"
#include "render/report_json.h"
#include "render/report_name.h"

#define SCHEMA "ragprof.report/1"
#define DEFAULT_ROWS 1000
#define STACK_FRAMES_MAX 1024 /* of a stack, from the innermost one */

void report_json_ms(struct report_json *writer, const char *key, uint64_t ns) {
  json_member_double(&writer->json, key, (double)ns / (double)NS_PER_MS, 3);
}

void report_json_pct(struct report_json *writer, const char *key, uint64_t part, uint64_t whole) {
  json_member_double(&writer->json, key, percent_of(part, whole), 2);
}

static void open_row(struct report_json *writer) {
  json_open_object(&writer->json);
}

static void close_row(struct report_json *writer) {
  json_close_object(&writer->json);
}

uint32_t report_json_shown(const struct report_json *writer, uint32_t count) {
  return count < writer->top_count ? count : writer->top_count;
}

static void open_section(struct report_json *writer, const char *key) {
  json_key(&writer->json, key);
  json_open_array(&writer->json);
}

static void close_section(struct report_json *writer) {
  json_close_array(&writer->json);
}

/* ---- Names and stacks ------------------------------------------------------------------------ */

/* Frames of a stack as "name (file:line)", outermost first. */
static void put_stack(struct report_json *writer, const char *key) {
  const struct stack_frames *frames = &writer->frames;
  uint32_t first = frames->count > STACK_FRAMES_MAX ? frames->count - STACK_FRAMES_MAX : 0;
  struct buf label = {0};
  open_section(writer, key);
  for (uint32_t i = first; i < frames->count; i++) {
    buf_clear(&label);
    report_put_frame(&label, writer->profile, frames->frames[i], false);
    json_text(&writer->json, buf_text(&label));
  }
  close_section(writer);
  if (first > 0)
    json_member_u64(&writer->json, "stack_frames_left_out", first);
  writer->failed |= label.failed;
  buf_fini(&label);
}

static void put_steps(struct report_json *writer, const char *steps) {
  struct buf path = {0};
  for (; *steps; steps++) {
    if (*steps == '\n')
      buf_put_text(&path, " → ");
    else
      buf_put(&path, steps, 1);
  }
  json_member_text(&writer->json, "path", buf_text(&path));
  writer->failed |= path.failed;
  buf_fini(&path);
}

static void put_path(struct report_json *writer) {
  struct buf steps = {0};
  report_put_path(&steps, writer->profile, &writer->frames);
  put_steps(writer, buf_text(&steps));
  writer->failed |= steps.failed;
  buf_fini(&steps);
}

void report_json_stack(struct report_json *writer, uint32_t node) {
  writer->failed |= profile_frames(writer->profile, node, &writer->frames) != 0;
  put_path(writer);
  put_stack(writer, "stack");
}

static void put_kind_and_file(struct report_json *writer, uint32_t id, uint32_t line) {
  const struct profile_function *function = &writer->profile->functions[id];
  json_member_text(&writer->json, "file", function->file);
  json_member_u64(&writer->json, "line", line);
  json_member_text(&writer->json, "module", function->module);
  json_member_text(&writer->json, "kind", report_kind_name(function->kind));
}

/* ---- Target and capture ---------------------------------------------------------------------- */

static void put_fact(struct report_json *writer, const char *key, const char *fact) {
  const char *value = profile_fact(writer->profile, fact);
  json_key(&writer->json, key);
  if (*value)
    json_text(&writer->json, value);
  else
    json_null(&writer->json);
}

static void put_number_fact(struct report_json *writer, const char *key, const char *fact) {
  uint64_t value;
  json_key(&writer->json, key);
  if (units_parse_count(profile_fact(writer->profile, fact), &value))
    json_null(&writer->json);
  else
    json_u64(&writer->json, value);
}

static void put_pids(struct report_json *writer) {
  const char *text = profile_fact(writer->profile, "target.pids");
  open_section(writer, "pids");
  while (*text) {
    size_t digits = strspn(text, "0123456789");
    if (digits > 0 && digits < 11)
      json_u64(&writer->json, strtoull(text, NULL, 10));
    text += digits;
    text += strcspn(text, "0123456789");
  }
  close_section(writer);
}

static void put_target(struct report_json *writer) {
  const struct profile *profile = writer->profile;
  bool has_process = profile->process_count > 0;
  json_key(&writer->json, "target");
  open_row(writer);
  put_fact(writer, "name", "target.name");
  put_pids(writer);
  json_member_text(&writer->json, "runtime", has_process ? profile->processes[0].runtime : "");
  json_member_text(&writer->json, "executable",
                   has_process ? profile->processes[0].executable : "");
  put_fact(writer, "exit_status", "target.exit_status");
  close_row(writer);
}

static void put_host(struct report_json *writer) {
  json_key(&writer->json, "host");
  open_row(writer);
  put_fact(writer, "kernel", "host.kernel");
  put_fact(writer, "machine", "host.machine");
  put_fact(writer, "os", "host.os");
  put_number_fact(writer, "cpu_count", "host.cpus");
  put_fact(writer, "hostname", "host.hostname");
  close_row(writer);
}

/* Counters "PREFIX.a.b" as members "a_b". */
static void put_counters(struct report_json *writer, const char *prefix) {
  const struct profile *profile = writer->profile;
  size_t bytes = strlen(prefix);
  struct buf key = {0};
  for (uint32_t i = 0; i < profile->counter_count; i++) {
    if (strncmp(profile->counters[i].name, prefix, bytes))
      continue;
    buf_clear(&key);
    for (const char *at = profile->counters[i].name + bytes; *at; at++)
      buf_put_u8(&key, *at == '.' ? '_' : (uint8_t)*at);
    json_member_u64(&writer->json, buf_text(&key), profile->counters[i].value);
  }
  writer->failed |= key.failed;
  buf_fini(&key);
}

static void put_overhead(struct report_json *writer) {
  const struct profile *profile = writer->profile;
  uint64_t bpf_ns = profile_counter(profile, "cost.bpf_ns");
  uint64_t runs = profile_counter(profile, "cost.bpf_runs");
  json_key(&writer->json, "overhead");
  open_row(writer);
  put_counters(writer, "cost.");
  json_member_double(&writer->json, "bpf_mean_ns_per_run", runs ? (double)bpf_ns / (double)runs : 0,
                     0);
  report_json_pct(writer, "bpf_one_cpu_pct", bpf_ns, profile->duration_ns);
  report_json_pct(writer, "collector_one_cpu_pct",
                  profile_counter(profile, "cost.collector_cpu_ns"), profile->duration_ns);
  close_row(writer);
}

static void put_file(struct report_json *writer) {
  const struct trace_status *status = &writer->profile->status;
  json_key(&writer->json, "file");
  open_row(writer);
  json_member_bool(&writer->json, "is_whole", status->complete && !status->damage);
  json_key(&writer->json, "damage");
  if (status->damage)
    json_text(&writer->json, status->damage);
  else
    json_null(&writer->json);
  json_member_u64(&writer->json, "size_bytes", status->file_bytes);
  json_member_u64(&writer->json, "read_bytes", status->read_bytes);
  close_row(writer);
}

static void put_capture(struct report_json *writer) {
  const struct accounting *accounting = &writer->summary->accounting;
  struct json *json = &writer->json;
  json_key(json, "capture");
  open_row(writer);
  put_fact(writer, "command", "capture.command");
  put_fact(writer, "source", "capture.source");
  put_fact(writer, "event", "capture.event");
  json_member_u64(json, "frequency_hz", writer->profile->frequency_hz);
  json_member_double(json, "duration_s", (double)writer->profile->duration_ns / (double)NS_PER_S,
                     6);
  put_number_fact(writer, "start_unix_ns", "capture.start_unix_ns");
  put_fact(writer, "end", "capture.end");
  put_fact(writer, "ragprof_version", "ragprof.version");
  json_key(json, "samples");
  open_row(writer);
  json_member_u64(json, "on_cpu", accounting->sample_count);
  report_json_pct(writer, "complete_pct", accounting->complete_sample_count,
                  accounting->sample_count);
  close_row(writer);
  json_key(json, "waits");
  open_row(writer);
  json_member_u64(json, "off_cpu", accounting->wait_count);
  report_json_pct(writer, "complete_pct", accounting->complete_wait_count, accounting->wait_count);
  json_member_u64(json, "not_walked", profile_counter(writer->profile, "capture.waits_not_walked"));
  close_row(writer);
  json_key(json, "lost");
  open_row(writer);
  put_counters(writer, "lost.");
  close_row(writer);
  put_overhead(writer);
  put_file(writer);
  close_row(writer);
}

/* ---- Verdict and times ----------------------------------------------------------------------- */

static void put_verdict(struct report_json *writer) {
  struct report_content *content;
  if (report_content_build(&content, writer->summary, 0)) {
    writer->failed = true;
    return;
  }
  open_section(writer, "verdict");
  for (uint32_t i = 0; i < content->verdict_count; i++) {
    const struct report_line *line = &content->verdict[i];
    open_row(writer);
    json_member_text(&writer->json, "label", line->label);
    json_member_text(&writer->json, "text", line->text);
    if (*line->path)
      put_steps(writer, line->path);
    json_member_bool(&writer->json, "is_warning", line->is_warning);
    close_row(writer);
  }
  close_section(writer);
  report_content_free(content);
}

static void put_split(struct report_json *writer, const struct time_split *time) {
  report_json_ms(writer, "wall_ms", time->wall_ns);
  report_json_ms(writer, "on_cpu_ms", time->on_cpu_ns);
  report_json_ms(writer, "blocked_ms", time->blocked_ns);
  report_json_ms(writer, "run_queue_ms", time->run_queue_ns);
  report_json_pct(writer, "sum_pct", time_split_sum_ns(time), time->wall_ns);
  json_member_u64(&writer->json, "samples", time->sample_count);
}

static void put_time(struct report_json *writer) {
  const struct time_split *total = &writer->summary->accounting.total;
  uint64_t duration_ns = writer->profile->duration_ns;
  json_key(&writer->json, "time");
  open_row(writer);
  put_split(writer, total);
  report_json_ms(writer, "sampled_on_cpu_ms", writer->summary->hotspots.total_ns);
  report_json_ms(writer, "off_cpu_ms", writer->summary->waits.total_ns);
  json_member_double(&writer->json, "busy_cpus",
                     duration_ns ? (double)total->on_cpu_ns / (double)duration_ns : 0, 3);
  close_row(writer);
}

/* ---- CPU time -------------------------------------------------------------------------------- */

static void put_functions(struct report_json *writer) {
  const struct hotspots *hotspots = &writer->summary->hotspots;
  uint64_t whole_ns = hotspots->total_ns;
  open_section(writer, "functions");
  for (uint32_t i = 0; i < report_json_shown(writer, hotspots->function_count); i++) {
    const struct hot_function *hot = &hotspots->functions[i];
    const struct profile_function *function = &writer->profile->functions[hot->function];
    open_row(writer);
    json_member_text(&writer->json, "name", function->name);
    put_kind_and_file(writer, hot->function, function->first_line);
    report_json_pct(writer, "self_pct", hot->self_ns, whole_ns);
    report_json_pct(writer, "own_pct", hot->own_ns, whole_ns);
    report_json_pct(writer, "total_pct", hot->total_ns, whole_ns);
    report_json_ms(writer, "self_ms", hot->self_ns);
    report_json_ms(writer, "own_ms", hot->own_ns);
    report_json_ms(writer, "total_ms", hot->total_ns);
    json_member_u64(&writer->json, "self_samples", hot->self_count);
    json_member_u64(&writer->json, "total_samples", hot->total_count);
    report_json_ms(writer, "off_cpu_total_ms", hot->wait_ns);
    close_row(writer);
  }
  close_section(writer);
}

static void put_lines(struct report_json *writer) {
  const struct hotspots *hotspots = &writer->summary->hotspots;
  open_section(writer, "lines");
  for (uint32_t i = 0; i < report_json_shown(writer, hotspots->line_count); i++) {
    const struct hot_line *hot = &hotspots->lines[i];
    open_row(writer);
    json_member_text(&writer->json, "function", writer->profile->functions[hot->function].name);
    put_kind_and_file(writer, hot->function, hot->line);
    report_json_pct(writer, "self_pct", hot->self_ns, hotspots->total_ns);
    report_json_pct(writer, "own_pct", hot->own_ns, hotspots->total_ns);
    report_json_pct(writer, "total_pct", hot->total_ns, hotspots->total_ns);
    report_json_ms(writer, "own_ms", hot->own_ns);
    report_json_ms(writer, "total_ms", hot->total_ns);
    json_member_u64(&writer->json, "own_samples", hot->own_count);
    close_row(writer);
  }
  close_section(writer);
}

static void put_hot_paths(struct report_json *writer) {
  const struct hotspots *hotspots = &writer->summary->hotspots;
  open_section(writer, "hot_paths");
  for (uint32_t i = 0; i < report_json_shown(writer, hotspots->path_count); i++) {
    const struct hot_path *hot = &hotspots->paths[i];
    writer->failed |= stacks_frames(&hotspots->stacks, hot->node, &writer->frames) != 0;
    open_row(writer);
    report_json_pct(writer, "pct", hot->ns, hotspots->total_ns);
    report_json_ms(writer, "on_cpu_ms", hot->ns);
    json_member_u64(&writer->json, "samples", hot->count);
    report_json_ms(writer, "callees_ms", hot->callees_ns);
    put_path(writer);
    put_stack(writer, "stack");
    close_row(writer);
  }
  close_section(writer);
}

/* ---- Waiting --------------------------------------------------------------------------------- */

static void put_wait_sum(struct report_json *writer, const struct wait_sum *sum) {
  json_member_text(&writer->json, "reason", wait_reason_name(sum->reason));
  report_json_ms(writer, "total_ms", sum->total_ns);
  report_json_pct(writer, "wall_pct", sum->total_ns, writer->summary->accounting.total.wall_ns);
  json_member_u64(&writer->json, "count", sum->count);
  report_json_ms(writer, "mean_ms", sum->count ? sum->total_ns / sum->count : 0);
  report_json_ms(writer, "max_ms", sum->max_ns);
}

static void put_reasons(struct report_json *writer) {
  const struct waits *waits = &writer->summary->waits;
  open_section(writer, "off_cpu_reasons");
  for (uint32_t i = 0; i < waits->reason_count; i++) {
    open_row(writer);
    put_wait_sum(writer, &waits->reasons[i]);
    report_json_ms(writer, "parked_ms", waits->reasons[i].parked_ns);
    close_row(writer);
  }
  close_section(writer);
}

static void put_off_cpu(struct report_json *writer) {
  const struct waits *waits = &writer->summary->waits;
  open_section(writer, "off_cpu");
  for (uint32_t i = 0; i < report_json_shown(writer, waits->stack_count); i++) {
    const struct wait_stack *stack = &waits->stacks[i];
    open_row(writer);
    put_wait_sum(writer, &stack->sum);
    report_json_ms(writer, "parked_ms", stack->sum.parked_ns);
    json_member_u64(&writer->json, "threads", stack->thread_count);
    json_member_u64(&writer->json, "parked_threads", stack->parked_count);
    json_member_bool(&writer->json, "is_complete",
                     profile_is_complete(writer->profile, stack->node));
    report_json_stack(writer, stack->node);
    close_row(writer);
  }
  close_section(writer);
}

static void put_thread_name(struct report_json *writer, const char *name_key, const char *tid_key,
                            uint32_t thread, uint32_t tid) {
  struct json *json = &writer->json;
  json_key(json, name_key);
  if (thread == PROFILE_NONE)
    json_null(json);
  else
    json_text(json, writer->profile->threads[thread].name);
  json_key(json, tid_key);
  if (thread != PROFILE_NONE)
    json_u64(json, writer->profile->threads[thread].tid);
  else if (tid)
    json_u64(json, tid);
  else
    json_null(json);
}

static void put_wakes(struct report_json *writer) {
  const struct waits *waits = &writer->summary->waits;
  open_section(writer, "wakes");
  for (uint32_t i = 0; i < report_json_shown(writer, waits->wake_count); i++) {
    const struct wait_wake *wake = &waits->wakes[i];
    open_row(writer);
    put_wait_sum(writer, &wake->sum);
    put_thread_name(writer, "thread", "tid", wake->thread, 0);
    put_thread_name(writer, "waker", "waker_tid", wake->waker, wake->waker_tid);
    close_row(writer);
  }
  close_section(writer);
}

/* ---- Accounts -------------------------------------------------------------------------------- */

static void put_threads(struct report_json *writer) {
  const struct accounting *accounting = &writer->summary->accounting;
  open_section(writer, "threads");
  for (uint32_t i = 0; i < report_json_shown(writer, accounting->thread_count); i++) {
    const struct thread_row *thread = &accounting->threads[i];
    const struct profile_thread *from = &writer->profile->threads[thread->thread];
    open_row(writer);
    json_member_text(&writer->json, "name", from->name);
    json_member_u64(&writer->json, "pid", writer->profile->processes[from->process].pid);
    json_member_u64(&writer->json, "tid", from->tid);
    put_split(writer, &thread->time);
    json_member_bool(&writer->json, "is_exact", thread->is_exact);
    if (thread->is_exact) {
      json_member_u64(&writer->json, "voluntary_switches", from->account.voluntary_switches);
      json_member_u64(&writer->json, "involuntary_switches", from->account.involuntary_switches);
    }
    close_row(writer);
  }
  close_section(writer);
}

static void put_processes(struct report_json *writer) {
  const struct accounting *accounting = &writer->summary->accounting;
  struct json *json = &writer->json;
  open_section(writer, "processes");
  for (uint32_t i = 0; i < report_json_shown(writer, accounting->process_count); i++) {
    const struct process_row *process = &accounting->processes[i];
    const struct profile_process *from = &writer->profile->processes[process->process];
    open_row(writer);
    json_member_text(json, "name", from->name);
    json_member_u64(json, "pid", from->pid);
    json_member_u64(json, "parent_pid", from->parent_pid);
    json_member_text(json, "executable", from->executable);
    json_member_text(json, "runtime", from->runtime);
    report_json_ms(writer, "start_ms", from->start_ns);
    report_json_ms(writer, "end_ms", from->end_ns);
    json_member_u64(json, "threads", process->thread_count);
    put_split(writer, &process->time);
    if (writer->profile->point_count || writer->profile->happening_count)
      report_json_put_process(writer, process->process);
    close_row(writer);
  }
  close_section(writer);
}

static void put_incomplete(struct report_json *writer) {
  const struct accounting *accounting = &writer->summary->accounting;
  open_section(writer, "incomplete_stacks");
  for (uint32_t i = 0; i < report_json_shown(writer, accounting->incomplete_count); i++) {
    const struct incomplete_row *row = &accounting->incomplete[i];
    open_row(writer);
    json_member_text(&writer->json, "why", writer->profile->functions[row->function].name);
    json_member_u64(&writer->json, "samples", row->sample_count);
    json_member_u64(&writer->json, "waits", row->wait_count);
    close_row(writer);
  }
  close_section(writer);
}

/* How many rows each section has in all, so that a reader sees when it got only the first ones. */
static void put_row_counts(struct report_json *writer) {
  const struct summary *summary = writer->summary;
  const struct {
    const char *key;
    uint32_t count;
  } sections[] = {
      {"functions", summary->hotspots.function_count},
      {"lines", summary->hotspots.line_count},
      {"hot_paths", summary->hotspots.path_count},
      {"off_cpu", summary->waits.stack_count},
      {"wakes", summary->waits.wake_count},
      {"threads", summary->accounting.thread_count},
      {"processes", summary->accounting.process_count},
      {"incomplete_stacks", summary->accounting.incomplete_count},
      {"heap_sites", summary->heap->stack_count},
      {"memory_processes", summary->memory.process_count},
      {"calls", summary->calls.sum_count},
      {"slow_calls", summary->calls.slow_count},
      {"syscalls", summary->system.syscalls.count},
      {"slow_syscalls", summary->system.slow.count},
      {"files", summary->system.files.count},
      {"peers", summary->system.peers.count},
      {"blocks", summary->system.disks.operations.count},
      {"fault_objects", summary->system.faults.objects.count},
      {"fault_stacks", summary->system.faults.stack_count},
      {"locks", summary->system.locks.count},
      {"gil_threads", summary->system.locks.thread_count},
      {"probes", summary->system.probes.count},
  };
  json_key(&writer->json, "row_counts");
  open_row(writer);
  for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++)
    json_member_u64(&writer->json, sections[i].key, sections[i].count);
  close_row(writer);
}

static void put_report(struct report_json *writer) {
  open_row(writer);
  json_member_text(&writer->json, "schema", SCHEMA);
  put_target(writer);
  put_host(writer);
  put_capture(writer);
  put_verdict(writer);
  put_time(writer);
  put_functions(writer);
  put_lines(writer);
  put_hot_paths(writer);
  put_reasons(writer);
  put_off_cpu(writer);
  put_wakes(writer);
  put_threads(writer);
  put_processes(writer);
  put_incomplete(writer);
  report_json_put_memory(writer);
  report_json_put_calls(writer);
  report_json_put_system(writer);
  put_row_counts(writer);
  close_row(writer);
}

int report_render_json(FILE *out, const struct profile *profile,
                       const struct render_options *options) {
  struct summary *summary;
  struct report_json writer = {.profile = profile};
  writer.top_count = options->top_count ? options->top_count : DEFAULT_ROWS;
  int rc = summary_build(&summary, profile);
  if (rc)
    return rc;
  writer.summary = summary;
  json_begin(&writer.json, out, 2);
  put_report(&writer);
  json_end(&writer.json);
  stack_frames_fini(&writer.frames);
  summary_free(summary);
  if (writer.failed)
    return -ENOMEM;
  return ferror(out) ? -EIO : 0;
}
