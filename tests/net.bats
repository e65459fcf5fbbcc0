#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Sockets as the kernel's side counts them: against strace, the protocol's own counters, and programs
# that know what they did. Needs a kernel and a user that may load BPF.

bats_require_minimum_version 1.5.0
# shellcheck disable=SC2154 # set by capture.bash
load capture

setup() {
  capture_setup
}

teardown() {
  capture_teardown
}

# Records a mode of the workload; what it printed is in $output.
record() {
  run "$ragprof" run -q --no-shim -o "$trace" -- "$workloads/net" "$@"
  [ "$status" -eq 0 ]
  echo "$output"
}

# What the workload said of itself: said NAME [NUMBER].
said() {
  awk -v name="$1" -v number="${2:-1}" '$1 == name && ++seen == number { print $2 }' <<<"$output"
}

# A field of an operation on a peer: on PEER OPERATION FIELD.
on() {
  figure "[.peers[] | select(.peer == \"$1\") | .operations[] | select(.name == \"$2\") | .$3][0]"
}

is_near() { # FIGURE EXPECTED: within 5 %
  holds "$1 >= $2 * 0.95 && $1 <= $2 * 1.05"
}

# "sends bytes receives bytes" of sockets of a protocol, as strace names it, from its calls.
by_strace() {
  python3 - "$BATS_TEST_TMPDIR/calls" "$1" <<'PY'
import re, sys
sends = {"write", "writev", "sendto", "sendmsg", "sendmmsg", "sendfile"}
receives = {"read", "readv", "recvfrom", "recvmsg", "recvmmsg"}
counts = [0, 0, 0, 0]
for line in open(sys.argv[1]):
    call = re.match(r"(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)", line)
    if not call:
        continue
    name, arguments, result = call[1], call[2], int(call[3])
    place = arguments
    if name == "splice":  # a pipe is on one side
        out = re.match(r"[^,]*, [^,]*, (\d+<.*)", arguments)[1]
        name, place = ("write", out) if out.split("<")[1].startswith(sys.argv[2]) else ("read", arguments)
    if not re.match(r"\d+<" + sys.argv[2], place) or name not in sends | receives:
        continue
    at = 0 if name in sends else 2
    counts[at] += 1
    if name.endswith("mmsg"):
        counts[at + 1] += sum(map(int, re.findall(r"msg_len=(\d+)", arguments)))
    elif result > 0:
        counts[at + 1] += result
print(*counts)
PY
}

# The same of the peers whose name begins with a word.
by_report() {
  figure "[.peers[] | select(.peer | startswith(\"$1 \")) | .operations[]] | [
    ([.[] | select(.name == \"send\") | .count] | add), ([.[] | select(.name == \"send\") | .bytes] | add),
    ([.[] | select(.name == \"receive\") | .count] | add), ([.[] | select(.name == \"receive\") | .bytes] | add)
    ] | map(. // 0 | tostring) | join(\" \")"
}

is_as_strace_says() { # MODE PROTOCOL-OF-STRACE WORD
  needs strace
  strace -f -yy -s 8 -o "$BATS_TEST_TMPDIR/calls" "$workloads/net" "$1" 50
  record "$1" 50
  local expected counted
  expected=$(by_strace "$2")
  counted=$(by_report "$3")
  echo "strace: $expected; ours: $counted"
  [ "${expected%% *}" -ge 50 ]
  [ "$counted" = "$expected" ]
}

@test "tcp: calls and bytes of every call that moves some are those of strace" {
  is_as_strace_says v4 TCP tcp
  local port
  port=$(said port)
  [ "$(on "tcp 127.0.0.1:$port" send bytes)" -eq $((50 * (10 + 20 + 160 + 160 + 480 + 2000))) ]
  [ "$(on "tcp 127.0.0.1 (to port $port)" receive bytes)" -eq $((50 * 2830)) ]
  [ "$(on "tcp 127.0.0.1:$port" connect count)" -eq 1 ]
  [ "$(on "tcp 127.0.0.1 (to port $port)" accept count)" -eq 1 ]
  [ "$(on "tcp 127.0.0.1 (to port $port)" receive 'by_error[0].error')" = EAGAIN ]
}

@test "tcp over IPv6: the same" {
  is_as_strace_says v6 TCPv6 tcp
  [ "$(on "tcp [::1]:$(said port)" send bytes)" -eq $((50 * 2830)) ]
}

@test "a v4 client of a v6 socket goes by its v4 address" {
  record mapped 30
  [ "$(on "tcp 127.0.0.1:$(said port)" send bytes)" -eq 300 ]
  [ "$(on "tcp 127.0.0.1 (to port $(said port))" receive bytes)" -eq 300 ]
}

@test "unix: streams by path and abstract name, pairs and datagrams" {
  is_as_strace_says unix UNIX unix
  [ "$(on "unix $(said path)" send bytes)" -eq $((50 * 12)) ]
  [ "$(on "unix @ragprof-net" receive bytes)" -eq $((50 * 12)) ]
  [ "$(on "unix (unnamed)" send count)" -eq 100 ]
  [ "$(on "unix $(said datagrams)" send bytes)" -eq 250 ]
  [ "$(on "unix $(said path)" connect count)" -eq 1 ]
}

@test "udp: connected or not, and a server's clients by host" {
  is_as_strace_says udp UDP udp
  [ "$(on "udp 127.0.0.1:$(said port)" send bytes)" -eq $((50 * 11)) ]
  [ "$(on "udp 127.0.0.1 (to port $(said port))" receive bytes)" -eq $((50 * 11)) ]
}

@test "a connection for each request: two servers in turn are not mixed up" {
  record per-request 300
  local i port
  for i in 1 2; do
    port=$(said port $i)
    [ "$(on "tcp 127.0.0.1:$port" connect count)" -eq 300 ]
    [ "$(on "tcp 127.0.0.1:$port" send bytes)" -eq 2700 ]
    [ "$(on "tcp 127.0.0.1:$port" receive bytes)" -eq 1800 ]
    [ "$(on "tcp 127.0.0.1 (to port $port)" accept count)" -eq 300 ]
    [ "$(on "tcp 127.0.0.1 (to port $port)" receive bytes)" -eq 2700 ]
  done
}

@test "refused connections are errors by name" {
  record refused 40
  [ "$(on "tcp 127.0.0.1:$(said port)" connect count)" -eq 40 ]
  [ "$(on "tcp 127.0.0.1:$(said port)" connect 'by_error[0] | "\(.error) \(.count)"')" = "ECONNREFUSED 40" ]
}

@test "a connect that does not wait takes until it is connected, and its packet was sent again" {
  record slow-connect
  local peer
  peer="tcp 127.0.0.1:$(said port)"
  [ "$(on "$peer" connect count)" -eq 2 ]
  [ "$(on "$peer" connect errors)" -eq 0 ]
  holds "$(said ms) > 900"
  is_near "$(on "$peer" connect max_ms)" "$(said ms)"
  [ "$(on "$peer" retransmit count)" -eq 1 ]
  on "$peer" connect 'stacks[0].path' | grep -q 'connect_without_waiting'
}

@test "a delayed acknowledgement shows in the receives, with the right time and stack" {
  record delayed-ack 25
  local peer
  peer="tcp 127.0.0.1:$(said port)"
  holds "$(said ms) >= 25 * 35" # else the kernel did not put it off
  [ "$(on "$peer" receive count)" -eq 25 ]
  is_near "$(on "$peer" receive total_ms)" "$(said ms)"
  on "$peer" receive 'stacks[0].path' | grep -q 'mode_delayed_ack → wait_for_reply → '
  is_near "$(on "$peer" receive 'stacks[0].total_ms')" "$(said ms)"
}

@test "packets sent again are those that the kernel counts" {
  record retransmit
  [ "$(said retransmits)" -ge 2 ]
  [ "$(on "tcp 127.0.0.1:$(said port)" retransmit count)" -eq "$(said retransmits)" ]
}

# ---- look-ups ----

# Records net_dns.py in a network of its own, with the resolver that it brings.
look_up() {
  needs unshare
  unshare -n -m true 2>/dev/null || skip "no namespaces may be made here"
  [ -x /usr/bin/python3 ] || skip "/usr/bin/python3 is not installed"
  printf 'nameserver 127.0.0.1\noptions timeout:5 attempts:1\n' >"$BATS_TEST_TMPDIR/resolv.conf"
  echo 'hosts: files dns' >"$BATS_TEST_TMPDIR/nsswitch.conf"
  # shellcheck disable=SC2016 # for the inner shell
  run "$ragprof" run -q --no-shim -o "$trace" -- unshare -n -m sh -c '
    ip link set lo up && mount --bind "$1/resolv.conf" /etc/resolv.conf &&
      mount --bind "$1/nsswitch.conf" /etc/nsswitch.conf && exec /usr/bin/python3 "$2" "$3"' \
    sh "$BATS_TEST_TMPDIR" "$ROOT/tests/workloads/net_dns.py" "$1"
  [ "$status" -eq 0 ]
  echo "$output"
}

@test "look-ups: two on one socket, each from its query to its answer" {
  look_up late
  local server="udp 127.0.0.1:53"
  [ "$(on "$server" dns count)" -eq 2 ]
  [ "$(on "$server" dns errors)" -eq 0 ]
  holds "$(on "$server" dns p50_ms) >= 60"
  holds "$(on "$server" dns max_ms) <= $output * 1000"
  on "$server" dns 'stacks[0].path' | grep -q 'look_up_name'
}

@test "look-ups: one without an answer is a time-out of 5 s, with its stack" {
  look_up deaf
  local server="udp 127.0.0.1:53" errors
  errors=$(on "$server" dns errors)
  holds "$output >= 5"
  [ "$errors" -ge 1 ]
  is_near "$errors * 5" "$output" # each was waited for
  [ "$(on "$server" dns 'by_error[0] | "\(.error) \(.count)"')" = "ETIMEDOUT $errors" ]
  is_near "$(on "$server" dns max_ms)" 5000
  on "$server" dns 'stacks[0].path' | grep -q 'look_up_name'
}

@test "look-ups: the trace has no word of the names" {
  look_up late
  python3 - "$ROOT/tests" "$trace" >"$BATS_TEST_TMPDIR/strings" <<'PY'
import sys
sys.path.insert(0, sys.argv[1])
import trace_reader
trace = trace_reader.Trace()
trace.read(open(sys.argv[2], "rb").read())
print(vars(trace))
PY
  grep -q 'udp 127.0.0.1:53' "$BATS_TEST_TMPDIR/strings"
  run ! grep -q 'service.example' "$BATS_TEST_TMPDIR/strings"
}
