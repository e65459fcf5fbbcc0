/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the regions of a session and the clock by which they are read. Sums are read once a second
 * and written ever more seldom as a capture grows long, so that a file grows with its stacks. */
#include "capture/shim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/error.h"
#include "base/log.h"
#include "base/units.h"
#include "capture/clock.h"
#include "capture/shim_folder.h"
#include "capture/shim_process.h"

#define PROCESSES_HELD_MAX 16384
#define LOOK_NS (100 * NS_PER_MS)
#define LOOK_ITERATION_NS (5 * NS_PER_MS) /* how soon an iteration is seen */
#define COST 50                           /* looking may take one part in so many of the time */
#define POINTS 60                         /* of a site, before they are thinned out */
#define ITERATION_POINTS 60
#define CREDIT_NS (200 * NS_PER_MS) /* that iterations may cost at first */
#define LEARN_NS (5 * NS_PER_MS)    /* for new stacks, at each look */
#define PUT_NS_MAX (60 * NS_PER_S)
#define CALLS_NS (10 * NS_PER_S)
#define ACCOUNT_NS (250 * NS_PER_MS)

struct shim {
  struct shim_options options;
  struct shim_folder *folder;
  struct shim_shared shared;
  struct shim_process **processes;
  uint32_t count;
  uint32_t capacity;
  uint64_t read_from_ns; /* what is due when */
  uint64_t put_from_ns;
  uint64_t calls_from_ns;
  uint64_t account_from_ns;
  uint64_t iteration_from_ns;
  uint64_t first_iteration_ns;
  uint64_t iteration_cost_ns; /* so far */
  struct shim_totals totals;  /* of processes that are done */
  uint64_t lost[6];           /* of the same; by losses[] */
  uint64_t lost_events;
  uint32_t malloc_interval_bytes, python_interval_bytes;
  uint32_t kinds;
  bool has_foreign_allocator;
};

static const struct {
  const char *name;
  size_t offset;
} losses[] = {
    {"lost.heap_stacks", offsetof(struct region_head, lost_sites)},
    {"lost.heap_blocks", offsetof(struct region_head, lost_blocks)},
    {"lost.shim_codes", offsetof(struct region_head, lost_codes)},
    {"lost.shim_modules", offsetof(struct region_head, lost_modules)},
    {"lost.shim_samples", offsetof(struct region_head, lost_samples)},
    {"lost.shim_threads", offsetof(struct region_head, lost_threads)},
};

/* ---- before the command runs ---- */

int shim_new(struct shim **out, const struct shim_options *options) {
  struct shim *shim = calloc(1, sizeof(*shim));
  if (!shim)
    return error_set(ENOMEM, "out of memory");
  shim->options = *options;
  int result = shim_folder_new(&shim->folder, geteuid() == 0);
  if (!result)
    result = heap_sums_new(&shim->shared.heap);
  if (result) {
    shim_free(shim);
    return result;
  }
  *out = shim;
  return 0;
}

void shim_free(struct shim *shim) {
  if (!shim)
    return;
  for (uint32_t i = 0; i < shim->count; i++)
    shim_process_free(shim->processes[i]);
  free(shim->processes);
  heap_sums_free(shim->shared.heap);
  free(shim->shared.stacks.event);
  free(shim->shared.pids.at);
  shim_folder_free(shim->folder);
  free(shim);
}

const char *shim_note(const struct shim *shim) {
  return shim_folder_note(shim->folder);
}

/* Blanks and percent signs as the shim undoes them. */
static void put_word(struct buf *out, const char *text) {
  for (; *text; text++)
    if (*text == ' ' || *text == '%')
      buf_printf(out, "%%%02x", (unsigned)*text);
    else
      buf_put_u8(out, (uint8_t)*text);
}

void shim_environment(const struct shim *shim, uint32_t cpu_hz, struct buf *out) {
  const struct shim_options *options = &shim->options;
  const char *before = getenv("LD_PRELOAD");
  buf_printf(out, "LD_PRELOAD=%s%s%s", options->library, before && *before ? ":" : "",
             before ? before : "");
  buf_put_u8(out, 0);
  buf_put_text(out, REGION_ENVIRONMENT "=");
  put_word(out, shim_folder_path(shim->folder));
  buf_printf(out, " alloc=%s python=%s interval=%llu calls=1 cpu=%u", options->alloc,
             options->python, (unsigned long long)options->interval_bytes, cpu_hz);
  if (options->iteration && !probe_is_spec(options->iteration)) {
    buf_put_text(out, " iteration=");
    put_word(out, options->iteration);
  }
  buf_put_u8(out, 0);
}

int shim_begin(struct shim *shim, const struct shim_sink *sink) {
  shim->shared.sink = *sink;
  shim->shared.stacks = (struct shim_stacks){.stacks = sink->stacks,
                                             .modules = sink->modules,
                                             .event = malloc(sizeof(struct event_stack))};
  if (!shim->shared.stacks.event)
    return error_set(ENOMEM, "out of memory");
  shim->read_from_ns = sink->start_ns;
  shim->calls_from_ns = sink->start_ns + CALLS_NS;
  return 0;
}

/* ---- the list ---- */

static void take_file(void *context, int fd) {
  struct shim *shim = context;
  struct shim_process **grown =
      shim->count < PROCESSES_HELD_MAX
          ? array_grown(shim->processes, shim->count, &shim->capacity, sizeof(*grown))
          : NULL;
  if (!grown) {
    close(fd);
    return;
  }
  shim->processes = grown;
  struct shim_process *process = shim_process_new(fd, clock_now_ns());
  if (process)
    shim->processes[shim->count++] = process;
}

/* Keeps what a region that is done has counted. */
static void keep(struct shim *shim, const struct shim_process *process) {
  const struct region_head *head = &process->head;
  shim->totals.processes++;
  if (shim->totals.peak_bytes < process->peak_bytes)
    shim->totals.peak_bytes = process->peak_bytes;
  shim->totals.allocations += process->allocations;
  shim->totals.live_bytes += shim_process_live_bytes(process);
  for (size_t i = 0; i < sizeof(losses) / sizeof(losses[0]); i++) {
    uint64_t value;
    memcpy(&value, (const uint8_t *)head + losses[i].offset, sizeof(value));
    shim->lost[i] += value;
  }
  shim->lost_events += process->lost_events;
  shim->kinds |= head->kinds;
  shim->has_foreign_allocator |= head->foreign_allocator != 0;
  if (head->alloc_interval_bytes)
    shim->malloc_interval_bytes = head->alloc_interval_bytes;
  if (head->python_interval_bytes)
    shim->python_interval_bytes = head->python_interval_bytes;
}

static void finish(struct shim *shim, struct shim_process *process, uint64_t now_ns,
                   struct shim_process *successor) {
  shim_process_finish(process, &shim->shared, now_ns, successor);
  keep(shim, process);
}

static void drop_done(struct shim *shim) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < shim->count; i++)
    if (shim->processes[i]->stage == SHIM_DONE)
      shim_process_free(shim->processes[i]);
    else
      shim->processes[kept++] = shim->processes[i];
  shim->count = kept;
}

/* A process that begins a second region has called exec, which ended the first. */
static void end_predecessors(struct shim *shim, struct shim_process *successor, uint64_t now_ns) {
  for (uint32_t i = 0; i < shim->count; i++) {
    struct shim_process *process = shim->processes[i];
    if (process != successor && process->stage == SHIM_LIVE && process->pid == successor->pid &&
        process->head.start_ns <= successor->head.start_ns)
      finish(shim, process, now_ns, successor);
  }
}

static void look_at_all(struct shim *shim, uint64_t now_ns) {
  for (uint32_t i = 0; i < shim->count; i++) {
    struct shim_process *process = shim->processes[i];
    bool was_waiting = process->stage == SHIM_WAITING;
    bool had_ended = process->stage == SHIM_LIVE && shim_process_ended(process);
    shim_process_look(process, &shim->shared, now_ns);
    if (process->stage != SHIM_LIVE)
      continue;
    if (was_waiting)
      end_predecessors(shim, process, now_ns);
    if (had_ended) /* before it was looked at: nothing is added any more */
      finish(shim, process, now_ns, NULL);
    else
      shim_process_events(process, &shim->shared, now_ns, false);
  }
}

/* ---- the clock ---- */

static uint64_t longer(uint64_t a, uint64_t b) {
  return a > b ? a : b;
}

static bool has_iterated(const struct shim_process *process) {
  return process->stage == SHIM_LIVE && process->head.iterations != process->iterations;
}

static bool iterations_moved(struct shim *shim, uint64_t now_ns) {
  bool moved = false;
  for (uint32_t i = 0; i < shim->count && !moved; i++)
    moved = has_iterated(shim->processes[i]);
  if (moved && !shim->first_iteration_ns)
    shim->first_iteration_ns = now_ns;
  return moved && now_ns >= shim->iteration_from_ns;
}

bool shim_covers(const struct shim *shim, uint32_t pid) {
  for (uint32_t i = 0; i < shim->count; i++)
    if (shim->processes[i]->pid == pid && shim->processes[i]->stage == SHIM_LIVE)
      return true;
  return false;
}

static uint64_t total_live_bytes(const struct shim *shim) {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < shim->count; i++)
    bytes += shim_process_live_bytes(shim->processes[i]);
  return bytes;
}

/* All regions; or, between readings by the clock, those in which an iteration ended. */
static void read_regions(struct shim *shim, uint64_t now_ns, bool all) {
  for (uint32_t i = 0; i < shim->count; i++) {
    struct shim_process *process = shim->processes[i];
    if (process->stage != SHIM_LIVE || (!all && !has_iterated(process)))
      continue;
    shim_process_sites(process, &shim->shared, now_ns, false);
    shim_process_memory(process, &shim->shared, now_ns, all); /* /proc costs too much in between */
  }
  uint64_t live_bytes = total_live_bytes(shim);
  if (shim->totals.peak_bytes < live_bytes)
    shim->totals.peak_bytes = live_bytes;
}

static void put_all(struct shim *shim, uint64_t now_ns, bool all) {
  const struct shim_sink *sink = &shim->shared.sink;
  heap_sums_put(shim->shared.heap, sink->writer, now_ns - sink->start_ns, all);
}

/* What is due of sums: on the clock, or because an iteration ended. */
static void take_sums(struct shim *shim, uint64_t now_ns) {
  uint64_t elapsed_ns = now_ns - shim->shared.sink.start_ns, begin_ns = clock_cost_ns();
  bool reads = now_ns >= shim->read_from_ns;
  bool is_iteration =
      iterations_moved(shim, now_ns) && shim->iteration_cost_ns <= CREDIT_NS + elapsed_ns / COST;
  if (!reads && !is_iteration)
    return;
  read_regions(shim, now_ns, reads);
  if (is_iteration || now_ns >= shim->put_from_ns) {
    put_all(shim, now_ns, false);
    uint64_t wait_ns = longer(shim->options.snapshot_ns, elapsed_ns / POINTS);
    shim->put_from_ns = now_ns + (wait_ns < PUT_NS_MAX ? wait_ns : PUT_NS_MAX);
  }
  uint64_t cost_ns = clock_cost_ns() - begin_ns;
  if (reads)
    shim->read_from_ns =
        now_ns + longer(shim->options.snapshot_ns * (1 + shim->count / 16), cost_ns * COST);
  if (!is_iteration)
    return;
  if (shim->iteration_from_ns) /* the first meets the stacks of the start, which any look would */
    shim->iteration_cost_ns += cost_ns;
  shim->iteration_from_ns = now_ns + (now_ns - shim->first_iteration_ns) / ITERATION_POINTS;
}

static void take_calls(struct shim *shim, uint64_t now_ns) {
  if (now_ns < shim->calls_from_ns)
    return;
  shim->calls_from_ns = now_ns + CALLS_NS;
  for (uint32_t i = 0; i < shim->count; i++)
    if (shim->processes[i]->stage == SHIM_LIVE)
      shim_process_calls(shim->processes[i], &shim->shared);
}

static void take_accounts(struct shim *shim, uint64_t now_ns) {
  struct account_store *accounts = shim->shared.sink.accounts;
  uint64_t begin_ns = clock_cost_ns();
  if (!accounts || now_ns < shim->account_from_ns)
    return;
  for (uint32_t i = 0; i < shim->count; i++)
    if (shim->processes[i]->stage == SHIM_LIVE && !shim->processes[i]->has_ended)
      account_store_read(accounts, shim->processes[i]->pid, now_ns);
  shim->account_from_ns = now_ns + longer(ACCOUNT_NS, (clock_cost_ns() - begin_ns) * COST);
}

static void learn(struct shim *shim, uint64_t now_ns) {
  uint64_t budget_ns = LEARN_NS;
  for (uint32_t i = 0; i < shim->count && budget_ns; i++)
    if (shim->processes[i]->stage == SHIM_LIVE)
      budget_ns = shim_process_learn(shim->processes[i], &shim->shared, now_ns, budget_ns);
}

uint64_t shim_tick(struct shim *shim, uint64_t now_ns) {
  uint64_t pause_ns = shim->options.iteration ? LOOK_ITERATION_NS : LOOK_NS;
  if (shim->options.snapshot_ns < pause_ns)
    pause_ns = shim->options.snapshot_ns;
  uint64_t begin_ns = clock_cost_ns();
  shim_folder_take(shim->folder, take_file, shim);
  look_at_all(shim, now_ns);
  drop_done(shim);
  uint64_t cost_ns = clock_cost_ns() - begin_ns;
  learn(shim, now_ns);
  take_sums(shim, now_ns);
  take_calls(shim, now_ns);
  take_accounts(shim, now_ns);
  return longer(pause_ns, cost_ns * COST);
}

void shim_end(struct shim *shim, uint64_t now_ns) {
  shim_folder_take(shim->folder, take_file, shim);
  shim->shared.pids.list_from_ns = 0; /* the last chance */
  look_at_all(shim, now_ns);
  if (shim->shared.sink.accounts)
    for (uint32_t i = 0; i < shim->count; i++)
      if (shim->processes[i]->stage == SHIM_LIVE && !shim_process_ended(shim->processes[i]))
        account_store_read(shim->shared.sink.accounts, shim->processes[i]->pid, now_ns);
  read_regions(shim, now_ns, true);
  for (uint32_t i = 0; i < shim->count; i++)
    if (shim->processes[i]->stage == SHIM_LIVE)
      finish(shim, shim->processes[i], now_ns, NULL);
  put_all(shim, now_ns, true);
}

/* ---- what came of it ---- */

static bool counts(const struct shim *shim, enum region_kind kind) {
  return shim->kinds >> kind & 1;
}

uint64_t shim_put_facts(const struct shim *shim, struct trace_writer *writer) {
  uint64_t lost = shim->lost_events;
  for (size_t i = 0; i < sizeof(losses) / sizeof(losses[0]); i++) {
    trace_put_counter(writer, losses[i].name, shim->lost[i]);
    lost += shim->lost[i];
  }
  trace_put_counter(writer, "lost.shim_events", shim->lost_events);
  if (counts(shim, REGION_MALLOC))
    trace_put_counter(writer, "memory.malloc_interval_bytes", shim->malloc_interval_bytes);
  if (counts(shim, REGION_PYTHON))
    trace_put_counter(writer, "memory.python_interval_bytes", shim->python_interval_bytes);
  trace_put_counter(writer, "memory.foreign_allocator", shim->has_foreign_allocator);
  return lost;
}

struct shim_totals shim_totals(const struct shim *shim) {
  struct shim_totals totals = shim->totals;
  totals.samples = shim->shared.samples;
  totals.counts_heap = counts(shim, REGION_MALLOC) || counts(shim, REGION_PYTHON);
  return totals;
}
