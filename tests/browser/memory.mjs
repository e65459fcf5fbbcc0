// SPDX-License-Identifier: GPL-2.0-or-later
// Memory on the interactive page. The trace is tests/unit/synthetic_heap.h's with 170 steps of 200 ms; expected figures
// come from the folded output and from that header.
import { Folded, check, equal, main, near, open, parseBytes, parsePct, parseTime, samePct, withPage } from './harness.mjs';

const MEMORY_KINDS = ['alloc', 'live', 'peak', 'leak'];
const STEP_MS = 200;

const text = (page, selector) => page.locator(selector).innerText();
const texts = (page, selector) => page.locator(selector).allInnerTexts();
const amount = async (page, kind) => parseBytes(await page.locator(`[data-kind="${kind}"] .kind-time`).textContent());
const folded = (kind, { ragprof, trace }) => new Folded(ragprof, trace, kind);

// What the sites of synthetic_heap.h hold after some steps, without the saw-tooth of rerank().
const heldAfter = steps => steps * (40960 + 10240) + Math.min(steps, 30) * 400 * 1024 + 48 * 2 ** 20;
const teethAfter = steps => steps % 10 * 512 * 1024;

const cases = {
  async totals(file, context) {
    await withPage(file, {}, async page => {
      equal(await page.locator('#time-answers').isVisible(), true, 'time is shown first');
      for (const kind of MEMORY_KINDS) {
        const { total } = folded(kind, context);
        near(await amount(page, kind), total, 0.005, `total of ${kind}`);
        await page.click(`[data-kind="${kind}"]`);
        near(parseBytes(await text(page, '#place')), total, 0.005, `graph of ${kind}`);
        equal(await page.locator('#memory-answers').isVisible(), true, 'memory at a glance');
        equal(await page.locator('#time-answers').isVisible(), false, 'time at a glance');
      }
      check((await text(page, '#place')).includes('/ iteration'), 'leaks are given by iteration');
      await page.click('[data-kind="wall"]');
      equal(await page.locator('#memory-answers').isVisible(), false, 'back to time');
    });
  },

  async answers(file, context) {
    await withPage(file, { hash: '#kind=live' }, async page => {
      const leaks = await texts(page, '#leaks li');
      equal(leaks.length, 2, 'leaks');
      check(leaks[0].includes('SessionStore.remember (session.py:27)') && leaks[0].includes('4.00'), leaks[0]);
      check(leaks[1].includes('faiss::IndexFlat::add') && leaks[1].includes('1.00'), leaks[1]);
      samePct(parsePct(leaks[0]), 4096, 5120, 'share of the larger');
      const holders = await texts(page, '#holders li');
      const live = folded('live', context);
      for (const [i, name] of ['load_model (embedding.py:70)', 'Cache.get (cache.py:27)', 'SessionStore.remember (session.py:27)'].entries()) {
        check(holders[i].includes(name), `holder ${i}: ${holders[i]}`);
        samePct(parsePct(holders[i]), live.sum(labels => labels.includes(name)), live.total, name);
      }
      const figures = (await text(page, '#memory-figures')).replace(/\s+/g, ' ');
      for (const part of ['live 68.0 MiB at most 72.5 MiB at 33.8 s', '3 447 003 allocations', 'limit 2.00 GiB (cgroup)'])
        check(figures.includes(part), `the figures lack "${part}": ${figures}`);
      await page.locator('#leaks button').first().click();
      equal(await text(page, '#callers-name'), 'SessionStore.remember (session.py:27)', 'a click shows callers and callees');
    });
  },

  // The chip of the header leads to the leaks.
  async leak_chip(file) {
    await withPage(file, {}, async page => {
      await page.click('#chips button');
      equal(await page.locator('[data-kind="leak"]').getAttribute('aria-pressed'), 'true', 'leaks are shown');
      check((await text(page, '#chips button')).startsWith('2 stacks leak'), await text(page, '#chips button'));
    });
  },

  // Of a range of time: what was live at its end, what was allocated in it. A bucket holds less than a step.
  async brush(file) {
    await withPage(file, { hash: '#kind=live' }, async page => {
      const duration = parseTime(await text(page, '#chips .chip:nth-child(3)')) / 1000;
      for (const [from, to] of [[35, 75], [100, 148]]) {
        const bucket = step => Math.round((step + 0.5) * STEP_MS / duration * 800);
        const range = `range=${bucket(from)}-${bucket(to)}`;
        await open(page, new URL(page.url()).pathname, `#kind=live&${range}`);
        await page.reload();
        await page.waitForSelector('body[data-ready="yes"]');
        near(parseBytes(await text(page, '#place')), heldAfter(to) + teethAfter(to), 0.005, `live after ${to} steps`);
        await page.click('[data-kind="alloc"]');
        const perStep = 40960 + 10240 + (64 << 20) + (512 << 10) + (1 << 20) + 2048;
        near(parseBytes(await text(page, '#place')), (to - from) * perStep, 0.005, `allocated from ${from} to ${to}`);
      }
    });
  },

  // What an allocator took counts for who wanted it.
  async table(file, context) {
    const alloc = folded('alloc', context);
    await withPage(file, { hash: '#kind=alloc&view=table' }, async page => {
      equal(await page.locator('#functions th button').nth(1).textContent(), 'Wanted', 'title');
      const first = await page.locator('#functions tbody tr').first().locator('td').allInnerTexts();
      equal(first[0], 'Embedder.encode', 'who wanted most');
      samePct(parsePct(first[1]), alloc.sum(labels => labels.includes('Embedder.encode (embedding.py:31)')), alloc.total, 'its share');
      check(first[1].includes('GiB'), `bytes: ${first[1]}`);
    });
  },

  async tooltip(file) {
    await withPage(file, { hash: '#kind=live&root=above' }, async page => {
      const box = await page.locator('#flame').boundingBox();
      await page.mouse.move(box.x + 20, box.y + 4);
      const tip = (await text(page, '#tooltip')).replace(/\s+/g, ' ');
      check(tip.startsWith('all processes') && tip.includes('68.0 MiB') && tip.includes('blocks'), tip);
    });
  },

  async keyboard(file) {
    await withPage(file, { hash: '#kind=wall' }, async page => {
      for (const kind of [...MEMORY_KINDS, 'cpu']) {
        await page.keyboard.press('k');
        equal(await page.locator(`[data-kind="${kind}"]`).getAttribute('aria-pressed'), 'true', `k: ${kind}`);
      }
    });
  },

  async timeline(file) {
    await withPage(file, { hash: '#kind=leak' }, async page => {
      const box = await page.locator('#timeline').boundingBox();
      check(box.height >= 100, `the timeline is ${box.height} px high`);
      await page.mouse.move(box.x + box.width / 2, box.y + 20);
      const note = (await text(page, '#peak')).replace(/\s+/g, ' ');
      check(/live of leaks [\d.]+ MiB, RSS [\d.]+ MiB/.test(note), note);
    });
  },

  async phone(file) {
    await withPage(file, { hash: '#kind=leak', viewport: { width: 390, height: 844 } }, async page => {
      for (const view of ['table', 'callers', 'flame']) {
        await page.click(`[data-view="${view}"]`);
        check(await page.evaluate(() => document.documentElement.scrollWidth) <= 390, `${view} is too wide`);
      }
    });
  },
};

await main(cases);
