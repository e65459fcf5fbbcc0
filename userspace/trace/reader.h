/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads a trace file of any origin: every length and id is checked before it is used. */
#ifndef RAGPROF_TRACE_READER_H
#define RAGPROF_TRACE_READER_H

#include <stddef.h>

#include "trace/trace.h"

/* Called record by record, in file order; ids count up from 1 in each table and every id passed has
 * been announced before. Any callback may be NULL. Strings are valid during the call only.
 * A callback's negative result ends the reading and is returned. */
struct trace_visitor {
  int (*string)(void *context, uint32_t id, const char *text, size_t bytes);
  int (*module)(void *context, uint32_t id, const struct trace_module *module);
  int (*frame)(void *context, uint32_t id, const struct trace_frame *frame);
  int (*node)(void *context, uint32_t id, struct trace_node node);
  int (*process)(void *context, const struct trace_process *process);
  int (*thread)(void *context, const struct trace_thread *thread);
  int (*symbol)(void *context, const struct trace_symbol *symbol);
  int (*sample)(void *context, const struct trace_sample *sample);
  int (*wait)(void *context, const struct trace_wait *wait);
  int (*account)(void *context, const struct trace_account *account);
  int (*heap_site)(void *context, uint32_t id, const struct trace_heap_site *site);
  int (*heap)(void *context, const struct trace_heap *heap);
  int (*memory)(void *context, const struct trace_memory *memory);
  int (*call)(void *context, const struct trace_call *call);
  int (*slow_call)(void *context, const struct trace_slow_call *call);
  int (*object)(void *context, uint32_t id, const struct trace_object *object);
  int (*operation)(void *context, uint32_t id, const struct trace_operation *operation);
  int (*operation_sum)(void *context, const struct trace_operation_sum *sum);
  int (*operation_detail)(void *context, const struct trace_operation_detail *detail);
  int (*operation_stack)(void *context, const struct trace_operation_stack *stack);
  int (*slow_operation)(void *context, const struct trace_slow_operation *slow);
  int (*happening)(void *context, const struct trace_happening *happening);
  int (*point)(void *context, const struct trace_point *point);
  int (*counter)(void *context, const char *name, uint64_t value);
  int (*meta)(void *context, const char *name, const char *value);
};

struct trace_status {
  bool complete;       /* the end mark was there */
  uint64_t file_bytes; /* size of the file */
  uint64_t read_bytes; /* bytes of whole, valid chunks */
  uint32_t chunk_count;
  const char *damage; /* why reading ended early, in words (static text); NULL when it did not */
};

/* Visits every record of the file. 0 when at least the header was good (then `status` says whether
 * the file was whole); -EINVAL for a file that is no trace or of a newer version; -errno for what
 * the system or a callback reported. The cause is in error_text(). */
int trace_read(const char *path, const struct trace_visitor *visitor, void *context,
               struct trace_status *status);

/* The same over bytes in memory (used by the fuzzer). */
int trace_read_memory(const void *data, size_t bytes, const struct trace_visitor *visitor,
                      void *context, struct trace_status *status);

#endif
