/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hooks of C++'s operator new and delete, by their mangled names. Most implementations call
 * malloc and free, which are hooked themselves: such a block is counted there, and only others are
 * counted here. Exceptions of the real operator pass through. */
#include <dlfcn.h>

#include "alloc.h"
#include "hooks.h"

/* std::nothrow_t and std::align_val_t, as the ABI passes them. */
struct nothrow;
typedef size_t alignment_t;

/* X(name of ours, mangled name, parameters after the size, arguments after it) */
#define NEW_OPERATORS(X)                                                                           \
  X(new_one, "_Znwm", (size_t bytes), (bytes))                                                     \
  X(new_array, "_Znam", (size_t bytes), (bytes))                                                   \
  X(new_nothrow, "_ZnwmRKSt9nothrow_t", (size_t bytes, const struct nothrow *tag), (bytes, tag))   \
  X(new_array_nothrow, "_ZnamRKSt9nothrow_t", (size_t bytes, const struct nothrow *tag),           \
    (bytes, tag))                                                                                  \
  X(new_aligned, "_ZnwmSt11align_val_t", (size_t bytes, alignment_t alignment),                    \
    (bytes, alignment))                                                                            \
  X(new_array_aligned, "_ZnamSt11align_val_t", (size_t bytes, alignment_t alignment),              \
    (bytes, alignment))                                                                            \
  X(new_aligned_nothrow, "_ZnwmSt11align_val_tRKSt9nothrow_t",                                     \
    (size_t bytes, alignment_t alignment, const struct nothrow *tag), (bytes, alignment, tag))     \
  X(new_array_aligned_nothrow, "_ZnamSt11align_val_tRKSt9nothrow_t",                               \
    (size_t bytes, alignment_t alignment, const struct nothrow *tag), (bytes, alignment, tag))

#define DELETE_OPERATORS(X)                                                                        \
  X(delete_one, "_ZdlPv", (void *block), (block))                                                  \
  X(delete_array, "_ZdaPv", (void *block), (block))                                                \
  X(delete_sized, "_ZdlPvm", (void *block, size_t bytes), (block, bytes))                          \
  X(delete_array_sized, "_ZdaPvm", (void *block, size_t bytes), (block, bytes))                    \
  X(delete_nothrow, "_ZdlPvRKSt9nothrow_t", (void *block, const struct nothrow *tag),              \
    (block, tag))                                                                                  \
  X(delete_array_nothrow, "_ZdaPvRKSt9nothrow_t", (void *block, const struct nothrow *tag),        \
    (block, tag))                                                                                  \
  X(delete_aligned, "_ZdlPvSt11align_val_t", (void *block, alignment_t alignment),                 \
    (block, alignment))                                                                            \
  X(delete_array_aligned, "_ZdaPvSt11align_val_t", (void *block, alignment_t alignment),           \
    (block, alignment))                                                                            \
  X(delete_sized_aligned, "_ZdlPvmSt11align_val_t",                                                \
    (void *block, size_t bytes, alignment_t alignment), (block, bytes, alignment))                 \
  X(delete_array_sized_aligned, "_ZdaPvmSt11align_val_t",                                          \
    (void *block, size_t bytes, alignment_t alignment), (block, bytes, alignment))                 \
  X(delete_aligned_nothrow, "_ZdlPvSt11align_val_tRKSt9nothrow_t",                                 \
    (void *block, alignment_t alignment, const struct nothrow *tag), (block, alignment, tag))      \
  X(delete_array_aligned_nothrow, "_ZdaPvSt11align_val_tRKSt9nothrow_t",                           \
    (void *block, alignment_t alignment, const struct nothrow *tag), (block, alignment, tag))

/* From a scope that holds a definition other than ours, which is kept from being unloaded; NULL: it
 * has none. */
static void *find_in(const char *file, const char *name, const void *own) {
  void *scope = file ? shim_next.dlopen(file, RTLD_LAZY | RTLD_NOLOAD) : NULL;
  void *found = scope ? dlsym(scope, name) : NULL;

  if (found && found != own)
    return found;
  if (scope)
    shim_next.dlclose(scope);
  return NULL;
}

/* The operator behind ours. A libstdc++ that came with a module, loaded RTLD_LOCAL or linked into
 * it, is in nobody's search order but that module's, which is the caller's. */
static __attribute__((noinline)) void *find_operator(const char *name, const void *own,
                                                     const void *caller) {
  struct shim_thread *thread = shim_enter();
  void *found = dlsym(RTLD_NEXT, name);
  Dl_info module;

  if (!found && dladdr(caller, &module))
    found = find_in(module.dli_fname, name, own);
  if (!found)
    found = find_in("libstdc++.so.6", name, own);
  if (thread)
    shim_leave(thread);
  return found;
}

static __attribute__((noinline)) void note_new(void *block, size_t bytes, struct shim_place place) {
  shim_blocks_noted++;
  if (shim_config.alloc == SHIM_SAMPLED && shim_passed_over(REGION_MALLOC, bytes))
    return;
  struct shim_thread *thread = shim_enter();
  if (!thread)
    return;
  shim_block_new(thread, REGION_MALLOC, block, bytes, place);
  shim_leave(thread);
}

static __attribute__((noinline)) void note_delete(void *block) {
  struct shim_thread *thread = shim_enter();

  if (!thread)
    return;
  shim_block_free(thread, REGION_MALLOC, block);
  shim_leave(thread);
}

/* Without the real operator there is no std::bad_alloc to throw either. */
#define NEW_HOOK(hook, mangled, parameters, arguments)                                             \
  SHIM_EXPORT void *hook parameters __asm__(mangled);                                              \
  SHIM_EXPORT void *hook parameters {                                                              \
    static void *(*next)parameters;                                                                \
    void *(*real)parameters = __atomic_load_n(&next, __ATOMIC_RELAXED);                            \
    if (SHIM_UNLIKELY(!real)) {                                                                    \
      real = find_operator(mangled, (void *)hook, __builtin_return_address(0));                    \
      __atomic_store_n(&next, real, __ATOMIC_RELAXED);                                             \
    }                                                                                              \
    uint32_t before = shim_blocks_noted;                                                           \
    void *block = real ? real arguments : shim_next.malloc(bytes);                                 \
    if (shim_config.alloc != SHIM_OFF && before == shim_blocks_noted && block)                     \
      note_new(block, bytes, SHIM_HERE);                                                           \
    return block;                                                                                  \
  }
NEW_OPERATORS(NEW_HOOK)

#define DELETE_HOOK(hook, mangled, parameters, arguments)                                          \
  SHIM_EXPORT void hook parameters __asm__(mangled);                                               \
  SHIM_EXPORT void hook parameters {                                                               \
    static void(*next) parameters;                                                                 \
    void(*real) parameters = __atomic_load_n(&next, __ATOMIC_RELAXED);                             \
    if (SHIM_UNLIKELY(!real)) {                                                                    \
      real = find_operator(mangled, (void *)hook, __builtin_return_address(0));                    \
      __atomic_store_n(&next, real, __ATOMIC_RELAXED);                                             \
    }                                                                                              \
    if (block && (shim_config.alloc == SHIM_EVERY ||                                               \
                  (shim_config.alloc == SHIM_SAMPLED && shim_maybe_known(REGION_MALLOC, block))))  \
      note_delete(block);                                                                          \
    if (real)                                                                                      \
      real arguments;                                                                              \
    else                                                                                           \
      shim_next.free(block);                                                                       \
  }
DELETE_OPERATORS(DELETE_HOOK)
