# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls functions named `step` in every way that a function can be called, and prints how often by
its own count: one line of JSON, by qualified name.

usage: iteration.py [FILE]  (FILE: where to write it, else the standard output)"""

import asyncio
import functools
import json
import pickle
import sys
import threading

counts = {}
lock = threading.Lock()


def seen(name):
    with lock:
        counts[name] = counts.get(name, 0) + 1


def step(value=0):
    seen("step")
    return value


def recursive(depth):
    seen("recursive")
    return depth and 1 + recursive(depth - 1)


def raises():
    seen("raises")
    raise KeyError("on purpose")


def loops():
    while True:  # a jump back to the very first instruction
        seen("loops")
        for i in range(3):
            if i == 2:
                return i


def handles(value):
    seen("handles")
    try:
        try:
            if value % 3 == 0:
                raise ValueError(value)
            return value
        except ValueError:
            return -value
        finally:
            value += 1
    except TypeError:
        return None


def decorator(function):
    @functools.wraps(function)
    def wrapper(*arguments, **keywords):
        seen("decorator.<locals>.wrapper")
        return function(*arguments, **keywords)

    return wrapper


@decorator
def decorated(*arguments, key=None, **others):
    seen("decorated")
    return arguments, key, others


class Index:
    size = 3

    def __init__(self):
        seen("Index.__init__")

    def search(self, text):
        seen("Index.search")
        return text

    @classmethod
    def build(cls):
        seen("Index.build")
        return cls()

    @staticmethod
    def normal(text):
        seen("Index.normal")
        return text

    @property
    def count(self):
        seen("Index.count")
        return self.size

    def __getitem__(self, key):
        seen("Index.__getitem__")
        return key

    class Inner:
        def search(self):
            seen("Index.Inner.search")
            return super().__repr__()


def closures(count):
    total = 0

    def inner(value):
        nonlocal total
        seen("closures.<locals>.inner")
        total += value
        return [value + total for _ in range(2)]

    for i in range(count):
        inner(i)
    return inner


def numbers(count):
    seen("numbers")
    for i in range(count):
        yield i


async def handler(value):
    seen("handler")
    await asyncio.sleep(0)
    return value


async def streamed(count):
    seen("streamed")
    for i in range(count):
        yield i
        await asyncio.sleep(0)


async def serve():
    await asyncio.gather(*(handler(i) for i in range(40)))
    for _ in range(5):
        async for _ in streamed(3):
            pass


LATE = """
def late(value):
    seen("late")
    return value
"""


def define_late():
    for _ in range(3):
        exec(LATE, globals())
        for i in range(7):
            late(i)  # noqa: F821


# More constants than one byte counts, and a jump over all of them.
exec(
    "def many(x):\n    seen('many')\n    while x:\n        x -= 1\n"
    + "".join("        y = %d.5 + x\n" % i for i in range(400))
    + "    try:\n        return y\n    except NameError:\n        return %d\n" % 10**6
)

evaluated = eval("lambda: seen('<lambda>')")


def in_threads(function, threads, calls):
    def run():
        for i in range(calls):
            function(i)

    started = [threading.Thread(target=run) for _ in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


def main():
    for i in range(1000):
        step(i)
    step(), step(value=3), step(*[4]), step(**{"value": 5})
    list(map(step, range(10)))
    functools.partial(step, 3)()
    in_threads(step, 4, 2500)
    recursive(50)
    for _ in range(9):
        try:
            raises()
        except KeyError as error:
            assert error.__traceback__.tb_next.tb_frame.f_code.co_name == "raises"
            assert error.__traceback__.tb_next.tb_lineno == raises.__code__.co_firstlineno + 2
        loops()
        assert decorated(1, key=2, z=3) == ((1,), 2, {"z": 3})
    assert [handles(i) for i in range(5)] == [0, 1, 2, -3, 4]
    index = Index.build()
    for i in range(30):
        index.search(text="x")
        Index.normal("y")
        assert index.count == 3 and index[i] == i
    Index.Inner().search()
    assert closures(20)(1) == [192, 192]
    assert [sum(numbers(i)) for i in range(6)] == [0, 0, 1, 3, 6, 10]
    asyncio.run(serve())
    define_late()
    assert many(2) == 399.5 and many(0) == 10**6
    evaluated()
    assert pickle.loads(pickle.dumps(step))(8) == 8  # by name


main()
with open(sys.argv[1], "w") if len(sys.argv) > 1 else sys.stdout as out:
    json.dump(counts, out)
