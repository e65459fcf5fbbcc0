/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Click-zoom and search of the drawing when it is opened by itself. Reads the layout from the
 * drawing's own attributes; names only become text. */
'use strict';

const root = document.documentElement;
const byId = id => document.getElementById(id);
const frames = [...byId('frames').children].map(group => {
  const rect = group.querySelector('rect');
  const title = group.querySelector('title').textContent;
  return {
    group, rect, text: group.querySelector('text'), title,
    label: title.split('\n')[0],
    left: Number(rect.getAttribute('x')), width: Number(rect.getAttribute('width')),
    top: Number(rect.getAttribute('y')),
  };
});
const left = Number(root.dataset.left);
const width = Number(root.dataset.width);
const rootBelow = root.dataset.rootBelow === 'yes';
const LETTER_PX = 6.8; /* about, at 11 px */

function fit(label, room) {
  const count = Math.floor((room - 6) / LETTER_PX);
  return count < 3 ? '' : label.length <= count ? label : label.slice(0, count - 1) + '…';
}

function place(frame, x, w) {
  frame.rect.setAttribute('x', x);
  frame.rect.setAttribute('width', Math.max(w, 0.1));
  frame.text.setAttribute('x', x + 3);
  frame.text.textContent = fit(frame.label, w);
}

function zoom(target) {
  const scale = width / target.width;
  for (const frame of frames) {
    const right = frame.left + frame.width;
    const isInside = right > target.left + 0.001 && frame.left < target.left + target.width - 0.001;
    const isAbove = rootBelow ? frame.top > target.top : frame.top < target.top;
    const begin = Math.max(frame.left, target.left);
    const end = Math.min(right, target.left + target.width);
    frame.group.classList.toggle('away', !isInside);
    frame.group.classList.toggle('above', isInside && isAbove);
    if (isInside)
      place(frame, left + (begin - target.left) * scale, (end - begin) * scale);
  }
  byId('reset').classList.toggle('away', target === frames[0]);
}

/* Each part of the width counts once, however many matching frames stand on it. */
function matchedWidth(matching) {
  let sum = 0;
  let reached = -Infinity;
  for (const frame of matching.sort((a, b) => a.left - b.left)) {
    sum += Math.max(frame.left + frame.width - Math.max(frame.left, reached), 0);
    reached = Math.max(reached, frame.left + frame.width);
  }
  return sum;
}

function search(pattern) {
  const expression = pattern ? new RegExp(pattern, 'i') : null;
  const matching = frames.filter((frame, i) => expression && i > 0 && expression.test(frame.label));
  const matches = new Set(matching);
  for (const frame of frames)
    frame.group.classList.toggle('match', matches.has(frame));
  byId('frames').classList.toggle('searched', Boolean(expression));
  const pct = 100 * matchedWidth(matching) / frames[0].width;
  byId('matched').textContent = expression ? `matched ${pct.toFixed(1)} %` : '';
  byId('search').textContent = expression ? 'Clear search' : 'Search';
}

function askSearch() {
  if (byId('frames').classList.contains('searched')) {
    search('');
    return;
  }
  const pattern = window.prompt('Search (regular expression)', '');
  try {
    search(pattern || '');
  } catch (error) {
    byId('matched').textContent = 'not a regular expression';
  }
}

for (const frame of frames) {
  frame.group.addEventListener('click', () => zoom(frame));
  frame.group.addEventListener('mouseover', () => { byId('details').textContent = frame.title.replaceAll('\n', ' · '); });
  frame.group.addEventListener('mouseout', () => { byId('details').textContent = ''; });
}
byId('reset').addEventListener('click', () => zoom(frames[0]));
byId('search').addEventListener('click', askSearch);
for (const button of [byId('reset'), byId('search')])
  button.addEventListener('keydown', event => {
    if (event.key === 'Enter' || event.key === ' ')
      button.dispatchEvent(new Event('click'));
  });
window.addEventListener('keydown', event => {
  if ((event.ctrlKey && event.key === 'f') || event.key === '/') {
    event.preventDefault();
    askSearch();
  } else if (event.key === 'Escape') {
    search('');
    zoom(frames[0]);
  }
});
byId('search').classList.remove('away');
