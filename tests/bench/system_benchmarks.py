# SPDX-License-Identifier: GPL-2.0-or-later
"""What the system's part costs: the worst case, a thread that makes system calls back to back,
beside the tools that count system calls."""

import contextlib
import os
import shutil
import signal
import statistics
import subprocess
import time

from benchmarks import row
from harness import BUILD, BenchError, attached, median_interval, process, progress

ADDED_NS_MAX = 300
SETTLE_S = 1.5
WINDOWS = 4  # of a quarter of a second each


class Storm:
    """Says how long a call takes; keeps only what comes while somebody asks."""

    def __init__(self, child):
        self._child = child
        self.pid = child.pid

    def ns_per_call(self):
        """The median of the next whole windows."""
        os.set_blocking(self._child.stdout.fileno(), False)
        with contextlib.suppress(BlockingIOError, TypeError):
            while self._child.stdout.read(65536):
                pass
        os.set_blocking(self._child.stdout.fileno(), True)
        values = [float(self._child.stdout.readline()) for _ in range(WINDOWS + 1)]
        return statistics.median(values[1:])


@contextlib.contextmanager
def storm():
    command = [os.path.join(BUILD, "workloads", "syscalls"), "clock"]
    with process(command, stdout=subprocess.PIPE) as child:
        yield Storm(child)


@contextlib.contextmanager
def peer(command):
    """A tool that is ended as a user ends it."""
    if not shutil.which(command[0]):
        raise BenchError("%s is not installed" % command[0])
    # some find their tracepoints in tracefs, which need not be mounted: then it is, for them alone
    mounted = ["unshare", "-m", "sh", "-c",
               'mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null; exec "$@"', "sh"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with process(mounted + command, **quiet) as child:
        time.sleep(SETTLE_S)
        if child.poll() is not None:
            raise BenchError("%s ended at once with %d" % (command[0], child.returncode))
        yield
        child.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=10)


@contextlib.contextmanager
def peers(commands, pid):
    with contextlib.ExitStack() as stack:
        for command in commands:
            stack.enter_context(peer(command + ["-p", str(pid)]))
        yield


# What comes near to what ragprof tells: counts and times by call, and where threads wait.
SYSCOUNT, OFFCPUTIME = ["syscount", "-L"], ["offcputime"]
PEERS = {
    "strace -c": [["strace", "-f", "-c"]],
    "perf trace -s": [["perf", "trace", "-s"]],
    "syscount": [SYSCOUNT],
    "syscount and offcputime": [SYSCOUNT, OFFCPUTIME],
}


def added_ns(target, tool, rounds):
    """What a call takes longer with the tool: the windows before and after are without it."""
    added = []
    for _ in range(rounds):
        before = target.ns_per_call()
        with tool():
            time.sleep(SETTLE_S)
            during = target.ns_per_call()
        added.append(during - (before + target.ns_per_call()) / 2)
    return added


def syscall_cost(options):
    rounds = max(options.pairs // 2, 3)
    with storm() as target:
        progress("system calls under ragprof")
        ours = added_ns(target, lambda: attached(options.folder, 99, target.pid), rounds)
        median, low, high = median_interval(ours)
        yield row("getppid, back to back: added by ragprof", "%.0f ns [%.0f, %.0f]" % (median, low, high),
                  "≤ %d ns" % ADDED_NS_MAX, median <= ADDED_NS_MAX)
        for name, commands in PEERS.items():
            progress("system calls under %s" % name)
            try:
                theirs = added_ns(target, lambda: peers(commands, target.pid), min(rounds, 3))
            except BenchError as error:
                yield row("the same by %s" % name, str(error), "", None)
                continue
            value = statistics.median(theirs)
            yield row("the same by %s" % name, "%.0f ns (%.1f times ours)" % (value, value / median),
                      "≥ ours", value >= median)


SYSTEM_BENCHMARKS = {"syscall-cost": syscall_cost}
