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

/* The interpreter keeps an entry for an audit hook, from its raw allocator. Ours is from before its
 * initialisation, at which -X dev and PYTHONMALLOC=debug put another raw allocator in place: that
 * one aborts at a block it did not hand out, when the entries are given back at the end (3.8 to
 * 3.13, _PySys_ClearAuditHooks). So ours is given back to where it came from. */
static void *entry;
static struct python_allocator raw_then, raw_now;
static python_allocator_function get_allocator, set_allocator;

static void *remember_entry(void *ctx, size_t bytes) {
  return entry = raw_then.malloc(ctx, bytes);
}

static void free_entry(void *ctx, void *block) {
  if (block && block == entry) {
    entry = NULL;
    raw_then.free(raw_then.ctx, block);
  } else {
    raw_now.free(ctx, block);
  }
}

static bool add_hook(int (*add)(audit_function, void *), audit_function hook) {
  get_allocator(DOMAIN_RAW, &raw_then);
  struct python_allocator remembering = raw_then;
  remembering.malloc = remember_entry;
  set_allocator(DOMAIN_RAW, &remembering);
  bool is_added = add(hook, NULL) == 0;
  set_allocator(DOMAIN_RAW, &raw_then);
  return is_added;
}

static void before_end(void) {
  get_allocator(DOMAIN_RAW, &raw_now);
  if (!entry || raw_now.free == raw_then.free || raw_now.free == free_entry)
    return;
  struct python_allocator hooked = raw_now;
  hooked.free = free_entry;
  set_allocator(DOMAIN_RAW, &hooked);
}

static int on_event(const char *event, void *arguments, void *data) {
  (void)data;
  if (!strcmp(event, "cpython._PySys_ClearAuditHooks")) { /* the interpreter goes away */
    before_end();
    return 0;
  }
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
  get_allocator = (python_allocator_function)shim_python_symbol("PyMem_GetAllocator");
  set_allocator = (python_allocator_function)shim_python_symbol("PyMem_SetAllocator");
  if (is_started || !add || !tuple_item || !tuple_size || !get_allocator || !set_allocator)
    return;
  is_started = add_hook(add, on_event);
}
