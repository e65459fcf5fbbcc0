/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads a region of preload/region.h, by pread alone: its owner may write anything into it, or cut
 * it short, at any moment. Nothing of it is trusted: a count is bounded by its table, an index or
 * offset by its count, and what does not hold reads as absent. */
#ifndef RAGPROF_CAPTURE_SHIM_REGION_H
#define RAGPROF_CAPTURE_SHIM_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ragprof.h"
#include "region.h"

/* Where the bytes come from: a file, or (for tests and fuzzers) memory, when `fd` is -1. */
struct region_source {
  int fd;
  const uint8_t *data;
  size_t bytes;
};

/* The fields before the tables: X(type, name). */
#define REGION_HEAD_FIELDS(X)                                                                      \
  X(uint64_t, magic)                                                                               \
  X(uint32_t, version)                                                                             \
  X(uint32_t, state)                                                                               \
  X(uint64_t, bytes)                                                                               \
  X(uint32_t, pid)                                                                                 \
  X(uint32_t, parent_pid)                                                                          \
  X(uint64_t, start_ns)                                                                            \
  X(uint32_t, alloc_interval_bytes)                                                                \
  X(uint32_t, python_interval_bytes)                                                               \
  X(uint32_t, kinds)                                                                               \
  X(uint32_t, cpu_hz)                                                                              \
  X(uint32_t, foreign_allocator)                                                                   \
  X(uint32_t, site_count)                                                                          \
  X(uint32_t, word_count)                                                                          \
  X(uint32_t, module_count)                                                                        \
  X(uint32_t, code_count)                                                                          \
  X(uint32_t, text_bytes)                                                                          \
  X(uint32_t, generation)                                                                          \
  X(uint64_t, event_count)                                                                         \
  X(uint64_t, iterations)                                                                          \
  X(uint64_t, live_bytes)                                                                          \
  X(uint64_t, peak_bytes)                                                                          \
  X(uint64_t, shim_bytes)                                                                          \
  X(uint64_t, lost_sites)                                                                          \
  X(uint64_t, lost_blocks)                                                                         \
  X(uint64_t, lost_codes)                                                                          \
  X(uint64_t, lost_modules)                                                                        \
  X(uint64_t, lost_samples)                                                                        \
  X(uint64_t, lost_threads)                                                                        \
  X(uint32_t, answered)                                                                            \
  X(struct region_mallinfo, mallinfo)

struct region_head {
#define REGION_HEAD_FIELD(type, name) type name;
  REGION_HEAD_FIELDS(REGION_HEAD_FIELD)
#undef REGION_HEAD_FIELD
  char name[16]; /* always terminated */
};

enum region_read {
  REGION_READ_OK,
  REGION_READ_STARTING, /* nobody counts in it yet */
  REGION_READ_BAD,      /* no region, of another version, or cut short */
};

/* The counts in *head are in range then. */
enum region_read region_read_head(const struct region_source *source, struct region_head *head);

/* Copies sites [first, first + count) as far as they are there; returns how many. */
uint32_t region_read_sites(const struct region_source *source, uint32_t first, uint32_t count,
                           struct region_site *out);

/* The kind of a site by its place and content; REGION_CALLS + REGION_CALL_COUNT for one that makes
 * no sense. */
uint32_t region_site_kind(uint32_t index, const struct region_site *site);

/* The words of a site's stack. False when it has none, or none that hold. */
#define REGION_STACK_WORDS_MAX (NATIVE_FRAMES_MAX + PYTHON_FRAMES_MAX)
bool region_read_stack(const struct region_source *source, const struct region_head *head,
                       const struct region_site *site, __u64 words[REGION_STACK_WORDS_MAX]);

struct region_module_text {
  struct region_module module;
  char path[4096]; /* terminated */
  uint8_t build_id[64];
  uint32_t build_id_bytes;
};

bool region_read_module(const struct region_source *source, const struct region_head *head,
                        uint32_t index, struct region_module_text *out);

/* A code object as BPF would ship it, but with all of its line table: malloc'ed, the caller's. NULL
 * when it does not hold. `id` and `tgid` are left 0. */
struct event_code *region_read_code(const struct region_source *source,
                                    const struct region_head *head, uint32_t index, size_t *bytes);

/* Calls back for events [*next, event_count) that are still there, in order, and moves *next on.
 * Returns how many were overwritten before they could be read. Stops before an event that is being
 * written, unless `final`. */
uint64_t region_read_events(const struct region_source *source, const struct region_head *head,
                            uint64_t *next, bool final,
                            void (*callback)(void *context, const struct region_event *event),
                            void *context);

/* Those that did not have to wait are in the shortest bucket. */
bool region_read_call(const struct region_source *source, uint32_t call,
                      struct region_call_total *out);

#endif
