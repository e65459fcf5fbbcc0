/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Maps and configuration that the programs share. Weak: each object defines them, the linker keeps
 * one. */
#ifndef RAGPROF_BPF_MAPS_H
#define RAGPROF_BPF_MAPS_H

#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "ragprof.h"

#ifndef barrier
#define barrier() asm volatile("" ::: "memory")
#endif

/* Set before load. */
extern const volatile __u32 follow_children;
extern const volatile __u64 long_wait_ns;   /* waits from here on are streamed one by one */
extern const volatile __u32 has_typed_cast; /* bpf_rdonly_cast, from Linux 6.2 on */

const volatile __u32 follow_children __weak = 1;
const volatile __u64 long_wait_ns __weak = 1000000;
const volatile __u32 has_typed_cast __weak = 0;

/* Which of the two wait sums is being added to; user space flips it and reads the other. */
__u32 active_sums __weak = 0;
__u32 capture_ending __weak = 0; /* the last run of on_task */
__u32 next_code_id __weak = 0;
struct capture_counters counters __weak = {};

/* Counters are best effort between CPUs for the frequent ones, exact for losses. */
#define COUNT(field) __sync_fetch_and_add(&counters.field, 1)

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, PROCESSES_MAX);
  __type(key, __u32);
  __type(value, struct process_info);
} processes __weak SEC(".maps");

struct mapping_table {
  struct unwind_mapping at[MAPPINGS_MAX];
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct mapping_table);
} mappings __weak SEC(".maps");

struct segment {
  __u64 words[SEGMENT_WORDS];
};

struct segment_map {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  /* sizes, not types: clang emits only a forward declaration for a type that is named in here */
  __uint(key_size, sizeof(__u32));
  __uint(value_size, sizeof(struct segment));
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, SEGMENTS_MAX);
  __type(key, __u32);
  __array(values, struct segment_map);
} segments __weak SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, PYTHON_VERSIONS_MAX);
  __type(key, __u32);
  __type(value, struct python_offsets);
} python_versions __weak SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 8 << 20);
} events __weak SEC(".maps");

/* Ids of the stacks that user space has. Preallocated: it is updated from interrupts. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 64 * 1024);
  __type(key, __u64);
  __type(value, __u8);
} known_stacks __weak SEC(".maps");

#define SYSCALLS_MAX 512

/* What pages that a thread reads are counted at, while it goes on with the same file and call. */
struct device_read {
  __u64 inode;
  __u64 number;     /* of the inode */
  __u64 syscall_ns; /* 0: page faults */
  __u32 slot;       /* OPERATION_SLOT_NONE: they are not counted */
  __u32 serial;     /* of the slot's use */
};

/* What a thread has to do with locks. */
struct lock_wait {
  __u64 lock;           /* the object that it sleeps for; 0: none */
  __u64 slot_of;        /* the lock whose waits are counted in `slot` */
  __u64 unwalked_count; /* waits for the interpreter's lock that were counted at no stack yet */
  __u64 unwalked_ns;
  __u32 slot;
  __u32 is_waiting; /* for `lock`: until it is woken */
};

/* A socket that a thread has used, and what was found out about it: bpf/socket.h. */
#define THREAD_SOCKETS_SHIFT 4
#define SOCKET_SLOTS 4

struct socket_memo {
  __u64 file; /* 0: none */
  __u64 sk;
  __u64 check;
  __u64 object;
  __u16 port; /* of the peer that it has connected to */
  __u8 is_stream;
  __u8 pad[5];
  __u16 slots[SOCKET_SLOTS]; /* by operation, as syscall_slots */
};

/* A file that a thread has read from or written to, and where that is counted: bpf/file.h. */
#define THREAD_FILES 4

struct file_memo {
  __u64 file; /* 0: none */
  __u64 inode;
  __u64 dentry;
  __u64 mount;
  __u64 number; /* of the inode */
  __u64 name_hash;
  __u64 object;
  __u32 generation;
  __u32 pad;
  __u32 slots[2]; /* read, write; OPERATION_SLOT_NONE: none yet */
  __u32 serials[2];
};

/* What is kept of a thread while it is watched. Exists only for threads of profiled processes. */
struct thread_state {
  __u64 start_ns;
  __u64 switched_in_ns;  /* 0: not on the CPU */
  __u64 switched_out_ns; /* 0: on the CPU */
  __u64 woken_ns;
  __u64 stack;
  __u64 stack_ns; /* when `stack` was taken, in sched_switch; 0: it was not */
  struct lock_wait lock_wait;
  __u64 syscall_ns; /* when the system call that it is in began; 0: none, or before the capture */
  __u64 on_cpu_ns;
  __u64 blocked_ns;
  __u64 run_queue_ns;
  __u64 fault_wait_ns; /* off the CPU in page faults, since the last major one */
  __u64 faults_since;  /* minor ones that the next one that is looked at stands for, with itself */
  __u64 fault_object;  /* of the last one that was looked at */
  __u64 fault_stack;
  __u64 voluntary_switches;
  __u64 involuntary_switches;
  __u32 waker_tid;
  __u32 reason;
  __u32 window; /* of time: switches are counted by it */
  __u32 window_switches;
  __u32 last_switches; /* of the window before */
  __u32 fault_window;  /* the same of minor faults */
  __u32 window_faults;
  __u32 last_faults;
  __u32 mapping_window; /* and of stacks of mmap and its like */
  __u32 window_mappings;
  struct device_read device_read;
  struct file_memo files[THREAD_FILES];
  __u64 connecting; /* the struct sock of which the connect() that it is in began a handshake */
  struct socket_memo sockets[1 << THREAD_SOCKETS_SHIFT]; /* by file, the last one */
  __u16 syscall_slots[SYSCALLS_MAX]; /* in operation_slots[]; OPERATION_SLOT_NONE: none yet */
};

struct {
  __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct thread_state);
} threads __weak SEC(".maps");

#endif
