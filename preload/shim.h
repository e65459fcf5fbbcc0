/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the shim know of each other. The shim is a guest: nothing here exits, prints,
 * blocks for long, or allocates by a function that it hooks; memory comes from shim_map alone. All
 * symbols are hidden but the hooked ones. */
#ifndef RAGPROF_PRELOAD_SHIM_H
#define RAGPROF_PRELOAD_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ragprof.h"
#include "region.h"

#define SHIM_LIKELY(x) __builtin_expect(!!(x), 1)
#define SHIM_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define SHIM_TLS __thread __attribute__((tls_model("initial-exec")))

/* ---- config.c: the environment, read once ---- */

enum shim_mode { SHIM_OFF = 0, SHIM_SAMPLED = 1, SHIM_EVERY = 2 };

struct shim_config {
  char folder[256]; /* of the session; "" when the shim is not wanted here: all is passed through */
  enum shim_mode alloc;
  enum shim_mode python;
  uint32_t interval_bytes; /* mean distance of samples */
  bool calls;
  uint32_t cpu_hz; /* 0: no CPU timers */
  char iteration[256];
};

extern struct shim_config shim_config;
void shim_config_read(void);

/* ---- memory.c ---- */

/* Zeroed memory straight from the kernel, left out of core dumps; NULL when there is none. Counted
 * in region.shim_bytes. Keeps errno. */
void *shim_map(size_t bytes);
void *shim_map_wiped(size_t bytes); /* the same, but a fork's child finds it zeroed */
void shim_unmap(void *memory, size_t bytes);

/* ---- thread.c: what the shim keeps of each thread, outside of its stack and TLS ---- */

/* A stack as it is taken: native frames (addresses to look up), then Python ones, each from the
 * leaf, as in struct region_site. */
#define SHIM_FRAMES_MAX (NATIVE_FRAMES_MAX + PYTHON_FRAMES_MAX) /* of bpf/ragprof.h */

struct shim_stack {
  uint64_t hash; /* of all below */
  uint32_t native_count;
  uint32_t python_count;
  uint8_t native_end; /* enum walk_end */
  uint8_t python_end;
  uint64_t words[SHIM_FRAMES_MAX];
};

struct shim_walk;   /* unwind.c: the stack walked last, and rows */
struct shim_python; /* python.c */

/* cpu.c: the timer of a thread. */
struct shim_cpu {
  uint32_t slot;     /* plus 1, in the table of timers; 0: none is armed */
  uint64_t first_ns; /* of the thread's CPU time: when the timer expires first */
  uint64_t periods;  /* that were sampled */
  uint64_t base[4];  /* where the thread began: the routine that pthread_create was given, and the
                        frames under it; all 0: not known */
};

/* sites.c: what a thread remembers of the sites that it met, by hash. */
#define SHIM_KNOWN_SITES 2048u

struct shim_known_site {
  uint64_t hash;
  uint32_t site;
  uint32_t serial; /* shim_region_serial */
};

struct shim_thread {
  struct shim_thread *next; /* all of them; or the free ones */
  uint32_t tid;
  bool in_handler;   /* the signal handler runs on top of whatever else the thread does */
  uint64_t start_ns; /* CLOCK_MONOTONIC */
  struct shim_thread *next_of_all;
  uint32_t events;                 /* of this thread: what is done now and then goes by it */
  uint64_t random;                 /* xorshift64 */
  int64_t live_delta;              /* not yet added to region.live_bytes */
  struct shim_stack stack;         /* scratch of hooks */
  struct shim_stack handler_stack; /* scratch of the signal handler */
  struct shim_walk *walk;
  struct shim_walk *handler_walk;
  struct shim_python *python;
  struct shim_cpu cpu;
  struct shim_known_site sites[SHIM_KNOWN_SITES];
  struct region_run native_run; /* of the stack that was last stored whole: others share its tail */
  struct region_run python_run;
  uint32_t run_serial; /* shim_region_serial */
};

/* Enters the shim for the calling thread: its record, or NULL when the shim is not ready, does not
 * want this process, or is busy in this very thread already (a hook called from a hook): then just
 * call the real function. Also notices that the process is a fork's child, and starts its region.
 * Each non-NULL result is given back by shim_leave. Keeps errno. */
struct shim_thread *shim_enter(void);
void shim_leave(struct shim_thread *thread);

/* The calling thread's record whether it is in the shim or not, for a signal handler; or NULL. */
struct shim_thread *shim_thread_here(void);

/* ---- region.c ---- */

extern struct region *shim_region;  /* of this process; never NULL once shim_enter gave a thread */
extern uint32_t shim_region_serial; /* grows when a fork's child gets a region of its own: what was
                                       published in the last one has to be published anew */

/* Makes room in the file system for [data, data + bytes) of the region. Each page has to be asked
 * for before it is first read or written: a page that does not fit would be a SIGBUS. Done already
 * for the fixed part and calls[]; do it for entries of modules[] and codes[]. False: it is full. */
bool shim_region_room(const void *data, size_t bytes);

/* Appends bytes to text[]; the offset, or UINT32_MAX when it is full. */
uint32_t shim_region_text(const void *data, size_t bytes);
void shim_region_event(const struct region_event *event); /* all but `sequence` */

/* ---- sites.c ---- */

/* The site of `thread->stack` (or another stack) for a kind: an index in sites[], a catch-all one
 * when there is no room. Never blocks. */
uint32_t shim_site(struct shim_thread *thread, uint32_t kind, const struct shim_stack *stack);

/* ---- unwind.c, python.c: stacks ---- */

/* Where a walk begins: the caller of a hook. A hook is compiled with a frame pointer. */
struct shim_place {
  uint64_t ip; /* a return address */
  uint64_t sp;
  uint64_t bp;
};

#define SHIM_HERE                                                                                  \
  ((struct shim_place){.ip = (uint64_t)__builtin_return_address(0),                                \
                       .sp = (uint64_t)__builtin_frame_address(0) + 16,                            \
                       .bp = *(uint64_t *)__builtin_frame_address(0)})

/* Fills thread->stack with the native and Python frames from `place` out. */
void shim_walk_here(struct shim_thread *thread, struct shim_place place);

/* The same for thread->handler_stack from what a signal interrupted (a ucontext_t).
 * Async-signal-safe. */
void shim_walk_context(struct shim_thread *thread, const void *ucontext);

/* A module was or may have been unloaded or loaded: called around dlclose and after dlopen. */
void shim_modules_changed(bool unloaded);

/* Appends the thread's Python frames to `stack` and mixes them into its hash; nothing when the
 * thread runs no Python. */
void shim_python_walk(struct shim_thread *thread, struct shim_stack *stack, bool in_handler);
/* Looks for an interpreter in the process: at start, and after a dlopen. */
void shim_python_find(void);
/* Its symbols, NULL where there is none: dlsym on the interpreter that was found. */
void *shim_python_symbol(const char *name);

/* ---- alloc.c: accounting of blocks; live.c: the table of live ones ---- */

/* A block was handed out by the allocator of `kind` (REGION_MALLOC or REGION_PYTHON), or is about
 * to be given back. shim_block_free says whether the block was known. `place` as SHIM_HERE in the
 * hook. A sampled kind asks shim_passed_over first, and for a free shim_maybe_known: both are cheap
 * and need no shim_enter. */
void shim_block_new(struct shim_thread *thread, uint32_t kind, void *block, size_t bytes,
                    struct shim_place place);
bool shim_block_free(struct shim_thread *thread, uint32_t kind, void *block);

/* What is left to the next sample, by kind; set by shim_block_new. */
extern SHIM_TLS int64_t shim_countdown[2];

/* Sampled kinds only: takes an allocation off the countdown; true when no sample falls on it. */
static inline bool shim_passed_over(uint32_t kind, size_t bytes) {
  return (shim_countdown[kind] -= (int64_t)bytes | 1) > 0;
}

/* Sampled kinds only: how many sampled blocks begin in the pages of each class. */
#define SHIM_PAGE_CLASSES 65536u
extern uint16_t shim_sampled_pages[2][SHIM_PAGE_CLASSES];

static inline bool shim_maybe_known(uint32_t kind, const void *block) {
  return shim_sampled_pages[kind][(uintptr_t)block / 4096 % SHIM_PAGE_CLASSES] != 0;
}

/* Counts blocks noted by this thread so far: a wrapper (operator new, a Python allocator) compares
 * it before and after to see whether what it wraps was hooked itself. */
extern SHIM_TLS uint32_t shim_blocks_noted;

/* Answers region.asked (mallinfo), when that is due; called now and then by hooks. */
void shim_answer(void);

/* ---- the parts that are set up at start, in this order, and after a fork in a child; each is
 * called with the shim entered, and has to bear being called again ---- */

void shim_python_alloc_start(void); /* python_alloc.c: installs the allocator hooks */
void shim_iteration_start(void);    /* iteration.c */
void shim_cpu_start(void);          /* cpu.c */
void shim_cpu_thread_start(struct shim_thread *thread); /* on the new thread itself */
void shim_cpu_thread_end(struct shim_thread *thread);

/* An inbound request began on a descriptor: calls.c tells iteration.c what was read. Looks at the
 * first bytes only, keeps none. */
void shim_iteration_read(int fd, const void *data, size_t bytes);
void shim_iteration_accepted(int fd);
void shim_iteration_closed(int fd);
extern bool shim_iteration_wants_reads;

/* ---- real.c: the functions behind the hooks ---- */

/* The next definition of a symbol in the search order (dlsym(RTLD_NEXT)), or NULL. What it may
 * allocate is not counted. Not safe before libc is ready: what may be called so early goes through
 * shim_next of hooks.h. */
void *shim_real(const char *name);

/* Marks what a hook exports. */
#define SHIM_EXPORT __attribute__((visibility("default")))

#endif
