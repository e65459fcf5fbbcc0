/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Spreads the time of short waits that were not walked (STACK_NOT_TAKEN) over the stacks of the
 * same thread and reason that were: a ratio estimate by stack, exact by thread and reason. */
#ifndef RAGPROF_CAPTURE_WAIT_SPREAD_H
#define RAGPROF_CAPTURE_WAIT_SPREAD_H

#include "ragprof.h"

struct wait_spread;

typedef void (*wait_sum_fn)(void *context, const struct wait_key *key, const struct wait_sum *sum);

/* NULL: out of memory. */
struct wait_spread *wait_spread_new(void);
void wait_spread_free(struct wait_spread *spread);

/* Takes a sum in; a wait_sum_fn. */
void wait_spread_add(void *spread, const struct wait_key *key, const struct wait_sum *sum);

/* Hands out all that came in since the last call, with what was not walked added to the sums of the
 * same thread and reason in proportion to their time; where there are none, to the thread's stack
 * for that reason from an earlier call. */
void wait_spread_take(struct wait_spread *spread, wait_sum_fn callback, void *context);

#endif
