/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the thresholds from which something is said to stand out, and the search for it. */
#include "analysis/findings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"

/* The least that is worth a line: so many, so many threads at a time on average of the capture, so
 * much of all of the kind (of CPU time for a pool that spins). */
static const struct threshold {
  uint64_t count;
  double average;
  double pct;
} thresholds[FINDING_KINDS] = {
    [FINDING_OOM_KILL] = {.count = 1},
    [FINDING_DESCRIPTORS] = {.pct = 80},
    [FINDING_THROTTLED] = {.count = 5, .pct = 5},
    [FINDING_CPU_SHORTAGE] = {.average = 0.5, .pct = 25},
    [FINDING_LOCK_CONVOY] = {.count = 100, .average = 0.2},
    [FINDING_GIL_CONVOY] = {.count = 100, .average = 0.2},
    [FINDING_SPINNING] = {.count = 20, .pct = 20},
    [FINDING_FSYNC] = {.count = 3, .average = 0.05},
    [FINDING_PAGE_FAULTS] = {.count = 100, .average = 0.05},
    [FINDING_DELAYED_ACK] = {.count = 10, .pct = 20},
    [FINDING_DNS_TIMEOUT] = {.count = 1},
};

/* Linux acknowledges after 40 ms at the soonest (TCP_DELACK_MIN, TCP_ATO_MIN in net/tcp.h); the
 * waker's own delay comes on top. */
#define DELAYED_LOW_NS (36 * NS_PER_MS)
#define DELAYED_HIGH_NS (50 * NS_PER_MS)
/* resolv.conf(5): a server has 5 s to answer unless options say else. */
#define DNS_TIMEOUT_NS (4900 * NS_PER_MS)

struct search {
  struct findings *findings;
  const struct summary *summary;
  const struct system_part *system;
  const struct profile *profile;
};

static struct finding start(enum finding_kind kind) {
  return (struct finding){.kind = kind,
                          .object = PROFILE_NONE,
                          .process = PROFILE_NONE,
                          .thread = PROFILE_NONE,
                          .node = PROFILE_NONE};
}

/* Keeps what reaches its thresholds. */
static void judge(struct search *search, struct finding *found) {
  const struct threshold *least = &thresholds[found->kind];
  struct findings *findings = search->findings;
  uint64_t duration_ns = search->profile->duration_ns;
  found->average = duration_ns ? (double)found->total_ns / (double)duration_ns : 0;
  if (found->count < least->count || found->average < least->average ||
      (least->pct > 0 && percent_of(found->count, found->of_count) < least->pct) ||
      findings->count == FINDINGS_MAX)
    return;
  findings->rows[findings->count++] = *found;
}

/* ---- processes ---- */

static void find_oom_kills(struct search *search) {
  for (uint32_t i = 0; i < search->profile->process_count; i++) {
    struct finding found = start(FINDING_OOM_KILL);
    found.process = i;
    found.count = search->system->processes.lives[i].is_oom_killed;
    judge(search, &found);
  }
}

static void find_descriptors(struct search *search) {
  const struct points *points = &search->system->points;
  for (uint32_t i = 0; i < search->profile->process_count; i++) {
    struct finding found = start(FINDING_DESCRIPTORS);
    found.process = i;
    found.count = points_course(points, i, POINT_DESCRIPTORS)->max;
    found.of_count = points_course(points, i, POINT_DESCRIPTORS_LIMIT)->last;
    judge(search, &found);
  }
}

/* Processes share a cgroup: the one that was seen longest speaks for it. */
static void find_throttling(struct search *search) {
  const struct scheduling *scheduling = &search->system->scheduling;
  struct finding found = start(FINDING_THROTTLED);
  for (uint32_t i = 0; i < scheduling->count; i++) {
    const struct scheduling_row *row = &scheduling->rows[i];
    if (row->throttled_periods <= found.count)
      continue;
    found.process = row->process;
    found.count = row->throttled_periods;
    found.of_count = row->periods;
    found.total_ns = row->throttled_ns;
  }
  judge(search, &found);
}

static void find_cpu_shortage(struct search *search) {
  const struct scheduling *scheduling = &search->system->scheduling;
  struct finding found = start(FINDING_CPU_SHORTAGE);
  for (uint32_t i = 0; i < scheduling->count; i++) {
    found.total_ns += scheduling->rows[i].run_queue_ns;
    found.of_count += scheduling->rows[i].run_queue_ns + scheduling->rows[i].on_cpu_ns;
  }
  found.count = found.total_ns;
  judge(search, &found);
}

/* ---- locks ---- */

static uint32_t most_of(const struct profile *profile, const struct operation_row *row) {
  return row && row->operation_count ? profile->operations[row->operations[0]].thread
                                     : PROFILE_NONE;
}

static uint32_t top_node(const struct operation_row *row) {
  return row && row->stack_count ? row->stacks[0].node : PROFILE_NONE;
}

static void find_convoy(struct search *search, const struct lock_row *lock,
                        enum finding_kind kind) {
  struct finding found = start(kind);
  const struct operation_sum *sum = locks_sum(lock->wait);
  found.object = lock->object;
  found.process = lock->process;
  found.count = sum->count;
  found.total_ns = sum->total_ns;
  found.max_ns = sum->max_ns;
  found.thread_count = lock->wait ? lock->wait->operation_count : 0;
  found.thread = most_of(search->profile, lock->hold);
  found.node = top_node(lock->hold);
  if (found.node == PROFILE_NONE)
    found.node = top_node(lock->wait);
  judge(search, &found);
}

/* A futex by which one thread hands work to others has waiters that never hold it. */
static void find_convoys(struct search *search) {
  const struct locks *locks = &search->system->locks;
  if (locks->count && locks->rows[0].both_count > 1)
    find_convoy(search, &locks->rows[0], FINDING_LOCK_CONVOY);
  if (locks->gil_count)
    find_convoy(search, &locks->gils[0], FINDING_GIL_CONVOY);
}

static void find_spinning(struct search *search) {
  const struct scheduling *scheduling = &search->system->scheduling;
  const struct hotspots *hotspots = &search->summary->hotspots;
  struct finding found = start(FINDING_SPINNING);
  if (!scheduling->spin_count)
    return;
  const struct spin_row *spin = &scheduling->spins[0];
  found.name = spin->pool;
  found.count = spin->samples;
  found.of_count = hotspots->total_count;
  found.total_ns = spin->spin_ns;
  found.thread_count = spin->thread_count;
  found.node = spin->node;
  judge(search, &found);
}

/* ---- files ---- */

static void find_fsync(struct search *search) {
  const struct io *files = &search->system->files;
  struct finding found = start(FINDING_FSYNC);
  uint64_t most_ns = 0;
  for (uint32_t i = 0; i < files->count; i++) {
    const struct operation_row *row = files->rows[i].kinds[IO_FSYNC];
    if (!row)
      continue;
    found.count += row->sum.count;
    found.total_ns += row->sum.total_ns;
    found.max_ns = row->sum.max_ns > found.max_ns ? row->sum.max_ns : found.max_ns;
    if (row->sum.total_ns <= most_ns)
      continue;
    most_ns = row->sum.total_ns;
    found.object = row->object;
    found.node = top_node(row);
  }
  judge(search, &found);
}

static void find_page_faults(struct search *search) {
  const struct faults *faults = &search->system->faults;
  struct finding found = start(FINDING_PAGE_FAULTS);
  if (!faults->stack_count)
    return;
  const struct fault_stack *most = &faults->stacks[0];
  found.count = faults->major + faults->minor;
  found.of_count = faults->major; /* of them */
  found.total_ns = faults->on_cpu_ns + faults->blocked_ns;
  found.max_ns = most->max_ns;
  found.object = most->object;
  if (found.object == PROFILE_NONE && faults->objects.count)
    found.object = faults->objects.rows[0].object;
  found.node = most->node;
  judge(search, &found);
}

/* ---- peers ---- */

/* What was waited for in a poll that came before the receive. */
struct stall {
  uint64_t count;
  uint64_t total_ns;
  uint32_t node; /* the last one */
};

static bool is_delay(uint64_t ns) {
  return ns >= DELAYED_LOW_NS && ns < DELAYED_HIGH_NS;
}

/* Whether a slow system call waits for what a peer sends. */
static bool waits_for_input(const char *name) {
  static const char *const names[] = {"read",       "readv",       "recvfrom", "recvmsg",
                                      "poll",       "ppoll",       "select",   "pselect6",
                                      "epoll_wait", "epoll_pwait", NULL};
  for (const char *const *at = names; *at; at++)
    if (!strcmp(name, *at))
      return true;
  return false;
}

/* Single stalls, by object; NULL: out of memory. */
static struct stall *count_stalls(const struct profile *profile) {
  struct stall *stalls = calloc(profile->object_count + (size_t)1, sizeof(*stalls));
  for (size_t i = 0; stalls && i < profile->slow_operation_count; i++) {
    const struct profile_slow_operation *slow = &profile->slow_operations[i];
    const struct profile_operation *operation = &profile->operations[slow->operation];
    if (slow->object >= profile->object_count || !is_delay(slow->duration_ns) ||
        operation->class != OPERATION_SYSCALL || !waits_for_input(operation->name))
      continue;
    stalls[slow->object].count++;
    stalls[slow->object].total_ns += slow->duration_ns;
    stalls[slow->object].node = slow->node;
  }
  return stalls;
}

/* The time that passed in a receive, or in a poll in front of it: whichever saw more. */
static int find_delayed_acks(struct search *search) {
  const struct io *peers = &search->system->peers;
  struct stall *stalls = count_stalls(search->profile);
  if (!stalls)
    return -ENOMEM;
  for (uint32_t i = 0; i < peers->count; i++) {
    const struct operation_row *row = peers->rows[i].kinds[IO_RECEIVE];
    struct finding found = start(FINDING_DELAYED_ACK);
    if (!row)
      continue;
    const struct stall *stall = &stalls[row->object];
    found.object = row->object;
    found.count = operations_between(search->profile, row, DELAYED_LOW_NS, DELAYED_HIGH_NS);
    found.total_ns = row->sum.total_ns;
    found.node = top_node(row);
    if (stall->count > found.count) {
      found.count = stall->count;
      found.total_ns = stall->total_ns;
      found.node = stall->node;
    }
    found.of_count = row->sum.count > found.count ? row->sum.count : found.count;
    judge(search, &found);
  }
  free(stalls);
  return 0;
}

static bool is_name_server(const struct profile *profile, uint32_t object) {
  const char *name = operations_object_name(profile, object);
  size_t bytes = strlen(name);
  return bytes > 3 && !strncmp(name, "udp ", 4) && !strcmp(name + bytes - 3, ":53");
}

/* A look-up that was answered late, or (its answer never came) a wait for a name server. */
static void find_dns_timeouts(struct search *search) {
  const struct io *peers = &search->system->peers;
  const struct slow *slow = &search->system->slow;
  struct finding found = start(FINDING_DNS_TIMEOUT);
  for (uint32_t i = 0; i < slow->count; i++) {
    const struct slow_row *row = &slow->rows[i];
    if (row->max_ns < DNS_TIMEOUT_NS || !is_name_server(search->profile, row->object))
      continue;
    found.count += row->total_ns / row->max_ns;
    found.total_ns += row->total_ns;
    found.object = row->max_ns > found.max_ns ? row->object : found.object;
    found.node = row->max_ns > found.max_ns ? row->node : found.node;
    found.max_ns = row->max_ns > found.max_ns ? row->max_ns : found.max_ns;
  }
  for (uint32_t i = 0; !found.count && i < peers->count; i++) {
    const struct operation_row *row = peers->rows[i].kinds[IO_DNS];
    if (!row || row->sum.max_ns < DNS_TIMEOUT_NS)
      continue;
    uint64_t late = operations_between(search->profile, row, DNS_TIMEOUT_NS, UINT64_MAX);
    found.count = late ? late : 1;
    found.total_ns = row->sum.total_ns;
    found.max_ns = row->sum.max_ns;
    found.object = row->object;
    found.node = top_node(row);
  }
  judge(search, &found);
}

int findings_build(struct findings *findings, const struct summary *summary) {
  struct search search = {.findings = findings,
                          .summary = summary,
                          .system = &summary->system,
                          .profile = summary->profile};
  *findings = (struct findings){0};
  find_oom_kills(&search);
  find_descriptors(&search);
  find_throttling(&search);
  find_cpu_shortage(&search);
  find_convoys(&search);
  find_spinning(&search);
  find_fsync(&search);
  find_page_faults(&search);
  int rc = find_delayed_acks(&search);
  find_dns_timeouts(&search);
  return rc;
}
