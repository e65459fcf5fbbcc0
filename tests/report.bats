#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Reports of synthetic traces through the command line. What must come out follows from the scenes in
# tests/unit/synthetic.h: with N a multiple of 1,000, a scene has exactly its permille of the samples.

# shellcheck disable=SC2154,SC2016 # status and output come from bats; $ is jq's
setup_file() {
  cd "$BATS_TEST_DIRNAME/.." || return
  export build=${RAGPROF_BUILD:-$PWD/build}
  export ragprof=$build/ragprof
  export trace=$BATS_FILE_TMPDIR/t.ragprof json=$BATS_FILE_TMPDIR/t.json
  export NO_COLOR=1
  [ -x "$build/workloads/make_trace" ] || skip "make_trace is not built (make test builds it)"
  "$build/workloads/make_trace" "$trace" --samples 10000 --threads 4
  "$ragprof" report --format json "$trace" >"$json"
  export heap_trace=$BATS_FILE_TMPDIR/heap.ragprof heap_json=$BATS_FILE_TMPDIR/heap.json
  "$build/workloads/make_trace" "$heap_trace" --samples 1000 --heap 170
  "$ragprof" report --format json "$heap_trace" >"$heap_json"
}

# The figures of memory follow from tests/unit/synthetic_heap.h with 170 steps of ten iterations.
check_heap() { json=$heap_json check "$1"; }

# check EXPRESSION: true of the JSON report
check() {
  command -v jq >/dev/null || skip "jq is not installed"
  jq -e "$1" "$json" >/dev/null || {
    echo "not so: $1"
    return 1
  }
}

# share NAME FIELD PERCENT: of the function, within rounding
share() {
  check "[.functions[] | select(.name == \"$1\")] | length == 1 and (.[0].$2 - $3 | fabs) < 0.02"
}

@test "schema and the members that it promises" {
  check '.schema == "ragprof.report/1"'
  check '.target | .name == "rag <server>" and .pids == [4242] and .runtime == "python 3.11.2"'
  check '.capture | has("duration_s") and has("overhead") and has("lost")'
  check '.capture.samples == {on_cpu: 10000, complete_pct: 99.5}'
  check '.capture.lost == {samples: 3, waits: 0}'
  check '.capture.overhead | .bpf_mean_ns_per_run == 5000 and .bpf_runs == 10000'
  check '.capture.file.is_whole'
  check 'all(.functions[]; has("name") and has("file") and has("line") and has("kind") and has("self_pct") and has("total_pct"))'
  check 'all(.off_cpu[]; has("reason") and has("total_ms") and (.stack | type == "array"))'
  check 'all(.hot_paths[]; .stack | length > 0)'
}

@test "functions have the shares of their scenes" {
  # 300 + 90 permille end in it
  share sgemm_kernel_HASWELL self_pct 39
  # bm25's two scenes: by itself 12, with the interpreter's loop below 6
  share 'KeywordIndex.score.<locals>.<genexpr>' self_pct 12
  share 'KeywordIndex.score.<locals>.<genexpr>' own_pct 18
  share Embedder.encode total_pct 34
  # 180 + 20 below the handler, 5 below a mark
  share VectorIndex.search total_pct 20.5
  # all but js 20 and the incomplete ones 5
  share Handler.do_POST total_pct 97.5
  share answer total_pct 86
}

@test "lines tell apart the calls of one function" {
  check '[.lines[] | select(.function == "answer") | {line, total_pct}] | sort_by(.line) == [{line: 131, total_pct: 72}, {line: 136, total_pct: 14}]'
  check '.lines[] | select(.function == "Embedder.encode") | .line == 44 and .own_pct == 30 and .total_pct == 34'
}

@test "paths are disjoint" {
  check '[.hot_paths[].samples] | add <= 10000'
  check '[.hot_paths[].pct] | add | . > 95 and . <= 100.1'
  # The main thread has about a quarter of each scene. Of 300 and 90 permille, only its share of the
  # latter, 2.25 %, is too little for a path.
  check '[.hot_paths[] | select(.stack[-1] == "sgemm_kernel_HASWELL") | .samples] | add - (2250 + 750 + 675) | fabs < 20'
  check '.hot_paths[0].path | endswith("Embedder.encode (embedding.py:44) → PyArray_MatrixProduct2 → cblas_sgemm → sgemm_kernel_HASWELL")'
}

@test "waits have the counts of their scenes, and their times add up" {
  # 2,000 waits: 350 + 150 permille socket, 160 GIL, 120 disk, 100 futex, 30 page fault, 20 timer
  check '[.off_cpu_reasons[] | select(.reason != "run queue") | {key: .reason, value: .count}] | from_entries ==
    {socket: 1000, GIL: 320, disk: 240, futex: 200, "page fault": 60, timer: 40, unknown: 20}'
  check '([.off_cpu[].total_ms] | add) as $sum | .time.off_cpu_ms - $sum | fabs < 0.1'
  check '.time | .blocked_ms + .run_queue_ms - .off_cpu_ms | fabs < 0.1'
  check '[.wakes[].count] | add == 520'
}

@test "threads and the whole add up to wall time" {
  check '.time.sum_pct == 100 and .threads[0].is_exact'
  check 'all(.threads[]; .sum_pct > 98 and .sum_pct < 102)'
  check '(.threads | length) == 4 and ([.threads[].samples] | add) == 10000'
  check '.processes == [.processes[] | select(.threads == 4)] and .processes[0].pid == 4242'
}

@test "without allocations the members are there and empty" {
  check '.heap == null and .memory.processes == [] and .iterations == null and .calls == [] and .slow_calls == []'
}

@test "heap: totals of what the program asked for" {
  check_heap '.heap | .allocations == 170 * (10 + 10 + 40 + 8 + 20000 + 32) + 30 * 1000 + 3'
  check_heap '.heap | .bytes_allocated == 170 * (51200 + 65 * 1048576 + 524288 + 2048) + 30 * 409600 + 48 * 1048576'
  check_heap '.heap | .live_bytes == 170 * 51200 + 30 * 409600 + 48 * 1048576 and .live_bytes == .bytes_allocated - .bytes_freed'
  check_heap '.heap | .live_blocks == 170 * 20 + 30 * 1000 + 3 and .live_blocks == .allocations - .frees'
  # the saw-tooth of rerank() is highest after 169 steps of 200 ms
  check_heap '.heap | .peak_bytes == 169 * 51200 + 30 * 409600 + 48 * 1048576 + 9 * 524288 and .peak_ms == 33800'
  check_heap '.heap | .is_sampled and (.is_foreign_allocator | not)'
  check_heap '[.heap.by_kind[] | {key: .kind, value: [.is_sampled, .interval_bytes, .live_bytes]}] | from_entries ==
    {malloc: [false, 0, 59035648], python: [true, 524288, 12288000], mmap: [false, 0, 268435456]}'
}

@test "heap: the two leaks stand first, the larger one before the other" {
  check_heap '.heap.leaks == 2 and ([.heap.sites[] | select(.verdict == "leak")] | length) == 2'
  check_heap '.heap.sites[0] | .site == "SessionStore.remember (session.py:31)" and .stack[-1] == "PyObject_Malloc"'
  check_heap '.heap.sites[0] | .slope_bytes_per_iteration / 4096 - 1 | fabs < 0.05'
  check_heap '.heap.sites[0] | .slope_bytes_per_s / (40960 / 0.2) - 1 | fabs < 0.05'
  check_heap '.heap.sites[0] | .ci95[0] <= 4096.5 and .ci95[1] >= 4095.5 and .ci95 == .ci95_bytes_per_iteration'
  check_heap '.heap.sites[0] | .live_bytes == 170 * 40960 and .frees == 0 and .allocations == 1700 and .kind == "malloc"'
  check_heap '.heap.sites[1] | .site == "faiss::IndexFlat::add (IndexFlat.cpp:25)" and (.slope_bytes_per_iteration / 1024 - 1 | fabs < 0.05)'
  check_heap '[.verdict[] | select(.label == "Leak" and .is_warning).text] | length == 2 and (.[0] | contains("SessionStore.remember"))'
}

@test "heap: what is no leak, and what is not judged" {
  check_heap 'all(.heap.sites[2:][]; .verdict != "leak")'
  check_heap '.heap.sites[] | select(.kind == "mmap") | .verdict == null and .slope_bytes_per_s == null and .live_bytes == 268435456'
  check_heap '([.heap.sites[].bytes_allocated] | add) == .heap.bytes_allocated + 268435456'
  check_heap '.row_counts.heap_sites == (.heap.sites | length)'
}

@test "memory: the process, its growth and its limit" {
  check_heap '.iterations == 1700 and (.memory.processes | length) == 1'
  check_heap '.memory.processes[0] | .pid == 4242 and .rss_bytes == 180 * 1048576 + 170 * 51200 + 30 * 409600 + 48 * 1048576'
  check_heap '.memory.processes[0] | .last.cgroup_limit_bytes == 2147483648 and .last.iterations == 1700 and .limit_bytes == 2147483648'
  # 256,000 bytes a second
  check_heap '.memory.processes[0] | .growth_bytes_per_s / 256000 - 1 | fabs < 0.1'
  check_heap '.memory.processes[0] | .seconds_to_limit | . > 5000 and . < 10000'
  check_heap '.memory.processes[0].series | length == 120 and (.[-1] | .ms == 34000 and .iterations == 1700)'
}

@test "calls: sums, percentiles, slow ones by stack" {
  check_heap '[.calls[].name] == ["connect", "read"] and .calls[0].errors == 5'
  check_heap '.calls[1] | .count == 1000 and .bytes == 4096000 and .total_ms == 41 and .max_ms == 2.3'
  # 980 of 1,024 ns and more, 20 of 1.97 ms and more, each bucket an eighth wide
  check_heap '.calls[1] | .p50_ms > 0.001024 and .p50_ms < 0.001152 and .p99_ms > 1.966 and .p99_ms < 2.1'
  check_heap '.slow_calls | length == 1 and (.[0] | .count == 20 and .bytes == 81920 and .total_ms == 41.9 and .max_start_ms == 2000)'
  check_heap '.slow_calls[0].stack[-1] == "Cache.get (cache.py:33)"'
}

@test "text and markdown: leaks, memory, calls" {
  run bash -c '"$ragprof" report "$heap_trace" | tr -s " \n" " "' # lines are broken anywhere
  [[ $output == *"Leak "*"KiB per iteration"*"at SessionStore.remember"* ]]
  [[ $output == *"≈68.0 MiB live at the end, at most ≈72.5 MiB at 33.8 s"* ]]
  [[ $output == *"limit of 2.00 GiB (cgroup) is reached in"* ]]
  [[ $output == *"every malloc, python sampled every 512 KiB, every mmap"* ]]
  "$ragprof" report -f markdown "$heap_trace" >"$BATS_TEST_TMPDIR/heap.md"
  grep -q '^| leak | .* `.*SessionStore.remember (session.py:31)` |$' "$BATS_TEST_TMPDIR/heap.md"
  for title in 'Memory by stack' 'Memory by process' Calls 'Slow calls by stack'; do
    grep -q "^## $title$" "$BATS_TEST_TMPDIR/heap.md"
  done
}

@test "--top limits rows and says so" {
  "$ragprof" report --format json --top 2 "$trace" >"$BATS_TEST_TMPDIR/two.json"
  json=$BATS_TEST_TMPDIR/two.json
  check '(.functions | length) == 2 and .row_counts.functions > 2'
  run "$ragprof" report --top 2 "$trace"
  [[ $output == *"… and "*" more"* ]]
}

@test "text: the verdict stands first, nothing steers the terminal" {
  run "$ragprof" report "$trace"
  [ "$status" -eq 0 ]
  [[ ${lines[0]} == "rag <server>, pid 4242, python 3.11.2: "* ]]
  [[ ${lines[1]} == "  Time "* ]]
  [[ $output == *"Warning       lost: 3 samples"* ]]
  LC_ALL=C run grep -c "$(printf '[\001-\011\013-\037\177]')" <("$ragprof" report "$trace")
  [ "$output" = 0 ]
}

@test "text fits 80 columns" {
  command -v python3 >/dev/null || skip "python3 is not installed"
  COLUMNS=80 "$ragprof" report "$heap_trace" | python3 -c '
import sys, unicodedata
wide = lambda c: 0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
longest = max(sum(map(wide, line.rstrip("\n"))) for line in sys.stdin)
sys.exit(f"{longest} columns" if not 60 < longest <= 80 else 0)'
}

@test "colour when asked for" {
  run env -u NO_COLOR "$ragprof" report --color=always "$trace"
  [[ $output == *$'\e[1m'* ]]
}

@test "markdown: tables with the same number of cells in each row" {
  "$ragprof" report --format markdown "$trace" >"$BATS_TEST_TMPDIR/t.md"
  # escaped bars are part of a cell
  run awk '/^\|/ { gsub(/\\\|/, ""); n = gsub(/\|/, "|"); if (last && n != last) { print NR ": " $0; bad = 1 } last = n; next }
    { last = 0 } END { exit bad }' "$BATS_TEST_TMPDIR/t.md"
  [ "$status" -eq 0 ]
  # markup of names only within code spans
  run grep -n '<script' <(sed 's/`[^`]*`//g' "$BATS_TEST_TMPDIR/t.md")
  [ "$status" -eq 1 ]
}

@test "a trace cut short: reported up to there, with a warning" {
  size=$(stat -c %s "$trace")
  head -c $((size - 20)) "$trace" >"$BATS_TEST_TMPDIR/cut.ragprof"
  run "$ragprof" report "$BATS_TEST_TMPDIR/cut.ragprof"
  [ "$status" -eq 0 ]
  [[ $output == *"the trace file is not whole"* ]]
}

@test "a million samples in at most 2 s" {
  "$build/workloads/make_trace" "$BATS_TEST_TMPDIR/m.ragprof" --samples 1000000 --threads 8 --depth 30
  # CPU time: other tests may share the machine
  TIMEFORMAT='%U %S'
  used=$({ time "$ragprof" report "$BATS_TEST_TMPDIR/m.ragprof" >/dev/null; } 2>&1)
  echo "user and system time: $used s"
  awk -v used="$used" 'BEGIN { split(used, t); exit !(t[1] + t[2] < 2) }'
}
