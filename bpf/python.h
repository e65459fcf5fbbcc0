/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Walks the frames of CPython 3.8 to 3.13 by the offsets in python_versions, and ships each code
 * object once. */
#ifndef RAGPROF_BPF_PYTHON_H
#define RAGPROF_BPF_PYTHON_H

#include "walk.h"

#define PTHREAD_BLOCK_KEYS 32
#define PTHREAD_KEYS_MAX 1024

#define OWNED_BY_C_STACK 3 /* 3.12+: a shim between C and Python, no frame of its own */

struct code_key {
  __u64 address;
  __u32 tgid;
  __u32 generation;
};

struct code_entry {
  __u64 print; /* of its names, line table and first line: tells it from the next one there */
  __u32 id;
  __u32 pad;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, PYTHON_CODES_MAX);
  __type(key, struct code_key);
  __type(value, struct code_entry);
} codes __weak SEC(".maps");

/* The ids found last, one table per CPU, as for rows. */
#define CODE_CACHE_SLOTS 2048

struct code_cache {
  struct {
    __u64 code;
    __u64 owner; /* process and generation */
    __u64 names; /* a hash of both pointers */
    __u32 id;
    __u32 born_s;    /* when it came in here */
    __u32 checked_s; /* when the whole object was looked at */
    __u32 tick;      /* when its names were */
  } at[CODE_CACHE_SLOTS];
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1); /* CPUs: set before load */
  __type(key, __u32);
  __type(value, struct code_cache);
} code_caches __weak SEC(".maps");

struct code_scratch {
  struct event_code event;
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, SCRATCHES);
  __type(key, __u32);
  __type(value, struct code_scratch);
} code_scratches __weak SEC(".maps");

struct python_walk {
  __u64 frame;
  __u64 last; /* the frame that was put last */
  __u64 hash;
  __u64 now_ns;
  struct scratch *scratch;
  struct code_cache *cache;
  struct python_offsets *offsets;
  struct task_struct *remote;
  __u32 tgid;
  __u32 generation;
  __u32 base;  /* frames[] before the Python ones */
  __u32 count; /* Python frames so far */
  __u32 end;   /* enum walk_end */
  __u32 kind;  /* enum scratch_kind */
};

static __always_inline void read_text(struct code_text *text, __u64 string,
                                      const struct python_offsets *o, struct task_struct *remote) {
  __u32 state = 0;
  text->length = 0;
  text->kind = 0;
  if (read_user(&text->length, 4, string + o->string_length, remote) ||
      read_user(&state, 4, string + o->string_state, remote))
    return;
  __u32 kind = (state >> 2) & 7;
  bool is_ascii = state & (1 << 6);
  __u64 data = string + (is_ascii ? o->string_ascii : o->string_compact);
  __u64 bytes = (__u64)text->length * kind;
  if (bytes > CODE_TEXT_MAX)
    bytes = CODE_TEXT_MAX;
  asm volatile("" : "+r"(bytes));
  bytes &= 2 * CODE_TEXT_MAX - 1;
  if (bytes > CODE_TEXT_MAX)
    return;
  if (!read_user(text->data, bytes, data, remote))
    text->kind = kind;
}

/* What a code object holds besides its names, mixed. */
static __always_inline __u64 code_print(__u64 code, const struct python_offsets *o,
                                        struct task_struct *remote) {
  __u64 lines = 0;
  __u32 first_line = 0;
  read_user(&lines, 8, code + o->code_linetable, remote);
  read_user(&first_line, 4, code + o->code_firstlineno, remote);
  return hash_step(lines, first_line);
}

/* Ships a code object. False when it was lost. */
static __noinline bool publish_code(struct python_walk *w, __u64 code, __u32 id) {
  __u32 kind = w->kind;
  struct code_scratch *s = bpf_map_lookup_elem(&code_scratches, &kind);
  struct python_offsets *o = w->offsets;
  struct task_struct *remote = w->remote;
  if (!s || !o)
    return false;
  struct event_code *e = &s->event;
  e->type = EVENT_CODE;
  e->tgid = w->tgid;
  e->id = id;
  e->version = o->version;
  e->lines_bytes = 0;
  __u64 text = 0; /* one for all three: how deep the stack is counts here */
  __u32 name_offset = o->code_qualname == OFFSET_NONE ? o->code_name : o->code_qualname;
  read_user(&text, 8, code + name_offset, remote);
  read_text(&e->name, text, o, remote);
  text = 0;
  read_user(&text, 8, code + o->code_filename, remote);
  read_text(&e->file, text, o, remote);
  text = 0;
  read_user(&text, 8, code + o->code_linetable, remote);
  read_user(&e->first_line, 4, code + o->code_firstlineno, remote);
  read_user(&e->flags, 4, code + o->code_flags, remote);
  read_user(&e->lines_bytes, 4, text + o->bytes_length, remote);
  e->lines_address = text + o->bytes_data;
  __u64 bytes = e->lines_bytes;
  if (bytes > CODE_LINES_MAX)
    bytes = CODE_LINES_MAX;
  asm volatile("" : "+r"(bytes));
  bytes &= 2 * CODE_LINES_MAX - 1;
  if (bytes > CODE_LINES_MAX)
    return false;
  if (read_user(e->lines, bytes, e->lines_address, remote))
    e->lines_bytes = 0;
  return !bpf_ringbuf_output(&events, e, __builtin_offsetof(struct event_code, lines) + bytes,
                             BPF_RB_NO_WAKEUP);
}

/* The id of a code object by the table of all; 0 when it was lost. */
static __always_inline __u32 look_up_code(struct python_walk *w, __u64 code, __u64 names) {
  struct code_key key = {.address = code, .tgid = w->tgid, .generation = w->generation};
  struct code_entry entry = {.print = code_print(code, w->offsets, w->remote) ^ names};
  struct code_entry *known = bpf_map_lookup_elem(&codes, &key);
  if (known && known->print == entry.print)
    return known->id;
  entry.id = (__sync_fetch_and_add(&next_code_id, 1) + 1) & 0xffffff;
  if (!publish_code(w, code, entry.id) || bpf_map_update_elem(&codes, &key, &entry, 0)) {
    COUNT(lost_codes);
    return 0;
  }
  return entry.id;
}

/* The same by way of the cache. Addresses are used again after a code object dies: its names are
 * looked at every time, those of one that has lived for a while every 17 ms, and the rest of it
 * once a second. */
static __always_inline __u32 code_id(struct python_walk *w, __u64 code) {
  __u64 owner = (__u64)w->generation << 32 | w->tgid;
  __u32 slot = (code >> 4 ^ code >> 15) & (CODE_CACHE_SLOTS - 1);
  __u32 second = w->now_ns >> 30, tick = w->now_ns >> 24;
  struct code_cache *cache = w->cache;
  bool known = cache->at[slot].code == code && cache->at[slot].owner == owner;
  if (known && cache->at[slot].tick == tick && second - cache->at[slot].born_s > 1)
    return cache->at[slot].id;
  __u64 pointers[2] = {}; /* the file name and the name, which stand side by side */
  read_user(pointers, sizeof(pointers), code + w->offsets->code_filename, w->remote);
  __u64 names = hash_step(pointers[0], pointers[1]);
  known = known && cache->at[slot].names == names;
  if (known && cache->at[slot].checked_s == second) {
    cache->at[slot].tick = tick;
    return cache->at[slot].id;
  }
  __u32 id = look_up_code(w, code, names);
  if (!id)
    return 0;
  if (!known || cache->at[slot].id != id)
    cache->at[slot].born_s = second;
  cache->at[slot].code = 0; /* as in find_rule */
  barrier();
  cache->at[slot].owner = owner;
  cache->at[slot].names = names;
  cache->at[slot].id = id;
  cache->at[slot].checked_s = second;
  cache->at[slot].tick = tick;
  barrier();
  cache->at[slot].code = code;
  return id;
}

static __always_inline __u64 frame_u64(struct scratch *s, __u32 offset) {
  return *(__u64 *)&s->frame[offset & 0x78];
}

/* Where the frame is in its code, in bytes; negative: it has not started. */
static __always_inline __s32 frame_address(struct python_walk *w, __u64 code) {
  struct python_offsets *o = w->offsets;
  __u64 word = frame_u64(w->scratch, o->frame_instr);
  if (o->instr_kind == PYTHON_INSTR_POINTER)
    return (__s32)(word - (code + o->code_adaptive));
  __s32 last = (__s32)(__u32)word;
  return o->instr_kind == PYTHON_LASTI_WORDS ? last * 2 : last;
}

static __always_inline void mark_entry(struct python_walk *w) {
  if (w->count)
    put_frame(w->scratch, (__u64)w->base + w->count - 1, w->last | PYTHON_ENTRY);
}

static __always_inline long walk_python_frame(__u32 i, struct python_walk *w) {
  struct scratch *s = w->scratch;
  struct python_offsets *o = w->offsets;
  if (!w->frame) {
    w->end = WALK_ROOT;
    return 1;
  }
  if (w->count >= PYTHON_FRAMES_MAX) {
    w->end = WALK_TOO_DEEP;
    return 1;
  }
  if (read_user(s->frame, 112, w->frame, w->remote)) {
    w->end = WALK_BAD_READ;
    return 1;
  }
  w->frame = frame_u64(s, o->frame_back);
  if (o->frame_owner != OFFSET_NONE && o->frame_is_entry == OFFSET_NONE &&
      s->frame[o->frame_owner & 127] == OWNED_BY_C_STACK) {
    mark_entry(w);
    return 0;
  }
  __u64 code = frame_u64(s, o->frame_code);
  __s32 address = frame_address(w, code);
  bool is_entry = o->frame_owner == OFFSET_NONE; /* ≤ 3.10: each frame has its native one */
  if (o->frame_is_entry != OFFSET_NONE)
    is_entry = s->frame[o->frame_is_entry & 127];
  __u64 word = PYTHON_FRAME(code_id(w, code), is_entry, address);
  put_frame(s, (__u64)w->base + w->count, word);
  w->last = word;
  w->count++;
  w->hash = hash_step(w->hash, word);
  return 0;
}

static long walk_python_current(__u32 i, struct python_walk *w) {
  w->remote = NULL;
  return walk_python_frame(i, w);
}

static long walk_python_remote(__u32 i, struct python_walk *w) {
  return walk_python_frame(i, w);
}

/* The thread's own PyThreadState: the value of the thread-specific key in _PyRuntime. 0: none, the
 * thread does not run Python. */
static __noinline __u64 thread_state_of(struct process_info *process, struct python_offsets *o,
                                        struct task_struct *task, struct task_struct *remote) {
  if (!process || !o)
    return 0;
  __u64 pointer = thread_pointer(task);
  __u32 key = 0;
  __u64 block = pointer + PTHREAD_FIRST_BLOCK, state = 0;
  if (!pointer || read_user(&key, 4, process->python_runtime + o->autotss_key, remote) ||
      key >= PTHREAD_KEYS_MAX)
    return 0;
  if (key >= PTHREAD_BLOCK_KEYS) {
    __u64 slot = pointer + PTHREAD_BLOCKS + 8 * (key / PTHREAD_BLOCK_KEYS);
    if (read_user(&block, 8, slot, remote) || !block)
      return 0;
  }
  if (read_user(&state, 8, block + 16 * (key % PTHREAD_BLOCK_KEYS) + 8, remote))
    return 0;
  return state;
}

static __always_inline void walk_python(struct scratch *scratch, struct process_info *process,
                                        struct task_struct *task, __u32 tgid,
                                        struct task_struct *remote, __u32 kind) {
  __u32 version = process->python - 1, cpu = bpf_get_smp_processor_id();
  struct python_offsets *o = bpf_map_lookup_elem(&python_versions, &version);
  if (!o)
    return;
  __u64 state = thread_state_of(process, o, task, remote);
  if (!state)
    return;
  struct python_walk w = {
      .hash = scratch->stack.id,
      .scratch = scratch,
      .cache = bpf_map_lookup_elem(&code_caches, &cpu),
      .now_ns = bpf_ktime_get_ns(),
      .offsets = o,
      .tgid = tgid,
      .generation = process->generation,
      .base = scratch->stack.kernel_count + scratch->stack.native_count,
      .end = WALK_BAD_READ,
      .kind = kind,
      .remote = remote,
  };
  __u64 top = 0;
  if (!w.cache)
    return;
  bool failed = read_user(&top, 8, state + o->tstate_frame, remote);
  if (!failed && top && o->cframe_frame != OFFSET_NONE)
    failed = read_user(&top, 8, top + o->cframe_frame, remote);
  w.frame = top;
  if (!failed && remote)
    bpf_loop(PYTHON_FRAMES_MAX + 64, walk_python_remote, &w, 0);
  else if (!failed)
    bpf_loop(PYTHON_FRAMES_MAX + 64, walk_python_current, &w, 0);
  scratch->stack.python_count = w.count;
  scratch->stack.python_end = w.end;
  scratch->stack.id = hash_step(w.hash, w.end);
}

#endif
