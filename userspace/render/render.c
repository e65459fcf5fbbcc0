/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the look-up of output formats. */
#include "render/render.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"

static const char memory_hint[] = "'ragprof run --alloc=every' counts them";
static const char kernel_hint[] =
    "'ragprof attach' and 'ragprof run' record them where they may load BPF programs; 'ragprof "
    "doctor' tells";

/* Of a trace that holds other operations. */
static const char seen_hint[] = "the capture saw none; 'ragprof report' says what it could not see";

static const struct {
  const char *what;
  const char *hint;
} needs[CALLTREE_KINDS] = {
    [CALLTREE_ALLOC] = {"allocations", memory_hint},
    [CALLTREE_LIVE] = {"allocations", memory_hint},
    [CALLTREE_LEAK] = {"allocations", memory_hint},
    [CALLTREE_PEAK] = {"allocations", memory_hint},
    [CALLTREE_SYSCALL] = {"system calls", kernel_hint},
    [CALLTREE_IO] = {"file or socket operations", kernel_hint},
    [CALLTREE_BLOCK] = {"disk requests", kernel_hint},
    [CALLTREE_FAULT] = {"page faults", kernel_hint},
    [CALLTREE_LOCK] = {"waits for locks", kernel_hint},
    [CALLTREE_GIL] = {"waits for the GIL", kernel_hint},
};

int render_check_kind(const struct profile *profile, enum calltree_kind kind) {
  if (calltree_is_recorded(profile, kind))
    return 0;
  bool is_operation = calltree_kind_group(kind) == CALLTREE_OPERATIONS;
  return error_set(ENODATA, "--kind %s: the trace holds no %s (%s)", calltree_kind_name(kind),
                   needs[kind].what,
                   is_operation && profile->operation_count ? seen_hint : needs[kind].hint);
}

const struct render_format *render_format_find(const struct render_format *formats,
                                               const char *name) {
  for (const struct render_format *format = formats; format->name; format++)
    if (!strcmp(format->name, name))
      return format;
  return NULL;
}
