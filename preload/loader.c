/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hooks of dlopen and dlclose, which tell the parts that keep something of modules. The linker
 * looks for a library by what the module that calls dlopen says (its RUNPATH, $ORIGIN), so where
 * that matters the call is passed on as the caller's own, and what it loads is noticed later. */
#include <dlfcn.h>
#include <link.h>
#include <string.h>

#include "hooks.h"
#include "shim.h"

static bool has_search_path(const struct link_map *map) {
  for (const ElfW(Dyn) *entry = map->l_ld; entry && entry->d_tag != DT_NULL; entry++)
    if (entry->d_tag == DT_RPATH || entry->d_tag == DT_RUNPATH)
      return true;
  return false;
}

/* Whether dlopen would do the same for us as for the caller. */
static bool caller_matters(const char *file, void *caller) {
  Dl_info module;
  struct link_map *map = NULL;

  if (!file || !*file)
    return true; /* the main program, of the caller's namespace */
  if (strchr(file, '$'))
    return true;
  if (strchr(file, '/'))
    return false;
  return !dladdr1(caller, &module, (void **)&map, RTLD_DL_LINKMAP) || !map || has_search_path(map);
}

static void loaded(void) {
  struct shim_thread *thread = shim_enter();

  if (!thread)
    return;
  shim_modules_changed(false);
  shim_python_find();
  shim_python_alloc_start();
  shim_iteration_start();
  shim_leave(thread);
}

SHIM_EXPORT void *dlopen(const char *file, int mode) {
  if (!shim_config.folder[0] || caller_matters(file, __builtin_return_address(0)))
    return shim_next.dlopen(file, mode);
  void *handle = shim_next.dlopen(file, mode);
  if (handle && !(mode & RTLD_NOLOAD))
    loaded();
  return handle;
}

static void unloaded(void) {
  struct shim_thread *thread = shim_enter();

  if (!thread)
    return;
  shim_modules_changed(true);
  shim_leave(thread);
}

SHIM_EXPORT int dlclose(void *handle) {
  if (!shim_config.folder[0])
    return shim_next.dlclose(handle);
  unloaded();
  int result = shim_next.dlclose(handle);
  unloaded();
  return result;
}
