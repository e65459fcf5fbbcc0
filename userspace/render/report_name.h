/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Functions and stacks in words for people: harmless on a terminal, short, without the frames that
 * say nothing. */
#ifndef RAGPROF_RENDER_REPORT_NAME_H
#define RAGPROF_RENDER_REPORT_NAME_H

#include "analysis/stacks.h"
#include "base/buf.h"
#include "model/profile.h"

/* Appends `text` as valid UTF-8 without control characters; U+FFFD stands for what was there. */
void report_put_clean(struct buf *buf, const char *text);

/* "python", "native", "kernel", "jit", "mark". */
const char *report_kind_name(enum frame_kind kind);

/* Appends the name without C++ parameter lists, template arguments and the parts that only say that
 * something has no name ("<locals>."). */
void report_put_short_name(struct buf *buf, const struct profile_function *function);

/* Appends where a function stands: "vector_index.py:80", "libopenblas.so.0", "[kernel]". `line` 0:
 * that of the definition. */
void report_put_place(struct buf *buf, const struct profile_function *function, uint32_t line);

/* Appends a frame as "search (vector_index.py:88)" with its current line, "async " before a
 * coroutine; just the name for native code. `is_short` drops parameter lists. */
void report_put_frame(struct buf *buf, const struct profile *profile, uint32_t frame,
                      bool is_short);

/* Appends the steps of a path, outermost first, with '\n' between them: start-up code becomes "…",
 * the interpreter's own functions between Python frames and the kernel's entry code are left out,
 * and a recursion becomes one step with "×N". */
void report_put_path(struct buf *buf, const struct profile *profile,
                     const struct stack_frames *frames);

#endif
