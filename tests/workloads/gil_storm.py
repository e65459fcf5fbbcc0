#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Known answer: threads give the interpreter's lock up and take it again all the time (hashing more
than 2,047 bytes gives it up), three times in often() for each time in rarely(), so three quarters of
the time that they wait for it belong to often(). Arguments: SECONDS (default 4), THREADS (default 6).
"""
import hashlib
import sys
import threading
import time

DATA = bytes(4096)


def rarely():
    hashlib.blake2b(DATA)


def often():
    hashlib.blake2b(DATA)


def storm(end_s):
    while time.monotonic() < end_s:
        often()
        rarely()
        often()
        often()


def main():
    end_s = time.monotonic() + (float(sys.argv[1]) if len(sys.argv) > 1 else 4)
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 6
    threads = [threading.Thread(target=storm, args=(end_s,)) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
