/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What to call the profiled program. */
#ifndef RAGPROF_ANALYSIS_TARGET_H
#define RAGPROF_ANALYSIS_TARGET_H

#include "model/profile.h"

/* The script that an interpreter runs ("server.py"; "python -c" for a text), as the outermost
 * module on the stacks of the first process tells; else the fact target.name; "" when neither is
 * known. Of the profile. */
const char *target_title(const struct profile *profile);

#endif
