#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The trace file against a second reader, written from docs/trace-format.md alone; and fuzzing.

# shellcheck disable=SC2154,SC2016 # status and output come from bats; $ours is for jq
setup() {
  cd "$BATS_TEST_DIRNAME/.." || return
  build=${RAGPROF_BUILD:-$PWD/build}
  ragprof=$build/ragprof
  trace=$BATS_TEST_TMPDIR/t.ragprof
  other=$BATS_TEST_TMPDIR/other.json
  ours=$BATS_TEST_TMPDIR/ours.json
}

make_trace() {
  [ -x "$build/workloads/make_trace" ] || skip "make_trace is not built (make test builds it)"
  "$build/workloads/make_trace" "$trace" "$@"
}

needs() {
  command -v "$1" >/dev/null || skip "$1 is not installed"
}

# A check on $other with jq, which sees $ours as $ours.
holds() {
  jq -e --slurpfile ours "$ours" '$ours[0] as $ours | '"$1" "$other" >/dev/null ||
    { echo "does not hold: $1" && false; }
}

read_by_both() {
  needs jq
  python3 tests/trace_reader.py "$trace" >"$other"
  "$ragprof" report --format json "$trace" >"$ours"
}

@test "a reader written from the document finds the known content" {
  make_trace --samples 10000 --waits 2000 --threads 4 --depth 30
  read_by_both
  # the shares of the scenes, as tests/unit/synthetic.h states them
  holds '.samples == 10000 and .waits == 2000'
  holds '.leaves["sgemm_kernel_HASWELL"] == 3900'
  holds '.leaves["KeywordIndex.score.<locals>.<genexpr>"] == 1200'
  holds '.leaves["LazyCompile:*chunkText /srv/rag/chunk.js:12"] == 200'
  holds '.first_sample[1][0] == "_start" and (.first_sample[1] | length) == 30'
  # a thread's on-CPU time is its samples times the period of 99 Hz
  holds '[.accounts[][2]] == [range(4) | 2500 * 10101010]'
}

@test "ragprof and that reader agree" {
  make_trace --samples 5000 --waits 3000 --threads 3 --seed 7
  read_by_both
  holds '$ours.capture.samples.on_cpu == .samples and $ours.capture.waits.off_cpu == .waits'
  holds '$ours.capture.lost.samples == .counters["lost.samples"]'
  holds '($ours.threads | length) == (.threads | length)'
  holds '($ours.capture.duration_s * 1e9 - (.facts["capture.duration_ns"] | tonumber) | fabs) < 1e6'
  # wall times of the threads, in ms, whatever their order
  holds '[[.accounts[][1] / 1e6] | sort, ([$ours.threads[].wall_ms] | sort)] | transpose
         | all(.[0] - .[1] | fabs < 0.01)'
}

@test "ragprof and that reader agree about memory" {
  make_trace --samples 1000 --heap 60
  read_by_both
  # the leaks of tests/unit/synthetic_heap.h: 40,960 and 10,240 bytes in each of the 60 steps
  holds '[.heap_sites[] | select(.allocated_bytes == 60 * 40960 or .allocated_bytes == 60 * 10240) | .live_bytes] | sort
    == [614400, 2457600]'
  holds '(.heap_sites | length) == ($ours.heap.sites | length)'
  holds '(.heap_sites | map(.live_bytes) | sort) == ($ours.heap.sites | map(.live_bytes) | sort)'
  holds '([.heap_sites[] | select(.kind == "malloc" or .kind == "python") | .allocations] | add) == $ours.heap.allocations'
  holds '(.memory | length) == 60 and (.memory[-1][2].iterations) == $ours.iterations'
}

@test "a reader written from the document finds the known operations" {
  make_trace --samples 1000 --threads 2 --operations 10
  read_by_both
  # ten steps of tests/unit/synthetic_operations.h
  holds '(.operations | length) == 35 and .operation_sums == 350'
  holds '.operations[] | select(.name == "read" and .class == "syscall")
    | [.count, .errors, .bytes, .total_ns, .max_ns, .thread, .object] == [10000, 100, 40960000, 20000000, 2000, 1, null]'
  # 2 µs are in the bucket from 1,920 to 2,048 ns: 15 * 2^7
  holds '.operations[] | select(.name == "read" and .class == "syscall") | .buckets == {"40": 10000} and .results == {"11": 100}
    and ([.stacks[] | [.[0][-1], .[1]]] | sort) == [["ext4_file_read_iter", 10], ["ext4_file_read_iter", 30]]'
  holds '[.operations[] | select(.object == ["socket", "tcp 127.0.0.1:6333"]) | .name]
    == ["connect", "send", "receive", "retransmit"]'
  holds '[.operations[] | select(.object == ["lock", "GIL"]) | [.thread, .name, .count]] == [[2, "wait", 160], [1, "hold", 160]]'
  holds '([.slow_operations[] | select(.[5] == "recvfrom")] | length) == 10'
  holds '.slow_operations[0] | .[:4] + .[5:] == [1000000, 2500000, 4096, 1, "recvfrom", ["socket", "tcp 127.0.0.1:6333"]]'
  holds '[.happenings[] | .[1:]] == [[4242, "fork", 4300, ""], [4300, "exec", 0, "/usr/bin/ls"], [4300, "exit", 256, ""],
    [4242, "fork", 4301, ""], [4301, "OOM kill", 0, ""], [4301, "exit", 9, ""]]'
  holds '[.points[] | select(.[2] == "descriptors") | .[3]] == [range(21; 31)]'
  holds '[.points[] | select(.[2] == "host_runnable") | [.[0], .[1], .[3]]] == [range(1; 11) | [. * 200000000, 0, 5]]'
}

@test "the document's example is what it says" {
  python3 - docs/trace-format.md "$trace" <<'PYTHON'
import re, sys
example = open(sys.argv[1], encoding="utf-8").read().split("```")[-2]
octets = "".join(re.match(r"(?:[0-9a-f]{2} +)+", line).group() for line in example.split("\n") if line)
open(sys.argv[2], "wb").write(bytes.fromhex(octets))
PYTHON
  [ "$(stat -c %s "$trace")" -eq $((16 + 24 + 18 + 24)) ]
  read_by_both
  holds '.samples == 1 and .waits == 0 and .first_sample == [1000, []]'
  holds '.threads == {"1": [7, 7, 0, 0, "py"]}'
  holds '$ours.capture.samples.on_cpu == 1 and $ours.capture.file.is_whole'
  holds '[$ours.threads[] | .name, .pid, .tid] == ["py", 7, 7]'
}

@test "reading survives ten seconds of fuzzing" {
  fuzzer=$build/tests/fuzz/fuzz_trace
  [ -x "$fuzzer" ] || skip "fuzz_trace is not built: clang lacks libFuzzer (libclang-rt-dev)"
  cd "$BATS_TEST_TMPDIR"
  mkdir corpus
  run "$fuzzer" -max_total_time=10 -max_len=65536 -rss_limit_mb=1024 corpus "$build/tests/fuzz/seeds/trace"
  [ "$status" -eq 0 ] || { echo "${output: -3000}" && false; }
}
