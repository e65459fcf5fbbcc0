/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The user's own probes: functions, timed from entry to return, and points, which are counted.
 * Loaded only when there are some. */
#include "probe.h"
#include "count.h"

char LICENSE[] SEC("license") = "GPL";

/* Returns that the kernel watches for in a thread at once: MAX_URETPROBE_DEPTH of uprobes.c. */
#define RETURNS_MAX 64

/* Linux 6.13, where one link has both ends of a call. */
extern bool bpf_session_is_return(void) __weak __ksym;

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} probe_walks SEC(".maps");

/* What a program is about: a thread of a target, at a probe. */
struct visit {
  struct task_struct *task;
  struct process_info *process;
  struct probe_thread *stack;
  struct operation_key key;
  __u64 now_ns;
  __u64 sp;
  __u64 floor;               /* of drop_below */
  struct probe_entry *found; /* of the searches below */
};

/* False: it is none of ours. */
static __always_inline bool begin_visit(struct visit *visit, __u32 probe, __u64 flags) {
  struct task_struct *task = bpf_get_current_task_btf();
  if (!bpf_task_storage_get(&threads, task, 0, 0))
    return false;
  visit->task = task;
  visit->key = (struct operation_key){
      .tgid = task->tgid, .tid = task->pid, .class = CLASS_PROBE, .name = probe};
  visit->process = bpf_map_lookup_elem(&processes, &visit->key.tgid);
  visit->stack = bpf_task_storage_get(&probe_threads, task, 0, flags);
  return visit->process != NULL && visit->stack != NULL;
}

static __always_inline struct probe_entry *entry_at(struct probe_thread *stack, __u32 index) {
  __u64 at = index;
  asm volatile("" : "+r"(at));
  if (at >= PROBE_ENTRIES_MAX)
    return NULL;
  asm volatile("" : "+r"(at)); /* the address is made from what was checked */
  return &stack->entries[at];
}

/* The one entered last, if `back` is 0; NULL: there are not so many. */
static __always_inline struct probe_entry *entry_back(struct probe_thread *stack, __u32 back) {
  __u32 count = stack->count;
  return back < count ? entry_at(stack, count - 1 - back) : NULL;
}

/* ---- counting ---- */

/* A call whose end was not seen: it was left by an exception or a longjmp, or lies so deep in
 * recursion that the kernel does not watch its return. There is no telling how long it took. */
static __noinline void count_unseen(struct operation_key *key, const struct probe_entry *entry) {
  if (!key || !entry)
    return;
  struct operation_key own = *key;
  own.name = entry->probe;
  struct operation_slot *slot = slot_of(&own);
  if (!slot) {
    COUNT(lost_operations);
    return;
  }
  slot->count++;
  if (!entry->is_unseen)
    slot->errors++;
}

static long drop_one(__u32 i, struct visit *visit) {
  struct probe_entry *entry = entry_back(visit->stack, 0);
  if (!entry || (entry->sp >= visit->floor && !entry->is_over))
    return 1;
  if (!entry->is_over)
    count_unseen(&visit->key, entry);
  visit->stack->count--;
  return 0;
}

/* Forgets the entries whose frames are gone: those below `sp`. */
static __always_inline void drop_below(struct visit *visit, __u64 sp) {
  visit->floor = sp;
  bpf_loop(PROBE_ENTRIES_MAX, drop_one, visit, 0);
}

/* ---- stacks ---- */

/* Another thread may run on this CPU before a program of this one is done: then there is none. */
__weak __noinline __u64 probe_stack(struct process_info *process,
                                    struct user_registers *registers) {
  __u32 zero = 0, kind = SCRATCH_PROBE;
  __u32 *is_busy = bpf_map_lookup_elem(&probe_walks, &zero);
  struct scratch *scratch = bpf_map_lookup_elem(&scratches, &kind);
  struct task_struct *task = bpf_get_current_task_btf();
  if (!process || !registers || !is_busy || !scratch || __sync_val_compare_and_swap(is_busy, 0, 1))
    return STACK_LOST;
  struct user_registers from = *registers;
  copy_registers(scratch->registers, (struct pt_regs *)bpf_task_pt_regs(task));
  scratch->stack.kernel_count = 0;
  __u64 stack = collect_stack(scratch, process, task, &from, task->tgid, NULL, SCRATCH_PROBE);
  *is_busy = 0;
  return stack;
}

/* ---- spans ---- */

/* A call within a call of the same function is not time on top of it. */
static __always_inline void count_span(struct operation_slot *slot, __u64 ns, bool is_inner) {
  if (!is_inner) {
    count_own(slot, ns);
    return;
  }
  __u32 bucket = bucket_of(ns);
  asm volatile("" : "+r"(bucket));
  slot->count++;
  if (bucket < OPERATION_BUCKETS)
    slot->buckets[bucket]++;
}

static __always_inline void end_span(struct visit *visit, const struct probe_entry *entry,
                                     __u64 bp) {
  __u64 ns = visit->now_ns - entry->start_ns;
  bool is_inner = entry->is_inner;
  struct operation_slot *slot = slot_of(&visit->key);
  if (!slot) {
    COUNT(lost_operations);
    return;
  }
  count_span(slot, ns, is_inner);
  bool is_slow = ns >= slow_operation_ns;
  __u32 weight = is_slow ? 1 : walk_weight(slot, visit->now_ns);
  if (!weight)
    return;
  /* as it was at the entry: the function is the innermost frame */
  struct user_registers registers = {.ip = entry->ip, .sp = entry->sp, .bp = bp};
  __u64 stack = probe_stack(visit->process, &registers);
  if (stack > STACK_NOT_TAKEN)
    count_at_stack(&visit->key, stack, weight, 0, is_inner ? 0 : ns * weight);
  if (is_slow)
    ship_slow(&visit->key, visit->key.tid, entry->start_ns, ns, 0, stack, 0);
}

/* The span of the same probe that the thread is in. */
static long find_outer(__u32 i, struct visit *visit) {
  struct probe_entry *entry = entry_back(visit->stack, i);
  if (!entry)
    return 1;
  if (entry->probe != visit->key.name || entry->is_over)
    return 0;
  visit->found = entry;
  return 1;
}

/* The span that ends. */
static long find_ending(__u32 i, struct visit *visit) {
  struct probe_entry *entry = entry_back(visit->stack, i);
  if (!entry || entry->sp != visit->sp)
    return 1;
  if (entry->probe != visit->key.name || entry->is_over)
    return 0;
  visit->found = entry;
  return 1;
}

/* The end of a call is at its own return address, or (a function that went on to another one by a
 * jump) at that of the call before. */
static __always_inline __u64 return_address_of(struct visit *visit) {
  __u64 address = 0;
  bpf_probe_read_user(&address, sizeof(address), (void *)visit->sp);
  drop_below(visit, visit->sp);
  struct probe_entry *last = entry_back(visit->stack, 0);
  if (!last || last->sp != visit->sp)
    return address;
  if (address == trampoline_of(visit->task))
    return last->return_address;
  drop_below(visit, visit->sp + 1);
  return address;
}

static __always_inline int enter_span(struct pt_regs *ctx, __u32 probe) {
  struct visit visit = {};
  if (!begin_visit(&visit, probe, BPF_LOCAL_STORAGE_GET_F_CREATE))
    return 1;
  visit.sp = PT_REGS_SP(ctx);
  struct probe_entry begun = {.sp = visit.sp, .ip = PT_REGS_IP(ctx), .probe = probe};
  begun.return_address = return_address_of(&visit);
  bpf_loop(PROBE_ENTRIES_MAX, find_outer, &visit, 0);
  begun.is_inner = visit.found != NULL;
  begun.is_unseen = visit.stack->count >= RETURNS_MAX;
  struct probe_entry *entry = entry_at(visit.stack, visit.stack->count);
  if (!entry) {
    begun.is_unseen = 1;
    count_unseen(&visit.key, &begun);
    return 1;
  }
  *entry = begun;
  visit.stack->count++;
  entry->start_ns = bpf_ktime_get_ns();
  return 0;
}

/* `sp` is where the return address lies, or lay. */
static __always_inline int leave_span(struct pt_regs *ctx, __u32 probe, __u64 sp) {
  struct visit visit = {.now_ns = bpf_ktime_get_ns(), .sp = sp};
  if (!begin_visit(&visit, probe, 0))
    return 0;
  drop_below(&visit, visit.sp);
  bpf_loop(PROBE_ENTRIES_MAX, find_ending, &visit, 0);
  if (!visit.found)
    return 0;
  end_span(&visit, visit.found, PT_REGS_FP(ctx));
  visit.found->is_over = 1;
  drop_below(&visit, visit.sp);
  return 0;
}

SEC("uprobe")
int on_span(struct pt_regs *ctx) {
  __u32 probe = bpf_get_attach_cookie(ctx);
  return bpf_session_is_return() ? leave_span(ctx, probe, PT_REGS_SP(ctx) - sizeof(__u64))
                                 : enter_span(ctx, probe);
}

SEC("uprobe")
int on_span_enter(struct pt_regs *ctx) {
  enter_span(ctx, bpf_get_attach_cookie(ctx));
  return 0;
}

SEC("uretprobe")
int on_span_return(struct pt_regs *ctx) {
  return leave_span(ctx, bpf_get_attach_cookie(ctx), PT_REGS_SP(ctx) - sizeof(__u64));
}

/* At an instruction that leaves the function: the return address is on top of the stack still. */
SEC("uprobe")
int on_span_exit(struct pt_regs *ctx) {
  return leave_span(ctx, bpf_get_attach_cookie(ctx), PT_REGS_SP(ctx));
}

/* ---- points ---- */

SEC("uprobe")
int on_point(struct pt_regs *ctx) {
  struct visit visit = {.now_ns = bpf_ktime_get_ns()};
  if (!begin_visit(&visit, bpf_get_attach_cookie(ctx), BPF_LOCAL_STORAGE_GET_F_CREATE))
    return 0;
  struct operation_slot *slot = slot_of(&visit.key);
  if (!slot) {
    COUNT(lost_operations);
    return 0;
  }
  count_own(slot, 0);
  __u32 weight = walk_weight(slot, visit.now_ns);
  if (!weight)
    return 0;
  struct user_registers registers = user_registers_of(ctx);
  __u64 stack = probe_stack(visit.process, &registers);
  if (stack > STACK_NOT_TAKEN)
    count_at_stack(&visit.key, stack, weight, 0, 0);
  return 0;
}
