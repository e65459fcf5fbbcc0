/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One hue per kind of frame and per reason to wait; functions of a kind differ a little, by name. */

const FIRST_WAIT_KIND = 16; /* kind of wait reason r: 16 + r */
const FIRST_TONE_KIND = 32; /* kind of tone t, of operations: 32 + t */

/* hue, saturation %: of enum frame_kind 1-5, then of enum wait_reason 0-11, then of enum flame_tone */
const HUES = {
  1: [36, 78], 2: [10, 68], 3: [212, 72], 4: [146, 45], 5: [220, 6],
  16: [220, 8], 17: [24, 46], 18: [272, 46], 19: [328, 58], 20: [184, 46], 21: [222, 18],
  22: [350, 44], 23: [62, 52], 24: [166, 38], 25: [246, 40], 26: [300, 34], 27: [200, 8],
  32: [66, 52], 33: [24, 46], 34: [184, 46], 35: [40, 62], 36: [340, 30], 37: [350, 62], 38: [272, 46],
  39: [328, 58], 40: [96, 40], 41: [146, 45], 42: [166, 38], 43: [222, 18],
};

const KIND_NAMES = { 1: 'native', 2: 'kernel', 3: 'Python', 4: 'JIT', 5: 'incomplete stack' };
const TONE_GIL_WAIT = 7;
const TONE_EVENT = 11;
const TONE_NAMES = [
  'system call', 'file', 'socket', 'disk', 'minor fault', 'major fault', 'lock', 'waiting for the GIL', 'holding the GIL',
  'probe', 'pipe', 'event or timer',
];

class Colors {
  constructor(profile) {
    this.profile = profile;
    this.setDark(false);
  }

  setDark(isDark) {
    this.isDark = isDark;
    this.fills = new Map();
    this.text = isDark ? '#eef1f5' : '#1a2029';
    this.faint = isDark ? 'rgba(238,241,245,.34)' : 'rgba(26,32,41,.34)';
    this.background = isDark ? '#12161c' : '#ffffff';
    this.hatch = isDark ? 'rgba(255,255,255,.16)' : 'rgba(20,30,45,.2)';
    this.match = isDark ? '#f5d90a' : '#ffd60a';
    this.matchText = '#1a1500';
    this.accent = isDark ? '#8ab8ff' : '#1d5fd1';
    this.panel = isDark ? '#1a2028' : '#f6f7f9';
    this.bad = isDark ? '#ff7a70' : '#c62828';
    this.grid = isDark ? 'rgba(255,255,255,.08)' : 'rgba(20,30,45,.08)';
    this.muted = isDark ? '#98a3b3' : '#5b6675';
  }

  hash(text) {
    let hash = 2166136261;
    for (let i = 0; i < text.length; i++)
      hash = Math.imul(hash ^ text.charCodeAt(i), 16777619);
    return (hash >>> 8 & 0xffff) / 0xffff;
  }

  /* Plain colour of a kind: legend, bars, timeline. */
  kind(kind) {
    const [hue, saturation] = HUES[kind] || HUES[5];
    return this.isDark ? `hsl(${hue} ${saturation * 0.62}% 47%)` : `hsl(${hue} ${saturation}% 64%)`;
  }

  tone(tone) {
    return this.kind(FIRST_TONE_KIND + tone);
  }

  /* The name of a kind. */
  name(kind) {
    return KIND_NAMES[kind] || TONE_NAMES[kind - FIRST_TONE_KIND] ||
      this.profile.facts.reasons[kind - FIRST_WAIT_KIND] || 'other';
  }

  way(way) {
    return this.kind(way === WAY_CPU ? 1 : FIRST_WAIT_KIND + way - 1);
  }

  fill(fn, flags) {
    const key = fn * 2 + (flags & FLAG_INLINED ? 1 : 0);
    let fill = this.fills.get(key);
    if (fill)
      return fill;
    const kind = this.profile.kinds[fn];
    const [hue, saturation] = HUES[kind] || HUES[5];
    const spread = this.hash(this.profile.names[fn]);
    const lighter = flags & FLAG_INLINED ? 6 : 0;
    const turn = hue + (spread - 0.5) * 12;
    fill = this.isDark
      ? `hsl(${turn} ${saturation * 0.55}% ${31 + spread * 7 - lighter}%)`
      : `hsl(${turn} ${saturation}% ${76 + spread * 7 + lighter}%)`;
    this.fills.set(key, fill);
    return fill;
  }
}
