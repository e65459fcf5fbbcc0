/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The trace file: what a capture found, self-contained, readable up to its last whole chunk. This
 * header owns the records; writer.h and reader.h own how they get to disk and back. The bytes are
 * documented in docs/trace-format.md.
 *
 * Ids are dense, start at 1 in each table (0 means "none") and are assigned in order of appearance.
 * A record refers only to ids that appeared before it. All times are nanoseconds since the start of
 * the capture (CLOCK_MONOTONIC), unless the name says unix. */
#ifndef RAGPROF_TRACE_TRACE_H
#define RAGPROF_TRACE_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#define TRACE_VERSION 1

/* Persisted: append only, never reuse. */
enum frame_kind {
  FRAME_NATIVE = 1, /* machine code of an ELF file: module and offset; named by trace_symbol */
  FRAME_KERNEL = 2, /* kernel code: named by trace_symbol */
  FRAME_PYTHON = 3, /* function, file and line are known at capture */
  FRAME_JIT = 4,    /* code that a runtime made, named by its perf map */
  FRAME_MARK = 5,   /* a pseudo-frame at the root of an incomplete stack; function says why */
};

enum frame_flag {
  FRAME_GENERATOR = 1 << 0,
  FRAME_COROUTINE = 1 << 1,
  FRAME_INLINED = 1 << 2,
};

/* Why a thread was off the CPU. Persisted: append only. */
enum wait_reason {
  WAIT_UNKNOWN = 0,
  WAIT_DISK = 1,
  WAIT_FUTEX = 2,
  WAIT_GIL = 3,
  WAIT_SOCKET = 4, /* socket input/output, poll, select, epoll */
  WAIT_TIMER = 5,  /* sleep */
  WAIT_PAGE_FAULT = 6,
  WAIT_RUN_QUEUE = 7, /* runnable all the time: preempted, or yielded */
  WAIT_PIPE = 8,
  WAIT_CHILD = 9, /* wait4, waitid */
  WAIT_SIGNAL = 10,
  WAIT_STOPPED = 11, /* job control, ptrace, freezer */
  WAIT_REASONS
};

/* "futex", "GIL", "socket", …; "unknown" for a value out of range. */
const char *wait_reason_name(enum wait_reason reason);

/* An ELF file (or the vdso, or an anonymous region of compiled code). */
struct trace_module {
  const char *path;
  const uint8_t *build_id; /* may be NULL */
  uint32_t build_id_bytes; /* at most 64 */
};

struct trace_frame {
  enum frame_kind kind;
  uint32_t flags;      /* enum frame_flag */
  uint32_t module;     /* id; 0 for Python and marks */
  uint64_t address;    /* native: virtual address in the ELF file; JIT: in the process; else 0 */
  uint32_t function;   /* string id; 0 until a trace_symbol names it */
  uint32_t file;       /* string id or 0 */
  uint32_t line;       /* current line, 0 unknown */
  uint32_t first_line; /* Python: line of the function's definition, 0 unknown */
};

/* One function at a native, kernel or JIT frame. Several for one frame, in order from the innermost
 * inlined function (depth 0) to the function that really is on the stack, are inlined calls. */
struct trace_symbol {
  uint32_t frame;
  uint32_t depth;
  uint32_t function; /* string id, demangled */
  uint32_t file;     /* string id or 0 */
  uint32_t line;
  uint32_t first_line; /* line of the function's definition, 0 unknown */
};

/* A node of the calling-context tree: `frame` called from the stack `parent`. A stack is named by
 * its leaf node; parent 0 is the root. */
struct trace_node {
  uint32_t parent;
  uint32_t frame;
};

struct trace_process {
  uint32_t pid; /* as seen from the profiler's PID namespace */
  uint32_t parent_pid;
  uint64_t start_ns; /* 0 when it was there before the capture */
  uint64_t end_ns;   /* 0 while it lives; the record is then written again, the last one holds */
  const char *name;  /* comm */
  const char *executable; /* path, "" unknown */
  const char *runtime;    /* "python 3.11.2", "" otherwise */
};

struct trace_thread {
  uint32_t thread; /* id: written again under the same id when something changed */
  uint32_t pid;
  uint32_t tid;
  uint64_t start_ns;
  uint64_t end_ns; /* 0 while it lives */
  const char *name;
};

/* One on-CPU sample. */
struct trace_sample {
  uint64_t time_ns;
  uint32_t thread;
  uint32_t node;
};

/* One off-CPU interval (count 1), or the sum of several short ones of the same thread, stack and
 * reason (count > 1) that lie within [start_ns, start_ns + span_ns). */
struct trace_wait {
  uint64_t start_ns;
  uint64_t span_ns;
  uint64_t blocked_ns;   /* switch-out to wake-up */
  uint64_t run_queue_ns; /* wake-up (or preemption) to switch-in */
  uint64_t max_ns;       /* the longest, blocked and queued */
  uint64_t count;
  uint32_t thread;
  uint32_t node;
  uint32_t waker;     /* thread id of who woke it; 0 unknown, or the interrupt side, or a sum */
  uint32_t waker_tid; /* the same as a TID, also for threads outside the target; 0 unknown */
  enum wait_reason reason;
};

/* Exact time of a thread, counted by the scheduler's switches from the start of the capture (or of
 * the thread) to `time_ns`. Cumulative: the last record of a thread holds. */
struct trace_account {
  uint64_t time_ns;
  uint32_t thread;
  uint64_t wall_ns;
  uint64_t on_cpu_ns;
  uint64_t blocked_ns;
  uint64_t run_queue_ns;
  uint64_t voluntary_switches;
  uint64_t involuntary_switches;
};

/* What a heap site counts. Persisted: append only. */
enum heap_kind {
  HEAP_MALLOC = 0, /* malloc and its family, operator new */
  HEAP_PYTHON = 1, /* CPython's small objects, which never reach malloc */
  HEAP_MAP = 2,    /* mmap, mremap: also what allocators take from the kernel */
  HEAP_BREAK = 3,  /* brk, sbrk */
  HEAP_KINDS
};

/* "malloc", "python", "mmap", "brk"; "unknown" for a value out of range. */
const char *heap_kind_name(enum heap_kind kind);

/* A stack of a process at which memory was taken: a heap site. Gets the next heap site id. */
struct trace_heap_site {
  uint32_t pid;
  uint32_t node; /* 0: the stacks that there was no room for */
  enum heap_kind kind;
};

/* What a site had counted up to a moment: since the process (or the capture in it) began, at most
 * 2^53. No count and no time of a site ever falls, also not when its process calls exec: what the
 * program before had taken then counts as freed. Live are allocations - frees. Written when
 * something changed. Where the kind is sampled (`memory.KIND_interval_bytes`), these are unbiased
 * estimates. */
struct trace_heap {
  uint64_t time_ns;
  uint32_t site;
  uint64_t allocations;
  uint64_t allocated_bytes;
  uint64_t frees;
  uint64_t freed_bytes;
  uint64_t peak_bytes; /* the most that were live at once so far */
};

/* What a process's memory_point may say. Persisted: append only. Bytes, but for the iterations. */
enum memory_metric {
  MEMORY_RSS = 0, /* resident, without the shim's own */
  MEMORY_PSS = 1,
  MEMORY_SWAP = 2,
  MEMORY_VIRTUAL = 3,
  MEMORY_ANONYMOUS = 4,    /* resident anonymous */
  MEMORY_FILE = 5,         /* resident file pages */
  MEMORY_SHARED = 6,       /* resident shared memory */
  MEMORY_HEAP_LIVE = 7,    /* HEAP_MALLOC and HEAP_PYTHON, all sites */
  MEMORY_HEAP_PEAK = 8,    /* the most of it so far */
  MEMORY_MALLOC_ARENA = 9, /* mallinfo2: arena, hblkhd, uordblks, fordblks, keepcost */
  MEMORY_MALLOC_MAPPED = 10,
  MEMORY_MALLOC_USED = 11,
  MEMORY_MALLOC_FREE = 12,
  MEMORY_MALLOC_TRIM = 13,
  MEMORY_SHIM = 14,         /* what the shim holds in the process */
  MEMORY_CGROUP_USED = 15,  /* of the cgroup, page cache included */
  MEMORY_CGROUP_CACHE = 16, /* its page cache */
  MEMORY_CGROUP_LIMIT = 17, /* absent: no limit */
  MEMORY_ITERATIONS = 18,   /* iterations so far (run --iteration) */
  MEMORY_HOST_AVAILABLE = 19,
  MEMORY_METRICS
};

/* "rss", "pss", …; "unknown" for a value out of range. */
const char *memory_metric_name(enum memory_metric metric);

struct trace_memory {
  uint64_t time_ns;
  uint32_t pid;
  uint32_t present; /* bit m: values[m] was read */
  uint64_t values[MEMORY_METRICS];
};

/* Durations in a log-linear histogram: eight buckets to each power of two, the same as in
 * preload/region.h. */
#define TRACE_BUCKETS 248u

/* The calls of one name that a process made so far. The last record of a PID and name holds. All
 * counts of the buckets together fit 64 bits. */
struct trace_call {
  uint32_t pid;
  const char *name; /* "read", "pthread_mutex_lock" */
  uint64_t count;
  uint64_t errors;
  uint64_t bytes;
  uint64_t total_ns;
  uint64_t max_ns;
  uint64_t buckets[TRACE_BUCKETS];
};

/* One call of over a millisecond. */
struct trace_slow_call {
  uint64_t time_ns; /* its start */
  uint64_t duration_ns;
  int64_t result; /* bytes, or -errno */
  uint32_t thread;
  uint32_t node;
  const char *name;
};

/* A named number about the capture; the last one of a name holds. Names used:
 *   lost.samples, lost.waits, lost.stacks, lost.bytes, lost.*   what is missing, in events
 *   cost.bpf_ns, cost.bpf_runs, cost.collector_cpu_ns and cost.collector_rss_bytes (while
 *   recording), cost.setup_and_naming_cpu_ns (before and after), cost.table_bytes
 *   capture.samples, capture.switches
 *   capture.waits_not_walked: short waits for the interpreter's lock or a CPU whose stack was left
 *   out; their time is spread over those of the same thread that were walked
 *   memory.malloc_interval_bytes, memory.python_interval_bytes: mean distance of samples; 0: every
 *   allocation was counted. Absent: none was.
 *   memory.foreign_allocator: 1 when some process's malloc is not libc's
 * A fact in words about host, target and capture. Names used:
 *   host.kernel, host.machine, host.cpus, host.os, host.hostname (only if asked), ragprof.version,
 *   capture.command ("attach", "run"), capture.frequency_hz, capture.event ("cycles",
 *   "cpu-clock"), capture.start_unix_ns, capture.duration_ns, capture.end ("interrupted",
 *   "duration", "target exited", …), capture.source ("bpf", "shim", "bpf+shim"), target.name,
 * target.pids, target.exit_status
 */

#endif
