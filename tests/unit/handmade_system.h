/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel did, for the profiles of handmade.h: operations, points, happenings. */
#ifndef RAGPROF_TESTS_HANDMADE_SYSTEM_H
#define RAGPROF_TESTS_HANDMADE_SYSTEM_H

#include "handmade.h"

struct handmade_system {
  struct profile_object objects[HANDMADE_MAX];
  struct profile_operation operations[HANDMADE_MAX];
  struct trace_operation_detail details[HANDMADE_MAX];
  struct profile_operation_stack stacks[HANDMADE_MAX * 2];
  struct profile_slow_operation slow[HANDMADE_MAX];
  struct profile_happening happenings[HANDMADE_MAX];
  struct profile_point points[HANDMADE_POINTS_MAX];
};

static inline void handmade_system_init(struct handmade *made, struct handmade_system *system) {
  memset(system, 0, sizeof(*system));
  made->profile.objects = system->objects;
  made->profile.operations = system->operations;
  made->profile.operation_stacks = system->stacks;
  made->profile.slow_operations = system->slow;
  made->profile.happenings = system->happenings;
  made->profile.points = system->points;
}

static inline uint32_t handmade_object(struct handmade *made, enum object_kind kind,
                                       const char *name) {
  uint32_t id = made->profile.object_count++;
  assert(id < HANDMADE_MAX);
  made->profile.objects[id] = (struct profile_object){.kind = kind, .name = name};
  return id;
}

/* Of a thread (of the last process for PROFILE_NONE): `count` that took `each_ns`. */
static inline struct profile_operation *
handmade_operation(struct handmade *made, enum operation_class class, uint32_t thread,
                   uint32_t object, const char *name, uint64_t count, uint64_t each_ns) {
  uint32_t id = made->profile.operation_count++;
  assert(id < HANDMADE_MAX);
  struct profile_operation *operation = &made->profile.operations[id];
  *operation = (struct profile_operation){
      .class = class,
      .process =
          thread == PROFILE_NONE ? made->profile.process_count - 1 : made->threads[thread].process,
      .thread = thread,
      .object = object,
      .name = name,
      .total = {.operation = id, .count = count, .total_ns = count * each_ns, .max_ns = each_ns},
      .stack_first = made->profile.operation_stack_count};
  return operation;
}

/* Of the operation that was added last: a part of it at a stack. */
static inline void handmade_operation_stack(struct handmade *made, uint32_t node, uint64_t count,
                                            uint64_t total_ns) {
  uint32_t id = made->profile.operation_count - 1;
  size_t at = made->profile.operation_stack_count++;
  assert(at < HANDMADE_MAX * 2);
  made->profile.operations[id].stack_count++;
  made->profile.operation_stacks[at] = (struct profile_operation_stack){
      .operation = id, .node = node, .count = count, .total_ns = total_ns};
}

/* The same: how its durations are spread. */
static inline struct trace_operation_detail *handmade_detail(struct handmade *made,
                                                             struct handmade_system *system) {
  uint32_t id = made->profile.operation_count - 1;
  made->profile.operations[id].detail = &system->details[id];
  return &system->details[id];
}

static inline void handmade_point(struct handmade *made, uint64_t time_ns, uint32_t process,
                                  enum point_metric metric, uint64_t value) {
  size_t at = made->profile.point_count++;
  assert(at < HANDMADE_POINTS_MAX);
  made->profile.points[at] = (struct profile_point){
      .time_ns = time_ns, .process = process, .metric = metric, .value = value};
}

static inline void handmade_happening(struct handmade *made, uint64_t time_ns, uint32_t process,
                                      enum process_happening what, uint64_t value,
                                      const char *text) {
  size_t at = made->profile.happening_count++;
  assert(at < HANDMADE_MAX);
  made->profile.happenings[at] = (struct profile_happening){
      .time_ns = time_ns, .process = process, .what = what, .value = value, .text = text};
}

static inline void handmade_slow(struct handmade *made, uint32_t operation, uint32_t thread,
                                 uint32_t object, uint32_t node, uint64_t duration_ns) {
  size_t at = made->profile.slow_operation_count++;
  assert(at < HANDMADE_MAX);
  made->profile.slow_operations[at] = (struct profile_slow_operation){.time_ns = at * NS_PER_MS,
                                                                      .duration_ns = duration_ns,
                                                                      .operation = operation,
                                                                      .thread = thread,
                                                                      .node = node,
                                                                      .object = object};
}

#endif
