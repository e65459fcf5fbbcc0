#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Files and disks: what is counted against strace, /proc/PID/io and /sys/block, on programs whose
# calls are the same on each run.

bats_require_minimum_version 1.5.0
load capture.bash

setup() {
  capture_setup
  folder=$BATS_TEST_TMPDIR/files
  mkdir "$folder"
  device= mounted=
}

teardown() {
  capture_teardown
  [ -z "$mounted" ] || umount "$mounted"
  [ -z "$device" ] || losetup -d "$device"
  [ -z "${group:-}" ] || rmdir "$group"
}

record() {
  "$ragprof" run --no-shim -o "$trace" -- "$@"
}

# Not in the page cache any more.
evict() {
  sync "$1"
  dd if="$1" iflag=nocache count=0 status=none
}

# One figure of the file whose path ends in $1.
of_file() {
  "$ragprof" report -f json --top 1000 "$trace" |
    jq -r --arg name "$1" ".files[] | select((.file // \"\") | endswith(\$name)) | $2"
}

make_cold() {
  dd if=/dev/urandom of="$folder/cold" bs=1M count=8 status=none
  evict "$folder/cold"
}

# A disk of 64 MiB of its own: $device.
make_disk() {
  [ "$EUID" -eq 0 ] || skip "only root may make a loop device"
  needs losetup
  truncate -s 64M "$BATS_TEST_TMPDIR/image"
  device=$(losetup -f --show --direct-io=on "$BATS_TEST_TMPDIR/image") || {
    device=
    skip "no loop device can be made here"
  }
  disk=${device#/dev/}
}

@test "counts, errors and bytes of each file equal strace's" {
  needs strace
  calls=open,openat,creat,read,pread64,readv,preadv,write,pwrite64,writev,pwritev,sendfile,copy_file_range
  strace -f -y -s 0 -o "$BATS_TEST_TMPDIR/strace" -e "trace=$calls,fsync,fdatasync,sync_file_range,mmap" \
    "$workloads/files" all "$folder" || skip "strace may not trace here"
  rm -r "${folder:?}"/*
  record "$workloads/files" all "$folder"
  "$ragprof" report -f json --top 1000 "$trace" >"$BATS_TEST_TMPDIR/report"
  python3 "$ROOT/tests/files_truth.py" "$BATS_TEST_TMPDIR/strace" "$BATS_TEST_TMPDIR/report" "$folder"
  [ "$(jq '.capture.lost | map(tonumber) | add' "$BATS_TEST_TMPDIR/report")" -eq 0 ]
}

@test "names that are no UTF-8, too deep, too long, or of no folder" {
  record "$workloads/files" names "$folder"
  [ "$(of_file ' "quoted"' '.write_bytes')" -eq 11 ]
  deep=$(of_file /d/deep '[.file, .write_bytes] | join(" ")')
  [[ $deep == "…/d/d/"*" 12" ]]
  [ "$(grep -o /d <<<"$deep" | wc -l)" -eq 48 ] # 47 folders and the name, which begins with a d
  long=$(of_file /long '[.file, .write_bytes] | join(" ")')
  [[ $long == "…/nnn"*" 13" ]]
  [ "${#long}" -gt 1000 ]
  [ "${#long}" -lt 2048 ]
  [ "$(of_file '/memfd:in memory' '.write_bytes')" -eq 14 ]
  [ "$(of_file /stat '.read_bytes')" -eq 10 ]
}

@test "what is not in the page cache is read from the device, as /proc/PID/io says" {
  make_cold
  record "$workloads/files" cold "$folder" >"$BATS_TEST_TMPDIR/io"
  read -r cold warm direct <"$BATS_TEST_TMPDIR/io"
  [ "$cold" -ge $((8 << 20)) ] || skip "the kernel keeps the file in its cache, or on no disk"
  [ "$(of_file /cold .read_bytes)" -eq $(((16 << 20) + direct)) ]
  bytes=$(of_file /cold .device_read_bytes)
  holds "$bytes >= 0.99 * ($cold + $warm + $direct) && $bytes <= 1.01 * ($cold + $warm + $direct)"
  [[ $(figure '.blocks[] | select(.name == "read") | .stacks[0].path') == *"read_cold → read_index → read" ]]
}

@test "page faults of a mapped file are reads from the device" {
  make_cold
  record "$workloads/files" touch "$folder" >"$BATS_TEST_TMPDIR/io"
  read -r cold <"$BATS_TEST_TMPDIR/io"
  [ "$cold" -ge $((8 << 20)) ] || skip "the kernel keeps the file in its cache, or on no disk"
  [ "$(of_file /cold .read_bytes)" -eq 0 ]
  bytes=$(of_file /cold .device_read_bytes)
  holds "$bytes >= 0.99 * $cold && $bytes <= 1.01 * $cold"
}

@test "pages that writes add are no reads" {
  record dd if=/dev/zero of="$folder/new" bs=64k count=64 status=none
  [ "$(of_file /new .write_bytes)" -eq $((4 << 20)) ]
  [ "$(of_file /new .device_read_bytes)" -eq 0 ]
}

@test "a slow call on a pipe names the pipe" {
  record "$workloads/files" pipes "$folder"
  slow=$(figure '[.slow_syscalls[] | select(.name == "read" and .max_ms > 100)][0] |
    [.object, .object_kind, .stack[-2]] | join(" ")')
  echo "$slow"
  [[ $slow == "pipe:["*"] pipe pipes" ]]
}

@test "fsync on a slow disk has its stack and its time within 5 %" {
  make_disk
  needs mkfs.ext4
  [ -e /sys/fs/cgroup/blkio/blkio.throttle.write_bps_device ] || skip "no cgroup can slow down a disk here"
  mkfs.ext4 -q -F "$device"
  mount "$device" "$folder" && mounted=$folder
  group=/sys/fs/cgroup/blkio/ragprof-test-$$
  mkdir "$group"
  echo "$(<"/sys/block/$disk/dev") 1048576" >"$group/blkio.throttle.write_bps_device"
  # shellcheck disable=SC2016 # expanded by that shell
  took_s=$(sh -c 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"' - "$group" \
    "$ragprof" run --no-shim -o "$trace" -- "$workloads/files" slow "$folder")
  echo "$took_s s"
  holds "$took_s >= 1.5" # 2 MiB at 1 MiB/s
  read -r ms calls leaf < <(of_file /slow '.operations[] | select(.name == "fsync") |
    [.total_ms, .count, .stacks[0].stack[-2]] | map(tostring) | join(" ")')
  [ "$calls" -eq 1 ]
  [ "$leaf" = persist_index ]
  holds "$ms >= 950 * $took_s && $ms <= 1050 * $took_s"
  slow=$(figure '.slow_syscalls[0] | [.name, .object, .stack[-2]] | join(" ")')
  [ "$slow" = "fsync $folder/slow persist_index" ]
}

@test "requests to a disk are those that /sys/block counts" {
  make_disk
  before=($(<"/sys/block/$disk/stat"))
  record sh -c "dd if=/dev/zero of=$device bs=256k count=40 oflag=direct conv=notrunc,fsync status=none &&
    dd if=$device of=/dev/null bs=128k count=100 iflag=direct status=none"
  after=($(<"/sys/block/$disk/stat"))
  reads=$((after[0] - before[0])) read_sectors=$((after[2] - before[2])) read_ms=$((after[3] - before[3]))
  write_sectors=$((after[6] - before[6])) flushes=$((after[15] - before[15]))
  of_disk() {
    figure ".blocks[] | select(.disk == \"$disk\" and .name == \"$1\") | .$2"
  }
  echo "$reads reads of $read_sectors sectors, $write_sectors written, $flushes flushes"
  figure '.blocks[] | [.disk, .name, .count, .bytes, .total_ms] | join(" ")'
  [ "$(of_disk read count)" -eq "$reads" ]
  [ "$(of_disk read bytes)" -eq $((512 * read_sectors)) ]
  [ "$(of_disk write bytes)" -eq $((512 * write_sectors)) ]
  [ "$(of_disk flush count)" -eq "$flushes" ]
  ms=$(of_disk read total_ms)
  echo "$ms ms of requests, by the kernel's own account $read_ms"
  holds "$ms >= 0.8 * $read_ms - 10 && $ms <= 1.2 * $read_ms + 10" # the kernel has it in ticks
}

@test "of more files than there is room for, each operation is counted" {
  record "$workloads/files" many "$folder"
  "$ragprof" report -f json --top 100000 "$trace" >"$BATS_TEST_TMPDIR/report"
  counted() {
    jq --arg kind "$1" "[.files[] | select((.file // \"\") | contains(\$kind)) | .$2] | add" "$BATS_TEST_TMPDIR/report"
  }
  none() {
    jq "[.files[] | select((.file // \"\") == \"\") | .operations[] | select(.name == \"$1\") | .count - .errors] | add // 0" \
      "$BATS_TEST_TMPDIR/report"
  }
  echo "$(counted /many opens) of 12000 by name, $(none open) by none"
  [ $(($(counted /many opens) + $(none open))) -eq 12000 ]
  [ $(($(counted /many writes) + $(none write))) -eq 12000 ]
  [ "$(counted /late opens)" -eq 100 ] # those that are no more were forgotten
  [ "$(counted /late write_bytes)" -eq 300 ]
  [ "$(jq .capture.lost.operations "$BATS_TEST_TMPDIR/report")" -eq 0 ]
}

@test "files of an overlay in another mount namespace have the paths that they have there" {
  [ "$EUID" -eq 0 ] || skip "only root may mount"
  mkdir "$folder"/{lower,upper,work,merged}
  dd if=/dev/urandom of="$folder/lower/index" bs=1M count=4 status=none
  evict "$folder/lower/index"
  # shellcheck disable=SC2016 # expanded by that shell
  unshare -m sh -c 'mount -t overlay none -o "lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work" "$1/merged"' \
    - "$folder" || skip "no overlay can be mounted here"
  # shellcheck disable=SC2016 # the same
  record unshare -m sh -c 'mount -t overlay none -o "lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work" "$1/merged" &&
    cd "$1/merged" && cat index' - "$folder" >/dev/null
  [ "$(of_file /merged/index .read_bytes)" -eq $((4 << 20)) ]
  [ "$(of_file /merged/index .device_read_bytes)" -eq $((4 << 20)) ]
}
