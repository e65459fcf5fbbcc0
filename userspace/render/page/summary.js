/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The head of the page: what was captured and what is missing, then the answers at a glance: where
 * the time went, what is hottest, what is waited for longest; or, for a kind of memory, how much
 * there is, what leaks, and who holds most. */

const ANSWERS = 4;

function chip(name, value, className) {
  const made = element('span', 'chip' + (className ? ' ' + className : ''));
  if (name)
    made.append(element('span', 'chip-name', name + ' '));
  made.append(value);
  return made;
}

/* Loss counters that are not zero, as "12 lost samples". */
function losses(counters) {
  return Object.entries(counters)
    .filter(([name, value]) => name.startsWith('lost.') && value > 0)
    .map(([name, value]) => `${formatCount(value)} lost ${name.slice(5).replace(/_/g, ' ')}`);
}

function completenessChip(name, { all, ratio }) {
  const pct = Math.floor(ratio * 1000) / 10;
  const made = chip(name, `${pct}\u202f% complete`, ratio < 0.98 ? 'warn' : '');
  made.title = `${pct} % of ${formatCount(all)} stacks reach the thread's first frame`;
  return made;
}

function captureChips(profile) {
  const { facts, counters, processes } = profile.facts;
  const runtimes = [...new Set(processes.map(process => process.runtime).filter(Boolean))];
  const pids = processes.map(process => process.pid);
  const cpu = profile.completeness(true);
  const wait = profile.completeness(false);
  const rate = `${profile.facts.frequency_hz}\u202fHz` +
    (facts['capture.event'] ? ' ' + facts['capture.event'] : '');
  const shown = pids.length > 3 ? `${pids.length} processes` : pids.join(', ');
  const made = [
    shown ? chip(pids.length > 3 ? '' : 'pid', shown) : null,
    runtimes.length ? chip('', runtimes.join(', ')) : null,
    chip('', formatUs(profile.facts.duration_ns / 1000)),
    chip('', `${formatCount(cpu.all)} samples at ${rate}`),
    wait.all ? chip('', `${formatCount(wait.all)} waits`) : null,
    cpu.all ? completenessChip('on-CPU', cpu) : null,
    wait.all ? completenessChip('off-CPU', wait) : null,
    facts['host.kernel'] ? chip('kernel', facts['host.kernel']) : null,
    facts['host.cpus'] ? chip('CPUs', facts['host.cpus']) : null,
    ...losses(counters).map(text => chip('', text, 'warn')),
    profile.facts.whole_file ? null
      : chip('', 'file cut short' + (profile.facts.damage ? ': ' + profile.facts.damage : ''), 'warn'),
  ];
  return made.filter(Boolean);
}

/* The nearest other function above a node: a Python one, or else one of any kind. */
function calledFrom(view, node) {
  const profile = view.profile;
  let other = -1;
  for (let up = view.parent[node]; up > 0; up = view.parent[up]) {
    if (view.fn[up] === view.fn[node])
      continue;
    if (profile.kinds[view.fn[up]] === FRAME_PYTHON)
      return view.fn[up];
    if (other < 0)
      other = view.fn[up];
  }
  return other;
}

/* The largest self times, each with the caller that matters. */
function hottest(sums) {
  const view = sums.view('cpu');
  const byFunction = new Map();
  for (let i = 1; i < view.parent.length; i++) {
    if (!view.self[i])
      continue;
    const known = byFunction.get(view.fn[i]) || { fn: view.fn[i], us: 0, most: 0, node: i };
    known.us += view.self[i];
    if (view.self[i] > known.most) {
      known.most = view.self[i];
      known.node = i;
    }
    byFunction.set(view.fn[i], known);
  }
  return [...byFunction.values()].sort((a, b) => b.us - a.us).slice(0, ANSWERS)
    .map(({ fn, us, node }) => {
      const own = isOwn(view.profile, fn) ? -1 : ownCaller(view, node);
      return { fn, us, shown: fn, from: own < 0 ? calledFrom(view, node) : own };
    });
}

/* The largest sums of waiting by reason, by the Python function that waits and by the program's own
 * function that called it. */
function longestWaits(sums) {
  const view = sums.view('off-cpu');
  const found = new Map();
  for (let i = 1; i < view.parent.length; i++) {
    if (!view.self[i])
      continue;
    const shown = calledFrom(view, i);
    const own = ownCaller(view, i);
    const key = `${view.fn[i]},${shown},${own}`;
    const known = found.get(key) ||
      { fn: view.fn[i], shown: shown < 0 ? view.fn[i] : shown, from: own === shown ? -1 : own, us: 0 };
    known.us += view.self[i];
    found.set(key, known);
  }
  return [...found.values()].sort((a, b) => b.us - a.us).slice(0, ANSWERS);
}

/* The largest holders of memory, each with the own caller of its largest stack. */
function wantedBy(sums, kind) {
  const view = sums.view(kind);
  const found = new Map();
  for (let i = 1; i < view.parent.length; i++) {
    if (!view.self[i])
      continue;
    const fn = wanting(view, i);
    const known = found.get(fn) || { fn, value: 0, most: 0, node: i };
    known.value += view.self[i];
    if (view.self[i] > known.most) {
      known.most = view.self[i];
      known.node = i;
    }
    found.set(fn, known);
  }
  return [...found.values()].sort((a, b) => b.value - a.value).slice(0, ANSWERS).map(({ fn, value, node }) => {
    const own = isOwn(view.profile, fn) ? -1 : ownCaller(view, node);
    return { fn, value, from: own === fn ? -1 : own };
  });
}

/* The largest leaves, each with the own caller of its largest stack. */
function leavesOf(view) {
  const found = new Map();
  for (let i = 1; i < view.parent.length; i++) {
    if (!view.self[i])
      continue;
    const known = found.get(view.fn[i]) || { fn: view.fn[i], value: 0, most: 0, node: i };
    known.value += view.self[i];
    if (view.self[i] > known.most) {
      known.most = view.self[i];
      known.node = i;
    }
    found.set(view.fn[i], known);
  }
  return [...found.values()].sort((a, b) => b.value - a.value).map(({ fn, value, node }) => {
    const own = ownCaller(view, node);
    return { fn, value, from: own < 0 ? calledFrom(view, node) : own };
  });
}

/* Leaves summed by the program's own function that called, or else by the nearest one. */
function ownCallersOf(view) {
  const found = new Map();
  for (let i = 1; i < view.parent.length; i++) {
    if (!view.self[i])
      continue;
    const own = ownCaller(view, i);
    const fn = own < 0 ? calledFrom(view, i) : own;
    if (fn >= 0)
      found.set(fn, (found.get(fn) || 0) + view.self[i]);
  }
  return [...found].sort((a, b) => b[1] - a[1]).map(([fn, value]) => ({ fn, value, from: -1 }));
}

const OPERATION_TITLES = {
  syscall: 'System calls', io: 'Files and sockets', block: 'Disk requests', fault: 'Page faults', lock: 'Locks',
  gil: 'The GIL, waited for and held',
};

const HOLDERS = { alloc: 'Most allocated', live: 'Most live', peak: 'Most live at the peak' };

class Summary {
  /* picked(fn): show callers and callees; kindChosen(kind): show that kind */
  constructor(profile, colors, picked, kindChosen) {
    this.profile = profile;
    this.colors = colors;
    this.picked = picked;
    byId('title').textContent = profile.facts.title;
    byId('chips').replaceChildren(...captureChips(profile));
    if (profile.memory.facts)
      byId('chips').append(this.leakChip(kindChosen));
  }

  /* Says whether there is a leak, and leads to the memory's side of the page. */
  leakChip(kindChosen) {
    const { leaks } = this.profile.memory.facts;
    const chosen = element('button', 'chip link' + (leaks ? ' warn' : ''),
      leaks ? `${leaks} ${leaks === 1 ? 'stack leaks' : 'stacks leak'}` : 'no leak found');
    chosen.type = 'button';
    chosen.addEventListener('click', () => kindChosen(leaks ? 'leak' : 'live'));
    return chosen;
  }

  update(sums, kind) {
    const isMemory = isMemoryKind(kind);
    const isOperation = isOperationKind(kind);
    byId('time-answers').hidden = isMemory || isOperation;
    byId('memory-answers').hidden = !isMemory;
    byId('operation-answers').hidden = !isOperation;
    if (isMemory)
      this.showMemory(sums, kind);
    else if (isOperation)
      this.showOperations(sums, kind);
    else
      this.showTime(sums);
  }

  showOperations(sums, kind) {
    const view = sums.view(kind);
    const figures = kind === 'gil' ? this.gilFigures(sums, view) : [
      [kind === 'fault' ? 'faults' : 'time', kind === 'fault' ? formatCount(view.total[0]) : formatUs(view.total[0])],
      ...(kind === 'fault' ? [] : [[OPERATION_WORDS[kind], formatCount(view.totalCount[0])]]),
      ...(view.totalBytes[0] ? [['bytes', formatBytes(view.totalBytes[0])]] : []),
    ];
    byId('operation-title').textContent = OPERATION_TITLES[kind];
    byId('operation-figures').replaceChildren(...figures.flatMap(([name, value]) =>
      [element('dt', '', name), element('dd', '', value)]));
    for (const [id, find] of [['operation-leaves', leavesOf], ['operation-callers', ownCallersOf]]) {
      const items = find(view).slice(0, ANSWERS).map(item => this.operationAnswer(item, kind, view));
      byId(id).replaceChildren(...(items.length ? items : [element('li', 'nothing', 'no stacks')]));
    }
  }

  gilFigures(sums, view) {
    const waited = sums.headline('gil');
    return [['waited', formatUs(waited)], ['held meanwhile', formatUs(view.total[0] - waited)]];
  }

  operationAnswer({ fn, value, from }, kind, view) {
    const { profile } = this;
    const item = element('li');
    item.append(this.answerButton({
      value, whole: view.total[0], color: this.colors.kind(profile.kinds[fn]),
      amount: kind === 'fault' ? formatCount(value) : formatUs(value), first: profile.labels[fn],
      second: from < 0 ? '' : ' ← ' + profile.labels[from], picked: fn,
    }));
    return item;
  }

  showTime(sums) {
    this.showShares(sums);
    const cpu = hottest(sums).map(item => this.answer(item, sums.cpuUs, WAY_CPU));
    const waits = longestWaits(sums).map(item =>
      this.answer(item, sums.waitUs, item.fn - this.profile.firstReason + 1));
    byId('hottest').replaceChildren(...(cpu.length ? cpu : [element('li', 'nothing', 'no samples')]));
    byId('waits').replaceChildren(...(waits.length ? waits : [element('li', 'nothing', 'no waits')]));
  }

  showMemory(sums, kind) {
    const { facts } = this.profile.memory;
    const held = kind === 'leak' ? 'peak' : kind;
    byId('memory-note').textContent = facts.is_sampled ? 'estimated from samples' : '';
    byId('memory-figures').replaceChildren(...this.figures(sums, facts).flatMap(([name, ...value]) => {
      const shown = element('dd');
      shown.append(...value);
      return [element('dt', '', name), shown];
    }));
    const leaks = wantedBy(sums, 'leak').map(item => this.memoryAnswer(item, 'leak', sums));
    byId('leaks-note').textContent = leaks.length ? `growth per ${facts.leak_unit === 's' ? 'second' : 'iteration'}, of the whole capture` : '';
    byId('leaks').replaceChildren(...(leaks.length ? leaks : [element('li', 'nothing', this.noLeak(facts))]));
    const holders = wantedBy(sums, held).map(item => this.memoryAnswer(item, held, sums));
    byId('holders-title').textContent = HOLDERS[held];
    byId('holders').replaceChildren(...(holders.length ? holders : [element('li', 'nothing', 'nothing')]));
  }

  noLeak(facts) {
    return facts.judged && facts.too_short === facts.judged ? 'the capture is too short to tell'
      : `none found in ${formatCount(facts.judged)} stacks`;
  }

  /* Name and value, the value in parts; dim ones after the first. */
  figures(sums, facts) {
    const dim = text => element('span', 'dim', text);
    const count = this.profile.bucketCount;
    const resident = this.profile.memory.resident(count, () => true);
    const figures = [
      ['live', formatBytes(sums.total('live')), dim(` at most ${formatBytes(facts.peak_bytes)} at ${formatUs(facts.peak_ns / 1000)}`)],
      ['allocated', formatBytes(sums.total('alloc')), dim(` in ${formatCount(sums.view('alloc').totalCount[0])} allocations`)],
    ];
    if (resident)
      figures.push(['RSS', formatBytes(resident.findLast(bytes => bytes > 0) || 0), dim(` at most ${formatBytes(Math.max(...resident.filter(bytes => bytes > 0), 0))}`)]);
    if (facts.limit_bytes)
      figures.push(['limit', formatBytes(facts.limit_bytes), dim(` (${facts.limit_name}) `),
        `reached in ${formatLong(facts.seconds_to_limit)}`]);
    return figures;
  }

  /* The interval of a leak's growth: that of its sites added up. */
  interval(sums, fn) {
    const view = sums.view('leak');
    const { nodeOf } = sums.tree;
    const sites = sums.memory.sites.filter(site => site.growth && wanting(view, nodeOf[site.node]) === fn);
    return ['low', 'high'].map(bound => formatBytes(sites.reduce((sum, site) => sum + site[bound], 0)));
  }

  memoryAnswer({ fn, value, from }, kind, sums) {
    const { labels } = this.profile;
    const button = this.answerButton({
      value, whole: sums.total(kind), color: this.colors.kind(this.profile.kinds[fn]),
      amount: formatBytes(value), first: labels[fn], second: from < 0 ? '' : ' ← ' + labels[from],
      picked: fn,
    });
    if (kind === 'leak')
      button.title = `${this.interval(sums, fn).join(' to ')} (95 %)\n${button.title}`;
    const item = element('li');
    item.append(button);
    return item;
  }

  showShares(sums) {
    const all = sums.cpuUs + sums.waitUs;
    const parts = [...sums.ways].map((us, way) => ({ us, way }))
      .filter(part => part.us > 0).sort((a, b) => (b.way === 0) - (a.way === 0) || b.us - a.us);
    byId('shares-bar').replaceChildren(...parts.map(({ us, way }) => {
      const made = element('span');
      made.style.width = `${100 * us / all}%`;
      made.style.background = this.colors.way(way);
      return made;
    }));
    byId('shares').replaceChildren(...parts.map(({ us, way }) => {
      const name = way === WAY_CPU ? 'on CPU' : this.profile.facts.reasons[way - 1];
      const item = element('li');
      const swatch = element('span', 'swatch');
      swatch.style.background = this.colors.way(way);
      const pct = element('b', '', formatPct(us, all));
      item.append(swatch, pct, ` ${name} `, element('span', 'dim', formatUs(us)));
      return item;
    }));
    byId('shares-total').textContent = `${formatUs(all)} summed over threads`;
  }

  answer({ us, shown, from }, whole, way) {
    const { labels, facts } = this.profile;
    const isWait = way !== WAY_CPU;
    const [first, second] = from < 0 ? [labels[shown], '']
      : isWait ? [labels[from], ' → ' + this.profile.shortName(shown)] : [labels[shown], ' ← ' + labels[from]];
    const item = element('li');
    item.append(this.answerButton({
      value: us, whole, color: this.colors.way(way), amount: formatUs(us), first, second, picked: shown,
      reason: isWait ? facts.reasons[way - 1] : '',
    }));
    return item;
  }

  /* One bar with its share, a name that matters and a dim one, and the amount. */
  answerButton({ value, whole, color, amount, first, second, reason, picked }) {
    const button = element('button', 'answer');
    button.type = 'button';
    button.title = `${first}${second}\nShow callers and callees`;
    const bar = element('span', 'answer-bar');
    bar.style.width = `${100 * value / whole}%`;
    bar.style.background = color;
    const name = element('span', 'answer-name', first);
    name.append(element('span', 'dim', second));
    button.append(bar, element('b', 'answer-pct', formatPct(value, whole)));
    if (reason)
      button.append(element('span', 'answer-reason', reason));
    button.append(name, element('span', 'dim answer-time', amount));
    button.addEventListener('click', () => this.picked(picked));
    return button;
  }

  /* The colours that a graph shows: kinds of frames, then reasons to wait. */
  legend(view) {
    const { profile } = view;
    const kinds = new Set();
    view.total.forEach((value, node) => node && value && kinds.add(profile.kinds[view.fn[node]]));
    const isWait = kind => kind >= FIRST_WAIT_KIND && kind < FIRST_TONE_KIND;
    const sorted = [...kinds].sort((a, b) => a - b);
    const firstWait = sorted.find(isWait);
    byId('legend').replaceChildren(...sorted.map(kind => {
      const item = element('li', kind === firstWait ? 'first-wait' : '');
      const swatch = element('span', 'swatch' + (kind === FRAME_MARK ? ' hatched' : ''));
      swatch.style.background = this.colors.kind(kind);
      item.append(swatch, this.colors.name(kind));
      return item;
    }));
  }
}
