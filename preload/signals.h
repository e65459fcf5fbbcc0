/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the timed calls ask of the hooks that keep the timers' signal out of sight. */
#ifndef RAGPROF_PRELOAD_SIGNALS_H
#define RAGPROF_PRELOAD_SIGNALS_H

#include <signal.h>

/* A mask for the time of one call, with our signal in it, made in `room`; NULL for NULL. */
const sigset_t *shim_signals_with_ours(const sigset_t *mask, sigset_t *room);

#endif
