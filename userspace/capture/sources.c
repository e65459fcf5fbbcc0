/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the table of sources, and what the running kernel has of them. */
#include "capture/sources.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <string.h>

#include "trace/writer.h"

static const struct source sources[] = {
    {"syscalls", "system calls", {"on_syscall_enter", "on_syscall_exit"}},
    {"connections", "TCP connections", {"on_socket_state", "on_retransmit"}},
    {"pagecache", "page cache misses", {"on_page_read"}},
    {"block", "disk requests", {"on_block_start", "on_block_issue", "on_block_complete"}},
    {SOURCE_FAULTS, "page faults", {"on_minor_fault", "on_major_fault"}},
    {"oom", "out-of-memory kills", {"on_oom_kill"}},
};

_Static_assert(sizeof(sources) / sizeof(sources[0]) <= SOURCES_MAX, "a set holds all");

/* ---- what the kernel has ---- */

/* The tracepoint of a program that needs one; NULL of others. */
static const char *tracepoint_of(const struct bpf_program *program) {
  static const char *const prefixes[] = {"tp_btf/", "raw_tp/"};
  const char *section = bpf_program__section_name(program);
  for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
    if (!strncmp(section, prefixes[i], strlen(prefixes[i])))
      return section + strlen(prefixes[i]);
  return NULL;
}

static bool has_tracepoint(const struct btf *btf, const char *name) {
  char typedef_name[128];
  snprintf(typedef_name, sizeof(typedef_name), "btf_trace_%s", name);
  return btf__find_by_name_kind(btf, typedef_name, BTF_KIND_TYPEDEF) > 0;
}

static void leave_out(const struct source *source, struct bpf_object *object) {
  for (const char *const *name = source->programs; *name; name++) {
    struct bpf_program *program = bpf_object__find_program_by_name(object, *name);
    if (program)
      bpf_program__set_autoload(program, false);
  }
}

void sources_leave_out(const struct source_set *set, struct bpf_object *object) {
  for (int i = 0; i < set->count; i++)
    if (*set->at[i].missing)
      leave_out(set->at[i].source, object);
}

static void look_for(struct source_state *state, struct bpf_object *object, const struct btf *btf) {
  for (const char *const *name = state->source->programs; *name && btf; name++) {
    struct bpf_program *program = bpf_object__find_program_by_name(object, *name);
    const char *tracepoint = program ? tracepoint_of(program) : NULL;
    if (!tracepoint || has_tracepoint(btf, tracepoint))
      continue;
    snprintf(state->missing, sizeof(state->missing), "this kernel has no tracepoint %s",
             tracepoint);
    return;
  }
}

void sources_choose(struct source_set *set, struct bpf_object *object) {
  struct btf *btf = btf__load_vmlinux_btf(); /* without it nothing loads, and that is told then */
  *set = (struct source_set){.count = sizeof(sources) / sizeof(sources[0])};
  for (int i = 0; i < set->count; i++) {
    set->at[i].source = &sources[i];
    look_for(&set->at[i], object, btf);
  }
  set->has_typed_cast = btf && btf__find_by_name_kind(btf, "bpf_rdonly_cast", BTF_KIND_FUNC) > 0;
  btf__free(btf);
  sources_leave_out(set, object);
}

static bool owns(const struct source *source, const char *program) {
  for (const char *const *name = source->programs; *name; name++)
    if (!strcmp(*name, program))
      return true;
  return false;
}

bool sources_refuse(struct source_set *set, const char *program) {
  for (int i = 0; i < set->count; i++) {
    struct source_state *state = &set->at[i];
    if (*state->missing || !owns(state->source, program))
      continue;
    snprintf(state->missing, sizeof(state->missing), "this kernel refuses the program %s", program);
    return true;
  }
  return false;
}

/* ---- use ---- */

int sources_attach(const struct source_set *set, struct bpf_object *object,
                   int (*keep)(void *context, struct bpf_link *link, const char *what),
                   void *context) {
  for (int i = 0; i < set->count; i++) {
    if (*set->at[i].missing)
      continue;
    for (const char *const *name = set->at[i].source->programs; *name; name++) {
      struct bpf_program *program = bpf_object__find_program_by_name(object, *name);
      if (!program || !tracepoint_of(program))
        continue;
      int result = keep(context, bpf_program__attach(program), tracepoint_of(program));
      if (result)
        return result;
    }
  }
  return 0;
}

bool sources_has(const struct source_set *set, const char *name) {
  for (int i = 0; i < set->count; i++)
    if (!strcmp(set->at[i].source->name, name))
      return !*set->at[i].missing;
  return false;
}

void sources_give_up(struct source_set *set, const char *name, const char *why) {
  for (int i = 0; i < set->count; i++)
    if (!strcmp(set->at[i].source->name, name))
      snprintf(set->at[i].missing, sizeof(set->at[i].missing), "%s", why);
}

void sources_put(const struct source_set *set, struct trace_writer *writer) {
  for (int i = 0; i < set->count; i++) {
    char name[64];
    snprintf(name, sizeof(name), "source.%s", set->at[i].source->name);
    if (*set->at[i].missing)
      trace_put_meta(writer, name, set->at[i].missing);
  }
}
