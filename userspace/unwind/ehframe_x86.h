/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decodes x86-64 instructions as far as following the stack pointer needs: their length, their
 * operands' encoding, and which general registers they may write. */
#ifndef RAGPROF_UNWIND_EHFRAME_X86_H
#define RAGPROF_UNWIND_EHFRAME_X86_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* General registers as instructions number them (not as DWARF does). */
enum x86_register {
  X86_RAX,
  X86_RCX,
  X86_RDX,
  X86_RBX,
  X86_RSP,
  X86_RBP,
  X86_RSI,
  X86_RDI,
  X86_R8,
  X86_R9,
  X86_R10,
  X86_R11,
};

#define X86_NO_REGISTER 255

enum x86_map { X86_MAP_ONE = 0, X86_MAP_0F = 1, X86_MAP_0F38 = 2, X86_MAP_0F3A = 3 };

struct x86_instruction {
  uint8_t length; /* bytes */
  uint8_t map;    /* enum x86_map; others (EVEX 5, 6; XOP 8 to 10) are only measured */
  uint8_t opcode;
  uint8_t reg;       /* ModRM.reg, extended */
  uint8_t rm;        /* ModRM.rm, extended, of a register operand; X86_NO_REGISTER for memory */
  uint8_t base;      /* of a memory operand; X86_NO_REGISTER without one */
  uint8_t extension; /* ModRM.reg, not extended: the /digit of group opcodes */
  uint8_t vvvv;      /* of VEX */
  uint8_t prefix;    /* the mandatory one: 0, 0x66, 0xf2, 0xf3 */
  bool has_index;
  bool has_rex;
  bool is_wide; /* REX.W or VEX.W */
  bool is_vex;  /* VEX, EVEX or XOP */
  bool is_16bit;
  bool has_modrm;
  int32_t displacement;
  int64_t immediate;
};

/* False for bytes that are no instruction of 64-bit mode, or end too early. */
bool x86_decode(struct x86_instruction *instruction, const uint8_t *code, size_t bytes);

/* The general registers that the instruction may write, one bit each, apart from what push, pop,
 * call and ret do to rsp. Rather one too many than one too few. */
uint32_t x86_written(const struct x86_instruction *instruction);

#endif
