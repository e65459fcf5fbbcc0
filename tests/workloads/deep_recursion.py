#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Known answer: every sample in burn() has exactly DEPTH frames of descend() below it (default 200),
then main and <module>. Far deeper is asked for by the second argument: the stack must then come
out as truncated, and say so. Arguments: SECONDS (default 10) DEPTH.
"""
import sys
import time


def burn():
    for _ in range(100000):
        pass


def descend(left):
    if left == 1:
        burn()
    else:
        descend(left - 1)


def main():
    end_s = time.monotonic() + (float(sys.argv[1]) if len(sys.argv) > 1 else 10)
    depth = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    sys.setrecursionlimit(depth + 100)
    while time.monotonic() < end_s:
        descend(depth)


if __name__ == "__main__":
    main()
