/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the look at a function's code: what a probe on its first instruction costs, and where the
 * function is left. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "capture/user_probe_elf.h"
#include "unwind/ehframe_x86.h"

#define FUNCTION_BYTES_MAX (256u << 10)
#define INSTRUCTION_BYTES_MAX 15
#define PIECES_MAX 4

#define OPCODE_RET 0xc3
#define OPCODE_RET_POP 0xc2
#define OPCODE_JMP_NEAR 0xe9
#define OPCODE_JMP_SHORT 0xeb
#define OPCODE_GROUP_5 0xff
#define EXTENSION_JMP 4
#define OPCODE_CALL 0xe8
#define OPCODE_NOP 0x90
#define OPCODE_LONG_NOP 0x1f /* 0f 1f */

static const uint8_t endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};

static bool is_jcc(const struct x86_instruction *in) {
  return (in->map == X86_MAP_ONE && (in->opcode & 0xf0) == 0x70) ||
         (in->map == X86_MAP_0F && (in->opcode & 0xf0) == 0x80);
}

static bool is_direct_jmp(const struct x86_instruction *in) {
  return in->map == X86_MAP_ONE &&
         (in->opcode == OPCODE_JMP_NEAR || in->opcode == OPCODE_JMP_SHORT);
}

/* branch_setup_xol_ops and push_setup_xol_ops of Linux' arch/x86/kernel/uprobes.c; nops of more
 * bytes than one since 6.18. */
bool probe_is_emulated(const uint8_t *code, size_t bytes, bool emulates_nops) {
  struct x86_instruction in;
  if (!x86_decode(&in, code, bytes) || in.is_vex)
    return false;
  if (is_jcc(&in) || is_direct_jmp(&in))
    return true;
  if (in.map == X86_MAP_0F)
    return emulates_nops && in.opcode == OPCODE_LONG_NOP;
  if (in.map != X86_MAP_ONE)
    return false;
  if ((in.opcode & 0xf8) == 0x50) /* push; with another prefix than REX it is stepped over */
    return in.length == 1 || (in.length == 2 && in.has_rex);
  return in.opcode == OPCODE_CALL || (in.opcode == OPCODE_NOP && in.prefix != 0xf3);
}

/* ---- where a function is left ---- */

/* A function, and the pieces that the compiler put elsewhere (".cold"), which it reaches by
 * conditional jumps. */
struct range {
  uint64_t begin;
  uint64_t end;
};

struct sweep {
  struct probe_elf *elf;
  struct range ranges[PIECES_MAX];
  uint32_t range_count;
  struct x86_instruction last; /* the instruction before */
};

static bool is_inside(const struct sweep *sweep, uint64_t vaddr) {
  for (uint32_t i = 0; i < sweep->range_count; i++)
    if (vaddr >= sweep->ranges[i].begin && vaddr < sweep->ranges[i].end)
      return true;
  return false;
}

/* `jmp *%rax` behind `add %rdx,%rax` and `jmp *table(,%rax,8)` are how compilers write a switch. */
static bool is_switch(const struct sweep *sweep, const struct x86_instruction *in) {
  if (in->rm == X86_NO_REGISTER)
    return in->has_index;
  const struct x86_instruction *last = &sweep->last;
  return last->map == X86_MAP_ONE && (last->opcode == 0x01 || last->opcode == 0x03) &&
         x86_written(last) == 1u << in->rm;
}

static bool is_exit(const struct sweep *sweep, const struct x86_instruction *in, uint64_t vaddr) {
  if (in->map != X86_MAP_ONE || in->is_vex)
    return false;
  if (in->opcode == OPCODE_RET || in->opcode == OPCODE_RET_POP)
    return true;
  if (is_direct_jmp(in)) {
    uint64_t to = vaddr + in->length + (uint64_t)in->immediate;
    return to == sweep->ranges[0].begin || !is_inside(sweep, to);
  }
  return in->opcode == OPCODE_GROUP_5 && in->extension == EXTENSION_JMP && !is_switch(sweep, in);
}

/* Takes in a piece that a conditional jump leads to. */
static bool follow(struct sweep *sweep, const struct x86_instruction *in, uint64_t vaddr) {
  struct range piece;
  uint64_t to = vaddr + in->length + (uint64_t)in->immediate;
  if (!is_jcc(in) || is_inside(sweep, to))
    return true;
  if (sweep->range_count == PIECES_MAX ||
      !probe_elf_bounds(sweep->elf, to, &piece.begin, &piece.end))
    return false;
  sweep->ranges[sweep->range_count++] = piece;
  return true;
}

static bool sweep_code(struct sweep *sweep, const uint8_t *code, const struct range *range,
                       struct probe_site *site) {
  size_t bytes = range->end - range->begin;
  for (size_t at = 0; at < bytes;) {
    struct x86_instruction in;
    uint64_t vaddr = range->begin + at;
    if (!x86_decode(&in, code + at, bytes - at) || !follow(sweep, &in, vaddr))
      return false;
    if (is_exit(sweep, &in, vaddr)) {
      if (site->exit_count == PROBE_EXITS_MAX)
        return false;
      site->exits[site->exit_count++] = probe_elf_offset(sweep->elf, vaddr);
    }
    sweep->last = in;
    at += in.length;
  }
  return true;
}

/* NULL: it is not all there. */
static uint8_t *read_code(struct probe_elf *elf, uint64_t vaddr, size_t bytes) {
  uint64_t offset = probe_elf_offset(elf, vaddr);
  uint8_t *code = offset && bytes && bytes <= FUNCTION_BYTES_MAX ? malloc(bytes) : NULL;
  if (!code || pread(elf->fd, code, bytes, (off_t)offset) == (ssize_t)bytes)
    return code;
  free(code);
  return NULL;
}

static bool find_exits(struct sweep *sweep, struct probe_site *site) {
  for (uint32_t i = 0; i < sweep->range_count; i++) {
    struct range range = sweep->ranges[i];
    uint8_t *code = read_code(sweep->elf, range.begin, range.end - range.begin);
    bool is_known = code && sweep_code(sweep, code, &range, site);
    free(code);
    if (!is_known)
      return false;
  }
  return true;
}

bool probe_elf_site(struct probe_elf *elf, const struct probe_function *function,
                    bool emulates_nops, struct probe_site *site) {
  uint8_t code[INSTRUCTION_BYTES_MAX + sizeof(endbr64)];
  uint64_t offset = probe_elf_offset(elf, function->vaddr);
  ssize_t got = offset ? pread(elf->fd, code, sizeof(code), (off_t)offset) : -1;
  *site = (struct probe_site){.entry = offset};
  if (got < 1)
    return false;
  size_t first = (size_t)got > sizeof(endbr64) && !memcmp(code, endbr64, sizeof(endbr64))
                     ? sizeof(endbr64)
                     : 0;
  site->entry += first; /* nothing was pushed yet */
  site->is_stepped = !probe_is_emulated(code + first, (size_t)got - first, emulates_nops);
  struct sweep sweep = {.elf = elf,
                        .ranges = {{function->vaddr, function->vaddr + function->bytes}},
                        .range_count = 1};
  if (!find_exits(&sweep, site))
    site->exit_count = 0;
  return true;
}
