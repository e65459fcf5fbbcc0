// SPDX-License-Identifier: GPL-2.0-or-later
// What the kernel did, on the interactive page. The trace is tests/unit/synthetic_operations.h's with 150 steps of 200 ms
// on 4 threads; expected figures come from that header, or from the folded output.
import { Folded, check, equal, main, near, open, parseBytes, parsePct, parseTime, samePct, withPage } from './harness.mjs';

const STEPS = 150;
const STEP_S = 0.2;

// Sums over a step: µs, or the number of faults
const TOTALS = {
  syscall: 2000 + 100000 + 10000 + 180 + 40000 + 100000 + 90000,
  io: 9 + 1200 + 8 + 500 + 40000 + 35 + 10 + 1200 + 480 + 100000 + 150 + 40000 + 1800,
  block: 7000 + 2700 + 38000, fault: 50 + 150 + 1000 + 80, lock: 20000, gil: 80000 + 80000,
};

const text = (page, selector) => page.locator(selector).innerText();
const texts = (page, selector) => page.locator(selector).allInnerTexts();
const value = (kind, shown) => kind === 'fault' ? Number(/([\d\s]+) faults/.exec(shown)[1].replace(/\s/g, '')) : parseTime(shown);

// Row numbers of the tracks, in px from their top, by what the tooltip is called
async function tipAt(page, share, y) {
  const box = await page.locator('#tracks').boundingBox();
  await page.mouse.move(box.x + share * box.width, box.y + y);
  return await page.locator('#tooltip').isVisible() ? (await text(page, '#tooltip')).replace(/[ \u202f]+/g, ' ').split('\n') : [];
}

async function rowsOfTracks(page) {
  return (await page.locator('#tracks canvas').getAttribute('aria-label')).split('; ');
}

// The middle of a row: 12 px for threads, 26 for series, 14 for process events
function middleOf(rows, name) {
  const height = row => row === 'process events' ? 14 : /\d$/.test(row) ? 12 : 26;
  const at = rows.indexOf(name);
  check(at >= 0, `no row "${name}" among ${rows.join(', ')}`);
  return rows.slice(0, at).reduce((sum, row) => sum + height(row), 0) + height(name) / 2;
}

const cases = {
  async totals(file, { ragprof, trace }) {
    await withPage(file, {}, async page => {
      equal(await page.locator('#operation-answers').isVisible(), false, 'time is shown first');
      for (const [kind, each] of Object.entries(TOTALS)) {
        await page.click(`[data-kind="${kind}"]`);
        near(value(kind, await text(page, '#place')), each * STEPS, 0.005, `total of ${kind}`);
        near(new Folded(ragprof, trace, kind).total, each * STEPS, 0.0001, `folded ${kind}`);
        equal(await page.locator('#operation-answers').isVisible(), true, 'at a glance');
      }
      await page.click('[data-kind="cpu"]');
      equal(await page.locator('#operation-answers').isVisible(), false, 'back to time');
    });
  },

  async answers(file) {
    await withPage(file, { hash: '#kind=io' }, async page => {
      const figures = (await text(page, '#operation-figures')).replace(/\s+/g, ' ');
      check(figures.includes('time 27.8 s'), figures);
      const leaves = await texts(page, '#operation-leaves li');
      check(leaves[0].includes('receive tcp 127.0.0.1:6333') && leaves[0].includes('← stream_completion (generate.py:40)'), leaves[0]);
      samePct(parsePct(leaves[0]), 100000, TOTALS.io, 'the largest');
      const callers = await texts(page, '#operation-callers li');
      check(callers[0].includes('stream_completion (generate.py:40)'), callers[0]);
      samePct(parsePct(callers[0]), 140000, TOTALS.io, 'received, and the look-up of a name');
      await page.locator('#operation-leaves button').first().click();
      equal(await text(page, '#callers-name'), 'receive tcp 127.0.0.1:6333', 'a click shows callers');
    });
  },

  // Waits for the GIL and those who held it are two leaves.
  async gil(file) {
    await withPage(file, { hash: '#kind=gil&view=table' }, async page => {
      const rows = await Promise.all((await page.locator('#functions tbody tr').all()).slice(0, 2)
        .map(row => row.locator('td').allInnerTexts()));
      equal(rows.map(row => row[0]).sort().join(' | '), 'holding the GIL while others wait | waiting for the GIL', 'leaves');
      for (const row of rows)
        samePct(parsePct(row[1]), 1, 2, row[0]);
      near(parseTime(await text(page, '[data-kind="gil"]')), 80000 * STEPS, 0.005, 'what was waited');
      check(/^waited\s+12\.0\ss\s+held meanwhile\s+12\.0\ss$/.test(await text(page, '#operation-figures')), await text(page, '#operation-figures'));
      await page.click('[data-view="flame"]');
      const legend = await texts(page, '#legend li');
      check(legend.includes('waiting for the GIL') && legend.includes('holding the GIL'), legend.join(', '));
    });
  },

  // System calls are known by thread, files by process; a range of time does not divide them.
  async filters(file) {
    await withPage(file, { hash: '#kind=syscall&thread=t4243' }, async page => {
      near(parseTime(await text(page, '#place')), (100000 + 90000) * STEPS, 0.005, 'of the second thread');
      await page.click('[data-kind="io"]');
      near(parseTime(await text(page, '#place')), TOTALS.io * STEPS, 0.005, 'files of its process');
      await open(page, new URL(page.url()).pathname, '#');
      await open(page, new URL(page.url()).pathname, '#kind=fault&range=0-80');
      await page.reload();
      await page.waitForSelector('body[data-ready="yes"]');
      equal(value('fault', await text(page, '#place')), TOTALS.fault * STEPS, 'all of the capture');
      check((await text(page, '#place')).endsWith('whole capture'), await text(page, '#place'));
    });
  },

  async tooltip(file) {
    await withPage(file, { hash: '#kind=io&root=above' }, async page => {
      const box = await page.locator('#flame').boundingBox();
      await page.mouse.move(box.x + 20, box.y + 4);
      const tip = (await text(page, '#tooltip')).replace(/\s+/g, ' ');
      const bytes = 1638400 + 51200 + 10 + 81920 + 163840 + 3000;
      check(/operations 96 900/.test(tip), tip); // 646 in a step
      near(parseBytes(/bytes (.*)/.exec(tip)[1]), bytes * STEPS, 0.005, 'bytes');
    });
  },

  async tracks(file) {
    await withPage(file, {}, async page => {
      const rows = await rowsOfTracks(page);
      for (const name of ['page faults', 'files', 'sockets', 'CPU', 'open files, threads', 'process events'])
        check(rows.includes(name), `no row "${name}" among ${rows.join(', ')}`);
      check(!rows.includes('disk'), 'the disk is shown where files are not known');
      const tip = (name, share) => tipAt(page, share, middleOf(rows, name));
      const files = await tip('files', 0.4);
      near(parseBytes(files.find(line => line.startsWith('read'))), 1638400 / STEP_S, 0.05, 'read in a second');
      near(parseBytes(files.find(line => line.startsWith('written'))), (51200 + 10) / STEP_S, 0.05, 'written in a second');
      const faults = await tip('page faults', 0.4);
      near(Number(/([\d ]+)\/s/.exec(faults.find(line => line.startsWith('minor')))[1].replace(/ /g, '')), 1230 / STEP_S, 0.05, 'minor faults');
      const cpu = await tip('CPU', 0.4);
      near(parseTime(cpu.find(line => line.startsWith('throttled'))), 150000, 0.05, 'throttled');
      check(cpu.includes('runnable on the host 5'), cpu.join(' | '));
      const levels = await tip('open files, threads', 0.4);
      check(levels.includes('threads 4'), levels.join(' | '));
      const opened = Number(/open files (\d+)/.exec(levels.join(' '))[1]);
      const seconds = parseTime(levels[1]) / 1e6;
      check(Math.abs(opened - (20 + seconds / STEP_S)) <= 2, `${opened} open files at ${seconds} s`);
      // a look into the empty rest
      equal((await tip('files', 0.95)).filter(line => /^read 0/.test(line)).length, 1, 'nothing was read at the end');
    });
  },

  // Every step has a recvfrom of 2.5 ms and an fsync of 40 ms on the first thread, at 1 ms.
  async slow_calls(file) {
    await withPage(file, {}, async page => {
      const rows = await rowsOfTracks(page);
      const first = rows.findIndex(row => row.endsWith(' 4242'));
      const y = rows.slice(0, first).length * 12 + 4;
      const duration = parseTime(await text(page, '#chips .chip:nth-child(3)')) / 1e6;
      let tip = await tipAt(page, (100 * STEP_S + 0.015) / duration, y);
      check(tip[0].startsWith('fsync') && tip[1].startsWith('40.0 ms at 20.0'), tip.join(' | '));
      check(tip.includes('in answer (app.py:118)') && tip.at(-1).endsWith(' 4242'), tip.join(' | '));
      tip = await tipAt(page, (STEPS * STEP_S + 3) / duration, y);
      check(!tip.length || tip[0] === 'waiting: socket', `after the last one: ${tip.join(' | ')}`);
    });
  },

  async happenings(file) {
    await withPage(file, {}, async page => {
      const rows = await rowsOfTracks(page);
      const duration = parseTime(await text(page, '#chips .chip:nth-child(3)')) / 1e6;
      // within 31 ms there are six of them, on one pixel: the first is found
      const tip = await tipAt(page, 0.05 / duration, middleOf(rows, 'process events'));
      check(/^(fork of 430[01]|exec \/usr\/bin\/ls|exit with status 1|OOM kill|killed by SIGKILL)$/.test(tip[0]), tip.join(' | '));
      equal((await tipAt(page, 0.5, middleOf(rows, 'process events'))).length, 0, 'nothing in the middle');
    });
  },

  async toggle(file) {
    await withPage(file, {}, async page => {
      const height = async () => (await page.locator('#flame').boundingBox()).height;
      const before = await height();
      await page.click('#tracks-toggle');
      equal(await page.locator('#tracks').isVisible(), false, 'hidden');
      check(await height() > before, 'the graph takes the room');
      await page.reload();
      await page.waitForSelector('body[data-ready="yes"]');
      equal(await page.locator('#tracks').isVisible(), false, 'hidden after a reload');
      await page.keyboard.press('s');
      equal(await page.locator('#tracks').isVisible(), true, 'shown by a key');
    });
  },

  // A drag on the tracks selects a range, as on the timeline.
  async brush(file) {
    await withPage(file, {}, async page => {
      const box = await page.locator('#tracks').boundingBox();
      await page.mouse.move(box.x + 0.25 * box.width, box.y + 20);
      await page.mouse.down();
      await page.mouse.move(box.x + 0.4 * box.width, box.y + 20);
      await page.mouse.move(box.x + 0.5 * box.width, box.y + 20);
      await page.mouse.up();
      await page.waitForTimeout(250);
      const [, begin, end] = /range=(\d+)-(\d+)/.exec(page.url());
      near(Number(begin), 200, 0.02, 'begin');
      near(Number(end), 400, 0.02, 'end');
    });
  },

  async phone(file) {
    await withPage(file, { hash: '#kind=syscall', viewport: { width: 390, height: 844 } }, async page => {
      for (const view of ['table', 'callers', 'flame']) {
        await page.click(`[data-view="${view}"]`);
        check(await page.evaluate(() => document.documentElement.scrollWidth) <= 390, `${view} is too wide`);
      }
    });
  },
};

await main(cases);
