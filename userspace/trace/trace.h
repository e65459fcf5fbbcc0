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

/* ---- What the kernel did for the target -------------------------------------------------------
 */

/* Persisted: append only. */
enum object_kind {
  OBJECT_FILE = 1,   /* name: its path */
  OBJECT_PIPE = 2,   /* "pipe:[inode]", or the path of a FIFO */
  OBJECT_SOCKET = 3, /* its peer: "tcp 127.0.0.1:6333", "tcp [::1]:443", "udp 127.0.0.53:53",
                        "unix /run/x.sock", "unix @abstract", "unix (unnamed)"; a listening one
                        "tcp 127.0.0.1:8000 (listening)", a client of it "tcp 10.0.0.7 (to port
                        8000)"; "netlink", … for other families */
  OBJECT_EVENT = 4,  /* "[eventpoll]", "[eventfd]", "[timerfd]", … */
  OBJECT_DEVICE = 5, /* a character device's path; of OPERATION_BLOCK the disk's name: "vda" */
  OBJECT_MEMORY = 6, /* what a page fault hit that is no file: "[anonymous]", "[heap]", "[stack]" */
  OBJECT_LOCK = 7,   /* "0x7f1234567890" in the process, or "GIL" */
  OBJECT_KINDS
};

/* "file", "pipe", "socket", …; "unknown" for a value out of range. */
const char *object_kind_name(enum object_kind kind);

/* What an operation was done to. Gets the next object id. */
struct trace_object {
  enum object_kind kind;
  const char *name;
};

/* Persisted: append only. Names of operations are lower-case words. */
enum operation_class {
  OPERATION_SYSCALL = 1, /* by thread; name: "read", "futex"; no object */
  OPERATION_FILE = 2,    /* by process and file: "open", "read", "write", "fsync", "mmap", "device
                            read" (what was not in the page cache; bytes) */
  OPERATION_SOCKET = 3,  /* by process and peer: "connect", "accept", "send", "receive",
                            "retransmit", "dns" (a look-up, its time from query to answer) */
  OPERATION_BLOCK = 4,   /* by process and disk: "read", "write", "flush", "discard" */
  OPERATION_FAULT = 5, /* by process and what was mapped: "major", "minor" (bytes: of the pages) */
  OPERATION_LOCK = 6,  /* by thread and lock: "wait"; "hold": time that others waited for it while
                          this thread held it; its stacks are the holder's */
  OPERATION_PROBE = 7, /* by thread; name: the probe as the user asked for it */
  OPERATION_CLASSES
};

/* "syscall", "file", "socket", …; "unknown" for a value out of range. */
const char *operation_class_name(enum operation_class class);

/* Something that was done again and again, and is counted. Gets the next operation id. */
struct trace_operation {
  enum operation_class class;
  uint32_t pid;
  uint32_t thread; /* id, or 0: all of the process */
  uint32_t object; /* id, or 0 */
  const char *name;
};

/* What an operation had come to by a moment, since the capture (or the process) began. No field
 * ever falls. Written when something changed, at most once a second. */
struct trace_operation_sum {
  uint64_t time_ns;
  uint32_t operation;
  uint64_t count;
  uint64_t errors;
  uint64_t bytes;
  uint64_t total_ns; /* time in it; of those that are still going on nothing */
  uint64_t max_ns;
};

#define TRACE_RESULTS_MAX 16

/* How an operation's durations and errors are spread. Cumulative: the last record of an operation
 * holds. */
struct trace_operation_detail {
  uint32_t operation;
  uint64_t buckets[TRACE_BUCKETS]; /* all together fit 64 bits */
  uint32_t result_count;
  struct {
    uint32_t error; /* errno; 0: of others that there was no room for */
    uint64_t count;
  } results[TRACE_RESULTS_MAX];
};

/* What of an operation fell to one stack. Cumulative: the last record of an operation and node
 * holds. Where not every one was walked, these are estimates, and their sum comes only near the
 * operation's own. */
struct trace_operation_stack {
  uint32_t operation;
  uint32_t node;
  uint64_t count;
  uint64_t bytes;
  uint64_t total_ns;
};

/* One that took long: a system call over a millisecond, a span of a probe. */
struct trace_slow_operation {
  uint64_t time_ns; /* its start */
  uint64_t duration_ns;
  int64_t result; /* bytes, a descriptor, …, or -errno */
  uint32_t operation;
  uint32_t thread;
  uint32_t node;
  uint32_t object; /* what it was done to, where that is known although the operation has none */
};

/* Persisted: append only. */
enum process_happening {
  HAPPENING_FORK = 1,     /* value: the child's PID */
  HAPPENING_EXEC = 2,     /* text: the executable's path */
  HAPPENING_EXIT = 3,     /* value: the status as wait(2) gives it */
  HAPPENING_OOM_KILL = 4, /* the kernel chose it when memory ran out */
  HAPPENINGS
};

/* "fork", "exec", "exit", "OOM kill"; "unknown" for a value out of range. */
const char *process_happening_name(enum process_happening happening);

struct trace_happening {
  uint64_t time_ns;
  uint32_t pid;
  enum process_happening what;
  uint64_t value;
  const char *text; /* "" */
};

/* What a point may say. Persisted: append only. Counts since the process began, unless a level is
 * meant. */
enum point_metric {
  POINT_THREADS = 0,           /* level */
  POINT_DESCRIPTORS = 1,       /* level: open files */
  POINT_DESCRIPTORS_LIMIT = 2, /* the soft limit */
  POINT_MINOR_FAULTS = 3,
  POINT_MAJOR_FAULTS = 4,
  POINT_READ_BYTES = 5, /* /proc/PID/io: read_bytes, write_bytes, rchar, wchar */
  POINT_WRITE_BYTES = 6,
  POINT_READ_CHARS = 7,
  POINT_WRITE_CHARS = 8,
  POINT_CPU_QUOTA_US = 9, /* of the cgroup (the tightest of its ancestors), in a period */
  POINT_CPU_PERIOD_US = 10,
  POINT_CPU_PERIODS = 11,   /* periods that had something to run */
  POINT_CPU_THROTTLED = 12, /* periods in which it was throttled */
  POINT_CPU_THROTTLED_NS = 13,
  POINT_MIGRATIONS = 14,     /* from CPU to CPU, all threads */
  POINT_CPUS_ALLOWED = 15,   /* level: of the affinity mask */
  POINT_HOST_RUNNABLE = 16,  /* level, pid 0: runnable tasks of the host */
  POINT_MEMORY_LIMIT = 17,   /* RLIMIT_AS; absent: none */
  POINT_SMAPS_FIRST = 32,    /* level, bytes resident by kind of mapping, in this order: */
  POINT_RESIDENT_HEAP = 32,  /* [heap] */
  POINT_RESIDENT_STACK = 33, /* [stack] */
  POINT_RESIDENT_ANONYMOUS = 34,
  POINT_RESIDENT_CODE = 35,   /* executable mappings of files */
  POINT_RESIDENT_FILE = 36,   /* other mappings of files */
  POINT_RESIDENT_SHARED = 37, /* shared anonymous memory, /dev/shm */
  POINT_METRICS = 64          /* all are below */
};

/* "threads", "descriptors", …; "unknown" for a value that is not known here. */
const char *point_metric_name(enum point_metric metric);

struct trace_point {
  uint64_t time_ns;
  uint32_t pid; /* 0: the host */
  enum point_metric metric;
  uint64_t value;
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
