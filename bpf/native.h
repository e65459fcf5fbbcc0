/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Walks native frames by the tables compiled from .eh_frame; the rbp chain where there are none. */
#ifndef RAGPROF_BPF_NATIVE_H
#define RAGPROF_BPF_NATIVE_H

#include "probe.h"
#include "unwind_row.h"
#include "walk.h"

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, SCRATCHES);
  __type(key, __u32);
  __type(value, struct event_raw);
} raw_scratches __weak SEC(".maps");

#define MAPPING_STEPS 17 /* 2^16 mappings */
#define ROW_STEPS 9      /* rows that begin within one page of 256 bytes */

/* The rows found last, by pc, one table per CPU: most frames of a thread are those of the time
 * before. `serial` tells one layout of mappings from another. */
#define ROW_CACHE_SLOTS 4096

struct row_cache {
  struct {
    __u64 pc;
    __u32 rule; /* the upper half of a row */
    __u32 serial;
  } at[ROW_CACHE_SLOTS];
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1); /* CPUs: set before load */
  __type(key, __u32);
  __type(value, struct row_cache);
} row_caches __weak SEC(".maps");

struct native_walk {
  __u64 ip;
  __u64 sp;
  __u64 bp;
  __u64 hash;
  struct scratch *scratch;
  struct mapping_table *table;
  struct row_cache *cache;
  struct task_struct *remote;
  __u64 trampoline; /* what stands for return addresses that a probe took; 0: nothing does */
  __u64 ended_sp;   /* where that of a function lay that has returned; it is overwritten by now */
  __u32 serial;
  __u32 map_first;
  __u32 map_end;
  __u32 hint;      /* the mapping of the previous frame */
  __u32 base;      /* frames[] before the native ones */
  __u32 end;       /* enum walk_end */
  __u32 is_return; /* ip is a return address: the call lies before it */
  __u32 may_copy;  /* the rest of a stack may be copied out */
};

struct search {
  __u64 low;
  __u64 high;
  __u64 key;
  union {
    struct mapping_table *table;
    struct segment *segment;
  };
};

/* First mapping whose start is above the key. */
static long search_mapping(__u32 i, struct search *s) {
  if (s->low >= s->high)
    return 1;
  __u64 middle = (s->low + s->high) >> 1;
  if (middle >= MAPPINGS_MAX)
    return 1;
  if (s->table->at[middle].start <= s->key)
    s->low = middle + 1;
  else
    s->high = middle;
  return 0;
}

/* First row whose pc is above the key. */
static long search_row(__u32 i, struct search *s) {
  if (s->low >= s->high)
    return 1;
  __u64 middle = (s->low + s->high) >> 1;
  middle &= SEGMENT_WORDS - 1;
  if ((__u32)s->segment->words[middle] <= (__u32)s->key)
    s->low = middle + 1;
  else
    s->high = middle;
  return 0;
}

static __always_inline struct unwind_mapping *find_mapping(struct native_walk *w, __u64 pc) {
  __u64 at = w->hint & (MAPPINGS_MAX - 1);
  struct unwind_mapping *mapping = &w->table->at[at];
  if (pc >= mapping->start && pc < mapping->end)
    return mapping;
  struct search s = {.low = w->map_first, .high = w->map_end, .key = pc, .table = w->table};
  bpf_loop(MAPPING_STEPS, search_mapping, &s, 0);
  at = s.low - 1;
  asm volatile("" : "+r"(at)); /* 6.1 follows no bounds of s.low through the comparison below */
  if (s.low <= w->map_first || at >= MAPPINGS_MAX)
    return NULL;
  mapping = &w->table->at[at];
  if (pc >= mapping->end)
    return NULL;
  w->hint = at;
  return mapping;
}

static __always_inline struct unwind_row row_of(__u64 word) {
  return (struct unwind_row){
      .pc = word, .cfa = word >> 32, .rbp = (__s8)(word >> 48), .type = word >> 56};
}

/* The row that governs pc, as one word; 0 (ROW_INVALID) when there is none. */
static __always_inline __u64 find_row(struct unwind_mapping *mapping, __u64 pc) {
  __u32 index = mapping->segment;
  void *inner = bpf_map_lookup_elem(&segments, &index);
  if (!inner)
    return 0;
  __u32 zero = 0;
  struct segment *segment = bpf_map_lookup_elem(inner, &zero);
  if (!segment)
    return 0;
  __u64 relative = pc - mapping->base;
  __u64 page = relative >> INDEX_SHIFT;
  if (page >= mapping->page_count)
    return 0;
  __u64 at = mapping->index_first + page;
  at &= SEGMENT_WORDS * 2 - 1;
  asm volatile("" : "+r"(at));
  at &= SEGMENT_WORDS * 2 - 1;
  __u64 next = at + 1;
  asm volatile("" : "+r"(next));
  next &= SEGMENT_WORDS * 2 - 1;
  struct search s = {.key = relative, .segment = segment};
  s.low = ((__u32 *)segment->words)[at];
  s.high = ((__u32 *)segment->words)[next];
  if (s.low < s.high)
    bpf_loop(ROW_STEPS, search_row, &s, 0);
  if (s.low <= mapping->row_first)
    return 0;
  __u64 row = s.low - 1;
  asm volatile("" : "+r"(row));
  row &= SEGMENT_WORDS - 1;
  return segment->words[row];
}

static __always_inline long end_native(struct native_walk *w, __u32 why) {
  w->end = why;
  return 1;
}

/* Follows the rbp chain: for code that keeps frame pointers and has no CFI. */
static __always_inline long step_by_chain(struct native_walk *w, __u32 why) {
  __u64 pair[2];
  if (w->bp < w->sp || read_user(pair, sizeof(pair), w->bp, w->remote))
    return end_native(w, why);
  w->sp = w->bp + 16;
  w->bp = pair[0];
  w->ip = pair[1];
  w->is_return = 1;
  return w->ip ? 0 : end_native(w, why);
}

/* A signal frame: the registers of what was interrupted, from rbp to rip in the ucontext. */
static __always_inline long step_by_signal(struct native_walk *w, __u64 context) {
  __u64 registers[(CONTEXT_PC - CONTEXT_BP) / 8 + 1];
  if (read_user(registers, sizeof(registers), context + CONTEXT_BP, w->remote))
    return end_native(w, WALK_BAD_READ);
  w->bp = registers[0];
  w->sp = registers[(CONTEXT_SP - CONTEXT_BP) / 8];
  w->ip = registers[(CONTEXT_PC - CONTEXT_BP) / 8];
  w->is_return = 0;
  return 0;
}

/* Moves to the caller, whose frame begins at `cfa`. */
static __always_inline long step_to_caller(struct native_walk *w, struct unwind_row row,
                                           __u64 cfa) {
  struct row_slots slots = row_slots(row, cfa, w->bp);
  __u64 pair[2]; /* the saved rbp mostly lies just below the return address */
  if (read_pair(w->scratch, pair, slots.ra_address - 8, w->remote))
    return end_native(w, WALK_BAD_READ);
  __u64 bp = pair[0];
  if (!slots.bp_address)
    bp = w->bp;
  else if (slots.bp_address != slots.ra_address - 8 &&
           read_user(&bp, 8, slots.bp_address, w->remote)) {
    if (slots.bp_address != w->bp)
      return end_native(w, WALK_BAD_READ);
    bp = w->bp; /* an expression that is applied a moment too early: rbp still is what it was */
  }
  w->bp = bp;
  w->ip = pair[1];
  if (has_probes)
    w->ip = return_address(pair[1], slots.ra_address, w->trampoline, w->ended_sp);
  w->sp = cfa;
  w->is_return = 1;
  return 0;
}

/* Moves from the frame at pc to its caller. */
static __always_inline long step_by_row(struct native_walk *w, struct unwind_row row, __u64 pc,
                                        bool innermost) {
  struct row_cfa cfa;
  switch (row_cfa(row, pc, w->sp, w->bp, &cfa)) {
  case ROW_CFA_READY:
    break;
  case ROW_CFA_LOAD:
    if (read_user(&cfa.value, 8, cfa.value, w->remote))
      return end_native(w, WALK_BAD_READ);
    break;
  case ROW_CFA_LOAD_INDEXED:
    if (!innermost)
      return end_native(w, WALK_NO_RULE);
    cfa.value += 8 * w->scratch->registers[cfa.index & 15];
    if (read_user(&cfa.value, 8, cfa.value, w->remote))
      return end_native(w, WALK_BAD_READ);
    break;
  case ROW_CFA_REGISTER:
    if (!innermost)
      return end_native(w, WALK_NO_RULE);
    cfa.value = w->scratch->registers[cfa.value & 15];
    break;
  case ROW_CFA_CONTEXT:
    return step_by_signal(w, cfa.value);
  case ROW_CFA_ROOT:
    return end_native(w, WALK_ROOT);
  default:
    return step_by_chain(w, WALK_NO_RULE);
  }
  return step_to_caller(w, row, cfa.value + cfa.addend);
}

/* Whether the thread stands behind a system call instruction. */
static __always_inline bool is_after_syscall(struct native_walk *w) {
  __u16 code = 0;
  return !read_user(&code, sizeof(code), w->ip - sizeof(code), w->remote) && code == SYSCALL_CODE;
}

/* Looks the rule for pc up in the tables, and keeps it. False: no mapping holds pc. */
static __always_inline bool find_rule(struct native_walk *w, __u64 pc, __u32 slot, __u32 *rule) {
  struct unwind_mapping *mapping = find_mapping(w, pc);
  if (!mapping)
    return false;
  *rule = mapping->segment == SEGMENT_NONE ? 0 : find_row(mapping, pc) >> 32;
  /* an interrupt that walks on this CPU meanwhile must not find the new pc with the old rule */
  w->cache->at[slot].pc = 0;
  barrier();
  w->cache->at[slot].rule = *rule;
  w->cache->at[slot].serial = w->serial;
  barrier();
  w->cache->at[slot].pc = pc;
  return true;
}

static __always_inline long walk_native_frame(__u32 i, struct native_walk *w) {
  if (i >= NATIVE_FRAMES_MAX)
    return end_native(w, WALK_TOO_DEEP);
  if (!w->ip) /* a return address of 0: where the kernel or clone() put a thread's first frame */
    return end_native(w, i ? WALK_ROOT : WALK_NO_RULE);
  __u64 pc = w->ip - w->is_return;
  put_frame(w->scratch, (__u64)w->base + i, pc);
  w->scratch->stack.native_count = i + 1;
  w->hash = hash_step(w->hash, pc);
  __u32 slot = (pc ^ (pc >> 12)) & (ROW_CACHE_SLOTS - 1);
  __u32 rule = w->cache->at[slot].rule;
  if ((w->cache->at[slot].pc != pc || w->cache->at[slot].serial != w->serial) &&
      !find_rule(w, pc, slot, &rule))
    return w->may_copy ? end_native(w, WALK_NO_MAPPING) : step_by_chain(w, WALK_NO_MAPPING);
  struct unwind_row row = row_of((__u64)rule << 32);
  /* glibc ends the CFI of clone, clone3 and vfork at their system call, which no frame was set up
   * for: the return address is on top of the stack */
  if (row.type == ROW_INVALID && i == 0 && is_after_syscall(w))
    row = (struct unwind_row){.type = ROW_RSP, .cfa = 1, .rbp = ROW_RBP_SAME};
  return step_by_row(w, row, pc, i == 0);
}

static long walk_native_current(__u32 i, struct native_walk *w) {
  w->remote = NULL;
  return walk_native_frame(i, w);
}

static long walk_native_remote(__u32 i, struct native_walk *w) {
  return walk_native_frame(i, w);
}

static __always_inline void report_unmapped(__u32 tgid, __u64 pc) {
  struct event_unmapped event = {.type = EVENT_UNMAPPED, .tgid = tgid, .pc = pc};
  bpf_ringbuf_output(&events, &event, sizeof(event), BPF_RB_FORCE_WAKEUP);
}

/* One page, or the rest of one, behind what was copied already. False: no further. */
static __always_inline bool copy_page(struct event_raw *raw, struct task_struct *remote) {
  __u64 at = raw->bytes, from = raw->sp + at, bytes = RAW_PAGE - (from & (RAW_PAGE - 1));
  asm volatile("" : "+r"(at), "+r"(bytes));
  if (at > RAW_BYTES_MAX - RAW_PAGE || bytes > RAW_PAGE)
    return false;
  if (read_user(raw->data + at, bytes, from, remote))
    return false;
  raw->bytes = at + bytes;
  return true;
}

/* Copies the stack out from where the walk met a mapping that is not known yet. Such a stack has an
 * id of its own: what is above is not in its hash. */
static __always_inline void copy_rest(struct scratch *scratch, struct process_info *process,
                                      struct native_walk *w, __u32 tgid, __u32 kind) {
  struct event_raw *raw = bpf_map_lookup_elem(&raw_scratches, &kind);
  if (!raw)
    return;
  raw->type = EVENT_RAW;
  raw->tgid = tgid;
  raw->id = hash_step(scratch->stack.id, bpf_ktime_get_ns());
  raw->ip = w->ip;
  raw->sp = w->sp;
  raw->bp = w->bp;
  raw->is_return = w->is_return;
  raw->is_after_syscall = !w->is_return && is_after_syscall(w);
  raw->bytes = 0;
  for (int i = 0; i < RAW_BYTES_MAX / RAW_PAGE; i++)
    if (!copy_page(raw, w->remote))
      break;
  __u64 bytes = raw->bytes;
  if (bytes > RAW_BYTES_MAX)
    bytes = RAW_BYTES_MAX;
  __sync_fetch_and_add(&process->raw_budget, -(__s32)bytes);
  if (bpf_ringbuf_output(&events, raw, __builtin_offsetof(struct event_raw, data) + bytes,
                         BPF_RB_FORCE_WAKEUP))
    return;
  scratch->stack.raw = raw->id;
  scratch->stack.id = raw->id;
}

static __always_inline void walk_native(struct scratch *scratch, struct process_info *process,
                                        struct user_registers *user, __u32 tgid,
                                        struct task_struct *remote, __u32 kind) {
  __u32 zero = 0, cpu = bpf_get_smp_processor_id();
  struct native_walk w = {
      .ip = user->ip,
      .sp = user->sp,
      .bp = user->bp,
      .hash = scratch->stack.id,
      .scratch = scratch,
      .table = bpf_map_lookup_elem(&mappings, &zero),
      .cache = bpf_map_lookup_elem(&row_caches, &cpu),
      .serial = process->map_serial,
      .map_first = process->map_first,
      .map_end = process->map_first + process->map_count,
      .hint = process->map_first,
      .base = scratch->stack.kernel_count,
      .trampoline = trampoline_of(remote ? remote : bpf_get_current_task_btf()),
      .ended_sp = kind == SCRATCH_PROBE ? user->sp : 0,
      .remote = remote,
      .may_copy = process->raw_budget > RAW_BYTES_MAX,
  };
  if (!w.table || !w.cache || !user->ip)
    return;
  if (remote)
    bpf_loop(NATIVE_FRAMES_MAX + 1, walk_native_remote, &w, 0);
  else
    bpf_loop(NATIVE_FRAMES_MAX + 1, walk_native_current, &w, 0);
  scratch->stack.native_end = w.end;
  scratch->stack.id = hash_step(w.hash, w.end);
  if (w.end != WALK_NO_MAPPING)
    return;
  if (w.may_copy)
    copy_rest(scratch, process, &w, tgid, kind);
  else
    report_unmapped(tgid, w.ip - w.is_return);
}

#endif
