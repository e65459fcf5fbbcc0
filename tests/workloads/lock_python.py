#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Known answer: two threads take turns at a threading.Lock. One sleeps while it has it, in
hold_lock(), the other waits for it in wait_for_lock() and times that. Prints a JSON object with the
TIDs of both and the time waited. Argument: ROUNDS (default 20)."""
import json
import sys
import threading
import time

HOLD_S = 0.02

lock = threading.Lock()
has_it = threading.Semaphore(0)
answer = {"wait_ns": 0}


def hold_lock():
    lock.acquire()
    has_it.release()
    time.sleep(HOLD_S)
    lock.release()


def wait_for_lock():
    start_s = time.perf_counter()
    lock.acquire()
    answer["wait_ns"] += int((time.perf_counter() - start_s) * 1e9)
    lock.release()


def run_holder(rounds):
    answer["holder"] = threading.get_native_id()
    for _ in range(rounds):
        hold_lock()
        time.sleep(0.002)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    answer["waiter"] = threading.get_native_id()
    thread = threading.Thread(target=run_holder, args=(rounds,))
    thread.start()
    for _ in range(rounds):
        while not has_it.acquire(blocking=False):
            time.sleep(0.0005)
        wait_for_lock()
    thread.join()
    json.dump(answer, sys.stdout)
    print()


if __name__ == "__main__":
    main()
