#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Python's small blocks, counted inside of the interpreter: held against a counter of the test's own
# (workloads/lib/python_counter.c) in the same process.

load heap.bash

setup() {
  heap_setup
  [ -n "$(pythons)" ] || skip "no CPython from 3.8 to 3.13 here"
  python_counter=$workloads/lib/python_counter.so
  program=$ROOT/tests/workloads/py_alloc.py
}

teardown() {
  heap_teardown
}

# "allocations bytes frees freed-bytes" of Python's blocks, by the shim
python_sums() {
  regions '.total.python | "\(.allocations // 0) \(.allocated_bytes // 0) \(.frees // 0) \(.freed_bytes // 0)"'
}

# counted KEYS COMMAND...: runs it with the counter below the shim; $expected and $actual
counted() {
  preload=$python_counter shimmed "$1"
  shift
  rm -f "$scratch/counts"
  PYTHON_COUNTER=$scratch/counts "${shim[@]}" "$@" >"$scratch/out" 2>"$scratch/err"
  expected=$(counts)
  actual=$(python_sums)
}

@test "every small block of Python is counted, exactly, in each version" {
  local python
  for python in $(pythons); do
    counted "alloc=every python=every calls=0" "$python" "$program"
    equal "$expected" "$actual" "$python"
    lost_nothing
  done
}

@test "stacks begin at whoever asked the interpreter for a block" {
  local bounds
  shimmed "alloc=off python=every calls=0"
  bounds=$("${shim[@]}" "$(pythons | tail -1)" -S -c '
keep = [[i] for i in range(1000)]
maps = [line.split()[0].split("-") for line in open("/proc/self/maps") if "libragprof" in line]
print(int(maps[0][0], 16), int(maps[-1][1], 16))')
  "$ROOT/tests/region_reader.py" --sites "$folder" >"$scratch/sites"
  # in the shim; with frames of both kinds
  jq -c --argjson from "${bounds% *}" --argjson to "${bounds#* }" \
    '[.processes[].sites[] | select(.kind == "python")]
    | [(map(select(.native | any(. >= $from and . < $to))) | length),
       (map(select(.python != [] and .native != [])) | length > 100)]' "$scratch/sites" >"$scratch/found"
  equal "[0,true]" "$(cat "$scratch/found")" "stacks"
}

@test "blocks are told from malloc's also when malloc is sampled or not counted" {
  counted "alloc=sampled python=every calls=0 interval=4096" "$(pythons | head -1)" "$program"
  # A list of arenas that pymalloc takes from malloc hides the block that it was taken for.
  local -a want got
  read -ra want <<<"$expected"
  read -ra got <<<"$actual"
  ((want[0] - got[0] >= 0 && want[0] - got[0] < 10))
}

@test "sampled blocks add up to all of them, within 5 %" {
  local python
  for python in $(pythons | tail -2); do
    counted "alloc=every python=sampled interval=2048 calls=0" "$python" "$program" 60
    local -a want got
    read -ra want <<<"$expected"
    read -ra got <<<"$actual"
    near "${want[0]}" "${got[0]}" 5 "$python: allocations"
    near "${want[1]}" "${got[1]}" 5 "$python: bytes"
    near "${want[2]}" "${got[2]}" 5 "$python: frees"
    near "${want[3]}" "${got[3]}" 5 "$python: freed bytes"
    [ "$(regions .total.python.samples)" -gt 5000 ]
  done
}

@test "with PYTHONMALLOC=malloc all of it is malloc's" {
  shimmed "alloc=every python=every calls=0"
  PYTHONMALLOC=malloc "${shim[@]}" "$(pythons | head -1)" -c 'list(range(100))'
  [ "$(regions '.total.python.allocations // 0')" = 0 ]
  [ "$(regions '.total.malloc.allocations')" -gt 1000 ]
}

@test "the hooks come back when the interpreter, -X dev or tracemalloc set allocators" {
  local python options code
  code='
import sys, tracemalloc
if tracemalloc.is_tracing():
    tracemalloc.stop()
for _ in range(2):
    tracemalloc.start()
    tracemalloc.stop()
import os, colorsys  # an audit event
keep = [[] for i in range(50000)]
os._exit(0)'
  for python in $(some_pythons); do
    for options in "" "PYTHONMALLOC=debug" "PYTHONMALLOC=pymalloc" "PYTHONDEVMODE=1" "PYTHONTRACEMALLOC=1" \
      "PYTHONTRACEMALLOC=1 PYTHONMALLOC=debug"; do
      shimmed "alloc=every python=every calls=0"
      # shellcheck disable=SC2086 # several
      env $options "${shim[@]}" "$python" -c "$code" 2>"$scratch/err"
      local live
      live=$(regions '.total.python | (.allocations // 0) - (.frees // 0)')
      ((live >= 50000 && live < 100000)) || { echo "$python $options: $live live blocks" && false; }
    done
  done
}

@test "what Python says of its own memory is the same with and without the shim" {
  local python code='
import sys, gc
gc.disable()
before = sys.getallocatedblocks()
keep = [[] for i in range(5000)]
after = sys.getallocatedblocks()
print(after - before)
import tracemalloc
tracemalloc.start()
keep2 = [[] for i in range(5000)]
print(tracemalloc.get_traced_memory()[0] // 1024)
tracemalloc.stop()'
  for python in $(pythons); do
    shimmed "alloc=every python=every calls=0"
    equal "$("$python" -c "$code")" "$("${shim[@]}" "$python" -c "$code")" "$python"
  done
}

@test "a fork's child counts its own blocks" {
  local python
  for python in $(some_pythons); do
    shimmed "alloc=every python=every calls=0"
    "${shim[@]}" "$python" -c '
import os
before = [[] for i in range(50000)]
child = os.fork()
if not child:
    mine = [[] for i in range(20000)]
    del before
    os._exit(0)
os.waitpid(child, 0)
os._exit(0)'
    local live
    live=$(regions '[.processes[] | .kinds.python | .allocations - .frees] | max, min' | xargs)
    awk "BEGIN { split(\"$live\", n); exit !(n[1] > 50000 && n[1] < 90000 && n[2] > 20000 && n[2] < 40000) }" ||
      { echo "$python: live $live" && false; }
  done
}

@test "sub-interpreters are counted" {
  local python found=
  for python in $(pythons | grep -E '3\.(12|13)'); do
    found=yes
    shimmed "alloc=every python=every calls=0"
    "${shim[@]}" "$python" -c '
import sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
inner = interpreters.create()
code = "keep = [[] for i in range(30000)]; del keep"
(getattr(interpreters, "run_string", None) or interpreters.exec)(inner, code)
interpreters.destroy(inner)'
    [ "$(regions .total.python.allocations)" -gt 30000 ]
    [ "$(regions '.total.python | .allocations - .frees')" -lt 20000 ]
  done
  [ -n "$found" ] || skip "no CPython 3.12 or 3.13"
}

# Iterations are counted the first time only: shutting down takes the audit hook out.
@test "an interpreter that is loaded late, and begun twice, is counted" {
  local libpython found=
  for libpython in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/lib/libpython3.?*.so.1.0; do
    [[ $libpython =~ /3\.([89]|1[0-9])\. ]] || continue
    found=yes
    shimmed "alloc=every python=every calls=0 iteration=py:step"
    PYTHONHOME=${libpython%/lib/*} "${shim[@]}" "$workloads/python_late" "$libpython" '
def step(): return [[] for i in range(10000)]
keep = [step() for i in range(5)]'
    [ "$(regions .total.python.allocations)" -gt 100000 ]
    [ "$(regions '.total.python | .allocations - .frees')" -lt 50000 ]
    equal 5 "$(regions '[.processes[].iterations] | add')" "$libpython: iterations"
  done
  [ -n "$found" ] || skip "no shared libpython"
}
