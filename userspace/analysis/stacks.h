/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Merges stacks that differ only in lines: the calling-context tree of a profile with the nodes of
 * one parent merged by function. Each merged node keeps the line that most time was spent at. */
#ifndef RAGPROF_ANALYSIS_STACKS_H
#define RAGPROF_ANALYSIS_STACKS_H

#include <stdint.h>

#include "model/profile.h"

struct stacks_node {
  uint32_t parent; /* smaller than the node's own index; PROFILE_NONE at a root */
  uint32_t frame;  /* of the profile */
};

struct stacks {
  struct stacks_node *nodes;
  uint32_t count;
  uint32_t *merged; /* node of the profile → node here */
};

/* `weights_ns`: time at each node of the profile and below it; decides on the line that is kept.
 * 0 or -ENOMEM; fini either way. */
int stacks_build(struct stacks *stacks, const struct profile *profile, const uint64_t *weights_ns);
void stacks_fini(struct stacks *stacks);

/* The frames of a stack, outermost first. */
struct stack_frames {
  uint32_t *frames; /* of the profile */
  uint32_t count;
  uint32_t capacity;
};

void stack_frames_fini(struct stack_frames *out);
/* The stack that ends at a merged node, or at a node of the profile. Replaces what was in `out`.
 * 0 or -ENOMEM. */
int stacks_frames(const struct stacks *stacks, uint32_t node, struct stack_frames *out);
int profile_frames(const struct profile *profile, uint32_t node, struct stack_frames *out);

#endif
