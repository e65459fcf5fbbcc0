#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# `ragprof run` with the preloaded library: for any user, whatever becomes of the processes. What a
# trace holds is read by tests/trace_reader.py, which shares nothing with ragprof.

# shellcheck disable=SC2154 # set in setup

bats_require_minimum_version 1.5.0

setup() {
  ROOT=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
  build=${RAGPROF_BUILD:-$ROOT/build}
  ragprof=$build/ragprof
  ends=$build/workloads/shim_ends
  trace=$BATS_TEST_TMPDIR/t.ragprof
  export NO_COLOR=1 PYTHONDONTWRITEBYTECODE=1
  unset LD_PRELOAD RAGPROF_SHIM RAGPROF_LIBRARY
  [ -e "$build/libragprof.so" ]
}

teardown() {
  [ -z "${theirs:-}" ] || rm -rf "$theirs"
}

needs() {
  command -v "$1" >/dev/null || skip "$1 is not installed"
}

# As nobody, with a folder of its own to write to.
as_nobody() {
  needs setpriv
  [ "$(id -u)" -eq 0 ] || skip "only root can become another user"
  theirs=$(mktemp -d /tmp/ragprof-test.XXXXXX)
  chown 65534:65534 "$theirs"
  trace=$theirs/t.ragprof
  nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=/nonexistent)
}

# A figure of the trace, by a jq path.
figure() {
  python3 "$ROOT/tests/trace_reader.py" "$trace" | jq -r "$1"
}

# "allocations bytes live live_bytes" of malloc at known_site, over all processes.
known() {
  figure '[.heap_sites[] | select(.kind == "malloc" and any(.stack[]; . == "known_site"))] |
    "\(map(.allocations) | add) \(map(.allocated_bytes) | add) \(map(.live) | add) \(map(.live_bytes) | add)"'
}

recorded() {
  run "$ragprof" run --no-bpf -o "$trace" --force -- "$@"
  echo "$output"
}

equals() {
  [ "$1" = "$2" ] || { echo "is '$1', not '$2'" && false; }
}

holds() {
  awk "BEGIN { exit !($1) }" || { echo "does not hold: $1" && false; }
}

@test "a C program as nobody: heap, calls, CPU, times" {
  as_nobody
  run "${nobody[@]}" "$ragprof" run -o "$trace" -- "$ends" threads
  echo "$output"
  [ "$status" -eq 0 ]
  [[ $output == *"without BPF"* ]]
  [[ $output == *"heap: "*" allocations"* ]]
  equals "$(known)" "1000 100000 700 70000"
  equals "$(figure '.facts["capture.source"]')" shim
  run "${nobody[@]}" "$ragprof" run -q --force -F 999 -o "$trace" -- "$build/workloads/shares" 1
  [ "$status" -eq 0 ]
  # the program's own account of its CPU time, the scheduler's, and the samples agree
  local cpu_ns
  cpu_ns=$(jq .cpu_ns <<<"$output")
  holds "$(figure .samples) / 999 > $cpu_ns * 0.85e-9 && $(figure .samples) / 999 < $cpu_ns * 1.15e-9"
  holds "$(figure '[.accounts[][2]] | add') > $cpu_ns * 0.95 && $(figure '[.accounts[][2]] | add') < $cpu_ns * 1.05"
  equals "$(figure '.leaves | to_entries | max_by(.value).key')" spin
}

@test "a Python program as nobody: heap and CPU by its functions" {
  as_nobody
  [ -x /usr/bin/python3 ] || skip "no /usr/bin/python3"
  cat >"$theirs/p.py" <<'EOF'
import time
kept = []
def keeping():
    kept.append(bytearray(1 << 20))
def burning():
    end = time.thread_time() + 1
    while time.thread_time() < end:
        sum(range(1000))
for _ in range(50):
    keeping()
burning()
EOF
  run "${nobody[@]}" "$ragprof" run -q -o "$trace" -- /usr/bin/python3 "$theirs/p.py"
  [ "$status" -eq 0 ]
  read -r allocations bytes < <(figure '[.heap_sites[] | select(.kind == "malloc" and any(.stack[]; . == "keeping"))] |
    "\(map(.allocations) | add) \(map(.allocated_bytes) | add)"')
  echo "$allocations allocations, $bytes bytes"
  holds "$bytes >= 50 * 1048576 && $bytes < 51 * 1048576 && $allocations >= 50"
  holds "$(figure '[.leaves | to_entries[].value] | add') >= 80"
  equals "$(figure '.facts["target.name"]')" python3
  figure '.processes[][5]' | grep -q '^python 3\.'
}

@test "SIGKILL, _exit and abort lose nothing that was counted; the status is passed through" {
  ulimit -c 0
  recorded "$ends" sigkill
  [ "$status" -eq 137 ]
  equals "$(known)" "1000 100000 700 70000"
  recorded "$ends" _exit
  [ "$status" -eq 7 ]
  equals "$(known)" "1000 100000 700 70000"
  recorded "$ends" abort
  [ "$status" -eq 134 ]
  equals "$(known)" "1000 100000 700 70000"
}

@test "a prefork server: each process has its own counts, in one trace" {
  recorded "$ends" prefork
  [ "$status" -eq 0 ]
  equals "$(figure '[.heap_sites[] | select(any(.stack[]; . == "known_site"))] | group_by(.pid) |
    map(map(.allocations) | add) | sort | join(" ")')" "100 200 300 400"
  equals "$(figure '.processes | length')" 5
}

@test "an exec: the counts of both images belong to one process" {
  recorded "$ends" exec
  [ "$status" -eq 0 ]
  equals "$(known)" "2000 200000 1400 140000"
  equals "$(figure '.processes | length')" 1
}

@test "a thousand children" {
  recorded "$build/workloads/forker"
  [ "$status" -eq 0 ]
  [[ $output == *'"failed": 0'* ]]
}

@test "children of a shell, each with its calls" {
  needs bash
  # shellcheck disable=SC2016 # for the other shell
  recorded bash -c 'for i in 1 2 3; do "$0" exit; done' "$ends"
  [ "$status" -eq 0 ]
  equals "$(known)" "3000 300000 2100 210000"
}

@test "--no-children" {
  run "$ragprof" run -q --no-bpf --no-children -o "$trace" -- "$ends" prefork
  [ "$status" -eq 0 ]
  equals "$(figure '.processes | length')" 1
}

@test "a target that closes everything, changes its user, its root, or seals itself off" {
  recorded "$ends" close
  [ "$status" -eq 0 ]
  equals "$(known)" "1000 100000 700 70000"
  recorded "$ends" seccomp # no more room can be made for stacks, but all is counted
  [ "$status" -eq 0 ]
  equals "$(figure '[.heap_sites[] | select(.kind == "malloc") | .allocations] | add')" 1000
  [ "$(id -u)" -eq 0 ] || skip "only root can change user or root"
  recorded "$ends" setuid
  [ "$status" -eq 0 ]
  equals "$(known)" "1000 100000 700 70000"
  mkdir "$BATS_TEST_TMPDIR/empty"
  recorded "$ends" chroot "$BATS_TEST_TMPDIR/empty" # a program without a /proc cannot name itself
  [ "$status" -eq 0 ]
  equals "$(figure '[.heap_sites[] | select(.kind == "malloc") | .allocations] | add')" 1000
}

@test "with BPF: allocations from the library, samples and waits from the kernel" {
  "$ragprof" doctor >/dev/null 2>&1 || skip "this host or user may not load BPF programs (see 'ragprof doctor')"
  run "$ragprof" run -o "$trace" -- "$ends" prefork
  echo "$output"
  [ "$status" -eq 0 ]
  [[ $output != *"without BPF"* ]]
  equals "$(known)" "1000 100000 700 70000"
  equals "$(figure '.facts["capture.source"]')" bpf+shim
  equals "$(figure '.processes | length')" 5
  run "$ragprof" run -q --no-shim --force -o "$trace" -- "$ends" exit
  [ "$status" -eq 0 ]
  equals "$(figure '.facts["capture.source"]')" bpf
  equals "$(figure '[.heap_sites[] | select(.kind == "malloc" or .kind == "python")] | length')" 0
}

@test "a process in a PID namespace of its own" {
  needs unshare
  unshare --pid --fork --mount-proc true 2>/dev/null || skip "this user may not make PID namespaces"
  recorded unshare --pid --fork "$ends" prefork
  [ "$status" -eq 0 ]
  equals "$(known)" "1000 100000 700 70000"
  # by the numbers of this namespace, in which none is 1
  equals "$(figure '[.heap_sites[].pid] | min > 1')" true
  run "$ragprof" run -q --no-bpf --force -F 499 -o "$trace" -- unshare --pid --fork "$build/workloads/threads64" 1
  [ "$status" -eq 0 ]
  # 64 and the first, by the numbers of this namespace
  equals "$(figure '[.threads[] | select(.[4] | startswith("worker-")) | .[1] > 64] | "\(length) \(all)"')" "64 true"
}

@test "LD_PRELOAD that was there stays there" {
  needs env
  LD_PRELOAD=libm.so.6 run "$ragprof" run -q --no-bpf -o "$trace" -- sh -c 'echo "$LD_PRELOAD"'
  equals "$output" "$build/libragprof.so:libm.so.6"
}

@test "a static program, a set-user-ID one, one of 32 bits: said in one line" {
  needs "${CC:-gcc}"
  echo 'int main(void) { return 3; }' >"$BATS_TEST_TMPDIR/s.c"
  "${CC:-gcc}" -static -o "$BATS_TEST_TMPDIR/static" "$BATS_TEST_TMPDIR/s.c" 2>/dev/null || skip "no static libc"
  recorded "$BATS_TEST_TMPDIR/static"
  [ "$status" -eq 1 ]
  [[ $output == *"statically linked"* ]]
  [ ! -e "$trace" ]
  printf '\177ELF\001\001\001\000\000\000\000\000\000\000\000\000\002\000\003\000\001\000\000\000%040d' 0 >"$BATS_TEST_TMPDIR/old"
  chmod +x "$BATS_TEST_TMPDIR/old"
  recorded "$BATS_TEST_TMPDIR/old"
  [ "$status" -eq 1 ]
  [[ $output == *"32-bit"* ]]
  printf '#!%s\n' "$BATS_TEST_TMPDIR/static" >"$BATS_TEST_TMPDIR/script"
  chmod +x "$BATS_TEST_TMPDIR/script"
  recorded "$BATS_TEST_TMPDIR/script"
  [ "$status" -eq 1 ]
  [[ $output == *"statically linked"* ]]
  as_nobody
  cp "$ends" "$theirs/setuid"
  chown root "$theirs/setuid"
  chmod 4755 "$theirs/setuid"
  run "${nobody[@]}" "$ragprof" run -o "$trace" -- "$theirs/setuid"
  echo "$output"
  [ "$status" -eq 1 ]
  [[ $output == *"set-user-ID"* ]]
}

@test "a command that cannot be started, options that make no sense" {
  run -127 "$ragprof" run --no-bpf -o "$trace" --force -- /nonexistent/command
  run "$ragprof" run --no-bpf --no-shim -o "$trace" -- true
  [ "$status" -eq 2 ]
  run "$ragprof" run --alloc sometimes -o "$trace" -- true
  [ "$status" -eq 2 ]
  run "$ragprof" run --iteration fortnight -o "$trace" -- true
  [ "$status" -eq 2 ]
  [[ $output == *"--iteration"* ]]
  run "$ragprof" run --snapshot 1ms -o "$trace" -- true
  [ "$status" -eq 2 ]
  RAGPROF_LIBRARY=/nonexistent.so run "$ragprof" run --no-bpf -o "$trace" -- true
  [ "$status" -eq 1 ]
  [[ $output == *RAGPROF_LIBRARY* ]]
}

@test "--alloc=off and sampled say so in the trace" {
  run "$ragprof" run -q --no-bpf --alloc=off --python-alloc=off -o "$trace" -- "$ends" exit
  [ "$status" -eq 0 ]
  equals "$(figure '.counters | has("memory.malloc_interval_bytes")')" false
  equals "$(figure '[.heap_sites[] | select(.kind == "malloc")] | length')" 0
  run "$ragprof" run -q --no-bpf --force --alloc=sampled --alloc-interval 1000 -o "$trace" -- "$ends" exit
  equals "$(figure '.counters["memory.malloc_interval_bytes"]')" 1000
  read -r allocations bytes rest < <(known)
  echo "$allocations $bytes $rest"
  holds "$bytes > 60000 && $bytes < 140000" # about 95 samples: 4 standard deviations
}

@test "thirty iterations of a few milliseconds are each seen" {
  [ -x /usr/bin/python3 ] || skip "no /usr/bin/python3"
  cat >"$BATS_TEST_TMPDIR/i.py" <<'EOF'
import time
kept = []
def step():
    kept.append(bytearray(500000))
    time.sleep(0.02)
for _ in range(30):
    step()
EOF
  run "$ragprof" run -q --no-bpf --iteration py:step -o "$trace" -- /usr/bin/python3 "$BATS_TEST_TMPDIR/i.py"
  [ "$status" -eq 0 ]
  equals "$(figure '[.memory[][2].iterations] | max')" 30
  holds "$(figure '[.memory[][2].iterations] | unique | length') >= 20"
}

@test "iterations by a uprobe and by a USDT point" {
  "$ragprof" doctor >/dev/null 2>&1 || skip "this host or user may not load BPF programs (see 'ragprof doctor')"
  needs "${CC:-gcc}"
  # the note is what sys/sdt.h makes of DTRACE_PROBE(demo, step)
  cat >"$BATS_TEST_TMPDIR/i.c" <<'EOF'
#include <stdlib.h>
#include <unistd.h>
__attribute__((noinline)) void step(void) {
  free(malloc(100));
  usleep(20000);
  __asm__ volatile("990: nop\n"
                   ".pushsection .note.stapsdt,\"\",\"note\"\n"
                   ".balign 4\n .4byte 992f-991f, 994f-993f, 3\n"
                   "991: .asciz \"stapsdt\"\n992: .balign 4\n"
                   "993: .8byte 990b, _.stapsdt.base, 0\n .asciz \"demo\"\n .asciz \"step\"\n .asciz \"\"\n"
                   "994: .balign 4\n .popsection\n"
                   ".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"
                   ".weak _.stapsdt.base\n .hidden _.stapsdt.base\n _.stapsdt.base: .space 1\n"
                   ".size _.stapsdt.base, 1\n .popsection\n");
}
int main(void) {
  for (int i = 0; i < 30; i++)
    step();
}
EOF
  "${CC:-gcc}" -O1 -o "$BATS_TEST_TMPDIR/i" "$BATS_TEST_TMPDIR/i.c"
  local spec
  for spec in "uprobe:$BATS_TEST_TMPDIR/i:step" "usdt:$BATS_TEST_TMPDIR/i:demo:step"; do
    run "$ragprof" run -q --force --iteration "$spec" -o "$trace" -- "$BATS_TEST_TMPDIR/i"
    echo "$spec: $output"
    [ "$status" -eq 0 ]
    equals "$(figure '[.memory[][2].iterations] | max')" 30
  done
  for spec in "uprobe:$BATS_TEST_TMPDIR/i:nowhere" "usdt:$BATS_TEST_TMPDIR/i:demo:nothing" uprobe:/nonexistent:f; do
    run "$ragprof" run --force --iteration "$spec" -o "$BATS_TEST_TMPDIR/n.ragprof" -- "$BATS_TEST_TMPDIR/i"
    echo "$spec: $output"
    [ "$status" -eq 1 ]
    [ ! -e "$BATS_TEST_TMPDIR/n.ragprof" ]
  done
  run "$ragprof" run --no-bpf --iteration uprobe:/bin/true:main -o "$trace" -- true
  [ "$status" -eq 2 ]
}

@test "a full or unwritable /dev/shm: another place, and a word about it" {
  needs unshare
  # shellcheck disable=SC2016
  unshare --mount sh -c 'mount -t tmpfs -o size=1m tmpfs /dev/shm' 2>/dev/null || skip "this user may not mount"
  # shellcheck disable=SC2016
  run unshare --mount sh -c 'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$@"' sh \
    "$ragprof" run --no-bpf -o "$trace" -- "$ends" exit
  echo "$output"
  [ "$status" -eq 0 ]
  [[ $output == */dev/shm* ]]
  equals "$(known)" "1000 100000 700 70000"
}

@test "a place that fills up while the target runs: it goes on, and what was lost is told" {
  needs unshare
  # shellcheck disable=SC2016
  unshare --mount sh -c 'mount -t tmpfs -o size=1m tmpfs /dev/shm' 2>/dev/null || skip "this user may not mount"
  # shellcheck disable=SC2016
  run unshare --mount sh -c 'mount -t tmpfs -o size=70m tmpfs /dev/shm && "$@"' sh \
    "$ragprof" run --no-bpf -o "$trace" -- sh -c 'head -c 100m /dev/zero >/dev/shm/big 2>/dev/null; exec "$0" threads' "$ends"
  echo "$output"
  [ "$status" -eq 0 ]
}

@test "nothing is left behind: not after the end, not by one that was killed" {
  local folder
  # shellcheck disable=SC2016
  folder=$("$ragprof" run -q --no-bpf -o "$trace" --force -- sh -c 'echo "${RAGPROF_SHIM%% *}"')
  [[ $folder == */ragprof-?????? ]]
  [ ! -e "$folder" ]
  "$ragprof" run -q --no-bpf -o "$BATS_TEST_TMPDIR/k.ragprof" -- sleep 20 3>&- &
  local pid=$! child
  sleep 1
  child=$(pgrep -P "$pid" | head -n 1)
  folder=$(tr '\0' '\n' <"/proc/$child/environ" | sed -n 's/^RAGPROF_SHIM=\([^ ]*\) .*/\1/p')
  [ -d "$folder" ]
  kill -KILL "$pid"
  wait "$pid" || true
  kill "$child"
  [ -d "$folder" ]
  recorded "$ends" exit
  [ ! -e "$folder" ]
}

@test "recording stops, the target goes on" {
  run timeout 20 "$ragprof" run -q --no-bpf -d 0.5 -o "$trace" -- sh -c 'sleep 1.5; "$0" exit; exit 5' "$ends"
  echo "$output"
  [ "$status" -eq 5 ]
  equals "$(figure '.facts["capture.end"]')" duration
}
