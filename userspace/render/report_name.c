/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns how reports word functions and stacks. */
#include "render/report_name.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/origin.h"
#include "base/utf8.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
#define UNKNOWN_STEPS 4            /* shown of a stack without application frames */

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

struct path {
  const struct profile *profile;
  const struct stack_frames *frames;
  bool *is_kept;
  bool is_cut; /* frames at the beginning are left out */
};

static const struct profile_function *function_at(const struct path *path, uint32_t i) {
  return &path->profile->functions[path->profile->frames[path->frames->frames[i]].function_id];
}

/* Start-up code is what stands before the first frame of the application. */
static uint32_t first_application(const struct path *path) {
  uint32_t count = path->frames->count;
  for (uint32_t i = 0; i < count; i++)
    if (origin_of(function_at(path, i)) == ORIGIN_APPLICATION)
      return i;
  return count;
}

/* The kernel's part is told by its innermost function that is not on every stack of its kind. */
static void choose_kernel(struct path *path, uint32_t first, uint32_t count) {
  for (uint32_t i = count; i-- > first;)
    if (!origin_is_kernel_passage(function_at(path, i))) {
      path->is_kept[i] = true;
      return;
    }
}

/* Left out are the interpreter's own functions, and how libc goes about what it was called for. */
static bool says_something(const struct path *path, uint32_t first, uint32_t i) {
  const struct profile_function *function = function_at(path, i);
  if (origin_of(function) == ORIGIN_INTERPRETER)
    return i == first;
  if (i == first || origin_of(function) != ORIGIN_RUNTIME || function->kind != FRAME_NATIVE)
    return true;
  const struct profile_function *caller = function_at(path, i - 1);
  return origin_of(caller) != ORIGIN_RUNTIME || caller->kind != FRAME_NATIVE;
}

static void choose_steps(struct path *path) {
  uint32_t count = path->frames->count;
  uint32_t user_count = count;
  while (user_count > 0 && function_at(path, user_count - 1)->kind == FRAME_KERNEL)
    user_count--;
  uint32_t first = first_application(path);
  if (first >= user_count)
    first = user_count > UNKNOWN_STEPS ? user_count - UNKNOWN_STEPS : 0;
  for (uint32_t i = first; i < user_count; i++)
    path->is_kept[i] = says_something(path, first, i);
  choose_kernel(path, user_count, count);
  if (function_at(path, 0)->kind == FRAME_MARK)
    path->is_kept[0] = true;
  path->is_cut = first > (path->is_kept[0] ? 1 : 0);
}

static void put_step(struct buf *buf, const struct path *path, uint32_t i, uint32_t repeats) {
  if (buf->length && buf->data[buf->length - 1] != '\n')
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
  if (path->is_cut && !path->is_kept[0])
    buf_put_text(buf, "…");
  for (uint32_t i = 0; i < path->frames->count; i++) {
    if (!path->is_kept[i])
      continue;
    if (last != PROFILE_NONE && function_at(path, i) == function_at(path, last)) {
      repeats++;
    } else {
      if (last != PROFILE_NONE)
        put_step(buf, path, last, repeats);
      repeats = 1;
    }
    last = i;
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
  path.is_kept = calloc(frames->count, sizeof(*path.is_kept));
  if (!path.is_kept) {
    buf->failed = true;
    return;
  }
  choose_steps(&path);
  put_steps(&steps, &path);
  buf_put(buf, steps.data, steps.length);
  buf->failed |= steps.failed;
  buf_fini(&steps);
  free(path.is_kept);
}
