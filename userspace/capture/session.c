/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns a capture's life: it wires programs, stores and the trace file together and takes the events
 * from one to the other. */
#include "capture/session.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/units.h"
#include "capture/clock.h"
#include "capture/facts.h"
#include "capture/mapped.h"
#include "capture/maps.h"
#include "capture/mmap_watch.h"
#include "capture/naming.h"
#include "capture/points.h"
#include "capture/process.h"
#include "capture/programs.h"
#include "capture/stacks.h"
#include "capture/threads.h"

#define POLL_MS 100
#define TICK_NS (250 * NS_PER_MS) /* sums of short waits */
#define FLUSH_NS NS_PER_S         /* a whole chunk on disk */
#define REPORT_NS (5 * NS_PER_S)  /* exact times of threads */

struct session {
  struct session_options options;
  struct programs *programs;
  struct trace_writer *writer;
  struct table_store *tables;
  struct module_store *modules;
  struct process_store *processes;
  struct stack_store *stacks;
  struct thread_store *threads;
  struct object_store *objects; /* with BPF, as the next */
  struct operation_store *operations;
  struct point_store *points;
  struct mapped_store *mapped; /* NULL: the shim counts mappings, or nobody */
  struct mmap_watch *watch;
  struct ring_buffer *ring;
  struct shim *shim;              /* NULL: nothing is preloaded */
  struct account_store *accounts; /* without BPF */
  int target_fd;                  /* readable when the target has ended, without BPF; -1 */
  struct probe *probe;            /* what an iteration is; or NULL */
  struct user_probes *probes;     /* or NULL */
  char without_bpf[512];          /* why */
  int epoll_fd;
  uint64_t start_ns; /* CLOCK_MONOTONIC */
  uint64_t last_tick_ns;
  uint64_t last_report_ns;
  uint64_t last_flush_ns;
  uint64_t stacks_shipped;
  uint64_t samples;
  size_t targets_alive;
  struct rusage usage_at_start; /* when recording began and ended */
  struct rusage usage_at_end;
};

static uint64_t since_start(const struct session *session, uint64_t time_ns) {
  return time_ns > session->start_ns ? time_ns - session->start_ns : 0;
}

/* ---- events ---- */

static void on_sample(struct session *session, const struct event_sample *event) {
  session->samples++;
  trace_put_sample(
      session->writer,
      &(struct trace_sample){.time_ns = since_start(session, event->time_ns),
                             .thread = thread_store_id(session->threads, event->tgid, event->tid),
                             .node = stack_store_node(session->stacks, event->stack)});
}

static void on_wait(struct session *session, const struct event_wait *event) {
  uint64_t span_ns = event->blocked_ns + event->run_queue_ns;
  trace_put_wait(
      session->writer,
      &(struct trace_wait){.start_ns = since_start(session, event->start_ns),
                           .span_ns = span_ns,
                           .blocked_ns = event->blocked_ns,
                           .run_queue_ns = event->run_queue_ns,
                           .max_ns = span_ns,
                           .count = 1,
                           .thread = thread_store_id(session->threads, event->tgid, event->tid),
                           .node = stack_store_node(session->stacks, event->stack),
                           .waker = thread_store_find(session->threads, event->waker_tid),
                           .waker_tid = event->waker_tid,
                           .reason = event->reason});
}

static void on_wait_sum(void *context, const struct wait_key *key, const struct wait_sum *sum) {
  struct session *session = context;
  uint64_t start_ns = since_start(session, session->last_tick_ns);
  trace_put_wait(
      session->writer,
      &(struct trace_wait){.start_ns = start_ns > TICK_NS ? start_ns - TICK_NS : 0,
                           .span_ns = TICK_NS,
                           .blocked_ns = sum->blocked_ns,
                           .run_queue_ns = sum->run_queue_ns,
                           .max_ns = sum->max_ns,
                           .count = sum->count,
                           .thread = thread_store_id(session->threads, key->tgid, key->tid),
                           .node = stack_store_node(session->stacks, key->stack),
                           .reason = key->reason});
}

static void on_thread(struct session *session, const struct event_thread *event) {
  thread_store_report(session->threads, event, session->start_ns);
  point_store_thread(session->points, event);
  if (event->what == THREAD_EXIT)
    operation_store_thread_end(session->operations, event->tid);
}

static void put_process(struct session *session, const struct process *process) {
  process_put(process, session->writer);
}

static void on_process(struct session *session, const struct event_process *event) {
  uint64_t time_ns = since_start(session, event->time_ns);
  struct process *process = process_store_get(session->processes, event->tgid);
  if (event->what == PROCESS_FORK && !process)
    process = process_store_fork(session->processes, event->parent_tgid, event->tgid, event->name,
                                 time_ns);
  if (!process)
    return;
  if (event->what == PROCESS_EXEC && session->mapped)
    mapped_store_exec(session->mapped, event->tgid);
  if (event->what == PROCESS_EXEC)
    process_store_exec(session->processes, process, event->generation);
  if (event->what == PROCESS_EXIT) {
    name_jit_frames(session->stacks, process, session->writer);
    process_store_end(session->processes, process, time_ns ? time_ns : 1);
    point_store_process_end(session->points, event->tgid, event->time_ns);
    if (session->mapped)
      mapped_store_process_end(session->mapped, event->tgid);
    operation_store_process_end(session->operations, event->tgid);
    session->targets_alive -= process->is_target;
  }
  put_process(session, process);
}

static void on_happening(struct session *session, const struct event_happening *event,
                         size_t bytes) {
  size_t room = bytes - offsetof(struct event_happening, text);
  bool has_text = strnlen(event->text, room) < room;
  if (!process_store_last(session->processes, event->tgid))
    return;
  trace_put_happening(session->writer,
                      &(struct trace_happening){.time_ns = since_start(session, event->time_ns),
                                                .pid = event->tgid,
                                                .what = event->what,
                                                .value = event->value,
                                                .text = has_text ? event->text : ""});
}

static void on_unmapped(struct session *session, const struct event_unmapped *event) {
  struct process *process = process_store_get(session->processes, event->tgid);
  if (process && process_store_refresh(session->processes, process))
    put_process(session, process);
}

static void on_mapping(void *context, uint32_t pid) {
  struct session *session = context;
  struct process *process = process_store_get(session->processes, pid);
  if (!process)
    return;
  process_store_expect(process);
  if (process_store_refresh(session->processes, process))
    put_process(session, process);
}

static int on_event(void *context, void *data, size_t bytes) {
  struct session *session = context;
  static const size_t sizes[] = {
      [EVENT_STACK] = offsetof(struct event_stack, frames),
      [EVENT_CODE] = offsetof(struct event_code, lines),
      [EVENT_SAMPLE] = sizeof(struct event_sample),
      [EVENT_WAIT] = sizeof(struct event_wait),
      [EVENT_THREAD] = sizeof(struct event_thread),
      [EVENT_PROCESS] = sizeof(struct event_process),
      [EVENT_UNMAPPED] = sizeof(struct event_unmapped),
      [EVENT_RAW] = offsetof(struct event_raw, data),
      [EVENT_SLOW] = sizeof(struct event_slow),
      [EVENT_OBJECT] = offsetof(struct event_object, data),
      [EVENT_HAPPENING] = offsetof(struct event_happening, text),
      [EVENT_MAPPING] = sizeof(struct event_mapping),
  };
  uint32_t type = bytes >= sizeof(type) ? *(uint32_t *)data : 0;
  if (type >= sizeof(sizes) / sizeof(sizes[0]) || bytes < sizes[type])
    return 0;
  switch (type) {
  case EVENT_STACK:
    session->stacks_shipped++;
    stack_store_stack(session->stacks, data, bytes);
    break;
  case EVENT_RAW:
    stack_store_raw(session->stacks, data, bytes);
    break;
  case EVENT_CODE:
    stack_store_code(session->stacks, data, bytes);
    break;
  case EVENT_SAMPLE:
    on_sample(session, data);
    break;
  case EVENT_WAIT:
    on_wait(session, data);
    break;
  case EVENT_THREAD:
    on_thread(session, data);
    break;
  case EVENT_PROCESS:
    on_process(session, data);
    break;
  case EVENT_UNMAPPED:
    on_unmapped(session, data);
    break;
  case EVENT_SLOW:
    operation_store_slow(session->operations, data, session->start_ns);
    break;
  case EVENT_OBJECT:
    object_store_add(session->objects, data, bytes);
    break;
  case EVENT_HAPPENING:
    on_happening(session, data, bytes);
    break;
  case EVENT_MAPPING:
    if (session->mapped)
      mapped_store_call(session->mapped, data);
    break;
  }
  return 0;
}

/* ---- prepare ---- */

static int make_operations(struct session *session) {
  int result = object_store_new(&session->objects, session->writer);
  struct operation_maps maps = programs_operation_maps(session->programs);
  struct operation_sink sink = {.writer = session->writer,
                                .threads = session->threads,
                                .stacks = session->stacks,
                                .objects = session->objects};
  if (session->probes) {
    sink.probes = user_probes_names(session->probes);
    sink.probe_count = USER_PROBES_MAX;
  }
  return result ? result : operation_store_new(&session->operations, &maps, &sink);
}

static int make_stores(struct session *session) {
  struct process_maps maps = {.processes_fd = -1, .python_fd = -1};
  int result = 0;
  if (session->programs) {
    maps = programs_process_maps(session->programs);
    result = table_store_new(&session->tables, programs_segments_fd(session->programs));
  }
  if (!result)
    result = module_store_new(&session->modules, session->tables, session->writer);
  if (!result)
    result = process_store_new(&session->processes, session->modules, &maps);
  if (!result)
    result =
        stack_store_new(&session->stacks, session->processes, session->tables, session->writer);
  if (!result)
    result = thread_store_new(&session->threads, session->writer);
  struct point_sink points = {
      .writer = session->writer, .processes = session->processes, .shim = session->shim};
  if (!result)
    result = point_store_new(&session->points, &points);
  if (!result && session->programs && !session->shim)
    result = mapped_store_new(&session->mapped, session->stacks, session->writer);
  if (!result && session->programs) {
    stack_store_tell_own(session->stacks, programs_own_code(session->programs));
    result = make_operations(session);
  }
  return result;
}

static int make_channels(struct session *session) {
  session->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (session->epoll_fd < 0)
    return error_errno("epoll_create1");
  if (!session->programs)
    return 0;
  session->ring = ring_buffer__new(programs_events_fd(session->programs), on_event, session, NULL);
  if (!session->ring)
    return error_errno("cannot open the event buffer");
  struct epoll_event event = {.events = EPOLLIN};
  if (epoll_ctl(session->epoll_fd, EPOLL_CTL_ADD, ring_buffer__epoll_fd(session->ring), &event))
    return error_errno("epoll_ctl");
  return mmap_watch_new(&session->watch, session->epoll_fd);
}

/* Module files stay open until the end. */
static void raise_file_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit))
    return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

static void session_free(struct session *session) {
  shim_free(session->shim);
  account_store_free(session->accounts);
  if (session->target_fd >= 0)
    close(session->target_fd);
  mmap_watch_free(session->watch);
  ring_buffer__free(session->ring);
  if (session->epoll_fd >= 0)
    close(session->epoll_fd);
  operation_store_free(session->operations);
  point_store_free(session->points);
  mapped_store_free(session->mapped);
  object_store_free(session->objects);
  thread_store_free(session->threads);
  stack_store_free(session->stacks);
  process_store_free(session->processes);
  module_store_free(session->modules);
  table_store_free(session->tables);
  user_probes_free(session->probes);
  programs_free(session->programs);
  free(session->probe);
  free(session);
}

/* The probe that marks iterations, if one does. */
static int find_probe(struct session *session) {
  const struct shim_options *shim = session->options.shim;
  if (!shim || !shim->iteration || !probe_is_spec(shim->iteration))
    return 0;
  session->probe = malloc(sizeof(*session->probe));
  return session->probe ? probe_find(session->probe, shim->iteration)
                        : error_set(ENOMEM, "out of memory");
}

/* Loads the programs, or notes why not where the shim can do without. */
static int load_programs(struct session *session) {
  const struct session_options *options = &session->options;
  struct programs_options programs = {.frequency_hz = options->frequency_hz,
                                      .follow_children = options->follow_children,
                                      .probe = session->probe,
                                      .user_probes = session->probes};
  if (options->bpf == SESSION_BPF_OFF)
    return 0;
  int result = programs_load(&session->programs, &programs);
  if (options->bpf == SESSION_BPF_NEEDED)
    return result;
  if (!result)
    result = programs_may_sample(session->programs);
  if (!result)
    return 0;
  programs_free(session->programs);
  session->programs = NULL;
  snprintf(session->without_bpf, sizeof(session->without_bpf), "%s", error_text());
  return 0;
}

const char *session_without_bpf(const struct session *session) {
  return session->without_bpf;
}

const char *session_shim_note(const struct session *session) {
  return session->shim ? shim_note(session->shim) : "";
}

void session_environment(const struct session *session, struct buf *out) {
  if (session->shim)
    shim_environment(session->shim, session->programs ? 0 : session->options.frequency_hz, out);
}

int session_prepare(struct session **out, const struct session_options *options) {
  struct session *session = calloc(1, sizeof(*session));
  if (!session)
    return error_set(ENOMEM, "out of memory");
  session->options = *options;
  session->epoll_fd = -1;
  session->target_fd = -1;
  session->start_ns = clock_now_ns();
  raise_file_limit();
  int result = find_probe(session);
  if (!result && options->probe_count)
    result = user_probes_new(&session->probes, options->probes, options->probe_count);
  if (!result)
    result = load_programs(session);
  if (!result && options->shim)
    result = shim_new(&session->shim, options->shim);
  if (!result)
    result = trace_writer_open(&session->writer, options->output, options->overwrite);
  if (!result)
    result = make_stores(session);
  if (!result)
    result = make_channels(session);
  if (result) {
    session_abandon(session);
    return result;
  }
  *out = session;
  return 0;
}

void session_abandon(struct session *session) {
  if (!session)
    return;
  if (session->writer)
    trace_writer_abandon(session->writer);
  session_free(session);
}

static void add_child(void *context, pid_t pid) {
  struct session *session = context;
  struct process *process;
  if (process_store_get(session->processes, (uint32_t)pid) ||
      process_store_add(session->processes, (uint32_t)pid, &process))
    return;
  put_process(session, process);
  process_children(pid, add_child, session);
}

static int watch_target(struct session *session, pid_t pid) {
  struct epoll_event event = {.events = EPOLLIN};
  session->target_fd = (int)syscall(SYS_pidfd_open, pid, 0);
  if (session->target_fd < 0 ||
      epoll_ctl(session->epoll_fd, EPOLL_CTL_ADD, session->target_fd, &event))
    return error_errno("cannot wait for the end of process %d (Linux 5.3 is needed)", pid);
  return 0;
}

int session_add(struct session *session, pid_t pid) {
  struct process *process = process_store_get(session->processes, (uint32_t)pid);
  int result = process ? 0 : process_store_add(session->processes, (uint32_t)pid, &process);
  if (result)
    return result;
  session->targets_alive += !process->is_target;
  process->is_target = true;
  put_process(session, process);
  if (!session->programs)
    return watch_target(session, pid);
  if (session->options.awaits_exec)
    return process_store_await_exec(session->processes, process);
  if (session->options.follow_children)
    process_children(pid, add_child, session);
  return 0;
}

/* ---- run ---- */

static int begin_shim(struct session *session) {
  struct shim_sink sink = {.writer = session->writer,
                           .processes = session->processes,
                           .modules = session->modules,
                           .stacks = session->stacks,
                           .threads = session->threads,
                           .accounts = session->accounts,
                           .programs = session->probe ? session->programs : NULL,
                           .start_ns = session->start_ns,
                           .follow_children = session->options.follow_children};
  return shim_begin(session->shim, &sink);
}

static int begin_probes(struct session *session) {
  struct user_probe_scope scope = {.object = programs_object(session->programs),
                                   .modules = session->modules,
                                   .processes = session->processes,
                                   .command = session->options.target};
  return user_probes_begin(session->probes, &scope);
}

int session_activate(struct session *session) {
  session->start_ns = clock_now_ns();
  session->last_tick_ns = session->start_ns;
  session->last_report_ns = session->start_ns;
  session->last_flush_ns = session->start_ns;
  point_store_begin(session->points, session->start_ns);
  facts_put_start(session->writer, &session->options);
  int result = session->programs
                   ? programs_attach(session->programs)
                   : account_store_new(&session->accounts, session->threads, session->start_ns,
                                       session->options.frequency_hz);
  if (!result && session->probes)
    result = begin_probes(session);
  if (!result)
    facts_put_source(session->writer,
                     session->programs ? programs_event(session->programs) : "cpu-clock",
                     session->programs != NULL, session->shim != NULL);
  if (!result && session->shim)
    result = begin_shim(session);
  getrusage(RUSAGE_SELF, &session->usage_at_start);
  return result;
}

static void tend_programs(struct session *session, uint64_t time_ns) {
  programs_take_waits(session->programs, false, on_wait_sum, session);
  operation_store_take(session->operations, since_start(session, time_ns), false);
  programs_tend_stacks(session->programs, session->stacks_shipped);
  process_store_reclaim(session->processes, time_ns);
  if (time_ns - session->last_report_ns < REPORT_NS)
    return;
  session->last_report_ns = time_ns;
  programs_report_threads(session->programs, false);
}

static int on_clock(struct session *session, uint64_t time_ns) {
  point_store_tick(session->points, time_ns);
  if (session->mapped)
    mapped_store_put(session->mapped, since_start(session, time_ns), false);
  if (session->programs)
    programs_tend_costs(session->programs, time_ns);
  if (time_ns - session->last_tick_ns < TICK_NS)
    return 0;
  if (session->programs)
    tend_programs(session, time_ns);
  session->last_tick_ns = time_ns;
  if (time_ns - session->last_flush_ns < FLUSH_NS)
    return 0;
  session->last_flush_ns = time_ns;
  return trace_writer_flush(session->writer);
}

static uint64_t count_samples(const struct session *session) {
  return session->samples + (session->shim ? shim_totals(session->shim).samples : 0);
}

static void show_progress(const struct session *session, uint64_t time_ns) {
  log_progress("recording %llu s, %llu samples, %u threads  (Ctrl-C ends it)",
               (unsigned long long)(since_start(session, time_ns) / NS_PER_S),
               (unsigned long long)count_samples(session), thread_store_count(session->threads));
}

/* Waits for events, or at most so long, and takes them. */
static void take_events(struct session *session, uint64_t pause_ns) {
  struct epoll_event events[16];
  int count =
      epoll_wait(session->epoll_fd, events, 16, (int)((pause_ns + NS_PER_MS - 1) / NS_PER_MS));
  if (session->programs) {
    mmap_watch_drain(session->watch, on_mapping, session);
    ring_buffer__consume(session->ring);
    if (session->probes)
      user_probes_look(session->probes);
  } else if (count > 0) { /* nothing else is waited for */
    session->targets_alive = 0;
  }
}

/* The target has ended, and can be seen in /proc until it is waited for. */
static void end_target(struct session *session) {
  if (session->programs)
    return;
  uint64_t time_ns = clock_now_ns();
  shim_tick(session->shim, time_ns); /* a region that was found only now */
  for (size_t i = 0; i < process_store_count(session->processes); i++) {
    struct process *process = process_store_at(session->processes, i);
    if (!process->is_target || process->end_ns)
      continue;
    account_store_process_end(session->accounts, process->pid, time_ns);
    process_store_end(session->processes, process, since_start(session, time_ns));
    put_process(session, process);
  }
}

enum session_end session_run(struct session *session, uint64_t duration_ns,
                             const volatile sig_atomic_t *stop) {
  enum session_end end = SESSION_INTERRUPTED;
  uint64_t pause_ns = 0;
  while (!*stop) {
    take_events(session, pause_ns);
    uint64_t time_ns = clock_now_ns();
    pause_ns = POLL_MS * NS_PER_MS;
    if (session->shim) {
      uint64_t until_ns = shim_tick(session->shim, time_ns);
      pause_ns = until_ns < pause_ns ? until_ns : pause_ns;
    }
    if (on_clock(session, time_ns)) {
      end = SESSION_FAILED;
      break;
    }
    show_progress(session, time_ns);
    if (!session->targets_alive) {
      end_target(session);
      end = SESSION_TARGETS_EXITED;
      break;
    }
    if (duration_ns && since_start(session, time_ns) >= duration_ns) {
      end = SESSION_TIME_IS_UP;
      break;
    }
  }
  log_progress(NULL);
  return end;
}

/* ---- finish ---- */

void session_note(struct session *session, const char *name, const char *value) {
  trace_put_meta(session->writer, name, value);
}

static void stop_programs(struct session *session) {
  ring_buffer__consume(session->ring);
  programs_report_threads(session->programs, true);
  if (session->probes)
    user_probes_end(session->probes);
  programs_detach(session->programs);
  ring_buffer__consume(session->ring);
  programs_take_waits(session->programs, true, on_wait_sum, session);
  operation_store_take(session->operations, since_start(session, clock_now_ns()), true);
  sources_put(programs_sources(session->programs), session->writer);
}

/* The last of the regions. Returns what was lost. */
static uint64_t end_shim(struct session *session, uint64_t end_ns) {
  if (!session->shim)
    return 0;
  shim_end(session->shim, end_ns);
  return shim_put_facts(session->shim, session->writer);
}

int session_finish(struct session *session, enum session_end end, struct session_summary *summary) {
  static const char *const ends[] = {
      [SESSION_INTERRUPTED] = "interrupted",
      [SESSION_TIME_IS_UP] = "duration",
      [SESSION_TARGETS_EXITED] = "target exited",
      [SESSION_FAILED] = "failed",
  };
  getrusage(RUSAGE_SELF, &session->usage_at_end);
  if (session->programs)
    stop_programs(session);
  point_store_end(session->points, clock_now_ns());
  if (session->mapped)
    mapped_store_put(session->mapped, since_start(session, clock_now_ns()), true);
  uint64_t end_ns = clock_now_ns();
  uint64_t lost = end_shim(session, end_ns);
  struct naming_options naming = {.inlines = session->options.inlines,
                                  .follow_debuginfod = session->options.follow_debuginfod};
  name_frames(session->stacks, session->processes, session->writer, &naming);
  struct facts_end facts = {.duration_ns = since_start(session, end_ns),
                            .end = ends[end],
                            .programs = session->programs,
                            .processes = session->processes,
                            .statistics = stack_store_statistics(session->stacks),
                            .table_bytes = session->tables ? table_store_bytes(session->tables) : 0,
                            .samples = count_samples(session),
                            .usage_at_start = &session->usage_at_start,
                            .usage_at_end = &session->usage_at_end};
  lost += facts_put_end(session->writer, &facts);
  *summary = (struct session_summary){
      .duration_ns = facts.duration_ns,
      .samples = count_samples(session),
      .lost = lost,
      .threads = thread_store_count(session->threads),
      .processes = (uint32_t)process_store_count(session->processes),
  };
  if (session->shim)
    summary->heap = shim_totals(session->shim);
  int result = trace_writer_flush(session->writer);
  summary->file_bytes = trace_writer_bytes(session->writer);
  int closed = trace_writer_close(session->writer);
  session_free(session);
  return result ? result : closed;
}
