// SPDX-License-Identifier: GPL-2.0-or-later
// The interactive page in a real browser. The trace is tests/unit/synthetic.h's: 10,000 samples and
// 2,000 waits on 4 threads; all expected figures come from the folded output or from that header.
import { Folded, check, equal, main, near, open, parsePct, parseTime, samePct, withPage } from './harness.mjs';

const PERIOD_US = 1e6 / 99;
const KINDS = ['cpu', 'off-cpu', 'wall'];

const text = (page, selector) => page.locator(selector).innerText();
const kindTime = async (page, kind) => parseTime(await text(page, `[data-kind="${kind}"] .kind-time`));
const theme = page => page.evaluate(() => document.documentElement.dataset.theme);

// The middle of a frame of the icicle, in pixels of the window
async function framePoint(page, folded, path, graph = '#flame') {
  const box = await page.locator(graph).boundingBox();
  const row = Number(await page.locator(graph).getAttribute('data-row-px'));
  return [box.x + folded.middle(path) * (box.width - 1), box.y + 2 + (path.length + 0.5) * row];
}

// The page sums a range anew at most 150 ms after it changed, by a timer: one that is set later and for longer
// runs after it, however slow the machine is.
async function summed(page) {
  await page.evaluate(() => new Promise(done => setTimeout(done, 200)));
}

async function drag(page, from, to) {
  const box = await page.locator('#timeline').boundingBox();
  await page.mouse.move(box.x + from * box.width, box.y + 20);
  await page.mouse.down();
  await page.mouse.move(box.x + (from + to) / 2 * box.width, box.y + 20);
  await page.mouse.move(box.x + to * box.width, box.y + 20);
  await page.mouse.up();
  await summed(page);
}

const cases = {
  // Nothing but its own script and style runs, and nothing is fetched.
  async policy(file, { source }) {
    check(!/https?:\/\/(?!www\.w3\.org)/.test(source.replace(/<script type[^>]*>[^<]*/, '')), 'an address of the network');
    await withPage(file, { mayViolate: true }, async page => {
      equal((await page.evaluate(() => window.violations)).length, 0, 'violations of the page itself');
      const ran = await page.evaluate(async () => {
        const script = document.createElement('script');
        script.textContent = 'window.injected = 1';
        document.body.append(script);
        const holder = document.createElement('div');
        holder.innerHTML = '<b onclick="window.injected = 2" style="color: red">x</b>';
        document.body.append(holder);
        holder.firstChild.click();
        await new Promise(resolve => setTimeout(resolve, 100));
        return window.injected;
      });
      equal(ran, undefined, 'injected code');
      const violations = await page.evaluate(() => window.violations);
      check(violations.some(name => name.startsWith('script-src')), 'an injected script was not refused');
      check(violations.some(name => name.startsWith('style-src')), 'an injected style was not refused');
    }).catch(error => {
      const lines = error.message.split('\n').filter(line => !/^console: .*Content Security Policy/.test(line));
      check(lines.length === 0, lines.join('\n'));
    });
  },

  async hostile_names(file) {
    await withPage(file, { hash: '#view=table&kind=wall' }, async page => {
      const rows = await page.locator('#functions tbody .link').allInnerTexts();
      check(rows.includes('<script>alert(1)</script>'), 'the name with a script is not shown as text');
      check(rows.includes('</script></style><svg onload=alert(3)>&amp;\'"`'), 'the closing name is not shown as text');
      check(rows.includes('__proto__'), '__proto__ is missing');
      check(rows.includes('数据库.查询 🔍'), 'the name in other scripts is missing');
      check(!/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/.test(rows.join('')), 'a control character is shown');
      equal(await page.locator('script').count(), 2, 'scripts in the document');
      equal(await page.locator('img, svg, iframe, object').count(), 0, 'elements made by names');
      equal(await page.title(), 'rag <server> · ragprof', 'title');
      for (const view of ['flame', 'callers'])
        await page.click(`[data-view="${view}"]`);
    });
  },

  async totals_and_kinds(file, { ragprof, trace }) {
    await withPage(file, {}, async page => {
      for (const kind of KINDS) {
        const folded = new Folded(ragprof, trace, kind);
        near(await kindTime(page, kind), folded.total, 0.005, `total of ${kind}`);
        await page.click(`[data-kind="${kind}"]`);
        near(parseTime(await text(page, '#place')), folded.total, 0.005, `graph of ${kind}`);
      }
      const shares = (await page.locator('#shares li').allInnerTexts()).map(item => item.replace(/\s+/g, ' '));
      const wall = new Folded(ragprof, trace, 'wall');
      for (const reason of ['socket', 'GIL', 'disk', 'futex', 'run queue']) {
        const share = shares.find(item => item.includes(` ${reason} `));
        samePct(parsePct(share || ''), wall.self(`waiting: ${reason}`), wall.total, reason);
      }
    });
  },

  async header(file) {
    await withPage(file, {}, async page => {
      const head = (await text(page, 'header')).replace(/\s+/g, ' ');
      for (const part of ['rag <server>', 'pid 4242', 'python 3.11.2', '10 000 samples at 99 Hz', 'kernel 6.1.0-18-amd64',
        'on-CPU 99.5 % complete', 'off-CPU 99 % complete', '3 lost samples'])
        check(head.includes(part), `the header lacks "${part}": ${head}`);
    });
  },

  async zoom(file, { ragprof, trace }) {
    const folded = new Folded(ragprof, trace, 'cpu');
    const path = folded.hottestPath(6);
    await withPage(file, { hash: '#root=above' }, async page => {
      await page.mouse.click(...await framePoint(page, folded, path));
      check((await text(page, '#place')).startsWith(path.at(-1)), `zoomed to ${await text(page, '#place')}`);
      samePct(parsePct(await text(page, '#place')), folded.below(path), folded.total, 'zoomed frame');
      // The frame fills the width now: its row answers at both ends.
      const box = await page.locator('#flame').boundingBox();
      const [, y] = await framePoint(page, folded, path);
      for (const x of [box.x + 3, box.x + box.width - 12]) {
        await page.mouse.move(x, y);
        check((await text(page, '#tooltip')).startsWith(path.at(-1).replace(/ \(.*/, '')), 'the frame does not fill the width');
      }
      await page.click('#reset');
      check((await text(page, '#place')).startsWith('all'), 'reset');
    });
  },

  async flame_grows_up(file, { ragprof, trace }) {
    const folded = new Folded(ragprof, trace, 'cpu');
    await withPage(file, {}, async page => {
      const box = await page.locator('#flame').boundingBox();
      const row = Number(await page.locator('#flame').getAttribute('data-row-px'));
      await page.mouse.move(box.x + 20, box.y + box.height - row * 1.5 - 2);
      check((await text(page, '#tooltip')).startsWith(folded.hottestPath(1)[0]), 'the first frame stands on the root');
      await page.click('#direction');
      await page.mouse.move(box.x + 20, box.y + row * 1.5 + 2);
      check((await text(page, '#tooltip')).startsWith(folded.hottestPath(1)[0]), 'icicle: the first frame hangs from the root');
    });
  },

  // "score" matches KeywordIndex.score and the generator inside it: counted once.
  async search(file, { ragprof, trace }) {
    const folded = new Folded(ragprof, trace, 'wall');
    await withPage(file, { hash: '#kind=wall' }, async page => {
      for (const pattern of ['score', 'sgemm|genexpr', '^waiting: ', 'nothing like this']) {
        await page.fill('#search', pattern);
        samePct(parsePct(await text(page, '#matched')), folded.matching(new RegExp(pattern, 'i')), folded.total, pattern);
      }
      await page.fill('#search', '(');
      equal(await text(page, '#matched'), 'not a regular expression', 'a bad expression');
      await page.fill('#search', '');
      equal(await text(page, '#matched'), '', 'no search');
    });
  },

  async table(file, { ragprof, trace }) {
    const folded = new Folded(ragprof, trace, 'cpu');
    await withPage(file, { hash: '#view=table' }, async page => {
      const read = async () => (await page.locator('#functions tbody tr').all()).slice(0, 8);
      for (const [column, sorted] of [['self', 1], ['total', 2]]) {
        if (column === 'total')
          await page.click('th.col-total button');
        equal(await page.locator(`th.col-${column}`).getAttribute('aria-sort'), 'descending', `sorted by ${column}`);
        let before = 101;
        for (const row of await read()) {
          const cells = await row.locator('td').allInnerTexts();
          const isIt = label => label.replace(/^\[unknown\] /, '') === cells[0] || label.startsWith(cells[0] + ' (');
          samePct(parsePct(cells[1]), folded.sum(labels => isIt(labels.at(-1))), folded.total, `self of ${cells[0]}`);
          samePct(parsePct(cells[2]), folded.sum(labels => labels.some(isIt)), folded.total, `total of ${cells[0]}`);
          check(parsePct(cells[sorted]) <= before, `order by ${column}`);
          before = parsePct(cells[sorted]);
        }
      }
    });
  },

  async callers_and_callees(file, { ragprof, trace }) {
    const folded = new Folded(ragprof, trace, 'cpu');
    const name = 'PyArray_MatrixProduct2';
    const above = new Map();
    for (const { labels, us } of folded.stacks) {
      const at = labels.indexOf(name);
      if (at > 0)
        above.set(labels[at - 1], (above.get(labels[at - 1]) || 0) + us);
    }
    const callers = [...above].sort((a, b) => b[1] - a[1]);
    check(callers.length === 2, `${callers.length} callers in the folded output`);
    await withPage(file, { hash: '#view=table' }, async page => {
      await page.locator('#functions .link', { hasText: name }).click();
      equal(await text(page, '#callers-name'), name, 'function');
      const total = folded.matching(new RegExp(`^${name}$`));
      samePct(parsePct((await text(page, '#callers-numbers')).split('total')[1]), total, folded.total, 'total');
      const box = await page.locator('#callers').boundingBox();
      const row = Number(await page.locator('#callers').getAttribute('data-row-px'));
      const bottom = box.y + box.height - 2 - row * 1.5;
      for (const [share, [label, us]] of [[0.02, callers[0]], [0.97, callers[1]]]) {
        await page.mouse.move(box.x + share * box.width, bottom);
        const tip = await text(page, '#tooltip');
        check(tip.startsWith(label.replace(/ \(.*/, '')), `caller: expected ${label}, got ${tip}`);
        samePct(parsePct(tip), us, total, `share of ${label}`);
      }
      const under = await page.locator('#callees').boundingBox();
      await page.mouse.move(under.x + 30, under.y + 2 + Number(await page.locator('#callees').getAttribute('data-row-px')) * 1.5);
      check((await text(page, '#tooltip')).startsWith('cblas_sgemm'), 'callee');
    });
  },

  // Thread t has the samples i with i % 4 == t.
  async thread_filter(file) {
    await withPage(file, {}, async page => {
      await page.click('#thread');
      equal(await page.locator('#thread-list [role="option"]').count(), 6, 'all, one process, four threads');
      await page.click('[data-choice="t4244"]');
      near(await kindTime(page, 'cpu'), 2500 * PERIOD_US, 0.005, 'on-CPU of one thread');
      check((await text(page, '#thread')).includes('4244'), 'the button names the thread');
      await page.click('#thread');
      await page.keyboard.press('Home');
      await page.locator('[data-choice="all"]').press('Enter');
      near(await kindTime(page, 'cpu'), 10000 * PERIOD_US, 0.005, 'on-CPU of all threads');
    });
  },

  // Two ranges that meet add up to the whole, and samples lie evenly in time.
  async brush(file) {
    await withPage(file, { hash: '#kind=wall' }, async page => {
      const whole = await kindTime(page, 'wall');
      await drag(page, 0, 0.25);
      const quarter = await kindTime(page, 'wall');
      near(quarter, whole / 4, 0.08, 'a quarter');
      near(parseTime(await text(page, '#place')), quarter, 0.005, 'the graph follows');
      const [, end] = /range=0-(\d+)/.exec(page.url());
      await page.click('#clear-range');
      await summed(page);
      near(await kindTime(page, 'wall'), whole, 0.001, 'cleared');
      await open(page, new URL(page.url()).pathname, '#');
      await page.evaluate(hash => { location.hash = hash; }, `#kind=wall&range=${end}-800`);
      await summed(page);
      const rest = await page.evaluate(() => document.querySelector('#clear-range').hidden) ? NaN : await kindTime(page, 'wall');
      near(rest + quarter, whole, 0.01, 'the two ranges');
      // The left edge can be taken hold of.
      const before = await kindTime(page, 'wall');
      await drag(page, Number(end) / 800, 0.5);
      near(await kindTime(page, 'wall'), before * 2 / 3, 0.08, 'after moving the edge');
    });
  },

  async hash_restores(file, { ragprof, trace }) {
    const folded = new Folded(ragprof, trace, 'wall');
    await withPage(file, { hash: '#root=above&kind=wall' }, async page => {
      await page.mouse.click(...await framePoint(page, folded, folded.hottestPath(4)));
      await page.fill('#search', 'a+b|score');
      await page.click('#thread');
      await page.click('[data-choice="p4242"]');
      await drag(page, 0.2, 0.6);
      await page.click('#theme');
      const shown = async () => [await text(page, '#place'), await text(page, '#matched'), await text(page, '#range'),
        await text(page, '#thread'), await theme(page), await page.inputValue('#search')].join(' | ');
      const before = await shown();
      check(!before.startsWith('all'), 'zoomed before the reload');
      await page.reload();
      await page.waitForSelector('body[data-ready="yes"]');
      equal(await shown(), before, 'after a reload');
    });
  },

  async bad_hash(file, { ragprof, trace }) {
    const folded = new Folded(ragprof, trace, 'cpu');
    const hashes = ['#zoom=99999999', '#zoom=1.99', '#range=5-2', '#range=0-999999', '#range=a-b', '#fn=123456&view=callers',
      '#view=<b>', '#thread=t1', '#kind=x&theme=y', '#search=%28', '#%zz', '#zoom=1e9&fn=-7&view=callers'];
    await withPage(file, {}, async page => {
      for (const hash of hashes) {
        await open(page, new URL(page.url()).pathname, '#');
        await open(page, new URL(page.url()).pathname, hash);
        await page.reload();
        await page.waitForSelector('body[data-ready="yes"]');
        near(await kindTime(page, 'cpu'), folded.total, 0.005, hash);
      }
    });
  },

  async themes(file) {
    const corner = page => page.evaluate(() => {
      const copy = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
      copy.drawImage(document.querySelector('#flame canvas'), 0, 0);
      return [...copy.getImageData(2, 2, 1, 1).data.slice(0, 3)];
    });
    await withPage(file, { colorScheme: 'dark' }, async page => {
      equal(await theme(page), 'dark', 'as the system wants it');
      await page.waitForTimeout(100);
      check(Math.max(...await corner(page)) < 64, 'the graph is dark');
      await page.click('#theme');
      equal(await theme(page), 'light', 'switched');
      await page.waitForTimeout(100);
      check(Math.min(...await corner(page)) > 200, 'the graph is light');
    });
    await withPage(file, { colorScheme: 'light' }, async page => equal(await theme(page), 'light', 'as the system wants it'));
  },

  async keyboard(file, { ragprof, trace }) {
    const folded = new Folded(ragprof, trace, 'cpu');
    const path = folded.hottestPath(3);
    await withPage(file, {}, async page => {
      const press = keys => keys.reduce((done, key) => done.then(() => page.keyboard.press(key)), Promise.resolve());
      await press(['ArrowUp', 'ArrowUp', 'ArrowUp', 'ArrowUp']);
      check((await text(page, '#announce')).startsWith(path[2]), `cursor: ${await text(page, '#announce')}`);
      await press(['ArrowDown', 'Enter']);
      check((await text(page, '#place')).startsWith(path[1]), 'Enter zooms');
      await press(['0']);
      check((await text(page, '#place')).startsWith('all'), '0 resets');
      await press(['f']);
      equal(await text(page, '#direction'), 'Icicle ⇅', 'f turns');
      await press(['2']);
      check(await page.locator('#view-table').isVisible(), '2 shows the table');
      await press(['3']);
      check(await page.locator('#view-callers').isVisible(), '3 shows callers');
      await press(['Escape']);
      check(await page.locator('#view-flame').isVisible(), 'Esc goes back');
      await press(['k']);
      equal(await page.locator('[data-kind="off-cpu"]').getAttribute('aria-pressed'), 'true', 'k changes the kind');
      await press(['/']);
      await page.keyboard.type('1f?');
      equal(await page.inputValue('#search'), '1f?', 'letters go to the search');
      await press(['Escape']);
      equal(await page.inputValue('#search'), '', 'Esc clears the search');
      await press(['?']);
      check(await page.locator('#help').isVisible(), '? helps');
      await press(['Escape']);
      check(!await page.locator('#help').isVisible(), 'Esc closes the help');
      await press(['+']);
      check(!(await text(page, '#place')).startsWith('all'), '+ zooms in');
      await press(['-', '-', '-', '-', '-', '-', '-', '-']);
      check((await text(page, '#place')).startsWith('all'), '- zooms out');
    });
  },

  // _PyEval_EvalFrameDefault belongs to the interpreter: its time goes to the Python function.
  async hide_interpreter(file, { ragprof, trace }) {
    const folded = new Folded(ragprof, trace, 'cpu');
    const own = folded.self('_PyEval_EvalFrameDefault');
    check(own > 0, 'the folded output has interpreter frames');
    await withPage(file, { hash: '#search=^_PyEval' }, async page => {
      samePct(parsePct(await text(page, '#matched')), own, folded.total, 'shown');
      await page.keyboard.press('i');
      equal(parsePct(await text(page, '#matched')), 0, 'hidden');
      near(parseTime(await text(page, '#place')), folded.total, 0.005, 'nothing is lost');
    });
  },

  async lines_of_python(file) {
    // Of 1000 samples, 720 pass line 131 of answer() and 140 pass line 136.
    await withPage(file, { hash: '#view=table' }, async page => {
      await page.locator('#functions .link', { hasText: /^answer$/ }).click();
      const lines = (await page.locator('#callers-lines li').allInnerTexts()).map(line => line.replace(/\s+/g, ' '));
      equal(lines.length, 2, 'lines of answer()');
      check(lines[0].startsWith('line 131'), lines[0]);
      samePct(parsePct(lines[0]), 720, 860, 'line 131');
      samePct(parsePct(lines[1]), 140, 860, 'line 136');
    });
  },

  // The three largest waits of tests/unit/synthetic.h by reason and caller, and the hottest function.
  async answers(file, { ragprof, trace }) {
    const cpu = new Folded(ragprof, trace, 'cpu');
    const off = new Folded(ragprof, trace, 'off-cpu');
    await withPage(file, {}, async page => {
      const [hottest] = await page.locator('#hottest li').allInnerTexts();
      check(hottest.includes('sgemm_kernel_HASWELL') && hottest.includes('← Embedder.encode (embedding.py:31)'), hottest);
      samePct(parsePct(hottest), cpu.self('sgemm_kernel_HASWELL'), cpu.total, 'hottest');
      const waits = await page.locator('#waits li').allInnerTexts();
      for (const [i, [reason, name]] of [['socket', 'stream_completion (generate.py:40)'],
        ['GIL', 'KeywordIndex.score (keyword_index.py:52)'], ['disk', 'VectorIndex.search (vector_index.py:80)']].entries()) {
        check(waits[i].includes(reason) && waits[i].includes(name), `wait ${i}: ${waits[i]}`);
        samePct(parsePct(waits[i]), off.sum(labels => labels.includes(name) && labels.at(-1) === `waiting: ${reason}`),
          off.total, name);
      }
      await page.locator('#waits button').first().click();
      equal(await text(page, '#callers-name'), 'stream_completion (generate.py:40)', 'a click shows callers and callees');
    });
  },

  async phone(file) {
    await withPage(file, { viewport: { width: 390, height: 844 } }, async page => {
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      check(width <= 390, `the page is ${width} px wide`);
      await page.locator('#flame').scrollIntoViewIfNeeded();
      const box = await page.locator('#flame').boundingBox();
      check(box.height > 300, `the graph is ${box.height} px high`);
      for (const view of ['table', 'callers', 'flame']) {
        await page.click(`[data-view="${view}"]`);
        check(await page.evaluate(() => document.documentElement.scrollWidth) <= 390, `${view} is too wide`);
      }
    });
  },
};

await main(cases);
