/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns region.codes[]: the Python code that frames were seen in, each published once, with its
 * names and its line table. Code objects that say the same are one, so that a program that compiles
 * the same text again and again keeps its stacks. Lock-free, so that a signal handler may publish,
 * too; asks for every page before it reads it, as this happens once per code object. */
#include <string.h>

#include "ragprof.h"
#include "unwind.h"

/* Longer ones are cut: more than the collector shows. */
#define NAME_BYTES_MAX 4096u
#define LINES_BYTES_MAX (1u << 20)

/* ---- tables ----
 *
 * A word of `codes` and `known` is the upper bits of a hash, and an index in codes[] plus 1. The
 * hash is of what a code object says in `codes`, by open addressing; of where it lies, and what it
 * points to, in `known`, where the last one to come keeps the place. */
#define CODE_SLOTS (4u * REGION_CODES_MAX)
#define KNOWN_SLOTS 65536u
#define CODE_BITS 17
#define CODE_MASK ((1ull << CODE_BITS) - 1)
_Static_assert(REGION_CODES_MAX < CODE_MASK, "an index plus 1 fits");

/* The same of texts: bits of a hash of the text, and where it is in text[]. */
#define TEXT_SLOTS 32768u
#define PROBES_MAX 16

struct tables {
  uint64_t codes[CODE_SLOTS];
  uint64_t known[KNOWN_SLOTS];
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

/* ---- code objects ---- */

/* What a code object says, in its own memory. */
struct text {
  const uint8_t *data; /* NULL: unreadable */
  uint32_t length;     /* code points; bytes of a line table */
  uint32_t kind;       /* bytes each */
};

struct content {
  struct text name; /* qualified where the version has it */
  struct text file;
  struct text lines;
  uint32_t first_line;
  uint32_t flags;
};

/* A str (PEP 393). Left unreadable where it is of the form that 3.11 and earlier keep elsewhere. */
static struct text read_str(uint64_t string, const struct python_offsets *o) {
  struct text text = {.kind = 0};

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
  if (may_read(data, length * kind))
    text = (struct text){.data = (const uint8_t *)data, .length = (uint32_t)length, .kind = kind};
  return text;
}

static struct text read_lines(uint64_t lines, const struct python_offsets *o) {
  struct text text = {.kind = 1};

  if (!may_read(lines, o->bytes_data))
    return text;
  uint64_t bytes = read_u64(lines + o->bytes_length);
  if (bytes > LINES_BYTES_MAX)
    bytes = LINES_BYTES_MAX;
  if (may_read(lines + o->bytes_data, bytes)) {
    text.data = (const uint8_t *)(lines + o->bytes_data);
    text.length = (uint32_t)bytes;
  }
  return text;
}

static struct content read_content(const struct shim_code *code, const struct python_offsets *o) {
  uint64_t name = code->name;

  if (o->code_qualname != OFFSET_NONE)
    name = read_u64(code->address + o->code_qualname);
  return (struct content){
      .name = read_str(name, o),
      .file = read_str(code->file, o),
      .lines = read_lines(code->lines, o),
      .first_line = code->first_line,
      .flags = read_u32(code->address + o->code_flags),
  };
}

static uint64_t hash_text(uint64_t hash, const struct text *text) {
  uint32_t bytes = text->data ? text->length * text->kind : 0, at = 0;

  hash = shim_hash(hash, (uint64_t)bytes << 3 | text->kind);
  for (; at + 8 <= bytes; at += 8) {
    uint64_t word;
    memcpy(&word, text->data + at, sizeof(word));
    hash = shim_hash(hash, word);
  }
  for (; at < bytes; at++)
    hash = shim_hash(hash, text->data[at]);
  return hash;
}

static uint64_t hash_content(const struct content *content) {
  uint64_t hash = hash_text(content->first_line, &content->name);

  hash = hash_text(hash, &content->file);
  hash = hash_text(hash, &content->lines);
  return shim_hash(hash, content->flags);
}

static uint64_t hash_place(const struct shim_code *code) {
  const uint64_t words[] = {code->file,  code->file_print,  code->name,      code->name_print,
                            code->lines, code->lines_print, code->first_line};
  uint64_t hash = code->address;

  for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
    hash = shim_hash(hash, words[i]);
  return hash;
}

/* ---- publishing ---- */

/* The place of a text in text[], which it may share with equal ones; UINT32_MAX: it is full. */
static uint32_t intern(struct tables *to, const struct text *text) {
  uint32_t bytes = text->length * text->kind;
  uint64_t hash = hash_text(0, text), tag = (hash | 1ull << 63) >> 32;

  for (uint32_t i = 0; i < PROBES_MAX; i++) {
    uint64_t *slot = &to->texts[(hash + i) % TEXT_SLOTS];
    uint64_t word = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
    if (!word) {
      uint32_t off = shim_region_text(text->data, bytes);
      if (off != UINT32_MAX)
        __atomic_store_n(slot, tag << 32 | off, __ATOMIC_RELEASE);
      return off;
    }
    uint64_t end = (uint64_t)(uint32_t)word + bytes;
    if (word >> 32 == tag && end <= __atomic_load_n(&shim_region->text_bytes, __ATOMIC_RELAXED) &&
        !memcmp(shim_region->text + (uint32_t)word, text->data, bytes))
      return (uint32_t)word;
  }
  return shim_region_text(text->data, bytes);
}

static struct region_text put_text(struct tables *to, const struct text *text) {
  struct region_text put = {.kind = 0};

  if (!text->data)
    return put;
  put.off = intern(to, text);
  if (put.off == UINT32_MAX)
    return (struct region_text){.kind = 0};
  put.length = text->length;
  put.kind = text->kind;
  return put;
}

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

/* Its index plus 1; 0: there is no room. */
static uint32_t publish(struct tables *in, const struct content *content, uint32_t version) {
  struct region *region = shim_region;
  uint32_t index = reserve(region);

  if (index == REGION_CODES_MAX)
    return 0;
  struct region_code *to = &region->codes[index];
  struct region_text lines = put_text(in, &content->lines);
  to->name = put_text(in, &content->name);
  to->file = put_text(in, &content->file);
  to->first_line = content->first_line;
  to->flags = content->flags;
  to->lines_off = lines.off;
  to->lines_bytes = lines.length;
  to->version = version;
  __atomic_store_n(&to->state, 1, __ATOMIC_RELEASE);
  return index + 1;
}

static uint32_t find_content(struct tables *in, const struct content *content, uint32_t version) {
  uint64_t hash = hash_content(content), index = 0;

  for (uint32_t i = 0; i < PROBES_MAX; i++) {
    uint64_t *slot = &in->codes[(hash + i) % CODE_SLOTS];
    uint64_t word = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
    if (!word) {
      if (!index)
        index = publish(in, content, version);
      if (!index || __atomic_compare_exchange_n(slot, &word, (hash & ~CODE_MASK) | index, false,
                                                __ATOMIC_RELEASE, __ATOMIC_ACQUIRE))
        return (uint32_t)index;
    }
    if ((word ^ hash) >> CODE_BITS == 0)
      return (uint32_t)(word & CODE_MASK);
  }
  return 0;
}

uint32_t shim_code_index(const struct shim_code *code, const struct python_offsets *offsets) {
  struct tables *all = get_tables();

  if (!all)
    return 0;
  uint64_t place = hash_place(code);
  uint64_t *known = &all->known[place % KNOWN_SLOTS];
  uint64_t word = __atomic_load_n(known, __ATOMIC_ACQUIRE);
  if (word && (word ^ place) >> CODE_BITS == 0)
    return (uint32_t)(word & CODE_MASK);
  struct content content = read_content(code, offsets);
  uint32_t index = find_content(all, &content, offsets->version);
  if (index)
    __atomic_store_n(known, (place & ~CODE_MASK) | index, __ATOMIC_RELEASE);
  else
    __atomic_add_fetch(&shim_region->lost_codes, 1, __ATOMIC_RELAXED);
  return index;
}
