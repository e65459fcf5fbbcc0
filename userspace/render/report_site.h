/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stacks that took memory, in words: who wanted it, not how it was got. */
#ifndef RAGPROF_RENDER_REPORT_SITE_H
#define RAGPROF_RENDER_REPORT_SITE_H

#include <stdbool.h>

#include "analysis/stacks.h"
#include "base/buf.h"
#include "model/profile.h"

/* Whether a function takes memory on behalf of its caller: allocators, their wrappers, containers,
 * the interpreter. */
bool report_is_allocator(const struct profile_function *function);

/* Appends the innermost frame that says what the memory is for, "remember (server.py:31)" or
 * "Index::add (index.cpp:80)": allocators, their wrappers, the interpreter, and nameless functions
 * below Python ones are passed over. */
void report_put_site(struct buf *buf, const struct profile *profile,
                     const struct stack_frames *frames);

#endif
