/* SPDX-License-Identifier: GPL-2.0-or-later */
/* On-CPU samples: what every profiled thread runs when the sampling event fires. */
#include "kernel.h"
#include "stack.h"

char LICENSE[] SEC("license") = "GPL";

/* Kernel frames, when the kernel was interrupted. */
static __always_inline void walk_kernel(struct bpf_perf_event_data *ctx,
                                        struct event_stack *stack) {
  long bytes = bpf_get_stack(ctx, stack->frames, KERNEL_FRAMES_MAX * 8, 0);
  if (bytes > 0)
    stack->kernel_count = bytes / 8;
}

SEC("perf_event")
int on_sample(struct bpf_perf_event_data *ctx) {
  __u64 id = bpf_get_current_pid_tgid();
  __u32 tgid = id >> 32, kind = SCRATCH_SAMPLE;
  struct process_info *process = bpf_map_lookup_elem(&processes, &tgid);
  struct scratch *scratch = bpf_map_lookup_elem(&scratches, &kind);
  if (!process || !scratch || process->awaits_exec)
    return 0;
  COUNT(samples);
  struct task_struct *task = bpf_get_current_task_btf();
  struct pt_regs *user = (struct pt_regs *)bpf_task_pt_regs(task);
  scratch->stack.kernel_count = 0;
  struct user_registers registers = user_registers_of(user);
  copy_registers(scratch->registers, user);
  if (is_kernel_address(PT_REGS_IP(&ctx->regs)))
    walk_kernel(ctx, &scratch->stack);
  struct event_sample event = {.type = EVENT_SAMPLE, .tgid = tgid, .tid = (__u32)id};
  event.time_ns = bpf_ktime_get_ns();
  event.stack = collect_stack(scratch, process, task, &registers, tgid, NULL, kind);
  if (bpf_ringbuf_output(&events, &event, sizeof(event), BPF_RB_NO_WAKEUP))
    COUNT(lost_samples);
  return 0;
}
