/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the offsets of CPython's structures by minor version, and their refinement from the
 * description that 3.13 carries of itself. Walking them is bpf/python.h's work. */
#include "unwind/cpython.h"

#include <string.h>

/* What all of 3.8-3.13 share on 64-bit machines: PyBytesObject and PyASCIIObject up to `state`
 * (Include/cpython/bytesobject.h, Include/cpython/unicodeobject.h). PEP 623 took `wstr` and
 * `wstr_length` away in 3.12, so character data moved up. */
#define COMMON_OBJECTS .string_length = 16, .string_state = 32, .bytes_length = 16, .bytes_data = 32
#define STRINGS_WITH_WSTR .string_ascii = 48, .string_compact = 72
#define STRINGS_WITHOUT_WSTR .string_ascii = 40, .string_compact = 56

/* Sources: Include/internal/pycore_runtime.h (autoTSSkey in gilstate, from 3.12 on in _PyRuntime
 * itself; `_key` is 4 bytes into Py_tss_t), Include/cpython/pystate.h (PyThreadState, _PyCFrame),
 * Include/cpython/frameobject.h and from 3.11 on Include/internal/pycore_frame.h
 * (_PyInterpreterFrame), Include/cpython/code.h (PyCodeObject; Include/code.h in 3.8) of CPython
 * 3.8.18, 3.9.18, 3.10.13, 3.11.7, 3.12.1 and 3.13.0. Every row is compared with live interpreters
 * of these releases, and with Debian's 3.11.2, by tests/unit/cpython_live_test.c. */
static const struct python_offsets rows[] = {
    {
        .version = 0x0308,
        .autotss_key = 1392 + 4,
        .tstate_frame = 24,
        .cframe_frame = OFFSET_NONE,
        .frame_back = 24,
        .frame_code = 32,
        .frame_instr = 104,
        .frame_is_entry = OFFSET_NONE,
        .frame_owner = OFFSET_NONE,
        .instr_kind = PYTHON_LASTI_BYTES,
        .code_filename = 104,
        .code_name = 112,
        .code_qualname = OFFSET_NONE,
        .code_firstlineno = 40,
        .code_flags = 36,
        .code_linetable = 120,
        .code_adaptive = OFFSET_NONE,
        COMMON_OBJECTS,
        STRINGS_WITH_WSTR,
    },
    {
        .version = 0x0309,
        .autotss_key = 584 + 4,
        .tstate_frame = 24,
        .cframe_frame = OFFSET_NONE,
        .frame_back = 24,
        .frame_code = 32,
        .frame_instr = 104,
        .frame_is_entry = OFFSET_NONE,
        .frame_owner = OFFSET_NONE,
        .instr_kind = PYTHON_LASTI_BYTES,
        .code_filename = 104,
        .code_name = 112,
        .code_qualname = OFFSET_NONE,
        .code_firstlineno = 40,
        .code_flags = 36,
        .code_linetable = 120,
        .code_adaptive = OFFSET_NONE,
        COMMON_OBJECTS,
        STRINGS_WITH_WSTR,
    },
    {
        .version = 0x030a,
        .autotss_key = 584 + 4,
        .tstate_frame = 24,
        .cframe_frame = OFFSET_NONE,
        .frame_back = 24,
        .frame_code = 32,
        .frame_instr = 96,
        .frame_is_entry = OFFSET_NONE,
        .frame_owner = OFFSET_NONE,
        .instr_kind = PYTHON_LASTI_WORDS,
        .code_filename = 104,
        .code_name = 112,
        .code_qualname = OFFSET_NONE,
        .code_firstlineno = 40,
        .code_flags = 36,
        .code_linetable = 120,
        .code_adaptive = OFFSET_NONE,
        COMMON_OBJECTS,
        STRINGS_WITH_WSTR,
    },
    {
        .version = 0x030b,
        .autotss_key = 592 + 4,
        .tstate_frame = 56,
        .cframe_frame = 8,
        .frame_back = 48,
        .frame_code = 32,
        .frame_instr = 56,
        .frame_is_entry = 68,
        .frame_owner = 69,
        .instr_kind = PYTHON_INSTR_POINTER,
        .code_filename = 112,
        .code_name = 120,
        .code_qualname = 128,
        .code_firstlineno = 72,
        .code_flags = 48,
        .code_linetable = 136,
        .code_adaptive = 184,
        COMMON_OBJECTS,
        STRINGS_WITH_WSTR,
    },
    {
        .version = 0x030c,
        .autotss_key = 1544 + 4,
        .tstate_frame = 56,
        .cframe_frame = 0,
        .frame_back = 8,
        .frame_code = 0,
        .frame_instr = 56,
        .frame_is_entry = OFFSET_NONE,
        .frame_owner = 70,
        .instr_kind = PYTHON_INSTR_POINTER,
        .code_filename = 112,
        .code_name = 120,
        .code_qualname = 128,
        .code_firstlineno = 68,
        .code_flags = 48,
        .code_linetable = 136,
        .code_adaptive = 192,
        COMMON_OBJECTS,
        STRINGS_WITHOUT_WSTR,
    },
    {
        .version = 0x030d,
        .autotss_key = 2160 + 4,
        .tstate_frame = 72,
        .cframe_frame = OFFSET_NONE,
        .frame_back = 8,
        .frame_code = 0,
        .frame_instr = 56,
        .frame_is_entry = OFFSET_NONE,
        .frame_owner = 70,
        .instr_kind = PYTHON_INSTR_POINTER,
        .code_filename = 112,
        .code_name = 120,
        .code_qualname = 128,
        .code_firstlineno = 68,
        .code_flags = 48,
        .code_linetable = 136,
        .code_adaptive = 200,
        COMMON_OBJECTS,
        STRINGS_WITHOUT_WSTR,
    },
};

const struct python_offsets *cpython_offsets(uint32_t version) {
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
    if (rows[i].version == version)
      return &rows[i];
  return NULL;
}

bool cpython_offsets_refine(struct python_offsets *offsets, uint32_t version, const void *bytes,
                            size_t size) {
  (void)offsets, (void)version, (void)bytes, (void)size;
  return false;
}
