/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libFuzzer over the unwind tables: hostile ELF images and hostile .eh_frame bytes in a sound
 * image, then lookups and steps through memory that the input makes up. Invariants are checked by
 * traps. */
#include <elf.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "unwind/ehframe_code.h"
#include "unwind/ehframe_internal.h"
#include "unwind/step.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define EXPECT(condition)                                                                          \
  do {                                                                                             \
    if (!(condition))                                                                              \
      __builtin_trap();                                                                            \
  } while (0)

#define TEXT_BYTES 0x10000u
#define FRAME_VADDR 0x20000u

/* An image without section headers: an executable segment, and .eh_frame_hdr with .eh_frame. */
struct sound_image {
  Elf64_Ehdr header;
  Elf64_Phdr phdrs[3];
  uint8_t eh_frame_hdr[12];
  uint8_t eh_frame[];
};

static struct sound_image *wrap(const uint8_t *data, size_t bytes) {
  struct sound_image *image = calloc(1, sizeof(*image) + bytes);
  uint64_t hdr_offset = offsetof(struct sound_image, eh_frame_hdr);
  uint32_t pointer = sizeof(image->eh_frame_hdr) - 4;
  memcpy(image->header.e_ident, ELFMAG, SELFMAG);
  image->header.e_ident[EI_CLASS] = ELFCLASS64;
  image->header.e_ident[EI_DATA] = ELFDATA2LSB;
  image->header.e_machine = EM_X86_64;
  image->header.e_phoff = offsetof(struct sound_image, phdrs);
  image->header.e_phnum = 3;
  image->header.e_phentsize = sizeof(Elf64_Phdr);
  image->phdrs[0] = (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_filesz = TEXT_BYTES};
  image->phdrs[1] = (Elf64_Phdr){.p_type = PT_LOAD,
                                 .p_flags = PF_R,
                                 .p_offset = hdr_offset,
                                 .p_vaddr = FRAME_VADDR,
                                 .p_filesz = sizeof(image->eh_frame_hdr) + bytes};
  image->phdrs[2] = (Elf64_Phdr){.p_type = PT_GNU_EH_FRAME,
                                 .p_offset = hdr_offset,
                                 .p_vaddr = FRAME_VADDR,
                                 .p_filesz = sizeof(image->eh_frame_hdr)};
  image->eh_frame_hdr[0] = 1;
  image->eh_frame_hdr[1] = 0x1b; /* pcrel, sdata4 */
  memcpy(image->eh_frame_hdr + 4, &pointer, sizeof(pointer));
  memcpy(image->eh_frame, data, bytes);
  return image;
}

struct memory {
  const uint8_t *data;
  size_t bytes;
};

static bool read_memory(void *ctx, uint64_t address, void *out, size_t bytes) {
  const struct memory *memory = ctx;
  if (!memory->bytes || address % 13 == 12)
    return false;
  for (size_t i = 0; i < bytes; i++)
    ((uint8_t *)out)[i] = memory->data[(address + i) % memory->bytes];
  return true;
}

static void check_rows(const struct unwind_table *table) {
  for (size_t i = 0; i < table->row_count; i++) {
    EXPECT(table->rows[i].type <= ROW_DEREF_RSP_BELOW);
    EXPECT(!i || table->rows[i - 1].pc < table->rows[i].pc);
    const struct unwind_row *found =
        unwind_table_find(table, table->base_vaddr + table->rows[i].pc);
    EXPECT(found == &table->rows[i] || table->base_vaddr > UINT64_MAX - UINT32_MAX);
  }
}

static void walk(const struct unwind_table *table, struct memory *memory, uint64_t pc) {
  struct unwind_registers registers = {.ip = pc, .sp = 0x1000, .bp = 0x1040};
  bool is_innermost = true;
  for (int i = 0; i < 32; i++) {
    enum unwind_step step =
        unwind_step(table, pc & 0xfff, &registers, is_innermost, read_memory, memory);
    EXPECT(*unwind_step_text(step));
    if (step != UNWIND_STEPPED && step != UNWIND_STEPPED_SIGNAL)
      return;
    is_innermost = step == UNWIND_STEPPED_SIGNAL;
  }
}

/* The input as the code of a function. */
static void follow_code(const uint8_t *data, size_t bytes) {
  static struct code_scratch *scratch;
  struct unwind_table table = {.rows = NULL};
  struct cfi_sink sink = {.table = &table};

  if (!scratch)
    scratch = ehframe_code_scratch_new();
  if (scratch && bytes && ehframe_code_rows(&sink, scratch, data, (uint32_t)bytes, 16)) {
    EXPECT(table.row_count > 0 && table.rows[0].pc == 16);
    check_rows(&table);
  }
  free(table.rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  struct unwind_table table;
  struct memory memory = {data, bytes};
  struct sound_image *image = NULL;
  follow_code(data, bytes);
  const void *elf = data;
  size_t elf_bytes = bytes;

  if (bytes < SELFMAG || memcmp(data, ELFMAG, SELFMAG) != 0) {
    image = wrap(data, bytes);
    elf = image;
    elf_bytes = sizeof(*image) + bytes;
  }
  if (unwind_table_build(&table, elf, elf_bytes) == 0) {
    check_rows(&table);
    for (size_t i = 0; i < table.row_count && i < 64; i++)
      walk(&table, &memory, table.base_vaddr + table.rows[i].pc + i);
    unwind_table_vaddr(&table, bytes);
    unwind_table_fini(&table);
  }
  free(image);
  return 0;
}
