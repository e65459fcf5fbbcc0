#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Targets that tamper with what the collector reads: it neither fails nor hangs, the trace stays
# whole, the target's status is passed through, and nothing is left behind.

# shellcheck disable=SC2154 # set in setup

setup() {
  ROOT=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
  build=${RAGPROF_BUILD:-$ROOT/build}
  ragprof=$build/ragprof
  hostile=$build/workloads/shim_hostile
  trace=$BATS_TEST_TMPDIR/t.ragprof
  export NO_COLOR=1
  unset LD_PRELOAD RAGPROF_SHIM RAGPROF_LIBRARY
  [ -e "$build/libragprof.so" ]
}

figure() {
  python3 "$ROOT/tests/trace_reader.py" "$trace" | jq -r "$1"
}

# Records a hostile target; its folder's name goes through its environment into $folder.
stands() {
  # shellcheck disable=SC2016 # for the other shell
  run timeout 30 "$ragprof" run --no-bpf --snapshot 50ms --force -o "$trace" -- \
    sh -c 'echo "folder ${RAGPROF_SHIM%% *}"; exec "$@"' sh "$hostile" "$@"
  echo "$output"
  [ "$status" -eq 0 ]
  local folder
  folder=$(sed -n 's/^folder //p' <<<"$output")
  [ -n "$folder" ]
  [ ! -e "$folder" ]
  "$ragprof" report -f json "$trace" | jq -e '.capture' >/dev/null
}

@test "counts, indices and offsets out of range" {
  stands counts
}

@test "garbage all over a region" {
  stands garbage
}

@test "a region cut short, again and again" {
  stands cut
}

@test "links, folders, pipes and hundreds of empty files where regions should be" {
  stands clutter
}

@test "a region of another user's making is not believed" {
  [ "$(id -u)" -eq 0 ] || skip "only root can give a file away"
  stands owner
  [ "$(figure '[.heap_sites[].allocations] | index(424242)')" = null ]
}

@test "the shim's own region, written over" {
  stands overwrite
}

@test "the folder moved away and back" {
  stands gone
}

@test "the fuzzer of the region reader runs over its seeds" {
  local fuzzer=$build/tests/fuzz/fuzz_region
  [ -x "$fuzzer" ] || skip "no fuzzer: this clang lacks libFuzzer"
  run "$fuzzer" -runs=3000 -seed=1 -max_len=4096 -timeout=10
  echo "$output" | tail -n 20
  [ "$status" -eq 0 ]
}
