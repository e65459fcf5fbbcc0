/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the merging of stacks whose paths read the same. */
#include <stdlib.h>
#include <string.h>

#include "render/report_system.h"

/* So many stacks are looked at for each row, and in all: reading them takes time. */
#define LOOK_PER_ROW 8
#define LOOK_MAX 1024

static uint32_t looked_at(const struct system_report *report, uint32_t count) {
  uint32_t most =
      report->top_count < LOOK_MAX / LOOK_PER_ROW ? report->top_count * LOOK_PER_ROW : LOOK_MAX;
  most = most < report->top_count ? report->top_count : most;
  return count < most ? count : most;
}

/* Equal paths are kept once. */
static void add(struct system_place *places, uint32_t *count, const struct operation_place *from,
                const char *path) {
  uint32_t i = 0;
  while (i < *count && (places[i].path != path || strcmp(places[i].name, from->row->name) != 0))
    i++;
  *count += i == *count;
  places[i].name = from->row->name;
  places[i].path = path;
  places[i].count += from->stack->count;
  places[i].bytes += from->stack->bytes;
  places[i].total_ns += from->stack->total_ns;
}

static int compare(const void *left, const void *right) {
  const struct system_place *a = left, *b = right;
  if (a->total_ns != b->total_ns)
    return a->total_ns < b->total_ns ? 1 : -1;
  if (a->count != b->count)
    return a->count < b->count ? 1 : -1;
  int order = strcmp(a->name, b->name);
  return order ? order : strcmp(a->path, b->path);
}

struct system_place *system_places(struct system_report *report,
                                   const struct operations *operations, const char *name,
                                   const char *object, uint32_t *count, uint64_t *left_out_count) {
  struct operation_place *all;
  uint32_t all_count;
  *count = 0;
  *left_out_count = 0;
  if (operations_places(&all, &all_count, operations, report->profile, name, object)) {
    report->content->failed = true;
    return NULL;
  }
  uint32_t looked = looked_at(report, all_count);
  struct system_place *places = looked ? calloc(looked, sizeof(*places)) : NULL;
  report->content->failed |= looked && !places;
  for (uint32_t i = 0; places && i < looked; i++)
    add(places, count, &all[i], system_path(report, all[i].stack->node).text);
  if (places)
    qsort(places, *count, sizeof(*places), compare);
  *left_out_count = all_count - looked;
  free(all);
  return places;
}
