/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The audit hook (PEP 578): a safe moment with the GIL, before any user code, and the code objects
 * before they run. It vetoes nothing, raises nothing, and Python code cannot see it. */
#include <stdlib.h>
#include <string.h>

#include "python_hooks.h"
#include "shim.h"

typedef int (*audit_function)(const char *event, void *arguments, void *data);

static void *(*tuple_item)(void *tuple, long index);
static long (*tuple_size)(void *tuple);

unsigned python_version(void) {
  const char *(*get_version)(void) = (const char *(*)(void))shim_python_symbol("Py_GetVersion");
  if (!get_version)
    return 0;
  const char *version = get_version();
  char *rest;
  unsigned long major = strtoul(version, &rest, 10);
  unsigned long minor = *rest == '.' ? strtoul(rest + 1, NULL, 10) : 0;
  bool is_free_threaded =
      strstr(version, "free-threading") != NULL; /* 3.13, Include/patchlevel.h */
  return is_free_threaded ? 0 : (unsigned)(major << 8 | (minor & 0xff));
}

static int on_event(const char *event, void *arguments, void *data) {
  (void)data;
  if (!strncmp(event, "cpython._PySys_", 15)) /* the interpreter goes away */
    return 0;
  python_alloc_check();
  if (!strcmp(event, "exec") && tuple_size(arguments) == 1)
    iteration_python_exec(tuple_item(arguments, 0));
  return 0;
}

void python_audit_start(void) {
  static bool is_started;
  int (*add)(audit_function, void *) =
      (int (*)(audit_function, void *))shim_python_symbol("PySys_AddAuditHook");
  tuple_item = (void *(*)(void *, long))shim_python_symbol("PyTuple_GetItem");
  tuple_size = (long (*)(void *))shim_python_symbol("PyTuple_Size");
  if (is_started || !add || !tuple_item || !tuple_size)
    return;
  is_started = add(on_event, NULL) == 0;
}
