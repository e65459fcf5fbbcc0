/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the merging of stacks by function, and the walk from a leaf to its frames. */
#include "analysis/stacks.h"

#include <errno.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/hash.h"

/* Time at one line of one merged node. */
struct line_sum {
  uint64_t ns;
  uint32_t frame;
};

struct merging {
  const struct profile *profile;
  struct stacks *stacks;
  struct hash children; /* merged parent + 1 and function → merged node */
  struct hash lines;    /* merged node and line → line sum */
  struct line_sum *sums;
  uint32_t sum_count;
  uint64_t *best_ns; /* of the line kept for each merged node */
};

static int merge_node(struct merging *merging, uint32_t node) {
  const struct profile *profile = merging->profile;
  struct stacks *stacks = merging->stacks;
  uint32_t frame = profile->nodes[node].frame;
  uint32_t parent = profile->nodes[node].parent;
  if (parent != PROFILE_NONE)
    parent = stacks->merged[parent];
  uint64_t key = (uint64_t)(parent + 1) << 32 | profile->frames[frame].function_id;
  uint32_t *known = hash_get(&merging->children, key);
  if (known) {
    stacks->merged[node] = *known;
    return 0;
  }
  stacks->merged[node] = stacks->count;
  stacks->nodes[stacks->count] = (struct stacks_node){.parent = parent, .frame = frame};
  return hash_put(&merging->children, key, stacks->count++);
}

static int weigh_line(struct merging *merging, uint32_t node, uint64_t ns) {
  uint32_t frame = merging->profile->nodes[node].frame;
  uint32_t merged = merging->stacks->merged[node];
  uint64_t key = (uint64_t)merged << 32 | merging->profile->frames[frame].line;
  uint32_t *known = hash_get(&merging->lines, key);
  uint32_t id = known ? *known : merging->sum_count;
  if (!known) {
    merging->sums[id] = (struct line_sum){.frame = frame};
    if (hash_put(&merging->lines, key, merging->sum_count++))
      return -ENOMEM;
  }
  struct line_sum *sum = &merging->sums[id];
  sum->ns += ns;
  if (sum->ns > merging->best_ns[merged]) {
    merging->best_ns[merged] = sum->ns;
    merging->stacks->nodes[merged].frame = sum->frame;
  }
  return 0;
}

int stacks_build(struct stacks *stacks, const struct profile *profile, const uint64_t *weights_ns) {
  size_t count = profile->node_count + (size_t)1; /* never 0 */
  struct merging merging = {.profile = profile, .stacks = stacks};
  *stacks = (struct stacks){0};
  stacks->nodes = calloc(count, sizeof(*stacks->nodes));
  stacks->merged = calloc(count, sizeof(*stacks->merged));
  merging.sums = calloc(count, sizeof(*merging.sums));
  merging.best_ns = calloc(count, sizeof(*merging.best_ns));
  int rc = stacks->nodes && stacks->merged && merging.sums && merging.best_ns ? 0 : -ENOMEM;
  for (uint32_t i = 0; !rc && i < profile->node_count; i++) {
    rc = merge_node(&merging, i);
    if (!rc)
      rc = weigh_line(&merging, i, weights_ns[i]);
  }
  hash_fini(&merging.children);
  hash_fini(&merging.lines);
  free(merging.sums);
  free(merging.best_ns);
  return rc;
}

void stacks_fini(struct stacks *stacks) {
  free(stacks->nodes);
  free(stacks->merged);
  *stacks = (struct stacks){0};
}

void stack_frames_fini(struct stack_frames *out) {
  free(out->frames);
  *out = (struct stack_frames){0};
}

static int add_frame(struct stack_frames *out, uint32_t frame) {
  uint32_t *frames = array_grown(out->frames, out->count, &out->capacity, sizeof(*frames));
  if (!frames)
    return -ENOMEM;
  out->frames = frames;
  out->frames[out->count++] = frame;
  return 0;
}

static void reverse(struct stack_frames *out) {
  for (uint32_t i = 0; i < out->count / 2; i++) {
    uint32_t frame = out->frames[i];
    out->frames[i] = out->frames[out->count - 1 - i];
    out->frames[out->count - 1 - i] = frame;
  }
}

int stacks_frames(const struct stacks *stacks, uint32_t node, struct stack_frames *out) {
  out->count = 0;
  for (; node != PROFILE_NONE; node = stacks->nodes[node].parent)
    if (add_frame(out, stacks->nodes[node].frame))
      return -ENOMEM;
  reverse(out);
  return 0;
}

int profile_frames(const struct profile *profile, uint32_t node, struct stack_frames *out) {
  out->count = 0;
  for (; node != PROFILE_NONE; node = profile->nodes[node].parent)
    if (add_frame(out, profile->nodes[node].frame))
      return -ENOMEM;
  reverse(out);
  return 0;
}
