# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls, generators, callbacks from C and constructors without end, for stops at random moments."""
import functools
import json
import threading


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def numbers(n):
    for i in range(n):
        yield i


def nested_numbers(n):
    yield from (i for i in numbers(n))


class Ordered:
    def __init__(self, n):
        self.value = fib(n)

    def __lt__(self, other):
        return self.value < other.value


def work():
    fib(10)
    sum(nested_numbers(200))
    sorted([Ordered(3), Ordered(2), Ordered(1)])
    sorted([3, 1, 2], key=lambda n: fib(n))
    functools.reduce(lambda a, b: a + fib(b), [1, 2, 3, 4])
    json.loads(json.dumps({"a": [1, 2, {"b": 3}]}, indent=1))
    eval("fib(4)")


print("thread %d busy" % threading.get_native_id())
print("ready", flush=True)
while True:
    work()
