#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The demo service answers, finds what it should find and leaves nothing behind; the workloads do
# what their header comments promise. Nothing here needs privileges.

setup_file() {
  export ROOT="$BATS_TEST_DIRNAME/.."
  export PYTHON=${PYTHON:-/usr/bin/python3} PYTHONDONTWRITEBYTECODE=1
  export WORKLOADS="${RAGPROF_BUILD:-$ROOT/build}/workloads"
  "$PYTHON" -c 'import numpy, sqlite3' || return 0
  export TMPDIR="$BATS_FILE_TMPDIR"
  "$PYTHON" "$ROOT/tools/demo/server.py" >"$BATS_FILE_TMPDIR/ready" 2>"$BATS_FILE_TMPDIR/errors" 3>&- &
  export SERVER_PID=$!
  local start=$SECONDS
  until grep -q ^ready "$BATS_FILE_TMPDIR/ready"; do
    kill -0 "$SERVER_PID" || return 1
    [ $((SECONDS - start)) -lt 20 ] || return 1
    sleep 0.05
  done
  URL=$(awk '{ print $2 }' "$BATS_FILE_TMPDIR/ready")
  export URL
}

teardown_file() {
  [ -z "${SERVER_PID:-}" ] || kill "$SERVER_PID" 2>/dev/null || true
}

need_demo() {
  [ -n "${SERVER_PID:-}" ] || skip "$PYTHON has no numpy"
}

need_workloads() {
  [ -x "$WORKLOADS/shares" ] || skip "the workloads are not built: make workloads"
}

ask() {
  "$PYTHON" - "$URL" "$1" <<'PY'
import sys, urllib.request
request = urllib.request.Request(sys.argv[1] + "/query", sys.argv[2].encode())
try:
    print(urllib.request.urlopen(request).read().decode())
except urllib.error.HTTPError as error:
    print(error.code)
PY
}

# A question that is a document's own text must find that document.
@test "demo: a document's own sentences find it first" {
  need_demo
  question=$(cd "$ROOT/tools/demo" && "$PYTHON" -c '
import corpus, json
print(json.dumps({"question": corpus.documents(24000)[20123]}))')
  run ask "$question"
  [ "$status" -eq 0 ]
  [ "$(jq '.sources[0]' <<<"$output")" = 20123 ]
  [ "$(jq -r '.answer | split(" ") | length' <<<"$output")" -ge 20 ]
}

@test "demo: the second time a question is answered from the cache" {
  need_demo
  question='{"question": "Why does the cold oven need a spare flour near the dough?"}'
  [ "$(ask "$question" | jq .cached)" = false ]
  [ "$(ask "$question" | jq .cached)" = true ]
}

@test "demo: requests that are no question get status 400" {
  need_demo
  for body in '' '[]' '{"question": ""}' '{"question": 7}' 'not json'; do
    run ask "$body"
    [ "$output" = 400 ] || { echo "for '$body': $output"; false; }
  done
}

@test "demo: the driver counts what it asked" {
  need_demo
  run "$PYTHON" "$ROOT/tools/demo/drive.py" "$URL" -c 2 -d 2 --json
  echo "$output"
  [ "$status" -eq 0 ]
  # how many there are is the machine's business; each client asks at least once
  [ "$(jq '.failures == 0 and .queries >= 2 and .p50_ms <= .p95_ms' <<<"$output")" = true ]
  # the duration is rounded to a millisecond, the rate to a hundredth
  [ "$(jq '(.queries / .duration_s - .qps) | fabs < 0.01 + 0.001 * $q' --argjson q "$(jq .qps <<<"$output")" <<<"$output")" = true ]
}

@test "demo: the driver fails when the service is not there" {
  need_demo
  run "$PYTHON" "$ROOT/tools/demo/drive.py" http://127.0.0.1:1 -c 1 -d 0.3
  [ "$status" -eq 1 ]
}

@test "demo: SIGTERM ends it cleanly, with its child and its files" {
  need_demo
  child=$(pgrep -P "$SERVER_PID")
  [ -n "$child" ]
  kill -TERM "$SERVER_PID"
  for _ in $(seq 50); do
    kill -0 "$SERVER_PID" 2>/dev/null || break
    sleep 0.1
  done
  run kill -0 "$SERVER_PID"
  [ "$status" -ne 0 ]
  run kill -0 "$child"
  [ "$status" -ne 0 ]
  [ -z "$(find "$BATS_FILE_TMPDIR" -name 'ragprof-demo-*')" ]
  [ ! -s "$BATS_FILE_TMPDIR/errors" ]
}

@test "workloads: shares keeps to 50/30/15/5" {
  need_workloads
  run "$WORKLOADS/shares" 1
  [ "$status" -eq 0 ]
  [ "$(jq '[.half - 50, .third - 30, .sixth - 15, .rest - 5] | all(fabs < 0.2)' <<<"$output")" = true ]
}

@test "workloads: shares.py keeps to 50/30/15/5 and names its own lines" {
  run "$PYTHON" "$ROOT/tests/workloads/shares.py" 1
  [ "$status" -eq 0 ]
  [ "$(jq '.functions | [.half.pct - 50, .third.pct - 30, .sixth.pct - 15, .rest.pct - 5]
    | all(fabs < 0.2)' <<<"$output")" = true ]
  line=$(jq -r '.functions.third.lines | to_entries | max_by(.value).key' <<<"$output")
  sed -n "${line}p" "$ROOT/tests/workloads/shares.py" | grep -q 'third major'
}

@test "workloads: offcpu waits as often and as long as it says" {
  need_workloads
  run "$WORKLOADS/offcpu" 1
  [ "$status" -eq 0 ]
  [ "$(jq 'length == 7 and all(.[]; .count > 10 and .total_ns > 9e8 and .total_ns < 1.3e9)' \
    <<<"$output")" = true ]
  # 5 ms sleeps: at most 200 a second, and no fewer than a busy machine would allow.
  [ "$(jq '.wait_nanosleep.count <= 200 and .wait_nanosleep.count > 60' <<<"$output")" = true ]
}

@test "workloads: preempt's threads each get only part of the time" {
  need_workloads
  run "$WORKLOADS/preempt" 1
  [ "$status" -eq 0 ]
  [ "$(jq '.wall_ns as $wall | .cpu_ns | all(. > 0.05 * $wall and . < 0.95 * $wall)' <<<"$output")" = true ]
}

@test "workloads: forker and execer count their children and lives" {
  need_workloads
  run "$WORKLOADS/forker" 50
  [ "$output" = '{"children": 50, "failed": 0}' ]
  run "$WORKLOADS/execer" 2
  [ "$output" = '{"lives": 3}' ]
}

@test "workloads: the damaged variants are damaged as promised, and run" {
  need_workloads
  run readelf --wide --section-headers "$WORKLOADS/no_cfi"
  [[ "$output" != *.eh_frame* && "$output" != *.symtab* ]]
  run readelf --wide --section-headers "$WORKLOADS/stripped"
  [[ "$output" == *.eh_frame* && "$output" != *.symtab* ]]
  for name in broken_cfi deep_nofp; do
    objcopy -O binary --only-section .eh_frame "$WORKLOADS/$name" "$BATS_TEST_TMPDIR/$name"
  done
  run cmp -s "$BATS_TEST_TMPDIR/broken_cfi" "$BATS_TEST_TMPDIR/deep_nofp"
  [ "$status" -eq 1 ]
  for name in no_cfi stripped broken_cfi; do
    "$WORKLOADS/$name" 0.1
  done
}

@test "workloads: realign needs a CFA expression" {
  need_workloads
  readelf --debug-dump=frames "$WORKLOADS/realign" >"$BATS_TEST_TMPDIR/frames"
  grep -q 'DW_CFA_def_cfa_expression (DW_OP_breg6 (rbp): -8; DW_OP_deref)' "$BATS_TEST_TMPDIR/frames"
}
