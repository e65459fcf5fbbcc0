/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rows for a function without CFI, from its instructions: follows every path from its entry,
 * knowing which registers hold the CFA plus a constant and where the caller's rbp lies. Gives up on
 * the whole function when two paths disagree or a return would not find the return address: wrong
 * rows would be worse than none. */
#include "unwind/ehframe_code.h"
#include "unwind/ehframe_internal.h"
#include "unwind/ehframe_x86.h"

/* What is known before an instruction. */
struct code_state {
  int32_t offset[16]; /* register = CFA + offset, where known; by the instructions' numbers */
  uint16_t known;
  bool rbp_is_callers;
  int32_t rbp_slot; /* the caller's rbp lies at CFA + rbp_slot; 0: nowhere */
};

struct code_path {
  struct code_state state;
  uint32_t at;
};

/* Branches that wait to be followed. Kernels have some hundreds of labels. */
#define PATHS_MAX 4096

struct code_walk {
  const uint8_t *code;
  uint32_t bytes;
  struct unwind_row *rows; /* by byte; type CODE_UNSEEN until the instruction was reached; pc holds
                              the instruction's length */
  struct code_path *paths;
  size_t path_count;
  struct code_state state;
};

struct code_scratch {
  struct unwind_row rows[CODE_BYTES_MAX];
  struct code_path paths[PATHS_MAX];
};

#define CODE_UNSEEN 255

/* Instructions' register numbers → DWARF's. */
static const uint8_t dwarf_number[16] = {0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15};

static bool is_known(const struct code_state *state, uint8_t reg) {
  return reg < 16 && state->known >> reg & 1;
}

static void forget(struct code_state *state, uint8_t reg) {
  state->known &= (uint16_t) ~(1u << reg);
}

static void set(struct code_state *state, uint8_t reg, int64_t offset) {
  if (offset < -(1 << 24) || offset > 1 << 24) {
    forget(state, reg);
    return;
  }
  state->known |= (uint16_t)(1u << reg);
  state->offset[reg] = (int32_t)offset;
}

/* ---- the row of a state ---- */

/* Whether CFA = register + 8 * words, with words up to the bound. */
static bool reaches(const struct code_state *state, uint8_t reg, int32_t words_max,
                    uint16_t *words) {
  int32_t distance;

  if (!is_known(state, reg))
    return false;
  distance = -state->offset[reg];
  *words = (uint16_t)(distance / 8);
  return distance >= 0 && distance % 8 == 0 && distance / 8 <= words_max;
}

static bool row_cfa_of(struct unwind_row *row, const struct code_state *state) {
  /* those that are kept longest first, so that paths agree on one */
  static const uint8_t others[] = {X86_RBX, 12,     13,      14,      15,      X86_R11, X86_R10,
                                   X86_R9,  X86_R8, X86_RAX, X86_RCX, X86_RDX, X86_RSI, X86_RDI};
  uint16_t words;

  if (is_known(state, X86_RBP) && state->offset[X86_RBP] == -16 && state->rbp_slot == -16) {
    row->type = ROW_RBP; /* a frame pointer holds whatever is called */
    row->cfa = 2;
    return true;
  }
  if (reaches(state, X86_RSP, UINT16_MAX, &words)) {
    row->type = ROW_RSP;
    row->cfa = words;
    return true;
  }
  if (reaches(state, X86_RBP, UINT16_MAX, &words)) {
    row->type = ROW_RBP;
    row->cfa = words;
    return true;
  }
  for (size_t i = 0; i < sizeof(others); i++) {
    if (!reaches(state, others[i], UINT16_MAX >> 4, &words))
      continue;
    row->type = ROW_REGISTER;
    row->cfa = (uint16_t)(words << 4 | dwarf_number[others[i]]);
    return true;
  }
  return false;
}

static struct unwind_row row_of(const struct code_state *state) {
  struct unwind_row row = {.rbp = ROW_RBP_SAME};
  const struct unwind_row invalid = {.rbp = ROW_RBP_SAME, .type = ROW_INVALID};

  if (!row_cfa_of(&row, state))
    return invalid;
  /* The slot is as good while rbp itself still is the caller's, and paths on which it is already
   * overwritten, like a loop's way back, then agree. */
  if (state->rbp_slot && state->rbp_slot % 8 == 0 && state->rbp_slot / 8 >= INT8_MIN)
    row.rbp = (int8_t)(state->rbp_slot / 8);
  else if (!state->rbp_is_callers)
    return invalid;
  return row;
}

static bool is_same(struct unwind_row a, struct unwind_row b) {
  return a.type == b.type && a.cfa == b.cfa && a.rbp == b.rbp;
}

/* ---- instructions ---- */

/* rbp or a register with a known offset is stored at CFA + offset. */
static void store(struct code_state *state, uint8_t reg, int64_t offset) {
  if (reg == X86_RBP && state->rbp_is_callers && !state->rbp_slot && offset < 0 &&
      offset > -(1 << 20))
    state->rbp_slot = (int32_t)offset;
  else if (offset == state->rbp_slot && !(reg == X86_RBP && state->rbp_is_callers))
    state->rbp_slot = 0; /* overwritten */
}

static void load(struct code_state *state, uint8_t reg, bool is_at_known, int64_t offset) {
  forget(state, reg);
  if (reg != X86_RBP)
    return;
  state->rbp_is_callers = is_at_known && state->rbp_slot && offset == state->rbp_slot;
  if (state->rbp_is_callers)
    state->rbp_slot = 0;
}

static void push(struct code_state *state, uint8_t reg) {
  if (!is_known(state, X86_RSP))
    return;
  set(state, X86_RSP, (int64_t)state->offset[X86_RSP] - 8);
  if (is_known(state, X86_RSP))
    store(state, reg, state->offset[X86_RSP]);
}

static void pop(struct code_state *state, uint8_t reg) {
  bool is_at_known = is_known(state, X86_RSP);
  int64_t offset = is_at_known ? state->offset[X86_RSP] : 0;

  load(state, reg, is_at_known, offset);
  if (is_at_known && reg != X86_RSP)
    set(state, X86_RSP, offset + 8);
}

/* to = from + constant */
static void derive(struct code_state *state, uint8_t to, uint8_t from, int64_t constant) {
  bool source_known = is_known(state, from);
  int64_t offset = source_known ? state->offset[from] + constant : 0;

  if (to == X86_RBP)
    state->rbp_is_callers = false;
  if (source_known)
    set(state, to, offset);
  else
    forget(state, to);
}

static void leave(struct code_state *state) {
  if (is_known(state, X86_RBP))
    set(state, X86_RSP, state->offset[X86_RBP]);
  else
    forget(state, X86_RSP);
  pop(state, X86_RBP);
}

static void clobber(struct code_state *state, uint32_t registers) {
  if (registers & 1u << X86_RBP)
    state->rbp_is_callers = false;
  state->known &= (uint16_t)~registers;
}

static bool has_plain_base(const struct x86_instruction *in) {
  return in->rm == X86_NO_REGISTER && in->base != X86_NO_REGISTER && !in->has_index;
}

/* mov between registers, and of whole words from and to the stack. */
static bool move(struct code_state *state, const struct x86_instruction *in) {
  bool is_store = in->opcode == 0x89;

  if (in->rm != X86_NO_REGISTER) {
    if (is_store)
      derive(state, in->rm, in->reg, 0);
    else
      derive(state, in->reg, in->rm, 0);
    return true;
  }
  bool is_at_known = has_plain_base(in) && is_known(state, in->base);
  int64_t offset = is_at_known ? (int64_t)state->offset[in->base] + in->displacement : 0;
  if (!is_store)
    load(state, in->reg, is_at_known, offset);
  else if (is_at_known)
    store(state, in->reg, offset);
  return true;
}

/* Instructions whose effect on the state is known exactly. */
static bool exact(struct code_state *state, const struct x86_instruction *in) {
  uint8_t op = in->opcode;

  if (in->map != X86_MAP_ONE || in->is_vex || in->is_16bit)
    return false;
  if (op >= 0x50 && op <= 0x57) {
    push(state, in->reg);
    return true;
  }
  if (op >= 0x58 && op <= 0x5f) {
    pop(state, in->reg);
    return true;
  }
  switch (op) {
  case 0x68: /* push of a constant, or of memory */
  case 0x6a:
    push(state, X86_NO_REGISTER);
    return true;
  case 0xff:
    if (in->extension == 6)
      push(state, X86_NO_REGISTER);
    return in->extension == 6;
  case 0x9c: /* pushf */
    push(state, X86_NO_REGISTER);
    return true;
  case 0xc9:
    leave(state);
    return true;
  case 0x89:
  case 0x8b:
    return in->is_wide && move(state, in);
  case 0x8d:
    if (!in->is_wide || !has_plain_base(in))
      return false;
    derive(state, in->reg, in->base, in->displacement);
    return true;
  case 0x81:
  case 0x83: /* add, sub */
    if (!in->is_wide || in->rm == X86_NO_REGISTER || (in->extension != 0 && in->extension != 5))
      return false;
    derive(state, in->rm, in->rm, in->extension ? -in->immediate : in->immediate);
    return true;
  default:
    return false;
  }
}

/* popf and pop to memory move rsp as well. */
static void other(struct code_state *state, const struct x86_instruction *in) {
  if (in->map == X86_MAP_ONE && !in->is_vex &&
      (in->opcode == 0x9d || (in->opcode == 0x8f && in->rm == X86_NO_REGISTER)))
    pop(state, X86_RAX);
  else if (in->is_16bit && in->map == X86_MAP_ONE && in->opcode >= 0x50 && in->opcode <= 0x5f)
    forget(state, X86_RSP);
  else
    clobber(state, x86_written(in));
}

/* ---- control flow ---- */

enum flow { FLOW_NEXT, FLOW_BRANCH, FLOW_JUMP, FLOW_CALL, FLOW_RETURN, FLOW_STOP };

static enum flow flow_of(const struct x86_instruction *in) {
  if (in->is_vex)
    return FLOW_NEXT;
  if (in->map == X86_MAP_0F) {
    if (in->opcode >= 0x80 && in->opcode <= 0x8f)
      return FLOW_BRANCH;
    return in->opcode == 0x0b ? FLOW_STOP : FLOW_NEXT;
  }
  if (in->map != X86_MAP_ONE)
    return FLOW_NEXT;
  if ((in->opcode >= 0x70 && in->opcode <= 0x7f) || (in->opcode >= 0xe0 && in->opcode <= 0xe3))
    return FLOW_BRANCH;
  switch (in->opcode) {
  case 0xe8:
    return FLOW_CALL;
  case 0xe9:
  case 0xeb:
    return FLOW_JUMP;
  case 0xc2:
  case 0xc3:
    return FLOW_RETURN;
  case 0xcc: /* int3, far returns, hlt */
  case 0xca:
  case 0xcb:
  case 0xcf:
  case 0xf4:
    return FLOW_STOP;
  case 0xff:
    if (in->extension == 2 || in->extension == 3)
      return FLOW_CALL;
    return in->extension == 4 || in->extension == 5 ? FLOW_STOP : FLOW_NEXT;
  default:
    return FLOW_NEXT;
  }
}

/* The target of a relative branch within the function is followed later. A jump out of it is a tail
 * call. False when there are too many. */
static bool follow_later(struct code_walk *walk, uint32_t next, int64_t distance) {
  int64_t target = (int64_t)next + distance;

  if (target < 0 || target >= walk->bytes)
    return true;
  if (walk->rows[target].type != CODE_UNSEEN)
    return is_same(walk->rows[target], row_of(&walk->state));
  if (walk->path_count == PATHS_MAX)
    return false;
  walk->paths[walk->path_count++] =
      (struct code_path){.state = walk->state, .at = (uint32_t)target};
  return true;
}

/* The psABI's caller-saved registers. */
#define CALL_CLOBBERS                                                                              \
  (1u << X86_RAX | 1u << X86_RCX | 1u << X86_RDX | 1u << X86_RSI | 1u << X86_RDI | 1u << X86_R8 |  \
   1u << X86_R9 | 1u << X86_R10 | 1u << X86_R11)

/* A return must find the return address at the top, and rbp as the caller had it. */
static bool returns_rightly(const struct code_state *state) {
  return is_known(state, X86_RSP) && state->offset[X86_RSP] == -8 && state->rbp_is_callers;
}

/* One instruction; *is_end when its path ends. False when the function cannot be followed. */
static bool step(struct code_walk *walk, const struct x86_instruction *in, uint32_t next,
                 bool *is_end) {
  enum flow flow = flow_of(in);

  *is_end = flow == FLOW_STOP || flow == FLOW_RETURN || flow == FLOW_JUMP;
  switch (flow) {
  case FLOW_RETURN:
    return returns_rightly(&walk->state);
  case FLOW_BRANCH:
    if (in->map == X86_MAP_ONE && in->opcode >= 0xe0 && in->opcode <= 0xe2)
      clobber(&walk->state, x86_written(in));
    return follow_later(walk, next, in->immediate);
  case FLOW_JUMP:
    return follow_later(walk, next, in->immediate);
  case FLOW_CALL: /* call +0 pushes an address for pop to take */
    if (in->opcode == 0xe8 && in->immediate == 0)
      return false;
    clobber(&walk->state, CALL_CLOBBERS);
    return true;
  case FLOW_STOP:
    return true;
  default:
    if (!exact(&walk->state, in))
      other(&walk->state, in);
    return true;
  }
}

/* From one path's start to its end, or to where another has been. */
static bool walk_path(struct code_walk *walk, uint32_t at) {
  for (bool is_end = false; !is_end && at < walk->bytes;) {
    struct x86_instruction in;
    struct unwind_row row = row_of(&walk->state);
    if (walk->rows[at].type != CODE_UNSEEN)
      return is_same(walk->rows[at], row);
    if (!x86_decode(&in, walk->code + at, walk->bytes - at))
      return false;
    row.pc = in.length;
    walk->rows[at] = row;
    at += in.length;
    if (!step(walk, &in, at, &is_end))
      return false;
  }
  return true;
}

static bool walk_all(struct code_walk *walk) {
  walk->paths[0] = (struct code_path){
      .state = {.offset[X86_RSP] = -8, .known = 1u << X86_RSP, .rbp_is_callers = true}};
  walk->path_count = 1;
  while (walk->path_count) {
    struct code_path *path = &walk->paths[--walk->path_count];
    uint32_t at = path->at;
    walk->state = path->state;
    if (!walk_path(walk, at))
      return false;
  }
  return true;
}

size_t ehframe_code_scratch_bytes(void) {
  return sizeof(struct code_scratch);
}

bool ehframe_code_follow(struct code_scratch *scratch, const uint8_t *code, uint32_t bytes) {
  struct code_walk walk = {
      .code = code, .bytes = bytes, .rows = scratch->rows, .paths = scratch->paths};

  if (bytes > CODE_BYTES_MAX)
    return false;
  memset(walk.rows, CODE_UNSEEN, bytes * sizeof(*walk.rows));
  return walk_all(&walk);
}

bool ehframe_code_row(const struct code_scratch *scratch, uint32_t at, struct unwind_row *row) {
  *row = scratch->rows[at];
  return row->type != CODE_UNSEEN;
}
