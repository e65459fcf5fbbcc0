# SPDX-License-Identifier: GPL-2.0-or-later
"""Allocates in the ways that Python code does, the same number of times in every run.

usage: heap_python.py [ROUNDS]"""

import gc
import sys
import threading


class Node:
    def __init__(self, value):
        self.value = value
        self.other = None


def cycle(count):
    nodes = [Node(i) for i in range(count)]
    for left, right in zip(nodes, nodes[1:] + nodes[:1]):
        left.other = right


def round_of_work(number):
    words = ["word-%d" % (number * 1000 + i) for i in range(200)]
    index = {word: [i] * (i % 30) for i, word in enumerate(words)}
    text = " ".join(words)
    blob = bytearray(number % 7 * 1000)
    blob.extend(text.encode())
    numbers = sorted(hash(i) ^ 5 for i in range(300))
    try:
        raise KeyError(number)
    except KeyError:
        pass
    return len(index), len(text), len(blob), sum(numbers)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    gc.disable()  # its moments depend on counts of before
    total = 0
    for number in range(rounds):
        total += sum(round_of_work(number))
        cycle(50)
        gc.collect()
    thread = threading.Thread(target=round_of_work, args=(1,))
    thread.start()
    thread.join()
    print(total)


main()
