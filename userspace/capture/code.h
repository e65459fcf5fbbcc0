/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Python code objects of a capture: their names, and the line of each instruction seen. */
#ifndef RAGPROF_CAPTURE_CODE_H
#define RAGPROF_CAPTURE_CODE_H

#include <stddef.h>
#include <stdint.h>

#include "ragprof.h"
#include "trace/writer.h"

struct code_store;

int code_store_new(struct code_store **out, struct trace_writer *writer);
void code_store_free(struct code_store *store);

/* Takes a code object in. Reads the rest of a long line table from the process, if it is still
 * there. Events shorter than they claim are ignored. */
void code_store_add(struct code_store *store, const struct event_code *event, size_t bytes);

/* The trace frame of an instruction, `address` bytes into the code; a frame that says so when the
 * code object was lost; 0 for one that the interpreter pushes for itself, which is not shown. */
uint32_t code_store_frame(struct code_store *store, uint32_t code_id, int32_t address);

#endif
