/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The head of the page: what was captured and what is missing, then the answers at a glance: where
 * the time went, what is hottest, what is waited for longest. */

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

/* Whether a function is the program's own, not of Python's library or of an installed package. */
function isOwn(profile, fn) {
  return profile.kinds[fn] === FRAME_PYTHON &&
    !/\/(lib\/python|python)[0-9.]+\/|^<frozen/.test(profile.files[fn]);
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

/* The nearest function above a node that is the program's own; -1 when there is none. */
function ownCaller(view, node) {
  for (let up = view.parent[node]; up > 0; up = view.parent[up])
    if (isOwn(view.profile, view.fn[up]))
      return view.fn[up];
  return -1;
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

class Summary {
  /* picked(fn): show callers and callees */
  constructor(profile, colors, picked) {
    this.profile = profile;
    this.colors = colors;
    this.picked = picked;
    byId('title').textContent = profile.facts.title;
    byId('chips').replaceChildren(...captureChips(profile));
  }

  update(sums) {
    this.showShares(sums);
    const cpu = hottest(sums).map(item => this.answer(item, sums.cpuUs, WAY_CPU));
    const waits = longestWaits(sums).map(item =>
      this.answer(item, sums.waitUs, item.fn - this.profile.firstReason + 1));
    byId('hottest').replaceChildren(...(cpu.length ? cpu : [element('li', 'nothing', 'no samples')]));
    byId('waits').replaceChildren(...(waits.length ? waits : [element('li', 'nothing', 'no waits')]));
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
    const item = element('li');
    const button = element('button', 'answer');
    button.type = 'button';
    const { labels, names } = this.profile;
    const isWait = way !== WAY_CPU;
    const [first, second] = from < 0 ? [labels[shown], '']
      : isWait ? [labels[from], ' → ' + names[shown]] : [labels[shown], ' ← ' + labels[from]];
    button.title = `${first}${second}\nShow callers and callees`;
    const bar = element('span', 'answer-bar');
    bar.style.width = `${100 * us / whole}%`;
    bar.style.background = this.colors.way(way);
    const name = element('span', 'answer-name', first);
    name.append(element('span', 'dim', second));
    button.append(bar, element('b', 'answer-pct', formatPct(us, whole)));
    if (isWait)
      button.append(element('span', 'answer-reason', this.profile.facts.reasons[way - 1]));
    button.append(name, element('span', 'dim answer-time', formatUs(us)));
    button.addEventListener('click', () => this.picked(shown));
    item.append(button);
    return item;
  }

  legend(profile) {
    const kinds = [...new Set(profile.kinds.subarray(0, profile.firstReason))].sort();
    byId('legend').replaceChildren(...kinds.map(kind => {
      const item = element('li');
      const swatch = element('span', 'swatch' + (kind === FRAME_MARK ? ' hatched' : ''));
      swatch.style.background = this.colors.kind(kind);
      item.append(swatch, KIND_NAMES[kind] || 'other');
      return item;
    }));
  }
}
