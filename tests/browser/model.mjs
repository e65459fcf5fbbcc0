// SPDX-License-Identifier: GPL-2.0-or-later
// The page's own sums, without a browser: a hand-made profile with recursion, encoded here as
// userspace/render/flame_data.h documents it.
import { readFileSync } from 'node:fs';
import vm from 'node:vm';
import assert from 'node:assert/strict';

const sources = ['data.js', 'system.js', 'tree.js', 'units.js', 'colors.js']
  .map(name => readFileSync(new URL(`../../userspace/render/page/${name}`, import.meta.url), 'utf8')).join('\n');
const context = vm.createContext({ TextDecoder, Map, console });
vm.runInContext(sources, context);
const { Profile, MergedTree, Sums, callersOf, calleesOf, happeningText, matchedValue } =
  vm.runInContext('({ Profile, MergedTree, Sums, callersOf, calleesOf, happeningText, matchedValue })', context);

const NATIVE = 1;
const PYTHON = 3;
const MAIN = 0, FIB = 1, EVAL = 2, READ = 3;

const varint = value => {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128))
    bytes.push(value % 128 + 128);
  return [...bytes, value];
};
const zigzag = value => value < 0 ? -2 * value - 1 : 2 * value;
const text = value => [...varint(Buffer.byteLength(value)), ...Buffer.from(value)];

// Two threads of 10 µs a sample; four buckets of 1 ms.
const facts = {
  bucket_ns: 1e6, bucket_count: 4, reasons: ['unknown', 'disk'],
  threads: [{ process: 0, tid: 1, weight_ns: 10000 }, { process: 1, tid: 2, weight_ns: 10000 }],
  processes: [{ pid: 1, start_ns: 0, end_ns: 4e6 }, { pid: 2, start_ns: 0, end_ns: 2.5e6 }], facts: {}, counters: {}, heap: { leak_unit: 'iteration' },
};
const strings = ['', 'main', 'fib', '/srv/fib.py', 'eval', '/usr/bin/python3.11', 'read', '/lib/libc.so.6',
  'read /data/x', 'minor [heap]', 'waiting for the GIL', 'recvfrom tcp 10.0.0.1:80', '/bin/ls'];
// name, file, module, first line, kind, whether it allocates for others
const functions = [[1, 0, 5, 0, NATIVE, 0], [2, 3, 0, 5, PYTHON, 0], [4, 0, 5, 0, NATIVE, 1], [6, 0, 7, 0, NATIVE, 0]];
// main → fib:7 → eval → fib:7 → eval → fib:9; fib:7 → read.  number - parent, function, line, flags
const nodes = [[1, MAIN, 0, 0], [1, FIB, 7, 0], [1, EVAL, 0, 0], [1, FIB, 7, 0], [1, EVAL, 0, 0], [1, FIB, 9, 0], [5, READ, 0, 0]];
// thread, node, way, entries: bucket delta, count[, µs]
const streams = [
  [0, 2, 0, [[0, 1]]],                 // outer fib: 10 µs in bucket 0
  [0, 4, 0, [[1, 2]]],                 // inner fib: 20 µs in bucket 1
  [0, 6, 0, [[0, 1], [3, 3]]],         // innermost fib: 10 µs in 0, 30 µs in 3
  [1, 3, 0, [[2, 4]]],                 // eval: 40 µs in 2
  [1, 7, 2, [[1, 1, 500], [1, 0, 300]]], // read waits for the disk: 500 µs in 1, 300 in 2
];

// process, node, live at the peak, growth and its bounds, entries: bucket delta, allocations, bytes, blocks, live bytes
const sites = [
  [0, 5, 300, 25, 20, 30, [[0, 3, 300, 3, 300], [2, 1, 50, -1, -100]]], // the inner eval, of fib
  [1, 7, 8, 0, 0, 0, [[1, 4, 80, 1, 8], [2, 0, 0, -1, -8]]],            // read, in the other process
];
const series = [[0, 0, [[0, 1000], [3, -200]]], [1, 0, [[2, 50]]]]; // process, metric, entries: bucket delta, change

const FILE = 1, MINOR = 4, GIL_WAIT = 7, SOCKET = 2;
const notes = [[FILE, 8], [MINOR, 9], [GIL_WAIT, 10]]; // tone, label
// kind, note, process, thread + 1, node, count, bytes, ns
const operations = [
  [1, 0, 0, 0, 2, 3, 8192, 5000],  // io: the outer fib reads
  [1, 0, 1, 0, 0, 1, 100, 1000],   // io: the other process, at no known stack
  [3, 1, 0, 0, 6, 40, 163840, 0],  // faults of the innermost fib
  [5, 2, 1, 2, 3, 7, 0, 700000],   // GIL: the second thread waits in eval
];
// what, process + 1, entries: step of two buckets, value
const tracks = [
  [2, 1, [[0, 2e6], [1, 4e6]]], // file read: 2 MB in buckets 0 and 1, 4 MB in 2 and 3
  [11, 1, [[0, 3]]], [11, 2, [[0, 5]]], // threads: the second process ends in bucket 2
  [9, 0, [[1, 6]]], // runnable, of the host
  [8, 1, [[0, 1e6]]], [8, 2, [[0, 1e6]]], // throttled: of one cgroup
];
const bars = [[1500, 2500, 0, 11, zigzag(-11), 2, SOCKET]]; // µs, µs, thread, label, result, node, tone
const marks = [[100, 0, 1, 2, 0], [50, 1, 2, 0, 12], [900, 1, 3, 9, 0], [1, 1, 3, 256, 0]]; // µs delta, process, what, value, text

const body = [
  ...varint(functions.length), ...functions.flat().flatMap(varint),
  ...varint(notes.length), ...notes.flat().flatMap(varint),
  ...varint(nodes.length), ...nodes.flat().flatMap(varint),
  ...varint(streams.length),
  ...streams.flatMap(([thread, node, way, entries]) =>
    [thread, node, way, entries.length, ...entries.flat()].flatMap(varint)),
  ...varint(sites.length),
  ...sites.flatMap(site => [...site.slice(0, 6), site[6].length].flatMap(varint).concat(
    site[6].flatMap(([bucket, allocations, bytes, blocks, live]) =>
      [bucket, allocations, bytes, zigzag(blocks), zigzag(live)].flatMap(varint)))),
  ...varint(series.length),
  ...series.flatMap(([process, metric, entries]) => [process, metric, entries.length].flatMap(varint).concat(
    entries.flatMap(([bucket, change]) => [bucket, zigzag(change)].flatMap(varint)))),
  ...varint(operations.length), ...operations.flat().flatMap(varint),
  ...varint(2), ...varint(tracks.length),
  ...tracks.flatMap(([what, process, entries]) => [what, process, entries.length, ...entries.flat()].flatMap(varint)),
  ...[9, bars.length, ...bars.flat()].flatMap(varint), ...[0, 0].flatMap(varint),
  ...[marks.length, marks.length, ...marks.flat()].flatMap(varint),
];
const profile = new Profile(Uint8Array.from([
  ...varint(3), ...text(JSON.stringify(facts)), ...text(strings.map(string => string + '\0').join('')), ...body]));
const tree = new MergedTree(profile, false);
const sums = new Sums(tree, null, null);
const DISK = profile.firstReason + 1;

// A recursive function's total counts each moment once.
let { self, total } = sums.functions('cpu');
assert.equal(self[FIB], 10 + 20 + 40);
assert.equal(total[FIB], 110);
assert.equal(total[EVAL], 100 - 20 + 20); // all but the outer fib's own 10 µs
assert.equal(total[MAIN], 110);
assert.equal(sums.total('wall'), 110 + 800);
({ self, total } = sums.functions('off-cpu'));
assert.equal(total[FIB], 800);
assert.equal(self[READ], 0);
assert.equal(self[DISK], 800);

// A range of buckets and a thread.
assert.equal(new Sums(tree, [0, 1], null).cpuUs, 20);
assert.equal(new Sums(tree, [1, 3], null).cpuUs, 60);
assert.equal(new Sums(tree, [2, 4], null).waitUs, 300);
assert.equal(new Sums(tree, null, Uint8Array.from([1, 0])).total('wall'), 70);

// Lines: the outermost fib is at line 7 all the time.
assert.deepEqual([...sums.lines('cpu', FIB, -1)].map(line => [...line]), [[7, 110]]);

// Callers and callees count recursion once.
const names = view => [...view.fn].map((fn, i) => `${profile.names[fn]} ${view.total[i]}`).join(', ');
assert.equal(names(callersOf(sums, 'cpu', FIB)), 'fib 110, main 110');
assert.equal(names(calleesOf(sums, 'cpu', EVAL)), 'eval 100, fib 60, eval 40, fib 40');
assert.equal(names(callersOf(sums, 'off-cpu', DISK)), 'waiting: disk 800, read 800, fib 800, main 800');

// Nested matches count once.
const matches = new Uint8Array(profile.functionCount);
matches[FIB] = matches[EVAL] = 1;
assert.equal(matchedValue(sums.view('cpu'), matches), 110);

// Without the interpreter's frames its time goes to the Python function, and fib calls fib.
const compact = new Sums(new MergedTree(profile, true), null, null);
({ self, total } = compact.functions('cpu'));
assert.equal(total[EVAL], 0);
assert.equal(self[FIB], 110);
assert.equal(compact.total('wall'), 910);
assert.equal(names(callersOf(compact, 'cpu', FIB)), 'fib 110');

// Memory: 300 bytes live from bucket 0 on, 200 after bucket 2; 8 more in buckets 1 and 2. Most was
// live in bucket 1.
assert.equal(sums.total('alloc'), 430);
assert.equal(sums.view('alloc').totalCount[0], 8);
assert.equal(sums.total('live'), 200);
assert.equal(sums.view('live').totalCount[0], 2);
assert.equal(sums.total('peak'), 308);
assert.equal(sums.total('leak'), 25);
const inRange = range => new Sums(tree, range, null);
assert.deepEqual([0, 1, 2, 3].map(b => inRange([b, b + 1]).total('live')), [300, 308, 208, 200]);
assert.deepEqual([0, 1, 2, 3].map(b => inRange([b, b + 1]).total('alloc')), [300, 80, 50, 0]);
assert.equal(inRange([2, 4]).total('peak'), 208);
assert.equal(inRange([1, 3]).total('peak'), 308);
const firstProcess = new Sums(tree, null, Uint8Array.from([1, 0]));
assert.equal(firstProcess.total('alloc'), 350);
assert.equal(firstProcess.total('peak'), 300);
assert.deepEqual([...profile.memory.resident(4, () => true)], [1000, 1000, 1050, 800]);
assert.deepEqual([...profile.memory.resident(4, item => item.process === 1)], [NaN, NaN, 50, NaN]); // its end is in the bucket of its only value
assert.equal(profile.memory.resident(4, () => false), null);
assert.equal(profile.format('leak', 2048), '2.00\u202fKiB / iteration');

// What an allocator took counts for the function that wanted it; recursion counts once.
({ self, total } = sums.functions('live'));
assert.equal(self[FIB], 200);
assert.equal(self[EVAL], 0);
assert.equal(total[EVAL], 200);
assert.equal(total[MAIN], 200);
assert.deepEqual([...sums.lines('live', FIB, -1)].map(line => [...line]), [[7, 200]]);
assert.equal(names(calleesOf(sums, 'alloc', FIB)), 'fib 430, eval 350, fib 350, eval 350, read 80');

// Operations: time but for faults, at leaves that say what was done to what; by thread or process.
assert.deepEqual([...profile.shownKinds()].slice(-3), ['io', 'fault', 'gil']);
assert.equal(sums.total('io'), 6);
assert.equal(sums.view('io').totalCount[0], 4);
assert.equal(sums.view('io').totalBytes[0], 8292);
assert.equal(sums.total('fault'), 40);
assert.equal(sums.total('gil'), 700);
assert.equal(sums.headline('gil'), 700);
assert.equal(sums.headline('io'), 6);
assert.equal(firstProcess.total('io'), 5);
assert.equal(firstProcess.total('gil'), 0);
assert.equal(inRange([1, 2]).total('io'), 6); // of the whole capture
const READS = profile.firstNote;
({ self, total } = sums.functions('io'));
assert.equal(self[READS], 6);
assert.equal(total[FIB], 5);
assert.equal(self[FIB], 0);
assert.equal(names(callersOf(sums, 'io', READS)), 'read /data/x 6, fib 5, main 5');
assert.equal(names(callersOf(sums, 'gil', READS + 2)), 'waiting for the GIL 700, eval 700, fib 700, main 700');
assert.deepEqual([...sums.lines('fault', FIB, -1)].map(line => [...line]), [[7, 40]]);
assert.equal(profile.format('fault', 1234), '1\u202f234 faults');
assert.equal(profile.isWait(READS), false);

// Tracks: rates per second over groups of two buckets of a millisecond, levels up to their process's end.
const course = (what, isAsked = () => true) => [...profile.tracks.course(what, isAsked)];
assert.deepEqual(course(2), [1e9, 1e9, 2e9, 2e9]);
assert.deepEqual(course(11), [8, 8, 8, 3]);
assert.deepEqual(course(11, series => series.process === 1), [5, 5, 5, NaN]);
assert.deepEqual(course(9, () => false), [NaN, NaN, 6, 6]); // the host's, whoever is asked for
assert.deepEqual(course(8), [5e8, 5e8, 0, 0]);
assert.equal(profile.tracks.course(3, () => true), null);
assert.equal(profile.tracks.calls.found, 9);
const { us, length, label, result } = profile.tracks.calls.items[0];
assert.deepEqual([us, length, label, result], [1500, 2500, 'recvfrom tcp 10.0.0.1:80', -11]);
assert.deepEqual([...profile.tracks.marks.items].map(mark => [mark.us, happeningText(mark)]),
  [[100, 'fork of 2'], [150, 'exec /bin/ls'], [1050, 'killed by SIGKILL'], [1051, 'exit with status 1']]);

// Whatever ends early is refused.
assert.throws(() => new Profile(Uint8Array.from([...varint(3), ...text(JSON.stringify(facts)), ...text('\0'), ...body.slice(0, -1)])));
assert.throws(() => new Profile(Uint8Array.from([9])), /another version/);
