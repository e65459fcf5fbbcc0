/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hooks of the C allocator and of the dynamic linker. A hook calls the real function, then
 * counts what it handed out; what is given back is taken off before, as another thread may have the
 * same address right after. */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "hooks.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))
#define HOOK_FRAME __builtin_frame_address(0)
#define IS_OFF SHIM_UNLIKELY(shim_config.alloc == SHIM_OFF)

/* What SHIM_HERE is in the hook whose frame that is: read only once it is needed. */
static struct shim_place caller_of(const uint64_t *frame) {
  return (struct shim_place){.ip = frame[1], .sp = (uint64_t)(frame + 2), .bp = frame[0]};
}

static NOINLINE void enter_new(void *block, size_t bytes, const void *frame) {
  struct shim_thread *thread = shim_enter();

  if (!thread)
    return;
  shim_block_new(thread, REGION_MALLOC, block, bytes, caller_of(frame));
  shim_leave(thread);
}

/* Counts a block that was just handed out; NULL: nothing was. */
static ALWAYS_INLINE void *noted(void *block, size_t bytes, const void *frame) {
  if (SHIM_UNLIKELY(!block))
    return block;
  shim_blocks_noted++;
  if (shim_config.alloc != SHIM_SAMPLED || !shim_passed_over(REGION_MALLOC, bytes))
    enter_new(block, bytes, frame);
  return block;
}

/* The same unless the function behind called another hook for it. */
static ALWAYS_INLINE void *noted_once(uint32_t before, void *block, size_t bytes,
                                      const void *frame) {
  return before == shim_blocks_noted ? noted(block, bytes, frame) : block;
}

/* A function of its own, so that nothing is saved for it where all is passed through. */
static NOINLINE void *counted_malloc(size_t bytes) {
  return noted(shim_next.malloc(bytes), bytes, HOOK_FRAME);
}

SHIM_EXPORT void *malloc(size_t bytes) {
  return IS_OFF ? shim_next.malloc(bytes) : counted_malloc(bytes);
}

SHIM_EXPORT void *calloc(size_t count, size_t bytes) {
  if (IS_OFF)
    return shim_next.calloc(count, bytes);
  return noted(shim_next.calloc(count, bytes), count * bytes, HOOK_FRAME);
}

/* Takes a known block out of the table, with `word` to count its end by; 0: nothing is to count. */
static uint64_t take_off(void *block) {
  struct shim_thread *thread = shim_enter();
  uint64_t word;

  if (!thread)
    return 0;
  word = shim_block_take(REGION_MALLOC, block);
  shim_leave(thread);
  return word;
}

/* Its end is certain: it is counted. */
static void count_off(void *block, uint64_t word) {
  struct shim_thread *thread = shim_enter();

  if (!thread)
    return;
  shim_block_taken_free(thread, REGION_MALLOC, block, word);
  shim_leave(thread);
}

/* The block's header, its entry and the counters of its site lie on three cache lines that are
 * seldom at hand: they are fetched while something else is done. */
static NOINLINE void counted_free(void *block) {
  __builtin_prefetch((uint8_t *)block - 16, 1);
  uint64_t word = take_off(block);

  shim_next.free(block);
  if (word)
    count_off(block, word);
}

static ALWAYS_INLINE void give_back(void *block) {
  if (SHIM_UNLIKELY(!block || shim_arena_owns(block)))
    return;
  if (shim_config.alloc == SHIM_EVERY ||
      (shim_config.alloc == SHIM_SAMPLED && SHIM_UNLIKELY(shim_maybe_known(REGION_MALLOC, block))))
    counted_free(block);
  else
    shim_next.free(block);
}

SHIM_EXPORT void free(void *block) {
  give_back(block);
}

/* Gone from glibc's headers in 2.26, still called by older programs. */
SHIM_EXPORT void cfree(void *block);
SHIM_EXPORT void cfree(void *block) {
  give_back(block);
}

/* Only the block's contents can be carried over from the arena. */
static void *resize_arena_block(void *block, size_t bytes) {
  size_t known;
  void *moved = shim_next.malloc(bytes);

  memcpy(&known, (uint8_t *)block - sizeof(known), sizeof(known));
  if (moved)
    memcpy(moved, block, known < bytes ? known : bytes);
  return moved;
}

static void put_back(void *block, uint64_t word) {
  struct shim_thread *thread = shim_enter();

  if (!thread)
    return;
  shim_block_put_back(REGION_MALLOC, block, word);
  shim_leave(thread);
}

static ALWAYS_INLINE void *resize(void *block, size_t bytes, const void *frame) {
  if (SHIM_UNLIKELY(shim_arena_owns(block)))
    return noted(resize_arena_block(block, bytes), bytes, frame);

  uint64_t word = block ? take_off(block) : 0;
  uint32_t before = shim_blocks_noted;
  void *moved = shim_next.realloc(block, bytes);
  if (word && (moved || !bytes))
    count_off(block, word);
  else if (word)
    put_back(block, word);
  return noted_once(before, moved, bytes, frame);
}

SHIM_EXPORT void *realloc(void *block, size_t bytes) {
  if (IS_OFF && !SHIM_UNLIKELY(shim_arena_owns(block)))
    return shim_next.realloc(block, bytes);
  return resize(block, bytes, HOOK_FRAME);
}

/* libc's own calls realloc, so nothing else is needed behind it. */
SHIM_EXPORT void *reallocarray(void *block, size_t count, size_t bytes) {
  size_t product;

  if (__builtin_mul_overflow(count, bytes, &product)) {
    errno = ENOMEM;
    return NULL;
  }
  if (IS_OFF && !SHIM_UNLIKELY(shim_arena_owns(block)))
    return shim_next.realloc(block, product);
  return resize(block, product, HOOK_FRAME);
}

SHIM_EXPORT int posix_memalign(void **block, size_t alignment, size_t bytes) {
  uint32_t before = shim_blocks_noted;
  int error = shim_next.posix_memalign(block, alignment, bytes);

  if (!IS_OFF && !error)
    noted_once(before, *block, bytes, HOOK_FRAME);
  return error;
}

SHIM_EXPORT void *aligned_alloc(size_t alignment, size_t bytes) {
  uint32_t before = shim_blocks_noted;
  void *block = shim_next.aligned_alloc(alignment, bytes);

  return IS_OFF ? block : noted_once(before, block, bytes, HOOK_FRAME);
}

SHIM_EXPORT void *memalign(size_t alignment, size_t bytes) {
  uint32_t before = shim_blocks_noted;
  void *block = shim_next.memalign(alignment, bytes);

  return IS_OFF ? block : noted_once(before, block, bytes, HOOK_FRAME);
}

SHIM_EXPORT void *valloc(size_t bytes) {
  uint32_t before = shim_blocks_noted;
  void *block = shim_next.valloc(bytes);

  return IS_OFF ? block : noted_once(before, block, bytes, HOOK_FRAME);
}

SHIM_EXPORT void *pvalloc(size_t bytes) {
  uint32_t before = shim_blocks_noted;
  void *block = shim_next.pvalloc(bytes);

  return IS_OFF ? block : noted_once(before, block, bytes, HOOK_FRAME);
}
