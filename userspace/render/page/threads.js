/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The thread filter: processes and threads with their time. The choice is 'all', 'p<pid>' or
 * 't<tid>'. */

class ThreadFilter {
  constructor(profile, button, list, colors, chosen) {
    this.profile = profile;
    this.button = button;
    this.list = list;
    this.colors = colors;
    this.chosen = chosen;
    this.choice = 'all';
    this.countTimes();
    button.addEventListener('click', () => this.toggle());
    list.addEventListener('keydown', event => this.onKey(event));
    document.addEventListener('pointerdown', event => {
      if (!list.hidden && !list.contains(event.target) && !button.contains(event.target))
        this.close();
    });
  }

  countTimes() {
    const profile = this.profile;
    const threads = profile.facts.threads;
    this.cpu = new Float64Array(threads.length);
    this.wait = new Float64Array(threads.length);
    for (let i = 0; i < profile.streamCount; i++) {
      const times = profile.streamWay[i] === WAY_CPU ? this.cpu : this.wait;
      for (let e = profile.streamBegin[i]; e < profile.streamBegin[i + 1]; e++)
        times[profile.streamThread[i]] += profile.us[e];
    }
  }

  /* Flags by thread for a choice; null for all, and for one that names nothing. */
  flags(choice) {
    const { threads, processes } = this.profile.facts;
    const number = Number(choice.slice(1));
    const flags = new Uint8Array(threads.length);
    threads.forEach((thread, i) => {
      const process = processes[thread.process];
      flags[i] = choice[0] === 't' ? thread.tid === number
        : choice[0] === 'p' && process && process.pid === number;
    });
    return choice !== 'all' && flags.includes(1) ? flags : null;
  }

  name(choice) {
    const { threads, processes } = this.profile.facts;
    const number = Number(choice.slice(1));
    if (choice[0] === 't') {
      const thread = threads.find(candidate => candidate.tid === number);
      return thread ? `${thread.name || 'thread'} ${number}` : 'All threads';
    }
    const process = processes.find(candidate => candidate.pid === number);
    return choice[0] === 'p' && process ? `${process.name || 'process'} ${number}` : 'All threads';
  }

  set(choice) {
    this.choice = this.flags(choice) ? choice : 'all';
    this.button.textContent = this.name(this.choice);
    this.button.classList.toggle('active', this.choice !== 'all');
  }

  toggle() {
    if (this.list.hidden)
      this.open();
    else
      this.close();
  }

  open() {
    this.list.replaceChildren(...this.rows());
    this.list.hidden = false;
    this.button.setAttribute('aria-expanded', 'true');
    const current = this.list.querySelector('[aria-selected="true"]') || this.list.firstChild;
    current.focus();
  }

  close() {
    this.list.hidden = true;
    this.button.setAttribute('aria-expanded', 'false');
  }

  rows() {
    const { threads, processes } = this.profile.facts;
    const all = threads.map((thread, i) => i);
    const rows = [this.row('all', 'All threads', `${threads.length}`, all, 0)];
    const most = (a, b) => this.cpu[b] - this.cpu[a] || this.wait[b] - this.wait[a] || a - b;
    this.scale = Math.max(...all.map(i => this.cpu[i] + this.wait[i]), 1);
    processes.forEach((process, p) => {
      const own = all.filter(i => threads[i].process === p).sort(most);
      if (!own.length)
        return;
      rows.push(this.row('p' + process.pid, process.name || 'process', `pid ${process.pid}`, own, 0));
      for (const i of own)
        rows.push(this.row('t' + threads[i].tid, threads[i].name || 'thread',
          `tid ${threads[i].tid}`, [i], 1));
    });
    return rows;
  }

  row(choice, name, id, threads, level) {
    const row = element('button', 'thread' + (level ? ' inner' : ''));
    row.type = 'button';
    row.setAttribute('role', 'option');
    row.setAttribute('aria-selected', String(choice === this.choice));
    row.dataset.choice = choice;
    const cpu = threads.reduce((sum, i) => sum + this.cpu[i], 0);
    const wait = threads.reduce((sum, i) => sum + this.wait[i], 0);
    row.append(element('span', 'thread-name', name), element('span', 'thread-id', id),
      this.bar(cpu, wait), element('span', 'thread-time', `${formatUs(cpu)} on CPU`),
      element('span', 'thread-time', `${formatUs(wait)} off`));
    row.addEventListener('click', () => {
      this.close();
      this.button.focus();
      this.chosen(choice);
    });
    return row;
  }

  bar(cpu, wait) {
    const bar = element('span', 'thread-bar');
    const part = element('span');
    part.style.width = `${100 * cpu / Math.max(cpu + wait, 1)}%`;
    part.style.background = this.colors.way(WAY_CPU);
    bar.append(part);
    return bar;
  }

  onKey(event) {
    const rows = [...this.list.children];
    const at = rows.indexOf(document.activeElement);
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      const next = rows[clamp(at + (event.key === 'ArrowDown' ? 1 : -1), 0, rows.length - 1)];
      next.focus();
    } else if (event.key === 'Escape') {
      this.close();
      this.button.focus();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }
}
