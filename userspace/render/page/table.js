/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of functions: self and total, sortable, filtered by the search. */

const TABLE_ROWS_MAX = 400;

class FunctionTable {
  constructor(table, note, colors, picked) {
    this.table = table;
    this.note = note;
    this.colors = colors;
    this.picked = picked;
    this.sort = 'self';
    this.isAscending = false;
    this.head = table.createTHead().insertRow();
    this.body = table.createTBody();
    this.columns = [['function', 'Function'], ['self', 'Self'], ['total', 'Total'], ['location', 'Location']];
    for (const [key, title] of this.columns)
      this.addColumn(key, title);
  }

  addColumn(key, title) {
    const cell = element('th', 'col-' + key);
    cell.scope = 'col';
    const button = element('button', 'sort', title);
    button.type = 'button';
    button.addEventListener('click', () => this.sortBy(key));
    cell.append(button);
    this.head.append(cell);
  }

  sortBy(key) {
    this.isAscending = this.sort === key ? !this.isAscending : key === 'function' || key === 'location';
    this.sort = key;
    this.render();
    if (this.sorted)
      this.sorted();
  }

  setData(profile, sums, kind, matches) {
    this.profile = profile;
    this.kind = kind;
    this.head.children[1].firstChild.textContent = isMemoryKind(kind) ? 'Wanted' : 'Self';
    this.whole = sums.total(kind);
    const { self, total } = sums.functions(kind);
    this.self = self;
    this.total = total;
    this.rows = [];
    for (let fn = 0; fn < profile.functionCount; fn++)
      if (total[fn] > 0 && (!matches || matches[fn]))
        this.rows.push(fn);
    this.render();
  }

  compare(a, b) {
    if (this.sort === 'self')
      return this.self[a] - this.self[b] || this.total[a] - this.total[b];
    if (this.sort === 'total')
      return this.total[a] - this.total[b] || this.self[a] - this.self[b];
    const text = this.sort === 'function' ? fn => this.profile.names[fn] : fn => this.profile.location(fn);
    return text(a).localeCompare(text(b));
  }

  render() {
    const sign = this.isAscending ? 1 : -1;
    this.rows.sort((a, b) => sign * this.compare(a, b) || a - b);
    this.columns.forEach(([key], i) => {
      const cell = this.head.children[i];
      cell.setAttribute('aria-sort', key !== this.sort ? 'none'
        : this.isAscending ? 'ascending' : 'descending');
    });
    this.body.replaceChildren(...this.rows.slice(0, TABLE_ROWS_MAX).map(fn => this.row(fn)));
    this.note.textContent = this.rows.length > TABLE_ROWS_MAX
      ? `${TABLE_ROWS_MAX} of ${formatCount(this.rows.length)} functions; search to narrow`
      : `${formatCount(this.rows.length)} functions`;
  }

  row(fn) {
    const row = element('tr');
    const name = element('td', 'col-function');
    const swatch = element('span', 'swatch');
    swatch.style.background = this.colors.kind(this.profile.kinds[fn]);
    const button = element('button', 'link', this.profile.shortName(fn));
    button.type = 'button';
    button.title = 'Show callers and callees';
    button.addEventListener('click', () => this.picked(fn));
    name.append(swatch, button);
    row.append(name, this.amount(this.self[fn]), this.amount(this.total[fn]),
      element('td', 'col-location', this.profile.location(fn)));
    return row;
  }

  amount(value) {
    const cell = element('td', 'col-amount');
    const bar = element('span', 'bar');
    bar.style.width = this.whole ? `${100 * value / this.whole}%` : '0';
    const pct = element('span', 'pct', formatPct(value, this.whole));
    const time = element('span', 'time', this.kind === 'fault' ? formatCount(value) : this.profile.format(this.kind, value));
    cell.append(bar, pct, time);
    return cell;
  }
}
