/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the skeleton, its links and the sampling events. */
#include "capture/programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "capture/clock.h"
#include "capture/cpus.h"
#include "ragprof.skel.h"

#define LINKS_MAX (3 * CPUS_MAX + PROBE_PLACES_MAX + PROGRAMS_MAX)
#define KNOWN_STACKS_TEND 49152 /* three quarters of known_stacks */
#define TAKE_BATCH 256
#define FAULTS_PERIOD 13 /* of minor faults, the event tells one of so many: bpf/fault.bpf.c */

struct programs {
  struct ragprof_bpf *skeleton;
  uint32_t frequency_hz;
  const struct probe *probe;
  struct unwind_mapping *mappings;
  struct bpf_link *links[LINKS_MAX];
  int link_count;
  struct bpf_link *found_link; /* of the two iterators over tasks */
  struct bpf_link *task_link;
  struct cost_meter costs;
  const char *event;
  uint64_t stacks_tended;
  struct wait_spread *waits;
  struct source_set sources;
  struct own_code own_code;
};

/* The program that did not load last, from libbpf's messages: its errors do not say. */
static char refused_program[64];

#define LOG_LINES_MAX 40 /* of a message: the verifier's cause stands at the end */

/* Where the last lines of a text begin. */
static const char *last_lines(const char *text, int count) {
  const char *at = text + strlen(text);
  while (at > text && (at[-1] != '\n' || count-- > 0))
    at--;
  return at;
}

static int forward_to_log(enum libbpf_print_level level, const char *format, va_list args) {
  char *text;
  if (level == LIBBPF_DEBUG || vasprintf(&text, format, args) < 0)
    return 0;
  sscanf(text, "libbpf: prog '%63[^']': failed to load", refused_program);
  char *rest = (char *)last_lines(text, LOG_LINES_MAX);
  for (char *line; (line = strsep(&rest, "\n"));)
    if (*line)
      log_debug("%s", line);
  free(text);
  return 0;
}

/* Turns what the kernel refused into what the user can do about it. */
static int explain_load(int result) {
  if (access("/sys/kernel/btf/vmlinux", R_OK))
    return error_set(ENOTSUP, "this kernel has no type information (/sys/kernel/btf/vmlinux): "
                              "CONFIG_DEBUG_INFO_BTF is needed, see 'ragprof doctor'");
  if (result == -EPERM || result == -EACCES)
    return error_set(EPERM, geteuid()
                                ? "not allowed to load BPF programs: run with sudo, or give "
                                  "CAP_BPF and CAP_PERFMON, see 'ragprof doctor'"
                                : "the kernel refused the BPF programs (a container without "
                                  "CAP_BPF and CAP_PERFMON, or lockdown), see 'ragprof doctor'");
  return error_set(-result, "the BPF programs do not load on this kernel (%s); -v shows why",
                   strerror(-result));
}

static int open_skeleton(struct programs *programs, const struct programs_options *options) {
  programs->skeleton = ragprof_bpf__open();
  if (!programs->skeleton)
    return -errno;
  programs->skeleton->rodata->follow_children = options->follow_children;
  bpf_program__set_autoload(programs->skeleton->progs.on_iteration, options->probe != NULL);
  programs->skeleton->rodata->has_probes = options->user_probes != NULL;
  user_probes_choose(options->user_probes, programs->skeleton->obj);
  uint32_t cpus = (uint32_t)libbpf_num_possible_cpus();
  bpf_map__set_max_entries(programs->skeleton->maps.row_caches, cpus);
  bpf_map__set_max_entries(programs->skeleton->maps.code_caches, cpus);
  return 0;
}

/* Loads, without the sources whose programs this kernel refuses. */
static int load_skeleton(struct programs *programs, const struct programs_options *options) {
  int result = open_skeleton(programs, options);
  if (!result)
    sources_choose(&programs->sources, programs->skeleton->obj);
  while (!result) {
    refused_program[0] = '\0';
    programs->skeleton->rodata->has_typed_cast = programs->sources.has_typed_cast;
    result = ragprof_bpf__load(programs->skeleton);
    if (!result || !sources_refuse(&programs->sources, refused_program))
      break;
    ragprof_bpf__destroy(programs->skeleton); /* what failed to load cannot be loaded again */
    result = open_skeleton(programs, options);
    if (!result)
      sources_leave_out(&programs->sources, programs->skeleton->obj);
  }
  return result;
}

int programs_load(struct programs **out, const struct programs_options *options) {
  struct programs *programs = calloc(1, sizeof(*programs));
  if (!programs)
    return error_set(ENOMEM, "out of memory");
  programs->frequency_hz = options->frequency_hz;
  programs->probe = options->probe;
  libbpf_set_print(forward_to_log);
  struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_MEMLOCK, &unlimited); /* kernels before 5.11 charge maps to it */
  programs->waits = wait_spread_new();
  int result = programs->waits ? load_skeleton(programs, options) : -ENOMEM;
  if (result) {
    result = explain_load(result);
    programs_free(programs);
    return result;
  }
  own_code_init(&programs->own_code, programs->skeleton->obj);
  size_t bytes = sizeof(struct unwind_mapping) * MAPPINGS_MAX;
  void *view = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                    bpf_map__fd(programs->skeleton->maps.mappings), 0);
  if (view == MAP_FAILED) {
    result = error_errno("cannot map the table of mappings");
    programs_free(programs);
    return result;
  }
  programs->mappings = view;
  *out = programs;
  return 0;
}

void programs_free(struct programs *programs) {
  if (!programs)
    return;
  programs_detach(programs);
  if (programs->mappings)
    munmap(programs->mappings, sizeof(struct unwind_mapping) * MAPPINGS_MAX);
  bpf_link__destroy(programs->found_link);
  bpf_link__destroy(programs->task_link);
  wait_spread_free(programs->waits);
  own_code_fini(&programs->own_code);
  ragprof_bpf__destroy(programs->skeleton);
  free(programs);
}

int programs_segments_fd(const struct programs *programs) {
  return bpf_map__fd(programs->skeleton->maps.segments);
}

int programs_events_fd(const struct programs *programs) {
  return bpf_map__fd(programs->skeleton->maps.events);
}

struct process_maps programs_process_maps(const struct programs *programs) {
  return (struct process_maps){
      .processes_fd = bpf_map__fd(programs->skeleton->maps.processes),
      .python_fd = bpf_map__fd(programs->skeleton->maps.python_versions),
      .mappings = programs->mappings,
  };
}

const struct own_code *programs_own_code(const struct programs *programs) {
  return &programs->own_code;
}

struct operation_maps programs_operation_maps(const struct programs *programs) {
  const struct ragprof_bpf *skeleton = programs->skeleton;
  return (struct operation_maps){
      .slots_fd = bpf_map__fd(skeleton->maps.operation_slots),
      .free_slots_fd = bpf_map__fd(skeleton->maps.free_slots),
      .slot_of_key_fd = bpf_map__fd(skeleton->maps.slot_of_key),
      .stacks_fd = {bpf_map__fd(skeleton->maps.operation_stacks_a),
                    bpf_map__fd(skeleton->maps.operation_stacks_b)},
      .active_stacks = &skeleton->bss->active_stacks,
      .slots_given_back = &skeleton->bss->slots_given_back,
  };
}

const struct source_set *programs_sources(const struct programs *programs) {
  return &programs->sources;
}

int programs_look_for_sources(struct source_set *set) {
  struct ragprof_bpf *skeleton = ragprof_bpf__open();
  if (!skeleton)
    return -errno;
  sources_choose(set, skeleton->obj);
  ragprof_bpf__destroy(skeleton);
  return 0;
}

/* ---- attaching ---- */

/* An event of each CPU, of every task: a thread that begins later is seen from its first moment. */
struct cpu_event {
  uint32_t type;
  uint64_t config;
  uint32_t frequency_hz; /* 0: by period */
  uint32_t period;
  struct bpf_program *program;
  const char *what;
};

static int open_event(const struct cpu_event *event, int cpu) {
  struct perf_event_attr attr = {
      .type = event->type,
      .config = event->config,
      .size = sizeof(attr),
      .freq = event->frequency_hz != 0,
      .sample_period = event->frequency_hz ? event->frequency_hz : event->period,
  };
  return (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

static struct cpu_event clock_event(const struct programs *programs) {
  return (struct cpu_event){.type = PERF_TYPE_SOFTWARE,
                            .config = PERF_COUNT_SW_CPU_CLOCK,
                            .frequency_hz = programs->frequency_hz,
                            .program = programs->skeleton->progs.on_sample,
                            .what = "the sampling event"};
}

int programs_may_sample(const struct programs *programs) {
  int cpus[CPUS_MAX];
  int count = cpus_online(cpus);
  if (count < 0)
    return count;
  struct cpu_event event = clock_event(programs);
  int fd = open_event(&event, cpus[0]);
  if (fd < 0)
    return error_errno("not allowed to open perf events (CAP_PERFMON)");
  close(fd);
  return 0;
}

static int keep_link(void *context, struct bpf_link *link, const char *what) {
  struct programs *programs = context;
  if (!link)
    return error_errno("cannot attach to %s", what);
  programs->links[programs->link_count++] = link;
  return 0;
}

static int attach_event(struct programs *programs, const struct cpu_event *event) {
  int cpus[CPUS_MAX];
  int count = cpus_online(cpus);
  for (int i = 0; i < count; i++) {
    int fd = open_event(event, cpus[i]);
    if (fd < 0 && errno == ENODEV)
      continue; /* went offline */
    if (fd < 0)
      return error_errno("cannot open %s on CPU %d (see kernel.perf_event_max_sample_rate)",
                         event->what, cpus[i]);
    struct bpf_link *link = bpf_program__attach_perf_event(event->program, fd);
    if (!link)
      close(fd);
    int result = keep_link(programs, link, event->what);
    if (result)
      return result;
  }
  return count < 0 ? count : 0;
}

/* By the CPU's own counter, or where the machine has none by the clock. */
static int attach_sampling(struct programs *programs) {
  struct cpu_event event = clock_event(programs);
  int cpus[CPUS_MAX];
  int count = cpus_online(cpus);
  if (count < 0)
    return count;
  programs->event = "cycles";
  event.type = PERF_TYPE_HARDWARE;
  event.config = PERF_COUNT_HW_CPU_CYCLES;
  int fd = open_event(&event, cpus[0]);
  if (fd >= 0) {
    close(fd);
  } else {
    programs->event = "cpu-clock";
    event = clock_event(programs);
  }
  return attach_event(programs, &event);
}

/* Where that fails, the capture is made without them. */
static void attach_faults(struct programs *programs) {
  const struct cpu_event events[] = {
      {.type = PERF_TYPE_SOFTWARE,
       .config = PERF_COUNT_SW_PAGE_FAULTS_MIN,
       .period = FAULTS_PERIOD,
       .program = programs->skeleton->progs.on_minor_fault,
       .what = "the event of minor page faults"},
      {.type = PERF_TYPE_SOFTWARE,
       .config = PERF_COUNT_SW_PAGE_FAULTS_MAJ,
       .period = 1,
       .program = programs->skeleton->progs.on_major_fault,
       .what = "the event of major page faults"},
  };
  if (!sources_has(&programs->sources, SOURCE_FAULTS))
    return;
  for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
    if (attach_event(programs, &events[i])) {
      sources_give_up(&programs->sources, SOURCE_FAULTS, error_text());
      return;
    }
}

static int attach_tracepoints(struct programs *programs) {
  struct bpf_program *const tracepoints[] = {
      programs->skeleton->progs.on_new_task, programs->skeleton->progs.on_exec,
      programs->skeleton->progs.on_exit,     programs->skeleton->progs.on_waking,
      programs->skeleton->progs.on_switch,
  };
  for (size_t i = 0; i < sizeof(tracepoints) / sizeof(tracepoints[0]); i++) {
    int result = keep_link(programs, bpf_program__attach(tracepoints[i]),
                           bpf_program__section_name(tracepoints[i]));
    if (result)
      return result;
  }
  return 0;
}

static int attach_probe(struct programs *programs) {
  const struct probe *probe = programs->probe;
  for (uint32_t i = 0; probe && i < probe->place_count; i++) {
    LIBBPF_OPTS(bpf_uprobe_opts, options, .ref_ctr_offset = probe->places[i].semaphore_offset,
                .func_name = probe->symbol[0] ? probe->symbol : NULL);
    int result =
        keep_link(programs,
                  bpf_program__attach_uprobe_opts(programs->skeleton->progs.on_iteration, -1,
                                                  probe->path, probe->places[i].offset, &options),
                  probe->symbol[0] ? probe->symbol : probe->path);
    if (result)
      return result;
  }
  return 0;
}

struct bpf_object *programs_object(const struct programs *programs) {
  return programs->skeleton->obj;
}

uint64_t programs_iterations(const struct programs *programs, uint32_t pid) {
  uint64_t count = 0;
  if (programs->probe)
    bpf_map_lookup_elem(bpf_map__fd(programs->skeleton->maps.iterations), &pid, &count);
  return count;
}

int programs_attach(struct programs *programs) {
  cost_meter_begin(&programs->costs, programs->skeleton->obj, clock_now_ns());
  programs->found_link = bpf_program__attach_iter(programs->skeleton->progs.on_found_task, NULL);
  programs->task_link = bpf_program__attach_iter(programs->skeleton->progs.on_task, NULL);
  if (!programs->found_link || !programs->task_link)
    return error_errno("cannot attach the task iterator");
  int result = attach_tracepoints(programs);
  if (!result)
    result = sources_attach(&programs->sources, programs->skeleton->obj, keep_link, programs);
  if (!result)
    result = programs_report_threads(programs, false);
  if (!result)
    attach_faults(programs);
  if (!result)
    result = attach_probe(programs);
  return result ? result : attach_sampling(programs);
}

void programs_detach(struct programs *programs) {
  while (programs->link_count)
    bpf_link__destroy(programs->links[--programs->link_count]);
  cost_meter_end(&programs->costs, clock_now_ns());
}

const char *programs_event(const struct programs *programs) {
  return programs->event ? programs->event : "";
}

/* ---- reading ---- */

static int run_iterator(const struct bpf_link *link) {
  char nothing[256];
  int fd = bpf_iter_create(bpf_link__fd(link));
  if (fd < 0)
    return error_errno("cannot run the task iterator");
  ssize_t got;
  while ((got = read(fd, nothing, sizeof(nothing))) > 0 || (got < 0 && errno == EAGAIN))
    continue;
  int result = got < 0 ? error_errno("cannot run the task iterator") : 0;
  close(fd);
  return result;
}

int programs_report_threads(struct programs *programs, bool ending) {
  programs->skeleton->bss->capture_ending = ending;
  int result = run_iterator(programs->found_link);
  return result ? result : run_iterator(programs->task_link);
}

static void take_map(int fd, struct wait_spread *spread) {
  struct wait_key keys[TAKE_BATCH];
  struct wait_sum sums[TAKE_BATCH];
  uint32_t position, *from = NULL;
  for (;;) {
    uint32_t count = TAKE_BATCH;
    int result = bpf_map_lookup_and_delete_batch(fd, from, &position, keys, sums, &count, NULL);
    if (result && errno != ENOENT)
      return;
    for (uint32_t i = 0; i < count; i++)
      wait_spread_add(spread, &keys[i], &sums[i]);
    if (result)
      return;
    from = &position;
  }
}

void programs_take_waits(struct programs *programs, bool ending, wait_sum_fn callback,
                         void *context) {
  uint32_t *active = &programs->skeleton->bss->active_sums;
  int fds[2] = {bpf_map__fd(programs->skeleton->maps.wait_sums_a),
                bpf_map__fd(programs->skeleton->maps.wait_sums_b)};
  uint32_t resting = !*active;
  take_map(fds[resting], programs->waits);
  if (ending)
    take_map(fds[!resting], programs->waits);
  else
    __atomic_store_n(active, resting, __ATOMIC_RELEASE);
  wait_spread_take(programs->waits, callback, context);
}

struct capture_counters programs_counters(const struct programs *programs) {
  return programs->skeleton->bss->counters;
}

void programs_tend_stacks(struct programs *programs, uint64_t stacks_shipped) {
  if (stacks_shipped - programs->stacks_tended < KNOWN_STACKS_TEND)
    return;
  programs->stacks_tended = stacks_shipped;
  int fd = bpf_map__fd(programs->skeleton->maps.known_stacks);
  uint64_t key;
  while (!bpf_map_get_next_key(fd, NULL, &key))
    if (bpf_map_delete_elem(fd, &key))
      break;
}

void programs_tend_costs(struct programs *programs, uint64_t time_ns) {
  cost_meter_tick(&programs->costs, time_ns);
}

int programs_costs(const struct programs *programs, struct program_cost costs[PROGRAMS_MAX]) {
  return cost_meter_costs(&programs->costs, costs);
}
