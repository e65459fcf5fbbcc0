/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The functions of CPython that the shim calls, looked up by name: all are in every version
 * from 3.8 to 3.13 with these parameters. Objects are pointers to void here. Called with the GIL
 * only. */
#ifndef RAGPROF_PRELOAD_PYTHON_API_H
#define RAGPROF_PRELOAD_PYTHON_API_H

#include <stddef.h>

#define PYTHON_FUNCTIONS(X)                                                                        \
  X(long, PyTuple_Size, (void *tuple))                                                             \
  X(void *, PyTuple_GetItem, (void *tuple, long index))          /* borrowed */                    \
  X(int, PyTuple_SetItem, (void *tuple, long index, void *item)) /* takes item */                  \
  X(void *, PyTuple_New, (long size))                                                              \
  X(void *, PyObject_GetAttrString, (void *object, const char *name))                              \
  X(void *, PyObject_Call, (void *callable, void *arguments, void *keywords))                      \
  X(void *, PyObject_CallMethod, (void *object, const char *name, const char *format, ...))        \
  X(void *, Py_BuildValue, (const char *format, ...))                                              \
  X(const char *, PyUnicode_AsUTF8, (void *text))                                                  \
  X(long, PyLong_AsLong, (void *number))                                                           \
  X(void *, PyBytes_FromStringAndSize, (const char *data, long bytes))                             \
  X(int, PyBytes_AsStringAndSize, (void *object, char **data, long *bytes))                        \
  X(void *, PyImport_GetModuleDict, (void))                      /* borrowed */                    \
  X(void *, PyDict_GetItemString, (void *dict, const char *key)) /* borrowed */                    \
  X(void *, PySys_GetObject, (const char *name))                 /* borrowed */                    \
  X(void *, PyCFunction_NewEx, (struct python_method * method, void *self, void *module))          \
  X(void, PyErr_Fetch, (void **type, void **value, void **traceback))                              \
  X(void, PyErr_Restore, (void *type, void *value, void *traceback))                               \
  X(void, PyErr_Clear, (void))                                                                     \
  X(void, Py_IncRef, (void *object))                                                               \
  X(void, Py_DecRef, (void *object))

/* PyMethodDef, Include/methodobject.h. */
struct python_method {
  const char *name;
  void *function;
  int flags;
  const char *doc;
};
#define PYTHON_METHOD_FASTCALL 0x80 /* METH_FASTCALL: (self, arguments, count) */
#define PYTHON_METHOD_NO_ARGUMENTS 0x04

struct python_api {
#define PYTHON_FUNCTION(result, name, parameters) result(*name) parameters;
  PYTHON_FUNCTIONS(PYTHON_FUNCTION)
#undef PYTHON_FUNCTION
  void *none;       /* _Py_NoneStruct */
  void *code_type;  /* PyCode_Type */
  unsigned version; /* 0x030b */
};

/* Looked up once; NULL where one is missing. */
const struct python_api *python_api(void);

static inline void *python_type(const void *object) {
  return ((void *const *)object)[1]; /* ob_type, Include/object.h */
}

/* ---- iteration_calls.c ---- */

/* From now on calls of each function made of the code object consts[index] count as iterations. No
 * function may have been made of it yet. */
void iteration_count_calls(const struct python_api *api, void *consts, long index);

#endif
