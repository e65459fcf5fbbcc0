#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The library itself: what it exports and needs; processes that shut themselves in; the ends of
# threads and processes; the question for mallinfo.

load heap.bash

setup() { heap_setup; }
teardown() { heap_teardown; }

exported() {
  nm -D --defined-only "$1" | awk '{ sub(/@.*/, "", $3); print $3 }' | sort -u
}

# A name of ours that is no name of theirs would be one that the target never calls.
@test "it exports what it hooks: names of libc and libstdc++ alone" {
  local libc libstdcxx
  libc=$(ldd "$workloads/cxx" | awk '/libc\.so/ { print $3 }')
  libstdcxx=$(ldd "$workloads/cxx" | awk '/libstdc\+\+/ { print $3 }')
  exported "$library" >"$scratch/ours"
  { exported "$libc"; exported "$libstdcxx"; } | sort -u >"$scratch/theirs"
  grep -qx malloc "$scratch/ours"
  grep -qx _ZdlPvm "$scratch/ours"
  # in older or newer versions of glibc than this one's
  strangers=$(comm -23 "$scratch/ours" "$scratch/theirs" | grep -vxE 'cfree|epoll_pwait2|close_range|closefrom') || true
  [ -z "$strangers" ] || { echo "$strangers" && false; }
}

@test "it needs libc alone" {
  run bash -c "readelf -d '$library' | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | grep -vE '^(libc\.so\.6|ld-linux.*)$'"
  [ -z "$output" ]
}

@test "a symbolic link or another's file in the place of its own is not written" {
  shimmed "alloc=every"
  local victim=$scratch/victim
  echo kept >"$victim"
  for pid in $(seq $(($$ + 1)) $(($$ + 400))); do ln -s "$victim" "$folder/$pid.0"; done
  "${shim[@]}" "$workloads/shim_core" errno
  [ "$(cat "$victim")" = kept ]
}

confined() {
  [ "$(id -u)" = 0 ] || skip "only root can do that"
  shimmed "alloc=every"
  "${shim[@]}" "$workloads/shim_core" confined "$1"
  # the parent, and the first child, in the file that was put by; the second is told as lost
  [ "$(regions '[.processes[] | select(.kinds.malloc.allocations == 100)] | length')" = 1 ]
  [ "$(regions '[.processes[].lost.lost_threads] | add')" = 1 ]
}

@test "a child of a process that changed its root is counted" { confined chroot; }
@test "a child of a process that changed its user is counted" { confined setuid; }

# 3 keys, each 1 block and 100 from its destructor; 100 at exit. pthread_create makes blocks of its
# own, so that the sizes tell.
@test "blocks of ending threads and of exit handlers are counted" {
  shimmed "alloc=every"
  "${shim[@]}" "$workloads/shim_core" late
  run python3 "$ROOT/tests/region_reader.py" --sites "$folder"
  sizes=$(jq -c '[.processes[].sites[] | select(.kind == "malloc") | select(.allocated_bytes / .allocations | . == 11 or . == 33 or . == 55) | .allocations] | sort' <<<"$output")
  [ "$(jq add <<<"$sizes")" = 403 ] || { echo "$sizes" && false; }
}

# main and the library that opens lie apart from the one that is opened: only the opener's own
# RUNPATH leads there.
@test "dlopen looks where its caller says" {
  needs gcc
  mkdir -p "$scratch/open" "$scratch/plug"
  echo 'int plugged(void) { return 7; }' >"$scratch/plug.c"
  gcc -shared -fPIC -o "$scratch/plug/libshim_plug.so" "$scratch/plug.c"
  cat >"$scratch/open.c" <<'END'
#include <dlfcn.h>
int opened(void) {
  void *plug = dlopen("libshim_plug.so", RTLD_NOW);
  int (*plugged)(void) = plug ? (int (*)(void))dlsym(plug, "plugged") : 0;
  int result = plugged ? plugged() : 0;
  if (plug)
    dlclose(plug);
  return result;
}
END
  gcc -shared -fPIC -Wl,--enable-new-dtags,-rpath,'$ORIGIN/../plug' -o "$scratch/open/libshim_open.so" "$scratch/open.c"
  echo 'int opened(void); int main(void) { return opened(); }' >"$scratch/main.c"
  gcc -o "$scratch/main" "$scratch/main.c" -L"$scratch/open" -lshim_open
  shimmed "alloc=every python=sampled"
  run env "LD_LIBRARY_PATH=$scratch/open" "${shim[@]}" "$scratch/main"
  [ "$status" = 7 ]
}

# The module that allocates brings its own C++ library, in nobody's search order but its own.
@test "operator new of a library that is loaded apart is found" {
  needs g++
  cat >"$scratch/apart.cc" <<'END'
#include <new>
extern "C" int apart(void) {
  int *one = new int(3), *many = new int[100];
  int result = *one;
  delete one;
  delete[] many;
  try {
    char *volatile huge = new char[~0ul / 4];
    return huge ? 0 : 1;
  } catch (std::bad_alloc &) {
    return result + 4;
  }
}
END
  cat >"$scratch/main.c" <<'END'
#include <dlfcn.h>
int main(int argc, char **argv) {
  void *handle = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : 0;
  int (*apart)(void) = handle ? (int (*)(void))dlsym(handle, "apart") : 0;
  return apart ? apart() : 0;
}
END
  gcc -o "$scratch/main" "$scratch/main.c" -ldl
  for flags in "" -static-libstdc++; do
    g++ -shared -fPIC $flags -o "$scratch/apart.so" "$scratch/apart.cc"
    shimmed "alloc=every"
    run "${shim[@]}" "$scratch/main" "$scratch/apart.so"
    [ "$status" = 7 ] || { echo "$flags: $status" && false; }
    run python3 "$ROOT/tests/region_reader.py" --sites "$folder"
    for bytes in 4 400; do
      [ "$(jq "[.processes[].sites[] | select(.allocated_bytes == $bytes and .freed_bytes == $bytes)] | length" <<<"$output")" -ge 1 ]
    done
  done
}

@test "errno is kept" {
  for keys in alloc=every alloc=sampled alloc=off "alloc=every interval=1" "alloc=sampled interval=64"; do
    shimmed "$keys"
    "${shim[@]}" "$workloads/shim_core" errno
  done
}

@test "mallinfo is answered when it is asked for, and not before" {
  shimmed "alloc=every"
  "${shim[@]}" "$workloads/shim_core" mallinfo "$scratch/stop" >"$scratch/in_use" &
  pids+=($!)
  run python3 - "$ROOT/tests" "$folder" <<'END'
import ctypes, glob, sys, time
sys.path.insert(0, sys.argv[1])
from region_reader import Head
def head():
    with open(path, "rb") as file:
        return Head.from_buffer_copy(file.read(ctypes.sizeof(Head)))
deadline = time.time() + 10
while not (paths := glob.glob(sys.argv[2] + "/*.0")) and time.time() < deadline:
    time.sleep(0.01)
path = paths[0]
time.sleep(0.3)
assert head().mallinfo.time_ns == 0, "answered unasked"
with open(path, "r+b") as file:
    file.seek(Head.asked.offset)
    file.write((1).to_bytes(4, "little"))
while head().answered != 1 and time.time() < deadline:
    time.sleep(0.01)
print(head().mallinfo.used_bytes)
END
  [ "$status" = 0 ] || { echo "$output" && false; }
  touch "$scratch/stop"
  wait "${pids[0]}"
  # the same up to the block that is in flight, and stdout's buffer
  own=$(cat "$scratch/in_use")
  ((output > own - 10000 && output < own + 10000)) || { echo "$output, by the program $own" && false; }
}
