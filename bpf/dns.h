/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Look-ups of names: from a query's sending to its answer's receipt, matched by the number that
 * both begin with. Nothing else of a message is read. */
#ifndef RAGPROF_BPF_DNS_H
#define RAGPROF_BPF_DNS_H

#include "count.h"

#define DNS_PORT 53
#define DNS_HEADER_BYTES 12
#define DNS_QUERIES_MAX 4  /* open at once on one socket */
#define DNS_MESSAGES_MAX 4 /* looked at of one system call */
#define ERROR_TIMED_OUT 110

struct dns_query {
  __u64 start_ns; /* 0: not in use */
  __u64 stack;
  __u32 weight; /* how many look-ups this stack stands for; 0: it was not walked */
  __u32 number;
};

struct dns_socket {
  __u64 object; /* the server */
  struct dns_query at[DNS_QUERIES_MAX];
};

struct dns_key {
  __u32 tgid;
  __u32 fd;
};

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 4096);
  __type(key, struct dns_key);
  __type(value, struct dns_socket);
} dns_sockets __weak SEC(".maps");

__u32 dns_is_used __weak = 0; /* until then, closing needs no look */

static __always_inline struct operation_key dns_operation(__u64 object, __u32 tgid) {
  return (struct operation_key){
      .object = object, .tgid = tgid, .class = CLASS_SOCKET, .name = OPERATION_NAME_DNS};
}

/* ---- the beginning of a message ---- */

struct message_head {
  __u8 bytes[4];
};

static __always_inline bool read_head(struct message_head *head, __u64 from) {
  return !bpf_probe_read_user(head, sizeof(*head), (void *)from);
}

/* Over TCP a message may come as its length, two bytes, and then itself. */
static __always_inline bool read_vector_head(struct message_head *head, __u64 vector, __u64 count) {
  struct iovec parts[2] = {};
  if (!count ||
      bpf_probe_read_user(parts, count > 1 ? sizeof(parts) : sizeof(parts[0]), (void *)vector))
    return false;
  if (parts[0].iov_len != 2)
    return parts[0].iov_len >= sizeof(*head) && read_head(head, (__u64)parts[0].iov_base);
  return !bpf_probe_read_user(head->bytes, 2, parts[0].iov_base) &&
         !bpf_probe_read_user(head->bytes + 2, 2, parts[1].iov_base);
}

static __always_inline bool read_message_head(struct message_head *head, __u64 message) {
  struct user_msghdr header = {};
  return !bpf_probe_read_user(&header, sizeof(header), (void *)message) &&
         read_vector_head(head, (__u64)header.msg_iov, header.msg_iovlen);
}

/* Of message `i` of a call. */
static __always_inline bool read_call_head(struct message_head *head, const struct io_call *call,
                                           __u32 i) {
  struct pt_regs *regs = registers_of_call();
  __u64 data = syscall_argument_2(regs);
  __u32 form = message_of_call(regs);
  if (form == MESSAGE_HEADERS)
    return i < call->result && read_message_head(head, data + i * sizeof(struct mmsghdr));
  if (i)
    return false;
  switch (form) {
  case MESSAGE_PLAIN:
  case MESSAGE_TO:
  case MESSAGE_FROM:
    return read_head(head, data);
  case MESSAGE_VECTOR:
    return read_vector_head(head, data, syscall_argument_3(regs));
  case MESSAGE_HEADER:
    return read_message_head(head, data);
  }
  return false;
}

/* The number that message `i` begins with; -1: there is none. */
__noinline __s32 message_number(struct io_call *call, __u32 i, __u32 is_stream) {
  struct message_head head = {};
  if (!call)
    return -1;
  bool is_many = call->kind == IO_SEND_MANY || call->kind == IO_RECEIVE_MANY;
  if (!is_many && call->result < DNS_HEADER_BYTES)
    return -1;
  if (!read_call_head(&head, call, i))
    return -1;
  __u32 first = head.bytes[0] << 8 | head.bytes[1];
  if (is_stream && first + 2 == call->result)
    return head.bytes[2] << 8 | head.bytes[3];
  return first;
}

/* ---- queries ---- */

__noinline int end_query(struct io_call *call, struct dns_query *query, __u64 object, __u32 error) {
  if (!call || !query)
    return 0;
  __u64 start_ns = query->start_ns, ns = call->start_ns + call->ns - start_ns;
  struct operation_key key = dns_operation(object, call->tgid);
  struct operation_slot *slot = slot_of(&key);
  query->start_ns = 0;
  if (!slot) {
    COUNT(lost_operations);
    return 0;
  }
  count_shared(slot, 1, 0, ns);
  if (error)
    count_error(slot, error);
  if (query->weight && query->stack > STACK_NOT_TAKEN)
    count_at_stack(&key, query->stack, query->weight, 0, ns * query->weight);
  if (ns >= slow_operation_ns)
    ship_slow(&key, call->tid, start_ns, ns, -(__s64)error,
              query->stack > STACK_NOT_TAKEN ? query->stack : call->stack, object);
  return 0;
}

__noinline int begin_query(struct io_call *call, struct dns_socket *socket, __u32 number) {
  if (!call || !socket)
    return 0;
  struct dns_query *query = &socket->at[0];
  for (int i = 0; i < DNS_QUERIES_MAX; i++) {
    struct dns_query *other = &socket->at[i];
    if (other->start_ns && other->number == number) { /* sent again: no answer has come */
      query = other;
      break;
    }
    if (query->start_ns && (!other->start_ns || other->start_ns < query->start_ns))
      query = other; /* one that is free, else the oldest */
  }
  if (query->start_ns)
    end_query(call, query, socket->object, ERROR_TIMED_OUT);
  query->number = number;
  query->weight = call->weight;
  query->stack = call->stack;
  query->start_ns = call->start_ns;
  return 0;
}

/* A system call has sent something to a name server. */
__noinline int dns_sent(struct io_call *call, __u64 object, __u32 is_stream) {
  if (!call)
    return 0;
  struct dns_key key = {.tgid = call->tgid, .fd = call->argument};
  struct dns_socket *socket = bpf_map_lookup_elem(&dns_sockets, &key);
  if (!socket || socket->object != object) {
    struct dns_socket empty = {.object = object};
    dns_is_used = 1;
    bpf_map_update_elem(&dns_sockets, &key, &empty, 0);
    socket = bpf_map_lookup_elem(&dns_sockets, &key);
  }
  for (__u32 i = 0; socket && i < DNS_MESSAGES_MAX; i++) {
    __s32 number = message_number(call, i, is_stream);
    if (number < 0)
      break;
    begin_query(call, socket, number);
  }
  return 0;
}

__noinline int answer_query(struct io_call *call, struct dns_socket *socket, __u32 number) {
  for (int i = 0; call && socket && i < DNS_QUERIES_MAX; i++)
    if (socket->at[i].start_ns && socket->at[i].number == number) {
      end_query(call, &socket->at[i], socket->object, 0);
      break;
    }
  return 0;
}

/* A system call has received something from what may be a name server. */
__noinline int dns_received(struct io_call *call, __u32 is_stream) {
  if (!call)
    return 0;
  struct dns_key key = {.tgid = call->tgid, .fd = call->argument};
  struct dns_socket *socket = bpf_map_lookup_elem(&dns_sockets, &key);
  for (__u32 i = 0; socket && i < DNS_MESSAGES_MAX; i++) {
    __s32 number = message_number(call, i, is_stream);
    if (number < 0)
      break;
    answer_query(call, socket, number);
  }
  return 0;
}

/* A descriptor was closed: what has no answer by now gets none. */
__noinline int dns_closed(struct io_call *call) {
  if (!call)
    return 0;
  struct dns_key key = {.tgid = call->tgid, .fd = call->argument};
  struct dns_socket *socket = bpf_map_lookup_elem(&dns_sockets, &key);
  if (!socket)
    return 0;
  for (int i = 0; i < DNS_QUERIES_MAX; i++)
    if (socket->at[i].start_ns)
      end_query(call, &socket->at[i], socket->object, ERROR_TIMED_OUT);
  bpf_map_delete_elem(&dns_sockets, &key);
  return 0;
}

#endif
