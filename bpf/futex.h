/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a futex that a thread sleeps on to the lock that it stands for, and to who holds that: by
 * what glibc's locks and CPython's interpreter lock hold next to the word. */
#ifndef RAGPROF_BPF_FUTEX_H
#define RAGPROF_BPF_FUTEX_H

#include "walk.h"

#define FUTEX_COMMAND_MASK 0x7f /* without FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME */
#define FUTEX_COMMAND_WAIT 0
#define FUTEX_COMMAND_LOCK_PI 6
#define FUTEX_COMMAND_WAIT_BITSET 9
#define FUTEX_COMMAND_LOCK_PI2 13
#define FUTEX_OWNER_TID 0x3fffffff
#define FUTEX_HAS_WAITERS 0x80000000
#define TID_MAX (4 * 1024 * 1024) /* PID_MAX_LIMIT */

struct lock {
  __u64 address;
  __u32 kind;   /* enum lock_kind */
  __u32 holder; /* TID; 0: not known */
};

/* The arguments of the call that the thread sleeps in. */
struct futex_call {
  __u64 address;
  __u32 command;
  __u32 value; /* that the word had, or nobody would sleep */
};

/* ---- glibc's locks ------------------------------------------------------------------------------
 *
 * By sysdeps/nptl/bits/struct_mutex.h and struct_rwlock.h, thread-shared-types.h
 * (__pthread_cond_s) and internaltypes.h (new_sem) of glibc 2.36; the condition's layout of 2.41
 * on, which lost g_refs, as well. In words of 4 bytes. */

#define LOCK_CONTENDED 2   /* __lock of a mutex, and of all of glibc's low-level locks */
#define GOMP_CONTENDED ~0u /* the same of libgomp's (config/linux/mutex.h) */

/* A pthread_mutex_t: __lock, __count, __owner, __nusers, __kind. */
#define MUTEX_OWNER 2
#define MUTEX_USERS 3
#define MUTEX_WORDS 5

/* Around a pthread_rwlock_t's futexes: __readers, __writers, __wrphase_futex, __writers_futex, two
 * of padding, __cur_writer, __shared. */
#define RWLOCK_PHASE_FUTEX 2
#define RWLOCK_WRITERS_FUTEX 3
#define RWLOCK_WRITER 6
#define RWLOCK_USED 2 /* of both futexes: somebody waits */

/* A sem_t: value, waiters, private (0, or FUTEX_PRIVATE_FLAG for one that processes share). */
#define SEMAPHORE_WAITERS 1
#define SEMAPHORE_PRIVATE 2

/* Before the first of a condition's two futexes: wseq, g1_start (8 bytes each), g_refs[2] (up to
 * 2.40), g_size[2], g1_orig_size, wrefs. Waiters count from bit 3 in wrefs, from bit 1 in the
 * others. */
#define CONDITION_WORDS 10
#define CONDITION_WORDS_SINCE_2_41 8

static __always_inline bool is_tid(__u32 word) {
  return word && word < TID_MAX;
}

static __always_inline long read_words(__u32 *words, __u32 count, __u64 from,
                                       struct task_struct *remote) {
  return read_user(words, count * 4, from, remote);
}

/* Words that stand before a futex, as those of a condition that somebody waits for. */
static __always_inline bool look_like_condition(const __u32 *words, __u32 count) {
  __u64 sequence = words[0] | (__u64)words[1] << 32, first = words[2] | (__u64)words[3] << 32;
  __u32 waiters = words[count - 1] >> 3;
  return waiters && waiters < TID_MAX && sequence >> 1 >= waiters && first >> 1 <= sequence >> 1;
}

static __always_inline bool is_condition(__u64 futex, struct task_struct *remote) {
  __u32 words[CONDITION_WORDS];
  __u64 first = futex & ~7ull; /* of the two */
  if (read_words(words, CONDITION_WORDS, first - CONDITION_WORDS * 4, remote))
    return false;
  return look_like_condition(words, CONDITION_WORDS) ||
         look_like_condition(words + CONDITION_WORDS - CONDITION_WORDS_SINCE_2_41,
                             CONDITION_WORDS_SINCE_2_41);
}

static __always_inline bool find_semaphore(struct lock *lock, const struct futex_call *call,
                                           struct task_struct *remote) {
  __u32 words[3];
  if (call->address & 7 || read_words(words, 3, call->address, remote))
    return false;
  if (!words[SEMAPHORE_WAITERS] || words[SEMAPHORE_WAITERS] >= TID_MAX ||
      words[SEMAPHORE_PRIVATE] & FUTEX_COMMAND_MASK || is_condition(call->address, remote))
    return false;
  lock->kind = LOCK_SEMAPHORE;
  return true;
}

/* A futex of a reader-writer lock: which one it is, tells the writer, who is either four or three
 * words away. Readers are not known by name. */
static __always_inline void find_rwlock(struct lock *lock, const struct futex_call *call,
                                        const __u32 *words) {
  __u32 at_phase = words[RWLOCK_WRITER - RWLOCK_PHASE_FUTEX];
  __u32 at_writers = words[RWLOCK_WRITER - RWLOCK_WRITERS_FUTEX];
  bool is_writers = !is_tid(at_phase) && (is_tid(at_writers) || call->value != RWLOCK_USED);
  __u32 writer = is_writers ? at_writers : at_phase;
  lock->kind = LOCK_READ_WRITE;
  lock->address -= 4 * (is_writers ? RWLOCK_WRITERS_FUTEX : RWLOCK_PHASE_FUTEX);
  lock->holder = is_tid(writer) ? writer : 0;
}

/* What is waited for by a call that may time out. Locks of others (Rust's) look like a mutex
 * without an owner. */
static __always_inline bool find_timed(struct lock *lock, const struct futex_call *call,
                                       struct task_struct *remote) {
  __u32 words[MUTEX_WORDS];
  if (!call->value)
    return find_semaphore(lock, call, remote);
  if ((call->value & ~1u) != RWLOCK_USED || read_words(words, MUTEX_WORDS, call->address, remote))
    return false;
  bool is_mutex = call->value == LOCK_CONTENDED && is_tid(words[MUTEX_OWNER]) &&
                  words[MUTEX_USERS] && words[MUTEX_USERS] < TID_MAX;
  if (is_mutex)
    lock->holder = words[MUTEX_OWNER];
  else
    find_rwlock(lock, call, words);
  return true;
}

/* A pthread_barrier_t's futex, its second word, counts rounds: in the second it looks like a lock.
 * The words before and behind are how many came in, and how many make a round. */
static __always_inline bool is_barrier(const struct futex_call *call, struct task_struct *remote) {
  __u32 words[3] = {};
  if (read_words(words, 3, call->address - 4, remote))
    return false;
  return words[0] > call->value && words[2] && words[0] - call->value <= words[2];
}

/* A mutex, or a low-level lock as stdio's and malloc's, which have no owner. */
static __always_inline bool find_mutex(struct lock *lock, const struct futex_call *call,
                                       struct task_struct *remote) {
  __u32 owner = 0;
  bool is_robust = call->value & FUTEX_HAS_WAITERS && call->value != GOMP_CONTENDED;
  if (call->value != LOCK_CONTENDED && call->value != GOMP_CONTENDED && !is_robust)
    return false;
  if (is_robust)
    owner = call->value & FUTEX_OWNER_TID;
  else if (call->value == LOCK_CONTENDED)
    read_words(&owner, 1, call->address + 4 * MUTEX_OWNER, remote);
  lock->holder = is_tid(owner) ? owner : 0;
  return owner || call->value != LOCK_CONTENDED || !is_barrier(call, remote);
}

static __always_inline bool find_inherited(struct lock *lock, const struct futex_call *call,
                                           struct task_struct *remote) {
  __u32 word = 0;
  read_words(&word, 1, call->address, remote);
  lock->holder = is_tid(word & FUTEX_OWNER_TID) ? word & FUTEX_OWNER_TID : 0;
  return true;
}

/* ---- CPython's interpreter lock -----------------------------------------------------------------
 *
 * struct _gil_runtime_state (Include/internal/pycore_gil.h), the same in 3.8 to 3.13: interval,
 * last_holder, locked (an int), switch_number; cond at 32, mutex at 80, switch_cond at 120. */
#define GIL_CONDITION 32
#define GIL_MUTEX 80
#define GIL_SWITCH_CONDITION 120
#define GIL_INTERVAL_MAX_US 10000000000ull

struct gil {
  __u64 interval_us;
  __u64 last_holder; /* a PyThreadState */
  __s32 locked;      /* -1 before it was first taken */
  __u32 pad;
};

static __always_inline bool read_gil(struct gil *gil, __u64 at, struct task_struct *remote) {
  return !read_user(gil, sizeof(*gil), at, remote) && gil->interval_us &&
         gil->interval_us <= GIL_INTERVAL_MAX_US && (__u32)(gil->locked + 1) <= 2;
}

/* By the futex in it that is waited for. */
static __always_inline bool find_gil(struct gil *gil, const struct futex_call *call,
                                     struct task_struct *remote) {
  __u64 first = call->address & ~7ull;
  if (call->command == FUTEX_COMMAND_WAIT)
    return read_gil(gil, call->address - GIL_MUTEX, remote);
  return read_gil(gil, first - 4 * CONDITION_WORDS - GIL_CONDITION, remote) ||
         read_gil(gil, first - 4 * CONDITION_WORDS - GIL_SWITCH_CONDITION, remote) ||
         read_gil(gil, first - 4 * CONDITION_WORDS_SINCE_2_41 - GIL_CONDITION, remote);
}

/* The TID of the thread that a PyThreadState is of. */
static __always_inline __u32 tid_of_state(const struct process_info *process, __u64 state,
                                          struct task_struct *remote) {
  __u32 version = process->python - 1, tid = 0;
  struct python_offsets *o = bpf_map_lookup_elem(&python_versions, &version);
  __u64 thread = 0;
  if (!o || !state)
    return 0;
  if (o->tstate_native_id != OFFSET_NONE)
    read_words(&tid, 1, state + o->tstate_native_id, remote);
  else if (!read_user(&thread, sizeof(thread), state + o->tstate_thread_id, remote))
    read_words(&tid, 1, thread + PTHREAD_TID, remote);
  return is_tid(tid) ? tid : 0;
}

static __always_inline bool find_interpreter_lock(struct lock *lock, const struct futex_call *call,
                                                  const struct process_info *process,
                                                  struct task_struct *remote) {
  struct gil gil;
  lock->kind = LOCK_GIL;
  lock->address = process->python_runtime;
  if (find_gil(&gil, call, remote) && gil.locked == 1)
    lock->holder = tid_of_state(process, gil.last_holder, remote);
  return true;
}

/* ---- any ---------------------------------------------------------------------------------------
 */

static __always_inline bool find_by_command(struct lock *lock, const struct futex_call *call,
                                            struct task_struct *remote) {
  switch (call->command) {
  case FUTEX_COMMAND_WAIT:
    return find_mutex(lock, call, remote);
  case FUTEX_COMMAND_WAIT_BITSET:
    return find_timed(lock, call, remote);
  case FUTEX_COMMAND_LOCK_PI:
  case FUTEX_COMMAND_LOCK_PI2:
    return find_inherited(lock, call, remote);
  }
  return false;
}

/* TIDs in a process's memory are those of its own PID namespace. */
static __always_inline bool sees_other_tids(struct task_struct *task) {
  return BPF_CORE_READ(task, thread_pid, level) != 0;
}

/* False: what the task sleeps on is no lock. */
static __always_inline bool find_lock(struct lock *lock, struct task_struct *task,
                                      const struct process_info *process, bool is_gil,
                                      struct task_struct *remote) {
  struct pt_regs *user = (struct pt_regs *)bpf_task_pt_regs(task);
  struct futex_call call = {
      .address = syscall_argument_1(user),
      .command = syscall_argument_2(user) & FUTEX_COMMAND_MASK,
      .value = syscall_argument_3(user),
  };
  if (is_futex_wait(syscall_number(user))) {
    call.command = FUTEX_COMMAND_WAIT_BITSET;
    call.value = syscall_argument_2(user);
  }
  lock->address = call.address;
  lock->kind = LOCK_PLAIN;
  lock->holder = 0;
  bool found = is_gil ? find_interpreter_lock(lock, &call, process, remote)
                      : find_by_command(lock, &call, remote);
  if (lock->holder && sees_other_tids(task))
    lock->holder = 0;
  return found;
}

#endif
