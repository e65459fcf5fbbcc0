/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counts operations in slots, chooses which of them are walked, and ships slow ones. */
#ifndef RAGPROF_BPF_COUNT_H
#define RAGPROF_BPF_COUNT_H

#include "kernel.h"
#include "stack.h"

/* enum operation_class of userspace/trace/trace.h, which cannot be included here. */
enum {
  CLASS_SYSCALL = 1,
  CLASS_FILE = 2,
  CLASS_SOCKET = 3,
  CLASS_BLOCK = 4,
  CLASS_FAULT = 5,
  CLASS_LOCK = 6,
  CLASS_PROBE = 7,
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, OPERATION_SLOTS_MAX);
  __type(key, __u32);
  __type(value, struct operation_slot);
} operation_slots __weak SEC(".maps");

/* User space fills it, and gives back what it has drained. */
struct {
  __uint(type, BPF_MAP_TYPE_QUEUE);
  __uint(max_entries, OPERATION_SLOTS_MAX);
  __uint(key_size, 0);
  __uint(value_size, sizeof(__u32));
} free_slots __weak SEC(".maps");

/* Of operations that are not of one thread. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, OPERATION_SLOTS_MAX);
  __type(key, struct operation_key);
  __type(value, __u32);
} slot_of_key __weak SEC(".maps");

struct operation_stacks {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 32 * 1024);
  __type(key, struct operation_stack_key);
  __type(value, struct operation_stack_sum);
};

/* One is added to while user space empties the other, as with wait sums. */
struct operation_stacks operation_stacks_a __weak SEC(".maps");
struct operation_stacks operation_stacks_b __weak SEC(".maps");

extern const volatile __u64 slow_operation_ns; /* from here on they are streamed one by one */
const volatile __u64 slow_operation_ns __weak = 1000000;

__u32 active_stacks __weak = 0;
__u32 next_slot_serial __weak = 0;
__u32 slots_given_back __weak = 0;

/* ---- slots ---- */

static __always_inline struct operation_slot *slot_at(__u32 index) {
  return bpf_map_lookup_elem(&operation_slots, &index);
}

/* Files come by the thousands. Some slots are kept for what is not one; where there is none for a
 * file, its operations are counted for no file in particular. */
#define SLOTS_NOT_FOR_FILES 2048

static __always_inline bool may_have_slot(const struct operation_key *key) {
  return key->class != CLASS_FILE || !key->object ||
         next_slot_serial - slots_given_back < OPERATION_SLOTS_MAX - SLOTS_NOT_FOR_FILES;
}

/* A sleepable program may not use queues in Linux 6.1. The task iterator meets few operations that
 * nobody met before, and takes their slots from those that were kept for it. */
#ifdef WALKS_REMOTE
__u32 kept_slots_taken = 0;

static __always_inline __u32 slot_take(void) {
  __u32 taken = __sync_fetch_and_add(&kept_slots_taken, 1);
  if (taken >= OPERATION_SLOTS_KEPT)
    return OPERATION_SLOT_NONE;
  return OPERATION_SLOTS_MAX - OPERATION_SLOTS_KEPT + taken;
}

static __always_inline void slot_give_back(__u32 index) {
  (void)index;
}
#else
static __always_inline __u32 slot_take(void) {
  __u32 index;
  return bpf_map_pop_elem(&free_slots, &index) ? OPERATION_SLOT_NONE : index;
}

static __always_inline void slot_give_back(__u32 index) {
  bpf_map_push_elem(&free_slots, &index, 0);
}
#endif

/* A slot for a key that has none. OPERATION_SLOT_NONE: all are in use. */
static __noinline __u32 slot_new(struct operation_key *key) {
  __u32 index = key && may_have_slot(key) ? slot_take() : OPERATION_SLOT_NONE;
  if (index == OPERATION_SLOT_NONE)
    return OPERATION_SLOT_NONE;
  struct operation_slot *slot = slot_at(index);
  if (!slot)
    return OPERATION_SLOT_NONE;
  __builtin_memset((char *)slot + sizeof(slot->key), 0,
                   __builtin_offsetof(struct operation_slot, buckets) - sizeof(slot->key));
  slot->serial = __sync_fetch_and_add(&next_slot_serial, 1) + 1;
  slot->key.object = key->object;
  slot->key.tgid = key->tgid;
  slot->key.tid = key->tid;
  slot->key.name = key->name;
  barrier();
  slot->key.class = key->class; /* last: user space looks from here on */
  return index;
}

/* The slot of an operation that several threads share. OPERATION_SLOT_NONE when there is no room.
 */
static __always_inline __u32 slot_index_of(struct operation_key *key) {
  __u32 *known = bpf_map_lookup_elem(&slot_of_key, key);
  if (known)
    return *known;
  __u32 index = slot_new(key);
  if (index == OPERATION_SLOT_NONE)
    return index;
  if (bpf_map_update_elem(&slot_of_key, key, &index, BPF_NOEXIST)) { /* another CPU was faster */
    struct operation_slot *slot = slot_at(index);
    if (slot)
      slot->key.class = 0;
    slot_give_back(index);
    __sync_fetch_and_add(&slots_given_back, 1);
    known = bpf_map_lookup_elem(&slot_of_key, key);
    return known ? *known : OPERATION_SLOT_NONE;
  }
  return index;
}

/* The same; NULL when there is no room. */
static __always_inline struct operation_slot *slot_of(struct operation_key *key) {
  __u32 index = slot_index_of(key);
  return index == OPERATION_SLOT_NONE ? NULL : slot_at(index);
}

/* The same of a file; where it gets none of its own, that of no file in particular. */
static __always_inline __u32 slot_index_of_file(struct operation_key *key) {
  __u32 index = slot_index_of(key);
  if (index != OPERATION_SLOT_NONE || !key->object)
    return index;
  key->object = 0;
  return slot_index_of(key);
}

/* The slot of a thread's system call. A thread that finds none uses that of its process. */
static __always_inline struct operation_slot *slot_of_call(struct thread_state *thread,
                                                           struct operation_key *key) {
  __u32 number = key->name & (SYSCALLS_MAX - 1);
  __u32 index = thread->syscall_slots[number];
  if (index != OPERATION_SLOT_NONE)
    return slot_at(index);
  index = slot_new(key);
  if (index == OPERATION_SLOT_NONE) {
    key->tid = 0;
    return slot_of(key);
  }
  thread->syscall_slots[number] = index;
  return slot_at(index);
}

/* ---- counting ---- */

/* The bucket of a duration: region_histogram_bucket of preload/region.h. */
__weak __noinline __u32 bucket_of(__u64 ns) {
  __u32 power = 0;
  __u64 rest = ns;
  if (ns < 64)
    return 0;
  if (rest >> 32)
    power += 32, rest >>= 32;
  if (rest >> 16)
    power += 16, rest >>= 16;
  if (rest >> 8)
    power += 8, rest >>= 8;
  if (rest >> 4)
    power += 4, rest >>= 4;
  if (rest >> 2)
    power += 2, rest >>= 2;
  if (rest >> 1)
    power += 1;
  __u32 bucket = (power - 6) * 8 + (__u32)((ns >> (power - 3)) & 7) + 1;
  return bucket < OPERATION_BUCKETS ? bucket : OPERATION_BUCKETS - 1;
}

__weak __noinline int count_error(struct operation_slot *slot, __u32 error) {
  if (!slot)
    return 0;
  __sync_fetch_and_add(&slot->errors, 1);
  for (int i = 0; i < OPERATION_ERRORS_MAX; i++) {
    if (!slot->error[i])
      slot->error[i] = error;
    if (slot->error[i] == error) {
      __sync_fetch_and_add(&slot->error_count[i], 1);
      return 0;
    }
  }
  return 0;
}

/* Adds one of `ns` to a slot that only this thread writes. */
static __always_inline void count_own(struct operation_slot *slot, __u64 ns) {
  __u32 bucket = bucket_of(ns);
  asm volatile("" : "+r"(bucket));
  slot->count++;
  slot->total_ns += ns;
  if (ns > slot->max_ns)
    slot->max_ns = ns;
  if (bucket < OPERATION_BUCKETS)
    slot->buckets[bucket]++;
}

/* The same to one that other threads may write as well. */
static __always_inline void count_shared(struct operation_slot *slot, __u64 count, __u64 bytes,
                                         __u64 ns) {
  __u32 bucket = bucket_of(ns);
  asm volatile("" : "+r"(bucket));
  __sync_fetch_and_add(&slot->count, count);
  if (bytes)
    __sync_fetch_and_add(&slot->bytes, bytes);
  __sync_fetch_and_add(&slot->total_ns, ns);
  if (ns > slot->max_ns)
    slot->max_ns = ns;
  if (bucket < OPERATION_BUCKETS)
    __sync_fetch_and_add(&slot->buckets[bucket], 1);
}

/* ---- which ones are walked ----
 *
 * The first of each window of time, and then so few that there are about OPERATION_WALKS in each,
 * at random distances. A walk stands for all since the one before, so each stack gets its share on
 * average. Slow ones are always walked, and stand for themselves. */
#define OPERATION_WINDOW_SHIFT 28 /* of nanoseconds: 268 ms */
#define OPERATION_WALKS 4

/* How many operations this one stands for; 0: it is not walked. */
__weak __noinline __u32 walk_weight(struct operation_slot *slot, __u64 now_ns) {
  if (!slot)
    return 0;
  __u32 window = now_ns >> OPERATION_WINDOW_SHIFT;
  slot->since_walk++;
  if (slot->window != window) {
    slot->last_count = slot->window + 1 == window ? slot->window_count : 0;
    slot->window_count = 0;
    slot->window = window;
    __u32 longest = slot->last_count / OPERATION_WALKS * 2 + 1;
    if (slot->until_walk > longest)
      slot->until_walk = longest;
  }
  __u32 seen = ++slot->window_count;
  if (slot->until_walk > 1) {
    slot->until_walk--;
    return 0;
  }
  __u32 expected = seen > slot->last_count ? seen : slot->last_count;
  __u32 mean = expected / OPERATION_WALKS;
  slot->until_walk = mean ? 1 + (__u32)((__u64)bpf_get_prandom_u32() * (2 * mean) >> 32) : 1;
  __u32 weight = slot->since_walk;
  slot->since_walk = 0;
  return weight;
}

static __always_inline void add_stack_sum(const struct operation_stack_key *key,
                                          const struct operation_stack_sum *add) {
  struct operation_stack_sum zero = {}, *sum;
  if (active_stacks) {
    bpf_map_update_elem(&operation_stacks_b, key, &zero, BPF_NOEXIST);
    sum = bpf_map_lookup_elem(&operation_stacks_b, key);
  } else {
    bpf_map_update_elem(&operation_stacks_a, key, &zero, BPF_NOEXIST);
    sum = bpf_map_lookup_elem(&operation_stacks_a, key);
  }
  if (!sum) {
    COUNT(lost_operation_stacks);
    return;
  }
  __sync_fetch_and_add(&sum->count, add->count);
  __sync_fetch_and_add(&sum->bytes, add->bytes);
  __sync_fetch_and_add(&sum->total_ns, add->total_ns);
}

/* Adds `count` operations to a stack. */
__weak __noinline int count_at_stack(const struct operation_key *key, __u64 stack, __u64 count,
                                     __u64 bytes, __u64 ns) {
  if (!key)
    return 0;
  struct operation_stack_key at = {.key = *key, .stack = stack};
  struct operation_stack_sum add = {.count = count, .bytes = bytes, .total_ns = ns};
  add_stack_sum(&at, &add);
  return 0;
}

/* ---- stacks and slow ones ---- */

/* The stack of the current thread, user side only, by a scratch of enum scratch_kind. STACK_LOST
 * when there is none. */
__weak __noinline __u64 current_stack_by(struct process_info *process, __u32 kind) {
  struct scratch *scratch = bpf_map_lookup_elem(&scratches, &kind);
  if (!scratch || !process)
    return STACK_LOST;
  struct task_struct *task = bpf_get_current_task_btf();
  struct pt_regs *user = (struct pt_regs *)bpf_task_pt_regs(task);
  scratch->user = user_registers_of(user); /* not on the stack: it is short before Linux 6.13 */
  copy_registers(scratch->registers, user);
  scratch->stack.kernel_count = 0;
  return collect_stack(scratch, process, task, &scratch->user, task->tgid, NULL, kind);
}

/* The same in its own context with preemption off. */
static __always_inline __u64 current_stack(struct process_info *process) {
  return current_stack_by(process, SCRATCH_CALL);
}

static __always_inline void ship_slow(const struct operation_key *key, __u32 tid, __u64 start_ns,
                                      __u64 ns, __s64 result, __u64 stack, __u64 object) {
  struct event_slow *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
  if (!event) {
    COUNT(lost_slow_operations);
    return;
  }
  event->type = EVENT_SLOW;
  event->tgid = key->tgid;
  event->tid = tid;
  event->pad = 0;
  event->time_ns = start_ns;
  event->duration_ns = ns;
  event->result = result;
  event->stack = stack;
  event->object = object;
  event->key = *key;
  bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

#endif
