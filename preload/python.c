/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds CPython in the process, and walks the Python frames of the calling thread. Follows its own
 * thread state only, and checks the type of what it follows; a signal handler, which may have come
 * at any moment of a change, also asks for each page. Gives up rather than guess. */
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "unwind.h"
#include "unwind/cpython.h"

#define OBJECT_TYPE 8      /* PyObject.ob_type, and ... */
#define STRING_HASH 24     /* PyASCIIObject.hash of 3.8 to 3.13, Include/cpython/unicodeobject.h */
#define OWNED_BY_C_STACK 3 /* 3.12+: a shim between C and Python, no frame of its own */
#define DEBUG_OFFSETS_BYTES                                                                        \
  584 /* of 3.13's _PyRuntime; cpython_offsets_refine asks for as many                             \
       */

/* ---- the interpreter ---- */

static struct {
  const uint8_t *runtime;
  struct python_offsets offsets;
  uint64_t code_type;
  uint64_t frame_type; /* 0: frames are no objects (3.11+) */
  int (*is_finalizing)(void);
} interpreter;

static bool has_interpreter;

/* 0x030b for "3.11.2 (main, ...)". */
static uint32_t version_now(void) {
  const char *(*get_version)(void) = (const char *(*)(void))shim_loaded_symbol("Py_GetVersion");
  char *end;

  if (!get_version)
    return 0;
  const char *text = get_version();
  unsigned long major = strtoul(text, &end, 10);
  unsigned long minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
  return (uint32_t)(major << 8 | minor);
}

/* Whether the offsets hold for this build: those without the GIL keep their objects differently. */
static bool take_offsets(struct python_offsets *offsets, uint32_t version, const void *runtime) {
  const struct python_offsets *known = cpython_offsets(version);

  if (!known)
    return false;
  *offsets = *known;
  return version < 0x030d || cpython_offsets_refine(offsets, version, runtime, DEBUG_OFFSETS_BYTES);
}

static void publish_version(void) {
  if (shim_region)
    __atomic_store_n(&shim_region->python_version, interpreter.offsets.version, __ATOMIC_RELAXED);
}

void shim_python_find(void) {
  if (has_interpreter) {
    publish_version();
    return;
  }
  const uint8_t *runtime = shim_loaded_symbol("_PyRuntime");
  uint32_t version = runtime ? version_now() : 0;
  if (!version || !take_offsets(&interpreter.offsets, version, runtime))
    return;
  interpreter.runtime = runtime;
  interpreter.code_type = (uint64_t)shim_loaded_symbol("PyCode_Type");
  if (version < 0x030b)
    interpreter.frame_type = (uint64_t)shim_loaded_symbol("PyFrame_Type");
  void *is_finalizing = shim_loaded_symbol("_Py_IsFinalizing");
  if (!is_finalizing)
    is_finalizing = shim_loaded_symbol("Py_IsFinalizing"); /* 3.13 */
  interpreter.is_finalizing = (int (*)(void))is_finalizing;
  __atomic_store_n(&has_interpreter, true, __ATOMIC_RELEASE);
  publish_version();
}

void *shim_python_symbol(const char *name) {
  return has_interpreter ? shim_loaded_symbol(name) : NULL;
}

/* ---- reading ---- */

/* The code objects met last. Of one thread, and not of its handler, which may come while one is
 * being written. */
#define CACHE_SLOTS 1024u

struct cached_code {
  struct shim_code code;
  uint32_t index;
};

struct shim_python {
  struct cached_code codes[CACHE_SLOTS];
  uint32_t serial; /* of the region that the indices are of */
};

struct python_walk {
  struct shim_python *cache; /* NULL in a handler */
  struct shim_stack *stack;
  uint64_t page; /* the one that was asked for last */
  bool is_careful;
};

static inline uint64_t read_u64(uint64_t address) {
  return *(const uint64_t *)address;
}

static inline uint32_t read_u32(uint64_t address) {
  return *(const uint32_t *)address;
}

/* Whether `bytes`, less than a page, from an object's address can be read. */
static inline bool may_follow(struct python_walk *walk, uint64_t address, uint32_t bytes) {
  if (address & 7 || address < SHIM_PAGE_BYTES || address >= SHIM_ADDRESS_MAX)
    return false;
  if (SHIM_LIKELY(!walk->is_careful))
    return true;
  uint64_t first = address / SHIM_PAGE_BYTES, last = (address + bytes - 1) / SHIM_PAGE_BYTES;
  if (first == walk->page && last == first)
    return true;
  walk->page = last;
  return shim_is_readable(first * SHIM_PAGE_BYTES) &&
         (last == first || shim_is_readable(last * SHIM_PAGE_BYTES));
}

/* ---- code objects ---- */

#define CODE_BYTES 192  /* up to the end of the fields that are read */
#define FRAME_BYTES 112 /* the same */

#define PRINT_BYTES_MAX 256u
#define LONG_BYTES_MAX (1ull << 30)
#define STRING_HEAD_BYTES 32 /* up to a str's or bytes' hash */

/* What tells a name from another at its address: its hash, which every name has that a compiler or
 * a module file brought; of others ("<module>" of 3.11, what code.replace() takes) their text, by
 * the word: the last one may reach past the end, but not into another page. */
static uint64_t name_print(struct python_walk *walk, uint64_t name) {
  const struct python_offsets *o = &interpreter.offsets;
  uint64_t hash = read_u64(name + STRING_HASH);

  if (SHIM_LIKELY(hash != UINT64_MAX))
    return hash;
  uint64_t bytes = read_u64(name + o->string_length); /* of ASCII: names mostly are */
  hash = bytes;
  if (bytes > PRINT_BYTES_MAX)
    bytes = PRINT_BYTES_MAX;
  if (!may_follow(walk, name, o->string_ascii + PRINT_BYTES_MAX))
    return hash;
  for (uint64_t data = name + o->string_ascii; bytes; data += 8) {
    uint64_t used = bytes < 8 ? bytes : 8;
    hash = shim_hash(hash, read_u64(data) << (64 - 8 * used));
    bytes -= used;
  }
  return hash;
}

/* The same of what is longer: its length, and its first and last words. */
static inline uint64_t ends_print(struct python_walk *walk, uint64_t data, uint64_t bytes) {
  uint64_t last = data + ((bytes - 1) & ~7ull);

  if (!bytes || bytes > LONG_BYTES_MAX || !may_follow(walk, data, 8) || !may_follow(walk, last, 8))
    return bytes;
  uint64_t used = bytes < 8 ? bytes : 8, in_last = (bytes - 1) % 8 + 1;
  return bytes ^ read_u64(data) << (64 - 8 * used) ^
         (read_u64(last) << (64 - 8 * in_last)) * SHIM_FACTOR;
}

static inline uint64_t file_print(struct python_walk *walk, uint64_t file) {
  const struct python_offsets *o = &interpreter.offsets;
  uint64_t hash = read_u64(file + STRING_HASH);

  return hash != UINT64_MAX
             ? hash
             : ends_print(walk, file + o->string_ascii, read_u64(file + o->string_length));
}

static inline uint64_t lines_print(struct python_walk *walk, uint64_t lines) {
  const struct python_offsets *o = &interpreter.offsets;
  return ends_print(walk, lines + o->bytes_data, read_u64(lines + o->bytes_length));
}

static bool read_code(struct python_walk *walk, struct shim_code *code, uint64_t address) {
  const struct python_offsets *o = &interpreter.offsets;

  if (!may_follow(walk, address, CODE_BYTES) ||
      read_u64(address + OBJECT_TYPE) != interpreter.code_type)
    return false;
  code->address = address;
  code->file = read_u64(address + o->code_filename);
  code->name = read_u64(address + o->code_name);
  code->lines = read_u64(address + o->code_linetable);
  code->first_line = read_u32(address + o->code_firstlineno);
  if (!may_follow(walk, code->name, STRING_HEAD_BYTES) ||
      !may_follow(walk, code->file, STRING_HEAD_BYTES) ||
      !may_follow(walk, code->lines, STRING_HEAD_BYTES))
    return false;
  code->name_print = name_print(walk, code->name);
  code->file_print = file_print(walk, code->file);
  code->lines_print = lines_print(walk, code->lines);
  return true;
}

static struct cached_code *slot_of(const struct python_walk *walk, uint64_t address) {
  return &walk->cache->codes[(address >> 4 ^ address >> 14) % CACHE_SLOTS];
}

/* Whether the code object at an address is the one that was met there last. */
static inline bool is_still(struct python_walk *walk, const struct shim_code *code,
                            uint64_t address) {
  const struct python_offsets *o = &interpreter.offsets;

  return code->address == address && read_u64(address + o->code_name) == code->name &&
         read_u64(address + o->code_filename) == code->file &&
         read_u64(address + o->code_linetable) == code->lines &&
         read_u32(address + o->code_firstlineno) == code->first_line &&
         name_print(walk, code->name) == code->name_print &&
         file_print(walk, code->file) == code->file_print &&
         lines_print(walk, code->lines) == code->lines_print;
}

/* The index plus 1 of the code object at an address; false: there is none. */
static inline bool index_of(struct python_walk *walk, uint64_t address, uint32_t *index) {
  struct shim_code code;

  if (SHIM_LIKELY(walk->cache != NULL)) {
    const struct cached_code *slot = slot_of(walk, address);
    if (SHIM_LIKELY(is_still(walk, &slot->code, address))) {
      *index = slot->index;
      return true;
    }
  }
  if (!read_code(walk, &code, address))
    return false;
  *index = shim_code_index(&code, &interpreter.offsets);
  if (walk->cache && *index)
    *slot_of(walk, address) = (struct cached_code){.code = code, .index = *index};
  return true;
}

/* ---- frames ---- */

/* Where a frame is in its code, in bytes; negative: it has not started. */
static inline int32_t address_of(uint64_t frame, uint64_t code) {
  const struct python_offsets *o = &interpreter.offsets;

  if (o->instr_kind == PYTHON_INSTR_POINTER)
    return (int32_t)(read_u64(frame + o->frame_instr) - (code + o->code_adaptive));
  int32_t last = (int32_t)read_u32(frame + o->frame_instr);
  return o->instr_kind == PYTHON_LASTI_WORDS ? last * 2 : last;
}

/* The frame is the last one of a call of the interpreter's loop. */
static void mark_entry(struct shim_stack *stack) {
  if (stack->python_count)
    stack->words[stack->native_count + stack->python_count - 1] |= PYTHON_ENTRY;
}

static bool is_c_frame(uint64_t frame) {
  const struct python_offsets *o = &interpreter.offsets;
  return o->frame_owner != OFFSET_NONE && o->frame_is_entry == OFFSET_NONE &&
         *(const uint8_t *)(frame + o->frame_owner) == OWNED_BY_C_STACK;
}

static inline bool put_frame(struct python_walk *walk, uint64_t frame) {
  const struct python_offsets *o = &interpreter.offsets;
  struct shim_stack *stack = walk->stack;
  uint64_t code = read_u64(frame + o->frame_code);
  uint32_t index;

  if (!index_of(walk, code, &index))
    return false;
  bool is_entry = o->frame_owner == OFFSET_NONE; /* <= 3.10: each frame has its native one */
  if (o->frame_is_entry != OFFSET_NONE)
    is_entry = *(const uint8_t *)(frame + o->frame_is_entry);
  stack->words[stack->native_count + stack->python_count++] =
      PYTHON_FRAME(index, is_entry, address_of(frame, code));
  return true;
}

static enum walk_end walk_frames(struct python_walk *walk, uint64_t frame) {
  const struct python_offsets *o = &interpreter.offsets;
  struct shim_stack *stack = walk->stack;

  /* each frame but the last may have one of C's below it */
  for (uint32_t i = 0; i < 2 * PYTHON_FRAMES_MAX && frame; i++) {
    if (!may_follow(walk, frame, FRAME_BYTES) ||
        (interpreter.frame_type && read_u64(frame + OBJECT_TYPE) != interpreter.frame_type))
      return WALK_BAD_READ;
    if (is_c_frame(frame))
      mark_entry(stack);
    else if (stack->python_count == PYTHON_FRAMES_MAX)
      return WALK_TOO_DEEP;
    else if (!put_frame(walk, frame))
      return WALK_BAD_READ;
    frame = read_u64(frame + o->frame_back);
  }
  return frame ? WALK_TOO_DEEP : WALK_ROOT;
}

/* ---- the thread ---- */

/* The calling thread's PyThreadState; 0: it has none, or is not to be trusted: a finalizing
 * interpreter frees the states of all threads but the one that ends it, which is taken to be the
 * main thread. */
static uint64_t thread_state(const struct shim_thread *thread) {
  const uint8_t *key = interpreter.runtime + interpreter.offsets.autotss_key;
  int32_t is_initialized, number;

  memcpy(&is_initialized, key - 4, sizeof(is_initialized)); /* Py_tss_t: _is_initialized, _key */
  memcpy(&number, key, sizeof(number));
  if (is_initialized != 1 || number < 0 || number >= PTHREAD_KEYS_MAX)
    return 0;
  if (interpreter.is_finalizing && interpreter.is_finalizing() && thread->tid != shim_region->pid)
    return 0;
  return (uint64_t)pthread_getspecific((pthread_key_t)number);
}

/* The innermost frame; 0: none, or *failed. */
static uint64_t top_frame(struct python_walk *walk, uint64_t state, bool *failed) {
  const struct python_offsets *o = &interpreter.offsets;

  *failed = !may_follow(walk, state, 128);
  uint64_t top = *failed ? 0 : read_u64(state + o->tstate_frame);
  if (!top || o->cframe_frame == OFFSET_NONE)
    return top;
  *failed = !may_follow(walk, top, 16);
  return *failed ? 0 : read_u64(top + o->cframe_frame);
}

/* The thread's cache; NULL when there is no memory for it. */
static struct shim_python *cache_of(struct shim_thread *thread) {
  if (!thread->python)
    thread->python = shim_map(sizeof(*thread->python));
  if (thread->python && thread->python->serial != shim_region_serial) {
    memset(thread->python, 0, sizeof(*thread->python));
    thread->python->serial = shim_region_serial;
    publish_version();
  }
  return thread->python;
}

/* As native frames are: by a sum, whose products do not wait for each other. */
static void mix(struct shim_stack *stack) {
  const uint64_t *words = stack->words + stack->native_count;
  uint64_t sum = stack->python_count, power = SHIM_FACTOR;

  for (uint32_t i = 0; i < stack->python_count; i++, power *= SHIM_FACTOR)
    sum += words[i] * power;
  stack->hash = shim_hash(shim_hash(stack->hash, sum), stack->python_end);
}

void shim_python_walk(struct shim_thread *thread, struct shim_stack *stack, bool in_handler) {
  struct python_walk walk = {.stack = stack, .is_careful = in_handler};
  uint64_t state;
  bool failed;

  if (!__atomic_load_n(&has_interpreter, __ATOMIC_ACQUIRE) || !(state = thread_state(thread)))
    return;
  if (!in_handler)
    walk.cache = cache_of(thread);
  uint64_t top = top_frame(&walk, state, &failed);
  stack->python_end = (uint8_t)(failed ? WALK_BAD_READ : walk_frames(&walk, top));
  mix(stack);
}
