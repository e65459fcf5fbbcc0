/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rows for functions that have no CFI, by following their instructions. */
#ifndef RAGPROF_UNWIND_EHFRAME_CODE_H
#define RAGPROF_UNWIND_EHFRAME_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ragprof.h"

struct cfi_sink;

/* The largest function that is followed. */
#define CODE_BYTES_MAX (256u << 10)

/* Memory for following one function after another: of so many bytes, of any content. */
struct code_scratch;
size_t ehframe_code_scratch_bytes(void);

/* Follows a function from its entry. False when it cannot be followed. */
bool ehframe_code_follow(struct code_scratch *scratch, const uint8_t *code, uint32_t bytes);

/* The row of the instruction that begins at that byte of the function followed last; its pc is the
 * instruction's length. False where none begins, as far as is known. */
bool ehframe_code_row(const struct code_scratch *scratch, uint32_t at, struct unwind_row *row);

/* ---- for tables (ehframe_gap.c) ---- */

/* NULL when there is no memory. */
struct code_scratch *ehframe_code_scratch_new(void);
void ehframe_code_scratch_free(struct code_scratch *scratch);

/* Follows a function from its entry and puts its rows; `begin` is its first pc, relative to the
 * table's base. False, and nothing put, when it cannot be followed. */
bool ehframe_code_rows(struct cfi_sink *sink, struct code_scratch *scratch, const uint8_t *code,
                       uint32_t bytes, uint32_t begin);

#endif
