/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the shim that take stacks share: loaded objects (modules.c), the row of a pc
 * (rows.c), code objects (codes.c), and reading memory that may not be there. All of it is
 * async-signal-safe and keeps errno. */
#ifndef RAGPROF_PRELOAD_UNWIND_H
#define RAGPROF_PRELOAD_UNWIND_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim.h"
#include "sys.h"

#define SHIM_PAGE_BYTES 4096ull

/* User addresses are below it on x86-64 with four levels of page tables, which is all that mmap
 * gives without being asked for more. */
#define SHIM_ADDRESS_MAX (1ull << 47)

/* Whether the page that an aligned word lies in can be read: the kernel copies the set before it
 * looks at `how` (kernel/signal.c, rt_sigprocmask), so that a bad one tells. Any sandbox lets this
 * call through, as it could not have signals otherwise. */
static inline bool shim_is_readable(uint64_t address) {
  return address < SHIM_ADDRESS_MAX &&
         shim_syscall(SYS_rt_sigprocmask, -1, address, 0, 8) == -EINVAL;
}

/* One round of the hash of stacks. */
#define SHIM_FACTOR 0x9e3779b97f4a7c15ull /* 2^64 divided by the golden ratio */

static inline uint64_t shim_hash(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * SHIM_FACTOR;
  return hash ^ (hash >> 29);
}

/* ---- modules.c ---- */

/* An ELF object that the dynamic linker has loaded. */
struct shim_object {
  uint64_t start; /* of all that it mapped */
  uint64_t end;
  uint64_t bias;     /* run-time address minus virtual address of the file */
  const char *name;  /* as the dynamic linker has it: "" for the executable */
  const void *phdrs; /* Elf64_Phdr; NULL where its headers are not mapped */
  uint32_t phdr_count;
  uint64_t eh_frame_hdr; /* 0: none */
};

/* The object that holds a pc. False: none does. */
bool shim_object_find(uint64_t pc, struct shim_object *object);
/* The end of the segment of the object that an address lies in; 0: it lies in none. */
uint64_t shim_object_segment_end(const struct shim_object *object, uint64_t address);
/* Puts the object in region.modules[], once. False: another thread is at it, try again later. */
bool shim_object_publish(const struct shim_object *object);
/* Something was unloaded: what is published may not be there. */
void shim_objects_unloaded(void);
/* A fork's child: whoever was at it is not there. */
void shim_objects_restart(void);

/* ---- symbols.c ---- */

/* The first definition of a name among the loaded objects, in their order; NULL: there is none. Not
 * for signal handlers. */
void *shim_loaded_symbol(const char *name);

/* The exported function of the object that a pc lies in, from and up to where. Safe for signal
 * handlers; looks at every symbol. */
bool shim_function_at(const struct shim_object *object, uint64_t pc, uint64_t *begin,
                      uint64_t *end);

/* ---- gaps.c ---- */

struct unwind_row;

/* The row of a pc that no CFI covers, by following the code of its function, which ends before
 * `limit`. False: another thread is at it, try again later. */
bool shim_gap_row(const struct shim_object *object, uint64_t pc, uint64_t limit,
                  struct unwind_row *row);
/* As shim_objects_restart. */
void shim_gaps_restart(void);

/* ---- rows.c ----
 *
 * The rule for the frame at a pc (of a caller: the return address less one), one word per pc, so
 * that it is read whole without a lock:
 *
 *   1 | pc >> 16 (31 bits) | cfa (16) | rbp (8) | type (8)       as in struct unwind_row
 *
 * The other 16 bits of the pc, mixed with the upper ones, are the word's place in the table. */
#define SHIM_ROWS 65536u

extern uint64_t *shim_rows; /* NULL before the first one */

static inline uint64_t shim_row_tag(uint64_t pc) {
  return 1ull << 63 | (pc >> 16) << 32;
}

static inline uint32_t shim_row_place(uint64_t pc) {
  return (uint32_t)(pc ^ pc >> 16) & (SHIM_ROWS - 1);
}

static inline uint16_t shim_row_cfa(uint64_t word) {
  return (uint16_t)(word >> 16);
}

static inline int8_t shim_row_rbp(uint64_t word) {
  return (int8_t)(word >> 8);
}

static inline uint8_t shim_row_type(uint64_t word) {
  return (uint8_t)word;
}

/* Decodes the rule, and keeps it. 0: no object holds the pc. */
uint64_t shim_row_find(uint64_t pc);

static inline uint64_t shim_row(uint64_t pc) {
  const uint64_t *table = __atomic_load_n(&shim_rows, __ATOMIC_ACQUIRE);
  uint64_t word = SHIM_LIKELY(table != NULL)
                      ? __atomic_load_n(&table[shim_row_place(pc)], __ATOMIC_RELAXED)
                      : 0;

  return SHIM_LIKELY((word ^ shim_row_tag(pc)) >> 32 == 0) ? word : shim_row_find(pc);
}

/* Grows when rows that a walk may remember no longer hold. */
extern uint32_t shim_rows_epoch;

/* The region that the objects of these pcs are published in; another one needs them again. */
extern uint32_t shim_rows_serial;
void shim_rows_renew(void);

/* ---- codes.c ---- */

struct python_offsets;

/* What tells a code object from another one that takes its address later. */
struct shim_code {
  uint64_t address;
  uint64_t file; /* str objects, bytes, and what is in them */
  uint64_t file_print;
  uint64_t name;
  uint64_t name_print;
  uint64_t lines;
  uint64_t lines_print;
  uint32_t first_line;
};

/* The index in region.codes[] plus 1; 0: it could not be kept. */
uint32_t shim_code_index(const struct shim_code *code, const struct python_offsets *offsets);

#endif
