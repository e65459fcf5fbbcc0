/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the reading of one region on a clock: what changed since the last time goes into the trace.
 */
#include "capture/shim_process.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture/clock.h"
#include "capture/naming.h"
#include "capture/points.h"

#define SITE_BATCH 256
#define UNKNOWN_NS NS_PER_S /* how long BPF may take to tell of a process */
#define STUCK_NS NS_PER_S   /* an event that is not finished by then never will be */
#define PERIODS_MAX 100     /* that one sample may stand for */
#define ASK_NS (5 * NS_PER_S)
#define WALK_COST 200 /* the walk of page tables may take one part in so many of the time */

/* What was known of a site after the last reading. */
struct site_seen {
  bool is_known; /* node and about hold */
  uint32_t node;
  uint32_t about; /* heap: its id in the trace; call: the thread of the slow one seen last */
  uint64_t waiting_bytes; /* allocated and freed, when it was read last without being known */
  uint64_t counts[4]; /* allocations, allocated_bytes, frees, freed_bytes; for a call, the two last
                         are the calls and ns that were written */
};

static const struct {
  const char *name;
  enum wait_reason reason;
} calls[] = {
#define CALL_ROW(name, text, reason) {text, reason},
    REGION_CALLS_LIST(CALL_ROW)
#undef CALL_ROW
};

static uint64_t since_start(const struct shim_shared *shared, uint64_t time_ns) {
  return time_ns > shared->sink.start_ns ? time_ns - shared->sink.start_ns : 0;
}

struct shim_process *shim_process_new(int fd, uint64_t now_ns) {
  struct stat info;
  struct shim_process *process = fstat(fd, &info) ? NULL : calloc(1, sizeof(*process));
  if (!process) {
    close(fd);
    return NULL;
  }
  process->source.fd = fd;
  process->inode = info.st_ino;
  process->owner = info.st_uid;
  process->pidfd = -1;
  process->seen_ns = now_ns;
  return process;
}

void shim_process_free(struct shim_process *process) {
  if (!process)
    return;
  close(process->source.fd);
  if (process->pidfd >= 0)
    close(process->pidfd);
  shim_image_fini(&process->image);
  free(process->sites);
  free(process->calls_before);
  hash_fini(&process->tids);
  free(process);
}

uint64_t shim_process_live_bytes(const struct shim_process *process) {
  return process->allocated_bytes > process->freed_bytes
             ? process->allocated_bytes - process->freed_bytes
             : 0;
}

/* ---- sites ---- */

static struct site_seen *seen_site(struct shim_process *process, uint32_t index) {
  if (index >= process->site_capacity) {
    uint32_t capacity = index < 512 ? 1024 : index * 2;
    struct site_seen *grown = reallocarray(process->sites, capacity, sizeof(*grown));
    if (!grown)
      return NULL;
    memset(grown + process->site_capacity, 0, (capacity - process->site_capacity) * sizeof(*grown));
    process->sites = grown;
    process->site_capacity = capacity;
  }
  return &process->sites[index];
}

/* Gives a site its node, and a heap site its id. False while its stack is not there yet. */
static bool know(struct shim_process *process, struct shim_shared *shared, uint32_t index,
                 const struct region_site *site, struct site_seen *seen, uint64_t now_ns) {
  uint32_t kind = region_site_kind(index, site);
  if (seen->is_known)
    return true;
  if (index > REGION_CALLS && site->state != 1)
    return false;
  if (index > REGION_CALLS)
    seen->node = shim_image_node(&process->image, &shared->stacks, &process->source, &process->head,
                                 site, now_ns);
  if (kind < REGION_HEAP_KINDS)
    seen->about = trace_put_heap_site(
        shared->sink.writer,
        &(struct trace_heap_site){.pid = process->pid, .node = seen->node, .kind = kind});
  seen->is_known = true;
  return true;
}

static uint64_t growth(uint64_t *seen, uint64_t now) {
  uint64_t grown = now > *seen ? now - *seen : 0;
  *seen += grown;
  return grown;
}

static void take_heap(struct shim_shared *shared, const struct region_site *site,
                      struct site_seen *seen) {
  struct trace_heap heap = {.site = seen->about,
                            .allocations = growth(&seen->counts[0], site->allocations),
                            .allocated_bytes = growth(&seen->counts[1], site->allocated_bytes),
                            .frees = growth(&seen->counts[2], site->frees),
                            .freed_bytes = growth(&seen->counts[3], site->freed_bytes),
                            .peak_bytes = site->peak_bytes};
  heap_sums_add(shared->heap, &heap);
}

/* What the descriptor told, or what the call usually waits for. */
static enum wait_reason reason_of(uint32_t call, uint64_t told) {
  return told && told < WAIT_REASONS ? told : calls[call].reason;
}

/* The calls of a site that were no events of their own. Those counted since the last reading are
 * left for the next: the event of one may not have been read yet. */
static void take_waits(struct shim_process *process, struct shim_shared *shared, uint32_t kind,
                       const struct region_site *site, struct site_seen *seen, uint64_t now_ns) {
  uint64_t count = seen->counts[0], total_ns = seen->counts[1];
  growth(&seen->counts[0], site->allocations);
  growth(&seen->counts[1], site->allocated_bytes);
  if (count <= seen->counts[2] || total_ns <= seen->counts[3])
    return;
  uint64_t blocked_ns = total_ns - seen->counts[3];
  uint32_t thread =
      seen->about ? seen->about : thread_store_id(shared->sink.threads, process->pid, process->pid);
  trace_put_wait(
      shared->sink.writer,
      &(struct trace_wait){.start_ns = since_start(shared, process->waits_ns),
                           .span_ns = now_ns - process->waits_ns,
                           .blocked_ns = blocked_ns,
                           .max_ns = site->peak_bytes < blocked_ns ? site->peak_bytes : blocked_ns,
                           .count = count - seen->counts[2],
                           .thread = thread,
                           .node = seen->node,
                           .reason = reason_of(kind - REGION_CALLS, site->wait_reason)});
  seen->counts[2] = count;
  seen->counts[3] = total_ns;
}

static bool is_unchanged(const struct region_site *site, const struct site_seen *seen) {
  return site->allocations == seen->counts[0] && site->allocated_bytes == seen->counts[1] &&
         site->frees == seen->counts[2] && site->freed_bytes == seen->counts[3];
}

/* Whether a site goes on counting while its stack is not known yet: that one cannot wait. */
static bool is_active(const struct region_site *site, struct site_seen *seen) {
  uint64_t bytes = site->allocated_bytes + site->freed_bytes, before = seen->waiting_bytes;
  seen->waiting_bytes = bytes;
  return before && before != bytes;
}

static void take_site(struct shim_process *process, struct shim_shared *shared, uint32_t index,
                      const struct region_site *site, uint64_t now_ns, bool final) {
  uint32_t kind = region_site_kind(index, site);
  bool is_heap = kind < REGION_HEAP_KINDS;
  bool is_call = kind >= REGION_CALLS && kind < REGION_CALLS + REGION_CALL_COUNT;
  if (!is_heap && !(is_call && shared->sink.accounts))
    return;
  struct site_seen *seen = seen_site(process, index);
  if (!seen || is_unchanged(site, seen))
    return;
  if (!seen->is_known && !final && !is_active(site, seen))
    return;
  if (!know(process, shared, index, site, seen, now_ns))
    return;
  if (is_heap)
    take_heap(shared, site, seen);
  else
    take_waits(process, shared, kind, site, seen, now_ns);
}

/* The next sites from `first` on; returns how many. */
static uint32_t read_batch(const struct shim_process *process, uint32_t first,
                           struct region_site sites[SITE_BATCH]) {
  uint32_t left = process->head.site_count - first;
  return region_read_sites(&process->source, first, left < SITE_BATCH ? left : SITE_BATCH, sites);
}

uint64_t shim_process_learn(struct shim_process *process, struct shim_shared *shared,
                            uint64_t now_ns, uint64_t budget_ns) {
  struct region_site sites[SITE_BATCH];
  uint64_t begin_ns = clock_cost_ns(), cost_ns = 0;
  while (process->learn_next < process->head.site_count && cost_ns < budget_ns) {
    uint32_t got = read_batch(process, process->learn_next, sites);
    if (!got)
      break;
    for (uint32_t i = 0; i < got && cost_ns < budget_ns; i++) {
      uint32_t index = process->learn_next++;
      struct site_seen *seen = seen_site(process, index);
      if (seen && region_site_kind(index, &sites[i]) < REGION_HEAP_KINDS && sites[i].allocations)
        know(process, shared, index, &sites[i], seen, now_ns);
      cost_ns = i % 16 ? cost_ns : clock_cost_ns() - begin_ns;
    }
  }
  return cost_ns < budget_ns ? budget_ns - cost_ns : 0;
}

static void raise_to(uint64_t *to, uint64_t value) {
  if (*to < value)
    *to = value;
}

void shim_process_sites(struct shim_process *process, struct shim_shared *shared, uint64_t now_ns,
                        bool final) {
  struct region_site sites[SITE_BATCH];
  uint64_t allocations = 0, allocated_bytes = 0, freed_bytes = 0;
  for (uint32_t first = 0, got; first < process->head.site_count; first += got) {
    got = read_batch(process, first, sites);
    if (!got)
      break;
    for (uint32_t i = 0; i < got; i++) {
      take_site(process, shared, first + i, &sites[i], now_ns, final);
      if (region_site_kind(first + i, &sites[i]) > REGION_PYTHON)
        continue;
      allocations += sites[i].allocations;
      allocated_bytes += sites[i].allocated_bytes;
      freed_bytes += sites[i].freed_bytes;
    }
  }
  process->waits_ns = now_ns;
  raise_to(&process->allocations, allocations);
  raise_to(&process->allocated_bytes, allocated_bytes);
  raise_to(&process->freed_bytes, freed_bytes);
  raise_to(&process->peak_bytes, shim_process_live_bytes(process));
  raise_to(&process->peak_bytes, process->head.peak_bytes);
}

/* ---- events ---- */

struct event_taking {
  struct shim_process *process;
  struct shim_shared *shared;
  uint64_t now_ns;
};

/* The thread of an event, as the profiler sees it. */
static uint32_t tid_of(struct shim_process *process, const struct region_event *event) {
  if (process->pid == process->head.pid)
    return event->tid;
  uint32_t *known = hash_get(&process->tids, event->tid);
  if (known)
    return *known;
  uint32_t tid = shim_pid_thread(process->pid, event->tid);
  hash_put(&process->tids, event->tid, tid);
  return tid;
}

/* The site of an event; NULL when it makes no sense. */
static struct site_seen *site_of(const struct event_taking *taking, uint32_t index) {
  struct shim_process *process = taking->process;
  struct region_site site;
  if (index >= process->head.site_count)
    return NULL;
  struct site_seen *seen = seen_site(process, index);
  if (!seen || seen->is_known)
    return seen;
  bool known = region_read_sites(&process->source, index, 1, &site) == 1 &&
               know(process, taking->shared, index, &site, seen, taking->now_ns);
  return known ? seen : NULL;
}

/* A node that says why there is none. */
static uint32_t node_of(const struct event_taking *taking, const struct site_seen *seen) {
  return seen && seen->node ? seen->node : stack_store_node(taking->shared->sink.stacks, 0);
}

static void on_sample(const struct event_taking *taking, const struct region_event *event) {
  const struct shim_sink *sink = &taking->shared->sink;
  uint32_t pid = taking->process->pid, tid = tid_of(taking->process, event);
  uint64_t periods = event->value < PERIODS_MAX ? event->value : PERIODS_MAX;
  if (!sink->accounts)
    return;
  account_store_sample(sink->accounts, pid, tid, event->time_ns, periods);
  struct trace_sample sample = {.time_ns = since_start(taking->shared, event->time_ns),
                                .thread = thread_store_id(sink->threads, pid, tid),
                                .node = node_of(taking, site_of(taking, event->site))};
  for (uint64_t i = 0; i < periods; i++)
    trace_put_sample(sink->writer, &sample);
  taking->shared->samples += periods;
}

static void put_wait(const struct event_taking *taking, const struct region_event *event,
                     struct site_seen *seen, uint32_t thread) {
  trace_put_wait(taking->shared->sink.writer,
                 &(struct trace_wait){.start_ns = since_start(taking->shared, event->time_ns),
                                      .span_ns = event->value,
                                      .blocked_ns = event->value,
                                      .max_ns = event->value,
                                      .count = 1,
                                      .thread = thread,
                                      .node = node_of(taking, seen),
                                      .reason = reason_of(event->call, event->waits)});
  if (!seen)
    return;
  seen->about = thread;
  seen->counts[2]++;
  seen->counts[3] += event->value;
}

static void on_call(const struct event_taking *taking, const struct region_event *event) {
  const struct shim_sink *sink = &taking->shared->sink;
  if (event->call >= REGION_CALL_COUNT)
    return;
  uint32_t thread =
      thread_store_id(sink->threads, taking->process->pid, tid_of(taking->process, event));
  struct site_seen *seen = event->site > REGION_CALLS ? site_of(taking, event->site) : NULL;
  trace_put_slow_call(sink->writer, &(struct trace_slow_call){
                                        .time_ns = since_start(taking->shared, event->time_ns),
                                        .duration_ns = event->value,
                                        .result = event->result,
                                        .thread = thread,
                                        .node = node_of(taking, seen),
                                        .name = calls[event->call].name});
  if (sink->accounts)
    put_wait(taking, event, seen, thread);
}

static void on_thread_end(const struct event_taking *taking, const struct region_event *event) {
  struct event_thread ended = {.tgid = taking->process->pid,
                               .tid = tid_of(taking->process, event),
                               .time_ns = event->time_ns,
                               .start_ns = (uint64_t)event->result,
                               .on_cpu_ns = event->value};
  memcpy(ended.name, taking->process->head.name, sizeof(ended.name));
  if (taking->shared->sink.accounts)
    account_store_thread_end(taking->shared->sink.accounts, &ended);
}

static void on_event(void *context, const struct region_event *event) {
  const struct event_taking *taking = context;
  if (event->type == REGION_EVENT_SAMPLE)
    on_sample(taking, event);
  else if (event->type == REGION_EVENT_CALL)
    on_call(taking, event);
  else if (event->type == REGION_EVENT_THREAD)
    on_thread_end(taking, event);
}

void shim_process_events(struct shim_process *process, struct shim_shared *shared, uint64_t now_ns,
                         bool final) {
  struct event_taking taking = {process, shared, now_ns};
  bool is_stuck = process->next_event == process->event_at_last_look &&
                  now_ns - process->event_since_ns > STUCK_NS;
  if (process->next_event != process->event_at_last_look || !process->event_since_ns) {
    process->event_at_last_look = process->next_event;
    process->event_since_ns = now_ns;
  }
  if (process->next_event >= process->head.event_count) {
    process->event_since_ns = now_ns;
    return;
  }
  process->lost_events += region_read_events(&process->source, &process->head, &process->next_event,
                                             final || is_stuck, on_event, &taking);
}

/* ---- memory and calls ---- */

static uint64_t file_bytes(const struct shim_process *process) {
  struct stat info;
  return fstat(process->source.fd, &info) ? 0 : (uint64_t)info.st_blocks * 512;
}

static void take_off(struct trace_memory *memory, enum memory_metric metric, uint64_t bytes) {
  uint64_t *value = &memory->values[metric];
  *value = *value > bytes ? *value - bytes : 0;
}

/* What /proc says, without what the shim brought along. */
static void read_proc(struct shim_process *process, const struct shim_shared *shared,
                      uint64_t now_ns, struct trace_memory *memory) {
  struct memory_walk *walk = &process->walk;
  if (!memory_read_process((pid_t)process->pid, memory))
    return;
  if (now_ns >= process->walk_from_ns) {
    uint64_t begin_ns = clock_cost_ns();
    if (memory_walk((pid_t)process->pid, walk)) {
      memory_set(memory, MEMORY_PSS, walk->pss_bytes);
      points_put_walk(shared->sink.writer, memory->time_ns, process->pid, walk);
    }
    process->walk_from_ns = now_ns + (clock_cost_ns() - begin_ns) * WALK_COST;
  }
  uint64_t region_bytes = file_bytes(process);
  take_off(memory, MEMORY_RSS, walk->shim_bytes + region_bytes);
  take_off(memory, MEMORY_ANONYMOUS, walk->shim_bytes);
  take_off(memory, MEMORY_SHARED, region_bytes);
  take_off(memory, MEMORY_PSS, walk->shim_pss_bytes);
  take_off(memory, MEMORY_VIRTUAL, process->head.shim_bytes + sizeof(struct region));
  memory_read_cgroup((pid_t)process->pid, memory);
}

static void put_mallinfo(const struct region_mallinfo *info, struct trace_memory *memory) {
  if (!info->time_ns)
    return;
  memory_set(memory, MEMORY_MALLOC_ARENA, info->arena_bytes);
  memory_set(memory, MEMORY_MALLOC_MAPPED, info->mapped_bytes);
  memory_set(memory, MEMORY_MALLOC_USED, info->used_bytes);
  memory_set(memory, MEMORY_MALLOC_FREE, info->free_bytes);
  memory_set(memory, MEMORY_MALLOC_TRIM, info->trim_bytes);
}

/* Has the process ask mallinfo2 when it comes by. */
static void ask(struct shim_process *process, uint64_t now_ns) {
  if (now_ns < process->ask_from_ns || process->has_ended)
    return;
  process->ask_from_ns = now_ns + ASK_NS;
  uint32_t asked = ++process->asked;
  if (pwrite(process->source.fd, &asked, sizeof(asked), offsetof(struct region, asked)) < 0)
    process->ask_from_ns = UINT64_MAX;
}

void shim_process_memory(struct shim_process *process, const struct shim_shared *shared,
                         uint64_t now_ns, bool with_proc) {
  const struct region_head *head = &process->head;
  struct trace_memory memory = {.time_ns = since_start(shared, now_ns), .pid = process->pid};
  if (with_proc)
    read_proc(process, shared, now_ns, &memory);
  if (head->kinds & (1u << REGION_MALLOC | 1u << REGION_PYTHON)) {
    memory_set(&memory, MEMORY_HEAP_LIVE, shim_process_live_bytes(process));
    memory_set(&memory, MEMORY_HEAP_PEAK, process->peak_bytes);
  }
  memory_set(&memory, MEMORY_SHIM, process->walk.shim_bytes + file_bytes(process));
  memory_set(&memory, MEMORY_ITERATIONS, head->iterations);
  put_mallinfo(&head->mallinfo, &memory);
  trace_put_memory(shared->sink.writer, &memory);
  process->iterations = head->iterations;
  ask(process, now_ns);
}

static void add_calls(struct region_call_total *to, const struct region_call_total *from) {
  to->count += from->count;
  to->errors += from->errors;
  to->bytes += from->bytes;
  to->total_ns += from->total_ns;
  if (to->max_ns < from->max_ns)
    to->max_ns = from->max_ns;
  for (uint32_t i = 0; i < REGION_BUCKETS; i++)
    to->buckets[i] += from->buckets[i];
}

/* A call's totals, with those from before an exec. */
static bool read_call(const struct shim_process *process, uint32_t i,
                      struct region_call_total *total) {
  if (!region_read_call(&process->source, i, total))
    return false;
  if (process->calls_before)
    add_calls(total, &process->calls_before[i]);
  return true;
}

static void hand_on_calls(const struct shim_process *process, struct shim_process *successor) {
  if (!successor->calls_before)
    successor->calls_before = calloc(REGION_CALL_COUNT, sizeof(*successor->calls_before));
  for (uint32_t i = 0; successor->calls_before && i < REGION_CALL_COUNT; i++) {
    struct region_call_total total;
    if (read_call(process, i, &total))
      add_calls(&successor->calls_before[i], &total);
  }
}

void shim_process_calls(struct shim_process *process, const struct shim_shared *shared) {
  for (uint32_t i = 0; i < REGION_CALL_COUNT; i++) {
    struct region_call_total total;
    if (!read_call(process, i, &total) || total.count <= process->call_counts[i])
      continue;
    process->call_counts[i] = total.count;
    struct trace_call call = {.pid = process->pid,
                              .name = calls[i].name,
                              .count = total.count,
                              .errors = total.errors,
                              .bytes = total.bytes,
                              .total_ns = total.total_ns,
                              .max_ns = total.max_ns};
    _Static_assert(sizeof(call.buckets) == sizeof(total.buckets), "one histogram");
    memcpy(call.buckets, total.buckets, sizeof(call.buckets));
    trace_put_call(shared->sink.writer, &call);
  }
}

/* ---- life ---- */

bool shim_process_ended(struct shim_process *process) {
  struct pollfd poll_fd = {.fd = process->pidfd, .events = POLLIN};
  if (!process->has_ended && process->pidfd >= 0)
    process->has_ended = poll(&poll_fd, 1, 0) == 1;
  else if (!process->has_ended)
    process->has_ended = !shim_pid_lives(process->pid);
  return process->has_ended;
}

/* Enters the process into the store and the trace. False when it is none of the capture's; *later
 * when BPF has yet to tell of it. */
static bool enter(struct shim_process *process, const struct shim_shared *shared, uint64_t now_ns,
                  bool *later) {
  const struct shim_sink *sink = &shared->sink;
  struct process *entry = process_store_get(sink->processes, process->pid);
  if (!sink->accounts && process_store_last(sink->processes, process->pid))
    return true;
  if (!sink->accounts && now_ns - process->seen_ns < UNKNOWN_NS) {
    *later = true;
    return false;
  }
  if (!sink->follow_children && !(entry && entry->is_target))
    return false;
  if (entry)
    process_store_exec(sink->processes, entry, entry->generation + 1);
  else if (process_store_add(sink->processes, process->pid, &entry))
    entry = process_store_add_gone(sink->processes, process->pid, process->head.parent_pid,
                                   process->head.name);
  if (!entry)
    return false;
  if (!entry->is_target && !entry->start_ns)
    entry->start_ns = since_start(shared, process->head.start_ns);
  process_put(entry, sink->writer);
  return true;
}

static void begin(struct shim_process *process, struct shim_shared *shared, uint64_t now_ns) {
  bool later = false;
  if (process->pidfd < 0) {
    process->pid = shim_pid_find(&shared->pids, process->head.pid, process->head.name,
                                 process->inode, process->seen_ns, now_ns, &process->has_ended);
    if (!process->pid)
      return;
    process->pidfd = process->has_ended ? -1 : shim_pid_open(process->pid);
  }
  if (!shim_pid_may_own(process->pid, process->owner)) {
    process->stage = SHIM_DONE;
    return;
  }
  shim_image_fini(&process->image);
  shim_image_init(&process->image, process->pid);
  process->image.is_current = !process->has_ended;
  process->waits_ns = now_ns;
  if (enter(process, shared, now_ns, &later))
    process->stage = SHIM_LIVE;
  else if (!later)
    process->stage = SHIM_DONE;
}

void shim_process_look(struct shim_process *process, struct shim_shared *shared, uint64_t now_ns) {
  struct region_head head;
  if (region_read_head(&process->source, &head) != REGION_READ_OK)
    return;
  if (shared->sink.programs)
    head.iterations = programs_iterations(shared->sink.programs, process->pid);
  process->head = head;
  if (process->stage == SHIM_WAITING)
    begin(process, shared, now_ns);
}

static void end_process(struct shim_process *process, struct shim_shared *shared, uint64_t now_ns) {
  const struct shim_sink *sink = &shared->sink;
  struct process *entry = process_store_get(sink->processes, process->pid);
  account_store_process_end(sink->accounts, process->pid, now_ns);
  if (!entry)
    return;
  process_store_end(sink->processes, entry, since_start(shared, now_ns));
  process_put(entry, sink->writer);
}

void shim_process_finish(struct shim_process *process, struct shim_shared *shared, uint64_t now_ns,
                         struct shim_process *successor) {
  process->image.is_current &= !successor;
  shim_process_look(process, shared, now_ns);
  shim_process_events(process, shared, now_ns, true);
  shim_process_sites(process, shared, now_ns, true);
  if (shared->sink.accounts) /* once more, for what the last reading left over */
    shim_process_sites(process, shared, now_ns, true);
  shim_process_calls(process, shared);
  shim_process_memory(process, shared, now_ns, false);
  if (successor)
    hand_on_calls(process, successor);
  name_jit_frames(shared->stacks.stacks, &process->image.process, shared->sink.writer);
  if (shared->sink.accounts && process->has_ended && !successor && !shim_pid_lives(process->pid))
    end_process(process, shared, now_ns);
  process->stage = SHIM_DONE;
}
