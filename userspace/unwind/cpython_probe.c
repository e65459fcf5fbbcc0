/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds the interpreter in an ELF file. Runs over every file that a target maps, so the usual
 * answer, "no interpreter", costs a few small reads: one look into the hash table of .dynsym. The
 * file is hostile and may shrink meanwhile: it is read by pread only, never mapped. */
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "unwind/cpython.h"
#include "unwind/cpython_elf.h"

#define EVAL_NAME "_PyEval_EvalFrameDefault"
#define RUNTIME_NAME "_PyRuntime"
#define VERSION_NAME "Py_Version"

static uint32_t symbol_hash(const char *name) {
  uint32_t hash = 5381; /* the GNU hash: h * 33 + c */
  for (const uint8_t *at = (const uint8_t *)name; *at; at++)
    hash = hash * 33 + *at;
  return hash;
}

static bool symbol_is_named(const struct cpython_elf *elf, uint64_t strings_offset,
                            uint64_t strings_bytes, uint32_t name_offset, const char *name) {
  char text[64];
  size_t bytes = strlen(name) + 1;
  return bytes <= sizeof(text) && name_offset < strings_bytes &&
         bytes <= strings_bytes - name_offset &&
         cpython_elf_read(elf, strings_offset + name_offset, text, bytes) &&
         memcmp(text, name, bytes) == 0;
}

static bool symbol_is_defined(const Elf64_Sym *symbol) {
  return symbol->st_shndx != SHN_UNDEF && symbol->st_value != 0;
}

/* ---- .dynsym ------------------------------------------------------------------------------------
 */

struct dynamic {
  uint64_t gnu_hash; /* file offsets; 0 when absent */
  uint64_t sysv_hash;
  uint64_t symbols;
  uint64_t strings;
  uint64_t strings_bytes;
};

#define DYNAMIC_ENTRIES_MAX 256

static bool dynamic_read(struct dynamic *dynamic, const struct cpython_elf *elf) {
  Elf64_Dyn entries[DYNAMIC_ENTRIES_MAX];
  size_t count = elf->dynamic_bytes / sizeof(entries[0]);
  if (count > DYNAMIC_ENTRIES_MAX)
    count = DYNAMIC_ENTRIES_MAX;
  if (!count || !cpython_elf_read(elf, elf->dynamic_offset, entries, count * sizeof(entries[0])))
    return false;
  memset(dynamic, 0, sizeof(*dynamic));
  for (size_t i = 0; i < count && entries[i].d_tag != DT_NULL; i++) {
    uint64_t value = entries[i].d_un.d_val;
    if (entries[i].d_tag == DT_GNU_HASH)
      dynamic->gnu_hash = cpython_elf_offset(elf, value);
    else if (entries[i].d_tag == DT_HASH)
      dynamic->sysv_hash = cpython_elf_offset(elf, value);
    else if (entries[i].d_tag == DT_SYMTAB)
      dynamic->symbols = cpython_elf_offset(elf, value);
    else if (entries[i].d_tag == DT_STRTAB)
      dynamic->strings = cpython_elf_offset(elf, value);
    else if (entries[i].d_tag == DT_STRSZ)
      dynamic->strings_bytes = value;
  }
  return dynamic->symbols && dynamic->strings && (dynamic->gnu_hash || dynamic->sysv_hash);
}

static bool dynamic_symbol(const struct cpython_elf *elf, const struct dynamic *dynamic,
                           uint32_t index, const char *name, Elf64_Sym *out) {
  return cpython_elf_read(elf, dynamic->symbols + (uint64_t)index * sizeof(*out), out,
                          sizeof(*out)) &&
         symbol_is_named(elf, dynamic->strings, dynamic->strings_bytes, out->st_name, name) &&
         symbol_is_defined(out);
}

/* A real chain holds a handful of symbols; a hostile one must end too. */
#define CHAIN_MAX 4096

/* DT_GNU_HASH: u32 nbuckets, symoffset, bloom_size, bloom_shift; u64 bloom[]; u32 buckets[]; u32
 * chain[] (a symbol's hash with bit 0 set at the end of its bucket). */
static bool gnu_hash_find(const struct cpython_elf *elf, const struct dynamic *dynamic,
                          const char *name, Elf64_Sym *out) {
  uint32_t header[4];
  if (!cpython_elf_read(elf, dynamic->gnu_hash, header, sizeof(header)) || !header[0] || !header[2])
    return false;
  uint32_t hash = symbol_hash(name);
  uint64_t bloom = dynamic->gnu_hash + sizeof(header);
  uint64_t word = 0;
  if (!cpython_elf_read(elf, bloom + hash / 64 % header[2] * 8ull, &word, sizeof(word)) ||
      !(word >> hash % 64 & word >> (hash >> (header[3] & 31)) % 64 & 1))
    return false;
  uint64_t buckets = bloom + header[2] * 8ull;
  uint64_t chains = buckets + header[0] * 4ull;
  uint32_t index = 0;
  if (!cpython_elf_read(elf, buckets + hash % header[0] * 4ull, &index, sizeof(index)))
    return false;
  for (int steps = 0; index >= header[1] && index && steps < CHAIN_MAX; steps++, index++) {
    uint32_t chain = 0;
    if (!cpython_elf_read(elf, chains + (index - header[1]) * 4ull, &chain, sizeof(chain)))
      return false;
    if ((chain | 1) == (hash | 1) && dynamic_symbol(elf, dynamic, index, name, out))
      return true;
    if (chain & 1)
      return false;
  }
  return false;
}

/* DT_HASH, for files linked with --hash-style=sysv: u32 nbucket, nchain; u32 bucket[]; u32 chain[].
 * The hash is the one of the System V ABI. */
static bool sysv_hash_find(const struct cpython_elf *elf, const struct dynamic *dynamic,
                           const char *name, Elf64_Sym *out) {
  uint32_t hash = 0;
  for (const uint8_t *at = (const uint8_t *)name; *at; at++) {
    hash = (hash << 4) + *at;
    hash = (hash ^ (hash >> 24 & 0xf0)) & 0x0fffffff;
  }
  uint32_t header[2];
  if (!cpython_elf_read(elf, dynamic->sysv_hash, header, sizeof(header)) || !header[0])
    return false;
  uint64_t buckets = dynamic->sysv_hash + sizeof(header);
  uint64_t chains = buckets + header[0] * 4ull;
  uint32_t index = 0;
  if (!cpython_elf_read(elf, buckets + hash % header[0] * 4ull, &index, sizeof(index)))
    return false;
  for (int steps = 0; index && index < header[1] && steps < CHAIN_MAX; steps++) {
    if (dynamic_symbol(elf, dynamic, index, name, out))
      return true;
    if (!cpython_elf_read(elf, chains + index * 4ull, &index, sizeof(index)))
      return false;
  }
  return false;
}

static bool dynamic_find(const struct cpython_elf *elf, const struct dynamic *dynamic,
                         const char *name, Elf64_Sym *out) {
  return dynamic->gnu_hash ? gnu_hash_find(elf, dynamic, name, out)
                           : sysv_hash_find(elf, dynamic, name, out);
}

/* ---- .symtab ------------------------------------------------------------------------------------
 */

struct wanted {
  Elf64_Sym runtime;
  Elf64_Sym eval;
  Elf64_Sym version;
  Elf64_Sym cold;
  bool has_runtime;
  bool has_eval;
  bool has_version;
  bool has_cold;
};

/* GCC names the part that it moved away NAME.cold, NAME.cold.N or, after link-time optimisation,
 * NAME.lto_priv.N.cold. The largest one counts. */
static void take_cold(struct wanted *wanted, const Elf64_Sym *symbol, const char *name) {
  static const char mark[] = ".cold";
  if (strncmp(name, EVAL_NAME ".", sizeof(EVAL_NAME)) != 0 ||
      !memmem(name, strnlen(name, 256), mark, sizeof(mark) - 1))
    return;
  if (wanted->has_cold && wanted->cold.st_size >= symbol->st_size)
    return;
  wanted->cold = *symbol;
  wanted->has_cold = true;
}

static bool take_named(Elf64_Sym *out, bool *has, const Elf64_Sym *symbol, const char *name,
                       const char *wanted_name) {
  if (strcmp(name, wanted_name) != 0)
    return false;
  if (!*has)
    *out = *symbol;
  *has = true;
  return true;
}

static void take_symbol(struct wanted *wanted, const Elf64_Sym *symbol, const char *name) {
  if (symbol_is_defined(symbol) &&
      !take_named(&wanted->runtime, &wanted->has_runtime, symbol, name, RUNTIME_NAME) &&
      !take_named(&wanted->eval, &wanted->has_eval, symbol, name, EVAL_NAME) &&
      !take_named(&wanted->version, &wanted->has_version, symbol, name, VERSION_NAME))
    take_cold(wanted, symbol, name);
}

#define SYMBOLS_PER_READ 512

static void symtab_scan(struct wanted *wanted, const struct cpython_elf *elf, const char *names,
                        uint64_t names_bytes) {
  Elf64_Sym batch[SYMBOLS_PER_READ];
  uint64_t count = elf->symtab_bytes / sizeof(batch[0]);
  for (uint64_t at = 0; at < count; at += SYMBOLS_PER_READ) {
    size_t in_batch = count - at < SYMBOLS_PER_READ ? count - at : SYMBOLS_PER_READ;
    if (!cpython_elf_read(elf, elf->symtab_offset + at * sizeof(batch[0]), batch,
                          in_batch * sizeof(batch[0])))
      return;
    for (size_t i = 0; i < in_batch; i++)
      if (batch[i].st_name < names_bytes)
        take_symbol(wanted, &batch[i], names + batch[i].st_name);
  }
}

#define NAMES_BYTES_MAX (256u << 20)

/* Reads all names at once, and the symbols only where the names hold an interpreter. */
static int symtab_find(struct wanted *wanted, const struct cpython_elf *elf) {
  uint64_t bytes = elf->symtab_names_bytes;
  if (!elf->symtab_bytes || !bytes || bytes > NAMES_BYTES_MAX)
    return 0;
  char *names = malloc(bytes + 1);
  if (!names)
    return error_set(ENOMEM, "no memory for %llu bytes of symbol names", (unsigned long long)bytes);
  if (cpython_elf_read(elf, elf->symtab_names_offset, names, bytes)) {
    names[bytes] = '\0';
    if (memmem(names, bytes, EVAL_NAME, strlen(EVAL_NAME)))
      symtab_scan(wanted, elf, names, bytes);
  }
  free(names);
  return 0;
}

/* The interpreter's symbols by .dynsym. An executable may have linked the interpreter in without
 * exporting it: only there is .symtab worth its reading. A found interpreter's .symtab, if it was
 * left, names the eval loop's cold part. */
static int find_symbols(struct wanted *wanted, const struct cpython_elf *elf) {
  struct dynamic dynamic;
  memset(wanted, 0, sizeof(*wanted));
  if (dynamic_read(&dynamic, elf)) {
    wanted->has_eval = dynamic_find(elf, &dynamic, EVAL_NAME, &wanted->eval);
    if (wanted->has_eval)
      wanted->has_runtime = dynamic_find(elf, &dynamic, RUNTIME_NAME, &wanted->runtime);
    if (wanted->has_runtime)
      wanted->has_version = dynamic_find(elf, &dynamic, VERSION_NAME, &wanted->version);
  }
  if (!wanted->has_runtime && !elf->is_executable)
    return 0;
  return symtab_find(wanted, elf);
}

/* ---- The version --------------------------------------------------------------------------------
 */

#define MINOR_MAX 32
#define MICRO_UNKNOWN UINT32_MAX

struct version_texts {
  uint32_t python_count[MINOR_MAX]; /* occurrences of "python3.N" */
  uint32_t micro[MINOR_MAX];        /* of the first "3.N.M" that stands alone */
};

static bool parse_number(const char **at, const char *end, uint32_t *value) {
  const char *start = *at;
  for (*value = 0; *at < end && **at >= '0' && **at <= '9' && *at - start < 3; (*at)++)
    *value = *value * 10 + (uint32_t)(**at - '0');
  return *at > start;
}

/* Looks at one "3." of the read-only data. `at` has one readable byte before it. The linker may
 * have merged the version into the tail of a path (".../3.10.13"), so that any byte but a digit or
 * a dot may stand before; after it stands the end of the text or a release suffix ("+", "rc1"). */
static void take_version_text(struct version_texts *texts, const char *begin, const char *at,
                              const char *end) {
  uint32_t minor = 0, micro = 0;
  const char *next = at + 2;
  if (!parse_number(&next, end, &minor) || minor >= MINOR_MAX || next >= end)
    return;
  if (at - begin >= 6 && memcmp(at - 6, "python", 6) == 0)
    texts->python_count[minor]++;
  char before = at[-1];
  if (*next != '.' || before == '.' || (before >= '0' && before <= '9'))
    return;
  next++;
  if (parse_number(&next, end, &micro) && next < end && strchr("+abr", *next) &&
      texts->micro[minor] == MICRO_UNKNOWN)
    texts->micro[minor] = micro;
}

#define TEXT_CHUNK_BYTES 65536
#define TEXT_OVERLAP_BYTES 32 /* longer than "python3.NNN.MMM" with a byte on either side */

static void scan_texts(struct version_texts *texts, const struct cpython_elf *elf, uint64_t offset,
                       uint64_t bytes) {
  char chunk[TEXT_OVERLAP_BYTES + TEXT_CHUNK_BYTES];
  size_t kept = 0;
  while (bytes) {
    size_t want = bytes < TEXT_CHUNK_BYTES ? bytes : TEXT_CHUNK_BYTES;
    if (!cpython_elf_read(elf, offset, chunk + kept, want))
      return;
    const char *end = chunk + kept + want;
    /* What starts within the last 16 bytes is seen with the next chunk, once. */
    const char *stop = bytes == want ? end : end - TEXT_OVERLAP_BYTES / 2;
    const char *from = kept ? chunk + TEXT_OVERLAP_BYTES / 2 : chunk + 1;
    for (const char *at = from; at < stop && (at = memchr(at, '3', (size_t)(stop - at))); at++)
      if (end - at > 2 && at[1] == '.')
        take_version_text(texts, chunk, at, end);
    offset += want;
    bytes -= want;
    kept = TEXT_OVERLAP_BYTES;
    if (bytes)
      memmove(chunk, end - TEXT_OVERLAP_BYTES, TEXT_OVERLAP_BYTES);
  }
}

/* "libpython3.10.so.1.0" and "python3.10" both hold it; 0 when the file's name does not. */
static uint32_t minor_of_path(const char *path) {
  const char *name = path ? strrchr(path, '/') : NULL;
  name = name ? name + 1 : path ? path : "";
  const char *at = strstr(name, "python3.");
  uint32_t minor = 0;
  if (!at)
    return 0;
  at += strlen("python3.");
  return parse_number(&at, at + strlen(at), &minor) && minor < MINOR_MAX ? minor : 0;
}

/* Before 3.11 no symbol tells the version. The file's name is right unless someone renamed it; then
 * the texts of the read-only data must decide: the minor that "python3.N" names most often. */
static void version_by_text(struct cpython_binary *out, const struct cpython_elf *elf,
                            const char *path) {
  struct version_texts texts = {0};
  memset(texts.micro, 0xff, sizeof(texts.micro));
  for (uint32_t i = 0; i < elf->segment_count; i++)
    if (!elf->segments[i].is_writable)
      scan_texts(&texts, elf, elf->segments[i].offset, elf->segments[i].file_bytes);
  uint32_t minor = minor_of_path(path);
  if (!minor)
    for (uint32_t i = 1; i < MINOR_MAX; i++)
      if (texts.python_count[i] > texts.python_count[minor])
        minor = i;
  out->version = minor ? 0x0300 | minor : 0;
  out->micro = minor ? texts.micro[minor] : MICRO_UNKNOWN;
}

/* Py_Version is PY_VERSION_HEX as an unsigned long: 0x030b02f0 for the release 3.11.2. */
static bool version_by_symbol(struct cpython_binary *out, const struct cpython_elf *elf,
                              const Elf64_Sym *symbol) {
  uint32_t value = 0;
  uint64_t offset = cpython_elf_offset(elf, symbol->st_value);
  if (!offset || !cpython_elf_read(elf, offset, &value, sizeof(value)) || value >> 24 != 3)
    return false;
  out->version = value >> 16;
  out->micro = value >> 8 & 0xff;
  return true;
}

/* 3.13's _PyRuntime begins, in the file already, with a description of the build. Builds without
 * the GIL have other objects than the table. */
static bool is_free_threaded(const struct cpython_elf *elf, const struct cpython_binary *binary) {
  uint64_t words[3];
  uint64_t offset = cpython_elf_offset(elf, binary->runtime_vaddr);
  return binary->version >= 0x030d && offset &&
         cpython_elf_read(elf, offset, words, sizeof(words)) && memcmp(words, "xdebugpy", 8) == 0 &&
         words[2] != 0;
}

int cpython_probe(struct cpython_binary *out, int fd, const char *path) {
  struct cpython_elf elf;
  struct wanted wanted;
  memset(out, 0, sizeof(*out));
  if (!cpython_elf_open(&elf, fd))
    return error_set(ENOENT, "%s: not an ELF file for this machine", path);
  int status = find_symbols(&wanted, &elf);
  if (status)
    return status;
  if (wanted.has_eval && !wanted.has_runtime)
    return error_set(ENOTSUP, "%s: Python older than 3.7 is not supported (3.8 to 3.13 are)", path);
  if (!wanted.has_eval)
    return error_set(ENOENT, "%s: holds no Python interpreter", path);
  out->runtime_vaddr = wanted.runtime.st_value;
  out->runtime_bytes = wanted.runtime.st_size;
  out->eval_vaddr = wanted.eval.st_value;
  out->eval_bytes = wanted.eval.st_size;
  if (wanted.has_cold) {
    out->eval_cold_vaddr = wanted.cold.st_value;
    out->eval_cold_bytes = wanted.cold.st_size;
  } else if (!elf.symtab_bytes) {
    cpython_cold_find(&elf, out->eval_vaddr, out->eval_bytes, &out->eval_cold_vaddr,
                      &out->eval_cold_bytes);
  }
  if (!wanted.has_version || !version_by_symbol(out, &elf, &wanted.version))
    version_by_text(out, &elf, path);
  if (!out->version)
    return error_set(ENOTSUP, "%s: a Python interpreter of unknown version", path);
  if (!cpython_offsets(out->version))
    return error_set(ENOTSUP, "%s: Python 3.%u is not supported (3.8 to 3.13 are)", path,
                     out->version & 0xff);
  if (is_free_threaded(&elf, out))
    return error_set(ENOTSUP, "%s: free-threaded builds of Python are not supported", path);
  return 0;
}
