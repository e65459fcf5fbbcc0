/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is known about CPython's structures, by version, and how its line tables read. Owns the
 * table of offsets; the walking itself happens in BPF (bpf/python.h). */
#ifndef RAGPROF_UNWIND_CPYTHON_H
#define RAGPROF_UNWIND_CPYTHON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ragprof.h"

/* Where a running interpreter is, as virtual addresses of its ELF file. */
struct cpython_binary {
  uint32_t version;       /* 0x030b for 3.11 */
  uint32_t micro;         /* 2 for 3.11.2; UINT32_MAX unknown */
  uint64_t runtime_vaddr; /* _PyRuntime */
  uint64_t runtime_bytes;
  uint64_t eval_vaddr; /* _PyEval_EvalFrameDefault */
  uint64_t eval_bytes;
  uint64_t eval_cold_vaddr; /* its part that the compiler moved elsewhere; 0 when there is none */
  uint64_t eval_cold_bytes;
};

/* The bit of co_flags (3.13: CO_NO_MONITORING_EVENTS, Include/cpython/code.h) of a frame that no
 * Python code stands behind: the eval loop pushes one below each __init__ that it calls inline
 * (_Py_InitCleanup in Python/specialize.c). Tracebacks leave it out, and so must stacks. */
#define CPYTHON_CODE_IS_SHIM 0x2000000u

/* Looks for an interpreter in an ELF file (executable or libpython): the two symbols in .dynsym or
 * .symtab, the version from Py_Version (3.11+), else from the path's "python3.N", else from the
 * version text in .rodata. 0 when found; -ENOENT when the file holds no interpreter; -ENOTSUP when
 * its version has no row in the table (the cause is in error_text()). */
int cpython_probe(struct cpython_binary *out, int fd, const char *path);

/* The offsets for a version; NULL when unknown. 3.13 also describes itself: see
 * cpython_offsets_refine. */
const struct python_offsets *cpython_offsets(uint32_t version);

/* 3.13+: takes the offsets from the bytes of _Py_DebugOffsets (the first bytes of _PyRuntime in the
 * target's memory) where they are there and plausible. Returns whether it did. */
bool cpython_offsets_refine(struct python_offsets *offsets, uint32_t version, const void *bytes,
                            size_t size);

/* The line that an instruction belongs to. `table` holds the bytes of co_lnotab (≤ 3.9) or
 * co_linetable; `address` is the byte offset of the instruction as bpf/python.h delivers it
 * (already scaled to bytes for every version). first_line for a negative address (the frame has not
 * started), 0 when the table has no line for it. Hostile bytes are fine. */
uint32_t cpython_line(uint32_t version, const uint8_t *table, size_t bytes, uint32_t first_line,
                      int64_t address);

#endif
