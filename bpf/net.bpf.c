/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What happens to TCP connections outside of system calls: handshakes, and packets sent again. */
#include "connect.h"

char LICENSE[] SEC("license") = "GPL";

/* From the kernel's own threads and of sockets that nobody asked about there is nothing to count.
 */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_socket_state, struct sock *sk, int from, int to) {
  struct task_struct *task = bpf_get_current_task_btf();
  if (to == TCP_SYN_SENT) {
    struct thread_state *thread = bpf_task_storage_get(&threads, task, 0, 0);
    if (thread)
      begin_handshake(sk, task, thread);
    return 0;
  }
  if (to == TCP_ESTABLISHED) {
    end_handshake(sk, 0);
  } else if (from == TCP_SYN_SENT && to == TCP_CLOSE) {
    __u32 error = BPF_CORE_READ(sk, sk_err);
    if (error || !fails_in_call(sk, task))
      end_handshake(sk, error ? error : ERROR_ABORTED);
  }
  return 0;
}

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(on_retransmit, const struct sock *sk, const struct sk_buff *packet) {
  __u64 at = (__u64)sk;
  struct socket_owner *owner = bpf_map_lookup_elem(&socket_owners, &at);
  struct socket_view view;
  if (!owner)
    return 0;
  look_at_socket(&view, sk);
  if (view.check != owner->check)
    return 0;
  struct operation_key key = {.object = owner->object,
                              .tgid = owner->tgid,
                              .class = CLASS_SOCKET,
                              .name = OPERATION_NAME_RETRANSMIT};
  struct operation_slot *slot = slot_of(&key);
  if (slot)
    count_shared(slot, 1, BPF_CORE_READ(packet, len), 0);
  else
    COUNT(lost_operations);
  return 0;
}
