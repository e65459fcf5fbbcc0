/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the list of profiled processes and keeps BPF's tables of them, if there are any, up to date.
 */
#include "capture/process.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/units.h"
#include "capture/clock.h"
#include "capture/maps.h"
#include "capture/regions.h"

#define PATIENCE_MIN_NS (2 * NS_PER_MS)
#define PATIENCE_MAX_NS NS_PER_S
#define DEBUG_OFFSETS_BYTES 1024

struct process_store {
  struct module_store *modules;
  struct process_maps maps;
  struct region_store *regions;
  struct process **processes; /* also ended ones: they are reported at the end */
  size_t count;
  size_t capacity;
  struct hash by_pid;                            /* PID → index + 1; 0: ended */
  uint32_t python_versions[PYTHON_VERSIONS_MAX]; /* by slot; 0: free */
};

int process_store_new(struct process_store **out, struct module_store *modules,
                      const struct process_maps *maps) {
  struct process_store *store = calloc(1, sizeof(*store));
  if (!store)
    return error_set(ENOMEM, "out of memory");
  store->modules = modules;
  store->maps = *maps;
  int result = maps->mappings ? region_store_new(&store->regions, maps->mappings) : 0;
  if (result) {
    free(store);
    return result;
  }
  *out = store;
  return 0;
}

void process_store_free(struct process_store *store) {
  if (!store)
    return;
  for (size_t i = 0; i < store->count; i++) {
    free(store->processes[i]->executable);
    free(store->processes[i]->mappings);
    free(store->processes[i]);
  }
  free(store->processes);
  hash_fini(&store->by_pid);
  region_store_free(store->regions);
  free(store);
}

struct process *process_store_get(struct process_store *store, uint32_t pid) {
  uint32_t *at = hash_get(&store->by_pid, pid);
  return at && *at ? store->processes[*at - 1] : NULL;
}

struct process *process_store_at(struct process_store *store, size_t index) {
  return store->processes[index];
}

size_t process_store_count(const struct process_store *store) {
  return store->count;
}

static struct process *new_process(struct process_store *store, uint32_t pid) {
  if (store->count == store->capacity) {
    size_t capacity = store->capacity ? store->capacity * 2 : 16;
    struct process **grown = realloc(store->processes, capacity * sizeof(struct process *));
    if (!grown)
      return NULL;
    store->processes = grown;
    store->capacity = capacity;
  }
  struct process *process = calloc(1, sizeof(*process));
  if (!process || hash_put(&store->by_pid, pid, (uint32_t)store->count + 1)) {
    free(process);
    return NULL;
  }
  process->pid = pid;
  store->processes[store->count++] = process;
  return process;
}

/* A process that turned out to be none. */
static void drop_last(struct process_store *store) {
  struct process *process = store->processes[--store->count];
  if (store->maps.processes_fd >= 0)
    bpf_map_delete_elem(store->maps.processes_fd, &process->pid);
  hash_put(&store->by_pid, process->pid, 0);
  free(process->executable);
  free(process);
}

/* ---- mappings ---- */

struct map_list {
  struct process_store *store;
  pid_t pid;
  struct mapping *at;
  size_t count;
  size_t capacity;
};

static int add_mapping(void *context, const struct maps_line *line) {
  struct map_list *list = context;
  if (!strcmp(line->path, "[vsyscall]"))
    return 0;
  if (list->count == list->capacity) {
    size_t capacity = list->capacity ? list->capacity * 2 : 64;
    struct mapping *grown = realloc(list->at, capacity * sizeof(*grown));
    if (!grown)
      return error_set(ENOMEM, "out of memory");
    list->at = grown;
    list->capacity = capacity;
  }
  bool is_file = line->path[0] == '/' || !strcmp(line->path, "[vdso]");
  struct module_request request = {.pid = list->pid,
                                   .start = line->start,
                                   .end = line->end,
                                   .device = line->device,
                                   .inode = line->inode,
                                   .path = line->path};
  struct module *module = is_file ? module_store_find(list->store->modules, &request) : NULL;
  list->at[list->count++] = (struct mapping){
      .start = line->start,
      .end = line->end,
      .offset = line->offset,
      .vaddr = module ? unwind_table_vaddr(&module->table, line->offset) : UINT64_MAX,
      .module = module};
  return 0;
}

/* Whether a known address range now holds something else. */
static bool was_replaced(const struct process *process, const struct map_list *list) {
  for (size_t old = 0, new = 0; old < process->mapping_count &&new < list->count;) {
    const struct mapping *a = &process->mappings[old], *b = &list->at[new];
    bool overlap = a->start < b->end && b->start < a->end;
    if (overlap && (a->module != b->module || a->start - a->offset != b->start - b->offset))
      return true;
    if (a->end <= b->end)
      old++;
    else
      new ++;
  }
  return false;
}

static bool is_same(const struct process *process, const struct map_list *list) {
  return process->mapping_count == list->count &&
         (!list->count ||
          !memcmp(process->mappings, list->at, list->count * sizeof(struct mapping)));
}

/* ---- the BPF side ---- */

/* The entries of one mapping: a module's table may be in several pieces. Returns how many; with
 * `out` NULL only counts. */
static size_t describe(const struct mapping *mapping, struct unwind_mapping *out) {
  const struct module *module = mapping->module;
  struct unwind_mapping plain = {
      .start = mapping->start, .end = mapping->end, .segment = SEGMENT_NONE};
  if (mapping->vaddr == UINT64_MAX || !module->piece_count) {
    if (out)
      *out = plain;
    return 1;
  }
  uint64_t first = mapping->vaddr - module->table.base_vaddr;
  uint64_t last = first + (mapping->end - mapping->start);
  size_t count = 0;
  for (uint32_t i = 0; i < module->piece_count; i++) {
    const struct table_piece *piece = &module->pieces[i];
    uint64_t begin = piece->begin > first ? piece->begin : first;
    uint64_t end = piece->end < last ? piece->end : last;
    if (begin >= end)
      continue;
    if (out)
      out[count] = (struct unwind_mapping){.start = mapping->start + (begin - first),
                                           .end = mapping->start + (end - first),
                                           .base = mapping->start - first + piece->begin,
                                           .segment = piece->segment,
                                           .index_first = piece->index_first,
                                           .page_count = piece->page_count,
                                           .row_first = piece->row_first,
                                           .row_end = piece->row_end};
    count++;
  }
  if (count)
    return count;
  if (out)
    *out = plain;
  return 1;
}

bool process_describe(const struct process *process, uint64_t address,
                      struct unwind_mapping *entry) {
  const struct mapping *mapping = process_find_mapping(process, address);
  size_t most = mapping ? (mapping->module ? mapping->module->piece_count : 0) + 1 : 0;
  struct unwind_mapping *entries = most ? calloc(most, sizeof(*entries)) : NULL;
  size_t count = entries ? describe(mapping, entries) : 0;
  bool found = false;
  for (size_t i = 0; i < count && !found; i++) {
    found = address >= entries[i].start && address < entries[i].end;
    *entry = entries[i];
  }
  free(entries);
  return found;
}

static struct map_region *make_region(struct process_store *store, const struct process *process) {
  size_t count = 0;
  if (!store->regions)
    return NULL;
  for (size_t i = 0; i < process->mapping_count; i++)
    count += describe(&process->mappings[i], NULL);
  if (count == 0 || count > MAPPINGS_MAX)
    return NULL;
  struct unwind_mapping *entries = calloc(count, sizeof(*entries));
  if (!entries)
    return NULL;
  size_t at = 0;
  for (size_t i = 0; i < process->mapping_count; i++)
    at += describe(&process->mappings[i], entries + at);
  struct map_region *region = region_add(store->regions, entries, (uint32_t)count);
  free(entries);
  if (!region)
    log_warning("process %u: no room for its %zu mappings; its native stacks will be incomplete",
                process->pid, count);
  return region;
}

static int enter(struct process_store *store, const struct process *process) {
  if (store->maps.processes_fd < 0)
    return 0;
  uint64_t runtime = process->python_binary.runtime_vaddr + process->python_bias;
  struct process_info info = {
      .map_first = process->region ? process->region->first : 0,
      .map_count = process->region ? process->region->count : 0,
      .map_serial = process->region ? process->region->serial : 0,
      .generation = process->generation,
      .python = process->python,
      .python_runtime = process->python ? runtime : 0,
      .python_runtime_end = process->python ? runtime + process->python_binary.runtime_bytes : 0,
      .raw_budget = RAW_BUDGET,
      .awaits_exec = process->awaits_exec,
  };
  if (bpf_map_update_elem(store->maps.processes_fd, &process->pid, &info, BPF_ANY))
    return error_errno("cannot watch process %u", process->pid);
  return 0;
}

/* ---- Python ---- */

/* 3.13 and later describe themselves. */
static void refine(struct python_offsets *offsets, uint32_t pid, uint64_t runtime) {
  uint8_t bytes[DEBUG_OFFSETS_BYTES];
  struct iovec local = {bytes, sizeof(bytes)}, remote = {(void *)runtime, sizeof(bytes)};
  ssize_t got = process_vm_readv((pid_t)pid, &local, 1, &remote, 1, 0);
  if (got > 0)
    cpython_offsets_refine(offsets, offsets->version, bytes, (size_t)got);
}

/* The slot + 1 of the interpreter's offsets in the BPF map; 0 when there is none. */
static uint32_t python_slot(struct process_store *store, const struct process *process,
                            const struct cpython_binary *binary) {
  const struct python_offsets *known = cpython_offsets(binary->version);
  if (!known)
    return 0;
  if (store->maps.python_fd < 0)
    return 1;
  for (uint32_t slot = 0; slot < PYTHON_VERSIONS_MAX; slot++) {
    if (store->python_versions[slot] == binary->version)
      return slot + 1;
    if (store->python_versions[slot])
      continue;
    struct python_offsets offsets = *known;
    refine(&offsets, process->pid, binary->runtime_vaddr + process->python_bias);
    if (bpf_map_update_elem(store->maps.python_fd, &slot, &offsets, BPF_ANY))
      return 0;
    store->python_versions[slot] = binary->version;
    return slot + 1;
  }
  return 0;
}

bool process_find_python(struct process *process) {
  for (size_t i = 0; i < process->mapping_count; i++) {
    const struct mapping *mapping = &process->mappings[i];
    const struct module *module = mapping->module;
    if (!module || !module->has_python || mapping->vaddr == UINT64_MAX)
      continue;
    process->python_bias = mapping->start - mapping->vaddr;
    process->python_binary = module->python;
    uint32_t version = module->python.version, micro = module->python.micro;
    int length = snprintf(process->runtime, sizeof(process->runtime), "python %u.%u", version >> 8,
                          version & 0xff);
    if (micro != UINT32_MAX)
      snprintf(process->runtime + length, sizeof(process->runtime) - (size_t)length, ".%u", micro);
    return true;
  }
  return false;
}

/* ---- reading a process ---- */

/* Reads the mappings and enters the process. Whether they changed. */
static bool read_mappings(struct process_store *store, struct process *process, bool force) {
  struct map_list list = {.store = store, .pid = (pid_t)process->pid};
  process->read_ns = clock_now_ns();
  if (maps_read((pid_t)process->pid, add_mapping, &list) || list.count == 0 ||
      (!force && is_same(process, &list))) {
    free(list.at);
    return false;
  }
  if (was_replaced(process, &list))
    process->generation++;
  free(process->mappings);
  process->mappings = list.at;
  process->mapping_count = list.count;
  process->python =
      process_find_python(process) ? python_slot(store, process, &process->python_binary) : 0;
  struct map_region *old = process->region;
  process->region = make_region(store, process);
  if (enter(store, process))
    log_warning("%s", error_text());
  region_release(old, clock_now_ns());
  return true;
}

static void read_identity(struct process *process, const struct process_status *status) {
  memcpy(process->name, status->name, sizeof(process->name));
  process->uid = status->uid;
  process->parent_pid = (uint32_t)status->parent;
  free(process->executable);
  process->executable = process_executable((pid_t)process->pid);
}

int process_store_add(struct process_store *store, uint32_t pid, struct process **out) {
  struct process_status status;
  int result = process_status_read((pid_t)pid, &status);
  if (result)
    return result;
  if (!status.has_memory)
    return error_set(ENOENT, "process %u (%s) has no user memory: a kernel thread or a zombie", pid,
                     status.name);
  struct process *process = new_process(store, pid);
  if (!process)
    return error_set(ENOMEM, "out of memory");
  read_identity(process, &status);
  read_mappings(store, process, true);
  if (!process->mapping_count) {
    drop_last(store);
    return error_set(ESRCH, "process %u ended, or its mappings may not be read", pid);
  }
  *out = process;
  return 0;
}

struct process *process_store_add_gone(struct process_store *store, uint32_t pid,
                                       uint32_t parent_pid, const char *name) {
  struct process *process = new_process(store, pid);
  if (!process)
    return NULL;
  process->parent_pid = parent_pid;
  snprintf(process->name, sizeof(process->name), "%s", name);
  return process;
}

struct process *process_store_last(struct process_store *store, uint32_t pid) {
  for (size_t i = store->count; i-- > 0;)
    if (store->processes[i]->pid == pid)
      return store->processes[i];
  return NULL;
}

static struct mapping *copy_mappings(const struct process *process) {
  size_t bytes = process->mapping_count * sizeof(struct mapping);
  struct mapping *copy = bytes ? malloc(bytes) : NULL;
  if (copy)
    memcpy(copy, process->mappings, bytes);
  return copy;
}

struct process *process_store_fork(struct process_store *store, uint32_t parent_pid, uint32_t pid,
                                   const char *name, uint64_t start_ns) {
  struct process *process = new_process(store, pid);
  struct process *parent = process_store_get(store, parent_pid);
  if (!process || !parent)
    return process;
  struct process copy = *parent;
  copy.pid = pid;
  copy.parent_pid = parent_pid;
  copy.start_ns = start_ns;
  copy.end_ns = 0;
  copy.executable = parent->executable ? strdup(parent->executable) : NULL;
  copy.mappings = copy_mappings(parent);
  if (!copy.mappings)
    copy.mapping_count = 0;
  copy.region = region_share(parent->region);
  copy.jit_module = 0;
  copy.is_target = false;
  snprintf(copy.name, sizeof(copy.name), "%s", name);
  *process = copy;
  return process;
}

int process_store_await_exec(struct process_store *store, struct process *process) {
  process->awaits_exec = true;
  return enter(store, process);
}

void process_store_exec(struct process_store *store, struct process *process, uint32_t generation) {
  struct process_status status;
  process->generation = generation;
  process->awaits_exec = false;
  process->mapping_count = 0;
  process->runtime[0] = '\0';
  process->jit_module = 0;
  if (process_status_read((pid_t)process->pid, &status))
    return;
  read_identity(process, &status);
  read_mappings(store, process, true);
}

bool process_store_refresh(struct process_store *store, struct process *process) {
  if (clock_now_ns() - process->read_ns < process->patience_ns)
    return false;
  bool changed = read_mappings(store, process, false);
  uint64_t longer_ns = process->patience_ns ? process->patience_ns * 2 : PATIENCE_MIN_NS;
  process->patience_ns = longer_ns < PATIENCE_MAX_NS ? longer_ns : PATIENCE_MAX_NS;
  if (changed)
    process->patience_ns = 0;
  return changed;
}

void process_store_expect(struct process *process) {
  process->patience_ns = 0;
}

void process_store_end(struct process_store *store, struct process *process, uint64_t end_ns) {
  process->end_ns = end_ns;
  region_release(process->region, clock_now_ns());
  process->region = NULL;
  if (store->maps.processes_fd >= 0)
    bpf_map_delete_elem(store->maps.processes_fd, &process->pid);
  hash_put(&store->by_pid, process->pid, 0);
}

void process_put(const struct process *process, struct trace_writer *writer) {
  trace_put_process(
      writer, &(struct trace_process){.pid = process->pid,
                                      .parent_pid = process->parent_pid,
                                      .start_ns = process->start_ns,
                                      .end_ns = process->end_ns,
                                      .name = process->name,
                                      .executable = process->executable ? process->executable : "",
                                      .runtime = process->runtime});
}

bool process_map(struct process *image, const struct mapping *mapping, bool replace) {
  size_t first = 0, end;
  while (first < image->mapping_count && image->mappings[first].end <= mapping->start)
    first++;
  for (end = first; end < image->mapping_count && image->mappings[end].start < mapping->end;)
    end++;
  if (mapping->start >= mapping->end || (end > first && !replace))
    return false;
  size_t tail = image->mapping_count - end;
  if (end == first) {
    struct mapping *grown =
        reallocarray(image->mappings, image->mapping_count + 1, sizeof(*image->mappings));
    if (!grown)
      return false;
    image->mappings = grown;
  }
  memmove(image->mappings + first + 1, image->mappings + end, tail * sizeof(*image->mappings));
  image->mappings[first] = *mapping;
  image->mapping_count = first + 1 + tail;
  return true;
}

const struct mapping *process_find_mapping(const struct process *process, uint64_t address) {
  size_t low = 0, high = process->mapping_count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (process->mappings[middle].start <= address)
      low = middle + 1;
    else
      high = middle;
  }
  const struct mapping *mapping = low ? &process->mappings[low - 1] : NULL;
  return mapping && address < mapping->end ? mapping : NULL;
}

void process_store_reclaim(struct process_store *store, uint64_t time_ns) {
  if (store->regions)
    region_reclaim(store->regions, time_ns);
}
