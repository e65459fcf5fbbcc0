/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the walkers of native and Python frames share: the stack being built, and reading the memory
 * of the task that it belongs to. That is the current one, or (`remote`) another one, from a
 * sleepable program. */
#ifndef RAGPROF_BPF_WALK_H
#define RAGPROF_BPF_WALK_H

#include "arch.h"

/* One per kind of program: a sampling interrupt can hit the program for switches. SCRATCH_CALL is
 * for programs that run in a thread's own context, with preemption off: system calls, faults.
 * SCRATCH_WAKE is for wake-ups, which interrupts make as well. SCRATCH_PROBE is for the user's
 * probes, with preemption on: who uses it holds probe_walks. */
enum scratch_kind {
  SCRATCH_SAMPLE,
  SCRATCH_SWITCH,
  SCRATCH_REMOTE,
  SCRATCH_CALL,
  SCRATCH_FAULT,
  SCRATCH_WAKE,
  SCRATCH_PROBE,
  SCRATCHES
};

/* The piece of the stack that was read last: one read serves several frames. */
#define WINDOW_BYTES 1024

struct window {
  __u64 base;
  __u64 bytes; /* 0: nothing is in it */
  __u64 words[WINDOW_BYTES / 8];
};

struct scratch {
  struct event_stack stack;
  struct window window;
  struct user_registers user; /* of the innermost frame, as all its registers: */
  __u64 registers[16];        /* by DWARF number */
  __u8 frame[128];            /* a Python frame */
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, SCRATCHES);
  __type(key, __u32);
  __type(value, struct scratch);
} scratches __weak SEC(".maps");

/* The task whose memory is read; NULL: the current one. Only where it may be another one
 * (WALKS_REMOTE) the call that may sleep is there at all: a function that has it may not be called
 * from programs that must not sleep, even if it is never reached. */
static __always_inline long read_user(void *to, __u32 bytes, __u64 from,
                                      struct task_struct *remote) {
#ifdef WALKS_REMOTE
  if (remote)
    return bpf_copy_from_user_task(to, bytes, (void *)from, remote, 0);
#endif
  return bpf_probe_read_user(to, bytes, (void *)from);
}

/* Two words of the stack at `from`, by way of the window. 0 or negative. */
static __always_inline long read_pair(struct scratch *scratch, __u64 pair[2], __u64 from,
                                      struct task_struct *remote) {
  struct window *window = &scratch->window;
  __u64 at = from - window->base;
  if (at > WINDOW_BYTES - 16 || at >= window->bytes || at & 7) {
    window->base = from;
    window->bytes = WINDOW_BYTES;
    if (from & 7 || read_user(window->words, WINDOW_BYTES, from, remote)) {
      window->bytes = 0; /* the last bytes of a stack, perhaps */
      return read_user(pair, 16, from, remote);
    }
    at = 0;
  }
  at >>= 3;
  asm volatile("" : "+r"(at));
  if (at > WINDOW_BYTES / 8 - 2)
    return -1;
  pair[0] = window->words[at];
  pair[1] = window->words[at + 1];
  return 0;
}

static __always_inline __u64 hash_step(__u64 hash, __u64 word) {
  hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
  return hash ^ (hash >> 29);
}

/* Stores a frame; the check is for the verifier. */
static __always_inline void put_frame(struct scratch *scratch, __u64 at, __u64 frame) {
  asm volatile("" : "+r"(at));
  if (at < STACK_FRAMES_MAX)
    scratch->stack.frames[at] = frame;
}

#endif
