/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rows of functions that have no CFI, such as the kernels of numeric libraries, by following their
 * code: of those that are exported, as other symbols are not in memory. Keeps the functions that
 * were followed last. */
#include <string.h>

#include "unwind.h"
#include "unwind/ehframe_code.h"

/* What the kernels of one program have at once. */
#define FUNCTIONS_MAX 8

#define INSTRUCTION_BYTES_MAX 15

struct followed {
  uint64_t begin;
  uint64_t end;
  uint32_t epoch; /* shim_rows_epoch */
  bool is_sound;  /* it could be followed */
  struct code_scratch *scratch;
};

static struct followed functions[FUNCTIONS_MAX];
static uint32_t next_function;
static uint32_t following; /* a lock that is only tried */

static struct followed *find_followed(uint64_t pc) {
  for (uint32_t i = 0; i < FUNCTIONS_MAX; i++)
    if (functions[i].scratch && pc >= functions[i].begin && pc < functions[i].end &&
        functions[i].epoch == shim_rows_epoch)
      return &functions[i];
  return NULL;
}

/* NULL: no symbol says where the function is, or there is no memory. */
static struct followed *follow(const struct shim_object *object, uint64_t pc, uint64_t limit) {
  struct followed *function = &functions[next_function++ % FUNCTIONS_MAX];
  uint64_t begin, end;

  if (!shim_function_at(object, pc, &begin, &end))
    return NULL;
  if (end > limit)
    end = limit;
  if (!function->scratch)
    function->scratch = shim_map(ehframe_code_scratch_bytes());
  if (!function->scratch || begin >= end || end - begin > CODE_BYTES_MAX ||
      shim_object_segment_end(object, begin) < end)
    return NULL;
  function->begin = begin;
  function->end = end;
  function->epoch = shim_rows_epoch;
  function->is_sound =
      ehframe_code_follow(function->scratch, (const uint8_t *)begin, (uint32_t)(end - begin));
  return function;
}

/* The row of the instruction that holds the pc. */
static struct unwind_row row_in(const struct followed *function, uint64_t pc) {
  uint32_t at = (uint32_t)(pc - function->begin);
  struct unwind_row row;

  for (uint32_t back = 0; back < INSTRUCTION_BYTES_MAX && back <= at; back++)
    if (ehframe_code_row(function->scratch, at - back, &row) && row.pc > back)
      return row;
  return (struct unwind_row){.rbp = ROW_RBP_SAME, .type = ROW_INVALID};
}

bool shim_gap_row(const struct shim_object *object, uint64_t pc, uint64_t limit,
                  struct unwind_row *row) {
  if (__atomic_exchange_n(&following, 1, __ATOMIC_ACQUIRE))
    return false;
  struct followed *function = find_followed(pc);
  if (!function)
    function = follow(object, pc, limit);
  if (function && function->is_sound)
    *row = row_in(function, pc);
  __atomic_store_n(&following, 0, __ATOMIC_RELEASE);
  return true;
}

void shim_gaps_restart(void) {
  __atomic_store_n(&following, 0, __ATOMIC_RELEASE);
}
