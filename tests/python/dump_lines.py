# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the line tables of a good part of the standard library and what each instruction's line is.

Output, little-endian: per code object u32 first line, u32 bytes of the table, the table, u32 count,
and count u32 lines, one per 2 bytes of code; 0 stands for no line. The lines come from the
interpreter: dis.findlinestarts up to 3.9 and co_positions() (3.11+) or co_lines() (3.10) from there.
Every 50th code object is also asked from C, by PyCode_Addr2Line.

Usage: dump_lines.py MAX_FILES
"""
import ctypes
import dis
import importlib.util
import marshal
import os
import struct
import sys
import types

addr_to_line = ctypes.pythonapi.PyCode_Addr2Line
addr_to_line.argtypes = [ctypes.py_object, ctypes.c_int]
addr_to_line.restype = ctypes.c_int


def files(limit):
    library = os.path.dirname(os.__file__)
    found = []
    for folder, folders, names in os.walk(library):
        folders[:] = sorted(name for name in folders if name not in ("site-packages", "__pycache__"))
        found += [os.path.join(folder, name) for name in sorted(names) if name.endswith(".py")]
    step = max(1, len(found) // limit)
    return found[::step]


def load(path):
    """The module's code: from its cache if it is there, else compiled."""
    try:
        with open(importlib.util.cache_from_source(path), "rb") as cached:
            data = cached.read()
        if data[:4] == importlib.util.MAGIC_NUMBER:
            return marshal.loads(data[16:])
    except (OSError, ValueError, EOFError, TypeError):
        pass
    try:
        with open(path, "rb") as source:
            return compile(source.read(), path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, UnicodeError):
        return None


def walk(code):
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from walk(constant)


def lines_of(code):
    count = len(code.co_code) // 2
    if hasattr(code, "co_positions"):
        return [position[0] or 0 for position in code.co_positions()]
    lines = [0] * count
    if hasattr(code, "co_lines"):
        for start, end, line in code.co_lines():
            lines[start // 2:end // 2] = [line or 0] * ((end - start) // 2)
        return lines
    starts = list(dis.findlinestarts(code)) + [(2 * count, 0)]
    for (start, line), (end, _) in zip(starts, starts[1:]):
        lines[start // 2:end // 2] = [line] * ((end - start) // 2)
    return lines


def check_by_c(code, lines):
    for index, line in enumerate(lines):
        by_c = addr_to_line(code, 2 * index)
        if max(by_c, 0) != line:
            sys.exit("%s: the interpreter says both line %d and %d" % (code, by_c, line))


def main():
    out = sys.stdout.buffer
    number = 0
    for path in files(int(sys.argv[1])):
        module = load(path)
        for code in walk(module) if module else ():
            table = code.co_lnotab if sys.version_info < (3, 10) else code.co_linetable
            lines = lines_of(code)
            if number % 50 == 0:
                check_by_c(code, lines)
            number += 1
            out.write(struct.pack("<II", code.co_firstlineno, len(table)) + table)
            out.write(struct.pack("<I%dI" % len(lines), len(lines), *lines))


main()
