#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Waits for locks, against what the programs measured themselves: who waits where, and who had the
# lock where. Read from the trace by a reader of its own.

bats_require_minimum_version 1.5.0
load capture

setup() {
  capture_setup
  needs jq
  work=$BATS_TEST_TMPDIR
  python_versions=$("$ROOT/tests/python/interpreters.sh")
}

# record COMMAND…: its output in $work/answer, what the trace tells in $work/locks.
record() {
  "$ragprof" run --no-shim -o "$work/t.ragprof" --force -- "$@" >"$work/answer" 2>"$work/log"
  python3 "$ROOT/tests/lock_reader.py" "$work/t.ragprof" >"$work/locks"
}

# answer FILTER: a filter of jq over {answer, locks, waits} holds.
answer() {
  jq -e --slurpfile answer "$work/answer" '. + {answer: $answer[0]} |
    def near($of; $part): . > $of * (1 - $part) and . < $of * (1 + $part);
    def sum_ns: map(.total_ns) | add // 0;
    def at($name): map(select(any(.stack[]; endswith($name))) | .total_ns) | add // 0;
    '"$1" "$work/locks" || { jq -c . "$work/answer" "$work/locks" | cut -c 1-2000; return 1; }
}

hex_address() { printf '0x%x' "$(jq .address "$work/answer")"; }

@test "a convoy at a mutex: time waited, and both kinds of holders where they give it up" {
  for kind in plain recursive robust pi; do
    record "$workloads/lock_convoy" 2 4 "$kind"
    lock=$(hex_address)
    # each thread's own clock around the call
    answer "([.answer.threads[].wait_ns] | add) as \$own | .locks[\"$lock\"].wait | length == 4 and (sum_ns | near(\$own; 0.05))"
    answer "all(.locks[\"$lock\"].wait[]; (.stacks | at(\"wait_for_lock\")) >= .total_ns * 0.95)"
    answer ".answer.threads as \$threads | all(.locks[\"$lock\"].hold[]; .tid as \$tid |
      (\$threads[] | select(.tid == \$tid)) as \$thread |
      (.stacks | at(if \$thread.computes == 1 then \"hold_computing\" else \"hold_sleeping\" end)) >= .total_ns * 0.8)"
    # what is charged is what was waited, and the overlap of the program's own times says to whom
    answer ".locks[\"$lock\"] | (.wait | sum_ns) as \$waited | .hold | sum_ns | . <= \$waited * 1.01 and . >= \$waited * 0.5"
    # both give it up equally often, but who sleeps has it twice as long
    answer ".answer.threads as \$threads | (.locks[\"$lock\"].hold | group_by(.tid as \$tid | \$threads[] | select(.tid == \$tid).computes) | map(sum_ns)) | .[0] > .[1]"
  done
}

# expect NAME: one lock, of that name, with the program's time of its waiter, charged to its holder.
expect() {
  local name="$1$(hex_address)"
  answer ".locks | keys == [\"$name\"]"
  answer ".answer.wait_ns as \$own | .answer.waiter as \$tid | .locks[\"$name\"].wait | length == 1 and
    .[0].tid == \$tid and .[0].count >= 20 and .[0].count == .[0].in_buckets and (sum_ns | near(\$own; 0.05))"
  answer ".answer.holder as \$tid | .locks[\"$name\"] | (.wait | sum_ns) as \$waited |
    .hold | length == 1 and .[0].tid == \$tid and (sum_ns | near(\$waited; 0.1))"
}

@test "reader-writer locks and semaphores" {
  for kind in rwlock-writer rwlock-reader semaphore; do
    record "$workloads/lock_kinds" "$kind"
    expect "${kind%-*} "
    answer "[.locks[].hold[].stacks[]] | at(\"hold\") > 300e6"
    answer "[.locks[].wait[].stacks[]] | at(\"wait_for_it\") > 300e6"
  done
}

@test "a lock that is never given up is charged to the owner that it names" {
  record "$workloads/lock_kinds" timed
  expect ""
}

@test "an idle worker's condition, a barrier and a free lock are no contention" {
  for kind in condition barrier free; do
    record "$workloads/lock_kinds" "$kind"
    # the worker did sleep on a futex; what is left is the mutex of the queue for a moment
    [[ $kind == free ]] || answer ".waits[.answer.waiter | tostring].futex > 300e6"
    answer "[.locks[].wait[]] | sum_ns < 5e6"
  done
}

@test "Python's threading.Lock, by version" {
  for python in $python_versions; do
    record "$python" "$ROOT/tests/workloads/lock_python.py"
    answer '[.locks | to_entries[] | select(.key | startswith("semaphore")) | .value] |
      max_by(.wait | sum_ns) as $row | $row'
    answer '.answer as $answer | [.locks | to_entries[] | select(.key | startswith("semaphore")) | .value] |
      max_by(.wait | sum_ns) |
      (.wait | map(select(.tid == $answer.waiter)) | sum_ns | near($answer.wait_ns; 0.05)) and
      (.hold | map(select(.tid == $answer.holder)) | sum_ns > $answer.wait_ns * 0.9) and
      ([.wait[].stacks[]] | at("wait_for_lock") > $answer.wait_ns * 0.9) and
      ([.hold[].stacks[]] | at("hold_lock") > $answer.wait_ns * 0.9)'
  done
}

@test "a convoy for the interpreter's lock, by version" {
  for python in $python_versions; do
    record "$python" "$ROOT/tests/workloads/lock_gil.py" 2
    # exact: the accounts of waits are kept elsewhere
    answer '(.locks.GIL.wait | sum_ns) as $waited | [.waits[].GIL // 0] | add | near($waited; 0.05)'
    # with what they waited for besides, it is what the threads' own clocks say, but for what the
    # hypervisor took, which a thread's CPU clock leaves out: most of all from the one that computes
    answer '. as $all | all(.answer.threads[] | select(.kind == "giving way"); .off_cpu_ns as $own | .tid as $tid | $all.waits[$tid | tostring] |
      (del(.GIL) | add // 0) + ([$all.locks.GIL.wait[] | select(.tid == $tid)] | sum_ns) | . > $own - 1e8 and . < $own + 1e8)'
    # who computes is charged, where it does so; nothing is charged twice
    answer '(.answer.threads[] | select(.kind == "computing").tid) as $tid | .locks.GIL |
      (.hold | sum_ns) as $all | (.wait | sum_ns) as $waited | .hold | map(select(.tid == $tid)) |
      sum_ns as $computing | $computing > $all * 0.5 and $all <= $waited * 1.01 and ([.[].stacks[]] | at("compute") > $computing * 0.5)'
  done
}
