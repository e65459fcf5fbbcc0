/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The renderers of flame_formats[], one file each. */
#ifndef RAGPROF_RENDER_FLAME_FORMATS_H
#define RAGPROF_RENDER_FLAME_FORMATS_H

#include "render/render.h"

/* Folded stacks, as flamegraph.pl and its relatives read them: one line a stack, sorted by bytes,
 * "root;…;leaf N", where N is the time spent at the leaf in whole microseconds, rounded (lines of
 * less than half a microsecond are left out), or the memory in bytes (bytes per iteration, or per
 * second, for the kind "leak"), or the number of page faults. Stacks are merged by function; a
 * Python frame reads "function (file.py:12)" with the line of its definition; ';' in a name becomes
 * ':'. */
int flame_render_folded(FILE *out, const struct profile *profile,
                        const struct render_options *options);

/* An interactive page in one file that needs no network; see flame_page.c. */
int flame_render_html(FILE *out, const struct profile *profile,
                      const struct render_options *options);

/* A drawing with click-zoom and search when opened by itself. */
int flame_render_svg(FILE *out, const struct profile *profile,
                     const struct render_options *options);

#endif
