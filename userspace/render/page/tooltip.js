/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is known of one frame: beside the pointer, or beside the keyboard cursor. */

const LINES_SHOWN = 5;

class Tooltip {
  constructor(box, colors) {
    this.box = box;
    this.colors = colors;
  }

  hide() {
    this.box.hidden = true;
  }

  /* lines: [[line, value], …] of a Python function */
  show(view, node, x, y, lines) {
    this.fill(view, node, lines);
    this.place(x, y);
  }

  /* A name and lines below it. */
  showText(name, lines, x, y) {
    this.box.replaceChildren(element('div', 'tip-name', name), ...lines.map(line => element('div', 'tip-place', line)));
    this.place(x, y);
  }

  place(x, y) {
    this.box.hidden = false;
    const width = this.box.offsetWidth;
    const height = this.box.offsetHeight;
    const left = x + 14 + width > window.innerWidth ? x - width - 10 : x + 14;
    const top = y + 16 + height > window.innerHeight ? y - height - 10 : y + 16;
    this.box.style.left = Math.max(left, 4) + 'px';
    this.box.style.top = Math.max(top, 4) + 'px';
  }

  kindText(view, node) {
    const profile = view.profile;
    const kind = profile.kinds[view.fn[node]];
    const flags = view.flags[node];
    if (kind >= FIRST_WAIT_KIND)
      return kind < FIRST_TONE_KIND ? 'waiting' : this.colors.name(kind);
    const extra = flags & FLAG_COROUTINE ? ' coroutine' : flags & FLAG_GENERATOR ? ' generator'
      : flags & FLAG_INLINED ? ', inlined' : '';
    return (KIND_NAMES[kind] || 'other') + extra;
  }

  fill(view, node, lines) {
    const profile = view.profile;
    const fn = view.fn[node];
    const rows = [element('div', 'tip-name', fn < 0 ? (isMemoryKind(view.kind) ? 'all processes' : 'all threads') : profile.shortName(fn))];
    if (fn >= 0) {
      const place = element('div', 'tip-place');
      const swatch = element('span', 'swatch');
      swatch.style.background = this.colors.kind(profile.kinds[fn]);
      const location = profile.location(fn);
      place.append(swatch, this.kindText(view, node), location ? ' · ' + location : '');
      rows.push(place);
      if (profile.files[fn] && profile.modules[fn])
        rows.push(element('div', 'tip-place', profile.modules[fn]));
    }
    rows.push(this.numbers(view, node));
    if (lines.length > 1 || (lines.length && profile.kinds[fn] === FRAME_PYTHON))
      rows.push(this.lineTable(lines, view.total[node]));
    if (fn >= 0 && profile.kinds[fn] === FRAME_MARK)
      rows.push(element('div', 'tip-note', 'The stack is incomplete: what called this is not known.'));
    this.box.replaceChildren(...rows);
  }

  numbers(view, node) {
    const grid = element('div', 'tip-numbers');
    const whole = view.total[0];
    const parent = view.parent[node];
    const row = (name, value) => grid.append(element('span', 'dim', name),
      element('b', '', formatPct(value, whole)), element('span', '', view.profile.format(view.kind, value)));
    row('total', view.total[node]);
    row('self', view.self[node]);
    if (parent > 0)
      grid.append(element('span', 'dim', 'of caller'),
        element('b', '', formatPct(view.total[node], view.total[parent])), element('span'));
    const plain = (name, value) => grid.append(element('span', 'dim', name), element('b', '', value), element('span'));
    plain(isMemoryKind(view.kind) ? 'blocks' : OPERATION_WORDS[view.kind] || 'events', formatCount(view.totalCount[node]));
    if (view.totalBytes && view.totalBytes[node])
      plain('bytes', formatBytes(view.totalBytes[node]));
    return grid;
  }

  lineTable(lines, whole) {
    const table = element('div', 'tip-lines');
    for (const [line, value] of lines.slice(0, LINES_SHOWN)) {
      const bar = element('span', 'tip-bar');
      const part = element('span');
      part.style.width = `${100 * value / whole}%`;
      bar.append(part);
      table.append(element('span', 'dim', 'line ' + line), bar, element('b', '', formatPct(value, whole)));
    }
    if (lines.length > LINES_SHOWN)
      table.append(element('span', 'dim', `${lines.length - LINES_SHOWN} more`));
    return table;
  }
}
