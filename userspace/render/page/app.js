/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ties the parts together: one state, one way to change it, one way to show it. */

class App {
  constructor(profile) {
    this.profile = profile;
    this.initial = defaultState(profile);
    this.colors = new Colors(profile);
    this.trees = {};
    this.state = readHash(profile, this.initial);
    this.makeParts();
    this.listen();
    this.applyTheme();
    this.showAll();
  }

  makeParts() {
    const events = {
      hover: (graph, node, x, y) => this.showTip(graph, node, x, y),
      leave: () => this.tooltip.hide(),
      zoom: (graph, node, event) => this.onZoom(graph, node, event),
      pick: (graph, node) => this.pick(graph.view.fn[node]),
      cursor: (graph, node) => this.onCursor(graph, node),
    };
    this.tooltip = new Tooltip(byId('tooltip'), this.colors);
    this.graph = new FlameGraph(byId('flame'), this.colors, events);
    this.callers = new FlameGraph(byId('callers'), this.colors, events);
    this.callees = new FlameGraph(byId('callees'), this.colors, events);
    this.callees.isRootBelow = false;
    this.timeline = new Timeline(byId('timeline'), byId('peak'), byId('time-legend'), this.colors,
      range => this.onBrush(range));
    this.tracks = new Tracks(byId('tracks'), {
      toggle: byId('tracks-toggle'), legend: byId('tracks-legend'), note: byId('tracks-note'),
    }, this.colors, this.tooltip, this.timeline);
    this.table = new FunctionTable(byId('functions'), byId('table-note'), this.colors, fn => this.pick(fn));
    this.threads = new ThreadFilter(this.profile, byId('thread'), byId('thread-list'), this.colors,
      thread => this.change({ thread }));
    this.summary = new Summary(this.profile, this.colors, fn => this.pick(fn), kind => this.showKind(kind));
  }

  listen() {
    const onClick = (id, action) => byId(id).addEventListener('click', action);
    for (const button of document.querySelectorAll('[data-view]'))
      button.addEventListener('click', () => this.change({ view: button.dataset.view }));
    for (const button of document.querySelectorAll('[data-kind]'))
      button.addEventListener('click', () => this.showKind(button.dataset.kind));
    onClick('direction', () => this.change({ isRootBelow: !this.state.isRootBelow }));
    onClick('compact', () => this.change({ isCompact: !this.state.isCompact }));
    onClick('reset', () => this.change({ zoom: '' }));
    onClick('clear-range', () => this.timeline.select(null));
    onClick('tracks-toggle', () => this.change({ hasTracks: !this.state.hasTracks }));
    onClick('theme', () => this.nextTheme());
    onClick('help-open', () => this.toggleHelp());
    onClick('help-close', () => this.toggleHelp());
    byId('search').addEventListener('input', event => this.change({ search: event.target.value }));
    document.addEventListener('keydown', event => onKey(this, event));
    window.addEventListener('hashchange', () => this.restore());
    window.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      this.applyTheme();
      this.showAll();
    });
  }

  /* The brush moves at the pace of the pointer; what it selects follows at the pace of its sums. */
  onBrush(range) {
    clearTimeout(this.brushTimer);
    const update = () => {
      const began = performance.now();
      this.change({ range });
      this.brushMs = performance.now() - began;
    };
    if (!(this.brushMs > 30))
      update();
    else
      this.brushTimer = setTimeout(update, Math.min(this.brushMs, 150));
  }

  restore() {
    this.state = readHash(this.profile, this.initial);
    this.applyTheme();
    this.showAll();
  }

  showKind(kind) {
    this.change({ kind, zoom: '' });
  }

  /* The only way to change what is shown. */
  change(values) {
    const before = this.state;
    this.state = { ...before, ...values };
    this.tooltip.hide();
    const changed = Object.keys(values).filter(key => before[key] !== this.state[key]);
    if (changed.some(key => ['kind', 'thread', 'range', 'isCompact', 'hasTracks'].includes(key)))
      this.showAll(changed.every(key => key === 'range'));
    else if (changed.length)
      this.showParts(changed);
    writeHash(this.state, this.initial);
  }

  tree() {
    const key = this.state.isCompact ? 'compact' : 'whole';
    if (!this.trees[key]) {
      const tree = new MergedTree(this.profile, this.state.isCompact);
      this.trees[key] = { tree, all: new Sums(tree, null, null) };
    }
    return this.trees[key];
  }

  /* The order of siblings is that of the whole capture, so that it stands still under the brush. */
  showAll(isBrushing) {
    const { state, profile } = this;
    const { tree, all } = this.tree();
    const threads = this.threads.flags(state.thread);
    const order = state.kind + state.thread;
    if (tree.order !== order) {
      const base = threads ? new Sums(tree, null, threads) : all;
      sortChildren(tree, base.view(state.kind).total);
      tree.order = order;
    }
    this.sums = !state.range && !threads ? all : new Sums(tree, state.range, threads);
    this.threads.set(state.thread);
    this.timeline.range = state.range;
    if (!isBrushing) {
      this.timeline.setData(profile, threads, state.kind);
      this.tracks.setData(profile, threads, state.hasTracks);
    }
    byId('range').textContent = this.timeline.text() || 'drag to select a range';
    byId('range').classList.toggle('active', Boolean(state.range));
    byId('clear-range').hidden = !state.range;
    this.summary.update(this.sums, state.kind);
    this.summary.legend(this.sums.view(state.kind));
    this.showKinds();
    this.findMatches();
    this.showView();
  }

  showParts(changed) {
    if (changed.includes('theme'))
      return this.showAll();
    if (changed.includes('search'))
      this.findMatches();
    if (changed.length === 1 && changed[0] === 'zoom')
      return this.showZoom();
    return this.showView();
  }

  showKinds() {
    const shown = this.profile.shownKinds();
    byId('time-kinds').hidden = !shown.includes('wall');
    byId('memory-kinds').hidden = !shown.includes('live');
    byId('operation-kinds').hidden = !shown.some(isOperationKind);
    for (const button of document.querySelectorAll('[data-kind]')) {
      const kind = button.dataset.kind;
      button.hidden = !shown.includes(kind);
      if (button.hidden)
        continue;
      button.setAttribute('aria-pressed', String(kind === this.state.kind));
      button.querySelector('.kind-time').textContent = this.profile.formatShort(kind, this.sums.headline(kind));
    }
  }

  findMatches() {
    const input = byId('search');
    const { search } = this.state;
    if (input.value !== search)
      input.value = search;
    this.matches = null;
    let isBad = false;
    try {
      if (search)
        this.matches = this.matchFunctions(new RegExp(search, 'i'));
    } catch (error) {
      isBad = true;
    }
    input.setAttribute('aria-invalid', String(isBad));
    const view = this.sums.view(this.state.kind);
    const value = this.matches ? matchedValue(view, this.matches) : 0;
    byId('matched').textContent = isBad ? 'not a regular expression'
      : this.matches ? `${formatPct(value, view.total[0])} · ${this.format(value)}` : '';
  }

  matchFunctions(pattern) {
    const profile = this.profile;
    return Uint8Array.from(profile.labels, (label, fn) =>
      pattern.test(label) || pattern.test(profile.names[fn]) || pattern.test(profile.location(fn)) || pattern.test(profile.modules[fn]) ? 1 : 0);
  }

  showView() {
    const { state } = this;
    for (const button of document.querySelectorAll('[data-view]'))
      button.setAttribute('aria-selected', String(button.dataset.view === state.view));
    for (const view of VIEWS)
      byId('view-' + view).hidden = view !== state.view;
    byId('direction').textContent = state.isRootBelow ? 'Flame ⇅' : 'Icicle ⇅';
    byId('compact').setAttribute('aria-pressed', String(state.isCompact));
    if (state.view === 'flame')
      this.showFlame();
    else if (state.view === 'table')
      this.table.setData(this.profile, this.sums, state.kind, this.matches);
    else
      this.showCallers();
  }

  showFlame() {
    const { tree } = this.tree();
    const view = this.sums.view(this.state.kind);
    const same = this.graph.tree === tree;
    this.graph.tree = tree;
    this.graph.matches = this.matches;
    if (this.graph.isRootBelow !== this.state.isRootBelow)
      this.graph.isRootBelow = this.state.isRootBelow;
    this.graph.zoomed = zoomNode(tree, this.state.zoom);
    this.graph.setView(view, same && this.graph.shownDirection === this.state.isRootBelow);
    this.graph.shownDirection = this.state.isRootBelow;
    byId('flame-empty').hidden = view.total[0] > 0;
    this.showPath();
  }

  showZoom() {
    this.graph.zoomTo(zoomNode(this.tree().tree, this.state.zoom));
    this.showPath();
  }

  /* The zoomed frame in words. */
  showPath() {
    const { graph } = this;
    const view = graph.view;
    const node = graph.zoomed;
    byId('reset').hidden = node === 0;
    byId('place').textContent = `${graph.label(node)} — ${this.format(view.total[node])}, ` +
      `${formatPct(view.total[node], view.total[0])} of ${KIND_TEXTS[this.state.kind]}` +
      (this.state.range && isOperationKind(this.state.kind) ? ', whole capture' : '');
  }

  format(value) {
    return this.profile.format(this.state.kind, value);
  }

  showCallers() {
    const { state, profile } = this;
    let { fn } = state;
    if (fn < 0)
      fn = this.hottestFunction();
    const { self, total } = this.sums.functions(state.kind);
    this.shownFunction = fn;
    byId('callers-empty').hidden = fn >= 0 && total[fn] > 0;
    byId('callers-body').hidden = fn < 0 || !total[fn];
    byId('callers-name').textContent = fn < 0 ? '' : profile.labels[fn];
    byId('callers-place').textContent = fn < 0 ? '' : profile.location(fn);
    if (fn < 0 || !total[fn])
      return;
    const whole = this.sums.total(state.kind);
    byId('callers-numbers').textContent = `${isMemoryKind(state.kind) ? 'wanted' : 'self'} ${formatPct(self[fn], whole)} · ${this.format(self[fn])}, ` +
      `total ${formatPct(total[fn], whole)} · ${this.format(total[fn])} of ${KIND_TEXTS[state.kind]}`;
    for (const [graph, make] of [[this.callers, callersOf], [this.callees, calleesOf]]) {
      graph.matches = this.matches;
      const view = make(this.sums, state.kind, fn);
      graph.scroller.style.flexGrow = depthOfTree(view);
      graph.setView(view, false);
    }
    this.showLines(fn, total[fn]);
  }

  showLines(fn, whole) {
    const lines = this.sums.lines(this.state.kind, fn, -1).slice(0, 8);
    byId('callers-lines').replaceChildren(...lines.map(([line, value]) => {
      const item = element('li');
      item.append(element('span', 'dim', 'line '), `${line} `, element('b', '', formatPct(value, whole)));
      return item;
    }));
  }

  /* Of memory, the function that wanted most of it. */
  hottestFunction() {
    const { kind } = this.state;
    if (isMemoryKind(kind)) {
      const [first] = wantedBy(this.sums, kind);
      return first ? first.fn : -1;
    }
    const { self } = this.sums.functions(kind);
    let best = -1;
    self.forEach((us, fn) => {
      if (us > 0 && (best < 0 || us > self[best]))
        best = fn;
    });
    return best;
  }

  showTip(graph, node, x, y) {
    const fn = graph.view.fn[node];
    const isMain = graph === this.graph;
    const lines = fn >= 0 && this.profile.kinds[fn] === FRAME_PYTHON && isMain
      ? this.linesOf(node, fn) : [];
    this.tooltip.show(graph.view, node, x, y, lines);
  }

  /* The last answer is kept: the pointer moves many times over one frame. */
  linesOf(node, fn) {
    const key = this.tipKey;
    if (!key || key.node !== node || key.sums !== this.sums || key.kind !== this.state.kind)
      this.tipKey = { node, sums: this.sums, kind: this.state.kind,
        lines: this.sums.lines(this.state.kind, fn, node) };
    return this.tipKey.lines;
  }

  onZoom(graph, node, event) {
    this.tooltip.hide();
    if (graph !== this.graph) {
      if (graph.view.fn[node] >= 0)
        this.pick(graph.view.fn[node]);
      return;
    }
    this.graph.cursor = -1;
    const target = node === graph.zoomed ? graph.view.parent[node] : node;
    this.change({ zoom: zoomName(this.tree().tree, Math.max(target, 0)) });
    if (event && event.pointerType === 'touch')
      this.showTip(graph, node, event.clientX, event.clientY);
  }

  onCursor(graph, node) {
    if (node < 0)
      return this.tooltip.hide();
    const view = graph.view;
    byId('announce').textContent = `${graph.label(node)}, total ` +
      `${formatPct(view.total[node], view.total[0])}, self ${formatPct(view.self[node], view.total[0])}`;
    const [x, y] = graph.cursorPlace();
    return this.showTip(graph, node, x, y);
  }

  pick(fn) {
    if (fn >= 0)
      this.change({ view: 'callers', fn });
  }

  nextTheme() {
    const isDark = document.documentElement.dataset.theme === 'dark';
    this.state.theme = isDark ? 'light' : 'dark';
    this.applyTheme();
    this.showAll();
    writeHash(this.state, this.initial);
  }

  applyTheme() {
    const prefersDark = window.matchMedia('(prefers-color-scheme: dark)').matches;
    const isDark = this.state.theme === 'dark' || (this.state.theme === 'auto' && prefersDark);
    document.documentElement.dataset.theme = isDark ? 'dark' : 'light';
    this.colors.setDark(isDark);
  }

  toggleHelp() {
    const help = byId('help');
    if (help.open)
      help.close();
    else
      help.showModal();
  }

  /* Undoes the latest thing that narrows the view. */
  escape() {
    if (this.graph.cursor >= 0) {
      this.graph.cursor = -1;
      this.graph.requestDraw();
      this.tooltip.hide();
    } else if (this.state.zoom) {
      this.change({ zoom: '' });
    } else if (this.state.search) {
      this.change({ search: '' });
    } else if (this.state.range) {
      this.timeline.select(null);
    } else if (this.state.view !== 'flame') {
      this.change({ view: 'flame' });
    }
  }

  zoomBy(way) {
    const { graph } = this;
    if (this.state.view !== 'flame')
      return;
    let node = graph.zoomed;
    if (way < 0) {
      node = Math.max(graph.view.parent[node], 0);
    } else if (graph.cursor >= 0) {
      node = graph.cursor;
    } else {
      /* A caller of one callee fills the width anyway: go down to where it divides. */
      for (let children = graph.shownChildren(node); children.length; children = graph.shownChildren(node)) {
        node = children[0];
        if (children.length > 1)
          break;
      }
    }
    this.change({ zoom: zoomName(this.tree().tree, node) });
  }
}

function nextKind(app) {
  const shown = app.profile.shownKinds();
  return shown[(shown.indexOf(app.state.kind) + 1) % shown.length];
}

const KEYS = {
  '?': app => app.toggleHelp(),
  '/': () => byId('search').select(),
  Escape: app => app.escape(),
  ArrowUp: app => app.graph.moveCursor(app.state.isRootBelow ? 'in' : 'out'),
  ArrowDown: app => app.graph.moveCursor(app.state.isRootBelow ? 'out' : 'in'),
  ArrowLeft: app => app.graph.moveCursor('previous'),
  ArrowRight: app => app.graph.moveCursor('next'),
  Enter: app => app.graph.cursor >= 0 && app.onZoom(app.graph, app.graph.cursor),
  '+': app => app.zoomBy(1),
  '=': app => app.zoomBy(1),
  '-': app => app.zoomBy(-1),
  0: app => app.change({ zoom: '' }),
  1: app => app.change({ view: 'flame' }),
  2: app => app.change({ view: 'table' }),
  3: app => app.change({ view: 'callers' }),
  f: app => app.change({ isRootBelow: !app.state.isRootBelow }),
  i: app => app.change({ isCompact: !app.state.isCompact }),
  k: app => app.showKind(nextKind(app)),
  c: app => app.graph.cursor >= 0 && app.pick(app.graph.view.fn[app.graph.cursor]),
  s: app => app.change({ hasTracks: !app.state.hasTracks }),
  t: app => app.nextTheme(),
};

const NEEDS_FLAME = ['ArrowUp', 'ArrowDown', 'ArrowLeft', 'ArrowRight', 'Enter', 'c'];

function onKey(app, event) {
  const action = KEYS[event.key];
  if (!action || event.ctrlKey || event.metaKey || event.altKey || byId('help').open)
    return;
  const isTyping = event.target.matches('input');
  if (isTyping) {
    if (event.key === 'Escape' || event.key === 'Enter')
      event.target.blur();
    if (event.key === 'Escape')
      app.change({ search: '' });
    return;
  }
  const isOnControl = event.target.matches('button');
  if (NEEDS_FLAME.includes(event.key) && (app.state.view !== 'flame' || (isOnControl && event.key === 'Enter')))
    return;
  event.preventDefault();
  action(app);
}

async function main() {
  try {
    const bytes = await inflate(byId('data').textContent);
    new App(new Profile(bytes));
    document.body.dataset.ready = 'yes';
  } catch (error) {
    byId('failure').hidden = false;
    byId('failure').textContent = `This page cannot be shown: ${error.message}`;
  }
}

main();
