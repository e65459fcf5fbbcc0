#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A reader of trace files, written from docs/trace-format.md alone: prints what a file holds as JSON,
for tests to compare with what ragprof says."""

import collections
import ctypes
import json
import struct
import sys
import zlib

KINDS = ("malloc", "python", "mmap", "brk")
METRICS = ("rss,pss,swap,virtual,anonymous,file,shared,heap_live,heap_peak,malloc_arena,malloc_mapped,"
           "malloc_used,malloc_free,malloc_trim,shim,cgroup_used,cgroup_cache,cgroup_limit,iterations,"
           "host_available".split(","))
REASONS = ("unknown,disk,futex,GIL,socket,timer,page fault,run queue,pipe,child,signal,stopped"
           .split(","))
OBJECT_KINDS = (None, "file", "pipe", "socket", "event", "device", "memory", "lock")
CLASSES = (None, "syscall", "file", "socket", "block", "fault", "lock", "probe")
HAPPENINGS = (None, "fork", "exec", "exit", "OOM kill")
POINTS = dict(enumerate(
    "threads,descriptors,descriptors_limit,minor_faults,major_faults,read_bytes,write_bytes,read_chars,"
    "write_chars,cpu_quota_us,cpu_period_us,cpu_periods,cpu_throttled,cpu_throttled_ns,migrations,"
    "cpus_allowed,host_runnable,memory_limit".split(",")))
POINTS.update(enumerate("resident_heap,resident_stack,resident_anonymous,resident_code,resident_file,"
                        "resident_shared".split(","), 32))


class Fields:
    """The varints of a body."""

    def __init__(self, body):
        self.body, self.at = body, 0

    def take(self, count):
        taken = self.body[self.at:self.at + count]
        assert len(taken) == count, "a body is too short"
        self.at += count
        return taken

    def varint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def zigzag(self):
        value = self.varint()
        return value // 2 if value % 2 == 0 else -(value + 1) // 2

    def many(self, count):
        return [self.varint() for _ in range(count)]


def unpack(kind, payload, raw_bytes):
    if kind == 3:
        assert len(payload) == raw_bytes
        return payload
    raw = ctypes.create_string_buffer(raw_bytes)
    decompress = ctypes.CDLL("libzstd.so.1").ZSTD_decompress
    decompress.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    decompress.restype = ctypes.c_size_t
    assert decompress(raw, raw_bytes, payload, len(payload)) == raw_bytes, "a chunk does not unpack"
    return raw.raw


def chunks(data):
    """The raw bytes of every chunk."""
    assert data[:8] == b"\x89RAGP\r\n\x1a", "no trace"
    version, crc = struct.unpack_from("<II", data, 8)
    assert version == 1 and crc == zlib.crc32(data[:12]), "a bad header"
    at, expected = 16, 0
    while True:
        magic, kind, stored, raw_bytes, sequence, crc = struct.unpack_from("<4sIIIII", data, at)
        payload = data[at + 24:at + 24 + stored]
        assert magic == b"RPCK" and sequence == expected and len(payload) == stored
        assert crc == zlib.crc32(payload, zlib.crc32(data[at:at + 20])), "a bad checksum"
        at, expected = at + 24 + stored, expected + 1
        if kind == 2:
            assert at == len(data), "something follows the end"
            return
        yield unpack(kind, payload, raw_bytes)


def records(raw):
    fields = Fields(raw)
    while fields.at < len(raw):
        kind = fields.take(1)[0]
        yield kind, fields.take(fields.varint())


class Trace:
    def __init__(self):
        self.strings, self.modules, self.frames, self.nodes = [""], [None], [None], [None]
        self.processes, self.threads, self.symbols, self.accounts = {}, {}, {}, {}
        self.samples, self.waits, self.counters, self.facts = [], [], {}, {}
        self.heap_sites, self.heap, self.memory = [None], [], []
        self.calls, self.slow_calls = {}, []
        self.objects, self.operations, self.slow_operations = [None], [None], []
        self.sums, self.happenings, self.points = 0, [], []
        self.start_chunk()

    def start_chunk(self):
        self.last_ns = self.last_heap_site = 0
        self.last_memory = [0] * 32
        self.last_operation_ns = self.last_operation = 0
        self.last_points = [0] * 64

    def read(self, data):
        by_type = {1: self.string, 2: self.module, 3: self.frame, 4: self.node, 5: self.process,
                   6: self.thread, 7: self.symbol, 8: self.sample, 9: self.wait, 10: self.account,
                   11: self.counter, 12: self.meta, 13: self.heap_site, 14: self.heap_record,
                   15: self.memory_record, 16: self.call, 17: self.slow_call,
                   18: self.object, 19: self.operation, 20: self.operation_sum,
                   21: self.operation_detail, 22: self.operation_stack, 23: self.slow_operation,
                   24: self.happening, 25: self.point}
        for raw in chunks(data):
            self.start_chunk()
            for kind, body in records(raw):
                if kind in by_type:
                    by_type[kind](Fields(body))

    def string(self, fields):
        self.strings.append(fields.body.decode("utf-8", "surrogateescape"))

    def text(self, fields):
        return self.strings[fields.varint()]

    def module(self, fields):
        path = self.text(fields)
        self.modules.append((path, fields.take(fields.varint()).hex()))

    def frame(self, fields):
        kind, flags, module, address = fields.many(4)
        function, file = self.text(fields), self.text(fields)
        line, first_line = fields.many(2)
        self.frames.append((kind, flags, self.modules[module], address, function, file, line, first_line))

    def node(self, fields):
        back, frame = fields.many(2)
        self.nodes.append((len(self.nodes) - back, frame))

    def process(self, fields):
        pid, parent, start_ns, end_ns = fields.many(4)
        self.processes[pid] = (parent, start_ns, end_ns, self.text(fields), self.text(fields),
                               self.text(fields))

    def thread(self, fields):
        thread, pid, tid, start_ns, end_ns = fields.many(5)
        self.threads[thread] = (pid, tid, start_ns, end_ns, self.text(fields))

    def symbol(self, fields):
        frame, depth = fields.many(2)
        self.symbols.setdefault(frame, {})[depth] = (self.text(fields), self.text(fields))

    def time(self, fields):
        self.last_ns += fields.zigzag()
        return self.last_ns

    def sample(self, fields):
        self.samples.append((self.time(fields), *fields.many(2)))

    def wait(self, fields):
        start_ns = self.time(fields)
        thread, node, reason, count, blocked_ns, run_queue_ns = fields.many(6)
        span_ns = blocked_ns + run_queue_ns + fields.zigzag()
        max_ns = span_ns + fields.zigzag()
        self.waits.append((start_ns, span_ns, blocked_ns, run_queue_ns, max_ns, count, thread, node,
                           REASONS[reason], *fields.many(2)))

    def account(self, fields):
        thread, *rest = fields.many(8)
        self.accounts[thread] = rest

    def heap_site(self, fields):
        pid, node, kind = fields.many(3)
        self.heap_sites.append({"pid": pid, "node": node, "kind": KINDS[kind], "time_ns": 0,
                                "allocations": 0, "allocated_bytes": 0, "live": 0, "live_bytes": 0,
                                "peak_bytes": 0})

    def heap_record(self, fields):
        time_ns = self.time(fields)
        self.last_heap_site += fields.zigzag()
        site = self.heap_sites[self.last_heap_site]
        assert time_ns >= site["time_ns"], "a site goes back in time"
        frees = site["allocations"] - site["live"]
        site["time_ns"] = time_ns
        site["allocations"] += fields.varint()
        site["allocated_bytes"] += fields.varint()
        site["live"] += fields.zigzag()
        site["live_bytes"] += fields.zigzag()
        site["peak_bytes"] += fields.varint()
        assert 0 <= site["live"] and frees <= site["allocations"] - site["live"]
        self.heap.append((time_ns, self.last_heap_site, site["live_bytes"]))

    def memory_record(self, fields):
        time_ns = self.time(fields)
        pid, present = fields.many(2)
        values = {}
        for metric in range(32):
            if present >> metric & 1:
                self.last_memory[metric] += fields.zigzag()
                if metric < len(METRICS):
                    values[METRICS[metric]] = self.last_memory[metric]
        self.memory.append((time_ns, pid, values))

    def call(self, fields):
        pid, name = fields.varint(), self.text(fields)
        totals = fields.many(5)
        self.calls[f"{pid} {name}"] = (*totals, self.buckets(fields))

    @staticmethod
    def buckets(fields):
        buckets, at = {}, 0
        for _ in range(fields.varint()):
            at += fields.varint()
            assert at < 248, "a bucket that is none"
            buckets[at] = fields.varint()
            at += 1
        assert sum(buckets.values()) < 1 << 64
        return buckets

    def slow_call(self, fields):
        time_ns = self.time(fields)
        thread, node = fields.many(2)
        name, duration_ns = self.text(fields), fields.varint()
        self.slow_calls.append((time_ns, duration_ns, fields.zigzag(), thread, node, name))

    def object(self, fields):
        self.objects.append((OBJECT_KINDS[fields.varint()], self.text(fields)))

    def operation(self, fields):
        kind, pid, thread, which = fields.many(4)
        self.operations.append({"class": CLASSES[kind], "pid": pid, "thread": thread,
                                "object": self.objects[which], "name": self.text(fields), "time_ns": 0,
                                "count": 0, "errors": 0, "bytes": 0, "total_ns": 0, "max_ns": 0,
                                "buckets": None, "results": None, "stacks": {}})

    def operation_time(self, fields):
        self.last_operation_ns += fields.zigzag()
        return self.last_operation_ns

    def the_operation(self, fields):
        self.last_operation += fields.zigzag()
        assert self.last_operation > 0, "an operation that is none"
        return self.operations[self.last_operation]

    def operation_sum(self, fields):
        time_ns = self.operation_time(fields)
        operation = self.the_operation(fields)
        assert time_ns >= operation["time_ns"], "an operation goes back in time"
        operation["time_ns"] = time_ns
        for name in ("count", "errors", "bytes", "total_ns", "max_ns"):
            operation[name] += fields.varint()
            assert operation[name] < 1 << 64
        self.sums += 1

    def operation_detail(self, fields):
        operation = self.the_operation(fields)
        operation["buckets"] = self.buckets(fields)
        results = [fields.many(2) for _ in range(fields.varint())]
        operation["results"] = dict(results)
        assert len(results) <= 16 and len(operation["results"]) == len(results)

    def operation_stack(self, fields):
        operation = self.the_operation(fields)
        node, *numbers = fields.many(4)
        operation["stacks"][node] = numbers

    def slow_operation(self, fields):
        time_ns = self.operation_time(fields)
        operation, thread, node, which, duration_ns = fields.many(5)
        self.slow_operations.append((time_ns, duration_ns, fields.zigzag(), thread, node,
                                     self.operations[operation]["name"], self.objects[which]))

    def happening(self, fields):
        time_ns = self.operation_time(fields)
        pid, what, value = fields.many(3)
        self.happenings.append((time_ns, pid, HAPPENINGS[what], value, self.text(fields)))

    def point(self, fields):
        time_ns = self.operation_time(fields)
        pid, metric = fields.many(2)
        self.last_points[metric] += fields.zigzag()
        if metric in POINTS:
            self.points.append((time_ns, pid, POINTS[metric], self.last_points[metric]))

    def counter(self, fields):
        name = self.text(fields)
        self.counters[name] = fields.varint()

    def meta(self, fields):
        name = self.text(fields)
        self.facts[name] = self.text(fields)

    def functions_of(self, frame):
        """The functions of a frame, the root side first."""
        by_depth = self.symbols.get(frame)
        if by_depth:
            return [by_depth[depth][0] for depth in sorted(by_depth, reverse=True)]
        return [self.frames[frame][4] or "[unknown]"]

    def stack(self, node):
        names = []
        while node:
            node, frame = self.nodes[node]
            names = self.functions_of(frame) + names
        return names


def main():
    trace = Trace()
    with open(sys.argv[1], "rb") as file:
        trace.read(file.read())
    leaves = collections.Counter(trace.stack(node)[-1] if node else "" for _, _, node in trace.samples)
    reasons = collections.Counter()
    for wait in trace.waits:
        reasons[wait[8]] += wait[2] + wait[3]
    json.dump({
        "samples": len(trace.samples),
        "waits": len(trace.waits),
        "threads": {thread: list(of) for thread, of in trace.threads.items()},
        "processes": {pid: list(of) for pid, of in trace.processes.items()},
        "accounts": trace.accounts,
        "counters": trace.counters,
        "facts": trace.facts,
        "leaves": leaves,
        "waiting_ns": reasons,
        "heap_sites": [{**site, "stack": trace.stack(site["node"])} for site in trace.heap_sites[1:]],
        "heap_points": len(trace.heap),
        "memory": trace.memory,
        "calls": trace.calls,
        "slow_calls": trace.slow_calls,
        "operations": [{**operation, "stacks": [[trace.stack(node), *numbers] for node, numbers
                                                in operation["stacks"].items()]}
                       for operation in trace.operations[1:]],
        "operation_sums": trace.sums,
        "slow_operations": trace.slow_operations,
        "happenings": trace.happenings,
        "points": trace.points,
        "first_sample": [trace.samples[0][0], trace.stack(trace.samples[0][2])] if trace.samples else None,
    }, sys.stdout)


if __name__ == "__main__":
    main()
