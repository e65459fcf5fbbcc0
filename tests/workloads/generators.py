#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Known answer: almost all CPU time is in square_sum(), called by the generator numbers(), which the
generator chained() delegates to by "yield from", inside a generator expression that consume()
feeds to sum(): main → consume → <genexpr> → chained → numbers → square_sum. The three in the middle
are generator frames. Arguments: SECONDS (default 10).
"""
import sys
import time


def square_sum(limit):
    total = 0
    for number in range(limit):
        total += number * number
    return total


def numbers(count):
    for _ in range(count):
        yield square_sum(2000)


def chained(count):
    yield from numbers(count)


def consume():
    return sum(value for value in chained(50))


def main():
    end_s = time.monotonic() + (float(sys.argv[1]) if len(sys.argv) > 1 else 10)
    while time.monotonic() < end_s:
        consume()


if __name__ == "__main__":
    main()
