#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The system's part of reports of a synthetic trace. What must come out follows from the tables in
# tests/unit/synthetic_operations.h: after 150 steps an operation stands at 150 times its row.

# shellcheck disable=SC2154,SC2016 # status and output come from bats; $ is jq's
setup_file() {
  cd "$BATS_TEST_DIRNAME/.." || return
  export build=${RAGPROF_BUILD:-$PWD/build}
  export ragprof=$build/ragprof
  export trace=$BATS_FILE_TMPDIR/t.ragprof json=$BATS_FILE_TMPDIR/t.json
  export NO_COLOR=1
  [ -x "$build/workloads/make_trace" ] || skip "make_trace is not built (make test builds it)"
  "$build/workloads/make_trace" "$trace" --samples 10000 --threads 4 --operations 150
  "$ragprof" report --format json "$trace" >"$json"
}

# check EXPRESSION: true of the JSON report
check() {
  command -v jq >/dev/null || skip "jq is not installed"
  jq -e "$1" "$json" >/dev/null || {
    echo "not so: $1"
    return 1
  }
}

@test "system calls: sums over threads, by time" {
  # futex: 500 × 20 µs in one thread, 200 × 500 µs in another
  check '[.syscalls[].name] == ["futex", "recvfrom", "epoll_wait", "fsync", "read", "openat"]'
  check '.syscalls[0] | .count == 150 * 700 and .total_ms == 150 * (10 + 100) and .max_ms == 0.5'
  check '.syscalls[0].threads | length == 2 and (map(.total_ms) == [15000, 1500]) and (map(.count) == [30000, 75000])'
  check '.syscalls[] | select(.name == "read") | .count == 150000 and .bytes == 150 * 4096000'
  # 5/7 of the calls take 20 µs, the others 500: each bucket is an eighth wide
  check '.syscalls[0] | .p50_ms >= 0.018 and .p50_ms <= 0.0225 and .p95_ms >= 0.45 and .p99_ms <= 0.5'
}

@test "system calls: errors have names" {
  check '.syscalls[] | select(.name == "openat") | .errors == 750 and .by_error == [{error: "ENOENT", errno: 2, count: 750}]'
  check '.syscalls[] | select(.name == "fsync") | .errors == 0 and .by_error == []'
}

@test "system calls: stacks have their shares of the exact total" {
  # weights 3 and 1 of 150,000 reads
  check '.syscalls[] | select(.name == "read") | .stack_count == 2 and ([.stacks[].count] == [112500, 37500])'
  check 'all(.syscalls[]; ([.stacks[].total_ms] | add) - .total_ms | fabs < 0.001)'
}

@test "slow system calls: by what they were done to; spans of probes are none" {
  check '[.slow_syscalls[].name] | sort == ["epoll_wait", "fsync", "recvfrom"]'
  check '.slow_syscalls[] | select(.name == "recvfrom") | .object == "tcp 127.0.0.1:6333" and .object_kind == "socket" and .count == 150 and .total_ms == 375 and .max_start_ms == 1'
}

@test "files: reads, the page cache, syncs" {
  check '.files[0] | .file == "/srv/rag/log/queries.jsonl" and .fsyncs == 150 and .total_ms == 150 * (0.5 + 40) and .cached_pct == null'
  # 204,800 of 1,638,400 bytes came from the device
  check '.files[] | select(.file | endswith("index.faiss")) | .reads == 60000 and .read_bytes == 150 * 1638400 and .cached_pct == 87.5 and .opens == 150'
  check '.files[] | select(.file | endswith("absent.toml")) | .operations[0] | .errors == 750 and .by_error[0].error == "ENOENT"'
  check '.files[] | select(.object_kind == "pipe") | .file == "pipe:[4711]" and .write_bytes == 1500'
}

@test "peers: connects, bytes each way, retransmits, look-ups" {
  check '.peers[0] | .peer == "tcp 127.0.0.1:6333" and .connects == 600 and .connect_mean_ms == 0.3 and .sent_bytes == 150 * 81920 and .received_bytes == 150 * 163840'
  check '.peers[0] | .retransmits == 300 and .receive_ms == 15000 and .receive_max_ms == 2.5'
  check '.peers[] | select(.peer | startswith("udp")) | .dns_lookups == 150 and .dns_ms == 6000'
  check '.peers[] | select(.peer | endswith("(listening)")) | .accepts == 1500'
  check '[.blocks[] | "\(.disk) \(.name) \(.count)"] == ["vda flush 150", "vda read 7500", "vda write 450"]'
}

@test "faults: the kernel's count, objects, and the time of first touch" {
  # points at each of 150 steps: 149 rises
  check '.faults | .is_exact and .minor == 149 * 1230 and .major == 149 * 50'
  check '.faults.objects[0] | (.object | endswith("index.faiss")) and .major == 7500 and .minor == 22500 and .total_ms == 150 * (50 * 0.16 + 150 * 0.0007)'
  check '.faults.stacks | ([.[].minor] | add) == 150 * 1230 and ([.[].major] | add) == 7500'
  # 60 waits for pages, at a stack whose samples end in the handler
  check '(.off_cpu_reasons[] | select(.reason == "page fault").total_ms) as $all | .faults.blocked_ms - $all | fabs < 0.01'
  check '.faults.on_cpu_ms > 0 and .faults.stacks[0].samples > 0'
}

@test "scheduling: quota, throttling, migrations" {
  check '.scheduling | .cpus == 2 and .host_runnable_mean == 5'
  check '.scheduling.processes[0] | .quota_cpus == 1.5 and .quota_periods == 298 and .throttled_periods == 149 and .throttled_pct == 50 and .throttled_ms == 4470 and .migrations == 447'
  check '(.time.on_cpu_ms + .time.run_queue_ms) / (.capture.duration_s * 1000) - .scheduling.runnable_mean | fabs < 0.002'
}

@test "locks: who waits and who holds; the GIL apart" {
  check '.locks | length == 1 and (.[0] | .lock == "0x7f1234567890" and .pid == 4242 and .wait.total_ms == 3000 and .hold.total_ms == 3000)'
  check '.locks[0] | .wait.threads[0].tid == 4242 and .hold.threads[0].tid == 4243 and .threads_on_both_sides == 0'
  check '.gil | .waits == 2400 and .wait_ms == 12000 and ([.threads[] | [.tid, .wait_ms, .held_ms]] == [[4243, 12000, 0], [4242, 0, 12000]])'
  check '.gil.processes[0].hold.stacks | length == 2 and .[0].total_ms == 9000 and (.[0].stack[-1] | contains("genexpr"))'
}

@test "probes: spans, and points of no length" {
  check '.probes | length == 2 and (.[0] | .count == 4500 and .total_ms == 9000 and .max_ms == 2 and .threads[0].tid == 4242)'
  check '.probes[1] | .name == "usdt:python:gc__start" and .count == 450 and .total_ms == 0'
}

@test "processes: lives, levels, memory by kind" {
  check '.processes[] | select(.pid == 4242) | .forks == 2 and .exit == null and .threads_level.last == 4'
  check '.processes[] | select(.pid == 4242) | .descriptors == {first: 21, last: 170, max: 170} and .resident_heap_bytes.last == 30 * 1048576 + 150 * 327680'
  check '.processes[] | select(.pid == 4300) | .execs == 1 and .exit == {status: 256, text: "exit 1", at_ms: 60} and .executable == "/usr/bin/ls"'
  check '.processes[] | select(.pid == 4301) | .exit.text == "SIGKILL" and .is_oom_killed'
}

@test "the verdict names what stands out, with its evidence" {
  check '[.verdict[].label] | index("Out of memory") and index("Throttled") and index("GIL convoy") and index("Syncing") and index("Page faults")'
  check '.verdict[] | select(.label == "Throttled") | .is_warning and (.text | contains("149 of 298 periods"))'
  check '.verdict[] | select(.label == "Syncing") | .text | contains("6.00 s in 150 syncs") and contains("queries.jsonl")'
  # 40 ms look-ups are no delayed acknowledgements, and none timed out
  check '[.verdict[].label] | (index("Delayed ACK") or index("DNS time-out") or index("Open files") or index("Spinning")) | not'
}

@test "text and markdown have every section; the text fits 80 columns" {
  local titles=('System calls' 'System calls by stack' 'Errors of system calls' 'Slow system calls' Files
    'File operations' Peers 'Socket operations' 'Block requests' 'Page faults' 'Page faults by stack' Scheduling
    'Contended locks' "The interpreter's lock (GIL)" 'Holders of the GIL' Probes 'Lives of processes'
    'Threads and open files' 'Resident memory by kind')
  COLUMNS=80 "$ragprof" report "$trace" >"$BATS_TEST_TMPDIR/t.txt"
  "$ragprof" report -f markdown "$trace" >"$BATS_TEST_TMPDIR/t.md"
  for title in "${titles[@]}"; do
    grep -qF "## $title" "$BATS_TEST_TMPDIR/t.md" || { echo "markdown lacks $title"; return 1; }
    grep -qE "^${title//[()]/.}(  |$)" "$BATS_TEST_TMPDIR/t.txt" || { echo "text lacks $title"; return 1; }
  done
  command -v python3 >/dev/null || skip "python3 is not installed"
  python3 -c 'import sys; sys.exit(max(len(line.rstrip("\n")) for line in open(sys.argv[1])) > 80)' "$BATS_TEST_TMPDIR/t.txt"
}

@test "without the kernel's side its members are there and empty" {
  "$build/workloads/make_trace" "$BATS_TEST_TMPDIR/old.ragprof" --samples 1000
  "$ragprof" report -f json "$BATS_TEST_TMPDIR/old.ragprof" >"$BATS_TEST_TMPDIR/old.json"
  json=$BATS_TEST_TMPDIR/old.json
  check '[.syscalls, .slow_syscalls, .files, .peers, .blocks, .locks, .probes] == [[], [], [], [], [], [], []]'
  check '.faults == null and .scheduling == null and .gil == null and (.processes[0] | has("exit") | not)'
  run "$ragprof" report "$BATS_TEST_TMPDIR/old.ragprof"
  [[ $output != *"System calls"* && $output != *Scheduling* ]]
}
