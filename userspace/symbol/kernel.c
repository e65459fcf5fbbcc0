/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns naming kernel code by /proc/kallsyms, whose lines are "address type name [module]". */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "symbol/internal.h"

/* How far the last symbol of a run of addresses may reach: kallsyms has no sizes. */
#define REACH_MAX_BYTES ((uint64_t)1 << 20)

struct kernel_symbol {
  uint64_t address;
  uint32_t name_off;   /* in names */
  uint32_t module_off; /* in names, "[module]"; 0: the kernel itself */
  bool is_code;        /* others only end the one before them */
};

struct symbol_kernel {
  struct kernel_symbol *symbols; /* sorted by address, one for each */
  size_t count;
  size_t capacity;
  struct buf names;
};

static const char *text_at(const struct symbol_kernel *kernel, uint32_t offset) {
  return (const char *)kernel->names.data + offset;
}

static uint32_t keep_text(struct symbol_kernel *kernel, const char *text) {
  uint32_t offset = (uint32_t)kernel->names.length;
  buf_put(&kernel->names, text, strlen(text) + 1);
  return offset;
}

/* Symbols of a module come in a row. */
static uint32_t keep_module(struct symbol_kernel *kernel, const char *module) {
  const struct kernel_symbol *last = kernel->count ? &kernel->symbols[kernel->count - 1] : NULL;
  if (!*module)
    return 0;
  if (last && last->module_off && !strcmp(text_at(kernel, last->module_off), module))
    return last->module_off;
  return keep_text(kernel, module);
}

static int add(struct symbol_kernel *kernel, const struct kernel_symbol *symbol) {
  if (kernel->count == kernel->capacity) {
    size_t capacity = kernel->capacity ? kernel->capacity * 2 : 4096;
    struct kernel_symbol *symbols = reallocarray(kernel->symbols, capacity, sizeof(*symbols));
    if (!symbols)
      return -ENOMEM;
    kernel->symbols = symbols;
    kernel->capacity = capacity;
  }
  kernel->symbols[kernel->count++] = *symbol;
  return 0;
}

/* Broken lines are left out. */
static int read_line(struct symbol_kernel *kernel, char *line) {
  char *end;
  errno = 0;
  uint64_t address = strtoull(line, &end, 16);
  if (end == line || errno || *end++ != ' ' || !isalpha((unsigned char)*end) || end[1] != ' ')
    return 0;
  char type = *end;
  char *name = end + 2;
  char *module = name + strcspn(name, "\t \n");
  if (module == name || kernel->names.length > UINT32_MAX / 2)
    return 0;
  while (*module == ' ' || *module == '\t' || *module == '\n')
    *module++ = '\0';
  module[strcspn(module, " \t\n")] = '\0';
  symbol_shorten(name);
  struct kernel_symbol symbol = {.address = address, .is_code = strchr("tTwW", type)};
  /* One address at least tells that they are not hidden; those of data are kept as ends only. */
  if (symbol.is_code) {
    symbol.module_off = keep_module(kernel, module);
    symbol.name_off = keep_text(kernel, name);
  }
  return add(kernel, &symbol);
}

static int by_address(const void *a, const void *b, void *context) {
  const struct kernel_symbol *left = a, *right = b;
  const struct symbol_kernel *kernel = context;
  if (left->address != right->address)
    return left->address < right->address ? -1 : 1;
  if (left->is_code != right->is_code)
    return left->is_code ? 1 : -1;
  return symbol_compare_names(text_at(kernel, left->name_off), text_at(kernel, right->name_off));
}

/* Keeps the best of each address: the last one. */
static void sort(struct symbol_kernel *kernel) {
  size_t kept = 0;
  qsort_r(kernel->symbols, kernel->count, sizeof(*kernel->symbols), by_address, kernel);
  for (size_t i = 0; i < kernel->count; i++)
    if (i + 1 == kernel->count || kernel->symbols[i + 1].address != kernel->symbols[i].address)
      kernel->symbols[kept++] = kernel->symbols[i];
  kernel->count = kept;
}

static int finish(struct symbol_kernel *kernel) {
  if (kernel->names.failed)
    return error_set(ENOMEM, "kernel symbols: out of memory");
  if (kernel->count)
    sort(kernel);
  if (!kernel->count || !kernel->symbols[kernel->count - 1].address)
    return error_set(EPERM, "kernel symbols: their addresses are hidden "
                            "(kernel.kptr_restrict, kernel.perf_event_paranoid, CAP_SYSLOG)");
  return 0;
}

int symbol_kernel_read(struct symbol_kernel **out, FILE *in) {
  struct symbol_kernel *kernel = calloc(1, sizeof(*kernel));
  if (!kernel)
    return error_set(ENOMEM, "kernel symbols: out of memory");
  buf_put_u8(&kernel->names, '\0'); /* offset 0 is the empty string */
  char *line = NULL;
  size_t capacity = 0;
  int result = 0;
  while (!result && getline(&line, &capacity, in) >= 0)
    result = read_line(kernel, line);
  free(line);
  if (!result)
    result = finish(kernel);
  if (result)
    symbol_kernel_close(kernel);
  else
    *out = kernel;
  return result;
}

int symbol_kernel_open(struct symbol_kernel **out) {
  FILE *in = fopen("/proc/kallsyms", "re");
  if (!in)
    return error_errno("/proc/kallsyms");
  int result = symbol_kernel_read(out, in);
  fclose(in);
  return result;
}

bool symbol_kernel_resolve(struct symbol_kernel *kernel, uint64_t address, symbol_fn callback,
                           void *context) {
  size_t low = 0, high = kernel->count; /* the first symbol above the address */
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (kernel->symbols[middle].address <= address)
      low = middle + 1;
    else
      high = middle;
  }
  const struct kernel_symbol *found = low ? &kernel->symbols[low - 1] : NULL;
  if (!found || !found->is_code || address - found->address >= REACH_MAX_BYTES)
    return false;
  struct symbol symbol = {.function = text_at(kernel, found->name_off),
                          .file = text_at(kernel, found->module_off),
                          .offset_bytes = address - found->address};
  callback(context, 0, &symbol);
  return true;
}

void symbol_kernel_close(struct symbol_kernel *kernel) {
  if (!kernel)
    return;
  buf_fini(&kernel->names);
  free(kernel->symbols);
  free(kernel);
}
