/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The instruction decoder: its lengths against binutils' objdump over whole libraries, and its
 * operands and written registers against encodings from the manual. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unwind/ehframe_x86.h"

/* "  401000:\t48 89 e5 \tmov    %rsp,%rbp" → the bytes. */
static size_t parse_bytes(const char *line, uint8_t bytes[16]) {
  const char *at = strchr(line, '\t');
  size_t count = 0;
  while (at && count < 16) {
    char *end;
    unsigned long byte = strtoul(at, &end, 16);
    if (end == at || byte > 255 || end - at > 3)
      break;
    bytes[count++] = (uint8_t)byte;
    at = end;
    if (*at == '\t' || at[1] == '\t' || at[1] == ' ')
      break;
  }
  return count;
}

/* objdump shows bare prefixes before what they cannot belong to as instructions of their own, joins
 * fwait (9b) with what follows, and takes 66 before a jump as AMD's processors do. All of it occurs
 * in data that it takes for code. */
static bool is_comparable(const char *line, const uint8_t *bytes) {
  if (bytes[0] == 0x9b)
    return false;
  static const char *const odd[] = {"(bad)",  ".byte",   "rex",  "data16\n", "addr32\n", "cs\n",
                                    "ds\n",   "es\n",    "ss\n", "fs\n",     "gs\n",     "lock\n",
                                    "repz\n", "repnz\n", "jmpw", "callw"};
  for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
    if (strstr(line, odd[i]))
      return false;
  return true;
}

static void check_lengths(const char *path, unsigned long instructions_min) {
  char command[256], line[512];
  unsigned long count = 0, wrong = 0;

  if (access(path, R_OK) || system("objdump --version >/dev/null 2>&1") != 0) {
    print_message("skipped: no %s, or no objdump (package binutils)\n", path);
    skip();
  }
  snprintf(command, sizeof(command),
           "LC_ALL=C objdump -d -j .text --insn-width=16 '%s' 2>/dev/null | head -n 400000", path);
  FILE *pipe = popen(command, "r");
  assert_non_null(pipe);
  while (fgets(line, sizeof(line), pipe)) {
    uint8_t bytes[16];
    struct x86_instruction in;
    size_t length = line[0] == ' ' ? parse_bytes(line, bytes) : 0;
    if (!length || !is_comparable(line, bytes))
      continue;
    count++;
    if (x86_decode(&in, bytes, length) && in.length == length)
      continue;
    if (wrong++ < 10)
      print_message("decoded as %u bytes: %s", in.length, line);
  }
  pclose(pipe);
  print_message("%s: %lu instructions, %lu with another length\n", path, count, wrong);
  assert_true(count >= instructions_min);
  assert_int_equal(wrong, 0);
}

static void lengths_in_libc(void **state) {
  (void)state;
  check_lengths("/usr/lib/x86_64-linux-gnu/libc.so.6", 200000);
}

static void lengths_in_libcrypto(void **state) {
  (void)state;
  check_lengths("/usr/lib/x86_64-linux-gnu/libcrypto.so.3", 200000);
}

/* ---- written registers ---- */

#define BIT(name) (1u << X86_##name)

struct written_case {
  const char *text;
  uint8_t bytes[12];
  uint8_t length;
  uint32_t must;     /* it writes these */
  uint32_t must_not; /* and not those */
};

static const struct written_case written_cases[] = {
    {"mov %rsp,%rbx", {0x48, 0x89, 0xe3}, 3, BIT(RBX), BIT(RSP)},
    {"mov %rdi,(%rbx)", {0x48, 0x89, 0x3b}, 3, 0, BIT(RBX) | BIT(RDI)},
    {"mov (%rdi),%rbx", {0x48, 0x8b, 0x1f}, 3, BIT(RBX), BIT(RDI)},
    {"mov %al,%bl", {0x88, 0xc3}, 2, BIT(RBX), BIT(RAX)},
    {"mov %al,%bh", {0x88, 0xc7}, 2, BIT(RBX), BIT(RDI)},
    {"cmp %rax,%rbx", {0x48, 0x39, 0xc3}, 3, 0, BIT(RBX) | BIT(RAX)},
    {"test %rbx,%rbx", {0x48, 0x85, 0xdb}, 3, 0, BIT(RBX)},
    {"add $1,%r8", {0x49, 0x83, 0xc0, 0x01}, 4, BIT(R8), BIT(RAX)},
    {"cmp $1,%rbx", {0x48, 0x83, 0xfb, 0x01}, 4, 0, BIT(RBX)},
    {"xor %ebx,%ebx", {0x31, 0xdb}, 2, BIT(RBX), 0},
    {"div %rdi", {0x48, 0xf7, 0xf7}, 3, BIT(RAX) | BIT(RDX), BIT(RDI) | BIT(RBX)},
    {"imul %rdi,%rbx", {0x48, 0x0f, 0xaf, 0xdf}, 4, BIT(RBX), BIT(RBP)},
    {"cmove %rdi,%rbp", {0x48, 0x0f, 0x44, 0xef}, 4, BIT(RBP), BIT(RDI)},
    {"sete %bl", {0x0f, 0x94, 0xc3}, 3, BIT(RBX), 0},
    {"bswap %rbp", {0x48, 0x0f, 0xcd}, 3, BIT(RBP), 0},
    {"cpuid", {0x0f, 0xa2}, 2, BIT(RAX) | BIT(RBX) | BIT(RCX) | BIT(RDX), BIT(RBP)},
    {"movd %xmm3,%ebx", {0x66, 0x0f, 0x7e, 0xdb}, 4, BIT(RBX), 0},
    {"movq %xmm3,%xmm3", {0xf3, 0x0f, 0x7e, 0xdb}, 4, 0, BIT(RBX)},
    {"addps %xmm3,%xmm5", {0x0f, 0x58, 0xeb}, 3, 0, BIT(RBX) | BIT(RBP)},
    {"cvttsd2si %xmm0,%rbx", {0xf2, 0x48, 0x0f, 0x2c, 0xd8}, 5, BIT(RBX), 0},
    {"pmovmskb %xmm0,%ebx", {0x66, 0x0f, 0xd7, 0xd8}, 4, BIT(RBX), 0},
    {"vmulpd %ymm3,%ymm3,%ymm5", {0xc5, 0xe5, 0x59, 0xeb}, 4, 0, BIT(RBX) | BIT(RBP)},
    {"vfmadd231pd %ymm3,%ymm3,%ymm5", {0xc4, 0xe2, 0xe5, 0xb8, 0xeb}, 5, 0, BIT(RBX) | BIT(RBP)},
    {"andn %rdi,%rsi,%rbx", {0xc4, 0xe2, 0xc8, 0xf2, 0xdf}, 5, BIT(RBX), BIT(RBP)},
    {"mulx %rdi,%rbp,%rbx", {0xc4, 0xe2, 0xd3, 0xf6, 0xdf}, 5, BIT(RBX) | BIT(RBP), 0},
    {"rorx $1,%rdi,%rbx", {0xc4, 0xe3, 0xfb, 0xf0, 0xdf, 0x01}, 6, BIT(RBX), 0},
    {"rep movsb", {0xf3, 0xa4}, 2, BIT(RCX) | BIT(RSI) | BIT(RDI), BIT(RBX)},
    {"vaddpd %zmm3,%zmm3,%zmm5", {0x62, 0xf1, 0xe5, 0x48, 0x58, 0xeb}, 6, 0, BIT(RBX) | BIT(RBP)},
    {"prefetcht0 (%rbx)", {0x0f, 0x18, 0x0b}, 3, 0, BIT(RBX)},
    {"push %rbx", {0x53}, 1, 0, BIT(RBX)},
    {"pop %rbx", {0x5b}, 1, BIT(RBX), BIT(RBP)},
    {"xchg %rax,%rbx", {0x48, 0x93}, 2, BIT(RAX) | BIT(RBX), 0},
};

static void written_registers(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(written_cases) / sizeof(written_cases[0]); i++) {
    const struct written_case *c = &written_cases[i];
    struct x86_instruction in;
    bool is_right = x86_decode(&in, c->bytes, c->length) && in.length == c->length &&
                    (x86_written(&in) & c->must) == c->must && !(x86_written(&in) & c->must_not);
    if (!is_right)
      print_message("%s: length %u, writes %x\n", c->text, in.length, x86_written(&in));
    assert_true(is_right);
  }
}

static void memory_operands(void **state) {
  (void)state;
  static const uint8_t slot[] = {0x48, 0x89, 0x6c, 0x24, 0x08}; /* mov %rbp,8(%rsp) */
  static const uint8_t far_slot[] = {0x4c, 0x8b, 0xbd, 0x78,
                                     0xff, 0xff, 0xff};             /* -136(%rbp),%r15 */
  static const uint8_t absolute[] = {0x8b, 0x04, 0x25, 0, 0, 0, 1}; /* mov 0x1000000,%eax */
  static const uint8_t relative[] = {0x8b, 0x05, 0x10, 0, 0, 0};    /* mov 0x10(%rip),%eax */
  static const uint8_t indexed[] = {0x4a, 0x8d, 0x44, 0x25, 0x10};  /* lea 16(%rbp,%r12),%rax */
  struct x86_instruction in;

  assert_true(x86_decode(&in, slot, sizeof(slot)));
  assert_true(in.base == X86_RSP && !in.has_index && in.displacement == 8 && in.reg == X86_RBP);
  assert_true(x86_decode(&in, far_slot, sizeof(far_slot)));
  assert_true(in.base == X86_RBP && in.displacement == -136 && in.reg == 15);
  assert_true(x86_decode(&in, absolute, sizeof(absolute)));
  assert_true(in.base == X86_NO_REGISTER && !in.has_index && in.length == 7);
  assert_true(x86_decode(&in, relative, sizeof(relative)));
  assert_true(in.base == X86_NO_REGISTER && in.length == 6);
  assert_true(x86_decode(&in, indexed, sizeof(indexed)));
  assert_true(in.base == X86_RBP && in.has_index && in.displacement == 16);
}

static void cut_short(void **state) {
  (void)state;
  static const uint8_t code[] = {0x48, 0x81, 0xec, 0x80, 0x70, 0x00, 0x00};
  struct x86_instruction in;
  for (size_t bytes = 0; bytes < sizeof(code); bytes++)
    assert_false(x86_decode(&in, code, bytes));
  assert_true(x86_decode(&in, code, sizeof(code)));
  assert_int_equal(in.immediate, 0x7080);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(written_registers),
      cmocka_unit_test(memory_operands),
      cmocka_unit_test(cut_short),
      cmocka_unit_test(lengths_in_libc),
      cmocka_unit_test(lengths_in_libcrypto),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
