/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Turns the stacks of a region into nodes of the trace, by the same merging as those of BPF. Each
 * region has an image of its process's modules as the shim reported them: right also when the
 * process has called exec since, unloaded a module, or ended. */
#ifndef RAGPROF_CAPTURE_SHIM_STACKS_H
#define RAGPROF_CAPTURE_SHIM_STACKS_H

#include <stdbool.h>
#include <stdint.h>

#include "capture/module.h"
#include "capture/process.h"
#include "capture/shim_region.h"
#include "capture/stacks.h"

/* What the images of a capture share. */
struct shim_stacks {
  struct stack_store *stacks;
  struct module_store *modules;
  struct event_stack *event; /* scratch */
  uint32_t code_count;       /* given ids so far */
  uint64_t stack_count;
};

struct shim_image {
  struct process process; /* its mappings are those of `generation` */
  struct image_module *modules;
  uint32_t module_count;
  uint32_t generation;
  uint32_t *codes; /* index → id; 0: not shipped yet */
  uint32_t code_count;
  uint64_t maps_read_ns; /* when /proc was asked for what the region does not name */
  bool is_current;       /* /proc still shows this image */
};

void shim_image_init(struct shim_image *image, uint32_t pid);
void shim_image_fini(struct shim_image *image);

/* The node of a site's stack; 0 when it has none. */
uint32_t shim_image_node(struct shim_image *image, struct shim_stacks *shared,
                         const struct region_source *source, const struct region_head *head,
                         const struct region_site *site, uint64_t now_ns);

#endif
