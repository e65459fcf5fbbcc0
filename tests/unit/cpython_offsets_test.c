/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks which versions have a row, and that the self-description of 3.13 is believed only where it
 * is whole and plausible. That the rows are right is checked live, in cpython_live_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unwind/cpython.h"

/* struct _Py_DebugOffsets of Include/internal/pycore_runtime.h, 3.13, as far as it is read. */
struct debug_offsets {
  char cookie[8];
  uint64_t version, free_threaded;
  struct {
    uint64_t size, finalizing, interpreters_head;
  } runtime_state;
  struct {
    uint64_t size, id, next, threads_head, gc, imports_modules, sysdict, builtins, ceval_gil,
        gil_runtime_state, gil_runtime_state_enabled, gil_runtime_state_locked,
        gil_runtime_state_holder;
  } interpreter_state;
  struct {
    uint64_t size, prev, next, interp, current_frame, thread_id, native_thread_id, datastack_chunk,
        status;
  } thread_state;
  struct {
    uint64_t size, previous, executable, instr_ptr, localsplus, owner;
  } interpreter_frame;
  struct {
    uint64_t size, filename, name, qualname, linetable, firstlineno, argcount, localsplusnames,
        localspluskinds, co_code_adaptive;
  } code_object;
  struct {
    uint64_t size, ob_type;
  } pyobject;
  struct {
    uint64_t size, tp_name, tp_repr, tp_flags;
  } type_object;
  struct {
    uint64_t size, ob_item, ob_size;
  } tuple_object, list_object;
  struct {
    uint64_t size, ma_keys, ma_values;
  } dict_object;
  struct {
    uint64_t size, ob_fval;
  } float_object;
  struct {
    uint64_t size, lv_tag, ob_digit;
  } long_object;
  struct {
    uint64_t size, ob_size, ob_sval;
  } bytes_object;
  struct {
    uint64_t size, state, length, asciiobject_size;
  } unicode_object;
  struct {
    uint64_t size, collecting;
  } gc;
};

/* What a release with other offsets than the table's would say. */
static struct debug_offsets moved(void) {
  return (struct debug_offsets){
      .cookie = "xdebugpy",
      .version = 0x030d07f0,
      .runtime_state = {.interpreters_head = 640},
      .thread_state = {.size = 320, .current_frame = 80},
      .interpreter_frame =
          {.size = 88, .previous = 16, .executable = 8, .instr_ptr = 64, .owner = 78},
      .code_object = {.size = 216,
                      .filename = 120,
                      .name = 128,
                      .qualname = 136,
                      .linetable = 144,
                      .firstlineno = 76,
                      .co_code_adaptive = 208},
      .bytes_object = {.size = 48, .ob_size = 24, .ob_sval = 40},
      .unicode_object = {.size = 72, .state = 40, .length = 24, .asciiobject_size = 48},
  };
}

static void test_versions(void **state) {
  (void)state;
  for (uint32_t minor = 8; minor <= 13; minor++) {
    const struct python_offsets *offsets = cpython_offsets(0x0300 | minor);
    assert_non_null(offsets);
    assert_int_equal(offsets->version, 0x0300 | minor);
  }
  assert_null(cpython_offsets(0x0307));
  assert_null(cpython_offsets(0x030e));
  assert_null(cpython_offsets(0x0207));
  assert_null(cpython_offsets(0));
}

static void test_moved_layout_is_taken(void **state) {
  (void)state;
  struct debug_offsets debug = moved();
  struct python_offsets offsets = *cpython_offsets(0x030d);
  struct python_offsets row = offsets;
  assert_true(cpython_offsets_refine(&offsets, 0x030d, &debug, sizeof(debug)));
  assert_int_equal(offsets.tstate_frame, 80);
  assert_int_equal(offsets.frame_back, 16);
  assert_int_equal(offsets.frame_code, 8);
  assert_int_equal(offsets.frame_instr, 64);
  assert_int_equal(offsets.frame_owner, 78);
  assert_int_equal(offsets.code_filename, 120);
  assert_int_equal(offsets.code_name, 128);
  assert_int_equal(offsets.code_qualname, 136);
  assert_int_equal(offsets.code_linetable, 144);
  assert_int_equal(offsets.code_firstlineno, 76);
  assert_int_equal(offsets.code_adaptive, 208);
  assert_int_equal(offsets.bytes_length, 24);
  assert_int_equal(offsets.bytes_data, 40);
  assert_int_equal(offsets.string_state, 40);
  assert_int_equal(offsets.string_length, 24);
  assert_int_equal(offsets.string_ascii, 48);
  assert_int_equal(offsets.string_compact, 64);
  assert_int_equal(offsets.autotss_key, row.autotss_key + 8);
  assert_int_equal(offsets.code_flags, row.code_flags);
  assert_int_equal(offsets.version, 0x030d);
}

static void expect_refused(const struct debug_offsets *debug, uint32_t version, size_t size) {
  struct python_offsets offsets = *cpython_offsets(0x030d);
  struct python_offsets before = offsets;
  assert_false(cpython_offsets_refine(&offsets, version, debug, size));
  assert_memory_equal(&offsets, &before, sizeof(before));
}

static void test_implausible_is_refused(void **state) {
  (void)state;
  struct debug_offsets debug = moved();
  expect_refused(&debug, 0x030c, sizeof(debug));
  expect_refused(&debug, 0x030d, sizeof(debug) / 2);
  expect_refused(&debug, 0x030d, 0);
#define REFUSED_WITH(assignment)                                                                   \
  do {                                                                                             \
    debug = moved();                                                                               \
    assignment;                                                                                    \
    expect_refused(&debug, 0x030d, sizeof(debug));                                                 \
  } while (0)
  REFUSED_WITH(debug.cookie[0] = 'X');
  REFUSED_WITH(debug.version = 0x030e00f0);
  REFUSED_WITH(debug.free_threaded = 1);
  REFUSED_WITH(debug.thread_state.current_frame = 81);
  REFUSED_WITH(debug.thread_state.current_frame = 320);
  REFUSED_WITH(debug.code_object.size = 1ull << 40);
  REFUSED_WITH(debug.code_object.linetable = UINT64_MAX - 7);
  REFUSED_WITH(debug.interpreter_frame.instr_ptr = 1ull << 32);
  REFUSED_WITH(debug.unicode_object.size = 0);
  REFUSED_WITH(debug.runtime_state.interpreters_head = 636);
  REFUSED_WITH(debug.runtime_state.interpreters_head = 1ull << 33);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_versions),
      cmocka_unit_test(test_moved_layout_is_taken),
      cmocka_unit_test(test_implausible_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
