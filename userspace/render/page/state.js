/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the user chose, kept in the hash of the address so that a link or a reload shows the same. */

const VIEWS = ['flame', 'table', 'callers'];
const THEMES = ['auto', 'light', 'dark'];

function defaultState(profile) {
  return {
    view: 'flame', kind: profile.firstKind(), isRootBelow: !profile.facts.inverted, isCompact: false, zoom: '',
    search: '', thread: 'all', range: null, fn: -1, theme: 'auto', hasTracks: true,
  };
}

function writeHash(state, initial) {
  const values = new URLSearchParams();
  const put = (name, value, isSet) => isSet && values.set(name, value);
  put('view', state.view, state.view !== 'flame');
  put('kind', state.kind, state.kind !== initial.kind);
  put('root', state.isRootBelow ? 'below' : 'above', state.isRootBelow !== initial.isRootBelow);
  put('compact', '1', state.isCompact);
  put('zoom', state.zoom, state.zoom);
  put('search', state.search, state.search);
  put('thread', state.thread, state.thread !== 'all');
  put('range', state.range && state.range.join('-'), state.range);
  put('fn', state.fn, state.fn >= 0);
  put('tracks', 'off', !state.hasTracks);
  put('theme', state.theme, state.theme !== 'auto');
  const text = values.toString();
  history.replaceState(null, '', text ? '#' + text : location.pathname + location.search);
}

/* Anything may stand in the address: what is not known or out of range is left out. */
function readHash(profile, initial) {
  const values = new URLSearchParams(location.hash.slice(1));
  const state = { ...initial };
  const choose = (name, list) => list.includes(values.get(name)) ? values.get(name) : state[name];
  state.view = choose('view', VIEWS);
  state.kind = choose('kind', profile.shownKinds());
  state.theme = choose('theme', THEMES);
  if (values.has('root'))
    state.isRootBelow = values.get('root') !== 'above';
  state.hasTracks = values.get('tracks') !== 'off';
  state.isCompact = values.get('compact') === '1';
  state.search = values.get('search') || '';
  state.thread = /^(all|[pt]\d+)$/.test(values.get('thread')) ? values.get('thread') : 'all';
  state.zoom = /^\d+(\.\d+)?$/.test(values.get('zoom')) ? values.get('zoom') : '';
  const fn = values.has('fn') ? Number(values.get('fn')) : -1;
  state.fn = Number.isInteger(fn) && fn < profile.functionCount ? fn : -1;
  const range = (values.get('range') || '').split('-').map(Number);
  if (range.length === 2 && range.every(Number.isInteger) && range[0] >= 0 && range[0] < range[1] &&
      range[1] <= profile.bucketCount)
    state.range = range;
  return state;
}

/* A node of the merged tree as the address names it: a node of the profile, which does not depend on
 * how frames are merged, and ".reason" or ".note" for a leaf that is no frame. */
function zoomName(tree, node) {
  if (node <= 0)
    return '';
  const profile = tree.profile;
  if (tree.fn[node] < profile.firstReason)
    return String(tree.first[node]);
  const parent = tree.parent[node];
  return `${parent > 0 ? tree.first[parent] : 0}.${tree.fn[node] - profile.firstReason}`;
}

function zoomNode(tree, name) {
  if (!name)
    return 0;
  const [node, reason] = name.split('.').map(Number);
  if (node >= tree.nodeOf.length)
    return 0;
  const merged = tree.nodeOf[node];
  if (reason === undefined)
    return merged;
  for (let c = tree.childStart[merged]; c < tree.childStart[merged + 1]; c++)
    if (tree.fn[tree.childList[c]] === tree.profile.firstReason + reason)
      return tree.childList[c];
  return merged;
}
