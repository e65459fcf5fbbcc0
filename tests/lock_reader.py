#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Prints what a trace holds about locks as JSON, by the reader of trace files that knows only
docs/trace-format.md: for each lock and thread its waits and its holds, with their stacks from the
root, and of each thread what it waited by the accounts of waits."""

import collections
import json
import sys

from trace_reader import Trace


def rows(trace):
    locks = collections.defaultdict(lambda: {"wait": [], "hold": []})
    for operation in trace.operations[1:]:
        if operation["class"] != "lock":
            continue
        thread = trace.threads.get(operation["thread"])
        stacks = [{"stack": trace.stack(node), "count": count, "total_ns": total_ns}
                  for node, (count, _, total_ns) in operation["stacks"].items()]
        assert operation["object"][0] == "lock"
        locks[operation["object"][1]][operation["name"]].append(
            {"tid": thread[1] if thread else 0, "count": operation["count"],
             "total_ns": operation["total_ns"], "max_ns": operation["max_ns"],
             "in_buckets": sum((operation["buckets"] or {}).values()),
             "stacks": sorted(stacks, key=lambda stack: -stack["total_ns"])})
    return locks


def waits(trace):
    """Nanoseconds off the CPU by TID and reason."""
    by_thread = collections.defaultdict(lambda: collections.Counter())
    for wait in trace.waits:
        by_thread[trace.threads[wait[6]][1]][wait[8]] += wait[2] + wait[3]
    return by_thread


def main():
    trace = Trace()
    with open(sys.argv[1], "rb") as file:
        trace.read(file.read())
    json.dump({"locks": rows(trace), "waits": waits(trace)}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
