/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the offsets of CPython's structures by minor version, and their refinement from the
 * description that 3.13 carries of itself. Walking them is bpf/python.h's work. */
#include "unwind/cpython.h"

#include <string.h>

/* How Python's frames stand to the native frames of _PyEval_EvalFrameDefault, by version. A native
 * frame counts as the eval loop's when its pc lies in the function or in its moved part
 * (eval_cold_vaddr).
 *
 * 3.8-3.10  One Python frame to each native one: every call of a Python function and every
 *           resumption of a generator or coroutine enters the loop anew. tstate->frame is set in
 *           the loop's prologue and reset in its epilogue.
 * 3.11      Calls between Python functions stay in one native frame. A group ends, towards the
 *           caller, with the frame whose is_entry is set; generators and coroutines are resumed
 *           through C (gen_send_ex2), so they are entries.
 * 3.12+     A group is what stands before a shim: a _PyInterpreterFrame that lives on the C stack
 *           (owner 3), is pushed by each entry of the loop and holds no code of its own (3.12: the
 *           interpreter's trampoline; 3.13: None). `for` and `await` may resume generators
 *           within the loop (FOR_ITER_GEN, SEND_GEN), so that one group holds them too.
 *
 * 3.13 also keeps a frame of code that nobody wrote below each __init__ that the loop calls inline
 * (CPYTHON_CODE_IS_SHIM): it belongs to its group, but on no stack.
 *
 * While the loop enters or leaves, its native frame has no group yet or no more: 0.5 % (3.13) to
 * 6 % (3.8) of stops at random moments of call-heavy code have one native frame more than groups,
 * and none has fewer. So match from the outermost frame inwards, never from the leaf. But in
 * 3.11 and 3.12 up to 1 % of stops in generator-heavy code find a chain that is cut off after its
 * first frame, or before it: compilers store cframe.current_frame before the new frame's `previous`
 * (FOR_ITER_GEN) and tstate->cframe before cframe.current_frame (the prologue). There is no group
 * end at all then: what was read belongs to the innermost native frame, the stack is incomplete.
 * tests/unit/cpython_live_test.c counts all of this.
 *
 * GCC may move rare parts of the loop behind its symbol's end into NAME.cold with an FDE of its
 * own: 7.6-13.9 KB in Debian's static python3.11, 4-8 bytes in shared builds of 3.11 and 3.12, none
 * in the others looked at. Seen by nm, and where the symbols were stripped
 * by unwind/cpython_cold.c. */

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
        .tstate_thread_id = 176,
        .tstate_native_id = OFFSET_NONE,
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
        .tstate_thread_id = 176,
        .tstate_native_id = OFFSET_NONE,
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
        .tstate_thread_id = 176,
        .tstate_native_id = OFFSET_NONE,
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
        .tstate_thread_id = 152,
        .tstate_native_id = 160,
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
        .tstate_thread_id = 136,
        .tstate_native_id = 144,
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
        .tstate_thread_id = 152,
        .tstate_native_id = 160,
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

/* ---- _Py_DebugOffsets ---------------------------------------------------------------------------
 *
 * The fields of 3.13's struct _Py_DebugOffsets (Include/internal/pycore_runtime.h) that are used: a
 * cookie of 8 bytes, then unsigned 64-bit words, each an offset unless it says otherwise. */
enum debug_word {
  DEBUG_VERSION = 1,       /* PY_VERSION_HEX */
  DEBUG_FREE_THREADED = 2, /* 0 or 1 */
  DEBUG_INTERPRETERS_HEAD = 5,
  DEBUG_TSTATE_SIZE = 19,
  DEBUG_TSTATE_CURRENT_FRAME = 23,
  DEBUG_TSTATE_THREAD_ID = 24,
  DEBUG_TSTATE_NATIVE_ID = 25,
  DEBUG_FRAME_SIZE = 28,
  DEBUG_FRAME_PREVIOUS = 29,
  DEBUG_FRAME_EXECUTABLE = 30,
  DEBUG_FRAME_INSTR_PTR = 31,
  DEBUG_FRAME_OWNER = 33,
  DEBUG_CODE_SIZE = 34,
  DEBUG_CODE_FILENAME = 35,
  DEBUG_CODE_NAME = 36,
  DEBUG_CODE_QUALNAME = 37,
  DEBUG_CODE_LINETABLE = 38,
  DEBUG_CODE_FIRSTLINENO = 39,
  DEBUG_CODE_ADAPTIVE = 43,
  DEBUG_BYTES_SIZE = 64,
  DEBUG_BYTES_LENGTH = 65,
  DEBUG_BYTES_DATA = 66,
  DEBUG_STRING_SIZE = 67,
  DEBUG_STRING_STATE = 68,
  DEBUG_STRING_LENGTH = 69,
  DEBUG_STRING_ASCII = 70,
  DEBUG_WORDS = 73,
};

/* Which word gives which field, of which alignment, within an object of which size. The frame's,
 * bytes' and string's sizes count their head only, with room for one item or none. */
static const struct {
  uint16_t word;
  uint16_t size_word;
  uint16_t field; /* in struct python_offsets */
  uint16_t alignment;
} debug_fields[] = {
    {DEBUG_TSTATE_CURRENT_FRAME, DEBUG_TSTATE_SIZE, offsetof(struct python_offsets, tstate_frame),
     8},
    {DEBUG_TSTATE_THREAD_ID, DEBUG_TSTATE_SIZE, offsetof(struct python_offsets, tstate_thread_id),
     8},
    {DEBUG_TSTATE_NATIVE_ID, DEBUG_TSTATE_SIZE, offsetof(struct python_offsets, tstate_native_id),
     8},
    {DEBUG_FRAME_PREVIOUS, DEBUG_FRAME_SIZE, offsetof(struct python_offsets, frame_back), 8},
    {DEBUG_FRAME_EXECUTABLE, DEBUG_FRAME_SIZE, offsetof(struct python_offsets, frame_code), 8},
    {DEBUG_FRAME_INSTR_PTR, DEBUG_FRAME_SIZE, offsetof(struct python_offsets, frame_instr), 8},
    {DEBUG_FRAME_OWNER, DEBUG_FRAME_SIZE, offsetof(struct python_offsets, frame_owner), 1},
    {DEBUG_CODE_FILENAME, DEBUG_CODE_SIZE, offsetof(struct python_offsets, code_filename), 8},
    {DEBUG_CODE_NAME, DEBUG_CODE_SIZE, offsetof(struct python_offsets, code_name), 8},
    {DEBUG_CODE_QUALNAME, DEBUG_CODE_SIZE, offsetof(struct python_offsets, code_qualname), 8},
    {DEBUG_CODE_LINETABLE, DEBUG_CODE_SIZE, offsetof(struct python_offsets, code_linetable), 8},
    {DEBUG_CODE_FIRSTLINENO, DEBUG_CODE_SIZE, offsetof(struct python_offsets, code_firstlineno), 4},
    {DEBUG_CODE_ADAPTIVE, DEBUG_CODE_SIZE, offsetof(struct python_offsets, code_adaptive), 2},
    {DEBUG_BYTES_LENGTH, DEBUG_BYTES_SIZE, offsetof(struct python_offsets, bytes_length), 8},
    {DEBUG_BYTES_DATA, DEBUG_BYTES_SIZE, offsetof(struct python_offsets, bytes_data), 1},
    {DEBUG_STRING_STATE, DEBUG_STRING_SIZE, offsetof(struct python_offsets, string_state), 4},
    {DEBUG_STRING_LENGTH, DEBUG_STRING_SIZE, offsetof(struct python_offsets, string_length), 8},
    {DEBUG_STRING_ASCII, DEBUG_STRING_SIZE, offsetof(struct python_offsets, string_ascii), 8},
};

/* No object described here is larger in any release. */
#define OBJECT_BYTES_MAX 4096

static bool take_debug_fields(struct python_offsets *offsets, const uint64_t *words) {
  for (size_t i = 0; i < sizeof(debug_fields) / sizeof(debug_fields[0]); i++) {
    uint64_t offset = words[debug_fields[i].word];
    uint64_t object_bytes = words[debug_fields[i].size_word];
    if (object_bytes > OBJECT_BYTES_MAX || offset >= object_bytes ||
        offset % debug_fields[i].alignment)
      return false;
    uint16_t value = (uint16_t)offset;
    memcpy((char *)offsets + debug_fields[i].field, &value, sizeof(value));
  }
  return true;
}

/* The description has no word for the key's place. It stands behind the list of interpreters, so
 * that what moved the one by some words has moved the other; a move that is not small is none. */
static bool shift_key(struct python_offsets *offsets, const uint64_t *words) {
  int64_t known_head = 632; /* 3.13.0 */
  int64_t shift = (int64_t)words[DEBUG_INTERPRETERS_HEAD] - known_head;
  if (words[DEBUG_INTERPRETERS_HEAD] > OBJECT_BYTES_MAX || shift % 8)
    return false;
  offsets->autotss_key = (uint16_t)(offsets->autotss_key + shift);
  return true;
}

bool cpython_offsets_refine(struct python_offsets *offsets, uint32_t version, const void *bytes,
                            size_t size) {
  uint64_t words[DEBUG_WORDS];
  struct python_offsets refined;
  const struct python_offsets *row = cpython_offsets(version);
  if (version != 0x030d || !row || size < sizeof(words))
    return false;
  memcpy(words, bytes, sizeof(words));
  if (memcmp(words, "xdebugpy", 8) != 0 || words[DEBUG_VERSION] >> 16 != version ||
      words[DEBUG_FREE_THREADED] != 0)
    return false;
  refined = *row;
  if (!take_debug_fields(&refined, words) || !shift_key(&refined, words))
    return false;
  refined.string_compact = (uint16_t)(refined.string_ascii + 16); /* utf8_length, utf8 */
  *offsets = refined;
  return true;
}
