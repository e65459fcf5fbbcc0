#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# System calls as the kernel's side counts them: against strace, and against programs that know what
# they did. Needs a kernel and a user that may load BPF.

bats_require_minimum_version 1.5.0
# shellcheck disable=SC2154 # set by capture.bash
load capture

setup() {
  capture_setup
}

teardown() {
  capture_teardown
}

run_bare() {
  "$ragprof" run -q --no-shim -o "$trace" -- "$@"
}

# "name count errors" of each call in the report, or in strace's summary. What depends on how threads
# happen to meet is left out.
by_report() {
  figure '.syscalls[] | select(.name | test("futex") | not) | "\(.name) \(.count) \(.errors)"' | sort
}

by_strace() {
  awk '/^-----/ { inside = !inside; next } inside && $NF !~ /futex/ { print $NF, $4, (NF > 5 ? $5 : 0) }' "$1" | sort
}

@test "counts and errors of threads and children are those of strace -c -f" {
  needs strace
  strace -f -c -o "$BATS_TEST_TMPDIR/summary" "$workloads/syscalls" mix
  run_bare "$workloads/syscalls" mix
  by_strace "$BATS_TEST_TMPDIR/summary" >"$BATS_TEST_TMPDIR/expected"
  [ "$(wc -l <"$BATS_TEST_TMPDIR/expected")" -gt 15 ]
  grep -qx 'pread64 3032 30' "$BATS_TEST_TMPDIR/expected"
  diff <(by_report) "$BATS_TEST_TMPDIR/expected"
}

@test "bytes are those that strace saw come back" {
  needs strace
  strace -f -e trace=read,write,pread64,pwrite64,preadv,pwritev -o "$BATS_TEST_TMPDIR/calls" \
    "$workloads/syscalls" mix
  run_bare "$workloads/syscalls" mix
  python3 - "$BATS_TEST_TMPDIR/calls" >"$BATS_TEST_TMPDIR/expected" <<'PY'
import collections, re, sys
bytes = collections.Counter()
for line in open(sys.argv[1]):
    found = re.match(r"\d+ +(?:<\.\.\. )?(\w+).* = (\d+)$", line.strip())
    if found:
        bytes[found[1]] += int(found[2])
print("\n".join(f"{name} {count}" for name, count in sorted(bytes.items()) if count))
PY
  grep -qx 'pwritev 9900' "$BATS_TEST_TMPDIR/expected"
  diff <(figure '.syscalls[] | select(.bytes > 0) | "\(.name) \(.bytes)"' | sort) "$BATS_TEST_TMPDIR/expected"
}

@test "errors are told apart by errno" {
  run_bare "$workloads/syscalls" mix
  of() { figure ".syscalls[] | select(.name == \"$1\") | [.by_error[] | \"\(.error) \(.count)\"] | sort | join(\", \")"; }
  [ "$(of openat)" = "ENOENT 150" ]
  [ "$(of close)" = "EBADF 60" ]
  [ "$(of pread64)" = "EINVAL 30" ]
}

@test "two million calls back to back: none is lost, and all are at their stack" {
  run_bare "$workloads/syscalls" storm 2000000
  [ "$(figure '.syscalls[] | select(.name == "getppid") | .count')" -eq 2000000 ]
  [ "$(figure '.syscalls[] | select(.name == "getppid") | [.stacks[] | select(.stack | any(test("^storm"))) | .count] | add')" -ge 1990000 ]
  [ "$(figure '[.capture.lost[] | numbers] | add')" -eq 0 ]
}

@test "six thousand short threads: what each did is counted, in slots that others had before" {
  run_bare "$workloads/syscalls" threads 6000
  [ "$(figure '.syscalls[] | select(.name == "getppid") | .count')" -eq 60000 ]
  [ "$(figure '.syscalls[] | select(.name == "set_robust_list") | .count')" -eq 6001 ]
  [ "$(figure '.threads | length')" -le 6001 ]
  # as many in the buckets as were counted, and of each thread its ten
  python3 "$ROOT/tests/trace_reader.py" "$trace" >"$BATS_TEST_TMPDIR/read"
  jq -e '[.operations[] | select(.class == "syscall")] | length > 17000 and
    all(.[]; .count > 0 and ([.buckets[]] | add) == .count)' "$BATS_TEST_TMPDIR/read"
  jq -e '[.operations[] | select(.name == "getppid" and .thread) | .count] | all(.[]; . == 10)' \
    "$BATS_TEST_TMPDIR/read"
}

@test "durations and percentiles of sleeps, and each slow one with its stack" {
  run_bare "$workloads/syscalls" sleeps >"$BATS_TEST_TMPDIR/sums"
  local often long
  read -r often long <"$BATS_TEST_TMPDIR/sums"
  sleeps='.syscalls[] | select(.name == "clock_nanosleep")'
  [ "$(figure "$sleeps | .count")" -eq 100 ]
  holds "$(figure "$sleeps | .total_ms") > 0.95 * ($often + $long)"
  holds "$(figure "$sleeps | .total_ms") <= $often + $long"
  holds "$(figure "$sleeps | .p50_ms") >= 1.9 && $(figure "$sleeps | .p50_ms") < 3"
  holds "$(figure "$sleeps | .p95_ms") >= 18 && $(figure "$sleeps | .p95_ms") < 30"
  holds "$(figure "$sleeps | .max_ms") >= 100 && $(figure "$sleeps | .max_ms") < 150"
  slow() { figure "[.slow_syscalls[] | select(.stack | any(test(\"^$1\"))) | .$2] | add"; }
  [ "$(slow sleep_often count)" -eq 90 ]
  [ "$(slow sleep_long count)" -eq 10 ]
  holds "$(slow sleep_often total_ms) > 0.95 * $often && $(slow sleep_often total_ms) <= $often"
  holds "$(slow sleep_long total_ms) > 0.95 * $long && $(slow sleep_long total_ms) <= $long"
}

@test "attach: only what begins and ends in the capture is counted" {
  background "$workloads/syscalls" signal
  sleep 0.3
  "$ragprof" attach -q -d 6 -o "$trace" "$pid" &
  local attached=$!
  sleep 4 # on a busy machine it takes its time to begin
  kill -USR1 "$pid"
  sleep 0.5
  kill -USR1 "$pid"
  wait "$attached"
  [ "$(figure '.syscalls[] | select(.name == "getppid") | .count')" -eq 200 ]
  # the first pause began before, and the last had not ended
  [ "$(figure '.syscalls[] | select(.name == "pause") | .count')" -eq 1 ]
}
