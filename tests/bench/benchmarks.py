# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmarks: each is a generator of rows (what, measured text, limit text, whether it holds:
None where that cannot be told)."""

import contextlib
import json
import os
import subprocess
import time

from harness import (
    RAGPROF, BenchError, attached, context_switches, cpu_seconds, demo_server, median_interval,
    perf_dwarf, progress, spinner, status_kib, throughput_ratios, workload,
)

BPF_STATS = "/proc/sys/kernel/bpf_stats_enabled"
BPF_PROG_TYPE_PERF_EVENT = 7  # linux/bpf.h


def row(what, measured, limit_text, holds):
    return {"what": what, "measured": measured, "limit": limit_text, "holds": holds}


def verdict_of(median, low, high, floor):
    """Whether the median reaches the floor; None where the machine is too noisy to tell:
    half of the interval is then more than twice the loss that the floor allows."""
    if high - low > 4 * (1 - floor):
        return None
    return median >= floor


# ---- Slowdown of the target -------------------------------------------------------------------


def throughput(options, make_target, name):
    for frequency_hz, floor in ((99, 0.99), (999, 0.98)):
        progress("throughput of %s at %d Hz" % (name, frequency_hz))
        with make_target() as target:
            ratios = throughput_ratios(
                target, options.folder, frequency_hz, options.pairs, options.window
            )
        for clock, unit in (("wall", "second"), ("cpu", "CPU second")):
            median, low, high = median_interval(ratios[clock])
            holds = verdict_of(median, low, high, floor)
            yield row(
                "%s, work a %s against none, %d Hz" % (name, unit, frequency_hz),
                "%.4f [%.4f, %.4f] %d pairs%s"
                % (median, low, high, len(ratios[clock]), "" if holds is not None else ", too noisy"),
                "≥ %.2f" % floor,
                holds,
            )


def throughput_demo(options):
    yield from throughput(options, demo_server, "demo service")


def throughput_cpu(options):
    yield from throughput(options, spinner, "CPU-bound Python")


# ---- The collector ----------------------------------------------------------------------------


def collector(options):
    with demo_server() as target:
        with target.start_driver(options.seconds + 20, 1, stdout=subprocess.DEVNULL):
            with attached(options.folder, 99, target.pid) as profiler:
                start_s, start_cpu_s = time.monotonic(), cpu_seconds(profiler.pid)
                time.sleep(options.seconds)
                used_s = cpu_seconds(profiler.pid) - start_cpu_s
                cpu_pct = 100 * used_s / (time.monotonic() - start_s)
                anonymous_mib = status_kib(profiler.pid, "RssAnon") / 1024
                resident_mib = status_kib(profiler.pid, "VmRSS") / 1024
                profiler.stop()
    yield row("collector, CPU of one core, 99 Hz", "%.2f %%" % cpu_pct, "≤ 1 %", cpu_pct <= 1)
    yield row(
        "collector, memory of its own (all resident: %.1f MiB)" % resident_mib,
        "%.1f MiB" % anonymous_mib,
        "≤ 40 MB",
        anonymous_mib * 1.048576 <= 40,
    )


def after_interrupt(options):
    """From Ctrl-C on a 60 s capture to a trace, and then to a flame graph, on disk."""
    page = os.path.join(options.folder, "interrupt.html")
    with demo_server() as target:
        with target.start_driver(80, 1, stdout=subprocess.DEVNULL):
            with attached(options.folder, 99, target.pid) as profiler:
                time.sleep(60)
                trace_s = profiler.stop()
    start_s = time.monotonic()
    subprocess.run([RAGPROF, "flame", "-q", "-o", page, profiler.output], check=True)
    flame_s = time.monotonic() - start_s
    yield row("60 s capture, Ctrl-C to trace on disk", "%.2f s" % trace_s, "", True)
    yield row(
        "60 s capture, Ctrl-C to flame graph on disk",
        "%.2f s" % (trace_s + flame_s), "≤ 2 s", trace_s + flame_s <= 2,
    )


# ---- Size -------------------------------------------------------------------------------------


def sample_count(trace):
    report = subprocess.run(
        [RAGPROF, "report", "-f", "json", "-o", "-", trace], check=True, capture_output=True
    )
    return json.loads(report.stdout)["capture"]["samples"]["on_cpu"]


def size(options):
    """Bytes on disk for the same load, one after the other: the two would slow each other."""
    perf_file = os.path.join(options.folder, "dwarf.perf")
    with demo_server() as target:
        with target.start_driver(options.seconds + 6, 1, stdout=subprocess.DEVNULL):
            time.sleep(1)  # perf sees only the threads that are there when it starts
            perf_samples = perf_dwarf(perf_file, 999, options.seconds, target.pid)
        with target.start_driver(options.seconds + 10, 1, stdout=subprocess.DEVNULL):
            with attached(options.folder, 999, target.pid) as profiler:
                time.sleep(options.seconds)
                profiler.stop()
    samples = sample_count(profiler.output)
    trace_bytes, perf_bytes = os.path.getsize(profiler.output), os.path.getsize(perf_file)
    os.unlink(perf_file)
    # By samples taken, since the two runs do not take exactly as many.
    ratio = (perf_bytes / perf_samples) / (trace_bytes / samples)
    yield row(
        "size of %.2f MB (%d samples) against perf dwarf %.1f MB (%d)"
        % (trace_bytes / 1e6, samples, perf_bytes / 1e6, perf_samples),
        "%.0f× smaller" % ratio, "≥ 20×", ratio >= 20,
    )


def million(options):
    """A trace of a million samples: how long it takes to render."""
    page = os.path.join(options.folder, "million.html")
    with contextlib.ExitStack() as stack:
        targets = [stack.enter_context(spinner()) for _ in range(os.cpu_count())]
        # about half of the events come where the kernel holds the sampling rate down
        seconds = 2.4e6 / (9999 * len(targets))
        progress("a million samples: %.0f s at 9999 Hz" % seconds)
        pids = [target.pid for target in targets]
        with attached(options.folder, 9999, *pids, limit_s=int(seconds) + 60) as profiler:
            time.sleep(seconds)
            profiler.stop()
    samples = sample_count(profiler.output)
    start_s = time.monotonic()
    subprocess.run([RAGPROF, "flame", "-q", "-o", page, profiler.output], check=True)
    render_s = time.monotonic() - start_s
    yield row(
        "flame graph of %d samples (%.1f MB)" % (samples, os.path.getsize(profiler.output) / 1e6),
        "%.2f s" % render_s, "≤ 2 s (≥ 1,000,000)", render_s <= 2 and samples >= 1000000,
    )


# ---- BPF run time -----------------------------------------------------------------------------


@contextlib.contextmanager
def bpf_stats():
    try:
        with open(BPF_STATS) as file:
            before = file.read()
        with open(BPF_STATS, "w") as file:
            file.write("1")
    except OSError as error:
        raise BenchError("cannot switch %s on: %s" % (BPF_STATS, error)) from error
    try:
        yield
    finally:
        with open(BPF_STATS, "w") as file:
            file.write(before)


def bpf_run_time(pid):
    """Nanoseconds that the programs which the process holds ran so far: by perf events, and by all
    others. Source: the fdinfo of a program's descriptor (bpf_prog_show_fdinfo in the kernel)."""
    run_time_ns = {True: {}, False: {}}
    for descriptor in os.listdir("/proc/%d/fdinfo" % pid):
        with contextlib.suppress(FileNotFoundError):
            with open("/proc/%d/fdinfo/%s" % (pid, descriptor)) as file:
                fields = dict(line.split(":", 1) for line in file if ":" in line)
            if "run_time_ns" in fields:
                by_perf_event = int(fields["prog_type"]) == BPF_PROG_TYPE_PERF_EVENT
                run_time_ns[by_perf_event][int(fields["prog_id"])] = int(fields["run_time_ns"])
    if not run_time_ns[True] or not run_time_ns[False]:
        raise BenchError("the collector holds no BPF programs of both kinds")
    return sum(run_time_ns[True].values()), sum(run_time_ns[False].values())


def bpf_cost_of(options, target_pid, frequency_hz):
    """µs per sample and per switch of the target. All run time is charged to the target, also that
    spent on filtering out other processes: an upper bound."""
    with attached(options.folder, frequency_hz, target_pid) as profiler:
        before = bpf_run_time(profiler.pid)
        before_cpu_s, before_switches = cpu_seconds(target_pid), context_switches(target_pid)
        time.sleep(options.seconds)
        after = bpf_run_time(profiler.pid)
        cpu_s = cpu_seconds(target_pid) - before_cpu_s
        switches = context_switches(target_pid) - before_switches
        profiler.stop()
    sampling_ns, other_ns = (last - first for first, last in zip(before, after))
    return (
        sampling_ns / 1000 / max(cpu_s * frequency_hz, 1),
        other_ns / 1000 / max(switches, 1),
    )


def bpf_cost(options):
    with bpf_stats():
        with spinner() as target:
            sample_us, _ = bpf_cost_of(options, target.pid, 999)
        with workload("threads64", options.seconds + 30) as target:
            _, native_us = bpf_cost_of(options, target.pid, 99)
        with workload("gil.py", options.seconds + 30) as target:
            _, python_us = bpf_cost_of(options, target.pid, 99)
    for what, measured_us, limit_us in (
        ("BPF, on-CPU sample of about 30 mixed frames", sample_us, 8),
        ("BPF, switch with a native stack", native_us, 4),
        ("BPF, switch with Python frames", python_us, 7),
    ):
        if measured_us <= 0:
            raise BenchError("%s: no run time was counted" % what)
        yield row(what, "%.2f µs" % measured_us, "≤ %d µs" % limit_us, measured_us <= limit_us)


BENCHMARKS = {
    "throughput-demo": throughput_demo,
    "throughput-cpu": throughput_cpu,
    "collector": collector,
    "after-interrupt": after_interrupt,
    "size": size,
    "million": million,
    "bpf-cost": bpf_cost,
}
