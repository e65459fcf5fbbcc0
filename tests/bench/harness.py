# SPDX-License-Identifier: GPL-2.0-or-later
"""What the benchmarks share: starting and stopping targets and profilers, reading /proc, and the
interleaved-pairs comparison. Only processes started here are ever signalled."""

import contextlib
import json
import math
import os
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.environ.get("RAGPROF_BUILD", os.path.join(ROOT, "build"))
RAGPROF = os.path.join(BUILD, "ragprof")
SYSTEM_PYTHON = os.environ.get("PYTHON", "/usr/bin/python3")
SETTLE_S = 0.5  # between starting or stopping a profiler and the next measured window
ATTACH_READY_S = 15


class BenchError(Exception):
    """The benchmark could not be run; says why."""


@contextlib.contextmanager
def process(command, **options):
    """A child that is gone when the block is left."""
    child = subprocess.Popen(command, **options)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(timeout=10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


# ---- Targets ----------------------------------------------------------------------------------
#
# measure() gives work by the second of wall time, which is what a user feels, and work by the second
# of the target's own CPU time, which other processes disturb less. The kernel charges the sampling
# interrupt to the thread that it interrupts unless it is built with IRQ_TIME_ACCOUNTING.


def rates(work, wall_s, cpu_s):
    if work <= 0 or cpu_s <= 0:
        raise BenchError("the target did no work")
    return {"wall": work / wall_s, "cpu": work / cpu_s}


class Spinner:
    """The CPU-bound target: work done is read from its shared counter."""

    def __init__(self, child, path):
        self.pid = child.pid
        self._child = child
        self._path = path

    def _count(self):
        if self._child.poll() is not None:
            raise BenchError("the target ended by itself")
        with open(self._path, "rb") as file:
            return struct.unpack("<Q", file.read(8))[0]

    def measure(self, window_s, _seed):
        start_s, start_cpu_s, start = time.monotonic(), cpu_seconds(self.pid), self._count()
        time.sleep(window_s)
        work = self._count() - start
        return rates(work, time.monotonic() - start_s, cpu_seconds(self.pid) - start_cpu_s)


@contextlib.contextmanager
def spinner():
    with tempfile.NamedTemporaryFile(prefix="ragprof-bench-") as file:
        file.write(bytes(8))
        file.flush()
        script = os.path.join(ROOT, "tests", "bench", "spinner.py")
        with process([SYSTEM_PYTHON, script, file.name]) as child:
            time.sleep(SETTLE_S)
            yield Spinner(child, file.name)


class DemoServer:
    def __init__(self, child, url):
        self.pid = child.pid
        self.url = url

    def start_driver(self, window_s, seed, **options):
        script = os.path.join(ROOT, "tools", "demo", "drive.py")
        command = [SYSTEM_PYTHON, script, self.url, "-c", "8", "-d", str(window_s)]
        return process(command + ["--seed", str(seed), "--json"], **options)

    def measure(self, window_s, seed):
        start_cpu_s = cpu_seconds(self.pid)
        with self.start_driver(window_s, seed, stdout=subprocess.PIPE) as driver:
            output = driver.communicate()[0]
        if driver.returncode:
            raise BenchError("queries failed: %s" % output.decode())
        result = json.loads(output)
        return rates(result["queries"], result["duration_s"], cpu_seconds(self.pid) - start_cpu_s)


@contextlib.contextmanager
def demo_server():
    """The demo service without its cache, so that equal questions are equal work, with eight
    clients: more than its interpreter lock lets through, so any slowdown shows."""
    script = os.path.join(ROOT, "tools", "demo", "server.py")
    command = [SYSTEM_PYTHON, script, "--cache-entries", "0"]
    with process(command, stdout=subprocess.PIPE, text=True) as child:
        words = child.stdout.readline().split()
        if not words or words[0] != "ready":
            raise BenchError("the demo service did not start (is numpy there for %s?)" % SYSTEM_PYTHON)
        yield DemoServer(child, words[1])


@contextlib.contextmanager
def workload(name, seconds):
    """A native or Python workload of tests/workloads, by its file's name."""
    if name.endswith(".py"):
        command = [SYSTEM_PYTHON, os.path.join(ROOT, "tests", "workloads", name)]
    else:
        command = [os.path.join(BUILD, "workloads", name)]
    with process(command + [str(seconds)], stdout=subprocess.DEVNULL) as child:
        time.sleep(SETTLE_S)
        yield child


# ---- Profilers --------------------------------------------------------------------------------


class Attached:
    """A running `ragprof attach`."""

    def __init__(self, child, output):
        self.pid = child.pid
        self.output = output
        self._child = child

    def stop(self):
        """Ctrl-C; seconds until the process was gone, its trace complete on disk."""
        start_s = time.monotonic()
        self._child.send_signal(signal.SIGINT)
        status = self._child.wait(timeout=60)
        if status != 0:
            raise BenchError("ragprof attach ended with %d" % status)
        return time.monotonic() - start_s


def await_start(child, output):
    """Waits until the capture is under way: its file is there, and its own start-up CPU is over."""
    deadline_s = time.monotonic() + ATTACH_READY_S
    while not (os.path.exists(output) and os.path.getsize(output) > 0):
        if child.poll() is not None:
            raise BenchError("ragprof attach ended at once with %d" % child.returncode)
        if time.monotonic() > deadline_s:
            raise BenchError("ragprof attach wrote nothing within %d s" % ATTACH_READY_S)
        time.sleep(0.05)
    before_s = -1.0
    while cpu_seconds(child.pid) - before_s > 0.1 and time.monotonic() < deadline_s:
        before_s = cpu_seconds(child.pid)
        time.sleep(SETTLE_S)


@contextlib.contextmanager
def attached(folder, frequency_hz, *pids, limit_s=600):
    """`ragprof attach` on the PIDs, from its first written byte on."""
    output = os.path.join(folder, "bench-%d-%d.ragprof" % (frequency_hz, time.monotonic_ns()))
    command = [RAGPROF, "attach", "-q", "-d", str(limit_s), "-F", str(frequency_hz), "-o", output]
    with process(command + [str(pid) for pid in pids]) as child:
        await_start(child, output)
        yield Attached(child, output)


def perf_dwarf(output, frequency_hz, seconds, pid):
    """Runs perf's copying mode over the PID; returns how many samples it took."""
    base = ["perf", "record", "-q", "--call-graph", "dwarf", "-F", str(frequency_hz), "-o", output]
    subprocess.run(base + ["-p", str(pid), "--", "sleep", str(seconds)], check=True)
    script = subprocess.run(
        ["perf", "report", "-i", output, "--stats"],
        capture_output=True, text=True, check=False,
    )
    for line in script.stdout.splitlines():
        if line.strip().startswith("SAMPLE events:"):
            return int(line.split(":")[1].split()[0])
    raise BenchError("perf report --stats gave no count of samples")


# ---- /proc ------------------------------------------------------------------------------------


def cpu_seconds(pid):
    """User and system time of a process so far. Source: proc(5), fields 14 and 15 of stat."""
    with open("/proc/%d/stat" % pid) as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def status_kib(pid, key):
    with open("/proc/%d/status" % pid) as file:
        for line in file:
            if line.startswith(key + ":"):
                return int(line.split()[1])
    raise BenchError("/proc/%d/status has no %s" % (pid, key))


def context_switches(pid):
    """Switches of all threads that live now."""
    total = 0
    for thread in os.listdir("/proc/%d/task" % pid):
        with contextlib.suppress(FileNotFoundError):
            with open("/proc/%d/task/%s/status" % (pid, thread)) as file:
                total += sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)
    return total


# ---- Interleaved pairs ------------------------------------------------------------------------


def throughput_ratios(target, folder, frequency_hz, pairs, window_s):
    """Rates under the profiler over rates without it: {"wall": one ratio a pair, "cpu": the same}.
    Which of the two comes first alternates, so that a drift of the machine cancels out."""
    ratios = {"wall": [], "cpu": []}
    for pair in range(pairs):
        measured = {}
        for profiled in (pair % 2 == 1, pair % 2 == 0):
            if profiled:
                with attached(folder, frequency_hz, target.pid) as profiler:
                    measured[True] = target.measure(window_s, pair)
                    profiler.stop()
                os.unlink(profiler.output)
            else:
                time.sleep(SETTLE_S)
                measured[False] = target.measure(window_s, pair)
        for clock, values in ratios.items():
            values.append(measured[True][clock] / measured[False][clock])
        progress("  pair %d of %d: wall %.4f, CPU %.4f"
                 % (pair + 1, pairs, ratios["wall"][-1], ratios["cpu"][-1]))
    return ratios


def median_interval(values):
    """Median and its 95 % confidence interval by order statistics: the k-th smallest and largest,
    with the largest k for which P(Binomial(n, 1/2) < k) ≤ 2.5 %."""
    ordered, count = sorted(values), len(values)
    below, rank = 0.0, 0
    while below + math.comb(count, rank) / 2**count <= 0.025:
        below += math.comb(count, rank) / 2**count
        rank += 1
    rank = max(rank, 1)
    return statistics.median(ordered), ordered[rank - 1], ordered[count - rank]


def progress(text):
    if sys.stderr.isatty() or os.environ.get("BENCH_VERBOSE"):
        print(text, file=sys.stderr, flush=True)
