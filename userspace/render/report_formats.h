/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The report formats that formats_report.c registers. */
#ifndef RAGPROF_RENDER_REPORT_FORMATS_H
#define RAGPROF_RENDER_REPORT_FORMATS_H

#include "analysis/summary.h"
#include "render/render.h"

int report_render_text(FILE *out, const struct profile *profile,
                       const struct render_options *options);
int report_render_json(FILE *out, const struct profile *profile,
                       const struct render_options *options);
int report_render_markdown(FILE *out, const struct profile *profile,
                           const struct render_options *options);

#endif
