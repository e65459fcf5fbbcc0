/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the look-up of output formats. */
#include "render/render.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"

int render_check_kind(const struct profile *profile, enum calltree_kind kind) {
  if (!calltree_kind_is_memory(kind) || profile->heap_site_count)
    return 0;
  return error_set(
      ENODATA,
      "--kind %s: the trace holds no allocations ('ragprof run --alloc=every' counts them)",
      calltree_kind_name(kind));
}

const struct render_format *render_format_find(const struct render_format *formats,
                                               const char *name) {
  for (const struct render_format *format = formats; format->name; format++)
    if (!strcmp(format->name, name))
      return format;
  return NULL;
}
