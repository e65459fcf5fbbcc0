# SPDX-License-Identifier: GPL-2.0-or-later
"""Looks up a name at a resolver of its own, for a private network: net_dns.py MODE.

"late" answers after 60 ms; "deaf" never answers what asks for an IPv6 address. Prints the seconds
that the look-up took.
"""

import socket
import struct
import sys
import threading
import time

DELAY_S = 0.06
TYPE_V6 = 28


def answer(query):
    end = query.index(b"\0", 12) + 5  # the name, type and class of the question
    kind = struct.unpack_from(">H", query, end - 4)[0]
    head = query[:2] + b"\x81\x80" + struct.pack(">HHHH", 1, kind != TYPE_V6, 0, 0)
    record = b"" if kind == TYPE_V6 else b"\xc0\x0c" + struct.pack(">HHIH4s", 1, 1, 1, 4, b"\x7f\0\0\1")
    return kind, head + query[12:end] + record


def resolve(server, mode):
    while True:
        query, client = server.recvfrom(512)
        kind, reply = answer(query)
        if mode == "deaf" and kind == TYPE_V6:
            continue
        if mode == "late":
            threading.Timer(DELAY_S, server.sendto, (reply, client)).start()
        else:
            server.sendto(reply, client)


def look_up_name():
    return socket.getaddrinfo("service.example", 80, type=socket.SOCK_STREAM)


server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
threading.Thread(target=resolve, args=(server, sys.argv[1]), daemon=True).start()
start = time.monotonic()
try:
    look_up_name()
except socket.gaierror:
    pass
print(time.monotonic() - start)
