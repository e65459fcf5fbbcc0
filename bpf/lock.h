/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Waits for locks: which lock a thread that sleeps on a futex waits for, how long, and which thread
 * the others waited for. What is no lock (condition variables, joins, barriers) is left out. */
#ifndef RAGPROF_BPF_LOCK_H
#define RAGPROF_BPF_LOCK_H

#include "count.h"
#include "futex.h"

#define KIND_LOCK 7 /* OBJECT_LOCK of userspace/trace/trace.h */
#define LOCKS_MAX (16 * 1024)

/* What is known of a lock that was waited for. Everything that is waited for a lock is somebody's
 * doing: the time of all waiters together runs up in `waiters`, and is charged to the thread that
 * wakes one of them, since it held the lock until then. What ends in another way (a time-out, the
 * capture's end) is charged to the thread that the lock itself names. */
struct lock_state {
  __u64 waiters; /* see change_waiters */
  __u32 holder;  /* TID of who had it when a waiter looked last; 0: not known */
  __u32 kind;    /* enum lock_kind */
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, LOCKS_MAX);
  __type(key, __u64);
  __type(value, struct lock_state);
} lock_states __weak SEC(".maps");

/* What was charged to a thread and fell to no stack of it yet. */
struct unwalked_hold {
  __u64 lock;
  __u64 count;
  __u64 ns;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, LOCKS_MAX);
  __type(key, __u32); /* TID */
  __type(value, struct unwalked_hold);
} unwalked_holds __weak SEC(".maps");

/* The head of an event_object, with a lock's data. */
struct event_lock {
  __u32 type;
  __u32 tgid;
  __u64 id;
  __u32 kind;
  __u32 is_cut;
  __u32 bytes;
  __u32 device;
  __u64 inode;
  struct object_lock lock;
};
_Static_assert(__builtin_offsetof(struct event_lock, lock) ==
                   __builtin_offsetof(struct event_object, data),
               "an event_object that ends early");

/* ---- the time of all waiters ----
 *
 * One word, so that it is changed as a whole: the number of waiters above, and below what makes
 * waiters * now + rest, modulo 2^52 ns, the time that they waited since it was last taken. */
#define WAITERS_SHIFT 52
#define WAITED_MASK ((1ull << WAITERS_SHIFT) - 1)
#define WAITED_MAX (1ull << (WAITERS_SHIFT - 1)) /* from here on negative: see change_waiters */
#define WAITERS_MAX 0xfff
#define CHANGE_ATTEMPTS 32

struct waiters_change {
  __u64 now_ns;
  __u64 taken_ns; /* out */
  __s32 add;      /* waiters */
  bool take;      /* what was waited; else it stays */
};

/* A time may be from before what another CPU took: then there is less than nothing to take, and
 * that stays. Returns false when others were faster each time. */
static __always_inline bool change_waiters(struct lock_state *state, struct waiters_change *c) {
  for (int i = 0; i < CHANGE_ATTEMPTS; i++) {
    __u64 old = state->waiters, count = old >> WAITERS_SHIFT;
    __u64 waited = (count * c->now_ns + old) & WAITED_MASK;
    c->taken_ns = c->take && waited < WAITED_MAX ? waited : 0;
    if (c->add > 0 && count < WAITERS_MAX)
      count++;
    else if (c->add < 0 && count)
      count--;
    __u64 rest = (waited - c->taken_ns - count * c->now_ns) & WAITED_MASK;
    if (__sync_val_compare_and_swap(&state->waiters, old, count << WAITERS_SHIFT | rest) == old)
      return true;
  }
  c->taken_ns = 0;
  return false;
}

/* ---- charging a holder ---- */

/* Adds what a thread made others wait for. Returns how many of such waits its stack stands for, if
 * it is walked now; 0: it need not be. */
static __noinline __u32 charge(struct operation_key *key, __u64 count, __u64 ns, __u64 now_ns) {
  struct operation_slot *slot = key ? slot_of(key) : NULL;
  if (!slot) {
    COUNT(lost_operations);
    return 0;
  }
  count_shared(slot, count, 0, ns);
  return ns >= slow_operation_ns ? 1 : walk_weight(slot, now_ns);
}

static __always_inline void keep_unwalked(const struct operation_key *key, __u64 count, __u64 ns) {
  __u32 tid = key->tid;
  struct unwalked_hold *hold = bpf_map_lookup_elem(&unwalked_holds, &tid);
  struct unwalked_hold first = {.lock = key->object, .count = count, .ns = ns};
  if (hold && hold->lock == key->object) {
    __sync_fetch_and_add(&hold->count, count);
    __sync_fetch_and_add(&hold->ns, ns);
  } else
    bpf_map_update_elem(&unwalked_holds, &tid, &first, 0);
}

/* Adds a stack of a holder, with what was kept for it. */
static __always_inline void charge_stack(const struct operation_key *key, __u64 stack, __u64 count,
                                         __u64 ns) {
  __u32 tid = key->tid;
  struct unwalked_hold *hold = bpf_map_lookup_elem(&unwalked_holds, &tid);
  if (stack <= STACK_NOT_TAKEN)
    return;
  if (hold && hold->lock == key->object) {
    count += hold->count;
    ns += hold->ns;
    hold->count = 0;
    hold->ns = 0;
  }
  if (count)
    count_at_stack(key, stack, count, 0, ns);
}

static __always_inline struct operation_key hold_key(__u64 lock, __u32 tgid, __u32 tid) {
  return (struct operation_key){
      .object = lock, .tgid = tgid, .tid = tid, .class = CLASS_LOCK, .name = OPERATION_NAME_HOLD};
}

/* A thread that was charged sleeps, and its stack tells what it was about. */
static __noinline __attribute__((unused)) void charge_sleeper(struct thread_state *thread,
                                                              __u32 tgid, __u32 tid) {
  struct unwalked_hold *hold = bpf_map_lookup_elem(&unwalked_holds, &tid);
  if (!thread || !hold || !hold->count)
    return;
  struct operation_key key = hold_key(hold->lock, tgid, tid);
  charge_stack(&key, thread->stack, 0, 0);
}

/* ---- the waiter ---- */

static __always_inline struct lock_state *lock_state_of(const struct lock *lock, __u64 id,
                                                        __u32 tgid) {
  struct lock_state *state = bpf_map_lookup_elem(&lock_states, &id);
  if (state)
    return state;
  struct lock_state first = {.kind = lock->kind};
  struct event_lock event = {
      .type = EVENT_OBJECT,
      .tgid = tgid,
      .id = id,
      .kind = KIND_LOCK,
      .bytes = sizeof(event.lock),
      .lock = {.address = lock->address, .kind = lock->kind},
  };
  if (bpf_ringbuf_output(&events, &event, sizeof(event), BPF_RB_NO_WAKEUP)) {
    COUNT(lost_objects);
    return NULL;
  }
  bpf_map_update_elem(&lock_states, &id, &first, BPF_NOEXIST);
  return bpf_map_lookup_elem(&lock_states, &id);
}

/* The lock changed hands without anybody's being woken. */
static __noinline void charge_former(struct lock_state *state, __u64 lock, __u32 tgid,
                                     __u64 now_ns) {
  struct waiters_change change = {.now_ns = now_ns, .take = true};
  if (!state)
    return;
  struct operation_key key = hold_key(lock, tgid, state->holder);
  if (!change_waiters(state, &change) || !change.taken_ns)
    return;
  charge(&key, 0, change.taken_ns, now_ns);
  keep_unwalked(&key, 0, change.taken_ns);
}

/* A thread goes to sleep on a futex; `remote` as in read_user. */
static __always_inline void begin_lock_wait(struct thread_state *thread, struct task_struct *task,
                                            struct process_info *process, __u64 now_ns,
                                            struct task_struct *remote) {
  struct lock lock;
  __u32 tgid = task->tgid;
  if (!find_lock(&lock, task, process, thread->reason == REASON_GIL, remote))
    return;
  __u64 id = hash_step(hash_step(tgid, KIND_LOCK), lock.address);
  struct lock_state *state = lock_state_of(&lock, id, tgid);
  if (!state) {
    COUNT(lost_operations);
    return;
  }
  if (lock.holder && state->holder != lock.holder) {
    if (state->holder)
      charge_former(state, id, tgid, now_ns);
    state->holder = lock.holder;
  }
  struct waiters_change change = {.now_ns = now_ns, .add = 1};
  if (!change_waiters(state, &change))
    return;
  thread->lock_wait.lock = id;
  thread->lock_wait.is_waiting = 1;
}

/* A thread's sleep for a lock ends, by `waker` or (0) by itself. Who made it wait is charged with
 * what all waited since somebody was charged last. Returns for how many such waits a walk of that
 * thread would stand now. */
static __always_inline __u32 end_lock_sleep(struct thread_state *thread, __u32 tgid, __u32 tid,
                                            __u32 waker, __u64 now_ns, struct operation_key *key,
                                            __u64 *ns) {
  __u64 id = thread->lock_wait.lock;
  struct lock_state *state = bpf_map_lookup_elem(&lock_states, &id);
  thread->lock_wait.is_waiting = 0;
  *ns = 0;
  if (!state)
    return 0;
  *key = hold_key(id, tgid, waker ? waker : state->holder);
  struct waiters_change change = {.now_ns = now_ns, .add = -1, .take = key->tid != 0};
  change_waiters(state, &change);
  *ns = change.taken_ns;
  if (waker && state->kind != LOCK_SEMAPHORE)
    state->holder = tid; /* most likely */
  return key->tid ? charge(key, 1, *ns, now_ns) : 0;
}

static __always_inline struct operation_slot *wait_slot(struct thread_state *thread,
                                                        struct operation_key *key) {
  __u32 index = thread->lock_wait.slot;
  if (thread->lock_wait.slot_of == key->object)
    return slot_at(index);
  struct operation_slot *slot = slot_of(key);
  __u32 *known = bpf_map_lookup_elem(&slot_of_key, key);
  thread->lock_wait.slot_of = known ? key->object : 0;
  thread->lock_wait.slot = known ? *known : OPERATION_SLOT_NONE;
  return slot;
}

/* Only waits for the interpreter's lock are not all walked. */
static __always_inline void count_wait_stack(struct thread_state *thread,
                                             const struct operation_key *key, __u64 ns) {
  bool is_gil = thread->reason == REASON_GIL;
  __u64 count = 1;
  if (is_gil) {
    count = thread->lock_wait.unwalked_count += 1;
    ns = thread->lock_wait.unwalked_ns += ns;
  }
  if (thread->stack <= STACK_NOT_TAKEN)
    return;
  count_at_stack(key, thread->stack, count, 0, ns);
  if (is_gil)
    thread->lock_wait.unwalked_count = thread->lock_wait.unwalked_ns = 0;
}

/* The thread runs again (or the capture ends). */
static __noinline void end_lock_wait(struct thread_state *thread, __u32 tgid, __u32 tid,
                                     __u64 now_ns) {
  struct operation_key key = {};
  __u64 ns = 0;
  if (!thread)
    return;
  if (thread->lock_wait.is_waiting) {
    end_lock_sleep(thread, tgid, tid, 0, now_ns, &key, &ns);
    if (key.tid)
      keep_unwalked(&key, 1, ns);
  }
  key = (struct operation_key){.object = thread->lock_wait.lock,
                               .tgid = tgid,
                               .tid = tid,
                               .class = CLASS_LOCK,
                               .name = OPERATION_NAME_WAIT};
  struct operation_slot *slot = wait_slot(thread, &key);
  thread->lock_wait.lock = 0;
  if (!slot) {
    COUNT(lost_operations);
    return;
  }
  ns = now_ns - thread->switched_out_ns;
  count_own(slot, ns);
  count_wait_stack(thread, &key, ns);
}

#endif
