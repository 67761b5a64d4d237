// The time axis above the tree: the time span shown, and the position of a bar in it.
import { duration, ticks } from "./format.js";

export class Axis {
  constructor(svg) {
    Object.assign(this, { svg, from: 0, span: 1 });
    new ResizeObserver(() => this.draw()).observe(svg);
  }

  /** Show `span` milliseconds, starting at `from` in the time of a prompt. */
  show(from, span) {
    Object.assign(this, { from, span });
    this.draw();
  }

  /** Place a bar by start and duration; without one (null), up to the end of the axis. */
  place(bar, start, took) {
    const after = start - this.from;
    bar.style.left = `${100 * after / this.span}%`;
    bar.style.width = `${100 * (took ?? Math.max(this.span - after, 0)) / this.span}%`;
  }

  draw() {
    const width = this.svg.clientWidth, all = ticks(this.span, Math.max(2.5, width / 66));
    this.svg.replaceChildren(...all.flatMap((ms) => {
      const part = ms / this.span;
      return part * width > width - 24 && ms ? [] : this.tick(`${100 * part}%`, ms + this.from);
    }));
  }

  tick(x, ms) {
    const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
    for (const [name, value] of [["x1", x], ["x2", x], ["y1", 6], ["y2", 24]]) line.setAttribute(name, value);
    const text = document.createElementNS("http://www.w3.org/2000/svg", "text");
    for (const [name, value] of [["x", x], ["dx", 4], ["y", 16]]) text.setAttribute(name, value);
    text.textContent = ms ? duration(ms).replace(/\.0(?= s)| 00? \w+$/, "") : "0";
    return [line, text];
  }
}
