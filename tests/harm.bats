#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Programs behave and exit the same with the shim as without it. Each is run twice, bare and with
# everything on. RAGPROF_SOAK=1 adds what takes minutes: all interpreters' own tests, longer loads.

load heap.bash

setup() {
  heap_setup
  [ "$(id -u)" = 0 ] && is_root=1 || is_root=
}
teardown() { heap_teardown; }

all="alloc=every python=every calls=1 cpu=199"

# The same output, error output and exit status; and the shim was there, in at least $least processes.
same() {
  local bare=0 shimmed_status=0
  "$@" >"$scratch/bare.out" 2>"$scratch/bare.err" </dev/null || bare=$?
  shimmed "${keys:-$all}"
  "${shim[@]}" "$@" >"$scratch/shim.out" 2>"$scratch/shim.err" </dev/null || shimmed_status=$?
  equal "$bare" "$shimmed_status" "exit status of $*"
  diff "$scratch/bare.out" "$scratch/shim.out"
  diff "$scratch/bare.err" "$scratch/shim.err"
  was_there "${least:-1}" "$*"
}

was_there() {
  local count
  count=$(regions '.processes | length')
  ((count >= $1)) || { echo "$2: $count regions, at least $1 expected" && false; }
}

harm() { same "$workloads/heap_harm" "$@"; }

@test "threads with 16 KiB of stack" { harm small_stacks; }
@test "signal handlers on an alternate stack" { harm alternate_stack; }
@test "longjmp out of callers and of signal handlers" { harm long_jumps; }
@test "stacks that the program made itself" { harm contexts; }
@test "2,000 threads that come and go" { harm many_threads; }
@test "threads that are cancelled" { harm cancelled_threads; }
@test "fork while other threads allocate" { least=101 harm fork_among_threads; }
@test "a burst of 500 short children" { least=501 harm short_children; }
@test "a tree of 85 processes" { least=85 harm fork_tree; }
@test "vfork and posix_spawn" { least=50 harm vfork_and_spawn; }
@test "exec from a thread" { least=2 harm exec_from_thread; }
@test "exec without an environment" { harm exec_without_environment; }

@test "200 execs while the CPU timer fires 10,000 times a second" {
  keys="alloc=every python=off calls=1 cpu=10000" least=200 harm exec_chain 200
}

@test "a daemon that closed its descriptors" { least=2 harm daemonised; }
@test "descriptors are numbered as ever" { harm descriptors; }
@test "_exit, abort, SIGKILL, a fault, quick_exit, and main gone first" {
  local end
  for end in exit abort kill fault quick_exit; do
    harm "end_by_$end"
    # 16 blocks live at once at most, 100 in all, as the program says, however it ended
    ((end == abort)) || [ "$(sums malloc | cut -d ' ' -f 1)" -ge 100 ]
  done
  harm end_in_thread
}
@test "limits on files and descriptors" { harm limits; }
@test "a seccomp filter that allows nothing but memory" { harm seccomp_filter; }
@test "seccomp's strict mode" { harm seccomp_strict; }
@test "500 loads and unloads of a library" { harm plugins "$workloads/lib/heap_plugin.so"; }

@test "little address space" {
  local kib
  # Twice what each needs without the shim, and less than the shim would like.
  for kib in 60000 120000 200000 400000; do
    same bash -c "ulimit -v $kib && exec '$workloads/heap_harm' address_space"
    same bash -c "ulimit -v $kib && exec /usr/bin/python3 -c 'print(sum(len(str(i)) for i in range(10000)))'"
  done
}

@test "a small limit on file sizes, from the start" {
  same bash -c "ulimit -f 1; ulimit -c 0; exec '$workloads/heap_harm' echo x"
  same bash -c "ulimit -n 32; exec '$workloads/heap_harm' echo x"
}

@test "static, 32-bit and set-user-ID children" {
  needs gcc
  printf 'int main(void) { return 7; }\n' | gcc -static -x c -o "$scratch/static" -
  printf 'void _start(void) { __asm__ volatile("movl $1, %%eax\\n movl $8, %%ebx\\n int $0x80"); }\n' |
    gcc -m32 -static -nostdlib -ffreestanding -fno-pie -no-pie -x c -o "$scratch/i386" - || echo "# no 32-bit compiler" >&3
  same bash -c "'$scratch/static'; echo \$?; '$scratch/i386' 2>/dev/null; echo \$?; cat /proc/self/comm | head -c 3"
  [ -u /usr/bin/su ] || skip "no set-user-ID program here"
  [ -n "$is_root" ] || same su --version
}

@test "the shell, make, perl and tar" {
  mkdir "$scratch/d"
  same bash -c 'for i in $(seq 50); do x=$(echo $i | sed s/1/2/ | sort); echo $x; done'
  same perl -e 'for (1 .. 30) { my $pid = fork; exit $_ % 5 unless $pid; waitpid $pid, 0; print $? >> 8, "\n" }'
  same tar -C "$ROOT" -cf - tests/workloads --sort=name --mtime=@0
}

# ---- Interpreters -----------------------------------------------------------------------------

# The interpreter's own tests: their result line and status, without their times.
own_tests() {
  local python=$1
  shift
  cd "$scratch" || return
  "$python" -m test -u none --randseed 1 "$@" 2>&1 | sed -n '/^Result:/p; /^test_.* failed/p; /^Total tests:/p; s/ in [0-9.]* .*//; /tests OK/p'
  echo "status ${PIPESTATUS[0]}"
}
export -f own_tests

python_own_tests() {
  local python=$1
  shift
  "$python" -c 'import test.test_threading' 2>/dev/null || return 0
  export scratch
  least=5 same bash -c "own_tests $python $*"
  echo "# $python: $(tr '\n' ';' <"$scratch/bare.out")" >&3
}

# One interpreter alone, but for the soak.
own_test_pythons() {
  local -a all=("${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3)
  [ -x "${all[0]}" ] || return 0
  [ -n "${RAGPROF_SOAK:-}" ] || all=("${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.11.*/bin/python3)
  printf '%s\n' "${all[@]}"
}

@test "Python's own tests of mmap and ctypes" {
  local python
  for python in $(own_test_pythons); do
    python_own_tests "$python" test_mmap test_ctypes
  done
  [ -n "$python" ] || skip "no pyenv interpreter here"
}

@test "Python's own tests of threading and subprocess" {
  [ -n "${RAGPROF_SOAK:-}" ] || skip "takes minutes: RAGPROF_SOAK=1"
  local python
  for python in $(own_test_pythons); do
    python_own_tests "$python" test_threading test_subprocess
  done
  [ -n "$python" ] || skip "no pyenv interpreter here"
}

@test "Python: many modules, and its allocator's debug modes" {
  local python
  for python in /usr/bin/python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3; do
    [ -x "$python" ] || continue
    # what the interpreters do not differ in, once in a short run
    [ -n "${RAGPROF_SOAK:-}" ] || [[ $python =~ ^/usr|3\.8|3\.11|3\.13 ]] || continue
    same "$python" "$ROOT/tests/workloads/heap_python.py" 5
    same "$python" -X dev "$ROOT/tests/workloads/heap_python.py" 2
    PYTHONMALLOC=malloc_debug same "$python" "$ROOT/tests/workloads/heap_python.py" 2
    same "$python" -X tracemalloc -c 'import tracemalloc, json, re; x = [bytes(100) for i in range(1000)]
tracemalloc.stop(); y = [bytes(100) for i in range(1000)]; del x; print(len(y))'
    same "$python" -c 'import concurrent.futures as f, multiprocessing as m
if __name__ == "__main__":
    with f.ProcessPoolExecutor(2) as p: print(sum(p.map(abs, range(50))))
    with f.ThreadPoolExecutor(8) as p: print(sum(p.map(abs, range(500))))'
    same "$python" -c 'import asyncio
async def work(i): await asyncio.sleep(0.001 * (i % 5)); return i
async def main(): print(sum(await asyncio.gather(*map(work, range(300)))))
asyncio.run(main())'
    same "$python" -c 'raise SystemExit(5)'
    same "$python" -c 'import os; os.kill(os.getpid(), 15)'
  done
}

@test "numpy with its BLAS threads" {
  /usr/bin/python3 -c 'import numpy' || skip "no numpy"
  same /usr/bin/python3 -c 'import numpy as n
a = n.arange(250000.0).reshape(500, 500) % 7
for i in range(20): a = (a @ a) % 11
print(a.sum())'
}

@test "node" {
  needs node
  same node -e 'let s = 0; const o = []; for (let i = 0; i < 300000; i++) { o.push({ i }); s += i; }
setTimeout(() => { console.log(s, o.length, Buffer.alloc(1e6).length); process.exit(4); }, 20);'
  same node -e 'const { Worker } = require("worker_threads"); let n = 0;
for (let i = 0; i < 4; i++) new Worker("require(\"worker_threads\").parentPort.postMessage(1)", { eval: true })
  .on("message", () => { if (++n === 4) console.log("workers", n); });'
}

@test "java" {
  needs java
  same java -version
  needs javac
  cat >"$scratch/Small.java" <<'JAVA'
import java.util.*;
public class Small {
  public static void main(String[] arguments) throws Exception {
    long[] sums = new long[4];
    Thread[] threads = new Thread[4];
    for (int t = 0; t < 4; t++) {
      final int mine = t;
      threads[t] = new Thread(() -> {
        for (int i = 0; i < 20000; i++) sums[mine] += new StringBuilder().append(i).append(new byte[i % 100].length).length();
      });
      threads[t].start();
    }
    for (Thread thread : threads) thread.join();
    System.out.println(Arrays.toString(sums));
    try { Object o = null; o.hashCode(); } catch (NullPointerException e) { System.out.println("caught"); }
    System.exit(6);
  }
}
JAVA
  javac -d "$scratch" "$scratch/Small.java"
  same java -cp "$scratch" Small
}

# ---- Servers ----------------------------------------------------------------------------------

wait_for() { # seconds command...
  local tries=$(($1 * 20))
  shift
  while ! "$@" >/dev/null 2>&1; do
    ((tries-- > 0)) || { echo "gave up waiting for: $*" && return 1; }
    sleep 0.05
  done
}

ends() { # waits for a child to end; says how
  local status=0
  wait_for 20 eval "grep -q '^State:.Z' /proc/$1/status || ! kill -0 $1"
  wait "$1" || status=$?
  echo "status $status"
}

redis_load() { # port prefix...
  local port=$1 pid
  shift
  "$@" redis-server --port "$port" --bind 127.0.0.1 --save '' --dir "$scratch" --daemonize no >"$scratch/redis.log" 3>&- &
  pid=$!
  pids+=("$pid")
  wait_for 10 redis-cli -p "$port" ping
  redis-benchmark -p "$port" -q -n "${requests:-20000}" -c 20 -t set,get,lpush,lrange_100,mset >/dev/null
  redis-cli -p "$port" eval 'local s = 0 for i = 1, 1000 do redis.call("set", "k" .. i, string.rep("x", i)) s = s + i end return s' 0
  redis-cli -p "$port" bgsave
  wait_for 10 eval "redis-cli -p $port info persistence | grep -q 'rdb_bgsave_in_progress:0'"
  redis-cli -p "$port" info persistence | grep -c 'rdb_last_bgsave_status:ok'
  redis-cli -p "$port" debug digest-value k10 | cat
  redis-cli -p "$port" shutdown nosave
  ends "$pid"
}

@test "redis-server under redis-benchmark" {
  needs redis-server
  needs redis-benchmark
  [ -z "${RAGPROF_SOAK:-}" ] || requests=500000
  redis_load 17391 >"$scratch/bare"
  shimmed "$all"
  redis_load 17392 "${shim[@]}" >"$scratch/shim"
  diff "$scratch/bare" "$scratch/shim"
  grep -qx 'status 0' "$scratch/shim" || { cat "$scratch/shim" && false; }
  was_there 2 redis # the server, and the child that saved
}

open_scratch() { # to other users
  local path
  for path in "$scratch" "${scratch%/*}" "${scratch%/*/*}"; do
    [ "$path" = /tmp ] || chmod a+rx "$path"
  done
}

nginx_load() { # port prefix...
  local port=$1 pid
  shift
  rm -rf "$scratch/www" && mkdir -p "$scratch/www/html" "$scratch/www/t"
  head -c 300000 /dev/zero | tr '\0' 'x' >"$scratch/www/html/large"
  echo hello >"$scratch/www/html/small"
  cat >"$scratch/www/nginx.conf" <<CONF
daemon off;
master_process on;
worker_processes 2;
error_log $scratch/www/error.log;
pid $scratch/www/pid;
events { worker_connections 64; }
http {
  access_log off; gzip on; gzip_types text/plain; gzip_min_length 1;
  client_body_temp_path $scratch/www/t/b; proxy_temp_path $scratch/www/t/p; fastcgi_temp_path $scratch/www/t/f;
  uwsgi_temp_path $scratch/www/t/u; scgi_temp_path $scratch/www/t/s;
  server { listen 127.0.0.1:$port; root $scratch/www/html; default_type text/plain; }
}
CONF
  "$@" nginx -p "$scratch/www" -c "$scratch/www/nginx.conf" 2>"$scratch/nginx.err" 3>&- &
  pid=$!
  pids+=("$pid")
  wait_for 10 curl -sf "http://127.0.0.1:$port/small"
  local i
  for ((i = 0; i < 50; i++)); do
    curl -s "http://127.0.0.1:$port/small" "http://127.0.0.1:$port/large" "http://127.0.0.1:$port/none" | cksum
    curl -s --compressed "http://127.0.0.1:$port/large" | cksum
  done | sort | uniq -c
  kill -HUP "$pid" # new workers, the old ones end
  sleep 0.5
  curl -s "http://127.0.0.1:$port/small"
  kill -QUIT "$pid"
  ends "$pid"
  grep -c 'exited on signal' "$scratch/www/error.log" || true
}

@test "nginx: master, workers of another user, reload" {
  needs nginx
  needs curl
  open_scratch
  nginx_load 17393 >"$scratch/bare"
  shimmed "$all"
  nginx_load 17394 "${shim[@]}" >"$scratch/shim"
  diff "$scratch/bare" "$scratch/shim"
  grep -qx 'status 0' "$scratch/shim" || { cat "$scratch/shim" && false; }
  was_there 5 nginx # the master, two workers, and two after the reload
}

postgres_load() { # port prefix...
  local port=$1 data=$scratch/pg-$1 i
  shift
  install -d -o postgres -m 700 "$data"
  local -a as=(setpriv --reuid postgres --regid postgres --clear-groups "$@")
  export LC_ALL=C.UTF-8
  cd /
  "${as[@]}" "$pg/initdb" -D "$data" -A trust -N --no-instructions 2>&1 | grep -v "$data" | cat
  "${as[@]}" "$pg/pg_ctl" -D "$data" -w -l "$data/log" -o "-p $port -k $data -c listen_addresses= -c fsync=off" start >/dev/null 3>&-
  "${as[@]}" "$pg/pgbench" -h "$data" -p "$port" -i -q postgres 2>/dev/null
  "${as[@]}" "$pg/pgbench" -h "$data" -p "$port" -c 4 -j 2 -t "${transactions:-100}" postgres 2>&1 | grep -E 'processed|failed'
  "${as[@]}" "$pg/psql" -h "$data" -p "$port" -Atc 'select count(*), sum(abalance) = (select sum(delta) from pgbench_history) from pgbench_accounts; set max_parallel_workers_per_gather = 2; set parallel_setup_cost = 0; set min_parallel_table_scan_size = 0; select count(distinct aid % 1000) from pgbench_accounts' postgres
  "${as[@]}" "$pg/pg_ctl" -D "$data" -w -m fast stop >/dev/null
  echo "status $?"
  for i in 1 2; do grep -cE 'PANIC|FATAL|signal' "$data/log" || true; done | head -n 1
}

@test "postgres: initdb and pgbench" {
  pg=$(compgen -G '/usr/lib/postgresql/*/bin' | tail -n 1) || skip "postgres is not installed"
  [ -n "$is_root" ] && id postgres >/dev/null 2>&1 || skip "needs root, to become the user postgres"
  [ -z "${RAGPROF_SOAK:-}" ] || transactions=5000
  open_scratch
  postgres_load 17395 >"$scratch/bare"
  shimmed "$all" postgres
  postgres_load 17396 "${shim[@]}" >"$scratch/shim"
  diff "$scratch/bare" "$scratch/shim"
  grep -qx 'status 0' "$scratch/shim" || { cat "$scratch/shim" && false; }
  was_there 15 postgres
}
