/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decodes what the kernel did for the target: operations by stack (see flame_operations.h) and what
 * stands below the timeline (see flame_tracks.h). */

const OPERATION_KINDS = ['syscall', 'io', 'block', 'fault', 'lock', 'gil'];

/* What some of a kind are called. */
const OPERATION_WORDS = {
  syscall: 'calls', io: 'operations', block: 'requests', fault: 'faults', lock: 'waits', gil: 'waits and holds',
};

function isOperationKind(kind) {
  return OPERATION_KINDS.includes(kind);
}

/* enum flame_series, and how processes add up: a cgroup's time is the same for all of its processes. */
const SERIES = [
  { name: 'minor faults', unit: 'count' }, { name: 'major faults', unit: 'count' },
  { name: 'read', unit: 'bytes' }, { name: 'written', unit: 'bytes' },
  { name: 'received', unit: 'bytes' }, { name: 'sent', unit: 'bytes' },
  { name: 'read', unit: 'bytes' }, { name: 'written', unit: 'bytes' },
  { name: 'throttled', unit: 'ns', isShared: true },
  { name: 'runnable on the host', unit: 'level' }, { name: 'open files', unit: 'level' }, { name: 'threads', unit: 'level' },
];

const HAPPENING_NAMES = ['', 'fork', 'exec', 'exit', 'OOM kill'];
const SIGNAL_NAMES = {
  1: 'SIGHUP', 2: 'SIGINT', 3: 'SIGQUIT', 4: 'SIGILL', 6: 'SIGABRT', 7: 'SIGBUS', 8: 'SIGFPE', 9: 'SIGKILL',
  11: 'SIGSEGV', 13: 'SIGPIPE', 14: 'SIGALRM', 15: 'SIGTERM',
};

function readNotes(reader, strings) {
  return Array.from({ length: reader.number() }, () => {
    const tone = reader.number();
    return { tone, label: strings[reader.number()] };
  });
}

/* What of an operation fell to a stack: by kind, as columns. Thread -1: all of the process. */
class Operations {
  constructor(reader) {
    const count = reader.number();
    for (const name of ['kind', 'note', 'process', 'thread', 'node'])
      this[name] = new Int32Array(count);
    for (const name of ['calls', 'bytes', 'us'])
      this[name] = new Float64Array(count);
    for (let i = 0; i < count; i++) {
      this.kind[i] = reader.number();
      this.note[i] = reader.number();
      this.process[i] = reader.number();
      this.thread[i] = reader.number() - 1;
      this.node[i] = reader.number();
      this.calls[i] = reader.number();
      this.bytes[i] = reader.number();
      this.us[i] = reader.number() / 1000;
    }
    this.count = count;
    this.kinds = OPERATION_KINDS.filter((name, kind) => this.kind.includes(kind));
  }

  /* What an item is worth in its kind: faults are counted, all else is time. */
  value(i) {
    return OPERATION_KINDS[this.kind[i]] === 'fault' ? this.calls[i] : this.us[i];
  }

  /* Numbers of the items of a kind, of the threads asked for or of their processes. */
  of(kind, threads, facts) {
    const wanted = OPERATION_KINDS.indexOf(kind);
    const processes = new Set(facts.threads.filter((thread, i) => threads && threads[i]).map(thread => thread.process));
    const found = [];
    for (let i = 0; i < this.count; i++) {
      const isAsked = !threads || (this.thread[i] < 0 ? processes.has(this.process[i]) : threads[this.thread[i]]);
      if (this.kind[i] === wanted && isAsked)
        found.push(i);
    }
    return found;
  }
}

/* Series by bucket, bars and marks. */
class TrackData {
  constructor(reader, strings, facts) {
    this.facts = facts;
    this.step = reader.number();
    this.series = Array.from({ length: reader.number() }, () => this.readSeries(reader));
    this.calls = this.readBars(reader, strings);
    this.waits = this.readBars(reader, strings);
    this.marks = this.readMarks(reader, strings);
  }

  readSeries(reader) {
    const series = { what: reader.number(), process: reader.number() - 1, bucket: [], value: [] };
    let bucket = 0;
    for (let left = reader.number(); left > 0; left--) {
      bucket += reader.number();
      series.bucket.push(bucket * this.step);
      series.value.push(reader.number());
    }
    return series;
  }

  readBars(reader, strings) {
    const bars = { found: reader.number(), items: [] };
    let us = 0;
    for (let left = reader.number(); left > 0; left--) {
      us += reader.number();
      bars.items.push({
        us, length: reader.number(), thread: reader.number(), label: strings[reader.number()],
        result: reader.signed(), node: reader.number(), tone: reader.number(),
      });
    }
    return bars;
  }

  readMarks(reader, strings) {
    const marks = { found: reader.number(), items: [] };
    let us = 0;
    for (let left = reader.number(); left > 0; left--) {
      us += reader.number();
      marks.items.push({
        us, process: reader.number(), what: reader.number(), value: reader.number(), text: strings[reader.number()],
      });
    }
    return marks;
  }

  /* The course of a series, per second or as a level, over the processes asked for and the host; null
   * without any. Before a level is known and after the last process ended it is NaN. */
  course(what, isAsked) {
    const count = this.facts.bucket_count;
    const asked = this.series.filter(series => series.what === what && (series.process < 0 || isAsked(series)));
    if (!asked.length)
      return null;
    const { unit, isShared } = SERIES[what];
    const isLevel = unit === 'level';
    const sum = new Float64Array(count).fill(isLevel ? NaN : 0);
    for (const series of asked) {
      const values = isLevel ? this.level(series, count) : this.rate(series, count);
      values.forEach((value, b) => {
        if (isShared)
          sum[b] = Math.max(sum[b], value);
        else if (!Number.isNaN(value))
          sum[b] = (Number.isNaN(sum[b]) ? 0 : sum[b]) + value;
      });
    }
    return sum;
  }

  rate({ bucket, value }, count) {
    const rate = new Float64Array(count);
    const seconds = this.step * this.facts.bucket_ns / 1e9;
    bucket.forEach((begin, i) => rate.fill(value[i] / seconds, begin, begin + this.step));
    return rate;
  }

  level({ process, bucket, value }, count) {
    const level = new Float64Array(count).fill(NaN);
    const ended = process < 0 ? Infinity : this.facts.processes[process].end_ns;
    const end = Math.min(Math.ceil(ended / this.facts.bucket_ns), count);
    bucket.forEach((begin, i) => level.fill(value[i], begin, Math.max(end, begin + 1)));
    return level;
  }
}

/* "exit with status 1", "killed by SIGKILL", "exec /usr/bin/python3", … */
function happeningText({ what, value, text }) {
  const signal = value & 0x7f;
  if (what === 1)
    return `fork of ${value}`;
  if (what === 3)
    return signal ? `killed by ${SIGNAL_NAMES[signal] || 'signal ' + signal}` : `exit with status ${value >> 8 & 0xff}`;
  return HAPPENING_NAMES[what] + (text ? ' ' + text : '');
}
