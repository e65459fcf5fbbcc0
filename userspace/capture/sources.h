/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel can be asked about besides samples and switches: groups of BPF programs, each of
 * which is left out where the kernel lacks what it needs. The rest works without it. */
#ifndef RAGPROF_CAPTURE_SOURCES_H
#define RAGPROF_CAPTURE_SOURCES_H

#include <stdbool.h>

struct bpf_link;
struct bpf_object;
struct trace_writer;

#define SOURCE_PROGRAMS_MAX 12
#define SOURCES_MAX 16

/* Attached to perf events, not by sources_attach. */
#define SOURCE_FAULTS "faults"

struct source {
  const char *name;    /* as in the fact "source.NAME" */
  const char *summary; /* "system calls" */
  const char *programs[SOURCE_PROGRAMS_MAX];
};

struct source_state {
  const struct source *source;
  char missing[160]; /* why it is left out; "": it is not */
};

struct source_set {
  struct source_state at[SOURCES_MAX];
  int count;
  bool has_typed_cast; /* bpf_rdonly_cast, which saves reads */
};

/* Finds out what this kernel has, and leaves out the others. */
void sources_choose(struct source_set *set, struct bpf_object *object);

/* Notes that the kernel refused a program. False when it belongs to no source. */
bool sources_refuse(struct source_set *set, const char *program);
/* Keeps the programs of missing sources from being loaded. */
void sources_leave_out(const struct source_set *set, struct bpf_object *object);

/* Attaches the programs of the sources; `keep` takes each link, or NULL with errno where that
 * failed, and returns 0 or -errno. */
int sources_attach(const struct source_set *set, struct bpf_object *object,
                   int (*keep)(void *context, struct bpf_link *link, const char *what),
                   void *context);

bool sources_has(const struct source_set *set, const char *name);
/* Notes why a source cannot be used although it was loaded. */
void sources_give_up(struct source_set *set, const char *name, const char *why);

/* Notes what is missing. */
void sources_put(const struct source_set *set, struct trace_writer *writer);

#endif
