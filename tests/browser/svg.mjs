// SPDX-License-Identifier: GPL-2.0-or-later
// The drawing, opened alone in a real browser.
import { Folded, check, equal, main, near, parsePct, samePct, withPage } from './harness.mjs';

const frame = (page, label) => page.locator('#frames g').filter({ has: page.locator('title', { hasText: label }) }).first();

const cases = {
  async names_and_shares(file, { ragprof, trace }) {
    const folded = new Folded(ragprof, trace, 'cpu');
    await withPage(file, {}, async page => {
      const titles = await page.locator('#frames title').allTextContents();
      check(titles.some(title => title.startsWith('<script>alert(1)</script> (')), 'the hostile name is not text');
      equal(await page.locator('script').count(), 1, 'scripts');
      equal(await page.locator('image, img, foreignObject, a').count(), 0, 'elements made by names');
      const path = folded.hottestPath(7);
      const title = titles.find(candidate => candidate.startsWith(path[6]));
      samePct(parsePct(title), folded.below(path), folded.total, path[6]);
      const widths = await page.locator('#frames rect').evaluateAll(rects => rects.map(rect => Number(rect.getAttribute('width'))));
      near(widths[0], 1180, 0.001, 'the root fills the width');
      const index = titles.indexOf(title);
      near(widths[index], 1180 * folded.below(path) / folded.total, 0.001, 'width of a frame');
    });
  },

  async zoom(file, { ragprof, trace }) {
    const folded = new Folded(ragprof, trace, 'cpu');
    const path = folded.hottestPath(7);
    await withPage(file, {}, async page => {
      const width = async label => Number(await frame(page, label).locator('rect').getAttribute('width'));
      await frame(page, path[6]).locator('rect').click();
      near(await width(path[6]), 1180, 0.001, 'the frame fills the width');
      check(await frame(page, path[2]).evaluate(group => group.classList.contains('above')), 'callers stand dimmed');
      check(await page.locator('#frames g.away').count() > 0, 'others are away');
      await page.locator('#reset').click();
      equal(await page.locator('#frames g.away').count(), 0, 'all are back');
      near(await width(path[6]), 1180 * folded.below(path) / folded.total, 0.001, 'width again');
    });
  },

  async search(file, { ragprof, trace }) {
    const folded = new Folded(ragprof, trace, 'cpu');
    await withPage(file, { answers: true }, async page => {
      page.once('dialog', dialog => dialog.accept('score'));
      await page.locator('#search').click();
      samePct(parsePct(await page.locator('#matched').textContent()), folded.matching(/score/i), folded.total, 'matched');
      await page.locator('#search').click();
      equal(await page.locator('#matched').textContent(), '', 'cleared');
      page.once('dialog', dialog => dialog.accept('('));
      await page.keyboard.press('/');
      equal(await page.locator('#matched').textContent(), 'not a regular expression', 'a bad expression');
    });
  },
};

await main(cases);
