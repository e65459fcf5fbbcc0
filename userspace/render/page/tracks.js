/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Draws what stands below the timeline, at its scale of time: slow calls and socket waits by thread,
 * series, and what became of processes. Only rows with data are there. */

const BAR_ROW_PX = 12;
const SERIES_ROW_PX = 26;
const LABEL_PX = 12; /* of a series' row, above its curves */
const MARK_ROW_PX = 14;
const BAR_ROWS_MAX = 5; /* threads; the others share one row */
const NEAR_PX = 4;

const LINE = -1; /* not filled, in the muted colour */

/* Rows of series: [number in SERIES, tone or LINE]. `instead`: only without that row. */
const SERIES_ROWS = [
  { title: 'page faults', parts: [[0, 4], [1, LINE]], ending: '/s' },
  { title: 'files', parts: [[2, 1], [3, LINE]], ending: '/s' },
  { title: 'disk', parts: [[6, 3], [7, LINE]], ending: '/s', instead: 'files' },
  { title: 'sockets', parts: [[4, 2], [5, LINE]], ending: '/s' },
  { title: 'CPU', parts: [[8, 5], [9, LINE]], ending: '' },
  { title: '', parts: [[10, 10], [11, LINE]], ending: '' },
];

const ERRNO_NAMES = {
  1: 'EPERM', 2: 'ENOENT', 4: 'EINTR', 5: 'EIO', 9: 'EBADF', 11: 'EAGAIN', 12: 'ENOMEM', 13: 'EACCES', 14: 'EFAULT',
  22: 'EINVAL', 28: 'ENOSPC', 32: 'EPIPE', 103: 'ECONNABORTED', 104: 'ECONNRESET', 110: 'ETIMEDOUT', 111: 'ECONNREFUSED',
  113: 'EHOSTUNREACH', 115: 'EINPROGRESS',
  /* the kernel's own: a signal came, the call is made again or ends with EINTR */
  512: 'interrupted', 513: 'interrupted', 514: 'interrupted', 516: 'interrupted',
};

/* Results beyond this are addresses. */
const RESULT_MAX = 2 ** 40;

function resultText(result) {
  if (result < 0 && result > -4096)
    return 'failed: ' + (ERRNO_NAMES[-result] || 'errno ' + -result);
  return result > 0 && result < RESULT_MAX ? `result ${formatCount(result)}` : '';
}

function formatSeries(unit, value, ending) {
  if (unit === 'bytes')
    return formatBytes(value) + ending;
  if (unit === 'ns')
    return formatUs(value / 1000) + '/s';
  return (value && value < 10 && unit !== 'level' ? value.toFixed(1) : formatCount(value)) + ending;
}

class Tracks {
  /* The timeline says which range is selected, and takes the brush. */
  constructor(box, { toggle, legend, note }, colors, tooltip, timeline) {
    this.box = box;
    this.toggle = toggle;
    this.legend = legend;
    this.note = note;
    this.colors = colors;
    this.tooltip = tooltip;
    this.timeline = timeline;
    this.canvas = element('canvas', 'timeline-canvas');
    this.rows = [];
    box.append(this.canvas);
    timeline.listenOn(this.canvas);
    timeline.drawn = () => this.draw();
    this.canvas.addEventListener('pointermove', event => this.onMove(event));
    this.canvas.addEventListener('pointerleave', () => this.onLeave());
  }

  /* `threads`: flags, or null for all. */
  setData(profile, threads, isOpen) {
    this.profile = profile;
    this.durationUs = profile.bucketCount * profile.bucketUs;
    const { facts } = profile;
    const processes = new Set(facts.threads.filter((thread, i) => !threads || threads[i]).map(thread => thread.process));
    const isAsked = item => !threads || processes.has(item.process);
    this.rows = [
      ...this.barRows(bar => !threads || threads[bar.thread]), ...this.seriesRows(isAsked), ...this.markRows(isAsked)];
    let top = 0;
    for (const row of this.rows) {
      row.top = top;
      top += row.height;
    }
    this.height = top;
    const { tracks } = profile;
    const hasAny = tracks.series.length + tracks.calls.found + tracks.waits.found + tracks.marks.found > 0;
    this.toggle.hidden = !hasAny;
    this.toggle.setAttribute('aria-expanded', String(isOpen));
    this.box.hidden = !isOpen || !this.rows.length;
    this.box.style.height = top + 'px';
    this.canvas.setAttribute('aria-label', this.rows.map(row => row.name).join('; '));
    this.note.textContent = isOpen ? this.thinned() : '';
    this.legend.replaceChildren(...(isOpen ? this.tones() : []).map(tone => {
      const item = element('li');
      const swatch = element('span', 'swatch');
      swatch.style.background = this.colors.tone(tone);
      item.append(swatch, TONE_NAMES[tone]);
      return item;
    }));
    this.draw();
  }

  /* Those of the slow calls that are shown, by time. */
  tones() {
    const byTone = new Map();
    for (const { calls = [] } of this.rows)
      for (const { tone, length } of calls)
        byTone.set(tone, (byTone.get(tone) || 0) + length);
    return [...byTone].sort((a, b) => b[1] - a[1]).map(([tone]) => tone);
  }

  /* What was left out, in words. */
  thinned() {
    const { calls, waits, marks } = this.profile.tracks;
    const parts = [[calls, 'longest', 'slow calls'], [waits, 'longest', 'socket waits'], [marks, 'main', 'process events']];
    return parts.filter(([{ found, items }]) => found > items.length)
      .map(([{ found, items }, which, what]) => `the ${formatCount(items.length)} ${which} of ${formatCount(found)} ${what}`)
      .join(', ');
  }

  barRows(isAsked) {
    const { calls, waits } = this.profile.tracks;
    const byThread = new Map();
    for (const [list, bars] of [['calls', calls.items], ['waits', waits.items]])
      for (const bar of bars.filter(isAsked)) {
        const row = byThread.get(bar.thread) || { calls: [], waits: [], length: 0, threads: [bar.thread] };
        row[list].push(bar);
        row.length += bar.length;
        byThread.set(bar.thread, row);
      }
    const rows = [...byThread.values()].sort((a, b) => b.length - a.length);
    if (rows.length > BAR_ROWS_MAX + 1) {
      const rest = rows.splice(BAR_ROWS_MAX);
      const all = list => rest.flatMap(row => row[list]).sort((a, b) => a.us - b.us);
      rows.push({ calls: all('calls'), waits: all('waits'), threads: rest.flatMap(row => row.threads) });
    }
    return rows.map(row => ({
      ...row, height: BAR_ROW_PX, name: this.threadName(row.threads), draw: this.drawBars, tip: this.barTip,
    }));
  }

  threadName(threads) {
    const { name, tid } = this.profile.facts.threads[threads[0]];
    return threads.length > 1 ? `${threads.length} other threads` : `${name || 'thread'} ${tid}`;
  }

  seriesRows(isAsked) {
    const rows = [];
    for (const { title, parts, ending, instead } of SERIES_ROWS) {
      const shown = parts.map(([what, tone]) => ({ ...SERIES[what], tone, values: this.profile.tracks.course(what, isAsked) }))
        .map(part => ({ ...part, most: part.values ? part.values.reduce((most, value) => (value > most ? value : most), 0) : 0 }))
        .filter(part => part.most > 0);
      if (shown.length && !rows.some(row => row.title === instead))
        rows.push({
          title, parts: shown, ending, height: SERIES_ROW_PX, draw: this.drawSeries, tip: this.seriesTip,
          name: title || shown.map(part => part.name).join(', '),
        });
    }
    return rows;
  }

  markRows(isAsked) {
    const items = this.profile.tracks.marks.items.filter(isAsked);
    return items.length
      ? [{ items, height: MARK_ROW_PX, name: 'process events', draw: this.drawMarks, tip: this.markTip }] : [];
  }

  draw() {
    const width = this.timeline.width;
    if (this.box.hidden || !width)
      return;
    const context = fitCanvas(this.canvas, width, this.height);
    context.clearRect(0, 0, width, this.height);
    this.width = width;
    context.font = '10px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';
    context.textBaseline = 'alphabetic';
    for (const row of this.rows) {
      context.fillStyle = this.colors.grid;
      context.fillRect(0, row.top, width, 1);
      row.draw.call(this, context, row);
    }
    if (this.timeline.range)
      this.timeline.shade(context, this.height);
    if (this.at >= 0) {
      context.fillStyle = this.colors.muted;
      context.fillRect(this.at, 0, 1, this.height);
    }
  }

  x(us) {
    return us / this.durationUs * this.width;
  }

  /* Text that can be read on top of bars; it gives way to the pointer. */
  label(context, text, y) {
    if (this.at >= 0)
      return;
    context.globalAlpha = 0.85;
    context.fillStyle = this.colors.panel;
    context.fillRect(0, y - 9, context.measureText(text).width + 8, 11);
    context.globalAlpha = 1;
    context.fillStyle = this.colors.muted;
    context.fillText(text, 4, y);
  }

  drawBars(context, row) {
    const bar = ({ us, length, tone }, top, height) => {
      context.globalAlpha = tone === TONE_EVENT ? 0.4 : 1;
      context.fillStyle = this.colors.tone(tone);
      context.fillRect(this.x(us), top, Math.max(this.x(length), 1.5), height);
    };
    for (const call of row.calls)
      bar(call, row.top + 2, 6);
    for (const wait of row.waits)
      bar(wait, row.top + 9, 2);
    context.globalAlpha = 1;
    this.label(context, row.name, row.top + 10);
  }

  drawSeries(context, row) {
    const base = row.top + row.height;
    const bucketPx = this.width / this.profile.bucketCount;
    row.parts.forEach(part => {
      const isFilled = part.tone !== LINE;
      const y = value => base - value / part.most * (row.height - LABEL_PX - 1);
      context.beginPath();
      let isDown = false;
      part.values.forEach((value, b) => {
        if (Number.isNaN(value)) {
          isDown = false;
          return;
        }
        if (!isDown)
          context.moveTo(b * bucketPx, isFilled ? base : y(value));
        isDown = true;
        context.lineTo(b * bucketPx, y(value));
        context.lineTo((b + 1) * bucketPx, y(value));
        if (isFilled && (b + 1 === part.values.length || Number.isNaN(part.values[b + 1])))
          context.lineTo((b + 1) * bucketPx, base);
      });
      context.fillStyle = isFilled ? this.colors.tone(part.tone) : this.colors.muted;
      context.strokeStyle = this.colors.muted;
      context.lineWidth = 1;
      context.globalAlpha = isFilled ? 0.7 : 1;
      if (isFilled)
        context.fill();
      else
        context.stroke();
      context.globalAlpha = 1;
    });
    this.labelSeries(context, row);
  }

  labelSeries(context, row) {
    context.fillStyle = this.colors.text;
    const text = ({ name, unit, most }) => `${name} ≤ ${formatSeries(unit, most, row.ending)}`;
    const [filled] = row.parts.filter(part => part.tone !== LINE);
    const [line] = row.parts.filter(part => part.tone === LINE);
    context.fillText([row.title, filled ? text(filled) : ''].filter(Boolean).join(': '), 4, row.top + 10);
    if (line)
      context.fillText('— ' + text(line), this.width - context.measureText('— ' + text(line)).width - 4, row.top + 10);
  }

  drawMarks(context, row) {
    const middle = row.top + row.height / 2 + 0.5;
    for (const mark of row.items) {
      const x = this.x(mark.us);
      const isBad = mark.what === 4 || (mark.what === 3 && mark.value);
      context.fillStyle = isBad ? this.colors.bad : mark.what === 2 ? this.colors.accent : this.colors.muted;
      context.beginPath();
      if (mark.what === 1) { /* fork: a triangle; exec: a rhomb; exit: a bar; OOM kill: a cross */
        context.moveTo(x - 2, middle - 4);
        context.lineTo(x + 4, middle);
        context.lineTo(x - 2, middle + 4);
      } else if (mark.what === 2) {
        context.moveTo(x, middle - 5);
        context.lineTo(x + 4, middle);
        context.lineTo(x, middle + 5);
        context.lineTo(x - 4, middle);
      } else if (mark.what === 3) {
        context.rect(x - 1, middle - 5, 2.5, 10);
      } else {
        context.rect(x - 5, middle - 1.5, 10, 3);
        context.rect(x - 1.5, middle - 5, 3, 10);
      }
      context.fill();
    }
    this.label(context, row.name, middle + 3);
  }

  onMove(event) {
    const box = this.canvas.getBoundingClientRect();
    const y = event.clientY - box.top;
    this.at = clamp(event.clientX - box.left, 0, this.width);
    const row = this.rows.find(candidate => y >= candidate.top && y < candidate.top + candidate.height);
    const tip = row && row.tip.call(this, row, this.at / this.width * this.durationUs, y - row.top);
    if (tip)
      this.tooltip.showText(tip[0], tip.slice(1).filter(Boolean), event.clientX, event.clientY);
    else
      this.tooltip.hide();
    this.timeline.requestDraw();
  }

  onLeave() {
    this.at = -1;
    this.tooltip.hide();
    this.timeline.requestDraw();
  }

  /* The item at a moment, or the nearest one within some pixels. */
  nearest(items, us) {
    const distance = item => Math.max(item.us - us, us - item.us - (item.length || 0), 0);
    let best = null;
    for (const item of items)
      if (!best || distance(item) < distance(best))
        best = item;
    return best && distance(best) <= NEAR_PX / this.width * this.durationUs ? best : null;
  }

  barTip(row, us, y) {
    const lists = y < 9 ? [row.calls, row.waits] : [row.waits, row.calls];
    const bar = this.nearest(lists[0], us) || this.nearest(lists[1], us);
    if (!bar)
      return null;
    const caller = this.callerOf(bar.node);
    return [bar.label, `${formatUs(bar.length)} at ${formatUs(bar.us)}`, resultText(bar.result),
      caller && 'in ' + caller, this.threadName([bar.thread])];
  }

  /* The program's own function on a stack, or else the nearest one. */
  callerOf(node) {
    const { profile } = this;
    for (let up = node; up > 0; up = profile.nodeParent[up])
      if (isOwn(profile, profile.nodeFunction[up]))
        return profile.labels[profile.nodeFunction[up]];
    return node ? profile.labels[profile.nodeFunction[node]] : '';
  }

  seriesTip(row, us) {
    const bucket = clamp(Math.floor(us / this.profile.bucketUs), 0, this.profile.bucketCount - 1);
    const lines = row.parts.filter(part => !Number.isNaN(part.values[bucket]))
      .map(({ name, unit, values }) => `${name} ${formatSeries(unit, values[bucket], row.ending)}`);
    return [row.name, `at ${formatUs(us)}`, ...lines];
  }

  markTip(row, us) {
    const mark = this.nearest(row.items, us);
    if (!mark)
      return null;
    const process = this.profile.facts.processes[mark.process];
    return [happeningText(mark), `${process ? `${process.name} ${process.pid}` : ''} at ${formatUs(mark.us)}`];
  }
}
