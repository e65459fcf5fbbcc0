/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds the functions behind the hooks. The look-up may itself allocate (dlsym does, for its error
 * text): a small arena serves it, and what comes from there is never freed. */
#include <dlfcn.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <string.h>
#include <sys/mman.h>

#include "alloc.h"
#include "hooks.h"
#include "sys.h"

uint8_t shim_arena[SHIM_ARENA_BYTES] __attribute__((aligned(16)));
static size_t arena_used;
bool shim_malloc_is_foreign;

/* Each block has its size before it. */
static void *arena_take(size_t alignment, size_t bytes) {
  size_t used = __atomic_load_n(&arena_used, __ATOMIC_RELAXED);
  size_t start;

  do {
    start = (used + sizeof(size_t) + alignment - 1) / alignment * alignment;
    start += (start % 16) ? 16 - start % 16 : 0;
    if (start > SHIM_ARENA_BYTES || bytes > SHIM_ARENA_BYTES - start)
      return NULL;
  } while (!__atomic_compare_exchange_n(&arena_used, &used, start + bytes, true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED));
  memcpy(shim_arena + start - sizeof(size_t), &bytes, sizeof(bytes));
  return shim_arena + start;
}

static void *arena_resize(void *block, size_t bytes) {
  size_t known = 0;
  void *moved = arena_take(16, bytes);

  if (block && shim_arena_owns(block))
    memcpy(&known, (uint8_t *)block - sizeof(known), sizeof(known));
  if (moved && known)
    memcpy(moved, block, known < bytes ? known : bytes);
  return moved;
}

static void *raw_mmap(void *at, size_t bytes, int prot, int flags, int file, off_t off) {
  long result = shim_syscall(SYS_mmap, at, bytes, prot, flags, file, off);

  if (result < 0 && result > -4096) {
    errno = (int)-result;
    return MAP_FAILED;
  }
  return (void *)result;
}

#define EARLY(result, name, parameters, arguments, early)                                          \
  static result early_##name parameters {                                                          \
    shim_next_find();                                                                              \
    if (shim_next.name != early_##name)                                                            \
      return shim_next.name arguments;                                                             \
    return early;                                                                                  \
  }
SHIM_HOOKS(EARLY)
#undef EARLY

#define ENTRY(result, name, parameters, arguments, early) .name = early_##name,
struct shim_next shim_next = {SHIM_HOOKS(ENTRY)};
#undef ENTRY

/* An arena block can be passed on to the allocator's realloc only by copying it. */
void *shim_real(const char *name) {
  struct shim_thread *thread = shim_enter();
  void *found = dlsym(RTLD_NEXT, name);

  if (thread)
    shim_leave(thread);
  return found;
}

static bool in_object_of(const void *function, const void *other) {
  Dl_info one, two;

  return dladdr(function, &one) && dladdr(other, &two) && one.dli_fbase == two.dli_fbase;
}

enum { FIND_NOT_YET = 0, FIND_RUNNING = 1, FIND_DONE = 2 };

void shim_next_find(void) {
  static uint32_t state;
  uint32_t seen = FIND_NOT_YET;
  void *function;

  if (!__atomic_compare_exchange_n(&state, &seen, FIND_RUNNING, false, __ATOMIC_ACQUIRE,
                                   __ATOMIC_ACQUIRE))
    return;
  int kept = errno;
#define FIND(result, name, parameters, arguments, early)                                           \
  if ((function = dlsym(RTLD_NEXT, #name)))                                                        \
    __atomic_store_n((void **)&shim_next.name, function, __ATOMIC_RELEASE);
  SHIM_HOOKS(FIND)
#undef FIND
  /* Not by sbrk, which tcmalloc defines as well. */
  shim_malloc_is_foreign = !in_object_of((void *)shim_next.malloc, (void *)gnu_get_libc_version);
  shim_blocks_start(shim_malloc_is_foreign);
  errno = kept;
  __atomic_store_n(&state, FIND_DONE, __ATOMIC_RELEASE);
}
