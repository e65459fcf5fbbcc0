// SPDX-License-Identifier: GPL-2.0-or-later
// What the browser tests share: a headless Chromium in which every case gets a fresh profile and that reports every error, policy violation and
// request, and the expected figures, computed from the folded output alone.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const { chromium } = createRequire(process.env.RAGPROF_BROWSER_MODULES + '/')('playwright-core');

const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'];

let browser;

function browserPath() {
  const paths = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
  return paths.find(path => path && existsSync(path));
}

// Opens a file, runs the body with the page, and fails on whatever the page should not have done.
export async function withPage(file, options, body) {
  const troubles = [];
  const context = await browser.newContext({
    viewport: options.viewport || { width: 1280, height: 900 },
    colorScheme: options.colorScheme || 'light', reducedMotion: 'reduce',
  });
  context.setDefaultTimeout(10000);
  try {
    const page = await context.newPage();
    page.on('console', message => ['error', 'warning'].includes(message.type()) &&
      troubles.push(`console: ${message.text()}`));
    page.on('pageerror', error => troubles.push(`exception: ${error.message}`));
    page.on('request', request => !/^(file|blob):/.test(request.url()) &&
      troubles.push(`request: ${request.url()}`));
    if (!options.answers)
      page.on('dialog', dialog => {
        troubles.push(`dialog: ${dialog.message()}`);
        dialog.dismiss();
      });
    await page.addInitScript(() => {
      window.violations = [];
      document.addEventListener('securitypolicyviolation', event => window.violations.push(event.violatedDirective));
    });
    await open(page, file, options.hash || '');
    await body(page, troubles);
    const violations = await page.evaluate(() => window.violations);
    if (!options.mayViolate && violations.length)
      troubles.push(`policy violations: ${violations.join(', ')}`);
  } finally {
    await context.close();
  }
  check(troubles.length === 0, troubles.join('\n'));
}

export async function open(page, file, hash) {
  await page.goto(pathToFileURL(file).href + hash);
  if (file.endsWith('.html'))
    await page.waitForSelector('body[data-ready="yes"]');
}

export function check(isTrue, message) {
  if (!isTrue)
    throw new Error(message);
}

export function equal(actual, expected, what) {
  check(actual === expected, `${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`);
}

// `tolerance` as a share of the expected value
export function near(actual, expected, tolerance, what) {
  check(Math.abs(actual - expected) <= Math.abs(expected) * tolerance,
    `${what}: expected about ${expected}, got ${actual}`);
}

// A percentage as shown, with one decimal
export function samePct(shown, part, whole, what) {
  const expected = 100 * part / whole;
  check(Math.abs(shown - expected) <= 0.06, `${what}: expected ${expected.toFixed(2)} %, got ${shown} %`);
}

// "12.3 s" and the like to microseconds, "45.6 %" to a number
export function parseTime(text) {
  const [, number, unit] = /([\d.]+)\s*(µs|ms|s|min|h)\b/.exec(text) || check(false, `no time in "${text}"`);
  return Number(number) * { µs: 1, ms: 1e3, s: 1e6, min: 6e7, h: 3.6e9 }[unit];
}

// "12.3 MiB" and the like to bytes
export function parseBytes(text) {
  const [, number, unit] = /([\d.]+)\s*([KMGT]i)?B\b/.exec(text) || check(false, `no size in "${text}"`);
  return Number(number) * 1024 ** ['', 'Ki', 'Mi', 'Gi', 'Ti'].indexOf(unit || '');
}

export function parsePct(text) {
  const found = /([\d.]+)\s*%/.exec(text);
  check(found, `no percentage in "${text}"`);
  return Number(found[1]);
}

export class Folded {
  constructor(ragprof, trace, kind) {
    const result = spawnSync(ragprof, ['flame', '-f', 'folded', '--kind', kind, '-o', '-', trace],
      { encoding: 'utf8', maxBuffer: 1 << 28 });
    check(result.status === 0, `folded output failed: ${result.stderr}`);
    this.stacks = result.stdout.trimEnd().split('\n').map(line => {
      const at = line.lastIndexOf(' ');
      return { labels: line.slice(0, at).split(';'), us: Number(line.slice(at + 1)) };
    });
    this.total = this.sum(() => true);
  }

  sum(filter) {
    return this.stacks.reduce((sum, stack) => sum + (filter(stack.labels) ? stack.us : 0), 0);
  }

  matching(pattern) {
    return this.sum(labels => labels.some(label => pattern.test(label)));
  }

  self(label) {
    return this.sum(labels => labels.at(-1) === label);
  }

  below(path) {
    return this.sum(labels => path.every((label, i) => labels[i] === label));
  }

  // Callees of a path, largest first: [label, µs]
  children(path) {
    const sums = new Map();
    for (const { labels, us } of this.stacks)
      if (labels.length > path.length && path.every((label, i) => labels[i] === label))
        sums.set(labels[path.length], (sums.get(labels[path.length]) || 0) + us);
    return [...sums].sort((a, b) => b[1] - a[1]);
  }

  // The largest callee of the largest callee, and so on
  hottestPath(depth) {
    const path = [];
    while (path.length < depth && this.children(path).length)
      path.push(this.children(path)[0][0]);
    return path;
  }

  // The middle of a frame, as a share of the width, where siblings stand from the largest on
  middle(path) {
    let left = 0;
    for (let depth = 0; depth < path.length; depth++)
      for (const [label, us] of this.children(path.slice(0, depth))) {
        if (label === path[depth])
          break;
        left += us;
      }
    return (left + this.below(path) / 2) / this.total;
  }
}

// Runs every case in one browser: main(cases) with the arguments FILE RESULTS. A case's result is a
// file of its name, empty when all was well.
export async function main(cases) {
  const [file, results] = process.argv.slice(2);
  const source = readFileSync(file, 'utf8');
  browser = await chromium.launch({ executablePath: browserPath(), args: ARGS });
  for (const [name, run] of Object.entries(cases)) {
    let outcome = '';
    try {
      await run(file, { ragprof: process.env.RAGPROF, trace: process.env.TRACE, source });
    } catch (error) {
      outcome = `${error.message}\n`;
    }
    writeFileSync(`${results}/${name}`, outcome);
  }
  await browser.close();
}
