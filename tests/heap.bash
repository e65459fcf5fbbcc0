# SPDX-License-Identifier: GPL-2.0-or-later
# What the tests of the shim share: running programs under it without the collector, and reading the
# regions they leave. Sourced by them.
# shellcheck shell=bash disable=SC2034,SC2154 # used by, and set in, the tests

heap_setup() {
  ROOT=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
  build=${RAGPROF_BUILD:-$ROOT/build}
  ragprof=$build/ragprof
  library=$build/libragprof.so
  workloads=$build/workloads
  counter=$workloads/lib/heap_counter.so
  scratch=$BATS_TEST_TMPDIR
  trace=$scratch/t.ragprof
  export NO_COLOR=1 PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0
  pids=()
  shared=$(mktemp -d /dev/shm/ragprof-test-XXXXXX) # of all folders, those of subshells too
  chmod 711 "$shared"
  [ -e "$library" ] # a loader that cannot find it goes on without
}

heap_teardown() {
  local pid
  for pid in "${pids[@]}"; do
    kill "$pid" 2>/dev/null || continue
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$shared"
}

# The interpreters that the shim knows Python of, one a line; and of those, each way that it has.
pythons() {
  local path
  for path in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.{8,9,10,11,12,13}.*/bin/python3 /usr/bin/python3; do
    [ ! -x "$path" ] || echo "$path"
  done
}

some_pythons() {
  pythons | grep -E '/3\.(8|11|13)\.' || pythons
}

needs() {
  command -v "$1" >/dev/null || skip "$1 is not installed"
}

# shimmed KEYS [USER]: a new folder; "${shim[@]}" in front of a command runs it under the shim.
# `env` is not under the shim itself.
shimmed() {
  folder=$(mktemp -d "$shared/XXXXXX")
  [ -z "${2:-}" ] || chown "$2" "$folder"
  shim=(env "LD_PRELOAD=$library${preload:+:$preload}" "RAGPROF_SHIM=$folder $1")
}

regions() {
  python3 "$ROOT/tests/region_reader.py" "$folder" | jq -r "$1"
}

# "allocations bytes frees" of a kind, over all processes.
sums() {
  regions ".total.${1:-malloc} | \"\(.allocations // 0) \(.allocated_bytes // 0) \(.frees // 0)\""
}

# Nothing was left out.
lost_nothing() {
  local lost
  lost=$(regions '[.processes[].lost | to_entries[].value] | add')
  [ "$lost" = 0 ] || { echo "lost: $(regions '[.processes[].lost]')" && false; }
}

# The same figures, by independent counters.
by_counter() { # runs the command under tests/workloads/lib/heap_counter.c
  rm -f "$scratch/counts"
  HEAP_COUNTER=$scratch/counts LD_PRELOAD=$counter "$@" >&2 || return
  counts
}

counts() {
  od -A n -t u8 "$scratch/counts" | xargs
}

# With a thread-local word preloaded, as the shim has: see heap_counter.c.
by_valgrind() {
  LD_PRELOAD=$counter valgrind --run-libc-freeres=no --run-cxx-freeres=no "$@" 2>"$scratch/valgrind" >&2 || return
  tr -d , <"$scratch/valgrind" | sed -n 's/.*total heap usage: \([0-9]*\) allocs \([0-9]*\) frees \([0-9]*\) bytes.*/\1 \3 \2/p'
}

# Source of the raw format: src/track/libheaptrack.cpp and src/interpret of heaptrack 1.4.
by_heaptrack() {
  local preload_library
  preload_library=$(heaptrack_library)
  rm -f "$scratch/heaptrack"
  DUMP_HEAPTRACK_OUTPUT=$scratch/heaptrack LD_PRELOAD=$preload_library "$@" >&2 || return
  python3 - "$scratch/heaptrack" <<'PYTHON'
import sys
allocations = bytes_ = frees = 0
for line in open(sys.argv[1], "rb"):
    words = line.split()
    if words[0] == b"+":
        allocations, bytes_ = allocations + 1, bytes_ + int(words[1], 16)
    elif words[0] == b"-":
        frees += 1
print(allocations, bytes_, frees)
PYTHON
}

heaptrack_library() {
  local path
  for path in /usr/lib/heaptrack /usr/lib/*/heaptrack; do
    [ ! -e "$path/libheaptrack_preload.so" ] || { echo "$path/libheaptrack_preload.so" && return; }
  done
}

# by_shim KEYS COMMAND...
by_shim() {
  shimmed "$1"
  shift
  "${shim[@]}" "$@" >&2 || return
  lost_nothing >&2 || return
  sums malloc
}

# What the second of two triples has more than the first.
more() {
  local -a first second
  read -ra first <<<"$1"
  read -ra second <<<"$2"
  echo "$((second[0] - first[0])) $((second[1] - first[1])) $((second[2] - first[2]))"
}

# equal EXPECTED ACTUAL WHAT
equal() {
  [ "$1" = "$2" ] || { echo "$3: expected $1, got $2" && false; }
}

# near EXPECTED ACTUAL PERCENT WHAT
near() {
  awk "BEGIN { exit !($1 > 0 && ($2 - $1) ^ 2 <= ($1 * $3 / 100) ^ 2) }" || {
    echo "$4: expected $1 within $3 %, got $2"
    return 1
  }
}
