/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the reading of happenings. */
#include "analysis/processes.h"

#include <errno.h>
#include <stdlib.h>

static void add(struct process_life *life, const struct profile_happening *happening) {
  switch (happening->what) {
  case HAPPENING_FORK:
    life->forks++;
    break;
  case HAPPENING_EXEC:
    life->execs++;
    life->executable = *happening->text ? happening->text : life->executable;
    break;
  case HAPPENING_EXIT:
    life->has_exit = true;
    life->status = (int)happening->value;
    life->exit_ns = happening->time_ns;
    break;
  case HAPPENING_OOM_KILL:
    life->is_oom_killed = true;
    life->oom_ns = happening->time_ns;
    break;
  case HAPPENINGS:
    break;
  }
}

int processes_build(struct processes *processes, const struct profile *profile) {
  *processes = (struct processes){.are_seen = profile->happening_count > 0};
  processes->lives = calloc(profile->process_count + (size_t)1, sizeof(*processes->lives));
  if (!processes->lives)
    return -ENOMEM;
  for (uint32_t i = 0; i < profile->process_count; i++)
    processes->lives[i].executable = profile->processes[i].executable;
  for (size_t i = 0; i < profile->happening_count; i++)
    add(&processes->lives[profile->happenings[i].process], &profile->happenings[i]);
  return 0;
}

void processes_fini(struct processes *processes) {
  free(processes->lives);
  *processes = (struct processes){0};
}
