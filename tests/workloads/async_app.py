#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Known answer: one thread runs an event loop with eight tasks handle_request() → compute_answer()
→ crunch(). A task computes for 2 ms of CPU time, then awaits a sleep of 22 ms, so that the loop is
on the CPU for about two thirds of the time and waits in epoll for the rest. Samples in crunch() have
compute_answer and handle_request, both coroutines, directly below, then asyncio's loop. At the end
a JSON object gives wall time, the thread's CPU time and the time measured in crunch(), in ns.
Arguments: SECONDS (default 10).
"""
import asyncio
import json
import sys
import time

crunched_ns = 0


def crunch(budget_ns):
    global crunched_ns
    start_ns = time.thread_time_ns()
    while time.thread_time_ns() - start_ns < budget_ns:
        for _ in range(500):
            pass
    crunched_ns += time.thread_time_ns() - start_ns


async def compute_answer():
    crunch(2000000)
    await asyncio.sleep(0.022)


async def handle_request(end_s):
    while time.monotonic() < end_s:
        await compute_answer()


async def serve(end_s):
    await asyncio.gather(*(handle_request(end_s) for _ in range(8)))


def main():
    start_s, start_cpu_ns = time.monotonic(), time.thread_time_ns()
    asyncio.run(serve(start_s + (float(sys.argv[1]) if len(sys.argv) > 1 else 10)))
    print(json.dumps({
        "wall_ns": int((time.monotonic() - start_s) * 1e9),
        "cpu_ns": time.thread_time_ns() - start_cpu_ns,
        "crunch_ns": crunched_ns,
    }))


if __name__ == "__main__":
    main()
