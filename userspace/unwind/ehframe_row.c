/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Turns call-frame rules into rows, and recognises the DWARF expressions that rows can say. */
#include "unwind/ehframe_internal.h"

#include "unwind_row.h"

/* DWARF 5, table 7.9. */
enum {
  OP_DEREF = 0x06,
  OP_CONST1U = 0x08,
  OP_CONST1S = 0x09,
  OP_CONST2U = 0x0a,
  OP_CONST2S = 0x0b,
  OP_CONST4U = 0x0c,
  OP_CONST4S = 0x0d,
  OP_CONST8U = 0x0e,
  OP_CONST8S = 0x0f,
  OP_CONSTU = 0x10,
  OP_CONSTS = 0x11,
  OP_AND = 0x1a,
  OP_MINUS = 0x1c,
  OP_MUL = 0x1e,
  OP_PLUS = 0x22,
  OP_PLUS_UCONST = 0x23,
  OP_SHL = 0x24,
  OP_GE = 0x2a,
  OP_LIT0 = 0x30,
  OP_LIT31 = 0x4f,
  OP_BREG0 = 0x70,
  OP_BREG31 = 0x8f,
  OP_BREGX = 0x92,
  OP_NOP = 0x96,
};

/* A value on the expression's stack: a sum of at most one register, one register times 8, and a
 * constant; or of what lies at such a sum, and a constant. */
enum term_kind {
  TERM_CONST,    /* addend */
  TERM_REGISTER, /* reg + addend */
  TERM_SCALED,   /* 8 * index + addend */
  TERM_INDEXED,  /* reg + 8 * index + addend */
  TERM_DEREF,    /* *(reg + offset [+ 8 * index]) + addend */
};

struct term {
  enum term_kind kind;
  uint64_t reg;
  uint64_t index; /* CFA_NO_INDEX where there is none */
  int64_t offset; /* TERM_DEREF: added before the load */
  int64_t addend; /* added at last */
};

#define TERMS_MAX 4

struct terms {
  struct term at[TERMS_MAX];
  size_t count;
};

static bool push(struct terms *terms, struct term term) {
  if (terms->count == TERMS_MAX)
    return false;
  terms->at[terms->count++] = term;
  return true;
}

static bool push_const(struct terms *terms, int64_t value) {
  return push(terms, (struct term){.kind = TERM_CONST, .index = CFA_NO_INDEX, .addend = value});
}

static bool push_register(struct terms *terms, uint64_t reg, int64_t offset) {
  return push(
      terms,
      (struct term){.kind = TERM_REGISTER, .reg = reg, .index = CFA_NO_INDEX, .addend = offset});
}

static bool deref(struct terms *terms) {
  struct term *top;

  if (!terms->count)
    return false;
  top = &terms->at[terms->count - 1];
  if (top->kind != TERM_REGISTER && top->kind != TERM_INDEXED)
    return false;
  top->kind = TERM_DEREF;
  top->offset = top->addend;
  top->addend = 0;
  return true;
}

/* Takes the two operands of a binary operator: *left stays on the stack. */
static bool operands(struct terms *terms, struct term **left, struct term *right) {
  if (terms->count < 2)
    return false;
  *right = terms->at[--terms->count];
  *left = &terms->at[terms->count - 1];
  return true;
}

/* register * 8, in either order */
static bool multiply(struct terms *terms) {
  struct term *left, right;

  if (!operands(terms, &left, &right))
    return false;
  if (left->kind == TERM_CONST) {
    struct term swapped = *left;
    *left = right;
    right = swapped;
  }
  if (right.kind != TERM_CONST || right.addend != 8 || left->kind != TERM_REGISTER || left->addend)
    return false;
  *left = (struct term){.kind = TERM_SCALED, .index = left->reg};
  return true;
}

/* One side is a constant, or one a register and the other a scaled register. */
static bool plus(struct terms *terms) {
  struct term *left, right;

  if (!operands(terms, &left, &right))
    return false;
  if (right.kind == TERM_REGISTER || left->kind == TERM_CONST) {
    struct term swapped = *left;
    *left = right;
    right = swapped;
  }
  if (right.kind == TERM_SCALED && left->kind == TERM_REGISTER) {
    left->kind = TERM_INDEXED;
    left->index = right.index;
  } else if (right.kind != TERM_CONST) {
    return false;
  }
  return !__builtin_add_overflow(left->addend, right.addend, &left->addend);
}

static bool minus(struct terms *terms) {
  struct term *left, right;

  return operands(terms, &left, &right) && right.kind == TERM_CONST &&
         !__builtin_sub_overflow(left->addend, right.addend, &left->addend);
}

static int64_t fixed(struct cursor *cursor, size_t bytes, bool is_signed) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; i++)
    value |= (uint64_t)cfi_u8(cursor) << (8 * i);
  if (is_signed && bytes < 8 && value >> (8 * bytes - 1))
    value |= UINT64_MAX << (8 * bytes);
  return (int64_t)value;
}

static bool apply(struct terms *terms, struct cursor *cursor, uint8_t op) {
  if (op >= OP_LIT0 && op <= OP_LIT31)
    return push_const(terms, op - OP_LIT0);
  if (op >= OP_BREG0 && op <= OP_BREG31)
    return push_register(terms, op - OP_BREG0, cfi_sleb(cursor));
  if (op >= OP_CONST1U && op <= OP_CONST8S) /* in pairs: unsigned, signed; 1, 2, 4, 8 bytes */
    return push_const(terms, fixed(cursor, 1u << ((op - OP_CONST1U) / 2), (op - OP_CONST1U) & 1));
  switch (op) {
  case OP_CONSTU:
    return push_const(terms, (int64_t)cfi_uleb(cursor));
  case OP_CONSTS:
    return push_const(terms, cfi_sleb(cursor));
  case OP_PLUS_UCONST:
    return push_const(terms, (int64_t)cfi_uleb(cursor)) && plus(terms);
  case OP_BREGX: {
    uint64_t reg = cfi_uleb(cursor);
    return push_register(terms, reg, cfi_sleb(cursor));
  }
  case OP_DEREF:
    return deref(terms);
  case OP_PLUS:
    return plus(terms);
  case OP_MINUS:
    return minus(terms);
  case OP_MUL:
    return multiply(terms);
  case OP_NOP:
    return true;
  default:
    return false;
  }
}

/* The expression as one term, starting from `terms`. */
static bool evaluate(struct terms *terms, const uint8_t *code, size_t bytes, struct term *result) {
  struct cursor cursor = cursor_of(code, bytes);

  while (cursor.at < cursor.end)
    if (!apply(terms, &cursor, cfi_u8(&cursor)) || cursor.failed)
      return false;
  if (!terms->count)
    return false;
  *result = terms->at[terms->count - 1];
  return true;
}

/* The lazy-binding PLT, as GNU ld writes it for x86-64 (elf_x86_64_eh_frame_plt in
 * bfd/elf64-x86-64.c): breg7 n; breg16 0; lit15; and; lit<k>; ge; lit3; shl; plus. Each stub of 16
 * bytes pushes one word, k bytes into it. */
static bool plt(struct cfi_rules *rules, const uint8_t *code, size_t bytes) {
  static const uint8_t middle[] = {OP_BREG0 + DWARF_RA, 0, OP_LIT0 + 15, OP_AND};
  static const uint8_t tail[] = {OP_GE, OP_LIT0 + 3, OP_SHL, OP_PLUS};

  if (bytes != 11 || code[0] != OP_BREG0 + DWARF_RSP || code[1] > 0x3f ||
      memcmp(code + 2, middle, sizeof(middle)) != 0 || code[6] < OP_LIT0 ||
      code[6] > OP_LIT0 + 15 || memcmp(code + 7, tail, sizeof(tail)) != 0)
    return false;
  rules->cfa_kind = CFA_PLT;
  rules->cfa_register = DWARF_RSP;
  rules->cfa_offset = code[1];
  rules->cfa_addend = code[6] - OP_LIT0;
  return true;
}

void ehframe_cfa_expression(struct cfi_rules *rules, const uint8_t *code, size_t bytes) {
  struct terms terms = {.count = 0};
  struct term term;

  rules->cfa_kind = CFA_UNSUPPORTED;
  if (plt(rules, code, bytes) || !evaluate(&terms, code, bytes, &term) || term.reg > 15 ||
      (term.kind != TERM_REGISTER && term.kind != TERM_DEREF))
    return;
  rules->cfa_register = (uint8_t)term.reg;
  if (term.kind == TERM_REGISTER) {
    rules->cfa_kind = CFA_REGISTER;
    rules->cfa_offset = term.addend;
    rules->cfa_addend = 0;
  } else {
    rules->cfa_kind = CFA_DEREF;
    rules->cfa_offset = term.offset;
    rules->cfa_addend = term.addend;
    rules->cfa_index = term.index < 16 ? (uint8_t)term.index : CFA_NO_INDEX;
    if (term.index >= 16 && term.index != CFA_NO_INDEX)
      rules->cfa_kind = CFA_UNSUPPORTED;
  }
}

/* The address where a register was saved. The expression starts with the CFA on its stack (DWARF 5,
 * 6.4.2.3), which is a pseudo register here. */
void ehframe_save_expression(struct cfi_rules *rules, uint64_t reg, const uint8_t *code,
                             size_t bytes) {
  enum { CFA_PSEUDO = 255 };
  struct terms terms = {.count = 1,
                        .at = {{.kind = TERM_REGISTER, .reg = CFA_PSEUDO, .index = CFA_NO_INDEX}}};
  enum save_kind kind = SAVE_UNSUPPORTED;
  struct term term = {0};

  if (evaluate(&terms, code, bytes, &term) && term.kind == TERM_REGISTER) {
    if (term.reg == CFA_PSEUDO)
      kind = SAVE_AT_CFA;
    else if (term.reg == DWARF_RSP)
      kind = SAVE_AT_RSP;
    else if (term.reg == DWARF_RBP && term.addend == 0)
      kind = SAVE_AT_RBP;
  }
  if (reg == DWARF_RBP) {
    rules->rbp_kind = kind;
    rules->rbp_offset = term.addend;
  } else if (reg == DWARF_RA) {
    rules->ra_kind = kind;
    rules->ra_offset = term.addend;
  }
}

/* ---- rows ---- */

/* bytes as words, when they are a whole number within [low, high]. */
static bool words(int64_t bytes, int64_t low, int64_t high, int64_t *count) {
  *count = bytes / 8;
  return bytes % 8 == 0 && *count >= low && *count <= high;
}

static bool row_register(struct unwind_row *row, const struct cfi_rules *rules) {
  int64_t count;

  if (rules->cfa_register == DWARF_RSP || rules->cfa_register == DWARF_RBP) {
    row->type = rules->cfa_register == DWARF_RSP ? ROW_RSP : ROW_RBP;
    if (!words(rules->cfa_offset, 0, UINT16_MAX, &count))
      return false;
    row->cfa = (uint16_t)count;
    return true;
  }
  row->type = ROW_REGISTER;
  if (!words(rules->cfa_offset, 0, UINT16_MAX >> 4, &count))
    return false;
  row->cfa = (uint16_t)(count << 4 | rules->cfa_register);
  return true;
}

static bool row_deref_indexed(struct unwind_row *row, const struct cfi_rules *rules) {
  int64_t offset, addend;

  row->type = ROW_DEREF_INDEXED;
  if (rules->cfa_register != DWARF_RSP || !words(rules->cfa_offset, 0, 15, &offset) ||
      !words(rules->cfa_addend, 0, 255, &addend))
    return false;
  row->cfa = (uint16_t)(addend << 8 | rules->cfa_index << 4 | offset);
  return true;
}

static bool row_deref(struct unwind_row *row, const struct cfi_rules *rules) {
  int64_t offset, addend;

  if (rules->cfa_index != CFA_NO_INDEX)
    return row_deref_indexed(row, rules);
  if (rules->cfa_register == DWARF_RBP && rules->cfa_addend == 0) {
    row->type = ROW_DEREF_RBP;
    if (!words(rules->cfa_offset, INT16_MIN, INT16_MAX, &offset))
      return false;
    row->cfa = (uint16_t)(int16_t)offset;
    return true;
  }
  if (rules->cfa_register != DWARF_RSP && rules->cfa_register != DWARF_RBP)
    return false;
  if (!words(rules->cfa_offset, -255, 255, &offset) || !words(rules->cfa_addend, 0, 255, &addend))
    return false;
  row->type = rules->cfa_register == DWARF_RBP ? ROW_DEREF_RBP_PLUS
              : offset < 0                     ? ROW_DEREF_RSP_BELOW
                                               : ROW_DEREF_RSP;
  if (row->type == ROW_DEREF_RBP_PLUS && offset < 0)
    return false;
  row->cfa = (uint16_t)(addend << 8 | (offset < 0 ? -offset : offset));
  return true;
}

static bool row_cfa_rule(struct unwind_row *row, const struct cfi_rules *rules) {
  switch (rules->cfa_kind) {
  case CFA_REGISTER:
    return row_register(row, rules);
  case CFA_DEREF:
    return row_deref(row, rules);
  case CFA_PLT:
    row->type = ROW_PLT;
    row->cfa = (uint16_t)(rules->cfa_offset << 8 | rules->cfa_addend);
    return true;
  default:
    return false;
  }
}

static bool row_rbp_rule(struct unwind_row *row, const struct cfi_rules *rules) {
  int64_t count;

  switch (rules->rbp_kind) {
  case SAVE_SAME:
  case SAVE_UNDEFINED:
    row->rbp = ROW_RBP_SAME;
    return true;
  case SAVE_AT_RBP:
    row->rbp = ROW_RBP_AT_RBP;
    return true;
  case SAVE_AT_CFA:
    if (!words(rules->rbp_offset, INT8_MIN, ROW_RBP_AT_RBP - 1, &count))
      return false;
    row->rbp = (int8_t)count;
    return true;
  default:
    return false;
  }
}

/* glibc's __restore_rt describes the registers of the ucontext at rsp one by one, each by an
 * expression: the CFA from its rsp slot, the return address at its rip slot. */
static bool is_signal_context(const struct cfi_rules *rules) {
  return rules->cfa_kind == CFA_DEREF && rules->cfa_register == DWARF_RSP &&
         rules->cfa_offset == CONTEXT_SP && rules->cfa_addend == 0 &&
         rules->ra_kind == SAVE_AT_RSP && rules->ra_offset == CONTEXT_PC;
}

bool ehframe_row(struct unwind_row *row, const struct cfi_rules *rules, bool is_signal_frame) {
  *row = (struct unwind_row){.rbp = ROW_RBP_SAME, .type = ROW_INVALID};
  if (rules->ra_kind == SAVE_UNDEFINED) {
    row->type = ROW_END;
    return true;
  }
  if (is_signal_frame && is_signal_context(rules)) {
    row->type = ROW_SIGNAL;
    return true;
  }
  if (rules->ra_kind == SAVE_AT_CFA && rules->ra_offset == -8 && row_cfa_rule(row, rules) &&
      row_rbp_rule(row, rules))
    return true;
  *row = (struct unwind_row){.rbp = ROW_RBP_SAME, .type = ROW_INVALID};
  return false;
}
