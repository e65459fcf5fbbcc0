/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pages that a thread had to read from a device, by file: what it waits for in reads and page
 * faults, and what the kernel reads ahead for it. Pages that a write adds are no reads. */
#include "count.h"
#include "object.h"

char LICENSE[] SEC("license") = "GPL";

#define PAGE_SHIFT 12

/* Linux 6.15 renamed folio._folio_nr_pages to _nr_pages. */
struct folio___before_6_15 {
  unsigned int _folio_nr_pages;
} __attribute__((preserve_access_index));

static __always_inline __u64 pages_of(struct folio *folio) {
  __u64 flags = 0; /* the first word, a long or, from 6.18 on, a structure of one */
  struct folio___before_6_15 *old = (void *)folio;
  bpf_probe_read_kernel(&flags, sizeof(flags), folio);
  if (!(flags >> bpf_core_enum_value(enum pageflags, PG_head) & 1))
    return 1;
  if (bpf_core_field_exists(folio->_nr_pages))
    return BPF_CORE_READ(folio, _nr_pages);
  return BPF_CORE_READ(old, _folio_nr_pages);
}

/* Without what is behind the file's end. */
static __always_inline __u64 bytes_of(struct folio *folio, struct inode *inode) {
  __u64 bytes = pages_of(folio) << PAGE_SHIFT, at = (__u64)folio->index << PAGE_SHIFT;
  __u64 size = inode->i_size;
  return size > at && size - at < bytes ? size - at : bytes;
}

enum { NOT_HIS = 0, HIS_READ, HIS_WRITTEN };

/* Whether pages of a mapping belong to a file that a call is made on. What a stacked file system
 * reads lies in another mapping; of it only the file at hand can be the cause. */
static __always_inline __u32 relation(struct file *file, struct address_space *mapping,
                                      bool is_writing) {
  if (!file)
    return NOT_HIS;
  if (BPF_CORE_READ(file, f_mapping) != mapping &&
      BPF_CORE_READ(file, f_inode, i_sb, s_magic) != MAGIC_OVERLAY)
    return NOT_HIS;
  return is_writing ? HIS_WRITTEN : HIS_READ;
}

struct reader {
  struct task_struct *task;
  struct address_space *mapping;
  __u64 object; /* the result */
  bool has_written;
};

static __always_inline bool look_at(struct reader *reader, __u32 fd, bool is_writing) {
  struct file *file = file_of(fd);
  __u32 what = relation(file, reader->mapping, is_writing);
  if (what == HIS_WRITTEN)
    reader->has_written = true;
  if (what == HIS_READ)
    reader->object = object_of_file(file, reader->task->tgid);
  return what != NOT_HIS;
}

/* By the descriptors of the call that the thread is in. False: none has to do with the pages. */
static __always_inline bool find_by_call(struct reader *reader) {
  struct pt_regs *user = (struct pt_regs *)bpf_task_pt_regs(reader->task);
  __u64 number = syscall_number(user);
  __u32 io = number < SYSCALLS_MAX ? io_by_syscall[number & (SYSCALLS_MAX - 1)] : IO_NONE;
  switch (io) {
  case IO_NONE:
  case IO_OPEN:
    return false;
  case IO_MMAP:
    return look_at(reader, syscall_argument_5(user), false);
  case IO_SENDFILE:
    return look_at(reader, syscall_argument_2(user), false) ||
           look_at(reader, syscall_argument_1(user), true);
  case IO_SPLICE:
    return look_at(reader, syscall_argument_1(user), false) ||
           look_at(reader, syscall_argument_3(user), true);
  }
  return look_at(reader, syscall_argument_1(user), io == IO_WRITE);
}

/* What is only mapped: libraries, executables. Those were opened in sight, or are the thread's own
 * executable. */
static __always_inline void find_by_inode(struct reader *reader, struct inode *inode) {
  __u64 key =
      inode_key((__u64)inode, BPF_CORE_READ(inode, i_ino), BPF_CORE_READ(inode, i_generation));
  __u64 *known = bpf_map_lookup_elem(&object_of_inode, &key);
  if (known) {
    reader->object = *known;
    return;
  }
  struct task_struct *task = reader->task;
  struct file *executable = BPF_CORE_READ(task, mm, exe_file);
  if (executable && BPF_CORE_READ(executable, f_inode) == inode)
    reader->object = object_of_file(executable, reader->task->tgid);
}

static __noinline __u32 find_slot(struct task_struct *task, struct folio *folio) {
  struct reader reader = {.task = task, .mapping = folio->mapping};
  struct inode *inode = BPF_CORE_READ(folio, mapping, host);
  if (!find_by_call(&reader)) {
    if (BPF_CORE_READ(inode, i_sb, s_magic) == MAGIC_BLOCK_DEVICE)
      return OPERATION_SLOT_NONE; /* a file system's own */
    find_by_inode(&reader, inode);
  }
  if (reader.has_written)
    return OPERATION_SLOT_NONE;
  struct operation_key key = {.object = reader.object,
                              .tgid = task->tgid,
                              .class = CLASS_FILE,
                              .name = OPERATION_NAME_DEVICE_READ};
  __u32 index = slot_index_of_file(&key);
  if (index == OPERATION_SLOT_NONE)
    COUNT(lost_operations);
  return index;
}

SEC("tp_btf/mm_filemap_add_to_page_cache")
int BPF_PROG(on_page_read, struct folio *folio) {
  struct task_struct *task = bpf_get_current_task_btf();
  struct thread_state *thread = bpf_task_storage_get(&threads, task, 0, 0);
  struct inode *inode = folio->mapping->host;
  if (!thread)
    return 0;
  struct device_read *last = &thread->device_read;
  struct operation_slot *slot = slot_at(last->slot);
  bool is_same = last->inode == (__u64)inode && last->number == inode->i_ino &&
                 last->syscall_ns == thread->syscall_ns;
  if (!is_same || (last->slot && slot && slot->serial != last->serial)) {
    last->slot = find_slot(task, folio);
    last->inode = (__u64)inode;
    last->number = inode->i_ino;
    last->syscall_ns = thread->syscall_ns;
    slot = slot_at(last->slot);
    last->serial = slot ? slot->serial : 0;
  }
  if (last->slot != OPERATION_SLOT_NONE && slot)
    count_shared(slot, 1, bytes_of(folio, inode), 0);
  return 0;
}
