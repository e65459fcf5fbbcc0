/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What thread.c shares with the parts that start the process and its forks. */
#ifndef RAGPROF_PRELOAD_THREAD_H
#define RAGPROF_PRELOAD_THREAD_H

#include "shim.h"

/* Tells when the process is a fork's child; false where the kernel cannot. */
bool shim_threads_start(void);
/* Once libc is ready: threads give their records back when they end. */
void shim_threads_watch_ends(void);
/* Turns everything off for good: all is passed through from here on. */
void shim_stop(void);

/* init.c: reads the configuration and makes the region, once; true when there is one. */
bool shim_start(void);
/* region.c: makes this process's file. False: there is none. */
bool shim_region_start(void);
/* region.c: the same in a fork's child, which gives up its parent's. */
bool shim_region_forked(void);
/* region.c: makes a second file, which the first child takes that cannot make its own. For a
 * process that is about to lose its right or way to the folder. */
void shim_region_spare(void);
/* memory.c: writes into the region what is held. */
void shim_memory_tell(void);
/* sites.c: a new region has no sites yet. */
void shim_sites_start(void);
/* The parts of shim.h that are set up at start and after a fork. */
void shim_parts_start(void);

#endif
