/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Page faults: by what was mapped there, and by stack. Major ones each, minor ones by samples. */
#include "fault.h"
#include "object.h"

char LICENSE[] SEC("license") = "GPL";

/* What is mapped without a file that has a name. */
enum memory_kind { MEMORY_UNKNOWN, MEMORY_ANONYMOUS, MEMORY_HEAP, MEMORY_STACK, MEMORY_SHARED };

#define MEMORY_NAME_MAX 16

static const char memory_names[][MEMORY_NAME_MAX] = {
    [MEMORY_UNKNOWN] = "[unknown]", [MEMORY_ANONYMOUS] = "[anonymous]", [MEMORY_HEAP] = "[heap]",
    [MEMORY_STACK] = "[stack]",     [MEMORY_SHARED] = "[shared]",
};

/* What lies at an address. */
struct place {
  struct file *file; /* NULL: `kind` says what it is */
  __u64 sp;
  __u32 kind; /* enum memory_kind */
};

/* Shared memory and memory files have a file without a place in any folder. */
static __always_inline bool has_place(struct file *file) {
  struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
  return dentry != BPF_CORE_READ(dentry, d_parent);
}

static long look_at_mapping(struct task_struct *task, struct vm_area_struct *vma,
                            struct place *place) {
  struct mm_struct *mm = BPF_CORE_READ(vma, vm_mm);
  struct file *file = BPF_CORE_READ(vma, vm_file);
  __u64 start = BPF_CORE_READ(vma, vm_start), end = BPF_CORE_READ(vma, vm_end);
  if (file && has_place(file))
    place->file = file;
  else if (file)
    place->kind = MEMORY_SHARED;
  else if (start <= place->sp && place->sp < end)
    place->kind = MEMORY_STACK;
  else if (start <= BPF_CORE_READ(mm, brk) && end >= BPF_CORE_READ(mm, start_brk))
    place->kind = MEMORY_HEAP;
  else
    place->kind = MEMORY_ANONYMOUS;
  return 0;
}

/* The id of what is no file, known by name to user space from now on; 0: it could not be sent. */
static __noinline __u64 object_of_memory(__u32 kind, __u32 tgid) {
  __u64 id = hash_step(hash_step(0, kind), KIND_MEMORY);
  __u32 known = KIND_MEMORY;
  if (bpf_map_lookup_elem(&known_objects, &id))
    return id;
  struct event_object *event = new_object(id, tgid, KIND_MEMORY);
  if (!event || kind > MEMORY_SHARED)
    return 0;
  __builtin_memcpy(event->data, memory_names[kind], MEMORY_NAME_MAX);
  if (!send_object(event, MEMORY_NAME_MAX))
    return 0;
  bpf_map_update_elem(&known_objects, &id, &known, 0);
  return id;
}

/* What the address belongs to. The kernel may be unable to say, since someone waits to change the
 * mappings: then that is what is counted. */
static __always_inline __u64 object_at(struct task_struct *task, __u64 address, __u64 sp) {
  struct place place = {.sp = sp, .kind = MEMORY_UNKNOWN};
  bpf_find_vma(task, address, look_at_mapping, &place, 0);
  return place.file ? object_of_file(place.file, task->tgid)
                    : object_of_memory(place.kind, task->tgid);
}

/* The user's side of the current stack. In the fault's own context with preemption off; but a probe
 * in another thread may have been preempted here, hence a scratch of its own. */
static __always_inline __u64 stack_of_fault(struct task_struct *task,
                                            struct process_info *process) {
  __u32 kind = SCRATCH_FAULT;
  struct scratch *scratch = bpf_map_lookup_elem(&scratches, &kind);
  struct pt_regs *user = (struct pt_regs *)bpf_task_pt_regs(task);
  if (!scratch)
    return STACK_LOST;
  struct user_registers registers = user_registers_of(user);
  copy_registers(scratch->registers, user);
  scratch->stack.kernel_count = 0;
  return collect_stack(scratch, process, task, &registers, task->tgid, NULL, kind);
}

/* Counts `count` faults as this one. */
static __always_inline void count_fault(struct bpf_perf_event_data *ctx,
                                        struct thread_state *thread, __u32 name, __u64 count,
                                        __u64 ns) {
  struct task_struct *task = bpf_get_current_task_btf();
  struct operation_key key = {.tgid = task->tgid, .class = CLASS_FAULT, .name = name};
  struct process_info *process = bpf_map_lookup_elem(&processes, &key.tgid);
  if (!process)
    return;
  struct pt_regs *user = (struct pt_regs *)bpf_task_pt_regs(task);
  struct user_registers registers = user_registers_of(user);
  key.object = object_at(task, ctx->addr, registers.sp);
  count_faults(&key, count, ns);
  __u64 stack = stack_of_fault(task, process);
  if (name == OPERATION_NAME_MINOR) {
    thread->fault_object = key.object;
    thread->fault_stack = stack;
  }
  count_faults_at(&key, stack, count, ns);
}

/* ---- which minor ones are looked at ----
 *
 * The event comes once for several faults (its period). Of what comes, about LOOKS_PER_WINDOW are
 * looked at in each window of time and thread, at random; each stands for all since the last. */
#define WINDOW_SHIFT 28 /* of nanoseconds: 268 ms */
#define LOOKS_PER_WINDOW 24

/* How many faults this one stands for; 0: it is not looked at. */
static __always_inline __u64 look_weight(struct thread_state *thread, __u64 period) {
  __u32 window = bpf_ktime_get_ns() >> WINDOW_SHIFT;
  if (thread->fault_window != window) {
    thread->last_faults = thread->fault_window + 1 == window ? thread->window_faults : 0;
    thread->window_faults = 0;
    thread->fault_window = window;
  }
  __u64 seen = ++thread->window_faults;
  __u64 expected = seen > thread->last_faults ? seen : thread->last_faults;
  thread->faults_since += period;
  if (expected > LOOKS_PER_WINDOW &&
      (__u64)bpf_get_prandom_u32() * expected >> 32 >= LOOKS_PER_WINDOW)
    return 0;
  __u64 weight = thread->faults_since;
  thread->faults_since = 0;
  return weight;
}

SEC("perf_event")
int on_minor_fault(struct bpf_perf_event_data *ctx) {
  struct thread_state *thread = bpf_task_storage_get(&threads, bpf_get_current_task_btf(), 0, 0);
  __u64 weight = thread ? look_weight(thread, ctx->sample_period) : 0;
  if (weight)
    count_fault(ctx, thread, OPERATION_NAME_MINOR, weight, 0);
  return 0;
}

/* Its time is what the thread waited for in faults since the last major one: those that are minor
 * seldom wait. */
SEC("perf_event")
int on_major_fault(struct bpf_perf_event_data *ctx) {
  struct thread_state *thread = bpf_task_storage_get(&threads, bpf_get_current_task_btf(), 0, 0);
  if (!thread)
    return 0;
  __u64 waited_ns = thread->fault_wait_ns;
  thread->fault_wait_ns = 0;
  count_fault(ctx, thread, OPERATION_NAME_MAJOR, 1, waited_ns);
  return 0;
}
