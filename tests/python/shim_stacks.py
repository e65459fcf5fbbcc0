# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes one allocation of a size of its own in each of many places, and says what Python itself
takes for the stack there, from the leaf:

    P <pid> <bytes> <frames>
    <name>\t<file>\t<line>

The last line says how many there were."""

import asyncio
import atexit
import os
import sys
import threading
import types

FIRST_BYTES = 700001
lock = threading.Lock()
made = [0]
kept = []


def report(frame):
    lines = []
    while frame:
        code = frame.f_code
        name = getattr(code, "co_qualname", code.co_name)
        lines.append("%s\t%s\t%d\n" % (name, code.co_filename, frame.f_lineno))
        frame = frame.f_back
    return lines


def allocate(size, lines):
    lines.extend(report(sys._getframe()))
    return bytearray(size)


# A code object of its own, so that no two of these stacks are the same.
def probe(*ignored):
    with lock:
        made[0] += 1
        number = made[0]
    size, lines = FIRST_BYTES + number * 16, []
    names = {"co_name": "allocate_%d" % number}
    if hasattr(allocate.__code__, "co_qualname"):
        names["co_qualname"] = names["co_name"]
    block = types.FunctionType(allocate.__code__.replace(**names), globals())(size, lines)
    text = "P %d %d %d\n%s" % (os.getpid(), size + 1, len(lines), "".join(lines))
    os.write(1, text.encode("utf-8"))
    del block
    return 0


class Thing:
    def __init__(self):
        probe()

    def method(self):
        return [probe() for _ in range(2)]

    @staticmethod
    def static(number):
        return sorted([1, number], key=probe)

    @property
    def value(self):
        return probe()

    def __del__(self):
        probe()


class Child(Thing):
    def __init__(self):
        super().__init__()
        self.made = Thing()


def generator(depth):
    if depth:
        yield from generator(depth - 1)
    yield probe()


def decorated(function):
    def wrapper(*arguments):
        return function(*arguments)

    return wrapper


@decorated
def größe(number):
    def 𐐀𐐁():
        return probe()

    return 𐐀𐐁() if number else (lambda: probe())()


def 函数():
    return größe(1) + größe(0)


def raise_and_catch():
    try:
        try:
            raise ValueError(probe())
        finally:
            probe()
    except ValueError:
        probe()


async def sleep_and_probe(depth):
    await asyncio.sleep(0)
    if depth:
        await sleep_and_probe(depth - 1)
    probe()
    async for _ in asynchronous():
        probe()


async def asynchronous():
    yield probe()


async def many():
    await asyncio.gather(*(sleep_and_probe(i) for i in range(3)))


def recurse(depth):
    return recurse(depth - 1) if depth else probe()


def recurse_through_c(depth):
    return max([depth - 1], key=recurse_through_c) if depth else probe()


# One code object after another at the same address, of another name and other lines.
def reused():
    for i in range(20):
        names = {"probe": probe}
        text = "\n" * i + "def f%d():\n  return probe()\nf%d()\n" % (i, i)
        exec(compile(text, "<made %d>" % (i % 3), "exec"), names)
        del names


# The same text, compiled again and again, is the same code.
def compiled_again():
    functions = []
    for _ in range(500):
        names = {}
        exec(compile("def f():\n  return bytearray(70000)\nf()\n", "<same>", "exec"), names)
        functions.append(names["f"])  # at an address of its own


def in_threads():
    def body(number):
        for _ in range(3):
            recurse(number)
            list(generator(number))

    threads = [threading.Thread(target=body, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def in_a_child():
    child = os.fork()
    if not child:
        for _ in range(2):
            函数()
            in_threads()
        os._exit(0)
    os.waitpid(child, 0)


def main():
    Child()
    Thing().method()
    Thing.static(3)
    Thing().value
    list(generator(3))
    函数()
    raise_and_catch()
    asyncio.run(many())
    recurse(5)
    recurse(800)
    recurse_through_c(30)
    reused()
    compiled_again()
    in_threads()
    in_a_child()
    sys.setrecursionlimit(5000)
    eval("probe()")
    kept.append(Thing())  # its end is the interpreter's
    atexit.register(probe)


if __name__ == "__main__":
    main()
