/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of symbols share: a scratch folder, commands, and frames as they were reported. */
#ifndef SYMBOL_SUPPORT_H
#define SYMBOL_SUPPORT_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/error.h"
#include "symbol/symbol.h"

#define SUPPORT static inline __attribute__((unused))
#define WORKLOADS "tests/workloads/symbols"

struct seen_frame {
  char function[1100];
  char file[1024];
  uint32_t line;
  uint32_t first_line;
  uint64_t offset_bytes;
  bool inlined;
};

struct seen {
  uint32_t count;
  struct seen_frame frames[64];
};

SUPPORT void see(void *context, uint32_t depth, const struct symbol *symbol) {
  struct seen *seen = context;
  assert_int_equal(depth, seen->count);
  assert_true(depth < 64);
  struct seen_frame *frame = &seen->frames[seen->count++];
  snprintf(frame->function, sizeof(frame->function), "%s", symbol->function);
  snprintf(frame->file, sizeof(frame->file), "%s", symbol->file);
  frame->line = symbol->line;
  frame->first_line = symbol->first_line;
  frame->offset_bytes = symbol->offset_bytes;
  frame->inlined = symbol->inlined;
}

SUPPORT void see_nothing(void *context, uint32_t depth, const struct symbol *symbol) {
  (void)context, (void)depth;
  assert_non_null(symbol->function);
  assert_non_null(symbol->file);
}

SUPPORT int run_shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
SUPPORT int run_shell(const char *format, ...) {
  char command[8192];
  va_list args;
  va_start(args, format);
  int length = vsnprintf(command, sizeof(command), format, args);
  va_end(args);
  assert_true(length > 0 && (size_t)length < sizeof(command));
  return system(command);
}

#define must_run(...) assert_int_equal(run_shell(__VA_ARGS__), 0)

SUPPORT bool has_tool(const char *name) {
  return run_shell("command -v %s >/dev/null 2>&1", name) == 0;
}

/* Skips the running test, aloud, where a tool is missing. */
#define need_tool(name)                                                                            \
  do {                                                                                             \
    if (!has_tool(name)) {                                                                         \
      print_message("SKIPPED: %s is not installed\n", name);                                       \
      skip();                                                                                      \
    }                                                                                              \
  } while (0)

struct scratch {
  char path[64];
};

SUPPORT struct scratch *scratch_of(void **state) {
  return *state;
}

SUPPORT int scratch_make(void **state) {
  struct scratch *scratch = calloc(1, sizeof(*scratch));
  strcpy(scratch->path, "/tmp/ragprof-symbol-XXXXXX");
  *state = scratch;
  return mkdtemp(scratch->path) ? 0 : -1;
}

SUPPORT int scratch_remove(void **state) {
  struct scratch *scratch = *state;
  int result = run_shell("rm -rf '%s'", scratch->path);
  free(scratch);
  return result;
}

SUPPORT const char *in_scratch(void **state, const char *name) {
  static _Thread_local char path[8][4096];
  static _Thread_local unsigned turn;
  char *out = path[turn++ % 8];
  snprintf(out, sizeof(path[0]), "%s/%s", scratch_of(state)->path, name);
  return out;
}

/* An ELF file with its descriptor. */
struct opened {
  int fd;
  struct symbol_elf *elf;
};

SUPPORT struct opened open_elf_in(const char *path, const char *seen_as, const char *root) {
  struct symbol_options options = {.inlines = true};
  struct opened opened = {.fd = open(path, O_RDONLY | O_CLOEXEC)};
  assert_true(opened.fd >= 0);
  if (symbol_elf_open(&opened.elf, opened.fd, seen_as, root, &options))
    fail_msg("%s", error_text());
  return opened;
}

SUPPORT struct opened open_elf(const char *path) {
  return open_elf_in(path, path, "");
}

SUPPORT void close_elf(struct opened *opened) {
  symbol_elf_close(opened->elf);
  close(opened->fd);
}

SUPPORT void resolve(struct opened *opened, uint64_t vaddr, struct seen *seen) {
  memset(seen, 0, sizeof(*seen));
  uint32_t count = symbol_elf_resolve(opened->elf, vaddr, see, seen);
  assert_int_equal(count, seen->count);
}

/* The address of a symbol by nm, which must have it. */
SUPPORT uint64_t address_by_nm(const char *path, const char *name) {
  char command[8192], line[128] = "";
  snprintf(command, sizeof(command), "nm '%s' | awk '$3 == \"%s\" { print $1 }'", path, name);
  FILE *in = popen(command, "r");
  assert_non_null(in);
  assert_non_null(fgets(line, sizeof(line), in));
  pclose(in);
  return strtoull(line, NULL, 16);
}

#endif
