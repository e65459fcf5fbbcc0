# SPDX-License-Identifier: GPL-2.0-or-later
"""A service in Python that leaks a known number of bytes a call of handle(), or is innocent in one of
several ways. Prints what it leaked in all, as JSON.

usage: leak_service.py CASE CALLS PAUSE_US [BYTES]"""

import functools
import importlib
import json
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor

choose = random.Random(7).randrange
forgotten = [None] * 100000
leaked_bytes = 0
MODULES = """csv decimal email.message fractions gettext html.parser http.client http.cookies imaplib
ipaddress logging.config mailbox mimetypes multiprocessing.pool optparse pdb pickletools plistlib
pydoc sqlite3 statistics tarfile unittest.mock urllib.request wsgiref.handlers xml.dom.minidom
xmlrpc.client zipfile""".split()


def temporaries():
    words = {i: "x" * choose(20, 3000) for i in range(30)}
    return " ".join(words.values()).split()


def keep(call, count):
    """The interpreter says what it takes: sizes vary by a half."""
    global leaked_bytes
    block = bytes(count // 2 + choose(count) - sys.getsizeof(b"") if count > 128 else count - 33)
    forgotten[call] = block
    leaked_bytes += sys.getsizeof(block)


def leak(call, count):
    if call < 15:
        globals()["table_%d" % call] = bytearray(200000)
    temporaries()
    keep(call, count)


def flat(call, count):
    temporaries()


@functools.lru_cache(maxsize=150)
def embedding(key):
    return bytearray(4000 + key % 4000)


def lru(call, count):
    temporaries()
    embedding(choose(200) if choose(10) else choose(10000))


class Node:
    def __init__(self):
        self.me = self
        self.payload = bytearray(2000)


def cycles(call, count):
    temporaries()
    for _ in range(20):
        Node()


def imports(call, count):
    temporaries()
    if call % 8 == 0 and call // 8 < len(MODULES):
        importlib.import_module(MODULES[call // 8])


@functools.lru_cache(maxsize=1)
def pool():
    return ThreadPoolExecutor(16)


def work(number):
    return len(bytearray(50000 + number))


def threads(call, count):
    # the pool starts a thread whenever none is idle, up to 16
    list(pool().map(work, range(call % 20)))


sessions = {}


def expiring(call, count):
    temporaries()
    sessions[call] = bytearray(3000 + choose(3000))
    for old in [key for key in sessions if key < call - 60]:
        del sessions[old]


def handle(case, call, count):
    case(call, count)


def main():
    case, calls, pause_us = globals()[sys.argv[1]], int(sys.argv[2]), int(sys.argv[3])
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 4096
    for call in range(calls):
        handle(case, call, count)
        time.sleep(pause_us / 1e6)
    print(json.dumps({"iterations": calls, "leaked_bytes": leaked_bytes}))


if __name__ == "__main__":
    main()
