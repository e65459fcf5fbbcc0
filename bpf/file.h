/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The accounts of files: opens, reads, writes, syncs and mappings by process and file. */
#ifndef RAGPROF_BPF_FILE_H
#define RAGPROF_BPF_FILE_H

#include "object.h"

#define O_DIRECT 040000

/* By enum io_kind. */
static const __u8 file_operation[IO_KINDS] = {
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

static __always_inline void add_to_slot(struct io_call *call, struct operation_slot *slot,
                                        __u64 object) {
  __u64 bytes = has_failed(call) ? 0 : bytes_of(call);
  count_shared(slot, 1, bytes, call->ns);
  if (has_failed(call))
    count_error(slot, -call->result);
  if (!call->weight || call->stack <= STACK_NOT_TAKEN)
    return;
  struct operation_key key = {.object = object,
                              .tgid = call->tgid,
                              .class = CLASS_FILE,
                              .name = file_operation[call->kind & (IO_KINDS - 1)]};
  count_at_stack(&key, call->stack, call->weight, bytes * call->weight, call->ns * call->weight);
}

/* ---- what a thread has read and written last ---- */

static __always_inline struct file_memo *memo_of_file(struct thread_state *thread,
                                                      struct file *file) {
  return &thread->files[((__u64)file * 0x9e3779b97f4a7c15ull) >> 62];
}
_Static_assert(THREAD_FILES == 1 << (64 - 62), "two bits choose one");

extern void *bpf_rdonly_cast(const void *object, __u32 type) __ksym __weak;

/* The memory of a file, an inode or a name may be that of another one by now, and a file may have
 * been renamed: all that its id is made of is compared. One for direct
 * input and output is never remembered. */
static __always_inline bool is_same_typed(const struct file_memo *memo, const struct file *file) {
  const struct inode *inode = file->f_inode;
  const struct dentry *dentry = file->f_path.dentry;
  return (__u64)inode == memo->inode && (__u64)dentry == memo->dentry &&
         (__u64)file->f_path.mnt == memo->mount && inode->i_ino == memo->number &&
         inode->i_generation == memo->generation && dentry->d_name.hash_len == memo->name_hash &&
         !(file->f_flags & O_DIRECT);
}

static __always_inline bool is_same_read(const struct file_memo *memo, struct file *file) {
  struct file_identity now;
  identify_file(&now, file);
  return now.inode == memo->inode && now.id == memo->object &&
         !(BPF_CORE_READ(file, f_flags) & O_DIRECT);
}

static __always_inline bool is_remembered(const struct file_memo *memo, struct file *file) {
  if (memo->file != (__u64)file)
    return false;
  if (has_typed_cast)
    return is_same_typed(memo, bpf_rdonly_cast(file, bpf_core_type_id_kernel(struct file)));
  return is_same_read(memo, file);
}

/* False: it has no slot (any more). */
static __always_inline bool count_by_memo(struct io_call *call, struct file_memo *memo) {
  __u32 which = call->kind == IO_WRITE;
  if (call->kind != IO_READ && call->kind != IO_WRITE)
    return false;
  struct operation_slot *slot = slot_at(memo->slots[which]);
  if (memo->slots[which] == OPERATION_SLOT_NONE || !slot || slot->serial != memo->serials[which])
    return false;
  add_to_slot(call, slot, memo->object);
  return true;
}

static __always_inline void remember_file(struct file_memo *memo, struct file *file,
                                          const struct file_identity *identity) {
  if (memo->file == (__u64)file && memo->object == identity->id)
    return;
  memo->file = 0;
  memo->inode = identity->inode;
  memo->dentry = identity->dentry;
  memo->mount = identity->mount;
  memo->number = identity->number;
  memo->name_hash = identity->name_hash;
  memo->generation = identity->generation;
  memo->object = identity->id;
  memo->slots[0] = OPERATION_SLOT_NONE;
  memo->slots[1] = OPERATION_SLOT_NONE;
  memo->file = (__u64)file;
}

/* ---- counting ---- */

/* The slot that it was counted in; OPERATION_SLOT_NONE: not in one of its own. */
static __noinline __u32 count_in_slot(struct io_call *call, __u64 object) {
  struct operation_key key = {.object = object,
                              .tgid = call->tgid,
                              .class = CLASS_FILE,
                              .name = file_operation[call->kind & (IO_KINDS - 1)]};
  __u32 index = slot_index_of_file(&key);
  struct operation_slot *slot = slot_at(index);
  if (index == OPERATION_SLOT_NONE || !slot) {
    COUNT(lost_operations);
    return OPERATION_SLOT_NONE;
  }
  add_to_slot(call, slot, key.object);
  return key.object == object ? index : OPERATION_SLOT_NONE;
}

/* What does not go through the page cache is read from the device. */
static __always_inline void count_direct(struct io_call *call, __u64 object) {
  struct operation_key key = {.object = object,
                              .tgid = call->tgid,
                              .class = CLASS_FILE,
                              .name = OPERATION_NAME_DEVICE_READ};
  __u32 index = call->result > 0 ? slot_index_of_file(&key) : OPERATION_SLOT_NONE;
  struct operation_slot *slot = slot_at(index);
  if (index != OPERATION_SLOT_NONE && slot)
    count_shared(slot, 1, call->result, 0);
}

static __always_inline void remember_slot(struct file_memo *memo, __u32 which, __u32 index) {
  struct operation_slot *slot = slot_at(index);
  if (index == OPERATION_SLOT_NONE || !slot)
    return;
  memo->slots[which & 1] = index;
  memo->serials[which & 1] = slot->serial;
}

/* Returns the file's id; 0: it was not asked for. */
static __always_inline __u64 count_file(struct io_call *call, struct file *file,
                                        struct file_memo *memo) {
  struct file_identity identity;
  bool is_counted = file_operation[call->kind & (IO_KINDS - 1)];
  if (!is_counted && call->ns < slow_operation_ns)
    return 0;
  identify_file(&identity, file);
  __u32 kind = know_file(&identity, call->tgid);
  if (!kind)
    return 0;
  if (!is_counted || !is_accounted(kind))
    return identity.id;
  __u32 index = count_in_slot(call, identity.id);
  if (call->kind == IO_READ && BPF_CORE_READ(file, f_flags) & O_DIRECT) {
    count_direct(call, identity.id);
  } else if (call->kind == IO_READ || call->kind == IO_WRITE) {
    remember_file(memo, file, &identity);
    remember_slot(memo, call->kind == IO_WRITE, index);
  }
  return identity.id;
}

/* An open that failed has no file. */
static __always_inline void count_failed_open(struct io_call *call) {
  count_in_slot(call, 0);
}

#endif
