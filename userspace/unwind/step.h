/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Steps from a frame to its caller by the rows of a table, as the BPF sampler does, but over any
 * source of memory: a stopped process, a copied stack, a test's array. Reads only through a
 * callback. */
#ifndef RAGPROF_UNWIND_STEP_H
#define RAGPROF_UNWIND_STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "unwind/ehframe.h"

struct unwind_registers {
  uint64_t ip;
  uint64_t sp;
  uint64_t bp;
  uint64_t general[16]; /* by DWARF number: rax, rdx, rcx, rbx, rsi, rdi, -, -, r8 … r15. Known in
                           the innermost frame and in one that a signal interrupted; stale
                           elsewhere. Entries 6 and 7 (rbp, rsp) are not used. */
};

/* Reads `bytes` (8 to 184) at `address` of the target. Returns whether all could be read. */
typedef bool (*unwind_read_fn)(void *ctx, uint64_t address, void *out, size_t bytes);

enum unwind_step {
  UNWIND_STEPPED = 0,
  UNWIND_STEPPED_SIGNAL =
      1,                    /* to the frame that a signal interrupted: the next step is_innermost */
  UNWIND_ROOT = 2,          /* the frame was the thread's first; the registers are as before */
  UNWIND_FAILED_READ = -1,  /* memory that could not be read */
  UNWIND_FAILED_STACK = -2, /* the caller's stack pointer would not lie above this one's */
  UNWIND_FAILED_REGISTER = -3, /* the CFA is in a register that is not known in this frame */
  UNWIND_FAILED_CHAIN = -4,    /* no CFI, and rbp leads nowhere */
};

/* One step. `table` may be NULL (a mapping without CFI: the rbp chain); `bias` is the run-time
 * address minus the virtual address of the file. is_innermost: ip is where the thread stands;
 * otherwise it is a return address, and the byte before it decides. On failure the registers are as
 * before. */
enum unwind_step unwind_step(const struct unwind_table *table, uint64_t bias,
                             struct unwind_registers *registers, bool is_innermost,
                             unwind_read_fn read, void *ctx);

/* "the stack pointer does not grow" …; never NULL. */
const char *unwind_step_text(enum unwind_step step);

#endif
