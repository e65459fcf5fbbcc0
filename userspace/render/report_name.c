/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns how reports word functions and stacks. */
#include "render/report_name.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/origin.h"
#include "base/utf8.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
#define UNKNOWN "[unknown] "       /* stands before module+offset when no symbol was found */
#define UNKNOWN_STEPS 4            /* shown of a stack without application frames */
#define RUN_STEPS_LONG 5           /* a way through the standard library that gets shortened */
#define RUN_STEPS_MAX 64           /* looked at of such a way */

void report_put_clean(struct buf *buf, const char *text) {
  uint32_t code;
  for (size_t bytes; (bytes = utf8_decode(text, &code)) > 0; text += bytes) {
    if (code == UTF8_REPLACEMENT || utf8_is_control(code))
      buf_put_text(buf, REPLACEMENT);
    else
      buf_put(buf, text, bytes);
  }
}

const char *report_kind_name(enum frame_kind kind) {
  switch (kind) {
  case FRAME_NATIVE:
    return "native";
  case FRAME_KERNEL:
    return "kernel";
  case FRAME_PYTHON:
    return "python";
  case FRAME_JIT:
    return "jit";
  case FRAME_MARK:
    return "mark";
  }
  return "unknown";
}

static bool starts_with(const char *text, const char *prefix) {
  return !strncmp(text, prefix, strlen(prefix));
}

/* The end of the bracketed part that begins at `at`; NULL when it is not balanced. */
static const char *skip_brackets(const char *at) {
  int depth = 0;
  for (; *at; at++) {
    if (*at == '<' || *at == '(')
      depth++;
    else if ((*at == '>' && at[-1] != '-') || *at == ')')
      depth--;
    if (depth == 0)
      return at + 1;
  }
  return NULL;
}

static bool follows_operator(const char *name, const char *at) {
  static const char word[] = "operator";
  const size_t bytes = sizeof(word) - 1;
  return (size_t)(at - name) >= bytes && !strncmp(at - bytes, word, bytes);
}

/* Whether the brackets at `at` belong to the name: those of operators, and the angle brackets with
 * which Rust and runtimes begin names or parts of them. */
static bool is_part_of_name(const char *name, const char *at) {
  if (follows_operator(name, at))
    return true;
  return *at == '<' && (at == name || at[-1] == ':' || at[-1] == '.');
}

/* Whether the brackets that end before `end` are the last part of the name: parameters, unless they
 * are those of an enclosing function or of a lambda. */
static bool ends_name(const char **end) {
  if (starts_with(*end, " const::"))
    *end += strlen(" const");
  return !starts_with(*end, "::") && **end != '#' && **end != '}';
}

/* Parts of names that only say that something has no name of its own. */
static size_t filler_bytes(const char *at) {
  static const char *const fillers[] = {"(anonymous namespace)::", "{anonymous}::", "<locals>."};
  for (size_t i = 0; i < sizeof(fillers) / sizeof(fillers[0]); i++)
    if (starts_with(at, fillers[i]))
      return strlen(fillers[i]);
  return 0;
}

static void put_without_fillers(struct buf *kept, const char *name) {
  while (*name) {
    size_t filler = filler_bytes(name);
    if (!filler)
      buf_put(kept, name, 1);
    name += filler ? filler : 1;
  }
}

/* "_sqlite3.so+0x12" for "[unknown] _sqlite3.cpython-311-x86_64-linux-gnu.so+0x12". */
static void put_unknown(struct buf *buf, const char *name) {
  const char *tag = strstr(name, ".cpython-");
  const char *end = tag ? strstr(tag, ".so") : NULL;
  struct buf kept = {0};
  buf_put(&kept, name, end ? (size_t)(tag - name) : strlen(name));
  buf_put_text(&kept, end ? end : "");
  report_put_clean(buf, buf_text(&kept));
  buf_fini(&kept);
}

static void put_without_brackets(struct buf *kept, const char *name) {
  for (const char *at = name; *at;) {
    size_t filler = filler_bytes(at);
    if (filler) {
      at += filler;
      continue;
    }
    const char *end = *at == '(' || *at == '<' ? skip_brackets(at) : NULL;
    if (!end) {
      buf_put(kept, at++, 1);
      continue;
    }
    if (is_part_of_name(name, at))
      buf_put(kept, at, (size_t)(end - at));
    else if (*at == '(' && ends_name(&end))
      break;
    at = end;
  }
}

void report_put_short_name(struct buf *buf, const struct profile_function *function) {
  struct buf kept = {0};
  if (starts_with(function->name, UNKNOWN)) {
    put_unknown(buf, function->name + strlen(UNKNOWN));
    return;
  }
  if (function->kind == FRAME_NATIVE)
    put_without_brackets(&kept, function->name);
  else
    put_without_fillers(&kept, function->name);
  const char *text = buf_text(&kept);
  if (starts_with(text, "void ")) /* the return type of a template's instance */
    text += strlen("void ");
  report_put_clean(buf, *text ? text : function->name);
  buf_fini(&kept);
}

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash && slash[1] ? slash + 1 : path;
}

/* The last part of a path, with its folder where the name alone says little: __init__.py. */
static const char *short_path(const char *path) {
  const char *name = base_name(path);
  if (!starts_with(name, "__") || name < path + 2)
    return name;
  const char *folder = name - 1;
  while (folder > path && folder[-1] != '/')
    folder--;
  return folder;
}

void report_put_place(struct buf *buf, const struct profile_function *function, uint32_t line) {
  if (function->kind == FRAME_KERNEL && !*function->module) {
    buf_put_text(buf, "[kernel]");
    return;
  }
  bool has_file = *function->file && (function->kind == FRAME_PYTHON || function->first_line);
  if (!has_file) {
    report_put_clean(buf, base_name(function->module));
    return;
  }
  report_put_clean(buf, short_path(function->file));
  if (!line)
    line = function->first_line;
  if (line)
    buf_printf(buf, ":%u", line);
}

void report_put_frame(struct buf *buf, const struct profile *profile, uint32_t frame,
                      bool is_short) {
  const struct profile_frame *from = &profile->frames[frame];
  const struct profile_function *function = &profile->functions[from->function_id];
  if (from->flags & FRAME_COROUTINE)
    buf_put_text(buf, "async ");
  else if (from->flags & FRAME_GENERATOR)
    buf_put_text(buf, "generator ");
  if (is_short)
    report_put_short_name(buf, function);
  else
    report_put_clean(buf, function->name);
  if (from->kind != FRAME_PYTHON || !*from->file)
    return;
  buf_put_text(buf, " (");
  report_put_place(buf, function, from->line);
  buf_put_text(buf, ")");
}

enum step { LEFT_OUT, KEPT, ELLIPSIS };

struct path {
  const struct profile *profile;
  const struct stack_frames *frames;
  uint8_t *steps; /* enum step by frame */
  bool is_cut;    /* frames at the beginning are left out */
};

static const struct profile_function *function_at(const struct path *path, uint32_t i) {
  return &path->profile->functions[path->profile->frames[path->frames->frames[i]].function_id];
}

static bool is_runtime(const struct profile_function *function, enum frame_kind kind) {
  return function->kind == kind && origin_of(function) == ORIGIN_RUNTIME;
}

/* Left out are the interpreter's own functions, how libc goes about what it was called for, and
 * functions without a name inside of a library. */
static bool says_something(const struct path *path, uint32_t i) {
  const struct profile_function *function = function_at(path, i);
  if (origin_of(function) == ORIGIN_INTERPRETER)
    return false;
  if (i > 0 && is_runtime(function, FRAME_NATIVE) &&
      is_runtime(function_at(path, i - 1), FRAME_NATIVE))
    return false;
  if (function->kind != FRAME_NATIVE || !starts_with(function->name, UNKNOWN))
    return true;
  return i + 1 == path->frames->count || function_at(path, i + 1)->kind != FRAME_NATIVE ||
         strcmp(function_at(path, i + 1)->module, function->module) != 0;
}

/* Start-up code is what stands before the first frame of the application; without one, all but the
 * last few telling frames are taken for it. */
static uint32_t first_step(const struct path *path, uint32_t user_count) {
  uint32_t telling = 0;
  for (uint32_t i = 0; i < user_count; i++)
    if (origin_of(function_at(path, i)) == ORIGIN_APPLICATION)
      return i;
  uint32_t first = user_count;
  while (first > 0 && telling < UNKNOWN_STEPS)
    telling += says_something(path, --first);
  return first;
}

/* Of a long way through the standard library its beginning and end are kept. */
static void shorten_library(struct path *path, uint32_t first, uint32_t end) {
  uint32_t run[RUN_STEPS_MAX];
  uint32_t count = 0;
  for (uint32_t i = first; i <= end; i++) {
    if (i < end && path->steps[i] == LEFT_OUT)
      continue;
    if (i < end && is_runtime(function_at(path, i), FRAME_PYTHON) && count < RUN_STEPS_MAX) {
      run[count++] = i;
      continue;
    }
    for (uint32_t k = 1; count >= RUN_STEPS_LONG && k + 1 < count; k++)
      path->steps[run[k]] = k == 1 ? ELLIPSIS : LEFT_OUT;
    count = 0;
  }
}

/* The kernel's part is told by its innermost function that is not on every stack of its kind. */
static void choose_kernel(struct path *path, uint32_t first) {
  for (uint32_t i = path->frames->count; i-- > first;)
    if (!origin_is_kernel_passage(function_at(path, i))) {
      path->steps[i] = KEPT;
      return;
    }
}

/* Without Python frames the interpreter works for itself: what it does then says something. */
static bool is_interpreter_alone(const struct path *path, uint32_t user_count) {
  for (uint32_t i = 0; i < user_count; i++)
    if (function_at(path, i)->kind == FRAME_PYTHON)
      return false;
  return origin_of(function_at(path, user_count - 1)) == ORIGIN_INTERPRETER;
}

static void choose_steps(struct path *path) {
  uint32_t user_count = path->frames->count;
  uint32_t kept_count = 0;
  while (user_count > 0 && function_at(path, user_count - 1)->kind == FRAME_KERNEL)
    user_count--;
  uint32_t first = first_step(path, user_count);
  for (uint32_t i = first; i < user_count; i++) {
    path->steps[i] = says_something(path, i) ? KEPT : LEFT_OUT;
    kept_count += path->steps[i] == KEPT;
  }
  if (user_count > 0 && (kept_count == 0 || is_interpreter_alone(path, user_count)))
    path->steps[user_count - 1] = KEPT;
  shorten_library(path, first, user_count);
  choose_kernel(path, user_count);
  if (function_at(path, 0)->kind == FRAME_MARK)
    path->steps[0] = KEPT;
  path->is_cut = first > (path->steps[0] == KEPT ? 1 : 0);
}

static void put_step(struct buf *buf, const struct path *path, uint32_t i, uint32_t repeats) {
  if (buf->length)
    buf_put_text(buf, "\n");
  report_put_frame(buf, path->profile, path->frames->frames[i], true);
  if (repeats > 1)
    buf_printf(buf, " ×%u", repeats);
  if (path->is_cut && i == 0)
    buf_put_text(buf, "\n…");
}

static void put_steps(struct buf *buf, const struct path *path) {
  uint32_t last = PROFILE_NONE;
  uint32_t repeats = 0;
  if (path->is_cut && path->steps[0] != KEPT)
    buf_put_text(buf, "…");
  for (uint32_t i = 0; i < path->frames->count; i++) {
    if (path->steps[i] == LEFT_OUT)
      continue;
    bool is_same = last != PROFILE_NONE && function_at(path, i) == function_at(path, last);
    if (last != PROFILE_NONE && (!is_same || path->steps[i] == ELLIPSIS))
      put_step(buf, path, last, repeats);
    repeats = is_same ? repeats + 1 : 1;
    last = i;
    if (path->steps[i] == ELLIPSIS) {
      buf_put_text(buf, "\n…");
      last = PROFILE_NONE;
    }
  }
  if (last != PROFILE_NONE)
    put_step(buf, path, last, repeats);
}

void report_put_path(struct buf *buf, const struct profile *profile,
                     const struct stack_frames *frames) {
  struct path path = {.profile = profile, .frames = frames};
  struct buf steps = {0};
  if (frames->count == 0)
    return;
  path.steps = calloc(frames->count, sizeof(*path.steps));
  if (!path.steps) {
    buf->failed = true;
    return;
  }
  choose_steps(&path);
  put_steps(&steps, &path);
  buf_put(buf, steps.data, steps.length);
  buf->failed |= steps.failed;
  buf_fini(&steps);
  free(path.steps);
}
