/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Turns the stacks and code objects that BPF ships into nodes of the trace: addresses into modules
 * and offsets, Python frames put in the place of the interpreter's loop. */
#ifndef RAGPROF_CAPTURE_STACKS_H
#define RAGPROF_CAPTURE_STACKS_H

#include <stddef.h>
#include <stdint.h>

#include "capture/own_code.h"
#include "capture/process.h"
#include "ragprof.h"
#include "trace/writer.h"

struct stack_store;

/* A frame that gets its name at the end. */
struct unnamed_frame {
  uint32_t frame; /* trace id */
  enum frame_kind kind;
  struct module *module; /* native */
  uint64_t address;      /* virtual address in the module; or in the kernel or the process */
  uint32_t pid;          /* of run-time compiled code */
};

/* How the stacks came out, in distinct stacks. */
struct stack_statistics {
  uint64_t stacks;
  uint64_t python_stacks;
  uint64_t misplaced; /* Python frames whose place among the native ones had to be guessed */
};

int stack_store_new(struct stack_store **out, struct process_store *processes,
                    const struct table_store *tables, struct trace_writer *writer);
void stack_store_free(struct stack_store *store);
/* What code in the kernel is our own; must outlive the store. */
void stack_store_tell_own(struct stack_store *store, const struct own_code *own_code);

/* `bytes` is the size of the event as it came; too short ones are ignored. */
void stack_store_code(struct stack_store *store, const struct event_code *event, size_t bytes);
void stack_store_raw(struct stack_store *store, const struct event_raw *event, size_t bytes);
void stack_store_stack(struct stack_store *store, const struct event_stack *event, size_t bytes);

/* The same for a stack of a process that is in no store. */
void stack_store_stack_of(struct stack_store *store, struct process *process,
                          const struct event_stack *event, size_t bytes);

/* The node of a stack that was shipped before; a mark that says so when it was lost. */
uint32_t stack_store_node(struct stack_store *store, uint64_t stack_id);

size_t stack_store_unnamed(const struct stack_store *store, const struct unnamed_frame **frames);
struct stack_statistics stack_store_statistics(const struct stack_store *store);

#endif
