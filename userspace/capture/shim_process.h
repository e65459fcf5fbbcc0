/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One region and the process that counts in it: from its first sight in the session's folder to the
 * last reading after the process ended or called exec. */
#ifndef RAGPROF_CAPTURE_SHIM_PROCESS_H
#define RAGPROF_CAPTURE_SHIM_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "capture/heap_sums.h"
#include "capture/memory.h"
#include "capture/shim.h"
#include "capture/shim_pid.h"
#include "capture/shim_region.h"
#include "capture/shim_stacks.h"

/* What the regions of a capture share. */
struct shim_shared {
  struct shim_sink sink;
  struct shim_stacks stacks;
  struct heap_sums *heap;
  uint64_t samples;
  struct shim_pids pids;
};

enum shim_stage {
  SHIM_WAITING, /* nobody counts in it yet, or its process is not known yet */
  SHIM_LIVE,
  SHIM_DONE, /* to be freed */
};

struct shim_process {
  enum shim_stage stage;
  struct region_source source;
  struct region_head head; /* as read last */
  uint64_t inode;
  uint32_t owner;
  uint32_t pid; /* as the profiler sees it */
  int pidfd;    /* -1: ended, or this kernel has none */
  bool has_ended;
  struct hash tids; /* of another PID namespace: as the process sees them → as the profiler does */
  uint64_t seen_ns; /* when it was found */
  struct shim_image image;
  struct site_seen *sites;
  uint32_t site_capacity;
  uint32_t learn_next; /* sites before it were looked at by shim_process_learn */
  uint64_t next_event;
  uint64_t event_at_last_look; /* and when it stood there first: one is never finished */
  uint64_t event_since_ns;
  uint64_t lost_events;
  uint64_t iterations;                                /* when it was last written */
  uint64_t waits_ns;                                  /* until when short waits were summed */
  uint64_t allocations, allocated_bytes, freed_bytes; /* of malloc and Python */
  uint64_t peak_bytes;
  struct memory_walk walk; /* as it was last */
  uint64_t walk_from_ns;
  uint64_t ask_from_ns;
  uint32_t asked;
  uint64_t call_counts[REGION_CALL_COUNT]; /* as written */
  struct region_call_total *calls_before;  /* by the same process, before it called exec; or NULL */
};

/* Takes the descriptor. NULL: out of memory. */
struct shim_process *shim_process_new(int fd, uint64_t now_ns);
void shim_process_free(struct shim_process *process);

/* Reads the head again; begins to follow the process when it has begun to count, and it is known
 * whose region it is. */
void shim_process_look(struct shim_process *process, struct shim_shared *shared, uint64_t now_ns);

/* Takes samples, slow calls and ends of threads. */
void shim_process_events(struct shim_process *process, struct shim_shared *shared, uint64_t now_ns,
                         bool final);

/* Makes stacks of new sites known, in order, for as long as budget_ns of CPU time lasts: a program
 * may begin with tens of thousands. Returns what is left of it. */
uint64_t shim_process_learn(struct shim_process *process, struct shim_shared *shared,
                            uint64_t now_ns, uint64_t budget_ns);

/* Adds what the sites counted since the last time: those that are known, those that go on counting,
 * and when it is `final` all. The totals are of all. */
void shim_process_sites(struct shim_process *process, struct shim_shared *shared, uint64_t now_ns,
                        bool final);

/* Writes a memory record. `with_proc` false: only what the region says. */
void shim_process_memory(struct shim_process *process, const struct shim_shared *shared,
                         uint64_t now_ns, bool with_proc);

/* Writes the totals of calls that changed. */
void shim_process_calls(struct shim_process *process, const struct shim_shared *shared);

/* Whether the process has ended. */
bool shim_process_ended(struct shim_process *process);

/* Takes the last of it. With a `successor`, the process called exec and lives on there. */
void shim_process_finish(struct shim_process *process, struct shim_shared *shared, uint64_t now_ns,
                         struct shim_process *successor);

uint64_t shim_process_live_bytes(const struct shim_process *process);

#endif
