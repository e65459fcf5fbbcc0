# SPDX-License-Identifier: GPL-2.0-or-later
"""What counting allocations costs, beside other trackers: the variants of a program run in turn, in
rounds whose order rotates, and are compared within each round."""

import argparse
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

from harness import BUILD, RAGPROF, ROOT, SYSTEM_PYTHON, BenchError, median_interval, progress

LIBRARY = os.path.join(BUILD, "libragprof.so")
MALLOC_HEAVY = os.path.join(BUILD, "workloads", "malloc_heavy")
RAG_LOOP = os.path.join(ROOT, "tests", "bench", "rag_loop.py")
THREADS = 2
PAIRS = 2_000_000  # a thread
SLOW_DIVISOR = 20  # for valgrind's tools
CLOCKS = ("wall", "cpu")


def row(what, measured, limit_text="", holds=True):
    return {"what": what, "measured": measured, "limit": limit_text, "holds": holds}


def find(*patterns):
    for pattern in patterns:
        for path in sorted(glob.glob(pattern)):
            return path
    return None


# ---- Variants: each turns a command into one that runs under a tracker, and its environment --------


def bare(_options, command):
    return command, {}


def shim(keys):
    """The library alone, as the target feels it; nobody reads its region."""

    def variant(options, command):
        folder = tempfile.mkdtemp(prefix="ragprof-bench-", dir="/dev/shm")
        options.shim_folders.append(folder)
        return command, {"LD_PRELOAD": LIBRARY, "RAGPROF_SHIM": "%s %s" % (folder, keys)}

    return variant


def ragprof(*arguments):
    def variant(options, command):
        trace = os.path.join(options.folder, "heap.ragprof")
        return [RAGPROF, "run", "-q", "--force", "-o", trace, *arguments, "--", *command], {}

    return variant


def heaptrack(_options, command):
    library = find("/usr/lib/heaptrack/libheaptrack_preload.so", "/usr/lib/*/heaptrack/libheaptrack_preload.so")
    if not library:
        raise BenchError("heaptrack is not installed")
    return command, {"LD_PRELOAD": library, "DUMP_HEAPTRACK_OUTPUT": "/dev/null"}


def valgrind(tool):
    def variant(options, command):
        out = os.path.join(options.folder, tool)
        return ["valgrind", "-q", "--tool=" + tool, "--%s-out-file=%s" % (tool, out), *command], {}

    return variant


def jemalloc(settings):
    def variant(options, command):
        library = find("/usr/lib/*/libjemalloc.so.2")
        if not library:
            raise BenchError("jemalloc is not installed")
        environment = {"LD_PRELOAD": library}
        if settings:
            environment["MALLOC_CONF"] = settings + ",prof_prefix:" + os.path.join(options.folder, "je")
            check = subprocess.run(["/bin/true"], env={**os.environ, **environment}, capture_output=True, check=False)
            if b"Invalid conf" in check.stderr:
                raise BenchError("this jemalloc was built without profiling")
        return command, environment

    return variant


def memray(options, command):
    """In an environment of its own, made once; needs a package index that can be reached."""
    python = os.path.join(options.folder, "memray", "bin", "python")
    if not os.path.exists(python):
        folder = os.path.join(options.folder, "memray")
        install = [python, "-m", "pip", "install", "-q", "--only-binary=:all:", "memray"]
        for step in ([sys.executable, "-m", "venv", "--system-site-packages", folder], install):
            if subprocess.run(step, capture_output=True, check=False).returncode:
                raise BenchError("memray could not be installed")
    out = os.path.join(options.folder, "memray.bin")
    return [python, "-m", "memray", "run", "-q", "-f", "-o", out, *command[1:]], {}


# ---- Rounds -----------------------------------------------------------------------------------


def run_once(options, variant, command):
    """Output of the command, and the CPU seconds of it and all its children."""
    full, environment = variant(options, command)
    child = subprocess.Popen(
        full, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    for folder in options.shim_folders:
        subprocess.run(["rm", "-rf", folder], check=True)
    options.shim_folders.clear()
    if child.returncode:
        raise BenchError("%s ended with %d" % (full[0], child.returncode))
    return output, usage.ru_utime + usage.ru_stime


def rounds(options, variants, measure):
    """{name: [{clock: value}, one a round]} of those that could be run, and why others could not."""
    options.shim_folders = []
    measured, failed = {name: [] for name in variants}, {}
    names = list(variants)
    for number in range(options.pairs):
        for name in names[number % len(names):] + names[:number % len(names)]:
            if name in failed:
                continue
            try:
                measured[name].append(measure(variants[name]))
            except (BenchError, OSError) as error:
                failed[name] = str(error)
        progress("  round %d of %d: %s" % (number + 1, options.pairs, {
            name: "%.1f" % values[-1]["cpu"] for name, values in measured.items() if values}))
    for name in failed:
        del measured[name]
    if "bare" not in measured:
        raise BenchError("the bare run failed: " + failed["bare"])
    return measured, failed


def compared(measured, name, other, clock, relation):
    """Median and interval of a relation between two variants of the same round."""
    return median_interval([relation(one[clock], two[clock])
                            for one, two in zip(measured[name], measured[other])])


def share(one, two):
    return one / two


def limit_row(what, figures, limit_text, holds, unit=""):
    return row(what, "%.3f%s [%.3f, %.3f]" % (figures[0], unit, figures[1], figures[2]), limit_text, holds)


def not_measured(failed):
    for name, why in failed.items():
        yield row(name, "not measured: " + why, "", None)


# ---- C ----------------------------------------------------------------------------------------


def pair_cost(options, pairs):
    """ns for a pair of malloc and free: by the wall, as the program says, and of CPU."""

    def measure(variant):
        output, cpu_s = run_once(options, variant, [MALLOC_HEAVY, str(pairs), str(THREADS)])
        found = re.match(r"([0-9.]+) ns a pair", output)
        if not found:
            raise BenchError("malloc_heavy said: " + output[:80])
        return {"wall": float(found.group(1)), "cpu": cpu_s * 1e9 / (pairs * THREADS)}

    return measure


C_VARIANTS = {
    "bare": bare,
    "pass-through": shim("alloc=off python=off calls=0 cpu=0"),
    "sampled": shim("alloc=sampled python=off calls=0 cpu=0"),
    "every": shim("alloc=every python=off calls=0 cpu=0"),
    "ragprof run": ragprof("--no-bpf"),
    "heaptrack": heaptrack,
    "jemalloc": jemalloc(""),
    "jemalloc prof": jemalloc("prof:true,lg_prof_sample:19"),
}


def heap_cost_c(options):
    progress("malloc and free in C")
    measured, failed = rounds(options, C_VARIANTS, pair_cost(options, PAIRS))
    for name, values in measured.items():
        wall, cpu = (median_interval([value[clock] for value in values]) for clock in CLOCKS)
        yield row("malloc_heavy, %s" % name,
                  "%.1f ns a pair [%.1f, %.1f], CPU %.1f" % (*wall, cpu[0]))
    for clock in CLOCKS:
        for name, limit in (("pass-through", 1.12), ("sampled", 1.15)):
            figures = compared(measured, name, "bare", clock, share)
            yield limit_row("malloc_heavy, %s against bare, %s" % (name, clock), figures, "≤ %.2f" % limit,
                            figures[0] <= limit)
        if "heaptrack" in measured:
            added = [(every[clock] - base[clock]) / (theirs[clock] - base[clock]) for every, base, theirs
                     in zip(measured["every"], measured["bare"], measured["heaptrack"])]
            figures = median_interval(added)
            yield limit_row("malloc_heavy, every adds of what heaptrack's preload adds, " + clock, figures,
                            "≤ 0.1", figures[0] <= 0.1)
    yield from not_measured(failed)
    slow = {"bare": bare, "massif": valgrind("massif"), "dhat": valgrind("dhat")}
    measured, failed = rounds(short(options), slow, pair_cost(options, PAIRS // SLOW_DIVISOR))
    for name, values in measured.items():
        yield row("malloc_heavy, %s, a twentieth" % name,
                  "%.0f ns a pair" % median_interval([value["wall"] for value in values])[0])
    yield from not_measured(failed)


def short(options):
    """The same for what is slow: three rounds."""
    few = argparse.Namespace(**vars(options))
    few.pairs = min(options.pairs, 3)
    return few


# ---- Python -----------------------------------------------------------------------------------


def loop_cost(options):
    """ms of a query: of the wall, and of the target's own CPU."""

    def measure(variant):
        output, _ = run_once(options, variant, [SYSTEM_PYTHON, RAG_LOOP, str(options.window)])
        said = json.loads(output.splitlines()[-1])
        return {clock: 1000 * said[clock + "_s"] / said["queries"] for clock in CLOCKS}

    return measure


PYTHON_VARIANTS = {
    "bare": bare,
    "pass-through": shim("alloc=off python=off calls=0 cpu=0"),
    "ragprof run": ragprof("--no-bpf"),
    "--alloc=sampled": ragprof("--no-bpf", "--alloc=sampled"),
    "--python-alloc=every": ragprof("--no-bpf", "--python-alloc=every"),
    "heaptrack": heaptrack,
    "memray": memray,
}
# of the time of a query; the pass-through's is that of the throughput, which is its inverse
PYTHON_LIMITS = {
    "pass-through": (1 / 1.03, 1 / 0.97),
    "ragprof run": (0, 1.15),
    "--alloc=sampled": (0, 1.02),
    "--python-alloc=every": (0, 1.8),
}


def heap_cost_python(options):
    progress("a RAG loop in Python")
    measured, failed = rounds(options, PYTHON_VARIANTS, loop_cost(options))
    for name in [name for name in measured if name != "bare"]:
        for clock in CLOCKS:
            figures = compared(measured, name, "bare", clock, share)
            low, high = PYTHON_LIMITS.get(name, (0, None))
            text = "" if high is None else "≤ %.3f" % high if not low else "%.3f to %.3f" % (low, high)
            yield limit_row("RAG loop, time of a query, %s against bare, %s" % (name, clock), figures, text,
                            high is None or low <= figures[0] <= high)
    yield from not_measured(failed)


HEAP_BENCHMARKS = {"heap-cost-c": heap_cost_c, "heap-cost-python": heap_cost_python}
