/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an unwind row means: the one piece of stepping arithmetic that the BPF sampler, the shim and
 * user space share. It reads no memory itself: it says which addresses to read, and the caller
 * reads them its own way. No loops, no calls, no function pointers, so that the BPF verifier
 * follows it.
 *
 * A step is: row_cfa(); load what it asks for; then row_slots(), load those; the caller's frame is
 * {pc = word at ra_address, sp = cfa, bp}. */
#ifndef RAGPROF_BPF_UNWIND_ROW_H
#define RAGPROF_BPF_UNWIND_ROW_H

#include "ragprof.h"

#define ROW_INLINE static inline __attribute__((always_inline))

/* How the CFA comes about. */
enum row_action {
  ROW_CFA_READY = 0,    /* `value` is the CFA */
  ROW_CFA_LOAD = 1,     /* CFA = word at address `value`, plus `addend` */
  ROW_CFA_REGISTER = 2, /* CFA = the DWARF register numbered `value` (0 to 15), plus `addend` */
  ROW_CFA_CONTEXT = 3,  /* a signal frame: pc, bp and sp are the words at `value` + CONTEXT_… */
  ROW_CFA_CHAIN = 4,    /* no usable CFI: CFA = bp + 16, the caller's bp at bp (row_chain_slots) */
  ROW_CFA_ROOT = 5,     /* the thread's first frame: nothing to step to */
  ROW_CFA_LOAD_INDEXED = 6, /* CFA = word at address `value` + 8 times the DWARF register numbered
                               `index`, plus `addend` */
};

/* struct ucontext of Linux on x86-64 (arch/x86/include/uapi/asm/sigcontext.h): uc_mcontext is at
 * byte 40, its registers in the order r8 … r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip. */
#define CONTEXT_REGISTERS 40
#define CONTEXT_BP (CONTEXT_REGISTERS + 10 * 8)
#define CONTEXT_SP (CONTEXT_REGISTERS + 15 * 8)
#define CONTEXT_PC (CONTEXT_REGISTERS + 16 * 8)

struct row_cfa {
  __u64 value;
  __s64 addend;
  __u32 index; /* of ROW_CFA_LOAD_INDEXED */
  __u32 pad;
};

/* Where the caller's registers lie. bp_address is 0 when the caller's bp is the callee's. */
struct row_slots {
  __u64 ra_address;
  __u64 bp_address;
};

/* `pc` is a virtual address or relative to any 16-aligned base. Returns an enum row_action. */
ROW_INLINE int row_cfa(struct unwind_row row, __u64 pc, __u64 sp, __u64 bp, struct row_cfa *out) {
  __u64 offset = row.cfa;

  out->addend = 0;
  out->index = 0;
  switch (row.type) {
  case ROW_RSP:
    out->value = sp + 8 * offset;
    return ROW_CFA_READY;
  case ROW_RBP:
    out->value = bp + 8 * offset;
    return ROW_CFA_READY;
  case ROW_PLT:
    out->value = sp + (offset >> 8) + ((pc & 15) >= (offset & 255) ? 8 : 0);
    return ROW_CFA_READY;
  case ROW_DEREF_RBP:
    out->value = bp + 8 * (__s64)(__s16)row.cfa;
    return ROW_CFA_LOAD;
  case ROW_DEREF_RSP:
    out->value = sp + 8 * (offset & 255);
    out->addend = 8 * (__s64)(offset >> 8);
    return ROW_CFA_LOAD;
  case ROW_DEREF_RSP_BELOW:
    out->value = sp - 8 * (offset & 255);
    out->addend = 8 * (__s64)(offset >> 8);
    return ROW_CFA_LOAD;
  case ROW_DEREF_RBP_PLUS:
    out->value = bp + 8 * (offset & 255);
    out->addend = 8 * (__s64)(offset >> 8);
    return ROW_CFA_LOAD;
  case ROW_DEREF_INDEXED:
    out->value = sp + 8 * (offset & 15);
    out->addend = 8 * (__s64)(offset >> 8);
    out->index = (offset >> 4) & 15;
    return ROW_CFA_LOAD_INDEXED;
  case ROW_REGISTER:
    out->value = offset & 15;
    out->addend = 8 * (__s64)(offset >> 4);
    return ROW_CFA_REGISTER;
  case ROW_SIGNAL:
    out->value = sp;
    return ROW_CFA_CONTEXT;
  case ROW_END:
    out->value = 0;
    return ROW_CFA_ROOT;
  default:
    out->value = bp + 16;
    return ROW_CFA_CHAIN;
  }
}

/* The slots once the CFA is known; `bp` is the callee's. Most often bp_address is cfa - 16, so that
 * one read of 16 bytes fetches both. */
ROW_INLINE struct row_slots row_slots(struct unwind_row row, __u64 cfa, __u64 bp) {
  struct row_slots slots = {.ra_address = cfa - 8, .bp_address = cfa + 8 * (__s64)row.rbp};

  if (row.rbp == ROW_RBP_SAME)
    slots.bp_address = 0;
  else if (row.rbp == ROW_RBP_AT_RBP)
    slots.bp_address = bp;
  return slots;
}

/* The same for ROW_CFA_CHAIN: a frame as `push rbp; mov rsp, rbp` leaves it. */
ROW_INLINE struct row_slots row_chain_slots(__u64 bp) {
  return (struct row_slots){.ra_address = bp + 8, .bp_address = bp};
}

/* Whether a CFA can belong to a caller's frame: stacks grow down. Not for ROW_CFA_LOAD and
 * ROW_CFA_CONTEXT, which may switch stacks. */
ROW_INLINE int row_cfa_plausible(__u64 cfa, __u64 sp) {
  return cfa > sp && !(cfa & 7);
}

#endif
