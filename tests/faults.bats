#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Page faults, and memory without the shim: totals against the kernel's own, the file and the stack
# of a first touch, resident memory against /proc, mappings against a program that counts them.

bats_require_minimum_version 1.5.0
# shellcheck disable=SC2154 # set by capture.bash
load capture

setup() {
  capture_setup
  file=$BATS_TEST_TMPDIR/index
}

teardown() {
  capture_teardown
}

record_run() {
  "$ragprof" run -q --no-shim -o "$trace" -- "$@"
}

# Drops a file from the page cache.
forget() {
  sync "$1"
  python3 -c 'import os, sys
f = os.open(sys.argv[1], os.O_RDONLY)
os.posix_fadvise(f, 0, 0, os.POSIX_FADV_DONTNEED)' "$1"
}

# Records of the trace, by a reader of their own.
records() {
  python3 "$ROOT/tests/trace_reader.py" "$trace"
}

# close A B PERCENT
close() {
  holds "($1 - $2)^2 <= ($2 * $3 / 100)^2"
}

@test "faults: totals are those that perf counts" {
  needs perf
  truncate -s 64M "$file"
  record_run perf stat -x, -o "$BATS_TEST_TMPDIR/perf" -e minor-faults,major-faults \
    "$workloads/fault_file" "$file"
  local minor major
  minor=$(awk -F, '$3 ~ /minor/ { print $1 }' "$BATS_TEST_TMPDIR/perf")
  major=$(awk -F, '$3 ~ /major/ { print $1 }' "$BATS_TEST_TMPDIR/perf")
  # perf counts from the exec on; the process had begun as perf's child
  read -r ours majors < <(figure '.processes[] | select(.name == "fault_file") |
    "\(.minor_faults) \(.major_faults)"')
  echo "perf: $minor and $major; here: $ours and $majors"
  holds "$ours >= $minor && $ours <= $minor + 150"
  holds "$majors == $major"
}

@test "faults: the first touch of a mapped file of 1 GB has its name and its stack" {
  truncate -s 1G "$file"
  python3 -c 'import sys
open(sys.argv[1], "rb").read()' "$file" # in the page cache: what is left are minor faults
  record_run "$workloads/fault_file" "$file" >"$BATS_TEST_TMPDIR/out"
  cat "$BATS_TEST_TMPDIR/out"
  local minor touched
  minor=$(awk '/^index/ { print $3 }' "$BATS_TEST_TMPDIR/out")
  figure '.faults.objects, .faults.stacks'
  touched=$(figure ".faults.objects[] | select(.object == \"$file\") | .minor")
  holds "$touched >= $minor * 0.8 - 30 && $touched <= $minor * 1.2 + 30"
  [ "$(figure "[.faults.stacks[] | select(.object == \"$file\")][0].stack[-1]")" = touch_index ]
  [ "$(figure "[.faults.stacks[] | select(.object == \"$file\")][0].stack[-2]")" = main ]
  # anonymous memory by its own stack: 4,096 pages, one fault each
  touched=$(figure '[.faults.stacks[] | select(.stack[-1] == "touch_memory")][0].minor')
  holds "$touched >= 4096 * 0.9 && $touched <= 4096 * 1.1"
}

@test "faults: major ones are exact by file and stack, and so is their time" {
  head -c 8M /dev/urandom >"$file"
  forget "$file"
  record_run "$workloads/fault_file" "$file" random >"$BATS_TEST_TMPDIR/out"
  cat "$BATS_TEST_TMPDIR/out"
  local major ours
  major=$(awk '/^index/ { print $5 }' "$BATS_TEST_TMPDIR/out")
  [ "$major" -gt 500 ] || skip "the file could not be put out of the page cache"
  ours=$(figure ".faults.objects[] | select(.object == \"$file\") | .major")
  [ "$ours" -eq "$major" ]
  [ "$(figure "[.faults.stacks[] | select(.object == \"$file\")][0].stack[-1]")" = touch_index ]
  # what the thread waited for in them is what it waited for at all in touch_index
  local waited blocked
  waited=$(figure ".faults.objects[] | select(.object == \"$file\") | .total_ms")
  blocked=$(records | jq '.waiting_ns | to_entries | map(.value) | add / 1e6')
  echo "faults $waited ms, waits $blocked ms"
  holds "$waited > 0 && $waited <= $blocked * 1.001 && $waited >= $blocked * 0.5"
}

@test "memory: attached, resident memory by kind is that of /proc" {
  mkfifo "$BATS_TEST_TMPDIR/in"
  "$workloads/process_ramp" <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out" 3>&- &
  pids+=($!)
  pid=$!
  exec 9>"$BATS_TEST_TMPDIR/in"
  timeout 60 bash -c "until grep -q ready '$BATS_TEST_TMPDIR/out'; do sleep 0.1; done"
  "$ragprof" attach -q -d 3 -o "$trace" "$pid"
  local rss pss anonymous
  rss=$(awk '/^VmRSS/ { print $2 * 1024 }' "/proc/$pid/status")
  pss=$(awk '/^Pss:/ { print $2 * 1024 }' "/proc/$pid/smaps_rollup")
  anonymous=$(awk '/^Rss:/ { rss = $2 } /^[0-9a-f]+-/ { anon = NF == 5 } /^VmFlags/ && anon { sum += rss }
    END { print sum * 1024 }' "/proc/$pid/smaps")
  exec 9>&-
  records >"$BATS_TEST_TMPDIR/records"
  jq -c '.memory[-1]' "$BATS_TEST_TMPDIR/records"
  close "$(jq '[.memory[][2].rss // empty][-1]' "$BATS_TEST_TMPDIR/records")" "$rss" 1
  close "$(jq '[.memory[][2].pss // empty][-1]' "$BATS_TEST_TMPDIR/records")" "$pss" 2
  close "$(figure '.processes[0].resident_anonymous_bytes.last')" "$anonymous" 1
  # its parts are the whole
  close "$(figure '.processes[0] | [.resident_heap_bytes, .resident_stack_bytes,
    .resident_anonymous_bytes, .resident_code_bytes, .resident_file_bytes,
    .resident_shared_bytes] | map(.last) | add')" "$rss" 1
}

@test "memory: what is mapped without the shim is exact by stack" {
  # neither at its begin nor at its end: what a process does whose mappings cannot be read has no names
  { sleep 0.5 && echo && sleep 0.5; } | record_run "$workloads/process_map"
  records >"$BATS_TEST_TMPDIR/records"
  jq -c '.heap_sites[] | [.kind, .allocations, .allocated_bytes, .live_bytes, .stack[4]]' \
    "$BATS_TEST_TMPDIR/records"
  # of a function: kind, calls, bytes taken, bytes left
  of() {
    jq -r --arg name "$1" '[.heap_sites[] | select(.stack | index($name))] |
      map("\(.kind) \(.allocations) \(.allocated_bytes / 1048576) \(.live_bytes / 1048576)") |
      join(";")' "$BATS_TEST_TMPDIR/records"
  }
  [ "$(of keep_mappings)" = "mmap 10 10 10" ]
  [ "$(of keep_break)" = "brk 1 2 2" ]
  [ "$(of give_back)" = "mmap 5 20 0" ]
  [ "$(of cut_middle)" = "mmap 1 8 5" ]
  [ -z "$(of reserve)" ]
}
