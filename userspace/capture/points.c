/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the clock of what is read of processes, its budget, and the sums over their threads. */
#include "capture/points.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/units.h"
#include "capture/cgroup.h"
#include "capture/clock.h"
#include "capture/memory.h"
#include "capture/shim.h"

#define TICK_NS (100 * NS_PER_MS)
#define READ_NS NS_PER_S        /* how often a process is read, where the budget lasts */
#define AGAIN_NS (5 * NS_PER_S) /* what has not changed is written again */
#define SHARE 200               /* of a CPU: one part for readings, one for walks of page tables */
#define CREDIT_NS ((int64_t)(NS_PER_S / SHARE)) /* what may be saved up of that */
#define END_NS (100 * NS_PER_MS)                /* for the last reading of all */
/* Walking takes up to 0.1 µs a page, and is done by the thread that takes events as well. */
#define WALK_RSS_MAX_BYTES (32ull << 30)
#define DESCRIPTORS_READ_MAX 100000 /* counted one by one before Linux 6.2 */
#define NOBODY UINT32_MAX

/* Of a thread, or of all threads of a process, so far. */
struct counts {
  uint64_t minor_faults;
  uint64_t major_faults;
  uint64_t migrations;
};

struct thread_counts {
  uint32_t tgid; /* 0: it has ended */
  struct counts counts;
};

struct watched {
  uint32_t pid;
  bool has_counts;
  struct counts counts; /* of all its threads, also of those that have ended */
  uint64_t read_ns;
  uint64_t walked_ns;
  uint64_t rss_bytes;
  uint64_t pss_bytes; /* 0: not walked since it was written */
  uint64_t known;     /* bit m: values[m] was written, at times_ns[m] */
  uint64_t values[POINT_METRICS];
  uint64_t times_ns[POINT_METRICS];
};

/* One kind of reading: what it may still cost, and whose turn it was last. */
struct lane {
  int64_t credit_ns;
  uint32_t next; /* in watched[] */
};

struct point_store {
  struct point_sink sink;
  uint64_t base_ns;
  uint64_t tick_ns; /* the last one */
  uint64_t host_ns;
  size_t adopted; /* of the store of processes */
  struct watched **watched;
  uint32_t count;
  uint32_t capacity;
  struct hash by_pid; /* PID → index of its last process */
  struct thread_counts *threads;
  uint32_t thread_count;
  uint32_t thread_capacity;
  struct hash by_tid;
  struct lane reading;
  struct lane walking;
};

int point_store_new(struct point_store **out, const struct point_sink *sink) {
  struct point_store *store = calloc(1, sizeof(*store));
  if (!store)
    return error_set(ENOMEM, "out of memory");
  store->sink = *sink;
  store->reading.credit_ns = store->walking.credit_ns = CREDIT_NS;
  *out = store;
  return 0;
}

void point_store_free(struct point_store *store) {
  if (!store)
    return;
  for (uint32_t i = 0; i < store->count; i++)
    free(store->watched[i]);
  free(store->watched);
  free(store->threads);
  hash_fini(&store->by_pid);
  hash_fini(&store->by_tid);
  free(store);
}

void point_store_begin(struct point_store *store, uint64_t base_ns) {
  store->base_ns = base_ns;
}

static uint64_t since_start(const struct point_store *store, uint64_t time_ns) {
  return time_ns > store->base_ns ? time_ns - store->base_ns : 0;
}

/* ---- writing ---- */

static void put_point(struct trace_writer *writer, uint64_t since_start_ns, uint32_t pid,
                      enum point_metric metric, uint64_t value) {
  trace_put_point(writer,
                  &(struct trace_point){
                      .time_ns = since_start_ns, .pid = pid, .metric = metric, .value = value});
}

/* What stands still is written more seldom. */
static void put(struct point_store *store, struct watched *watched, uint64_t now_ns,
                enum point_metric metric, uint64_t value) {
  bool is_known = watched->known >> metric & 1;
  if (is_known && watched->values[metric] == value && now_ns < watched->times_ns[metric] + AGAIN_NS)
    return;
  watched->known |= 1ull << metric;
  watched->values[metric] = value;
  watched->times_ns[metric] = now_ns;
  put_point(store->sink.writer, since_start(store, now_ns), watched->pid, metric, value);
}

void points_put_walk(struct trace_writer *writer, uint64_t since_start_ns, uint32_t pid,
                     const struct memory_walk *walk) {
  for (uint32_t kind = 0; kind < MEMORY_MAP_KINDS; kind++)
    put_point(writer, since_start_ns, pid, (enum point_metric)(POINT_SMAPS_FIRST + kind),
              walk->resident_bytes[kind]);
}

/* ---- readings ---- */

/* proc_pid_stat(5): minflt is the 10th field, majflt the 12th, num_threads the 20th; the name may
 * hold anything. */
static bool read_stat(struct point_store *store, struct watched *watched, uint64_t now_ns) {
  char path[64], text[1024];
  unsigned long long minor, major, threads;
  snprintf(path, sizeof(path), "/proc/%u/stat", watched->pid);
  FILE *file = fopen(path, "re");
  size_t length = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
  if (file)
    fclose(file);
  text[length] = '\0';
  const char *rest = strrchr(text, ')');
  if (!rest || sscanf(rest + 1,
                      " %*c %*s %*s %*s %*s %*s %*s %llu %*s %llu %*s %*s %*s %*s %*s %*s %*s %llu",
                      &minor, &major, &threads) != 3)
    return false;
  put(store, watched, now_ns, POINT_MINOR_FAULTS, minor);
  put(store, watched, now_ns, POINT_MAJOR_FAULTS, major);
  put(store, watched, now_ns, POINT_THREADS, threads);
  return true;
}

static void read_io(struct point_store *store, struct watched *watched, uint64_t now_ns) {
  static const struct {
    const char *name;
    enum point_metric metric;
  } fields[] = {
      {"read_bytes: ", POINT_READ_BYTES},
      {"write_bytes: ", POINT_WRITE_BYTES},
      {"rchar: ", POINT_READ_CHARS},
      {"wchar: ", POINT_WRITE_CHARS},
  };
  char path[64], line[128];
  snprintf(path, sizeof(path), "/proc/%u/io", watched->pid);
  FILE *file = fopen(path, "re");
  while (file && fgets(line, sizeof(line), file))
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
      if (!strncmp(line, fields[i].name, strlen(fields[i].name)))
        put(store, watched, now_ns, fields[i].metric,
            strtoull(line + strlen(fields[i].name), NULL, 10));
  if (file)
    fclose(file);
}

/* The folder's size is their number since Linux 6.2; before, its entries are counted. */
static bool count_descriptors(uint32_t pid, uint64_t *count) {
  char path[64];
  struct stat info;
  snprintf(path, sizeof(path), "/proc/%u/fd", pid);
  *count = 0;
  if (!stat(path, &info) && info.st_size > 0) {
    *count = (uint64_t)info.st_size;
    return true;
  }
  DIR *folder = opendir(path);
  if (!folder)
    return false;
  const struct dirent *entry;
  while ((entry = readdir(folder)) && *count < DESCRIPTORS_READ_MAX)
    *count += entry->d_name[0] != '.';
  closedir(folder);
  return true;
}

static void read_limits(struct point_store *store, struct watched *watched, uint64_t now_ns) {
  struct rlimit limit;
  uint64_t descriptors;
  if (count_descriptors(watched->pid, &descriptors))
    put(store, watched, now_ns, POINT_DESCRIPTORS, descriptors);
  if (!prlimit((pid_t)watched->pid, RLIMIT_NOFILE, NULL, &limit))
    put(store, watched, now_ns, POINT_DESCRIPTORS_LIMIT, limit.rlim_cur);
  if (!prlimit((pid_t)watched->pid, RLIMIT_AS, NULL, &limit) && limit.rlim_cur != RLIM_INFINITY)
    put(store, watched, now_ns, POINT_MEMORY_LIMIT, limit.rlim_cur);
}

static void read_cpu(struct point_store *store, struct watched *watched, uint64_t now_ns) {
  cpu_set_t allowed[16]; /* of up to 16384 CPUs */
  struct cgroup_cpu cpu;
  if (!sched_getaffinity((pid_t)watched->pid, sizeof(allowed), allowed))
    put(store, watched, now_ns, POINT_CPUS_ALLOWED,
        (uint64_t)CPU_COUNT_S(sizeof(allowed), allowed));
  if (watched->has_counts)
    put(store, watched, now_ns, POINT_MIGRATIONS, watched->counts.migrations);
  if (!cgroup_cpu_read((pid_t)watched->pid, &cpu))
    return;
  put(store, watched, now_ns, POINT_CPU_QUOTA_US, cpu.quota_us);
  put(store, watched, now_ns, POINT_CPU_PERIOD_US, cpu.period_us);
  put(store, watched, now_ns, POINT_CPU_PERIODS, cpu.periods);
  put(store, watched, now_ns, POINT_CPU_THROTTLED, cpu.throttled);
  put(store, watched, now_ns, POINT_CPU_THROTTLED_NS, cpu.throttled_ns);
}

/* The shim reads the memory of its own processes, and takes its own share off. */
static bool is_of_shim(const struct point_store *store, const struct watched *watched) {
  return store->sink.shim && shim_covers(store->sink.shim, watched->pid);
}

static void read_memory(struct point_store *store, struct watched *watched, uint64_t now_ns) {
  struct trace_memory memory = {.time_ns = since_start(store, now_ns), .pid = watched->pid};
  if (!memory_read_process((pid_t)watched->pid, &memory))
    return;
  watched->rss_bytes = memory.values[MEMORY_RSS];
  memory_read_cgroup((pid_t)watched->pid, &memory);
  if (watched->pss_bytes)
    memory_set(&memory, MEMORY_PSS, watched->pss_bytes);
  watched->pss_bytes = 0;
  trace_put_memory(store->sink.writer, &memory);
}

static void read_process(struct point_store *store, struct watched *watched, uint64_t now_ns) {
  watched->read_ns = now_ns;
  if (!read_stat(store, watched, now_ns))
    return;
  read_io(store, watched, now_ns);
  read_limits(store, watched, now_ns);
  read_cpu(store, watched, now_ns);
  if (!is_of_shim(store, watched))
    read_memory(store, watched, now_ns);
}

static void walk_process(struct point_store *store, struct watched *watched, uint64_t now_ns) {
  struct memory_walk walk;
  watched->walked_ns = now_ns;
  if (is_of_shim(store, watched) || watched->rss_bytes > WALK_RSS_MAX_BYTES ||
      !memory_walk((pid_t)watched->pid, &walk))
    return;
  watched->pss_bytes = walk.pss_bytes;
  for (uint32_t kind = 0; kind < MEMORY_MAP_KINDS; kind++)
    put(store, watched, now_ns, (enum point_metric)(POINT_SMAPS_FIRST + kind),
        walk.resident_bytes[kind]);
}

/* proc_loadavg(5): the fourth field is "runnable/all"; we are one of those that run. */
static void read_host(struct point_store *store, uint64_t now_ns) {
  char text[128] = "";
  unsigned long long runnable;
  store->host_ns = now_ns;
  FILE *file = fopen("/proc/loadavg", "re");
  bool found =
      file && fgets(text, sizeof(text), file) && sscanf(text, "%*s %*s %*s %llu/", &runnable) == 1;
  if (file)
    fclose(file);
  if (found)
    put_point(store->sink.writer, since_start(store, now_ns), 0, POINT_HOST_RUNNABLE,
              runnable ? runnable - 1 : 0);
}

/* ---- processes ---- */

static struct watched *watched_of(const struct point_store *store, uint32_t pid) {
  const uint32_t *known = hash_get(&store->by_pid, pid);
  return known && *known != NOBODY ? store->watched[*known] : NULL;
}

static struct watched *watch(struct point_store *store, uint32_t pid) {
  struct watched **list =
      array_grown(store->watched, store->count, &store->capacity, sizeof(struct watched *));
  struct watched *watched = list ? calloc(1, sizeof(*watched)) : NULL;
  if (list)
    store->watched = list;
  if (!watched || hash_put(&store->by_pid, pid, store->count)) {
    free(watched);
    return NULL;
  }
  watched->pid = pid;
  store->watched[store->count++] = watched;
  return watched;
}

/* The last one takes the place of the one that goes. */
static void drop(struct point_store *store, struct watched *watched) {
  const uint32_t *known = hash_get(&store->by_pid, watched->pid);
  uint32_t at = *known;
  struct watched *last = store->watched[--store->count];
  store->watched[at] = last;
  hash_put(&store->by_pid, last->pid, at);
  hash_put(&store->by_pid, watched->pid, NOBODY);
  free(watched);
}

/* What the capture follows by now. */
static void adopt(struct point_store *store) {
  for (; store->adopted < process_store_count(store->sink.processes); store->adopted++) {
    const struct process *process = process_store_at(store->sink.processes, store->adopted);
    if (!process->end_ns && !watched_of(store, process->pid))
      watch(store, process->pid);
  }
}

static struct thread_counts *thread_of(struct point_store *store, uint32_t tid) {
  const uint32_t *known = hash_get(&store->by_tid, tid);
  if (known)
    return &store->threads[*known];
  struct thread_counts *threads =
      array_grown(store->threads, store->thread_count, &store->thread_capacity, sizeof(*threads));
  if (!threads)
    return NULL;
  store->threads = threads;
  if (hash_put(&store->by_tid, tid, store->thread_count))
    return NULL;
  threads[store->thread_count] = (struct thread_counts){0};
  return &threads[store->thread_count++];
}

/* Adds what a thread's counts grew by. */
static void add_growth(struct counts *sum, const struct counts *now, const struct counts *last) {
  sum->minor_faults += now->minor_faults - last->minor_faults;
  sum->major_faults += now->major_faults - last->major_faults;
  sum->migrations += now->migrations - last->migrations;
}

void point_store_thread(struct point_store *store, const struct event_thread *event) {
  struct watched *watched = watched_of(store, event->tgid);
  struct thread_counts *thread = thread_of(store, event->tid);
  if (!watched)
    watched = watch(store, event->tgid);
  if (!watched || !thread)
    return;
  if (!watched->has_counts) /* of threads that had ended before this one was seen */
    watched->counts = (struct counts){.minor_faults = event->ended_minor_faults,
                                      .major_faults = event->ended_major_faults};
  watched->has_counts = true;
  if (event->what == THREAD_NEW || thread->tgid != event->tgid)
    *thread = (struct thread_counts){.tgid = event->tgid};
  struct counts now = {event->minor_faults, event->major_faults, event->migrations};
  add_growth(&watched->counts, &now, &thread->counts);
  thread->counts = now;
  if (event->what == THREAD_EXIT)
    thread->tgid = 0;
}

void point_store_process_end(struct point_store *store, uint32_t pid, uint64_t time_ns) {
  struct watched *watched = watched_of(store, pid);
  if (!watched)
    return;
  if (watched->has_counts) {
    put(store, watched, time_ns, POINT_MINOR_FAULTS, watched->counts.minor_faults);
    put(store, watched, time_ns, POINT_MAJOR_FAULTS, watched->counts.major_faults);
    put(store, watched, time_ns, POINT_MIGRATIONS, watched->counts.migrations);
  }
  drop(store, watched);
}

/* ---- the clock ---- */

typedef void take_fn(struct point_store *store, struct watched *watched, uint64_t now_ns);

static bool is_due(uint64_t last_ns, uint64_t now_ns) {
  return !last_ns || now_ns + TICK_NS / 2 >= last_ns + READ_NS;
}

/* Takes the turn of each that is due, as long as the credit lasts. */
static void take_turns(struct point_store *store, struct lane *lane, take_fn *take,
                       uint64_t now_ns) {
  for (uint32_t i = 0; i < store->count && lane->credit_ns > 0; i++) {
    lane->next = (lane->next + 1) % store->count;
    struct watched *watched = store->watched[lane->next];
    uint64_t last_ns = lane == &store->reading ? watched->read_ns : watched->walked_ns;
    if (!is_due(last_ns, now_ns))
      continue;
    uint64_t begin_ns = clock_cost_ns();
    take(store, watched, now_ns);
    lane->credit_ns -= (int64_t)(clock_cost_ns() - begin_ns);
  }
}

static void fill(struct lane *lane, uint64_t elapsed_ns) {
  lane->credit_ns += (int64_t)(elapsed_ns / SHARE);
  if (lane->credit_ns > CREDIT_NS)
    lane->credit_ns = CREDIT_NS;
}

void point_store_tick(struct point_store *store, uint64_t now_ns) {
  if (now_ns < store->tick_ns + TICK_NS)
    return;
  uint64_t elapsed_ns = store->tick_ns ? now_ns - store->tick_ns : 0;
  store->tick_ns = now_ns;
  fill(&store->reading, elapsed_ns);
  fill(&store->walking, elapsed_ns);
  adopt(store);
  if (is_due(store->host_ns, now_ns))
    read_host(store, now_ns);
  take_turns(store, &store->reading, read_process, now_ns);
  take_turns(store, &store->walking, walk_process, now_ns);
}

void point_store_end(struct point_store *store, uint64_t now_ns) {
  adopt(store);
  read_host(store, now_ns);
  take_turns(store, &store->walking, walk_process, now_ns);
  uint64_t begin_ns = clock_cost_ns();
  for (uint32_t i = 0; i < store->count && clock_cost_ns() - begin_ns < END_NS; i++)
    read_process(store, store->watched[i], now_ns);
}
