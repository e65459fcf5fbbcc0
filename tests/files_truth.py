#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""files_truth.py STRACE REPORT FOLDER: compares what strace -f -y saw of the files below a folder with
the files of a report in JSON. Prints what differs; exits with 1 when something does."""

import collections
import json
import re
import sys

READS = ("read", "pread64", "readv", "preadv")
WRITES = ("write", "pwrite64", "writev", "pwritev")
SYNCS = ("fsync", "fdatasync", "sync_file_range")
OPENS = ("open", "openat", "creat")
CALL = re.compile(r"(\w+)\((.*)\)\s+= (-?\w+)(?:<([^>]*)>)?(?: (E[A-Z0-9]+))?")
DESCRIPTOR = re.compile(r"\d+<([^>]*)>")


def whole_lines(lines):
    """Calls that others interrupt stand on two lines."""
    begun = {}
    for line in lines:
        pid, _, rest = line.rstrip("\n").partition(" ")
        rest = rest.strip()
        if rest.endswith("<unfinished ...>"):
            begun[pid] = rest[:-len("<unfinished ...>")].rstrip()
        elif "resumed>" in rest and rest.startswith("<..."):
            yield begun.pop(pid) + " " + rest.partition("resumed>")[2]
        else:
            yield rest


def operations(name, arguments, result, made):
    """(operation, path, bytes) of one call."""
    files = DESCRIPTOR.findall(arguments)
    count = max(result, 0)
    if name in OPENS:
        yield "open", made or "", 0
    elif name in READS:
        yield "read", files[0], count
    elif name in WRITES:
        yield "write", files[0], count
    elif name in SYNCS:
        yield "fsync", files[0], 0
    elif name == "sendfile":
        yield "write", files[0], count
        yield "read", files[1], count
    elif name == "copy_file_range":
        yield "read", files[0], count
        yield "write", files[1], count
    elif name == "mmap" and files:
        yield "mmap", files[0], int(arguments.split(", ")[1])


def of_strace(path):
    sums = collections.defaultdict(lambda: [0, 0, 0])
    with open(path, errors="replace") as lines:
        for line in whole_lines(lines):
            call = CALL.match(line)
            if not call or call[3] == "?":
                continue
            result = int(call[3], 0)
            for operation, file, size in operations(call[1], call[2], result, call[4]):
                add = sums[file, operation]
                add[0] += 1
                add[1] += call[5] is not None
                add[2] += size
    return sums


def of_report(path):
    with open(path) as text:
        report = json.load(text)
    return {(row["file"] or "", operation["name"]):
            [operation["count"], operation["errors"], operation["bytes"]]
            for row in report["files"] for operation in row["operations"]}


def main():
    told, seen = of_strace(sys.argv[1]), of_report(sys.argv[2])
    keys = {key for key in [*told, *seen]
            if (not key[0] or key[0].startswith(sys.argv[3] + "/")) and key[1] != "device read"}
    wrong = [key for key in sorted(keys) if list(told.get(key, [])) != list(seen.get(key, []))]
    for key in wrong:
        print(key, "strace:", told.get(key), "ragprof:", seen.get(key))
    print(len(keys), "operations on files,", len(wrong), "differ")
    sys.exit(bool(wrong) or len(keys) < 20)


main()
