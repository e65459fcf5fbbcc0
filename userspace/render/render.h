/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The output formats, one file each, registered in the tables below. A renderer writes to a stream
 * and knows nothing of files, terminals or options beyond render_options. */
#ifndef RAGPROF_RENDER_RENDER_H
#define RAGPROF_RENDER_RENDER_H

#include <stdbool.h>
#include <stdio.h>

#include "analysis/calltree.h"
#include "model/profile.h"

struct render_options {
  enum calltree_kind kind; /* which graph to draw (HTML: which to show first) */
  const char *title;       /* NULL: made from the target's name */
  bool color;              /* text: ANSI colours */
  bool inverted;           /* flame graphs: icicle (root on top) */
  uint32_t top_count;      /* reports: rows per table; 0: the format's default */
  uint32_t width_columns;  /* text: width of the terminal, 0 unknown */
};

struct render_format {
  const char *name;      /* "html" */
  const char *extension; /* "html" */
  const char *summary;   /* for help texts */
  int (*render)(FILE *out, const struct profile *profile, const struct render_options *options);
};

extern const struct render_format flame_formats[]; /* html, svg, folded; ends with a NULL name */
extern const struct render_format
    report_formats[]; /* text, json, markdown; ends with a NULL name */

/* Whether the profile has what a flame graph of this kind needs: 0, or -ENODATA with a cause. */
int render_check_kind(const struct profile *profile, enum calltree_kind kind);

/* NULL when there is no such format. */
const struct render_format *render_format_find(const struct render_format *formats,
                                               const char *name);

#endif
