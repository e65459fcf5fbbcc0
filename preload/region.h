/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ABI between the shim and the collector: one sparse file per process, laid out as struct
 * region, which the shim maps and writes and the collector reads by pread. Counters only grow and
 * are written with atomic operations; whatever else is published by storing its count or state
 * last, with release order. So what the file holds is right at any moment, also when the process
 * was killed. The collector trusts nothing of it. */
#ifndef RAGPROF_PRELOAD_REGION_H
#define RAGPROF_PRELOAD_REGION_H

#include <stdint.h>

#define REGION_MAGIC 0x4e4f494745524752ull /* "RGREGION" */
#define REGION_VERSION 1

/* A session's folder is named REGION_FOLDER_PREFIX and six random characters, in /dev/shm or what
 * takes its place; a process's file there is "PID.N", N from 0 up: a PID has a new one after exec.
 * A file stays in REGION_STARTING as a spare when its process is about to shut itself in: a child
 * of that process which cannot make its own takes it, so that region.pid may be another than the
 * name says. */
#define REGION_FOLDER_PREFIX "ragprof-"

/* The environment: RAGPROF_SHIM="FOLDER key=value ...", as written by userspace/capture and read by
 * preload/config.c. Keys: alloc, python (every, sampled, off), interval (bytes), calls (0, 1),
 * cpu (Hz, 0: off), iteration (see preload/iteration.h; its blanks as %20, % as %25). */
#define REGION_ENVIRONMENT "RAGPROF_SHIM"

#define REGION_SITES_MAX (128u * 1024)
#define REGION_WORDS_MAX (8u * 1024 * 1024)
#define REGION_MODULES_MAX 4096u
#define REGION_CODES_MAX (64u * 1024)
#define REGION_TEXT_BYTES (32u * 1024 * 1024)
#define REGION_EVENTS_MAX (16u * 1024) /* a power of two */
#define REGION_STRIPES 64u             /* a power of two */

/* What a site counts. */
enum region_kind {
  REGION_MALLOC = 0, /* malloc and its family, operator new */
  REGION_PYTHON = 1, /* CPython's small objects, which never reach malloc */
  REGION_MAP = 2,    /* mmap, mremap */
  REGION_BREAK = 3,  /* brk, sbrk */
  REGION_CPU = 4,    /* on-CPU samples: count only */
  REGION_CALLS = 5,  /* REGION_CALLS + enum region_call: calls by stack, those that took over
                        REGION_CALL_STACK_NS */
};
#define REGION_HEAP_KINDS 4u /* those before REGION_CPU */

/* The calls that are timed, one name each: X(NAME, text, wait reason of trace/trace.h). The forms
 * of one call (read and readv, __read_chk) share it. */
#define REGION_CALLS_LIST(X)                                                                       \
  X(READ, "read", WAIT_UNKNOWN)                                                                    \
  X(WRITE, "write", WAIT_UNKNOWN)                                                                  \
  X(PREAD, "pread", WAIT_DISK)                                                                     \
  X(PWRITE, "pwrite", WAIT_DISK)                                                                   \
  X(SEND, "send", WAIT_SOCKET)                                                                     \
  X(RECV, "recv", WAIT_SOCKET)                                                                     \
  X(SENDFILE, "sendfile", WAIT_UNKNOWN)                                                            \
  X(CONNECT, "connect", WAIT_SOCKET)                                                               \
  X(ACCEPT, "accept", WAIT_SOCKET)                                                                 \
  X(POLL, "poll", WAIT_SOCKET)                                                                     \
  X(SELECT, "select", WAIT_SOCKET)                                                                 \
  X(EPOLL_WAIT, "epoll_wait", WAIT_SOCKET)                                                         \
  X(OPEN, "open", WAIT_DISK)                                                                       \
  X(CLOSE, "close", WAIT_UNKNOWN)                                                                  \
  X(FSYNC, "fsync", WAIT_DISK)                                                                     \
  X(FDATASYNC, "fdatasync", WAIT_DISK)                                                             \
  X(MUTEX_LOCK, "pthread_mutex_lock", WAIT_FUTEX)                                                  \
  X(RWLOCK_LOCK, "pthread_rwlock_lock", WAIT_FUTEX)                                                \
  X(COND_WAIT, "pthread_cond_wait", WAIT_FUTEX)                                                    \
  X(SEM_WAIT, "sem_wait", WAIT_FUTEX)                                                              \
  X(JOIN, "pthread_join", WAIT_FUTEX)                                                              \
  X(SLEEP, "nanosleep", WAIT_TIMER)                                                                \
  X(WAIT_CHILD, "wait", WAIT_CHILD)                                                                \
  X(GETADDRINFO, "getaddrinfo", WAIT_SOCKET)

enum region_call {
#define REGION_CALL_ENUM(name, text, reason) REGION_CALL_##name,
  REGION_CALLS_LIST(REGION_CALL_ENUM)
#undef REGION_CALL_ENUM
      REGION_CALL_COUNT
};

#define REGION_CALL_STACK_NS 20000u  /* shorter calls are counted without their stack */
#define REGION_CALL_SLOW_NS 1000000u /* from here on a call is an event of its own */

/* A log-linear histogram of durations: eight steps to each power of two, from 64 ns to over 68 s;
 * the first and last bucket are open. Bucket of d: see region_histogram_bucket. */
#define REGION_BUCKETS 248u

static inline uint32_t region_histogram_bucket(uint64_t ns) {
  if (ns < 64)
    return 0;
  uint32_t power = 63u - (uint32_t)__builtin_clzll(ns); /* >= 6 */
  uint32_t bucket = (power - 6) * 8 + (uint32_t)((ns >> (power - 3)) & 7) + 1;
  return bucket < REGION_BUCKETS ? bucket : REGION_BUCKETS - 1;
}

/* The smallest duration in ns of a bucket. */
static inline uint64_t region_histogram_floor_ns(uint32_t bucket) {
  if (!bucket)
    return 0;
  uint32_t power = (bucket - 1) / 8 + 6;
  return (uint64_t)(8 + (bucket - 1) % 8) << (power - 3);
}

struct region_call_total {
  uint64_t count;
  uint64_t errors; /* not EINTR, EAGAIN, EINPROGRESS, ETIMEDOUT */
  uint64_t bytes;  /* read or written */
  uint64_t total_ns;
  uint64_t max_ns;
  uint64_t buckets[REGION_BUCKETS];
};

/* Words [first, first + count) of words[]. */
struct region_run {
  uint32_t first;
  uint32_t count;
};

/* A stack and what was counted at it; a stack may have more than one site. Site k < REGION_CALLS of
 * sites[] stands for the stacks of kind k that there was no room for, site REGION_CALLS for those
 * of all calls: no words. */
struct region_site {
  uint64_t hash;  /* of kind and stack; never 0 once used */
  uint32_t state; /* 1: the fields up to `generation` hold, and stay */
  uint32_t kind;
  uint32_t word_first; /* in words[]: native, then Python, each from the leaf, without the tails */
  uint16_t native_count;
  uint16_t python_count;
  uint8_t native_end; /* enum walk_end of bpf/ragprof.h */
  uint8_t python_end;
  uint16_t wait_reason; /* of a call: enum wait_reason, as the descriptor told */
  uint32_t generation;  /* of the modules, when the stack was taken */
  /* The last words of either, towards the root, that lie with another site's; part of the counts
   * above. */
  struct region_run native_tail;
  struct region_run python_tail;
  uint64_t pad2[2];

  /* A heap kind: blocks and bytes. A call: count, total ns, then errors and bytes; peak_bytes is
   * the longest, in ns. CPU: samples, and the timer periods that they stand for. */
  uint64_t allocations;
  uint64_t allocated_bytes;
  uint64_t frees;
  uint64_t freed_bytes;
  uint64_t peak_bytes; /* the most that were live at once */
  uint64_t samples;    /* what estimates rest on, where the kind is sampled */
  uint64_t pad3[2];
};
_Static_assert(sizeof(struct region_site) == 128, "two cache lines");

/* Native words are addresses to look up (return addresses less one); Python ones are PYTHON_FRAME
 * of bpf/ragprof.h with a code that is an index in codes[] plus 1. */

struct region_module {
  uint64_t start; /* of its mapping, run-time addresses */
  uint64_t end;
  uint64_t bias;       /* run-time address minus virtual address of the file */
  uint32_t generation; /* it was there from this generation on */
  uint32_t path_off;   /* in text[] */
  uint16_t path_bytes;
  uint16_t build_id_bytes; /* at most 64 */
  uint32_t build_id_off;   /* in text[] */
};

struct region_text {
  uint32_t off;    /* in text[] */
  uint32_t length; /* code points */
  uint32_t kind;   /* bytes a code point: 1, 2, 4; 0: unreadable */
};

struct region_code {
  struct region_text name; /* qualified where the version has it */
  struct region_text file;
  uint32_t first_line;
  uint32_t flags; /* co_flags */
  uint32_t lines_off;
  uint32_t lines_bytes;
  uint32_t version; /* 0x030b */
  uint32_t state;   /* 1: all of it holds */
};

enum region_event_type {
  REGION_EVENT_SAMPLE = 1, /* on the CPU: site, tid; value: timer periods that it stands for */
  REGION_EVENT_CALL = 2,   /* a slow call: site, tid, value: how long in ns; result */
  REGION_EVENT_THREAD = 3, /* the end of a thread: value: its CPU time in ns; result: when it began,
                              CLOCK_MONOTONIC ns */
};

/* Slot i of events[] holds event n, n ≡ i modulo REGION_EVENTS_MAX, when `sequence` is n + 1. It is
 * set to 0 before and to n + 1 (release) after the other fields were written. */
struct region_event {
  uint64_t sequence;
  uint64_t time_ns; /* CLOCK_MONOTONIC; of a call, its start */
  uint64_t value;
  int64_t result; /* of a call: bytes, or -errno */
  uint32_t site;
  uint32_t tid;
  uint32_t type;
  uint32_t call;  /* enum region_call */
  uint64_t waits; /* of a call: its wait reason (enum wait_reason), as the descriptor told */
  uint64_t pad;
};
_Static_assert(sizeof(struct region_event) == 64, "one cache line");

/* What mallinfo2(3) said last. */
struct region_mallinfo {
  uint64_t time_ns;      /* 0: never asked, or another allocator serves */
  uint64_t arena_bytes;  /* arena: got by brk and for heaps */
  uint64_t mapped_bytes; /* hblkhd */
  uint64_t used_bytes;   /* uordblks */
  uint64_t free_bytes;   /* fordblks */
  uint64_t trim_bytes;   /* keepcost */
};

enum region_state { REGION_STARTING = 0, REGION_RUNNING = 1, REGION_EXITED = 2 };

struct region {
  /* set before state becomes REGION_RUNNING */
  uint64_t magic;
  uint32_t version;
  uint32_t state; /* enum region_state */
  uint64_t bytes; /* sizeof(struct region) */
  uint32_t pid;   /* as the process sees it */
  uint32_t parent_pid;
  uint64_t start_ns;              /* CLOCK_MONOTONIC */
  uint32_t alloc_interval_bytes;  /* mean bytes between samples of REGION_MALLOC; 0: every one */
  uint32_t python_interval_bytes; /* the same of REGION_PYTHON */
  uint32_t kinds;                 /* bit k: kind k is counted here */
  uint32_t cpu_hz;
  uint32_t python_version;    /* 0x030b; 0: no interpreter found yet */
  uint32_t foreign_allocator; /* malloc is not libc's */
  char name[16];              /* comm */

  /* counts of the tables below: entries [0, count) may be in use */
  uint32_t site_count; /* from REGION_CALLS + 1 up */
  uint32_t word_count;
  uint32_t module_count;
  uint32_t code_count;
  uint32_t text_bytes;
  uint32_t generation;  /* of the modules: grows when one takes another's place */
  uint64_t event_count; /* events so far; the last REGION_EVENTS_MAX are in the ring */

  uint64_t iterations; /* so far */
  int64_t live_bytes;  /* of REGION_MALLOC and REGION_PYTHON: exact while there is one thread, then
                          to  within 64 KiB a thread */
  int64_t peak_bytes;  /* the most of that */
  uint64_t shim_bytes; /* address space that the shim holds in this process, but for this file */

  /* what could not be kept */
  uint64_t lost_sites;  /* stacks that were counted without their frames */
  uint64_t lost_blocks; /* allocations whose end will not be seen: no room to note them */
  uint64_t lost_codes;
  uint64_t lost_modules;
  uint64_t lost_samples; /* timer periods that passed while the signal could not be taken */
  uint64_t lost_threads; /* threads, or whole forked children, that went uncounted */

  /* The collector writes these two, and nothing else: a number that asks for a new mallinfo when it
   * differs from `answered`. */
  uint32_t asked;
  uint32_t answered;
  struct region_mallinfo mallinfo;

  struct region_call_total calls[REGION_CALL_COUNT];
  /* Calls of REGION_CALL_MUTEX_LOCK + i that did not have to wait: they are not in calls[], and
   * were not timed. Threads share out the stripes, so that locking one mutex each stays free of
   * contention. */
  uint64_t quick[REGION_STRIPES][8] __attribute__((aligned(64)));
  struct region_module modules[REGION_MODULES_MAX];
  struct region_code codes[REGION_CODES_MAX];
  struct region_event events[REGION_EVENTS_MAX] __attribute__((aligned(64)));
  struct region_site sites[REGION_SITES_MAX] __attribute__((aligned(64)));
  uint64_t words[REGION_WORDS_MAX];
  uint8_t text[REGION_TEXT_BYTES];
};

#endif
