/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TCP connections that a thread asked for: from connect() to the peer's answer, whichever of the
 * two, the call or the handshake, is over first. */
#ifndef RAGPROF_BPF_CONNECT_H
#define RAGPROF_BPF_CONNECT_H

#include "count.h"
#include "peer.h"

#define ERROR_ABORTED 103 /* ECONNABORTED: closed before there was an answer */

struct handshake {
  __u64 start_ns;
  __u64 object;
  __u64 ns; /* how long it took; 0: it is not over */
  __u64 stack;
  __u32 tgid;
  __u32 tid;
  __u32 weight;      /* how many this stack stands for; 0: it was not walked */
  __u32 is_returned; /* from connect() */
};

/* By struct sock; an entry lives shorter than that. */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 4096);
  __type(key, __u64);
  __type(value, struct handshake);
} handshakes __weak SEC(".maps");

static __always_inline void count_handshake_stack(const struct operation_key *key,
                                                  const struct handshake *handshake, __u64 ns) {
  if (handshake->weight && handshake->stack > STACK_NOT_TAKEN)
    count_at_stack(key, handshake->stack, handshake->weight, 0, ns * handshake->weight);
}

static __always_inline struct operation_key connect_key(__u64 object, __u32 tgid) {
  return (struct operation_key){
      .object = object, .tgid = tgid, .class = CLASS_SOCKET, .name = OPERATION_NAME_CONNECT};
}

/* In the thread that connects: the first packet is about to go out. */
static __always_inline void begin_handshake(struct sock *sk, struct task_struct *task,
                                            struct thread_state *thread) {
  __u64 at = (__u64)sk;
  struct peer *peer = new_peer(sk);
  if (!peer || !put_inet(peer, sk, BPF_CORE_READ(sk, __sk_common.skc_family), false, false))
    return;
  struct handshake handshake = {
      .start_ns = thread->syscall_ns ? thread->syscall_ns : bpf_ktime_get_ns(),
      .object = publish_peer(peer),
      .tgid = task->tgid,
      .tid = task->pid,
  };
  struct socket_view view;
  look_at_socket(&view, sk);
  own_socket(sk, view.check, handshake.object, handshake.tgid);
  bpf_map_update_elem(&handshakes, &at, &handshake, 0);
  thread->connecting = at;
}

/* Whether the handshake ends because the connect() fails that began it: its result says why. */
static __always_inline bool fails_in_call(struct sock *sk, struct task_struct *task) {
  __u64 at = (__u64)sk;
  struct thread_state *thread = bpf_task_storage_get(&threads, task, 0, 0);
  if (!thread || thread->connecting != at)
    return false;
  thread->connecting = 0;
  bpf_map_delete_elem(&handshakes, &at);
  return true;
}

/* Where the answer is met: mostly in an interrupt. */
static __always_inline void end_handshake(struct sock *sk, __u32 error) {
  __u64 at = (__u64)sk, now_ns = bpf_ktime_get_ns();
  struct handshake *handshake = bpf_map_lookup_elem(&handshakes, &at);
  if (!handshake || handshake->ns)
    return;
  __u64 ns = now_ns - handshake->start_ns;
  struct operation_key key = connect_key(handshake->object, handshake->tgid);
  struct operation_slot *slot = slot_of(&key);
  if (slot) {
    count_shared(slot, 1, 0, ns);
    if (error)
      count_error(slot, error);
  } else {
    COUNT(lost_operations);
  }
  handshake->ns = ns;
  if (!handshake->is_returned)
    return;
  count_handshake_stack(&key, handshake, ns);
  if (ns >= slow_operation_ns) /* one that the call itself was too short to tell of */
    ship_slow(&key, handshake->tid, handshake->start_ns, ns, -(__s64)error, handshake->stack,
              handshake->object);
  bpf_map_delete_elem(&handshakes, &at);
}

/* connect() began a handshake, and returns. The peer's id. */
static __always_inline __u64 leave_handshake(__u64 at, __u64 stack, __u32 weight) {
  struct handshake *handshake = bpf_map_lookup_elem(&handshakes, &at);
  if (!handshake)
    return 0;
  __u64 object = handshake->object;
  handshake->stack = stack;
  handshake->weight = weight;
  barrier();
  handshake->is_returned = 1;
  if (!handshake->ns)
    return object;
  struct operation_key key = connect_key(object, handshake->tgid);
  count_handshake_stack(&key, handshake, handshake->ns);
  bpf_map_delete_elem(&handshakes, &at);
  return object;
}

#endif
