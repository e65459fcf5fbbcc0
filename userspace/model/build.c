/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes the profile's tree: names frames by their symbols, expands inlined calls into frames of
 * their own, and merges what came out equal. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "model/load.h"

#define NODES_MAX (1u << 28)

struct builder {
  struct loader *loader;
  struct buf frames; /* struct profile_frame */
  struct hash frame_of_content;
  struct buf functions; /* struct profile_function */
  struct hash function_of_content;
  struct buf nodes; /* struct profile_node */
  struct buf is_incomplete;
  struct hash node_of_place;   /* (parent + 1) << 32 | frame → index */
  struct buf expansion;        /* uint32_t frames, those of one trace frame from the root side */
  struct buf expansion_starts; /* uint32_t in `expansion` by trace frame id - 1, and the end */
  uint32_t empty_node;         /* for events without a stack; PROFILE_NONE until needed */
};

static int out_of_memory(void) {
  return error_set(ENOMEM, "out of memory");
}

static uint32_t count_of(const struct buf *items, size_t bytes) {
  return (uint32_t)(items->length / bytes);
}

/* Appends to an array that is indexed by 32 bits, and notes the index under `key` (`hash` may be
 * NULL). */
static int add(struct buf *items, const void *item, size_t bytes, struct hash *hash, uint64_t key,
               uint32_t *index) {
  if (items->length / bytes >= NODES_MAX)
    return error_set(E2BIG, "the trace holds too many frames");
  *index = count_of(items, bytes);
  buf_put(items, item, bytes);
  return items->failed || (hash && hash_put(hash, key, *index)) ? out_of_memory() : 0;
}

/* ---- Functions and frames -------------------------------------------------------------------- */

static int intern_function(struct builder *builder, const struct profile_frame *frame,
                           uint32_t *index) {
  uint64_t key = hash_mix(hash_mix((uintptr_t)frame->function, (uintptr_t)frame->file),
                          hash_mix((uintptr_t)frame->module, frame->kind));
  for (uint32_t *at; (at = hash_get(&builder->function_of_content, key)); key++) {
    struct profile_function *known = &((struct profile_function *)builder->functions.data)[*at];
    if (known->name != frame->function || known->file != frame->file ||
        known->module != frame->module || known->kind != frame->kind)
      continue;
    if (!known->first_line)
      known->first_line = frame->first_line;
    *index = *at;
    return 0;
  }
  struct profile_function function = {.name = frame->function,
                                      .file = frame->file,
                                      .module = frame->module,
                                      .first_line = frame->first_line,
                                      .kind = frame->kind};
  return add(&builder->functions, &function, sizeof(function), &builder->function_of_content, key,
             index);
}

static bool is_same_frame(const struct profile_frame *a, const struct profile_frame *b) {
  return a->function_id == b->function_id && a->line == b->line && a->first_line == b->first_line &&
         a->flags == b->flags;
}

/* Fills in function_id. */
static int intern_frame(struct builder *builder, struct profile_frame *frame, uint32_t *index) {
  int error = intern_function(builder, frame, &frame->function_id);
  if (error)
    return error;
  uint64_t key = hash_mix(hash_mix(frame->function_id, frame->line),
                          hash_mix(frame->first_line, frame->flags));
  for (uint32_t *at; (at = hash_get(&builder->frame_of_content, key)); key++) {
    if (is_same_frame(&((struct profile_frame *)builder->frames.data)[*at], frame)) {
      *index = *at;
      return 0;
    }
  }
  return add(&builder->frames, frame, sizeof(*frame), &builder->frame_of_content, key, index);
}

static const char *basename_of(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash && slash[1] ? slash + 1 : path;
}

/* Names that no trace holds must be interned as well: equal pointers mean equal strings. NULL: out
 * of memory. */
static const char *intern(struct builder *builder, const char *text) {
  uint32_t id = strtab_add(builder->loader->strings, text, strlen(text));
  return id ? strtab_get(builder->loader->strings, id) : NULL;
}

static const char *module_of(struct builder *builder, const struct trace_frame *frame) {
  if (frame->kind == FRAME_KERNEL)
    return intern(builder, "[kernel]");
  if (!frame->module)
    return loader_text(builder->loader, 0);
  return ((const char *const *)builder->loader->modules.data)[frame->module - 1];
}

/* The name of a frame that nothing names: "[unknown] libfoo.so+0x1234". NULL: out of memory. */
static const char *unknown_name(struct builder *builder, const struct trace_frame *frame,
                                const char *module) {
  if (frame->kind == FRAME_MARK)
    return intern(builder, "[incomplete]");
  const char *where = frame->kind == FRAME_JIT ? "jit" : basename_of(module);
  char name[512] = "[unknown]";
  if (frame->address && *where)
    snprintf(name, sizeof(name), "[unknown] %.400s+0x%" PRIx64, where, frame->address);
  else if (frame->address)
    snprintf(name, sizeof(name), "[unknown] 0x%" PRIx64, frame->address);
  else if (*where)
    snprintf(name, sizeof(name), "[unknown] %.400s", where);
  return intern(builder, name);
}

/* Appends the profile's frame for one function of a trace frame to the expansion. */
static int expand_one(struct builder *builder, const struct trace_frame *from,
                      struct profile_frame frame, uint32_t function) {
  frame.kind = from->kind;
  frame.module = module_of(builder, from);
  if (!frame.module)
    return out_of_memory();
  frame.function =
      function ? loader_text(builder->loader, function) : unknown_name(builder, from, frame.module);
  if (!frame.function)
    return out_of_memory();
  uint32_t index, unused;
  int error = intern_frame(builder, &frame, &index);
  return error ? error : add(&builder->expansion, &index, sizeof(index), NULL, 0, &unused);
}

/* `symbols` are those of the frame, from depth 0 (the innermost inlined function) up. */
static int expand(struct builder *builder, const struct trace_frame *from,
                  const struct trace_symbol *symbols, uint32_t symbol_count) {
  const struct loader *loader = builder->loader;
  if (!symbol_count)
    return expand_one(builder, from,
                      (struct profile_frame){.file = loader_text(loader, from->file),
                                             .line = from->line,
                                             .first_line = from->first_line,
                                             .flags = from->flags},
                      from->function);
  int error = 0;
  for (uint32_t i = symbol_count; i-- > 0 && !error;) {
    const struct trace_symbol *symbol = &symbols[i];
    bool is_inlined = i + 1 < symbol_count;
    struct profile_frame frame = {.file = loader_text(loader, symbol->file),
                                  .line = symbol->line,
                                  .first_line = symbol->first_line,
                                  .flags = from->flags | (is_inlined ? FRAME_INLINED : 0)};
    error = expand_one(builder, from, frame,
                       symbol->function || is_inlined ? symbol->function : from->function);
  }
  return error;
}

static int compare_symbols(const void *a, const void *b) {
  const struct trace_symbol *left = a, *right = b;
  if (left->frame != right->frame)
    return left->frame < right->frame ? -1 : 1;
  return left->depth < right->depth ? -1 : left->depth > right->depth;
}

static int expand_all(struct builder *builder) {
  struct loader *loader = builder->loader;
  const struct trace_frame *frames = (const struct trace_frame *)loader->frames.data;
  uint32_t frame_count = count_of(&loader->frames, sizeof(*frames));
  struct trace_symbol *symbols = (struct trace_symbol *)loader->symbols.data;
  uint32_t symbol_count = count_of(&loader->symbols, sizeof(*symbols));
  if (symbol_count)
    qsort(symbols, symbol_count, sizeof(*symbols), compare_symbols);
  uint32_t unused, at = 0;
  for (uint32_t i = 0; i <= frame_count; i++) {
    uint32_t start = count_of(&builder->expansion, sizeof(uint32_t));
    int error = add(&builder->expansion_starts, &start, sizeof(start), NULL, 0, &unused);
    uint32_t first = at;
    while (at < symbol_count && symbols[at].frame == i + 1)
      at++;
    if (!error && i < frame_count)
      error = expand(builder, &frames[i], at > first ? symbols + first : NULL, at - first);
    if (error)
      return error;
  }
  return 0;
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

/* The child of `parent` (PROFILE_NONE: a root) with this frame. */
static int intern_node(struct builder *builder, uint32_t parent, uint32_t frame, uint32_t *index) {
  const struct profile_node *nodes = (const struct profile_node *)builder->nodes.data;
  uint64_t key = (uint64_t)(parent + 1) << 32 | frame; /* PROFILE_NONE + 1 is 0 */
  const uint32_t *known = hash_get(&builder->node_of_place, key);
  if (known) {
    *index = *known;
    return 0;
  }
  struct profile_node node = {.parent = parent, .frame = frame};
  uint8_t is_incomplete;
  if (parent == PROFILE_NONE) {
    const struct profile_frame *frames = (const struct profile_frame *)builder->frames.data;
    is_incomplete = frames[frame].kind == FRAME_MARK;
  } else {
    node.depth = nodes[parent].depth + 1;
    is_incomplete = builder->is_incomplete.data[parent];
  }
  if (node.depth >= PROFILE_DEPTH_MAX) {
    *index = parent;
    return 0;
  }
  buf_put_u8(&builder->is_incomplete, is_incomplete);
  if (builder->is_incomplete.failed)
    return out_of_memory();
  return add(&builder->nodes, &node, sizeof(node), &builder->node_of_place, key, index);
}

/* Fills `map` (by trace node id - 1) with the profile's nodes. */
static int build_nodes(struct builder *builder, uint32_t *map) {
  const struct trace_node *nodes = (const struct trace_node *)builder->loader->nodes.data;
  uint32_t count = count_of(&builder->loader->nodes, sizeof(*nodes));
  const uint32_t *expansion = (const uint32_t *)builder->expansion.data;
  const uint32_t *starts = (const uint32_t *)builder->expansion_starts.data;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t at = nodes[i].parent ? map[nodes[i].parent - 1] : PROFILE_NONE;
    uint32_t frame = nodes[i].frame - 1;
    for (uint32_t j = starts[frame]; j < starts[frame + 1]; j++) {
      int error = intern_node(builder, at, expansion[j], &at);
      if (error)
        return error;
    }
    map[i] = at;
  }
  return 0;
}

/* The node of events that have no stack. */
static int empty_node(struct builder *builder, uint32_t *index) {
  if (builder->empty_node == PROFILE_NONE) {
    const char *empty = loader_text(builder->loader, 0);
    struct profile_frame frame = {.function = intern(builder, "[no stack]"),
                                  .file = empty,
                                  .module = empty,
                                  .kind = FRAME_MARK};
    uint32_t at;
    int error = frame.function ? intern_frame(builder, &frame, &at) : out_of_memory();
    if (!error)
      error = intern_node(builder, PROFILE_NONE, at, &builder->empty_node);
    if (error)
      return error;
  }
  *index = builder->empty_node;
  return 0;
}

static int map_node(struct builder *builder, const uint32_t *map, uint32_t *node) {
  if (!*node)
    return empty_node(builder, node);
  *node = map[*node - 1];
  return 0;
}

static int map_events(struct builder *builder, const uint32_t *map) {
  struct loader *loader = builder->loader;
  struct profile_sample *samples = (struct profile_sample *)loader->samples.data;
  struct profile_wait *waits = (struct profile_wait *)loader->waits.data;
  struct loader_heap_site *sites = (struct loader_heap_site *)loader->heap_sites.data;
  struct profile_slow_call *calls = (struct profile_slow_call *)loader->slow_calls.data;
  struct profile_operation_stack *stacks =
      (struct profile_operation_stack *)loader->operations.stacks.data;
  struct profile_slow_operation *slow =
      (struct profile_slow_operation *)loader->operations.slow.data;
  int error = 0;
  for (size_t i = 0; i < loader->samples.length / sizeof(*samples) && !error; i++)
    error = map_node(builder, map, &samples[i].node);
  for (size_t i = 0; i < loader->waits.length / sizeof(*waits) && !error; i++)
    error = map_node(builder, map, &waits[i].node);
  for (size_t i = 0; i < loader->heap_sites.length / sizeof(*sites) && !error; i++)
    error = map_node(builder, map, &sites[i].node);
  for (size_t i = 0; i < loader->slow_calls.length / sizeof(*calls) && !error; i++)
    error = map_node(builder, map, &calls[i].node);
  for (size_t i = 0; i < loader->operations.stacks.length / sizeof(*stacks) && !error; i++)
    error = map_node(builder, map, &stacks[i].node);
  for (size_t i = 0; i < loader->operations.slow.length / sizeof(*slow) && !error; i++)
    error = map_node(builder, map, &slow[i].node);
  return error;
}

/* ---- The whole ------------------------------------------------------------------------------- */

static void *take(struct buf *buf) {
  void *data = buf->data;
  *buf = (struct buf){0};
  return data;
}

static void hand_over(struct builder *builder, struct profile *profile) {
  profile->frame_count = count_of(&builder->frames, sizeof(*profile->frames));
  profile->frames = take(&builder->frames);
  profile->function_count = count_of(&builder->functions, sizeof(*profile->functions));
  profile->functions = take(&builder->functions);
  profile->node_count = count_of(&builder->nodes, sizeof(*profile->nodes));
  profile->nodes = take(&builder->nodes);
  profile->memory->is_incomplete = take(&builder->is_incomplete);
}

int build_tree(struct profile *profile, struct loader *loader) {
  struct builder builder = {.loader = loader, .empty_node = PROFILE_NONE};
  uint32_t node_count = count_of(&loader->nodes, sizeof(struct trace_node));
  uint32_t *map = calloc((size_t)node_count + 1, sizeof(*map));
  int error = map ? expand_all(&builder) : out_of_memory();
  if (!error)
    error = build_nodes(&builder, map);
  if (!error)
    error = map_events(&builder, map);
  if (!error)
    hand_over(&builder, profile);
  free(map);
  buf_fini(&builder.frames);
  hash_fini(&builder.frame_of_content);
  buf_fini(&builder.functions);
  hash_fini(&builder.function_of_content);
  buf_fini(&builder.nodes);
  buf_fini(&builder.is_incomplete);
  hash_fini(&builder.node_of_place);
  buf_fini(&builder.expansion);
  buf_fini(&builder.expansion_starts);
  return error;
}
