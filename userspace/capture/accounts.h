/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The exact times of threads where BPF does not count them: from /proc/PID/task/TID/schedstat on a
 * clock, and from what the shim tells of threads that ended. */
#ifndef RAGPROF_CAPTURE_ACCOUNTS_H
#define RAGPROF_CAPTURE_ACCOUNTS_H

#include <stdint.h>

#include "capture/threads.h"

struct account_store;

/* `base_ns`: when the capture began, CLOCK_MONOTONIC; as all times here. */
int account_store_new(struct account_store **out, struct thread_store *threads, uint64_t base_ns,
                      uint32_t frequency_hz);
void account_store_free(struct account_store *store);

/* Reads the threads of a living process. */
void account_store_read(struct account_store *store, uint32_t pid, uint64_t now_ns);

/* A sample was taken of a thread that stands for `periods`. */
void account_store_sample(struct account_store *store, uint32_t pid, uint32_t tid, uint64_t time_ns,
                          uint64_t periods);

/* A thread ended at time_ns: tgid, tid, start_ns, on_cpu_ns, and a name for it if it was never seen
 * in /proc. The first thread of a process ends with it, whatever comes of others until then. */
void account_store_thread_end(struct account_store *store, const struct event_thread *ended);

/* A process ended, and with it the threads that it still had. What they ran since they were last
 * read is estimated by their samples. */
void account_store_process_end(struct account_store *store, uint32_t pid, uint64_t end_ns);

#endif
