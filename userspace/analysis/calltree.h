/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sums samples, waits, memory and operations over the calling-context tree. Owns the three views of
 * time: on-CPU (samples, each worth its thread's exact on-CPU time / samples), off-CPU (intervals,
 * exact; run queue included) and wall (both). Of a wait, the blocked part stands at a leaf of its
 * own reason and the run-queue part at a leaf of WAIT_RUN_QUEUE; it is counted once, at its own
 * reason. And the four views of memory, of what the program asked for (HEAP_MALLOC and HEAP_PYTHON:
 * what allocators take from the kernel would count twice): bytes allocated, bytes live at the end,
 * bytes live when most were, and how fast the stacks that leak grow. And those of what the kernel
 * did: operations at leaves that say what was done to what. */
#ifndef RAGPROF_ANALYSIS_CALLTREE_H
#define RAGPROF_ANALYSIS_CALLTREE_H

#include <stdbool.h>
#include <stdint.h>

#include "model/profile.h"

enum calltree_kind {
  CALLTREE_CPU,
  CALLTREE_OFF_CPU,
  CALLTREE_WALL,
  CALLTREE_ALLOC,
  CALLTREE_LIVE,
  CALLTREE_LEAK,
  CALLTREE_PEAK,
  CALLTREE_SYSCALL, /* time in system calls */
  CALLTREE_IO,      /* time of operations on files and sockets */
  CALLTREE_BLOCK,   /* time of requests to disks */
  CALLTREE_FAULT,   /* page faults: their number, as that of minor ones is all that is known */
  CALLTREE_LOCK,    /* time waited for locks but the interpreter's */
  CALLTREE_GIL,     /* time waited for that one, and once more by who held it meanwhile */
  CALLTREE_KINDS
};

enum calltree_group { CALLTREE_TIME, CALLTREE_MEMORY, CALLTREE_OPERATIONS };

/* What the values of a tree are. */
enum calltree_unit {
  CALLTREE_NS,
  CALLTREE_BYTES,
  CALLTREE_BYTES_PER_S, /* CALLTREE_LEAK, where nothing counted iterations */
  CALLTREE_BYTES_PER_ITERATION,
  CALLTREE_FAULTS
};

/* Names: "cpu", "off-cpu", …; parse returns 0 or -EINVAL. Titles: "on-CPU time". */
const char *calltree_kind_name(enum calltree_kind kind);
int calltree_kind_parse(const char *text, enum calltree_kind *kind);
const char *calltree_kind_title(enum calltree_kind kind);
enum calltree_group calltree_kind_group(enum calltree_kind kind);
/* Of the values; for CALLTREE_LEAK only the tree knows. */
enum calltree_unit calltree_kind_unit(enum calltree_kind kind);

/* Whether the trace recorded what the kind is made of. Time always is. */
bool calltree_is_recorded(const struct profile *profile, enum calltree_kind kind);

/* What a leaf says that is no frame: why a thread waited, or what was done to what. */
struct calltree_note {
  enum operation_class class; /* 0: waiting */
  enum wait_reason reason;    /* of waiting */
  const char *name;           /* of an operation: "read" */
  const char *object;         /* "/data/index.faiss"; "" when there is none */
};

/* The only kind in which an operation is counted, CALLTREE_KINDS for none, and its leaf. */
enum calltree_kind calltree_kind_of(const struct profile *profile,
                                    const struct profile_operation *operation);
struct calltree_note calltree_note_of(const struct profile *profile,
                                      const struct profile_operation *operation);

/* Of time only: memory is counted by process, operations by stack, both to the end of the
 * capture. */
struct calltree_filter {
  uint32_t thread;   /* index, or PROFILE_NONE for all */
  uint64_t begin_ns; /* half-open range of time; end 0: to the end */
  uint64_t end_ns;
};

/* A node of the result. Node 0 is the root of all threads. A leaf that is no frame has a note.
 * Children follow their parent. */
struct calltree_node {
  uint32_t parent; /* PROFILE_NONE for the root */
  uint32_t frame;  /* of the profile, with the line that was seen first; PROFILE_NONE: root, note */
  uint32_t function; /* of the profile; nodes of one parent differ in function, not in line */
  uint32_t note;     /* of the tree, or PROFILE_NONE */
  uint64_t self;     /* in the tree's unit */
  uint64_t total;
  uint64_t
      self_count; /* samples and intervals that end here; blocks: allocated or live; operations */
  uint64_t total_count;
};

struct calltree {
  enum calltree_unit unit;
  struct calltree_node *nodes;
  uint32_t node_count;
  struct calltree_note *notes; /* strings are the profile's */
  uint32_t note_count;
  uint64_t total;
};

/* A rate in whole bytes, rounded up so that no leak disappears, and at most 2^53. */
uint64_t calltree_whole_bytes(double rate);

struct leak_report;
/* Whether leaks are given in bytes per iteration: when that is known of all of them. */
bool calltree_leaks_by_iteration(const struct leak_report *report);

/* 0 or -ENOMEM. `filter` may be NULL. */
int calltree_build(struct calltree **out, const struct profile *profile, enum calltree_kind kind,
                   const struct calltree_filter *filter);
void calltree_free(struct calltree *tree);

#endif
