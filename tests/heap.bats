#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The shim's counts against independent ones: a counting allocator in the same process, valgrind,
# heaptrack's raw data, strace. And that it does not disturb what it counts.

load heap.bash

setup() { heap_setup; }
teardown() { heap_teardown; }

every="alloc=every python=off calls=0 cpu=0"

# Both counts of one run: the counter stands behind the shim.
same_as_counter() {
  preload=$counter shimmed "$every"
  rm -f "$scratch/counts"
  HEAP_COUNTER=$scratch/counts "${shim[@]}" "$@"
  lost_nothing
  equal "$(counts)" "$(sums malloc)" "counts of $*"
}

@test "every function of the C library is counted, before, in and after main" {
  same_as_counter "$workloads/heap_calls" 20
  lost_nothing
}

@test "allocations of threads, at their end, and across threads are counted" {
  same_as_counter "$workloads/heap_calls" 200 8
}

@test "every operator new and delete, exceptions and containers are counted once" {
  same_as_counter "$workloads/heap_new" 50
}

@test "what Python takes from malloc is counted, on every interpreter" {
  local python
  for python in /usr/bin/python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3; do
    [ ! -x "$python" ] || PYTHONMALLOC=malloc same_as_counter "$python" "$ROOT/tests/workloads/heap_python.py" 5
  done
}

@test "large programs are counted: perl, git, the compiler" {
  needs git
  needs gcc
  same_as_counter perl -e 'my %h; $h{$_} = "x" x ($_ % 1000) for 1 .. 20000; print scalar(keys %h), "\n"'
  same_as_counter git --version
  echo 'int main(void) { return 0; }' >"$scratch/a.c"
  same_as_counter gcc -O2 -c -o "$scratch/a.o" "$scratch/a.c"
}

@test "C counts equal valgrind's" {
  needs valgrind
  equal "$(by_valgrind "$workloads/heap_calls" 20 0 mild)" "$(by_shim "$every" "$workloads/heap_calls" 20 0 mild)" one
  equal "$(by_valgrind "$workloads/heap_calls" 20 4 mild)" "$(by_shim "$every" "$workloads/heap_calls" 20 4 mild)" threads
}

@test "C++ counts equal valgrind's and heaptrack's" {
  needs valgrind
  needs heaptrack
  local mine
  mine=$(by_shim "$every" "$workloads/heap_new" 20 mild)
  equal "$(by_valgrind "$workloads/heap_new" 20 mild)" "$mine" valgrind
  # heaptrack makes libstdc++ give back its emergency pool at exit: one free more
  equal "$(by_heaptrack "$workloads/heap_new" 20 mild | awk '{ print $1, $2, $3 - 1 }')" "$mine" heaptrack
}

# By difference, so that the environment, which Python copies, plays no part.
python_rounds() {
  more "$("$@" /usr/bin/python3 -S "$ROOT/tests/workloads/heap_python.py" 2)" \
    "$("$@" /usr/bin/python3 -S "$ROOT/tests/workloads/heap_python.py" 7)"
}

@test "Python counts equal valgrind's and heaptrack's" {
  needs valgrind
  needs heaptrack
  export PYTHONMALLOC=malloc
  local mine
  mine=$(python_rounds by_shim "$every")
  equal "$(python_rounds by_heaptrack)" "$mine" heaptrack
  equal "$(python_rounds by_valgrind)" "$mine" valgrind
}

@test "sampled totals are within 5 % of the counted ones" {
  preload=$counter shimmed "alloc=sampled python=off calls=0 cpu=0 interval=4096"
  HEAP_COUNTER=$scratch/counts "${shim[@]}" "$workloads/heap_new" 3000 mild
  local -a counted estimated
  read -ra counted < <(counts)
  read -ra estimated < <(sums malloc)
  near "${counted[0]}" "${estimated[0]}" 5 allocations
  near "${counted[1]}" "${estimated[1]}" 5 bytes
  near "${counted[2]}" "${estimated[2]}" 5 frees
  local samples
  samples=$(regions .total.malloc.samples)
  # so many that 5 % mean something, and fewer than one in three: it did sample
  ((samples > 10000 && samples * 3 < counted[0])) || { echo "$samples samples" && false; }
}

@test "allocators that a program links are counted, and still used" {
  needs gcc
  local expected name flags
  # few rounds: mimalloc 2.0.9 does not always align as asked, without the shim either
  expected=$(more "$(by_counter "$workloads/heap_calls" 5 0 mild)" "$(by_counter "$workloads/heap_calls" 20 0 mild)")
  local -i tried=0
  for name in jemalloc.so.2 tcmalloc_minimal.so.4 mimalloc.so.2; do
    # mimalloc's file may be a link to the versioned name; the linker takes what is there
    compgen -G "/usr/lib/*/lib$name" >/dev/null || { echo "# lib$name is not there" >&3 && continue; }
    gcc -O1 -D_GNU_SOURCE -w -o "$scratch/linked" "$ROOT/tests/workloads/heap_calls.c" -Wl,--no-as-needed "-l:lib$name" -lpthread
    equal "$expected" "$(more "$(by_shim "$every" "$scratch/linked" 5 0 mild)" \
      "$(by_shim "$every" "$scratch/linked" 20 0 mild)")" "$name"
    shimmed "$every"
    "${shim[@]}" "$scratch/linked" 20 0 mild
    equal 1 "$(regions '.processes[0].foreign_allocator')" "$name is another allocator"
    tried+=1
  done
  ((tried > 0)) || skip "no other allocator is installed"
}

# The calls that strace saw between the marks of a workload: name, bytes asked for, result.
between_marks() {
  sed -n '/"begin"/,/"end"/p' "$1" | sed 's/^[0-9]* *//' | grep -E '^(mmap|munmap|mremap|brk)\('
}

@test "mmap, mremap, munmap and brk are counted as strace sees them" {
  needs strace
  strace -f -o "$scratch/strace" "$workloads/heap_maps"
  shimmed "$every"
  "${shim[@]}" "$workloads/heap_maps"
  lost_nothing
  local mapped
  # A mapping that grows or moves is the old one freed and a new one; one that shrinks as well.
  mapped=$(between_marks "$scratch/strace" | python3 -c '
import re, sys
count = size = 0
for line in sys.stdin:
    call, result = line.split("(")[0], line.rsplit("= ", 1)[1]
    numbers = [int(word) for word in re.findall(r"\b\d+\b", line.split(")")[0])]
    if result.startswith("-1"):
        continue
    if call == "mmap":
        count, size = count + 1, size + numbers[0]
    if call == "mremap":
        count, size = count + 1, size + numbers[1]
print(count, size)')
  local -a sum
  read -ra sum < <(sums map)
  equal "$mapped" "${sum[0]} ${sum[1]}" "mappings"
  # What is mapped in the end: the ten first ones that are not unmapped, of 20 i pages, and what is
  # left of the second ones, 1 + 3 pages each of their 8.
  equal "$(((2 + 4 + 6 + 8 + 10 + 12 + 14 + 16 + 18 + 20) * 20 * 4096 + 20 * 4 * 4096))" \
    "$(regions '.total.map | .allocated_bytes - .freed_bytes')" "bytes mapped in the end"
  # The break moved by 40 pages in all; whatever libc moved it by lies before the mark.
  equal "$((40 * 4096))" "$(regions '.total.break | .allocated_bytes - .freed_bytes')" "break"
}

# The system calls of the allocator in the marked part, with sizes: the break relative to its start,
# mappings by their length.
allocator_calls() {
  between_marks "$1" | python3 -c '
import re, sys
start = None
for line in sys.stdin:
    call = line.split("(")[0]
    if call == "brk":
        at = int(line.rsplit("= ", 1)[1], 16)
        start = at if start is None else start
        print("brk", at - start)
    else:
        print(call, re.findall(r"\b\d{4,}\b", line.split(")")[0]))'
}

@test "a pass-through shim leaves the allocator's system calls as they are" {
  needs strace
  strace -o "$scratch/bare" "$workloads/heap_trim"
  shimmed "alloc=off python=off calls=0 cpu=0"
  strace -o "$scratch/shim" -E "LD_PRELOAD=$library" -E "RAGPROF_SHIM=$folder alloc=off python=off calls=0 cpu=0" "$workloads/heap_trim"
  allocator_calls "$scratch/bare" >"$scratch/bare.calls"
  allocator_calls "$scratch/shim" >"$scratch/shim.calls"
  (($(wc -l <"$scratch/bare.calls") > 50)) # there is something to compare
  diff "$scratch/bare.calls" "$scratch/shim.calls"
}

@test "counting every allocation moves no threshold of the allocator" {
  needs strace
  strace -o "$scratch/bare" "$workloads/heap_trim"
  shimmed "$every"
  strace -o "$scratch/shim" -E "LD_PRELOAD=$library" -E "RAGPROF_SHIM=$folder $every" "$workloads/heap_trim"
  # The shim's own memory comes from mmap as well: the break tells.
  diff <(allocator_calls "$scratch/bare" | grep brk) <(allocator_calls "$scratch/shim" | grep brk)
  equal "$(allocator_calls "$scratch/bare" | grep -c munmap)" "$(allocator_calls "$scratch/shim" | grep -c munmap)" "munmap"
}

@test "live bytes and the peak are those of the program" {
  shimmed "$every"
  cat >"$scratch/peak.c" <<'C'
#include <stdlib.h>
int main(void) {
  void *volatile blocks[10];
  for (int i = 0; i < 10; i++)
    blocks[i] = malloc(100000);
  for (int i = 0; i < 7; i++)
    free(blocks[i]);
  return 0;
}
C
  needs gcc
  gcc -O1 -o "$scratch/peak" "$scratch/peak.c"
  "${shim[@]}" "$scratch/peak"
  equal "300000 1000000" "$(regions '.processes[0] | "\(.live_bytes) \(.peak_bytes)"')" "live and peak"
  equal "1000000 700000" "$(regions '.total.malloc | "\(.allocated_bytes) \(.freed_bytes)"')" "by site"
}

# In the same time: what grows with time is another matter.
@test "ten times the allocations take at most 1.2 times the file" {
  local count
  for count in 20000 200000; do
    "$ragprof" run -q --no-bpf -o "$scratch/$count" -- /usr/bin/python3 -c "import time
end = time.monotonic() + 3
kept = [bytes(1000 + i % 9) for i in range($count)]
for i in range($count): kept[i] = bytearray(2000)
time.sleep(max(0, end - time.monotonic()))"
  done
  local few many
  few=$("$ragprof" report -f json "$scratch/20000" | jq .heap.allocations)
  many=$("$ragprof" report -f json "$scratch/200000" | jq .heap.allocations)
  ((many > few + 350000)) || { echo "$few and $many allocations" && false; }
  few=$(stat -c %s "$scratch/20000") many=$(stat -c %s "$scratch/200000")
  ((many * 10 <= few * 12)) || { echo "$few and $many bytes" && false; }
}
