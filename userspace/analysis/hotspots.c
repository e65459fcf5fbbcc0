/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the sums of CPU time over functions and lines, and the choice of the hot paths. */
#include "analysis/hotspots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/origin.h"
#include "base/hash.h"

#define HOT_PATHS_MAX (100 / HOT_PATH_PCT) /* they are disjoint */

/* Sums of one node of the profile. */
struct node_sum {
  uint64_t self_ns;
  uint64_t total_ns; /* the node and all below it */
  uint64_t self_count;
  uint64_t total_count;
  uint64_t wait_ns; /* the node and all below it */
};

/* A total per key (function or line) that counts each stack once, however often the key stands on
 * it. */
struct tally {
  const uint32_t *key_of_frame; /* PROFILE_NONE: not counted */
  uint32_t *active;             /* how often the key stands on the current stack */
};

struct work {
  const struct profile *profile;
  struct hotspots *hotspots;
  struct node_sum *sums;
  uint32_t *first_child;
  uint32_t *next_sibling;
  uint32_t first_root;
  uint32_t *function_of_frame;
  uint32_t *line_of_frame;
  struct tally functions;
  struct tally lines;
  uint32_t application_depth; /* application frames on the current stack */
  enum origin *origins;       /* by function */
  struct hash line_ids;       /* function and line → line */
};

static void add_events(struct work *work) {
  const struct profile *profile = work->profile;
  for (size_t i = 0; i < profile->sample_count; i++) {
    struct node_sum *sum = &work->sums[profile->samples[i].node];
    sum->self_ns += profile->threads[profile->samples[i].thread].sample_weight_ns;
    sum->self_count++;
  }
  for (size_t i = 0; i < profile->wait_count; i++) {
    const struct profile_wait *wait = &profile->waits[i];
    work->sums[wait->node].wait_ns += wait->blocked_ns + wait->run_queue_ns;
  }
}

/* Children have larger indexes than their parents, so one sweep from the end suffices. */
static void sum_subtrees(struct work *work) {
  const struct profile *profile = work->profile;
  for (uint32_t i = profile->node_count; i-- > 0;) {
    struct node_sum *sum = &work->sums[i];
    sum->total_ns += sum->self_ns;
    sum->total_count += sum->self_count;
    uint32_t parent = profile->nodes[i].parent;
    uint32_t *head = parent == PROFILE_NONE ? &work->first_root : &work->first_child[parent];
    work->next_sibling[i] = *head;
    *head = i;
    if (parent == PROFILE_NONE) {
      work->hotspots->total_ns += sum->total_ns;
      work->hotspots->total_count += sum->total_count;
      continue;
    }
    work->sums[parent].total_ns += sum->total_ns;
    work->sums[parent].total_count += sum->total_count;
    work->sums[parent].wait_ns += sum->wait_ns;
  }
}

static int number_lines(struct work *work) {
  const struct profile *profile = work->profile;
  struct hotspots *hotspots = work->hotspots;
  for (uint32_t i = 0; i < profile->frame_count; i++) {
    const struct profile_frame *frame = &profile->frames[i];
    work->function_of_frame[i] = frame->function_id;
    work->line_of_frame[i] = PROFILE_NONE;
    if (frame->line == 0)
      continue;
    uint64_t key = (uint64_t)frame->function_id << 32 | frame->line;
    uint32_t *known = hash_get(&work->line_ids, key);
    if (known) {
      work->line_of_frame[i] = *known;
      continue;
    }
    hotspots->lines[hotspots->line_count] =
        (struct hot_line){.function = frame->function_id, .line = frame->line};
    work->line_of_frame[i] = hotspots->line_count;
    if (hash_put(&work->line_ids, key, hotspots->line_count++))
      return -ENOMEM;
  }
  return 0;
}

static bool tally_enter(struct tally *tally, uint32_t frame) {
  uint32_t key = tally->key_of_frame[frame];
  return key != PROFILE_NONE && tally->active[key]++ == 0;
}

static void tally_leave(struct tally *tally, uint32_t frame) {
  uint32_t key = tally->key_of_frame[frame];
  if (key != PROFILE_NONE)
    tally->active[key]--;
}

static void enter(struct work *work, uint32_t node) {
  const struct node_sum *sum = &work->sums[node];
  uint32_t frame = work->profile->nodes[node].frame;
  struct hot_function *function = &work->hotspots->functions[work->function_of_frame[frame]];
  function->self_ns += sum->self_ns;
  function->self_count += sum->self_count;
  if (tally_enter(&work->functions, frame)) {
    function->total_ns += sum->total_ns;
    function->total_count += sum->total_count;
    function->wait_ns += sum->wait_ns;
  }
  if (tally_enter(&work->lines, frame))
    work->hotspots->lines[work->line_of_frame[frame]].total_ns += sum->total_ns;
  if (work->application_depth > 0 && sum->total_ns > 0)
    function->is_passage = false;
  work->application_depth += work->origins[function->function] == ORIGIN_APPLICATION;
}

static void leave(struct work *work, uint32_t node) {
  uint32_t frame = work->profile->nodes[node].frame;
  tally_leave(&work->functions, frame);
  tally_leave(&work->lines, frame);
  uint32_t function = work->function_of_frame[frame];
  work->application_depth -= work->origins[function] == ORIGIN_APPLICATION;
}

/* Depth first, by the links between nodes: a stack in a file from elsewhere may be of any depth. */
static void walk(struct work *work) {
  const struct profile_node *nodes = work->profile->nodes;
  uint32_t node = work->first_root;
  while (node != PROFILE_NONE) {
    enter(work, node);
    if (work->first_child[node] != PROFILE_NONE) {
      node = work->first_child[node];
      continue;
    }
    leave(work, node);
    while (work->next_sibling[node] == PROFILE_NONE) {
      node = nodes[node].parent;
      if (node == PROFILE_NONE)
        return;
      leave(work, node);
    }
    node = work->next_sibling[node];
  }
}

static void add_own(struct work *work, uint32_t frame, const struct node_sum *sum) {
  struct hotspots *hotspots = work->hotspots;
  hotspots->functions[work->function_of_frame[frame]].own_ns += sum->self_ns;
  uint32_t line = work->line_of_frame[frame];
  if (line == PROFILE_NONE)
    return;
  hotspots->lines[line].own_ns += sum->self_ns;
  hotspots->lines[line].own_count += sum->self_count;
}

/* The time of each node goes to its own frame and to the innermost Python frame above it. */
static int sum_own(struct work *work) {
  const struct profile *profile = work->profile;
  uint32_t *python = calloc(profile->node_count + (size_t)1, sizeof(*python));
  if (!python)
    return -ENOMEM;
  for (uint32_t i = 0; i < profile->node_count; i++) {
    const struct profile_node *node = &profile->nodes[i];
    const struct node_sum *sum = &work->sums[i];
    bool is_python = profile->frames[node->frame].kind == FRAME_PYTHON;
    python[i] = is_python                      ? node->frame
                : node->parent == PROFILE_NONE ? PROFILE_NONE
                                               : python[node->parent];
    if (sum->self_count == 0)
      continue;
    if (work->line_of_frame[node->frame] != PROFILE_NONE)
      work->hotspots->lines[work->line_of_frame[node->frame]].self_ns += sum->self_ns;
    add_own(work, node->frame, sum);
    if (!is_python && python[i] != PROFILE_NONE)
      add_own(work, python[i], sum);
  }
  free(python);
  return 0;
}

static int descending(uint64_t a, uint64_t b) {
  return a < b ? 1 : a > b ? -1 : 0;
}

/* Rows of equal weight stand in the order of their names, so that two reports compare. */
static int by_function_name(const struct profile *profile, uint32_t a, uint32_t b) {
  int order = strcmp(profile->functions[a].name, profile->functions[b].name);
  if (!order)
    order = strcmp(profile->functions[a].file, profile->functions[b].file);
  return order ? order : descending(b, a);
}

static int compare_self(const void *left, const void *right, void *profile) {
  const struct hot_function *a = left, *b = right;
  int order = descending(a->self_ns, b->self_ns);
  if (!order)
    order = descending(a->total_ns, b->total_ns);
  return order ? order : by_function_name(profile, a->function, b->function);
}

struct total_order {
  const struct profile *profile;
  const struct hot_function *functions;
};

static int compare_total(const void *left, const void *right, void *context) {
  const struct total_order *total_order = context;
  const struct hot_function *a = &total_order->functions[*(const uint32_t *)left];
  const struct hot_function *b = &total_order->functions[*(const uint32_t *)right];
  int order = descending(a->total_ns, b->total_ns);
  if (!order)
    order = descending(a->self_ns, b->self_ns);
  return order ? order : by_function_name(total_order->profile, a->function, b->function);
}

static int compare_lines(const void *left, const void *right, void *profile) {
  const struct hot_line *a = left, *b = right;
  int order = descending(a->own_ns, b->own_ns);
  if (!order)
    order = descending(a->total_ns, b->total_ns);
  if (!order)
    order = by_function_name(profile, a->function, b->function);
  return order ? order : descending(b->line, a->line);
}

static int compare_paths(const void *left, const void *right) {
  const struct hot_path *a = left, *b = right;
  int order = descending(a->ns, b->ns);
  return order ? order : descending(b->node, a->node);
}

/* What mostly calls others: PyObject_Vectorcall and its like, the kernel's system call entry. */
static void find_passages(struct work *work) {
  for (uint32_t i = 0; i < work->hotspots->function_count; i++) {
    struct hot_function *function = &work->hotspots->functions[i];
    bool is_passage = work->origins[i] == ORIGIN_INTERPRETER ||
                      origin_is_kernel_passage(&work->profile->functions[i]);
    if (is_passage && function->self_ns < function->total_ns / 2)
      function->is_passage = true;
  }
}

/* Keeps the rows that hold CPU time and puts them in order. Marks stand for what is missing, not
 * for functions. */
static int order_rows(struct work *work) {
  const struct profile *profile = work->profile;
  struct hotspots *hotspots = work->hotspots;
  uint32_t count = 0;
  for (uint32_t i = 0; i < hotspots->function_count; i++)
    if (hotspots->functions[i].total_count && profile->functions[i].kind != FRAME_MARK)
      hotspots->functions[count++] = hotspots->functions[i];
  hotspots->function_count = count;
  qsort_r(hotspots->functions, count, sizeof(*hotspots->functions), compare_self, (void *)profile);

  hotspots->by_total = calloc(count + (size_t)1, sizeof(*hotspots->by_total));
  if (!hotspots->by_total)
    return -ENOMEM;
  for (uint32_t i = 0; i < count; i++)
    hotspots->by_total[i] = i;
  struct total_order order = {.profile = profile, .functions = hotspots->functions};
  qsort_r(hotspots->by_total, count, sizeof(*hotspots->by_total), compare_total, &order);

  count = 0;
  for (uint32_t i = 0; i < hotspots->line_count; i++)
    if (hotspots->lines[i].total_ns)
      hotspots->lines[count++] = hotspots->lines[i];
  hotspots->line_count = count;
  qsort_r(hotspots->lines, count, sizeof(*hotspots->lines), compare_lines, (void *)profile);
  return 0;
}

static int merge_stacks(struct work *work) {
  uint32_t count = work->profile->node_count;
  uint64_t *weights_ns = calloc(count + (size_t)1, sizeof(*weights_ns));
  if (!weights_ns)
    return -ENOMEM;
  for (uint32_t i = 0; i < count; i++)
    weights_ns[i] = work->sums[i].total_ns;
  int rc = stacks_build(&work->hotspots->stacks, work->profile, weights_ns);
  free(weights_ns);
  return rc;
}

/* Merged nodes that cannot be the end of a path: the interpreter at work for a Python function is
 * that function's own time. */
static bool *find_inner(const struct work *work) {
  const struct stacks *stacks = &work->hotspots->stacks;
  bool *is_inner = calloc(stacks->count + (size_t)1, sizeof(*is_inner));
  for (uint32_t i = 0; is_inner && i < stacks->count; i++) {
    const struct stacks_node *node = &stacks->nodes[i];
    if (node->parent == PROFILE_NONE)
      continue;
    uint32_t caller = stacks->nodes[node->parent].frame;
    uint32_t function = work->profile->frames[node->frame].function_id;
    is_inner[i] = work->origins[function] == ORIGIN_INTERPRETER &&
                  (work->profile->frames[caller].kind == FRAME_PYTHON || is_inner[node->parent]);
  }
  return is_inner;
}

/* From the leaves up: what is too little for a path of its own is left to the caller. */
static void gather_paths(struct work *work, struct hot_path *sums, const bool *is_inner) {
  struct hotspots *hotspots = work->hotspots;
  const struct stacks *stacks = &hotspots->stacks;
  const uint64_t least_ns = (hotspots->total_ns * HOT_PATH_PCT + 99) / 100;
  for (uint32_t i = 0; i < work->profile->node_count; i++) {
    sums[stacks->merged[i]].ns += work->sums[i].self_ns;
    sums[stacks->merged[i]].count += work->sums[i].self_count;
  }
  for (uint32_t i = stacks->count; i-- > 0;) {
    uint32_t parent = stacks->nodes[i].parent;
    sums[i].node = i;
    if (sums[i].ns == 0)
      continue;
    if (sums[i].ns >= least_ns && !is_inner[i] && hotspots->path_count < HOT_PATHS_MAX) {
      hotspots->paths[hotspots->path_count++] = sums[i];
    } else if (parent != PROFILE_NONE) {
      sums[parent].ns += sums[i].ns;
      sums[parent].count += sums[i].count;
      sums[parent].callees_ns += is_inner[i] ? sums[i].callees_ns : sums[i].ns;
    }
  }
}

static int choose_paths(struct work *work) {
  struct hotspots *hotspots = work->hotspots;
  struct hot_path *sums = calloc(hotspots->stacks.count + (size_t)1, sizeof(*sums));
  bool *is_inner = find_inner(work);
  hotspots->paths = calloc(HOT_PATHS_MAX, sizeof(*hotspots->paths));
  int rc = sums && is_inner && hotspots->paths ? 0 : -ENOMEM;
  if (!rc) {
    gather_paths(work, sums, is_inner);
    qsort(hotspots->paths, hotspots->path_count, sizeof(*hotspots->paths), compare_paths);
  }
  free(sums);
  free(is_inner);
  return rc;
}

static uint32_t *filled(size_t count, uint32_t value) {
  uint32_t *array = calloc(count + 1, sizeof(*array));
  for (size_t i = 0; array && i < count; i++)
    array[i] = value;
  return array;
}

static int work_init(struct work *work) {
  const struct profile *profile = work->profile;
  struct hotspots *hotspots = work->hotspots;
  work->sums = calloc(profile->node_count + (size_t)1, sizeof(*work->sums));
  work->first_child = filled(profile->node_count, PROFILE_NONE);
  work->next_sibling = filled(profile->node_count, PROFILE_NONE);
  work->function_of_frame = filled(profile->frame_count, 0);
  work->line_of_frame = filled(profile->frame_count, 0);
  work->functions.active = filled(profile->function_count, 0);
  work->lines.active = filled(profile->frame_count, 0);
  work->origins = calloc(profile->function_count + (size_t)1, sizeof(*work->origins));
  hotspots->functions = calloc(profile->function_count + (size_t)1, sizeof(*hotspots->functions));
  hotspots->lines = calloc(profile->frame_count + (size_t)1, sizeof(*hotspots->lines));
  if (!work->sums || !work->first_child || !work->next_sibling || !work->function_of_frame ||
      !work->line_of_frame || !work->functions.active || !work->lines.active || !work->origins ||
      !hotspots->functions || !hotspots->lines)
    return -ENOMEM;
  work->first_root = PROFILE_NONE;
  work->functions.key_of_frame = work->function_of_frame;
  work->lines.key_of_frame = work->line_of_frame;
  hotspots->function_count = profile->function_count;
  for (uint32_t i = 0; i < profile->function_count; i++) {
    work->origins[i] = origin_of(&profile->functions[i]);
    hotspots->functions[i].function = i;
    hotspots->functions[i].is_passage = work->origins[i] != ORIGIN_APPLICATION;
  }
  return 0;
}

static void work_fini(struct work *work) {
  free(work->sums);
  free(work->first_child);
  free(work->next_sibling);
  free(work->function_of_frame);
  free(work->line_of_frame);
  free(work->functions.active);
  free(work->lines.active);
  free(work->origins);
  hash_fini(&work->line_ids);
}

int hotspots_build(struct hotspots *hotspots, const struct profile *profile) {
  struct work work = {.profile = profile, .hotspots = hotspots};
  *hotspots = (struct hotspots){0};
  int rc = work_init(&work);
  if (!rc)
    rc = number_lines(&work);
  if (!rc) {
    add_events(&work);
    sum_subtrees(&work);
    walk(&work);
    find_passages(&work);
    rc = sum_own(&work);
  }
  if (!rc)
    rc = merge_stacks(&work);
  if (!rc)
    rc = choose_paths(&work);
  if (!rc)
    rc = order_rows(&work);
  work_fini(&work);
  return rc;
}

void hotspots_fini(struct hotspots *hotspots) {
  free(hotspots->functions);
  free(hotspots->by_total);
  free(hotspots->lines);
  free(hotspots->paths);
  stacks_fini(&hotspots->stacks);
  *hotspots = (struct hotspots){0};
}
