#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Captures of programs with known answers: are the stacks whole, the shares and lines right, do the
# times add up, and do independent counters agree? Needs a kernel and a user that may load BPF.

bats_require_minimum_version 1.5.0
# shellcheck disable=SC2154 # set by capture.bash
load capture

setup() {
  capture_setup
}

teardown() {
  capture_teardown
}

# Records a command that ends by itself or after $1 seconds.
record() {
  local seconds=$1
  shift
  background "$@"
  sleep 0.3
  "$ragprof" attach -q -F 499 -d "$seconds" -o "$trace" "$pid"
}

# ---- completeness ----

@test "complete: a C program without frame pointers, 120 deep" {
  record 2 "$workloads/deep_nofp" 6
  is_complete 100
  [ "$(figure '[.hot_paths[0].stack[] | select(startswith("descend"))] | length')" -eq 120 ]
}

@test "complete: the same, stripped" {
  record 2 "$workloads/stripped" 6
  is_complete 100
}

@test "complete: C++ with templates, exceptions and callbacks" {
  record 2 "$workloads/cxx" 6
  is_complete 100
}

@test "complete: 64 threads" {
  record 3 "$workloads/threads64" 8
  is_complete 100
  [ "$("$ragprof" report -f json -n 1000 "$trace" | jq '.threads | length')" -ge 64 ]
}

@test "complete: alloca, realigned stacks and signal handlers" {
  record 2 "$workloads/realign" 6
  is_complete 100
  rm "$trace"
  record 2 "$workloads/signals" 6
  is_complete 100
}

@test "complete: hand-written assembly in libcrypto" {
  needs openssl
  record 2 openssl speed -seconds 6 rsa2048
  is_complete 100
}

@test "complete: numpy and BLAS" {
  /usr/bin/python3 -c 'import numpy' 2>/dev/null || skip "the system's python3 has no numpy"
  record 3 /usr/bin/python3 "$ROOT/tests/workloads/numpy_blas.py" 8
  is_complete 100
  report | jq -e '[.functions[] | select(.kind == "python" and .name == "multiply")] | length == 1'
}

@test "complete: the demo service on the system's stripped python3, and its stages are seen" {
  /usr/bin/python3 -c 'import numpy' 2>/dev/null || skip "the system's python3 has no numpy"
  background /usr/bin/python3 "$ROOT/tools/demo/server.py" --cache-entries 0
  local server=$pid url
  for _ in $(seq 100); do
    url=$(awk '/^ready/ { print $2 }' "$BATS_TEST_TMPDIR/target.out")
    [ -z "$url" ] || break
    sleep 0.2
  done
  background /usr/bin/python3 "$ROOT/tools/demo/drive.py" -c 4 -d 12 "$url"
  sleep 1
  "$ragprof" attach -q -F 499 -d 6 -o "$trace" "$server"
  is_complete 100
  "$ragprof" report -f json -n 3000 "$trace" >"$BATS_TEST_TMPDIR/report.json"
  local stage
  for stage in embed_query search_vectors search_keywords rerank_documents stream_tokens; do
    jq -e --arg name "$stage" 'any(.functions[]; .kind == "python" and (.name | endswith("." + $name)))' \
      "$BATS_TEST_TMPDIR/report.json" >/dev/null || {
      echo "no $stage among the functions"
      return 1
    }
  done
}

@test "complete: node" {
  needs node
  record 2 node -e 'const end = Date.now() + 8000; function busy(n) { let s = 0; for (let i = 0; i < n; i++) s += Math.sqrt(i); return s } while (Date.now() < end) busy(1e6)'
  is_complete 100
}

@test "complete: libraries that are loaded late" {
  background "$ragprof" run -q -F 499 -o "$trace" -- "$workloads/dlopener" 4
  wait "$pid"
  is_complete 100
}

@test "no unwind information: the stacks are there and say that they are incomplete" {
  record 1 "$workloads/no_cfi" 4
  holds "$(figure .capture.samples.on_cpu) >= 50"
  holds "$(figure .capture.samples.complete_pct) < 5"
  "$ragprof" flame -f folded -o - "$trace" | grep -q '^\[incomplete: '
}

@test "broken unwind information: no crash, and what cannot be walked says so" {
  record 1 "$workloads/broken_cfi" 4
  holds "$(figure .capture.samples.on_cpu) >= 50"
  # a stack is either whole, from the first frame on, or marked
  run bash -c "'$ragprof' flame -f folded -o - '$trace' | grep -v -e '^_start;' -e '^\[incomplete: ' -e '^clone3;'"
  [ -z "$output" ]
}

@test "Python deeper than the limit: the innermost frames are there, and the stack says so" {
  record 1 /usr/bin/python3 "$ROOT/tests/workloads/deep_recursion.py" 4 1500
  holds "$(figure .capture.samples.on_cpu) >= 50"
  holds "$(figure .capture.samples.complete_pct) < 20"
  # a recursion that is cut off begins with the mark and ends in burn, with no loop left bare on top
  "$ragprof" flame -f folded -o - "$trace" | grep -q '^\[incomplete: .*;descend ([^;]*;burn ('
}

# ---- truth ----

# The share of CPU time of a function with all it calls, in percent.
total_pct() {
  jq -r --arg name "$1" '[.functions[] | select(.name == $name) | .total_pct] | add // 0' "$2"
}

near() {
  echo "$3: $1 %, known to be $2 %"
  holds "($1) - ($2) <= 2 && ($2) - ($1) <= 2"
}

@test "truth: C functions with known shares, at 999 Hz for 20 s" {
  "$ragprof" run -q -F 999 -o "$trace" -- "$workloads/shares" 20
  "$ragprof" report -f json -n 1000 "$trace" >"$BATS_TEST_TMPDIR/report.json"
  for share in half:50 third:30 sixth:15 rest:5; do
    near "$(total_pct "${share%:*}" "$BATS_TEST_TMPDIR/report.json")" "${share#*:}" "${share%:*}"
  done
}

@test "truth: Python functions and lines with known shares, at 999 Hz for 20 s" {
  "$ragprof" run -q -F 999 -o "$trace" -- /usr/bin/python3 "$ROOT/tests/workloads/shares.py" 20 \
    >"$BATS_TEST_TMPDIR/truth.json"
  "$ragprof" report -f json -n 1000 "$trace" >"$BATS_TEST_TMPDIR/report.json"
  while read -r name pct; do
    near "$(total_pct "$name" "$BATS_TEST_TMPDIR/report.json")" "$pct" "$name"
  done < <(jq -r '.functions | to_entries[] | "\(.key) \(.value.pct)"' "$BATS_TEST_TMPDIR/truth.json")
  while read -r line pct; do
    near "$(jq -r --argjson line "$line" '[.lines[] | select(.line == $line and (.file | endswith("shares.py"))) | .own_pct] | add // 0' \
      "$BATS_TEST_TMPDIR/report.json")" "$pct" "line $line"
  done < <(jq -r '.functions[].lines | to_entries[] | "\(.key) \(.value)"' "$BATS_TEST_TMPDIR/truth.json")
}

@test "truth: every CPython version, functions, lines and whole stacks" {
  local python found=0
  while read -r python; do
    found=$((found + 1))
    echo "$python"
    "$ragprof" run -q -F 999 -o "$trace" -- "$python" "$ROOT/tests/workloads/shares.py" 4 \
      >"$BATS_TEST_TMPDIR/truth.json"
    "$ragprof" report -f json -n 1000 "$trace" >"$BATS_TEST_TMPDIR/report.json"
    for line in $(jq -r '.functions[].lines | keys[]' "$BATS_TEST_TMPDIR/truth.json"); do
      jq -e --argjson line "$line" '[.lines[] | select(.line == $line and (.file | endswith("shares.py")))] | length == 1' \
        "$BATS_TEST_TMPDIR/report.json" >/dev/null
    done
    for share in half:50 third:30 sixth:15 rest:5; do
      holds "$(total_pct "${share%:*}" "$BATS_TEST_TMPDIR/report.json") - ${share#*:} < 4"
      holds "${share#*:} - $(total_pct "${share%:*}" "$BATS_TEST_TMPDIR/report.json") < 4"
    done
    is_complete 100
    rm "$trace"
  done < <(pythons)
  [ "$found" -gt 0 ] || skip "no python3 here"
  [ "$found" -eq 7 ] || echo "# only $found of 7 interpreters are here" >&3
}

@test "truth: generators, coroutines, deep recursion and the GIL on every CPython version" {
  local python script samples pct
  while read -r python; do
    for script in generators async_app deep_recursion gil; do
      echo "$python $script"
      "$ragprof" run -q -F 499 -d 1.5 -o "$trace" -- timeout 2.5 "$python" "$ROOT/tests/workloads/$script.py" 2 \
        >/dev/null 2>&1
      case $script in
      deep_recursion) # 200 Python frames stand on up to 800 native ones
        report | jq -e '[.hot_paths[0].stack[] | select(startswith("descend"))] | length == 200' >/dev/null
        ;;
      esac
      # of some hundred samples, one may fall into the interpreter's very start
      read -r samples pct < <(figure '"\(.capture.samples.on_cpu) \(.capture.samples.complete_pct)"')
      holds "$pct >= 99 || $samples * (100 - $pct) <= 100.5"
      case $script in
      async_app) report | jq -e 'any(.hot_paths[].stack[]; startswith("async handle_request"))' >/dev/null ;;
      generators) report | jq -e 'any(.hot_paths[].stack[]; startswith("generator numbers"))' >/dev/null ;;
      gil) report | jq -e '[.off_cpu_reasons[] | select(.reason == "GIL" and .total_ms > 50)] | length == 1' >/dev/null ;;
      esac
      rm "$trace"
    done
  done < <(pythons)
}

@test "agreement: the ten hottest functions are those of perf record" {
  needs perf
  background "$workloads/cxx" 14
  sleep 0.3
  "$ragprof" attach -q -F 499 -d 5 -o "$trace" "$pid"
  perf record -q -F 499 -e cpu-clock -o "$BATS_TEST_TMPDIR/perf.data" -p "$pid" -- sleep 5 2>/dev/null ||
    skip "perf record does not work here"
  perf report -q -i "$BATS_TEST_TMPDIR/perf.data" --no-children --sort symbol --stdio 2>/dev/null |
    sed -n 's/^ *\([0-9.]*\)%.*\[\.\] /\1 /p' | sed 's/  .*//' | awk '$1 >= 4' >"$BATS_TEST_TMPDIR/theirs"
  # inlined functions are perf's callers: those that perf names must be found at about its share
  local pct name ours
  [ -s "$BATS_TEST_TMPDIR/theirs" ]
  while read -r pct name; do
    ours=$(total_of "$name")
    echo "$name: perf $pct %, ragprof $ours %"
    holds "$ours >= $pct - 6"
  done <"$BATS_TEST_TMPDIR/theirs"
}

@test "agreement: the order of the ten hottest functions is that of perf record, and the true one" {
  needs perf
  background "$workloads/ten" 30
  sleep 0.3
  "$ragprof" attach -q -F 997 -d 10 -o "$trace" "$pid"
  perf record -q -F 997 -e cpu-clock -o "$BATS_TEST_TMPDIR/perf.data" -p "$pid" -- sleep 10 2>/dev/null ||
    skip "perf record does not work here"
  local truth="first second third fourth fifth sixth seventh eighth ninth tenth" theirs ours
  theirs=$(perf report -q -i "$BATS_TEST_TMPDIR/perf.data" --no-children --sort symbol --stdio 2>/dev/null |
    sed -n 's/^ *[0-9.]*% *\[\.\] \([a-z]*\).*/\1/p' | head -n 10 | xargs)
  ours=$(report | jq -r '[.functions | map(select(.kind == "native")) | sort_by(-.self_ms)[:10][].name] | join(" ")')
  echo "perf:    $theirs"
  echo "ragprof: $ours"
  [ "$theirs" = "$truth" ]
  [ "$ours" = "$truth" ]
}

# What ragprof gives to a function with what was inlined into it, in percent of the samples.
total_of() {
  "$ragprof" report -f json -n 1000 "$trace" |
    jq -r --arg name "$1" '[.functions[] | select(.name | contains($name)) | .total_pct] | max // 0'
}

# ---- accounting ----

@test "accounting: on-CPU, waiting and run queue add up to wall time, per thread" {
  background "$workloads/threads64" 8
  sleep 0.3
  "$ragprof" attach -q -d 4 -o "$trace" "$pid"
  "$ragprof" report -f json -n 1000 "$trace" >"$BATS_TEST_TMPDIR/report.json"
  [ "$(jq '[.threads[] | select(.wall_ms > 1000)] | length' "$BATS_TEST_TMPDIR/report.json")" -ge 64 ]
  jq -e '[.threads[] | select(.wall_ms > 1000 and (.sum_pct < 98 or .sum_pct > 102))] | length == 0' "$BATS_TEST_TMPDIR/report.json"
}

@test "accounting: on-CPU time is what /proc/PID/stat counts" {
  background "$workloads/shares" 10
  sleep 0.3
  ticks() { awk '{ print $14 + $15 }' "/proc/$pid/stat"; }
  local before after hz
  before=$(ticks)
  "$ragprof" attach -q -d 4 -o "$trace" "$pid"
  after=$(ticks)
  hz=$(getconf CLK_TCK)
  # /proc also counts what ran before and after the recording: start-up and naming
  local ours theirs
  ours=$(figure '[.threads[].on_cpu_ms] | add')
  theirs=$(((after - before) * 1000 / hz))
  echo "ragprof $ours ms, /proc $theirs ms"
  holds "$ours <= $theirs + 60"
  holds "$ours >= 0.6 * $theirs"
}

@test "who wakes whom: the GIL is handed over within the process" {
  record 2 /usr/bin/python3 "$ROOT/tests/workloads/gil.py" 6
  report | jq -e '[.off_cpu_reasons[] | select(.reason == "GIL" and .total_ms > 100)] | length == 1'
  report | jq -e '[.threads[].tid] as $own | [.wakes[] | select(.reason == "GIL" and .waker_tid != null and .waker_tid != 0)]
    | length > 0 and all(.[]; .waker_tid as $tid | $own | index($tid))'
}

@test "a storm of waits for the GIL: not all are walked, their time is exact, and its shares hold" {
  "$ragprof" run -q -o "$trace" -- /usr/bin/python3 "$ROOT/tests/workloads/gil_storm.py" 4
  python3 "$ROOT/tests/trace_reader.py" "$trace" | jq .counters >"$BATS_TEST_TMPDIR/counters.json"
  holds "$(jq '."capture.waits_not_walked"' "$BATS_TEST_TMPDIR/counters.json") > 500"
  # and the reports say so
  [ "$(figure .capture.waits.not_walked)" = "$(jq '."capture.waits_not_walked"' "$BATS_TEST_TMPDIR/counters.json")" ]
  "$ragprof" report "$trace" | tr -s ' \n' ' ' | grep -q 'were not walked, their time is spread over'
  holds "$(figure .time.sum_pct) >= 98 && $(figure .time.sum_pct) <= 102"
  local often rarely all
  read -r often rarely all < <("$ragprof" report -f json -n 1000 "$trace" | jq -r 'def ms(f): [.off_cpu[] | select(.reason == "GIL") | select(f) | .total_ms] | add // 0;
    "\(ms(.path | test("often"))) \(ms(.path | test("rarely"))) \([.off_cpu_reasons[] | select(.reason == "GIL").total_ms] | add)"')
  echo "often $often ms, rarely $rarely ms, of $all ms"
  holds "$often / ($often + $rarely) > 0.69 && $often / ($often + $rarely) < 0.81"
  holds "$often + $rarely > 0.97 * $all"
}

@test "accounting: waits by reason agree with what the program measured itself" {
  "$ragprof" run -q --no-shim -o "$trace" -- "$workloads/offcpu" 5 >"$BATS_TEST_TMPDIR/truth.json"
  cat "$BATS_TEST_TMPDIR/truth.json"
  "$ragprof" report -f json -n 1000 "$trace" >"$BATS_TEST_TMPDIR/report.json"
  local kind reason
  for kind in nanosleep:timer futex:futex pipe:pipe socket:socket poll:timer child:child; do
    reason=${kind#*:}
    # waits whose stack goes through the function of that name
    local ours our_count theirs their_count
    read -r ours our_count < <(jq -r --arg f "wait_${kind%:*}" --arg r "$reason" \
      '[.off_cpu[] | select(.reason == $r and any(.stack[]; . == $f or startswith($f + " ") or startswith($f + "(")))]
        | "\(map(.total_ms) | add // 0) \(map(.count) | add // 0)"' "$BATS_TEST_TMPDIR/report.json")
    read -r theirs their_count < <(jq -r --arg f "wait_${kind%:*}" \
      '.[$f] | "\(.total_ns / 1e6) \(.count)"' "$BATS_TEST_TMPDIR/truth.json")
    echo "$kind: ragprof $ours ms in $our_count waits, the program $theirs ms in $their_count"
    holds "$theirs > 1000"
    # the program's time for a child begins before the fork
    holds "$ours >= $([ "$kind" = child:child ] && echo 0.88 || echo 0.94) * $theirs && $ours <= 1.05 * $theirs"
    # a condition variable's mutex may be waited for, too
    [ "$kind" = futex:futex ] || holds "$our_count >= 0.9 * $their_count && $our_count <= 1.2 * $their_count"
  done
}

# ---- processes ----

@test "run passes the exit status through, also a signal's" {
  run "$ragprof" run -q -o "$trace" -- sh -c 'exit 42'
  [ "$status" -eq 42 ]
  run "$ragprof" run -q --force -o "$trace" -- sh -c 'kill -TERM $$'
  [ "$status" -eq 143 ]
  run -127 "$ragprof" run -q --force -o "$trace" -- /nonexistent/program
  [[ $output == *"/nonexistent/program"* ]]
}

@test "run passes a signal that was sent to it on to the command" {
  background "$ragprof" run -q -o "$trace" -- sleep 30
  sleep 1.5
  kill -TERM "$pid"
  local status=0
  timeout 10 tail --pid "$pid" -f /dev/null
  wait "$pid" || status=$?
  [ "$status" -eq 143 ]
  [ "$(figure .target.exit_status)" = 143 ]
}

@test "children are followed, through fork and exec; 1,000 of them" {
  "$ragprof" run -q -o "$trace" -- "$workloads/forker"
  [ "$("$ragprof" report -f json -n 2000 "$trace" | jq '.processes | length')" -eq 1001 ]
  "$ragprof" run -q --force -o "$trace" -- "$workloads/execer"
  holds "$(figure .capture.samples.complete_pct) >= 98"
}

@test "children that were there before are recorded too, unless told otherwise" {
  background sh -c "'$workloads/shares' 6 >/dev/null; :"
  sleep 0.3
  "$ragprof" attach -q -d 1 -o "$trace" "$pid"
  report | jq -e 'any(.functions[]; .name == "half")' >/dev/null
  "$ragprof" attach -q -d 1 --no-children --force -o "$trace" "$pid"
  report | jq -e 'all(.functions[]?; .name != "half")' >/dev/null
}

@test "attach --name finds processes; several PIDs go into one trace" {
  cp "$workloads/shares" "$BATS_TEST_TMPDIR/shares-named"
  background "$BATS_TEST_TMPDIR/shares-named" 6
  background "$BATS_TEST_TMPDIR/shares-named" 6
  sleep 0.3
  "$ragprof" attach -q -d 1 -o "$trace" --name 'shares-nam*'
  [ "$(figure '.target.pids | length')" -eq 2 ]
}

@test "attach ends when the target does, and at Ctrl-C" {
  background "$workloads/shares" 4
  timeout 20 "$ragprof" attach -q -o "$trace" "$pid"
  [ "$(figure .capture.end)" = "target exited" ]
  background "$workloads/shares" 10
  local target=$pid
  background "$ragprof" attach -q --force -o "$trace" "$target"
  sleep 4
  kill -INT "$pid"
  wait "$pid"
  [ "$(figure .capture.end)" = interrupted ]
  kill -0 "$target"
}

@test "a trace is readable after the recorder was killed" {
  background "$workloads/shares" 20
  local target=$pid
  background "$ragprof" attach -q -o "$trace" "$target"
  sleep 4
  kill -KILL "$pid"
  wait "$pid" || true
  run "$ragprof" report "$trace"
  [ "$status" -eq 0 ]
  holds "$(figure .capture.samples.on_cpu) >= 50"
  [ "$(figure .capture.file.is_whole)" = false ]
  kill -0 "$target"
}

# ---- nothing is left behind ----

# The ids of the BPF programs that a process holds. Source: bpf_prog_show_fdinfo in the kernel.
programs_of() {
  sed -n 's/^prog_id:[[:space:]]*//p' "/proc/$1"/fdinfo/* 2>/dev/null | sort -u
}

@test "no BPF program is left after a capture" {
  needs bpftool
  local left held target
  background "$workloads/shares" 20
  target=$pid
  background "$ragprof" attach -q -d 2 -o "$trace" "$target"
  for _ in $(seq 100); do # until all are loaded: the trace begins after that
    [ ! -s "$trace" ] || break
    sleep 0.1
  done
  held=$(programs_of "$pid")
  echo "held: $held"
  [ "$(wc -l <<<"$held")" -ge 7 ]
  wait "$pid"
  for _ in $(seq 50); do # the kernel frees them a moment later
    left=$(bpftool prog list | sed -n 's/^\([0-9]*\): .*/\1/p' | sort | comm -12 - <(echo "$held"))
    [ -n "$left" ] || return 0
    sleep 0.2
  done
  echo "left: $left"
  return 1
}
