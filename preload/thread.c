/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The records of threads: made at a thread's first use of the shim, given back at its end, used
 * again by later threads, never unmapped. Also knows when the process is a fork's child. */
#include <limits.h>
#include <pthread.h>

#include "alloc.h"
#include "sys.h"
#include "thread.h"

#define RECORD_BYTES ((sizeof(struct shim_thread) + 4095) & ~4095ul)

enum shim_run { RUN_NOT_YET = 0, RUN_STARTING = 1, RUN_ON = 2, RUN_OFF = 3 };

static uint32_t run_state; /* enum shim_run */

/* A word that is 0 in a fork's child until that was seen to: on a page that the kernel wipes. */
static const uint32_t not_started;
static volatile uint32_t *same_process = (volatile uint32_t *)&not_started;

/* Records without a thread. The upper 16 bits of the word count changes, so that a record which was
 * taken and came back meanwhile is not mistaken for an unchanged list. */
static uint64_t free_list;
static struct shim_thread *all_records;

static pthread_key_t end_key;
static bool has_end_key;

struct self {
  struct shim_thread *record;
  uint16_t busy;
  uint16_t ended; /* its record was given back: it borrows one for each call from now on */
};
static SHIM_TLS struct self self;

SHIM_TLS uint32_t shim_blocks_noted;

#define POINTER_BITS 48

static struct shim_thread *record_of(uint64_t word) {
  return (struct shim_thread *)(word & ((1ull << POINTER_BITS) - 1));
}

static uint64_t next_word(uint64_t word, struct shim_thread *first) {
  return (((word >> POINTER_BITS) + 1) << POINTER_BITS) | (uint64_t)first;
}

static void give_record(struct shim_thread *record) {
  uint64_t word = __atomic_load_n(&free_list, __ATOMIC_RELAXED);

  do
    record->next = record_of(word);
  while (!__atomic_compare_exchange_n(&free_list, &word, next_word(word, record), true,
                                      __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

static struct shim_thread *take_free_record(void) {
  uint64_t word = __atomic_load_n(&free_list, __ATOMIC_ACQUIRE);

  while (record_of(word))
    if (__atomic_compare_exchange_n(&free_list, &word, next_word(word, record_of(word)->next), true,
                                    __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE))
      return record_of(word);
  return NULL;
}

static struct shim_thread *new_record(void) {
  struct shim_thread *record = shim_map(RECORD_BYTES);

  if (!record)
    return NULL;
  record->next_of_all = __atomic_load_n(&all_records, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(&all_records, &record->next_of_all, record, true,
                                      __ATOMIC_RELEASE, __ATOMIC_RELAXED))
    ;
  return record;
}

/* Everything of a thread that is not the memory of its parts. */
static void reset_record(struct shim_thread *record) {
  record->tid = (uint32_t)shim_syscall(SYS_gettid);
  record->start_ns = shim_now_ns();
  record->in_handler = false;
  record->cpu = (struct shim_cpu){0};
  record->live_delta = 0;
  record->random = (record->start_ns ^ (uint64_t)record->tid << 32) * 0x9e3779b97f4a7c15ull | 1;
}

static struct shim_thread *get_record(void) {
  struct shim_thread *record = take_free_record();

  if (!record)
    record = new_record();
  if (!record)
    __atomic_add_fetch(&shim_region->lost_threads, 1, __ATOMIC_RELAXED);
  else
    reset_record(record);
  return record;
}

/* A destructor of pthread's, run in up to PTHREAD_DESTRUCTOR_ITERATIONS rounds: it asks for another
 * one until the last, as those of the target may still allocate and free. */
static void thread_ended(void *value) {
  uintptr_t round = (uintptr_t)value;
  struct shim_thread *record = self.record;

  if (!record)
    return;
  if (round < PTHREAD_DESTRUCTOR_ITERATIONS) {
    self.busy = true;
    pthread_setspecific(end_key, (void *)(round + 1));
    self.busy = false;
    return;
  }
  self.busy = true;
  if (*same_process) {
    shim_cpu_thread_end(record);
    shim_live_flush(record);
  }
  self.record = NULL;
  self.ended = true;
  give_record(record);
  self.busy = false;
}

void shim_threads_watch_ends(void) {
  if (!has_end_key)
    has_end_key = pthread_key_create(&end_key, thread_ended) == 0;
  if (has_end_key && self.record)
    pthread_setspecific(end_key, (void *)1);
}

bool shim_threads_start(void) {
  volatile uint32_t *word = shim_map_wiped(4096);

  if (!word)
    return false;
  *word = 1;
  same_process = word;
  return true;
}

void shim_stop(void) {
  shim_config = (struct shim_config){.folder = ""};
  __atomic_store_n(&run_state, RUN_OFF, __ATOMIC_RELEASE);
}

/* In a fork's child there is one thread, this one; the records of the others are free. */
static bool fork_seen(void) {
  *same_process = 1;
  free_list = 0;
  for (struct shim_thread *record = all_records; record; record = record->next_of_all)
    if (record != self.record)
      give_record(record);
  if (!shim_region_forked()) {
    shim_stop();
    return false;
  }
  if (self.record)
    reset_record(self.record);
  shim_parts_start();
  if (self.record)
    shim_cpu_thread_start(self.record);
  return true;
}

static bool is_running(void) {
  uint32_t state = RUN_NOT_YET;

  if (__atomic_compare_exchange_n(&run_state, &state, RUN_STARTING, false, __ATOMIC_ACQUIRE,
                                  __ATOMIC_ACQUIRE)) {
    if (!shim_start()) {
      shim_stop();
      return false;
    }
    __atomic_store_n(&run_state, RUN_ON, __ATOMIC_RELEASE);
    return true;
  }
  return state == RUN_ON && (SHIM_LIKELY(*same_process) || fork_seen());
}

static struct shim_thread *enter_first(void) {
  if (!is_running())
    return NULL;
  if (self.record)
    return self.record;

  struct shim_thread *record = get_record();
  if (!record || self.ended)
    return record;
  self.record = record;
  if (has_end_key)
    pthread_setspecific(end_key, (void *)1);
  shim_cpu_thread_start(record);
  return record;
}

static __attribute__((noinline)) struct shim_thread *enter_slowly(void) {
  if (self.busy || __atomic_load_n(&run_state, __ATOMIC_RELAXED) == RUN_OFF)
    return NULL;
  self.busy = true;

  struct shim_thread *record = enter_first();
  if (!record)
    self.busy = false;
  return record;
}

struct shim_thread *shim_enter(void) {
  struct shim_thread *record = self.record;

  if (SHIM_UNLIKELY(!record || self.busy || !*same_process))
    return enter_slowly();
  self.busy = true;
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  return record;
}

void shim_leave(struct shim_thread *record) {
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  if (SHIM_UNLIKELY(self.ended)) {
    shim_live_flush(record);
    give_record(record);
  }
  self.busy = false;
}

struct shim_thread *shim_thread_here(void) {
  return *same_process ? self.record : NULL;
}
