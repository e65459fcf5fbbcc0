/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counts the calls of a Python function exactly, and nothing at other calls, in the way that each
 * version offers:
 *
 *   3.8–3.10  A frame evaluation function (PEP 523) that passes on by a jump. It has no frame of
 *             its own, and in these versions nothing else changes by it. A few ns a Python call.
 *   3.11      The code object is replaced by a copy that first calls a built-in function. The
 *             target can see that constant, and cannot marshal or pickle the code by value.
 *   3.12 on   Local events of sys.monitoring (PEP 669). The target can see a tool named ragprof.
 *
 * From 3.11 on the call that counts takes one level of the target's recursion limit. A coroutine or
 * generator is counted when its body starts, by 3.11 when it is called. */
#include <string.h>

#include "iteration.h"
#include "python_api.h"
#include "shim.h"

/* ---- 3.8 to 3.10: frames ---- */

#define WATCHED_MAX 1024 /* code objects, held so that their addresses stay theirs */
#define WATCHED_SLOTS (4 * WATCHED_MAX)

/* PyFrameObject of Include/frameobject.h, Include/cpython/frameobject.h (3.9, 3.10). */
#define FRAME_CODE 32
#define FRAME_LAST_3_8 104 /* f_lasti; -1: not started */
#define FRAME_LAST_3_10 96
#define INTERPRETER_EVAL_FRAME_3_8 568 /* PyInterpreterState.eval_frame, 3.8's pycore_pystate.h */

typedef void *(*eval_frame_3_8)(void *frame, int is_thrown);
typedef void *(*eval_frame_3_9)(void *thread, void *frame, int is_thrown);

static void *watched[WATCHED_SLOTS];
static unsigned watched_count;
static size_t frame_last;
static eval_frame_3_8 next_eval_3_8;
static eval_frame_3_9 next_eval_3_9;

static void **watched_slot(const void *code) {
  size_t slot = (uintptr_t)code / 16 % WATCHED_SLOTS;
  while (watched[slot] && watched[slot] != code)
    slot = (slot + 1) % WATCHED_SLOTS;
  return &watched[slot];
}

static inline void see_frame(const char *frame, int is_thrown) {
  const void *code = *(void *const *)(frame + FRAME_CODE);
  if (SHIM_UNLIKELY(*watched_slot(code) != NULL) && !is_thrown &&
      *(const int *)(frame + frame_last) < 0)
    iteration_count(1);
}

static void *see_frame_3_8(void *frame, int is_thrown) {
  see_frame(frame, is_thrown);
  return next_eval_3_8(frame, is_thrown);
}

static void *see_frame_3_9(void *thread, void *frame, int is_thrown) {
  see_frame(frame, is_thrown);
  return next_eval_3_9(thread, frame, is_thrown);
}

/* The layout of 3.8 is proved by what stands there. */
static bool see_frames_3_8(void) {
  char *(*interpreter)(void) = (char *(*)(void))shim_python_symbol("_PyInterpreterState_Get");
  void *usual = shim_python_symbol("_PyEval_EvalFrameDefault");
  void **eval = interpreter ? (void **)(interpreter() + INTERPRETER_EVAL_FRAME_3_8) : NULL;
  if (!eval || !usual || (*eval != usual && *eval != (void *)see_frame_3_8))
    return false;
  next_eval_3_8 = (eval_frame_3_8)usual;
  *eval = (void *)see_frame_3_8;
  return true;
}

static bool see_frames_3_9(void) {
  void *(*interpreter)(void) = (void *(*)(void))shim_python_symbol("PyInterpreterState_Get");
  eval_frame_3_9 (*get)(void *) =
      (eval_frame_3_9(*)(void *))shim_python_symbol("_PyInterpreterState_GetEvalFrameFunc");
  void (*set)(void *, eval_frame_3_9) =
      (void (*)(void *, eval_frame_3_9))shim_python_symbol("_PyInterpreterState_SetEvalFrameFunc");
  if (!interpreter || !get || !set)
    return false;
  eval_frame_3_9 current = get(interpreter());
  /* Another one on top of ours is taken to pass on to it. */
  if (current != see_frame_3_9 && (!next_eval_3_9 || current == next_eval_3_9)) {
    next_eval_3_9 = current;
    set(interpreter(), see_frame_3_9);
  }
  return true;
}

static void count_frames(const struct python_api *api, void *consts, long index) {
  void *code = api->PyTuple_GetItem(consts, index);
  void **slot = watched_slot(code);
  frame_last = api->version < 0x030a ? FRAME_LAST_3_8 : FRAME_LAST_3_10;
  if (!(api->version == 0x0308 ? see_frames_3_8() : see_frames_3_9()))
    return;
  if (*slot || watched_count == WATCHED_MAX)
    return;
  api->Py_IncRef(code);
  *slot = code;
  watched_count++;
}

/* ---- 3.11: a call at the beginning of the code ---- */

/* Lib/opcode.py of 3.11; each is two bytes, followed by its caches. */
enum {
  OP_CACHE = 0,
  OP_POP_TOP = 1,
  OP_PUSH_NULL = 2,
  OP_LOAD_CONST = 100,
  OP_EXTENDED_ARG = 144,
  OP_PRECALL = 166,
  OP_CALL = 171
};
#define CACHES_PRECALL 1
#define CACHES_CALL 4
#define PREFIX_UNITS_MAX 16
#define PREFIX_STACK 2
#define TUPLE_ITEMS 24 /* PyTupleObject.ob_item, Include/cpython/tupleobject.h */

struct prefix {
  uint8_t code[2 * PREFIX_UNITS_MAX];
  unsigned units;
};

static void emit(struct prefix *prefix, unsigned op, unsigned argument, unsigned caches) {
  prefix->code[2 * prefix->units] = (uint8_t)op;
  prefix->code[2 * prefix->units + 1] = (uint8_t)argument;
  prefix->units += 1 + caches; /* caches are zero */
}

/* A bytes object of that size, to be filled. NULL with an exception. */
static void *new_bytes(const struct python_api *api, long bytes, char **data) {
  void *object = api->PyBytes_FromStringAndSize(NULL, bytes);
  if (object && api->PyBytes_AsStringAndSize(object, data, &bytes)) {
    api->Py_DecRef(object);
    return NULL;
  }
  return object;
}

/* const() and its result dropped. */
static struct prefix make_prefix(unsigned long constant) {
  struct prefix prefix = {.units = 0};
  emit(&prefix, OP_PUSH_NULL, 0, 0);
  for (int shift = 24; shift; shift -= 8)
    if (constant >> shift)
      emit(&prefix, OP_EXTENDED_ARG, constant >> shift & 0xff, 0);
  emit(&prefix, OP_LOAD_CONST, constant & 0xff, 0);
  emit(&prefix, OP_PRECALL, 0, CACHES_PRECALL);
  emit(&prefix, OP_CALL, 0, CACHES_CALL);
  emit(&prefix, OP_POP_TOP, 0, 0);
  return prefix;
}

/* All jumps of 3.11 are relative, so the code may move as a whole. */
static void *prefixed_code(const struct python_api *api, const struct prefix *prefix,
                           const char *code, long bytes) {
  char *data;
  void *object = new_bytes(api, bytes + 2 * prefix->units, &data);
  if (!object)
    return NULL;
  memcpy(data, prefix->code, 2 * prefix->units);
  memcpy(data + 2 * prefix->units, code, (size_t)bytes);
  return object;
}

/* Objects/locations.md of 3.11: entries of up to 8 units, kind 13 (a line, no columns), then the
 * line as a difference to the one before: 0, so the function's first. */
static void *prefixed_lines(const struct python_api *api, const struct prefix *prefix,
                            const char *lines, long bytes) {
  char entries[2 * PREFIX_UNITS_MAX];
  long entries_bytes = 0;
  for (unsigned left = prefix->units; left;) {
    unsigned units = left < 8 ? left : 8;
    entries[entries_bytes++] = (char)(0x80 | 13 << 3 | (units - 1));
    entries[entries_bytes++] = 0;
    left -= units;
  }
  char *data;
  void *object = new_bytes(api, entries_bytes + bytes, &data);
  if (!object)
    return NULL;
  memcpy(data, entries, (size_t)entries_bytes);
  memcpy(data + entries_bytes, lines, (size_t)bytes);
  return object;
}

/* Objects/exception_handling_notes.txt of 3.11: numbers of six bits a byte, the highest first, bit
 * 6 set when more follow, bit 7 at the start of an entry of four: start, length, target, depth. */
static const char *read_number(const char *at, const char *end, uint32_t *number) {
  *number = 0;
  for (bool more = true; more && at < end; at++) {
    *number = *number << 6 | (*at & 0x3f);
    more = *at & 0x40;
  }
  return at;
}

static char *write_number(char *at, uint32_t number, unsigned start) {
  for (int shift = 30; shift; shift -= 6)
    if (number >> shift) {
      *at++ = (char)((number >> shift & 0x3f) | 0x40 | start);
      start = 0;
    }
  *at++ = (char)((number & 0x3f) | start);
  return at;
}

#define NUMBER_BYTES_MAX 6

/* The same regions and handlers, further on. */
static void *moved_exceptions(const struct python_api *api, const struct prefix *prefix,
                              const char *table, long bytes) {
  const char *end = table + bytes;
  char *data;
  /* Each number is a byte at least. */
  void *room = new_bytes(api, bytes * NUMBER_BYTES_MAX, &data);
  if (!room)
    return NULL;
  char *at = data;
  for (unsigned i = 0; table < end; i = (i + 1) % 4) {
    uint32_t number;
    bool is_place = i == 0 || i == 2;
    table = read_number(table, end, &number);
    at = write_number(at, number + (is_place ? prefix->units : 0), i ? 0 : 0x80);
  }
  void *moved = api->PyBytes_FromStringAndSize(data, at - data);
  api->Py_DecRef(room);
  return moved;
}

typedef void *(*prefix_change)(const struct python_api *api, const struct prefix *prefix,
                               const char *data, long bytes);

/* A bytes attribute, changed for the prefix. */
static void *changed(const struct python_api *api, void *code, const char *attribute,
                     const struct prefix *prefix, prefix_change change) {
  char *data;
  long bytes;
  void *object = api->PyObject_GetAttrString(code, attribute);
  void *result = NULL;
  if (object && !api->PyBytes_AsStringAndSize(object, &data, &bytes))
    result = change(api, prefix, data, bytes);
  if (object)
    api->Py_DecRef(object);
  return result;
}

static void *with_constant(const struct python_api *api, void *consts, void *constant) {
  long count = api->PyTuple_Size(consts);
  void *longer = api->PyTuple_New(count + 1);
  for (long i = 0; longer && i <= count; i++) {
    void *item = i < count ? api->PyTuple_GetItem(consts, i) : constant;
    api->Py_IncRef(item);
    api->PyTuple_SetItem(longer, i, item);
  }
  return longer;
}

static long stack_of(const struct python_api *api, void *code) {
  void *object = api->PyObject_GetAttrString(code, "co_stacksize");
  long size = object ? api->PyLong_AsLong(object) : 0;
  if (object)
    api->Py_DecRef(object);
  return size < PREFIX_STACK ? PREFIX_STACK : size;
}

/* code.replace(...); NULL with an exception. */
static void *replaced(const struct python_api *api, void *code, void *consts, void *counter) {
  struct prefix prefix = make_prefix((unsigned long)api->PyTuple_Size(consts));
  /* "N" takes each object, and fails for NULL. */
  void *keywords = api->Py_BuildValue(
      "{s:N,s:N,s:N,s:N,s:l}", "co_code", changed(api, code, "co_code", &prefix, prefixed_code),
      "co_linetable", changed(api, code, "co_linetable", &prefix, prefixed_lines),
      "co_exceptiontable", changed(api, code, "co_exceptiontable", &prefix, moved_exceptions),
      "co_consts", with_constant(api, consts, counter), "co_stacksize", stack_of(api, code));
  void *arguments = api->PyTuple_New(0);
  void *method = api->PyObject_GetAttrString(code, "replace");
  void *copy =
      keywords && arguments && method ? api->PyObject_Call(method, arguments, keywords) : NULL;
  if (keywords)
    api->Py_DecRef(keywords);
  if (arguments)
    api->Py_DecRef(arguments);
  if (method)
    api->Py_DecRef(method);
  return copy;
}

static void *count_call(void *self, void *unused) {
  (void)self, (void)unused;
  const struct python_api *api = python_api();
  iteration_count(1);
  api->Py_IncRef(api->none);
  return api->none;
}

static void count_prefixed(const struct python_api *api, void *consts, long index) {
  static struct python_method method = {"ragprof_iteration", count_call, PYTHON_METHOD_NO_ARGUMENTS,
                                        NULL};
  static void *counter;
  void *code = api->PyTuple_GetItem(consts, index);
  void *inner = api->PyObject_GetAttrString(code, "co_consts");
  if (!counter)
    counter = api->PyCFunction_NewEx(&method, NULL, NULL);
  if (!inner || !counter)
    return;
  long count = api->PyTuple_Size(inner);
  /* Code that is executed again was seen to before. */
  bool is_done = count && api->PyTuple_GetItem(inner, count - 1) == counter;
  void *copy = is_done ? NULL : replaced(api, code, inner, counter);
  api->Py_DecRef(inner);
  if (!copy)
    return;
  ((void **)((char *)consts + TUPLE_ITEMS))[index] = copy;
  api->Py_DecRef(code);
}

/* ---- 3.12 on: sys.monitoring ---- */

#define TOOL_NAME "ragprof"
#define EVENT_PY_START 1 /* 1 << PY_MONITORING_EVENT_PY_START, Include/cpython/monitoring.h */

static void *count_start(void *self, void *const *arguments, long count) {
  (void)arguments, (void)count;
  return count_call(self, NULL);
}

/* Ours, or a free one made ours, of those that PEP 669 leaves without a use; -1: none. Tools are
 * the interpreter's, of which there may be several. */
static int tool_of(const struct python_api *api, void *monitoring) {
  static const int free_tools[] = {4, 3};
  static struct python_method method = {"ragprof_iteration", count_start, PYTHON_METHOD_FASTCALL,
                                        NULL};
  for (unsigned i = 0; i < 2; i++) {
    int tool = free_tools[i];
    void *name = api->PyObject_CallMethod(monitoring, "get_tool", "i", tool);
    if (!name)
      return -1;
    const char *text = name == api->none ? NULL : api->PyUnicode_AsUTF8(name);
    bool is_ours = text && !strcmp(text, TOOL_NAME);
    bool is_free = name == api->none;
    api->Py_DecRef(name);
    if (is_ours)
      return tool;
    if (!is_free)
      continue;
    void *used = api->PyObject_CallMethod(monitoring, "use_tool_id", "is", tool, TOOL_NAME);
    void *callback = used ? api->PyCFunction_NewEx(&method, NULL, NULL) : NULL;
    void *old = callback ? api->PyObject_CallMethod(monitoring, "register_callback", "iiN", tool,
                                                    EVENT_PY_START, callback)
                         : NULL;
    if (used)
      api->Py_DecRef(used);
    if (!old)
      return -1;
    api->Py_DecRef(old);
    return tool;
  }
  return -1;
}

static void count_starts(const struct python_api *api, void *consts, long index) {
  void *monitoring = api->PySys_GetObject("monitoring");
  int tool = monitoring ? tool_of(api, monitoring) : -1;
  if (tool < 0)
    return;
  void *set = api->PyObject_CallMethod(monitoring, "set_local_events", "iOi", tool,
                                       api->PyTuple_GetItem(consts, index), EVENT_PY_START);
  if (set)
    api->Py_DecRef(set);
}

void iteration_count_calls(const struct python_api *api, void *consts, long index) {
  if (api->version < 0x030b)
    count_frames(api, consts, index);
  else if (api->version == 0x030b)
    count_prefixed(api, consts, index);
  else
    count_starts(api, consts, index);
  api->PyErr_Clear();
}
