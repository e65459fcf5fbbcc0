/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a profiled program is called. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/target.h"
#include "handmade.h"

static struct handmade made;

static uint32_t push(uint32_t parent, enum frame_kind kind, const char *name, const char *file) {
  return handmade_call(&made, parent, handmade_function(&made, kind, name, file, "", 1), 1);
}

static void start(const char *name) {
  handmade_init(&made, 0);
  handmade_process(&made, 1, name, "python 3.11.2");
  handmade_thread(&made, 1, name, 1);
  handmade_fact(&made, "target.name", name);
}

static uint32_t interpreter(void) {
  return push(PROFILE_NONE, FRAME_NATIVE, "Py_BytesMain", "");
}

static void a_script_names_the_program(void **state) {
  (void)state;
  start("python3");
  handmade_samples(&made, 0, push(interpreter(), FRAME_PYTHON, "<module>", "/srv/server.py"), 1);
  assert_string_equal(target_title(&made.profile), "server.py");
}

static void a_package_names_the_program(void **state) {
  (void)state;
  start("python3.11");
  uint32_t node = push(interpreter(), FRAME_PYTHON, "_run_module_as_main", "<frozen runpy>");
  node = push(node, FRAME_PYTHON, "_run_code", "<frozen runpy>");
  node = push(node, FRAME_PYTHON, "<module>", "/opt/rag/service/__main__.py");
  handmade_samples(&made, 0, node, 1);
  assert_string_equal(target_title(&made.profile), "service/__main__.py");
}

/* Modules that start-up imports, and those below a cut, are not what was run; memory tells as well.
 */
static void only_the_outermost_module_counts(void **state) {
  (void)state;
  start("python3");
  uint32_t node = push(interpreter(), FRAME_PYTHON, "_find_and_load", "<frozen importlib>");
  handmade_samples(&made, 0, push(node, FRAME_PYTHON, "<module>", "/opt/hack/__init__.py"), 9);
  node = push(PROFILE_NONE, FRAME_MARK, "[truncated]", "");
  handmade_samples(&made, 0, push(node, FRAME_PYTHON, "<module>", "/srv/inner.py"), 9);
  assert_string_equal(target_title(&made.profile), "python3");
  handmade_heap_site(&made, push(interpreter(), FRAME_PYTHON, "<module>", "/srv/app.py"),
                     HEAP_MALLOC);
  assert_string_equal(target_title(&made.profile), "app.py");
}

/* What the kernel did for it tells as well; a program may be no file at all. */
static void operations_and_texts_tell(void **state) {
  static struct profile_operation read = {.class = OPERATION_SYSCALL, .name = "read"};
  static struct profile_operation_stack stack;
  (void)state;
  start("python3");
  stack.node = push(interpreter(), FRAME_PYTHON, "<module>", "/srv/app.py");
  made.profile.operations = &read;
  made.profile.operation_count = 1;
  made.profile.operation_stacks = &stack;
  made.profile.operation_stack_count = 1;
  assert_string_equal(target_title(&made.profile), "app.py");
  start("python3");
  handmade_samples(&made, 0, push(interpreter(), FRAME_PYTHON, "<module>", "<string>"), 1);
  assert_string_equal(target_title(&made.profile), "python -c");
}

static void other_processes_do_not_tell(void **state) {
  (void)state;
  start("python3");
  handmade_process(&made, 2, "python3", "");
  uint32_t thread = handmade_thread(&made, 2, "python3", 1);
  handmade_samples(&made, thread, push(interpreter(), FRAME_PYTHON, "<module>", "/srv/child.py"),
                   1);
  assert_string_equal(target_title(&made.profile), "python3");
}

static void programs_keep_their_name(void **state) {
  (void)state;
  start("rag-server");
  handmade_samples(&made, 0, push(interpreter(), FRAME_PYTHON, "<module>", "/srv/app.py"), 1);
  assert_string_equal(target_title(&made.profile), "rag-server");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_script_names_the_program),
      cmocka_unit_test(a_package_names_the_program),
      cmocka_unit_test(only_the_outermost_module_counts),
      cmocka_unit_test(operations_and_texts_tell),
      cmocka_unit_test(other_processes_do_not_tell),
      cmocka_unit_test(programs_keep_their_name),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
