/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tells the application's functions from those of the runtime under it. Reports use it only to
 * leave out what says nothing (how a thread is started, how the interpreter calls itself); no
 * figure depends on it. */
#ifndef RAGPROF_ANALYSIS_ORIGIN_H
#define RAGPROF_ANALYSIS_ORIGIN_H

#include <stdbool.h>

#include "model/profile.h"

enum origin {
  ORIGIN_APPLICATION, /* the target's own code and the libraries that it chose */
  ORIGIN_INTERPRETER, /* machine code of the Python interpreter, and ragprof's own in the target */
  ORIGIN_RUNTIME,     /* start-up code, libc, Python's standard library, marks */
  ORIGIN_KERNEL,
};

enum origin origin_of(const struct profile_function *function);

/* Kernel functions that stand on every stack of their kind: system call entry and the scheduler. */
bool origin_is_kernel_passage(const struct profile_function *function);

/* Kernel functions through which every page fault passes. */
bool origin_is_fault_handler(const struct profile_function *function);

#endif
