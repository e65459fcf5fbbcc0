/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the look-up of output formats. */
#include "render/render.h"

#include <string.h>

const struct render_format *render_format_find(const struct render_format *formats,
                                               const char *name) {
  for (const struct render_format *format = formats; format->name; format++)
    if (!strcmp(format->name, name))
      return format;
  return NULL;
}
