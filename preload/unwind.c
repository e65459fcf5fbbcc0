/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Walks the native stack of the calling thread by rows. A walk is remembered: the next one steps
 * until it meets a frame of it, and then only looks whether what it read farther out still stands
 * there. Never faults: what is not surely the thread's own stack is asked for before it is read. */
#include <string.h>
#include <ucontext.h>

#include "unwind.h"
#include "unwind_row.h"

/* How far below its end the main thread's stack is taken for granted: the kernel maps nothing in at
 * least 128 MiB there (MIN_GAP of arch/x86/mm/mmap.c). */
#define MAIN_STACK_BYTES (64ull << 20)

/* How much of a stack is asked for, page by page, to prove it one piece. */
#define PROBE_BYTES_MAX (64ull << 20)

extern void *__libc_stack_end; /* of the dynamic linker: where the main thread began */

/* A frame: what its step needs, and where it found the caller's rbp. The caller's return address
 * lies below the caller's sp. */
struct frame {
  uint64_t pc; /* to look up: a return address less one */
  uint64_t sp;
  uint64_t bp;
  uint64_t sum;    /* see below */
  int32_t rbp;     /* in words from the caller's sp, as in rows; ROW_RBP_SAME: it is this one */
  bool is_special; /* has to be stepped anew: it lies on another stack, or has no plain rule */
};

/* Stacks are told apart by a sum over all frames of pc * FACTOR^i, i counted from the root, modulo
 * 2^64. While a walk goes from the leaf it sums pc * FACTOR^-j, j counted from the leaf: scaled
 * when the depth is known, that gives the sum at each of the frames, without a chain of products.
 */
#define FACTOR SHIM_FACTOR
#define FACTOR_INVERSE 0xf1de83e19937733dull
_Static_assert(FACTOR *FACTOR_INVERSE == 1, "modulo 2^64");

/* FACTOR^i, for each depth. Written by whoever comes first, with the same values by all. */
static uint64_t powers[NATIVE_FRAMES_MAX + 1];

static void find_powers(void) {
  uint64_t power = 1;

  if (SHIM_LIKELY(__atomic_load_n(&powers[NATIVE_FRAMES_MAX], __ATOMIC_ACQUIRE) != 0))
    return;
  for (uint32_t i = 0; i <= NATIVE_FRAMES_MAX; i++, power *= FACTOR)
    __atomic_store_n(&powers[i], power, __ATOMIC_RELEASE);
}

struct shim_walk {
  uint64_t start_ns; /* the thread that it is of, among those that used this memory */
  uint32_t epoch;    /* shim_rows_epoch that the frames were found under */
  uint32_t count;
  uint32_t end;       /* enum walk_end of the last walk */
  uint32_t put_count; /* words[] of the stack still holds that many frames of the last walk */
  bool is_rooted;     /* its first frame says that it is the first */
  uint64_t low;       /* the thread's own stack, as far as it is known to be there */
  uint64_t high;
  uint64_t hole;                          /* a page below that is not */
  uint64_t general[16];                   /* registers by DWARF number, of a frame that is_exact */
  struct frame frames[NATIVE_FRAMES_MAX]; /* of the last walk, from the root */
  struct frame fresh[NATIVE_FRAMES_MAX];  /* of this one, from the leaf */
};

/* Where a walk stands. */
struct stand {
  uint64_t ip;
  uint64_t sp;
  uint64_t bp;
  bool is_return; /* ip is a return address: the call lies before it */
  bool is_exact;  /* all registers are known */
};

/* What a walk does for each frame: its state stays in registers so. */
#define INLINE static inline __attribute__((always_inline))

/* ---- reading the stack ---- */

/* A word, also where a sanitizer sees none that this code may read. */
#ifdef __SANITIZE_ADDRESS__
#define READER static __attribute__((noinline, no_sanitize("address")))
#else
#define READER INLINE
#endif

READER uint64_t word_at(uint64_t address) {
  return *(const uint64_t *)address;
}

/* Whether all pages of [from, to) can be read. Leaves the last page that cannot be in *hole. */
static bool is_whole(uint64_t from, uint64_t to, uint64_t *hole) {
  if (to - from > PROBE_BYTES_MAX) {
    *hole = from;
    return false;
  }
  for (uint64_t page = to & ~(SHIM_PAGE_BYTES - 1); page + SHIM_PAGE_BYTES > from;
       page -= SHIM_PAGE_BYTES)
    if (!shim_is_readable(page)) {
      *hole = page;
      return false;
    }
  return true;
}

/* Finds the thread's own stack around sp: the main thread's by where it began, another thread's
 * below its thread control block, which glibc puts at the stack's upper end. Any other stack (of a
 * coroutine, of a signal handler) is foreign. */
static __attribute__((noinline)) void find_stack(struct shim_walk *walk, uint64_t sp) {
  uint64_t block = (uint64_t)__builtin_thread_pointer() & ~7ull;
  uint64_t main_end = (uint64_t)__libc_stack_end & ~7ull;

  if (sp < main_end && main_end - sp <= MAIN_STACK_BYTES && (block < sp || block >= main_end)) {
    walk->low = main_end - MAIN_STACK_BYTES;
    walk->high = main_end;
    return;
  }
  uint64_t low = sp & ~(SHIM_PAGE_BYTES - 1), known = walk->high == block ? walk->low : block;
  if (sp < block && low > walk->hole && is_whole(low, known, &walk->hole)) {
    walk->low = low;
    walk->high = block;
  }
}

/* Whether a word is on the thread's own stack, which stays: it can be looked at without asking. */
static inline bool is_own(const struct shim_walk *walk, uint64_t address) {
  return address - walk->low < walk->high - walk->low;
}

static bool load(const struct shim_walk *walk, uint64_t address, uint64_t *value) {
  if (address & 7 || (SHIM_UNLIKELY(!is_own(walk, address)) && !shim_is_readable(address)))
    return false;
  *value = word_at(address);
  return true;
}

/* ---- steps ----
 *
 * Each returns WALK_NONE after a step to the caller, else why there was none. */

/* By a rule that most frames have: the CFA from rsp or rbp, rbp saved by it or not at all, and all
 * of it on the thread's own stack. Returns whether it is one. */
INLINE bool step_plainly(const struct shim_walk *walk, struct stand *at, struct frame *frame,
                         uint64_t row) {
  uint8_t type = shim_row_type(row);
  int8_t rbp = shim_row_rbp(row);
  uint64_t cfa = (type == ROW_RBP ? at->bp : at->sp) + 8ull * shim_row_cfa(row);
  uint64_t slot = cfa + 8 * (int64_t)rbp;

  if (SHIM_UNLIKELY((type != ROW_RSP && type != ROW_RBP) || rbp == ROW_RBP_AT_RBP ||
                    !row_cfa_plausible(cfa, at->sp) || !is_own(walk, cfa - 8)))
    return false;
  if (rbp != ROW_RBP_SAME) {
    if (SHIM_UNLIKELY(!is_own(walk, slot)))
      return false;
    at->bp = word_at(slot);
  }
  at->ip = word_at(cfa - 8);
  at->sp = cfa;
  at->is_return = true;
  at->is_exact = false;
  frame->rbp = rbp;
  frame->is_special = false;
  return true;
}

static enum walk_end leave(const struct shim_walk *walk, struct stand *at, struct row_slots slots,
                           uint64_t cfa) {
  uint64_t ra, bp = at->bp;

  if (!load(walk, slots.ra_address, &ra))
    return WALK_BAD_READ;
  if (slots.bp_address && !load(walk, slots.bp_address, &bp)) {
    if (slots.bp_address != at->bp)
      return WALK_BAD_READ;
    bp = at->bp; /* GCC's rule for realigned frames: rbp was popped already, and is the caller's */
  }
  *at = (struct stand){.ip = ra, .sp = cfa, .bp = bp, .is_return = true};
  return WALK_NONE;
}

/* Without CFI: code that keeps frame pointers, all of them on one stack. */
static enum walk_end chain(const struct shim_walk *walk, struct stand *at, enum walk_end why) {
  uint64_t bp = at->bp;

  if (bp < at->sp || is_own(walk, bp) != is_own(walk, at->sp) ||
      leave(walk, at, row_chain_slots(bp), bp + 16) != WALK_NONE)
    return why;
  return at->ip ? WALK_NONE : why;
}

/* The registers of what a signal interrupted, in the order of the kernel's struct sigcontext, as
 * DWARF numbers. */
static const uint8_t context_order[] = {8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2};
#define CONTEXT_KNOWN (sizeof(context_order) / sizeof(context_order[0]))

static enum walk_end interrupted(struct shim_walk *walk, struct stand *at, uint64_t context) {
  uint64_t words[CONTEXT_KNOWN + 2]; /* then rsp and rip */

  for (size_t i = 0; i < CONTEXT_KNOWN + 2; i++)
    if (!load(walk, context + CONTEXT_REGISTERS + 8 * i, &words[i]))
      return WALK_BAD_READ;
  for (size_t i = 0; i < CONTEXT_KNOWN; i++)
    walk->general[context_order[i]] = words[i];
  *at = (struct stand){
      .ip = words[CONTEXT_KNOWN + 1],
      .sp = words[CONTEXT_KNOWN],
      .bp = words[(CONTEXT_BP - CONTEXT_REGISTERS) / 8],
      .is_exact = true,
  };
  if (!is_own(walk, at->sp))
    find_stack(walk, at->sp);
  return WALK_NONE;
}

/* glibc ends the CFI of clone, clone3 and vfork at their system call: the return address is on top
 * of the stack. */
static bool is_after_syscall(uint64_t ip) {
  const uint8_t *code = (const uint8_t *)ip;
  return code[-2] == 0x0f && code[-1] == 0x05;
}

static enum walk_end step_by_row(struct shim_walk *walk, struct stand *at, uint64_t pc,
                                 struct unwind_row row) {
  struct row_cfa cfa;
  uint64_t loaded;

  switch (row_cfa(row, pc, at->sp, at->bp, &cfa)) {
  case ROW_CFA_READY:
    if (!row_cfa_plausible(cfa.value, at->sp))
      return WALK_BAD_READ;
    break;
  case ROW_CFA_REGISTER:
    if (!at->is_exact)
      return WALK_NO_RULE;
    cfa.value = walk->general[cfa.value & 15];
    break;
  case ROW_CFA_LOAD_INDEXED:
    if (!at->is_exact)
      return WALK_NO_RULE;
    cfa.value += 8 * walk->general[cfa.index & 15];
    /* fall through */
  case ROW_CFA_LOAD:
    if (!load(walk, cfa.value, &loaded))
      return WALK_BAD_READ;
    cfa.value = loaded;
    break;
  case ROW_CFA_CONTEXT:
    return interrupted(walk, at, cfa.value);
  case ROW_CFA_ROOT:
    return WALK_ROOT;
  default:
    return chain(walk, at, WALK_NO_RULE);
  }
  cfa.value += (uint64_t)cfa.addend;
  return leave(walk, at, row_slots(row, cfa.value, at->bp), cfa.value);
}

static __attribute__((noinline)) enum walk_end
step_specially(struct shim_walk *walk, struct stand *at, uint64_t pc, uint64_t word) {
  struct unwind_row row = {
      .cfa = shim_row_cfa(word), .rbp = shim_row_rbp(word), .type = shim_row_type(word)};

  if (!word)
    return chain(walk, at, WALK_NO_MAPPING);
  if (row.type == ROW_INVALID && at->is_exact && is_after_syscall(at->ip))
    row = (struct unwind_row){.type = ROW_RSP, .cfa = 1, .rbp = ROW_RBP_SAME};
  return step_by_row(walk, at, pc, row);
}

/* ---- what was remembered ---- */

/* The step from a frame depends on its pc, sp and rbp and on the words that it reads. So where
 * frames[from] is as it was, its caller is, if those words are; and so on towards the root. Returns
 * the frame whose caller is not known by that; UINT32_MAX when all of them hold. */
INLINE uint32_t first_changed(const struct shim_walk *walk, uint32_t from) {
  for (uint32_t i = from; i > 0; i--) {
    const struct frame *frame = &walk->frames[i], *caller = frame - 1;
    if (frame->is_special || word_at(caller->sp - 8) != caller->pc + 1 ||
        (frame->rbp != ROW_RBP_SAME && word_at(caller->sp + 8 * (int64_t)frame->rbp) != caller->bp))
      return i;
  }
  return walk->is_rooted ? UINT32_MAX : 0;
}

/* A walk under way. */
struct progress {
  uint32_t saved; /* frames of the last walk, from the root, that may still hold */
  uint32_t fresh;
  uint64_t sum; /* of the fresh ones, and the factor of the next */
  uint64_t power;
};

INLINE struct frame *take(struct shim_walk *walk, struct progress *progress, uint64_t pc,
                          uint64_t sp, uint64_t bp) {
  struct frame *frame = &walk->fresh[progress->fresh++];

  frame->pc = pc;
  frame->sp = sp;
  frame->bp = bp;
  frame->sum = progress->sum; /* without its own part */
  progress->sum += pc * progress->power;
  progress->power *= FACTOR_INVERSE;
  return frame;
}

/* Goes on from the saved frames where the walk met the last of them. Returns whether they all hold;
 * else takes over those that do, and stands where the first one has to be stepped anew. */
INLINE bool go_on(struct shim_walk *walk, struct progress *progress, struct stand *at) {
  uint32_t top = progress->saved - 1, changed = first_changed(walk, top);

  if (SHIM_LIKELY(changed == UINT32_MAX))
    return progress->fresh + progress->saved <= NATIVE_FRAMES_MAX;
  if (progress->fresh + (top - changed) >= NATIVE_FRAMES_MAX)
    return false;
  for (uint32_t i = top; i > changed; i--) {
    const struct frame *frame = &walk->frames[i];
    take(walk, progress, frame->pc, frame->sp, frame->bp)->rbp = frame->rbp;
    walk->fresh[progress->fresh - 1].is_special = false;
  }
  if (changed < top) {
    const struct frame *frame = &walk->frames[changed];
    *at = (struct stand){.ip = frame->pc + 1, .sp = frame->sp, .bp = frame->bp, .is_return = true};
  }
  progress->saved = changed;
  return false;
}

/* Puts the new frames upon the saved ones. */
INLINE void remember(struct shim_walk *walk, const struct progress *progress) {
  uint32_t saved = progress->saved, fresh = progress->fresh;
  uint64_t scale = fresh ? powers[saved + fresh - 1] : 0;
  uint64_t sum = (saved ? walk->frames[saved - 1].sum : 0) + scale * progress->sum;

  walk->count = saved; /* a handler of the target may jump away from here */
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  for (uint32_t i = 0; i < fresh; i++) {
    struct frame *frame = &walk->frames[saved + fresh - 1 - i];
    *frame = walk->fresh[i];
    frame->sum = sum - scale * frame->sum;
  }
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  walk->count = saved + fresh;
}

/* ---- walks ---- */

INLINE enum walk_end step(struct shim_walk *walk, struct stand *at, struct frame *frame) {
  uint64_t row = shim_row(frame->pc);

  if (SHIM_LIKELY(step_plainly(walk, at, frame, row)))
    return WALK_NONE;
  frame->is_special = true;
  struct stand there = *at; /* whose address may be known: the walk's own stays in registers */
  enum walk_end end = step_specially(walk, &there, frame->pc, row);
  *at = there;
  return end;
}

/* Whether the walk stands at the last of the saved frames. */
INLINE bool is_met(const struct shim_walk *walk, const struct progress *progress,
                   const struct stand *at, uint64_t pc) {
  if (!progress->saved)
    return false;
  const struct frame *met = &walk->frames[progress->saved - 1];
  return met->sp == at->sp && met->pc == pc && met->bp == at->bp;
}

/* Steps until the saved frames hold, or the walk ends. */
INLINE enum walk_end walk_from(struct shim_walk *walk, struct progress *progress, struct stand at) {
  enum walk_end end = WALK_NONE;

  while (end == WALK_NONE) {
    uint64_t pc = at.ip - at.is_return;
    if (SHIM_UNLIKELY(!at.ip)) { /* where the kernel or clone() put a thread's first frame */
      end = progress->fresh ? WALK_ROOT : WALK_NO_RULE;
      break;
    }
    while (progress->saved && walk->frames[progress->saved - 1].sp < at.sp)
      progress->saved--;
    if (is_met(walk, progress, &at, pc)) {
      if (go_on(walk, progress, &at))
        return walk->end;
      pc = at.ip - at.is_return;
    }
    if (SHIM_UNLIKELY(progress->fresh == NATIVE_FRAMES_MAX)) {
      end = WALK_TOO_DEEP;
      break;
    }
    end = step(walk, &at, take(walk, progress, pc, at.sp, at.bp));
  }
  walk->is_rooted = end == WALK_ROOT && at.ip;
  progress->saved = 0;
  return end;
}

static void put_nothing(struct shim_stack *stack) {
  stack->native_count = stack->python_count = 0;
  stack->native_end = stack->python_end = WALK_NONE;
  stack->hash = 0;
}

/* Writes the frames to the stack, from the leaf: those that changed, where the others still stand
 * there. */
INLINE void put_words(struct shim_walk *walk, struct shim_stack *stack, uint32_t fresh) {
  uint32_t count = walk->count;
  const struct frame *leaf = &walk->frames[count - 1];
  uint32_t changed = count == walk->put_count ? fresh : count;

  walk->put_count = 0;
  for (uint32_t i = 0; i < changed; i++)
    stack->words[i] = leaf[-(int64_t)i].pc;
  walk->put_count = count;
  stack->native_count = count;
  stack->native_end = (uint8_t)walk->end;
  stack->python_count = 0;
  stack->python_end = WALK_NONE;
  stack->hash = shim_hash(leaf->sum, (uint64_t)count << 8 | walk->end);
}

/* What another thread, or other objects, left behind. */
static void renew(struct shim_walk *walk, uint64_t start_ns, uint32_t epoch) {
  if (walk->start_ns != start_ns)
    walk->low = walk->high = walk->hole = 0;
  walk->start_ns = start_ns;
  walk->epoch = epoch;
  walk->count = walk->put_count = 0;
  find_powers();
}

INLINE void walk_native(struct shim_thread *thread, struct shim_walk *walk,
                        struct shim_stack *stack, struct stand at) {
  struct progress progress = {.power = 1};

  if (SHIM_UNLIKELY(shim_rows_serial != shim_region_serial))
    shim_rows_renew();
  uint32_t epoch = __atomic_load_n(&shim_rows_epoch, __ATOMIC_ACQUIRE);
  if (SHIM_UNLIKELY(walk->start_ns != thread->start_ns || walk->epoch != epoch))
    renew(walk, thread->start_ns, epoch);
  if (SHIM_UNLIKELY(!is_own(walk, at.sp)))
    find_stack(walk, at.sp);
  progress.saved = SHIM_UNLIKELY(walk->end == WALK_TOO_DEEP) ? 0 : walk->count;
  walk->end = walk_from(walk, &progress, at);
  if (progress.fresh || progress.saved != walk->count)
    remember(walk, &progress);
  if (SHIM_LIKELY(walk->count))
    put_words(walk, stack, progress.fresh);
  else
    put_nothing(stack);
}

/* The memory of a kind of walk, got at its first one; NULL when there is none. */
static struct shim_walk *walk_of(struct shim_walk **walk) {
  if (SHIM_UNLIKELY(!*walk))
    *walk = shim_map(sizeof(**walk));
  return *walk;
}

void shim_walk_here(struct shim_thread *thread, struct shim_place place) {
  struct stand at = {.ip = place.ip, .sp = place.sp, .bp = place.bp, .is_return = true};
  struct shim_walk *walk = walk_of(&thread->walk);

  if (walk)
    walk_native(thread, walk, &thread->stack, at);
  else
    put_nothing(&thread->stack);
  shim_python_walk(thread, &thread->stack, false);
}

void shim_walk_context(struct shim_thread *thread, const void *ucontext) {
  const greg_t *registers = ((const ucontext_t *)ucontext)->uc_mcontext.gregs;
  struct shim_walk *walk = walk_of(&thread->handler_walk);
  struct stand at = {
      .ip = (uint64_t)registers[REG_RIP],
      .sp = (uint64_t)registers[REG_RSP],
      .bp = (uint64_t)registers[REG_RBP],
      .is_exact = true,
  };

  if (walk) {
    for (size_t i = 0; i < CONTEXT_KNOWN; i++)
      walk->general[context_order[i]] = (uint64_t)registers[i];
    walk_native(thread, walk, &thread->handler_stack, at);
  } else {
    put_nothing(&thread->handler_stack);
  }
  shim_python_walk(thread, &thread->handler_stack, true);
}
