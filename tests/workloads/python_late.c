// SPDX-License-Identifier: GPL-2.0-or-later
// Loads a libpython at run time, as servers with a Python plug-in do, and runs a program in it;
// then shuts it down and does the same again.
//
// usage: python_late LIBPYTHON CODE
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv) {
  if (argc != 3)
    return 2;
  void *library = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
  if (!library) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  void (*initialize)(void) = dlsym(library, "Py_Initialize");
  int (*run)(const char *) = dlsym(library, "PyRun_SimpleString");
  int (*finalize)(void) = dlsym(library, "Py_FinalizeEx");
  for (int i = 0; i < 2; i++) {
    initialize();
    if (run(argv[2]))
      return 1;
    finalize();
  }
  return 0;
}
