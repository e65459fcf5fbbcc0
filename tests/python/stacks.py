# SPDX-License-Identifier: GPL-2.0-or-later
"""Puts threads to sleep at the ends of known stacks and prints what each stack is.

Output: "thread TID NAME", then its frames from the innermost outwards, each
"frame FIRST_LINE LINE FLAGS<TAB>NAME<TAB>QUALNAME<TAB>FILE" (QUALNAME is "-" before 3.11), and at
last "ready". All threads sleep without the GIL until stdin is closed.
"""
import asyncio
import contextlib
import functools
import os
import sys
import threading
import time

lock = threading.Lock()
asleep = threading.Semaphore(0)
done = threading.Event()


def describe(frame):
    code = frame.f_code
    qualname = getattr(code, "co_qualname", "-")
    return "frame %d %d %d\t%s\t%s\t%s\n" % (
        code.co_firstlineno, frame.f_lineno, code.co_flags, code.co_name, qualname, code.co_filename)


def show():
    """Prints the caller's stack, whose innermost frame is about to sleep on the same line."""
    frame = sys._getframe(1)
    text = "thread %d %s\n" % (threading.get_native_id(), threading.current_thread().name)
    while frame is not None:
        text += describe(frame)
        frame = frame.f_back
    with lock:
        sys.stdout.write(text)
        sys.stdout.flush()
    asleep.release()


def nap():
    show(); time.sleep(600)


def plain(depth):
    if depth == 0:
        return nap()
    return plain(
        depth - 1
    )


def key(item):
    if item == 2:
        nap()
    return item


def from_c():
    return sorted([3, 1, 2], key=key)


def inner_generator(n):
    for i in range(n):
        if i == 150:
            nap()
        yield i


def outer_generator(n):
    yield from (i + 1 for i in inner_generator(n))


def generators():
    total = 0
    for value in outer_generator(200):
        total += value
    return total


class Initialised:
    def __init__(self, depth):
        self.depth = depth
        if depth == 500:
            nap()

    @property
    def deep(self):
        return self.nested()

    def nested(self):
        def closure():
            return [nap() for _ in range(1)]
        return closure()


def constructor():
    for depth in range(600):
        Initialised(depth)


async def leaf():
    await asyncio.sleep(0)
    nap()


async def middle():
    return await asyncio.gather(leaf())


async def branch():
    async for _ in aiter_of(3):
        await middle()


async def aiter_of(n):
    for i in range(n):
        yield i


async def straight(depth):
    if depth == 0:
        await asyncio.sleep(0)
        show(); time.sleep(600)
        return
    await straight(depth - 1)


def coroutines():
    asyncio.new_event_loop().run_until_complete(branch())


def awaits():
    asyncio.new_event_loop().run_until_complete(straight(6))


@contextlib.contextmanager
def managed():
    nap()
    yield


def context():
    with managed():
        pass


def décorée(callback):
    return functools.reduce(lambda a, b: callback(), [1, 2])


def 名前(callback):
    return décorée(callback)


def 𠀀(callback):
    return 名前(callback)


def unicode_names():
    return 𠀀(nap)


def evaluated():
    scope = {"nap": nap}
    exec(compile("\n\n" + "x = 1\n" * 300 + "def far():\n" + "\n" * 300 + "  return nap()\nfar()\n",
                 "<generated \U0001f40d>", "exec"), scope)


def excepted():
    try:
        raise ValueError("x")
    except ValueError:
        nap()
    finally:
        pass


class Meta(type):
    def __call__(cls, *args):
        nap()
        return super().__call__(*args)


def metaclass():
    return Meta("Made", (), {})()


def lock_waiter():
    gate = threading.Lock()
    gate.acquire()
    show(); gate.acquire()


def sort_with_comparison():
    def compare(a, b):
        if a == 3:
            nap()
        return a - b
    return sorted([1, 2, 3], key=functools.cmp_to_key(compare))


def main():
    scenes = [functools.partial(plain, 40), from_c, generators, constructor, coroutines, awaits, context,
              unicode_names, evaluated, excepted, metaclass, lock_waiter, sort_with_comparison,
              lambda: Initialised(1).deep]
    for number, scene in enumerate(scenes):
        name = getattr(scene, "__name__", "scene%d" % number).encode("ascii", "replace").decode()
        threading.Thread(target=scene, name=name, daemon=True).start()
    for _ in scenes:
        asleep.acquire()
    main_sleep()


def main_sleep():
    show(); print("ready", flush=True) or os.read(0, 1)


if __name__ == "__main__":
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
    main()
    os._exit(0)
