// A long list in which only the visible rows exist as elements, in visual order in the document.

const HEIGHT = 28; // pixels of a row (session.css)

/**
 * @param box      the scrolling element for the rows
 * @param options  make(): a new row element; fill(element, index); top: pixels above the rows
 */
export class VirtualList {
  constructor(box, { make, fill, top = 0 }) {
    Object.assign(this, { box, make, fill, top, count: 0, used: new Map() });
    this.space = document.createElement("div");
    this.space.className = "space";
    this.space.setAttribute("role", "presentation");
    box.append(this.space);
    box.addEventListener("scroll", () => this.soon(), { passive: true });
    new ResizeObserver(() => this.soon()).observe(box);
  }

  /** Set the number of rows and redraw the visible ones. */
  show(count) {
    this.count = count;
    this.space.style.height = `${count * HEIGHT}px`;
    this.drop(...this.range());
    this.refill();
    this.draw();
  }

  /** Draw in the next frame. */
  soon() {
    this.frame ??= requestAnimationFrame(() => { this.frame = null; this.draw(); });
  }

  /** First index and end of the visible rows, with a margin. */
  range() {
    const first = Math.floor((this.box.scrollTop - this.top) / HEIGHT);
    const fit = Math.ceil(this.box.clientHeight / HEIGHT);
    return [Math.max(0, first - 4), Math.min(this.count, first + fit + 5)];
  }

  draw() {
    const [first, end] = this.range();
    this.drop(first, end);
    let next = this.space.firstElementChild;
    for (let index = first; index < end; index++) {
      if (this.used.has(index)) { next = next.nextElementSibling; continue; }
      const element = this.make();
      element.style.transform = `translateY(${index * HEIGHT}px)`;
      this.space.insertBefore(element, next);
      this.used.set(index, element);
      this.fill(element, index);
    }
  }

  /** Remove the rows outside this range. */
  drop(first, end) {
    for (const [index, element] of this.used) {
      if (index >= first && index < end) continue;
      this.used.delete(index);
      element.remove();
    }
  }

  /** Refill the visible rows in place. */
  refill() {
    for (const [index, element] of this.used) this.fill(element, index);
  }

  /** Scroll a row into view. */
  reveal(index) {
    const y = index * HEIGHT + this.top;
    const { scrollTop, clientHeight } = this.box;
    if (y - this.top < scrollTop) this.box.scrollTop = y - this.top;
    else if (y + HEIGHT > scrollTop + clientHeight) this.box.scrollTop = y + HEIGHT - clientHeight;
    this.draw();
    this.used.get(index)?.scrollIntoView({ block: "nearest" }); // in a low window the page scrolls too
  }
}
