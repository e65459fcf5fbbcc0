/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Feeds arbitrary bytes as an ELF file to everything that reads one for names. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "symbol/symbol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(void *context, uint32_t depth, const struct symbol *symbol) {
  uint32_t *expected_depth = context;
  if (depth != (*expected_depth)++ || !symbol->function || !symbol->file ||
      strlen(symbol->function) > 1024 + strlen("@plt"))
    abort();
}

static void ask(struct symbol_elf *elf, uint64_t vaddr) {
  uint32_t count = 0;
  if (symbol_elf_resolve(elf, vaddr, check, &count) != count)
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t build_id[20];
  uint64_t vaddr, bytes;
  struct symbol_options options = {.inlines = true};
  struct symbol_elf *elf;
  int fd = memfd_create("fuzz", MFD_CLOEXEC);
  if (fd < 0 || write(fd, data, size) != (ssize_t)size)
    abort();
  symbol_build_id(fd, build_id, sizeof(build_id));
  if (!symbol_elf_open(&elf, fd, "/fuzz/file", "/proc/self/fdinfo", &options)) {
    for (uint64_t at = 0; at < 0x3000; at += 29)
      ask(elf, at);
    ask(elf, 0x401000);
    ask(elf, UINT64_MAX);
    if (!symbol_elf_lookup(elf, "main", &vaddr, &bytes))
      ask(elf, vaddr);
    symbol_elf_close(elf);
  }
  close(fd);
  return 0;
}
