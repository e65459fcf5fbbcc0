/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the rule of each pc: decoded from the object's .eh_frame when the pc is first met, then kept
 * in a table of the process. Decodes one function at a time, and allocates nothing but the table.
 */
#include <string.h>
#include <sys/mman.h>

#include "unwind.h"
#include "unwind/ehframe_internal.h"

/* ---- the table ----
 *
 * A word per pc, so that a read is whole without a lock:
 *
 *   1 | pc >> 16 (31 bits) | cfa (16) | rbp (8) | type (8)
 *
 * The other 16 bits of the pc, mixed with the upper ones, are the word's place. */
#define TABLE_WORDS 65536u
#define TAG_BIT (1ull << 63)

static uint64_t *table;
static uint32_t table_serial; /* of the region that the objects of these pcs are published in */
uint32_t shim_rows_epoch = 1;

static inline uint64_t tag_of(uint64_t pc) {
  return TAG_BIT | (pc >> 16) << 32;
}

static inline uint32_t place_of(uint64_t pc) {
  uint32_t upper = (uint32_t)(pc >> 16);
  return (uint32_t)(pc ^ (upper * 0x9e3779b1u >> 16)) & (TABLE_WORDS - 1);
}

/* NULL when there is no memory for it. */
static uint64_t *get_table(void) {
  uint64_t *known = __atomic_load_n(&table, __ATOMIC_ACQUIRE), *fresh;

  if (SHIM_LIKELY(known != NULL))
    return known;
  fresh = shim_map(TABLE_WORDS * sizeof(*fresh));
  if (!fresh ||
      __atomic_compare_exchange_n(&table, &known, fresh, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
    return fresh;
  shim_unmap(fresh, TABLE_WORDS * sizeof(*fresh));
  return known;
}

static void forget(void) {
  if (table)
    shim_syscall(SYS_madvise, table, TABLE_WORDS * sizeof(*table), MADV_DONTNEED);
  __atomic_add_fetch(&shim_rows_epoch, 1, __ATOMIC_RELEASE);
}

void shim_rows_check(void) {
  if (SHIM_LIKELY(table_serial == shim_region_serial))
    return;
  table_serial = shim_region_serial;
  shim_objects_restart();
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

/* The FDE of the last function that begins at or before pc; 0: none does. */
static uint64_t find_fde(const struct header *header, uint64_t pc) {
  uint32_t low = 0, high = header->count;

  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (header->address + (uint64_t)(int64_t)header->entries[2 * middle] <= pc)
      low = middle + 1;
    else
      high = middle;
  }
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

/* The row of a pc of the object; an invalid one where its CFI says nothing of it. */
static struct unwind_row decode(const struct shim_object *object, uint64_t pc) {
  static const struct unwind_row none = {.rbp = ROW_RBP_SAME, .type = ROW_INVALID};
  struct wanted wanted = {.pc = (uint32_t)(pc - object->start), .row = none};
  uint64_t end = shim_object_segment_end(object, object->eh_frame_hdr);
  struct header header;

  if (pc - object->start > UINT32_MAX || !end || !read_header(&header, object->eh_frame_hdr, end))
    return none;
  uint64_t fde = find_fde(&header, pc);
  struct ehframe_section section = {
      .data = (const uint8_t *)header.eh_frame,
      .vaddr = header.eh_frame,
      .is_open_ended = true,
  };
  end = shim_object_segment_end(object, header.eh_frame);
  section.bytes = end ? end - header.eh_frame : 0;
  return run_fde(&wanted, &section, fde - header.eh_frame, object->start) ? wanted.row : none;
}

static bool find_row(uint64_t pc, uint64_t *words, struct unwind_row *row) {
  struct shim_object object;

  if (!shim_object_find(pc, &object))
    return false;
  *row = decode(&object, pc);
  if (shim_object_publish(&object) && words)
    __atomic_store_n(&words[place_of(pc)],
                     tag_of(pc) | (uint64_t)row->cfa << 16 | (uint64_t)(uint8_t)row->rbp << 8 |
                         row->type,
                     __ATOMIC_RELAXED);
  return true;
}

bool shim_row(uint64_t pc, struct unwind_row *row) {
  uint64_t *words = get_table();

  if (SHIM_LIKELY(words != NULL)) {
    uint64_t word = __atomic_load_n(&words[place_of(pc)], __ATOMIC_RELAXED);
    if (SHIM_LIKELY((word ^ tag_of(pc)) >> 32 == 0)) {
      *row = (struct unwind_row){
          .cfa = (uint16_t)(word >> 16), .rbp = (int8_t)(word >> 8), .type = (uint8_t)word};
      return true;
    }
  }
  return find_row(pc, words, row);
}
