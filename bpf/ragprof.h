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
  ROW_INVALID = 0, /* no usable CFI here: follow the rbp chain */
  ROW_RSP = 1,     /* CFA = rsp + 8*cfa */
  ROW_RBP = 2,     /* CFA = rbp + 8*cfa */
  ROW_PLT =
      3, /* the .plt expression: CFA = rsp + (cfa >> 8) + ((pc & 15) >= (cfa & 255) ? 8 : 0) */
  ROW_END = 4,       /* the return address is undefined: the thread's first frame */
  ROW_DEREF_RBP = 5, /* CFA = *(rbp + 8*(s16)cfa): realigned stacks */
  ROW_SIGNAL = 6,    /* a signal frame: all registers from the ucontext at rsp */
  ROW_REGISTER = 7,  /* CFA = register + 8*(cfa >> 4), DWARF register number cfa & 15; the registers
                        other than rsp, rbp are only known in the innermost frame */
  ROW_DEREF_RSP = 8, /* CFA = *(rsp + 8*(cfa & 255)) + 8*(cfa >> 8): hand-written assembly that
                        keeps the old rsp in a stack slot */
  ROW_DEREF_RBP_PLUS = 9, /* CFA = *(rbp + 8*(cfa & 255)) + 8*(cfa >> 8) */
  ROW_DEREF_INDEXED =
      10,                   /* CFA = *(rsp + 8*(cfa & 15) + 8*index) + 8*(cfa >> 8), where index is
                               the   DWARF register number (cfa >> 4) & 15, known as for ROW_REGISTER */
  ROW_DEREF_RSP_BELOW = 11, /* CFA = *(rsp - 8*(cfa & 255)) + 8*(cfa >> 8) */
};

#define ROW_RBP_SAME 127   /* the caller's rbp is rbp */
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
  PYTHON_LASTI_BYTES = 0,   /* i32 f_lasti, in bytes (3.8, 3.9) */
  PYTHON_LASTI_WORDS = 1,   /* i32 f_lasti, in 2-byte units (3.10) */
  PYTHON_INSTR_POINTER = 2, /* pointer into the code's instructions (3.11+) */
};

struct python_offsets {
  __u16 autotss_key;      /* in _PyRuntime: i32 gilstate.autoTSSkey._key */
  __u16 tstate_thread_id; /* in PyThreadState: u64 pthread_self() */
  __u16 tstate_native_id; /* u64 TID (3.11+); else OFFSET_NONE */
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
  __u16 version; /* 0x030b */
  __u16 pad;
};
_Static_assert(sizeof(struct python_offsets) == 52, "shared with BPF");

/* ---- Tables that user space fills ---------------------------------------------------------------
 *
 * Tables live in segments: single-element arrays that user space maps and writes. A table is
 *   u32 index[pages + 1]   index[k]: the first row with pc ≥ k * 256, as a row number of the
 * segment u64 rows[]             struct unwind_row, sorted and is split where it would not fit into
 * one segment. */
#define SEGMENT_WORDS (512 * 1024)
#define SEGMENTS_MAX 64
#define SEGMENT_NONE 0xffffffff
#define INDEX_SHIFT 8

/* An executable mapping of a process. The mappings of one process stand together, sorted. */
struct unwind_mapping {
  __u64 start;
  __u64 end;
  __u64 base;        /* run-time address of the table's pc 0 */
  __u32 segment;     /* SEGMENT_NONE: no table, follow the rbp chain */
  __u32 index_first; /* in u32 units of the segment */
  __u32 page_count;
  __u32 row_first; /* in u64 units of the segment */
  __u32 row_end;
  __u32 pad;
};
_Static_assert(sizeof(struct unwind_mapping) == 48, "shared with user space");

#define MAPPINGS_MAX (64 * 1024)
#define PROCESSES_MAX 8192
#define PYTHON_VERSIONS_MAX 16

/* A profiled process, by its TGID. */
struct process_info {
  __u32 map_first; /* in mappings[] */
  __u32 map_count;
  __u32 generation; /* grows at exec, and when a mapping was replaced: part of a stack's identity */
  __u32 python;     /* 1 + index in python_offsets[]; 0: no interpreter */
  __u64 python_runtime;     /* run-time address of _PyRuntime */
  __u64 python_runtime_end; /* a futex in between is the GIL's */
  __s32 raw_budget;  /* bytes of stacks that may be copied out where a mapping is not known yet */
  __u32 map_serial;  /* of this run of mappings, never used again: what is remembered of them */
  __u32 awaits_exec; /* a command that has not begun: nothing is recorded before its exec */
  __u32 pad;
};

/* What raw_budget begins with after an exec and after each change of the mappings. */
#define RAW_BUDGET (2 << 20)

/* ---- Events -------------------------------------------------------------------------------------
 *
 * Every event starts with a u32 type and the TGID. Times are CLOCK_MONOTONIC in ns. */
enum event_type {
  EVENT_STACK = 1,
  EVENT_CODE = 2,
  EVENT_SAMPLE = 3,
  EVENT_WAIT = 4,
  EVENT_THREAD = 5,
  EVENT_PROCESS = 6,
  EVENT_UNMAPPED = 7,
  EVENT_RAW = 8,
  EVENT_SLOW = 9,
  EVENT_OBJECT = 10,
  EVENT_HAPPENING = 11,
  EVENT_MAPPING = 12,
};

/* How a native or Python walk ended. */
enum walk_end {
  WALK_NONE = 0,       /* there was nothing to walk */
  WALK_ROOT = 1,       /* the first frame was reached */
  WALK_NO_MAPPING = 2, /* a pc outside every known mapping */
  WALK_BAD_READ = 3,   /* the stack could not be read there */
  WALK_TOO_DEEP = 4,
  WALK_NO_RULE = 5, /* no CFI, and the rbp chain leads nowhere */
};

/* Ids that are no hashes. */
#define STACK_LOST 0
#define STACK_STARTING 1  /* of a thread that has not run yet */
#define STACK_NOT_TAKEN 2 /* of a short wait whose stack was left out: see bpf/offcpu.bpf.c */

#define KERNEL_FRAMES_MAX 127
#define NATIVE_FRAMES_MAX 2560
#define PYTHON_FRAMES_MAX 1100 /* a bit above the interpreter's own default limit of 1,000 */
#define STACK_FRAMES_MAX 3800  /* a per-CPU value must stay below 32 KiB */
_Static_assert(KERNEL_FRAMES_MAX + NATIVE_FRAMES_MAX + PYTHON_FRAMES_MAX <= STACK_FRAMES_MAX, "");

/* A stack, shipped when it is first seen: kernel frames, then native, then Python ones, each from
 * the leaf. Native frames are the addresses to look up (return addresses less one). */
struct event_stack {
  __u32 type;
  __u32 tgid;
  __u64 id; /* a hash of everything below */
  __u32 generation;
  __u16 kernel_count;
  __u16 native_count;
  __u16 python_count;
  __u8 native_end; /* enum walk_end */
  __u8 python_end;
  __u32 pad;
  __u64 raw; /* the event_raw that goes with it; 0: none */
  __u64 frames[STACK_FRAMES_MAX];
};

/* Precedes the event_stack of the same CPU and process that ended with WALK_NO_MAPPING: registers
 * and stack memory from there on, so that user space can go on when it has read the new mappings.
 */
#define RAW_BYTES_MAX (28 * 1024) /* a per-CPU value must stay below 32 KiB */
#define RAW_PAGE 4096

struct event_raw {
  __u32 type;
  __u32 tgid;
  __u64 id; /* `raw` of the stack */
  __u64 ip;
  __u64 sp;
  __u64 bp;
  __u32 is_return;
  __u32 is_after_syscall; /* ip stands behind the instruction of a system call */
  __u32 bytes;            /* of data, which is the memory from sp on */
  __u32 pad;
  __u8 data[RAW_BYTES_MAX];
};

/* A Python frame: code id, whether the native frame of the interpreter's loop ends with it, and the
 * byte offset of its instruction (negative: not started). */
#define PYTHON_ENTRY (1ull << 39)
#define PYTHON_FRAME(code, entry, address)                                                         \
  (((__u64)(code) << 40) | ((entry) ? PYTHON_ENTRY : 0) | ((__u64)(__u32)(address)))
#define PYTHON_FRAME_CODE(frame) ((__u32)((frame) >> 40))
#define PYTHON_FRAME_ENTRY(frame) (((frame)&PYTHON_ENTRY) != 0)
#define PYTHON_FRAME_ADDRESS(frame) ((__s32)(__u32)(frame))
#define PYTHON_CODES_MAX (32 * 1024)

#define CODE_TEXT_MAX 512
#define CODE_LINES_MAX 4096

struct code_text {
  __u32 length; /* code points */
  __u32 kind;   /* bytes a code point: 1, 2, 4; 0: unreadable */
  __u8 data[CODE_TEXT_MAX];
};

/* A code object, shipped when it is first seen. */
struct event_code {
  __u32 type;
  __u32 tgid;
  __u32 id;
  __u32 version;
  __u64 lines_address; /* where the line table is, to read what did not fit */
  __u32 lines_bytes;   /* its full length; the first CODE_LINES_MAX are here */
  __u32 first_line;
  __u32 flags; /* co_flags */
  __u32 pad;
  struct code_text name; /* qualified where the version has it */
  struct code_text file;
  __u8 lines[CODE_LINES_MAX];
};

struct event_sample {
  __u32 type;
  __u32 tgid;
  __u32 tid;
  __u32 pad;
  __u64 time_ns;
  __u64 stack;
};

struct event_wait {
  __u32 type;
  __u32 tgid;
  __u32 tid;
  __u32 waker_tid;
  __u64 start_ns;
  __u64 blocked_ns;
  __u64 run_queue_ns;
  __u64 stack;
  __u32 reason; /* enum wait_reason of trace/trace.h */
  __u32 pad;
};

/* Short waits are summed by this key instead; user space collects the sums on a clock. */
struct wait_key {
  __u64 stack;
  __u32 tgid;
  __u32 tid;
  __u32 reason;
  __u32 pad;
};

struct wait_sum {
  __u64 count;
  __u64 blocked_ns;
  __u64 run_queue_ns;
  __u64 max_ns;
};

enum thread_event { THREAD_ALIVE = 0, THREAD_NEW = 1, THREAD_EXIT = 2 };

/* A thread's exact times so far. */
struct event_thread {
  __u32 type;
  __u32 tgid;
  __u32 tid;
  __u32 what; /* enum thread_event */
  __u64 time_ns;
  __u64 start_ns; /* when it was first watched */
  __u64 on_cpu_ns;
  __u64 blocked_ns;
  __u64 run_queue_ns;
  __u64 voluntary_switches;
  __u64 involuntary_switches;
  __u64 minor_faults; /* of the thread, since it began; as the next two */
  __u64 major_faults;
  __u64 migrations;
  __u64 ended_minor_faults; /* of those threads of the process that have ended by now */
  __u64 ended_major_faults;
  char name[16];
};

enum process_event { PROCESS_FORK = 1, PROCESS_EXEC = 2, PROCESS_EXIT = 3 };

struct event_process {
  __u32 type;
  __u32 tgid;
  __u32 what; /* enum process_event */
  __u32 parent_tgid;
  __u64 time_ns;
  __u32 exit_code; /* as wait(2) gives it */
  __u32 generation;
  char name[16];
};

/* Something that befell a process: enum process_happening of trace/trace.h. The event may end with
 * its text, which has a NUL. */
#define HAPPENING_TEXT_MAX 256

struct event_happening {
  __u32 type;
  __u32 tgid;
  __u32 what;
  __u32 pad;
  __u64 time_ns;
  __u64 value;
  char text[HAPPENING_TEXT_MAX];
};

/* A call that changed what is mapped, as it was made. */
enum mapping_kind { MAPPING_MMAP = 1, MAPPING_MUNMAP = 2, MAPPING_MREMAP = 3, MAPPING_BRK = 4 };

struct event_mapping {
  __u32 type;
  __u32 tgid;
  __u32 kind; /* enum mapping_kind */
  __u32 pad;
  __u64 time_ns;
  __u64 arguments[4];
  __u64 result;
  __u64 stack; /* STACK_LOST: not taken */
};

/* A pc outside the known mappings: user space reads the maps again. */
struct event_unmapped {
  __u32 type;
  __u32 tgid;
  __u64 pc;
};

#include "operation.h"

/* What was seen, and what could not be kept. */
struct capture_counters {
  __u64 samples;
  __u64 switches;
  __u64 lost_samples;
  __u64 lost_stacks;
  __u64 lost_waits;
  __u64 lost_threads;
  __u64 lost_codes;
  __u64 lost_wait_ns;
  __u64 waits_not_taken; /* counted and timed, but not walked */
  __u64 lost_slow_operations;
  __u64 lost_objects;
  __u64 lost_operations;       /* not counted anywhere: there was no slot */
  __u64 lost_operation_stacks; /* counted, but at no stack */
  __u64 lost_happenings;
  __u64 lost_mappings;
};

#endif
