/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What identifies a file, and the sending of its name when it is first met. Files only: sockets
 * and locks have ids of their own. */
#ifndef RAGPROF_BPF_OBJECT_H
#define RAGPROF_BPF_OBJECT_H

#include "kernel.h"
#include "reason.h"
#include "walk.h"

/* enum object_kind of userspace/trace/trace.h, which cannot be included here. */
enum {
  KIND_FILE = 1,
  KIND_PIPE = 2,
  KIND_SOCKET = 3,
  KIND_EVENT = 4,
  KIND_DEVICE = 5,
  KIND_MEMORY = 6,
  KIND_LOCK = 7,
};

/* include/uapi/linux/magic.h: files that have a name, but no place. */
#define MAGIC_PIPE 0x50495045
#define MAGIC_ANONYMOUS 0x09041934 /* eventpoll, eventfd, timerfd, … */
#define MAGIC_PID 0x50494446
#define MAGIC_NAMESPACE 0x6e736673
#define MAGIC_BLOCK_DEVICE 0x62646576
#define MAGIC_OVERLAY 0x794c7630

#define S_IFCHR 0020000

#define FILE_NAME_MAX 256 /* with its NUL */
#define HOPS_MAX (2 * OBJECT_NAMES_MAX)

/* Ids of the objects that user space has, and their kinds. Those met last stay: one that is met
 * again later is sent again, which does no harm. */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 16 * 1024);
  __type(key, __u64);
  __type(value, __u32);
} known_objects __weak SEC(".maps");

/* By an inode's identity: the file that was last met with it. */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 16 * 1024);
  __type(key, __u64);
  __type(value, __u64);
} object_of_inode __weak SEC(".maps");

/* Where an object's event is put together, in a thread's own context with preemption off. */
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct event_object);
} object_scratch __weak SEC(".maps");

/* The file of a descriptor of the current thread; NULL when it is not open (any more). */
static __always_inline struct file *file_of(__u32 fd) {
  struct task_struct *task = bpf_get_current_task_btf();
  struct fdtable *table = task->files->fdt;
  struct file *file = NULL;
  if (fd < table->max_fds)
    bpf_probe_read_kernel(&file, sizeof(file), table->fd + fd);
  return file;
}

/* What was looked at to tell a file from others. It is named by its path: a file that is renamed,
 * or that comes in the place of another one of the same name, is met as a new one. */
struct file_identity {
  __u64 id;
  __u64 inode;
  __u64 dentry;
  __u64 mount;
  __u64 number; /* of the inode */
  __u64 name_hash;
  __u32 mode;
  __u32 generation;
};

static __always_inline __u64 inode_key(__u64 inode, __u64 number, __u32 generation) {
  return hash_step(hash_step(hash_step(0, inode), number), generation);
}

/* A dentry's hash covers its name and, by address, its folder. Names of anonymous inodes are not
 * hashed: what they are shows in their operations. */
static __always_inline void identify_file(struct file_identity *identity, struct file *file) {
  struct inode *inode = BPF_CORE_READ(file, f_inode);
  struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
  __u64 name_hash = BPF_CORE_READ(dentry, d_name.hash_len);
  identity->inode = (__u64)inode;
  identity->dentry = (__u64)dentry;
  identity->mount = (__u64)BPF_CORE_READ(file, f_path.mnt);
  identity->number = BPF_CORE_READ(inode, i_ino);
  identity->name_hash = name_hash;
  identity->mode = BPF_CORE_READ(inode, i_mode);
  identity->generation = BPF_CORE_READ(inode, i_generation);
  if (!(__u32)name_hash)
    name_hash = (__u64)BPF_CORE_READ(file, f_op);
  identity->id = hash_step(
      hash_step(inode_key(identity->mount, identity->number, identity->generation), name_hash),
      KIND_FILE);
}

static __always_inline __u32 kind_of_file(__u32 mode, __u64 magic) {
  if (magic == MAGIC_ANONYMOUS || magic == MAGIC_PID || magic == MAGIC_NAMESPACE)
    return KIND_EVENT;
  switch (mode & S_IFMT) {
  case S_IFIFO:
    return KIND_PIPE;
  case S_IFCHR:
    return KIND_DEVICE;
  case S_IFSOCK:
    return KIND_SOCKET;
  }
  return KIND_FILE;
}

/* ---- paths ---- */

#define MOUNT_OFFSET bpf_core_field_offset(struct mount, mnt)

/* From a name to the one of the folder that it is in. */
struct path_walk {
  struct event_object *event;
  struct dentry *dentry;
  struct vfsmount *mount;
  __u32 names;
  __u32 bytes;
};

static __always_inline void put_name(struct path_walk *walk, const unsigned char *name) {
  __u32 at = walk->bytes;
  asm volatile("" : "+r"(at));
  if (at > OBJECT_DATA_MAX - FILE_NAME_MAX)
    return;
  long length = bpf_probe_read_kernel_str(&walk->event->data[at], FILE_NAME_MAX, name);
  if (length > 1 && length <= FILE_NAME_MAX) {
    walk->bytes = at + length;
    walk->names++;
  }
}

/* One name, or one step from a mounted file system to where it is mounted. 1: the end. */
static long walk_path(__u32 i, struct path_walk *walk) {
  struct dentry *dentry = walk->dentry, *parent = BPF_CORE_READ(dentry, d_parent);
  struct vfsmount *view = walk->mount;
  if (view && dentry == BPF_CORE_READ(view, mnt_root)) {
    struct mount *mount = (void *)view - MOUNT_OFFSET;
    struct mount *outer = BPF_CORE_READ(mount, mnt_parent);
    if (outer == mount || !outer)
      return 1;
    walk->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
    walk->mount = (void *)outer + MOUNT_OFFSET;
    return 0;
  }
  if (dentry == parent || !parent) {
    if (!walk->names) /* of no folder: a memfd */
      put_name(walk, BPF_CORE_READ(dentry, d_name.name));
    return 1;
  }
  if (walk->names == OBJECT_NAMES_MAX || walk->bytes > OBJECT_DATA_MAX - FILE_NAME_MAX) {
    walk->event->is_cut = 1;
    return 1;
  }
  put_name(walk, BPF_CORE_READ(dentry, d_name.name));
  walk->dentry = parent;
  return 0;
}

static __always_inline __u32 put_path(struct event_object *event, struct dentry *dentry,
                                      struct vfsmount *mount) {
  struct path_walk walk = {.event = event, .dentry = dentry, .mount = mount};
  if (bpf_loop(HOPS_MAX, walk_path, &walk, 0) == HOPS_MAX)
    event->is_cut = 1;
  return walk.bytes;
}

/* What has no place: its name, or that of its kind of file system. */
static __always_inline __u32 put_bare_name(struct event_object *event, struct dentry *dentry,
                                           struct super_block *super) {
  struct path_walk walk = {.event = event};
  put_name(&walk, BPF_CORE_READ(dentry, d_name.name));
  if (!walk.bytes)
    put_name(&walk, (const unsigned char *)BPF_CORE_READ(super, s_type, name));
  return walk.bytes;
}

/* ---- sending ---- */

static __always_inline bool send_object(struct event_object *event, __u64 bytes) {
  event->type = EVENT_OBJECT;
  event->bytes = bytes;
  asm volatile("" : "+r"(bytes)); /* 6.1 does not carry a bound of 32 bits over to 64 */
  if (bytes > OBJECT_DATA_MAX)
    return false;
  if (!bpf_ringbuf_output(&events, event, __builtin_offsetof(struct event_object, data) + bytes,
                          BPF_RB_NO_WAKEUP))
    return true;
  COUNT(lost_objects);
  return false;
}

static __always_inline struct event_object *new_object(__u64 id, __u32 tgid, __u32 kind) {
  __u32 zero = 0;
  struct event_object *event = bpf_map_lookup_elem(&object_scratch, &zero);
  if (!event)
    return NULL;
  event->tgid = tgid;
  event->id = id;
  event->kind = kind;
  event->is_cut = 0;
  event->device = 0;
  event->inode = 0;
  return event;
}

/* Its kind; 0: it could not be sent. */
static __noinline __u32 send_file(struct file_identity *identity, __u32 tgid) {
  if (!identity)
    return 0;
  struct inode *inode = (struct inode *)identity->inode;
  struct dentry *dentry = (struct dentry *)identity->dentry;
  struct super_block *super = BPF_CORE_READ(inode, i_sb);
  __u64 magic = BPF_CORE_READ(super, s_magic);
  __u32 kind = kind_of_file(identity->mode, magic), bytes = 0;
  struct event_object *event = new_object(identity->id, tgid, kind);
  if (!event)
    return 0;
  event->inode = identity->number;
  event->device = BPF_CORE_READ(inode, i_rdev);
  if (kind == KIND_EVENT)
    bytes = put_bare_name(event, dentry, super);
  else if (magic != MAGIC_PIPE)
    bytes = put_path(event, dentry, (struct vfsmount *)identity->mount);
  if (!send_object(event, bytes))
    return 0;
  bpf_map_update_elem(&known_objects, &identity->id, &kind, 0);
  __u64 key = inode_key(identity->inode, identity->number, identity->generation);
  bpf_map_update_elem(&object_of_inode, &key, &identity->id, 0);
  return kind;
}

/* The kind of a file that user space knows by name from now on. 0: it does not. */
static __always_inline __u32 know_file(struct file_identity *identity, __u32 tgid) {
  __u32 *kind = bpf_map_lookup_elem(&known_objects, &identity->id);
  return kind ? *kind : send_file(identity, tgid);
}

/* The id of the object that stands for a file; 0: none does (a socket, or it could not be sent). In
 * a thread's own context with preemption off. */
static __noinline __attribute__((unused)) __u64 object_of_file(struct file *file, __u32 tgid) {
  struct file_identity identity;
  if (!file)
    return 0;
  identify_file(&identity, file);
  if ((identity.mode & S_IFMT) == S_IFSOCK || !know_file(&identity, tgid))
    return 0;
  return identity.id;
}

#endif
