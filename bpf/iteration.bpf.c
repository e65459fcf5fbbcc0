/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Iterations that a probe in the target's code marks: a uprobe, or a USDT point. Loaded only when
 * one is asked for. */
#include "kernel.h"
#include "maps.h"

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, PROCESSES_MAX);
  __type(key, __u32);
  __type(value, __u64);
  __uint(map_flags, BPF_F_NO_PREALLOC);
} iterations SEC(".maps");

SEC("uprobe")
int on_iteration(struct pt_regs *ctx) {
  __u32 tgid = bpf_get_current_pid_tgid() >> 32;
  __u64 none = 0;
  if (!bpf_map_lookup_elem(&processes, &tgid))
    return 0;
  bpf_map_update_elem(&iterations, &tgid, &none, BPF_NOEXIST);
  __u64 *count = bpf_map_lookup_elem(&iterations, &tgid);
  if (count)
    __sync_fetch_and_add(count, 1);
  return 0;
}
