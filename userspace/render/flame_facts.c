/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the JSON facts of the page: what was profiled, how, what is missing, processes and threads.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/json.h"
#include "render/flame_data.h"
#include "render/flame_text.h"

static void put_processes(struct json *json, const struct profile *profile) {
  json_key(json, "processes");
  json_open_array(json);
  for (uint32_t i = 0; i < profile->process_count; i++) {
    const struct profile_process *process = &profile->processes[i];
    json_open_object(json);
    json_member_u64(json, "pid", process->pid);
    json_member_text(json, "name", process->name);
    json_member_text(json, "executable", process->executable);
    json_member_text(json, "runtime", process->runtime);
    json_member_u64(json, "start_ns", process->start_ns);
    json_member_u64(json, "end_ns", process->end_ns);
    json_close_object(json);
  }
  json_close_array(json);
}

static void put_threads(struct json *json, const struct profile *profile) {
  json_key(json, "threads");
  json_open_array(json);
  for (uint32_t i = 0; i < profile->thread_count; i++) {
    const struct profile_thread *thread = &profile->threads[i];
    json_open_object(json);
    json_member_u64(json, "process", thread->process);
    json_member_u64(json, "tid", thread->tid);
    json_member_text(json, "name", thread->name);
    json_member_u64(json, "weight_ns", thread->sample_weight_ns);
    json_close_object(json);
  }
  json_close_array(json);
}

static void put_names(struct json *json, const struct profile *profile) {
  json_key(json, "reasons");
  json_open_array(json);
  for (int i = 0; i < WAIT_REASONS; i++)
    json_text(json, wait_reason_name(i));
  json_close_array(json);
  json_key(json, "facts");
  json_open_object(json);
  for (uint32_t i = 0; i < profile->fact_count; i++)
    json_member_text(json, profile->facts[i].name, profile->facts[i].value);
  json_close_object(json);
  json_key(json, "counters");
  json_open_object(json);
  for (uint32_t i = 0; i < profile->counter_count; i++)
    json_member_u64(json, profile->counters[i].name, profile->counters[i].value);
  json_close_object(json);
}

static void put_all(struct json *json, const struct profile *profile,
                    const struct render_options *options, const struct flame_memory *memory,
                    uint64_t bucket_ns, uint32_t bucket_count) {
  json_open_object(json);
  json_member_text(json, "title", flame_title(profile, options->title));
  json_member_text(json, "kind", calltree_kind_name(options->kind));
  json_member_bool(json, "inverted", options->inverted);
  json_member_u64(json, "duration_ns", profile->duration_ns);
  json_member_u64(json, "frequency_hz", profile->frequency_hz);
  json_member_u64(json, "bucket_ns", bucket_ns);
  json_member_u64(json, "bucket_count", bucket_count);
  json_member_bool(json, "whole_file", profile->status.complete);
  json_member_text(json, "damage", profile->status.damage ? profile->status.damage : "");
  flame_memory_put_facts(memory, json);
  put_names(json, profile);
  put_processes(json, profile);
  put_threads(json, profile);
  json_close_object(json);
}

int flame_put_facts(struct buf *buf, const struct profile *profile,
                    const struct render_options *options, const struct flame_memory *memory,
                    uint64_t bucket_ns, uint32_t bucket_count) {
  char *text = NULL;
  size_t bytes = 0;
  FILE *out = open_memstream(&text, &bytes);
  if (!out)
    return -ENOMEM;
  struct json json;
  json_begin(&json, out, 0);
  put_all(&json, profile, options, memory, bucket_ns, bucket_count);
  json_end(&json);
  int rc = fclose(out) ? -ENOMEM : 0;
  if (!rc)
    buf_put(buf, text, bytes);
  free(text);
  return rc;
}
