/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs call-frame programs (DWARF 5, 6.4.2; GNU extensions of the LSB) and hands over the rule of
 * each range of pcs. Follows the CFA, rbp and the return address; skips other registers.
 */
#include "unwind/ehframe_internal.h"

enum {
  /* in the two high bits; the operand is in the other six */
  CFA_ADVANCE_LOC = 0x40,
  CFA_OFFSET = 0x80,
  CFA_RESTORE = 0xc0,
  CFA_PRIMARY = 0xc0,
  CFA_OPERAND = 0x3f,

  CFA_NOP = 0x00,
  CFA_SET_LOC = 0x01,
  CFA_ADVANCE_LOC1 = 0x02,
  CFA_ADVANCE_LOC2 = 0x03,
  CFA_ADVANCE_LOC4 = 0x04,
  CFA_OFFSET_EXTENDED = 0x05,
  CFA_RESTORE_EXTENDED = 0x06,
  CFA_UNDEFINED = 0x07,
  CFA_SAME_VALUE = 0x08,
  CFA_REGISTER_RULE = 0x09,
  CFA_REMEMBER_STATE = 0x0a,
  CFA_RESTORE_STATE = 0x0b,
  CFA_DEF_CFA = 0x0c,
  CFA_DEF_CFA_REGISTER = 0x0d,
  CFA_DEF_CFA_OFFSET = 0x0e,
  CFA_DEF_CFA_EXPRESSION = 0x0f,
  CFA_EXPRESSION = 0x10,
  CFA_OFFSET_EXTENDED_SF = 0x11,
  CFA_DEF_CFA_SF = 0x12,
  CFA_DEF_CFA_OFFSET_SF = 0x13,
  CFA_VAL_OFFSET = 0x14,
  CFA_VAL_OFFSET_SF = 0x15,
  CFA_VAL_EXPRESSION = 0x16,
  CFA_GNU_ARGS_SIZE = 0x2e,
  CFA_GNU_NEGATIVE_OFFSET_EXTENDED = 0x2f,
};

/* Compilers nest remember_state once or twice. */
#define STATES_MAX 16

struct run {
  const struct cfi_cie *cie;
  const struct ehframe_section *section; /* NULL: a CIE's program, which has no locations */
  uint64_t base_vaddr;
  cfi_take_fn take;
  void *ctx;
  struct cursor cursor;
  struct cfi_rules rules;
  uint64_t pc; /* relative to the table's base */
  uint64_t limit;
  struct cfi_rules states[STATES_MAX];
  size_t state_count;
};

/* ---- rules ---- */

static void save(struct run *run, uint64_t reg, enum save_kind kind, int64_t offset) {
  if (reg == DWARF_RBP) {
    run->rules.rbp_kind = kind;
    run->rules.rbp_offset = offset;
  } else if (reg == DWARF_RA) {
    run->rules.ra_kind = kind;
    run->rules.ra_offset = offset;
  }
}

static void save_at_cfa(struct run *run, uint64_t reg, int64_t factored) {
  int64_t offset;

  if (__builtin_mul_overflow(factored, run->cie->data_align, &offset))
    save(run, reg, SAVE_UNSUPPORTED, 0);
  else
    save(run, reg, SAVE_AT_CFA, offset);
}

static void restore(struct run *run, uint64_t reg) {
  const struct cfi_rules *initial = &run->cie->initial;

  if (reg == DWARF_RBP)
    save(run, reg, initial->rbp_kind, initial->rbp_offset);
  else if (reg == DWARF_RA)
    save(run, reg, initial->ra_kind, initial->ra_offset);
}

static void def_cfa(struct run *run, uint64_t reg, int64_t offset) {
  run->rules.cfa_kind = reg < 16 ? CFA_REGISTER : CFA_UNSUPPORTED;
  run->rules.cfa_register = (uint8_t)(reg & 15);
  run->rules.cfa_offset = offset;
  run->rules.cfa_addend = 0;
}

/* Valid only after a CFA of register and offset (DWARF 5, 6.4.2.2). */
static void def_cfa_offset(struct run *run, int64_t offset) {
  if (run->rules.cfa_kind == CFA_REGISTER)
    run->rules.cfa_offset = offset;
  else
    run->rules.cfa_kind = CFA_UNSUPPORTED;
}

static int64_t factored_sleb(struct run *run) {
  int64_t offset;

  if (__builtin_mul_overflow(cfi_sleb(&run->cursor), run->cie->data_align, &offset))
    return INT64_MIN; /* no row holds it */
  return offset;
}

static bool push_state(struct run *run) {
  if (run->state_count == STATES_MAX)
    return false;
  run->states[run->state_count++] = run->rules;
  return true;
}

static bool pop_state(struct run *run) {
  if (!run->state_count)
    return false;
  run->rules = run->states[--run->state_count];
  return true;
}

/* ---- locations ---- */

static void put(struct run *run) {
  struct unwind_row row;

  bool is_supported = ehframe_row(&row, &run->rules, run->cie->is_signal_frame);
  row.pc = (uint32_t)run->pc;
  run->take(run->ctx, row, is_supported);
}

static void advance_to(struct run *run, uint64_t pc) {
  if (pc > run->pc && run->pc < run->limit)
    put(run);
  run->pc = pc;
}

static bool advance(struct run *run, uint64_t count) {
  uint64_t pc;

  if (!run->section || __builtin_mul_overflow(count, run->cie->code_align, &pc) ||
      __builtin_add_overflow(pc, run->pc, &pc))
    return false;
  advance_to(run, pc);
  return true;
}

static bool set_location(struct run *run) {
  uint64_t vaddr, base;

  if (!run->section)
    return false;
  base = run->section->vaddr + (uint64_t)(run->cursor.at - run->section->data);
  if (!ehframe_pointer(&run->cursor, run->cie->pointer_encoding, base, &vaddr) ||
      vaddr < run->base_vaddr || vaddr - run->base_vaddr < run->pc)
    return false;
  advance_to(run, vaddr - run->base_vaddr);
  return true;
}

static uint64_t fixed(struct run *run, size_t count) {
  const uint8_t *bytes = cursor_bytes(&run->cursor, count);
  uint64_t value = 0;

  if (bytes)
    memcpy(&value, bytes, count);
  return value;
}

/* ---- the instructions ---- */

static void expression(struct run *run, uint8_t op) {
  uint64_t reg = op == CFA_DEF_CFA_EXPRESSION ? 0 : cfi_uleb(&run->cursor);
  uint64_t bytes = cfi_uleb(&run->cursor);
  const uint8_t *code = cursor_bytes(&run->cursor, bytes);

  if (!code)
    return;
  if (op == CFA_DEF_CFA_EXPRESSION)
    ehframe_cfa_expression(&run->rules, code, bytes);
  else if (op == CFA_EXPRESSION)
    ehframe_save_expression(&run->rules, reg, code, bytes);
  else
    save(run, reg, SAVE_UNSUPPORTED, 0);
}

/* Rules of registers whose operands are a register number and perhaps an offset. */
static bool register_rule(struct run *run, uint8_t op) {
  uint64_t reg = cfi_uleb(&run->cursor);

  switch (op) {
  case CFA_OFFSET_EXTENDED:
    save_at_cfa(run, reg, (int64_t)cfi_uleb(&run->cursor));
    return true;
  case CFA_OFFSET_EXTENDED_SF:
    save_at_cfa(run, reg, cfi_sleb(&run->cursor));
    return true;
  case CFA_GNU_NEGATIVE_OFFSET_EXTENDED:
    save_at_cfa(run, reg, (int64_t)(0 - cfi_uleb(&run->cursor)));
    return true;
  case CFA_RESTORE_EXTENDED:
    restore(run, reg);
    return true;
  case CFA_UNDEFINED:
    save(run, reg, SAVE_UNDEFINED, 0);
    return true;
  case CFA_SAME_VALUE:
    save(run, reg, SAVE_SAME, 0);
    return true;
  case CFA_REGISTER_RULE: /* in another register, or (below) its value is CFA + N: no row says so */
  case CFA_VAL_OFFSET:
  case CFA_VAL_OFFSET_SF: /* signed or not, the operand has the same extent */
    cfi_uleb(&run->cursor);
    save(run, reg, SAVE_UNSUPPORTED, 0);
    return true;
  default:
    return false;
  }
}

static bool extended(struct run *run, uint8_t op) {
  uint64_t reg;

  switch (op) {
  case CFA_NOP:
    return true;
  case CFA_SET_LOC:
    return set_location(run);
  case CFA_ADVANCE_LOC1:
    return advance(run, cfi_u8(&run->cursor));
  case CFA_ADVANCE_LOC2:
    return advance(run, fixed(run, 2));
  case CFA_ADVANCE_LOC4:
    return advance(run, fixed(run, 4));
  case CFA_REMEMBER_STATE:
    return push_state(run);
  case CFA_RESTORE_STATE:
    return pop_state(run);
  case CFA_DEF_CFA:
    reg = cfi_uleb(&run->cursor);
    def_cfa(run, reg, (int64_t)cfi_uleb(&run->cursor));
    return true;
  case CFA_DEF_CFA_SF:
    reg = cfi_uleb(&run->cursor);
    def_cfa(run, reg, factored_sleb(run));
    return true;
  case CFA_DEF_CFA_REGISTER:
    def_cfa(run, cfi_uleb(&run->cursor), run->rules.cfa_offset);
    return true;
  case CFA_DEF_CFA_OFFSET:
    def_cfa_offset(run, (int64_t)cfi_uleb(&run->cursor));
    return true;
  case CFA_DEF_CFA_OFFSET_SF:
    def_cfa_offset(run, factored_sleb(run));
    return true;
  case CFA_DEF_CFA_EXPRESSION:
  case CFA_EXPRESSION:
  case CFA_VAL_EXPRESSION:
    expression(run, op);
    return true;
  case CFA_GNU_ARGS_SIZE:
    cfi_uleb(&run->cursor);
    return true;
  default:
    return register_rule(run, op);
  }
}

static bool instruction(struct run *run) {
  uint8_t op = cfi_u8(&run->cursor);

  switch (op & CFA_PRIMARY) {
  case CFA_ADVANCE_LOC:
    return advance(run, op & CFA_OPERAND);
  case CFA_OFFSET:
    save_at_cfa(run, op & CFA_OPERAND, (int64_t)cfi_uleb(&run->cursor));
    return true;
  case CFA_RESTORE:
    restore(run, op & CFA_OPERAND);
    return true;
  default:
    return extended(run, op);
  }
}

static bool instructions(struct run *run) {
  while (run->cursor.at < run->cursor.end)
    if (!instruction(run) || run->cursor.failed)
      return false;
  return true;
}

void ehframe_program_initial(struct cfi_cie *cie) {
  struct run run = {.cie = cie};

  if (cie->is_broken)
    return;
  run.cursor = cursor_of(cie->program, (size_t)(cie->program_end - cie->program));
  if (!instructions(&run))
    cie->is_broken = true;
  cie->initial = run.rules;
}

bool ehframe_program_run(const struct cfi_cie *cie, const struct ehframe_section *section,
                         const struct cfi_fde *fde, uint64_t base_vaddr, uint32_t limit,
                         cfi_take_fn take, void *ctx) {
  struct run run; /* states[] stays uninitialised: it is large */

  run.cie = cie;
  run.section = section;
  run.base_vaddr = base_vaddr;
  run.take = take;
  run.ctx = ctx;
  run.cursor = cursor_of(section->data + fde->program_off, fde->program_bytes);
  run.rules = cie->initial;
  run.pc = fde->begin;
  run.limit = limit;
  run.state_count = 0;
  if (!instructions(&run))
    return false;
  if (run.pc < run.limit)
    put(&run);
  return true;
}
