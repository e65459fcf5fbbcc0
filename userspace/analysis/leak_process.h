/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory of whole processes. Private to the leak analysis. */
#ifndef RAGPROF_ANALYSIS_LEAK_PROCESS_H
#define RAGPROF_ANALYSIS_LEAK_PROCESS_H

#include "analysis/leak.h"

/* One entry for each process that has memory points; malloc'ed. 0 or -ENOMEM. */
int leak_processes(struct leak_process **out, uint32_t *count, const struct profile *profile);

#endif
