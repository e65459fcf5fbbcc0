#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The calls that the shim times, against what programs count and measure of their own calls, and
# against strace.

# shellcheck disable=SC2154 # set by heap.bash
load heap.bash

setup() {
  heap_setup
  calls=$workloads/shim_calls
}
teardown() { heap_teardown; }

timed="alloc=off python=off calls=1 cpu=0"

# "count errors bytes" of each call, a line each: by the program itself, and by the shim.
by_itself() { jq -r 'to_entries[] | "\(.key) \(.value.count) \(.value.errors) \(.value.bytes)"' "$scratch/own.json" | sort; }
by_region() {
  regions '[.processes[] | .calls | to_entries[]] | group_by(.key)[] |
    "\(.[0].key) \(map(.value.count + .value.quick) | add) \(map(.value.errors) | add) \(map(.value.bytes) | add)"' | sort
}

same_calls() {
  shimmed "${keys:-$timed}"
  "${shim[@]}" "$calls" "$@" >"$scratch/own.json"
  diff <(by_itself) <(by_region)
  lost_nothing
}

@test "every form of every call: how often, errors, bytes" {
  same_calls forms 5
  [ "$(by_itself | wc -l)" -eq 24 ] # all of region.h's list
}

@test "the same while allocations are counted and the CPU is sampled" {
  keys="alloc=every python=off calls=1 cpu=1000" same_calls forms 5
}

@test "waits take as long as the program measures" {
  local name ns region_ns
  shimmed "$timed"
  "${shim[@]}" "$calls" waits >"$scratch/own.json"
  cat "$scratch/own.json"
  while read -r name ns; do
    region_ns=$(regions ".processes[0].calls.$name.total_ns")
    # the program's clock is outside of ours; 1 ms for all that a busy machine does between the two
    awk "BEGIN { exit !($region_ns <= $ns && $ns - $region_ns < 1e6 + $ns / 20) }" ||
      { echo "$name: $region_ns ns, measured $ns ns" && false; }
  done < <(jq -r 'to_entries[] | "\(.key) \(.value.ns)"' "$scratch/own.json")
  # known: 20 sleeps of 5 ms, a lock held for 30 ms
  awk "BEGIN { exit !($(regions '.processes[0].calls.nanosleep.total_ns') >= 100e6) }"
  awk "BEGIN { exit !($(regions '.processes[0].calls.pthread_mutex_lock.max_ns') >= 28e6) }"
}

@test "long calls have their stacks, and what was waited for" {
  shimmed "$timed"
  "${shim[@]}" "$calls" kinds >/dev/null
  python3 "$ROOT/tests/region_reader.py" --sites "$folder" | jq '.processes[0]' >"$scratch/region.json"
  # enum wait_reason of trace.h: a pipe is 8, a socket 4; whole stacks end with WALK_ROOT, 1
  equal "8 1 1,4 1 1" "$(jq -r '[.sites[] | select(.kind == "read" and (.native | length) >= 4) |
    "\(.wait_reason) \(.allocations) \(.native_end)"] | join(",")' "$scratch/region.json")" "the stacks of two slow reads"
  equal "8 1,4 1" "$(jq -r '[.events[] | select(.type == 2 and .call == 0) | "\(.waits) \(.result)"] | join(",")' \
    "$scratch/region.json")" "slow reads one by one"
}

@test "what is told of a slow call is bytes or an error, no PID and no descriptor" {
  shimmed "$timed"
  "${shim[@]}" "$calls" vfork >/dev/null
  equal 0 "$(python3 "$ROOT/tests/region_reader.py" --sites "$folder" |
    jq '[.processes[].events[] | select(.type == 2) | .result] | max // 0')" "the largest result"
  equal 0 "$(regions '[.processes[].calls[] | .bytes] | add')" bytes
}

@test "a thread that is cancelled in a call, or jumps out of it, goes on being counted" {
  shimmed "$timed"
  "${shim[@]}" "$calls" cancel >"$scratch/own.json"
  diff <(by_itself) <(by_region | grep -v pthread_join)
  same_calls jump
}

@test "children by vfork, and a process that closes everything" {
  same_calls vfork
  same_calls closes
}

@test "a child of vfork that shuts itself in leaves its parent as it was" {
  same_calls vfork_sandbox
  # the first stack of a kind needs new pages of the region: a sealed shim has none
  equal 5 "$(regions '[.processes[] | .kinds.nanosleep.allocations // 0] | add')" "sleeps with their stack"
}

@test "read and write go on in a process that shut itself in" {
  shimmed "alloc=every python=off calls=1 cpu=1000"
  "${shim[@]}" "$calls" strict
}

@test "with calls=0 nothing is counted" {
  shimmed "alloc=off python=off calls=0 cpu=0"
  "${shim[@]}" "$calls" forms >/dev/null
  equal "" "$(regions '.processes[].calls | keys[]')" "calls"
}

# Counted by strace, of a run without the shim: what comes between two marks, which libc itself does
# not call. Its own calls (stdio, the loader) are none of the program's.
@test "Python's calls are those that strace sees" {
  needs strace
  local script=$scratch/calls.py name
  cat >"$script" <<'PYTHON'
import os, sys, time
os.getppid()
r, w = os.pipe()
for i in range(100):
    os.write(w, b"x" * i)
    os.read(r, 1000) if i else None
f = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
for i in range(50):
    os.pwrite(f, b"y" * 100, i * 100)
    os.pread(f, 77, i)
os.fsync(f)
for fd in (r, w, f):
    os.close(fd)
os.getppid()
PYTHON
  strace -o "$scratch/strace" /usr/bin/python3 -S "$script" "$scratch/file"
  shimmed "$timed"
  "${shim[@]}" /usr/bin/python3 -S "$script" "$scratch/file"
  for name in write:write pread64:pread pwrite64:pwrite fsync:fsync; do
    equal "$(sed -n '/getppid/,/getppid/p' "$scratch/strace" |
      awk -v call="^${name%:*}[(]" '$0 ~ call { count++; bytes += $NF } END { print count, name == "fsync" ? 0 : bytes + 0 }')" \
      "$(regions ".processes[0].calls.\"${name#*:}\" | \"\(.count) \(.bytes)\"")" "$name"
  done
}
