/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looks CPython's functions up. */
#include "python_api.h"

#include <string.h>

#include "python_hooks.h"
#include "shim.h"

const struct python_api *python_api(void) {
  static struct python_api api;
  if (api.version)
    return &api;
  bool is_complete = true;
  void *symbol;
#define PYTHON_FUNCTION(result, name, parameters)                                                  \
  symbol = shim_python_symbol(#name);                                                              \
  is_complete &= symbol != NULL;                                                                   \
  memcpy(&api.name, &symbol, sizeof(symbol));
  PYTHON_FUNCTIONS(PYTHON_FUNCTION)
#undef PYTHON_FUNCTION
  api.none = shim_python_symbol("_Py_NoneStruct");
  api.code_type = shim_python_symbol("PyCode_Type");
  if (!is_complete || !api.none || !api.code_type)
    return NULL;
  api.version = python_version();
  return api.version ? &api : NULL;
}
