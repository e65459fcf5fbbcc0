#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A CPU-bound target whose progress can be read from outside: adds to a 64-bit counter in the file
named by the first argument, from the bottom of a stack of about 30 Python and native frames
(recursion through sorted()'s key function, so that both kinds alternate). Runs until killed."""
import mmap
import struct
import sys

LEVELS = 2  # each is eight frames on CPython 3.11; the way from _start to main() is thirteen more


def compute():
    total = 0
    for number in range(1000):
        total += number * number
    return total


def descend(depth):
    """Each level is a Python frame, sorted() in C, and the lambda's Python frame."""
    if depth == 0:
        return compute()
    return sorted([depth], key=lambda level: descend(level - 1))[0]


def main():
    with open(sys.argv[1], "r+b") as file:
        counter = mmap.mmap(file.fileno(), 8)
    done = 0
    while True:
        for _ in range(20):
            descend(LEVELS)
        done += 20
        counter[:8] = struct.pack("<Q", done)


if __name__ == "__main__":
    main()
