/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The spans of the user's probes that a thread is in, and the return addresses that the kernel took
 * from the stack to see them end. */
#ifndef RAGPROF_BPF_PROBE_H
#define RAGPROF_BPF_PROBE_H

#include "maps.h"

#define PROBE_ENTRIES_SHIFT 7
#define PROBE_ENTRIES_MAX (1 << PROBE_ENTRIES_SHIFT)

struct probe_entry {
  __u64 sp; /* where the return address lies; it falls from entry to entry */
  __u64 return_address;
  __u64 ip;
  __u64 start_ns;
  __u16 probe;
  __u8 is_over;   /* it returned, but one above it has not */
  __u8 is_inner;  /* of another span of the same probe */
  __u8 is_unseen; /* the kernel does not tell its return */
  __u8 pad[3];
};

struct probe_thread {
  __u32 count;
  __u32 pad;
  struct probe_entry entries[PROBE_ENTRIES_MAX];
};

struct {
  __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct probe_thread);
} probe_threads __weak SEC(".maps");

/* Set before load. Without probes, nothing of this is in the programs. */
extern const volatile __u32 has_probes;
const volatile __u32 has_probes __weak = 0;

/* What stands on the stack in the place of a return address that was taken; 0: none was yet. It is
 * the start of the page that the kernel maps for probes. */
static __always_inline __u64 trampoline_of(struct task_struct *task) {
  return has_probes ? BPF_CORE_READ(task, mm, uprobes_state.xol_area, vaddr) : 0;
}

struct entry_search {
  struct probe_thread *stack;
  __u64 sp;
  __u32 low;
  __u32 high;
};

/* First entry at or below (so: not before) the place. */
static long search_entry(__u32 i, struct entry_search *s) {
  if (s->low >= s->high)
    return 1;
  __u32 middle = (s->low + s->high) >> 1;
  middle &= PROBE_ENTRIES_MAX - 1;
  if (s->stack->entries[middle].sp > s->sp)
    s->low = middle + 1;
  else
    s->high = middle;
  return 0;
}

/* What the word at a place stands for, where a return address is expected: where a probe took that
 * of the current thread, and of a function that has returned (`ended_sp`), it is the one that was
 * there at the entry. A function of its own: the walkers are as complex as verifiers allow. */
__weak __noinline __u64 return_address(__u64 word, __u64 sp, __u64 trampoline, __u64 ended_sp) {
  if (word != trampoline && sp != ended_sp)
    return word;
  struct probe_thread *stack =
      bpf_task_storage_get(&probe_threads, bpf_get_current_task_btf(), 0, 0);
  if (!stack)
    return word;
  struct entry_search s = {.stack = stack, .sp = sp, .high = stack->count};
  bpf_loop(PROBE_ENTRIES_SHIFT + 1, search_entry, &s, 0);
  __u64 at = s.low;
  asm volatile("" : "+r"(at));
  if (at >= PROBE_ENTRIES_MAX || stack->entries[at].sp != sp)
    return word;
  return stack->entries[at].return_address;
}

#endif
