#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The command line as a user meets it: dispatch, help, man pages, completion, outputs, exit codes.

# shellcheck disable=SC2154 # status and output come from bats
setup() {
  cd "$BATS_TEST_DIRNAME/.."
  build=${RAGPROF_BUILD:-$PWD/build}
  ragprof=$build/ragprof
  export NO_COLOR=1
  trace=$BATS_TEST_TMPDIR/t.ragprof
}

make_trace() {
  [ -x "$build/workloads/make_trace" ] || skip "make_trace is not built (make test builds it)"
  "$build/workloads/make_trace" "$trace" --samples 2000 --threads 2
}

# bats' run merges the streams; these keep them apart.
separately() {
  status=0
  "$@" >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" </dev/null || status=$?
  out=$(<"$BATS_TEST_TMPDIR/out") err=$(<"$BATS_TEST_TMPDIR/err")
}

commands() {
  "$ragprof" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'
}

needs() {
  command -v "$1" >/dev/null || skip "$1 is not installed"
}

@test "no command: help on standard error, exit 2" {
  separately "$ragprof"
  [ "$status" -eq 2 ]
  [ -z "$out" ]
  [[ $err == *"Usage: ragprof COMMAND"* ]]
}

@test "--version names version, commit and formats" {
  separately "$ragprof" --version
  [ "$status" -eq 0 ]
  [[ $out =~ ^ragprof\ [0-9]+\.[0-9]+\.[0-9]+$'\n' ]]
  [[ $out == *"commit"* && $out == *"json"* && $out == *"folded"* ]]
  [ -z "$err" ]
}

@test "help COMMAND and COMMAND --help say the same, on standard output, exit 0" {
  [ "$(commands | wc -l)" -ge 5 ]
  for command in $(commands); do
    separately "$ragprof" help "$command"
    [ "$status" -eq 0 ]
    [[ $out == "Usage: ragprof $command"* ]]
    [[ $out == *"Exit codes:"* ]]
    [ "$out" = "$("$ragprof" "$command" --help)" ]
    [ "$out" = "$("$ragprof" "$command" -h)" ]
  done
}

@test "help fits 100 columns and shows no hidden option" {
  for command in $(commands); do
    # examples are commands: they are not wrapped
    run bash -c "'$ragprof' help $command | grep -v '^  [\$]' | LC_ALL=C.UTF-8 awk 'length > 100'"
    [ -z "$output" ]
  done
  run bash -c "'$ragprof' help help | grep -- '--man\|--names'"
  [ "$status" -eq 1 ]
}

@test "unknown commands and options: one clear line, a suggestion, exit 2" {
  local -A expected=(
    [reprot]="unknown command 'reprot': did you mean 'report'?"
    [xyzzyx]="unknown command 'xyzzyx'"
    [--quiet]="unknown option '--quiet': options stand behind the command's name"
    ["report --formta json x"]="unknown option '--formta': did you mean --format?"
    ["report --form json x"]="unknown option '--form': did you mean --format?"
    ["report -f xml x"]="option --format: 'xml' is not valid: expected one of text, json, markdown"
    ["report"]="which trace FILE?"
    ["report a b"]="one FILE at a time, found also 'b'"
    ["report -n 0 x"]="option --top: expected 1 to 100000"
    ["flame --kind x y"]="option --kind: 'x' is not valid: expected one of cpu, off-cpu, wall, alloc, live, leak, peak, syscall, io, block, fault, lock, gil"
    ["flame -q -v x"]="--quiet and --verbose exclude each other"
    ["help nothing"]="unknown command 'nothing'"
    ["completion tcsh"]="no completion for 'tcsh': expected one of bash, zsh, fish"
    ["doctor 12"]="unexpected operand '12' (a process is named by -p)"
  )
  for words in "${!expected[@]}"; do
    # shellcheck disable=SC2086
    separately "$ragprof" $words
    [ "$status" -eq 2 ]
    [ -z "$out" ]
    [ "${err%%$'\n'*}" = "ragprof: ${expected[$words]}" ]
    [[ $err == *"see 'ragprof help"* ]]
  done
}

@test "files that are no trace: one line that names the file, exit 1" {
  echo "not a trace" >"$BATS_TEST_TMPDIR/foreign"
  : >"$BATS_TEST_TMPDIR/empty"
  for file in "$BATS_TEST_TMPDIR"/{foreign,empty,absent} "$BATS_TEST_TMPDIR"; do
    for command in report "flame -f folded" flame; do
      # shellcheck disable=SC2086
      separately "$ragprof" $command "$file"
      [ "$status" -eq 1 ]
      [ -z "$out" ]
      [ "$(wc -l <<<"$err")" -eq 1 ]
      [[ $err == "ragprof: "*"${file##*/}"* ]]
    done
  done
  run ls "$BATS_TEST_TMPDIR"
  [[ $output != *html* ]]
}

@test "report: every format that help names can be written" {
  make_trace
  formats=$("$ragprof" help report | sed -n 's/.*what to write: \([a-z|]*\).*/\1/p')
  [ "$formats" = "text|json|markdown" ]
  for format in ${formats//|/ }; do
    separately "$ragprof" report -f "$format" "$trace"
    [ "$status" -eq 0 ]
    [ -n "$out" ]
    [ -z "$err" ]
  done
  "$ragprof" report -f json "$trace" | jq -e '.schema == "ragprof.report/1"'
}

@test "flame: html and svg go beside the trace, folded to standard output" {
  make_trace
  for format in html svg; do
    separately "$ragprof" flame -f "$format" "$trace"
    [ "$status" -eq 0 ]
    [ -z "$out" ]
    [[ $err == *"${trace%.ragprof}.$format"* ]]
    [ "$(stat -c %a "${trace%.ragprof}.$format")" = 600 ]
  done
  separately "$ragprof" flame -f folded "$trace"
  [ "$status" -eq 0 ]
  ! grep -vqE '^.+ [0-9]+$' <<<"$out"
  [ -z "$err" ]
}

@test "flame -q says nothing; -o - writes to standard output; another name gets the extension added" {
  make_trace
  cp "$trace" "$BATS_TEST_TMPDIR/other"
  separately "$ragprof" flame -q "$BATS_TEST_TMPDIR/other"
  [ "$status" -eq 0 ]
  [ -z "$out$err" ]
  [ -s "$BATS_TEST_TMPDIR/other.html" ]
  separately "$ragprof" flame -o - "$trace"
  [ "$status" -eq 0 ]
  cmp "$BATS_TEST_TMPDIR/out" "$BATS_TEST_TMPDIR/other.html" || [[ $out == "<!"* ]]
}

@test "an existing output is kept unless --force; a failed one leaves nothing" {
  make_trace
  echo precious >"$BATS_TEST_TMPDIR/kept"
  separately "$ragprof" report -o "$BATS_TEST_TMPDIR/kept" "$trace"
  [ "$status" -eq 1 ]
  [[ $err == *"exists already"*"--force"* ]]
  [ "$(<"$BATS_TEST_TMPDIR/kept")" = precious ]
  separately "$ragprof" report --force -o "$BATS_TEST_TMPDIR/kept" "$trace"
  [ "$status" -eq 0 ]
  ! grep -q precious "$BATS_TEST_TMPDIR/kept"
  [ "$(stat -c %a "$BATS_TEST_TMPDIR/kept")" = 600 ]

  ln -s nowhere "$BATS_TEST_TMPDIR/link"
  separately "$ragprof" report -o "$BATS_TEST_TMPDIR/link" "$trace"
  [ "$status" -eq 1 ]
  [ ! -e "$BATS_TEST_TMPDIR/nowhere" ]

  mkdir "$BATS_TEST_TMPDIR/dir"
  separately "$ragprof" report -o "$BATS_TEST_TMPDIR/dir" "$trace"
  [ "$status" -eq 1 ]
  separately "$ragprof" report -o "$BATS_TEST_TMPDIR/dir/x" "$BATS_TEST_TMPDIR/kept"
  [ "$status" -eq 1 ]
  [ -z "$(ls "$BATS_TEST_TMPDIR/dir")" ]
}

@test "a full disk is an error; a reader that leaves is exit 1 without a message" {
  make_trace
  status=0
  "$ragprof" report "$trace" >/dev/full 2>"$BATS_TEST_TMPDIR/err" || status=$?
  [ "$status" -eq 1 ]
  grep -q "No space left" "$BATS_TEST_TMPDIR/err"
  [ "$(wc -l <"$BATS_TEST_TMPDIR/err")" -eq 1 ]
  separately "$ragprof" report -o /dev/full "$trace"
  [ "$status" -eq 1 ]
  [[ $err == *"No space left"* ]]
  status=0
  "$ragprof" help >/dev/full 2>"$BATS_TEST_TMPDIR/err" || status=$?
  [ "$status" -eq 1 ]
  grep -q "No space left" "$BATS_TEST_TMPDIR/err"

  # the reader's end is closed before anything is written
  mkfifo "$BATS_TEST_TMPDIR/fifo"
  status=0
  bash -c 'exec 3<>"$1" 4>"$1" 3<&-; "$2" report "$3" >&4' - "$BATS_TEST_TMPDIR/fifo" "$ragprof" "$trace" \
    2>"$BATS_TEST_TMPDIR/err" || status=$?
  [ "$status" -eq 1 ]
  [ ! -s "$BATS_TEST_TMPDIR/err" ]
}

@test "a trace that was cut is rendered up to the cut, with a warning" {
  make_trace
  size=$(stat -c %s "$trace")
  truncate -s $((size - 20)) "$trace"
  separately "$ragprof" report -f json "$trace"
  [ "$status" -eq 0 ]
  [[ $err == *"warning"*"incomplete"* ]]
  jq -e . <<<"$out" >/dev/null
}

@test "closed standard descriptors do not end up in files" {
  make_trace
  "$ragprof" flame -o "$BATS_TEST_TMPDIR/x.html" "$trace" <&- >&- 2>&-
  ! grep -q "ragprof: flame graph" "$BATS_TEST_TMPDIR/x.html"
}

@test "colours only where asked" {
  make_trace
  escape=$'\033'
  unset NO_COLOR
  [[ $("$ragprof" report "$trace") != *"$escape"* ]]
  [[ $("$ragprof" report --color=always "$trace") == *"$escape"* ]]
  if command -v script >/dev/null; then
    [[ $(TERM=xterm script -qec "$ragprof report $trace" /dev/null) == *"$escape"* ]]
    [[ $(TERM=xterm NO_COLOR=1 script -qec "$ragprof report $trace" /dev/null) != *"$escape"* ]]
    [[ $(TERM=dumb script -qec "$ragprof report $trace" /dev/null) != *"$escape"* ]]
    [[ $(TERM=xterm script -qec "$ragprof report --color=never $trace" /dev/null) != *"$escape"* ]]
  fi
}

@test "man pages: one per command, without complaints" {
  needs mandoc
  for name in ragprof $(commands | sed 's/^/ragprof-/'); do
    [ -s "$build/man/$name.1" ]
    run mandoc -T lint -W warning "$build/man/$name.1"
    [ -z "$output" ]
    mandoc -T ascii "$build/man/$name.1" | col -b | grep -q "EXIT STATUS"
  done
  mandoc -T ascii "$build/man/ragprof-report.1" | col -b | grep -qe '--format=FORMAT'
}

complete_bash() { # WORDS...: prints what is offered for the last one
  bash -c '
    source "$1"
    shift
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    _ragprof
    printf "%s\n" "${COMPREPLY[@]}" | sort | paste -sd " "
  ' - "$build/completion/ragprof.bash" "$@"
}

@test "bash completion offers commands, options, values and files" {
  cd "$BATS_TEST_TMPDIR"
  touch one.ragprof
  [ "$(complete_bash ragprof rep)" = report ]
  [ "$(complete_bash ragprof --v)" = --version ]
  [ "$(complete_bash ragprof report --fo)" = "--force --format" ]
  [ "$(complete_bash ragprof report --format '')" = "json markdown text" ]
  [ "$(complete_bash ragprof report -f j)" = json ]
  [ "$(complete_bash ragprof report --format =)" = "json markdown text" ]
  [ "$(complete_bash ragprof report --format = m)" = markdown ]
  [ "$(complete_bash ragprof flame --kind o)" = off-cpu ]
  [ "$(complete_bash ragprof flame --color n)" = never ]
  [ "$(complete_bash ragprof report on)" = one.ragprof ]
  [ "$(complete_bash ragprof report -o on)" = one.ragprof ]
  [ "$(complete_bash ragprof help fl)" = flame ]
  [ "$(complete_bash ragprof completion z)" = zsh ]
  [[ " $(complete_bash ragprof doctor -p '') " == *" $$ "* ]]
  [[ " $(complete_bash ragprof attach '') " == *" $$ "* ]]
  [ "$(complete_bash ragprof attach --dur)" = --duration ]
  [[ " $(complete_bash ragprof run -- print) " == *" printf "* ]]
  [ "$(complete_bash ragprof run -- cat one)" = one.ragprof ]
  [ -z "$(complete_bash ragprof report --top '')" ]
}

@test "bash completion works in an interactive shell" {
  needs script
  cd "$BATS_TEST_TMPDIR"
  # shellcheck disable=SC2016
  printf 'PATH=%s:$PATH\nPS1=\nsource %s\n' "$build" "$build/completion/ragprof.bash" >rc
  printf 'ragprof flame --ver\tx\nexit\n' >typed
  run timeout 10 script -qec "bash --noprofile --rcfile rc -i" /dev/null <typed
  # completed to --verbose with a blank behind it; then x is an operand: no such trace
  [[ $output == *"--verbose x"* ]]
}

@test "zsh and fish accept their completion scripts" {
  local found=
  if command -v zsh >/dev/null; then
    zsh -n "$build/completion/ragprof.zsh"
    found=1
  fi
  if command -v fish >/dev/null; then
    fish -n "$build/completion/ragprof.fish"
    run fish -c "source $build/completion/ragprof.fish; complete -C 'ragprof report --format '"
    [[ $output == *json* && $output == *markdown* ]]
    found=1
  fi
  [ -n "$found" ] || skip "neither zsh nor fish is installed"
}

@test "doctor: the exit code and the JSON agree; unprivileged says what is missing" {
  separately "$ragprof" doctor --json
  expected=$([ "$status" -eq 0 ] && echo true || echo false)
  [ "$(jq .attach_works <<<"$out")" = "$expected" ]
  [ "$(jq -r .schema <<<"$out")" = ragprof.doctor/1 ]
  jq -e '[.checks[].status] | all(. == "ok" or . == "limited" or . == "missing" or . == "info")' <<<"$out"
  [ "$(jq -r '.checks[] | select(.name == "kernel") | .value' <<<"$out")" = "Linux $(uname -r)" ]

  [ "$(id -u)" -eq 0 ] || skip "not root: nothing to drop"
  needs setpriv
  cp "$ragprof" "$BATS_TEST_TMPDIR/ragprof"
  chmod 755 "$BATS_TEST_TMPDIR/ragprof"
  open_path "$BATS_TEST_TMPDIR"
  separately setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --bounding-set=-all \
    "$BATS_TEST_TMPDIR/ragprof" doctor
  [ "$status" -eq 1 ]
  [[ $out == *"missing"*"CAP_BPF"*"sudo"* ]]
  [[ $out == *"attach would fail"* ]]
}

# Other users may pass through the folders above.
open_path() {
  local folder=$1
  while [ "$folder" != /tmp ] && [ "$folder" != / ]; do
    chmod o+x "$folder"
    folder=$(dirname "$folder")
  done
}

@test "doctor -p: a process, a kernel thread, nobody" {
  sleep 30 &
  target=$!
  separately "$ragprof" doctor --json -p "$target"
  kill "$target"
  [ "$(jq -r '.checks[] | select(.name == "process") | .status' <<<"$out")" = ok ]
  [[ $(jq -r '.checks[] | select(.name == "executable") | .value' <<<"$out") == */sleep* ||
    $(jq -r '.checks[] | select(.name == "executable") | .value' <<<"$out") == */coreutils* ]]

  wait "$target" || true
  separately "$ragprof" doctor -p "$target"
  [ "$status" -eq 1 ]
  [[ $out == *"no such process"* ]]

  if [ -r /proc/2/status ] && ! grep -q '^VmSize' /proc/2/status; then
    separately "$ragprof" doctor -p 2
    [ "$status" -eq 1 ]
    [[ $out == *"kernel thread"* ]]
  fi
}

@test "doctor -p names the version of a Python target" {
  python=/usr/bin/python3
  [ -x "$python" ] || skip "$python is not installed"
  "$python" -c 'import time; print("up", flush=True); time.sleep(30)' >"$BATS_TEST_TMPDIR/up" &
  target=$!
  for _ in $(seq 50); do [ -s "$BATS_TEST_TMPDIR/up" ] && break; sleep 0.1; done
  separately "$ragprof" doctor --json -p "$target"
  kill "$target"
  version=$("$python" -c 'import platform; print(platform.python_version())')
  [[ $(jq -r '.checks[] | select(.name == "runtime") | .value' <<<"$out") == "CPython $version in "* ]]
}

@test "install puts program, man pages, completions and docs under PREFIX; uninstall removes them" {
  root=$BATS_TEST_TMPDIR/root
  make -s B="$build" install DESTDIR="$root" PREFIX=/usr
  "$root/usr/bin/ragprof" --version
  [ -s "$root/usr/share/man/man1/ragprof.1" ]
  [ -s "$root/usr/share/man/man1/ragprof-report.1" ]
  [ -s "$root/usr/share/bash-completion/completions/ragprof" ]
  [ -s "$root/usr/share/doc/ragprof/README.md" ]
  make -s B="$build" uninstall DESTDIR="$root" PREFIX=/usr
  [ -z "$(find "$root" -type f)" ]
}
