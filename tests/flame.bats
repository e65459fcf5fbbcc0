#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Flame graphs: the folded format by itself, the page and the drawing in a headless Chromium.

# shellcheck disable=SC2154 # status and output come from bats

bats_require_minimum_version 1.5.0
playwright_version=1.57.0

setup_file() {
  cd "$BATS_TEST_DIRNAME/.." || return 1
  export BUILD=${RAGPROF_BUILD:-$PWD/build}
  export RAGPROF=$BUILD/ragprof
  export TRACE=$BATS_FILE_TMPDIR/t.ragprof HEAP_TRACE=$BATS_FILE_TMPDIR/heap.ragprof
  export SYSTEM_TRACE=$BATS_FILE_TMPDIR/system.ragprof
  export RAGPROF_BROWSER_MODULES=$BUILD/browser/node_modules
  export NO_BROWSER=
  [ -x "$BUILD/workloads/make_trace" ] || return 0
  "$BUILD/workloads/make_trace" "$TRACE" --samples 10000 --threads 4
  for format in html svg; do
    "$RAGPROF" flame -q -f "$format" -o "$BATS_FILE_TMPDIR/t.$format" "$TRACE"
  done
  "$BUILD/workloads/make_trace" "$HEAP_TRACE" --samples 10000 --threads 4 --heap 170
  "$RAGPROF" flame -q -o "$BATS_FILE_TMPDIR/t.memory.html" "$HEAP_TRACE"
  "$BUILD/workloads/make_trace" "$SYSTEM_TRACE" --samples 10000 --threads 4 --operations 150
  "$RAGPROF" flame -q -o "$BATS_FILE_TMPDIR/t.system.html" "$SYSTEM_TRACE"
  prepare_browser
}

# The driver comes from the npm registry once; without it the browser tests are skipped.
prepare_browser() {
  local tool
  for tool in node npm; do
    command -v "$tool" >/dev/null || { NO_BROWSER="$tool is not installed"; return 0; }
  done
  command -v chromium >/dev/null || command -v chromium-browser >/dev/null ||
    command -v google-chrome >/dev/null || { NO_BROWSER="chromium is not installed"; return 0; }
  [ "$(installed_version)" = "$playwright_version" ] ||
    npm install --no-save --no-audit --no-fund --prefix "$BUILD/browser" \
      "playwright-core@$playwright_version" >"$BATS_FILE_TMPDIR/npm.log" 2>&1 ||
    NO_BROWSER="playwright-core could not be installed: $(tail -n 1 "$BATS_FILE_TMPDIR/npm.log")"
}

installed_version() {
  sed -n 's/^ *"version": "\(.*\)",*/\1/p' "$RAGPROF_BROWSER_MODULES/playwright-core/package.json" \
    2>/dev/null
}

setup() {
  cd "$BATS_TEST_DIRNAME/.." || return 1
  [ -f "$TRACE" ] || skip "make_trace is not built (make test builds it)"
}

# All cases of a file run once, in one browser; a test tells how its case went.
browser() {
  [ -z "$NO_BROWSER" ] || skip "$NO_BROWSER"
  local results=$BATS_FILE_TMPDIR/$1
  if [ ! -d "$results" ]; then
    mkdir "$results"
    timeout 300 node "tests/browser/$1.mjs" "$BATS_FILE_TMPDIR/t.$3" "$results" >"$results/.log" 2>&1 ||
      true
  fi
  if [ ! -f "$results/$2" ]; then
    echo "the case did not run: $(tail -n 5 "$results/.log")"
    return 1
  fi
  cat "$results/$2"
  [ ! -s "$results/$2" ]
}

folded() { "$RAGPROF" flame -q -f folded -o - --kind "$1" "$TRACE"; }

sum() { awk '{ sum += $NF } END { printf "%.0f\n", sum }'; }

@test "folded: one stack a line, sorted, a count at the end" {
  folded wall >"$BATS_TEST_TMPDIR/out"
  [ -s "$BATS_TEST_TMPDIR/out" ]
  run ! grep -Evq '^[^;]+(;[^;]+)* [0-9]+$' "$BATS_TEST_TMPDIR/out"
  sed 's/ [0-9]*$//' "$BATS_TEST_TMPDIR/out" | LC_ALL=C sort -c -u
  run ! LC_ALL=C grep -q "[$(printf '\001-\010\016-\037\177')]" "$BATS_TEST_TMPDIR/out"
  iconv -f UTF-8 -t UTF-8 "$BATS_TEST_TMPDIR/out" >/dev/null
}

# 10,000 samples at 99 Hz are 101.01 s; 390 in 1000 end in sgemm.
@test "folded: microseconds that add up" {
  total=$(folded cpu | sum)
  [ "$total" -gt 101009000 ] && [ "$total" -lt 101011200 ]
  sgemm=$(folded cpu | grep 'sgemm_kernel_HASWELL [0-9]*$' | sum)
  [ "$sgemm" -gt 39393000 ] && [ "$sgemm" -lt 39395000 ]
  off=$(folded off-cpu | sum)
  wall=$(folded wall | sum)
  difference=$((wall - total - off))
  [ "${difference#-}" -lt 200 ]
}

@test "folded: hostile names stay one field of one line" {
  folded cpu >"$BATS_TEST_TMPDIR/out"
  grep -q ';one:two three 999 (new line:.py:7);' "$BATS_TEST_TMPDIR/out"
  grep -q ';<script>alert(1)</script> (' "$BATS_TEST_TMPDIR/out"
}

@test "folded: waits end in their reason, Python frames tell file and line" {
  folded off-cpu >"$BATS_TEST_TMPDIR/out"
  run ! grep -Evq ';waiting: [A-Za-z ]+ [0-9]+$' "$BATS_TEST_TMPDIR/out"
  grep -q ';KeywordIndex.score (keyword_index.py:52);.*;waiting: GIL [0-9]*$' "$BATS_TEST_TMPDIR/out"
}

# Reading the trace is part of it.
@test "a million samples become a page in 2 s" {
  "$BUILD/workloads/make_trace" "$BATS_FILE_TMPDIR/million.ragprof" --samples 1000000 --threads 16
  # CPU time: other tests may share the machine
  TIMEFORMAT='%U %S'
  used=$({ time "$RAGPROF" flame -q -f html -o "$BATS_FILE_TMPDIR/million.html" "$BATS_FILE_TMPDIR/million.ragprof"; } 2>&1)
  echo "user and system time: $used s"
  awk -v used="$used" 'BEGIN { split(used, t); exit !(t[1] + t[2] < 2) }'
}

@test "svg: well-formed XML" {
  if command -v xmllint >/dev/null; then
    xmllint --noout "$BATS_FILE_TMPDIR/t.svg"
  elif command -v python3 >/dev/null; then
    python3 -c 'import sys, xml.dom.minidom as xml; xml.parse(sys.argv[1])' "$BATS_FILE_TMPDIR/t.svg"
  else
    skip "neither xmllint nor python3 is installed"
  fi
}

# What follows for 170 steps from tests/unit/synthetic_heap.h; most is live after step 169.
@test "folded: bytes that were allocated, are live, were at the peak" {
  folded_bytes() { "$RAGPROF" flame -q -f folded -o - --kind "$1" "$HEAP_TRACE"; }
  [ "$(folded_bytes live | sum)" = $((170 * 51200 + 30 * 409600 + 48 * 1048576)) ]
  [ "$(folded_bytes peak | sum)" = $((169 * 51200 + 30 * 409600 + 48 * 1048576 + 9 * 524288)) ]
  [ "$(folded_bytes alloc | sum)" = $((170 * (51200 + 65 * 1048576 + 524288 + 2048) + 30 * 409600 + 48 * 1048576)) ]
  folded_bytes alloc | grep -q ';load_model (embedding.py:70);PyDataMem_UserNEW 50331648$'
  # mappings are what allocators take from the kernel: not once more
  run ! grep -q 'load_model (embedding.py:70) [0-9]' <(folded_bytes alloc)
}

@test "folded: leaks in bytes per iteration, within 5 %" {
  "$RAGPROF" flame -q -f folded -o - --kind leak "$HEAP_TRACE" >"$BATS_TEST_TMPDIR/out"
  [ "$(wc -l <"$BATS_TEST_TMPDIR/out")" = 2 ]
  remember=$(grep -F 'SessionStore.remember' "$BATS_TEST_TMPDIR/out" | sum)
  add=$(grep -F 'faiss::IndexFlat::add' "$BATS_TEST_TMPDIR/out" | sum)
  [ "$remember" -ge 3891 ] && [ "$remember" -le 4301 ]
  [ "$add" -ge 973 ] && [ "$add" -le 1075 ]
}

folded_system() { "$RAGPROF" flame -q -f folded -o - --kind "$1" "$SYSTEM_TRACE"; }

# What a step of tests/unit/synthetic_operations.h comes to, in microseconds or faults, times 150. Every call is counted
# once: the device's read is a part of the file's, a lock's holder waited for nothing.
@test "folded: what the kernel did, exactly" {
  while read -r kind each; do
    sum=$(folded_system "$kind" | sum)
    difference=$((sum - each * 150))
    echo "$kind: $sum, expected $((each * 150))"
    [ "${difference#-}" -le 10 ]
  done <<'END'
syscall 342180
io 185392
block 47700
fault 1280
lock 20000
gil 160000
END
}

@test "folded: leaves say what was done to what" {
  folded_system io >"$BATS_TEST_TMPDIR/out"
  grep -q ';stream_completion (generate.py:40);.*;receive tcp 127.0.0.1:6333 15000000$' "$BATS_TEST_TMPDIR/out"
  grep -q '^open /srv/rag/data/index.faiss 1350$' "$BATS_TEST_TMPDIR/out" # no stack of it was taken
  run ! grep -q 'device read' "$BATS_TEST_TMPDIR/out"
  folded_system syscall | grep -q ';futex_wait;futex 15000000$'
  folded_system block | grep -q ';answer (app.py:118);flush vda 5700000$'
  folded_system fault | grep -q ';asm_exc_page_fault;major /srv/rag/data/index.faiss 7500$'
  folded_system lock | grep -q ';futex_wait;wait 0x7f1234567890 3000000$'
  folded_system gil >"$BATS_TEST_TMPDIR/out"
  grep -q ';take_gil;.*;waiting for the GIL 12000000$' "$BATS_TEST_TMPDIR/out"
  [ "$(grep 'holding the GIL while others wait' "$BATS_TEST_TMPDIR/out" | sum)" = 12000000 ]
}

@test "what was not recorded cannot be drawn" {
  for kind in syscall io block fault lock gil; do
    for format in folded svg html; do
      run "$RAGPROF" flame -f "$format" --kind "$kind" -o "$BATS_TEST_TMPDIR/none" "$TRACE"
      [ "$status" -eq 1 ]
      [[ $output == *"--kind $kind: the trace holds no "*"ragprof doctor"* ]]
      [ ! -e "$BATS_TEST_TMPDIR/none" ]
    done
  done
}

@test "svg: what the kernel did" {
  "$RAGPROF" flame -q -f svg --kind fault -o "$BATS_TEST_TMPDIR/t.svg" "$SYSTEM_TRACE"
  grep -q 'page faults, 192000 faults in ' "$BATS_TEST_TMPDIR/t.svg"
  grep -A1 -F '<title>major /srv/rag/data/index.faiss' "$BATS_TEST_TMPDIR/t.svg" | grep -q '^7500 faults, 3.9 %'
}

@test "memory cannot be drawn of a trace without allocations" {
  for format in folded svg html; do
    run "$RAGPROF" flame -f "$format" --kind live -o "$BATS_TEST_TMPDIR/none" "$TRACE"
    [ "$status" -eq 1 ]
    [[ $output == *"holds no allocations"* ]]
    [ ! -e "$BATS_TEST_TMPDIR/none" ]
  done
}

@test "svg: bytes in titles and heading" {
  "$RAGPROF" flame -q -f svg --kind leak -o "$BATS_TEST_TMPDIR/t.svg" "$HEAP_TRACE"
  grep -q 'memory leaked, 5.00 KiB per iteration' "$BATS_TEST_TMPDIR/t.svg"
  grep -A1 -F '<title>SessionStore.remember' "$BATS_TEST_TMPDIR/t.svg" | grep -q '^4.00 KiB per iteration, 80.0 %'
}

@test "page: sums of a hand-made profile with recursion" {
  command -v node >/dev/null || skip "node is not installed"
  node tests/browser/model.mjs
}

@test "svg: names and shares" { browser svg names_and_shares svg; }
@test "svg: zoom" { browser svg zoom svg; }
@test "svg: search" { browser svg search svg; }

@test "page: no network, no code but its own" { browser page policy html; }
@test "page: hostile names stay text" { browser page hostile_names html; }
@test "page: totals of on-CPU, off-CPU and wall" { browser page totals_and_kinds html; }
@test "page: header with completeness and losses" { browser page header html; }
@test "page: answers at a glance" { browser page answers html; }
@test "page: zoom by click" { browser page zoom html; }
@test "page: flame and icicle" { browser page flame_grows_up html; }
@test "page: search counts nested matches once" { browser page search html; }
@test "page: table of self and total" { browser page table html; }
@test "page: callers and callees" { browser page callers_and_callees html; }
@test "page: thread filter" { browser page thread_filter html; }
@test "page: brush on the timeline" { browser page brush html; }
@test "page: the address restores what was shown" { browser page hash_restores html; }
@test "page: a broken address does no harm" { browser page bad_hash html; }
@test "page: dark and light" { browser page themes html; }
@test "page: keyboard" { browser page keyboard html; }
@test "page: interpreter frames can be hidden" { browser page hide_interpreter html; }
@test "page: lines of a Python function" { browser page lines_of_python html; }
@test "page: a phone's width" { browser page phone html; }

memory() { TRACE=$HEAP_TRACE browser memory "$1" memory.html; }

@test "page: totals of memory" { memory totals; }
@test "page: leaks and holders at a glance" { memory answers; }
@test "page: the header leads to the leaks" { memory leak_chip; }
@test "page: memory of a range of time" { memory brush; }
@test "page: who wanted the memory" { memory table; }
@test "page: a tooltip in bytes" { memory tooltip; }
@test "page: a key for the next kind" { memory keyboard; }
@test "page: memory on the timeline" { memory timeline; }
@test "page: memory at a phone's width" { memory phone; }

system() { TRACE=$SYSTEM_TRACE browser system "$1" system.html; }

@test "page: totals of what the kernel did" { system totals; }
@test "page: what the kernel did, at a glance" { system answers; }
@test "page: waits for the GIL and its holders" { system gil; }
@test "page: calls by thread, files by process" { system filters; }
@test "page: a tooltip in calls and bytes" { system tooltip; }
@test "page: series below the timeline" { system tracks; }
@test "page: slow calls by thread" { system slow_calls; }
@test "page: what became of processes" { system happenings; }
@test "page: tracks can be hidden" { system toggle; }
@test "page: the brush works on the tracks as well" { system brush; }
@test "page: system calls at a phone's width" { system phone; }
