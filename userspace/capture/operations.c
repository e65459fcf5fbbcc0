/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the mapping of BPF's slots, what was read of each before, and the totals that are written.
 */
#include "capture/operations.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/units.h"
#include "capture/syscalls.h"

#define SUM_NS NS_PER_S
#define DETAIL_NS (5 * NS_PER_S)
#define TAKE_BATCH 256
#define TOTALS_MAX (32 * 1024) /* from here on new files are no files in particular */
#define SLOTS_SCARCE (OPERATION_SLOTS_MAX / 2)

/* An operation of the trace, and what it has come to. */
struct total {
  struct trace_operation_sum sum;
  struct trace_operation_detail detail;
  bool is_new; /* changed since its sum was written */
  bool is_detail_new;
};

/* What was read of a slot in its present use. */
struct reading {
  uint32_t serial; /* 0: nothing */
  uint32_t total;  /* index + 1; 0: its object or thread is not known yet */
  uint32_t idle;   /* how often it was looked at since it has changed */
  struct operation_slot last;
};

/* What fell to a stack. */
struct stack_total {
  struct trace_operation_stack stack;
  bool is_new;
};

struct operation_store {
  struct operation_maps maps;
  struct operation_sink sink;
  const uint8_t *slots; /* as BPF counts them */
  size_t slots_bytes;
  struct reading *readings[OPERATION_SLOTS_MAX];
  struct buf totals;          /* struct total */
  struct hash total_of_id;    /* trace id of an operation → index */
  struct buf stacks;          /* struct stack_total */
  struct hash stack_of_place; /* operation << 32 | node → index */
  struct buf ended_threads;   /* uint32_t, sorted when they are used */
  struct buf ended_processes; /* the same */
  struct buf returned;        /* uint32_t: slots to be given back at the next clock */
  bool is_ending;
  uint64_t last_sum_ns;
  uint64_t last_detail_ns;
};

static const struct operation_slot *slot_at(const struct operation_store *store, uint32_t index) {
  return (const struct operation_slot *)(store->slots +
                                         (size_t)index * sizeof(struct operation_slot));
}

static struct total *total_at(const struct operation_store *store, uint32_t index) {
  return (struct total *)store->totals.data + index;
}

int operation_store_new(struct operation_store **out, const struct operation_maps *maps,
                        const struct operation_sink *sink) {
  struct operation_store *store = calloc(1, sizeof(*store));
  if (!store)
    return error_set(ENOMEM, "out of memory");
  store->maps = *maps;
  store->sink = *sink;
  store->slots_bytes = OPERATION_SLOTS_MAX * sizeof(struct operation_slot);
  void *view =
      mmap(NULL, store->slots_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, maps->slots_fd, 0);
  if (view == MAP_FAILED) {
    free(store);
    return error_errno("cannot map the slots of operations");
  }
  store->slots = view;
  for (uint32_t i = OPERATION_SLOT_NONE + 1; i < OPERATION_SLOTS_MAX - OPERATION_SLOTS_KEPT; i++)
    if (bpf_map_update_elem(maps->free_slots_fd, NULL, &i, BPF_ANY))
      break;
  *out = store;
  return 0;
}

void operation_store_free(struct operation_store *store) {
  if (!store)
    return;
  for (uint32_t i = 0; i < OPERATION_SLOTS_MAX; i++)
    free(store->readings[i]);
  if (store->slots)
    munmap((void *)store->slots, store->slots_bytes);
  buf_fini(&store->totals);
  hash_fini(&store->total_of_id);
  buf_fini(&store->stacks);
  hash_fini(&store->stack_of_place);
  buf_fini(&store->ended_threads);
  buf_fini(&store->ended_processes);
  buf_fini(&store->returned);
  free(store);
}

/* ---- from keys to operations of the trace ---- */

static const char *const names[OPERATION_NAMES] = {
    [OPERATION_NAME_NONE] = "",
    [OPERATION_NAME_OPEN] = "open",
    [OPERATION_NAME_READ] = "read",
    [OPERATION_NAME_WRITE] = "write",
    [OPERATION_NAME_FSYNC] = "fsync",
    [OPERATION_NAME_MMAP] = "mmap",
    [OPERATION_NAME_DEVICE_READ] = "device read",
    [OPERATION_NAME_CONNECT] = "connect",
    [OPERATION_NAME_ACCEPT] = "accept",
    [OPERATION_NAME_SEND] = "send",
    [OPERATION_NAME_RECEIVE] = "receive",
    [OPERATION_NAME_RETRANSMIT] = "retransmit",
    [OPERATION_NAME_DNS] = "dns",
    [OPERATION_NAME_FLUSH] = "flush",
    [OPERATION_NAME_DISCARD] = "discard",
    [OPERATION_NAME_MAJOR] = "major",
    [OPERATION_NAME_MINOR] = "minor",
    [OPERATION_NAME_WAIT] = "wait",
    [OPERATION_NAME_HOLD] = "hold",
};

static const char *name_of(const struct operation_store *store, const struct operation_key *key,
                           char text[SYSCALL_NAME_BYTES]) {
  if (key->class == OPERATION_SYSCALL)
    return syscall_name(key->name, text);
  if (key->class == OPERATION_PROBE)
    return key->name < store->sink.probe_count ? store->sink.probes[key->name] : "";
  return key->name < OPERATION_NAMES ? names[key->name] : "";
}

/* Its trace id; 0 when what it was done to is not known yet. */
static uint32_t operation_of(struct operation_store *store, const struct operation_key *key) {
  char text[SYSCALL_NAME_BYTES];
  if (key->class == 0 || key->class >= OPERATION_CLASSES)
    return 0;
  struct trace_operation operation = {
      .class = key->class,
      .pid = key->tgid,
      .thread = key->tid ? thread_store_id(store->sink.threads, key->tgid, key->tid) : 0,
      .object = object_store_id(store->sink.objects, key->object),
      .name = name_of(store, key, text),
  };
  if (key->object && !operation.object && !store->is_ending)
    return 0;
  if (key->class == OPERATION_FILE && store->totals.length / sizeof(struct total) >= TOTALS_MAX)
    operation.object = 0;
  return trace_put_operation(store->sink.writer, &operation);
}

/* Whether a slot's thread was announced: slots are read as they are, events a little later. */
static bool has_thread(const struct operation_store *store, const struct operation_key *key) {
  return !key->tid || store->is_ending || thread_store_find(store->sink.threads, key->tid);
}

/* The index of its total + 1, or 0. */
static uint32_t total_of(struct operation_store *store, const struct operation_key *key) {
  uint32_t id = has_thread(store, key) ? operation_of(store, key) : 0;
  const uint32_t *known = id ? hash_get(&store->total_of_id, id) : NULL;
  if (!id || known)
    return id ? *known + 1 : 0;
  struct total total = {.sum.operation = id, .detail.operation = id};
  uint32_t index = (uint32_t)(store->totals.length / sizeof(total));
  buf_put(&store->totals, &total, sizeof(total));
  if (store->totals.failed || hash_put(&store->total_of_id, id, index))
    return 0;
  return index + 1;
}

/* ---- slots ---- */

static void add_error(struct trace_operation_detail *detail, uint32_t error, uint64_t count) {
  for (uint32_t i = 0; i < detail->result_count; i++)
    if (detail->results[i].error == error) {
      detail->results[i].count += count;
      return;
    }
  if (detail->result_count == TRACE_RESULTS_MAX)
    return;
  detail->results[detail->result_count].error = error;
  detail->results[detail->result_count++].count = count;
}

/* Adds what a slot grew by. It is read while it is written: each field by itself only grows. */
static void add_growth(struct total *total, const struct operation_slot *now,
                       struct operation_slot *last) {
  total->sum.count += now->count - last->count;
  total->sum.errors += now->errors - last->errors;
  total->sum.bytes += now->bytes - last->bytes;
  total->sum.total_ns += now->total_ns - last->total_ns;
  if (now->max_ns > total->sum.max_ns)
    total->sum.max_ns = now->max_ns;
  for (uint32_t i = 0; i < OPERATION_BUCKETS; i++)
    total->detail.buckets[i] += (uint32_t)(now->buckets[i] - last->buckets[i]);
  for (uint32_t i = 0; i < OPERATION_ERRORS_MAX; i++) {
    uint32_t growth = now->error_count[i] - last->error_count[i];
    if (growth && now->error[i])
      add_error(&total->detail, now->error[i], growth);
  }
  total->is_new = true;
  total->is_detail_new = true;
  *last = *now;
}

/* One that user space has marked as retired has no serial any more. */
static void read_slot(struct operation_store *store, uint32_t index) {
  struct operation_slot now;
  const struct operation_slot *slot = slot_at(store, index);
  struct reading *reading = store->readings[index];
  if (!slot->key.class)
    return;
  if (!reading)
    reading = store->readings[index] = calloc(1, sizeof(*reading));
  if (!reading)
    return;
  if (reading->serial == slot->serial && reading->total &&
      reading->last.count == __atomic_load_n(&slot->count, __ATOMIC_ACQUIRE) &&
      reading->last.bytes == slot->bytes) {
    reading->idle++;
    return;
  }
  memcpy(&now, slot, sizeof(now));
  if (!now.serial)
    now.serial = reading->serial;
  if (reading->serial != now.serial)
    *reading = (struct reading){.serial = now.serial};
  reading->idle = 0;
  if (!reading->total)
    reading->total = total_of(store, &now.key);
  if (reading->total)
    add_growth(total_at(store, reading->total - 1), &now, &reading->last);
}

static void read_slots(struct operation_store *store) {
  for (uint32_t i = OPERATION_SLOT_NONE + 1; i < OPERATION_SLOTS_MAX; i++)
    read_slot(store, i);
}

/* Reads a slot for the last time in its present use. Its buckets are emptied here and the rest by
 * BPF when it is taken: clearing all of it there would be a long program. */
static void return_slot(struct operation_store *store, uint32_t index) {
  struct operation_slot *slot = (struct operation_slot *)slot_at(store, index);
  read_slot(store, index);
  memset(slot->buckets, 0, sizeof(slot->buckets));
  slot->key.class = 0;
  bpf_map_update_elem(store->maps.free_slots_fd, NULL, &index, BPF_ANY);
  __atomic_fetch_add(store->maps.slots_given_back, 1, __ATOMIC_RELAXED);
}

void operation_store_thread_end(struct operation_store *store, uint32_t tid) {
  buf_put(&store->ended_threads, &tid, sizeof(tid));
}

void operation_store_process_end(struct operation_store *store, uint32_t tgid) {
  buf_put(&store->ended_processes, &tgid, sizeof(tgid));
}

static int by_number(const void *left, const void *right) {
  uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
  return (a > b) - (a < b);
}

static bool is_among(const struct buf *sorted, uint32_t number) {
  size_t count = sorted->length / sizeof(number);
  return count && bsearch(&number, sorted->data, count, sizeof(number), by_number);
}

static void sort(struct buf *numbers) {
  if (numbers->length)
    qsort(numbers->data, numbers->length / sizeof(uint32_t), sizeof(uint32_t), by_number);
}

/* One that is found by its key may be in use on another CPU right now: it is given back a clock
 * later. Without a serial no thread remembers it. */
static void retire_slot(struct operation_store *store, uint32_t index) {
  struct operation_slot *slot = (struct operation_slot *)slot_at(store, index);
  struct operation_key key = slot->key;
  if (!slot->serial)
    return;
  bpf_map_delete_elem(store->maps.slot_of_key_fd, &key);
  slot->serial = 0;
  buf_put(&store->returned, &index, sizeof(index));
}

/* The slots of what has ended. */
static void end_slots(struct operation_store *store) {
  if (!store->ended_threads.length && !store->ended_processes.length)
    return;
  sort(&store->ended_threads);
  sort(&store->ended_processes);
  for (uint32_t i = OPERATION_SLOT_NONE + 1; i < OPERATION_SLOTS_MAX; i++) {
    struct operation_key key = slot_at(store, i)->key;
    bool has_ended = key.tid && is_among(&store->ended_threads, key.tid);
    if (key.class == OPERATION_SYSCALL && has_ended) {
      return_slot(store, i);
    } else if (key.class && (has_ended || is_among(&store->ended_processes, key.tgid))) {
      retire_slot(store, i);
    }
  }
  buf_clear(&store->ended_threads);
  buf_clear(&store->ended_processes);
}

/* Where slots are scarce, takes those of files that nothing was done to lately. */
static void retire_files(struct operation_store *store) {
  uint32_t used = 0;
  for (uint32_t i = OPERATION_SLOT_NONE + 1; i < OPERATION_SLOTS_MAX; i++)
    used += slot_at(store, i)->key.class != 0;
  for (uint32_t i = OPERATION_SLOT_NONE + 1; used > SLOTS_SCARCE && i < OPERATION_SLOTS_MAX; i++) {
    const struct operation_slot *slot = slot_at(store, i);
    const struct reading *reading = store->readings[i];
    if (slot->key.class != OPERATION_FILE || !reading || !reading->idle || !slot->serial ||
        reading->serial != slot->serial)
      continue;
    retire_slot(store, i);
    used--;
  }
}

static void return_slots(struct operation_store *store) {
  const uint32_t *returned = (const uint32_t *)store->returned.data;
  for (size_t i = 0; i < store->returned.length / sizeof(*returned); i++)
    if (slot_at(store, returned[i])->key.class)
      return_slot(store, returned[i]);
  buf_clear(&store->returned);
}

/* ---- stacks ---- */

static void add_stack(struct operation_store *store, const struct operation_stack_key *key,
                      const struct operation_stack_sum *sum) {
  uint32_t operation = operation_of(store, &key->key);
  uint32_t node = stack_store_node(store->sink.stacks, key->stack);
  uint64_t place = (uint64_t)operation << 32 | node;
  if (!operation)
    return;
  const uint32_t *known = hash_get(&store->stack_of_place, place);
  uint32_t index = known ? *known : (uint32_t)(store->stacks.length / sizeof(struct stack_total));
  if (!known) {
    struct stack_total total = {.stack = {.operation = operation, .node = node}};
    buf_put(&store->stacks, &total, sizeof(total));
    if (store->stacks.failed || hash_put(&store->stack_of_place, place, index))
      return;
  }
  struct stack_total *total = (struct stack_total *)store->stacks.data + index;
  total->stack.count += sum->count;
  total->stack.bytes += sum->bytes;
  total->stack.total_ns += sum->total_ns;
  total->is_new = true;
}

static void take_stacks(struct operation_store *store, int fd) {
  struct operation_stack_key keys[TAKE_BATCH];
  struct operation_stack_sum sums[TAKE_BATCH];
  uint32_t position, *from = NULL;
  for (;;) {
    uint32_t count = TAKE_BATCH;
    int result = bpf_map_lookup_and_delete_batch(fd, from, &position, keys, sums, &count, NULL);
    if (result && errno != ENOENT)
      return;
    for (uint32_t i = 0; i < count; i++)
      add_stack(store, &keys[i], &sums[i]);
    if (result)
      return;
    from = &position;
  }
}

/* ---- writing ---- */

static void put_sums(struct operation_store *store, uint64_t time_ns) {
  for (uint32_t i = 0; i < store->totals.length / sizeof(struct total); i++) {
    struct total *total = total_at(store, i);
    if (!total->is_new)
      continue;
    total->is_new = false;
    total->sum.time_ns = time_ns;
    trace_put_operation_sum(store->sink.writer, &total->sum);
  }
}

static void put_details(struct operation_store *store) {
  for (uint32_t i = 0; i < store->totals.length / sizeof(struct total); i++) {
    struct total *total = total_at(store, i);
    if (total->is_detail_new)
      trace_put_operation_detail(store->sink.writer, &total->detail);
    total->is_detail_new = false;
  }
  struct stack_total *stacks = (struct stack_total *)store->stacks.data;
  for (size_t i = 0; i < store->stacks.length / sizeof(*stacks); i++) {
    if (stacks[i].is_new)
      trace_put_operation_stack(store->sink.writer, &stacks[i].stack);
    stacks[i].is_new = false;
  }
}

void operation_store_slow(struct operation_store *store, const struct event_slow *event,
                          uint64_t base_ns) {
  uint32_t operation = operation_of(store, &event->key);
  if (!operation)
    return;
  trace_put_slow_operation(
      store->sink.writer,
      &(struct trace_slow_operation){
          .time_ns = event->time_ns > base_ns ? event->time_ns - base_ns : 0,
          .duration_ns = event->duration_ns,
          .result = event->result,
          .operation = operation,
          .thread = thread_store_id(store->sink.threads, event->tgid, event->tid),
          .node = stack_store_node(store->sink.stacks, event->stack),
          .object = object_store_id(store->sink.objects, event->object)});
}

void operation_store_take(struct operation_store *store, uint64_t time_ns, bool ending) {
  uint32_t resting = !*store->maps.active_stacks;
  store->is_ending = ending;
  take_stacks(store, store->maps.stacks_fd[resting]);
  if (ending)
    take_stacks(store, store->maps.stacks_fd[!resting]);
  else
    __atomic_store_n(store->maps.active_stacks, resting, __ATOMIC_RELEASE);
  return_slots(store);
  end_slots(store);
  if (!ending && time_ns - store->last_sum_ns < SUM_NS)
    return;
  store->last_sum_ns = time_ns;
  read_slots(store);
  retire_files(store);
  put_sums(store, time_ns);
  if (!ending && time_ns - store->last_detail_ns < DETAIL_NS)
    return;
  store->last_detail_ns = time_ns;
  put_details(store);
}
