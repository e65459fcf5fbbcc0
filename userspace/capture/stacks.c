/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the way from raw stacks to trace nodes. */
#include "capture/stacks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/error.h"
#include "base/hash.h"
#include "capture/code.h"
#include "capture/resume.h"

#define MARK_LOST "[incomplete: the stack was lost]"
#define NAME_STARTING "[thread starting]"
#define NAME_OWN "[ragprof's own probes]"
#define NAME_EMPTY                                                                                 \
  "[exec or exit]" /* the user side is gone, and kernel frames are not taken at switches */
#define MARK_PYTHON "[incomplete: Python frames missing]"
#define ENTRY_BYTES 64 /* of _start, in executables and in the dynamic linker */

/* Why a stack does not reach the thread's first frame, by enum walk_end. */
static const char *const end_marks[] = {
    [WALK_NONE] = "[incomplete: no user registers]",
    [WALK_NO_MAPPING] = "[incomplete: code outside every mapped file]",
    [WALK_BAD_READ] = "[incomplete: the stack could not be read]",
    [WALK_TOO_DEEP] = "[incomplete: deeper than the limit]",
    [WALK_NO_RULE] = "[incomplete: no unwind information]",
};

/* Work on one stack. */
struct merge {
  struct stack_store *store;
  struct process *process;
  const struct event_stack *event;
  const __u64 *python;
  __u64 native[NATIVE_FRAMES_MAX]; /* with those that a resumed walk added */
  size_t native_count;
  enum walk_end native_end;
  uint32_t frames[STACK_FRAMES_MAX + NATIVE_FRAMES_MAX]; /* trace ids, from the leaf */
  size_t count;
};

struct stack_store {
  const struct own_code *own_code; /* NULL: not known */
  struct process_store *processes;
  struct trace_writer *writer;
  struct code_store *codes;
  struct resume_store *raws;
  struct hash nodes;  /* stack id → node */
  struct hash native; /* hash of module and address → index + 1 in unnamed */
  struct unnamed_frame *unnamed;
  size_t unnamed_count;
  size_t unnamed_capacity;
  struct stack_statistics statistics;
  struct merge merge;
};

int stack_store_new(struct stack_store **out, struct process_store *processes,
                    const struct table_store *tables, struct trace_writer *writer) {
  struct stack_store *store = calloc(1, sizeof(*store));
  if (!store)
    return error_set(ENOMEM, "out of memory");
  int result = code_store_new(&store->codes, writer);
  if (!result)
    result = resume_store_new(&store->raws, tables);
  if (result) {
    stack_store_free(store);
    return result;
  }
  store->processes = processes;
  store->writer = writer;
  *out = store;
  return 0;
}

void stack_store_tell_own(struct stack_store *store, const struct own_code *own_code) {
  store->own_code = own_code;
}

void stack_store_free(struct stack_store *store) {
  if (!store)
    return;
  code_store_free(store->codes);
  resume_store_free(store->raws);
  hash_fini(&store->nodes);
  hash_fini(&store->native);
  free(store->unnamed);
  free(store);
}

void stack_store_code(struct stack_store *store, const struct event_code *event, size_t bytes) {
  code_store_add(store->codes, event, bytes);
}

void stack_store_raw(struct stack_store *store, const struct event_raw *event, size_t bytes) {
  resume_store_add(store->raws, event, bytes);
}

size_t stack_store_unnamed(const struct stack_store *store, const struct unnamed_frame **frames) {
  *frames = store->unnamed;
  return store->unnamed_count;
}

struct stack_statistics stack_store_statistics(const struct stack_store *store) {
  return store->statistics;
}

/* ---- frames ---- */

static bool add_unnamed(struct stack_store *store, const struct unnamed_frame *frame) {
  if (store->unnamed_count == store->unnamed_capacity) {
    size_t capacity = store->unnamed_capacity ? store->unnamed_capacity * 2 : 1024;
    struct unnamed_frame *grown = realloc(store->unnamed, capacity * sizeof(*grown));
    if (!grown)
      return false;
    store->unnamed = grown;
    store->unnamed_capacity = capacity;
  }
  store->unnamed[store->unnamed_count++] = *frame;
  return true;
}

/* The trace frame of code that is named at the end; the same one for the same address. Kernel
 * addresses are numbered instead of stored: where the kernel lies is nobody's business. */
static uint32_t unnamed_frame(struct stack_store *store, struct unnamed_frame frame,
                              uint32_t trace_module) {
  uint64_t key = hash_mix(hash_mix(trace_module, frame.kind), frame.address);
  for (uint32_t *at; (at = hash_get(&store->native, key)); key++) {
    const struct unnamed_frame *known = &store->unnamed[*at - 1];
    if (known->kind == frame.kind && known->address == frame.address &&
        known->module == frame.module && known->pid == frame.pid)
      return known->frame;
  }
  bool is_kernel = frame.kind == FRAME_KERNEL;
  frame.frame = trace_put_frame(
      store->writer,
      &(struct trace_frame){.kind = frame.kind,
                            .module = trace_module,
                            .address = is_kernel ? store->unnamed_count + 1 : frame.address});
  if (add_unnamed(store, &frame))
    hash_put(&store->native, key, (uint32_t)store->unnamed_count);
  return frame.frame;
}

static uint32_t kernel_frame(struct stack_store *store, uint64_t address) {
  return unnamed_frame(store, (struct unnamed_frame){.kind = FRAME_KERNEL, .address = address}, 0);
}

static uint32_t jit_frame(struct stack_store *store, struct process *process, uint64_t address) {
  if (!process->jit_module) {
    char path[64];
    snprintf(path, sizeof(path), "[compiled at run time, PID %u]", process->pid);
    process->jit_module = trace_put_module(store->writer, &(struct trace_module){.path = path});
  }
  return unnamed_frame(
      store, (struct unnamed_frame){.kind = FRAME_JIT, .address = address, .pid = process->pid},
      process->jit_module);
}

static uint32_t native_frame(struct stack_store *store, struct process *process, uint64_t pc) {
  const struct mapping *mapping = process_find_mapping(process, pc);
  struct module *module = mapping ? mapping->module : NULL;
  if (!module)
    return jit_frame(store, process, pc);
  uint64_t begin = mapping->vaddr == UINT64_MAX ? mapping->offset : mapping->vaddr;
  uint64_t address = begin + (pc - mapping->start);
  return unnamed_frame(
      store, (struct unnamed_frame){.kind = FRAME_NATIVE, .module = module, .address = address},
      module->trace_id);
}

static uint32_t mark_frame(struct stack_store *store, const char *text) {
  return trace_put_frame(
      store->writer,
      &(struct trace_frame){.kind = FRAME_MARK,
                            .function = trace_put_string(store->writer, text, strlen(text))});
}

/* A stack that has one frame, which only says what the thread was about. */
static uint32_t plain_frame(struct stack_store *store, const char *name) {
  return trace_put_frame(
      store->writer,
      &(struct trace_frame){.kind = FRAME_KERNEL,
                            .function = trace_put_string(store->writer, name, strlen(name))});
}

/* ---- merging ----
 *
 * A call of _PyEval_EvalFrameDefault runs one Python function (to 3.10) or a chain of them (3.11
 * and later), which ends with a frame that is marked as its entry. So, from the leaf, each native
 * frame in that function stands for the Python frames up to the next entry. Where the numbers do
 * not match, the outermost ones are matched first: a loop that was just entered has no frame yet. A
 * chain without an entry was cut off (a generator that is being switched to), and a walk may end
 * early (at the limit of depth): then the frames are the innermost loops', and the stack is marked.
 */

static bool is_eval(const struct process *process, uint64_t pc) {
  if (!process->python)
    return false;
  const struct cpython_binary *binary = &process->python_binary;
  uint64_t vaddr = pc - process->python_bias;
  return vaddr - binary->eval_vaddr < binary->eval_bytes ||
         vaddr - binary->eval_cold_vaddr < binary->eval_cold_bytes;
}

static void push(struct merge *merge, uint32_t frame) {
  if (frame && merge->count < STACK_FRAMES_MAX + NATIVE_FRAMES_MAX)
    merge->frames[merge->count++] = frame;
}

static void push_python(struct merge *merge, uint64_t word) {
  push(merge,
       code_store_frame(merge->store->codes, PYTHON_FRAME_CODE(word), PYTHON_FRAME_ADDRESS(word)));
}

/* Pushes the Python frames of one entry. Returns how many. */
static size_t push_group(struct merge *merge, size_t at) {
  size_t first = at;
  while (at < merge->event->python_count) {
    uint64_t word = merge->python[at++];
    push_python(merge, word);
    if (PYTHON_FRAME_ENTRY(word))
      break;
  }
  return at - first;
}

static size_t count_evals(const struct merge *merge) {
  size_t count = 0;
  for (size_t i = 0; i < merge->native_count; i++)
    count += is_eval(merge->process, merge->native[i]);
  return count;
}

static size_t count_groups(const struct merge *merge, bool *is_open) {
  size_t count = 0;
  *is_open = false;
  for (size_t i = 0; i < merge->event->python_count; i++) {
    *is_open = !PYTHON_FRAME_ENTRY(merge->python[i]);
    count += !*is_open;
  }
  return count + *is_open;
}

/* Puts the groups where the interpreter's loop stands. `bare` loops from the leaf have none yet. */
static void place_groups(struct merge *merge, size_t bare) {
  size_t at = 0;
  for (size_t i = 0; i < merge->native_count; i++) {
    uint64_t pc = merge->native[i];
    bool takes = at < merge->event->python_count && is_eval(merge->process, pc);
    if (takes && !bare)
      at += push_group(merge, at);
    else
      push(merge, native_frame(merge->store, merge->process, pc));
    bare -= takes && bare;
  }
  while (at < merge->event->python_count)
    at += push_group(merge, at);
}

static bool is_entry_point(const struct merge *merge) {
  if (!merge->native_count)
    return false;
  uint64_t pc = merge->native[merge->native_count - 1];
  const struct mapping *mapping = process_find_mapping(merge->process, pc);
  if (!mapping || !mapping->module || !mapping->module->entry_vaddr)
    return false;
  return mapping->vaddr + (pc - mapping->start) - mapping->module->entry_vaddr < ENTRY_BYTES;
}

static void merge_user(struct merge *merge) {
  bool is_open;
  size_t evals = count_evals(merge), groups = count_groups(merge, &is_open);
  bool complete = merge->native_end == WALK_ROOT || is_entry_point(merge);
  bool ended_early = merge->event->python_end != WALK_ROOT && merge->event->python_end != WALK_NONE;
  bool cut_off = complete && (ended_early || (is_open && groups < evals));
  if (complete && evals != groups)
    merge->store->statistics.misplaced++;
  place_groups(merge, complete && !is_open && !ended_early && evals > groups ? evals - groups : 0);
  if (cut_off)
    push(merge, mark_frame(merge->store, MARK_PYTHON));
  else if (!complete)
    push(merge, mark_frame(merge->store, end_marks[merge->native_end]));
}

/* What a sample hit within one of our own programs is one frame: it is not the target's work. */
static void merge_kernel(struct merge *merge) {
  const struct event_stack *event = merge->event;
  const struct own_code *own = merge->store->own_code;
  size_t own_count = event->kernel_count;
  while (own_count && !(own && own_code_has(own, event->frames[own_count - 1])))
    own_count--;
  if (own_count)
    push(merge, plain_frame(merge->store, NAME_OWN));
  for (size_t i = own_count; i < event->kernel_count; i++)
    push(merge, kernel_frame(merge->store, event->frames[i]));
}

static void merge_all(struct merge *merge) {
  merge_kernel(merge);
  merge_user(merge);
  if (!merge->count)
    push(merge, plain_frame(merge->store, NAME_EMPTY));
}

/* Whether an address is outside the known mappings: then they have changed. */
static bool has_unmapped(const struct merge *merge) {
  for (size_t i = 0; i < merge->native_count; i++)
    if (!process_find_mapping(merge->process, merge->native[i]))
      return true;
  return false;
}

/* Reads the mappings again where a frame lies outside of them, and goes on with a walk that had to
 * stop for that. */
static void complete_native(struct merge *merge) {
  struct stack_store *store = merge->store;
  if (merge->process->is_image)
    return;
  if (merge->event->raw)
    process_store_expect(merge->process);
  if (merge->event->raw ||
      has_unmapped(merge)) /* callers may be in mappings that are newer still */
    process_store_refresh(store->processes, merge->process);
  if (!merge->event->raw)
    return;
  merge->native_count += resume_walk(store->raws, merge->event->raw, merge->process,
                                     merge->native + merge->native_count,
                                     NATIVE_FRAMES_MAX - merge->native_count, &merge->native_end);
}

/* Whether the event is as long as its counts say, and they are in range. */
static bool is_sound(const struct event_stack *event, size_t bytes) {
  if (bytes < offsetof(struct event_stack, frames))
    return false;
  size_t count = (size_t)event->kernel_count + event->native_count + event->python_count;
  return count <= STACK_FRAMES_MAX && event->native_count <= NATIVE_FRAMES_MAX &&
         event->native_end <= WALK_NO_RULE &&
         bytes >= offsetof(struct event_stack, frames) + count * sizeof(event->frames[0]);
}

void stack_store_stack(struct stack_store *store, const struct event_stack *event, size_t bytes) {
  if (bytes < offsetof(struct event_stack, frames))
    return;
  struct process *process = process_store_get(store->processes, event->tgid);
  if (process)
    stack_store_stack_of(store, process, event, bytes);
}

void stack_store_stack_of(struct stack_store *store, struct process *process,
                          const struct event_stack *event, size_t bytes) {
  if (!is_sound(event, bytes) || hash_get(&store->nodes, event->id))
    return;
  struct merge *merge = &store->merge;
  const __u64 *native = event->frames + event->kernel_count;
  merge->store = store;
  merge->process = process;
  merge->event = event;
  merge->python = native + event->native_count;
  merge->native_count = event->native_count;
  merge->native_end = event->native_end;
  merge->count = 0;
  memcpy(merge->native, native, event->native_count * sizeof(*native));
  complete_native(merge);
  merge_all(merge);
  uint32_t node = 0;
  for (size_t i = merge->count; i-- > 0;)
    node = trace_put_node(store->writer,
                          (struct trace_node){.parent = node, .frame = merge->frames[i]});
  store->statistics.stacks++;
  store->statistics.python_stacks += event->python_count > 0;
  hash_put(&store->nodes, event->id, node);
}

static uint32_t single_node(struct stack_store *store, uint32_t frame) {
  return trace_put_node(store->writer, (struct trace_node){.frame = frame});
}

uint32_t stack_store_node(struct stack_store *store, uint64_t stack_id) {
  if (stack_id == STACK_STARTING)
    return single_node(store, plain_frame(store, NAME_STARTING));
  uint32_t *node = stack_id != STACK_LOST ? hash_get(&store->nodes, stack_id) : NULL;
  return node ? *node : single_node(store, mark_frame(store, MARK_LOST));
}
