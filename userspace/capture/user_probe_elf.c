/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the search for functions in symbol tables and in .eh_frame_hdr, and their suggestions. */
#include "capture/user_probe_elf.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "symbol/symbol.h"

#define SUGGESTIONS_MAX 3
#define TABLE_BYTES_MAX (1u << 30)
#define NAME_BYTES_MAX 4096
#define HEADER_TABLE 12 /* of .eh_frame_hdr: bytes before the sorted table */

/* ---- the file ---- */

static void look_at_symbol(void *context, const struct probe_function *function) {
  struct probe_elf *elf = context;
  elf->has_unwinder |= !strcmp(function->raw, "_Unwind_RaiseException");
}

typedef void (*function_fn)(void *context, const struct probe_function *function);

/* A symbol that may be called; "FUNCTION@@VERSION" loses its version in neither table. */
static bool function_of(struct probe_elf *elf, const GElf_Sym *symbol, const Elf_Data *strings,
                        struct probe_function *function) {
  int type = GELF_ST_TYPE(symbol->st_info);
  if ((type != STT_FUNC && type != STT_GNU_IFUNC) || symbol->st_shndx == SHN_UNDEF)
    return false;
  *function = (struct probe_function){.vaddr = symbol->st_value,
                                      .bytes = symbol->st_size,
                                      .raw = image_text(strings, symbol->st_name),
                                      .is_indirect = type == STT_GNU_IFUNC};
  function->shown = function->raw;
  return function->raw && *function->raw && probe_elf_offset(elf, symbol->st_value);
}

static void each_in(struct probe_elf *elf, uint32_t type, function_fn callback, void *context) {
  GElf_Shdr header;
  Elf_Scn *section = image_section_of_type(elf->image.elf, type, &header);
  Elf_Scn *names = section ? elf_getscn(elf->image.elf, header.sh_link) : NULL;
  Elf_Data *data = section ? image_data(section, TABLE_BYTES_MAX) : NULL;
  Elf_Data *strings = names ? image_data(names, TABLE_BYTES_MAX) : NULL;
  GElf_Sym symbol;
  struct probe_function function;
  for (int i = 1; data && strings && gelf_getsym(data, i, &symbol); i++)
    if (function_of(elf, &symbol, strings, &function))
      callback(context, &function);
}

static void each_function(struct probe_elf *elf, function_fn callback, void *context) {
  each_in(elf, SHT_SYMTAB, callback, context);
  each_in(elf, SHT_DYNSYM, callback, context);
}

int probe_elf_open(struct probe_elf *elf, int fd, const char *path) {
  GElf_Shdr header;
  *elf = (struct probe_elf){.fd = fd, .path = path};
  int result = image_open(&elf->image, fd, path);
  if (result)
    return result;
  elf->is_go = image_section(elf->image.elf, ".gopclntab", &header) ||
               image_section(elf->image.elf, ".note.go.buildid", &header);
  each_function(elf, look_at_symbol, elf);
  return 0;
}

void probe_elf_close(struct probe_elf *elf) {
  image_close(&elf->image);
}

uint64_t probe_elf_offset(struct probe_elf *elf, uint64_t vaddr) {
  size_t count;
  GElf_Phdr header;
  if (elf_getphdrnum(elf->image.elf, &count))
    return 0;
  for (size_t i = 0; i < count; i++)
    if (gelf_getphdr(elf->image.elf, (int)i, &header) && header.p_type == PT_LOAD &&
        header.p_flags & PF_X && vaddr - header.p_vaddr < header.p_filesz)
      return vaddr - header.p_vaddr + header.p_offset;
  return 0;
}

static bool vaddr_of(struct probe_elf *elf, uint64_t offset, uint64_t *vaddr) {
  size_t count;
  GElf_Phdr header;
  if (elf_getphdrnum(elf->image.elf, &count))
    return false;
  for (size_t i = 0; i < count; i++)
    if (gelf_getphdr(elf->image.elf, (int)i, &header) && header.p_type == PT_LOAD &&
        header.p_flags & PF_X && offset - header.p_offset < header.p_filesz) {
      *vaddr = offset - header.p_offset + header.p_vaddr;
      return true;
    }
  return false;
}

/* ---- names ---- */

bool probe_is_pattern(const char *name) {
  return strpbrk(name, "*?[") != NULL;
}

static bool is_mangled(const char *raw) {
  return (raw[0] == '_' && (raw[1] == 'Z' || raw[1] == 'R')) && raw[2];
}

/* Cuts "(long, float*) const" and "[clone .isra.0]" off: the first parenthesis that is not part of
 * the name, as in "operator()" or "(anonymous namespace)". */
static void cut_parameters(char *name) {
  static const char *const parts[] = {"(anonymous namespace)", "operator()"};
  for (char *at = strchr(name, '('); at; at = strchr(at + 1, '(')) {
    size_t i = 0;
    for (; i < sizeof(parts) / sizeof(parts[0]); i++) {
      size_t before = (size_t)(strchr(parts[i], '(') - parts[i]);
      if ((size_t)(at - name) >= before && !strncmp(at - before, parts[i], strlen(parts[i])))
        break;
    }
    if (i == sizeof(parts) / sizeof(parts[0])) {
      *at = '\0';
      return;
    }
    at = strchr(at, ')');
    if (!at)
      return;
  }
}

static bool is_same(const char *wanted, const char *name, bool is_pattern) {
  return is_pattern ? !fnmatch(wanted, name, 0) : !strcmp(wanted, name);
}

/* "f.isra.0" and "f.constprop.1" are f as it was compiled; "f.cold" is a piece of it. */
static bool is_piece(const char *raw) {
  return strstr(raw, ".cold") || strstr(raw, ".part.");
}

struct match {
  const char *wanted;
  bool is_pattern;
  char literal[128]; /* the longest word of it, which a mangled name holds as it is */
  struct hash seen;
  function_fn callback;
  void *context;
};

static void find_literal(struct match *match) {
  size_t best = 0;
  for (const char *at = match->wanted; *at;) {
    size_t length = 0;
    while (isalnum((unsigned char)at[length]) || at[length] == '_')
      length++;
    if (length > best && length < sizeof(match->literal) && strncmp(at, "operator", 8) != 0) {
      best = length;
      memcpy(match->literal, at, length);
      match->literal[length] = '\0';
    }
    at += length ? length : 1;
  }
}

static bool matches_raw(const struct match *match, const char *raw) {
  char plain[NAME_BYTES_MAX];
  const char *dot = strchr(raw, '.');
  if (is_same(match->wanted, raw, match->is_pattern))
    return true;
  if (!dot || dot == raw || (size_t)(dot - raw) >= sizeof(plain))
    return false;
  memcpy(plain, raw, (size_t)(dot - raw));
  plain[dot - raw] = '\0';
  return is_same(match->wanted, plain, match->is_pattern);
}

static void consider(void *context, const struct probe_function *function) {
  struct match *match = context;
  struct probe_function found = *function;
  char *demangled = NULL;
  if (strlen(function->raw) >= NAME_BYTES_MAX || is_piece(function->raw) ||
      hash_get(&match->seen, function->vaddr))
    return;
  bool is_match = matches_raw(match, function->raw);
  if (is_mangled(function->raw) && (is_match || strstr(function->raw, match->literal)) &&
      (demangled = symbol_demangle(function->raw))) {
    is_match |= is_same(match->wanted, demangled, match->is_pattern);
    cut_parameters(demangled);
    is_match |= is_same(match->wanted, demangled, match->is_pattern);
    found.shown = demangled;
  }
  if (is_match && !hash_put(&match->seen, function->vaddr, 1))
    match->callback(match->context, &found);
  free(demangled);
}

void probe_elf_match(struct probe_elf *elf, const char *name, function_fn callback, void *context) {
  struct match match = {.wanted = name,
                        .is_pattern = probe_is_pattern(name),
                        .callback = callback,
                        .context = context};
  find_literal(&match);
  each_function(elf, consider, &match);
  hash_fini(&match.seen);
}

/* ---- suggestions ---- */

struct suggestion {
  const char *wanted;
  size_t limit;
  char *names[SUGGESTIONS_MAX];
  size_t edits[SUGGESTIONS_MAX];
};

/* Edits (insert, delete, replace) from one name to the other; more than `limit` are not told apart.
 */
static size_t distance(const char *a, const char *b, size_t limit) {
  size_t rows[2][129], a_length = strlen(a), b_length = strlen(b);
  if (a_length > 128 || b_length > 128 || a_length > b_length + limit ||
      b_length > a_length + limit)
    return limit + 1;
  for (size_t j = 0; j <= b_length; j++)
    rows[0][j] = j;
  for (size_t i = 1; i <= a_length; i++) {
    size_t *last = rows[(i - 1) & 1], *row = rows[i & 1];
    row[0] = i;
    for (size_t j = 1; j <= b_length; j++) {
      size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
      best = last[j] + 1 < best ? last[j] + 1 : best;
      row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
    }
  }
  return rows[a_length & 1][b_length];
}

static const char *last_part(const char *name) {
  const char *at = name;
  for (const char *next; (next = strstr(at, "::"));)
    at = next + 2;
  return at;
}

static void keep_suggestion(struct suggestion *s, const char *name, size_t edits) {
  for (size_t i = 0; i < SUGGESTIONS_MAX && s->names[i]; i++)
    if (!strcmp(s->names[i], name))
      return;
  for (size_t i = 0; i < SUGGESTIONS_MAX; i++) {
    if (s->names[i] && s->edits[i] <= edits)
      continue;
    free(s->names[SUGGESTIONS_MAX - 1]);
    memmove(&s->names[i + 1], &s->names[i], (SUGGESTIONS_MAX - 1 - i) * sizeof(s->names[0]));
    memmove(&s->edits[i + 1], &s->edits[i], (SUGGESTIONS_MAX - 1 - i) * sizeof(s->edits[0]));
    s->names[i] = strdup(name);
    s->edits[i] = edits;
    return;
  }
}

static void weigh(void *context, const struct probe_function *function) {
  struct suggestion *s = context;
  const char *wanted = last_part(s->wanted);
  char *demangled = NULL;
  if (is_piece(function->raw) || strlen(function->raw) >= NAME_BYTES_MAX)
    return;
  if (is_mangled(function->raw) && (demangled = symbol_demangle(function->raw)))
    cut_parameters(demangled);
  const char *name = demangled ? demangled : function->raw;
  size_t edits = distance(wanted, last_part(name), s->limit);
  if (edits > s->limit && strlen(wanted) >= 3 && strstr(name, wanted))
    edits = s->limit;
  if (edits <= s->limit)
    keep_suggestion(s, name, edits);
  free(demangled);
}

void probe_elf_suggest(struct probe_elf *elf, const char *name, struct buf *out) {
  struct suggestion s = {.wanted = name, .limit = 1 + strlen(last_part(name)) / 4};
  each_function(elf, weigh, &s);
  for (size_t i = 0; i < SUGGESTIONS_MAX && s.names[i]; i++) {
    buf_printf(out, "%s%s", i ? " or " : "; did you mean ", s.names[i]);
    free(s.names[i]);
  }
  buf_put_text(out, out->length ? "?" : "");
}

/* ---- by offset ---- */

struct lookup {
  struct probe_function found;
  bool is_found;
};

static void compare_place(void *context, const struct probe_function *function) {
  struct lookup *lookup = context;
  if (lookup->is_found || function->vaddr != lookup->found.vaddr)
    return;
  lookup->found = *function;
  lookup->is_found = true;
}

/* The table of .eh_frame_hdr has the start of every function that has unwind information. */
bool probe_elf_bounds(struct probe_elf *elf, uint64_t vaddr, uint64_t *begin, uint64_t *end) {
  GElf_Shdr header;
  Elf_Scn *section = image_section(elf->image.elf, ".eh_frame_hdr", &header);
  Elf_Data *data = section ? image_data(section, TABLE_BYTES_MAX) : NULL;
  uint32_t count;
  /* version 1, a count of 4 bytes, a table of offsets from the header itself */
  if (!data || data->d_size < HEADER_TABLE || memcmp(data->d_buf, "\1\x1b\3\x3b", 4) != 0)
    return false;
  memcpy(&count, (const char *)data->d_buf + 8, sizeof(count));
  if (count > (data->d_size - HEADER_TABLE) / 8)
    return false;
  const int32_t *table = (const int32_t *)((const char *)data->d_buf + HEADER_TABLE);
  uint32_t low = 0, high = count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (header.sh_addr + (uint64_t)(int64_t)table[2 * (size_t)middle] <= vaddr)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == 0 || low >= count)
    return false;
  *begin = header.sh_addr + (uint64_t)(int64_t)table[2 * (size_t)low - 2];
  *end = header.sh_addr + (uint64_t)(int64_t)table[2 * (size_t)low];
  return true;
}

bool probe_elf_function_at(struct probe_elf *elf, uint64_t offset,
                           struct probe_function *function) {
  struct lookup lookup = {.found = {.raw = "", .shown = ""}};
  uint64_t begin, end;
  if (!vaddr_of(elf, offset, &lookup.found.vaddr))
    return false;
  each_function(elf, compare_place, &lookup);
  *function = lookup.found;
  if (lookup.is_found)
    return true;
  if (!probe_elf_bounds(elf, function->vaddr, &begin, &end) || begin != function->vaddr)
    return false;
  function->bytes = end - begin;
  return true;
}
