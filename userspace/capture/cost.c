/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the switching of the kernel's account, and the estimate that is made of it. */
#include "capture/cost.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <string.h>
#include <unistd.h>

#include "base/units.h"

#define FIRST_NS NS_PER_S
#define ON_NS (100 * NS_PER_MS)
#define OFF_NS (1900 * NS_PER_MS)

static int read_costs(struct bpf_object *object, struct program_cost costs[PROGRAMS_MAX]) {
  int count = 0;
  struct bpf_program *program;
  bpf_object__for_each_program(program, object) {
    struct bpf_prog_info info = {0};
    uint32_t bytes = sizeof(info);
    if (count == PROGRAMS_MAX)
      break;
    if (!bpf_program__autoload(program) ||
        bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &bytes))
      continue;
    costs[count++] = (struct program_cost){
        .name = bpf_program__name(program), .run_ns = info.run_time_ns, .runs = info.run_cnt};
  }
  return count;
}

static void switch_on(struct cost_meter *meter, uint64_t time_ns) {
  meter->stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
  meter->changed_ns = time_ns;
}

static void switch_off(struct cost_meter *meter, uint64_t time_ns) {
  if (meter->stats_fd < 0)
    return;
  close(meter->stats_fd);
  meter->stats_fd = -1;
  if (meter->is_past_first)
    meter->later_ns += time_ns - meter->changed_ns;
  else
    read_costs(meter->object, meter->first);
  meter->is_past_first = true;
  meter->changed_ns = time_ns;
}

void cost_meter_begin(struct cost_meter *meter, struct bpf_object *object, uint64_t time_ns) {
  *meter = (struct cost_meter){.object = object, .begin_ns = time_ns};
  switch_on(meter, time_ns);
}

void cost_meter_tick(struct cost_meter *meter, uint64_t time_ns) {
  uint64_t since_ns = time_ns - meter->changed_ns;
  bool is_on = meter->stats_fd >= 0;
  if (is_on && since_ns >= (meter->is_past_first ? ON_NS : FIRST_NS))
    switch_off(meter, time_ns);
  else if (!is_on && meter->is_past_first && since_ns >= OFF_NS)
    switch_on(meter, time_ns);
}

void cost_meter_end(struct cost_meter *meter, uint64_t time_ns) {
  if (!meter->object || meter->end_ns)
    return;
  switch_off(meter, time_ns);
  meter->end_ns = time_ns;
  read_costs(meter->object, meter->last);
}

/* What came after the first second, as if it had been counted all the time. */
static uint64_t whole(const struct cost_meter *meter, uint64_t counted) {
  uint64_t span_ns = meter->end_ns - meter->begin_ns;
  span_ns = span_ns > FIRST_NS ? span_ns - FIRST_NS : 0;
  return meter->later_ns ? (uint64_t)((unsigned __int128)counted * span_ns / meter->later_ns)
                         : counted;
}

int cost_meter_costs(const struct cost_meter *meter, struct program_cost costs[PROGRAMS_MAX]) {
  int count = 0;
  if (!meter->is_past_first)
    return 0;
  for (; count < PROGRAMS_MAX && meter->last[count].name; count++) {
    const struct program_cost *first = &meter->first[count], *last = &meter->last[count];
    costs[count] =
        (struct program_cost){.name = last->name,
                              .run_ns = first->run_ns + whole(meter, last->run_ns - first->run_ns),
                              .runs = first->runs + whole(meter, last->runs - first->runs)};
  }
  return count;
}
