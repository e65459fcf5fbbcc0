/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the order in which the system's parts are computed. */
#include "analysis/system.h"

static int build_io(struct system_part *part, const struct profile *profile,
                    const struct stacks *stacks) {
  int rc = io_build(&part->files, profile, stacks, OPERATION_FILE);
  if (!rc)
    rc = io_build(&part->peers, profile, stacks, OPERATION_SOCKET);
  return rc ? rc : io_build(&part->disks, profile, stacks, OPERATION_BLOCK);
}

int system_build(struct system_part *part, const struct profile *profile,
                 const struct stacks *stacks, const struct accounting *accounting) {
  *part = (struct system_part){0};
  int rc = points_build(&part->points, profile);
  if (!rc)
    rc = operations_build(&part->syscalls, profile, stacks, OPERATION_SYSCALL, OPERATIONS_BY_NAME);
  if (!rc)
    rc = slow_build(&part->slow, profile, stacks);
  if (!rc)
    rc = build_io(part, profile, stacks);
  if (!rc)
    rc = faults_build(&part->faults, profile, stacks, &part->points);
  if (!rc)
    rc = scheduling_build(&part->scheduling, profile, accounting, &part->points);
  if (!rc)
    rc = locks_build(&part->locks, profile, stacks);
  if (!rc)
    rc = operations_build(&part->probes, profile, stacks, OPERATION_PROBE, OPERATIONS_BY_NAME);
  return rc ? rc : processes_build(&part->processes, profile);
}

void system_fini(struct system_part *part) {
  points_fini(&part->points);
  operations_fini(&part->syscalls);
  slow_fini(&part->slow);
  io_fini(&part->files);
  io_fini(&part->peers);
  io_fini(&part->disks);
  faults_fini(&part->faults);
  scheduling_fini(&part->scheduling);
  locks_fini(&part->locks);
  operations_fini(&part->probes);
  processes_fini(&part->processes);
}
