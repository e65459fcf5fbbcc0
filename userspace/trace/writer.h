/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes a trace file. Owns the interning of strings, modules, frames and nodes, and the chunks on
 * disk. Errors (a full disk) are remembered: puts become no-ops, and trace_writer_flush and
 * trace_writer_close report the first one; what was flushed before stays readable. */
#ifndef RAGPROF_TRACE_WRITER_H
#define RAGPROF_TRACE_WRITER_H

#include <stddef.h>

#include "trace/trace.h"

struct trace_writer;

/* Creates `path` with mode 0600. Refuses to replace an existing file (-EEXIST) unless `overwrite`;
 * even then only a regular file is replaced. */
int trace_writer_open(struct trace_writer **out, const char *path, bool overwrite);

/* Interning: the id, the same one for equal content; 0 when memory ran out. */
uint32_t trace_put_string(struct trace_writer *writer, const char *text, size_t bytes);
uint32_t trace_put_module(struct trace_writer *writer, const struct trace_module *module);
uint32_t trace_put_frame(struct trace_writer *writer, const struct trace_frame *frame);
uint32_t trace_put_node(struct trace_writer *writer, struct trace_node node);

/* Events and facts, in any order of time. */
void trace_put_process(struct trace_writer *writer, const struct trace_process *process);
void trace_put_thread(struct trace_writer *writer, const struct trace_thread *thread);
void trace_put_symbol(struct trace_writer *writer, const struct trace_symbol *symbol);
void trace_put_sample(struct trace_writer *writer, const struct trace_sample *sample);
void trace_put_wait(struct trace_writer *writer, const struct trace_wait *wait);
void trace_put_account(struct trace_writer *writer, const struct trace_account *account);
/* Interned: the id, the same one for equal content; 0 when memory ran out. */
uint32_t trace_put_heap_site(struct trace_writer *writer, const struct trace_heap_site *site);
void trace_put_heap(struct trace_writer *writer, const struct trace_heap *heap);
void trace_put_memory(struct trace_writer *writer, const struct trace_memory *memory);
void trace_put_call(struct trace_writer *writer, const struct trace_call *call);
void trace_put_slow_call(struct trace_writer *writer, const struct trace_slow_call *call);
/* Interned: the id, the same one for equal content; 0 when memory ran out. */
uint32_t trace_put_object(struct trace_writer *writer, const struct trace_object *object);
uint32_t trace_put_operation(struct trace_writer *writer, const struct trace_operation *operation);
void trace_put_operation_sum(struct trace_writer *writer, const struct trace_operation_sum *sum);
void trace_put_operation_detail(struct trace_writer *writer,
                                const struct trace_operation_detail *detail);
void trace_put_operation_stack(struct trace_writer *writer,
                               const struct trace_operation_stack *stack);
void trace_put_slow_operation(struct trace_writer *writer, const struct trace_slow_operation *slow);
void trace_put_happening(struct trace_writer *writer, const struct trace_happening *happening);
void trace_put_point(struct trace_writer *writer, const struct trace_point *point);
void trace_put_counter(struct trace_writer *writer, const char *name, uint64_t value);
void trace_put_meta(struct trace_writer *writer, const char *name, const char *value);

/* Everything put so far becomes a whole chunk on disk. Called by itself when enough has gathered;
 * call it on a clock so that a crash loses little. 0 or the first error. */
int trace_writer_flush(struct trace_writer *writer);

/* Bytes on disk so far. */
uint64_t trace_writer_bytes(const struct trace_writer *writer);

/* Flushes, writes the end mark, syncs, closes, frees. 0 or the first error. NULL is fine. */
int trace_writer_close(struct trace_writer *writer);

/* Frees without an end mark (a capture that never began): removes the file. */
void trace_writer_abandon(struct trace_writer *writer);

#endif
