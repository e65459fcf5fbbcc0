/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ABI between the BPF programs and user space: unwind rows, process and mapping tables, events.
 * Fixed widths, explicit padding, asserted sizes. */
#ifndef RAGPROF_BPF_RAGPROF_H
#define RAGPROF_BPF_RAGPROF_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

/* ---- Native unwinding ---------------------------------------------------------------------------
 *
 * A row says how to step from a frame whose pc lies in [row.pc, next row.pc) to its caller:
 * CFA from `type` and `cfa`, then the return address at CFA-8, the caller's rsp = CFA, and the
 * caller's rbp from `rbp`.
 *
 *   u32 pc | u16 cfa | s8 rbp | u8 type          pc: relative to the table's base
 *
 * Offsets are in units of 8 bytes unless said otherwise. */
enum unwind_row_type {
  ROW_INVALID = 0,   /* no usable CFI here: follow the rbp chain */
  ROW_RSP = 1,       /* CFA = rsp + 8*cfa */
  ROW_RBP = 2,       /* CFA = rbp + 8*cfa */
  ROW_PLT = 3,       /* the .plt expression: CFA = rsp + (cfa >> 8) + ((pc & 15) >= (cfa & 255) ? 8 : 0) */
  ROW_END = 4,       /* the return address is undefined: the thread's first frame */
  ROW_DEREF_RBP = 5, /* CFA = *(rbp + 8*(s16)cfa): realigned stacks */
  ROW_SIGNAL = 6,    /* a signal frame: all registers from the ucontext at rsp */
  ROW_REGISTER = 7,  /* CFA = register + 8*(cfa >> 4), DWARF register number cfa & 15; the registers
                        other than rsp, rbp are only known in the innermost frame */
  ROW_DEREF_RSP = 8, /* CFA = *(rsp + 8*(cfa & 255)) + 8*(cfa >> 8): hand-written assembly that
                        keeps the old rsp in a stack slot */
};

#define ROW_RBP_SAME 127  /* the caller's rbp is rbp */
#define ROW_RBP_AT_RBP 126 /* the caller's rbp is stored at rbp (a DWARF expression breg6+0) */
/* any other value of `rbp`: the caller's rbp is stored at CFA + 8*rbp */

struct unwind_row {
  __u32 pc;
  __u16 cfa;
  __s8 rbp;
  __u8 type;
};
_Static_assert(sizeof(struct unwind_row) == 8, "rows are read as one word");

/* ---- CPython ------------------------------------------------------------------------------------
 *
 * Byte offsets in the structures of one CPython version; OFFSET_NONE where a version lacks the
 * field. Filled from the table in userspace/unwind/cpython.c. */
#define OFFSET_NONE 0xffff

enum python_instr_kind {
  PYTHON_LASTI_BYTES = 0, /* i32 f_lasti, in bytes (3.8, 3.9) */
  PYTHON_LASTI_WORDS = 1, /* i32 f_lasti, in 2-byte units (3.10) */
  PYTHON_INSTR_POINTER = 2, /* pointer into the code's instructions (3.11+) */
};

struct python_offsets {
  __u16 autotss_key;      /* in _PyRuntime: i32 gilstate.autoTSSkey._key */
  __u16 tstate_frame;     /* in PyThreadState: the top frame, or the cframe (then cframe_frame) */
  __u16 cframe_frame;     /* in _PyCFrame: current_frame (3.11, 3.12); else OFFSET_NONE */
  __u16 frame_back;       /* f_back / previous */
  __u16 frame_code;       /* f_code / f_executable */
  __u16 frame_instr;      /* f_lasti / prev_instr / instr_ptr */
  __u16 frame_is_entry;   /* u8 (3.11); else OFFSET_NONE */
  __u16 frame_owner;      /* u8 (3.11+); else OFFSET_NONE */
  __u16 instr_kind;       /* enum python_instr_kind */
  __u16 code_filename;
  __u16 code_name;
  __u16 code_qualname;    /* 3.11+ */
  __u16 code_firstlineno; /* i32 */
  __u16 code_flags;       /* i32 */
  __u16 code_linetable;   /* co_lnotab (≤ 3.9) or co_linetable */
  __u16 code_adaptive;    /* co_code_adaptive: first instruction (3.11+) */
  __u16 string_length;    /* Py_ssize_t, in code points */
  __u16 string_state;     /* u32: kind bits 2-4, compact bit 5, ascii bit 6 */
  __u16 string_ascii;     /* data of an ASCII string */
  __u16 string_compact;   /* data of a compact non-ASCII string */
  __u16 bytes_length;     /* ob_size */
  __u16 bytes_data;
  __u16 version;          /* 0x030b */
  __u16 pad;
};
_Static_assert(sizeof(struct python_offsets) == 48, "shared with BPF");

#endif
