/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stands for parts that are not there yet. */
#include "shim.h"

#define WEAK __attribute__((weak))

WEAK void shim_python_alloc_start(void) {}
WEAK void shim_iteration_start(void) {}
WEAK void shim_cpu_start(void) {}
WEAK void shim_cpu_thread_start(struct shim_thread *thread) {
  (void)thread;
}
WEAK void shim_cpu_thread_end(struct shim_thread *thread) {
  (void)thread;
}
WEAK void shim_iteration_read(int fd, const void *data, size_t bytes) {
  (void)fd, (void)data, (void)bytes;
}
WEAK void shim_iteration_accepted(int fd) {
  (void)fd;
}
WEAK void shim_iteration_closed(int fd) {
  (void)fd;
}
WEAK bool shim_iteration_wants_reads;
