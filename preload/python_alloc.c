/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counts CPython's own small blocks: puts itself between the interpreter and its allocators of
 * objects and of memory (PyMem_SetAllocator). A block that the interpreter took from malloc was
 * counted by the hook there. Leaves the raw domain, which is malloc, and builds without a GIL
 * alone. What a target sees of it: sys._debugmallocstats() leaves out pymalloc's part. */
#include <string.h>

#include "alloc.h"
#include "python_hooks.h"
#include "shim.h"

/* Each time that hooks are put on top of an allocator that is new to us they are another set, so
 * that a set never ends up below itself (PyMem_SetAllocator users keep what they found). */
#define LAYERS 4

/* pymalloc passes larger blocks on to malloc: SMALL_REQUEST_THRESHOLD, Objects/obmalloc.c. */
#define PYMALLOC_BYTES_MAX 512

static struct python_allocator originals[3][LAYERS];
static bool counts_every; /* else by samples */

/* While we ask whether hooks are reached. */
enum probe { PROBE_NONE = 0, PROBE_SENT = 1, PROBE_SEEN = 2 };
static SHIM_TLS uint8_t probe;

/* ---- the hooks ---- */

/* Whether what malloc's hook counted meanwhile is this very block. pymalloc also takes memory of
 * its own from malloc now and then, for lists of arenas. */
static bool is_of_malloc(void *block, size_t bytes, uint32_t noted_before) {
  if (SHIM_LIKELY(shim_blocks_noted == noted_before))
    return false;
  if (bytes > PYMALLOC_BYTES_MAX || shim_config.alloc != SHIM_EVERY)
    return true;
  uint64_t word = shim_block_take(REGION_MALLOC, block);
  shim_block_put_back(REGION_MALLOC, block, word);
  return word != 0;
}

static __attribute__((noinline)) void note(void *block, size_t bytes, uint32_t noted_before,
                                           struct shim_place place) {
  if (SHIM_UNLIKELY(probe)) {
    probe = PROBE_SEEN;
    return;
  }
  if (!block || is_of_malloc(block, bytes, noted_before))
    return;
  /* Those that may go on to malloc are taken off the countdown only now. */
  if (!counts_every && bytes > PYMALLOC_BYTES_MAX && shim_passed_over(REGION_PYTHON, bytes))
    return;
  struct shim_thread *thread = shim_enter();
  if (!thread)
    return;
  shim_block_new(thread, REGION_PYTHON, block, bytes, place);
  shim_leave(thread);
}

static inline bool is_passed_over(size_t bytes) {
  return !counts_every && bytes <= PYMALLOC_BYTES_MAX && shim_passed_over(REGION_PYTHON, bytes);
}

static inline bool is_unknown(const void *block) {
  return !counts_every && !shim_maybe_known(REGION_PYTHON, block);
}

/* The slow halves. The hooks end in jumps to them, so that the caller of the one is the caller of
 * the other, and the fast halves have nothing to save. */
#define SLOW static __attribute__((noinline))

SLOW void *malloc_noted(const struct python_allocator *original, void *ctx, size_t bytes) {
  uint32_t noted_before = shim_blocks_noted;
  void *block = original->malloc(ctx, bytes);
  note(block, bytes, noted_before, SHIM_HERE);
  return block;
}

SLOW void *calloc_noted(const struct python_allocator *original, void *ctx, size_t count,
                        size_t bytes) {
  uint32_t noted_before = shim_blocks_noted;
  void *block = original->calloc(ctx, count, bytes);
  note(block, count * bytes, noted_before, SHIM_HERE);
  return block;
}

/* Of a block that may be known, or to a size that is to be noted. The block is taken out before:
 * afterwards it may be another thread's already. */
SLOW void *realloc_noted(const struct python_allocator *original, void *ctx, void *block,
                         size_t bytes, bool is_noted) {
  struct shim_thread *thread = is_unknown(block) ? NULL : shim_enter();
  uint64_t word = thread ? shim_block_take(REGION_PYTHON, block) : 0;
  if (thread)
    shim_leave(thread);

  uint32_t noted_before = shim_blocks_noted;
  void *moved = original->realloc(ctx, block, bytes);
  if (word && (thread = shim_enter())) {
    if (moved)
      shim_block_taken_free(thread, REGION_PYTHON, block, word);
    else
      shim_block_put_back(REGION_PYTHON, block, word);
    shim_leave(thread);
  }
  if (is_noted)
    note(moved, bytes, noted_before, SHIM_HERE);
  return moved;
}

SLOW void free_noted(const struct python_allocator *original, void *ctx, void *block) {
  struct shim_thread *thread = shim_enter();
  if (thread) {
    shim_block_free(thread, REGION_PYTHON, block);
    shim_leave(thread);
  }
  original->free(ctx, block);
}

#define FAST static inline __attribute__((always_inline))

FAST void *hook_malloc(const struct python_allocator *original, void *ctx, size_t bytes) {
  if (SHIM_LIKELY(is_passed_over(bytes)))
    return original->malloc(ctx, bytes);
  return malloc_noted(original, ctx, bytes);
}

FAST void *hook_calloc(const struct python_allocator *original, void *ctx, size_t count,
                       size_t bytes) {
  /* When the product overflows there is no block. */
  if (SHIM_LIKELY(is_passed_over(count * bytes)))
    return original->calloc(ctx, count, bytes);
  return calloc_noted(original, ctx, count, bytes);
}

FAST void *hook_realloc(const struct python_allocator *original, void *ctx, void *block,
                        size_t bytes) {
  bool is_over = is_passed_over(bytes);
  if (SHIM_LIKELY(is_over && is_unknown(block)))
    return original->realloc(ctx, block, bytes);
  return realloc_noted(original, ctx, block, bytes, !is_over);
}

FAST void hook_free(const struct python_allocator *original, void *ctx, void *block) {
  if (SHIM_LIKELY(is_unknown(block)))
    original->free(ctx, block);
  else
    free_noted(original, ctx, block);
}

/* A set of hooks for a domain. */
#define HOOKS(domain, layer)                                                                       \
  static void *malloc_##domain##layer(void *ctx, size_t bytes) {                                   \
    return hook_malloc(&originals[domain][layer], ctx, bytes);                                     \
  }                                                                                                \
  static void *calloc_##domain##layer(void *ctx, size_t count, size_t bytes) {                     \
    return hook_calloc(&originals[domain][layer], ctx, count, bytes);                              \
  }                                                                                                \
  static void *realloc_##domain##layer(void *ctx, void *block, size_t bytes) {                     \
    return hook_realloc(&originals[domain][layer], ctx, block, bytes);                             \
  }                                                                                                \
  static void free_##domain##layer(void *ctx, void *block) {                                       \
    hook_free(&originals[domain][layer], ctx, block);                                              \
  }
#define ALL_HOOKS(X, domain) X(domain, 0) X(domain, 1) X(domain, 2) X(domain, 3)
ALL_HOOKS(HOOKS, DOMAIN_MEMORY)
ALL_HOOKS(HOOKS, DOMAIN_OBJECT)

#define HOOKS_ENTRY(domain, layer)                                                                 \
  {NULL, malloc_##domain##layer, calloc_##domain##layer, realloc_##domain##layer,                  \
   free_##domain##layer},
static const struct python_allocator hooks[3][LAYERS] = {
    [DOMAIN_MEMORY] = {ALL_HOOKS(HOOKS_ENTRY, DOMAIN_MEMORY)},
    [DOMAIN_OBJECT] = {ALL_HOOKS(HOOKS_ENTRY, DOMAIN_OBJECT)},
};

/* ---- putting them in place ---- */

static python_allocator_function get_allocator, set_allocator;

static bool is_same(const struct python_allocator *a, const struct python_allocator *b) {
  return a->ctx == b->ctx && a->malloc == b->malloc;
}

/* Puts hooks on top of `current`. The context stays its own: whoever reads the allocator while its
 * words are written finds functions that go with it. */
static void install(enum python_domain domain, const struct python_allocator *current) {
  for (unsigned i = 0; i < LAYERS; i++) {
    struct python_allocator *original = &originals[domain][i];
    if (original->malloc && !is_same(original, current))
      continue;
    struct python_allocator hooked = hooks[domain][i];
    *original = *current;
    hooked.ctx = current->ctx;
    set_allocator(domain, &hooked);
    return;
  }
}

static bool is_ours(enum python_domain domain, const struct python_allocator *allocator) {
  for (unsigned i = 0; i < LAYERS; i++)
    if (hooks[domain][i].malloc == allocator->malloc)
      return true;
  return false;
}

/* Whether an allocation still comes by here, below whatever was put on top of the hooks. */
static bool is_reached(enum python_domain domain) {
  const char *prefix = domain == DOMAIN_OBJECT ? "PyObject_Malloc" : "PyMem_Malloc";
  const char *suffix = domain == DOMAIN_OBJECT ? "PyObject_Free" : "PyMem_Free";
  void *(*python_malloc)(size_t) = (void *(*)(size_t))shim_python_symbol(prefix);
  void (*python_free)(void *) = (void (*)(void *))shim_python_symbol(suffix);
  if (!python_malloc || !python_free)
    return true;
  int64_t countdown = shim_countdown[REGION_PYTHON];
  shim_countdown[REGION_PYTHON] = 0;
  probe = PROBE_SENT;
  python_free(python_malloc(1));
  bool reached = probe == PROBE_SEEN;
  probe = PROBE_NONE;
  shim_countdown[REGION_PYTHON] = countdown;
  return reached;
}

static void check(enum python_domain domain) {
  static struct python_allocator seen[3]; /* found on top of the hooks, and left there */
  struct python_allocator current;
  get_allocator(domain, &current);
  if (is_ours(domain, &current) || is_same(&current, &seen[domain]))
    return;
  if (is_reached(domain))
    seen[domain] = current;
  else
    install(domain, &current);
}

/* PYTHONMALLOC and -X dev set allocators at initialisation; tracemalloc.stop() sets those that
 * tracemalloc.start() found. */
void python_alloc_check(void) {
  if (!get_allocator)
    return;
  check(DOMAIN_MEMORY);
  check(DOMAIN_OBJECT);
}

void shim_python_alloc_start(void) {
  if (shim_config.python == SHIM_OFF || get_allocator || !python_version())
    return;
  void *get = shim_python_symbol("PyMem_GetAllocator");
  void *set = shim_python_symbol("PyMem_SetAllocator");
  if (!get || !set)
    return;
  counts_every = shim_config.python == SHIM_EVERY;
  set_allocator = (python_allocator_function)set;
  get_allocator = (python_allocator_function)get;
  for (enum python_domain domain = DOMAIN_MEMORY; domain <= DOMAIN_OBJECT; domain++) {
    struct python_allocator current;
    get_allocator(domain, &current);
    install(domain, &current);
  }
  python_audit_start();
}
