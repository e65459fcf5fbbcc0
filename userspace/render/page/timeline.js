/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Draws time as stacked bars (on-CPU, then waiting by reason), below it memory where there is any,
 * and owns the brush that selects a range of buckets. */

const TIMELINE_AXIS_PX = 16;
const MEMORY_PX = 44; /* the lane of memory, as high as in page.css */
const EDGE_PX = 6;

class Timeline {
  /* changed(range): [first bucket, one past the last] or null */
  constructor(box, note, legend, colors, changed) {
    this.box = box;
    this.note = note;
    this.legend = legend;
    this.colors = colors;
    this.changed = changed;
    this.canvas = element('canvas', 'timeline-canvas');
    box.append(this.canvas);
    this.range = null;
    this.drag = null;
    this.listen();
  }

  listen() {
    new ResizeObserver(() => this.requestDraw()).observe(this.box);
    this.listenOn(this.canvas);
    this.box.addEventListener('keydown', event => this.onKey(event));
  }

  /* Another canvas of the same width may carry the brush as well. */
  listenOn(canvas) {
    canvas.addEventListener('pointerdown', event => this.onDown(event));
    canvas.addEventListener('pointermove', event => this.onMove(event));
    canvas.addEventListener('pointerup', event => this.onUp(event));
    canvas.addEventListener('pointercancel', () => { this.drag = null; });
    canvas.addEventListener('pointerleave', () => this.showPeak());
    canvas.addEventListener('dblclick', () => this.select(null));
  }

  /* Sums the profile by bucket and way, for the threads asked for. Memory and operations stand beside
   * all of their time. */
  setData(profile, threads, shownKind) {
    const ways = profile.facts.reasons.length + 1;
    const kind = isMemoryKind(shownKind) || isOperationKind(shownKind) ? 'wall' : shownKind;
    this.profile = profile;
    this.kind = kind;
    this.buckets = profile.bucketCount;
    this.setMemory(threads, shownKind);
    this.layers = Array.from({ length: ways }, () => new Float64Array(this.buckets));
    for (let i = 0; i < profile.streamCount; i++) {
      const way = profile.streamWay[i];
      if ((threads && !threads[profile.streamThread[i]]) || (kind === 'cpu' && way !== WAY_CPU) ||
          (kind === 'off-cpu' && way === WAY_CPU))
        continue;
      const layer = this.layers[way];
      for (let e = profile.streamBegin[i]; e < profile.streamBegin[i + 1]; e++)
        layer[profile.bucket[e]] += profile.us[e];
    }
    this.showLegend();
    this.requestDraw();
  }

  /* Live bytes, of leaks only while those are shown, and the resident set. */
  setMemory(threads, kind) {
    const { memory, facts } = this.profile;
    const processes = new Set(facts.threads.filter((thread, i) => !threads || threads[i]).map(thread => thread.process));
    const isAsked = item => !threads || processes.has(item.process);
    const live = memory.sites.length
      ? memory.course(this.buckets, site => isAsked(site) && (kind !== 'leak' || site.growth > 0)) : null;
    const resident = memory.resident(this.buckets, isAsked);
    this.lanes = [
      { name: kind === 'leak' ? 'live of leaks' : 'live', values: live, isFilled: true },
      { name: 'RSS', values: resident, isFilled: false },
    ].filter(lane => lane.values);
    this.box.classList.toggle('with-memory', this.lanes.length > 0);
  }

  requestDraw() {
    if (this.frame)
      return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  draw() {
    const width = this.box.clientWidth;
    const height = this.box.clientHeight;
    if (!this.layers || !width)
      return;
    this.width = width;
    const context = fitCanvas(this.canvas, width, height);
    context.clearRect(0, 0, width, height);
    this.drawBars(context, width, height - TIMELINE_AXIS_PX - (this.lanes.length ? MEMORY_PX : 0));
    this.drawMemory(context, width, height - TIMELINE_AXIS_PX);
    this.drawAxis(context, width, height);
    if (this.range)
      this.drawRange(context, height - TIMELINE_AXIS_PX);
    this.showPeak();
    if (this.drawn)
      this.drawn();
  }

  /* How many buckets one bar averages: bars are at least 2 px wide, and hold some samples each, or
   * the beat of samples and buckets would show instead of the load. */
  bucketsPerBar(width) {
    const samplesUs = this.kind === 'off-cpu' ? 0 : 3e6 / (this.profile.facts.frequency_hz || 99);
    return Math.max(1, Math.ceil(2 * this.buckets / width), Math.round(samplesUs / this.profile.bucketUs));
  }

  drawBars(context, width, height) {
    const merge = this.bucketsPerBar(width);
    const bars = Math.ceil(this.buckets / merge);
    const sums = this.layers.map(layer => {
      const bar = new Float64Array(bars);
      for (let b = 0; b < this.buckets; b++)
        bar[Math.floor(b / merge)] += layer[b];
      return bar;
    });
    const last = this.buckets - (bars - 1) * merge;
    for (const bar of sums)
      bar[bars - 1] *= merge / last;
    let top = 0;
    for (let b = 0; b < bars; b++)
      top = Math.max(top, sums.reduce((sum, bar) => sum + bar[b], 0));
    this.peak = top / (merge * this.profile.bucketUs);
    const step = width * merge / this.buckets;
    for (let b = 0; b < bars; b++) {
      let y = height;
      for (let way = 0; way < sums.length; way++) {
        const part = top ? sums[way][b] / top * (height - 4) : 0;
        if (part <= 0)
          continue;
        context.fillStyle = this.colors.way(way);
        context.fillRect(b * step, y - part, Math.max(step - (step > 3 ? 0.5 : 0), 1), part);
        y -= part;
      }
    }
  }

  /* Each lane by its own largest value, which stands beside its name. */
  drawMemory(context, width, base) {
    const top = base - MEMORY_PX;
    this.lanes.forEach(({ name, values, isFilled }, i) => {
      const most = values.reduce((most, value) => (value > most ? value : most), 1);
      const isKnown = value => !Number.isNaN(value);
      const color = isFilled ? this.colors.accent : this.colors.muted;
      const y = value => base - value / most * (MEMORY_PX - 14);
      const first = Math.max(values.findIndex(value => value > 0), 0);
      const end = values.findLastIndex(isKnown) + 1;
      context.beginPath();
      context.moveTo(first / this.buckets * width, isFilled ? base : y(values[first]));
      for (let b = first; b < end; b++) {
        context.lineTo(b / this.buckets * width, y(values[b]));
        context.lineTo((b + 1) / this.buckets * width, y(values[b]));
      }
      if (isFilled)
        context.lineTo(width, base);
      context.globalAlpha = isFilled ? 0.25 : 1;
      context.fillStyle = context.strokeStyle = color;
      context.lineWidth = 1;
      if (isFilled)
        context.fill();
      else
        context.stroke();
      context.globalAlpha = 1;
      context.font = '10.5px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';
      context.textBaseline = 'alphabetic';
      const text = `${name} ≤ ${formatBytes(most)}`;
      const x = i ? width - context.measureText(text).width - 4 : 4;
      context.fillText(text, x, top + 10);
    });
    if (this.lanes.length) {
      context.fillStyle = this.colors.grid;
      context.fillRect(0, top, width, 1);
    }
  }

  drawAxis(context, width, height) {
    const duration = this.buckets * this.profile.bucketUs;
    const base = height - TIMELINE_AXIS_PX;
    context.fillStyle = this.colors.grid;
    context.fillRect(0, base, width, 1);
    context.font = '10.5px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';
    context.textBaseline = 'alphabetic';
    context.fillStyle = this.colors.muted;
    const step = this.tickStep(duration, Math.max(Math.floor(width / 110), 2));
    for (let us = 0; us <= duration; us += step) {
      const x = us / duration * width;
      const text = us ? formatUs(us) : '0';
      const textWidth = context.measureText(text).width;
      context.fillText(text, clamp(x - textWidth / 2, 0, width - textWidth), height - 4);
      context.fillRect(Math.min(x, width - 1), base, 1, 3);
    }
  }

  /* The colours of the bars, from the one that takes most. */
  showLegend() {
    const names = ['on CPU', ...this.profile.facts.reasons];
    const ways = this.layers.map((layer, way) => ({ way, us: layer.reduce((sum, us) => sum + us, 0) }))
      .filter(({ us }) => us > 0).sort((a, b) => (b.way === 0) - (a.way === 0) || b.us - a.us);
    this.legend.replaceChildren(...ways.map(({ way }) => {
      const item = element('li');
      const swatch = element('span', 'swatch');
      swatch.style.background = this.colors.way(way);
      item.append(swatch, names[way]);
      return item;
    }));
  }

  showPeak() {
    this.note.textContent = !this.peak ? '' : `peak ${this.peak.toFixed(this.peak < 10 ? 1 : 0)} threads at once`;
  }

  /* What the threads did at a moment: how many of them, by way, largest first. */
  showMoment(bucket) {
    const merge = this.bucketsPerBar(this.width);
    const b = Math.min(Math.floor(bucket / merge) * merge, this.buckets - 1);
    const end = Math.min(b + merge, this.buckets);
    const names = ['on CPU', ...this.profile.facts.reasons];
    const whole = (end - b) * this.profile.bucketUs;
    const parts = this.layers.map((layer, way) =>
      [layer.subarray(b, end).reduce((sum, us) => sum + us, 0) / whole, names[way]])
      .filter(([threads]) => threads >= 0.05).sort((x, y) => y[0] - x[0])
      .map(([threads, name]) => `${threads.toFixed(1)} ${name}`);
    const memory = this.lanes.filter(({ values }) => !Number.isNaN(values[end - 1])).map(({ name, values }) => `, ${name} ${formatBytes(values[end - 1])}`).join('');
    this.note.textContent = `at ${formatUs(b * this.profile.bucketUs)}: ${parts.join(', ') || 'nothing'}${memory}`;
  }

  tickStep(duration, count) {
    const rough = duration / count;
    const power = 10 ** Math.floor(Math.log10(rough));
    return [1, 2, 5, 10].map(factor => factor * power).find(step => step >= rough);
  }

  /* Dims what is not selected. */
  shade(context, height) {
    const [left, right] = this.range.map(bucket => bucket / this.buckets * this.width);
    context.fillStyle = this.colors.isDark ? 'rgba(18,22,28,.72)' : 'rgba(255,255,255,.74)';
    context.fillRect(0, 0, left, height);
    context.fillRect(right, 0, this.width - right, height);
    return [left, right];
  }

  drawRange(context, height) {
    const [left, right] = this.shade(context, height);
    context.fillStyle = this.colors.accent;
    for (const x of [left, right]) {
      context.fillRect(x - 1, 0, 2, height);
      context.fillRect(x - 3, height / 2 - 9, 6, 18);
    }
  }

  bucketAt(event) {
    const box = this.canvas.getBoundingClientRect();
    return clamp((event.clientX - box.left) / this.width * this.buckets, 0, this.buckets);
  }

  /* What a press at this point takes hold of. */
  gripAt(bucket) {
    if (!this.range)
      return 'new';
    const edge = EDGE_PX / this.width * this.buckets;
    if (Math.abs(bucket - this.range[0]) <= edge)
      return 'begin';
    if (Math.abs(bucket - this.range[1]) <= edge)
      return 'end';
    return bucket > this.range[0] && bucket < this.range[1] ? 'move' : 'new';
  }

  onDown(event) {
    const bucket = this.bucketAt(event);
    this.drag = { grip: this.gripAt(bucket), from: bucket, range: this.range };
    event.currentTarget.setPointerCapture(event.pointerId);
  }

  onMove(event) {
    const bucket = this.bucketAt(event);
    this.showMoment(bucket);
    if (!this.drag) {
      const cursors = { new: 'crosshair', begin: 'ew-resize', end: 'ew-resize', move: 'grab' };
      event.currentTarget.style.cursor = cursors[this.gripAt(bucket)];
      return;
    }
    const { grip, from, range } = this.drag;
    this.drag.moved = this.drag.moved || Math.abs(bucket - from) * this.width > 3 * this.buckets;
    if (!this.drag.moved)
      return;
    if (grip === 'new')
      this.select([from, bucket]);
    else if (grip === 'begin')
      this.select([bucket, range[1]]);
    else if (grip === 'end')
      this.select([range[0], bucket]);
    else
      this.shift(range, bucket - from);
  }

  onUp() {
    if (this.drag && !this.drag.moved && this.drag.grip === 'new')
      this.select(null);
    this.drag = null;
  }

  shift(range, by) {
    const length = range[1] - range[0];
    const begin = clamp(Math.round(range[0] + by), 0, this.buckets - length);
    this.select([begin, begin + length]);
  }

  select(range) {
    let next = null;
    if (range) {
      const begin = Math.floor(Math.min(range[0], range[1]));
      const end = Math.max(Math.ceil(Math.max(range[0], range[1])), begin + 1);
      next = [clamp(begin, 0, this.buckets - 1), clamp(end, 1, this.buckets)];
    }
    if (String(next) === String(this.range))
      return;
    this.range = next;
    this.requestDraw();
    this.changed(next);
  }

  /* Arrows move the range, with Shift they move its end. */
  onKey(event) {
    const step = Math.max(1, Math.round(this.buckets / 100));
    const by = { ArrowLeft: -step, ArrowRight: step }[event.key];
    if (!by)
      return;
    event.preventDefault();
    event.stopPropagation();
    const range = this.range || [0, Math.round(this.buckets / 10)];
    if (!this.range)
      this.select(range);
    else if (event.shiftKey)
      this.select([range[0], clamp(range[1] + by, range[0] + 1, this.buckets)]);
    else
      this.shift(range, by);
  }

  text() {
    if (!this.range)
      return '';
    const [begin, end] = this.range.map(bucket => bucket * this.profile.bucketUs);
    return `${formatUs(begin)} – ${formatUs(end)}`;
  }
}
