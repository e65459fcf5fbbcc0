#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The user's own probes, against programs that count and time themselves. Needs a kernel and a user
# that may load BPF.

bats_require_minimum_version 1.5.0
# shellcheck disable=SC2154 # set by capture.bash
load capture

setup() {
  capture_setup
  target=$workloads/probe
}

teardown() {
  capture_teardown
}

# Records a command with one probe; what it prints goes to "out", what ragprof does to "err".
probe() {
  local spec=$1
  shift
  "$ragprof" run --no-shim --force --probe "$spec" -o "$trace" -- "$@" >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err"
}

probes() {
  figure ".probes[] | $1"
}

@test "calls are counted, and timed as they time themselves" {
  probe "$target:spin_for" "$target" spin 1000 200000
  local own_ns
  read -r _ own_ns <"$BATS_TEST_TMPDIR/out"
  [ "$(probes .count)" -eq 1000 ]
  [ "$(probes .errors)" -eq 0 ]
  holds "$(probes .total_ms) > 0.95 * $own_ns / 1e6 && $(probes .total_ms) < 1.05 * $own_ns / 1e6"
  holds "$(probes .p50_ms) >= 0.18 && $(probes .p50_ms) < 0.3"
  [ "$(probes '[.stacks[] | select(.stack[-2:] == ["main", "spin_for"]) | .count] | add')" -ge 900 ]
}

@test "perf counts the same" {
  needs perf
  cp "$target" "$BATS_TEST_TMPDIR/counted"
  perf probe -q -x "$BATS_TEST_TMPDIR/counted" spin_for 2>/dev/null || skip "perf may not probe here"
  perf stat -x, -e 'probe_counted:spin_for' -o "$BATS_TEST_TMPDIR/stat" "$BATS_TEST_TMPDIR/counted" spin 777 1000
  perf probe -q -d 'probe_counted:*'
  probe "$BATS_TEST_TMPDIR/counted:spin_for" "$BATS_TEST_TMPDIR/counted" spin 777 1000
  [ "$(probes .count)" -eq "$(awk -F, '/spin_for/ { print $1 }' "$BATS_TEST_TMPDIR/stat")" ]
}

@test "spans of a millisecond and more: each has its stack" {
  probe "$target:nap" "$target" nap 50 3000000
  local own_ns
  read -r _ own_ns <"$BATS_TEST_TMPDIR/out"
  [ "$(probes .count)" -eq 50 ]
  holds "$(probes .total_ms) > 0.95 * $own_ns / 1e6 && $(probes .total_ms) < 1.05 * $own_ns / 1e6"
  # the first ones may come before the mappings of a new process are known
  [ "$(probes '[.stacks[] | select(.stack[-2:] == ["main", "nap"]) | .count] | add')" -ge 48 ]
}

@test "recursion: every call is counted, no time twice" {
  probe "$target:descend" "$target" descend 40
  local own_ns
  read -r _ own_ns <"$BATS_TEST_TMPDIR/out"
  [ "$(probes .count)" -eq 40 ]
  holds "$(probes .total_ms) > 0.9 * $own_ns / 1e6 && $(probes .total_ms) < 1.05 * $own_ns / 1e6"
  # deeper than the kernel follows returns
  probe "$target:descend" "$target" descend 300
  [ "$(probes .count)" -eq 300 ]
  [ "$(probes .errors)" -eq 0 ]
}

@test "calls left by longjmp have no time, and are told apart" {
  probe "$target:jump_out" "$target" jumps 1000
  [ "$(probes .count)" -eq 1001 ]
  [ "$(probes .errors)" -eq 1000 ]
  holds "$(probes .total_ms) < 1"
}

@test "threads, and a function that only the symbol table knows" {
  probe "$target:hidden" "$target" threads 8 5000
  [ "$(probes .count)" -eq 40000 ]
  [ "$(probes '.threads | length')" -eq 8 ]
  [ "$(probes '[.threads[].count] | unique | join(" ")')" = 5000 ]
}

@test "exceptions pass through probed methods, which overloads are, and by a pattern" {
  local program=$workloads/probe_throw
  probe "$program:store::Index::search(long, float const*)" "$program" 1001
  local returned threw own_ns
  read -r returned threw own_ns <"$BATS_TEST_TMPDIR/out"
  [ "$returned $threw" = "501 500" ]
  [ "$(probes .count)" -eq 1001 ]
  [ "$(probes .errors)" -eq 500 ]
  holds "$(probes .total_ms) > 0.95 * $own_ns / 1e6 && $(probes .total_ms) < 1.05 * $own_ns / 1e6"
  probe "$program:store::Index::search" "$program" 1001 # both of that name
  [ "$(probes .count)" -eq 2002 ]
  probe "$program:store::*search*" "$program" 101
  [ "$(probes '"\(.name) \(.count)"' | sort | paste -sd,)" = "probe_throw:store::Index::research 101,probe_throw:store::Index::search 202" ]
}

@test "a library that is opened after the capture began" {
  needs "${CC:-gcc}"
  echo 'int library_call(int value) { __asm__ volatile(""); return value + 1; }' |
    "${CC:-gcc}" -O2 -shared -fPIC -x c -o "$BATS_TEST_TMPDIR/liblate.so.3" -
  background "$target" late 500 "$BATS_TEST_TMPDIR/liblate.so.3"
  "$ragprof" attach -d 60 --probe liblate.so:library_call -o "$trace" "$pid" 2>"$BATS_TEST_TMPDIR/err"
  grep -q 'waits for' "$BATS_TEST_TMPDIR/err"
  [ "$(probes .count)" -eq 500 ]
}

@test "a running program: by the name of its executable through a link, and by address" {
  ln -s "$target" "$BATS_TEST_TMPDIR/link"
  background "$BATS_TEST_TMPDIR/link" spin 8000 1000000
  local bias address
  bias=$(awk -v file="$(realpath "$target")" '$6 == file && $3 == "00000000" { print substr($1, 1, index($1, "-") - 1); exit }' "/proc/$pid/maps")
  address=$(nm "$target" | awk '$3 == "spin_for" { print $1 }')
  address=0x$(printf %x $((0x$bias + 0x$address)))
  "$ragprof" attach -q -d 1 --probe "$BATS_TEST_TMPDIR/link:spin_for" -o "$trace" "$pid"
  holds "$(probes .count) > 100 && $(probes .count) <= 1100"
  "$ragprof" attach -q -d 1 --force --probe "$address" -o "$trace" "$pid"
  [ "$(probes .name)" = "$address" ]
  holds "$(probes .count) > 100 && $(probes .count) <= 1100"
}

@test "a stripped program, by offset" {
  strip -o "$BATS_TEST_TMPDIR/stripped" "$target"
  local address
  address=$(nm "$target" | awk '$3 == "spin_for" { print $1 }')
  probe "$BATS_TEST_TMPDIR/stripped:0x$(printf %x "0x$address")" "$BATS_TEST_TMPDIR/stripped" spin 300 10000
  [ "$(probes .count)" -eq 300 ]
  run ! probe "$BATS_TEST_TMPDIR/stripped:0x$(printf %x $((0x$address + 1)))" "$BATS_TEST_TMPDIR/stripped" spin 3 10000
  grep -q 'no function is known to begin' "$BATS_TEST_TMPDIR/err"
}

@test "a USDT point with a semaphore" {
  needs "${CC:-gcc}"
  # the note is what sys/sdt.h makes of DTRACE_PROBE(demo, step)
  cat >"$BATS_TEST_TMPDIR/i.c" <<'EOF'
#include <stdio.h>
__attribute__((section(".probes"))) unsigned short demo_step_semaphore;
int main(void) {
  volatile unsigned short *wanted = &demo_step_semaphore;
  int seen = 0;
  for (int i = 0; i < 700; i++) {
    seen += *wanted != 0;
    __asm__ volatile("990: nop\n"
                     ".pushsection .note.stapsdt,\"\",\"note\"\n"
                     ".balign 4\n .4byte 992f-991f, 994f-993f, 3\n"
                     "991: .asciz \"stapsdt\"\n992: .balign 4\n"
                     "993: .8byte 990b, _.stapsdt.base, demo_step_semaphore\n .asciz \"demo\"\n .asciz \"step\"\n .asciz \"\"\n"
                     "994: .balign 4\n .popsection\n"
                     ".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"
                     ".weak _.stapsdt.base\n .hidden _.stapsdt.base\n _.stapsdt.base: .space 1\n"
                     ".size _.stapsdt.base, 1\n .popsection\n");
  }
  printf("%d\n", seen);
}
EOF
  "${CC:-gcc}" -O1 -o "$BATS_TEST_TMPDIR/i" "$BATS_TEST_TMPDIR/i.c"
  probe usdt:demo:step "$BATS_TEST_TMPDIR/i"
  [ "$(probes '"\(.name) \(.count) \(.total_ms)"')" = "usdt:demo:step 700 0" ]
  [ "$(cat "$BATS_TEST_TMPDIR/out")" = 700 ]
}

@test "the cost of each probe is told before" {
  probe "$target:descend" "$target" descend 2
  grep -Eq 'probe .*:descend: about (1 µs a call|10 µs a call, because its first instruction is single-stepped)' "$BATS_TEST_TMPDIR/err"
  probe "$workloads/probe_throw:store::Index::research" "$workloads/probe_throw" 2
  grep -q 'µs a call, because exceptions may pass' "$BATS_TEST_TMPDIR/err"
}

refused() {
  run "$ragprof" run --no-shim --probe "$1" -o "$BATS_TEST_TMPDIR/n.ragprof" -- "$target" spin 1 1
  echo "$1: $status: $output"
  [ "$status" -eq "$2" ]
  [[ $output == *"$3"* ]]
  [ ! -e "$BATS_TEST_TMPDIR/n.ragprof" ]
}

@test "what cannot be probed is refused, with the reason" {
  refused "$target:spin_fro" 1 'did you mean spin_for?'
  refused "$target:nothing*" 1 'no function that matches nothing*'
  refused "$BATS_TEST_TMPDIR/nowhere.so:f" 1 'No such file'
  refused "usdt:$target:demo:nothing" 1 'no USDT point demo:nothing'
  refused "linux-vdso.so.1:clock_gettime" 1 'the vdso is no file'
  refused "$target:_start" 1 'it has no return address'
  refused spin_for 2 'expected FILE:FUNCTION'
  refused usdt:x 2 'expected usdt:PROVIDER:NAME'
  refused "$target:0xzz" 2 'is not an offset'
  printf 'go' >"$BATS_TEST_TMPDIR/s"
  objcopy --add-section .gopclntab="$BATS_TEST_TMPDIR/s" "$target" "$BATS_TEST_TMPDIR/go"
  refused "$BATS_TEST_TMPDIR/go:spin_for" 1 'is a Go program'
  run "$ragprof" run --no-bpf --probe "$target:nap" -o "$BATS_TEST_TMPDIR/n.ragprof" -- "$target" spin 1 1
  [ "$status" -eq 2 ]
}
