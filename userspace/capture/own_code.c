/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the ranges of the programs' machine code. */
#include "capture/own_code.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdlib.h>

#define FUNCTIONS_MAX 128 /* of a program */

struct range {
  uint64_t start;
  uint64_t end;
};

/* bpf_prog_info.jited_ksyms and .jited_func_lens: the addresses of a program's functions and their
 * lengths (Linux 4.18). */
static void add_program(struct own_code *code, const struct bpf_program *program) {
  uint64_t starts[FUNCTIONS_MAX];
  uint32_t lengths[FUNCTIONS_MAX];
  struct bpf_prog_info info = {.nr_jited_ksyms = FUNCTIONS_MAX,
                               .jited_ksyms = (uintptr_t)starts,
                               .nr_jited_func_lens = FUNCTIONS_MAX,
                               .jited_func_lens = (uintptr_t)lengths};
  uint32_t bytes = sizeof(info);
  if (!bpf_program__autoload(program) ||
      bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &bytes))
    return;
  uint32_t count =
      info.nr_jited_ksyms < info.nr_jited_func_lens ? info.nr_jited_ksyms : info.nr_jited_func_lens;
  for (uint32_t i = 0; i < count && i < FUNCTIONS_MAX; i++) {
    struct range range = {starts[i], starts[i] + lengths[i]};
    if (range.start) /* 0: hidden by kptr_restrict */
      buf_put(&code->ranges, &range, sizeof(range));
  }
}

static int by_start(const void *left, const void *right) {
  const struct range *a = left, *b = right;
  return (a->start > b->start) - (a->start < b->start);
}

void own_code_init(struct own_code *code, const struct bpf_object *object) {
  struct bpf_program *program = NULL;
  *code = (struct own_code){0};
  while ((program = bpf_object__next_program(object, program)))
    add_program(code, program);
  if (code->ranges.length)
    qsort(code->ranges.data, code->ranges.length / sizeof(struct range), sizeof(struct range),
          by_start);
}

void own_code_fini(struct own_code *code) {
  buf_fini(&code->ranges);
}

static int compare(const void *key, const void *item) {
  const uint64_t *address = key;
  const struct range *range = item;
  return *address < range->start ? -1 : *address >= range->end;
}

bool own_code_has(const struct own_code *code, uint64_t address) {
  size_t count = code->ranges.length / sizeof(struct range);
  return count && bsearch(&address, code->ranges.data, count, sizeof(struct range), compare);
}
