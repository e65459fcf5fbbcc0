/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the joining of counted faults, samples and waits by the stack that touched the page. */
#include "analysis/faults.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/origin.h"
#include "base/array.h"
#include "base/hash.h"

struct work {
  const struct profile *profile;
  const struct stacks *stacks;
  struct faults *faults;
  struct hash rows; /* merged node → row */
  uint32_t capacity;
  uint32_t *outside; /* node → the innermost frame outside of the kernel */
  bool *in_handler;  /* whether a node is in the page-fault handler, or below it */
};

/* One pass, since parents stand before their children. */
static int look_at_nodes(struct work *work) {
  const struct profile *profile = work->profile;
  size_t room = profile->node_count + (size_t)1;
  work->outside = calloc(room, sizeof(*work->outside));
  work->in_handler = calloc(room, sizeof(*work->in_handler));
  if (!work->outside || !work->in_handler)
    return -ENOMEM;
  for (uint32_t i = 0; i < profile->node_count; i++) {
    const struct profile_node *node = &profile->nodes[i];
    const struct profile_frame *frame = &profile->frames[node->frame];
    bool has_parent = node->parent != PROFILE_NONE;
    work->outside[i] = frame->kind == FRAME_KERNEL && has_parent ? work->outside[node->parent] : i;
    work->in_handler[i] = origin_is_fault_handler(&profile->functions[frame->function_id]) ||
                          (has_parent && work->in_handler[node->parent]);
  }
  return 0;
}

static struct fault_stack *row_of(struct work *work, uint32_t node) {
  struct faults *faults = work->faults;
  node = work->outside[node];
  uint32_t *known = hash_get(&work->rows, work->stacks->merged[node]);
  if (known)
    return &faults->stacks[*known];
  struct fault_stack *stacks =
      array_grown(faults->stacks, faults->stack_count, &work->capacity, sizeof(*stacks));
  if (!stacks)
    return NULL;
  faults->stacks = stacks;
  stacks[faults->stack_count] = (struct fault_stack){.node = node, .object = PROFILE_NONE};
  if (hash_put(&work->rows, work->stacks->merged[node], faults->stack_count))
    return NULL;
  return &stacks[faults->stack_count++];
}

static int add_samples(struct work *work) {
  const struct profile *profile = work->profile;
  for (size_t i = 0; i < profile->sample_count; i++) {
    const struct profile_sample *sample = &profile->samples[i];
    if (!work->in_handler[sample->node])
      continue;
    struct fault_stack *row = row_of(work, sample->node);
    if (!row)
      return -ENOMEM;
    uint64_t ns = profile->threads[sample->thread].sample_weight_ns;
    row->on_cpu_ns += ns;
    row->samples++;
    work->faults->on_cpu_ns += ns;
  }
  return 0;
}

/* Preemption within the handler is nobody's fault. */
static int add_waits(struct work *work) {
  const struct profile *profile = work->profile;
  for (size_t i = 0; i < profile->wait_count; i++) {
    const struct profile_wait *wait = &profile->waits[i];
    bool is_fault = wait->reason == WAIT_PAGE_FAULT ||
                    (work->in_handler[wait->node] && wait->reason != WAIT_RUN_QUEUE);
    if (!is_fault)
      continue;
    struct fault_stack *row = row_of(work, wait->node);
    if (!row)
      return -ENOMEM;
    row->blocked_ns += wait->blocked_ns;
    row->waits += wait->count;
    row->max_ns = wait->max_ns > row->max_ns ? wait->max_ns : row->max_ns;
    work->faults->blocked_ns += wait->blocked_ns;
  }
  return 0;
}

static int add_counted(struct work *work, const struct operation_row *from, bool is_major) {
  for (uint32_t i = 0; from && i < from->stack_count; i++) {
    const struct operation_stack *stack = &from->stacks[i];
    struct fault_stack *row = row_of(work, stack->node);
    if (!row)
      return -ENOMEM;
    *(is_major ? &row->major : &row->minor) += stack->count;
    row->bytes += stack->bytes;
    if (stack->count > row->objects) {
      row->objects = stack->count;
      row->object = from->object;
    }
  }
  return 0;
}

static int compare(const void *left, const void *right) {
  const struct fault_stack *a = left, *b = right;
  uint64_t a_ns = a->on_cpu_ns + a->blocked_ns, b_ns = b->on_cpu_ns + b->blocked_ns;
  if (a_ns != b_ns)
    return a_ns < b_ns ? 1 : -1;
  if (a->major != b->major)
    return a->major < b->major ? 1 : -1;
  if (a->minor != b->minor)
    return a->minor < b->minor ? 1 : -1;
  return (a->node > b->node) - (a->node < b->node);
}

static int join_stacks(struct work *work) {
  struct faults *faults = work->faults;
  int rc = look_at_nodes(work);
  if (!rc)
    rc = add_samples(work);
  if (!rc)
    rc = add_waits(work);
  for (uint32_t i = 0; !rc && i < faults->objects.count; i++) {
    rc = add_counted(work, faults->objects.rows[i].kinds[IO_MAJOR], true);
    if (!rc)
      rc = add_counted(work, faults->objects.rows[i].kinds[IO_MINOR], false);
  }
  if (faults->stack_count)
    qsort(faults->stacks, faults->stack_count, sizeof(*faults->stacks), compare);
  return rc;
}

static void count_all(struct faults *faults, const struct profile *profile,
                      const struct points *points) {
  for (uint32_t i = 0; i < profile->process_count; i++) {
    faults->is_exact |= points_course(points, i, POINT_MINOR_FAULTS)->count > 0;
    faults->minor += points_rise(points, i, POINT_MINOR_FAULTS);
    faults->major += points_rise(points, i, POINT_MAJOR_FAULTS);
  }
  faults->is_recorded = faults->is_exact || faults->objects.count;
  for (uint32_t i = 0; !faults->is_exact && i < faults->objects.count; i++) {
    faults->minor += io_sum(&faults->objects.rows[i], IO_MINOR)->count;
    faults->major += io_sum(&faults->objects.rows[i], IO_MAJOR)->count;
  }
}

int faults_build(struct faults *faults, const struct profile *profile, const struct stacks *stacks,
                 const struct points *points) {
  struct work work = {.profile = profile, .stacks = stacks, .faults = faults};
  *faults = (struct faults){0};
  int rc = io_build(&faults->objects, profile, stacks, OPERATION_FAULT);
  if (rc)
    return rc;
  count_all(faults, profile, points);
  if (faults->is_recorded)
    rc = join_stacks(&work);
  hash_fini(&work.rows);
  free(work.outside);
  free(work.in_handler);
  return rc;
}

void faults_fini(struct faults *faults) {
  io_fini(&faults->objects);
  free(faults->stacks);
  *faults = (struct faults){0};
}
