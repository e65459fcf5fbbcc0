/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Draws one tree of frames on a canvas: layout, zoom, hover, keyboard cursor. The canvas is as large
 * as what can be seen, whatever the depth of the stacks; a spacer gives the scroll bar its length. */

const ROW_SMALLEST_PX = 18;
const ROW_LARGEST_PX = 23;
const SMALLEST_PX = 0.4;
const ZOOM_MS = 170;

class FlameGraph {
  /* events: hover(node, x, y), leave(), zoom(node), pick(node) and cursor(node) */
  constructor(scroller, colors, events) {
    this.scroller = scroller;
    this.colors = colors;
    this.events = events;
    this.canvas = element('canvas', 'graph-canvas');
    this.spacer = element('div', 'graph-spacer');
    this.spacer.append(this.canvas);
    scroller.append(this.spacer);
    this.view = null;
    this.zoomed = 0;
    this.hovered = -1;
    this.cursor = -1;
    this.isRootBelow = true;
    this.matches = null;
    this.widths = new Map();
    this.turn = 0;
    this.rowPx = ROW_SMALLEST_PX;
    this.listen();
  }

  listen() {
    this.scroller.addEventListener('scroll', () => this.requestDraw());
    new ResizeObserver(() => this.resize()).observe(this.scroller);
    this.canvas.addEventListener('pointermove', event => this.onMove(event));
    this.canvas.addEventListener('pointerleave', () => this.onLeave());
    this.canvas.addEventListener('click', event => this.onClick(event));
  }

  /* A new tree, or new sums of the same one; `zoomed` names one of its nodes. */
  setView(view, keepsPlace) {
    this.view = view;
    if (!keepsPlace)
      this.cursor = -1;
    this.hovered = -1;
    this.range = this.rangeOf(this.zoomed);
    this.chooseRowHeight();
    this.measure(keepsPlace);
  }

  setDirection(isRootBelow) {
    this.isRootBelow = isRootBelow;
    if (this.view)
      this.measure(false);
  }

  rangeOf(node) {
    const total = this.view.total[node] || this.view.total[0] || 1;
    const begin = this.view.total[node] ? this.beginOf(node) : 0;
    return [begin, begin + total];
  }

  /* Where a node begins, in microseconds from the left of the whole graph. */
  beginOf(node) {
    const view = this.view;
    let begin = 0;
    for (let at = node; at > 0; at = view.parent[at]) {
      const parent = view.parent[at];
      for (let c = view.childStart[parent]; view.childList[c] !== at; c++)
        begin += view.total[view.childList[c]];
    }
    return begin;
  }

  /* Calls visit(node, left, right, depth) for all that is wide enough, parents first. */
  walk(range, width, visit) {
    const view = this.view;
    const scale = width / (range[1] - range[0]);
    const stack = [0, 0, 0];
    while (stack.length) {
      const depth = stack.pop();
      const begin = stack.pop();
      const node = stack.pop();
      const left = Math.max((begin - range[0]) * scale, 0);
      const right = Math.min((begin + view.total[node] - range[0]) * scale, width);
      if (right - left < SMALLEST_PX || visit(node, left, right, depth) === false)
        continue;
      let at = begin;
      for (let c = view.childStart[node]; c < view.childStart[node + 1]; c++) {
        const child = view.childList[c];
        if (view.total[child] > 0)
          stack.push(child, at, depth + 1);
        at += view.total[child];
      }
    }
  }

  /* Rows grow into the space that shallow stacks leave. */
  chooseRowHeight() {
    const space = this.scroller.clientHeight - 4;
    const rows = this.deepest([0, this.view.total[0] || 1]) + 1;
    this.rowPx = clamp(Math.floor(space / rows), ROW_SMALLEST_PX, ROW_LARGEST_PX);
    this.scroller.dataset.rowPx = this.rowPx;
  }

  /* Rows of a long trunk to scroll past at first, so that the eye meets the crown: where stacks have
   * one way to go for most of the height, the answer lies beyond. */
  trunkRows() {
    const view = this.view;
    let rows = 0;
    for (let node = 0; ; rows++) {
      const next = this.shownChildren(node).find(child => view.total[child] >= 0.9 * view.total[0]);
      if (next === undefined)
        break;
      node = next;
    }
    const shown = Math.floor(this.scroller.clientHeight / this.rowPx);
    return rows > shown - 12 ? Math.max(rows - 3, 0) : 0;
  }

  deepest(range) {
    let deepest = 0;
    if (this.scroller.clientWidth > 0)
      this.walk(range, this.scroller.clientWidth, (node, left, right, depth) => {
        deepest = Math.max(deepest, depth);
      });
    return deepest;
  }

  /* Sets the length of the scroll bar to the depth of what is shown. */
  measure(keepsPlace) {
    this.width = this.scroller.clientWidth;
    const fromRoot = this.isRootBelow
      ? this.scroller.scrollHeight - this.scroller.scrollTop - this.scroller.clientHeight
      : this.scroller.scrollTop;
    const rows = this.deepest(this.range) + 1;
    this.height = Math.max(rows * this.rowPx + 4, this.scroller.clientHeight);
    this.spacer.style.height = this.height + 'px';
    const fromStart = keepsPlace ? fromRoot : this.trunkRows() * this.rowPx;
    this.scroller.scrollTop = this.isRootBelow
      ? this.height - this.scroller.clientHeight - fromStart : fromStart;
    this.requestDraw();
  }

  resize() {
    if (!this.view || !this.scroller.clientWidth)
      return;
    this.chooseRowHeight();
    this.measure(true);
  }

  requestDraw() {
    if (this.frame)
      return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  /* The top of a row, in pixels of the canvas. */
  rowTop(depth) {
    const y = this.isRootBelow ? this.height - (depth + 1) * this.rowPx - 2 : depth * this.rowPx + 2;
    return y - this.scroller.scrollTop;
  }

  draw() {
    const height = this.scroller.clientHeight;
    if (!this.view || !this.width || !height)
      return;
    const context = fitCanvas(this.canvas, this.width, height);
    context.fillStyle = this.colors.background;
    context.fillRect(0, 0, this.width, height);
    context.font = '11.5px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';
    context.textBaseline = 'middle';
    const zoomDepth = this.depthOf(this.zoomed);
    this.walk(this.range, this.width, (node, left, right, depth) => {
      const top = this.rowTop(depth);
      if (this.isRootBelow ? top + this.rowPx < 0 : top > height)
        return false;
      if (top <= height && top + this.rowPx >= 0)
        this.drawFrame(context, node, left, right, top, depth < zoomDepth);
      return true;
    });
    this.drawOutline(context, this.hovered, 1);
    this.drawOutline(context, this.cursor, 2);
  }

  depthOf(node) {
    let depth = 0;
    for (let at = node; at > 0; at = this.view.parent[at])
      depth++;
    return depth;
  }

  drawFrame(context, node, left, right, top, isAbove) {
    const view = this.view;
    const colors = this.colors;
    const fn = view.fn[node];
    const isMatch = this.matches !== null && fn >= 0 && this.matches[fn];
    const width = Math.max(right - left - (right - left > 3 ? 1 : 0), SMALLEST_PX);
    context.globalAlpha = isAbove ? 0.55 : this.matches !== null && !isMatch ? 0.4 : 1;
    context.fillStyle = isMatch ? colors.match : fn < 0 ? colors.faint : colors.fill(fn, view.flags[node]);
    context.fillRect(left, top, width, this.rowPx - 1);
    if (fn >= 0 && view.profile.kinds[fn] === FRAME_MARK)
      this.drawHatch(context, left, top, width);
    if (width > 24)
      this.drawLabel(context, node, left, top, width, isMatch);
    context.globalAlpha = 1;
  }

  drawHatch(context, left, top, width) {
    context.save();
    context.beginPath();
    context.rect(left, top, width, this.rowPx - 1);
    context.clip();
    context.strokeStyle = this.colors.hatch;
    context.lineWidth = 2;
    context.beginPath();
    for (let x = left - this.rowPx; x < left + width; x += 7) {
      context.moveTo(x, top + this.rowPx);
      context.lineTo(x + this.rowPx, top);
    }
    context.stroke();
    context.restore();
  }

  label(node) {
    const fn = this.view.fn[node];
    return fn < 0 ? 'all' : this.view.profile.labels[fn];
  }

  drawLabel(context, node, left, top, width, isMatch) {
    const room = width - 8;
    let text = this.label(node);
    if (text.length * 3 > room || this.widthOf(context, text) > room)
      text = this.shortened(context, text, room);
    if (!text)
      return;
    context.fillStyle = isMatch ? this.colors.matchText : this.colors.text;
    context.fillText(text, left + 4, top + this.rowPx / 2);
  }

  widthOf(context, text) {
    let width = this.widths.get(text);
    if (width === undefined) {
      width = context.measureText(text).width;
      this.widths.set(text, width);
    }
    return width;
  }

  /* The longest beginning that fits. Its length is guessed from the width of the whole text. */
  shortened(context, text, room) {
    const start = text.slice(0, 160);
    const each = this.widthOf(context, start) / start.length;
    for (let count = Math.min(Math.floor(room / each) + 2, start.length); count > 1; count--) {
      const part = text.slice(0, count) + '…';
      if (context.measureText(part).width <= room)
        return part;
    }
    return '';
  }

  drawOutline(context, node, width) {
    if (node < 0)
      return;
    const begin = this.beginOf(node);
    const scale = this.width / (this.range[1] - this.range[0]);
    const left = Math.max((begin - this.range[0]) * scale, 0);
    const right = Math.min((begin + this.view.total[node] - this.range[0]) * scale, this.width);
    if (right - left <= 0)
      return;
    context.strokeStyle = width > 1 ? this.colors.accent : this.colors.text;
    context.lineWidth = width;
    context.strokeRect(left + 0.5, this.rowTop(this.depthOf(node)) + 0.5,
      Math.max(right - left - 2, 1), this.rowPx - 2);
  }

  /* The node at a point of the canvas, or -1. */
  nodeAt(x, y) {
    const view = this.view;
    if (!view || !view.total[0])
      return -1;
    const inside = y + this.scroller.scrollTop;
    const depth = Math.floor((this.isRootBelow ? this.height - 2 - inside : inside - 2) / this.rowPx);
    const time = this.range[0] + (this.range[1] - this.range[0]) * x / this.width;
    let node = 0;
    let begin = 0;
    for (let level = 0; level < depth; level++) {
      let c = view.childStart[node];
      const end = view.childStart[node + 1];
      while (c < end && begin + view.total[view.childList[c]] <= time)
        begin += view.total[view.childList[c++]];
      if (c >= end)
        return -1;
      node = view.childList[c];
    }
    return depth >= 0 ? node : -1;
  }

  eventNode(event) {
    const box = this.canvas.getBoundingClientRect();
    return this.nodeAt(event.clientX - box.left, event.clientY - box.top);
  }

  onMove(event) {
    const node = this.eventNode(event);
    if (node !== this.hovered) {
      this.hovered = node;
      this.requestDraw();
    }
    this.canvas.style.cursor = node >= 0 ? 'pointer' : 'default';
    if (node >= 0 && event.pointerType !== 'touch')
      this.events.hover(this, node, event.clientX, event.clientY);
    else
      this.events.leave();
  }

  onLeave() {
    this.hovered = -1;
    this.requestDraw();
    this.events.leave();
  }

  onClick(event) {
    const node = this.eventNode(event);
    if (node < 0)
      return;
    if (event.shiftKey)
      this.events.pick(this, node);
    else
      this.events.zoom(this, node, event);
  }

  /* Zooms so that the node fills the width. */
  zoomTo(node, isSudden) {
    const from = this.range;
    const to = this.rangeOf(node);
    this.zoomed = node;
    const still = isSudden || window.matchMedia('(prefers-reduced-motion: reduce)').matches;
    const began = performance.now();
    const turn = ++this.turn;
    const step = now => {
      if (turn !== this.turn)
        return;
      const done = still ? 1 : clamp((now - began) / ZOOM_MS, 0, 1);
      const eased = 1 - (1 - done) ** 3;
      this.range = [from[0] + (to[0] - from[0]) * eased, from[1] + (to[1] - from[1]) * eased];
      if (done < 1) {
        this.draw();
        requestAnimationFrame(step);
        return;
      }
      this.range = to;
      this.measure(true);
      this.reveal(node);
    };
    step(began);
  }

  /* Scrolls so that the row of a node can be seen. */
  reveal(node) {
    const top = this.rowTop(this.depthOf(node));
    const height = this.scroller.clientHeight;
    if (top < 0)
      this.scroller.scrollTop += top - this.rowPx;
    else if (top + this.rowPx > height)
      this.scroller.scrollTop += top + this.rowPx * 2 - height;
    this.requestDraw();
  }

  setCursor(node) {
    this.cursor = node;
    if (node >= 0)
      this.reveal(node);
    this.requestDraw();
    this.events.cursor(this, node);
  }

  /* Children that take time, as they stand from left to right. */
  shownChildren(node) {
    const view = this.view;
    return [...view.childList.subarray(view.childStart[node], view.childStart[node + 1])]
      .filter(child => view.total[child] > 0);
  }

  /* Moves the cursor: 'in' to the widest callee, 'out' to the caller, 'next' and 'previous' among
   * the callees of one caller. */
  moveCursor(way) {
    if (this.cursor < 0)
      return this.setCursor(this.zoomed);
    const parent = this.view.parent[this.cursor];
    if (way === 'in') {
      const children = this.shownChildren(this.cursor);
      if (!children.length)
        return undefined;
      const widest = children.reduce((a, b) => (this.view.total[b] > this.view.total[a] ? b : a));
      return this.setCursor(widest);
    }
    if (parent < 0)
      return undefined;
    if (way === 'out')
      return this.setCursor(parent);
    const siblings = this.shownChildren(parent);
    const next = siblings[siblings.indexOf(this.cursor) + (way === 'next' ? 1 : -1)];
    return next === undefined ? undefined : this.setCursor(next);
  }

  /* Where the cursor stands on the screen, for its tooltip. */
  cursorPlace() {
    const box = this.canvas.getBoundingClientRect();
    const scale = this.width / (this.range[1] - this.range[0]);
    const x = clamp((this.beginOf(this.cursor) - this.range[0]) * scale, 0, this.width);
    return [box.left + x, box.top + this.rowTop(this.depthOf(this.cursor)) + this.rowPx / 2];
  }
}
