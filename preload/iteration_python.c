/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds the function whose calls are iterations, in module code that is about to run: by then none
 * of its functions exist, so each of them, methods and closures too, can be counted from its first
 * call. How calls are counted is iteration_calls.c's. Not found: functions that were built from a
 * pickled code object, those of a .pyc file given to the interpreter as its program, and those of
 * an interpreter that was shut down and begun again. */
#include "iteration.h"

#include <string.h>

#include "python_api.h"
#include "python_hooks.h"
#include "shim.h"

/* Include/cpython/code.h (Include/code.h in 3.8). */
#define CODE_NEW_LOCALS 0x2 /* of a function, not of a module's or class's body */

#define NAME_BYTES_MAX 512
#define DEPTH_MAX 64

/* The function that is looked for: text up to a last colon is a file. */
static struct {
  char file[256];
  char name[256];
} wanted;

/* A code object's surroundings while code in code is looked through. */
struct scope {
  const char *file;
  char name[NAME_BYTES_MAX]; /* the qualified name so far, with its dot */
  size_t name_bytes;
  unsigned depth;
};

static bool ends_with_path(const char *path, size_t bytes, const char *tail, size_t tail_bytes) {
  if (bytes < tail_bytes || memcmp(path + bytes - tail_bytes, tail, tail_bytes) != 0)
    return false;
  return bytes == tail_bytes || path[bytes - tail_bytes - 1] == '/';
}

/* Whether __main__ was read from this file: a program without one came from a string. */
static bool is_main_file(const struct python_api *api, const char *file) {
  void *main_module = api->PyDict_GetItemString(api->PyImport_GetModuleDict(), "__main__");
  void *main_file = main_module ? api->PyObject_GetAttrString(main_module, "__file__") : NULL;
  const char *text = main_file ? api->PyUnicode_AsUTF8(main_file) : NULL;
  bool is_it = text ? !strcmp(text, file) : !strcmp(file, "<string>") || !strcmp(file, "<stdin>");
  if (main_file)
    api->Py_DecRef(main_file);
  api->PyErr_Clear();
  return is_it;
}

static size_t without_tail(const char *text, size_t bytes, const char *tail) {
  size_t tail_bytes = strlen(tail);
  bool has_it = bytes > tail_bytes && !memcmp(text + bytes - tail_bytes, tail, tail_bytes);
  return has_it ? bytes - tail_bytes : bytes;
}

/* Whether a file is a module's, as its path tells: a.b is .../a/b.py or .../a/b/__init__.py. */
static bool is_module(const struct python_api *api, const char *file, const char *module,
                      size_t bytes) {
  char path[sizeof(wanted.name)];
  if (bytes == 8 && !memcmp(module, "__main__", 8))
    return is_main_file(api, file);
  for (size_t i = 0; i < bytes; i++)
    path[i] = module[i] == '.' ? '/' : module[i];
  size_t file_bytes = without_tail(file, strlen(file), ".py");
  file_bytes = without_tail(file, file_bytes, "/__init__");
  return ends_with_path(file, file_bytes, path, bytes);
}

static bool is_wanted(const struct python_api *api, const char *file, const char *name,
                      const char *qualified) {
  if (wanted.file[0] && !ends_with_path(file, strlen(file), wanted.file, strlen(wanted.file)))
    return false;
  if (!strcmp(wanted.name, name) || !strcmp(wanted.name, qualified))
    return true;
  size_t wanted_bytes = strlen(wanted.name);
  size_t bytes = strlen(qualified);
  return !wanted.file[0] && wanted_bytes > bytes + 1 &&
         !strcmp(wanted.name + wanted_bytes - bytes, qualified) &&
         wanted.name[wanted_bytes - bytes - 1] == '.' &&
         is_module(api, file, wanted.name, wanted_bytes - bytes - 1);
}

static long flags_of(const struct python_api *api, void *code) {
  void *flags = api->PyObject_GetAttrString(code, "co_flags");
  long value = flags ? api->PyLong_AsLong(flags) : 0;
  if (flags)
    api->Py_DecRef(flags);
  return value;
}

/* The text of a str attribute, which lives as long as the code object; NULL: none. */
static const char *text_of(const struct python_api *api, void *code, const char *attribute) {
  void *object = api->PyObject_GetAttrString(code, attribute);
  const char *text = object ? api->PyUnicode_AsUTF8(object) : NULL;
  if (object)
    api->Py_DecRef(object);
  return text;
}

static bool append(struct scope *scope, const char *text) {
  size_t bytes = strlen(text);
  if (bytes >= sizeof(scope->name) - scope->name_bytes)
    return false;
  memcpy(scope->name + scope->name_bytes, text, bytes + 1);
  scope->name_bytes += bytes;
  return true;
}

static void look_through(const struct python_api *api, void *code, struct scope *scope);

/* The code object consts[index]. Those in it come first, as it may be replaced by a copy. */
static void look_at(const struct python_api *api, void *consts, long index, struct scope *scope) {
  void *code = api->PyTuple_GetItem(consts, index);
  const char *name = text_of(api, code, "co_name");
  bool is_function = flags_of(api, code) & CODE_NEW_LOCALS;
  size_t outer_bytes = scope->name_bytes;
  if (!name || !append(scope, name))
    return;
  bool is_it = is_function && is_wanted(api, scope->file, name, scope->name);
  /* PEP 695: the parameters of a generic function are a hidden function around it. */
  if (!strncmp(name, "<generic parameters", 19))
    scope->name_bytes = outer_bytes;
  else
    (void)append(scope, is_function ? ".<locals>." : ".");
  look_through(api, code, scope);
  scope->name_bytes = outer_bytes;
  if (is_it)
    iteration_count_calls(api, consts, index);
}

static void look_through(const struct python_api *api, void *code, struct scope *scope) {
  void *consts = api->PyObject_GetAttrString(code, "co_consts");
  if (!consts)
    return;
  long count = scope->depth < DEPTH_MAX ? api->PyTuple_Size(consts) : 0;
  scope->depth++;
  for (long i = 0; i < count; i++)
    if (python_type(api->PyTuple_GetItem(consts, i)) == api->code_type)
      look_at(api, consts, i, scope);
  scope->depth--;
  api->Py_DecRef(consts);
}

void iteration_python_exec(void *code) {
  static SHIM_TLS bool is_busy; /* what is called below has audit events of its own */
  const struct python_api *api = wanted.name[0] && !is_busy ? python_api() : NULL;
  if (!api || !code || python_type(code) != api->code_type)
    return;
  void *type, *value, *traceback;
  is_busy = true;
  api->PyErr_Fetch(&type, &value, &traceback);
  struct scope scope = {.file = text_of(api, code, "co_filename")};
  if (scope.file)
    look_through(api, code, &scope);
  api->PyErr_Clear();
  api->PyErr_Restore(type, value, traceback);
  is_busy = false;
}

bool iteration_python_start(const char *function) {
  const char *colon = strrchr(function, ':');
  const char *name = colon ? colon + 1 : function;
  size_t file_bytes = colon ? (size_t)(colon - function) : 0;
  if (!python_api() || file_bytes >= sizeof(wanted.file) || strlen(name) >= sizeof(wanted.name))
    return false;
  memcpy(wanted.file, function, file_bytes);
  memcpy(wanted.name, name, strlen(name) + 1);
  python_audit_start();
  return true;
}
