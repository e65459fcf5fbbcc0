/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Builds the merged calling-context tree. Nodes of one parent are merged by function; waits and
 * operations stand at leaves below the function that waited or called. What memory a stack took is
 * heap.c's to say, and whether it leaks leak.c's. */
#include "analysis/calltree.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/heap.h"
#include "analysis/leak.h"
#include "base/hash.h"

/* One sum per profile node and note. */
struct bin {
  uint64_t value;
  uint64_t count;
  uint32_t node; /* PROFILE_NONE: no stack is known */
  uint32_t note; /* PROFILE_NONE: on the CPU, in memory */
};

struct builder {
  const struct profile *profile;
  struct calltree_filter filter;
  struct bin *bins;
  uint32_t bin_count;
  uint32_t bin_capacity;
  uint32_t note_capacity;
  struct hash bin_ids;   /* node and note → bin */
  struct hash note_ids;  /* what it says → note */
  struct hash child_ids; /* merged parent and function or note → merged node */
  uint32_t *merged;      /* profile node → merged node; PROFILE_NONE: holds nothing */
  struct calltree *tree;
  uint32_t capacity;
};

static void *grown(void *array, uint32_t *capacity, size_t item_bytes) {
  if (*capacity > UINT32_MAX / 2)
    return NULL;
  uint32_t bigger = *capacity ? *capacity * 2 : 1024;
  void *result = reallocarray(array, bigger, item_bytes);
  if (result)
    *capacity = bigger;
  return result;
}

static int add_to_bin(struct builder *builder, uint32_t node, uint32_t note, uint64_t value,
                      uint64_t count) {
  uint64_t key = (uint64_t)node << 32 | note;
  uint32_t *known = hash_get(&builder->bin_ids, key);
  if (known) {
    builder->bins[*known].value += value;
    builder->bins[*known].count += count;
    return 0;
  }
  if (builder->bin_count == builder->bin_capacity) {
    struct bin *bins = grown(builder->bins, &builder->bin_capacity, sizeof(*bins));
    if (!bins)
      return -ENOMEM;
    builder->bins = bins;
  }
  builder->bins[builder->bin_count] =
      (struct bin){.value = value, .count = count, .node = node, .note = note};
  return hash_put(&builder->bin_ids, key, builder->bin_count++);
}

/* The note that is known by `key`, made from `model` when it is new. */
static int note_of(struct builder *builder, uint64_t key, const struct calltree_note *model,
                   uint32_t *note) {
  struct calltree *tree = builder->tree;
  uint32_t *known = hash_get(&builder->note_ids, key);
  if (known) {
    *note = *known;
    return 0;
  }
  if (tree->note_count == builder->note_capacity) {
    struct calltree_note *notes = grown(tree->notes, &builder->note_capacity, sizeof(*notes));
    if (!notes)
      return -ENOMEM;
    tree->notes = notes;
  }
  *note = tree->note_count++;
  tree->notes[*note] = *model;
  return hash_put(&builder->note_ids, key, *note);
}

/* ---- time ---- */

static int add_samples(struct builder *builder, enum calltree_kind kind) {
  (void)kind;
  const struct profile *profile = builder->profile;
  const struct calltree_filter *filter = &builder->filter;
  for (size_t i = 0; i < profile->sample_count; i++) {
    const struct profile_sample *sample = &profile->samples[i];
    if (filter->thread != PROFILE_NONE && filter->thread != sample->thread)
      continue;
    if (sample->time_ns < filter->begin_ns || sample->time_ns >= filter->end_ns)
      continue;
    uint64_t ns = profile->threads[sample->thread].sample_weight_ns;
    if (add_to_bin(builder, sample->node, PROFILE_NONE, ns, 1))
      return -ENOMEM;
  }
  return 0;
}

/* The part of `ns` that falls into the filter's range when it is spread evenly over the wait. */
static uint64_t share(const struct profile_wait *wait, uint64_t ns,
                      const struct calltree_filter *filter) {
  uint64_t end_ns;
  if (__builtin_add_overflow(wait->start_ns, wait->span_ns, &end_ns))
    end_ns = UINT64_MAX;
  uint64_t from_ns = wait->start_ns > filter->begin_ns ? wait->start_ns : filter->begin_ns;
  uint64_t to_ns = end_ns < filter->end_ns ? end_ns : filter->end_ns;
  if (from_ns >= to_ns)
    return 0;
  return (uint64_t)((unsigned __int128)ns * (to_ns - from_ns) / (end_ns - wait->start_ns));
}

/* Whether any of the wait lies in the range; one without a span does where it starts. */
static bool overlaps(const struct profile_wait *wait, const struct calltree_filter *filter) {
  if (wait->start_ns >= filter->end_ns)
    return false;
  if (wait->start_ns >= filter->begin_ns)
    return true;
  return wait->span_ns > filter->begin_ns - wait->start_ns;
}

static int add_reason(struct builder *builder, const struct profile_wait *wait,
                      enum wait_reason reason, uint64_t ns, uint64_t count) {
  struct calltree_note model = {.reason = reason};
  uint32_t note;
  int rc = note_of(builder, reason, &model, &note);
  return rc ? rc : add_to_bin(builder, wait->node, note, ns, count);
}

/* A woken thread that still queues for a CPU does not wait for its lock any more: that part goes to
 * the run queue. The interval is counted once, at its own reason. */
static int add_wait(struct builder *builder, const struct profile_wait *wait) {
  const struct calltree_filter *filter = &builder->filter;
  uint64_t blocked_ns = wait->blocked_ns;
  uint64_t queued_ns = wait->run_queue_ns;
  bool inside = wait->start_ns >= filter->begin_ns && wait->start_ns <= filter->end_ns &&
                wait->span_ns <= filter->end_ns - wait->start_ns;
  if (!inside) {
    blocked_ns = share(wait, blocked_ns, filter);
    queued_ns = share(wait, queued_ns, filter);
  }
  bool only_queued = wait->reason == WAIT_RUN_QUEUE;
  int rc = add_reason(builder, wait, wait->reason,
                      only_queued ? blocked_ns + queued_ns : blocked_ns, wait->count);
  if (!rc && !only_queued && queued_ns)
    rc = add_reason(builder, wait, WAIT_RUN_QUEUE, queued_ns, 0);
  return rc;
}

static int add_waits(struct builder *builder, enum calltree_kind kind) {
  const struct profile *profile = builder->profile;
  const struct calltree_filter *filter = &builder->filter;
  (void)kind;
  for (size_t i = 0; i < profile->wait_count; i++) {
    const struct profile_wait *wait = &profile->waits[i];
    if (filter->thread != PROFILE_NONE && filter->thread != wait->thread)
      continue;
    if (!overlaps(wait, filter))
      continue;
    if (add_wait(builder, wait))
      return -ENOMEM;
  }
  return 0;
}

static int add_wall(struct builder *builder, enum calltree_kind kind) {
  int rc = add_samples(builder, kind);
  return rc ? rc : add_waits(builder, kind);
}

/* ---- memory ---- */

static bool is_asked_for(const struct heap_stack *stack) {
  return stack->kind == HEAP_MALLOC || stack->kind == HEAP_PYTHON;
}

struct amount {
  uint64_t bytes;
  uint64_t blocks;
};

static struct amount allocated(const struct profile *profile, const struct heap *heap,
                               const struct heap_stack *stack) {
  (void)profile, (void)heap;
  return (struct amount){stack->totals.bytes_allocated, stack->totals.allocations};
}

static struct amount live(const struct profile *profile, const struct heap *heap,
                          const struct heap_stack *stack) {
  (void)profile, (void)heap;
  return (struct amount){stack->totals.live_bytes, stack->totals.live_blocks};
}

static struct amount at_peak(const struct profile *profile, const struct heap *heap,
                             const struct heap_stack *stack) {
  struct amount amount = {0};
  for (uint32_t i = 0; i < stack->site_count; i++) {
    uint32_t site = heap->sites_by_stack[stack->site_first + i];
    amount.bytes += heap_live_at(profile, &profile->heap_sites[site], heap->peak_ns);
  }
  return amount;
}

static int add_stacks(struct builder *builder, const struct heap *heap, enum calltree_kind kind) {
  static struct amount (*const amounts[CALLTREE_KINDS])(const struct profile *, const struct heap *,
                                                        const struct heap_stack *) = {
      [CALLTREE_ALLOC] = allocated, [CALLTREE_LIVE] = live, [CALLTREE_PEAK] = at_peak};
  int rc = 0;
  for (uint32_t i = 0; !rc && i < heap->stack_count; i++) {
    const struct heap_stack *stack = &heap->stacks[i];
    if (!is_asked_for(stack))
      continue;
    struct amount amount = amounts[kind](builder->profile, heap, stack);
    if (amount.bytes)
      rc = add_to_bin(builder, stack->node, PROFILE_NONE, amount.bytes, amount.blocks);
  }
  return rc;
}

uint64_t calltree_whole_bytes(double rate) {
  return rate > 0 ? (uint64_t)fmin(ceil(rate), 0x1p53) : 0;
}

bool calltree_leaks_by_iteration(const struct leak_report *report) {
  for (uint32_t i = 0; i < report->site_count; i++)
    if (report->sites[i].verdict == LEAK_LEAK && !report->sites[i].has_iteration_slope)
      return false;
  return report->has_iterations;
}

static int add_leaks(struct builder *builder, const struct heap *heap) {
  struct leak_report *report;
  int rc = leak_analyse(&report, builder->profile, heap);
  if (rc)
    return rc;
  bool by_iteration = calltree_leaks_by_iteration(report);
  builder->tree->unit = by_iteration ? CALLTREE_BYTES_PER_ITERATION : CALLTREE_BYTES_PER_S;
  for (uint32_t i = 0; !rc && i < report->site_count; i++) {
    const struct leak_site *site = &report->sites[i];
    double value = by_iteration ? site->per_iteration.value : site->per_second.value;
    if (site->verdict == LEAK_LEAK && value > 0)
      rc = add_to_bin(builder, heap->stacks[site->stack].node, PROFILE_NONE,
                      calltree_whole_bytes(value), 1);
  }
  leak_report_free(report);
  return rc;
}

static int add_memory(struct builder *builder, enum calltree_kind kind) {
  struct heap *heap;
  int rc = heap_build(&heap, builder->profile);
  if (rc)
    return rc;
  rc = kind == CALLTREE_LEAK ? add_leaks(builder, heap) : add_stacks(builder, heap, kind);
  heap_free(heap);
  return rc;
}

/* ---- operations ---- */

/* What an operation's leaf is known by: names are interned, so that a pointer tells them apart. */
static int note_of_operation(struct builder *builder, struct hash *name_ids,
                             const struct profile_operation *operation, uint32_t *note) {
  struct calltree_note model = calltree_note_of(builder->profile, operation);
  uint64_t name = (uint64_t)(uintptr_t)model.name;
  uint32_t *known = hash_get(name_ids, name);
  uint32_t id = known ? *known : (uint32_t)name_ids->count;
  if (!known && hash_put(name_ids, name, id))
    return -ENOMEM;
  uint64_t object = *model.object ? operation->object : PROFILE_NONE;
  return note_of(builder, (uint64_t)id << 32 | object, &model, note);
}

/* At its stacks; where none was taken, at the root. */
static int add_operation(struct builder *builder, const struct profile_operation *operation,
                         uint32_t note, bool is_counted) {
  const struct profile *profile = builder->profile;
  const struct trace_operation_sum *total = &operation->total;
  int rc = 0;
  for (size_t i = 0; !rc && i < operation->stack_count; i++) {
    const struct profile_operation_stack *stack =
        &profile->operation_stacks[operation->stack_first + i];
    rc = add_to_bin(builder, stack->node < profile->node_count ? stack->node : PROFILE_NONE, note,
                    is_counted ? stack->count : stack->total_ns, stack->count);
  }
  if (!operation->stack_count)
    rc = add_to_bin(builder, PROFILE_NONE, note, is_counted ? total->count : total->total_ns,
                    total->count);
  return rc;
}

static int add_operations(struct builder *builder, enum calltree_kind kind) {
  const struct profile *profile = builder->profile;
  bool is_counted = calltree_kind_unit(kind) != CALLTREE_NS;
  struct hash name_ids = {0};
  int rc = 0;
  for (uint32_t i = 0; !rc && i < profile->operation_count; i++) {
    const struct profile_operation *operation = &profile->operations[i];
    uint32_t note;
    if (calltree_kind_of(profile, operation) != kind)
      continue;
    rc = note_of_operation(builder, &name_ids, operation, &note);
    if (!rc)
      rc = add_operation(builder, operation, note, is_counted);
  }
  hash_fini(&name_ids);
  return rc;
}

/* ---- the tree ---- */

/* The child of `parent` under a key that is unique among its children; made when it is new. */
static int child_of(struct builder *builder, uint32_t parent, uint32_t key,
                    const struct calltree_node *model, uint32_t *child) {
  uint64_t id = (uint64_t)parent << 32 | key;
  uint32_t *known = hash_get(&builder->child_ids, id);
  if (known) {
    *child = *known;
    return 0;
  }
  struct calltree *tree = builder->tree;
  if (tree->node_count == builder->capacity) {
    struct calltree_node *nodes = grown(tree->nodes, &builder->capacity, sizeof(*nodes));
    if (!nodes)
      return -ENOMEM;
    tree->nodes = nodes;
  }
  tree->nodes[tree->node_count] = *model;
  tree->nodes[tree->node_count].parent = parent;
  *child = tree->node_count++;
  return hash_put(&builder->child_ids, id, *child);
}

/* Merges the profile nodes that hold anything, parents first: a parent's index is the smaller one.
 */
static int merge_nodes(struct builder *builder) {
  const struct profile *profile = builder->profile;
  for (uint32_t i = 0; i < profile->node_count; i++)
    builder->merged[i] = PROFILE_NONE;
  for (uint32_t i = 0; i < builder->bin_count; i++)
    if (builder->bins[i].node != PROFILE_NONE)
      builder->merged[builder->bins[i].node] = 0;
  for (uint32_t i = profile->node_count; i-- > 0;)
    if (builder->merged[i] == 0 && profile->nodes[i].parent != PROFILE_NONE)
      builder->merged[profile->nodes[i].parent] = 0;
  for (uint32_t i = 0; i < profile->node_count; i++) {
    if (builder->merged[i] == PROFILE_NONE)
      continue;
    const struct profile_node *node = &profile->nodes[i];
    uint32_t parent = node->parent == PROFILE_NONE ? 0 : builder->merged[node->parent];
    uint32_t function = profile->frames[node->frame].function_id;
    struct calltree_node model = {.frame = node->frame, .function = function, .note = PROFILE_NONE};
    if (child_of(builder, parent, function, &model, &builder->merged[i]))
      return -ENOMEM;
  }
  return 0;
}

/* Function ids stay below this; the keys of leaves with a note lie above. */
#define NOTE_KEY(note) (UINT32_MAX - (note))

static int place_bins(struct builder *builder) {
  for (uint32_t i = 0; i < builder->bin_count; i++) {
    const struct bin *bin = &builder->bins[i];
    uint32_t at = bin->node == PROFILE_NONE ? 0 : builder->merged[bin->node];
    if (bin->note != PROFILE_NONE) {
      struct calltree_node model = {
          .frame = PROFILE_NONE, .function = PROFILE_NONE, .note = bin->note};
      if (child_of(builder, at, NOTE_KEY(bin->note), &model, &at))
        return -ENOMEM;
    }
    builder->tree->nodes[at].self += bin->value;
    builder->tree->nodes[at].self_count += bin->count;
  }
  return 0;
}

static void sum_totals(struct calltree *tree) {
  for (uint32_t i = 0; i < tree->node_count; i++) {
    tree->nodes[i].total = tree->nodes[i].self;
    tree->nodes[i].total_count = tree->nodes[i].self_count;
  }
  for (uint32_t i = tree->node_count; i-- > 1;) {
    struct calltree_node *parent = &tree->nodes[tree->nodes[i].parent];
    parent->total += tree->nodes[i].total;
    parent->total_count += tree->nodes[i].total_count;
  }
  tree->total = tree->nodes[0].total;
}

static int fill(struct builder *builder, enum calltree_kind kind) {
  static int (*const sources[CALLTREE_KINDS])(struct builder *, enum calltree_kind) = {
      [CALLTREE_CPU] = add_samples,      [CALLTREE_OFF_CPU] = add_waits,
      [CALLTREE_WALL] = add_wall,        [CALLTREE_ALLOC] = add_memory,
      [CALLTREE_LIVE] = add_memory,      [CALLTREE_LEAK] = add_memory,
      [CALLTREE_PEAK] = add_memory,      [CALLTREE_SYSCALL] = add_operations,
      [CALLTREE_IO] = add_operations,    [CALLTREE_BLOCK] = add_operations,
      [CALLTREE_FAULT] = add_operations, [CALLTREE_LOCK] = add_operations,
      [CALLTREE_GIL] = add_operations,
  };
  struct calltree_node root = {
      .frame = PROFILE_NONE, .function = PROFILE_NONE, .note = PROFILE_NONE};
  uint32_t at;
  if (child_of(builder, PROFILE_NONE, PROFILE_NONE, &root, &at))
    return -ENOMEM;
  builder->tree->unit = calltree_kind_unit(kind);
  if (sources[kind](builder, kind) || merge_nodes(builder) || place_bins(builder))
    return -ENOMEM;
  sum_totals(builder->tree);
  return 0;
}

int calltree_build(struct calltree **out, const struct profile *profile, enum calltree_kind kind,
                   const struct calltree_filter *filter) {
  struct builder builder = {.profile = profile, .filter = {.thread = PROFILE_NONE}};
  if (filter)
    builder.filter = *filter;
  if (!builder.filter.end_ns)
    builder.filter.end_ns = UINT64_MAX;
  int rc = -ENOMEM;
  builder.tree = calloc(1, sizeof(*builder.tree));
  builder.merged = calloc(profile->node_count + 1ull, sizeof(*builder.merged));
  if (builder.tree && builder.merged)
    rc = fill(&builder, kind);
  if (rc) {
    calltree_free(builder.tree);
    builder.tree = NULL;
  }
  *out = builder.tree;
  free(builder.merged);
  free(builder.bins);
  hash_fini(&builder.bin_ids);
  hash_fini(&builder.note_ids);
  hash_fini(&builder.child_ids);
  return rc;
}

void calltree_free(struct calltree *tree) {
  if (!tree)
    return;
  free(tree->nodes);
  free(tree->notes);
  free(tree);
}
