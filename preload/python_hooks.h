/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts that sit inside the interpreter tell each other: python_audit.c is told of what
 * happens in it, and passes that on to the allocator hooks and to the count of iterations. */
#ifndef RAGPROF_PRELOAD_PYTHON_HOOKS_H
#define RAGPROF_PRELOAD_PYTHON_HOOKS_H

#include <stdbool.h>
#include <stddef.h>

/* PyMemAllocatorEx, Include/cpython/pymem.h (Include/pymem.h before 3.7), since 3.5. */
struct python_allocator {
  void *ctx;
  void *(*malloc)(void *ctx, size_t bytes);
  void *(*calloc)(void *ctx, size_t count, size_t bytes);
  void *(*realloc)(void *ctx, void *block, size_t bytes);
  void (*free)(void *ctx, void *block);
};

/* PyMemAllocatorDomain, the same header. */
enum python_domain { DOMAIN_RAW = 0, DOMAIN_MEMORY = 1, DOMAIN_OBJECT = 2 };

/* PyMem_GetAllocator and PyMem_SetAllocator. */
typedef void (*python_allocator_function)(int domain, struct python_allocator *allocator);

/* Asks the interpreter to tell of its audit events, once. Nothing before 3.8, or without one. */
void python_audit_start(void);

/* python_alloc.c: puts the hooks back when something replaced them. With the GIL. */
void python_alloc_check(void);

/* iteration_python.c: "py:FUNCTION" of iteration.h, less "py:". False where it cannot be counted.
 */
bool iteration_python_start(const char *function);
/* `code` is about to be executed (a code object, borrowed): looks for the function in it. With the
 * GIL. */
void iteration_python_exec(void *code);

/* 0x030b of "3.11.2 ..."; 0 without an interpreter, or where it runs without a GIL. */
unsigned python_version(void);

#endif
