#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Known answer: a convoy for the interpreter's lock. One thread computes in compute() and gives the
lock up only when it is asked to; the others give it up in give_way(), again and again. Prints a JSON
object with the time that each thread was off the CPU, by its wall time less its CPU time: besides
waits for the lock those for a CPU, and timers.
Arguments: SECONDS (default 4), THREADS that give way (default 2).
"""
import json
import sys
import threading
import time



def compute():
    total = 0
    for number in range(20000):
        total += number
    return total


def give_way():
    time.sleep(0)


def run(kind, work, end_s, answers):
    start_s, start_cpu_s = time.perf_counter(), time.thread_time()
    while time.perf_counter() < end_s:
        work()
    off_cpu_s = time.perf_counter() - start_s - (time.thread_time() - start_cpu_s)
    answers.append({"tid": threading.get_native_id(), "kind": kind, "off_cpu_ns": int(off_cpu_s * 1e9)})


def main():
    end_s = time.perf_counter() + (float(sys.argv[1]) if len(sys.argv) > 1 else 4)
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    answers = []
    kinds = [("computing", compute)] + [("giving way", give_way)] * count
    threads = [threading.Thread(target=run, args=(*kind, end_s, answers)) for kind in kinds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    json.dump({"threads": answers}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
