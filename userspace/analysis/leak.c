/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Judges every stack that holds memory: samples its series at the moments of the snapshots, hands
 * it to leak_judge, puts the leaks first. */
#include "analysis/leak.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "analysis/leak_judge.h"
#include "analysis/leak_process.h"
#include "base/error.h"

/* Series are looked at in at most this many moments. */
#define MOMENTS_MAX 360u
/* A stack gave back what its process's allocator retains, when its live bytes fell below this share
 * of their peak. */
#define GIVEN_BACK_SHARE 0.5
/* Live bytes that fall below this share of what they were, at the end of a process, are its exit.
 */
#define EXIT_SHARE 0.9
/* Iterations are the axis of the verdict when there are this many different counts of them. */
#define ITERATIONS_MIN 12u

/* A moment at which all series are sampled. */
struct tick {
  uint64_t time_ns;
  double iterations; /* of all processes, so far */
};

struct analysis {
  const struct profile *profile;
  const struct heap *heap;
  struct leak_report *report;
  struct tick *ticks;
  size_t tick_count;
  enum leak_axis axis;
  struct leak_moment *moments; /* room for tick_count */
};

const char *leak_verdict_name(enum leak_verdict verdict) {
  static const char *const names[LEAK_VERDICTS] = {
      [LEAK_FLAT] = "flat",
      [LEAK_LEAK] = "leak",
      [LEAK_CACHE] = "bounded cache",
      [LEAK_DEFERRED] = "GC-deferred",
      [LEAK_RETAINED] = "allocator-retained",
      [LEAK_TOO_SHORT] = "too short to say",
  };
  return (unsigned)verdict < LEAK_VERDICTS ? names[verdict] : "unknown";
}

static int out_of_memory(void) {
  return error_set(ENOMEM, "out of memory");
}

/* ---- Moments --------------------------------------------------------------------------------- */

/* When something was allocated or freed last: a target that has gone idle does not show whether it
 * would grow on. */
static uint64_t last_change_ns(const struct profile *profile) {
  uint64_t last_ns = 0;
  for (uint32_t i = 0; i < profile->heap_site_count; i++) {
    const struct profile_heap_site *site = &profile->heap_sites[i];
    uint64_t ns = profile->heap_points[site->point_first + site->point_count - 1].time_ns;
    last_ns = ns > last_ns ? ns : last_ns;
  }
  return last_ns;
}

/* What is known of a process while its memory points are gone through. */
struct passage {
  uint64_t iterations;
  uint64_t exit_ns;      /* it was on its way out from here on; 0: it lives on */
  uint64_t candidate_ns; /* going back: the point that may be of the exit, too, and … */
  uint64_t candidate_live_bytes;
  bool is_over; /* … no earlier one is */
};

/* Goes back one point. What a program frees at its exit says nothing of leaks: so the last point of
 * a process that has ended belongs to the exit, and those before it that fall deeply. */
static void look_for_exit(struct passage *passage, const struct profile_process *process,
                          const struct profile_memory_point *point) {
  uint64_t live = point->values[MEMORY_HEAP_LIVE];
  if (passage->is_over)
    return;
  if (!passage->exit_ns) {
    passage->is_over = point->time_ns < process->end_ns;
    passage->exit_ns = passage->is_over ? 0 : point->time_ns;
    return;
  }
  if (passage->candidate_ns && (double)passage->candidate_live_bytes < EXIT_SHARE * (double)live)
    passage->exit_ns = passage->candidate_ns;
  else
    passage->is_over = passage->candidate_ns != 0;
  passage->candidate_ns = point->time_ns;
  passage->candidate_live_bytes = live;
}

/* Fills `ticks` with the times of the memory points up to `end_ns`, each once, and the iterations
 * up to then; their number. `total`: the iterations of all points. `passages` is zero for every
 * process. */
static size_t put_ticks(struct tick *ticks, const struct profile *profile, uint64_t end_ns,
                        struct passage *passages, double *total) {
  size_t count = 0;
  *total = 0;
  for (size_t i = profile->memory_point_count; i-- > 0;) {
    uint32_t process = profile->memory_points[i].process;
    look_for_exit(&passages[process], &profile->processes[process], &profile->memory_points[i]);
  }
  for (size_t i = 0; i < profile->memory_point_count; i++) {
    const struct profile_memory_point *point = &profile->memory_points[i];
    struct passage *passage = &passages[point->process];
    if (point->present >> MEMORY_ITERATIONS & 1) {
      uint64_t now = point->values[MEMORY_ITERATIONS];
      *total += now > passage->iterations ? (double)(now - passage->iterations) : 0;
      passage->iterations = now;
    }
    if (point->time_ns > end_ns || (passage->exit_ns && point->time_ns >= passage->exit_ns))
      continue;
    count -= count && ticks[count - 1].time_ns == point->time_ns;
    ticks[count++] = (struct tick){point->time_ns, *total};
  }
  return count;
}

/* Without memory points: even moments. */
static size_t put_even_ticks(struct tick *ticks, uint64_t end_ns) {
  for (size_t i = 0; i < MOMENTS_MAX; i++)
    ticks[i].time_ns = (uint64_t)((double)end_ns * (double)(i + 1) / MOMENTS_MAX);
  return MOMENTS_MAX;
}

/* Keeps an even selection, with the last. */
static size_t thin_ticks(struct tick *ticks, size_t count) {
  if (count <= MOMENTS_MAX)
    return count;
  for (size_t i = 0; i < MOMENTS_MAX; i++)
    ticks[i] = ticks[i * (count - 1) / (MOMENTS_MAX - 1)];
  return MOMENTS_MAX;
}

/* After its last iteration a program idles or ends, and gives back what it had: that says nothing
 * of leaks. How many ticks there are before it. */
static size_t drop_tail(const struct tick *ticks, size_t count) {
  size_t kept = count;
  while (kept && ticks[kept - 1].iterations == ticks[count - 1].iterations)
    kept--;
  return kept >= ITERATIONS_MIN ? kept : count;
}

static int build_ticks(struct analysis *analysis) {
  const struct profile *profile = analysis->profile;
  uint64_t end_ns = last_change_ns(profile);
  struct passage *passages = calloc((size_t)profile->process_count + 1, sizeof(*passages));
  analysis->ticks = calloc(profile->memory_point_count + MOMENTS_MAX, sizeof(*analysis->ticks));
  if (!passages || !analysis->ticks) {
    free(passages);
    return out_of_memory();
  }
  double total;
  size_t count = put_ticks(analysis->ticks, profile, end_ns, passages, &total);
  count = thin_ticks(analysis->ticks, drop_tail(analysis->ticks, count));
  analysis->tick_count = count ? count : put_even_ticks(analysis->ticks, end_ns);
  free(passages);
  size_t distinct = 0;
  for (size_t i = 1; i < count; i++)
    distinct += analysis->ticks[i].iterations > analysis->ticks[i - 1].iterations;
  analysis->axis = distinct >= ITERATIONS_MIN ? AXIS_ITERATIONS : AXIS_SECONDS;
  analysis->report->iterations = total < 0x1p64 ? (uint64_t)total : UINT64_MAX;
  analysis->report->has_iterations = analysis->report->iterations > 0;
  analysis->moments = calloc(analysis->tick_count, sizeof(*analysis->moments));
  return analysis->moments ? 0 : out_of_memory();
}

/* The series at the ticks from its first step on; how many. */
static size_t put_moments(const struct analysis *analysis, const struct heap_step *steps,
                          size_t step_count) {
  size_t count = 0, step = 0;
  for (size_t i = 0; i < analysis->tick_count; i++) {
    const struct tick *tick = &analysis->ticks[i];
    if (tick->time_ns < steps[0].time_ns)
      continue;
    while (step + 1 < step_count && steps[step + 1].time_ns <= tick->time_ns)
      step++;
    analysis->moments[count++] =
        (struct leak_moment){.time_ns = tick->time_ns,
                             .iterations = tick->iterations,
                             .bytes = (double)steps[step].live_bytes,
                             .allocations = (double)steps[step].allocations};
  }
  return count;
}

/* ---- Sites ----------------------------------------------------------------------------------- */

static bool is_retained_somewhere(const struct leak_report *report, const struct profile *profile,
                                  const struct heap *heap, const struct heap_stack *stack) {
  for (uint32_t i = 0; i < stack->site_count; i++) {
    uint32_t site = heap->sites_by_stack[stack->site_first + i];
    for (uint32_t j = 0; j < report->process_count; j++)
      if (report->processes[j].process == profile->heap_sites[site].process &&
          report->processes[j].is_allocator_retained)
        return true;
  }
  return false;
}

/* Most of what the stack had is given back, but not to the system. */
static bool is_retained(const struct analysis *analysis, const struct heap_stack *stack) {
  const struct heap_totals *totals = &stack->totals;
  return (double)totals->live_bytes <= GIVEN_BACK_SHARE * (double)totals->peak_bytes &&
         totals->peak_bytes - totals->live_bytes >= 1u << 20 &&
         is_retained_somewhere(analysis->report, analysis->profile, analysis->heap, stack);
}

static int judge_stack(const struct analysis *analysis, uint32_t index, struct leak_site *out) {
  const struct heap_stack *stack = &analysis->heap->stacks[index];
  struct heap_step *steps;
  size_t step_count;
  int error = heap_series(analysis->profile, analysis->heap, stack, &steps, &step_count);
  if (error)
    return error;
  size_t count = put_moments(analysis, steps, step_count);
  struct leak_judgement judgement;
  error = leak_judge(&judgement, analysis->moments, count, analysis->axis,
                     (double)analysis->heap->interval_bytes[stack->kind]);
  free(steps);
  if (error)
    return out_of_memory();
  *out = (struct leak_site){
      .stack = index,
      .verdict = judgement.verdict,
      .has_time_slope = judgement.has_slope[AXIS_SECONDS],
      .has_iteration_slope = judgement.has_slope[AXIS_ITERATIONS],
      .per_second = judgement.slope[AXIS_SECONDS],
      .per_iteration = judgement.slope[AXIS_ITERATIONS],
      .point_count = judgement.used,
      .confidence = judgement.confidence,
  };
  if (count && judgement.warmup < count)
    out->warmup_ns = analysis->moments[judgement.warmup].time_ns - analysis->moments[0].time_ns;
  if (out->verdict != LEAK_LEAK && is_retained(analysis, stack))
    out->verdict = LEAK_RETAINED;
  return 0;
}

static int compare_sites(const void *a, const void *b, void *context) {
  const struct leak_site *left = a, *right = b;
  const struct heap *heap = context;
  bool is_leak[2] = {left->verdict == LEAK_LEAK, right->verdict == LEAK_LEAK};
  if (is_leak[0] != is_leak[1])
    return is_leak[0] ? -1 : 1;
  if (is_leak[0] && left->per_second.value != right->per_second.value)
    return left->per_second.value > right->per_second.value ? -1 : 1;
  uint64_t live[2] = {heap->stacks[left->stack].totals.live_bytes,
                      heap->stacks[right->stack].totals.live_bytes};
  if (live[0] != live[1])
    return live[0] > live[1] ? -1 : 1;
  return left->stack < right->stack ? -1 : left->stack > right->stack;
}

static int judge_stacks(struct analysis *analysis) {
  struct leak_report *report = analysis->report;
  const struct heap *heap = analysis->heap;
  for (uint32_t i = 0; i < heap->stack_count; i++) {
    if (!heap_is_judged(heap, heap->stacks[i].kind))
      continue;
    struct leak_site *site = &report->sites[report->site_count];
    int error = judge_stack(analysis, i, site);
    if (error)
      return error;
    report->site_count++;
    report->leak_count += site->verdict == LEAK_LEAK;
  }
  qsort_r(report->sites, report->site_count, sizeof(*report->sites), compare_sites, (void *)heap);
  return 0;
}

/* ---- The whole ------------------------------------------------------------------------------- */

int leak_analyse(struct leak_report **out, const struct profile *profile, const struct heap *heap) {
  struct leak_report *report = calloc(1, sizeof(*report));
  if (!report)
    return out_of_memory();
  struct analysis analysis = {.profile = profile, .heap = heap, .report = report};
  report->sites = calloc((size_t)heap->stack_count + 1, sizeof(*report->sites));
  int error = report->sites ? 0 : out_of_memory();
  if (!error)
    error = leak_processes(&report->processes, &report->process_count, profile);
  if (!error)
    error = build_ticks(&analysis);
  if (!error)
    error = judge_stacks(&analysis);
  free(analysis.ticks);
  free(analysis.moments);
  if (error)
    leak_report_free(report);
  else
    *out = report;
  return error;
}

void leak_report_free(struct leak_report *report) {
  if (!report)
    return;
  free(report->sites);
  free(report->processes);
  free(report);
}
