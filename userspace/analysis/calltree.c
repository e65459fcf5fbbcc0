/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Builds the merged calling-context tree. Nodes of one parent are merged by function; the time of a
 * wait stands at leaves below the function that waited. What memory a stack took is heap.c's to
 * say, and whether it leaks leak.c's. */
#include "analysis/calltree.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/heap.h"
#include "analysis/leak.h"
#include "base/hash.h"

/* One sum per profile node and per way to come by it there: on the CPU or in memory, or one per
 * wait reason. */
struct bin {
  uint64_t value;
  uint64_t count;
  uint32_t node;
  uint32_t way; /* 0: on the CPU, in memory; 1 + reason: waiting */
};

struct builder {
  const struct profile *profile;
  struct calltree_filter filter;
  struct bin *bins;
  uint32_t bin_count;
  uint32_t bin_capacity;
  struct hash bin_ids;   /* node and way → bin */
  struct hash child_ids; /* merged parent and function or way → merged node */
  uint32_t *merged;      /* profile node → merged node; PROFILE_NONE: holds no time */
  struct calltree *tree;
  uint32_t capacity;
};

const char *calltree_kind_name(enum calltree_kind kind) {
  static const char *const names[CALLTREE_KINDS] = {"cpu",  "off-cpu", "wall", "alloc",
                                                    "live", "leak",    "peak"};
  return (unsigned)kind < CALLTREE_KINDS ? names[kind] : "unknown";
}

int calltree_kind_parse(const char *text, enum calltree_kind *kind) {
  for (int i = 0; i < CALLTREE_KINDS; i++)
    if (!strcmp(text, calltree_kind_name(i))) {
      *kind = i;
      return 0;
    }
  return -EINVAL;
}

static void *grown(void *array, uint32_t *capacity, size_t item_bytes) {
  if (*capacity > UINT32_MAX / 2)
    return NULL;
  uint32_t bigger = *capacity ? *capacity * 2 : 1024;
  void *result = reallocarray(array, bigger, item_bytes);
  if (result)
    *capacity = bigger;
  return result;
}

static int add_to_bin(struct builder *builder, uint32_t node, uint32_t way, uint64_t value,
                      uint64_t count) {
  uint64_t key = (uint64_t)node << 8 | way;
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
      (struct bin){.value = value, .count = count, .node = node, .way = way};
  return hash_put(&builder->bin_ids, key, builder->bin_count++);
}

static int add_samples(struct builder *builder) {
  const struct profile *profile = builder->profile;
  const struct calltree_filter *filter = &builder->filter;
  for (size_t i = 0; i < profile->sample_count; i++) {
    const struct profile_sample *sample = &profile->samples[i];
    if (filter->thread != PROFILE_NONE && filter->thread != sample->thread)
      continue;
    if (sample->time_ns < filter->begin_ns || sample->time_ns >= filter->end_ns)
      continue;
    uint64_t ns = profile->threads[sample->thread].sample_weight_ns;
    if (add_to_bin(builder, sample->node, 0, ns, 1))
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
  int rc = add_to_bin(builder, wait->node, 1 + wait->reason,
                      only_queued ? blocked_ns + queued_ns : blocked_ns, wait->count);
  if (!rc && !only_queued && queued_ns)
    rc = add_to_bin(builder, wait->node, 1 + WAIT_RUN_QUEUE, queued_ns, 0);
  return rc;
}

static int add_waits(struct builder *builder) {
  const struct profile *profile = builder->profile;
  const struct calltree_filter *filter = &builder->filter;
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

/* Merges the profile nodes that hold time, parents first: a parent's index is the smaller one. */
static int merge_nodes(struct builder *builder) {
  const struct profile *profile = builder->profile;
  for (uint32_t i = 0; i < profile->node_count; i++)
    builder->merged[i] = PROFILE_NONE;
  for (uint32_t i = 0; i < builder->bin_count; i++)
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
    struct calltree_node model = {.frame = node->frame, .function = function};
    if (child_of(builder, parent, function, &model, &builder->merged[i]))
      return -ENOMEM;
  }
  return 0;
}

/* Function ids stay below this; the keys of waiting leaves lie above. */
#define WAIT_KEY(reason) (UINT32_MAX - (uint32_t)(reason))

static int place_bins(struct builder *builder) {
  for (uint32_t i = 0; i < builder->bin_count; i++) {
    const struct bin *bin = &builder->bins[i];
    uint32_t at = builder->merged[bin->node];
    if (bin->way > 0) {
      enum wait_reason reason = bin->way - 1;
      struct calltree_node model = {
          .frame = PROFILE_NONE, .function = PROFILE_NONE, .reason = reason, .is_wait = true};
      if (child_of(builder, at, WAIT_KEY(reason), &model, &at))
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

/* ---- memory ---- */

static bool is_asked_for(const struct heap_stack *stack) {
  return stack->kind == HEAP_MALLOC || stack->kind == HEAP_PYTHON;
}

static int add_at_peak(struct builder *builder, const struct heap *heap,
                       const struct heap_stack *stack) {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < stack->site_count; i++) {
    uint32_t site = heap->sites_by_stack[stack->site_first + i];
    bytes += heap_live_at(builder->profile, &builder->profile->heap_sites[site], heap->peak_ns);
  }
  return bytes ? add_to_bin(builder, stack->node, 0, bytes, 0) : 0;
}

static int add_stacks(struct builder *builder, const struct heap *heap, enum calltree_kind kind) {
  int rc = 0;
  for (uint32_t i = 0; !rc && i < heap->stack_count; i++) {
    const struct heap_stack *stack = &heap->stacks[i];
    if (!is_asked_for(stack))
      continue;
    if (kind == CALLTREE_PEAK)
      rc = add_at_peak(builder, heap, stack);
    else if (kind == CALLTREE_ALLOC && stack->totals.bytes_allocated)
      rc = add_to_bin(builder, stack->node, 0, stack->totals.bytes_allocated,
                      stack->totals.allocations);
    else if (kind == CALLTREE_LIVE && stack->totals.live_bytes)
      rc = add_to_bin(builder, stack->node, 0, stack->totals.live_bytes, stack->totals.live_blocks);
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
      rc = add_to_bin(builder, heap->stacks[site->stack].node, 0, calltree_whole_bytes(value), 1);
  }
  leak_report_free(report);
  return rc;
}

static int add_memory(struct builder *builder, enum calltree_kind kind) {
  struct heap *heap;
  int rc = heap_build(&heap, builder->profile);
  if (rc)
    return rc;
  builder->tree->unit = CALLTREE_BYTES;
  rc = kind == CALLTREE_LEAK ? add_leaks(builder, heap) : add_stacks(builder, heap, kind);
  heap_free(heap);
  return rc;
}

/* ---- the whole ---- */

static int add_time(struct builder *builder, enum calltree_kind kind) {
  int rc = kind != CALLTREE_OFF_CPU ? add_samples(builder) : 0;
  return !rc && kind != CALLTREE_CPU ? add_waits(builder) : rc;
}

static int fill(struct builder *builder, enum calltree_kind kind) {
  struct calltree_node root = {.frame = PROFILE_NONE, .function = PROFILE_NONE};
  uint32_t at;
  if (child_of(builder, PROFILE_NONE, PROFILE_NONE, &root, &at))
    return -ENOMEM;
  if (calltree_kind_is_memory(kind) ? add_memory(builder, kind) : add_time(builder, kind))
    return -ENOMEM;
  if (merge_nodes(builder) || place_bins(builder))
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
  hash_fini(&builder.child_ids);
  return rc;
}

void calltree_free(struct calltree *tree) {
  if (!tree)
    return;
  free(tree->nodes);
  free(tree);
}
