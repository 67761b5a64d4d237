// A long list of which only the rows in sight exist as elements, in the document in the order in which they are seen.

const HEIGHT = 28; // pixels of a row (session.css)

/**
 * @param box      scrolls; gets the rows
 * @param options  make(): a new row element; fill(element, index); top: pixels above the rows
 */
export class Rows {
  constructor(box, { make, fill, top = 0 }) {
    Object.assign(this, { box, make, fill, top, count: 0, used: new Map(), spare: [] });
    this.space = document.createElement("div");
    this.space.className = "space";
    this.space.setAttribute("role", "presentation");
    box.append(this.space);
    box.addEventListener("scroll", () => this.soon(), { passive: true });
    new ResizeObserver(() => this.soon()).observe(box);
  }

  /** Set how many rows there are and draw those in sight anew. */
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

  /** First and last index in sight. */
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
      const element = this.spare.pop() ?? this.make();
      element.style.transform = `translateY(${index * HEIGHT}px)`;
      this.space.insertBefore(element, next);
      this.used.set(index, element);
      this.fill(element, index);
    }
  }

  /** Take out the rows that are not among these. */
  drop(first, end) {
    for (const [index, element] of this.used) {
      if (index >= first && index < end) continue;
      this.used.delete(index);
      element.remove();
      this.spare.push(element);
    }
  }

  /** Fill the rows in sight again, where they stand. */
  refill() {
    for (const [index, element] of this.used) this.fill(element, index);
  }

  /** Bring a row into sight. */
  reveal(index) {
    const y = index * HEIGHT + this.top;
    const { scrollTop, clientHeight } = this.box;
    if (y - this.top < scrollTop) this.box.scrollTop = y - this.top;
    else if (y + HEIGHT > scrollTop + clientHeight) this.box.scrollTop = y + HEIGHT - clientHeight;
    this.draw();
    this.used.get(index)?.scrollIntoView({ block: "nearest" }); // in a low window the page scrolls, too
  }
}
