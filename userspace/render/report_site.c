/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the list of functions that take memory on behalf of others. */
#include "render/report_site.h"

#include <string.h>

#include "analysis/origin.h"
#include "render/report_name.h"

static bool starts_with_any(const char *text, const char *const *prefixes) {
  for (; *prefixes; prefixes++)
    if (!strncmp(text, *prefixes, strlen(*prefixes)))
      return true;
  return false;
}

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

/* Names are without parameters and template arguments. */
static bool is_wrapper_name(const char *name) {
  static const char *const names[] = {/* C, and the idioms around it */
                                      "malloc",
                                      "calloc",
                                      "realloc",
                                      "reallocarray",
                                      "posix_memalign",
                                      "aligned_alloc",
                                      "memalign",
                                      "valloc",
                                      "pvalloc",
                                      "mmap",
                                      "mmap64",
                                      "mremap",
                                      "sbrk",
                                      "brk",
                                      "strdup",
                                      "strndup",
                                      "asprintf",
                                      "vasprintf",
                                      "xmalloc",
                                      "xcalloc",
                                      "xrealloc",
                                      "xstrdup",
                                      "default_malloc",
                                      "default_calloc",
                                      "default_realloc",
                                      NULL};
  static const char *const prefixes[] = {
      "__libc_", "g_malloc", "g_realloc", "g_slice_", "g_strdup",
      /* C++ and Rust */
      "operator new", "std::", "__gnu_cxx::", "__rust_", "__rdl_", "__rg_",
      "alloc::", "<alloc::", "hashbrown::", "<hashbrown::",
      /* allocators, CPython, NumPy */
      "je_", "tc_", "mi_", "tcmalloc::", "PyMem_", "_PyMem_", "PyObject_", "_PyObject_",
      "PyDataMem_", "PyArray_", "npy_", NULL};
  for (const char *const *at = names; *at; at++)
    if (!strcmp(name, *at))
      return true;
  return starts_with_any(name, prefixes);
}

static bool is_wrapper_module(const char *module) {
  static const char *const prefixes[] = {"libc.so",      "libc-2",           "ld-linux",
                                         "libstdc++.so", "libjemalloc",      "libtcmalloc",
                                         "libmimalloc",  "libragprof.so",    "_multiarray_umath",
                                         "libc++.so",    "multiarray_umath", NULL};
  return starts_with_any(base_name(module), prefixes);
}

bool report_is_allocator(const struct profile_function *function) {
  if (function->kind != FRAME_NATIVE)
    return function->kind == FRAME_MARK || function->kind == FRAME_KERNEL;
  if (origin_of(function) != ORIGIN_APPLICATION || is_wrapper_module(function->module))
    return true;
  struct buf name = {0};
  report_put_short_name(&name, function);
  bool is_wrapper = is_wrapper_name(buf_text(&name));
  buf_fini(&name);
  return is_wrapper;
}

static bool is_passed_over(const struct profile_function *function, bool has_python) {
  if (function->kind == FRAME_PYTHON)
    return origin_of(function) != ORIGIN_APPLICATION;
  if (has_python && !strncmp(function->name, "[unknown]", strlen("[unknown]")))
    return true;
  return report_is_allocator(function);
}

static const struct profile_function *function_at(const struct profile *profile,
                                                  const struct stack_frames *frames, uint32_t i) {
  return &profile->functions[profile->frames[frames->frames[i]].function_id];
}

static uint32_t telling_frame(const struct profile *profile, const struct stack_frames *frames) {
  bool has_python = false;
  for (uint32_t i = 0; i < frames->count; i++)
    has_python |= function_at(profile, frames, i)->kind == FRAME_PYTHON;
  for (uint32_t i = frames->count; i-- > 0;)
    if (!is_passed_over(function_at(profile, frames, i), has_python))
      return i;
  for (uint32_t i = frames->count; i-- > 0;) /* at least Python code of the standard library */
    if (function_at(profile, frames, i)->kind == FRAME_PYTHON)
      return i;
  return frames->count - 1;
}

void report_put_site(struct buf *buf, const struct profile *profile,
                     const struct stack_frames *frames) {
  if (frames->count == 0) {
    buf_put_text(buf, "stacks that there was no room for");
    return;
  }
  uint32_t at = telling_frame(profile, frames);
  const struct profile_frame *frame = &profile->frames[frames->frames[at]];
  report_put_frame(buf, profile, frames->frames[at], true);
  if (frame->kind == FRAME_PYTHON && *frame->file)
    return; /* has its place */
  struct buf place = {0};
  report_put_place(&place, function_at(profile, frames, at), frame->line);
  if (place.length)
    buf_printf(buf, " (%s)", buf_text(&place));
  buf->failed |= place.failed;
  buf_fini(&place);
}
