# SPDX-License-Identifier: GPL-2.0-or-later
# What the tests of captures share. Sourced by them.
# shellcheck shell=bash disable=SC2034,SC2154 # used by, and set in, the tests

capture_setup() {
  ROOT=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
  build=${RAGPROF_BUILD:-$ROOT/build}
  ragprof=$build/ragprof
  workloads=$build/workloads
  trace=$BATS_TEST_TMPDIR/t.ragprof
  export NO_COLOR=1 PYTHONDONTWRITEBYTECODE=1
  pids=()
  "$ragprof" doctor >/dev/null 2>&1 || skip "this host or user may not load BPF programs (see 'ragprof doctor')"
}

# Ends what `background` started.
capture_teardown() {
  local pid
  for pid in "${pids[@]}"; do
    kill "$pid" 2>/dev/null || continue
    wait "$pid" 2>/dev/null || true
  done
}

# Starts a command; its PID is in $pid.
background() {
  "$@" >"$BATS_TEST_TMPDIR/target.out" 2>"$BATS_TEST_TMPDIR/target.err" </dev/null 3>&- &
  pid=$!
  pids+=("$pid")
}

needs() {
  command -v "$1" >/dev/null || skip "$1 is not installed"
}

report() {
  "$ragprof" report -f json "$trace"
}

# One figure or text of the report, by a jq path.
figure() {
  report | jq -r "$1"
}

# holds EXPRESSION: a comparison that awk decides; the failing one is shown.
holds() {
  awk "BEGIN { exit !($1) }" || {
    echo "does not hold: $1"
    return 1
  }
}

# 99.5 % of on-CPU samples and 98 % of off-CPU stacks reach the first frame, of at least `$1` samples
# (so that the share means something; of waits, where there may be ten, one may always fall short).
is_complete() {
  local samples on waits off lost
  read -r samples on waits off lost < <(figure '[.capture.samples.on_cpu, .capture.samples.complete_pct,
    .capture.waits.off_cpu, .capture.waits.complete_pct, .capture.lost.samples + .capture.lost.stacks] |
    map(tostring) | join(" ")')
  echo "$samples samples, $on % complete; $waits waits, $off % complete; $lost lost"
  holds "$samples >= $1"
  holds "$on >= 99.5"
  holds "\"$off\" == \"null\" || $waits * (100 - ${off/null/100}) <= 100.5 || ${off/null/100} >= 98"
  holds "$lost == 0"
}

# Every interpreter to test, as paths: the system's, and those of pyenv.
pythons() {
  local home=${PYENV_ROOT:-$HOME/.pyenv} version
  [ ! -x /usr/bin/python3 ] || echo /usr/bin/python3
  for version in 3.8 3.9 3.10 3.11 3.12 3.13; do
    compgen -G "$home/versions/$version.*/bin/python3" | head -n 1
  done
}
