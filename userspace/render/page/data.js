/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decodes the data that flame_data.c wrote (its layout is drawn in flame_data.h). */
'use strict';

const WAY_CPU = 0;
const FRAME_PYTHON = 3;
const FRAME_MARK = 5;
const FLAG_GENERATOR = 1;
const FLAG_COROUTINE = 2;
const FLAG_INLINED = 4;
const UNKNOWN = '[unknown] ';

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  number() {
    let value = 0;
    let factor = 1;
    for (;;) {
      const byte = this.bytes[this.at++];
      if (byte === undefined)
        throw new Error('the data of this page ends early');
      value += (byte & 0x7f) * factor;
      if (byte < 0x80)
        return value;
      factor *= 128;
    }
  }

  /* Zigzag-coded: also below 0. */
  signed() {
    const value = this.number();
    return value % 2 ? -(value + 1) / 2 : value / 2;
  }

  text() {
    const length = this.number();
    const part = this.bytes.subarray(this.at, this.at + length);
    this.at += length;
    return new TextDecoder().decode(part);
  }
}

async function inflate(base64) {
  const packed = atob(base64.trim());
  const bytes = new Uint8Array(packed.length);
  for (let i = 0; i < packed.length; i++)
    bytes[i] = packed.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function shortPath(path) {
  const parts = path.split('/');
  const base = parts.pop();
  return base.startsWith('__') && parts.length ? parts.pop() + '/' + base : base;
}

/* What memory each stack took in each process: sites, their entries, and the resident set of each
 * process; see flame_memory.h. `live` and `liveBlocks` are changes. */
class Memory {
  constructor(reader, facts) {
    this.facts = facts.heap || null;
    this.ends = facts.processes.map(({ end_ns: end }) => Math.max(Math.ceil(end / facts.bucket_ns), 1));
    this.sites = [];
    for (let left = reader.number(); left > 0; left--)
      this.sites.push(this.readSite(reader));
    this.series = [];
    for (let left = reader.number(); left > 0; left--)
      this.series.push(this.readSeries(reader));
  }

  readSite(reader) {
    const [process, node, peak, growth, low, high, count] = Array.from({ length: 7 }, () => reader.number());
    const site = { process, node, peak, growth, low, high, bucket: new Uint16Array(count) };
    for (const name of ['allocations', 'bytes', 'liveBlocks', 'live'])
      site[name] = new Float64Array(count);
    for (let i = 0, bucket = 0; i < count; i++) {
      bucket += reader.number();
      site.bucket[i] = bucket;
      site.allocations[i] = reader.number();
      site.bytes[i] = reader.number();
      site.liveBlocks[i] = reader.signed();
      site.live[i] = reader.signed();
    }
    return site;
  }

  readSeries(reader) {
    const [process, metric, count] = Array.from({ length: 3 }, () => reader.number());
    const series = { process, metric, bucket: new Uint16Array(count), value: new Float64Array(count) };
    for (let i = 0, bucket = 0, value = 0; i < count; i++) {
      bucket += reader.number();
      value += reader.signed();
      series.bucket[i] = bucket;
      series.value[i] = value;
    }
    return series;
  }

  /* Bytes live at the end of each bucket, of the sites asked for. */
  course(bucketCount, isAsked) {
    const live = new Float64Array(bucketCount);
    for (const site of this.sites.filter(isAsked))
      site.bucket.forEach((bucket, i) => { live[bucket] += site.live[i]; });
    for (let b = 1; b < bucketCount; b++)
      live[b] += live[b - 1];
    return live;
  }

  /* The resident set of the processes asked for, in each bucket; NaN before the first is known and
   * after the last ended; null when it is not known at all. */
  resident(bucketCount, isAsked) {
    const asked = this.series.filter(isAsked);
    const sum = new Float64Array(bucketCount).fill(NaN);
    for (const { process, bucket, value } of asked)
      for (let b = 0, i = -1; b < bucketCount && b < Math.max(this.ends[process], bucket[0] + 1); b++) {
        while (i + 1 < bucket.length && bucket[i + 1] <= b)
          i++;
        if (i >= 0 && value[i] > 0)
          sum[b] = (Number.isNaN(sum[b]) ? 0 : sum[b]) + value[i];
      }
    return asked.length ? sum : null;
  }
}

/* The profile: functions, nodes of the calling-context tree (0 is the root), streams and their
 * entries. Wait reasons are functions of their own, numbered from `firstReason`, and so are the notes
 * of operations, from `firstNote`. */
class Profile {
  constructor(bytes) {
    const reader = new Reader(bytes);
    if (reader.number() !== 3)
      throw new Error('the data of this page has another version');
    this.facts = JSON.parse(reader.text());
    const strings = reader.text().split('\0');
    this.readFunctions(reader, strings);
    this.readNodes(reader);
    this.readStreams(reader);
    this.memory = new Memory(reader, this.facts);
    this.operations = new Operations(reader);
    this.tracks = new TrackData(reader, strings, this.facts);
    this.bucketCount = this.facts.bucket_count;
    this.bucketUs = this.facts.bucket_ns / 1000;
    this.weightUs = this.facts.threads.map(thread => thread.weight_ns / 1000);
    this.fillCpuTimes();
  }

  readFunctions(reader, strings) {
    const count = reader.number();
    const reasons = this.facts.reasons;
    this.names = [];
    this.files = [];
    this.modules = [];
    const numbers = { firstLines: [], kinds: [], isAllocator: [] };
    for (let i = 0; i < count; i++) {
      for (const texts of [this.names, this.files, this.modules])
        texts.push(strings[reader.number()]);
      for (const values of Object.values(numbers))
        values.push(reader.number());
    }
    const notes = readNotes(reader, strings);
    this.firstReason = count;
    this.firstNote = count + reasons.length;
    this.functionCount = this.firstNote + notes.length;
    this.firstLines = new Uint32Array(this.functionCount);
    this.kinds = new Uint8Array(this.functionCount);
    this.isAllocator = new Uint8Array(this.functionCount);
    for (const [name, values] of Object.entries(numbers))
      this[name].set(values);
    const leaf = (label, kind) => {
      this.kinds[this.names.push(label) - 1] = kind;
      this.files.push('');
      this.modules.push('');
    };
    reasons.forEach((reason, i) => leaf('waiting: ' + reason, FIRST_WAIT_KIND + i));
    notes.forEach(({ tone, label }) => leaf(label, FIRST_TONE_KIND + tone));
    this.labels = this.names.map((name, i) => this.makeLabel(name, i));
  }

  makeLabel(name, i) {
    if (name.startsWith(UNKNOWN))
      return name.slice(UNKNOWN.length).replace(/\.cpython-[^.]*/, '');
    if (this.kinds[i] !== FRAME_PYTHON || !this.files[i])
      return name;
    const line = this.firstLines[i] ? ':' + this.firstLines[i] : '';
    return `${name} (${shortPath(this.files[i])}${line})`;
  }

  readNodes(reader) {
    const count = reader.number() + 1;
    this.nodeCount = count;
    this.nodeParent = new Int32Array(count).fill(-1);
    this.nodeFunction = new Int32Array(count).fill(-1);
    this.nodeLine = new Uint32Array(count);
    this.nodeFlags = new Uint8Array(count);
    for (let i = 1; i < count; i++) {
      this.nodeParent[i] = i - reader.number();
      this.nodeFunction[i] = reader.number();
      this.nodeLine[i] = reader.number();
      this.nodeFlags[i] = reader.number();
    }
  }

  readStreams(reader) {
    const count = reader.number();
    const most = (reader.bytes.length - reader.at) >> 1;
    this.streamCount = count;
    this.streamThread = new Uint32Array(count);
    this.streamNode = new Uint32Array(count);
    this.streamWay = new Uint8Array(count);
    this.streamBegin = new Uint32Array(count + 1);
    this.bucket = new Uint16Array(most);
    this.count = new Float64Array(most);
    this.us = new Float64Array(most);
    let entry = 0;
    for (let i = 0; i < count; i++) {
      this.streamThread[i] = reader.number();
      this.streamNode[i] = reader.number();
      this.streamWay[i] = reader.number();
      this.streamBegin[i] = entry;
      entry = this.readEntries(reader, entry, reader.number(), this.streamWay[i]);
    }
    this.streamBegin[count] = entry;
  }

  readEntries(reader, entry, count, way) {
    let bucket = 0;
    for (const end = entry + count; entry < end; entry++) {
      bucket += reader.number();
      this.bucket[entry] = bucket;
      this.count[entry] = reader.number();
      if (way !== WAY_CPU)
        this.us[entry] = reader.number();
    }
    return entry;
  }

  fillCpuTimes() {
    for (let i = 0; i < this.streamCount; i++) {
      if (this.streamWay[i] !== WAY_CPU)
        continue;
      const weight = this.weightUs[this.streamThread[i]];
      for (let e = this.streamBegin[i]; e < this.streamBegin[i + 1]; e++)
        this.us[e] = this.count[e] * weight;
    }
  }

  /* The name alone; of functions without one the module and the offset. */
  shortName(fn) {
    return this.names[fn].startsWith(UNKNOWN) ? this.labels[fn] : this.names[fn];
  }

  /* What can be shown: memory and operations where there are any of the kind, time unless there is
   * nothing else. */
  shownKinds() {
    const { facts, sites } = this.memory;
    const hasLeaks = sites.some(site => site.growth > 0);
    return KINDS.filter(kind => {
      if (isOperationKind(kind))
        return this.operations.kinds.includes(kind);
      if (isMemoryKind(kind))
        return facts && (kind !== 'leak' || hasLeaks);
      return this.streamCount || !(facts || this.operations.count);
    });
  }

  /* What is shown first: what was asked for, if there is any. */
  firstKind() {
    const shown = this.shownKinds();
    return shown.includes(this.facts.kind) ? this.facts.kind : shown.includes('live') ? 'live' : shown[0];
  }

  /* A quantity of a kind with its unit. */
  format(kind, value) {
    if (kind === 'fault')
      return `${formatCount(value)} faults`;
    if (!isMemoryKind(kind))
      return formatUs(value);
    return formatBytes(value) + (kind !== 'leak' ? '' : this.facts.heap.leak_unit === 's' ? '/s' : ' / iteration');
  }

  /* The same where the kind says the unit. */
  formatShort(kind, value) {
    return kind === 'fault' ? formatCount(value) : kind === 'leak' ? formatBytes(value) : this.format(kind, value);
  }

  isWait(fn) {
    return fn >= this.firstReason && fn < this.firstNote;
  }

  /* Where a function stands, for people: file:line, or the module. */
  location(fn) {
    const file = this.files[fn];
    if (!file)
      return this.modules[fn];
    return this.firstLines[fn] ? `${file}:${this.firstLines[fn]}` : file;
  }

  /* Of the intervals and samples of a way, how many reach the thread's first frame. */
  completeness(isCpu) {
    const whole = new Uint8Array(this.nodeCount);
    for (let i = 1; i < this.nodeCount; i++) {
      const parent = this.nodeParent[i];
      whole[i] = parent ? whole[parent] : this.kinds[this.nodeFunction[i]] !== FRAME_MARK;
    }
    let all = 0;
    let complete = 0;
    for (let i = 0; i < this.streamCount; i++) {
      if ((this.streamWay[i] === WAY_CPU) !== isCpu)
        continue;
      for (let e = this.streamBegin[i]; e < this.streamBegin[i + 1]; e++) {
        all += this.count[e];
        complete += whole[this.streamNode[i]] ? this.count[e] : 0;
      }
    }
    return { all, complete, ratio: all ? complete / all : 1 };
  }
}
