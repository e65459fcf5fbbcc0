/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the user asks to be probed, taken apart. */
#ifndef RAGPROF_CAPTURE_USER_PROBE_SPEC_H
#define RAGPROF_CAPTURE_USER_PROBE_SPEC_H

#include <stdbool.h>
#include <stdint.h>

enum probe_spec_kind {
  PROBE_SPEC_FUNCTION, /* FILE:FUNCTION or FILE:PATTERN */
  PROBE_SPEC_OFFSET,   /* FILE:0xOFFSET, in the file */
  PROBE_SPEC_ADDRESS,  /* 0xADDRESS, in a target */
  PROBE_SPEC_USDT,     /* usdt:[FILE:]PROVIDER:NAME */
};

struct probe_spec {
  enum probe_spec_kind kind;
  const char *text; /* as it was given; the caller's */
  char *file;       /* a path, or a name without slashes; NULL: any */
  char *name;       /* function, pattern or point */
  char *provider;
  uint64_t number; /* offset or address */
};

/* 0, -EINVAL with what is expected, or -ENOTSUP with why it cannot be. `spec` is to be finished in
 * any case. */
int probe_spec_parse(struct probe_spec *spec, const char *text);
void probe_spec_fini(struct probe_spec *spec);

/* Whether a file is the one that is named: by its path, its name, its name without a version
 * ("libfaiss.so" of libfaiss.so.1), or its soname (may be NULL). */
bool probe_spec_names(const struct probe_spec *spec, const char *path, const char *soname);

/* Why a function cannot be timed whatever file it is in; NULL: it can. */
const char *probe_refusal(const char *function);

#endif
