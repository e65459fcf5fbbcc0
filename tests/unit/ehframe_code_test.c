/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Following code instead of reading CFI. The oracle is CFI itself: functions that have it are
 * followed as if they had none, and what both say has to agree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unwind/ehframe.h"
#include "unwind/ehframe_code.h"
#include "unwind/ehframe_internal.h"

struct comparison {
  const struct unwind_table *table;
  struct elf_image image;
  struct code_scratch *scratch;
  uint8_t *code;
  unsigned long functions, followed;
  unsigned long rows, same, other_register, wrong;
};

/* Rows may name another register for the same CFA; those of one register must agree. Compilers
 * leave "saved" standing after the caller's rbp is popped, which is harmless. */
static void compare_row(struct comparison *all, struct unwind_row ours, uint64_t vaddr) {
  const struct unwind_row *cfi = unwind_table_find(all->table, vaddr);

  if (ours.type == ROW_INVALID || !cfi || cfi->type == ROW_INVALID)
    return;
  all->rows++;
  if (cfi->type != ours.type || (ours.type == ROW_REGISTER && (cfi->cfa & 15) != (ours.cfa & 15))) {
    all->other_register++;
    return;
  }
  bool is_same = cfi->cfa == ours.cfa && (cfi->rbp == ours.rbp || ours.rbp == ROW_RBP_SAME);
  all->same += is_same;
  all->wrong += !is_same;
  if (!is_same && all->wrong < 10)
    print_message("%lx: CFI type %u cfa %u rbp %d; code type %u cfa %u rbp %d\n",
                  (unsigned long)vaddr, cfi->type, cfi->cfa, cfi->rbp, ours.type, ours.cfa,
                  ours.rbp);
}

static void take_function(void *ctx, struct elf_function function) {
  struct comparison *all = ctx;
  const struct unwind_row *row = unwind_table_find(all->table, function.vaddr);
  struct unwind_table ours = {0};
  struct cfi_sink sink = {.table = &ours};

  if (!row || row->type != ROW_RSP || row->cfa != 1 || function.bytes < 8 ||
      function.bytes > CODE_BYTES_MAX)
    return;
  uint64_t offset = 0;
  for (uint32_t i = 0; i < all->table->segment_count; i++)
    if (function.vaddr - all->table->segments[i].vaddr < all->table->segments[i].bytes)
      offset = all->table->segments[i].offset + function.vaddr - all->table->segments[i].vaddr;
  if (!ehframe_elf_bytes(&all->image, offset, all->code, function.bytes))
    return;
  all->functions++;
  all->followed += ehframe_code_rows(&sink, all->scratch, all->code, (uint32_t)function.bytes, 0);
  for (size_t i = 0; i < ours.row_count; i++)
    compare_row(all, ours.rows[i], function.vaddr + ours.rows[i].pc);
  free(ours.rows);
}

static void compare_file(const char *path, double followed_pct_min, double wrong_pct_max) {
  struct unwind_table table;
  int fd = open(path, O_RDONLY);

  if (fd < 0) {
    print_message("skipped: no %s\n", path);
    skip();
  }
  assert_int_equal(unwind_table_build_fd(&table, fd), 0);
  struct comparison all = {.table = &table,
                           .image = {.bytes = (uint64_t)lseek(fd, 0, SEEK_END), .fd = fd},
                           .scratch = ehframe_code_scratch_new(),
                           .code = malloc(CODE_BYTES_MAX)};
  assert_int_equal(ehframe_elf_functions(&all.image, take_function, &all), 0);
  print_message("%s: %lu of %lu functions followed, %lu rows, %lu same, %lu of another register, "
                "%lu wrong\n",
                path, all.followed, all.functions, all.rows, all.same, all.other_register,
                all.wrong);
  free(all.code);
  ehframe_code_scratch_free(all.scratch);
  unwind_table_fini(&table);
  close(fd);
  assert_true(all.functions > 100);
  assert_true((double)all.followed * 100 >= followed_pct_min * (double)all.functions);
  assert_true((double)all.wrong * 100 <= wrong_pct_max * (double)all.rows);
}

static void agrees_with_the_cfi_of_libc(void **state) {
  (void)state;
  compare_file("/usr/lib/x86_64-linux-gnu/libc.so.6", 80, 0);
}

static void agrees_with_the_cfi_of_libcrypto(void **state) {
  (void)state;
  compare_file("/usr/lib/x86_64-linux-gnu/libcrypto.so.3", 80, 0);
}

static void agrees_with_the_cfi_of_python(void **state) {
  (void)state;
  compare_file("/usr/bin/python3.11", 80, 0);
}

static void agrees_with_the_cfi_of_libstdcxx(void **state) {
  (void)state;
  compare_file("/usr/lib/x86_64-linux-gnu/libstdc++.so.6", 80, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(agrees_with_the_cfi_of_libc),
      cmocka_unit_test(agrees_with_the_cfi_of_libcrypto),
      cmocka_unit_test(agrees_with_the_cfi_of_python),
      cmocka_unit_test(agrees_with_the_cfi_of_libstdcxx),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
