/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows the loops in which pools of threads wait for work or for each other. */
#ifndef RAGPROF_ANALYSIS_SPIN_H
#define RAGPROF_ANALYSIS_SPIN_H

#include <stdint.h>

#include "model/profile.h"

/* The pool whose loop an on-CPU stack ends in ("GNU OpenMP"), kernel frames left aside; NULL when
 * it does something else. */
const char *spin_pool(const struct profile *profile, uint32_t node);

/* The pool whose loop a stack that waits came from. */
const char *spin_pool_asleep(const struct profile *profile, uint32_t node);

#endif
