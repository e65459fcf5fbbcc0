/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the rule of each pc: decoded from the object's .eh_frame when the pc is first met, then kept
 * in a table of the process. Decodes one function at a time, and allocates nothing but the table.
 */
#include <string.h>
#include <sys/mman.h>

#include "unwind.h"
#include "unwind/ehframe_internal.h"

uint64_t *shim_rows;
uint32_t shim_rows_serial;
uint32_t shim_rows_epoch = 1;

/* NULL when there is no memory for it. */
static uint64_t *get_table(void) {
  uint64_t *known = __atomic_load_n(&shim_rows, __ATOMIC_ACQUIRE), *fresh;

  if (known)
    return known;
  fresh = shim_map(SHIM_ROWS * sizeof(*fresh));
  if (!fresh || __atomic_compare_exchange_n(&shim_rows, &known, fresh, false, __ATOMIC_ACQ_REL,
                                            __ATOMIC_ACQUIRE))
    return fresh;
  shim_unmap(fresh, SHIM_ROWS * sizeof(*fresh));
  return known;
}

static void forget(void) {
  size_t bytes = SHIM_ROWS * sizeof(*shim_rows);

  if (shim_rows && shim_syscall(SYS_madvise, shim_rows, bytes, MADV_DONTNEED) < 0)
    memset(shim_rows, 0, bytes);
  __atomic_add_fetch(&shim_rows_epoch, 1, __ATOMIC_RELEASE);
}

void shim_rows_renew(void) {
  shim_rows_serial = shim_region_serial;
  shim_objects_restart();
  shim_gaps_restart();
  forget();
}

void shim_modules_changed(bool unloaded) {
  if (!unloaded)
    return; /* what was loaded is found when it is met */
  shim_objects_unloaded();
  forget();
}

/* ---- decoding ---- */

/* .eh_frame_hdr (LSB core, 10.6.2), in the only form with a table that linkers write: the table's
 * entries are pairs of 32-bit offsets from the header. */
struct header {
  uint64_t address;
  uint64_t eh_frame;
  const int32_t *entries; /* begin of the function, its FDE */
  uint32_t count;
};

#define ENCODING_UDATA4 0x03
#define ENCODING_TABLE 0x3b /* relative to the header, signed, 32 bits */

static bool read_header(struct header *header, uint64_t address, uint64_t end) {
  struct cursor cursor = cursor_of((const void *)address, end - address);
  const uint8_t *encodings = cursor_bytes(&cursor, 4); /* the first is the version */

  if (!encodings || encodings[0] != 1 || encodings[2] != ENCODING_UDATA4 ||
      encodings[3] != ENCODING_TABLE ||
      !ehframe_pointer(&cursor, encodings[1], address + 4, &header->eh_frame))
    return false;
  header->address = address;
  header->count = cursor_u32(&cursor);
  header->entries = (const int32_t *)cursor_bytes(&cursor, header->count * 8ull);
  return header->entries != NULL;
}

/* The FDE of the last function that begins at or before pc, 0 where none does; and where the next
 * one begins, UINT64_MAX where none does. */
static uint64_t find_fde(const struct header *header, uint64_t pc, uint64_t *next) {
  uint32_t low = 0, high = header->count;

  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (header->address + (uint64_t)(int64_t)header->entries[2 * middle] <= pc)
      low = middle + 1;
    else
      high = middle;
  }
  *next = low < header->count ? header->address + (uint64_t)(int64_t)header->entries[2 * low]
                              : UINT64_MAX;
  return low ? header->address + (uint64_t)(int64_t)header->entries[2 * low - 1] : 0;
}

struct wanted {
  uint32_t pc;
  struct unwind_row row;
};

static void take_row(void *ctx, struct unwind_row row, bool is_supported) {
  struct wanted *wanted = ctx;

  (void)is_supported; /* the row is invalid then */
  if (row.pc <= wanted->pc)
    wanted->row = row;
}

/* Runs the program of the FDE at `offset` of the section up to the pc. */
static bool run_fde(struct wanted *wanted, const struct ehframe_section *section, uint64_t offset,
                    uint64_t base) {
  struct cfi_entry entry;
  struct cfi_cie cie;
  struct cfi_fde fde;

  if (offset >= section->bytes || !ehframe_entry_read(&entry, section, offset) || !entry.id ||
      entry.id > entry.id_offset)
    return false;
  ehframe_cie_parse(&cie, section, entry.id_offset - entry.id);
  ehframe_program_initial(&cie);
  return !cie.is_broken && ehframe_fde_read(&fde, section, &entry, &cie, base) &&
         wanted->pc >= fde.begin && wanted->pc < fde.end &&
         ehframe_program_run(&cie, section, &fde, base, fde.end, take_row, wanted);
}

/* The row of a pc of the object; an invalid one where its CFI says nothing of it. *next: where its
 * CFI goes on. */
static struct unwind_row decode(const struct shim_object *object, uint64_t pc, uint64_t *next) {
  static const struct unwind_row none = {.rbp = ROW_RBP_SAME, .type = ROW_INVALID};
  struct wanted wanted = {.pc = (uint32_t)(pc - object->start), .row = none};
  uint64_t end = shim_object_segment_end(object, object->eh_frame_hdr);
  struct header header;

  *next = UINT64_MAX;
  if (pc - object->start > UINT32_MAX || !end || !read_header(&header, object->eh_frame_hdr, end))
    return none;
  uint64_t fde = find_fde(&header, pc, next);
  struct ehframe_section section = {
      .data = (const uint8_t *)header.eh_frame,
      .vaddr = header.eh_frame,
      .is_open_ended = true,
  };
  end = shim_object_segment_end(object, header.eh_frame);
  section.bytes = end ? end - header.eh_frame : 0;
  return run_fde(&wanted, &section, fde - header.eh_frame, object->start) ? wanted.row : none;
}

uint64_t shim_row_find(uint64_t pc) {
  uint64_t *table = get_table(), next;
  struct shim_object object;

  if (!shim_object_find(pc, &object))
    return 0;
  struct unwind_row row = decode(&object, pc, &next);
  bool is_final = row.type != ROW_INVALID || shim_gap_row(&object, pc, next, &row);
  uint64_t word =
      shim_row_tag(pc) | (uint64_t)row.cfa << 16 | (uint64_t)(uint8_t)row.rbp << 8 | row.type;
  if (shim_object_publish(&object) && is_final && table)
    __atomic_store_n(&table[shim_row_place(pc)], word, __ATOMIC_RELAXED);
  return word;
}
