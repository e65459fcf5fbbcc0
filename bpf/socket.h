/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The accounts of sockets: connects, accepts, sends and receives by process and peer. */
#ifndef RAGPROF_BPF_SOCKET_H
#define RAGPROF_BPF_SOCKET_H

#include "connect.h"
#include "dns.h"
#include "peer.h"

/* By enum io_kind. */
static const __u8 socket_operation[IO_KINDS] = {
    [IO_READ] = OPERATION_NAME_RECEIVE,         [IO_WRITE] = OPERATION_NAME_SEND,
    [IO_RECEIVE_MANY] = OPERATION_NAME_RECEIVE, [IO_SEND_MANY] = OPERATION_NAME_SEND,
    [IO_ACCEPT] = OPERATION_NAME_ACCEPT,
};

/* ---- who it talks to ---- */

/* What is known of the socket of a call. */
struct socket_use {
  __u64 object;             /* 0: it has no peer */
  struct socket_memo *memo; /* NULL: it has no fixed peer */
  __u32 port;
  __u16 is_unconnected;
  __u16 is_stream;
};

static __always_inline struct socket_memo *memo_of_socket(struct thread_state *thread,
                                                          struct file *file) {
  __u64 hash = (__u64)file * 0x9e3779b97f4a7c15ull;
  return &thread->sockets[hash >> (64 - THREAD_SOCKETS_SHIFT)];
}

/* Whether a file still is the socket, with the peer, that a memo tells of. The addresses of all of
 * them may be in use again. */
static __always_inline bool is_known_socket(const struct socket_memo *memo, struct file *file) {
  struct {
    __u64 file;
    __u64 sk;
  } place = {};
  struct socket_view view;
  if (memo->file != (__u64)file)
    return false;
  struct socket *socket = BPF_CORE_READ(file, private_data);
  bpf_probe_read_kernel(&place, sizeof(place), &socket->file); /* `sk` stands behind it */
  if (place.file != memo->file || place.sk != memo->sk)
    return false;
  look_at_socket(&view, (struct sock *)memo->sk);
  return view.check == memo->check;
}

/* A socket that this thread has not used lately. */
__noinline int meet_socket(struct socket_memo *memo, __u64 file, __u64 socket,
                           struct io_call *call) {
  struct sock *sk = (struct sock *)socket;
  struct peer *peer = new_peer(sk);
  struct socket_view view;
  if (!peer || !memo || !call)
    return 0;
  look_at_socket(&view, sk);
  memo->file = 0;
  if (view.family == AF_UNIX)
    put_unix_peer(peer, sk, view.is_listening);
  else if (view.family == AF_INET || view.family == AF_INET6)
    put_inet(peer, sk, view.family, view.is_listening,
             call->kind == IO_ACCEPT && call->result >= 0);
  else
    peer->socket.family = view.family;
  memo->object = publish_peer(peer);
  memo->check = view.check;
  memo->port = peer->socket.role == SOCKET_CONNECTED ? peer->socket.port : 0;
  memo->is_stream = peer->socket.type == SOCK_STREAM;
  __builtin_memset(memo->slots, 0, sizeof(memo->slots));
  memo->sk = (__u64)sk;
  memo->file = file;
  if (memo->is_stream && view.family != AF_UNIX && !view.is_listening)
    own_socket(sk, memo->check, memo->object, call->tgid);
  return 0;
}

/* Where a call says whom it is about; 0: it does not. */
static __always_inline __u64 name_of_call(__u32 *bytes) {
  struct pt_regs *regs = registers_of_call();
  struct user_msghdr header = {};
  switch (message_of_call(regs)) {
  case MESSAGE_TO:
    *bytes = syscall_argument_6(regs);
    return syscall_argument_5(regs);
  case MESSAGE_FROM:
    *bytes = sizeof(struct sockaddr_in6);
    return syscall_argument_5(regs);
  case MESSAGE_HEADER:
  case MESSAGE_HEADERS:
    bpf_probe_read_user(&header, sizeof(header), (void *)syscall_argument_2(regs));
    *bytes = header.msg_namelen;
    return (__u64)header.msg_name;
  }
  return 0;
}

/* A datagram's peer is in the call, if anywhere. A socket that was bound serves: its clients' ports
 * are left out, as with connections. */
__noinline __u64 meet_datagram(struct io_call *call, __u64 socket) {
  struct sock *sk = (struct sock *)socket;
  struct peer *peer = new_peer(sk);
  __u32 bytes = 0;
  if (!peer || !call || peer->socket.type == SOCK_STREAM)
    return 0;
  __u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);
  __u64 name = name_of_call(&bytes);
  if (!put_named(peer, name, bytes)) {
    peer->socket.family = family;
    peer->socket.port = 0;
    if (family == AF_UNIX)
      put_unix(peer, sk);
  } else if (family != AF_UNIX && BPF_CORE_READ(sk, sk_userlocks) & USER_BOUND &&
             peer->socket.port >= CLIENT_PORT_MIN) {
    peer->socket.role = SOCKET_ACCEPTED;
    peer->socket.port = BPF_CORE_READ(sk, __sk_common.skc_num);
  }
  call->peer_port = peer->socket.role == SOCKET_CONNECTED ? peer->socket.port : 0;
  return publish_peer(peer);
}

/* ---- accounts ---- */

static __always_inline struct operation_slot *slot_of_memo(struct socket_memo *memo,
                                                           struct operation_key *key) {
  __u32 place = key->name & (SOCKET_SLOTS - 1);
  struct operation_slot *slot = slot_at(memo->slots[place]);
  if (memo->slots[place] && slot && slot->key.object == key->object &&
      slot->key.class == CLASS_SOCKET && slot->key.name == key->name && slot->key.tgid == key->tgid)
    return slot;
  __u32 index = slot_index_of(key);
  memo->slots[place] = index;
  return index == OPERATION_SLOT_NONE ? NULL : slot_at(index);
}

struct received {
  __u64 message;
  __u64 bytes;
};

static long add_message(__u32 i, struct received *received) {
  __u32 bytes = 0;
  bpf_probe_read_user(&bytes, sizeof(bytes),
                      (void *)(received->message + __builtin_offsetof(struct mmsghdr, msg_len)));
  received->message += sizeof(struct mmsghdr);
  received->bytes += bytes;
  return 0;
}

static __always_inline __u64 socket_bytes(const struct io_call *call) {
  if (call->result <= 0 || call->kind == IO_ACCEPT)
    return 0;
  if (call->kind == IO_READ || call->kind == IO_WRITE)
    return call->result;
  struct received received = {.message = syscall_argument_2(registers_of_call())};
  bpf_loop(call->result, add_message, &received, 0);
  return received.bytes;
}

static __noinline void count_on_socket(struct io_call *call, __u64 object,
                                       struct socket_memo *memo) {
  struct operation_key key = {.object = object,
                              .tgid = call->tgid,
                              .class = CLASS_SOCKET,
                              .name = call->kind == IO_CONNECT
                                          ? OPERATION_NAME_CONNECT
                                          : socket_operation[call->kind & (IO_KINDS - 1)]};
  struct operation_slot *slot = memo ? slot_of_memo(memo, &key) : slot_of(&key);
  if (!slot) {
    COUNT(lost_operations);
    return;
  }
  __u64 bytes = socket_bytes(call);
  count_shared(slot, 1, bytes, call->ns);
  if (has_failed(call))
    count_error(slot, -call->result);
  if (call->weight && call->stack > STACK_NOT_TAKEN)
    count_at_stack(&key, call->stack, call->weight, bytes * call->weight, call->ns * call->weight);
}

/* connect() on a TCP socket that began no handshake may only ask what came of the one before, which
 * is counted already: done, EISCONN, EALREADY, ECONNREFUSED, ETIMEDOUT, ECONNRESET. */
static __always_inline bool asks_for_outcome(const struct io_call *call, struct sock *sk) {
  if (BPF_CORE_READ(sk, sk_type) != SOCK_STREAM ||
      BPF_CORE_READ(sk, __sk_common.skc_family) == AF_UNIX)
    return false;
  switch (-call->result) {
  case 0:
  case 106:
  case 114:
  case 111:
  case 110:
  case 104:
    return true;
  }
  return false;
}

__noinline __u64 count_connect(struct io_call *call, __u64 handshake, __u64 socket) {
  struct sock *sk = (struct sock *)socket;
  if (!call)
    return 0;
  if (handshake)
    return leave_handshake(handshake, call->stack, call->weight);
  struct pt_regs *regs = registers_of_call();
  struct peer *peer = new_peer(sk);
  if (!peer || !put_named(peer, syscall_argument_2(regs), syscall_argument_3(regs)))
    return 0;
  __u64 object = publish_peer(peer);
  if (!asks_for_outcome(call, sk))
    count_on_socket(call, object, NULL);
  return object;
}

static __always_inline void note_dns(struct io_call *call, const struct socket_use *use) {
  bool is_sent = call->kind == IO_WRITE || call->kind == IO_SEND_MANY;
  if (call->result <= 0)
    return;
  if (is_sent && use->port == DNS_PORT)
    call->dns = DNS_SENT;
  else if (!is_sent && (use->port == DNS_PORT || (use->is_unconnected && dns_is_used)))
    call->dns = DNS_RECEIVED;
  call->dns_object = use->object;
  call->dns_is_stream = use->is_stream;
}

/* By itself, and not where the socket is counted: the two together would take too much stack. */
static __always_inline void follow_dns(struct io_call *call) {
  if (call->dns == DNS_SENT)
    dns_sent(call, call->dns_object, call->dns_is_stream);
  else if (call->dns == DNS_RECEIVED)
    dns_received(call, call->dns_is_stream);
}

static __always_inline bool is_socket_operation(const struct io_call *call) {
  return socket_operation[call->kind & (IO_KINDS - 1)] != OPERATION_NAME_NONE;
}

static __always_inline __u64 count_use(struct io_call *call, const struct socket_use *use) {
  if (use->object && is_socket_operation(call)) {
    count_on_socket(call, use->object, use->memo);
    note_dns(call, use);
  }
  return use->object;
}

static __always_inline __u64 count_any_connect(struct io_call *call, struct thread_state *thread,
                                               __u64 sk) {
  __u64 handshake = thread->connecting;
  thread->connecting = 0;
  return count_connect(call, handshake, sk);
}

/* These return the id of the peer; 0: there is none, or it was not asked for. */
static __always_inline __u64 count_known_socket(struct io_call *call, struct thread_state *thread,
                                                struct socket_memo *memo) {
  struct socket_use use = {
      .object = memo->object, .memo = memo, .port = memo->port, .is_stream = memo->is_stream};
  if (call->kind == IO_CONNECT)
    return count_any_connect(call, thread, memo->sk);
  return count_use(call, &use);
}

static __always_inline __u64 count_socket(struct io_call *call, struct thread_state *thread,
                                          struct socket_memo *memo, struct file *file) {
  struct socket *socket = BPF_CORE_READ(file, private_data);
  struct sock *sk = BPF_CORE_READ(socket, sk);
  struct socket_use use = {};
  struct socket_view view;
  if (!sk)
    return 0;
  if (call->kind == IO_CONNECT)
    return count_any_connect(call, thread, (__u64)sk);
  if (!is_socket_operation(call) && call->ns < slow_operation_ns)
    return 0;
  look_at_socket(&view, sk);
  if (view.has_peer) {
    meet_socket(memo, (__u64)file, (__u64)sk, call);
    return count_known_socket(call, thread, memo);
  }
  use.object = meet_datagram(call, (__u64)sk);
  use.port = call->peer_port;
  use.is_unconnected = true;
  return count_use(call, &use);
}

#endif
