#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# CPU samples by timers of each thread, of programs with known shares; and that their signal goes
# unseen by targets that use signals themselves.

# shellcheck disable=SC2154 # set by heap.bash
load heap.bash

setup() {
  heap_setup
  cpu=$workloads/shim_cpu
}
teardown() { heap_teardown; }

# own KEYS SCENARIO [ARGUMENT]...: what the program saw is in own.json.
own() {
  shimmed "$1"
  shift
  "${shim[@]}" "$cpu" "$@" >"$scratch/own.json"
  cat "$scratch/own.json"
}

saw() { jq -r "$1" "$scratch/own.json"; }

sampled="alloc=off python=off calls=1 cpu"

# Timer periods that were sampled, of all processes.
periods() { regions '[.processes[].kinds.cpu.allocated_bytes // 0] | add'; }

# recorded HZ COMMAND...: a trace, without BPF, and its report.
recorded() {
  local hz=$1
  shift
  "$ragprof" run -q --no-bpf --alloc=off -F "$hz" --force -o "$trace" -- "$@"
  "$ragprof" report -f json -n 1000 "$trace" >"$scratch/report.json"
}

# The share of CPU time of a function with all it calls, in percent.
total_pct() {
  jq -r --arg name "$1" '[.functions[] | select(.name == $name) | .total_pct] | add // 0' "$scratch/report.json"
}

# within POINTS EXPECTED NAME
within() {
  local pct
  pct=$(total_pct "$3")
  echo "$3: $pct %, known to be $2 %"
  awk "BEGIN { exit !(($pct - $2) ^ 2 <= $1 ^ 2) }"
}

@test "functions have their known shares, within 2 points" {
  local share
  recorded 999 "$workloads/shares" 20 >"$scratch/own.json"
  for share in half:50 third:30 sixth:15 rest:5; do
    within 2 "${share#*:}" "${share%:*}"
  done
}

@test "CPU time is what the kernel says" {
  own "$sampled=1000" short
  near "$(($(saw .cpu_ns) / 1000000))" "$(periods)" 3 "periods of 1 ms"
}

@test "200 threads of 3 ms have as much as one of 600 ms" {
  recorded 999 "$cpu" short >/dev/null
  within 4 50 in_long_thread
  within 4 50 live_shortly
}

@test "threads that live shorter than a period have their share" {
  recorded 99 "$cpu" short >/dev/null # a period is 10 ms: seven of ten threads of 3 ms are between two signals
  within 4 50 in_long_thread
  within 4 50 live_shortly
}

@test "the stacks of threads do not show how they were begun" {
  recorded 999 "$cpu" blocked >/dev/null
  run jq -r '[.hot_paths[].stack[]] | unique | .[]' "$scratch/report.json"
  [[ $output != *run_thread* ]]
  [[ $output == *block_all* ]]
}

@test "a thread that blocks all signals is sampled, and sees them blocked" {
  recorded 999 "$cpu" blocked >"$scratch/own.json"
  equal 0 "$(saw .differs)" "a signal whose mask differs"
  within 3 50 in_blocked_thread
  within 3 50 in_parent
}

@test "a target with its own SIGPROF timer has all of its signals" {
  own "$sampled=1000" itimer
  equal 1 "$(saw .kept)" "its handler kept"
  near 100 "$(saw .signals)" 10 "its own signals" # the kernel counts them by whole ticks
  near 1000 "$(periods)" 3 "our periods"
}

@test "a target may take every signal but one for itself" {
  own "$sampled=1000" handlers
  equal '{"not_default":0,"missed":0,"surprises":0,"not_kept":0}' "$(saw 'tojson')" "what it saw of its signals"
  near $((30 * 5 + 300)) "$(periods)" 6 "periods, of which none was lost"
}

@test "a target may reset all signals, ignore them, and read it all back" {
  own "$sampled=1000" defaults
  equal 0 "$(saw .differs)" "differences"
  near 500 "$(periods)" 5 "periods"
  own "$sampled=1000" masks
  equal 0 "$(saw .differs)" "differences"
  near 300 "$(periods)" 5 "periods"
}

@test "a signal of our number that somebody sends ends the target as it would have" {
  local number status=0
  number=$(shimmed "$sampled=1000" && "${shim[@]}" sed -n 's|^signal: \([0-9]*\)/.*|\1|p' /proc/self/timers)
  [ -n "$number" ] || skip "this kernel has no /proc/self/timers"
  shimmed "$sampled=1000"
  "${shim[@]}" "$cpu" sent "$number" || status=$?
  equal $((128 + number)) "$status" "exit status"
}

@test "a child has timers from the fork on" {
  shimmed "$sampled=1000"
  "${shim[@]}" "$cpu" forked
  equal 2 "$(regions '.processes | length')" processes
  near 600 "$(regions '[.processes[].kinds.cpu.allocated_bytes] | min')" 5 "periods of one"
  near 600 "$(regions '[.processes[].kinds.cpu.allocated_bytes] | max')" 5 "periods of the other"
}

@test "no call is interrupted, cut short, or ended early at 1,000 Hz" {
  own "$sampled=1000" interrupted 5
  (($(saw .calls) > 1000))
  equal "0 0 0" "$(saw '"\(.interrupted) \(.short) \(.early)"')" "interrupted, cut short, early"
  [ -e /proc/self/timers ] || skip "without /proc/self/timers the calls could not be disturbed"
  # the same calls, made behind the shim's back, were: the signals did come
  (($(saw .control_interrupted) > 0 && $(saw .control_short) > 0))
}

@test "a target's own signals interrupt its calls as ever" {
  own "$sampled=1000" alarmed
  equal "240 240" "$(saw '"\(.calls) \(.interrupted)"')" "calls, interrupted"
  (($(saw .alarms) >= 240))
  near 960 "$(periods)" 5 "periods"
}

@test "500 execs at 10,000 Hz: no signal is left for the next image" {
  local script='i=0; while [ $i -lt 500 ]; do i=$((i + 1)); /bin/true || exit 1; done'
  shimmed "$sampled=10000"
  "${shim[@]}" /bin/dash -c "$script"
  # and in one process, each image with the last one's timers behind it
  shimmed "$sampled=10000"
  # shellcheck disable=SC2016 # for the other shell
  "${shim[@]}" /bin/dash -c 'n=$1; j=0; while [ $j -lt 300 ]; do j=$((j + 1)); done
    [ "$n" -eq 0 ] || exec /bin/dash -c "$2" dash $((n - 1)) "$2"' dash 200 \
    'n=$1; j=0; while [ $j -lt 300 ]; do j=$((j + 1)); done; [ "$n" -eq 0 ] || exec /bin/dash -c "$2" dash $((n - 1)) "$2"'
  equal 201 "$(regions '.processes | length')" "images"
}

@test "without a rate there is no timer and no signal" {
  shimmed "alloc=off python=off calls=1 cpu=0"
  equal "" "$("${shim[@]}" cat /proc/self/timers 2>/dev/null)" timers
  equal 0 "$(periods)" periods
}
