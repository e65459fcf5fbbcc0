/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns region.codes[]: the Python code objects that frames were seen in, each published once, with
 * its names and its line table. Lock-free, so that a signal handler may publish, too; asks for
 * every page before it reads it, as this happens once per code object. */
#include <string.h>

#include "ragprof.h"
#include "unwind.h"

/* Longer ones are cut: more than the collector shows. */
#define NAME_BYTES_MAX 4096u
#define LINES_BYTES_MAX (1u << 20)

/* ---- the numbers of code objects ----
 *
 * Open addressing; a word is the upper bits of a hash of struct shim_code, and the index plus 1. */
#define CODE_SLOTS (4u * REGION_CODES_MAX)
#define CODE_BITS 17
#define CODE_MASK ((1ull << CODE_BITS) - 1)
_Static_assert(REGION_CODES_MAX < CODE_MASK, "an index plus 1 fits");

/* The same of texts: bits of a hash of the text, and where it is in text[]. */
#define TEXT_SLOTS 32768u
#define PROBES_MAX 16

struct tables {
  uint64_t codes[CODE_SLOTS];
  uint64_t texts[TEXT_SLOTS];
};

static struct tables *tables;
static uint32_t tables_serial;

/* Empty ones for a new region. NULL when there is no memory. */
static struct tables *get_tables(void) {
  struct tables *known = __atomic_load_n(&tables, __ATOMIC_ACQUIRE), *fresh;

  if (SHIM_LIKELY(known && tables_serial == shim_region_serial))
    return known;
  fresh = shim_map(sizeof(*fresh));
  if (!fresh)
    return NULL;
  if (known) /* this is a fork's child, and its only thread */
    shim_unmap(known, sizeof(*known));
  tables_serial = shim_region_serial;
  if (__atomic_compare_exchange_n(&tables, &known, fresh, false, __ATOMIC_ACQ_REL,
                                  __ATOMIC_ACQUIRE))
    return fresh;
  shim_unmap(fresh, sizeof(*fresh));
  return known;
}

/* ---- reading objects ---- */

static bool may_read(uint64_t address, uint64_t bytes) {
  uint64_t end;

  if (__builtin_add_overflow(address, bytes, &end))
    return false;
  for (uint64_t page = address & ~(SHIM_PAGE_BYTES - 1); page < end; page += SHIM_PAGE_BYTES)
    if (!shim_is_readable(page))
      return false;
  return true;
}

static uint32_t read_u32(uint64_t address) {
  return *(const uint32_t *)address;
}

static uint64_t read_u64(uint64_t address) {
  return *(const uint64_t *)address;
}

/* ---- texts ---- */

/* The place of the bytes in text[], which they may share with equal ones. */
static uint32_t intern(struct tables *known, const uint8_t *data, uint32_t bytes) {
  uint64_t hash = bytes;

  for (uint32_t i = 0; i < bytes; i++)
    hash = shim_hash(hash, data[i]);
  for (uint32_t i = 0; i < PROBES_MAX; i++) {
    uint64_t *slot = &known->texts[(hash + i) % TEXT_SLOTS];
    uint64_t word = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
    if (!word) {
      uint32_t off = shim_region_text(data, bytes);
      if (off != UINT32_MAX)
        __atomic_store_n(slot, (hash | 1ull << 63) >> 32 << 32 | off, __ATOMIC_RELEASE);
      return off;
    }
    if (word >> 32 == (hash | 1ull << 63) >> 32 &&
        !memcmp(shim_region->text + (uint32_t)word, data, bytes))
      return (uint32_t)word;
  }
  return shim_region_text(data, bytes);
}

/* A str (PEP 393). Left unreadable where it is of the form that 3.11 and earlier keep elsewhere. */
static struct region_text put_str(struct tables *known, uint64_t string,
                                  const struct python_offsets *o) {
  struct region_text text = {.kind = 0};

  if (!may_read(string, o->string_compact))
    return text;
  uint32_t state = read_u32(string + o->string_state);
  uint32_t kind = state >> 2 & 7;
  bool is_compact = state & 1 << 5, is_ascii = state & 1 << 6;
  uint64_t length = read_u64(string + o->string_length);
  uint64_t data = string + (is_ascii ? o->string_ascii : o->string_compact);
  if (!is_compact || (kind != 1 && kind != 2 && kind != 4))
    return text;
  if (length > NAME_BYTES_MAX / kind)
    length = NAME_BYTES_MAX / kind;
  if (!may_read(data, length * kind))
    return text;
  text.off = intern(known, (const uint8_t *)data, (uint32_t)length * kind);
  text.length = text.off != UINT32_MAX ? (uint32_t)length : 0;
  text.kind = text.off != UINT32_MAX ? kind : 0;
  return text;
}

static void put_lines(struct region_code *to, uint64_t lines, const struct python_offsets *o) {
  if (!may_read(lines, o->bytes_data))
    return;
  uint64_t bytes = read_u64(lines + o->bytes_length);
  if (bytes > LINES_BYTES_MAX)
    bytes = LINES_BYTES_MAX;
  if (!bytes || !may_read(lines + o->bytes_data, bytes))
    return;
  uint32_t off = shim_region_text((const void *)(lines + o->bytes_data), bytes);
  if (off == UINT32_MAX)
    return;
  to->lines_off = off;
  to->lines_bytes = (uint32_t)bytes;
}

/* ---- code objects ---- */

/* An index of its own; REGION_CODES_MAX when all are taken. */
static uint32_t reserve(struct region *region) {
  uint32_t count = __atomic_load_n(&region->code_count, __ATOMIC_RELAXED);

  do
    if (count >= REGION_CODES_MAX ||
        !shim_region_room(&region->codes[count], sizeof(region->codes[count])))
      return REGION_CODES_MAX;
  while (!__atomic_compare_exchange_n(&region->code_count, &count, count + 1, true,
                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return count;
}

static uint32_t publish(struct tables *known, const struct shim_code *code,
                        const struct python_offsets *o) {
  struct region *region = shim_region;
  uint32_t index = reserve(region);

  if (index == REGION_CODES_MAX) {
    __atomic_add_fetch(&region->lost_codes, 1, __ATOMIC_RELAXED);
    return 0;
  }
  struct region_code *to = &region->codes[index];
  uint64_t name = code->name;
  if (o->code_qualname != OFFSET_NONE)
    name = read_u64(code->address + o->code_qualname);
  to->name = put_str(known, name, o);
  to->file = put_str(known, code->filename, o);
  to->first_line = code->first_line;
  to->flags = read_u32(code->address + o->code_flags);
  to->version = o->version;
  put_lines(to, code->lines, o);
  __atomic_store_n(&to->state, 1, __ATOMIC_RELEASE);
  return index + 1;
}

static uint64_t hash_of(const struct shim_code *code) {
  uint64_t hash = shim_hash(code->address, code->filename);

  hash = shim_hash(hash, code->name);
  hash = shim_hash(hash, code->name_hash);
  hash = shim_hash(hash, code->lines);
  return shim_hash(hash, code->first_line);
}

uint32_t shim_code_index(const struct shim_code *code, const struct python_offsets *offsets) {
  struct tables *known = get_tables();
  uint64_t hash = hash_of(code), index = 0;

  if (!known)
    return 0;
  for (uint32_t i = 0; i < PROBES_MAX; i++) {
    uint64_t *slot = &known->codes[(hash + i) % CODE_SLOTS];
    uint64_t word = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
    if (!word) {
      if (!index)
        index = publish(known, code, offsets);
      if (!index || __atomic_compare_exchange_n(slot, &word, (hash & ~CODE_MASK) | index, false,
                                                __ATOMIC_RELEASE, __ATOMIC_ACQUIRE))
        return (uint32_t)index;
    }
    if ((word ^ hash) >> CODE_BITS == 0)
      return (uint32_t)(word & CODE_MASK);
  }
  __atomic_add_fetch(&shim_region->lost_codes, 1, __ATOMIC_RELAXED);
  return 0;
}
