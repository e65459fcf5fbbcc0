/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The accounts of files: opens, reads, writes, syncs and mappings by process and file. */
#ifndef RAGPROF_BPF_FILE_H
#define RAGPROF_BPF_FILE_H

#include "object.h"

/* By enum io_kind. One more than is used: constants of 4, 8, 16 or 32 bytes are put into a section
 * of their own, and bpftool gen object gives those a wrong place in the type information. */
static const __u8 file_operation[IO_KINDS + 1] = {
    [IO_READ] = OPERATION_NAME_READ,  [IO_WRITE] = OPERATION_NAME_WRITE,
    [IO_SYNC] = OPERATION_NAME_FSYNC, [IO_OPEN] = OPERATION_NAME_OPEN,
    [IO_MMAP] = OPERATION_NAME_MMAP,
};

/* What a file that was opened is counted by. Pipes and the like are many, and gone soon: they are
 * only the targets of slow calls. */
static __always_inline bool is_accounted(__u32 kind) {
  return kind == KIND_FILE || kind == KIND_DEVICE;
}

static __always_inline __u64 bytes_of(const struct io_call *call) {
  switch (call->kind) {
  case IO_READ:
  case IO_WRITE:
    return call->result > 0 ? call->result : 0;
  case IO_MMAP:
    return call->length;
  }
  return 0;
}

static __always_inline bool has_failed(const struct io_call *call) {
  return call->result < 0 && call->result >= -MAX_ERRNO;
}

static __noinline void count_file_slot(struct io_call *call, __u64 object) {
  struct operation_key key = {.object = object,
                              .tgid = call->tgid,
                              .class = CLASS_FILE,
                              .name = file_operation[call->kind & (IO_KINDS - 1)]};
  __u64 bytes = has_failed(call) ? 0 : bytes_of(call);
  struct operation_slot *slot = slot_of(&key);
  if (!slot) {
    COUNT(lost_operations);
    return;
  }
  count_shared(slot, 1, bytes, call->ns);
  if (has_failed(call))
    count_error(slot, -call->result);
  if (call->weight && call->stack > STACK_NOT_TAKEN)
    count_at_stack(&key, call->stack, call->weight, bytes * call->weight, call->ns * call->weight);
}

/* Returns the file's id; 0: it was not asked for. */
static __always_inline __u64 count_file(struct io_call *call, struct file *file) {
  struct file_identity identity;
  bool is_counted = file_operation[call->kind & (IO_KINDS - 1)];
  if (!is_counted && call->ns < slow_operation_ns)
    return 0;
  identify_file(&identity, file);
  __u32 kind = know_file(&identity, call->tgid);
  if (!kind)
    return 0;
  if (is_counted && is_accounted(kind))
    count_file_slot(call, identity.id);
  return identity.id;
}

/* An open that failed has no file. */
static __always_inline void count_failed_open(struct io_call *call) {
  count_file_slot(call, 0);
}

#endif
