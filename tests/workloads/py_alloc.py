# SPDX-License-Identifier: GPL-2.0-or-later
"""Allocates in every way that grows, shrinks, moves and frees Python's blocks, across the size from
which the interpreter goes to malloc.

usage: py_alloc.py [ROUNDS]"""

import gc
import re
import sys
import threading


class Node:
    __slots__ = ("value", "other")

    def __init__(self, value):
        self.value = value
        self.other = None


def cycles(count):
    nodes = [Node(i) for i in range(count)]
    for left, right in zip(nodes, nodes[1:] + nodes[:1]):
        left.other = right


def growing():
    """By realloc: small to large, and back."""
    for top in (10, 60, 70, 300, 2000):
        items = []
        data = bytearray()
        text = ""
        for i in range(top):
            items.append(i)
            data += b"ab"
            text += "x"
        while items:
            del items[len(items) // 2 :]
        del data[5:]


def mixed(number):
    index = {"key-%d" % i: [i] * (i % 40) for i in range(number % 500)}
    sets = [set(range(i)) for i in range(40)]
    big = [bytes(size) for size in range(400, 600, 7)]
    found = re.findall(r"\d+", " ".join(index))
    return len(index) + len(sets) + len(big) + len(found)


def work(rounds):
    total = 0
    for number in range(rounds):
        growing()
        cycles(50)
        total += mixed(number * 7)
        if number % 10 == 9:
            gc.collect()
    return total


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    total = work(rounds)
    threads = [threading.Thread(target=work, args=(rounds // 3,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(total)


if __name__ == "__main__":
    main()
