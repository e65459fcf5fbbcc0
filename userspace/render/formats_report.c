/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the table of report formats. */
#include "render/render.h"
#include "render/report_formats.h"

const struct render_format report_formats[] = {
    {"text", "txt", "for the terminal: the verdict first, then tables", report_render_text},
    {"json", "json", "for scripts: schema ragprof.report/1", report_render_json},
    {"markdown", "md", "for tickets and pull requests: tables that GitHub renders",
     report_render_markdown},
    {0},
};
