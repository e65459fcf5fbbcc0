/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a system call's descriptor to the accounts of files and sockets. */
#ifndef RAGPROF_BPF_IO_H
#define RAGPROF_BPF_IO_H

#include "count.h"
#include "reason.h"

/* A finished system call that has to do with a descriptor. */
struct io_call {
  struct task_struct *task;
  __u32 tgid;
  __u32 kind;     /* enum io_kind */
  __u64 argument; /* the first */
  __s64 result;
  __u64 start_ns;
  __u64 ns;
  __u64 stack;  /* where it was made; STACK_LOST: it was not walked */
  __u32 weight; /* how many calls this walk stands for; 0: it was not walked */
  __u32 pad;
};

#include "file.h"
#include "socket.h"

/* NULL when it is not open (any more). */
static __always_inline struct file *file_of(struct task_struct *task, __u64 fd) {
  struct fdtable *table = BPF_CORE_READ(task, files, fdt);
  struct file *file = NULL;
  if (!table || fd >= BPF_CORE_READ(table, max_fds))
    return NULL;
  struct file **files = BPF_CORE_READ(table, fd);
  bpf_probe_read_kernel(&file, sizeof(file), files + fd);
  return file;
}

/* Accounts for a call. Returns the id of the object that it was made on; 0: not known. */
static __noinline __u64 count_io(struct io_call *call) {
  __u64 fd = call->argument;
  if (call->kind == IO_OPEN || call->kind == IO_ACCEPT)
    fd = call->result;
  struct file *file = file_of(call->task, fd);
  if (!file)
    return 0;
  if ((BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) == S_IFSOCK)
    return count_socket(call, file);
  return count_file(call, file);
}

#endif
