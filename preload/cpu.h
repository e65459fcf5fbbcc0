/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the CPU timers (cpu.c), the hooks that keep their signal out of sight (signals.c) and the
 * timed calls know of each other. */
#ifndef RAGPROF_PRELOAD_CPU_H
#define RAGPROF_PRELOAD_CPU_H

#include <signal.h>
#include <stdbool.h>

#include "shim.h"

/* Counts the system calls of this thread that our signal ended early or came right after. */
extern SHIM_TLS uint32_t shim_cpu_interrupts;

/* The signal of our timers; 0: there are none. */
extern int shim_cpu_signal;

/* False in a child of vfork: what it changes here is its parent's. */
bool shim_cpu_is_own_process(void);

/* The handler of our signal. */
void shim_cpu_handle(int signal, siginfo_t *info, void *context);

/* Arms all timers anew, with a signal of another number. */
void shim_cpu_move_timers(int signal);

/* signals.c: finds a signal that the target does not use, and installs our handler; 0: there is
 * none. */
int shim_signal_choose(void);
/* signals.c: does what the target asked for with a signal of our number that is not of ours. */
void shim_signal_pass_on(int signal, siginfo_t *info, void *context);
/* signals.c: lets our signal come in the calling thread. */
void shim_signal_unblock(void);

#endif
