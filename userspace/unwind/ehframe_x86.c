/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A length decoder for x86-64 with the operands that matter to a stack walker. Source: Intel SDM
 * volume 2, chapter 2 (formats) and appendix A (opcode maps); AMD APM volume 6 for XOP. */
#include "unwind/ehframe_x86.h"

#include <string.h>

/* What follows an opcode. */
enum {
  NONE = '.',
  MODRM = 'm',
  MODRM_IMM8 = 'M',
  MODRM_IMMZ = 'Z', /* 2 bytes with the prefix 66, else 4 */
  IMM8 = 'b',
  IMMZ = 'z',
  IMMV = 'v', /* like z, 8 with REX.W */
  IMM16 = 'w',
  ENTER = 'e',   /* 2 + 1 bytes */
  OFFSET = 'o',  /* an address: 8 bytes, 4 with the prefix 67 */
  BRANCH8 = 'j', /* relative */
  BRANCH32 = 'J',
  GROUP3_8 = 'f', /* ModRM, and imm8 for /0 and /1 */
  GROUP3_Z = 'F', /* ModRM, and immz for /0 and /1 */
  PREFIX = 'p',
  BAD = '!',
};

static const char one_byte_map[257] = "mmmmbz!!mmmmbz!p" /* 00; 0f, the escape, is handled apart */
                                      "mmmmbz!!mmmmbz!!" /* 10 */
                                      "mmmmbzp!mmmmbzp!" /* 20 */
                                      "mmmmbzp!mmmmbzp!" /* 30 */
                                      "pppppppppppppppp" /* 40: REX */
                                      "................" /* 50 */
                                      "!!!mppppzZbM...." /* 60; 62: EVEX */
                                      "jjjjjjjjjjjjjjjj" /* 70 */
                                      "MZ!Mmmmmmmmmmmmm" /* 80 */
                                      "..........!....." /* 90 */
                                      "oooo....bz......" /* a0 */
                                      "bbbbbbbbvvvvvvvv" /* b0 */
                                      "MMw.!!MZe.w..b!." /* c0; c4, c5: VEX */
                                      "mmmm!!!.mmmmmmmm" /* d0 */
                                      "jjjjbbbbJJ!j...." /* e0 */
                                      "p.pp..fF......mm" /* f0 */;

static const char two_byte_map[257] = "mmmm!.....!.!m.M" /* 00; 0e femms, 0f 3DNow! */
                                      "mmmmmmmmmmmmmmmm" /* 10 */
                                      "mmmm!!!!mmmmmmmm" /* 20 */
                                      "......!.!!!!!!!!" /* 30; 38, 3a: further maps */
                                      "mmmmmmmmmmmmmmmm" /* 40 */
                                      "mmmmmmmmmmmmmmmm" /* 50 */
                                      "mmmmmmmmmmmmmmmm" /* 60 */
                                      "MMMMmmm.mmmmmmmm" /* 70 */
                                      "JJJJJJJJJJJJJJJJ" /* 80 */
                                      "mmmmmmmmmmmmmmmm" /* 90 */
                                      "...mMm!!...mMmmm" /* a0 */
                                      "mmmmmmmmmmMmmmmm" /* b0 */
                                      "mmMmMMMm........" /* c0 */
                                      "mmmmmmmmmmmmmmmm" /* d0 */
                                      "mmmmmmmmmmmmmmmm" /* e0 */
                                      "mmmmmmmmmmmmmmmm" /* f0 */;

struct decoder {
  struct x86_instruction *out;
  const uint8_t *at;
  const uint8_t *end;
  uint8_t rex; /* WRXB in the low four bits */
  bool is_16bit_operand;
  bool is_32bit_address;
  bool failed;
};

static uint8_t take(struct decoder *decoder) {
  if (decoder->at >= decoder->end) {
    decoder->failed = true;
    return 0;
  }
  return *decoder->at++;
}

/* A little-endian number, sign-extended. */
static int64_t number(struct decoder *decoder, unsigned bytes) {
  uint64_t value = 0;
  for (unsigned i = 0; i < bytes; i++)
    value |= (uint64_t)take(decoder) << (8 * i);
  if (bytes && bytes < 8 && value >> (8 * bytes - 1))
    value |= UINT64_MAX << (8 * bytes);
  return (int64_t)value;
}

static uint8_t prefixes(struct decoder *decoder) {
  for (;;) {
    uint8_t byte = take(decoder);
    if (decoder->failed)
      return 0;
    if (byte == 0x66)
      decoder->is_16bit_operand = true;
    else if (byte == 0x67)
      decoder->is_32bit_address = true;
    else if (byte == 0xf2 || byte == 0xf3)
      decoder->out->prefix = byte;
    else if (byte != 0xf0 && byte != 0x2e && byte != 0x36 && byte != 0x3e && byte != 0x26 &&
             byte != 0x64 && byte != 0x65)
      return byte;
  }
}

static void vex_prefix(struct decoder *decoder, uint8_t last) {
  static const uint8_t mandatory[] = {0, 0x66, 0xf3, 0xf2};
  decoder->out->prefix = mandatory[last & 3];
  decoder->out->vvvv = (uint8_t)(~last >> 3 & 15);
  decoder->out->is_vex = true;
}

/* C5: one payload byte. C4 and XOP's 8F: two. 62 (EVEX): three. */
static void vex(struct decoder *decoder, uint8_t kind) {
  uint8_t first = take(decoder);
  decoder->rex = (uint8_t)(~first >> 5 & 4); /* R */
  if (kind == 0xc5) {
    decoder->out->map = X86_MAP_0F;
    vex_prefix(decoder, first);
  } else {
    uint8_t second = take(decoder);
    decoder->rex = (uint8_t)((~first >> 5 & 7) | (second >> 4 & 8));
    decoder->out->map = kind == 0x62 ? first & 7 : first & 31;
    vex_prefix(decoder, second);
    if (kind == 0x62)
      take(decoder);
  }
  decoder->out->opcode = take(decoder);
}

static char vex_kind(const struct x86_instruction *out) {
  switch (out->map) {
  case X86_MAP_0F:
    return out->opcode == 0x77 ? NONE : two_byte_map[out->opcode];
  case X86_MAP_0F38:
  case 5: /* EVEX: half precision */
  case 6:
  case 9: /* XOP */
    return MODRM;
  case X86_MAP_0F3A:
  case 8: /* XOP */
    return MODRM_IMM8;
  case 10: /* XOP, imm32 */
    return MODRM_IMMZ;
  default:
    return BAD;
  }
}

static char escaped(struct decoder *decoder) {
  struct x86_instruction *out = decoder->out;
  out->opcode = take(decoder);
  out->map = X86_MAP_0F;
  if (out->opcode != 0x38 && out->opcode != 0x3a)
    return two_byte_map[out->opcode];
  out->map = out->opcode == 0x38 ? X86_MAP_0F38 : X86_MAP_0F3A;
  out->opcode = take(decoder);
  return out->map == X86_MAP_0F38 ? MODRM : MODRM_IMM8;
}

/* From the first byte after the legacy prefixes to the opcode; says what follows it. */
static char opcode(struct decoder *decoder, uint8_t byte) {
  struct x86_instruction *out = decoder->out;
  bool is_xop =
      byte == 0x8f && decoder->at < decoder->end && (*decoder->at & 31) >= 8; /* else pop */

  if (byte == 0xc4 || byte == 0xc5 || byte == 0x62 || is_xop) {
    vex(decoder, byte);
    return vex_kind(out);
  }
  if ((byte & 0xf0) == 0x40) {
    decoder->rex = byte & 15;
    out->has_rex = true;
    byte = take(decoder);
  }
  if (byte == 0x0f)
    return escaped(decoder);
  out->opcode = byte;
  return one_byte_map[byte] == PREFIX ? BAD : one_byte_map[byte];
}

static void modrm(struct decoder *decoder) {
  struct x86_instruction *out = decoder->out;
  uint8_t byte = take(decoder);
  uint8_t mode = byte >> 6, rm = byte & 7;

  if (out->map == X86_MAP_0F && !out->is_vex && out->opcode >= 0x20 && out->opcode <= 0x23)
    mode = 3; /* control and debug registers: always between registers */
  out->has_modrm = true;
  out->extension = byte >> 3 & 7;
  out->reg = (uint8_t)(out->extension | (decoder->rex & 4) << 1);
  if (mode == 3) {
    out->rm = (uint8_t)(rm | (decoder->rex & 1) << 3);
    return;
  }
  out->base = (uint8_t)(rm | (decoder->rex & 1) << 3);
  if (rm == 4) { /* SIB */
    uint8_t sib = take(decoder);
    out->has_index = (sib >> 3 & 7) != 4 || (decoder->rex & 2);
    rm = sib & 7;
    out->base = (uint8_t)(rm | (decoder->rex & 1) << 3);
    if (mode == 0 && rm == 5)
      out->base = X86_NO_REGISTER;
  } else if (mode == 0 && rm == 5) {
    out->base = X86_NO_REGISTER; /* relative to rip */
  }
  if (mode == 1)
    out->displacement = (int32_t)number(decoder, 1);
  else if (mode == 2 || out->base == X86_NO_REGISTER)
    out->displacement = (int32_t)number(decoder, 4);
}

static void operands(struct decoder *decoder, char kind) {
  struct x86_instruction *out = decoder->out;
  unsigned z = decoder->is_16bit_operand && !(decoder->rex & 8) ? 2 : 4;

  if (strchr("mMZfF", kind))
    modrm(decoder);
  switch (kind) {
  case IMM8:
  case MODRM_IMM8:
  case BRANCH8:
    out->immediate = number(decoder, 1);
    break;
  case IMMZ:
  case MODRM_IMMZ:
    out->immediate = number(decoder, z);
    break;
  case BRANCH32: /* the prefix 66 is ignored in 64-bit mode */
    out->immediate = number(decoder, 4);
    break;
  case IMMV:
    out->immediate = number(decoder, decoder->rex & 8 ? 8 : z);
    break;
  case IMM16:
    out->immediate = number(decoder, 2);
    break;
  case ENTER:
    number(decoder, 3);
    break;
  case OFFSET:
    number(decoder, decoder->is_32bit_address ? 4 : 8);
    break;
  case GROUP3_8:
  case GROUP3_Z:
    if (out->extension < 2)
      out->immediate = number(decoder, kind == GROUP3_8 ? 1 : z);
    break;
  }
}

bool x86_decode(struct x86_instruction *instruction, const uint8_t *code, size_t bytes) {
  struct decoder decoder = {
      .out = instruction, .at = code, .end = code + (bytes < 15 ? bytes : 15)};

  memset(instruction, 0, sizeof(*instruction));
  instruction->rm = instruction->base = X86_NO_REGISTER;
  char kind = opcode(&decoder, prefixes(&decoder));
  if (decoder.failed || kind == BAD)
    return false;
  if (!instruction->prefix && decoder.is_16bit_operand)
    instruction->prefix = 0x66;
  operands(&decoder, kind);
  instruction->is_wide = decoder.rex & 8;
  instruction->is_16bit = decoder.is_16bit_operand && !(decoder.rex & 8);
  if (!instruction->has_modrm)
    instruction->reg = (uint8_t)((instruction->opcode & 7) | (decoder.rex & 1) << 3);
  instruction->length = (uint8_t)(decoder.at - code);
  return !decoder.failed;
}

/* ---- what is written ---- */

#define BIT(reg) (1u << ((reg)&15))
#define BITS_RAX_RDX (BIT(X86_RAX) | BIT(X86_RDX))
#define BITS_STRING (BIT(X86_RSI) | BIT(X86_RDI) | BIT(X86_RCX) | BIT(X86_RAX))

static uint32_t rm_bit(const struct x86_instruction *in) {
  return in->rm == X86_NO_REGISTER ? 0 : BIT(in->rm);
}

/* An operand of one byte: without REX, 4 to 7 are ah, ch, dh, bh. */
static uint32_t byte_bit(const struct x86_instruction *in, uint8_t reg) {
  if (reg == X86_NO_REGISTER)
    return 0;
  return !in->has_rex && reg >= 4 && reg < 8 ? BIT(reg - 4) : BIT(reg);
}

static uint32_t written_alu(const struct x86_instruction *in) {
  if ((in->opcode & 0x38) == 0x38) /* cmp */
    return 0;
  switch (in->opcode & 7) {
  case 0:
    return byte_bit(in, in->rm);
  case 1:
    return rm_bit(in);
  case 2:
    return byte_bit(in, in->reg);
  case 3:
    return BIT(in->reg);
  default:
    return BIT(X86_RAX);
  }
}

static uint32_t written_group3(const struct x86_instruction *in) {
  if (in->extension < 2) /* test */
    return 0;
  if (in->extension < 4) /* not, neg */
    return in->opcode == 0xf6 ? byte_bit(in, in->rm) : rm_bit(in);
  return BITS_RAX_RDX; /* mul, imul, div, idiv */
}

static uint32_t written_one_byte(const struct x86_instruction *in) {
  uint8_t op = in->opcode;

  if (op < 0x40)
    return written_alu(in);
  if (op >= 0x50 && op <= 0x57) /* push */
    return 0;
  if (op >= 0x58 && op <= 0x5f) /* pop */
    return BIT(in->reg);
  if (op >= 0x90 && op <= 0x97) /* xchg with rax; 90 is nop unless it is r8 */
    return in->reg == X86_RAX ? 0 : BIT(in->reg) | BIT(X86_RAX);
  if (op >= 0xb0 && op <= 0xb7)
    return byte_bit(in, in->reg);
  if (op >= 0xb8 && op <= 0xbf)
    return BIT(in->reg);
  switch (op) {
  case 0x63: /* movsxd */
  case 0x69: /* imul */
  case 0x6b:
  case 0x8b: /* mov */
  case 0x8d: /* lea */
    return BIT(in->reg);
  case 0x8a:
    return byte_bit(in, in->reg);
  case 0x80:
    return in->extension == 7 ? 0 : byte_bit(in, in->rm);
  case 0x81:
  case 0x83:
    return in->extension == 7 ? 0 : rm_bit(in);
  case 0x86: /* xchg */
    return byte_bit(in, in->reg) | byte_bit(in, in->rm);
  case 0x87:
    return BIT(in->reg) | rm_bit(in);
  case 0x88: /* mov */
  case 0xc0: /* shifts */
  case 0xc6:
  case 0xd0:
  case 0xd2:
    return byte_bit(in, in->rm);
  case 0x89:
  case 0x8c:
  case 0x8f: /* pop */
  case 0xc1:
  case 0xc7:
  case 0xd1:
  case 0xd3:
    return rm_bit(in);
  case 0xf6:
  case 0xf7:
    return written_group3(in);
  case 0xfe: /* inc, dec */
    return byte_bit(in, in->rm);
  case 0xff:
    return in->extension < 2 ? rm_bit(in) : 0;
  case 0x84: /* test */
  case 0x85:
  case 0xa8:
  case 0xa9:
  case 0x68: /* push */
  case 0x6a:
    return 0;
  case 0xe0: /* loop */
  case 0xe1:
  case 0xe2:
    return BIT(X86_RCX);
  case 0xc8: /* enter */
  case 0xc9: /* leave */
    return BIT(X86_RSP) | BIT(X86_RBP);
  default:
    if ((op >= 0xa4 && op <= 0xaf) || (op >= 0x6c && op <= 0x6f))
      return BITS_STRING;
    if ((op >= 0x70 && op <= 0x7f) || (op >= 0xd8 && op <= 0xdf)) /* jcc; x87: fnstsw ax below */
      return op == 0xdf ? BIT(X86_RAX) : 0;
    return BITS_RAX_RDX;
  }
}

/* The 0F map without VEX, and with it: the vector instructions that write a general register have
 * the same opcodes. */
static uint32_t written_two_byte(const struct x86_instruction *in) {
  uint8_t op = in->opcode;

  switch (op) {
  case 0x2c: /* cvtt…2si, cvt…2si */
  case 0x2d:
  case 0x50: /* movmsk */
  case 0xc5: /* pextrw */
  case 0xd7: /* pmovmskb */
    return BIT(in->reg);
  case 0x78: /* EVEX: vcvtt…2usi, vcvt…2usi */
  case 0x79:
  case 0x93: /* VEX: kmov to a general register; else setcc, below */
    if (in->is_vex)
      return BIT(in->reg);
    break;
  case 0x7e: /* movd, movq to a general register or memory; F3: to a vector register */
    return in->prefix == 0xf3 ? 0 : rm_bit(in);
  }
  if (in->is_vex)
    return 0;
  if (op >= 0x40 && op <= 0x4f) /* cmov */
    return BIT(in->reg);
  if (op >= 0x90 && op <= 0x9f) /* setcc */
    return byte_bit(in, in->rm);
  if (op >= 0xc8 && op <= 0xcf) /* bswap */
    return BIT(in->reg);
  if ((op >= 0x10 && op <= 0x17) || op == 0x0d || (op >= 0x18 && op <= 0x1f) ||
      (op >= 0x28 && op <= 0x2f) || (op >= 0x51 && op <= 0x8f) || op >= 0xd0 || op == 0xc2 ||
      op == 0xc3 || op == 0xc4 || op == 0xc6 || op == 0xa3 || op == 0xae || op == 0x0b)
    return 0; /* vectors, hints, branches, bt, fences */
  switch (op) {
  case 0xb0: /* cmpxchg */
  case 0xb1:
    return rm_bit(in) | BIT(X86_RAX);
  case 0xc0: /* xadd */
  case 0xc1:
    return BIT(in->reg) | rm_bit(in);
  case 0x05: /* syscall */
    return BIT(X86_RAX) | BIT(X86_RCX) | BIT(X86_R11);
  case 0xa2: /* cpuid */
    return BITS_RAX_RDX | BIT(X86_RBX) | BIT(X86_RCX);
  default: /* imul, movzx, movsx, shld, bts, bsf, popcnt, rdtsc …, and what is rare */
    return (in->has_modrm ? BIT(in->reg) | rm_bit(in) : 0) | BITS_RAX_RDX | BIT(X86_RCX);
  }
}

uint32_t x86_written(const struct x86_instruction *in) {
  switch (in->map) {
  case X86_MAP_ONE:
    return written_one_byte(in);
  case X86_MAP_0F:
    return written_two_byte(in);
  case X86_MAP_0F38: /* crc32, movbe, adcx, BMI: all from F0 on */
    if (in->opcode < 0xf0)
      return 0;
    return BIT(in->reg) | rm_bit(in) | (in->is_vex ? BIT(in->vvvv) : 0);
  case X86_MAP_0F3A: /* pextr; pcmp…stri; rorx */
    if (in->opcode >= 0x14 && in->opcode <= 0x17)
      return rm_bit(in);
    if (in->opcode >= 0x60 && in->opcode <= 0x63)
      return BIT(X86_RCX);
    return in->opcode == 0xf0 ? BIT(in->reg) : 0;
  case 5: /* EVEX half precision: conversions to integers */
    return in->opcode == 0x2c || in->opcode == 0x2d || in->opcode == 0x78 || in->opcode == 0x79 ||
                   in->opcode == 0x7e
               ? BIT(in->reg) | rm_bit(in)
               : 0;
  case 6:
    return 0;
  default: /* XOP: some are integer instructions */
    return BIT(in->reg) | rm_bit(in) | BIT(in->vvvv);
  }
}
