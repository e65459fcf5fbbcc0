/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the pass over unnamed frames: by module, so that each file is opened once and let go. */
#include "capture/naming.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "symbol/symbol.h"

struct naming {
  struct trace_writer *writer;
  uint32_t frame;
};

static uint32_t put_text(struct trace_writer *writer, const char *text) {
  return *text ? trace_put_string(writer, text, strlen(text)) : 0;
}

static void put_symbol(void *context, uint32_t depth, const struct symbol *symbol) {
  struct naming *naming = context;
  trace_put_symbol(naming->writer,
                   &(struct trace_symbol){.frame = naming->frame,
                                          .depth = depth,
                                          .function = put_text(naming->writer, symbol->function),
                                          .file = put_text(naming->writer, symbol->file),
                                          .line = symbol->line,
                                          .first_line = symbol->first_line});
}

static int by_owner(const void *left, const void *right) {
  const struct unnamed_frame *a = left, *b = right;
  if (a->kind != b->kind)
    return a->kind < b->kind ? -1 : 1;
  if (a->pid != b->pid)
    return a->pid < b->pid ? -1 : 1;
  if (a->module != b->module)
    return (uintptr_t)a->module < (uintptr_t)b->module ? -1 : 1;
  return (a->address > b->address) - (a->address < b->address);
}

static bool same_owner(const struct unnamed_frame *a, const struct unnamed_frame *b) {
  return a->kind == b->kind && a->pid == b->pid && a->module == b->module;
}

/* ---- one kind each ---- */

static void name_native(const struct unnamed_frame *frames, size_t count, struct naming *naming,
                        const struct naming_options *options) {
  struct module *module = frames->module;
  struct symbol_options symbols = {.inlines = options->inlines,
                                   .follow_debuginfod = options->follow_debuginfod};
  struct symbol_elf *elf;
  if (module->fd < 0)
    return;
  if (symbol_elf_open(&elf, module->fd, module->path, module->root, &symbols)) {
    log_debug("%s: %s", module->path, error_text());
    return;
  }
  for (size_t i = 0; i < count; i++) {
    naming->frame = frames[i].frame;
    symbol_elf_resolve(elf, frames[i].address, put_symbol, naming);
  }
  symbol_elf_close(elf);
}

static void name_kernel(const struct unnamed_frame *frames, size_t count, struct naming *naming) {
  struct symbol_kernel *kernel;
  if (symbol_kernel_open(&kernel)) {
    log_warning("kernel functions stay unnamed: %s", error_text());
    return;
  }
  for (size_t i = 0; i < count; i++) {
    naming->frame = frames[i].frame;
    symbol_kernel_resolve(kernel, frames[i].address, put_symbol, naming);
  }
  symbol_kernel_close(kernel);
}

static void name_jit(const struct unnamed_frame *frames, size_t count, struct naming *naming,
                     uid_t uid) {
  struct symbol_map *map;
  int result = symbol_map_open(&map, (pid_t)frames->pid, uid);
  if (result) {
    if (result != -ENOENT)
      log_warning("%s", error_text());
    return;
  }
  for (size_t i = 0; i < count; i++) {
    naming->frame = frames[i].frame;
    symbol_map_resolve(map, frames[i].address, put_symbol, naming);
  }
  symbol_map_close(map);
}

void name_jit_frames(struct stack_store *stacks, struct process *process,
                     struct trace_writer *writer) {
  const struct unnamed_frame *frames;
  size_t count = stack_store_unnamed(stacks, &frames), found = 0;
  struct unnamed_frame *own = process->jit_module ? malloc(count * sizeof(*own)) : NULL;
  if (!own)
    return;
  for (size_t i = 0; i < count; i++)
    if (frames[i].kind == FRAME_JIT && frames[i].pid == process->pid)
      own[found++] = frames[i];
  struct naming naming = {.writer = writer};
  if (found)
    name_jit(own, found, &naming, process->uid);
  free(own);
}

void name_frames(struct stack_store *stacks, struct process_store *processes,
                 struct trace_writer *writer, const struct naming_options *options) {
  const struct unnamed_frame *unnamed;
  size_t count = stack_store_unnamed(stacks, &unnamed);
  struct unnamed_frame *frames = count ? malloc(count * sizeof(*frames)) : NULL;
  if (!frames)
    return;
  memcpy(frames, unnamed, count * sizeof(*frames));
  qsort(frames, count, sizeof(*frames), by_owner);
  struct naming naming = {.writer = writer};
  for (size_t first = 0, end; first < count; first = end) {
    for (end = first + 1; end < count && same_owner(&frames[first], &frames[end]);)
      end++;
    struct process *process = process_store_get(processes, frames[first].pid);
    if (frames[first].kind == FRAME_NATIVE)
      name_native(&frames[first], end - first, &naming, options);
    else if (frames[first].kind == FRAME_KERNEL)
      name_kernel(&frames[first], end - first, &naming);
    else if (process)
      name_jit(&frames[first], end - first, &naming, process->uid);
  }
  free(frames);
}
