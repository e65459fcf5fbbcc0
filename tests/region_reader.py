#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Prints what the regions of a session's folder hold, as JSON. Written from preload/region.h alone
and shares no code with the collector, so that the two can be held against each other. It reads
healthy regions only: no defence against hostile ones.

usage: region_reader.py [--sites] FOLDER"""

import ctypes
import json
import os
import sys

u64, u32, u16, u8 = ctypes.c_uint64, ctypes.c_uint32, ctypes.c_uint16, ctypes.c_uint8

MAGIC = 0x4E4F494745524752
SITES_MAX = 128 * 1024
WORDS_MAX = 8 * 1024 * 1024
MODULES_MAX = 4096
CODES_MAX = 64 * 1024
TEXT_BYTES = 32 * 1024 * 1024
EVENTS_MAX = 16 * 1024
BUCKETS = 248
STRIPES = 64
QUICK_FIRST = 16  # the call that column 0 of quick[] counts: pthread_mutex_lock
KINDS = ["malloc", "python", "map", "break", "cpu"]
CALLS = (
    "read write pread pwrite send recv sendfile connect accept poll select epoll_wait open close"
    " fsync fdatasync pthread_mutex_lock pthread_rwlock_lock pthread_cond_wait sem_wait"
    " pthread_join nanosleep wait getaddrinfo"
).split()
LOST = "lost_sites lost_blocks lost_codes lost_modules lost_samples lost_threads".split()
SUMS = "allocations allocated_bytes frees freed_bytes samples".split()


def structure(name, fields):
    return type(name, (ctypes.Structure,), {"_fields_": fields})


CallTotal = structure("CallTotal", [
    ("count", u64), ("errors", u64), ("bytes", u64), ("total_ns", u64), ("max_ns", u64),
    ("buckets", u64 * BUCKETS),
])
Site = structure("Site", [
    ("hash", u64), ("state", u32), ("kind", u32), ("word_first", u32), ("native_count", u16),
    ("python_count", u16), ("native_end", u8), ("python_end", u8), ("wait_reason", u16),
    ("generation", u32), ("native_tail_first", u32), ("native_tail_count", u32),
    ("python_tail_first", u32), ("python_tail_count", u32), ("pad2", u64 * 2), ("allocations", u64), ("allocated_bytes", u64),
    ("frees", u64), ("freed_bytes", u64), ("peak_bytes", u64), ("samples", u64), ("pad3", u64 * 2),
])
Module = structure("Module", [
    ("start", u64), ("end", u64), ("bias", u64), ("generation", u32), ("path_off", u32),
    ("path_bytes", u16), ("build_id_bytes", u16), ("build_id_off", u32),
])
Text = structure("Text", [("off", u32), ("length", u32), ("kind", u32)])
Code = structure("Code", [
    ("name", Text), ("file", Text), ("first_line", u32), ("flags", u32), ("lines_off", u32),
    ("lines_bytes", u32), ("version", u32), ("state", u32),
])
Event = structure("Event", [
    ("sequence", u64), ("time_ns", u64), ("value", u64), ("result", ctypes.c_int64), ("site", u32),
    ("tid", u32), ("type", u32), ("call", u32), ("waits", u64), ("pad", u64),
])
Mallinfo = structure("Mallinfo", [
    (name, u64) for name in
    "time_ns arena_bytes mapped_bytes used_bytes free_bytes trim_bytes".split()
])
HEAD = [
    ("magic", u64), ("version", u32), ("state", u32), ("bytes", u64), ("pid", u32),
    ("parent_pid", u32), ("start_ns", u64), ("alloc_interval_bytes", u32),
    ("python_interval_bytes", u32), ("kinds", u32), ("cpu_hz", u32), ("python_version", u32),
    ("foreign_allocator", u32), ("name", ctypes.c_char * 16), ("site_count", u32),
    ("word_count", u32), ("module_count", u32), ("code_count", u32), ("text_bytes", u32),
    ("generation", u32), ("event_count", u64), ("iterations", u64), ("live_bytes", ctypes.c_int64),
    ("peak_bytes", ctypes.c_int64), ("shim_bytes", u64),
] + [(name, u64) for name in LOST] + [
    ("asked", u32), ("answered", u32), ("mallinfo", Mallinfo), ("calls", CallTotal * len(CALLS)),
]
# quick[] begins on a cache line.
HEAD.append(("gap", u8 * (-ctypes.sizeof(structure("Before", HEAD)) % 64)))
HEAD += [
    ("quick", u64 * 8 * STRIPES), ("modules", Module * MODULES_MAX), ("codes", Code * CODES_MAX),
]
Head = structure("Head", HEAD)


def aligned(offset):
    return (offset + 63) & ~63


EVENTS_OFF = aligned(ctypes.sizeof(Head))
SITES_OFF = aligned(EVENTS_OFF + EVENTS_MAX * ctypes.sizeof(Event))
WORDS_OFF = SITES_OFF + SITES_MAX * ctypes.sizeof(Site)
TEXT_OFF = WORDS_OFF + WORDS_MAX * 8
REGION_BYTES = aligned(TEXT_OFF + TEXT_BYTES)


def kind_name(kind):
    return KINDS[kind] if kind < len(KINDS) else CALLS[kind - len(KINDS)]


class Region:
    def __init__(self, path):
        self.path = path
        with open(path, "rb") as file:
            self.head = Head.from_buffer_copy(file.read(ctypes.sizeof(Head)))
            if self.head.magic != MAGIC:
                raise ValueError("%s: no region, or one not begun" % path)
            if self.head.bytes != REGION_BYTES:
                raise ValueError(
                    "%s: region.h says %d bytes, this reader %d" % (path, self.head.bytes, REGION_BYTES)
                )
            self.sites = self._array(file, SITES_OFF, Site, self.head.site_count)
            self.words = self._array(file, WORDS_OFF, u64, self.head.word_count)
            self.events = self._array(file, EVENTS_OFF, Event, min(self.head.event_count, EVENTS_MAX))
            file.seek(TEXT_OFF)
            self.text = file.read(self.head.text_bytes)

    @staticmethod
    def _array(file, offset, item, count):
        file.seek(offset)
        return (item * count).from_buffer_copy(file.read(ctypes.sizeof(item) * count))

    def kinds(self):
        """Sums by kind; the first sites are those of the stacks that there was no room for."""
        totals = {}
        for index, site in enumerate(self.sites):
            kind = site.kind if index > len(KINDS) else min(index, len(KINDS))
            row = totals.setdefault(kind_name(kind), dict.fromkeys(SUMS, 0))
            for name in SUMS:
                row[name] += getattr(site, name)
        return {kind: row for kind, row in totals.items() if any(row.values())}

    def string(self, text):
        encoding = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}.get(text.kind)
        data = self.text[text.off:text.off + text.length * text.kind]
        return data.decode(encoding, "replace") if encoding else "?"

    def run(self, first, count):
        return self.words[first:first + count]

    def stack(self, site):
        """The words of a site's stack, native and Python: what is its own, then the tails that it
        shares."""
        native_own = site.native_count - site.native_tail_count
        python_own = site.python_count - site.python_tail_count
        return (self.run(site.word_first, native_own)
                + self.run(site.native_tail_first, site.native_tail_count),
                self.run(site.word_first + native_own, python_own)
                + self.run(site.python_tail_first, site.python_tail_count))

    def site_rows(self):
        for index, site in enumerate(self.sites):
            if index <= len(KINDS) or not site.state:
                continue
            native, python = self.stack(site)
            row = {"kind": kind_name(site.kind), "native_end": site.native_end,
                   "python_end": site.python_end, "wait_reason": site.wait_reason, "peak_bytes": site.peak_bytes,
                   "native": native, "python": python}
            row.update((name, getattr(site, name)) for name in SUMS)
            yield row

    def summary(self, with_sites):
        head = self.head
        row = {name: getattr(head, name) for name in (
            "state pid parent_pid python_version foreign_allocator site_count iterations live_bytes"
            " peak_bytes shim_bytes event_count").split()}
        row.update(file=os.path.basename(self.path), name=head.name.decode("utf-8", "replace"),
                   kinds=self.kinds(), lost={name: getattr(head, name) for name in LOST})
        quick = dict(zip(CALLS[QUICK_FIRST:], map(sum, zip(*head.quick))))
        row["calls"] = {
            name: dict({key: getattr(head.calls[index], key)
                        for key in ("count", "errors", "bytes", "total_ns", "max_ns")},
                       quick=quick.get(name, 0))
            for index, name in enumerate(CALLS) if head.calls[index].count or quick.get(name)
        }
        if with_sites:
            row["sites"] = list(self.site_rows())
            row["events"] = [
                {key: getattr(event, key) for key in "time_ns value result site tid type call waits".split()}
                for event in self.events
            ]
        return row


def regions(folder):
    """All that are in use, in order of their names; spares that nobody took over are left out."""
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        with open(path, "rb") as file:
            start = Head.from_buffer_copy(file.read(ctypes.sizeof(Head)).ljust(ctypes.sizeof(Head), b"\0"))
        if start.magic == MAGIC and start.state:
            yield Region(path)


def main():
    arguments = sys.argv[1:]
    with_sites = "--sites" in arguments
    folder = [word for word in arguments if word != "--sites"][0]
    processes = [region.summary(with_sites) for region in regions(folder)]
    total = {}
    for process in processes:
        for kind, row in process["kinds"].items():
            sums = total.setdefault(kind, dict.fromkeys(SUMS, 0))
            for name in SUMS:
                sums[name] += row[name]
    json.dump({"processes": processes, "total": total}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
