/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a system call's descriptor to the accounts of files and sockets. */
#ifndef RAGPROF_BPF_IO_H
#define RAGPROF_BPF_IO_H

#include "count.h"
#include "reason.h"

/* What a call has to do with look-ups of names, looked at when the rest is done. */
enum dns_part { DNS_NONE, DNS_SENT, DNS_RECEIVED };

/* A finished system call. The rest is of those that have to do with a descriptor. */
struct io_call {
  struct operation_key key;
  __u32 tgid;
  __u32 kind;     /* enum io_kind */
  __u64 argument; /* the descriptor */
  __u64 other;    /* the second one of IO_SENDFILE and IO_SPLICE */
  __u64 length;   /* of IO_MMAP */
  __s64 result;
  __u64 start_ns;
  __u64 ns;
  __u64 stack;  /* where it was made; STACK_LOST: it was not walked */
  __u32 weight; /* how many calls this walk stands for; 0: it was not walked */
  __u32 tid;
  __u32 peer_port; /* of the peer that a datagram names */
  __u32 dns;       /* enum dns_part */
  __u64 dns_object;
  __u32 dns_is_stream;
  __u32 pad;
};

/* Not on the stack, of which kernels before 6.13 give 512 bytes to a whole chain of functions. A
 * program that ends a system call is never interrupted by another one. */
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct io_call);
} io_calls __weak SEC(".maps");

#define MAP_ANONYMOUS 0x20
#define NO_DESCRIPTOR 0xffffffff

static __always_inline struct pt_regs *registers_of_call(void) {
  return (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
}

static __always_inline __u32 message_of_call(const struct pt_regs *registers) {
  return message_by_syscall[syscall_number(registers) & (SYSCALLS_MAX - 1)];
}

#include "file.h"
#include "socket.h"

static __always_inline bool moves_bytes(__u32 kind) {
  return kind == IO_READ || kind == IO_WRITE || kind == IO_SENDFILE || kind == IO_SPLICE;
}

/* What a descriptor's call is made of, besides its result. */
static __always_inline void find_descriptors(struct io_call *call, const struct pt_regs *regs) {
  call->argument = syscall_argument_1(regs);
  call->other = call->kind == IO_SENDFILE ? syscall_argument_2(regs) : syscall_argument_3(regs);
  if (call->kind == IO_OPEN || (call->kind == IO_ACCEPT && call->result >= 0))
    call->argument = call->result;
  if (call->kind != IO_MMAP)
    return;
  call->argument =
      syscall_argument_4(regs) & MAP_ANONYMOUS ? NO_DESCRIPTOR : syscall_argument_5(regs);
  call->length = syscall_argument_2(regs);
}

/* Global, as others here: the verifier looks at such a function once, not on each way to it. */
__noinline __u64 count_descriptor(struct io_call *call, struct thread_state *thread) {
  struct file *file = call ? file_of(call->argument) : NULL;
  if (!file || !thread)
    return 0;
  struct file_memo *memo = memo_of_file(thread, file);
  if (is_remembered(memo, file) && count_by_memo(call, memo))
    return memo->object;
  struct socket_memo *socket = memo_of_socket(thread, file);
  if (is_known_socket(socket, file))
    return count_known_socket(call, thread, socket);
  if ((BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) == S_IFSOCK)
    return count_socket(call, thread, socket, file);
  return count_file(call, file, memo);
}

/* Accounts for a call. Returns the id of the object that it was made on; 0: not known. */
static __always_inline __u64 count_io(struct io_call *call, struct thread_state *thread) {
  if (call->kind == IO_OPEN && call->result < 0) {
    count_failed_open(call);
    return 0;
  }
  if (call->kind == IO_CLOSE) {
    if (dns_is_used)
      dns_closed(call);
    return 0;
  }
  if (call->kind != IO_SENDFILE && call->kind != IO_SPLICE)
    return count_descriptor(call, thread);
  bool is_splice = call->kind == IO_SPLICE;
  call->kind = is_splice ? IO_READ : IO_WRITE;
  __u64 object = count_descriptor(call, thread);
  call->kind = is_splice ? IO_WRITE : IO_READ;
  call->argument = call->other;
  count_descriptor(call, thread);
  return object;
}

#endif
