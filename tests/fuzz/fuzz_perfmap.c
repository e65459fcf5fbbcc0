/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Feeds arbitrary bytes as the text of a perf map, as kallsyms, and as a mangled name. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "symbol/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(void *context, uint32_t depth, const struct symbol *symbol) {
  (void)context;
  if (depth || !symbol->function || !symbol->file ||
      strlen(symbol->function) > SYMBOL_NAME_MAX_BYTES)
    abort();
}

/* A copy of exactly that size, so that a read past it is caught. */
static char *copy(const uint8_t *data, size_t size) {
  char *text = malloc(size ? size : 1);
  if (!text)
    abort();
  memcpy(text, data, size);
  return text;
}

static void try_map(const uint8_t *data, size_t size) {
  struct symbol_map *map;
  if (symbol_map_parse_take(&map, copy(data, size), size))
    return;
  for (uint64_t at = 0; at < 0x3000; at += 7)
    symbol_map_resolve(map, at, check, NULL);
  symbol_map_resolve(map, UINT64_MAX, check, NULL);
  symbol_map_close(map);
}

static void try_kernel(const uint8_t *data, size_t size) {
  struct symbol_kernel *kernel;
  char *text = copy(data, size);
  FILE *in = size ? fmemopen(text, size, "r") : NULL;
  if (in && !symbol_kernel_read(&kernel, in)) {
    for (uint64_t at = 0; at < 0x3000; at += 7)
      symbol_kernel_resolve(kernel, at, check, NULL);
    symbol_kernel_resolve(kernel, UINT64_MAX, check, NULL);
    symbol_kernel_close(kernel);
  }
  if (in)
    fclose(in);
  free(text);
}

static void try_name(const uint8_t *data, size_t size) {
  char *raw = strndup((const char *)data, size);
  char *name = raw ? symbol_demangle(raw) : NULL;
  if (!name || strlen(name) > SYMBOL_NAME_MAX_BYTES)
    abort();
  free(name);
  free(raw);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  try_map(data, size);
  try_kernel(data, size);
  try_name(data, size);
  return 0;
}
