/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Quantities and small pieces of DOM. Text from the profile only ever becomes a text node. */

function formatUs(us) {
  const digits = (value, unit) => value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0) + '\u202f' + unit;
  if (us >= 36e8)
    return digits(us / 36e8, 'h');
  if (us >= 3e8)
    return digits(us / 6e7, 'min');
  if (us >= 999500)
    return digits(us / 1e6, 's');
  if (us >= 999.5)
    return digits(us / 1e3, 'ms');
  return us ? digits(us, 'µs') : '0';
}

function formatBytes(bytes) {
  const size = Math.abs(bytes);
  if (size < 1024)
    return Math.round(bytes) + '\u202fB';
  const power = Math.min(Math.floor(Math.log2(size) / 10 + 0.0005), 5);
  const value = bytes / 1024 ** power;
  const digits = Math.abs(value) < 9.995 ? 2 : Math.abs(value) < 99.95 ? 1 : 0;
  return value.toFixed(digits) + '\u202f' + ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'][power];
}

/* Seconds as two units at most: "3 h 20 min". */
function formatLong(seconds) {
  const units = [['years', 31536000], ['d', 86400], ['h', 3600], ['min', 60], ['s', 1]];
  const i = (units.findIndex(([, size]) => seconds >= size) + units.length) % units.length;
  const whole = Math.floor(seconds / units[i][1]);
  const hasRest = i > 0 && i < 4 && whole < 10;
  const rest = hasRest ? Math.floor((seconds - whole * units[i][1]) / units[i + 1][1]) : 0;
  return `${whole}\u202f${units[i][0]}` + (rest ? ` ${rest}\u202f${units[i + 1][0]}` : '');
}

function formatPct(part, whole) {
  if (!whole || !part)
    return '0\u202f%';
  const pct = 100 * part / whole;
  if (pct < 0.05)
    return '<0.1\u202f%';
  return pct.toFixed(pct < 99.95 ? 1 : 0) + '\u202f%';
}

function formatCount(count) {
  return Math.round(count).toLocaleString('en').replaceAll(',', '\u202f');
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className)
    made.className = className;
  if (text !== undefined)
    made.textContent = text;
  return made;
}

function byId(id) {
  return document.getElementById(id);
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

/* A canvas as large as its box, sharp on any screen. Returns the context, in CSS pixels. */
function fitCanvas(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const w = Math.round(width * ratio);
  const h = Math.round(height * ratio);
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.width = width + 'px';
    canvas.style.height = height + 'px';
  }
  const context = canvas.getContext('2d');
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}
