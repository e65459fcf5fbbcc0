/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the table of flame graph formats. */
#include "render/flame_formats.h"

const struct render_format flame_formats[] = {
    {"html", "html", "an interactive page in one file, without network access", flame_render_html},
    {"svg", "svg", "a drawing with click-zoom and search", flame_render_svg},
    {"folded", "folded", "one line a stack, \"root;...;leaf N\", N in microseconds",
     flame_render_folded},
    {0},
};
