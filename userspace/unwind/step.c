/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stepping in user space: the reads around bpf/unwind_row.h. */
#include "unwind/step.h"

#include <string.h>

#include "unwind_row.h"

struct step {
  struct unwind_registers *registers;
  unwind_read_fn read;
  void *ctx;
};

static bool word(const struct step *step, uint64_t address, uint64_t *value) {
  return step->read(step->ctx, address, value, sizeof(*value));
}

/* To the caller, whose stack pointer is `cfa`. GCC says that rbp lies at rbp up to the last
 * instruction of functions that realign their stack, also after it was popped: where nothing can be
 * read there, rbp is the caller's already. */
static enum unwind_step leave(const struct step *step, struct row_slots slots, uint64_t cfa) {
  struct unwind_registers *registers = step->registers;
  uint64_t ra, bp = registers->bp;

  if (!word(step, slots.ra_address, &ra))
    return UNWIND_FAILED_READ;
  if (slots.bp_address && !word(step, slots.bp_address, &bp)) {
    if (slots.bp_address != registers->bp)
      return UNWIND_FAILED_READ;
    bp = registers->bp;
  }
  registers->ip = ra;
  registers->sp = cfa;
  registers->bp = bp;
  return UNWIND_STEPPED;
}

/* Without CFI. A zero in rbp marks the deepest frame (System V psABI x86-64, 3.4.1), but only where
 * somebody's call can have put it: in the innermost frame rbp may hold anything. */
static enum unwind_step chain(const struct step *step, bool is_innermost) {
  uint64_t bp = step->registers->bp;

  if (!bp && !is_innermost)
    return UNWIND_ROOT;
  if (bp < step->registers->sp || (bp & 7) || bp > UINT64_MAX - 16)
    return UNWIND_FAILED_CHAIN;
  return leave(step, row_chain_slots(bp), bp + 16);
}

/* gregs in the order of the kernel's struct sigcontext, as DWARF numbers; 16 is rip. */
static const uint8_t context_order[] = {8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7, 16};

static enum unwind_step interrupted(const struct step *step, uint64_t context) {
  struct unwind_registers *registers = step->registers;
  uint64_t words[sizeof(context_order)];

  if (!step->read(step->ctx, context + CONTEXT_REGISTERS, words, sizeof(words)))
    return UNWIND_FAILED_READ;
  for (size_t i = 0; i < sizeof(context_order); i++)
    if (context_order[i] < 16)
      registers->general[context_order[i]] = words[i];
  registers->bp = words[(CONTEXT_BP - CONTEXT_REGISTERS) / 8];
  registers->sp = words[(CONTEXT_SP - CONTEXT_REGISTERS) / 8];
  registers->ip = words[(CONTEXT_PC - CONTEXT_REGISTERS) / 8];
  return UNWIND_STEPPED_SIGNAL;
}

enum unwind_step unwind_step(const struct unwind_table *table, uint64_t bias,
                             struct unwind_registers *registers, bool is_innermost,
                             unwind_read_fn read, void *ctx) {
  struct step step = {.registers = registers, .read = read, .ctx = ctx};
  uint64_t pc = registers->ip - (is_innermost ? 0 : 1);
  const struct unwind_row *row = table ? unwind_table_find(table, pc - bias) : NULL;
  struct row_cfa cfa;
  uint64_t loaded;

  if (!row)
    return chain(&step, is_innermost);
  switch (row_cfa(*row, pc - bias, registers->sp, registers->bp, &cfa)) {
  case ROW_CFA_READY:
    break;
  case ROW_CFA_REGISTER:
    if (!is_innermost)
      return UNWIND_FAILED_REGISTER;
    cfa.value = registers->general[cfa.value & 15] + (uint64_t)cfa.addend;
    break;
  case ROW_CFA_LOAD_INDEXED:
    if (!is_innermost)
      return UNWIND_FAILED_REGISTER;
    cfa.value += 8 * registers->general[cfa.index & 15];
    /* fall through */
  case ROW_CFA_LOAD:
    if (!word(&step, cfa.value, &loaded))
      return UNWIND_FAILED_READ;
    loaded += (uint64_t)cfa.addend;
    return leave(&step, row_slots(*row, loaded, registers->bp), loaded);
  case ROW_CFA_CONTEXT:
    return interrupted(&step, cfa.value);
  case ROW_CFA_ROOT:
    return UNWIND_ROOT;
  default:
    return chain(&step, is_innermost);
  }
  if (!row_cfa_plausible(cfa.value, registers->sp))
    return UNWIND_FAILED_STACK;
  return leave(&step, row_slots(*row, cfa.value, registers->bp), cfa.value);
}

const char *unwind_step_text(enum unwind_step step) {
  switch (step) {
  case UNWIND_STEPPED:
    return "stepped to the caller";
  case UNWIND_STEPPED_SIGNAL:
    return "stepped to the interrupted frame";
  case UNWIND_ROOT:
    return "reached the thread's first frame";
  case UNWIND_FAILED_READ:
    return "the stack could not be read";
  case UNWIND_FAILED_STACK:
    return "the caller's stack pointer does not lie above";
  case UNWIND_FAILED_REGISTER:
    return "the frame's base is in a register that is not known";
  case UNWIND_FAILED_CHAIN:
    return "no call-frame information, and no frame pointer";
  }
  return "unknown";
}
