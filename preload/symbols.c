/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looks names up among the loaded objects without the dynamic linker's dlsym, which allocates when
 * it finds nothing. In the order of loading, also in what was loaded with RTLD_LOCAL. */
#include <elf.h>
#include <link.h>
#include <string.h>

#include "unwind.h"

struct lookup {
  const char *name;
  uint32_t hash;
  void *found;
};

/* The GNU hash: h * 33 + c. */
static uint32_t hash_of(const char *name) {
  uint32_t hash = 5381;

  for (const uint8_t *at = (const uint8_t *)name; *at; at++)
    hash = hash * 33 + *at;
  return hash;
}

struct dynamic {
  const uint32_t *hash; /* DT_GNU_HASH */
  const Elf64_Sym *symbols;
  const char *names;
};

/* glibc writes run-time addresses into the dynamic section; that of the vdso it leaves alone. */
static const void *pointer(const struct dl_phdr_info *info, uint64_t value) {
  return (const void *)(value < info->dlpi_addr ? value + info->dlpi_addr : value);
}

static bool find_dynamic(const struct dl_phdr_info *info, struct dynamic *dynamic) {
  const Elf64_Dyn *entry = NULL;

  for (uint32_t i = 0; i < info->dlpi_phnum; i++)
    if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
      entry = (const Elf64_Dyn *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
  *dynamic = (struct dynamic){.hash = NULL};
  for (; entry && entry->d_tag != DT_NULL; entry++) {
    if (entry->d_tag == DT_GNU_HASH)
      dynamic->hash = pointer(info, entry->d_un.d_ptr);
    else if (entry->d_tag == DT_SYMTAB)
      dynamic->symbols = pointer(info, entry->d_un.d_ptr);
    else if (entry->d_tag == DT_STRTAB)
      dynamic->names = pointer(info, entry->d_un.d_ptr);
  }
  return dynamic->hash && dynamic->symbols && dynamic->names;
}

/* u32 bucket count, first symbol, bloom words, bloom shift; u64 bloom[]; u32 buckets[]; u32 chain[]
 * (a symbol's hash, with bit 0 set at the end of its bucket). */
static const Elf64_Sym *find_symbol(const struct dynamic *dynamic, const struct lookup *lookup) {
  const uint32_t *header = dynamic->hash;
  const uint64_t *bloom = (const uint64_t *)(header + 4);
  const uint32_t *buckets = (const uint32_t *)(bloom + header[2]), *chain = buckets + header[0];
  uint32_t hash = lookup->hash;

  if (!header[0] || !header[2] ||
      !(bloom[hash / 64 % header[2]] >> hash % 64 &
        bloom[hash / 64 % header[2]] >> (hash >> header[3]) % 64 & 1))
    return NULL;
  uint32_t index = buckets[hash % header[0]];
  if (index < header[1])
    return NULL;
  for (;; index++) {
    const Elf64_Sym *symbol = &dynamic->symbols[index];
    uint32_t other = chain[index - header[1]];
    if ((other | 1) == (hash | 1) && symbol->st_shndx != SHN_UNDEF &&
        !strcmp(dynamic->names + symbol->st_name, lookup->name))
      return symbol;
    if (other & 1)
      return NULL;
  }
}

static int look_in(struct dl_phdr_info *info, size_t bytes, void *ctx) {
  struct lookup *lookup = ctx;
  struct dynamic dynamic;

  (void)bytes;
  const Elf64_Sym *symbol = find_dynamic(info, &dynamic) ? find_symbol(&dynamic, lookup) : NULL;
  if (symbol)
    lookup->found = (void *)(info->dlpi_addr + symbol->st_value);
  return symbol != NULL;
}

void *shim_loaded_symbol(const char *name) {
  struct lookup lookup = {.name = name, .hash = hash_of(name)};

  dl_iterate_phdr(look_in, &lookup);
  return lookup.found;
}

/* ---- functions by address ---- */

/* No table of symbols says how long it is; the last chain ends with the last symbol. */
static uint32_t symbol_count(const struct dynamic *dynamic) {
  const uint32_t *header = dynamic->hash;
  const uint32_t *buckets = header + 4 + 2 * header[2], *chain = buckets + header[0];
  uint32_t last = 0;

  for (uint32_t i = 0; i < header[0]; i++)
    if (buckets[i] > last)
      last = buckets[i];
  if (last < header[1])
    return 0;
  while (!(chain[last - header[1]] & 1))
    last++;
  return last + 1;
}

bool shim_function_at(const struct shim_object *object, uint64_t pc, uint64_t *begin,
                      uint64_t *end) {
  struct dl_phdr_info info = {.dlpi_addr = object->bias,
                              .dlpi_phdr = object->phdrs,
                              .dlpi_phnum = (Elf64_Half)object->phdr_count};
  struct dynamic dynamic;
  uint64_t vaddr = pc - object->bias, first = 0, bytes = 0, next = UINT64_MAX;

  if (!find_dynamic(&info, &dynamic))
    return false;
  for (uint32_t i = symbol_count(&dynamic); i-- > 0;) {
    const Elf64_Sym *symbol = &dynamic.symbols[i];
    if (ELF64_ST_TYPE(symbol->st_info) != STT_FUNC || symbol->st_shndx == SHN_UNDEF)
      continue;
    if (symbol->st_value > vaddr && symbol->st_value < next)
      next = symbol->st_value;
    else if (symbol->st_value <= vaddr && symbol->st_value >= first) {
      first = symbol->st_value;
      bytes = symbol->st_size;
    }
  }
  *begin = first + object->bias;
  *end = (bytes && first + bytes < next ? first + bytes : next) + object->bias;
  return first && pc < *end;
}
