/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rows against an independent reader of .eh_frame: binutils' readelf
 * --debug-dump=frames-interp, which prints the CFA, rbp and return address rules at every pc where
 * they change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "unwind/ehframe.h"

#define COLUMNS_MAX 40
#define LINE_BYTES 1024

struct tally {
  unsigned long pcs;         /* compared */
  unsigned long unsupported; /* our row is invalid where readelf has a rule */
  unsigned long wrong;
};

/* The state of reading: the columns of the current function. */
struct reader {
  const struct unwind_table *table;
  struct tally *tally;
  int cfa_column, rbp_column, ra_column;
  uint64_t function_begin, function_end;
  bool in_function;
};

static int split(char *line, char *words[COLUMNS_MAX]) {
  int count = 0;
  char *save = NULL;
  for (char *word = strtok_r(line, " \n", &save); word && count < COLUMNS_MAX;
       word = strtok_r(NULL, " \n", &save))
    words[count++] = word;
  return count;
}

/* readelf says "in register r10" with two words, "r10 (r10)". */
static int drop_parenthesised(char *words[], int count) {
  int kept = 0;
  for (int i = 0; i < count; i++)
    if (words[i][0] != '(')
      words[kept++] = words[i];
  return kept;
}

/* "rsp+16" of a DWARF register by name: false for "exp" and others. */
static bool parse_sum(const char *text, int *reg, long *offset) {
  static const char *const names[] = {"rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp",
                                      "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
  for (int i = 0; i < 16; i++) {
    size_t length = strlen(names[i]);
    if (strncmp(text, names[i], length) == 0 && (text[length] == '+' || text[length] == '-')) {
      *reg = i;
      *offset = strtol(text + length, NULL, 10);
      return true;
    }
  }
  return false;
}

static bool cfa_agrees(struct unwind_row row, const char *cfa) {
  int reg;
  long offset;
  if (!parse_sum(cfa, &reg, &offset))
    return strcmp(cfa, "exp") == 0 &&
           (row.type == ROW_PLT || row.type == ROW_DEREF_RBP || row.type == ROW_DEREF_RSP ||
            row.type == ROW_DEREF_RBP_PLUS || row.type == ROW_DEREF_INDEXED ||
            row.type == ROW_DEREF_RSP_BELOW || row.type == ROW_SIGNAL);
  if (reg == 7)
    return row.type == ROW_RSP && row.cfa * 8 == offset;
  if (reg == 6)
    return row.type == ROW_RBP && row.cfa * 8 == offset;
  return row.type == ROW_REGISTER && (row.cfa & 15) == reg && (row.cfa >> 4) * 8 == offset;
}

static bool rbp_agrees(struct unwind_row row, const char *rbp) {
  if (row.type == ROW_SIGNAL)
    return strcmp(rbp, "exp") == 0;
  if (!strcmp(rbp, "u") || !strcmp(rbp, "s"))
    return row.rbp == ROW_RBP_SAME;
  if (!strcmp(rbp, "exp"))
    return row.rbp == ROW_RBP_AT_RBP;
  return rbp[0] == 'c' && row.rbp * 8 == strtol(rbp + 1, NULL, 10) && row.rbp < ROW_RBP_AT_RBP;
}

static void compare(struct reader *reader, char *words[], int count) {
  struct tally *tally = reader->tally;
  uint64_t pc = strtoull(words[0], NULL, 16);
  const char *cfa = reader->cfa_column < count ? words[reader->cfa_column] : "";
  const char *rbp = reader->rbp_column ? words[reader->rbp_column] : "u";
  const char *ra = reader->ra_column ? words[reader->ra_column] : "u";
  if (pc >= reader->function_end) /* rules beyond the function govern nothing */
    return;
  const struct unwind_row *row = unwind_table_find(reader->table, pc);
  tally->pcs++;
  if (row && row->type == ROW_INVALID) {
    tally->unsupported++;
    return;
  }
  bool agrees = false;
  if (row && row->type == ROW_END)
    agrees = strcmp(ra, "u") == 0;
  else if (row && row->type == ROW_SIGNAL)
    agrees = strcmp(ra, "exp") == 0 && cfa_agrees(*row, cfa) && rbp_agrees(*row, rbp);
  else if (row)
    agrees = strcmp(ra, "c-8") == 0 && cfa_agrees(*row, cfa) && rbp_agrees(*row, rbp);
  if (agrees)
    return;
  tally->wrong++;
  if (tally->wrong < 10)
    print_message("pc %lx: readelf cfa %s rbp %s ra %s; row type %u cfa %u rbp %d\n",
                  (unsigned long)pc, cfa, rbp, ra, row ? row->type : 0, row ? row->cfa : 0,
                  row ? row->rbp : 0);
}

static void read_columns(struct reader *reader, char *words[], int count) {
  reader->cfa_column = reader->rbp_column = reader->ra_column = 0;
  for (int i = 0; i < count; i++) {
    if (!strcmp(words[i], "CFA"))
      reader->cfa_column = i;
    else if (!strcmp(words[i], "rbp"))
      reader->rbp_column = i;
    else if (!strcmp(words[i], "ra"))
      reader->ra_column = i;
  }
}

static void read_line(struct reader *reader, char *line) {
  char *words[COLUMNS_MAX];
  char *range = strstr(line, " pc=");
  bool is_function = strstr(line, " FDE ") != NULL;
  bool is_cie = strstr(line, " CIE ") != NULL;

  if (is_function && range) {
    reader->in_function =
        sscanf(range, " pc=%lx..%lx", &reader->function_begin, &reader->function_end) == 2;
    return;
  }
  if (is_cie)
    reader->in_function = false;
  int count = drop_parenthesised(words, split(line, words));
  if (count > 1 && !strcmp(words[0], "LOC"))
    read_columns(reader, words, count);
  else if (reader->in_function && count > 2 && strlen(words[0]) == 16)
    compare(reader, words, count);
}

static struct tally compare_file(const struct unwind_table *table, const char *path) {
  struct tally tally = {0};
  struct reader reader = {.table = table, .tally = &tally};
  char command[512], line[LINE_BYTES];

  snprintf(command, sizeof(command), "LC_ALL=C readelf --debug-dump=frames-interp '%s' 2>/dev/null",
           path);
  FILE *pipe = popen(command, "r");
  assert_non_null(pipe);
  while (fgets(line, sizeof(line), pipe))
    read_line(&reader, line);
  pclose(pipe);
  return tally;
}

static void check(const char *path, double unsupported_pct_max) {
  struct unwind_table table;
  int fd = open(path, O_RDONLY);

  if (fd < 0 || system("readelf --version >/dev/null 2>&1") != 0) {
    print_message("skipped: %s\n", fd < 0 ? path : "no readelf (package binutils)");
    skip();
  }
  assert_int_equal(unwind_table_build_fd(&table, fd), 0);
  close(fd);
  struct tally tally = compare_file(&table, path);
  unwind_table_fini(&table);
  print_message("%s: %lu pcs, %lu wrong, %lu without a row\n", path, tally.pcs, tally.wrong,
                tally.unsupported);
  assert_true(tally.pcs > 0);
  assert_int_equal(tally.wrong, 0);
  assert_true((double)tally.unsupported * 100 <= unsupported_pct_max * (double)tally.pcs);
}

#define LIBRARIES "/usr/lib/x86_64-linux-gnu/"

static void agrees_on_libc(void **state) {
  (void)state;
  check(LIBRARIES "libc.so.6", 0.1);
}

static void agrees_on_libcrypto(void **state) {
  (void)state;
  check(LIBRARIES "libcrypto.so.3", 0);
}

static void agrees_on_python(void **state) {
  (void)state;
  check("/usr/bin/python3.11", 0);
}

static void agrees_on_libstdcxx(void **state) {
  (void)state;
  check(LIBRARIES "libstdc++.so.6", 0);
}

static void agrees_on_the_dynamic_linker(void **state) {
  (void)state;
  check(LIBRARIES "ld-linux-x86-64.so.2", 0.1);
}

/* The vdso has no file: it is written to one for readelf, but our table is built from memory. */
static void agrees_on_the_vdso(void **state) {
  (void)state;
  const uint8_t *image = (const uint8_t *)getauxval(AT_SYSINFO_EHDR);
  char path[] = "/tmp/ragprof-vdso-XXXXXX";
  struct unwind_table table;

  if (!image) {
    print_message("skipped: this kernel gives no vdso\n");
    skip();
  }
  const Elf64_Ehdr *header = (const Elf64_Ehdr *)image;
  size_t bytes = header->e_shoff + (size_t)header->e_shnum * header->e_shentsize;
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, image, bytes), bytes);
  close(fd);
  assert_int_equal(unwind_table_build(&table, image, bytes), 0);
  struct tally tally = compare_file(&table, path);
  unlink(path);
  unwind_table_fini(&table);
  print_message("vdso: %lu pcs, %lu wrong, %lu without a row\n", tally.pcs, tally.wrong,
                tally.unsupported);
  assert_true(tally.pcs > 0);
  assert_int_equal(tally.wrong, 0);
  assert_int_equal(tally.unsupported, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(agrees_on_libc),
      cmocka_unit_test(agrees_on_libcrypto),
      cmocka_unit_test(agrees_on_python),
      cmocka_unit_test(agrees_on_libstdcxx),
      cmocka_unit_test(agrees_on_the_dynamic_linker),
      cmocka_unit_test(agrees_on_the_vdso),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
