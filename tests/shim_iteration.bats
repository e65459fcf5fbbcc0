#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Iterations: a Python function's calls against the program's own count, and requests against what a
# client sent.

load heap.bash

setup() {
  heap_setup
  [ -n "$(pythons)" ] || skip "no CPython from 3.8 to 3.13 here"
  program=$ROOT/tests/workloads/iteration.py
}

teardown() {
  heap_teardown
}

# iterations SPEC COMMAND...: runs it, prints how many were counted
iterations() {
  shimmed "alloc=off python=off calls=${calls:-0} iteration=$1"
  shift
  "${shim[@]}" "$@" >"$scratch/out" || return
  "$ROOT/tests/region_reader.py" "$folder" | jq '[.processes[].iterations] | add'
}

# All names with one version of each way to count, some with the others.
@test "each way of calling a Python function is counted, exactly, in each version" {
  local python name names got
  for python in $(pythons); do
    names="step handler many"
    "$python" "$program" "$scratch/names"
    ! some_pythons | grep -qxF "$python" || names=$(jq -r 'keys[] | select(. != "<lambda>")' "$scratch/names")
    for name in $names; do
      got=$(iterations "py:$name" "$python" "$program" "$scratch/counts")
      equal "$(jq --arg name "$name" '.[$name]' "$scratch/counts")" "$got" "$python: $name"
    done
  done
}

@test "a function is told by its name, qualified name, module or file" {
  local python spec expected
  mkdir -p "$scratch/app/rag"
  printf 'def search():\n    pass\nclass Index:\n    def search(self):\n        pass\n' >"$scratch/app/rag/index.py"
  printf 'from rag.index import *\ndef search_all():\n    search(); Index().search(); Index().search()\n' \
    >"$scratch/app/rag/__init__.py"
  printf 'import rag\ndef search(): pass\nrag.search_all()\nsearch(); search(); search(); search()\n' >"$scratch/app/main.py"
  while read -r spec expected; do
    for python in $(pythons | sed -n '1p;$p'); do
      equal "$expected" "$(iterations "py:$spec" "$python" "$scratch/app/main.py")" "$python: $spec"
    done
  done <<'SPECS'
search 7
Index.search 2
rag.index.search 1
rag.index.Index.search 2
rag.search_all 1
__main__.search 4
index.py:search 3
rag/index.py:Index.search 2
main.py:search 4
ain.py:search 0
dex.Index.search 0
rag.search 0
earch 0
SPECS
}

@test "a counted function is what it was: its lines, its generators, its tracebacks, its tracing" {
  local python
  cat >"$scratch/same.py" <<'PYTHON'
import dis, inspect, sys, traceback, types

def step(a, b=2, *c, d, **e):
    """text"""
    def inner():
        return a, b
    try:
        if a:
            raise ValueError(a)
        for i in range(3):
            yield inner(), i
    finally:
        print("finally", a)

def fails():
    traced = []
    sys.settrace(lambda frame, event, argument: traced.append((event, frame.f_lineno, frame.f_code.co_name)))
    try:
        list(step(1, d=0))
    except ValueError:
        print([(f.name, f.lineno) for f in traceback.extract_tb(sys.exc_info()[2])])
    sys.settrace(None)
    print(traced)

fails()
print(list(step(0, d=1)))
print(inspect.signature(step), step.__doc__, step.__code__.co_varnames, step.__code__.co_firstlineno)
print([line for _, _, line in getattr(step.__code__, "co_lines", lambda: [])() if line][-1:])
g = step(0, d=1)
print(g.gi_frame.f_lineno, g.gi_frame.f_locals)
g.close()
sys.setrecursionlimit(3000)
depth = 0
def recurse():
    global depth
    depth += 1
    recurse()
try:
    recurse()
except RecursionError:
    print(depth)
PYTHON
  for python in $(pythons); do
    "$python" "$scratch/same.py" >"$scratch/expected"
    [ "$(iterations py:step "$python" "$scratch/same.py")" -ge 2 ]
    diff "$scratch/expected" "$scratch/out"
    # The last call may find no room for the call that counts.
    [ "$(iterations py:recurse "$python" "$scratch/same.py")" -ge 2900 ]
    diff <(sed '$d' "$scratch/expected") <(sed '$d' "$scratch/out")
    (($(tail -1 "$scratch/expected") - $(tail -1 "$scratch/out") <= 1))
  done
}

@test "calls in forked children and in new processes are counted where they are made" {
  local python
  cat >"$scratch/fork.py" <<'PYTHON'
import multiprocessing, os, sys
def step(i):
    return i
if __name__ == "__main__":
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            assert sum(pool.map(step, range(50), 5)) == 1225
            pool.close()
            pool.join()
    step(1)
PYTHON
  for python in $(pythons); do
    equal 101 "$(iterations "py:step" "$python" "$scratch/fork.py")" "$python"
  done
}

@test "what is no function, or not Python, is not an error" {
  [ "$(iterations py:nothing "$(pythons | head -1)" -c 'print(1)')" = 0 ]
  [ "$(iterations py: "$(pythons | head -1)" -c 'print(1)')" = 0 ]
  [ "$(iterations py:step true)" = 0 ]
}

# The server answers any request; the client below sends what it is told, in pieces.
serve_and_send() { # SPEC PYTHON SENDER
  cat >"$scratch/server.py" <<'PYTHON'
import http.server, os, socketserver, subprocess, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen = 0
    def do_GET(self):
        Handler.seen += 1
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    do_POST = do_PUT = do_GET
    def log_message(self, *arguments):
        pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
clean = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "RAGPROF_SHIM")}
subprocess.check_call([sys.executable, sys.argv[1], str(server.server_address[1])], env=clean)
print(Handler.seen)
PYTHON
  local got
  got=$(calls=1 iterations "$1" "$2" "$scratch/server.py" "$3")
  echo "$got $(cat "$scratch/out")"
}

@test "requests of a server in Python are counted as the server counts them" {
  cat >"$scratch/sender.py" <<'PYTHON'
import http.client, socket, sys, time
port = int(sys.argv[1])
connection = http.client.HTTPConnection("127.0.0.1", port)
for i in range(20):
    connection.request("GET", "/search?q=%d" % i)
    connection.getresponse().read()
connection.request("POST", "/ingest", body=b"GET /search HTTP/1.1\r\n\r\n" * 50)
connection.getresponse().read()
connection.close()
def ask(pieces):
    raw = socket.create_connection(("127.0.0.1", port))
    for piece in pieces:
        raw.sendall(piece)
        time.sleep(0.02)
    raw.shutdown(socket.SHUT_WR)
    while raw.recv(4096):
        pass
    raw.close()
request = b"GET /search HTTP/1.1\r\nHost: x\r\n\r\n"
ask([request[i:i + 3] for i in range(0, len(request), 3)])
ask([request * 7])
PYTHON
  local python
  for python in $(pythons | tail -1); do
    equal "29 29" "$(serve_and_send query "$python" "$scratch/sender.py")" "$python"
    equal "28 29" "$(serve_and_send http:/search "$python" "$scratch/sender.py")" "$python: path"
    equal "1 29" "$(serve_and_send 'http:/in*' "$python" "$scratch/sender.py")" "$python: prefix"
    equal "0 29" "$(serve_and_send http:/sear "$python" "$scratch/sender.py")" "$python: another"
  done
}

@test "reloaded, inherited, copied and wrapped functions are counted" {
  local python
  printf 'def step(): pass\nfor i in range(3): step()\n' >"$scratch/one.py" # 3 each time that it is loaded
  cat >"$scratch/two.py" <<'PYTHON'
import copy, functools, importlib, types
import one # 3
for i in range(4):
    importlib.reload(one) # 12
class C:
    def step(self): pass
    __call__ = step
class D(C):
    def step(self): super().step()
D().step(), D.step(D()) # 2 each
D()(), C.step(D()) # 1 each
made = types.FunctionType(one.step.__code__, {})
made(), made(), copy.copy(one.step)() # 3
cached = functools.lru_cache(None)(one.step)
cached(), cached() # 1
PYTHON
  for python in $(pythons); do
    equal 25 "$(iterations py:step "$python" "$scratch/two.py")" "$python"
    rm -rf "$scratch/__pycache__"
  done
}
