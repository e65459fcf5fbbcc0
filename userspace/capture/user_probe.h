/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The user's own probes (--probe): which functions and points they name, in which of the files that
 * the targets map, and whether they can be probed without harm. */
#ifndef RAGPROF_CAPTURE_USER_PROBE_H
#define RAGPROF_CAPTURE_USER_PROBE_H

#include <stddef.h>
#include <stdint.h>

#include "capture/module.h"
#include "capture/process.h"

struct bpf_object;
struct user_probes;

#define USER_PROBES_MAX 256 /* names: a pattern has one for each function that it matches */

/* FILE:FUNCTION, FILE:PATTERN, FILE:0xOFFSET, 0xADDRESS, usdt:PROVIDER:NAME or
 * usdt:FILE:PROVIDER:NAME. The specs must outlive the set. 0, or -EINVAL with the cause. */
int user_probes_new(struct user_probes **out, const char *const *specs, size_t count);
void user_probes_free(struct user_probes *probes);

/* By index, filled in as they are found; USER_PROBES_MAX of them, "" where there is none yet. */
const char *const *user_probes_names(const struct user_probes *probes);

/* Before the load: which programs are needed, and in which form. NULL: none. */
void user_probes_choose(struct user_probes *probes, struct bpf_object *object);

/* What the probes are looked for in. */
struct user_probe_scope {
  struct bpf_object *object; /* loaded */
  struct module_store *modules;
  struct process_store *processes;
  const char *command; /* what `run` will start; NULL */
};

/* Finds and attaches them, with a line about the cost of each. A spec of which the file is not
 * mapped yet waits for it. 0, or -errno with the cause: a function that there is not, or that
 * cannot be probed without harm. */
int user_probes_begin(struct user_probes *probes, const struct user_probe_scope *scope);

/* Looks at what was mapped since; what is wrong there is a warning. */
void user_probes_look(struct user_probes *probes);

/* Detaches; says what was never found. */
void user_probes_end(struct user_probes *probes);

#endif
