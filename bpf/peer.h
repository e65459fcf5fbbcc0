/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who a socket talks to. Peers are told apart by content: the address of a struct sock is in use
 * again within milliseconds. */
#ifndef RAGPROF_BPF_PEER_H
#define RAGPROF_BPF_PEER_H

#include "object.h"

#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define PROTOCOL_UDP 17
#define USER_BOUND 12 /* SOCK_BINDADDR_LOCK, SOCK_BINDPORT_LOCK in sk_userlocks: by bind() */
#define CLIENT_PORT_MIN 1024

#define MAPPED_WORD bpf_htonl(0xffff) /* the third word of ::ffff:a.b.c.d */

#define PEER_PATH_MAX 108
#define PEER_PATH_WORDS 14

struct peer {
  struct object_socket socket;
  union {
    __u8 path[PEER_PATH_WORDS * 8]; /* of a Unix socket; zeros behind it */
    __u64 words[PEER_PATH_WORDS];
  };
  __u32 path_bytes;
  __u32 pad;
};

/* Programs in a thread's own context, with preemption off. */
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct peer);
} peer_scratch __weak SEC(".maps");

/* ---- addresses ---- */

static __always_inline void put_v4(struct peer *peer, __u32 address) {
  peer->socket.family = AF_INET;
  *(__u32 *)peer->socket.address = address;
}

static __always_inline void put_v6(struct peer *peer, const __u32 words[4]) {
  if (!words[0] && !words[1] && words[2] == MAPPED_WORD) {
    put_v4(peer, words[3]);
    return;
  }
  peer->socket.family = AF_INET6;
  __builtin_memcpy(peer->socket.address, words, sizeof(peer->socket.address));
}

/* A connection that came in was cloned from a socket that listened, with its backlog; others have
 * none. One from listen(fd, 0) is taken for one of the others, but where it is accepted. */
static __always_inline bool was_accepted(struct sock *sk) {
  return BPF_CORE_READ(sk, sk_max_ack_backlog) != 0;
}

/* The peer of a socket that has one, or the own address of one that listens. A client's port is
 * another one for each connection: its host is the peer, and the port that it came to. */
static __always_inline bool put_inet(struct peer *peer, struct sock *sk, __u16 family,
                                     bool is_listening, bool is_accepted) {
  __u32 words[4] = {};
  __u16 port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
  __u16 own_port = BPF_CORE_READ(sk, __sk_common.skc_num);
  if (family == AF_INET && is_listening)
    put_v4(peer, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
  else if (family == AF_INET)
    put_v4(peer, BPF_CORE_READ(sk, __sk_common.skc_daddr));
  if (family == AF_INET6 && is_listening)
    BPF_CORE_READ_INTO(&words, sk, __sk_common.skc_v6_rcv_saddr);
  else if (family == AF_INET6)
    BPF_CORE_READ_INTO(&words, sk, __sk_common.skc_v6_daddr);
  if (family == AF_INET6)
    put_v6(peer, words);
  peer->socket.port = is_listening ? own_port : port;
  if (is_listening) {
    peer->socket.role = SOCKET_LISTENING;
  } else if (is_accepted || (peer->socket.type == SOCK_STREAM && was_accepted(sk))) {
    peer->socket.role = SOCKET_ACCEPTED;
    peer->socket.port = own_port;
  }
  return is_listening || port;
}

static __always_inline bool put_unix(struct peer *peer, struct sock *sk) {
  struct unix_address *address = BPF_CORE_READ((struct unix_sock *)sk, addr);
  if (!address)
    return false;
  __u32 bytes = BPF_CORE_READ(address, len) - sizeof(__kernel_sa_family_t);
  if (!bytes || bytes > PEER_PATH_MAX)
    return false;
  bpf_probe_read_kernel(peer->path, bytes, (void *)address->name[0].sun_path);
  peer->path_bytes = bytes;
  return true;
}

/* Accepted sockets share the address of the one that listened; their clients seldom have one. */
static __always_inline void put_unix_peer(struct peer *peer, struct sock *sk, bool is_listening) {
  struct sock *other = BPF_CORE_READ((struct unix_sock *)sk, peer);
  peer->socket.family = AF_UNIX;
  if (is_listening)
    peer->socket.role = SOCKET_LISTENING;
  if (is_listening || !other || !put_unix(peer, other))
    put_unix(peer, sk);
}

/* The peer that a system call names: of sockets that have no fixed one. */
static __always_inline bool put_named(struct peer *peer, __u64 name, __u32 bytes) {
  union {
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
  } address = {};
  if (!name || bpf_probe_read_user(&address, sizeof(address.v4), (void *)name))
    return false;
  peer->socket.port = bpf_ntohs(address.v4.sin_port);
  switch (address.v4.sin_family) {
  case AF_INET:
    put_v4(peer, address.v4.sin_addr.s_addr);
    return true;
  case AF_INET6:
    bpf_probe_read_user(&address, sizeof(address.v6), (void *)name);
    put_v6(peer, address.v6.sin6_addr.in6_u.u6_addr32);
    return true;
  case AF_UNIX:
    bytes -= sizeof(__kernel_sa_family_t);
    peer->socket.port = 0;
    peer->socket.family = AF_UNIX;
    if (!bytes || bytes > PEER_PATH_MAX)
      return false;
    bpf_probe_read_user(peer->path, bytes, (void *)(name + sizeof(__kernel_sa_family_t)));
    peer->path_bytes = bytes;
    return true;
  }
  return false;
}

/* ---- identity ---- */

static __always_inline __u64 peer_id(const struct peer *peer) {
  const __u64 *words = (const __u64 *)&peer->socket;
  __u64 id = KIND_SOCKET;
  for (__u32 i = 0; i < sizeof(peer->socket) / 8; i++)
    id = hash_step(id, words[i]);
  for (__u32 i = 0; peer->path_bytes && i < PEER_PATH_WORDS; i++)
    id = hash_step(id, peer->words[i]);
  return id ? id : 1;
}

/* An empty peer of the type of a socket. NULL never comes, but the verifier cannot know. */
static __always_inline struct peer *new_peer(struct sock *sk) {
  __u32 zero = 0;
  struct peer *peer = bpf_map_lookup_elem(&peer_scratch, &zero);
  if (!peer)
    return NULL;
  __builtin_memset(peer, 0, sizeof(*peer));
  peer->socket.type = BPF_CORE_READ(sk, sk_type);
  if (peer->socket.type == SOCK_DGRAM && BPF_CORE_READ(sk, __sk_common.skc_family) != AF_UNIX &&
      BPF_CORE_READ(sk, sk_protocol) != PROTOCOL_UDP)
    peer->socket.type = SOCK_RAW;
  return peer;
}

/* The id of a peer; user space is told of a new one. */
static __always_inline __u64 publish_peer(const struct peer *peer) {
  __u64 id = peer_id(peer);
  __u32 kind = KIND_SOCKET, bytes = sizeof(peer->socket) + peer->path_bytes;
  if (bpf_map_lookup_elem(&known_objects, &id))
    return id;
  struct event_object *event = new_object(id, 0, KIND_SOCKET);
  if (!event)
    return id;
  __builtin_memcpy(event->data, peer, sizeof(peer->socket) + sizeof(peer->path));
  if (send_object(event, bytes))
    bpf_map_update_elem(&known_objects, &id, &kind, 0);
  return id;
}

/* ---- sockets ---- */

/* What a socket is at the moment, as far as its peer depends on it. */
struct socket_view {
  __u64 check; /* all of it; the same address with another one is another socket */
  __u16 family;
  __u8 is_listening;
  __u8 has_peer;
};

/* How struct sock_common begins. */
struct socket_head {
  __u32 address; /* the peer's, v4 */
  __u32 own_address;
  __u32 hash;
  __u16 port; /* the peer's, network byte order */
  __u16 own_port;
  __u16 family;
  __u8 state;
  __u8 flags;
};

#define HEAD_OFFSET(field) __builtin_preserve_field_info(((struct sock *)0)->__sk_common.field, 0)

/* One read, where it does begin like that: settled when the program is loaded. */
static __always_inline void read_socket_head(struct socket_head *head, const struct sock *sk) {
  if (HEAD_OFFSET(skc_daddr) == 0 && HEAD_OFFSET(skc_dport) == 12 && HEAD_OFFSET(skc_num) == 14 &&
      HEAD_OFFSET(skc_family) == 16 && HEAD_OFFSET(skc_state) == 18) {
    if (bpf_probe_read_kernel(head, sizeof(*head), sk))
      __builtin_memset(head, 0, sizeof(*head));
    return;
  }
  head->address = BPF_CORE_READ(sk, __sk_common.skc_daddr);
  head->port = BPF_CORE_READ(sk, __sk_common.skc_dport);
  head->own_port = BPF_CORE_READ(sk, __sk_common.skc_num);
  head->family = BPF_CORE_READ(sk, __sk_common.skc_family);
  head->state = BPF_CORE_READ(sk, __sk_common.skc_state);
}

/* Its own port counts only while it listens: a connection that the peer has ended loses it. */
static __always_inline void look_at_inet(struct socket_view *view, const struct sock *sk,
                                         const struct socket_head *head) {
  __u64 words[2] = {head->address};
  __u16 port = view->is_listening ? head->own_port : head->port;
  if (view->family == AF_INET6)
    BPF_CORE_READ_INTO(&words, sk, __sk_common.skc_v6_daddr);
  view->has_peer = port != 0;
  view->check = hash_step(hash_step(words[0], words[1]), (__u32)view->family << 16 | port);
}

static __always_inline void look_at_socket(struct socket_view *view, const struct sock *sk) {
  struct socket_head head;
  read_socket_head(&head, sk);
  view->family = head.family;
  view->is_listening = head.state == TCP_LISTEN;
  view->has_peer = true;
  view->check = view->family;
  if (view->family == AF_INET || view->family == AF_INET6) {
    look_at_inet(view, sk, &head);
  } else if (view->family == AF_UNIX) {
    struct sock *peer = BPF_CORE_READ((struct unix_sock *)sk, peer);
    view->has_peer = peer || view->is_listening;
    view->check = hash_step((__u64)peer, BPF_CORE_READ(sk, sk_socket, file, f_inode, i_ino));
  }
  view->check = view->check << 1 | view->is_listening;
}

/* Who uses a TCP socket, for what happens to it in interrupts. */
struct socket_owner {
  __u64 check;
  __u64 object;
  __u32 tgid;
  __u32 pad;
};

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 16 * 1024);
  __type(key, __u64);
  __type(value, struct socket_owner);
} socket_owners __weak SEC(".maps");

static __always_inline void own_socket(struct sock *sk, __u64 check, __u64 object, __u32 tgid) {
  struct socket_owner owner = {.check = check, .object = object, .tgid = tgid};
  __u64 at = (__u64)sk;
  bpf_map_update_elem(&socket_owners, &at, &owner, 0);
}

#endif
