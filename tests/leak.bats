#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Leak verdicts end to end: servers that leak a known number of bytes an iteration, in three
# languages, and ten that grow without leaking. The truth is what the servers say themselves.

load heap.bash

setup() { heap_setup; }
teardown() { heap_teardown; }

# A server's command line by its language.
server() { # c|cxx|python case requests pause_us [bytes]
  case $1 in
  c) echo "$workloads/leak_server ${*:2}" ;;
  cxx) echo "$workloads/leak_objects ${*:2}" ;;
  python) echo "/usr/bin/python3 $ROOT/tests/workloads/leak_service.py ${*:2}" ;;
  esac
}

# record NAME server-arguments: the trace and what the server said, named so.
record() {
  local name=$1 iteration=query
  [ "$2" != python ] || iteration=py:handle
  # shellcheck disable=SC2046 # words
  "$ragprof" run -q --no-bpf --python-alloc=every --iteration $iteration -o "$scratch/$name.ragprof" -- \
    $(server "${@:2}") >"$scratch/$name.truth" 2>"$scratch/$name.err" || {
    cat "$scratch/$name.err"
    return 1
  }
  "$ragprof" report -f json "$scratch/$name.ragprof" >"$scratch/$name.json"
}

# The lines of arguments on the standard input, two at a time: the servers mostly sleep.
record_all() {
  local line
  local -a running=()
  while read -ra line; do
    record "${line[@]}" &
    running+=($!)
    ((${#running[@]} < 2)) || { wait "${running[0]}" && running=("${running[@]:1}"); }
  done
  local pid
  for pid in "${running[@]}"; do wait "$pid"; done
}

# found NAME FUNCTION: the first site is the leak, its slope within 5 %; prints whether its interval
# holds the truth.
found() {
  local truth
  truth=$(jq '.leaked_bytes / .iterations' "$scratch/$1.truth")
  equal "$(jq .iterations "$scratch/$1.truth")" "$(jq .iterations "$scratch/$1.json")" "$1: iterations"
  jq -e --arg function "$2" --argjson truth "$truth" '.heap.sites[0] |
    .verdict == "leak" and (.stack | any(contains($function))) and
    (.slope_bytes_per_iteration / $truth - 1 | fabs) < 0.05' "$scratch/$1.json" >/dev/null || {
    echo "$1: the truth is $truth bytes an iteration in $2, but the first sites are" >&2
    jq -c '.heap.sites[:3][] | [.verdict, .slope_bytes_per_iteration, .ci95, .points, .site]' "$scratch/$1.json" >/dev/null
    return 1
  }
  jq --argjson truth "$truth" '.heap.sites[0].ci95_bytes_per_iteration | .[0] <= $truth and $truth <= .[1]' "$scratch/$1.json"
}

@test "leaks of 64 bytes to 1 MB an iteration: the site, the slope, the interval" {
  record_all <<'LIST'
c64 c leak 400 5000 64
c4096 c leak 300 5000 4096
c65536 c leak 300 5000 65536
c1048576 c leak 120 10000 1048576
cxx64 cxx leak 400 5000 64
cxx4096 cxx leak 300 5000 4096
cxx65536 cxx leak 300 5000 65536
cxx1048576 cxx leak 120 10000 1048576
python64 python leak 400 5000 64
python4096 python leak 300 5000 4096
python65536 python leak 300 5000 65536
python1048576 python leak 120 10000 1048576
LIST
  local bytes function holds covered=0
  for bytes in 64 4096 65536 1048576; do
    for function in c:forgotten cxx:register_session python:keep; do
      holds=$(found "${function%:*}$bytes" "${function#*:}")
      [ "$holds" = false ] || covered=$((covered + 1))
    done
  done
  # 95 % of them should; nine in twelve or fewer would be one chance in 500
  ((covered >= 10)) || { echo "$covered of 12 intervals hold the truth" && false; }
}

@test "half a megabyte an iteration is found within 30 iterations" {
  record_all <<'LIST'
c c leak 30 40000 524288
cxx cxx leak 30 40000 524288
python python leak 30 40000 524288
LIST
  local name
  for name in c cxx python; do
    jq -e '.heap.sites[0].verdict == "leak"' "$scratch/$name.json" >/dev/null || {
      jq -c '.heap.sites[:3][] | [.verdict, .slope_bytes_per_iteration, .ci95, .points, .site]' "$scratch/$name.json"
      false
    }
  done
}

@test "none of twelve innocent programs is said to leak" {
  record_all <<'LIST'
flat_c c flat 400 5000
fragment c fragment 400 5000
arenas c arenas 400 5000
batches c batches 400 5000
lru_cxx cxx lru 400 5000
rehash cxx rehash 400 5000
flat_python python flat 400 5000
lru_python python lru 400 5000
cycles python cycles 400 5000
imports python imports 400 5000
threads python threads 400 5000
expiring python expiring 400 5000
LIST
  local name accused=0
  for name in flat_c fragment arenas batches lru_cxx rehash flat_python lru_python cycles imports threads expiring; do
    equal 400 "$(jq .iterations "$scratch/$name.json")" "$name: iterations"
    # there was something to judge
    jq -e '.heap.sites | length > 1 and any(.points > 20)' "$scratch/$name.json" >/dev/null || { echo "$name: no points" && false; }
    jq -e '.heap.leaks == 0' "$scratch/$name.json" >/dev/null || {
      accused=$((accused + 1))
      echo "$name:"
      jq -c '.heap.sites[] | select(.verdict == "leak") | [.slope_bytes_per_iteration, .ci95, .points, .live_bytes, .path]' "$scratch/$name.json"
    }
  done
  ((accused == 0))
}

@test "a leak is found without iterations, by time" {
  "$ragprof" run -q --no-bpf --snapshot 100ms -o "$trace" -- "$workloads/leak_server" leak 800 5000 65536 >"$scratch/truth"
  "$ragprof" report -f json "$trace" >"$scratch/json"
  jq -e '.heap.sites[0] | .verdict == "leak" and (.stack | any(. == "forgotten")) and .slope_bytes_per_iteration == null' "$scratch/json"
  # by its own count and the time that the capture took, starting and ending within a fifth of it
  near "$(jq -n --slurpfile t "$scratch/truth" --slurpfile r "$scratch/json" '$t[0].leaked_bytes / $r[0].capture.duration_s')" \
    "$(jq '.heap.sites[0].slope_bytes_per_s' "$scratch/json")" 20 "bytes a second"
}
