/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inlined calls and lines: every address of a program against addr2line or llvm-symbolizer, and
 * against what the source says. */
#include "symbol_support.h"

#include <libgen.h>
#include <limits.h>

/* The same file by two spellings ("/a/../b.h"). */
static bool is_same_file(const char *a, const char *b) {
  char real_a[PATH_MAX], real_b[PATH_MAX];
  if (!strcmp(a, b))
    return true;
  return realpath(a, real_a) && realpath(b, real_b) && !strcmp(real_a, real_b);
}

/* Reads "function\nfile:line[ (discriminator N)]\n". false at an address line, which is kept. */
static bool read_expected(FILE *in, char *line, size_t bytes, struct seen_frame *frame) {
  if (!fgets(line, (int)bytes, in) || !strncmp(line, "0x", 2))
    return false;
  line[strcspn(line, "\n")] = '\0';
  snprintf(frame->function, sizeof(frame->function), "%s", line);
  assert_non_null(fgets(line, (int)bytes, in));
  char *colon = strrchr(line, ':');
  assert_non_null(colon);
  *colon = '\0';
  snprintf(frame->file, sizeof(frame->file), "%s", line);
  frame->line = (uint32_t)strtoul(colon + 1, NULL, 10);
  return true;
}

static void read_frames(FILE *in, char *line, size_t bytes, struct seen *expected) {
  expected->count = 0;
  while (read_expected(in, line, bytes, &expected->frames[expected->count]))
    expected->count++;
}

/* Names over 1,024 bytes are cut, "..." marks the cut. Of a lambda inlined by GCC, DWARF has no
 * mangled name: tools say "operator()" or name the function around it. */
static bool is_same_name(const char *have, const char *want) {
  size_t length = strlen(have);
  if (length == 1024 && !strcmp(have + 1021, "..."))
    return !strncmp(have, want, 1021);
  return !strcmp(have, want) ||
         (length > 20 && !strcmp(have + length - 20, "{lambda}::operator()"));
}

static void compare_frames(uint64_t vaddr, const struct seen *expected, const struct seen *seen) {
  if (expected->count != seen->count)
    fail_msg("%#lx: %u frames, expected %u", vaddr, seen->count, expected->count);
  for (uint32_t i = 0; i < seen->count; i++) {
    const struct seen_frame *want = &expected->frames[i], *have = &seen->frames[i];
    if (!is_same_name(have->function, want->function))
      fail_msg("%#lx frame %u: %s, expected %s", vaddr, i, have->function, want->function);
    if (!is_same_file(have->file, want->file) || have->line != want->line)
      fail_msg("%#lx frame %u: %s:%u, expected %s:%u", vaddr, i, have->file, have->line, want->file,
               want->line);
    assert_int_equal(have->inlined, i + 1 < seen->count);
  }
}

/* The bytes of .text that belong to functions with DWARF, one address per line. */
static void list_text(const char *path, const char *out) {
  char command[9000];
  snprintf(command, sizeof(command),
           "readelf -SW '%s' | sed -n 's/.* \\.text *PROGBITS *\\([0-9a-f]*\\) [0-9a-f]* "
           "\\([0-9a-f]*\\) .*/\\1 \\2/p'",
           path);
  uint64_t start, size;
  FILE *in = popen(command, "r");
  assert_int_equal(fscanf(in, "%lx %lx", &start, &size), 2);
  pclose(in);
  FILE *list = fopen(out, "we");
  uint64_t step = size / 6000 + 1;
  for (uint64_t at = start; at < start + size; at += step)
    fprintf(list, "%#lx\n", at);
  fclose(list);
}

/* Returns how many frames were inlined. What DWARF does not cover (the C runtime's start-up code,
 * padding between functions) is left out: both tools attribute padding to the function before. */
static int compare_with(const char *tool, const char *path, void **state) {
  char command[9000], line[8192];
  const char *list = in_scratch(state, "addresses");
  static struct seen expected, seen;
  int inlined = 0, compared = 0, total = 0;
  list_text(path, list);
  snprintf(command, sizeof(command), "%s -a -i -f -C -e '%s' < '%s'", tool, path, list);
  FILE *in = popen(command, "r");
  struct opened opened = open_elf(path);
  assert_non_null(fgets(line, sizeof(line), in));
  while (!strncmp(line, "0x", 2)) {
    uint64_t vaddr = strtoull(line, NULL, 16);
    line[0] = '\0';
    read_frames(in, line, sizeof(line), &expected);
    resolve(&opened, vaddr, &seen);
    total++;
    if (expected.frames[0].file[0] != '/' || !seen.count)
      continue;
    compare_frames(vaddr, &expected, &seen);
    compared++;
    inlined += (int)seen.count - 1;
  }
  pclose(in);
  close_elf(&opened);
  assert_true(compared * 10 > total * 6);
  return inlined;
}

static void build_inlined(void **state, const char *compiler, const char *flags) {
  must_run("%s -O2 -g %s -o '%s' \"$PWD/%s/inlined.cc\"", compiler, flags,
           in_scratch(state, "inlined"), WORKLOADS);
}

static void agrees_on_cpp_by_gcc(void **state) {
  need_tool("g++");
  build_inlined(state, "g++", "");
  assert_true(compare_with("addr2line", in_scratch(state, "inlined"), state) > 100);
}

static void agrees_on_dwarf_4(void **state) {
  need_tool("g++");
  build_inlined(state, "g++", "-gdwarf-4");
  assert_true(compare_with("addr2line", in_scratch(state, "inlined"), state) > 100);
}

static void agrees_on_compressed_sections(void **state) {
  need_tool("g++");
  build_inlined(state, "g++", "-gz=zlib");
  assert_true(compare_with("addr2line", in_scratch(state, "inlined"), state) > 100);
}

/* binutils 2.40 does not follow clang's DWARF 5, so LLVM's own tool says what is right. */
static void agrees_on_cpp_by_clang(void **state) {
  need_tool("clang++");
  need_tool("llvm-symbolizer");
  build_inlined(state, "clang++", "");
  assert_true(compare_with("llvm-symbolizer --output-style=GNU", in_scratch(state, "inlined"),
                           state) > 100);
}

static void agrees_on_rust(void **state) {
  need_tool("rustc");
  must_run("rustc -O -g -o '%s' %s/lines.rs", in_scratch(state, "rust"), WORKLOADS);
  assert_true(compare_with("addr2line", in_scratch(state, "rust"), state) > 1000);
}

/* The number of the line of a workload that has the text. */
static uint32_t line_with(const char *file, const char *text) {
  char path[256], line[512];
  snprintf(path, sizeof(path), "%s/%s", WORKLOADS, file);
  FILE *in = fopen(path, "re");
  assert_non_null(in);
  for (uint32_t number = 1; fgets(line, sizeof(line), in); number++)
    if (strstr(line, text)) {
      fclose(in);
      return number;
    }
  fail_msg("%s has no \"%s\"", path, text);
  return 0;
}

static void check_place(const struct seen_frame *frame, const char *function, const char *file,
                        uint32_t line, uint32_t first_line) {
  char path[1024];
  assert_string_equal(frame->function, function);
  strcpy(path, frame->file);
  assert_string_equal(basename(path), file);
  assert_int_equal(frame->line, line);
  assert_int_equal(frame->first_line, first_line);
}

/* The address of a call of abort() has one line; that of a multiplication has four frames. */
static void tells_what_the_source_says(void **state) {
  need_tool("g++");
  struct seen seen;
  build_inlined(state, "g++", "");
  struct opened opened = open_elf(in_scratch(state, "inlined"));
  uint64_t start = address_by_nm(in_scratch(state, "inlined"), "_ZNK6search5Index7nearestEPKf");
  bool found = false;
  for (uint64_t at = start; at < start + 1000 && !found; at++) {
    resolve(&opened, at, &seen);
    found = seen.count == 4;
  }
  assert_true(found);
  check_place(&seen.frames[0], "vectors::multiply(float, float)", "inlined.h",
              line_with("inlined.h", "return a * b"), line_with("inlined.h", "float multiply("));
  check_place(&seen.frames[1], "float vectors::dot<float, 8>(float const*, float const*)",
              "inlined.h", line_with("inlined.h", "sum += multiply"),
              line_with("inlined.h", "T dot("));
  assert_string_equal(seen.frames[2].function,
                      "search::Index::nearest(float const*) const::{lambda}::operator()");
  assert_int_equal(seen.frames[2].line, line_with("inlined.cc", "vectors::dot<"));
  check_place(&seen.frames[3], "search::Index::nearest(float const*) const", "inlined.cc",
              line_with("inlined.cc", "consider(i);"),
              line_with("inlined.cc", "int Index::nearest("));
  assert_false(seen.frames[3].inlined);
  close_elf(&opened);
}

/* Without inlines, the one frame has the line of the call that was expanded in it. */
static void collapses_inlined_calls(void **state) {
  need_tool("g++");
  static struct seen full, seen;
  build_inlined(state, "g++", "");
  struct opened opened = open_elf(in_scratch(state, "inlined"));
  struct symbol_options options = {.inlines = false};
  struct opened collapsed = {.fd = opened.fd};
  const char *path = in_scratch(state, "inlined");
  assert_int_equal(symbol_elf_open(&collapsed.elf, opened.fd, path, "", &options), 0);
  uint64_t start = address_by_nm(path, "_ZNK6search5Index7nearestEPKf");
  for (uint64_t at = start; at < start + 60; at++) {
    resolve(&opened, at, &full);
    resolve(&collapsed, at, &seen);
    assert_int_equal(seen.count, 1);
    assert_memory_equal(&seen.frames[0], &full.frames[full.count - 1], sizeof(seen.frames[0]));
  }
  symbol_elf_close(collapsed.elf);
  close_elf(&opened);
}

/* A path below the folder of compilation, as -ffile-prefix-map leaves it. */
static void joins_relative_files(void **state) {
  struct seen seen;
  must_run("cd %s && gcc -O2 -g -o '%s' plain.c", WORKLOADS, in_scratch(state, "relative"));
  struct opened opened = open_elf(in_scratch(state, "relative"));
  resolve(&opened, address_by_nm(in_scratch(state, "relative"), "public_step"), &seen);
  char expected[PATH_MAX];
  assert_non_null(realpath(WORKLOADS "/plain.c", expected));
  assert_string_equal(seen.frames[0].file, expected);
  assert_string_equal(seen.frames[0].function, "public_step");
  assert_int_equal(seen.frames[0].first_line, line_with("plain.c", "int public_step(int x) {"));
  close_elf(&opened);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(agrees_on_cpp_by_gcc),
      cmocka_unit_test(agrees_on_dwarf_4),
      cmocka_unit_test(agrees_on_compressed_sections),
      cmocka_unit_test(agrees_on_cpp_by_clang),
      cmocka_unit_test(agrees_on_rust),
      cmocka_unit_test(tells_what_the_source_says),
      cmocka_unit_test(collapses_inlined_calls),
      cmocka_unit_test(joins_relative_files),
  };
  return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
