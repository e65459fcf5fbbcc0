#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Known answer: nearly all CPU time is in the BLAS matrix product that numpy calls from multiply(),
with main → multiply as its Python frames; with a threaded BLAS also in its worker threads, which
have no Python frames. Exits 77 without numpy. Arguments: SECONDS (default 10) SIZE (default 256).
"""
import sys
import time

try:
    import numpy
except ImportError:
    print("numpy_blas.py: numpy is not installed for this interpreter", file=sys.stderr)
    sys.exit(77)


def multiply(left, right):
    return left @ right


def main():
    end_s = time.monotonic() + (float(sys.argv[1]) if len(sys.argv) > 1 else 10)
    size = int(sys.argv[2]) if len(sys.argv) > 2 else 256
    rng = numpy.random.default_rng(1)
    left, right = rng.random((size, size)), rng.random((size, size))
    while time.monotonic() < end_s:
        multiply(left, right)


if __name__ == "__main__":
    main()
