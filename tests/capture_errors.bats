#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# What goes wrong with a capture: one clear line, a documented exit code, the target unharmed.

# shellcheck disable=SC2154 # set by capture.bash
load capture

setup() {
  capture_setup
}

teardown() {
  capture_teardown
}

# One line on standard error that holds $2, exit status $1.
fails_with() {
  echo "status $status: $output"
  [ "$status" -eq "$1" ]
  [ "$(grep -c . <<<"$output")" -le 2 ]
  [[ $output == *"$2"* ]]
  [ ! -e "$trace" ]
}

@test "a PID that does not exist" {
  run "$ragprof" attach -o "$trace" 4194303
  fails_with 1 "no process with PID 4194303"
}

@test "a kernel thread" {
  local kernel_thread
  kernel_thread=$(pgrep -P 2 | head -n 1)
  [ -n "$kernel_thread" ] || skip "no kernel threads are visible here"
  run "$ragprof" attach -o "$trace" "$kernel_thread"
  fails_with 1 "kernel thread"
}

@test "a zombie" {
  background sh -c 'sleep 0 & exec sleep 5'
  sleep 0.3
  local zombie
  zombie=$(pgrep -P "$pid")
  [ -n "$zombie" ]
  run "$ragprof" attach -o "$trace" "$zombie"
  fails_with 1 "zombie"
}

@test "a target that exits at once" {
  run "$ragprof" run -q -o "$trace" -- true
  [ "$status" -eq 0 ]
  "$ragprof" report "$trace" >/dev/null
}

@test "not a PID, no PID, no match, a bad frequency, a bad duration" {
  run "$ragprof" attach -o "$trace" abc
  fails_with 2 "'abc' is not a PID"
  run "$ragprof" attach -o "$trace"
  fails_with 2 "name a process"
  run "$ragprof" attach -o "$trace" --name 'no-such-process-*'
  fails_with 1 "no process matches"
  run "$ragprof" attach -F 0 -o "$trace" $$
  fails_with 2 "--frequency"
  run "$ragprof" attach -d soon -o "$trace" $$
  fails_with 2 "soon"
}

@test "no privileges" {
  needs setpriv
  run setpriv --reuid 65534 --regid 65534 --clear-groups "$ragprof" attach -o "$trace" $$
  echo "$output"
  [ "$status" -eq 1 ]
  [[ $output == *"doctor"* ]]
}

@test "an existing file is kept, a folder that does not exist is named" {
  echo precious >"$trace"
  run "$ragprof" attach -d 0.1 -o "$trace" $$
  [ "$status" -eq 1 ]
  [[ $output == *"$trace"* ]]
  [ "$(cat "$trace")" = precious ]
  run "$ragprof" attach -d 0.1 -o "$BATS_TEST_TMPDIR/none/t.ragprof" $$
  [ "$status" -eq 1 ]
  [[ $output == *"none/t.ragprof"* ]]
}

@test "a full disk: what was recorded before stays readable, the target goes on" {
  mkdir "$BATS_TEST_TMPDIR/small"
  mount -t tmpfs -o size=64k tmpfs "$BATS_TEST_TMPDIR/small" 2>/dev/null || skip "may not mount a tmpfs"
  background "$workloads/threads64" 30
  sleep 0.3
  run timeout 25 "$ragprof" attach -F 4999 -o "$BATS_TEST_TMPDIR/small/t.ragprof" -d 20 "$pid"
  echo "status $status: $output"
  local recorded=$status
  run "$ragprof" report "$BATS_TEST_TMPDIR/small/t.ragprof"
  umount "$BATS_TEST_TMPDIR/small"
  [ "$recorded" -eq 1 ]
  [ "$status" -eq 0 ]
  kill -0 "$pid"
}

@test "a perf map of another user is refused" {
  needs node
  needs setpriv
  background setpriv --reuid 65534 --regid 65534 --clear-groups node -e 'const end = Date.now() + 6000; while (Date.now() < end) Math.sqrt(2)'
  sleep 0.5
  printf '0 7fffffffffff stolen\n' >"/tmp/perf-$pid.map"
  chown 12345 "/tmp/perf-$pid.map"
  run "$ragprof" attach -d 1 -o "$trace" "$pid"
  rm -f "/tmp/perf-$pid.map"
  [ "$status" -eq 0 ]
  ! report | grep -q stolen
}

@test "a process of another user, in its own namespaces" {
  needs unshare
  unshare --mount --pid --fork --mount-proc true || skip "no namespaces can be made here"
  background unshare --mount --pid --fork --mount-proc "$workloads/shares" 6
  sleep 0.5
  "$ragprof" attach -q -d 1 -F 499 -o "$trace" "$pid"
  report | jq -e 'any(.functions[]; .name == "half")' >/dev/null
}

@test "an executable that is deleted and replaced while it runs" {
  cp "$workloads/shares" "$BATS_TEST_TMPDIR/gone"
  background "$BATS_TEST_TMPDIR/gone" 6
  sleep 0.3
  rm "$BATS_TEST_TMPDIR/gone"
  cp "$workloads/cxx" "$BATS_TEST_TMPDIR/gone"
  "$ragprof" attach -q -d 1 -F 499 -o "$trace" "$pid"
  is_complete 100
  report | jq -e 'any(.functions[]; .name == "half")' >/dev/null
}
