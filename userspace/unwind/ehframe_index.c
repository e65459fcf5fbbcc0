/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Collects every usable function of an .eh_frame section; its CIEs are parsed, and their programs
 * run, once each. */
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/hash.h"
#include "unwind/ehframe_internal.h"

struct index_builder {
  struct cfi_index *index;
  const struct ehframe_section *section;
  const struct unwind_table *table;
  struct hash by_offset; /* a CIE's offset → its number */
  size_t last_offset;    /* most FDEs share the CIE of the one before */
  uint32_t last_number;
};

/* Room for one more element. */
static int grow(void **array, size_t *capacity, size_t count, size_t element_bytes) {
  if (count < *capacity)
    return 0;
  size_t wanted = *capacity ? *capacity * 2 : 256;
  void *bigger = reallocarray(*array, wanted, element_bytes);
  if (!bigger)
    return error_set(ENOMEM, "out of memory for unwind entries");
  *array = bigger;
  *capacity = wanted;
  return 0;
}

static int cie_number(struct index_builder *builder, size_t offset, uint32_t *number) {
  struct cfi_index *index = builder->index;
  uint32_t *known;

  if (index->cie_count && offset == builder->last_offset) {
    *number = builder->last_number;
    return 0;
  }
  known = hash_get(&builder->by_offset, offset);
  if (known) {
    *number = *known;
  } else {
    *number = (uint32_t)index->cie_count;
    if (grow((void **)&index->cies, &index->cie_capacity, index->cie_count, sizeof(*index->cies)) ||
        hash_put(&builder->by_offset, offset, *number))
      return -ENOMEM;
    ehframe_cie_parse(&index->cies[index->cie_count], builder->section, offset);
    ehframe_program_initial(&index->cies[index->cie_count++]);
  }
  builder->last_offset = offset;
  builder->last_number = *number;
  return 0;
}

static bool is_executable(const struct unwind_table *table, uint64_t vaddr) {
  for (uint32_t i = 0; i < table->segment_count; i++)
    if (vaddr - table->segments[i].vaddr < table->segments[i].bytes)
      return true;
  return false;
}

static int fde_add(struct index_builder *builder, const struct cfi_entry *entry) {
  struct cfi_index *index = builder->index;
  struct cfi_fde fde;

  if (entry->id > entry->id_offset)
    return 0;
  int err = cie_number(builder, entry->id_offset - entry->id, &fde.cie);
  if (err)
    return err;
  const struct cfi_cie *cie = &index->cies[fde.cie];
  uint64_t base_vaddr = builder->table->base_vaddr;
  if (cie->is_broken || !ehframe_fde_read(&fde, builder->section, entry, cie, base_vaddr) ||
      !is_executable(builder->table, base_vaddr + fde.begin))
    return 0; /* what begins outside every executable segment was discarded by the linker */
  err = grow((void **)&index->fdes, &index->fde_capacity, index->fde_count, sizeof(*index->fdes));
  if (!err)
    index->fdes[index->fde_count++] = fde;
  return err;
}

int ehframe_index_build(struct cfi_index *index, const struct ehframe_section *section,
                        const struct unwind_table *table) {
  struct index_builder builder = {.index = index, .section = section, .table = table};
  struct cfi_entry entry;
  int err = 0;

  memset(index, 0, sizeof(*index));
  for (size_t at = 0; !err && ehframe_entry_read(&entry, section, at); at = entry.end)
    if (entry.id != 0)
      err = fde_add(&builder, &entry);
  hash_fini(&builder.by_offset);
  if (err)
    ehframe_index_fini(index);
  return err;
}

void ehframe_index_fini(struct cfi_index *index) {
  free(index->cies);
  free(index->fdes);
  memset(index, 0, sizeof(*index));
}
