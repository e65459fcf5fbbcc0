/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the times of threads that are read from /proc. */
#include "capture/accounts.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/error.h"
#include "base/hash.h"
#include "capture/clock.h"

struct account {
  struct event_thread times; /* as they were last told */
  uint64_t sampled_ns;       /* since they were read */
  bool knows_start;          /* else it is when the thread was first seen */
  bool has_ended;
};

struct account_store {
  struct thread_store *threads;
  uint64_t base_ns;
  uint64_t period_ns;
  uint64_t boot_ahead_ns; /* CLOCK_BOOTTIME, in which /proc counts, minus CLOCK_MONOTONIC */
  struct account *accounts;
  uint32_t count;
  uint32_t capacity;
  struct hash by_tid; /* TID → index + 1 of the living thread; 0: none */
};

int account_store_new(struct account_store **out, struct thread_store *threads, uint64_t base_ns,
                      uint32_t frequency_hz) {
  struct account_store *store = calloc(1, sizeof(*store));
  if (!store)
    return error_set(ENOMEM, "out of memory");
  store->threads = threads;
  store->base_ns = base_ns;
  store->period_ns = frequency_hz ? NS_PER_S / frequency_hz : 0;
  store->boot_ahead_ns = clock_read_ns(CLOCK_BOOTTIME) - clock_read_ns(CLOCK_MONOTONIC);
  *out = store;
  return 0;
}

void account_store_free(struct account_store *store) {
  if (!store)
    return;
  free(store->accounts);
  hash_fini(&store->by_tid);
  free(store);
}

static uint64_t later(uint64_t a, uint64_t b) {
  return a > b ? a : b;
}

/* The account of a living thread, which was there at first_ns; NULL when there was no room. */
static struct account *get(struct account_store *store, uint32_t pid, uint32_t tid,
                           uint64_t first_ns) {
  uint32_t *at = hash_get(&store->by_tid, tid);
  if (at && *at)
    return &store->accounts[*at - 1];
  struct account *grown =
      array_grown(store->accounts, store->count, &store->capacity, sizeof(*grown));
  if (!grown)
    return NULL;
  store->accounts = grown;
  if (hash_put(&store->by_tid, tid, store->count + 1))
    return NULL;
  struct account *account = &store->accounts[store->count++];
  *account = (struct account){.times = {.type = EVENT_THREAD,
                                        .tgid = pid,
                                        .tid = tid,
                                        .time_ns = first_ns,
                                        .start_ns = later(first_ns, store->base_ns)}};
  thread_store_id(store->threads, pid, tid);
  return account;
}

static void set_start(struct account_store *store, struct account *account, uint64_t start_ns) {
  account->knows_start = true;
  account->times.start_ns = later(start_ns, store->base_ns);
}

static void report(struct account_store *store, struct account *account, uint64_t now_ns,
                   enum thread_event what) {
  struct event_thread *times = &account->times;
  uint64_t wall_ns = now_ns > times->start_ns ? now_ns - times->start_ns : 0;
  times->time_ns = times->start_ns + wall_ns;
  times->what = what;
  if (times->on_cpu_ns > wall_ns) /* two clocks, read one after the other */
    times->on_cpu_ns = wall_ns;
  if (times->run_queue_ns > wall_ns - times->on_cpu_ns)
    times->run_queue_ns = wall_ns - times->on_cpu_ns;
  times->blocked_ns = wall_ns - times->on_cpu_ns - times->run_queue_ns;
  if (times->start_ns > store->base_ns)
    thread_store_began(store->threads, times->tid, times->start_ns - store->base_ns);
  thread_store_report(store->threads, times, store->base_ns);
}

/* ---- /proc ---- */

static bool read_line(const char *folder, const char *name, char *line, int bytes) {
  char path[96];
  snprintf(path, sizeof(path), "%s/%s", folder, name);
  FILE *file = fopen(path, "re");
  bool found = file && fgets(line, bytes, file);
  if (file)
    fclose(file);
  return found;
}

/* Field 22 of stat: when the thread began, in clock ticks since boot. */
static void read_start(struct account_store *store, struct account *account, const char *folder) {
  char line[512];
  unsigned long long ticks;
  const char *after = read_line(folder, "stat", line, sizeof(line)) ? strrchr(line, ')') : NULL;
  if (!after || sscanf(after,
                       ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
                       "%*d %llu",
                       &ticks) != 1)
    return;
  uint64_t start_ns = ticks * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK)) - store->boot_ahead_ns;
  set_start(store, account, start_ns);
}

static void read_switches(struct account *account, const char *folder) {
  char path[96], line[256];
  unsigned long long value;
  snprintf(path, sizeof(path), "%s/status", folder);
  FILE *file = fopen(path, "re");
  while (file && fgets(line, sizeof(line), file)) {
    if (sscanf(line, "voluntary_ctxt_switches: %llu", &value) == 1)
      account->times.voluntary_switches = value;
    else if (sscanf(line, "nonvoluntary_ctxt_switches: %llu", &value) == 1)
      account->times.involuntary_switches = value;
  }
  if (file)
    fclose(file);
}

static void read_thread(struct account_store *store, uint32_t pid, uint32_t tid, uint64_t now_ns) {
  char folder[64], line[128];
  unsigned long long on_cpu_ns, run_queue_ns;
  snprintf(folder, sizeof(folder), "/proc/%u/task/%u", pid, tid);
  if (!read_line(folder, "schedstat", line, sizeof(line)) ||
      sscanf(line, "%llu %llu", &on_cpu_ns, &run_queue_ns) != 2)
    return;
  struct account *account = get(store, pid, tid, now_ns);
  if (!account)
    return;
  if (!account->knows_start)
    read_start(store, account, folder);
  account->times.on_cpu_ns = on_cpu_ns;
  account->times.run_queue_ns = run_queue_ns;
  account->sampled_ns = 0;
  read_switches(account, folder);
  if (read_line(folder, "comm", line, sizeof(line))) {
    line[strcspn(line, "\n")] = '\0';
    snprintf(account->times.name, sizeof(account->times.name), "%.15s", line);
  }
  report(store, account, now_ns, THREAD_ALIVE);
}

void account_store_read(struct account_store *store, uint32_t pid, uint64_t now_ns) {
  char path[32];
  snprintf(path, sizeof(path), "/proc/%u/task", pid);
  DIR *list = opendir(path);
  if (!list)
    return;
  for (struct dirent *entry; (entry = readdir(list));)
    if (isdigit((unsigned char)entry->d_name[0]))
      read_thread(store, pid, (uint32_t)atoi(entry->d_name), now_ns);
  closedir(list);
}

/* ---- what the shim tells ---- */

void account_store_sample(struct account_store *store, uint32_t pid, uint32_t tid, uint64_t time_ns,
                          uint64_t periods) {
  struct account *account = get(store, pid, tid, time_ns - periods * store->period_ns);
  if (account)
    account->sampled_ns += periods * store->period_ns;
}

/* The TID may be given to another thread from now on. */
static void end(struct account_store *store, struct account *account, uint64_t end_ns) {
  account->has_ended = true;
  report(store, account, end_ns, THREAD_EXIT);
  hash_put(&store->by_tid, account->times.tid, 0);
  thread_store_forget(store->threads, account->times.tid);
}

void account_store_thread_end(struct account_store *store, const struct event_thread *ended) {
  struct account *account = get(store, ended->tgid, ended->tid, ended->start_ns);
  if (!account)
    return;
  struct event_thread *times = &account->times;
  if (!account->knows_start && ended->start_ns < ended->time_ns)
    set_start(store, account, ended->start_ns);
  if (times->on_cpu_ns < ended->on_cpu_ns)
    times->on_cpu_ns = ended->on_cpu_ns;
  if (!times->name[0])
    memcpy(times->name, ended->name, sizeof(times->name));
  account->sampled_ns = 0;
  if (ended->tid == ended->tgid)
    report(store, account, ended->time_ns, THREAD_ALIVE);
  else
    end(store, account, ended->time_ns);
}

void account_store_process_end(struct account_store *store, uint32_t pid, uint64_t end_ns) {
  account_store_read(store, pid, end_ns); /* a zombie's first thread is still there */
  for (uint32_t i = 0; i < store->count; i++) {
    struct account *account = &store->accounts[i];
    if (account->times.tgid != pid || account->has_ended)
      continue;
    account->times.on_cpu_ns += account->sampled_ns;
    end(store, account, end_ns);
  }
}
