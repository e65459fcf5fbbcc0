/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the folded format. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/units.h"
#include "render/flame_formats.h"
#include "render/flame_text.h"

struct line {
  const char *stack;
  uint64_t value; /* in the tree's unit */
};

/* A label in `labels`. */
struct span {
  size_t off;
  size_t bytes;
};

struct folding {
  const struct profile *profile;
  const struct calltree *tree;
  struct buf stacks; /* NUL-terminated, one after the other */
  struct buf labels;
  struct span *spans; /* by function, then by note; empty until it is needed */
  struct line *lines;
  size_t *stack_offs; /* of a line in `stacks` */
  size_t line_count;
};

static int by_stack(const void *a, const void *b) {
  return strcmp(((const struct line *)a)->stack, ((const struct line *)b)->stack);
}

/* A label is made once: the same few functions stand on all stacks. */
static struct span label_of(struct folding *folding, const struct calltree_node *node) {
  struct span *span =
      &folding->spans[node->note != PROFILE_NONE ? folding->profile->function_count + node->note
                                                 : node->function];
  if (!span->bytes) {
    span->off = folding->labels.length;
    flame_put_label(&folding->labels, FLAME_FOLDED, folding->profile, folding->tree, node);
    span->bytes = folding->labels.length - span->off;
  }
  return *span;
}

/* Appends the labels from the root to `node`. The way up is walked into an array: stacks may be
 * too deep for recursion. */
static int put_stack(struct folding *folding, uint32_t node, uint32_t *path) {
  const struct calltree_node *nodes = folding->tree->nodes;
  size_t depth = 0;
  for (uint32_t at = node; at != 0; at = nodes[at].parent)
    path[depth++] = at;
  while (depth-- > 0) {
    struct span span = label_of(folding, &nodes[path[depth]]);
    if (folding->labels.failed)
      return -ENOMEM;
    if (span.bytes)
      buf_put(&folding->stacks, folding->labels.data + span.off, span.bytes);
    buf_put_u8(&folding->stacks, depth ? ';' : '\0');
  }
  return folding->stacks.failed ? -ENOMEM : 0;
}

static int collect(struct folding *folding) {
  const struct calltree *tree = folding->tree;
  uint32_t *path = calloc(tree->node_count, sizeof(*path));
  int rc = path ? 0 : -ENOMEM;
  for (uint32_t i = 1; !rc && i < tree->node_count; i++) {
    if (!tree->nodes[i].self)
      continue;
    folding->stack_offs[folding->line_count] = folding->stacks.length;
    folding->lines[folding->line_count++].value = tree->nodes[i].self;
    rc = put_stack(folding, i, path);
  }
  free(path);
  for (size_t i = 0; !rc && i < folding->line_count; i++)
    folding->lines[i].stack = (const char *)folding->stacks.data + folding->stack_offs[i];
  return rc;
}

/* Different frames may carry the same label: their stacks are one line. */
static void print(FILE *out, const struct folding *folding) {
  for (size_t i = 0; i < folding->line_count;) {
    const char *stack = folding->lines[i].stack;
    uint64_t value = 0;
    for (; i < folding->line_count && !strcmp(folding->lines[i].stack, stack); i++)
      value += folding->lines[i].value;
    if (folding->tree->unit == CALLTREE_NS)
      value = (value + NS_PER_US / 2) / NS_PER_US;
    if (value)
      fprintf(out, "%s %llu\n", stack, (unsigned long long)value);
  }
}

static int fold(FILE *out, struct folding *folding) {
  size_t count = folding->tree->node_count;
  folding->lines = calloc(count, sizeof(*folding->lines));
  folding->stack_offs = calloc(count, sizeof(*folding->stack_offs));
  folding->spans = calloc((size_t)folding->profile->function_count + folding->tree->note_count + 1,
                          sizeof(*folding->spans));
  if (!folding->lines || !folding->stack_offs || !folding->spans)
    return -ENOMEM;
  int rc = collect(folding);
  if (rc)
    return rc;
  qsort(folding->lines, folding->line_count, sizeof(*folding->lines), by_stack);
  print(out, folding);
  return ferror(out) ? -EIO : 0;
}

int flame_render_folded(FILE *out, const struct profile *profile,
                        const struct render_options *options) {
  struct calltree *tree;
  int rc = render_check_kind(profile, options->kind);
  if (rc)
    return rc;
  rc = calltree_build(&tree, profile, options->kind, NULL);
  if (rc)
    return error_set(-rc, "folding stacks: out of memory");
  struct folding folding = {.profile = profile, .tree = tree};
  rc = fold(out, &folding);
  if (rc)
    error_set(-rc, "folding stacks: %s", strerror(-rc));
  free(folding.lines);
  free(folding.stack_offs);
  free(folding.spans);
  buf_fini(&folding.labels);
  buf_fini(&folding.stacks);
  calltree_free(tree);
  return rc;
}
