/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel's side counts of system calls, files, sockets, faults and locks, on its way from
 * BPF's slots into the trace: sums once a second, details and stacks more seldom. */
#ifndef RAGPROF_CAPTURE_OPERATIONS_H
#define RAGPROF_CAPTURE_OPERATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/objects.h"
#include "capture/stacks.h"
#include "capture/threads.h"
#include "ragprof.h"
#include "trace/writer.h"

struct operation_store;

/* Of the BPF side: maps by descriptor, and the switch between the two maps of stacks. */
struct operation_maps {
  int slots_fd;
  int free_slots_fd;
  int slot_of_key_fd;
  int stacks_fd[2];
  uint32_t *active_stacks;
  uint32_t *slots_given_back; /* in BPF's memory, too: how many were, so far */
};

/* What stands behind the numbers in keys; all must outlive the store. */
struct operation_sink {
  struct trace_writer *writer;
  struct thread_store *threads;
  struct stack_store *stacks;
  struct object_store *objects;
  const char *const *probes; /* names by index; NULL: none */
  uint32_t probe_count;
};

/* Hands all slots to the BPF side. 0 or -errno. */
int operation_store_new(struct operation_store **out, const struct operation_maps *maps,
                        const struct operation_sink *sink);
void operation_store_free(struct operation_store *store);

/* A slow one, and the end of a thread or process, as events. Times since `base_ns`. */
void operation_store_slow(struct operation_store *store, const struct event_slow *event,
                          uint64_t base_ns);
void operation_store_thread_end(struct operation_store *store, uint32_t tid);
void operation_store_process_end(struct operation_store *store, uint32_t tgid);

/* Reads what was counted, on a clock; `ending`: no program runs any more, and all is written. */
void operation_store_take(struct operation_store *store, uint64_t time_ns, bool ending);

#endif
