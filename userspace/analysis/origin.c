/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the lists of names that tell runtime from application. */
#include "analysis/origin.h"

#include <string.h>

static bool starts_with(const char *text, const char *prefix) {
  return !strncmp(text, prefix, strlen(prefix));
}

static bool any_prefix(const char *text, const char *const *prefixes) {
  for (; *prefixes; prefixes++)
    if (starts_with(text, *prefixes))
      return true;
  return false;
}

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

/* Where CPython installs its own library: lib/python3.N/…, but for site-packages (dist-packages on
 * Debian). Frozen modules have no file. */
static bool is_standard_library(const char *file) {
  if (starts_with(file, "<frozen "))
    return true;
  if (strstr(file, "site-packages/") || strstr(file, "dist-packages/"))
    return false;
  const char *at = strstr(file, "/lib/python3.");
  return at && strchr(at + strlen("/lib/python3."), '/');
}

static enum origin native_origin(const struct profile_function *function) {
  static const char *const interpreters[] = {"python2",    "python3",       "libpython2",
                                             "libpython3", "libragprof.so", NULL};
  static const char *const systems[] = {"libc.so", "libc-2", "libpthread", "ld-linux",
                                        "ld-musl", "[vdso]", NULL};
  static const char *const starters[] = {
      "_start",       "__libc_start_",           "__clone", "clone3", "start_thread",
      "__restore_rt", "<signal handler called>", NULL};
  const char *module = base_name(function->module);
  if (any_prefix(module, interpreters))
    return ORIGIN_INTERPRETER;
  if (any_prefix(module, systems) || any_prefix(function->name, starters))
    return ORIGIN_RUNTIME;
  return ORIGIN_APPLICATION;
}

enum origin origin_of(const struct profile_function *function) {
  switch (function->kind) {
  case FRAME_KERNEL:
    return ORIGIN_KERNEL;
  case FRAME_MARK:
    return ORIGIN_RUNTIME;
  case FRAME_PYTHON:
    return is_standard_library(function->file) ? ORIGIN_RUNTIME : ORIGIN_APPLICATION;
  case FRAME_NATIVE:
    return native_origin(function);
  case FRAME_JIT:
    break;
  }
  return ORIGIN_APPLICATION;
}

bool origin_is_kernel_passage(const struct profile_function *function) {
  static const char *const passages[] = {"entry_SYSCALL",
                                         "do_syscall_64",
                                         "x64_sys_call",
                                         "schedule",
                                         "__schedule",
                                         "io_schedule",
                                         "asm_",
                                         "el0t_64_sync",
                                         "el0_svc",
                                         "invoke_syscall",
                                         NULL};
  return function->kind == FRAME_KERNEL && any_prefix(function->name, passages);
}

/* x86: arch/x86/include/asm/idtentry.h; arm64: arch/arm64/kernel/entry-common.c. */
bool origin_is_fault_handler(const struct profile_function *function) {
  static const char *const handlers[] = {"asm_exc_page_fault",
                                         "exc_page_fault",
                                         "do_user_addr_fault",
                                         "handle_mm_fault",
                                         "do_mem_abort",
                                         "do_page_fault",
                                         NULL};
  return function->kind == FRAME_KERNEL && any_prefix(function->name, handlers);
}
