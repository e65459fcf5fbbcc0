/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one list of what the allocation part hooks, and the functions behind: shim_next.NAME is the
 * next definition of NAME, so that a linked jemalloc, tcmalloc or mimalloc still serves. Calls that
 * are timed have their own list (calls.h), C++ operators theirs (operators.c). */
#ifndef RAGPROF_PRELOAD_HOOKS_H
#define RAGPROF_PRELOAD_HOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* X(result, name, parameters, arguments, what a call returns that comes while names are looked up:
 * early_... of real.c) */
#define SHIM_HOOKS(X)                                                                              \
  X(void *, malloc, (size_t bytes), (bytes), arena_take(16, bytes))                                \
  X(void *, calloc, (size_t count, size_t bytes), (count, bytes), arena_take(16, count *bytes))    \
  X(void *, realloc, (void *block, size_t bytes), (block, bytes), arena_resize(block, bytes))      \
  X(int, posix_memalign, (void **block, size_t alignment, size_t bytes),                           \
    (block, alignment, bytes), (*block = arena_take(alignment, bytes)) ? 0 : ENOMEM)               \
  X(void *, aligned_alloc, (size_t alignment, size_t bytes), (alignment, bytes),                   \
    arena_take(alignment, bytes))                                                                  \
  X(void *, memalign, (size_t alignment, size_t bytes), (alignment, bytes),                        \
    arena_take(alignment, bytes))                                                                  \
  X(void *, valloc, (size_t bytes), (bytes), arena_take(4096, bytes))                              \
  X(void *, pvalloc, (size_t bytes), (bytes), arena_take(4096, (bytes + 4095) & ~(size_t)4095))    \
  X(void, free, (void *block), (block), (void)0)                                                   \
  X(void *, mmap, (void *at, size_t bytes, int prot, int flags, int file, off_t off),              \
    (at, bytes, prot, flags, file, off), raw_mmap(at, bytes, prot, flags, file, off))              \
  X(void *, mremap, (void *at, size_t bytes, size_t wanted, int flags, void *to),                  \
    (at, bytes, wanted, flags, to), (errno = ENOMEM, (void *)-1))                                  \
  X(int, munmap, (void *at, size_t bytes), (at, bytes),                                            \
    (int)shim_syscall(SYS_munmap, at, bytes) < 0 ? -1 : 0)                                         \
  X(int, brk, (void *end), (end), (errno = ENOMEM, -1))                                            \
  X(void *, sbrk, (intptr_t bytes), (bytes), (errno = ENOMEM, (void *)-1))                         \
  X(void *, dlopen, (const char *file, int mode), (file, mode), NULL)                              \
  X(int, dlclose, (void *handle), (handle), 0)

struct shim_next {
#define SHIM_NEXT(result, name, parameters, arguments, early) result(*name) parameters;
  SHIM_HOOKS(SHIM_NEXT)
#undef SHIM_NEXT
};

/* Until the names are looked up, each entry leads to code that does so first. */
extern struct shim_next shim_next;

/* Whether malloc is not libc's; holds once names were looked up. */
extern bool shim_malloc_is_foreign;

/* Looks the names up, unless that was done. */
void shim_next_find(void);

/* Blocks that were handed out while names were looked up: given back to nobody. */
#define SHIM_ARENA_BYTES 8192u
extern uint8_t shim_arena[SHIM_ARENA_BYTES];

static inline bool shim_arena_owns(const void *block) {
  return (uintptr_t)block - (uintptr_t)shim_arena < SHIM_ARENA_BYTES;
}

#endif
