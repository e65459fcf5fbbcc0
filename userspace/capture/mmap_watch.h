/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Learns of new executable mappings (dlopen, exec) from the kernel's perf records, which cost
 * nothing while nothing is mapped. */
#ifndef RAGPROF_CAPTURE_MMAP_WATCH_H
#define RAGPROF_CAPTURE_MMAP_WATCH_H

#include <stdint.h>

struct mmap_watch;

/* Begins to record on all CPUs; readable descriptors are added to `epoll_fd`. 0 or -errno. */
int mmap_watch_new(struct mmap_watch **out, int epoll_fd);
void mmap_watch_free(struct mmap_watch *watch);

/* Calls back with the PID of each new mapping since the last call. */
void mmap_watch_drain(struct mmap_watch *watch, void (*callback)(void *context, uint32_t pid),
                      void *context);

#endif
