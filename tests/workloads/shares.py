#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Known answer: of the CPU time, half() takes 50 %, third() 30 %, sixth() 15 % and rest() 5 %, all
called from work(); in each, the line marked "major" takes 60 % of the function and "minor" 40 %.

Every phase burns until its own quota of thread CPU time is used. Slices vary between 2 and 18 ms ×
share, so that they cannot run in step with a sampling clock. At the end a JSON object gives what
the program measured itself by thread_time_ns: the share of each function, and of each line by its
number. The clock is read on the line above each marked line, once in about 50 µs.
Arguments: SECONDS (default 10).
"""
import json
import random
import re
import sys
from time import monotonic, thread_time_ns

QUOTA_PCT = {"half": 50, "third": 30, "sixth": 15, "rest": 5}
MAJOR_SHARE = 0.6
STEPS = range(2000)
used_ns = {(name, part): 0 for name in QUOTA_PCT for part in ("major", "minor")}


def half(major_end_ns, minor_end_ns):
    while thread_time_ns() < major_end_ns:
        for _ in STEPS: pass  # half major
    while thread_time_ns() < minor_end_ns:
        for _ in STEPS: pass  # half minor


def third(major_end_ns, minor_end_ns):
    while thread_time_ns() < major_end_ns:
        for _ in STEPS: pass  # third major
    while thread_time_ns() < minor_end_ns:
        for _ in STEPS: pass  # third minor


def sixth(major_end_ns, minor_end_ns):
    while thread_time_ns() < major_end_ns:
        for _ in STEPS: pass  # sixth major
    while thread_time_ns() < minor_end_ns:
        for _ in STEPS: pass  # sixth minor


def rest(major_end_ns, minor_end_ns):
    while thread_time_ns() < major_end_ns:
        for _ in STEPS: pass  # rest major
    while thread_time_ns() < minor_end_ns:
        for _ in STEPS: pass  # rest minor


def burn_part(function, part, goal_ns):
    """Brings one part of one function up to its goal; over- and undershoot are carried."""
    key = (function.__name__, part)
    start_ns = thread_time_ns()
    end_ns = start_ns + int(goal_ns) - used_ns[key]
    if part == "major":
        function(end_ns, 0)
    else:
        function(0, end_ns)
    used_ns[key] += thread_time_ns() - start_ns


def work(goal_ns):
    for function in (half, third, sixth, rest):
        quota_ns = goal_ns * QUOTA_PCT[function.__name__] / 100
        burn_part(function, "major", quota_ns * MAJOR_SHARE)
        burn_part(function, "minor", quota_ns * (1 - MAJOR_SHARE))


def marked_lines():
    """Line number of each "# function part" mark in this file."""
    with open(__file__) as source:
        marks = ((number, re.search(r"pass  # (\w+) (\w+)$", line))
                 for number, line in enumerate(source, start=1))
        return {match.groups(): number for number, match in marks if match}


def report():
    total_ns = sum(used_ns.values())
    lines = marked_lines()
    functions = {}
    for name in QUOTA_PCT:
        parts = {part: used_ns[name, part] for part in ("major", "minor")}
        functions[name] = {
            "pct": round(100 * sum(parts.values()) / total_ns, 3),
            "lines": {lines[name, part]: round(100 * ns / total_ns, 3)
                      for part, ns in parts.items()},
        }
    print(json.dumps({"cpu_ns": total_ns, "functions": functions}), flush=True)


def main():
    end_s = monotonic() + (float(sys.argv[1]) if len(sys.argv) > 1 else 10)
    rng = random.Random(1)
    goal_ns = 0
    while monotonic() < end_s:
        goal_ns += rng.randrange(2000000, 18000000)
        work(goal_ns)
    report()


if __name__ == "__main__":
    main()
