/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests to disks, from their issue to their completion, for the thread that asked for them. What
 * the kernel's own threads write back later is nobody's. */
#include "count.h"
#include "object.h"

char LICENSE[] SEC("license") = "GPL";

#define OPERATION_MASK 0xff /* REQ_OP_MASK of include/linux/blk_types.h */
#define DISK_SALT 0x6b736964
#define EIO 5

/* By enum req_op; an odd size, as in file.h. */
#define OPERATIONS 16
static const __u8 block_operation[OPERATIONS + 1] = {
    [0] = OPERATION_NAME_READ,    [1] = OPERATION_NAME_WRITE,   [2] = OPERATION_NAME_FLUSH,
    [3] = OPERATION_NAME_DISCARD, [5] = OPERATION_NAME_DISCARD, [9] = OPERATION_NAME_WRITE,
};

/* Who a request is for. */
struct block_owner {
  __u64 start_ns; /* when it was asked for, then when it was issued */
  __u64 stack;
  __u64 bytes;
  __u32 slot;
  __u32 serial; /* of the slot's use */
  __u32 weight; /* how many requests the stack stands for; 0: it was not walked */
  __u32 pad;
};

/* By the request's first bio: it is what a request has when it is made, issued and completed. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 8 * 1024);
  __type(key, __u64);
  __type(value, struct block_owner);
} block_owners SEC(".maps");

static __noinline __u64 object_of_disk(struct gendisk *disk, __u32 tgid) {
  __u32 major = BPF_CORE_READ(disk, major), minor = BPF_CORE_READ(disk, first_minor);
  __u32 device = major << 20 | minor, kind = KIND_DEVICE;
  __u64 id = hash_step(hash_step(0, DISK_SALT), device);
  if (bpf_map_lookup_elem(&known_objects, &id))
    return id;
  struct event_object *event = new_object(id, tgid, KIND_DEVICE);
  if (!event)
    return 0;
  event->device = device;
  long length = bpf_probe_read_kernel_str(event->data, sizeof(disk->disk_name), disk->disk_name);
  if (length <= 1 || length > (long)sizeof(disk->disk_name) || !send_object(event, length))
    return 0;
  bpf_map_update_elem(&known_objects, &id, &kind, 0);
  return id;
}

static __always_inline __u32 name_of(struct bio *bio) {
  __u32 flags = bio->bi_opf, kind = flags & OPERATION_MASK;
  bool is_flush = flags & 1u << bpf_core_enum_value(enum req_flag_bits, __REQ_PREFLUSH);
  if (kind >= OPERATIONS)
    return OPERATION_NAME_NONE;
  if (is_flush && !bio->bi_iter.bi_size)
    return OPERATION_NAME_FLUSH;
  return block_operation[kind & (OPERATIONS - 1)];
}

/* A request is about to be made for a bio. */
SEC("tp_btf/block_getrq")
int BPF_PROG(on_block_start, struct bio *bio) {
  struct task_struct *task = bpf_get_current_task_btf();
  struct block_owner owner = {.start_ns = bpf_ktime_get_ns()};
  __u64 id = (__u64)bio;
  struct operation_key key = {.tgid = task->tgid, .class = CLASS_BLOCK, .name = name_of(bio)};
  struct process_info *process = NULL;
  if (bpf_task_storage_get(&threads, task, 0, 0))
    process = bpf_map_lookup_elem(&processes, &key.tgid);
  if (!process || !key.name) {
    bpf_map_delete_elem(&block_owners, &id); /* of an earlier use of the memory */
    return 0;
  }
  key.object = object_of_disk(bio->bi_bdev->bd_disk, key.tgid);
  owner.slot = slot_index_of(&key);
  struct operation_slot *slot = slot_at(owner.slot);
  if (owner.slot == OPERATION_SLOT_NONE || !slot) {
    COUNT(lost_operations);
    return 0;
  }
  owner.serial = slot->serial;
  owner.weight = walk_weight(slot, owner.start_ns);
  owner.stack = owner.weight ? current_stack(process) : STACK_LOST;
  if (bpf_map_update_elem(&block_owners, &id, &owner, 0))
    COUNT(lost_operations);
  return 0;
}

SEC("tp_btf/block_rq_issue")
int BPF_PROG(on_block_issue, struct request *request) {
  __u64 id = (__u64)request->bio;
  struct block_owner *owner = bpf_map_lookup_elem(&block_owners, &id);
  if (!owner)
    return 0;
  owner->start_ns = bpf_ktime_get_ns();
  owner->bytes = request->__data_len;
  return 0;
}

static __always_inline void count_request(const struct block_owner *owner, __u32 status) {
  struct operation_slot *slot = slot_at(owner->slot);
  __u64 ns = bpf_ktime_get_ns() - owner->start_ns;
  if (!slot || slot->serial != owner->serial)
    return;
  struct operation_key key = slot->key;
  count_shared(slot, 1, owner->bytes, ns);
  if (status)
    count_error(slot, EIO);
  if (owner->weight && owner->stack > STACK_NOT_TAKEN)
    count_at_stack(&key, owner->stack, owner->weight, owner->bytes * owner->weight,
                   ns * owner->weight);
}

SEC("tp_btf/block_rq_complete")
int BPF_PROG(on_block_complete, struct request *request, __u32 status, unsigned int bytes) {
  __u64 id = (__u64)request->bio;
  struct block_owner *owner = bpf_map_lookup_elem(&block_owners, &id);
  if (!owner)
    return 0;
  count_request(owner, status);
  bpf_map_delete_elem(&block_owners, &id);
  return 0;
}
