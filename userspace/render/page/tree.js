/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Merges the calling contexts by function, sums them for a range of time and a set of threads, and
 * turns them round one function (callers and callees). Times are microseconds, memory is bytes. */

const MEMORY_KINDS = ['alloc', 'live', 'peak', 'leak'];
const KINDS = ['cpu', 'off-cpu', 'wall', ...MEMORY_KINDS, ...OPERATION_KINDS];

function isMemoryKind(kind) {
  return MEMORY_KINDS.includes(kind);
}

const KIND_TEXTS = {
  cpu: 'on-CPU time', 'off-cpu': 'off-CPU time', wall: 'wall time', alloc: 'bytes allocated',
  live: 'live bytes', peak: 'live bytes at the peak', leak: 'the growth by leaks',
  syscall: 'time in system calls', io: 'time of file and socket operations', block: 'time of disk requests',
  fault: 'page faults', lock: 'time waited for locks', gil: 'time waited for the GIL, and held while others waited',
};

/* Children of each node as slices of one list. */
function linkChildren(parent) {
  const start = new Uint32Array(parent.length + 1);
  for (let i = 1; i < parent.length; i++)
    start[parent[i] + 1]++;
  for (let i = 0; i < parent.length; i++)
    start[i + 1] += start[i];
  const fill = start.slice();
  const list = new Uint32Array(Math.max(parent.length - 1, 0));
  for (let i = 1; i < parent.length; i++)
    list[fill[parent[i]]++] = i;
  return { start, list };
}

function sortChildren(tree, weight) {
  for (let i = 0; i < tree.parent.length; i++) {
    const slice = tree.childList.subarray(tree.childStart[i], tree.childStart[i + 1]);
    if (slice.length > 1)
      slice.sort((a, b) => weight[b] - weight[a] || a - b);
  }
}

/* Adds every node's value to its parent's; parents have the smaller number. */
function sumTotals(parent, self) {
  const total = self.slice();
  for (let i = parent.length - 1; i > 0; i--)
    total[parent[i]] += total[i];
  return total;
}

/* Frames of the interpreter itself, which say nothing that the Python frames do not, and ragprof's own. */
function isInterpreter(profile, fn) {
  const kind = profile.kinds[fn];
  if (kind === FRAME_PYTHON || kind === FRAME_MARK || fn >= profile.firstReason)
    return false;
  const module = shortPath(profile.modules[fn]);
  return /^(python[0-9.]*|libpython[0-9.]+.*|libragprof\.so)$/.test(module);
}

/* Numbers pairs of parent and function: a hash table over typed arrays, as a Map of a million keys
 * takes seconds. */
class NodeTable {
  constructor(most) {
    this.parent = new Int32Array(most + 1);
    this.fn = new Int32Array(most + 1);
    this.first = new Int32Array(most + 1);
    this.count = 0;
    this.mask = 2 ** Math.ceil(Math.log2(most + 2) + 1) - 1;
    this.slots = new Int32Array(this.mask + 1).fill(-1);
  }

  child(parent, fn, first) {
    const mixed = Math.imul(parent, 0x9e3779b1) ^ Math.imul(fn + 1, 0x85ebca77);
    let at = Math.imul(mixed ^ mixed >>> 15, 0x2c1b3c6d) >>> 4 & this.mask;
    for (; this.slots[at] >= 0; at = at + 1 & this.mask) {
      const node = this.slots[at];
      if (this.parent[node] === parent && this.fn[node] === fn)
        return node;
    }
    const made = this.count++;
    this.slots[at] = made;
    this.parent[made] = parent;
    this.fn[made] = fn;
    this.first[made] = first;
    return made;
  }
}

/* The merged tree: node 0 is the root of all threads. */
class MergedTree {
  constructor(profile, isCompact) {
    this.profile = profile;
    this.skipped = new Uint8Array(profile.functionCount);
    if (isCompact)
      for (let fn = 0; fn < profile.functionCount; fn++)
        this.skipped[fn] = isInterpreter(profile, fn) ? 1 : 0;
    this.build();
    this.order = {};
  }

  build() {
    const profile = this.profile;
    const { operations } = profile;
    const nodes = new NodeTable(profile.nodeCount + profile.streamCount + operations.count);
    nodes.child(-1, -1, 0);
    const child = (parent, fn, first) => nodes.child(parent, fn, first);
    this.nodeOf = new Int32Array(profile.nodeCount);
    for (let i = 1; i < profile.nodeCount; i++) {
      const parent = this.nodeOf[profile.nodeParent[i]];
      const fn = profile.nodeFunction[i];
      this.nodeOf[i] = this.skipped[fn] ? parent : child(parent, fn, i);
    }
    this.leafOf = new Int32Array(profile.streamCount);
    for (let i = 0; i < profile.streamCount; i++) {
      const node = this.nodeOf[profile.streamNode[i]];
      const way = profile.streamWay[i];
      this.leafOf[i] = way === WAY_CPU ? node : child(node, profile.firstReason + way - 1, -1);
    }
    this.operationLeaf = operations.note.map((note, i) =>
      child(this.nodeOf[operations.node[i]], profile.firstNote + note, -1));
    this.finish(nodes);
  }

  finish(nodes) {
    this.parent = nodes.parent.slice(0, nodes.count);
    this.fn = nodes.fn.slice(0, nodes.count);
    this.first = nodes.first.slice(0, nodes.count);
    const { start, list } = linkChildren(this.parent);
    this.childStart = start;
    this.childList = list;
    this.flags = new Uint8Array(this.parent.length);
    for (let i = 1; i < this.parent.length; i++)
      this.flags[i] = this.first[i] > 0 ? this.profile.nodeFlags[this.first[i]] : 0;
    this.markOutermost();
  }

  /* A node is outermost when no caller is the same function: only those count towards the total of
   * a function, so that recursion is not counted twice. Walks in depth-first order, leaving a
   * function's mark while its node is open. */
  markOutermost() {
    this.outermost = new Uint8Array(this.parent.length);
    const open = new Int32Array(this.profile.functionCount);
    const stack = [0];
    while (stack.length) {
      const node = stack.pop();
      if (node < 0) {
        open[this.fn[~node]]--;
        continue;
      }
      if (node > 0) {
        this.outermost[node] = open[this.fn[node]]++ === 0 ? 1 : 0;
        stack.push(~node);
      }
      for (let c = this.childStart[node]; c < this.childStart[node + 1]; c++)
        stack.push(this.childList[c]);
    }
  }
}

/* What the sites that pass the filter hold, by node of the profile. Of a range: what was allocated in
 * it; what was live at its end, or when most was live in it. Growth is that of the whole capture. */
class MemorySums {
  constructor(profile, range, threads) {
    this.profile = profile;
    this.range = range;
    const processes = new Set(profile.facts.threads.filter((thread, i) => threads && threads[i])
      .map(thread => thread.process));
    this.sites = profile.memory.sites.filter(site => !threads || processes.has(site.process));
    this.processes = processes;
  }

  /* Sums of a site's entries in buckets [begin, end). */
  sum(site, values, begin, end) {
    let sum = 0;
    for (let i = 0; i < site.bucket.length && site.bucket[i] < end; i++)
      sum += site.bucket[i] >= begin ? values[i] : 0;
    return sum;
  }

  /* The end of the bucket within the range at which most was live. */
  peakEnd() {
    const [begin, end] = this.range || [0, this.profile.bucketCount];
    const asked = new Set(this.sites);
    const live = this.profile.memory.course(this.profile.bucketCount, site => asked.has(site));
    let best = begin;
    for (let b = begin; b < end; b++)
      best = live[b] > live[best] ? b : best;
    return best + 1;
  }

  /* [value, blocks] of each site. */
  valueOf(kind) {
    const [begin, end] = this.range || [0, Infinity];
    if (kind === 'alloc')
      return site => [this.sum(site, site.bytes, begin, end), this.sum(site, site.allocations, begin, end)];
    if (kind === 'leak')
      return site => [site.growth, site.growth ? this.sum(site, site.liveBlocks, 0, end) : 0];
    const until = kind === 'live' ? end : this.peakEnd();
    const isWhole = kind === 'peak' && !this.range && this.sites.length === this.profile.memory.sites.length;
    return site => [isWhole ? site.peak : Math.max(this.sum(site, site.live, 0, until), 0),
      this.sum(site, site.liveBlocks, 0, until)];
  }

  /* Arrays by node of the profile. */
  byNode(kind) {
    const values = new Float64Array(this.profile.nodeCount);
    const counts = new Float64Array(this.profile.nodeCount);
    const valueOf = this.valueOf(kind);
    for (const site of this.sites) {
      const [value, count] = valueOf(site);
      values[site.node] += value;
      counts[site.node] += count;
    }
    return { values, counts };
  }
}

/* Whether a function is the program's own, not of Python's library or of an installed package. */
function isOwn(profile, fn) {
  return profile.kinds[fn] === FRAME_PYTHON &&
    !/\/(lib\/python|python)[0-9.]+\/|^<frozen/.test(profile.files[fn]);
}

/* The nearest function above a node that is the program's own; -1 when there is none. */
function ownCaller(view, node) {
  for (let up = view.parent[node]; up > 0; up = view.parent[up])
    if (isOwn(view.profile, view.fn[up]))
      return view.fn[up];
  return -1;
}

/* Whose memory a node's is: the innermost function at or above it that takes it for itself; of Python
 * code the program's own one, if there is any. */
function wanting(view, node) {
  const profile = view.profile;
  let first = -1;
  for (let up = node; up > 0; up = view.parent[up]) {
    const fn = view.fn[up];
    if (profile.isAllocator[fn])
      continue;
    if (profile.kinds[fn] !== FRAME_PYTHON && !profile.names[fn].startsWith(UNKNOWN))
      return first < 0 ? fn : first;
    if (isOwn(profile, fn))
      return fn;
    if (first < 0)
      first = fn;
  }
  return first < 0 ? view.fn[node] : first;
}

/* What the streams that pass the filter add up to. `range`: buckets [begin, end) or null;
 * `threads`: a Uint8Array of flags, or null for all. */
class Sums {
  constructor(tree, range, threads) {
    const profile = tree.profile;
    this.tree = tree;
    this.profile = profile;
    this.self = new Float64Array(tree.parent.length);
    this.selfCount = new Float64Array(tree.parent.length);
    this.nodeCpu = new Float64Array(profile.nodeCount);
    this.nodeWait = new Float64Array(profile.nodeCount);
    this.ways = new Float64Array(profile.facts.reasons.length + 1);
    this.cache = {};
    const begin = range ? range[0] : 0;
    const end = range ? range[1] : Infinity;
    for (let i = 0; i < profile.streamCount; i++)
      if (!threads || threads[profile.streamThread[i]])
        this.addStream(i, begin, end);
    this.memory = new MemorySums(profile, range, threads);
    this.threads = threads;
    this.cpuUs = this.ways[0];
    this.waitUs = this.ways.subarray(1).reduce((sum, us) => sum + us, 0);
  }

  addStream(i, begin, end) {
    const profile = this.profile;
    let us = 0;
    let count = 0;
    for (let e = profile.streamBegin[i]; e < profile.streamBegin[i + 1]; e++) {
      const bucket = profile.bucket[e];
      if (bucket < begin || bucket >= end)
        continue;
      us += profile.us[e];
      count += profile.count[e];
    }
    const way = profile.streamWay[i];
    const leaf = this.tree.leafOf[i];
    this.self[leaf] += us;
    this.selfCount[leaf] += count;
    this.ways[way] += us;
    (way === WAY_CPU ? this.nodeCpu : this.nodeWait)[profile.streamNode[i]] += us;
  }

  /* Microseconds, bytes or faults in all. */
  total(kind) {
    if (isMemoryKind(kind) || isOperationKind(kind))
      return this.view(kind).total[0];
    return kind === 'cpu' ? this.cpuUs : kind === 'off-cpu' ? this.waitUs : this.cpuUs + this.waitUs;
  }

  /* The same, but of the GIL only what was waited: what it was held meanwhile is that time once more. */
  headline(kind) {
    if (kind !== 'gil')
      return this.total(kind);
    const view = this.view(kind);
    return view.self.reduce((sum, us, i) =>
      sum + (this.profile.kinds[view.fn[i]] === FIRST_TONE_KIND + TONE_GIL_WAIT ? us : 0), 0);
  }

  /* Waits stand at leaves of their own, so the kinds of time are masks over one array. */
  timeOf(kind) {
    const mask = values => {
      const masked = values.slice();
      for (let i = 0; kind !== 'wall' && i < masked.length; i++)
        if (this.profile.isWait(this.tree.fn[i]) !== (kind === 'off-cpu'))
          masked[i] = 0;
      return masked;
    };
    return [mask(this.self), mask(this.selfCount)];
  }

  memoryOf(kind) {
    const { nodeOf, parent } = this.tree;
    const { values, counts } = this.memory.byNode(kind);
    const self = new Float64Array(parent.length);
    const selfCount = new Float64Array(parent.length);
    for (let i = 0; i < values.length; i++) {
      self[nodeOf[i]] += values[i];
      selfCount[nodeOf[i]] += counts[i];
    }
    return [self, selfCount];
  }

  /* Operations are known by stack for the whole capture, of a thread or at least of a process. */
  operationsOf(kind) {
    const { operations, facts } = this.profile;
    const { parent, operationLeaf } = this.tree;
    const [self, selfCount, bytes] = Array.from({ length: 3 }, () => new Float64Array(parent.length));
    for (const i of operations.of(kind, this.threads, facts)) {
      self[operationLeaf[i]] += operations.value(i);
      selfCount[operationLeaf[i]] += operations.calls[i];
      bytes[operationLeaf[i]] += operations.bytes[i];
    }
    return [self, selfCount, bytes];
  }

  /* The tree of a kind: what FlameGraph draws. */
  view(kind) {
    if (this.cache[kind])
      return this.cache[kind];
    const tree = this.tree;
    const [self, selfCount, bytes] = isMemoryKind(kind) ? this.memoryOf(kind)
      : isOperationKind(kind) ? this.operationsOf(kind) : this.timeOf(kind);
    const view = {
      kind, profile: this.profile, parent: tree.parent, fn: tree.fn, flags: tree.flags,
      childStart: tree.childStart, childList: tree.childList, first: tree.first,
      self, selfCount, total: sumTotals(tree.parent, self),
      totalCount: sumTotals(tree.parent, selfCount),
      totalBytes: bytes ? sumTotals(tree.parent, bytes) : null,
    };
    this.cache[kind] = view;
    return view;
  }

  /* Self and total by function. Of memory, self is what a function wanted, whichever allocator took
   * it. */
  functions(kind) {
    const view = this.view(kind);
    const owner = isMemoryKind(kind) ? node => wanting(view, node) : node => view.fn[node];
    const self = new Float64Array(this.profile.functionCount);
    const total = new Float64Array(this.profile.functionCount);
    for (let i = 1; i < view.parent.length; i++) {
      if (view.self[i])
        self[owner(i)] += view.self[i];
      if (this.tree.outermost[i])
        total[view.fn[i]] += view.total[i];
    }
    return { self, total };
  }

  /* Values by node of the profile. */
  byNode(kind) {
    const { operations, facts, nodeCount } = this.profile;
    if (isMemoryKind(kind))
      return this.memory.byNode(kind).values;
    const self = new Float64Array(nodeCount);
    if (isOperationKind(kind)) {
      for (const i of operations.of(kind, this.threads, facts))
        self[operations.node[i]] += operations.value(i);
      return self;
    }
    return self.map((zero, i) => (kind === 'off-cpu' ? 0 : this.nodeCpu[i]) + (kind === 'cpu' ? 0 : this.nodeWait[i]));
  }

  /* Total by line of a function, largest first: of one node of the merged tree, or (node < 0) of
   * all its outermost ones. */
  lines(kind, fn, node) {
    const profile = this.profile;
    const self = this.byNode(kind);
    const total = sumTotals(profile.nodeParent, self);
    const lines = new Map();
    for (let i = 1; i < profile.nodeCount; i++) {
      const merged = this.tree.nodeOf[i];
      if (profile.nodeFunction[i] !== fn || !profile.nodeLine[i] || !total[i])
        continue;
      if (node < 0 ? this.tree.outermost[merged] : merged === node)
        lines.set(profile.nodeLine[i], (lines.get(profile.nodeLine[i]) || 0) + total[i]);
    }
    return [...lines].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  }
}

/* A tree that grows; the callers and callees of a function are made with it. */
class GrowingTree {
  constructor(profile, fn, kind) {
    this.profile = profile;
    this.kind = kind;
    this.nodes = { parent: [-1], fn: [fn], self: [0], selfCount: [0], flags: [0] };
    this.known = new Map();
  }

  child(parent, fn, flags) {
    const key = parent * (this.profile.functionCount + 1) + fn;
    let node = this.known.get(key);
    if (node === undefined) {
      node = this.nodes.parent.length;
      this.known.set(key, node);
      this.nodes.parent.push(parent);
      this.nodes.fn.push(fn);
      this.nodes.self.push(0);
      this.nodes.selfCount.push(0);
      this.nodes.flags.push(flags);
    }
    return node;
  }

  add(node, value, count) {
    this.nodes.self[node] += value;
    this.nodes.selfCount[node] += count;
  }

  finish() {
    const parent = Int32Array.from(this.nodes.parent);
    const self = Float64Array.from(this.nodes.self);
    const selfCount = Float64Array.from(this.nodes.selfCount);
    const { start, list } = linkChildren(parent);
    const view = {
      kind: this.kind, profile: this.profile, parent, fn: Int32Array.from(this.nodes.fn),
      flags: Uint8Array.from(this.nodes.flags), childStart: start, childList: list, first: null,
      self, selfCount, total: sumTotals(parent, self), totalCount: sumTotals(parent, selfCount),
    };
    sortChildren(view, view.total);
    return view;
  }
}

/* Rows of a tree, for dividing the room between two. */
function depthOfTree(view) {
  const depth = new Uint32Array(view.parent.length);
  let deepest = 0;
  for (let i = 1; i < depth.length; i++) {
    depth[i] = depth[view.parent[i]] + 1;
    deepest = Math.max(deepest, depth[i]);
  }
  return deepest + 1;
}

/* Below every outermost occurrence of the function: what it calls, merged. */
function calleesOf(sums, kind, fn) {
  const view = sums.view(kind);
  const tree = new GrowingTree(sums.profile, fn, kind);
  const at = new Int32Array(view.parent.length).fill(-1);
  for (let i = 1; i < view.parent.length; i++) {
    if (!view.total[i])
      continue;
    const above = at[view.parent[i]];
    if (above >= 0)
      at[i] = tree.child(above, view.fn[i], view.flags[i]);
    else if (view.fn[i] === fn)
      at[i] = 0;
    else
      continue;
    tree.add(at[i], view.self[i], view.selfCount[i]);
  }
  return tree.finish();
}

/* Above every outermost occurrence: who called it, merged, from the nearest to the root. */
function callersOf(sums, kind, fn) {
  const view = sums.view(kind);
  const tree = new GrowingTree(sums.profile, fn, kind);
  for (let i = 1; i < view.parent.length; i++) {
    if (view.fn[i] !== fn || !sums.tree.outermost[i] || !view.total[i])
      continue;
    let at = 0;
    for (let up = view.parent[i]; up > 0; up = view.parent[up])
      at = tree.child(at, view.fn[up], view.flags[up]);
    tree.add(at, view.total[i], view.totalCount[i]);
  }
  return tree.finish();
}

/* How much lies below functions that match, each moment or byte counted once. */
function matchedValue(view, matches) {
  let value = 0;
  const stack = [0];
  while (stack.length) {
    const node = stack.pop();
    if (node > 0 && matches[view.fn[node]]) {
      value += view.total[node];
      continue;
    }
    for (let c = view.childStart[node]; c < view.childStart[node + 1]; c++)
      stack.push(view.childList[c]);
  }
  return value;
}
