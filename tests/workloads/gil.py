#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Known answer: two threads compute in spin() and share the GIL: each is on the CPU for about half
of the time (their CPU times together are about the wall time) and waits for the GIL for the rest,
in blocks of the 5 ms switch interval. A third thread sleeps 10 ms at a time in nap() and then waits
for the GIL too; the main thread waits in join(). At the end a JSON object gives wall time and each
thread's own CPU time, in ns. Arguments: SECONDS (default 10).
"""
import json
import sys
import threading
import time

cpu_ns = {}


def spin(end_s):
    total = 0
    while time.monotonic() < end_s:
        for number in range(20000):
            total += number * number
    return total


def nap(end_s):
    while time.monotonic() < end_s:
        time.sleep(0.01)


def run(name, work, end_s):
    work(end_s)
    cpu_ns[name] = time.thread_time_ns()


def main():
    start_s = time.monotonic()
    end_s = start_s + (float(sys.argv[1]) if len(sys.argv) > 1 else 10)
    threads = [
        threading.Thread(target=run, args=(name, work, end_s), name=name)
        for name, work in (("spin-1", spin), ("spin-2", spin), ("nap", nap))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"wall_ns": int((time.monotonic() - start_s) * 1e9), "cpu_ns": cpu_ns}))


if __name__ == "__main__":
    main()
