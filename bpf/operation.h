/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ABI of what is counted for the system's part: a slot for each operation (a system call of a
 * thread, reads of a file, waits for a lock, …), the objects that they were done to, and events of
 * single slow ones. Part of ragprof.h. */
#ifndef RAGPROF_BPF_OPERATION_H
#define RAGPROF_BPF_OPERATION_H

/* Names of operations that are neither system calls nor probes. In memory only. */
enum operation_name {
  OPERATION_NAME_NONE = 0,
  OPERATION_NAME_OPEN,
  OPERATION_NAME_READ,
  OPERATION_NAME_WRITE,
  OPERATION_NAME_FSYNC,
  OPERATION_NAME_MMAP,
  OPERATION_NAME_DEVICE_READ,
  OPERATION_NAME_CONNECT,
  OPERATION_NAME_ACCEPT,
  OPERATION_NAME_SEND,
  OPERATION_NAME_RECEIVE,
  OPERATION_NAME_RETRANSMIT,
  OPERATION_NAME_DNS,
  OPERATION_NAME_FLUSH,
  OPERATION_NAME_DISCARD,
  OPERATION_NAME_MAJOR,
  OPERATION_NAME_MINOR,
  OPERATION_NAME_WAIT,
  OPERATION_NAME_HOLD,
  OPERATION_NAMES
};

/* What an operation is. */
struct operation_key {
  __u64 object; /* id of an event_object; 0: none */
  __u32 tgid;
  __u32 tid;   /* 0: of all threads */
  __u16 class; /* enum operation_class of trace/trace.h */
  __u16 name;  /* its number (system calls), its index (probes), else enum operation_name */
  __u32 pad;
};

#define OPERATION_SLOTS_MAX (16 * 1024)
#define OPERATION_SLOT_NONE 0    /* slot 0 is nobody's */
#define OPERATION_SLOTS_KEPT 512 /* the last ones: for the task iterator, see slot_take */
#define OPERATION_BUCKETS 248    /* TRACE_BUCKETS */
#define OPERATION_ERRORS_MAX 6

/* Counted in place and read on a clock through a mapping. A slot of one thread has one writer;
 * others are added to atomically. Buckets and errors wrap; what matters is what they grew by. */
struct operation_slot {
  struct operation_key key; /* class 0: not in use */
  __u64 count;
  __u64 errors;
  __u64 bytes;
  __u64 total_ns;
  __u64 max_ns;
  __u32 serial; /* of this use of the slot */
  /* which ones are walked: bpf/count.h */
  __u32 window;
  __u32 window_count;
  __u32 last_count;
  __u32 until_walk;
  __u32 since_walk;
  __u16 error[OPERATION_ERRORS_MAX]; /* errno; those that there is no room for are only in errors */
  __u32 error_count[OPERATION_ERRORS_MAX];
  __u32 pad;
  __u32 buckets[OPERATION_BUCKETS];
};
_Static_assert(sizeof(struct operation_slot) == 1120, "shared with user space");

struct operation_stack_key {
  struct operation_key key;
  __u64 stack;
};

struct operation_stack_sum {
  __u64 count;
  __u64 bytes;
  __u64 total_ns;
};

/* One that took long, or a span of a probe. */
struct event_slow {
  __u32 type;
  __u32 tgid;
  __u32 tid;
  __u32 pad;
  __u64 time_ns; /* its start */
  __u64 duration_ns;
  __s64 result;
  __u64 stack;
  __u64 object;
  struct operation_key key;
};

/* An object, shipped when it is first met. `data` depends on its kind (enum object_kind):
 *   FILE, PIPE, EVENT, DEVICE  the path's names from the leaf up, each with a NUL behind it; what
 *                              has no path (a pipe, an anonymous inode) has one name
 *   SOCKET                     struct object_socket, of a Unix socket with the path behind it
 *   LOCK                       struct object_lock
 *   MEMORY                     text */
#define OBJECT_DATA_MAX 2048
#define OBJECT_NAMES_MAX 48

struct event_object {
  __u32 type;
  __u32 tgid;
  __u64 id; /* a hash of what identifies it */
  __u32 kind;
  __u32 is_cut; /* there were more names */
  __u32 bytes;  /* of data */
  __u32 device; /* of a block or character device: major << 20 | minor */
  __u64 inode;
  __u8 data[OBJECT_DATA_MAX];
};

/* Of locks that are no plain mutex the name tells what they are. */
enum lock_kind { LOCK_PLAIN = 0, LOCK_GIL, LOCK_SEMAPHORE, LOCK_READ_WRITE, LOCK_KINDS };

struct object_lock {
  __u64 address;
  __u32 kind;
  __u32 pad;
};

/* A server's clients are told apart by host: their ports are another one for each connection. */
enum socket_role {
  SOCKET_CONNECTED = 0, /* to the peer, by this side; or what has no sides */
  SOCKET_LISTENING = 1, /* the address is its own */
  SOCKET_ACCEPTED = 2,  /* the peer came to `port` */
};

struct object_socket {
  __u16 family;
  __u16 type;       /* SOCK_STREAM, … */
  __u16 port;       /* the peer's; of a socket that serves its own; host byte order */
  __u16 role;       /* enum socket_role */
  __u8 address[16]; /* v4 in the first four */
};

#endif
