/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Says how deep the stacks of BPF programs are where a kernel adds them up, as those before 6.13
 * do: there a program is refused whose longest chain of calls takes more than 512 bytes, each frame
 * rounded up to 32 (check_max_stack_depth in kernel/bpf/verifier.c of 6.1). A newer kernel gives
 * tracing programs a stack of their own and says nothing, so that this is seen only in a virtual
 * machine, or here. Loads the programs to ask the kernel for the frames' sizes: needs root.
 * Argument: the linked BPF object. Exit status: 1 when a program is too deep, 77 when none loads.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROGRAMS_MAX 128
#define FUNCTIONS_MAX 256
#define LOG_BYTES 65536
#define DEPTH_MAX 512
#define ROUNDING 32

struct function {
  size_t start; /* instruction */
  int frame_bytes;
};

struct program {
  const struct bpf_insn *code;
  size_t length;
  struct function functions[FUNCTIONS_MAX];
  int count;
};

/* Where a call or a callback's address leads, as an instruction; -1: neither. */
static long target_of(const struct program *program, size_t at) {
  const struct bpf_insn *insn = &program->code[at];
  bool is_call = insn->code == (BPF_JMP | BPF_CALL) && insn->src_reg == BPF_PSEUDO_CALL;
  bool is_callback = insn->code == (BPF_LD | BPF_IMM | BPF_DW) && insn->src_reg == BPF_PSEUDO_FUNC;
  return is_call || is_callback ? (long)at + insn->imm + 1 : -1;
}

static int by_start(const void *a, const void *b) {
  const struct function *x = a, *y = b;
  return (x->start > y->start) - (x->start < y->start);
}

static void add_function(struct program *program, size_t start) {
  for (int i = 0; i < program->count; i++)
    if (program->functions[i].start == start)
      return;
  if (program->count < FUNCTIONS_MAX)
    program->functions[program->count++] = (struct function){.start = start};
}

/* The verifier's line "stack depth 80+24+8" names the functions in the order of the code. */
static void read_frames(struct program *program, const char *log) {
  const char *at = strstr(log, "stack depth ");
  at = at ? at + strlen("stack depth ") : NULL;
  for (int i = 0; at && i < program->count; i++) {
    char *end;
    program->functions[i].frame_bytes = (int)strtol(at, &end, 10);
    at = *end == '+' ? end + 1 : NULL;
  }
}

static int index_of(const struct program *program, long start) {
  for (int i = 0; i < program->count; i++)
    if ((long)program->functions[i].start == start)
      return i;
  return -1;
}

/* The longest chain from a function on; BPF has no recursion, and nests 8 deep at most. */
static int depth_of(const struct program *program, int function, int level, char *chain) {
  size_t begin = program->functions[function].start;
  size_t end =
      function + 1 < program->count ? program->functions[function + 1].start : program->length;
  int frame_bytes = program->functions[function].frame_bytes, deepest = 0;
  char below[256] = "", best[256] = "";
  for (size_t at = begin; at < end && level < 8; at++) {
    int callee = index_of(program, target_of(program, at));
    int depth = callee < 0 ? 0 : depth_of(program, callee, level + 1, below);
    if (depth > deepest) {
      deepest = depth;
      memcpy(best, below, sizeof(best));
    }
  }
  snprintf(chain, 256, "%d%s%.240s", frame_bytes, *best ? "+" : "", best);
  int rounded = ((frame_bytes ? frame_bytes : 1) + ROUNDING - 1) / ROUNDING * ROUNDING;
  return rounded + deepest;
}

static int examine(const struct bpf_program *loaded, const char *log) {
  struct program program = {.code = bpf_program__insns(loaded),
                            .length = bpf_program__insn_cnt(loaded)};
  char chain[256];
  add_function(&program, 0);
  for (size_t at = 0; at < program.length; at++) {
    long target = target_of(&program, at);
    if (target >= 0)
      add_function(&program, (size_t)target);
  }
  qsort(program.functions, program.count, sizeof(program.functions[0]), by_start);
  read_frames(&program, log);
  int depth = depth_of(&program, 0, 0, chain);
  printf("%-20s %4d of %d bytes: %s%s\n", bpf_program__name(loaded), depth, DEPTH_MAX, chain,
         depth > DEPTH_MAX ? "  TOO DEEP" : "");
  return depth > DEPTH_MAX;
}

static int print_nothing(enum libbpf_print_level level, const char *format, va_list args) {
  (void)level, (void)format, (void)args;
  return 0;
}

int main(int argc, char **argv) {
  static char logs[PROGRAMS_MAX][LOG_BYTES];
  libbpf_set_print(print_nothing);
  struct bpf_object *object = argc == 2 ? bpf_object__open_file(argv[1], NULL) : NULL;
  if (!object) {
    fprintf(stderr, "usage: stack_depth OBJECT\n");
    return 2;
  }
  struct bpf_program *program;
  int count = 0, failed = 0;
  bpf_object__for_each_program(program, object) {
    if (count == PROGRAMS_MAX)
      break;
    bpf_program__set_log_level(program, 4);
    bpf_program__set_log_buf(program, logs[count++], LOG_BYTES);
  }
  if (bpf_object__load(object)) {
    printf("skipped: the programs do not load here\n");
    return 77;
  }
  count = 0;
  bpf_object__for_each_program(program, object) {
    if (count == PROGRAMS_MAX)
      break;
    failed |= examine(program, logs[count++]);
  }
  bpf_object__close(object);
  return failed;
}
