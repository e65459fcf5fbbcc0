#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The lives of processes: forks, execs, exits and OOM kills against programs that know theirs, open
# files and threads over time, the limits of control groups against what the kernel says of them.

bats_require_minimum_version 1.5.0
# shellcheck disable=SC2154 # set by capture.bash
load capture

setup() {
  capture_setup
  group=
}

teardown() {
  capture_teardown
  [ -z "$group" ] || rmdir "$group" 2>/dev/null || true
}

records() {
  python3 "$ROOT/tests/trace_reader.py" "$trace" >"$BATS_TEST_TMPDIR/records"
}

# happened NAME: "PID VALUE TEXT" of each.
happened() {
  jq -r --arg name "$1" '.happenings[] | select(.[2] == $name) | "\(.[1]) \(.[3]) \(.[4])"' \
    "$BATS_TEST_TMPDIR/records"
}

# Makes a control group of version 1 or 2 with a controller; its folder is in $group.
make_group() {
  local controller=$1 root
  for root in "/sys/fs/cgroup/$controller" /sys/fs/cgroup /sys/fs/cgroup/unified; do
    [ "$root" = "/sys/fs/cgroup/$controller" ] ||
      grep -qw "$controller" "$root/cgroup.subtree_control" 2>/dev/null || continue
    group=$root/ragprof-test-$$
    ! mkdir "$group" 2>/dev/null || return 0
  done
  group=
  skip "no control group with the controller $controller can be made here"
}

@test "processes: a storm of forks, execs and exits is counted, status and faults of each are exact" {
  "$ragprof" run -q --no-shim -o "$trace" -- "$workloads/process_storm" 300 >"$BATS_TEST_TMPDIR/out"
  records
  local forks execs
  forks=$(happened fork | wc -l)
  execs=$(happened exec | grep -c ' /bin/true$')
  echo "$forks forks, $execs execs"
  [ "$forks" -eq 300 ]
  [ "$execs" -eq 99 ] # every third but the last child
  # every child's status, as wait4 gave it
  diff <(awk '{ print $1, $2 }' "$BATS_TEST_TMPDIR/out" | sort) \
    <(happened exit | awk '{ print $1, $2 }' | sort | join - <(awk '{ print $1 }' "$BATS_TEST_TMPDIR/out" | sort))
  # every child's faults, as wait4 gave them
  diff <(awk '{ print $1, $3, $4 }' "$BATS_TEST_TMPDIR/out" | sort) \
    <(jq -r '[.points[] | select(.[2] == "minor_faults" or .[2] == "major_faults")] | group_by(.[1])[] |
      "\(.[0][1]) \(map(select(.[2] == "minor_faults"))[-1][3]) \(map(select(.[2] == "major_faults"))[-1][3])"' \
      "$BATS_TEST_TMPDIR/records" | sort | join - <(awk '{ print $1 }' "$BATS_TEST_TMPDIR/out" | sort))
}

@test "processes: the report says how each ended" {
  "$ragprof" run -q --no-shim -o "$trace" -- bash -c 'sh -c "exit 7"; sh -c "kill -9 \$\$"; exit 3' || true
  [ "$(figure '[.processes[].exit.text] | sort | join(",")')" = "exit 3,exit 7,killed by SIGKILL" ] ||
    [ "$(figure '[.processes[].exit.status] | sort | join(",")')" = "9,768,1792" ]
}

@test "processes: open files and threads over time" {
  mkfifo "$BATS_TEST_TMPDIR/in"
  exec 8<>"$BATS_TEST_TMPDIR/in"
  "$ragprof" run -q --no-shim -o "$trace" -- "$workloads/process_ramp" <"$BATS_TEST_TMPDIR/in" \
    >"$BATS_TEST_TMPDIR/out" 3>&- 8>&- &
  local recorder=$! files threads
  pids+=("$recorder")
  timeout 90 bash -c "until grep -q ready '$BATS_TEST_TMPDIR/out'; do sleep 0.1; done"
  # what the kernel says while the program holds still
  files=$(head -n 1 "$BATS_TEST_TMPDIR/out")
  threads=$(awk '/^Threads/ { print $2 }' "/proc/$(pgrep -P "$recorder" process_ramp)/status")
  sleep 2.2
  exec 8>&-
  wait "$recorder"
  figure '.processes[0] | {descriptors, threads_level}'
  [ "$(figure '.processes[0].descriptors.last')" -eq "$files" ]
  [ "$(figure '.processes[0].threads_level.last')" -eq "$threads" ]
  [ "$threads" -eq 41 ]
  records
  # both rise together: five files to a thread, within a step
  jq -r '[.points[] | select(.[2] == "descriptors" or .[2] == "threads")] | group_by(.[0])[] |
    map({(.[2]): .[3]}) | add | select(.descriptors and .threads) |
    "\(.threads) \(.descriptors)"' "$BATS_TEST_TMPDIR/records" | sort -nu >"$BATS_TEST_TMPDIR/pairs"
  cat "$BATS_TEST_TMPDIR/pairs"
  [ "$(wc -l <"$BATS_TEST_TMPDIR/pairs")" -ge 4 ]
  awk -v files="$files" '{ expected = files - 5 * (41 - $1)
      if ($2 < expected - 5 || $2 > expected + 5) bad = 1 }
    END { exit bad }' "$BATS_TEST_TMPDIR/pairs"
}

@test "processes: one that is killed for want of memory" {
  make_group memory
  local limit=$group/memory.max
  [ -e "$limit" ] || limit=$group/memory.limit_in_bytes
  echo 33554432 >"$limit" || skip "no limit can be set"
  [ ! -e "$group/memory.swap.max" ] || echo 0 >"$group/memory.swap.max"
  "$ragprof" run -q --no-shim -o "$trace" -- bash -c 'echo $BASHPID >"$0/cgroup.procs"
    exec python3 -c "x = bytearray(256 << 20)"' "$group" || true
  records
  figure '.processes[] | {name, is_oom_killed, exit}'
  [ "$(happened "OOM kill" | wc -l)" -eq 1 ]
  [ "$(figure '[.processes[] | select(.is_oom_killed)] | length')" -eq 1 ]
  [ "$(figure '.processes[] | select(.is_oom_killed) | .exit.status')" -eq 9 ]
}

@test "scheduling: a quota of 20 % shows as the group's own numbers say" {
  make_group cpu
  if [ -e "$group/cpu.max" ]; then
    echo "20000 100000" >"$group/cpu.max"
  else
    echo 100000 >"$group/cpu.cfs_period_us"
    echo 20000 >"$group/cpu.cfs_quota_us" || skip "no quota can be set"
  fi
  bash -c 'echo $BASHPID >"$0/cgroup.procs"; exec "$1" 60' "$group" "$workloads/shares" >/dev/null 3>&- &
  pid=$!
  pids+=("$pid")
  # the group's own numbers, ten times a second: time, times throttled, for how long
  python3 -c 'import sys, time
while True:
    stat = dict(line.split() for line in open(sys.argv[1] + "/cpu.stat"))
    ns = int(stat["throttled_time"]) if "throttled_time" in stat else int(stat["throttled_usec"]) * 1000
    print(time.time_ns(), stat["nr_throttled"], ns, flush=True)
    time.sleep(0.1)' "$group" >"$BATS_TEST_TMPDIR/stat" 3>&- &
  pids+=("$!")
  "$ragprof" attach -q -d 6 -o "$trace" "$pid"
  kill "$!" "$pid"
  records
  [ "$(figure '.scheduling.processes[0].quota_cpus')" = 0.2 ]
  python3 - "$BATS_TEST_TMPDIR/records" "$BATS_TEST_TMPDIR/stat" <<'END'
import json, sys

trace = json.load(open(sys.argv[1]))
start = int(trace["facts"]["capture.start_unix_ns"])
stat = [tuple(map(int, line.split())) for line in open(sys.argv[2]) if line.count(" ") == 2]

def at(time_ns, column):
    """The group's number at a moment, between two readings."""
    after = next(i for i, row in enumerate(stat) if row[0] >= time_ns)
    a, b = stat[after - 1], stat[after]
    return a[column] + (b[column] - a[column]) * (time_ns - a[0]) / (b[0] - a[0])

for name, column, slack in (("cpu_throttled", 1, 2), ("cpu_throttled_ns", 2, 60e6)):
    points = [p for p in trace["points"] if p[2] == name]
    first, last = points[0], points[-1]
    ours = last[3] - first[3]
    theirs = at(start + last[0], column) - at(start + first[0], column)
    print(name, ours, "cpu.stat", theirs)
    assert ours > 0 and abs(ours - theirs) <= 0.05 * theirs + slack, name
END
}
