/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stands for parts that are not there yet. */
#include "shim.h"

#define WEAK __attribute__((weak))

WEAK void shim_walk_here(struct shim_thread *thread, struct shim_place place) {
  struct shim_stack *stack = &thread->stack;
  uint64_t frame = place.bp, sp = place.sp;
  stack->words[0] = place.ip - 1;
  stack->native_count = 1;
  stack->python_count = 0;
  stack->hash = place.ip * 0x9e3779b97f4a7c15ull;
  (void)frame, (void)sp;
}
WEAK void shim_walk_context(struct shim_thread *thread, const void *context) {
  (void)context;
  thread->handler_stack.native_count = thread->handler_stack.python_count = 0;
}
WEAK void shim_modules_changed(bool unloaded) {
  (void)unloaded;
}
WEAK void shim_python_find(void) {}
WEAK void *shim_python_symbol(const char *name) {
  (void)name;
  return NULL;
}
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
